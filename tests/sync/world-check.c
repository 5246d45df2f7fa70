/* SPDX-License-Identifier: BSD-2-Clause */
#include "world.h"

static struct {
	bool is_there;
	char user[16];
	uint64_t deadline_us;
	uint32_t agent, epoch;
	uint8_t source;
} found[ORACLE_ADDRESSES];

static int find(void *user, const struct ur_change *answer)
{
	size_t index = world_index(answer->address);

	(void)user;
	found[index].is_there = true;
	memcpy(found[index].user, answer->user, answer->user_size);
	found[index].user[answer->user_size] = '\0';
	found[index].deadline_us = answer->deadline_us;
	found[index].agent = answer->agent;
	found[index].source = answer->source;
	return 0;
}

static void check_answer(struct world *world, size_t index, uint64_t at_us)
{
	uint32_t agent;
	const struct oracle_claim *claim =
	    oracle_answer(&world->oracle, index, at_us, &agent);

	if (!claim) {
		if (found[index].is_there)
			world_differ(world,
				     "address %zu: %s of agent %u instead of "
				     "nobody",
				     index, found[index].user,
				     found[index].agent);
		return;
	}
	if (!found[index].is_there)
		world_differ(world,
			     "address %zu: nobody instead of %s of agent %u",
			     index, claim->user, agent);
	else if (strcmp(found[index].user, claim->user) != 0 ||
		 found[index].agent != agent)
		world_differ(world,
			     "address %zu: %s of agent %u instead of %s of %u",
			     index, found[index].user, found[index].agent,
			     claim->user, agent);
	else if (found[index].deadline_us != claim->deadline_us)
		world_differ(world, "address %zu: life ends at %ju, not %ju",
			     index, (uintmax_t)found[index].deadline_us,
			     (uintmax_t)claim->deadline_us);
	else if (found[index].source != claim->source)
		world_differ(world, "address %zu: source %d, not %d", index,
			     found[index].source, claim->source);
}

void world_check_answers(struct world *world, uint64_t at_us)
{
	if (!world->store)
		return;
	/* A scan takes it that who asks knows all before. */
	world_settle(world, at_us);
	memset(found, 0, sizeof(found));
	if (ur_store_scan(world->store, at_us, find, NULL) != 0)
		world_differ(world, "the scan failed");
	for (size_t i = 0; i < ORACLE_ADDRESSES; i++)
		check_answer(world, i, at_us);
}

uint64_t world_next_deadline(const struct world *world, uint64_t after_us)
{
	uint64_t next_us = ORACLE_NEVER;

	for (uint32_t id = 1; id < ORACLE_AGENTS; id++)
		for (size_t i = 0; i < ORACLE_ADDRESSES; i++) {
			const struct oracle_claim *claim =
			    &world->oracle.agents[id].claims[i];

			if (claim->user && claim->deadline_us > after_us &&
			    claim->deadline_us < next_us)
				next_us = claim->deadline_us;
		}
	return next_us;
}

void world_check_deadlines(struct world *world)
{
	uint64_t next_us = world_next_deadline(world, world->now_us);

	world_check_answers(world, world->now_us);
	while (next_us != ORACLE_NEVER) {
		if (next_us - 1 > world->now_us)
			world_check_answers(world, next_us - 1);
		world_check_answers(world, next_us);
		world_check_answers(world, next_us + 1);
		world->now_us = next_us + 1;
		next_us = world_next_deadline(world, next_us);
	}
}

/* As a reader of the table would judge it. */
static uint64_t shown_until(const struct world *world,
			    const struct world_shown *shown)
{
	const struct world_line *line =
	    &world->lines[shown->agent][shown->epoch % WORLD_LINES];
	uint64_t renewed_us = 0;

	if (!shown->user[0] || shown->epoch < world->floors[shown->agent])
		return 0;
	if (shown->deadline_us == ORACLE_NEVER)
		return ORACLE_NEVER;
	if (line->epoch == shown->epoch && line->refreshed_us)
		renewed_us =
		    shown->lifetime_s == UIDRECV_LIFETIME_NEVER
			? ORACLE_NEVER
			: (line->refreshed_us + shown->lifetime_s * SECOND) /
			      1000 * 1000;
	return renewed_us > shown->deadline_us ? renewed_us
					       : shown->deadline_us;
}

void world_check_shown(struct world *world, bool is_collected)
{
	const struct world_shown *shown;
	struct world_shown read;
	uint64_t until_us;
	bool is_pending;
	uint32_t agent;

	for (size_t i = 0; world->store && i < ORACLE_ADDRESSES; i++) {
		const struct oracle_claim *claim =
		    oracle_answer(&world->oracle, i, world->now_us, &agent);

		shown = &world->shown[i];
		until_us = shown_until(world, shown);
		is_pending =
		    !is_collected && shown->epoch < world->floors[shown->agent];
		if (world_table_look(world, i, &read)) {
			shown = &read;
			until_us = read.deadline_us;
		}
		if (until_us <= world->now_us && (!claim || is_pending))
			continue;
		if (!claim)
			world_differ(world,
				     "address %zu shows %s of agent %u "
				     "instead of nobody",
				     i, shown->user, shown->agent);
		else if (until_us != claim->deadline_us ||
			 shown->agent != agent ||
			 strcmp(shown->user, claim->user) != 0)
			world_differ(world,
				     "address %zu shows %s of agent %u until "
				     "%ju instead of %s of agent %u until %ju",
				     i, shown->user, shown->agent,
				     (uintmax_t)until_us, claim->user, agent,
				     (uintmax_t)claim->deadline_us);
	}
}

static uint64_t count_older(const struct world *world, uint32_t id,
			    uint32_t epoch)
{
	const struct oracle_agent *it = &world->oracle.agents[id];
	uint64_t count = 0;

	for (size_t i = 0; i < ORACLE_ADDRESSES; i++)
		count += oracle_lives(&it->claims[i], world->now_us) &&
			 it->claims[i].epoch < epoch;
	return count;
}

static void check_row(struct world *world, uint32_t id, bool is_collected)
{
	const struct oracle_agent *it = &world->oracle.agents[id];
	const struct ur_agent_row *row =
	    ur_store_get_agent_by_id(world->store, id);
	uint64_t all = oracle_count(&world->oracle, id, world->now_us);
	uint64_t stated =
	    oracle_count_stated(&world->oracle, id, world->now_us);
	uint64_t held;

	if (row->epochs.current != it->epoch)
		world_differ(world, "agent %u: epoch %u, not %u", id,
			     row->epochs.current, it->epoch);
	if (row->epochs.is_open != it->is_open)
		world_differ(world, "agent %u: open %d, not %d", id,
			     row->epochs.is_open, it->is_open);
	if ((row->epochs.wanted != 0) != it->is_wanted)
		world_differ(world, "agent %u: wanted %d, not %d", id,
			     row->epochs.wanted, it->is_wanted);
	if (row->claims < all || row->epochs.stated < stated)
		world_differ(world, "agent %u: %ju claims, not %ju", id,
			     (uintmax_t)row->claims, (uintmax_t)all);
	if (!is_collected)
		return;
	if (row->claims != all)
		world_differ(world, "agent %u: %ju claims, not %ju, of all", id,
			     (uintmax_t)row->claims, (uintmax_t)all);
	if (row->epochs.stated != stated)
		world_differ(world, "agent %u: %ju claims, not %ju, stated", id,
			     (uintmax_t)row->epochs.stated, (uintmax_t)stated);
	held = count_older(world, id, it->held);
	if (held &&
	    (row->epochs.held != it->held || row->epochs.held_claims != held))
		world_differ(world, "agent %u: %ju claims, not %ju, held", id,
			     (uintmax_t)row->epochs.held_claims,
			     (uintmax_t)held);
	if (!it->held && row->epochs.held)
		world_differ(world, "agent %u: drops are held", id);
}

void world_check_rows(struct world *world, bool is_collected)
{
	for (uint32_t id = 1; world->store && id < ORACLE_AGENTS; id++)
		check_row(world, id, is_collected);
}
