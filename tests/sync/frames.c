/* SPDX-License-Identifier: BSD-2-Clause */
#include "frames.h"

#define DAY (24 * HOUR)

static void fail(struct frames *frames, const char *what, int rc)
{
	if (rc < 0)
		world_differ(&frames->world, "%s: %d", what, rc);
}

/* What the round says became of an END or REFRESH ALL must be this. */
static void complete_snapshot(struct frames *frames,
			      const struct ur_batch *batch,
			      const struct action *action)
{
	struct world *world = &frames->world;
	struct oracle *oracle = &world->oracle;
	struct oracle before = *oracle;
	enum oracle_ending ending = 0;
	bool is_taken = false, is_right, is_refused;

	if (action->kind == ACTION_END) {
		ending = oracle_end(oracle, action->agent, action->count,
				    action->keep_percent, world->now_us);
		is_right = (int)batch->ending == (int)ending;
		is_refused = batch->ending == UR_ENDING_REFUSED;
		frames->ends++;
	} else {
		is_taken =
		    oracle_refresh_all(oracle, action->agent, batch->as_of_us,
				       action->count, world->now_us);
		is_right = batch->is_taken == is_taken;
		is_refused = !batch->is_taken;
		frames->refreshes++;
	}
	if (is_right)
		return;
	if (!is_refused) {
		world_differ(world, "agent %u: kind %d was taken",
			     action->agent, action->kind);
		return;
	}
	/* Counting is dear, and not done each time. */
	*oracle = before;
	oracle->agents[action->agent].is_wanted = true;
	if (action->kind == ACTION_END)
		oracle->agents[action->agent].is_open = false;
	frames->busy++;
}

static void complete_records(struct frames *frames,
			     const struct ur_batch *batch,
			     const struct ur_refusal *refusals,
			     const struct frame_of *frame)
{
	struct world *world = &frames->world;
	size_t refused = 0;

	for (size_t i = 0; i < frame->count; i++) {
		const struct action *action = &frame->actions[i];
		struct ur_statement statement = action->statement;
		int expected, code = 0;

		statement.as_of_us = batch->as_of_us;
		oracle_count_maps(&world->oracle, action->agent,
				  statement.op == UIDRECV_OP_MAP);
		expected =
		    oracle_apply(&world->oracle, action->agent,
				 world_index(statement.address),
				 ORACLE_ADDRESSES, &statement, world->now_us);
		if (refused < batch->refusals_count &&
		    refusals[refused].index == i)
			code = refusals[refused++].code;
		if (code != expected)
			world_differ(world, "record %zu: REJECT %d, not %d", i,
				     code, expected);
		world->operations++;
	}
	if (refused != batch->refusals_count)
		world_differ(world, "agent %u: REJECTs of nothing",
			     batch->peer->id);
}

static void completed(void *owner, const struct ur_batch *batch,
		      const struct ur_refusal *refusals)
{
	struct frames *frames = owner;
	const struct frame_of *frame =
	    &frames->submitted[frames->completed_count++];

	switch (frame->actions[0].kind) {
	case ACTION_SAY:
		complete_records(frames, batch, refusals, frame);
		break;
	case ACTION_BEGIN:
		oracle_begin(&frames->world.oracle, frame->actions[0].agent);
		break;
	default:
		complete_snapshot(frames, batch, &frame->actions[0]);
	}
}

static int put(void *user, const struct ur_change *change)
{
	struct frames *frames = user;
	struct ur_table_answer answer = ur_round_answer(change);

	return ur_table_put(frames->table, &answer, frames->world.now_us);
}

void frames_make_table(struct frames *frames)
{
	struct world *world = &frames->world;
	struct ur_table *former = frames->table;
	struct ur_table_options options = {
	    .path = frames->path,
	    .group = (gid_t)-1,
	    .base_us = ur_store_get_base_us(world->store),
	    .change_min = former ? ur_table_get_change(former) + 1 : 1,
	};
	struct ur_change change;

	while (ur_store_next_change(world->store, &change) == 1)
		continue;
	fail(frames, "table", ur_table_create(&frames->table, &options));
	if (world->difference[0])
		return;
	for (uint32_t id = 1; id < ORACLE_AGENTS; id++)
		fail(frames, "agent",
		     ur_table_add_agent(frames->table, id,
					frames->peers[id].right->name,
					frames->peers[id].right->name_size));
	fail(frames, "scan",
	     ur_store_scan(world->store, world->now_us, put, frames));
	fail(frames, "publish", ur_table_publish(frames->table));
	ur_table_close(former);
	ur_table_beat(frames->table);
}

static void make_rights(struct frames *frames)
{
	fail(frames, "rights", uidrecv_rights_new(&frames->rights));
	for (uint32_t id = 1; id < ORACLE_AGENTS; id++) {
		const struct oracle_agent *it =
		    &frames->world.oracle.agents[id];
		char line[160];
		int size = snprintf(
		    line, sizeof(line),
		    "%s 0.0.0.0/0 ::/0 priority=%u allow=never%s\n", it->name,
		    it->priority, script_keep_percent(id) ? "" : ",drops");

		fail(frames, "right",
		     uidrecv_rights_parse(frames->rights, line, (size_t)size,
					  NULL, 0));
	}
	for (uint32_t id = 1; id < ORACLE_AGENTS; id++) {
		const char *name = frames->world.oracle.agents[id].name;

		/* The list has an order of its own. */
		for (size_t i = 0; i < uidrecv_rights_count(frames->rights);
		     i++) {
			const struct ur_right *right =
			    ur_rights_at(frames->rights, i);

			if (right->name_size == strlen(name) &&
			    !memcmp(right->name, name, right->name_size))
				frames->peers[id].right = right;
		}
		frames->peers[id].id = id;
	}
}

void frames_init(struct frames *frames)
{
	memset(frames, 0, sizeof(*frames));
	world_init(&frames->world, 1);
	make_rights(frames);
	snprintf(frames->path, sizeof(frames->path), "%s/table",
		 frames->world.directory);
	frames_make_table(frames);
	ur_round_init(&frames->round);
	frames->round.store = frames->world.store;
	frames->round.table = &frames->table;
	frames->round.log = &frames->log;
	frames->round.completed = completed;
	frames->round.owner = frames;
	fail(frames, "reader",
	     uidrecv_reader_open(&frames->reader, frames->path, NULL));
}

void frames_done(struct frames *frames)
{
	uidrecv_reader_close(frames->reader);
	ur_round_done(&frames->round);
	ur_table_close(frames->table);
	uidrecv_rights_free(frames->rights);
	world_done(&frames->world);
}

static void add_record(struct ur_update_writer *writer,
		       const struct ur_statement *statement)
{
	struct uidrecv_record record = {
	    .address = statement->address,
	    .op = statement->op,
	    .has_event_time = statement->op == UIDRECV_OP_MAP ||
			      statement->op == UIDRECV_OP_LOGOUT,
	    .event_time_us = statement->event_us,
	    .lifetime_s = statement->lifetime_s,
	    .source = statement->source,
	    .has_token = statement->has_token,
	    .token = statement->token,
	    .user_size = statement->user_size,
	};

	memcpy(record.user, statement->user ? statement->user : "",
	       statement->user_size);
	(void)!ur_update_add(writer, &record);
}

static void submit(struct frames *frames)
{
	const struct frame_of *frame =
	    &frames->submitted[frames->submitted_count++];
	const struct action *action = &frame->actions[0];
	uint64_t serial = ++frames->serials[action->agent];
	struct ur_batch batch = {
	    .peer = &frames->peers[action->agent],
	    .conn = frames,
	    .serial = serial,
	    .type = UR_UPDATE,
	    .count = action->count,
	    .as_of_us = action->as_of_us,
	};
	struct ur_update_writer writer;
	struct ur_buf buf;

	ur_buf_init(&buf, 65536);
	if (action->kind == ACTION_SAY) {
		batch.as_of_us = action->statement.as_of_us;
		ur_update_begin(&writer, &buf, serial, batch.as_of_us, false, 0,
				65536);
		for (size_t i = 0; i < frame->count; i++) {
			const struct ur_statement *it =
			    &frame->actions[i].statement;

			add_record(&writer, it);
			batch.maps_count += it->op == UIDRECV_OP_MAP;
		}
		batch.records_count = (uint32_t)frame->count;
		ur_update_end(&writer);
	} else if (action->kind == ACTION_BEGIN) {
		batch.type = UR_SNAPSHOT_BEGIN;
	} else {
		batch.type = action->kind == ACTION_END ? UR_SNAPSHOT_END
							: UR_REFRESH_ALL;
	}
	fail(frames, "submit",
	     ur_round_submit(&frames->round, &batch,
			     buf.size ? ur_buf_front(&buf) + UR_FRAME_HEADER
				      : (const uint8_t *)"",
			     buf.size ? buf.size - UR_FRAME_HEADER : 0));
	ur_buf_done(&buf);
}

static void run_round(struct frames *frames)
{
	struct world *world = &frames->world;

	fail(frames, "round",
	     ur_round_run(&frames->round, world->now_us, world->wall_us));
	if (frames->completed_count != frames->submitted_count)
		world_differ(world, "%zu completed instead of %zu",
			     frames->completed_count, frames->submitted_count);
	frames->completed_count = frames->submitted_count = 0;
}

/* A new session, as its HELLO is stored. */
static void begin_session(struct frames *frames, uint32_t agent)
{
	struct world *world = &frames->world;

	run_round(frames);
	world_begin(world);
	world_session(world, agent, world->oracle.agents[agent].session_id + 1);
	fail(frames, "commit",
	     ur_store_commit(world->store, world->now_us, world->wall_us));
	frames->serials[agent] = 0;
}

static struct action shifted(const struct action *action, uint64_t shift_us)
{
	struct action it = *action;

	it.as_of_us += shift_us;
	it.statement.event_us += shift_us;
	it.statement.event_raw_us = it.statement.event_us;
	it.statement.as_of_us += shift_us;
	return it;
}

static void settle(struct frames *frames)
{
	struct world *world = &frames->world;
	int rc;

	while ((rc = ur_store_settle(world->store, 2, world->now_us)) == 1)
		continue;
	fail(frames, "settle", rc);
	fail(frames, "publish",
	     ur_round_publish(&frames->round, world->now_us));
}

static void collect(struct frames *frames, size_t rows)
{
	struct world *world = &frames->world;

	fail(frames, "collect",
	     ur_store_collect(world->store, rows, world->now_us,
			      world->wall_us));
	settle(frames);
}

static void accept_drops(struct frames *frames, uint32_t agent)
{
	struct world *world = &frames->world;

	oracle_accept(&world->oracle, agent);
	fail(frames, "accept",
	     ur_store_accept_drops(world->store, agent, world->now_us,
				   world->wall_us));
	settle(frames);
}

void frames_accept(struct frames *frames)
{
	for (uint32_t agent = 1; agent < ORACLE_AGENTS; agent++)
		accept_drops(frames, agent);
}

/* What a receiver does between rounds, now and then. */
static void pause_round(struct frames *frames)
{
	struct world *world = &frames->world;

	if (world_draw(world, 4) == 0)
		collect(frames, world_draw(world, 6));
	if (world_draw(world, 8) == 0)
		accept_drops(
		    frames, 1 + (uint32_t)world_draw(world, ORACLE_AGENTS - 1));
	settle(frames);
	frames_check(frames, false);
}

static void play_list(struct frames *frames, const struct action *list,
		      const size_t *order, size_t count, unsigned int join,
		      unsigned int split, uint64_t shift_us)
{
	struct world *world = &frames->world;

	for (size_t i = 0; i < count;) {
		struct frame_of *frame =
		    &frames->submitted[frames->submitted_count];
		const struct action *next = &list[order ? order[i] : i];

		if (next->kind == ACTION_SESSION) {
			begin_session(frames, next->agent);
			i++;
			continue;
		}
		frame->count = 0;
		do {
			frame->actions[frame->count++] =
			    shifted(next, shift_us);
			if (++i >= count)
				break;
			next = &list[order ? order[i] : i];
		} while (next->kind == ACTION_SAY &&
			 frame->actions[0].kind == ACTION_SAY &&
			 next->agent == frame->actions[0].agent &&
			 world_draw(world, 8) < join);
		submit(frames);
		if (world_draw(world, 8) >= split)
			continue;
		run_round(frames);
		pause_round(frames);
	}
	run_round(frames);
	settle(frames);
}

void frames_play(struct frames *frames, const struct script *script,
		 const size_t *order, unsigned int join, unsigned int split)
{
	struct world *world = &frames->world;

	uint64_t shift_us = world->now_us - WORLD_START;

	play_list(frames, script->before, NULL, script->before_count, 4, 2,
		  shift_us);
	world->now_us += script->after_us;
	play_list(frames, script->burst, order, script->burst_count, join,
		  split, shift_us);
}

void frames_reset(struct frames *frames)
{
	struct world *world = &frames->world;
	static const struct action begin = {.kind = ACTION_BEGIN};
	static const struct action end = {.kind = ACTION_END};

	world->now_us = (world->now_us / SECOND + 1) * SECOND + 2 * DAY;
	for (uint32_t agent = 1; agent < ORACLE_AGENTS; agent++) {
		struct frame_of *frame =
		    &frames->submitted[frames->submitted_count];

		frame[0].actions[0] = begin;
		frame[0].actions[0].agent = agent;
		frame[0].count = 1;
		submit(frames);
		frame[1].actions[0] = end;
		frame[1].actions[0].agent = agent;
		frame[1].actions[0].keep_percent = script_keep_percent(agent);
		frame[1].count = 1;
		submit(frames);
	}
	run_round(frames);
	frames_accept(frames);
	for (int i = 0; i < 3; i++)
		collect(frames, 10 * ORACLE_ADDRESSES);
	oracle_collect(&world->oracle, world->now_us);
	frames_check(frames, true);
}

static void check_mapping(struct frames *frames, size_t index,
			  const struct uidrecv_mapping *mapping,
			  const struct oracle_claim *claim, uint32_t agent)
{
	struct world *world = &frames->world;
	uint64_t left_ms = UINT64_MAX;

	if (!claim) {
		world_differ(world, "address %zu is %s's of %s, not nobody's",
			     index, mapping->user, mapping->agent);
		return;
	}
	if (claim->deadline_us != ORACLE_NEVER)
		left_ms = (claim->deadline_us - world->now_us) / 1000;
	if (strcmp(mapping->user, claim->user) != 0 ||
	    strcmp(mapping->agent, world->oracle.agents[agent].name) != 0 ||
	    mapping->source != claim->source)
		world_differ(world, "address %zu is %s's of %s, not %s's of %s",
			     index, mapping->user, mapping->agent, claim->user,
			     world->oracle.agents[agent].name);
	else if (mapping->expires_in_ms != left_ms)
		world_differ(world, "address %zu lives for %ju ms, not %ju",
			     index, (uintmax_t)mapping->expires_in_ms,
			     (uintmax_t)left_ms);
}

void frames_check(struct frames *frames, bool is_collected)
{
	struct world *world = &frames->world;
	uint64_t base_us = ur_store_get_base_us(world->store);

	for (size_t i = 0; i < ORACLE_ADDRESSES; i++) {
		struct uidrecv_query query = {.address = world_address(i)};
		struct uidrecv_mapping mapping;
		uint32_t agent;
		const struct oracle_claim *claim =
		    oracle_answer(&world->oracle, i, world->now_us, &agent);
		int rc = uidrecv_reader_lookup(
		    frames->reader, &query, world->now_us - base_us, &mapping);

		fail(frames, "lookup", rc);
		if (rc == 1)
			check_mapping(frames, i, &mapping, claim, agent);
		else if (claim && is_collected)
			world_differ(world, "address %zu is nobody's, not %s's",
				     i, claim->user);
	}
}

void frames_check_deadlines(struct frames *frames)
{
	struct world *world = &frames->world;

	for (int i = 0; i < 3; i++)
		collect(frames, 10 * ORACLE_ADDRESSES);
	frames_check(frames, true);
	for (;;) {
		uint64_t next_us = world_next_deadline(world, world->now_us);

		if (next_us == ORACLE_NEVER)
			return;
		/* The table counts milliseconds, as do all times here. */
		world->now_us = next_us - 1000;
		settle(frames);
		frames_check(frames, true);
		world->now_us = next_us;
		settle(frames);
		frames_check(frames, true);
	}
}
