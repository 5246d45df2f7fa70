/* SPDX-License-Identifier: BSD-2-Clause */
#include "script.h"

#define DAY (24 * HOUR)

unsigned int script_keep_percent(uint32_t agent)
{
	return agent % 2 ? 0 : 50;
}

static void perform(struct world *world, const struct action *action,
		    uint64_t shift_us)
{
	struct ur_statement statement = action->statement;

	switch (action->kind) {
	case ACTION_SAY:
		statement.event_us += shift_us;
		statement.event_raw_us += shift_us;
		statement.as_of_us += shift_us;
		world_apply(world, action->agent, &statement);
		break;
	case ACTION_BEGIN:
		world_snapshot(world, action->agent);
		break;
	case ACTION_END:
		world_end(world, action->agent, action->count,
			  action->keep_percent, true);
		break;
	case ACTION_REFRESH_ALL:
		world_refresh_all(world, action->agent,
				  action->as_of_us + shift_us, action->count,
				  true);
		break;
	default:
		world_session(world, action->agent,
			      world->oracle.agents[action->agent].session_id +
				  1);
	}
}

static struct action draw_action(struct world *world, uint32_t agent)
{
	const struct oracle_agent *it = &world->oracle.agents[agent];
	struct action action = {.kind = ACTION_SAY, .agent = agent};
	uint64_t what = world_draw(world, 12);

	if (what == 0 || (what == 1 && !it->is_open)) {
		action.kind = ACTION_BEGIN;
	} else if (what < 3) {
		action.kind = ACTION_END;
		action.count = it->maps + (world_draw(world, 8) == 0);
		action.keep_percent = script_keep_percent(agent);
	} else if (what < 5) {
		action.kind = ACTION_REFRESH_ALL;
		action.count =
		    oracle_count_stated(&world->oracle, agent, world->now_us) +
		    (world_draw(world, 8) == 0);
		action.as_of_us = world->now_us + 12 * SECOND -
				  world_draw(world, 60000) * 1000;
	} else if (what == 5 && world_draw(world, 3) == 0) {
		action.kind = ACTION_SESSION;
	} else if (world_draw(world, 3) ||
		   !world_draw_again(world, agent, &action.statement)) {
		action.statement = world_draw_fresh(world, agent);
	}
	/* So that they meet. */
	if (action.kind == ACTION_SAY && world_draw(world, 2))
		action.statement.address = world_address(world_draw(world, 3));
	/* So that they may be in one frame. */
	action.statement.as_of_us = world->now_us - agent % 3 * SECOND;
	return action;
}

static void draw_next(struct world *world, struct action *list, size_t *count,
		      uint32_t agent)
{
	list[*count] = draw_action(world, agent);
	perform(world, &list[(*count)++], 0);
}

void script_draw(struct script *script, uint64_t seed, size_t before,
		 size_t each)
{
	static struct world alone;

	memset(script, 0, sizeof(*script));
	world_init_alone(&alone, seed);
	alone.trace = false;
	for (uint32_t agent = 1; agent < ORACLE_AGENTS; agent++) {
		alone.oracle.agents[agent].epoch = 1;
		alone.oracle.agents[agent].is_begun = true;
	}
	while (script->before_count < before)
		draw_next(&alone, script->before, &script->before_count,
			  1 + (uint32_t)world_draw(&alone, ORACLE_AGENTS - 1));
	script->after_us = world_draw(&alone, 100) * SECOND;
	alone.now_us += script->after_us;
	for (uint32_t agent = 1; agent < ORACLE_AGENTS; agent++) {
		size_t count = each > 1 ? world_draw(&alone, each) : 1;

		while (count-- > 0)
			draw_next(&alone, script->burst, &script->burst_count,
				  agent);
	}
	script->oracle = alone.oracle;
	script->end_us = alone.now_us;
}

void script_reset(struct world *world)
{
	/* The reader's microsecond is not the script's. */
	world->now_us = (world->now_us / SECOND + 1) * SECOND + 2 * DAY;
	world_begin(world);
	for (uint32_t agent = 1; agent < ORACLE_AGENTS; agent++) {
		world_snapshot(world, agent);
		world_end(world, agent, 0, 0, true);
	}
	world_commit(world);
	world_collect_all(world);
}

static void pause_round(struct world *world)
{
	world_commit(world);
	if (world_draw(world, 4) == 0)
		world_collect(world, world_draw(world, 5));
	world_settle(world, world->now_us);
	world_check_shown(world, false);
	world_begin(world);
}

void script_play(const struct script *script, struct world *world,
		 const size_t *order, unsigned int split)
{
	uint64_t shift_us = world->now_us - WORLD_START;

	world_begin(world);
	for (size_t i = 0; i < script->before_count; i++)
		perform(world, &script->before[i], shift_us);
	world_commit(world);
	world->now_us += script->after_us;
	world_begin(world);
	for (size_t i = 0; i < script->burst_count; i++) {
		if (i > 0 && world_draw(world, 8) < split)
			pause_round(world);
		perform(world, &script->burst[order[i]], shift_us);
	}
	world_commit(world);
}

void script_mix(const struct script *script, struct world *world, size_t *order)
{
	size_t next[ORACLE_AGENTS] = {0}, end[ORACLE_AGENTS] = {0}, done = 0;

	/* The streams stand one behind the other in the burst. */
	for (size_t i = script->burst_count; i-- > 0;)
		next[script->burst[i].agent] = i;
	for (size_t i = 0; i < script->burst_count; i++)
		end[script->burst[i].agent] = i + 1;
	while (done < script->burst_count) {
		size_t agent = 1 + world_draw(world, ORACLE_AGENTS - 1);

		if (next[agent] < end[agent])
			order[done++] = next[agent]++;
	}
}

/* The oracle that went this way says what the other says. */
static void check_oracles(const struct script *script, struct world *world,
			  uint64_t after_us)
{
	uint64_t shift_us = world->now_us - script->end_us;

	for (size_t i = 0; i < ORACLE_ADDRESSES; i++) {
		uint32_t agent, other;
		const struct oracle_claim *a = oracle_answer(
		    &world->oracle, i, world->now_us + after_us, &agent);
		const struct oracle_claim *b = oracle_answer(
		    &script->oracle, i, script->end_us + after_us, &other);

		if (agent != other ||
		    (a && (strcmp(a->user, b->user) != 0 ||
			   (a->deadline_us != b->deadline_us + shift_us &&
			    a->deadline_us != ORACLE_NEVER))))
			world_differ(world,
				     "address %zu is agent %u's, not %u's, in "
				     "this order",
				     i, agent, other);
	}
}

void script_check(const struct script *script, struct world *world)
{
	for (uint32_t agent = 1; agent < ORACLE_AGENTS; agent++) {
		const struct oracle_agent *it = &script->oracle.agents[agent];

		if (oracle_count(&world->oracle, agent, world->now_us) !=
		    oracle_count(&script->oracle, agent, script->end_us))
			world_differ(world, "agent %u has other counts", agent);
		for (size_t i = 0; i < ORACLE_ADDRESSES; i++)
			if (oracle_lives(&it->claims[i], script->end_us) &&
			    it->claims[i].deadline_us != ORACLE_NEVER)
				check_oracles(script, world,
					      it->claims[i].deadline_us -
						  script->end_us);
	}
	check_oracles(script, world, 0);
	world_check_rows(world, false);
	world_settle(world, world->now_us);
	world_check_shown(world, false);
	world_collect_all(world);
	world_check_shown(world, true);
	world_check_rows(world, true);
	world_check_deadlines(world);
}
