/* SPDX-License-Identifier: BSD-2-Clause */
/* TS CONFIG, and records with ports, in rounds. */
#include <signal.h>
#include <sys/resource.h>

#include "rounds.h"
#include "store-private.h"

#define ANY_PORT (-1) /* asks without one */

/* Who answers there: a user, "" for nobody, or what a multi-user one says. */
static void check(struct fixture *f, const char *address, int port,
		  const char *expected)
{
	struct uidrecv_query query = {.has_port = port >= 0,
				      .port = (uint16_t)port};
	struct uidrecv_mapping mapping = {.user = ""};
	struct uidrecv_reader *reader;
	int found;

	cr_assert_eq(uidrecv_address_parse(address, &query.address), 0);
	cr_assert_eq(uidrecv_reader_open(&reader, f->path, NULL), 0);
	found = uidrecv_reader_lookup(reader, &query, 0, &mapping);
	uidrecv_reader_close(reader);
	cr_assert_geq(found, 0);
	if (found && mapping.answer == UIDRECV_ANSWER_NO_PORT)
		strcpy(mapping.user, "no port");
	else if (found && mapping.answer == UIDRECV_ANSWER_UNKNOWN_PORT)
		strcpy(mapping.user, "unknown port");
	cr_expect_str_eq(mapping.user, expected, "%s:%d", address, port);
}

static struct uidrecv_system make_system(const char *address, const char *alias)
{
	struct uidrecv_system system = {.ports = {20000, 2000},
					.reserved = {{20150, 1}},
					.reserved_count = 1,
					.block_size = 100};

	cr_assert_eq(uidrecv_address_parse(address, &system.address), 0);
	if (!alias)
		return system;
	cr_assert_eq(uidrecv_address_parse(alias, &system.aliases[0]), 0);
	system.aliases_count = 1;
	return system;
}

static void submit_block(struct fixture *f, int peer, uint64_t serial,
			 uint16_t op, const char *address, uint16_t start,
			 uint32_t count, const char *user)
{
	struct uidrecv_record record = live_record(op, address, user);

	record.ports = (struct uidrecv_ports){start, count};
	submit_record(f, peer, serial, &record);
}

static void map_block(struct fixture *f, int peer, uint64_t serial,
		      const char *address, uint16_t start, const char *user)
{
	submit_block(f, peer, serial, UIDRECV_OP_MAP, address, start, 100,
		     user);
}

static void check_all(struct fixture *f, bool in_one)
{
	struct uidrecv_system system = make_system("10.0.0.1", "10.0.0.2");

	submit(f, 1, 1, "10.0.0.1", "whole");
	submit(f, 1, 2, "10.0.0.3", "other");
	cr_assert(in_one || run(f) == 0);
	submit_system(f, 0, 1, &system);
	map_block(f, 0, 2, "10.0.0.1", 20200, "alice");
	map_block(f, 0, 3, "10.0.0.2", 20300, "bob");
	cr_assert(in_one || run(f) == 0);
	submit(f, 0, 4, "10.0.0.1", "late");
	cr_assert_eq(run(f), 0);
	for (int i = 0; i < 2; i++) {
		const char *address = i ? "10.0.0.2" : "10.0.0.1";

		check(f, address, ANY_PORT, "no port");
		check(f, address, 20199, "unknown port");
		check(f, address, 20200, "alice");
		check(f, address, 20299, "alice");
		check(f, address, 20300, "bob");
		check(f, address, 20400, "unknown port");
		check(f, address, 0, "unknown port");
		check(f, address, 65535, "unknown port");
	}
	check(f, "10.0.0.3", ANY_PORT, "other");
	check(f, "10.0.0.3", 20200, "other");
	cr_expect_eq(f->completions, 6);
	cr_expect_eq(f->round.total, 6);
	cr_expect_eq(f->round.total_rejected, 0);
	cr_expect_eq(durable(f, 0), 4);
	/* Other blocks: those that were end with them. */
	system.block_size = 200;
	submit_system(f, 0, 5, &system);
	submit_block(f, 0, 6, UIDRECV_OP_MAP, "10.0.0.1", 20400, 200, "carol");
	cr_assert_eq(run(f), 0);
	check(f, "10.0.0.1", 20200, "unknown port");
	check(f, "10.0.0.2", 20599, "carol");
	check(f, "10.0.0.1", ANY_PORT, "no port");
	/* Another host: the former is for one user again. */
	system = make_system("10.0.0.4", NULL);
	submit_system(f, 0, 7, &system);
	cr_assert_eq(run(f), 0);
	check(f, "10.0.0.1", ANY_PORT, "late");
	check(f, "10.0.0.2", ANY_PORT, "");
	check(f, "10.0.0.4", ANY_PORT, "no port");
	check(f, "10.0.0.4", 20400, "unknown port");
}

Test(round_systems, they_and_their_blocks_are_published)
{
	struct fixture *f = start(ROUND_AGENTS);

	check_all(f, false);
	end(f);
	f = start(ROUND_AGENTS);
	check_all(f, true);
	end(f);
}

Test(round_systems, all_operations_are_about_the_block)
{
	struct fixture *f = start(ROUND_AGENTS);
	struct uidrecv_system system = make_system("10.0.0.1", "10.0.0.2");

	submit_system(f, 0, 1, &system);
	for (uint16_t i = 0; i < 3; i++)
		map_block(f, 0, 2u + i, "10.0.0.1", (uint16_t)(20200 + 100 * i),
			  "alice");
	submit(f, 0, 5, "10.0.0.1", "whole");
	submit_block(f, 0, 6, UIDRECV_OP_WITHDRAW, "10.0.0.2", 20200, 100, "");
	submit_block(f, 0, 7, UIDRECV_OP_LOGOUT, "10.0.0.1", 20300, 100,
		     "alice");
	submit_block(f, 0, 8, UIDRECV_OP_REFRESH, "10.0.0.2", 20400, 100,
		     "alice");
	cr_assert_eq(run(f), 0);
	cr_expect_eq(f->round.total_rejected, 0);
	check(f, "10.0.0.1", 20200, "unknown port");
	check(f, "10.0.0.1", 20300, "unknown port");
	check(f, "10.0.0.1", 20400, "alice");
	submit_block(f, 0, 9, UIDRECV_OP_REFRESH, "10.0.0.2", 20500, 100, "");
	cr_assert_eq(run(f), 0);
	cr_expect_eq(f->refused[8].code, UIDRECV_REJECT_NOT_FOUND);
	system = make_system("10.0.0.9", NULL);
	submit_system(f, 0, 10, &system);
	cr_assert_eq(run(f), 0);
	check(f, "10.0.0.1", ANY_PORT, "whole");
	end(f);
}

/* The code is told, kept for a replay, and nothing has changed. */
static void check_refused(struct fixture *f, int peer, uint64_t serial,
			  uint16_t code)
{
	struct ur_refusal refusals[UR_REFUSALS_MAX];
	uint64_t rejected = f->round.total_rejected;
	size_t count = 0;

	cr_assert_eq(run(f), 0);
	cr_expect_eq(f->refusals[f->completions - 1], 1);
	cr_expect_eq(f->refused[f->completions - 1].index, 0);
	cr_expect_eq(f->refused[f->completions - 1].code, code,
		     "%u instead of %u", f->refused[f->completions - 1].code,
		     code);
	cr_expect_eq(f->round.total_rejected, rejected + 1);
	cr_expect_eq(durable(f, peer), serial);
	cr_assert_eq(ur_store_get_rejects(f->store, f->peers[peer].id, serial,
					  refusals, &count),
		     0);
	cr_assert_eq(count, 1);
	cr_expect_eq(refusals[0].index, 0);
	cr_expect_eq(refusals[0].code, code);
}

Test(round_systems, T02_a_system_is_refused_by_its_code)
{
	struct fixture *f = start(ROUND_AGENTS);
	static const struct {
		int peer;
		const char *address, *alias;
		uint32_t count, block_size;
		uint16_t code;
	} cases[] = {
	    {2, "10.0.0.5", NULL, 2000, 100, 14},
	    {1, "224.0.0.1", NULL, 2000, 100, 3},
	    {1, "10.0.0.5", "0.0.0.0", 2000, 100, 3},
	    {1, "192.0.2.1", NULL, 2000, 100, 4},
	    {1, "10.0.0.5", "192.0.2.1", 2000, 100, 4},
	    {1, "10.0.0.5", NULL, 99, 100, 13},
	    {1, "10.0.0.1", NULL, 2000, 100, 16},
	    {1, "10.0.0.5", "10.0.0.2", 2000, 100, 16},
	};
	struct uidrecv_system system = make_system("10.0.0.1", "10.0.0.2");
	uint64_t serials[ROUND_AGENTS] = {0};

	submit(f, 1, ++serials[1], "10.0.0.5", "five");
	submit_system(f, 0, ++serials[0], &system);
	cr_assert_eq(run(f), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int peer = cases[i].peer;

		system = make_system(cases[i].address, cases[i].alias);
		system.ports.count = cases[i].count;
		system.block_size = cases[i].block_size;
		submit_system(f, peer, ++serials[peer], &system);
		check_refused(f, peer, serials[peer], cases[i].code);
		cr_expect_null(ur_store_get_system(f->store, f->peers[1].id));
		cr_expect_null(ur_store_get_system(f->store, f->peers[2].id));
		check(f, "10.0.0.5", ANY_PORT, "five");
		check(f, "10.0.0.1", ANY_PORT, "no port");
		check(f, "10.0.0.2", ANY_PORT, "no port");
	}
	/* Nor does it lose what it has. */
	system = make_system("10.0.0.6", NULL);
	submit_system(f, 1, ++serials[1], &system);
	cr_assert_eq(run(f), 0);
	system = make_system("10.0.0.7", "10.0.0.2");
	submit_system(f, 1, ++serials[1], &system);
	check_refused(f, 1, serials[1], UIDRECV_REJECT_ADDRESS_TAKEN);
	check(f, "10.0.0.6", ANY_PORT, "no port");
	check(f, "10.0.0.7", ANY_PORT, "");
	end(f);
}

Test(round_systems, T02_a_record_is_refused_by_its_code)
{
	struct fixture *f = start(ROUND_AGENTS);
	static const struct {
		int peer;
		const char *address;
		uint16_t start;
		uint32_t count;
		uint16_t code;
	} cases[] = {
	    {2, "10.0.0.1", 20200, 100, 14},
	    {1, "10.0.0.1", 20200, 100, 15},
	    {0, "10.0.0.3", 20200, 100, 15},
	    {0, "192.0.2.1", 20200, 100, 4},
	    {0, "10.0.0.2", 20201, 100, 13},
	    {0, "10.0.0.1", 20200, 99, 13},
	    {0, "10.0.0.1", 20200, 200, 13},
	    {0, "10.0.0.1", 19900, 100, 13},
	    {0, "10.0.0.1", 22000, 100, 13},
	    {0, "10.0.0.1", 20100, 100, 13}, /* has a reserved one */
	    {0, "10.0.0.1", 65500, 100, 13}, /* past the last */
	};
	static const uint16_t ops[] = {UIDRECV_OP_MAP, UIDRECV_OP_REFRESH,
				       UIDRECV_OP_LOGOUT, UIDRECV_OP_WITHDRAW};
	struct uidrecv_system system = make_system("10.0.0.1", "10.0.0.2");
	uint64_t serials[ROUND_AGENTS] = {0};

	submit_system(f, 0, ++serials[0], &system);
	map_block(f, 0, ++serials[0], "10.0.0.1", 20200, "alice");
	cr_assert_eq(run(f), 0);
	for (size_t i = 0; i < 4 * sizeof(cases) / sizeof(*cases); i++) {
		int peer = cases[i / 4].peer;

		submit_block(f, peer, ++serials[peer], ops[i % 4],
			     cases[i / 4].address, cases[i / 4].start,
			     cases[i / 4].count, i % 4 < 3 ? "mallory" : "");
		check_refused(f, peer, serials[peer], cases[i / 4].code);
		check(f, "10.0.0.1", 20200, "alice");
		check(f, "10.0.0.1", 20150, "unknown port");
		check(f, "10.0.0.1", ANY_PORT, "no port");
	}
	end(f);
}

Test(round_systems, S06_failed_commit_is_tried_again)
{
	struct fixture *f = start(ROUND_AGENTS);
	struct uidrecv_system system = make_system("10.0.0.1", NULL);
	struct rlimit former, limit;

	submit(f, 1, 1, "10.0.0.1", "whole");
	cr_assert_eq(run(f), 0);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &former);
	limit = former;
	limit.rlim_cur = 4096;
	setrlimit(RLIMIT_FSIZE, &limit);
	submit_system(f, 0, 1, &system);
	map_block(f, 0, 2, "10.0.0.1", 20200, "alice");
	submit_system(f, 2, 1, &system);
	for (int i = 0; i < 3; i++) {
		cr_expect_lt(run(f), 0);
		check(f, "10.0.0.1", ANY_PORT, "whole");
		check(f, "10.0.0.1", 20200, "whole");
	}
	setrlimit(RLIMIT_FSIZE, &former);
	cr_expect_eq(f->completions, 1);
	cr_assert_eq(run(f), 0);
	cr_expect_eq(f->completions, 4);
	cr_expect_eq(f->refused[3].code, UIDRECV_REJECT_MULTI_USER_NOT_ALLOWED);
	cr_expect_eq(f->round.total, 3);
	cr_expect_eq(f->round.total_rejected, 1);
	check(f, "10.0.0.1", ANY_PORT, "no port");
	check(f, "10.0.0.1", 20200, "alice");
	end(f);
}

/* The table does not know the agent: the former user is not answered. */
Test(round_systems, T07_unpublished_systems_leave_nobody)
{
	struct fixture *f = start(1);
	struct uidrecv_system system = make_system("10.0.0.1", NULL);

	submit(f, 0, 1, "10.0.0.1", "former");
	cr_assert_eq(run(f), 0);
	submit_system(f, 1, 1, &system);
	cr_expect_lt(run(f), 0);
	cr_expect(f->round.publish_failed);
	check(f, "10.0.0.1", ANY_PORT, "");
	end(f);
}

/* A block is renewed like an address, and is one under each of the system's. */
Test(round_systems, a_block_is_lent_its_life)
{
	struct fixture *f = start(2);
	struct uidrecv_system system = make_system("10.0.0.1", "10.0.0.2");

	ur_round_lend(&f->round);
	submit_system(f, 0, 1, &system);
	map_block(f, 0, 2, "10.0.0.1", 20200, "alice");
	cr_assert_eq(run(f), 0);
	usleep(2000);
	submit_block(f, 0, 3, UIDRECV_OP_REFRESH, "10.0.0.2", 20200, 100, NULL);
	cr_assert_eq(run(f), 0);
	cr_expect_eq(f->store->puts, 0);
	check(f, "10.0.0.1", 20200, "alice");
	/* The same in the round that cuts the host otherwise: there is none. */
	system.block_size = 50;
	submit_system(f, 0, 4, &system);
	submit_block(f, 0, 5, UIDRECV_OP_REFRESH, "10.0.0.2", 20200, 50, NULL);
	cr_assert_eq(run(f), 0);
	cr_expect_eq(f->refusals[4], 1);
	cr_expect_eq(f->refused[4].code, UIDRECV_REJECT_NOT_FOUND);
	check(f, "10.0.0.1", 20200, "unknown port");
	end(f);
}
