/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdarg.h>

#include "world.h"

void world_differ(struct world *world, const char *format, ...)
{
	char text[160];
	va_list arguments;

	if (world->difference[0])
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	snprintf(world->difference, sizeof(world->difference),
		 "UIDRECV_TEST_SEED=%ju, operation %ju: %s",
		 (uintmax_t)world->first_seed, (uintmax_t)world->operations,
		 text);
}

void world_trace(const struct world *world, const char *format, ...)
{
	va_list arguments;

	if (!world->trace)
		return;
	fprintf(stderr, "%ju %12.6f ", (uintmax_t)world->operations,
		(double)(world->now_us - WORLD_START) / 1e6);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

/* An error of the store, which none of the operations here may have. */
bool world_failed(struct world *world, const char *what, int rc)
{
	if (rc < 0)
		world_differ(world, "%s: %d", what, rc);
	return rc < 0;
}

void world_begin(struct world *world)
{
	world->committed = world->oracle;
	memset(world->refreshed_us, 0, sizeof(world->refreshed_us));
	if (world->store)
		world_failed(world, "begin", ur_store_begin(world->store));
}

static void note_life(struct world *world, uint32_t agent, size_t index)
{
	uint64_t deadline_us =
	    world->oracle.agents[agent].claims[index].deadline_us;

	if (world->refreshed_us[agent][index] < deadline_us)
		world->refreshed_us[agent][index] = deadline_us;
}

void world_apply(struct world *world, uint32_t agent,
		 const struct ur_statement *statement)
{
	size_t index = world_index(statement->address);
	bool is_map = statement->op == UIDRECV_OP_MAP;
	int expected, rc;

	world->operations++;
	if (is_map)
		oracle_count_maps(&world->oracle, agent, 1);
	expected = oracle_apply(&world->oracle, agent, index, world->quota,
				statement, world->now_us);
	world_trace(
	    world,
	    "agent %u op %d address %zu user %s event %.6f raw %ju as-of "
	    "%.6f life %u token %d %ju: %d",
	    agent, statement->op, index,
	    statement->user ? statement->user : "-",
	    (double)(int64_t)(statement->event_us - WORLD_START) / 1e6,
	    (uintmax_t)statement->event_raw_us,
	    (double)(int64_t)(statement->as_of_us - WORLD_START) / 1e6,
	    statement->lifetime_s, statement->has_token,
	    (uintmax_t)statement->token, expected);
	if (!world->store)
		return;
	if (statement->op == UIDRECV_OP_REFRESH && expected == 0)
		note_life(world, agent, index);
	if (is_map)
		world_failed(world, "count maps",
			     ur_store_count_maps(world->store, agent, 1));
	rc = ur_store_apply(world->store, agent, world->quota, statement,
			    world->now_us);
	if (rc != expected)
		world_differ(world,
			     "operation %d of agent %u for address %zu: %d "
			     "instead of %d",
			     statement->op, agent, index, rc, expected);
}

static void put_row(struct world *world, uint32_t agent)
{
	struct ur_agent_row row;

	if (!world->store)
		return;
	row = *ur_store_get_agent_by_id(world->store, agent);
	row.session_id = world->oracle.agents[agent].session_id;
	row.durable = ++world->serials[agent];
	if (world->is_apart)
		row.offset_error_us = world->rounds;
	world_failed(world, "put agent",
		     ur_store_put_agent(world->store, &row));
}

void world_mark(struct world *world)
{
	world->rounds++;
	put_row(world, 1);
}

void world_session(struct world *world, uint32_t agent, uint64_t session_id)
{
	world->operations++;
	world_trace(world, "agent %u session %ju", agent,
		    (uintmax_t)session_id);
	oracle_session(&world->oracle, agent, session_id);
	put_row(world, agent);
}

void world_gap(struct world *world, uint32_t agent)
{
	world->operations++;
	world_trace(world, "agent %u gap", agent);
	oracle_gap(&world->oracle, agent);
	if (world->store)
		world_failed(world, "gap",
			     ur_store_want_snapshot(world->store, agent,
						    UIDRECV_RESYNC_GAP));
}

void world_snapshot(struct world *world, uint32_t agent)
{
	world->operations++;
	oracle_begin(&world->oracle, agent);
	world_trace(world, "agent %u begin: epoch %u", agent,
		    world->oracle.agents[agent].epoch);
	if (world->store)
		world_failed(world, "begin snapshot",
			     ur_store_begin_snapshot(world->store, agent));
}

enum ur_ending world_end(struct world *world, uint32_t agent, uint64_t count,
			 unsigned int keep_percent, bool may_count)
{
	struct oracle_agent *it = &world->oracle.agents[agent];
	enum ur_ending ending = UR_ENDING_REFUSED;
	enum oracle_ending expected;
	int rc = 0;

	world->operations++;
	if (world->store)
		rc = ur_store_end_snapshot(world->store, agent, count,
					   keep_percent, may_count,
					   world->now_us, &ending);
	if (world_failed(world, "end snapshot", rc))
		return ending;
	/* Who may not look may refuse; then it is an END with a wrong count. */
	if (!may_count && ending == UR_ENDING_REFUSED && it->is_open)
		count = it->maps + 1;
	expected = oracle_end(&world->oracle, agent, count, keep_percent,
			      world->now_us);
	world_trace(world, "agent %u end %ju keep %u may %d: %d", agent,
		    (uintmax_t)count, keep_percent, may_count, (int)expected);
	world->endings[expected]++;
	if (world->store && (int)ending != (int)expected)
		world_differ(world, "END of agent %u: %d instead of %d", agent,
			     (int)ending, (int)expected);
	return (enum ur_ending)expected;
}

/*
 * The library keeps the times of REFRESH ALL of a few epochs that have claims,
 * and may refuse (RESYNC 5) one more; dead claims count until collected.
 */
bool world_is_busy(const struct world *world, uint32_t agent)
{
	const struct oracle_agent *it = &world->oracle.agents[agent];
	size_t older = 0;

	for (size_t i = 0; i < ORACLE_ADDRESSES; i++) {
		bool is_new =
		    it->claims[i].user && it->claims[i].epoch < it->epoch;

		for (size_t j = 0; j < i; j++)
			if (it->claims[j].user &&
			    it->claims[j].epoch == it->claims[i].epoch)
				is_new = false;
		older += is_new;
	}
	return older >= UR_EPOCH_FORMERS;
}

bool world_refresh_all(struct world *world, uint32_t agent, uint64_t as_of_us,
		       uint64_t count, bool may_count)
{
	bool is_early = as_of_us > world->now_us + 10 * SECOND;
	uint64_t at_us = as_of_us < world->now_us ? as_of_us : world->now_us;
	bool is_taken = false, expected;
	int rc = 0;

	world->operations++;
	/* The caller of the store looks at the time. */
	if (world->store && is_early)
		rc = ur_store_want_snapshot(world->store, agent, 4);
	else if (world->store)
		rc = ur_store_refresh_all(world->store, agent, at_us, count,
					  may_count, world->now_us, &is_taken);
	if (world_failed(world, "refresh all", rc))
		return false;
	if (!is_taken && world->store &&
	    (!may_count || world_is_busy(world, agent)))
		count = UINT64_MAX;
	expected = oracle_refresh_all(&world->oracle, agent, as_of_us, count,
				      world->now_us);
	world_trace(world, "agent %u refresh all %.6f count %ju may %d: %d",
		    agent, (double)(int64_t)(as_of_us - WORLD_START) / 1e6,
		    (uintmax_t)count, may_count, expected);
	world->taken += expected;
	if (world->store && is_taken != expected)
		world_differ(world,
			     "REFRESH ALL of agent %u: %d instead of %d, "
			     "it has %ju",
			     agent, is_taken, expected,
			     (uintmax_t)oracle_count_stated(
				 &world->oracle, agent, world->now_us));
	return expected;
}

static void note_refresh(struct world *world, const struct ur_change *change)
{
	struct world_line *line =
	    &world->lines[change->agent][change->epoch % WORLD_LINES];

	if (line->epoch != change->epoch)
		*line = (struct world_line){change->epoch, 0};
	if (line->refreshed_us < change->deadline_us)
		line->refreshed_us = change->deadline_us;
}

void world_take_changes(struct world *world)
{
	struct ur_change change;

	while (world->store &&
	       ur_store_next_change(world->store, &change) == 1) {
		world_table_take(world, &change);
		if (change.kind == UR_CHANGE_ANSWER)
			world_show(world, &change);
		else if (change.kind == UR_CHANGE_REFRESHED)
			note_refresh(world, &change);
		else if (change.epoch > world->floors[change.agent])
			world->floors[change.agent] = change.epoch;
	}
}

void world_commit(struct world *world)
{
	world_trace(world, "commit");
	if (!world->store)
		return;
	world_failed(
	    world, "commit",
	    ur_store_commit(world->store, world->now_us, world->wall_us));
	world_take_changes(world);
}

void world_abort(struct world *world)
{
	world_trace(world, "abort");
	world->oracle = world->committed;
	if (!world->store)
		return;
	ur_store_abort(world->store);
	world_take_changes(world);
	world_table_keep_lent(world);
}

void world_accept(struct world *world, uint32_t agent)
{
	bool has_old =
	    oracle_count(&world->oracle, agent, world->now_us) >
	    oracle_count_stated(&world->oracle, agent, world->now_us);
	bool expected = oracle_accept(&world->oracle, agent);
	int rc = expected;

	world->operations++;
	world_trace(world, "agent %u accept: %d", agent, expected);
	if (world->store)
		rc = ur_store_accept_drops(world->store, agent, world->now_us,
					   world->wall_us);
	if (world_failed(world, "accept", rc))
		return;
	/* Where nothing of it lives any more, either word is right. */
	if (rc != expected && has_old)
		world_differ(world, "accepting of agent %u: %d instead of %d",
			     agent, rc, expected);
	world_take_changes(world);
}

void world_collect(struct world *world, size_t rows)
{
	world->operations++;
	world_trace(world, "collect %zu", rows);
	if (!world->store)
		return;
	world_failed(world, "collect",
		     ur_store_collect(world->store, rows, world->now_us,
				      world->wall_us));
	world_take_changes(world);
}

void world_settle(struct world *world, uint64_t at_us)
{
	int rc;

	if (!world->store)
		return;
	/* A slice at a time, as a receiver does. */
	while ((rc = ur_store_settle(world->store, 2, at_us)) == 1)
		continue;
	world_failed(world, "settle", rc);
	world_take_changes(world);
}

void world_collect_all(struct world *world)
{
	/* A way through may begin in the middle. */
	for (int i = 0; i < 3; i++)
		world_collect(world, 10 * ORACLE_ADDRESSES);
	oracle_collect(&world->oracle, world->now_us);
}
