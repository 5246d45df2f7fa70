/* SPDX-License-Identifier: BSD-2-Clause */
/* Multi-user addresses in the table, and the blocks of their ports. */
#include "tables.h"

TestSuite(ports, .init = setup, .fini = teardown, .timeout = 280);

#define HOST 0x0a000001
#define ALIAS 0x0a000002

static uint64_t get_change(struct uidrecv_reader *reader)
{
	struct uidrecv_reader_status status;

	cr_assert_eq(uidrecv_reader_get_status(reader, 0, &status), 0);
	return status.change;
}

static void check_port(struct uidrecv_reader *reader, uint32_t ipv4, int port,
		       const char *text)
{
	cr_assert_str_eq(look_port(reader, ipv4, port).text, text, "port %d",
			 port);
}

/* A host with an alias, where alice has 20000-20199, bob 20400-20599. */
static void fill(struct ur_table *table)
{
	cr_assert_eq(put_system(table, HOST, 20000, 2000, 200), 0);
	cr_assert_eq(put_system(table, ALIAS, 20000, 2000, 200), 0);
	cr_assert_eq(put_block(table, 20000, "alice"), 0);
	cr_assert_eq(put_block(table, 20400, "bob"), 0);
}

static void check_filled(struct uidrecv_reader *reader)
{
	for (uint32_t ipv4 = HOST; ipv4 <= ALIAS; ipv4++) {
		check_port(reader, ipv4, -1, "no-port");
		check_port(reader, ipv4, 0, "unknown-port");
		check_port(reader, ipv4, 19999, "unknown-port");
		check_port(reader, ipv4, 20000, "alice 20000+200");
		check_port(reader, ipv4, 20199, "alice 20000+200");
		check_port(reader, ipv4, 20200, "unknown-port");
		check_port(reader, ipv4, 20599, "bob 20400+200");
		check_port(reader, ipv4, 21999, "unknown-port");
		check_port(reader, ipv4, 22000, "unknown-port");
		check_port(reader, ipv4, 65535, "unknown-port");
	}
}

Test(ports, a_port_tells_who_it_is)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);

	fill(table);
	check_filled(reader);
	check_port(reader, HOST + 7, 20000, "nobody");
	cr_assert_eq(put_block(table, 20000, NULL), 0);
	check_port(reader, HOST, 20000, "unknown-port");
	check_port(reader, ALIAS, 20400, "bob 20400+200");
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(ports, all_of_an_answer_is_there)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct uidrecv_query query = ask(ALIAS, 20001);
	struct uidrecv_mapping mapping;

	fill(table);
	memset(&mapping, 0xaa, sizeof(mapping));
	cr_assert_eq(uidrecv_reader_lookup(reader, &query, 0, &mapping), 1);
	cr_assert_eq(mapping.address.hi, query.address.hi);
	cr_assert_eq(mapping.address.lo, query.address.lo);
	cr_assert_eq(mapping.change, 1003);
	cr_assert_eq(mapping.source, UIDRECV_SOURCE_TERMINAL);
	cr_assert_eq(mapping.user_size, 5);
	cr_assert_str_eq(mapping.agent, "vpn-gate");
	cr_assert_eq(mapping.ports.start, 20000);
	cr_assert_eq(mapping.ports.count, 200);
	for (int i = 0; i < 2; i++) {
		query = ask(ALIAS, i == 0 ? 20200 : -1);
		memset(&mapping, 0xaa, sizeof(mapping));
		cr_assert_eq(uidrecv_reader_lookup(reader, &query, 0, &mapping),
			     1);
		cr_assert_eq(mapping.answer, i == 0
						 ? UIDRECV_ANSWER_UNKNOWN_PORT
						 : UIDRECV_ANSWER_NO_PORT);
		cr_assert_eq(mapping.address.lo, query.address.lo);
		cr_assert_eq(mapping.change, 1002);
		cr_assert_eq(mapping.expires_in_ms, UINT64_MAX);
		cr_assert_eq(mapping.source, 0);
		cr_assert_eq(mapping.user_size, 0);
		cr_assert_str_eq(mapping.user, "");
		cr_assert_eq(mapping.agent_size, 8);
		cr_assert_str_eq(mapping.agent, "vpn-gate");
		cr_assert_eq(mapping.ports.count, 0);
	}
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(ports, a_port_makes_no_difference_where_one_user_is)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct uidrecv_query query = ask(HOST, 20000);
	struct uidrecv_mapping mapping;

	cr_assert_eq(put(table, HOST, "carol"), 0);
	cr_assert_eq(put_block(table, 20000, "alice"), 0);
	memset(&mapping, 0xaa, sizeof(mapping));
	cr_assert_eq(uidrecv_reader_lookup(reader, &query, 0, &mapping), 1);
	cr_assert_str_eq(say(1, &mapping).text, "carol");
	cr_assert_eq(mapping.ports.start, 0);
	cr_assert_eq(mapping.ports.count, 0);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(ports, a_block_has_no_address_of_its_own)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct uidrecv_query query = {.address = ur_block_key(2, 20000)};
	struct uidrecv_mapping mapping;
	int result;

	fill(table);
	/* As often as it takes for the reader to know all lines. */
	check_filled(reader);
	for (int i = 0; i < 2; i++) {
		query.has_port = i;
		cr_assert_eq(uidrecv_reader_lookup(reader, &query, 0, &mapping),
			     0);
		cr_assert_eq(uidrecv_reader_lookup_bulk(reader, &query, 1, 0,
							&mapping, &result),
			     0);
		cr_assert_eq(result, 0);
	}
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(ports, the_change_number_moves_with_a_difference_alone)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	uint64_t change;

	fill(table);
	change = get_change(reader);
	fill(table);
	cr_assert_eq(get_change(reader), change);
	cr_assert_eq(put_system(table, HOST, 20001, 1999, 200), 0);
	cr_assert_eq(get_change(reader), ++change);
	cr_assert_eq(put_system(table, HOST, 20001, 1998, 200), 0);
	cr_assert_eq(get_change(reader), ++change);
	cr_assert_eq(put_system(table, HOST, 20001, 1998, 199), 0);
	cr_assert_eq(get_change(reader), ++change);
	cr_assert_eq(put_system(table, HOST, 0, 0, 0), 0);
	cr_assert_eq(get_change(reader), ++change);
	check_port(reader, HOST, 20001, "nobody");
	check_port(reader, HOST, -1, "nobody");
	cr_assert_eq(put_system(table, HOST, 0, 0, 0), 0);
	cr_assert_eq(get_change(reader), change);
	cr_assert_eq(put_system(table, HOST, 20001, 1998, 199), 0);
	cr_assert_eq(get_change(reader), ++change);
	cr_assert_eq(put(table, HOST, "carol"), 0);
	cr_assert_eq(get_change(reader), ++change);
	check_port(reader, HOST, 20001, "carol");
	cr_assert_eq(put_system(table, HOST, 20001, 1998, 199), 0);
	cr_assert_eq(get_change(reader), ++change);
	check_port(reader, HOST, -1, "no-port");
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(ports, another_agents_system_is_another)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct ur_table_answer answer = {
	    .address = uidrecv_address_from_ipv4(HOST),
	    .agent = 1,
	    .system = {1, 200, {20000, 2000}},
	};
	uint64_t change;

	fill(table);
	change = get_change(reader);
	cr_assert_eq(ur_table_put(table, &answer, 1), 0);
	cr_assert_eq(get_change(reader), change + 1);
	check_port(reader, HOST, 20000, "unknown-port");
	check_port(reader, ALIAS, 20000, "alice 20000+200");
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(ports, what_is_no_system_is_refused)
{
	static const struct {
		struct ur_table_system system;
		uint32_t agent;
	} bad[] = {
	    {{1, 200, {20000, 2000}}, 2},     {{2, 200, {20000, 2000}}, 1},
	    {{3, 200, {20000, 2000}}, 3},     {{2, 201, {20000, 200}}, 2},
	    {{2, 1, {20000, 0}}, 2},	      {{2, 1, {65535, 2}}, 2},
	    {{2, 200, {0, 65537}}, 2},	      {{2, 200, {1, UINT32_MAX}}, 2},
	    {{2, UINT32_MAX, {0, 65536}}, 2},
	};
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct ur_table_answer answer = {.address = ur_block_key(2, 20000),
					 .agent = 2,
					 .system = {2, 200, {20000, 2000}}};

	fill(table);
	cr_assert_eq(ur_table_put(table, &answer, 1), -EINVAL);
	answer.address = uidrecv_address_from_ipv4(HOST);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		answer.system = bad[i].system;
		answer.agent = bad[i].agent;
		cr_assert_eq(ur_table_put(table, &answer, 1), -EINVAL, "%zu",
			     i);
	}
	check_filled(reader);
	cr_assert_eq(put_system(table, HOST, 0, 65536, 65536), 0);
	cr_assert_eq(put_block(table, 0, "carol"), 0);
	check_port(reader, HOST, 65535, "carol 0+65536");
	cr_assert_eq(put_system(table, HOST, 65535, 1, 1), 0);
	check_port(reader, HOST, 65535, "unknown-port");
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(ports, drops_and_refreshes_leave_a_system_alone)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct uidrecv_mapping mapping;

	fill(table);
	ur_table_refresh(table, 2, 1, UINT64_C(1000000000));
	check_filled(reader);
	ur_table_drop(table, 2, UINT32_MAX);
	for (uint32_t ipv4 = HOST; ipv4 <= ALIAS; ipv4++) {
		check_port(reader, ipv4, -1, "no-port");
		check_port(reader, ipv4, 20000, "unknown-port");
		cr_assert_eq(look(reader, ipv4, &mapping), 1);
		cr_assert_eq(mapping.expires_in_ms, UINT64_MAX);
	}
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(ports, growth_carries_systems_and_blocks)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct uidrecv_reader_status status;
	struct uidrecv_mapping mapping;
	uint64_t change;

	fill(table);
	cr_assert_eq(look(reader, HOST, &mapping), 1);
	change = mapping.change;
	for (uint32_t i = 0; i < 3000; i++) {
		cr_assert_eq(put(table, i, "someone-with-a-rather-long-name"),
			     0);
		if (i % 500 == 0)
			check_filled(reader);
	}
	cr_assert_eq(uidrecv_reader_get_status(reader, 0, &status), 0);
	cr_assert_geq(status.moves, 2);
	cr_assert_eq(look(reader, HOST, &mapping), 1);
	cr_assert_eq(mapping.change, change);
	cr_assert_str_eq(mapping.agent, "vpn-gate");
	/* The writer finds their line again. */
	change = get_change(reader);
	fill(table);
	cr_assert_eq(get_change(reader), change);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(ports, bulk_finds_what_single_lookups_find)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	static struct uidrecv_mapping mappings[90];
	struct uidrecv_query queries[90];
	int results[90], expected = 0;

	fill(table);
	cr_assert_eq(put(table, HOST + 2, "carol"), 0);
	for (int i = 0; i < 90; i++) {
		queries[i] = ask(HOST + (uint32_t)i % 4,
				 i % 5 == 0 ? -1 : 19900 + 10 * i);
		expected += i % 4 != 3;
	}
	cr_assert_eq(uidrecv_reader_lookup_bulk(reader, queries, 90, 0,
						mappings, results),
		     expected);
	for (int i = 0; i < 90; i++)
		check_port(reader, HOST + (uint32_t)i % 4,
			   queries[i].has_port ? queries[i].port : -1,
			   say(results[i], &mappings[i]).text);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

/* Counts what an iteration says of an address. */
static unsigned int count(struct uidrecv_reader *reader, uint32_t ipv4,
			  const char *text)
{
	struct uidrecv_cursor cursor = {0, 0};
	struct uidrecv_mapping mapping;
	unsigned int found = 0;
	int r;

	while ((r = uidrecv_reader_next(reader, &cursor, 0, &mapping)) == 1)
		found +=
		    mapping.address.hi == 0 &&
		    (uint32_t)mapping.address.lo == ipv4 &&
		    (text == NULL || strcmp(say(r, &mapping).text, text) == 0);
	cr_assert_eq(r, 0);
	return found;
}

Test(ports, iteration_has_each_address_with_its_blocks_once)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct uidrecv_cursor cursor = {0, 0};
	struct uidrecv_mapping mapping;
	unsigned int all = 0;

	fill(table);
	cr_assert_eq(put_block(table, 20600, "gone"), 0);
	cr_assert_eq(put_block(table, 20600, NULL), 0);
	cr_assert_eq(put_block(table, 21800, "last"), 0);
	/* No block of this system. */
	cr_assert_eq(put_block(table, 20100, "misaligned"), 0);
	cr_assert_eq(put_block(table, 22000, "outside"), 0);
	cr_assert_eq(put(table, HOST + 2, "carol"), 0);
	for (uint32_t ipv4 = HOST; ipv4 <= ALIAS; ipv4++) {
		cr_assert_eq(count(reader, ipv4, "no-port"), 1);
		cr_assert_eq(count(reader, ipv4, "alice 20000+200"), 1);
		cr_assert_eq(count(reader, ipv4, "bob 20400+200"), 1);
		cr_assert_eq(count(reader, ipv4, "last 21800+200"), 1);
		cr_assert_eq(count(reader, ipv4, NULL), 4);
	}
	cr_assert_eq(count(reader, HOST + 2, "carol"), 1);
	while (uidrecv_reader_next(reader, &cursor, 0, &mapping) == 1)
		all++;
	cr_assert_eq(all, 9);
	cr_assert_eq(uidrecv_reader_next(reader, &cursor, 0, &mapping), 0);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(ports, iteration_goes_to_the_last_port)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);

	cr_assert_eq(put_system(table, HOST, 0, 65536, 32768), 0);
	cr_assert_eq(put_block(table, 0, "first"), 0);
	cr_assert_eq(put_block(table, 32768, "last"), 0);
	cr_assert_eq(count(reader, HOST, "first 0+32768"), 1);
	cr_assert_eq(count(reader, HOST, "last 32768+32768"), 1);
	cr_assert_eq(count(reader, HOST, NULL), 3);
	cr_assert_eq(put_system(table, HOST, 65535, 1, 1), 0);
	cr_assert_eq(count(reader, HOST, NULL), 1);
	cr_assert_eq(put_block(table, 65535, "one"), 0);
	cr_assert_eq(count(reader, HOST, "one 65535+1"), 1);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

/* Cursors are the caller's, so they may be of anything. */
Test(ports, a_cursor_may_point_anywhere)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct uidrecv_cursor cursor = {0, 0}, wild;
	struct uidrecv_mapping mapping;
	uint64_t seed = 1;
	int r;

	fill(table);
	cr_assert_eq(put(table, HOST + 2, "carol"), 0);
	cr_assert_eq(uidrecv_reader_next(reader, &cursor, 0, &mapping), 1);
	for (int i = 0; i < 20000; i++) {
		wild = cursor;
		wild.position = next_random(&seed) >> (i % 64);
		do
			r = uidrecv_reader_next(reader, &wild, 0, &mapping);
		while (r == 1);
		cr_assert_eq(r, 0);
	}
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

/* What is listed while a system ends, or gets another range, ends. */
Test(ports, iteration_survives_changes_between_its_steps)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct uidrecv_cursor cursor = {0, 0};
	struct uidrecv_mapping mapping;

	cr_assert_eq(put_system(table, HOST, 20000, 2000, 200), 0);
	cr_assert_eq(put_block(table, 20000, "alice"), 0);
	cr_assert_eq(put_block(table, 20600, "bob"), 0);
	cr_assert_eq(uidrecv_reader_next(reader, &cursor, 0, &mapping), 1);
	cr_assert_str_eq(say(1, &mapping).text, "no-port");
	cr_assert_eq(uidrecv_reader_next(reader, &cursor, 0, &mapping), 1);
	cr_assert_str_eq(say(1, &mapping).text, "alice 20000+200");
	cr_assert_eq(put_system(table, HOST, 20100, 1000, 500), 0);
	cr_assert_eq(uidrecv_reader_next(reader, &cursor, 0, &mapping), 1);
	cr_assert_str_eq(say(1, &mapping).text, "bob 20600+500");
	cr_assert_eq(uidrecv_reader_next(reader, &cursor, 0, &mapping), 0);
	cursor = (struct uidrecv_cursor){0, 0};
	cr_assert_eq(uidrecv_reader_next(reader, &cursor, 0, &mapping), 1);
	cr_assert_eq(put(table, HOST, "carol"), 0);
	cr_assert_eq(uidrecv_reader_next(reader, &cursor, 0, &mapping), 0);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}
