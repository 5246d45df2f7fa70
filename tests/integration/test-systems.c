/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Multi-user systems at a receiver: what a raw connection states is refused by
 * its codes, told again, and ends with the list of agents.
 */
#include <string.h>

#include "clock.h"
#include "live.h"
#include "wire.h"

#define ANY_PORT (-1) /* asks without one */
#define MAY "allow=multi-user"

static void begin(struct live *live)
{
	live_init(live, "ts.example", "other.example", NULL);
	live_start(live);
	cr_assert_eq(live_set_agents(live, "ts.example 10.0.0.0/8 " MAY
					   "\nother.example 10.0.0.0/8\n"),
		     0);
}

static struct uidrecv_address address_of(const char *text)
{
	struct uidrecv_address address;

	cr_assert_eq(uidrecv_address_parse(text, &address), 0);
	return address;
}

/* Who answers there: a user, "" for nobody, or what a multi-user one says. */
static const char *asked(struct live *live, const char *address, int port)
{
	static struct uidrecv_mapping mapping;
	struct uidrecv_query query = {.address = address_of(address),
				      .has_port = port >= 0,
				      .port = (uint16_t)port};

	if (!live_lookup(live, &query, &mapping))
		return "";
	if (mapping.answer == UIDRECV_ANSWER_NO_PORT)
		return "no port";
	if (mapping.answer == UIDRECV_ANSWER_UNKNOWN_PORT)
		return "unknown port";
	return mapping.user;
}

static void say_system(struct wire *wire, uint64_t serial, const char *address,
		       const char *alias)
{
	struct uidrecv_system system = {.address = address_of(address),
					.ports = {20000, 2000},
					.block_size = 100};
	struct ur_buf buf;

	if (alias)
		system.aliases[system.aliases_count++] = address_of(alias);
	ur_buf_init(&buf, 4096);
	ur_ts_config_encode(&buf, serial, &system);
	ur_update_add_acked(&buf, 0, 0);
	wire_send(wire, &buf);
	ur_buf_done(&buf);
}

struct block {
	const char *address, *user;
	uint16_t start;
	uint32_t count;
};

static void say_blocks(struct wire *wire, uint64_t serial,
		       const struct block *blocks, size_t count)
{
	struct ur_update_writer writer;
	struct uidrecv_record record;
	struct ur_buf buf;

	ur_buf_init(&buf, 65536);
	ur_update_begin(&writer, &buf, serial, ur_clock_wall_us(), true, 0,
			65536);
	for (size_t i = 0; i < count; i++) {
		record = live_record(UIDRECV_OP_MAP, blocks[i].address,
				     blocks[i].user);
		record.ports.start = blocks[i].start;
		record.ports.count = blocks[i].count;
		cr_assert(ur_update_add(&writer, &record));
	}
	ur_update_end(&writer);
	wire_send(wire, &buf);
	ur_buf_done(&buf);
}

/* The ACK of this serial comes, and before it these refusals alone. */
static void hear(struct wire *wire, uint64_t serial,
		 const struct ur_refusal *refusals, size_t count)
{
	struct ur_message message;
	struct ur_reject reject;
	size_t told = 0;

	for (;;) {
		cr_assert(wire_read(wire, &message));
		if (message.type == UR_ACK)
			break;
		cr_assert_eq(message.type, UR_REJECT, "%u", message.type);
		cr_assert_eq(message.serial, serial);
		for (; ur_rejects_next(&message.rejects, &reject); told++) {
			cr_assert_lt(told, count, "index %u code %u",
				     reject.index, reject.code);
			cr_expect_eq(reject.index, refusals[told].index);
			cr_expect_eq(reject.code, refusals[told].code,
				     "index %u code %u", reject.index,
				     reject.code);
		}
	}
	cr_assert_eq(message.serial, serial);
	cr_assert_eq(told, count);
}

static const struct block blocks[] = {
    {"10.0.0.1", "alice", 20000, 100}, {"10.0.0.3", "bob", 20000, 100},
    {"10.0.0.2", "bob", 20050, 100},   {"10.0.0.2", "carol", 21900, 100},
    {"10.0.0.1", "dave", 22000, 100},  {"10.0.0.1", "dave", 65500, 37},
    {"10.0.0.1", "dave", 20100, 0},
};
#define BLOCKS (sizeof(blocks) / sizeof(*blocks))

/* The last is about the whole address: there a count of 0 is not written. */
static void say_all(struct wire *wire)
{
	static const struct ur_refusal before[] = {{0, 15}, {1, 15}, {2, 15},
						   {3, 15}, {4, 15}, {5, 13}};
	static const struct ur_refusal after[] = {
	    {1, 15}, {2, 13}, {4, 13}, {5, 13}};
	static const struct ur_refusal refused[] = {{0, 4}};

	say_blocks(wire, 1, blocks, BLOCKS);
	hear(wire, 1, before, 6);
	say_system(wire, 2, "10.0.0.1", "10.0.0.2");
	hear(wire, 2, NULL, 0);
	say_blocks(wire, 3, blocks, BLOCKS);
	hear(wire, 3, after, 4);
	say_system(wire, 4, "10.0.0.1", "192.0.2.1");
	hear(wire, 4, refused, 1);
}

static void check_all(struct live *live)
{
	cr_expect_str_eq(asked(live, "10.0.0.1", ANY_PORT), "no port");
	cr_expect_str_eq(asked(live, "10.0.0.2", ANY_PORT), "no port");
	cr_expect_str_eq(asked(live, "10.0.0.2", 20099), "alice");
	cr_expect_str_eq(asked(live, "10.0.0.1", 21999), "carol");
	cr_expect_str_eq(asked(live, "10.0.0.1", 20100), "unknown port");
	cr_expect_str_eq(asked(live, "10.0.0.3", 20000), "");
}

/* On a second connection of the session all is said once more. */
Test(systems, T02_refused_by_codes_that_are_told_again)
{
	struct live live;
	struct wire wire;

	begin(&live);
	wire_new(&wire, &live, "ts.example");
	cr_assert_eq(wire_open(&wire, 7), 0);
	say_all(&wire);
	check_all(&live);
	wire_reset(&wire);
	wire_new(&wire, &live, "ts.example");
	cr_assert_eq(wire_open(&wire, 7), 4);
	say_all(&wire);
	check_all(&live);
	cr_expect_eq(live_stats(&live).duplicates, 4);
	cr_expect_eq(live_stats(&live).records_rejected, 11);
	wire_free(&wire);
	live_done(&live);
}

Test(systems, T02_not_without_the_right)
{
	static const struct ur_refusal system[] = {{0, 14}};
	static const struct ur_refusal records[] = {{0, 14}, {1, 14}, {2, 14},
						    {3, 14}, {4, 14}, {5, 13}};
	struct live live;
	struct wire wire;

	begin(&live);
	wire_new(&wire, &live, "other.example");
	wire_open(&wire, 7);
	say_system(&wire, 1, "10.0.0.1", NULL);
	hear(&wire, 1, system, 1);
	cr_expect(live_log_has(&live.log,
			       "other.example: its multi-user system is "
			       "refused: the agent may not"));
	say_blocks(&wire, 2, blocks, BLOCKS);
	hear(&wire, 2, records, 6);
	cr_expect_str_eq(asked(&live, "10.0.0.1", 20000), "dave");
	wire_free(&wire);
	live_done(&live);
}

static struct uidrecv_agent_stats stats_of(struct live *live, const char *name)
{
	struct uidrecv_agent_stats stats = {.size = sizeof(stats)};

	size_t i = 0;

	do
		cr_assert_eq(uidrecv_receiver_get_agent_stats(live->receiver,
							      i++, &stats),
			     1, "no %s", name);
	while (strcmp(stats.name, name) != 0);
	return stats;
}

static void open_with_system(struct live *live, struct wire *wire)
{
	struct ur_hello hello = wire_hello(7);
	struct ur_message message;

	hello.capabilities = UR_CAPABILITY_SNAPSHOT;
	wire_new(wire, live, "ts.example");
	cr_assert(wire_shake(wire));
	cr_assert(wire_read(wire, &message));
	cr_expect_eq(message.hello.capabilities, UR_CAPABILITY_SNAPSHOT |
						     UR_CAPABILITY_REFRESH_ALL |
						     UR_CAPABILITY_PORTS);
	wire_send_hello(wire, &hello);
	cr_assert(wire_read(wire, &message));
	cr_assert_eq(message.type, UR_READY);
	say_system(wire, 1, "10.0.0.1", "10.1.0.1");
	hear(wire, 1, NULL, 0);
	say_blocks(wire, 2, blocks, 1);
	hear(wire, 2, NULL, 0);
	cr_expect(stats_of(live, "ts.example").is_multi_user);
	cr_expect_not(stats_of(live, "other.example").is_multi_user);
	cr_expect_eq(stats_of(live, "ts.example").claims, 1);
}

/* A list by which the system may not be: all of it ends, before it returns. */
static void check_ended(const char *list, bool stays_connected)
{
	struct ur_message message;
	struct live_agent *other;
	struct wire wire;
	struct live live;

	begin(&live);
	other = live_agent(&live, "other.example", NULL);
	live_map(other, "10.0.0.1", "whole");
	live_await(&live, other->acked == 1);
	open_with_system(&live, &wire);
	cr_expect_str_eq(asked(&live, "10.0.0.1", ANY_PORT), "no port");
	cr_assert_eq(live_set_agents(&live, list), 0);
	cr_expect_str_eq(asked(&live, "10.0.0.1", ANY_PORT), "whole");
	cr_expect_str_eq(asked(&live, "10.0.0.1", 20000), "whole");
	cr_expect_str_eq(asked(&live, "10.1.0.1", 20000), "");
	cr_expect_eq(live_stats(&live).claims, 1);
	if (stays_connected) {
		cr_expect_not(stats_of(&live, "ts.example").is_multi_user);
		cr_assert(wire_await(&wire, UR_RESYNC, &message));
		cr_expect_eq(message.bye.code, UIDRECV_RESYNC_GAP);
	} else {
		cr_assert(wire_await(&wire, UR_BYE, &message));
	}
	/* Nor does it come back with its right. */
	cr_assert_eq(live_set_agents(&live, "ts.example 10.0.0.0/8 " MAY
					    "\nother.example 10.0.0.0/8\n"),
		     0);
	cr_expect_str_eq(asked(&live, "10.0.0.1", 20000), "whole");
	wire_free(&wire);
	live_done(&live);
}

Test(systems, they_end_with_the_right)
{
	check_ended("ts.example 10.0.0.0/8\nother.example 10.0.0.0/8\n", true);
}

Test(systems, they_end_with_the_right_to_one_address)
{
	check_ended(
	    "ts.example 10.0.0.0/16 " MAY "\nother.example 10.0.0.0/8\n", true);
}

Test(systems, they_end_with_the_agent)
{
	check_ended("other.example 10.0.0.0/8\n", false);
}

/* A list that allows all as before: nothing is asked of it. */
Test(systems, they_stay_with_another_list_that_allows_them)
{
	struct wire wire;
	struct live live;

	begin(&live);
	open_with_system(&live, &wire);
	cr_assert_eq(live_set_agents(&live,
				     "ts.example 10.0.0.1 10.1.0.1 " MAY
				     " priority=9\nother.example ::/0\n"),
		     0);
	cr_expect_str_eq(asked(&live, "10.0.0.1", 20000), "alice");
	cr_expect_str_eq(asked(&live, "10.1.0.1", ANY_PORT), "no port");
	cr_expect_eq(stats_of(&live, "ts.example").resync_code, 0);
	/* But a user whom it may not name goes from his block. */
	cr_assert_eq(live_set_agents(&live, "ts.example 10.0.0.0/8 " MAY
					    " domains=corp\n"),
		     0);
	cr_expect_str_eq(asked(&live, "10.0.0.1", 20000), "unknown port");
	cr_expect_str_eq(asked(&live, "10.0.0.1", ANY_PORT), "no port");
	wire_free(&wire);
	live_done(&live);
}

Test(systems, blocks_that_were_taken_are_counted)
{
	static const struct block bob = {"10.0.0.1", "bob", 20000, 100};
	struct wire wire;
	struct live live;

	begin(&live);
	open_with_system(&live, &wire);
	cr_expect_eq(stats_of(&live, "ts.example").blocks_taken, 0);
	say_blocks(&wire, 3, &bob, 1);
	hear(&wire, 3, NULL, 0);
	cr_expect_str_eq(asked(&live, "10.1.0.1", 20000), "bob");
	cr_expect_eq(stats_of(&live, "ts.example").blocks_taken, 1);
	cr_expect_eq(stats_of(&live, "other.example").blocks_taken, 0);
	wire_free(&wire);
	live_done(&live);
}

/* The host itself speaks by the same rules. */
Test(systems, T02_records_of_the_host)
{
	struct uidrecv_record records[3] = {
	    live_record(UIDRECV_OP_MAP, "10.0.0.1", "erin"),
	    live_record(UIDRECV_OP_MAP, "10.0.0.1", "erin"),
	    live_record(UIDRECV_OP_MAP, "10.0.0.1", "erin")};
	struct wire wire;
	struct live live;
	uint16_t codes[3];

	records[0].ports = (struct uidrecv_ports){20100, 100};
	records[1].ports = (struct uidrecv_ports){65535, 2};
	records[2].ports = (struct uidrecv_ports){20100, 101};
	begin(&live);
	cr_assert_eq(uidrecv_receiver_submit(live.receiver, "other.example",
					     records, 3, codes),
		     0);
	cr_expect_eq(codes[0], UIDRECV_REJECT_MULTI_USER_NOT_ALLOWED);
	cr_expect_eq(codes[1], UIDRECV_REJECT_PORTS_INVALID);
	cr_assert_eq(uidrecv_receiver_submit(live.receiver, "ts.example",
					     records, 3, codes),
		     0);
	cr_expect_eq(codes[0], UIDRECV_REJECT_NOT_MULTI_USER);
	cr_expect_eq(codes[1], UIDRECV_REJECT_PORTS_INVALID);
	open_with_system(&live, &wire);
	cr_assert_eq(uidrecv_receiver_submit(live.receiver, "ts.example",
					     records, 3, codes),
		     0);
	cr_expect_eq(codes[0], 0);
	cr_expect_eq(codes[1], UIDRECV_REJECT_PORTS_INVALID);
	cr_expect_eq(codes[2], UIDRECV_REJECT_PORTS_INVALID);
	cr_expect_str_eq(asked(&live, "10.1.0.1", 20199), "erin");
	wire_free(&wire);
	live_done(&live);
}
