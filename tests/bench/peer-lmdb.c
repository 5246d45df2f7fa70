/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bare LMDB with integer keys, filled in their order: one read transaction for
 * all lookups, or, where somebody writes, one that is renewed for each.
 */
#include <lmdb.h>
#include <string.h>

#include "bench.h"
#include "peer.h"

#define GROUP 16
#define MAP_BYTES (UINT64_C(1) << 32)

/* One of a process, as LMDB wants it, and a transaction of each thread. */
static MDB_env *env;
static int users;
static MDB_dbi dbi;
static const volatile uint64_t now_us = 1;
static _Thread_local MDB_txn *txn;

static void open_env(const struct peer_site *site, unsigned int flags)
{
	bench_must(mdb_env_create(&env) == 0, "mdb_env_create()");
	bench_must(mdb_env_set_mapsize(env, MAP_BYTES) == 0,
		   "mdb_env_set_mapsize()");
	bench_must(mdb_env_open(env, site->dir, flags, 0600) == 0,
		   "mdb_env_open()");
}

static void fill(const struct peer_site *site)
{
	struct peer_value mapping = {.deadline_us = UINT64_MAX};
	char user[BENCH_USER_SIZE + 1];

	open_env(site, MDB_NOSYNC);
	bench_must(mdb_txn_begin(env, NULL, 0, &txn) == 0, "mdb_txn_begin()");
	bench_must(mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &dbi) == 0,
		   "mdb_dbi_open()");
	for (uint32_t i = 0; i < site->count; i++) {
		uint32_t ipv4 = bench_ipv4(i);
		MDB_val key = {sizeof(ipv4), &ipv4};
		MDB_val value = {sizeof(mapping), &mapping};

		mapping.user_size = (uint8_t)bench_user(i, user);
		memcpy(mapping.user, user, BENCH_USER_SIZE);
		bench_must(mdb_put(txn, dbi, &key, &value, MDB_APPEND) == 0,
			   "mdb_put()");
	}
	bench_must(mdb_txn_commit(txn) == 0, "mdb_txn_commit()");
	mdb_env_close(env);
	env = NULL;
}

/* Callers see to it that threads open one after the other. */
static void open_lmdb(const struct peer_site *site)
{
	if (users++ == 0)
		open_env(site, MDB_RDONLY);
	bench_must(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) == 0,
		   "mdb_txn_begin()");
	bench_must(mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &dbi) == 0,
		   "mdb_dbi_open()");
}

static inline bool look(uint32_t ipv4, struct uidrecv_mapping *mapping)
{
	MDB_val key = {sizeof(ipv4), &ipv4};
	MDB_val value;
	struct peer_value found;

	if (mdb_get(txn, dbi, &key, &value) != 0)
		return false;
	/* Values are not aligned there. */
	memcpy(&found, value.mv_data, sizeof(found));
	if (found.deadline_us <= now_us)
		return false;
	memcpy(mapping->user, found.user, sizeof(found.user));
	mapping->change = found.change;
	mapping->user_size = found.user_size;
	return true;
}

static inline bool look_renewed(uint32_t ipv4, struct uidrecv_mapping *mapping)
{
	bool is_known;

	if (mdb_txn_renew(txn) != 0)
		return false;
	is_known = look(ipv4, mapping);
	mdb_txn_reset(txn);
	return is_known;
}

static inline size_t bulk(const uint32_t *ipv4, size_t count,
			  struct uidrecv_mapping *mappings, int *results)
{
	return peer_bulk(look, ipv4, count, mappings, results);
}

static inline size_t bulk_renewed(const uint32_t *ipv4, size_t count,
				  struct uidrecv_mapping *mappings,
				  int *results)
{
	return peer_bulk(look_renewed, ipv4, count, mappings, results);
}

static size_t run(enum peer_way way, const uint32_t *ipv4, size_t count)
{
	return peer_run(way, look, bulk, GROUP, ipv4, count);
}

static size_t run_renewed(enum peer_way way, const uint32_t *ipv4, size_t count)
{
	return peer_run(way, look_renewed, bulk_renewed, GROUP, ipv4, count);
}

static void open_renewed(const struct peer_site *site)
{
	open_lmdb(site);
	mdb_txn_reset(txn);
}

static void close_lmdb(void)
{
	mdb_txn_abort(txn);
	if (--users == 0) {
		mdb_env_close(env);
		env = NULL;
	}
}

static void clear(void)
{
}

const struct peer peer_lmdb = {
    .name = "lmdb",
    .group = GROUP,
    .slowness = 2,
    .fill = fill,
    .open = open_lmdb,
    .look = look,
    .bulk = bulk,
    .run = run,
    .close = close_lmdb,
    .clear = clear,
};

const struct peer peer_lmdb_renew = {
    .name = "lmdb",
    .group = GROUP,
    .slowness = 2,
    .fill = fill,
    .open = open_renewed,
    .look = look_renewed,
    .bulk = bulk_renewed,
    .run = run_renewed,
    .close = close_lmdb,
    .clear = clear,
};
