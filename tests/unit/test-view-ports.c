/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Readers of two slots, the sentinel of a multi-user address and a block, while
 * the writer acts in between; and every port of many tables.
 */
#include "interleave.h"

TestSuite(view_ports, .init = setup, .fini = teardown, .timeout = 280);

#define HOST 1
#define ALIAS 2
#define TEXTS_MAX 4

/* What a reader may find; the first and the last it must find at some step. */
static struct {
	const char *text[TEXTS_MAX];
	unsigned int found[TEXTS_MAX];
} allowed;

static void check_is_allowed(const struct lookup *lookup, unsigned int steps)
{
	struct said said = say(lookup->r, &lookup->mapping);

	for (size_t i = 0; i < TEXTS_MAX && allowed.text[i] != NULL; i++) {
		if (strcmp(said.text, allowed.text[i]) == 0) {
			allowed.found[i]++;
			return;
		}
	}
	cr_assert_fail("%s at step %u", said.text, steps);
}

static void check_all_came(void)
{
	size_t last = 0;

	while (last + 1 < TEXTS_MAX && allowed.text[last + 1] != NULL)
		last++;
	cr_assert_gt(allowed.found[0], 0);
	cr_assert_gt(allowed.found[last], 0);
}

static void allow(const char *first, const char *second, const char *third)
{
	memset(&allowed, 0, sizeof(allowed));
	allowed.text[0] = first;
	allowed.text[1] = second;
	allowed.text[2] = third;
}

static void prepare_user(struct ur_table *table)
{
	cr_assert_eq(put(table, HOST, "carol"), 0);
}

static void prepare_system(struct ur_table *table)
{
	cr_assert_eq(put_system(table, HOST, 20000, 2000, 200), 0);
	cr_assert_eq(put_system(table, ALIAS, 20000, 2000, 200), 0);
	cr_assert_eq(put_block(table, 20000, "alice"), 0);
}

/* Bob gets alice's block at once. */
static void move_block(struct ur_table *table)
{
	cr_assert_eq(put_block(table, 20000, "bob"), 0);
}

Test(view_ports, a_block_is_of_one_user_or_the_other)
{
	allow("alice 20000+200", "bob 20000+200", NULL);
	interleave(ask(HOST, 20001), prepare_system, move_block,
		   check_is_allowed);
	check_all_came();
}

Test(view_ports, a_block_that_is_being_moved_is_of_the_new_user)
{
	allow("bob 20000+200", NULL, NULL);
	interleave_midway(ask(HOST, 20001), ur_block_key(2, 20000),
			  prepare_system, move_block, check_is_allowed);
	check_all_came();
}

static void become_system(struct ur_table *table)
{
	cr_assert_eq(put_system(table, HOST, 20000, 2000, 200), 0);
	cr_assert_eq(put_block(table, 20000, "alice"), 0);
}

Test(view_ports, a_user_becomes_a_system)
{
	allow("carol", "unknown-port", "alice 20000+200");
	interleave(ask(HOST, 20001), prepare_user, become_system,
		   check_is_allowed);
	check_all_came();
	allow("unknown-port", "alice 20000+200", NULL);
	interleave_midway(ask(HOST, 20001), ask(HOST, -1).address, prepare_user,
			  become_system, check_is_allowed);
	check_all_came();
}

/*
 * The host is no alias any more, and what was alice's goes to bob, who never
 * had a port of it: the sentinel must be looked at again.
 */
static void become_user_then_move_block(struct ur_table *table)
{
	cr_assert_eq(put(table, HOST, "carol"), 0);
	move_block(table);
}

Test(view_ports, a_system_becomes_a_user)
{
	allow("alice 20000+200", "carol", NULL);
	interleave(ask(HOST, 20001), prepare_system,
		   become_user_then_move_block, check_is_allowed);
	check_all_came();
}

static void become_nobody_then_move_block(struct ur_table *table)
{
	cr_assert_eq(put_system(table, HOST, 0, 0, 0), 0);
	move_block(table);
}

/* Taking back does not move word 0. */
Test(view_ports, a_system_becomes_nobody)
{
	allow("alice 20000+200", "nobody", NULL);
	interleave(ask(HOST, 20001), prepare_system,
		   become_nobody_then_move_block, check_is_allowed);
	check_all_came();
}

/* 20050 and 20150 are of one block before, and of two afterwards. */
static void cut_otherwise(struct ur_table *table)
{
	cr_assert_eq(put_block(table, 20000, NULL), 0);
	cr_assert_eq(put_system(table, HOST, 20000, 2000, 100), 0);
	cr_assert_eq(put_system(table, ALIAS, 20000, 2000, 100), 0);
	cr_assert_eq(put_block(table, 20000, "bob"), 0);
}

Test(view_ports, blocks_of_another_size_are_never_mixed)
{
	allow("alice 20000+200", "unknown-port", "bob 20000+100");
	interleave(ask(HOST, 20050), prepare_system, cut_otherwise,
		   check_is_allowed);
	check_all_came();
	allow("alice 20000+200", "unknown-port", NULL);
	interleave(ask(ALIAS, 20150), prepare_system, cut_otherwise,
		   check_is_allowed);
	check_all_came();
	allow("unknown-port", NULL, NULL);
	interleave_midway(ask(HOST, 20150), ask(HOST, -1).address,
			  prepare_system, cut_otherwise, check_is_allowed);
	check_all_came();
}

Test(view_ports, iteration_finds_the_blocks_of_the_one_or_the_other)
{
	is_iteration = true;
	allow("alice 20000+200", "bob 20000+100", NULL);
	interleave(ask(HOST, -1), prepare_system, cut_otherwise,
		   check_is_allowed);
	check_all_came();
}

/* Away and back, with another user in each block: old or new. */
static void come_back(struct ur_table *table)
{
	cr_assert_eq(put_block(table, 20000, NULL), 0);
	cr_assert_eq(put_system(table, HOST, 0, 0, 0), 0);
	cr_assert_eq(put_system(table, HOST, 20000, 2000, 200), 0);
	move_block(table);
}

Test(view_ports, a_system_goes_and_comes_back)
{
	allow("alice 20000+200", "unknown-port", "bob 20000+200");
	interleave(ask(HOST, 20001), prepare_system, come_back,
		   check_is_allowed);
	check_all_came();
}

#define TABLES 100
#define PORTS 65536

/* A random system, and what it must answer for each of its ports. */
struct sweep {
	uint64_t seed;
	uint32_t start, count, block_size;
	/* The first port of the block of a user, + 1; 0: nobody's. */
	uint32_t oracle[PORTS];
};

static uint32_t draw(struct sweep *sweep, uint64_t below)
{
	return (uint32_t)(next_random(&sweep->seed) % below);
}

/* Small and large alike. */
static uint32_t draw_size(struct sweep *sweep, uint32_t max)
{
	uint32_t size = draw(sweep, UINT64_C(1) << draw(sweep, 18));

	return 1 + size % max;
}

static void name_of(uint32_t start, char user[64])
{
	snprintf(user, 64,
		 start % 3 ? "user-%u" : "someone-with-a-long-name-%u", start);
}

/* One of four blocks lives, one has run out, one was taken back. */
static void draw_block(struct sweep *sweep, struct ur_table *table,
		       uint32_t start)
{
	uint32_t kind = draw(sweep, 4);
	struct ur_table_answer answer = {
	    .address = ur_block_key(2, (uint16_t)start),
	    .deadline_us = kind == 1 ? INTERLEAVE_NOW_US - 1000 : UINT64_MAX,
	    .agent = 2,
	    .epoch = draw(sweep, 3),
	    .lifetime_s = 3600,
	};
	char user[64];

	if (kind == 3)
		return;
	name_of(start, user);
	answer.user = user;
	answer.user_size = (uint8_t)strlen(user);
	cr_assert_eq(ur_table_put(table, &answer, 1), 0);
	if (kind == 2)
		cr_assert_eq(put_block(table, (uint16_t)start, NULL), 0);
	for (uint32_t i = 0; kind == 0 && i < sweep->block_size; i++)
		sweep->oracle[start + i] = start + 1;
}

static void draw_system(struct sweep *sweep, struct ur_table *table)
{
	uint32_t end;

	memset(sweep->oracle, 0, sizeof(sweep->oracle));
	sweep->start = draw(sweep, PORTS);
	sweep->count = draw_size(sweep, PORTS - sweep->start);
	if (draw(sweep, 8) == 0) {
		sweep->start = 0;
		sweep->count = PORTS;
	}
	sweep->block_size = draw_size(sweep, sweep->count);
	for (uint32_t ipv4 = HOST; ipv4 <= ALIAS; ipv4++)
		cr_assert_eq(put_system(table, ipv4, (uint16_t)sweep->start,
					sweep->count, sweep->block_size),
			     0);
	end = sweep->start + sweep->count;
	for (uint32_t start = sweep->start; start + sweep->block_size <= end;
	     start += sweep->block_size)
		draw_block(sweep, table, start);
}

static bool is_right(const struct sweep *sweep, uint32_t start, int r,
		     const struct uidrecv_mapping *mapping)
{
	char user[64];

	if (r != 1)
		return false;
	if (start == 0)
		return mapping->answer == UIDRECV_ANSWER_UNKNOWN_PORT &&
		       mapping->ports.count == 0;
	name_of(start - 1, user);
	return mapping->answer == UIDRECV_ANSWER_USER &&
	       mapping->ports.start == start - 1 &&
	       mapping->ports.count == sweep->block_size &&
	       strcmp(mapping->user, user) == 0;
}

/* What is right is not told: a word to the test runner takes far longer. */
static void check_ports(const struct sweep *sweep,
			struct uidrecv_reader *reader, uint32_t ipv4)
{
	struct uidrecv_mapping mapping;
	struct uidrecv_query query;
	int r;

	for (int port = -1; port < PORTS; port++) {
		query = ask(ipv4, port);
		r = uidrecv_reader_lookup(reader, &query, INTERLEAVE_NOW_US,
					  &mapping);
		if (port < 0
			? strcmp(say(r, &mapping).text, "no-port") != 0
			: !is_right(sweep, sweep->oracle[port], r, &mapping))
			cr_assert_fail("port %d: %s", port,
				       say(r, &mapping).text);
	}
}

/* Each living block once for each address, in the order of its ports. */
static void check_list(const struct sweep *sweep, struct uidrecv_reader *reader)
{
	struct uidrecv_cursor cursor = {0, 0};
	uint32_t next[ALIAS + 1] = {0}, living = 0, ipv4;
	struct uidrecv_mapping mapping;
	int r;

	for (uint32_t port = 0; port < PORTS; port++)
		living += sweep->oracle[port] == port + 1;
	living = 2 * (living + 1);
	while ((r = uidrecv_reader_next(reader, &cursor, INTERLEAVE_NOW_US,
					&mapping)) == 1) {
		ipv4 = (uint32_t)mapping.address.lo;
		living--;
		if (mapping.answer == UIDRECV_ANSWER_NO_PORT)
			continue;
		if (mapping.ports.start < next[ipv4] ||
		    !is_right(sweep, sweep->oracle[mapping.ports.start], r,
			      &mapping))
			cr_assert_fail("%s", say(r, &mapping).text);
		next[ipv4] = mapping.ports.start + mapping.ports.count;
	}
	cr_assert_eq(r, 0);
	cr_assert_eq(living, 0);
}

Test(view_ports, T10_every_port_of_random_systems_agrees_with_an_array)
{
	static struct sweep sweep;

	for (uint64_t seed = 1; seed <= TABLES; seed++) {
		struct ur_table *table = make_published(scratch.path);
		struct uidrecv_reader *reader = open_reader(scratch.path);

		sweep.seed = seed;
		/* Each replaces another one, of which nothing is left. */
		draw_system(&sweep, table);
		for (uint32_t port = 0; port < PORTS; port++)
			if (sweep.oracle[port] == port + 1)
				cr_assert_eq(
				    put_block(table, (uint16_t)port, NULL), 0);
		draw_system(&sweep, table);
		check_ports(&sweep, reader, HOST + seed % 2);
		check_list(&sweep, reader);
		uidrecv_reader_close(reader);
		ur_table_close(table);
	}
}
