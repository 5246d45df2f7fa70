/* SPDX-License-Identifier: BSD-2-Clause */
/* Our reader of a table that is filled and then not written. */
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "peer.h"
#include "table.h"

#define GROUP 16

static struct ur_table *table;
static _Thread_local struct uidrecv_reader *reader;
static _Thread_local uint64_t now_us;

static void fill(const struct peer_site *site)
{
	char path[256], user[BENCH_USER_SIZE + 1];
	struct ur_table_options options = {
	    .path = path,
	    .group = (gid_t)-1,
	    .change_min = 1,
	    .entries_hint = site->count,
	};

	snprintf(path, sizeof(path), "%s/table", site->dir);
	bench_must(ur_table_create(&table, &options) == 0, "ur_table_create()");
	bench_must(ur_table_add_agent(table, 1, "dc1", 3) == 0,
		   "ur_table_add_agent()");
	for (uint32_t i = 0; i < site->count; i++) {
		struct ur_table_answer answer = {
		    .address = uidrecv_address_from_ipv4(bench_ipv4(i)),
		    .deadline_us = UINT64_C(1) << 50,
		    .agent = 1,
		    .lifetime_s = 3600,
		    .source = UIDRECV_SOURCE_DIRECTORY,
		    .user_size = (uint8_t)bench_user(i, user),
		    .user = user,
		};

		bench_must(ur_table_put(table, &answer, 1) == 0,
			   "ur_table_put()");
	}
	bench_must(ur_table_publish(table) == 0, "ur_table_publish()");
}

static void open_reader(const struct peer_site *site)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/table", site->dir);
	bench_must(uidrecv_reader_open(&reader, path, NULL) == 0,
		   "uidrecv_reader_open()");
	now_us = uidrecv_now_us();
}

static inline bool look(uint32_t ipv4, struct uidrecv_mapping *mapping)
{
	struct uidrecv_query query = {.address =
					  uidrecv_address_from_ipv4(ipv4)};

	return uidrecv_reader_lookup(reader, &query, now_us, mapping) == 1;
}

static inline size_t bulk(const uint32_t *ipv4, size_t count,
			  struct uidrecv_mapping *mappings, int *results)
{
	struct uidrecv_query queries[GROUP];
	int found;

	for (size_t i = 0; i < count; i++)
		queries[i] = (struct uidrecv_query){
		    .address = uidrecv_address_from_ipv4(ipv4[i])};
	found = uidrecv_reader_lookup_bulk(reader, queries, count, now_us,
					   mappings, results);
	return found > 0 ? (size_t)found : 0;
}

/* The table is ours, or of a receiver that beats it itself. */
static void beat(void)
{
	if (table != NULL)
		ur_table_beat(table);
}

static size_t run(enum peer_way way, const uint32_t *ipv4, size_t count)
{
	beat();
	now_us = uidrecv_now_us();
	return peer_run(way, look, bulk, GROUP, ipv4, count);
}

/* The reader is told 0, and so reads the clock in each lookup. */
static size_t run_now(enum peer_way way, const uint32_t *ipv4, size_t count)
{
	beat();
	now_us = 0;
	return peer_run(way, look, bulk, GROUP, ipv4, count);
}

static void close_reader(void)
{
	uidrecv_reader_close(reader);
	reader = NULL;
}

static void clear(void)
{
	ur_table_close(table);
	table = NULL;
}

const struct peer peer_reader = {
    .name = "reader",
    .group = GROUP,
    .slowness = 1,
    .fill = fill,
    .open = open_reader,
    .look = look,
    .bulk = bulk,
    .run = run,
    .close = close_reader,
    .clear = clear,
};

/* The same reader, if peer_reader is open. */
const struct peer peer_reader_now = {
    .name = "reader",
    .group = GROUP,
    .slowness = 1,
    .look = look,
    .bulk = bulk,
    .run = run_now,
};
