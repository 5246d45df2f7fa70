/* SPDX-License-Identifier: BSD-2-Clause */
/* Multi-user systems: a row for each agent that has one. */
#include "store-private.h"

#include <errno.h>

#include "block.h"
#include "bytes.h"

#define KEY_SIZE 4

/* What a round of restricting may change, but for one system more. */
#define CHANGED_MAX 1000

static void set_key(uint8_t bytes[KEY_SIZE], MDB_val *key, uint32_t agent)
{
	ur_bytes_put_u32(bytes, agent);
	key->mv_data = bytes;
	key->mv_size = KEY_SIZE;
}

static int load_row(const struct ur_store *store, struct ur_systems *systems,
		    const MDB_val *key, const MDB_val *value)
{
	struct ur_bytes from = ur_bytes_of(key->mv_data, key->mv_size);
	uint32_t agent = ur_bytes_u32(&from);
	struct ur_system system;
	int rc;

	if (key->mv_size != KEY_SIZE || !ur_store_agent_at(store, agent) ||
	    !ur_system_decode(&system, agent, value->mv_data, value->mv_size))
		return UIDRECV_E_STORE_DAMAGED;
	rc = ur_systems_put(systems, agent, &system.config);
	return rc > 0 ? UIDRECV_E_STORE_DAMAGED : rc;
}

int ur_store_systems_load(struct ur_store *store, MDB_txn *txn)
{
	struct ur_systems systems = {0};
	MDB_cursor *cursor;
	MDB_val key, value;
	int rc =
	    ur_store_error(mdb_cursor_open(txn, store->systems_dbi, &cursor));

	if (rc < 0)
		return rc;
	for (;;) {
		rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
		if (rc != 0) {
			rc = rc == MDB_NOTFOUND ? 0 : ur_store_error(rc);
			break;
		}
		rc = load_row(store, &systems, &key, &value);
		if (rc < 0)
			break;
	}
	mdb_cursor_close(cursor);
	if (rc < 0) {
		ur_systems_done(&systems);
		return rc;
	}
	ur_systems_done(&store->systems);
	store->systems = systems;
	return 0;
}

void ur_store_systems_commit(struct ur_store *store)
{
	struct ur_systems former = store->systems;

	if (!store->has_systems_next)
		return;
	store->systems = store->systems_next;
	store->systems_next = former;
	store->has_systems_next = false;
}

void ur_store_systems_abort(struct ur_store *store)
{
	store->has_systems_next = false;
}

const struct ur_systems *ur_store_systems_now(const struct ur_store *store)
{
	return store->has_systems_next ? &store->systems_next : &store->systems;
}

const struct uidrecv_system *ur_store_get_system(const struct ur_store *store,
						 uint32_t agent)
{
	const struct ur_system *system =
	    ur_systems_of(ur_store_systems_now(store), agent);

	return system ? &system->config : NULL;
}

int ur_store_find_block(const struct ur_store *store, uint32_t agent,
			struct uidrecv_address address,
			struct uidrecv_ports ports,
			struct uidrecv_address *ret_key)
{
	const struct uidrecv_system *system = ur_store_get_system(store, agent);
	int rc;

	if (!system || !ur_system_has_address(system, address))
		return UIDRECV_REJECT_NOT_MULTI_USER;
	rc = ur_system_check_block(system, ports);
	if (rc == 0)
		*ret_key = ur_block_key(agent, ports.start);
	return rc;
}

/* The systems of the round, to be changed. */
static int touch_systems(struct ur_store *store)
{
	int rc = 0;

	if (!store->has_systems_next)
		rc = ur_systems_copy(&store->systems_next, &store->systems);
	if (rc == 0)
		store->has_systems_next = true;
	return rc;
}

/* Ends what is said of a block, that is, of the scanned cell. */
static int end_block(struct ur_store *store, struct uidrecv_address key,
		     uint64_t now_us)
{
	struct ur_cell *cell = &store->scanned;
	bool had_claims = cell->claims_count > 0;
	int rc;

	for (size_t i = 0; i < cell->claims_count; i++) {
		struct ur_store_agent *agent =
		    ur_store_agent_at(store, cell->claims[i].agent);

		if (!agent)
			return UIDRECV_E_STORE_DAMAGED;
		ur_store_agent_lose(store, agent, &cell->claims[i]);
	}
	ur_cell_clear(cell);
	rc = ur_store_cell_put(store, key, cell);
	if (rc == 0 && had_claims)
		rc = ur_store_changes_add(store, key, cell, now_us);
	return rc;
}

static int end_blocks(struct ur_store *store, uint32_t agent, uint64_t now_us)
{
	/*
	 * No block has this key: it is before the first of the agent. Behind
	 * it there are keys of blocks alone.
	 */
	const struct uidrecv_address before = {UR_BLOCK_TAG | (agent - 1),
					       UINT64_MAX};
	struct ur_store_walk walk;
	struct uidrecv_address key;
	int rc;

	ur_store_walk_start(&walk, store, store->txn, &before);
	while ((rc = ur_store_walk_next(&walk, &store->scanned, &key)) == 1) {
		if (ur_block_agent(key) != agent)
			break;
		ur_store_walk_pause(&walk);
		rc = end_block(store, key, now_us);
		if (rc < 0)
			break;
	}
	ur_store_walk_pause(&walk);
	return rc < 0 ? rc : 0;
}

/* Lists what the addresses answer that a system has and another has not. */
static int list_addresses(struct ur_store *store,
			  const struct uidrecv_system *of,
			  const struct uidrecv_system *without, uint64_t now_us)
{
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i <= of->aliases_count; i++) {
		struct uidrecv_address address = ur_system_address(of, i);

		if (without && ur_system_has_address(without, address))
			continue;
		rc = ur_store_cell_get(store, store->txn, address,
				       &store->scanned);
		/* What is lent to an answer goes with it. */
		if (rc == 0 && ur_store_cell_is_lent(&store->scanned))
			rc = ur_store_cell_put(store, address, &store->scanned);
		if (rc == 0)
			rc = ur_store_changes_add(store, address,
						  &store->scanned, now_us);
	}
	return rc;
}

static int put_row(struct ur_store *store, const struct ur_system *system)
{
	uint8_t key_bytes[KEY_SIZE], bytes[UR_SYSTEM_SIZE_MAX];
	MDB_val key, value = {ur_system_encode(system, bytes), bytes};

	set_key(key_bytes, &key, system->agent);
	store->is_written = true;
	return ur_store_error(
	    mdb_put(store->txn, store->systems_dbi, &key, &value, 0));
}

/* Readers of a new cut must find no block of the old one: blocks end first. */
static int replace(struct ur_store *store, const struct ur_system *system,
		   const struct uidrecv_system *former, uint64_t now_us)
{
	const struct uidrecv_system *config = &system->config;
	bool is_as_before = former &&
			    former->ports.start == config->ports.start &&
			    former->ports.count == config->ports.count &&
			    former->block_size == config->block_size;
	int rc = put_row(store, system);

	if (rc == 0 && former && !ur_system_has_same_blocks(former, config))
		rc = end_blocks(store, system->agent, now_us);
	if (rc == 0)
		rc = list_addresses(store, config, is_as_before ? former : NULL,
				    now_us);
	if (rc == 0 && former)
		rc = list_addresses(store, former, config, now_us);
	return rc;
}

static int put_system(struct ur_store *store, uint32_t agent,
		      const struct uidrecv_system *config, uint64_t now_us)
{
	struct ur_system system = {agent, ur_system_clean(config)};
	const struct uidrecv_system *now = ur_store_get_system(store, agent);
	struct uidrecv_system former;
	int rc;

	if (now && ur_system_is_same(now, &system.config))
		return 0;
	if (now)
		former = *now;
	rc = touch_systems(store);
	if (rc == 0)
		rc =
		    ur_systems_put(&store->systems_next, agent, &system.config);
	if (rc == 0)
		rc = replace(store, &system, now ? &former : NULL, now_us);
	return rc;
}

int ur_store_put_system(struct ur_store *store, uint32_t agent,
			const struct uidrecv_system *system, uint64_t now_us)
{
	int rc = ur_store_check_round(store);

	if (rc < 0)
		return rc;
	if (!ur_store_agent_at(store, agent))
		return -EINVAL;
	rc = ur_system_check(system);
	if (rc == 0)
		rc = put_system(store, agent, system,
				ur_store_clamp(store, now_us));
	if (rc < 0)
		store->error = rc;
	return rc;
}

static int end_system(struct ur_store *store, uint32_t agent, uint64_t now_us)
{
	const struct uidrecv_system *now = ur_store_get_system(store, agent);
	struct uidrecv_system former;
	uint8_t key_bytes[KEY_SIZE];
	MDB_val key;
	int rc;

	/* The store was read again, and it is gone already. */
	if (!now)
		return 0;
	former = *now;
	rc = touch_systems(store);
	if (rc < 0)
		return rc;
	ur_systems_remove(&store->systems_next, agent);
	set_key(key_bytes, &key, agent);
	rc =
	    ur_store_error(mdb_del(store->txn, store->systems_dbi, &key, NULL));
	if (rc == 0)
		rc = end_blocks(store, agent, now_us);
	if (rc == 0)
		rc = list_addresses(store, &former, NULL, now_us);
	if (rc == 0)
		rc = ur_store_want_snapshot(store, agent, UIDRECV_RESYNC_GAP);
	return rc;
}

/* A refused system of an agent from *id on, which it moves there; or none. */
static bool find_refused(const struct ur_store *store, uint32_t *id,
			 bool (*keep)(void *user, uint32_t agent,
				      const struct uidrecv_system *system),
			 void *user)
{
	for (; *id <= store->agents_count; ++*id) {
		const struct uidrecv_system *system =
		    ur_store_get_system(store, *id);

		if (system && !keep(user, *id, system))
			return true;
	}
	return false;
}

int ur_store_restrict_systems(struct ur_store *store, uint64_t now_us,
			      uint64_t wall_us,
			      bool (*keep)(void *user, uint32_t agent,
					   const struct uidrecv_system *system),
			      void *user)
{
	const struct ur_store_changes *changes = &store->changes;
	uint32_t id = 1;
	int rc = ur_store_check_idle(store);

	now_us = ur_store_clamp(store, now_us);
	while (rc == 0 && find_refused(store, &id, keep, user)) {
		rc = ur_store_begin(store);
		if (rc < 0)
			return rc;
		do
			store->error = end_system(store, id++, now_us);
		while (store->error == 0 &&
		       changes->count - changes->committed < CHANGED_MAX &&
		       find_refused(store, &id, keep, user));
		rc = ur_store_commit(store, now_us, wall_us);
	}
	return rc;
}
