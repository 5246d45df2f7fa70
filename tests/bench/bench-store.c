/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How many records a second the store takes: random refreshing MAPs among
 * --addresses, in rounds of 1, 100 and 10,000, beside bare mdb_put() of as many
 * bytes under the same keys. Then how long opening and scanning take.
 */
#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "store.h"

#define SECOND UINT64_C(1000000)
#define START (UINT64_C(1700000000) * SECOND)
#define CELL_BYTES 72
#define TURN_S 1.0

static char directory[] = "/tmp/uidrecv-rate-XXXXXX";
static const struct ur_rank by_id[] = {{NULL, 0}, {"agent", 1}};
static uint64_t now_us = START;
static uint32_t addresses = 100000;

static void die(const char *what, int rc)
{
	fprintf(stderr, "bench-store: %s: %d\n", what, rc);
	exit(1);
}

static double seconds(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static uint32_t draw(void)
{
	return 0x0a000000 + (uint32_t)random() % addresses * 7;
}

static struct ur_store *open_store(void)
{
	struct ur_store_options options = {
	    .directory = directory, .boot_us = SECOND, .wall_us = START};
	const struct ur_agent_row *row;
	struct ur_store *store = NULL;
	int rc = ur_store_open(&store, &options);

	if (rc == 0)
		rc = ur_store_add_agent(store, "agent", 5, START, &row);
	if (rc < 0)
		die("opening", rc);
	ur_store_set_ranks(store, (struct ur_ranks){by_id, 2});
	return store;
}

static void map_round(struct ur_store *store, uint32_t count, uint32_t first)
{
	struct ur_change change;
	int rc = ur_store_begin(store);

	now_us += 1000;
	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		struct ur_statement map = {0};

		map.op = UIDRECV_OP_MAP;
		map.address = uidrecv_address_from_ipv4(
		    first ? 0x0a000000 + (first - 1 + i) * 7 : draw());
		map.event_us = map.event_raw_us = START;
		map.as_of_us = now_us;
		map.lifetime_s = 2700;
		map.user = "DOMAIN\\ada.lovelace.";
		map.user_size = 20;
		rc = ur_store_apply(store, 1, UINT64_MAX, &map, now_us);
	}
	if (rc == 0)
		rc = ur_store_commit(store, now_us, now_us);
	if (rc != 0)
		die("a round", rc);
	while (ur_store_next_change(store, &change) > 0)
		;
}

static double rate_of_store(struct ur_store *store, uint32_t count)
{
	double start = seconds();
	uint64_t done = 0;

	for (; seconds() - start < TURN_S; done += count)
		map_round(store, count, 0);
	return (double)done / (seconds() - start);
}

static void put_round(MDB_env *env, uint32_t count, uint32_t first)
{
	char value[CELL_BYTES] = {0};
	MDB_txn *txn;
	MDB_dbi dbi;
	int rc = mdb_txn_begin(env, NULL, 0, &txn);

	if (rc == 0)
		rc =
		    mdb_dbi_open(txn, "ip4", MDB_CREATE | MDB_INTEGERKEY, &dbi);
	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		uint32_t ip = first ? 0x0a000000 + (first - 1 + i) * 7 : draw();
		MDB_val key = {4, &ip}, bytes = {CELL_BYTES, value};

		value[0]++;
		rc = mdb_put(txn, dbi, &key, &bytes, 0);
	}
	if (rc == 0)
		rc = mdb_txn_commit(txn);
	if (rc != 0)
		die("bare", rc);
}

static double rate_of_bare(MDB_env *env, uint32_t count)
{
	double start = seconds();
	uint64_t done = 0;

	for (; seconds() - start < TURN_S; done += count)
		put_round(env, count, 0);
	return (double)done / (seconds() - start);
}

static MDB_env *open_bare(void)
{
	char path[64];
	MDB_env *env = NULL;

	snprintf(path, sizeof(path), "%s/bare", directory);
	if (mkdir(path, 0700) < 0 || mdb_env_create(&env) != 0)
		die("bare", -errno);
	mdb_env_set_mapsize(env, (size_t)8 << 30);
	mdb_env_set_maxdbs(env, 1);
	if (mdb_env_open(env, path, MDB_NOTLS | MDB_NORDAHEAD, 0600) != 0)
		die("bare", 0);
	return env;
}

static int count_each(void *user, const struct ur_change *answer)
{
	*(uint64_t *)user += answer->user_size > 0;
	return 0;
}

static void time_opening(void)
{
	double start = seconds(), opened;
	struct ur_store *store = open_store();
	uint64_t count = 0;

	opened = seconds();
	if (ur_store_scan(store, now_us, count_each, &count) < 0)
		die("scanning", 0);
	printf("opening %.0f ms, scanning %ju %.0f ms\n",
	       (opened - start) * 1e3, (uintmax_t)count,
	       (seconds() - opened) * 1e3);
	ur_store_close(store);
}

int main(int argc, char **argv)
{
	static const uint32_t rounds[] = {1, 100, 10000};
	struct ur_store *store;
	char command[64];
	MDB_env *bare;

	if (argc == 3 && !strcmp(argv[1], "--addresses"))
		addresses = (uint32_t)strtoul(argv[2], NULL, 10);
	if (addresses == 0 || !mkdtemp(directory))
		die("usage: --addresses N", -errno);
	store = open_store();
	bare = open_bare();
	for (uint32_t i = 0; i < addresses; i += 10000) {
		map_round(store, 10000, i + 1);
		put_round(bare, 10000, i + 1);
	}
	for (int i = 0; i < 3; i++)
		for (int turn = 0; turn < 3; turn++)
			printf("rounds of %u: store %.0f/s, bare %.0f/s\n",
			       rounds[i], rate_of_store(store, rounds[i]),
			       rate_of_bare(bare, rounds[i]));
	mdb_env_close(bare);
	ur_store_close(store);
	time_opening();
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command) != 0;
}
