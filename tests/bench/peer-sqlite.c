/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SQLite: a prepared SELECT of the row with the address as its number, inside
 * one transaction, from a file that is mapped.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "peer.h"

#define GROUP 16

static sqlite3 *database;
static sqlite3_stmt *select_user;

static void execute(const char *sql)
{
	bench_must(sqlite3_exec(database, sql, NULL, NULL, NULL) == SQLITE_OK,
		   sql);
}

static void open_database(const struct peer_site *site, int flags)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/sqlite", site->dir);
	bench_must(sqlite3_open_v2(path, &database, flags | SQLITE_OPEN_NOMUTEX,
				   NULL) == SQLITE_OK,
		   "sqlite3_open_v2()");
}

static sqlite3_stmt *prepare(const char *sql)
{
	sqlite3_stmt *statement;

	bench_must(sqlite3_prepare_v3(database, sql, -1,
				      SQLITE_PREPARE_PERSISTENT, &statement,
				      NULL) == SQLITE_OK,
		   sql);
	return statement;
}

static void fill(const struct peer_site *site)
{
	char user[BENCH_USER_SIZE + 1];
	sqlite3_stmt *insert;

	open_database(site, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
	execute("PRAGMA journal_mode = off");
	execute("PRAGMA synchronous = off");
	execute("CREATE TABLE users (ipv4 INTEGER PRIMARY KEY, user TEXT)");
	execute("BEGIN");
	insert = prepare("INSERT INTO users VALUES (?, ?)");
	for (uint32_t i = 0; i < site->count; i++) {
		int size = (int)bench_user(i, user);

		sqlite3_bind_int64(insert, 1, bench_ipv4(i));
		sqlite3_bind_text(insert, 2, user, size, SQLITE_STATIC);
		bench_must(sqlite3_step(insert) == SQLITE_DONE, "INSERT");
		sqlite3_reset(insert);
	}
	sqlite3_finalize(insert);
	execute("COMMIT");
	sqlite3_close(database);
}

static void open_sqlite(const struct peer_site *site)
{
	open_database(site, SQLITE_OPEN_READONLY);
	execute("PRAGMA mmap_size = 2147418112");
	execute("BEGIN");
	select_user = prepare("SELECT user FROM users WHERE ipv4 = ?");
}

static inline bool look(uint32_t ipv4, struct uidrecv_mapping *mapping)
{
	bool is_known;

	sqlite3_bind_int64(select_user, 1, ipv4);
	is_known = sqlite3_step(select_user) == SQLITE_ROW;
	if (is_known) {
		const void *user = sqlite3_column_text(select_user, 0);
		size_t size = (size_t)sqlite3_column_bytes(select_user, 0);

		memcpy(mapping->user, user, size);
		mapping->user_size = (uint8_t)size;
	}
	sqlite3_reset(select_user);
	return is_known;
}

static inline size_t bulk(const uint32_t *ipv4, size_t count,
			  struct uidrecv_mapping *mappings, int *results)
{
	return peer_bulk(look, ipv4, count, mappings, results);
}

static size_t run(enum peer_way way, const uint32_t *ipv4, size_t count)
{
	return peer_run(way, look, bulk, GROUP, ipv4, count);
}

static void close_sqlite(void)
{
	sqlite3_finalize(select_user);
	sqlite3_close(database);
}

static void clear(void)
{
}

const struct peer peer_sqlite = {
    .name = "sqlite",
    .group = GROUP,
    .slowness = 8,
    .fill = fill,
    .open = open_sqlite,
    .look = look,
    .bulk = bulk,
    .run = run,
    .close = close_sqlite,
    .clear = clear,
};
