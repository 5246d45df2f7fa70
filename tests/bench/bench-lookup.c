/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Nanoseconds per lookup that hits, 1,000,000 mappings: our reader, bare LMDB
 * with integer keys in one transaction, and a private hash that nobody writes
 * and that checks nothing, which is what a lookup costs at least.
 *
 * dependent: the next address depends on the last answer; independent: the
 * processor may overlap lookups; bulk: 16 at once.
 */
#include <lmdb.h>
#include <time.h>

#include "../table-helper.h"

#define MAPPINGS 1000000
#define LOOKUPS 1000000
#define RUNS 5
#define GROUP 16

enum { READER, LMDB, HASH, KINDS };
enum { DEPENDENT, INDEPENDENT, BULK, WAYS };

struct plain_slot {
	_Alignas(64) uint64_t hi;
	uint64_t lo;
	char user[48];
};

struct bench {
	struct scratch scratch;
	struct ur_table *table;
	struct uidrecv_reader *reader;
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	struct plain_slot *plain;
	uint64_t mask;
	uint32_t *addresses; /* LOOKUPS random ones that are known */
	uint64_t found;
};

static void must(bool is_right, const char *what)
{
	if (is_right)
		return;
	fprintf(stderr, "bench-lookup: %s failed\n", what);
	exit(1);
}

/* Scattered over 10.0.0.0/8, as 16 bytes of name. */
static uint32_t ipv4_of(uint32_t i)
{
	return 0x0a000000 + (i * 16 + (i * 2654435761u >> 28));
}

static void user_of(uint32_t i, char user[48])
{
	snprintf(user, 48, "CORP\\user-%06u", i);
}

static uint64_t plain_home(const struct bench *bench, uint64_t lo)
{
	return (lo * UINT64_C(0x9e3779b97f4a7c15) >> 40) & bench->mask;
}

static void fill_table(struct bench *bench)
{
	char user[48];

	scratch_init(&bench->scratch);
	bench->table = make_table(bench->scratch.path, 1, MAPPINGS);
	for (uint32_t i = 0; i < MAPPINGS; i++) {
		user_of(i, user);
		must(put(bench->table, ipv4_of(i), user) == 0, "put");
	}
	must(ur_table_publish(bench->table) == 0, "publish");
	bench->reader = open_reader(bench->scratch.path);
}

static void fill_lmdb(struct bench *bench)
{
	char user[48];
	MDB_txn *txn;

	must(mdb_env_create(&bench->env) == 0, "mdb_env_create");
	must(mdb_env_set_mapsize(bench->env, 1 << 30) == 0, "mdb mapsize");
	must(mdb_env_open(bench->env, bench->scratch.dir, MDB_NOSYNC, 0600) ==
		 0,
	     "mdb_env_open");
	must(mdb_txn_begin(bench->env, NULL, 0, &txn) == 0, "mdb_txn_begin");
	must(mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &bench->dbi) == 0,
	     "mdb_dbi_open");
	for (uint32_t i = 0; i < MAPPINGS; i++) {
		uint32_t ipv4 = ipv4_of(i);
		MDB_val key = {sizeof(ipv4), &ipv4};
		MDB_val value = {48, user};

		user_of(i, user);
		must(mdb_put(txn, bench->dbi, &key, &value, 0) == 0, "mdb_put");
	}
	must(mdb_txn_commit(txn) == 0, "mdb_txn_commit");
	must(mdb_txn_begin(bench->env, NULL, MDB_RDONLY, &bench->txn) == 0,
	     "mdb_txn_begin");
}

static void fill_plain(struct bench *bench)
{
	uint64_t count = 1 << 21;

	bench->mask = count - 1;
	bench->plain = aligned_alloc(64, count * sizeof(*bench->plain));
	must(bench->plain != NULL, "aligned_alloc");
	memset(bench->plain, 0, count * sizeof(*bench->plain));
	for (uint32_t i = 0; i < MAPPINGS; i++) {
		uint64_t lo = uidrecv_address_from_ipv4(ipv4_of(i)).lo;
		uint64_t at = plain_home(bench, lo);

		while (bench->plain[at].lo != 0)
			at = (at + 1) & bench->mask;
		bench->plain[at].lo = lo;
		user_of(i, bench->plain[at].user);
	}
}

static char look_in_table(struct bench *bench, uint32_t ipv4, uint64_t now_us)
{
	struct uidrecv_mapping mapping;
	struct uidrecv_query query = {.address =
					  uidrecv_address_from_ipv4(ipv4)};

	if (uidrecv_reader_lookup(bench->reader, &query, now_us, &mapping) != 1)
		return 0;
	bench->found++;
	return mapping.user[0];
}

static char look_in_lmdb(struct bench *bench, uint32_t ipv4)
{
	MDB_val key = {sizeof(ipv4), &ipv4};
	MDB_val value;
	char user[48];

	if (mdb_get(bench->txn, bench->dbi, &key, &value) != 0)
		return 0;
	memcpy(user, value.mv_data, sizeof(user));
	bench->found++;
	return user[0];
}

static char look_in_plain(struct bench *bench, uint32_t ipv4)
{
	uint64_t lo = uidrecv_address_from_ipv4(ipv4).lo;
	uint64_t at = plain_home(bench, lo);
	char user[48];

	while (bench->plain[at].lo != lo)
		at = (at + 1) & bench->mask;
	memcpy(user, bench->plain[at].user, sizeof(user));
	bench->found++;
	return user[0];
}

static void run_bulk(struct bench *bench, uint64_t now_us)
{
	static struct uidrecv_mapping mappings[GROUP];
	struct uidrecv_query queries[GROUP];
	int results[GROUP];

	memset(queries, 0, sizeof(queries));
	for (uint32_t i = 0; i < LOOKUPS; i += GROUP) {
		for (uint32_t n = 0; n < GROUP; n++)
			queries[n].address =
			    uidrecv_address_from_ipv4(bench->addresses[i + n]);
		bench->found += (uint64_t)uidrecv_reader_lookup_bulk(
		    bench->reader, queries, GROUP, now_us, mappings, results);
	}
}

/* Every user begins with C, which the processor does not know. */
static void run(struct bench *bench, int kind, int way)
{
	uint64_t now_us = uidrecv_now_us();
	uint32_t next = 0;

	if (way == BULK) {
		run_bulk(bench, now_us);
		return;
	}
	for (uint32_t i = 0; i < LOOKUPS; i++) {
		uint32_t ipv4 = bench->addresses[i + next];
		char first = 0;

		if (kind == READER)
			first = look_in_table(bench, ipv4, now_us);
		else if (kind == LMDB)
			first = look_in_lmdb(bench, ipv4);
		else
			first = look_in_plain(bench, ipv4);
		if (way == DEPENDENT)
			next = (uint32_t)(first - 'C');
	}
}

static double measure(struct bench *bench, int kind, int way)
{
	struct timespec start, end;

	bench->found = 0;
	clock_gettime(CLOCK_MONOTONIC, &start);
	run(bench, kind, way);
	clock_gettime(CLOCK_MONOTONIC, &end);
	must(bench->found == LOOKUPS, "a lookup");
	return ((double)(end.tv_sec - start.tv_sec) * 1e9 +
		(double)(end.tv_nsec - start.tv_nsec)) /
	       LOOKUPS;
}

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static void print(double ns[KINDS][WAYS][RUNS])
{
	static const char *const ways[] = {"dependent", "independent", "bulk"};

	printf("ns per lookup     reader    lmdb  private  lmdb/reader  "
	       "reader/private\n");
	for (int way = 0; way < WAYS; way++) {
		double median[KINDS];

		for (int kind = 0; kind < KINDS; kind++) {
			/* Only the reader has a bulk form. */
			int as =
			    way == BULK && kind != READER ? INDEPENDENT : way;

			qsort(ns[kind][as], RUNS, sizeof(double), compare);
			median[kind] = ns[kind][as][RUNS / 2];
		}
		printf("%-15s %8.1f %7.1f %8.1f %12.1f %15.2f\n", ways[way],
		       median[READER], median[LMDB], median[HASH],
		       median[LMDB] / median[READER],
		       median[READER] / median[HASH]);
	}
}

int main(void)
{
	static double ns[KINDS][WAYS][RUNS];
	struct bench bench = {.found = 0};
	uint64_t seed = 1;

	fill_table(&bench);
	fill_lmdb(&bench);
	fill_plain(&bench);
	bench.addresses = calloc(LOOKUPS + 256, sizeof(*bench.addresses));
	must(bench.addresses != NULL, "calloc");
	for (uint32_t i = 0; i < LOOKUPS + 256; i++)
		bench.addresses[i] =
		    ipv4_of((uint32_t)(next_random(&seed) % MAPPINGS));
	/* Interleaved, so that what disturbs one disturbs all. */
	for (int i = 0; i < RUNS; i++) {
		for (int way = 0; way < WAYS; way++) {
			for (int kind = 0; kind < KINDS; kind++) {
				if (way == BULK && kind != READER)
					continue;
				ns[kind][way][i] = measure(&bench, kind, way);
			}
		}
	}
	print(ns);
	mdb_txn_abort(bench.txn);
	mdb_env_close(bench.env);
	uidrecv_reader_close(bench.reader);
	ur_table_close(bench.table);
	scratch_done(&bench.scratch);
	free(bench.plain);
	free(bench.addresses);
	return 0;
}
