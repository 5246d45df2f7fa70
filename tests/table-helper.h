/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of the table and of its readers share. */
#ifndef TABLE_HELPER_H
#define TABLE_HELPER_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <uidrecv/reader.h>

#include "block.h"
#include "clock.h"
#include "layout.h"
#include "slot.h"
#include "table.h"

/*
 * A scratch directory with a path for a table in it; in memory if it can be,
 * where tables should be.
 */
struct scratch {
	char dir[64];
	char path[96];
};

static inline void scratch_init(struct scratch *scratch)
{
	strcpy(scratch->dir, "/dev/shm/uidrecv-test-XXXXXX");
	if (mkdtemp(scratch->dir) == NULL) {
		strcpy(scratch->dir, "/tmp/uidrecv-test-XXXXXX");
		if (mkdtemp(scratch->dir) == NULL)
			abort();
	}
	snprintf(scratch->path, sizeof(scratch->path), "%s/table",
		 scratch->dir);
}

static inline void scratch_done(const struct scratch *scratch)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", scratch->dir);
	if (system(command) != 0)
		abort();
}

/* A table, not yet published, with the agents 1 "dc1" and 2 "vpn-gate". */
static inline struct ur_table *make_table(const char *path, uint64_t change_min,
					  uint64_t entries_hint)
{
	struct ur_table_options options = {
	    .path = path,
	    .group = (gid_t)-1,
	    .change_min = change_min,
	    .entries_hint = entries_hint,
	};
	struct ur_table *table;

	if (ur_table_create(&table, &options) < 0 ||
	    ur_table_add_agent(table, 1, "dc1", 3) < 0 ||
	    ur_table_add_agent(table, 2, "vpn-gate", 8) < 0)
		abort();
	return table;
}

static inline struct ur_table *make_published(const char *path)
{
	struct ur_table *table = make_table(path, 1000, 0);

	if (ur_table_publish(table) < 0)
		abort();
	return table;
}

/* Puts a user with the store time of now; user NULL: nobody. */
static inline int put_until(struct ur_table *table,
			    struct uidrecv_address address, const char *user,
			    uint64_t deadline_us)
{
	struct ur_table_answer answer = {
	    .address = address,
	    .deadline_us = deadline_us,
	    .agent = 1,
	    .source = UIDRECV_SOURCE_DIRECTORY,
	    .user_size = user != NULL ? (uint8_t)strlen(user) : 0,
	    .user = user,
	};

	return ur_table_put(table, &answer, ur_clock_boot_us());
}

static inline int put(struct ur_table *table, uint32_t ipv4, const char *user)
{
	return put_until(table, uidrecv_address_from_ipv4(ipv4), user,
			 UINT64_MAX);
}

/* What an answer of an epoch has; what is 0 is agent 1, "alice", never. */
struct epoch_put {
	uint32_t agent;
	uint32_t epoch;
	uint32_t lifetime_s;
	uint64_t deadline_us;
	uint64_t now_us; /* 0: long before any deadline */
	const char *user;
};

static inline int put_of(struct ur_table *table, uint32_t ipv4,
			 struct epoch_put of)
{
	const char *user = of.user != NULL ? of.user : "alice";
	struct ur_table_answer answer = {
	    .address = uidrecv_address_from_ipv4(ipv4),
	    .deadline_us = of.deadline_us != 0 ? of.deadline_us : UINT64_MAX,
	    .agent = of.agent != 0 ? of.agent : 1,
	    .epoch = of.epoch,
	    .lifetime_s = of.lifetime_s,
	    .source = UIDRECV_SOURCE_DIRECTORY,
	    .user_size = (uint8_t)strlen(user),
	    .user = user,
	};

	return ur_table_put(table, &answer, of.now_us);
}

/* A multi-user address, as of agent 2; block_size 0: it is no more. */
static inline int put_system(struct ur_table *table, uint32_t ipv4,
			     uint16_t start, uint32_t count,
			     uint32_t block_size)
{
	struct ur_table_answer answer = {
	    .address = uidrecv_address_from_ipv4(ipv4),
	    .agent = 2,
	    .system = {2, block_size, {start, count}},
	};

	return ur_table_put(table, &answer, 1);
}

/* A block of a system of agent 2, for ever; user NULL: it is taken back. */
static inline int put_block(struct ur_table *table, uint16_t start,
			    const char *user)
{
	struct ur_table_answer answer = {
	    .address = ur_block_key(2, start),
	    .deadline_us = UINT64_MAX,
	    .agent = 2,
	    .epoch = 1,
	    .source = UIDRECV_SOURCE_TERMINAL,
	    .user_size = user != NULL ? (uint8_t)strlen(user) : 0,
	    .user = user,
	};

	return ur_table_put(table, &answer, 1);
}

/* An answer in a word or three: "alice", "alice 20000+200", "no-port". */
struct said {
	char text[UIDRECV_NAME_MAX + 32];
};

static inline struct said say(int r, const struct uidrecv_mapping *mapping)
{
	struct said said;

	if (r != 1)
		snprintf(said.text, sizeof(said.text), r == 0 ? "nobody" : "%d",
			 r);
	else if (mapping->answer == UIDRECV_ANSWER_NO_PORT)
		strcpy(said.text, "no-port");
	else if (mapping->answer == UIDRECV_ANSWER_UNKNOWN_PORT)
		strcpy(said.text, "unknown-port");
	else if (mapping->ports.count == 0)
		strcpy(said.text, mapping->user);
	else
		snprintf(said.text, sizeof(said.text), "%s %u+%u",
			 mapping->user, mapping->ports.start,
			 mapping->ports.count);
	return said;
}

/* port below 0: a query without a port. */
static inline struct uidrecv_query ask(uint32_t ipv4, int port)
{
	return (struct uidrecv_query){
	    .address = uidrecv_address_from_ipv4(ipv4),
	    .port = (uint16_t)(port < 0 ? 0 : port),
	    .has_port = port >= 0,
	};
}

static inline struct said look_port(struct uidrecv_reader *reader,
				    uint32_t ipv4, int port)
{
	struct uidrecv_query query = ask(ipv4, port);
	struct uidrecv_mapping mapping;
	int r = uidrecv_reader_lookup(reader, &query, 0, &mapping);

	return say(r, &mapping);
}

static inline int look_at(struct uidrecv_reader *reader,
			  struct uidrecv_address address, uint64_t now_us,
			  struct uidrecv_mapping *ret_mapping)
{
	struct uidrecv_query query = {.address = address};

	return uidrecv_reader_lookup(reader, &query, now_us, ret_mapping);
}

static inline int look(struct uidrecv_reader *reader, uint32_t ipv4,
		       struct uidrecv_mapping *ret_mapping)
{
	return look_at(reader, uidrecv_address_from_ipv4(ipv4), 0, ret_mapping);
}

static inline struct uidrecv_reader *open_reader(const char *path)
{
	struct uidrecv_reader *reader;

	if (uidrecv_reader_open(&reader, path, NULL) < 0)
		abort();
	return reader;
}

/* The numbers of a seeded test; the same everywhere. */
static inline uint64_t next_random(uint64_t *seed)
{
	uint64_t x = *seed += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static inline unsigned int count_fds(void)
{
	unsigned int count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

#endif
