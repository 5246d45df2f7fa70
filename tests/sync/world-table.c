/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table beside a world's store, which lends lives: what readers are told is
 * what the oracle says, and so is what the store knows, but after a boot.
 */
#include <unistd.h>

#include <uidrecv/reader.h>

#include "store-private.h"
#include "world.h"

static bool renew(void *user, uint32_t agent, uint32_t epoch,
		  const struct ur_statement *statement, uint64_t now_us)
{
	struct world *world = user;
	bool is_lent = world->lives.renew(world->lives.user, agent, epoch,
					  statement, now_us);

	world->lent += is_lent;
	return is_lent;
}

static uint64_t get(void *user, struct uidrecv_address address,
		    const struct ur_claim *claim)
{
	const struct world *world = user;

	return world->lives.get(world->lives.user, address, claim);
}

static const char *path_of(struct world *world)
{
	snprintf(world->path, sizeof(world->path), "%s/table",
		 world->directory);
	return world->path;
}

void world_table_find_former(struct world *world)
{
	if (!world->lends)
		return;
	world->round.store = world->store;
	world->round.table = &world->table;
	/* Without one it is a boot, or the first start. */
	if (ur_former_open(&world->round.former, path_of(world),
			   ur_store_get_base_us(world->store)))
		world->round.former = NULL;
	ur_round_lend(&world->round);
	world->lives = world->store->lives;
	ur_store_set_lives(world->store,
			   (struct ur_store_lives){renew, get, world});
}

int world_table_put(void *user, const struct ur_change *change)
{
	struct world *world = user;
	struct ur_table_answer answer = ur_round_answer(change);

	if (!world->next_table)
		return 0;
	return ur_table_put(world->next_table, &answer, world->now_us);
}

void world_table_begin(struct world *world)
{
	struct ur_table_options options = {
	    .path = path_of(world),
	    .group = (gid_t)-1,
	    .base_us = ur_store_get_base_us(world->store),
	    .change_min = world->now_us,
	};

	if (!world->lends)
		return;
	world_failed(world, "table",
		     ur_table_create(&world->next_table, &options));
	for (uint32_t id = 1; id < ORACLE_AGENTS; id++) {
		const char *name = ur_store_get_agent_name(world->store, id);

		if (name)
			world_failed(world, "table agent",
				     ur_table_add_agent(world->next_table, id,
							name, strlen(name)));
	}
}

void world_table_end(struct world *world)
{
	if (!world->lends)
		return;
	world_failed(world, "publish", ur_table_publish(world->next_table));
	ur_table_close(world->table);
	world->table = world->next_table;
	world->next_table = NULL;
	ur_former_close(world->round.former);
	world->round.former = NULL;
}

void world_table_make(struct world *world)
{
	if (!world->lends)
		return;
	world_table_begin(world);
	world_failed(
	    world, "table scan",
	    ur_store_scan(world->store, world->now_us, world_table_put, world));
	world_table_end(world);
}

void world_table_take(struct world *world, const struct ur_change *change)
{
	struct ur_table_answer answer = ur_round_answer(change);

	if (!world->table)
		return;
	if (change->kind == UR_CHANGE_REFRESHED)
		ur_table_refresh(world->table, change->agent, change->epoch,
				 change->deadline_us);
	else if (change->kind == UR_CHANGE_DROPPED)
		ur_table_drop(world->table, change->agent, change->epoch);
	else
		world_failed(
		    world, "put",
		    ur_table_put(world->table, &answer, world->now_us));
}

void world_table_close(struct world *world, bool is_boot)
{
	ur_table_close(world->table);
	ur_former_close(world->round.former);
	world->table = NULL;
	world->round.former = NULL;
	if (world->lends && is_boot)
		unlink(path_of(world));
}

bool world_table_look(struct world *world, size_t index,
		      struct world_shown *ret_shown)
{
	struct uidrecv_query query = {.address = world_address(index)};
	struct uidrecv_mapping mapping;
	struct uidrecv_reader *reader;
	int r;

	if (!world->table)
		return false;
	memset(ret_shown, 0, sizeof(*ret_shown));
	if (uidrecv_reader_open(&reader, path_of(world), NULL) < 0)
		return false;
	r = uidrecv_reader_lookup(
	    reader, &query, world->now_us - ur_store_get_base_us(world->store),
	    &mapping);
	uidrecv_reader_close(reader);
	if (world_failed(world, "lookup", r) || r == 0)
		return true;
	memcpy(ret_shown->user, mapping.user, (size_t)mapping.user_size + 1);
	ret_shown->agent =
	    ur_store_get_agent(world->store, mapping.agent, mapping.agent_size)
		->id;
	ret_shown->deadline_us = ORACLE_NEVER;
	if (mapping.expires_in_ms != UINT64_MAX)
		ret_shown->deadline_us =
		    (world->now_us / 1000 + mapping.expires_in_ms +
		     (world->now_us % 1000 != 0)) *
		    1000;
	return true;
}

/* What was lent in a round that came to nothing, the agent has said. */
void world_table_keep_lent(struct world *world)
{
	struct world_shown shown;

	for (size_t i = 0; i < ORACLE_ADDRESSES; i++) {
		struct oracle_claim *claim;
		uint32_t agent;

		if (!world_table_look(world, i, &shown) || !shown.user[0])
			continue;
		agent = shown.agent;
		claim = &world->oracle.agents[agent].claims[i];
		if (!claim->user || strcmp(claim->user, shown.user) != 0 ||
		    shown.deadline_us == claim->deadline_us)
			continue;
		if (shown.deadline_us < claim->deadline_us ||
		    shown.deadline_us > world->refreshed_us[agent][i])
			world_differ(world,
				     "address %zu: %ju is lent instead of %ju",
				     i, (uintmax_t)shown.deadline_us,
				     (uintmax_t)claim->deadline_us);
		claim->deadline_us = shown.deadline_us;
	}
}

static void lose_life(struct world *world, struct oracle_claim *claim,
		      const struct ur_claim *stored)
{
	uint64_t lost_us = claim->deadline_us - stored->deadline_us;

	if (!oracle_lives(claim, world->now_us))
		return;
	if (stored->deadline_us > claim->deadline_us ||
	    lost_us > claim->lifetime_s * SECOND / 8)
		world_differ(world, "after a boot a life ends at %ju, not %ju",
			     (uintmax_t)stored->deadline_us,
			     (uintmax_t)claim->deadline_us);
	world->lost += lost_us > 0;
	claim->deadline_us = stored->deadline_us;
}

void world_table_lose(struct world *world)
{
	struct ur_cell cell = {0};
	MDB_txn *txn;

	if (!world->lends ||
	    world_failed(world, "read",
			 ur_store_read_begin(world->store, &txn)))
		return;
	for (size_t i = 0; i < ORACLE_ADDRESSES; i++) {
		world_failed(world, "cell",
			     ur_store_cell_get(world->store, txn,
					       world_address(i), &cell));
		for (uint32_t id = 1; id < ORACLE_AGENTS; id++) {
			struct oracle_claim *claim =
			    &world->oracle.agents[id].claims[i];
			const struct ur_claim *stored = ur_cell_find(&cell, id);

			if (!claim->user || !oracle_lives(claim, world->now_us))
				continue;
			if (stored)
				lose_life(world, claim, stored);
			else
				world_differ(world, "address %zu: %s is gone",
					     i, claim->user);
		}
	}
	mdb_txn_abort(txn);
	ur_cell_done(&cell);
}
