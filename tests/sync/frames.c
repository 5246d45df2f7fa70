/* SPDX-License-Identifier: BSD-2-Clause */
#include "frames.h"

#define DAY (24 * HOUR)

void frames_fail(struct frames *frames, const char *what, int rc)
{
	if (rc < 0)
		world_differ(&frames->world, "%s: %d", what, rc);
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
	frames_fail(frames, "table", ur_table_create(&frames->table, &options));
	if (world->difference[0])
		return;
	for (uint32_t id = 1; id < ORACLE_AGENTS; id++)
		frames_fail(
		    frames, "agent",
		    ur_table_add_agent(frames->table, id,
				       frames->peers[id].right->name,
				       frames->peers[id].right->name_size));
	frames_fail(frames, "scan",
		    ur_store_scan(world->store, world->now_us, put, frames));
	frames_fail(frames, "publish", ur_table_publish(frames->table));
	ur_table_close(former);
	ur_table_beat(frames->table);
}

static void make_rights(struct frames *frames)
{
	frames_fail(frames, "rights", uidrecv_rights_new(&frames->rights));
	for (uint32_t id = 1; id < ORACLE_AGENTS; id++) {
		const struct oracle_agent *it =
		    &frames->world.oracle.agents[id];
		char line[160];
		int size = snprintf(
		    line, sizeof(line),
		    "%s 0.0.0.0/0 ::/0 priority=%u allow=never%s\n", it->name,
		    it->priority, script_keep_percent(id) ? "" : ",drops");

		frames_fail(frames, "right",
			    uidrecv_rights_parse(frames->rights, line,
						 (size_t)size, NULL, 0));
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
	frames->round.completed = frames_completed;
	frames->round.owner = frames;
	frames_fail(frames, "reader",
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
	frames_fail(frames, "submit",
		    ur_round_submit(&frames->round, &batch,
				    buf.size
					? ur_buf_front(&buf) + UR_FRAME_HEADER
					: (const uint8_t *)"",
				    buf.size ? buf.size - UR_FRAME_HEADER : 0));
	ur_buf_done(&buf);
}

static void run_round(struct frames *frames)
{
	struct world *world = &frames->world;

	frames_fail(
	    frames, "round",
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
	frames_fail(
	    frames, "commit",
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

void frames_settle(struct frames *frames)
{
	struct world *world = &frames->world;
	int rc;

	while ((rc = ur_store_settle(world->store, 2, world->now_us)) == 1)
		continue;
	frames_fail(frames, "settle", rc);
	frames_fail(frames, "publish",
		    ur_round_publish(&frames->round, world->now_us));
}

void frames_collect(struct frames *frames, size_t rows)
{
	struct world *world = &frames->world;

	frames_fail(frames, "collect",
		    ur_store_collect(world->store, rows, world->now_us,
				     world->wall_us));
	frames_settle(frames);
}

static void accept_drops(struct frames *frames, uint32_t agent)
{
	struct world *world = &frames->world;

	oracle_accept(&world->oracle, agent);
	frames_fail(frames, "accept",
		    ur_store_accept_drops(world->store, agent, world->now_us,
					  world->wall_us));
	frames_settle(frames);
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
		frames_collect(frames, world_draw(world, 6));
	if (world_draw(world, 8) == 0)
		accept_drops(
		    frames, 1 + (uint32_t)world_draw(world, ORACLE_AGENTS - 1));
	frames_settle(frames);
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
	frames_settle(frames);
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
		frames_collect(frames, 10 * ORACLE_ADDRESSES);
	oracle_collect(&world->oracle, world->now_us);
	frames_check(frames, true);
}
