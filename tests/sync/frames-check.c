/* SPDX-License-Identifier: BSD-2-Clause */
#include "frames.h"

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
		oracle->agents[action->agent].is_open =
		    oracle->agents[action->agent].is_whole = false;
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

void frames_completed(void *owner, const struct ur_batch *batch,
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

		frames_fail(frames, "lookup", rc);
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
		frames_collect(frames, 10 * ORACLE_ADDRESSES);
	frames_check(frames, true);
	for (;;) {
		uint64_t next_us = world_next_deadline(world, world->now_us);

		if (next_us == ORACLE_NEVER)
			return;
		/* The table counts milliseconds, as do all times here. */
		world->now_us = next_us - 1000;
		frames_settle(frames);
		frames_check(frames, true);
		world->now_us = next_us;
		frames_settle(frames);
		frames_check(frames, true);
	}
}
