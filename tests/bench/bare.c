/* SPDX-License-Identifier: BSD-2-Clause */
#include "bare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bench.h"

#define BARE_MAP_BYTES ((size_t)16 << 30)
#define BARE_DBS 16
#define BARE_ROW_MAX 4096

static void copy_file(const char *from, const char *to)
{
	static char block[1 << 16];
	FILE *source = fopen(from, "re"), *copy = fopen(to, "we");
	size_t size;

	bench_must(source && copy, from);
	while ((size = fread(block, 1, sizeof(block), source)) > 0)
		bench_must(fwrite(block, 1, size, copy) == size, to);
	fclose(source);
	bench_must(fclose(copy) == 0, to);
}

static MDB_env *open_env(const char *path, unsigned int flags)
{
	MDB_env *env;

	bench_must(mdb_env_create(&env) == 0 &&
		       mdb_env_set_mapsize(env, BARE_MAP_BYTES) == 0 &&
		       mdb_env_set_maxdbs(env, BARE_DBS) == 0 &&
		       mdb_env_open(env, path,
				    MDB_NOTLS | MDB_NORDAHEAD | flags,
				    0600) == 0,
		   path);
	return env;
}

void bare_open(struct bare *bare, const struct site *site)
{
	char path[320], from[320], to[340];
	uint32_t address = bench_ipv4(0);
	MDB_val key = {sizeof(address), &address}, value;
	MDB_txn *txn;

	snprintf(path, sizeof(path), "%s/bare", site->directory);
	snprintf(from, sizeof(from), "%s/store/data.mdb", site->store);
	snprintf(to, sizeof(to), "%s/data.mdb", path);
	bench_must(mkdir(path, 0700) == 0, path);
	copy_file(from, to);
	*bare = (struct bare){.env = open_env(path, 0)};
	bench_must(mdb_txn_begin(bare->env, NULL, 0, &txn) == 0 &&
		       mdb_dbi_open(txn, "ip4", MDB_INTEGERKEY, &bare->dbi) ==
			   0 &&
		       mdb_get(txn, bare->dbi, &key, &value) == 0 &&
		       value.mv_size <= BARE_ROW_MAX,
		   "the rows of the store");
	bare->row_size = value.mv_size;
	bench_must(mdb_txn_commit(txn) == 0, "mdb_txn_commit");
	mdb_env_sync(bare->env, 1);
}

void bare_close(struct bare *bare)
{
	mdb_env_close(bare->env);
}

void bare_put(struct bare *bare, const uint32_t *mappings, uint32_t count,
	      const uint32_t *rounds, uint32_t rounds_count)
{
	static uint64_t row[BARE_ROW_MAX / 8];
	uint32_t at = 0;
	MDB_txn *txn;

	for (uint32_t round = 0; at < count; round++) {
		uint32_t end = count;

		if (round < rounds_count && rounds[round] < count - at)
			end = at + rounds[round];
		if (end == at)
			continue;
		bench_must(mdb_txn_begin(bare->env, NULL, 0, &txn) == 0,
			   "mdb_txn_begin");
		for (; at < end; at++) {
			uint32_t address = bench_ipv4(mappings[at]);
			MDB_val key = {sizeof(address), &address};
			MDB_val value = {bare->row_size, row};

			row[0] = bench_random(&bare->seed);
			bench_must(mdb_put(txn, bare->dbi, &key, &value, 0) ==
				       0,
				   "mdb_put");
		}
		bench_must(mdb_txn_commit(txn) == 0, "mdb_txn_commit");
	}
}

static uint64_t scan_dbi(MDB_txn *txn, MDB_dbi dbi)
{
	MDB_val key, value;
	MDB_cursor *cursor;
	uint64_t rows = 0;
	int rc;

	bench_must(mdb_cursor_open(txn, dbi, &cursor) == 0, "mdb_cursor_open");
	while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
		const uint8_t *bytes = value.mv_data;
		uint64_t row = 0;

		for (size_t i = 0; i < value.mv_size; i++)
			row += bytes[i];
		/* So that the compiler does not leave it out. */
		__asm__ volatile("" : : "r"(row));
		rows++;
	}
	bench_must(rc == MDB_NOTFOUND, "mdb_cursor_get");
	mdb_cursor_close(cursor);
	return rows;
}

uint64_t bare_scan(const char *store)
{
	uint64_t rows;
	char path[320];
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi = 0;

	snprintf(path, sizeof(path), "%s/store", store);
	env = open_env(path, MDB_RDONLY);
	bench_must(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) == 0 &&
		       mdb_dbi_open(txn, "ip4", MDB_INTEGERKEY, &dbi) == 0,
		   "the rows of the store");
	rows = scan_dbi(txn, dbi);
	mdb_txn_abort(txn);
	mdb_env_close(env);
	return rows;
}
