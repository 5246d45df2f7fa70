/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A receiver that dials an agent, and what lookups say of the agent's blocks:
 * at their edges, at each address, when they are renewed, dropped, given again,
 * and when the agent is gone.
 */
#include <string.h>

#include "clock.h"
#include "dials.h"
#include "terminal.h"

#define NAME "ts.example"
#define SECOND UINT64_C(1000000)

static struct live live;
static struct terminal terminal, other;

static void setup(void)
{
	live_init(&live, NAME, "ts2.example", NULL);
	terminal_open(&terminal, &live, NAME);
	terminal_open(&other, &live, "ts2.example");
}

static void done(void)
{
	if (terminal.agent)
		terminal_close(&terminal);
	terminal_close(&other);
	live_done(&live);
}

TestSuite(ts_blocks, .init = setup, .fini = done);

static void allow(bool both)
{
	*live.rights = '\0';
	if (both)
		terminal_allow(&terminal, NAME, "allow=multi-user,drops",
			       live.rights, sizeof(live.rights));
	terminal_allow(&other, "ts2.example", "allow=multi-user",
		       live.rights + strlen(live.rights),
		       sizeof(live.rights) - strlen(live.rights));
}

static void start(void)
{
	allow(true);
	live_start(&live);
}

/* --- where a block begins and ends --- */

static void count_ports(const char *address)
{
	struct uidrecv_mapping mapping;
	uint32_t alices = 0, bobs = 0, nobodies = 0;

	for (int port = 0; port < 65536; port++) {
		const char *user =
		    terminal_asked(&live, address, port, &mapping);

		if (!strcmp(user, "alice")) {
			alices += port >= 20000 && port < 20500;
			cr_assert_eq(mapping.ports.start, 20000);
			cr_assert_eq(mapping.ports.count, 500);
		} else if (!strcmp(user, "bob")) {
			bobs += port >= 20500 && port < 21000;
			cr_assert_eq(mapping.ports.start, 20500);
			cr_assert_eq(mapping.ports.count, 500);
		} else {
			cr_assert_str_eq(user, "unknown port");
			cr_assert_eq(mapping.ports.count, 0);
			nobodies++;
		}
	}
	cr_expect_eq(alices, 500);
	cr_expect_eq(bobs, 500);
	cr_expect_eq(nobodies, 65536 - 1000);
}

Test(ts_blocks, T03_each_port_has_one_user)
{
	start();
	terminal_set_system(&terminal);
	terminal_map(&terminal, "alice", 20000);
	terminal_map(&terminal, "bob", 20500);
	terminal_await(&terminal);
	count_ports("10.0.0.1");
	count_ports("10.0.0.2");
	expect_asked(&live, "10.0.0.1", NO_PORT, "no port");
}

/* Blocks up to the last port there is, and of one port. */
Test(ts_blocks, T03_last_port)
{
	start();
	terminal.system.ports = (struct uidrecv_ports){65036, 500};
	terminal_set_system(&terminal);
	terminal_map(&terminal, "alice", 65036);
	terminal_await(&terminal);
	expect_asked(&live, "10.0.0.1", 65535, "alice");
	expect_asked(&live, "10.0.0.1", 65036, "alice");
	expect_asked(&live, "10.0.0.1", 65035, "unknown port");
	expect_asked(&live, "10.0.0.1", 0, "unknown port");
	terminal.system.block_size = 1;
	terminal_set_system(&terminal);
	terminal_map(&terminal, "bob", 65535);
	terminal_await(&terminal);
	expect_asked(&live, "10.0.0.1", 65535, "bob");
	expect_asked(&live, "10.0.0.1", 65534, "unknown port");
	expect_asked(&live, "10.0.0.1", 65036, "unknown port");
}

/* --- at which addresses --- */

Test(ts_blocks, T09_each_alias_of_either_family)
{
	struct uidrecv_record record;
	uint64_t ticket;

	start();
	cr_assert_eq(
	    uidrecv_address_parse("2001:db8::1", &terminal.system.aliases[1]),
	    0);
	terminal.system.aliases_count = 2;
	terminal_set_system(&terminal);
	/* The block is one, whichever of them it is said by. */
	record = terminal_record(&terminal, UIDRECV_OP_MAP, "alice", 20000);
	record.address = terminal.system.aliases[1];
	terminal_queue(&terminal, &record);
	terminal_await(&terminal);
	expect_asked(&live, "10.0.0.1", 20000, "alice");
	expect_asked(&live, "10.0.0.2", 20000, "alice");
	expect_asked(&live, "2001:db8::1", 20000, "alice");
	expect_asked(&live, "2001:db8::1", 20500, "unknown port");
	expect_asked(&live, "2001:db8::1", NO_PORT, "no port");
	expect_asked(&live, "2001:db8::2", 20000, "");
	cr_expect_eq(live_stats(&live).claims, 1);
	/* The same blocks without two of the addresses. */
	terminal.system.aliases_count = 0;
	terminal_set_system(&terminal);
	ticket = terminal_queue(&terminal, &record);
	terminal_await(&terminal);
	expect_asked(&live, "10.0.0.1", 20000, "alice");
	expect_asked(&live, "10.0.0.2", 20000, "");
	expect_asked(&live, "2001:db8::1", NO_PORT, "");
	cr_expect_eq(terminal.agent->codes[ticket],
		     UIDRECV_REJECT_NOT_MULTI_USER);
}

/* An address has one agent; the other one has none of its addresses then. */
Test(ts_blocks, T09_two_agents_want_one_address)
{
	uint64_t system, block;

	start();
	terminal_set_system(&terminal);
	terminal_map(&terminal, "alice", 20000);
	terminal_await(&terminal);
	cr_assert_eq(uidrecv_address_parse("10.0.0.9", &other.system.address),
		     0);
	system = terminal_set_system(&other);
	block = terminal_map(&other, "bob", 20000);
	terminal_await(&other);
	cr_expect_eq(other.agent->codes[system], UIDRECV_REJECT_ADDRESS_TAKEN);
	cr_expect_eq(other.agent->codes[block], UIDRECV_REJECT_NOT_MULTI_USER);
	expect_asked(&live, "10.0.0.2", 20000, "alice");
	expect_asked(&live, "10.0.0.9", 20000, "");
	/* The list lacks the first one: it is the other's when it says so. */
	allow(false);
	cr_assert_eq(live_set_agents(&live, live.rights), 0);
	expect_asked(&live, "10.0.0.1", 20000, "");
	expect_asked(&live, "10.0.0.2", NO_PORT, "");
	system = terminal_set_system(&other);
	block = terminal_map(&other, "bob", 20000);
	terminal_await(&other);
	cr_expect_eq(other.agent->codes[system], 0);
	cr_expect_eq(other.agent->codes[block], 0);
	expect_asked(&live, "10.0.0.2", 20000, "bob");
	expect_asked(&live, "10.0.0.9", 20000, "bob");
	expect_asked(&live, "10.0.0.1", NO_PORT, "");
	/* And the first one comes too late. */
	allow(true);
	cr_assert_eq(live_set_agents(&live, live.rights), 0);
	system = terminal_set_system(&terminal);
	live_await(&live, terminal.agent->codes[system]);
	cr_expect_eq(terminal.agent->codes[system],
		     UIDRECV_REJECT_ADDRESS_TAKEN);
	expect_asked(&live, "10.0.0.2", 20000, "bob");
	expect_asked(&live, "10.0.0.1", NO_PORT, "");
}

/* --- for how long --- */

static uint64_t map_for(const char *user, uint32_t start_port,
			uint32_t lifetime_s)
{
	struct uidrecv_record record =
	    terminal_record(&terminal, UIDRECV_OP_MAP, user, start_port);

	record.lifetime_s = lifetime_s;
	return terminal_queue(&terminal, &record);
}

/* What is answered at a time that is still to come. */
static struct uidrecv_mapping ask_later(int port, uint64_t now_us)
{
	struct uidrecv_query query = {.address =
					  uidrecv_address_from_ipv4(0x0a000001),
				      .has_port = port >= 0,
				      .port = (uint16_t)port};
	struct uidrecv_mapping mapping;

	cr_assert_eq(
	    uidrecv_reader_lookup(live.reader, &query, now_us, &mapping), 1);
	return mapping;
}

static bool is_there(const char *user, int port)
{
	return !strcmp(terminal_asked(&live, "10.0.0.1", port, NULL), user);
}

Test(ts_blocks, T06_agent_is_gone_and_blocks_live_to_their_end)
{
	uint64_t said_us, acked_us, known_us = 0, unknown_us;

	start();
	terminal_set_system(&terminal);
	terminal_await(&terminal);
	said_us = ur_clock_boot_us();
	map_for("alice", 20000, 600);
	map_for("bob", 20500, 1);
	terminal_await(&terminal);
	acked_us = ur_clock_boot_us();
	terminal_close(&terminal);
	terminal.agent = NULL;
	for (;;) {
		uint64_t now_us = ur_clock_boot_us();

		if (!is_there("bob", 20500))
			break;
		known_us = now_us;
		live_turn(&live);
	}
	unknown_us = ur_clock_boot_us();
	cr_expect_leq(known_us, acked_us + SECOND);
	cr_expect_geq(unknown_us, said_us + SECOND - 1000);
	cr_expect_not(dial_stats(&live, NAME).is_connected);
	/* Others live on, and the address is still multi-user: for ever. */
	live_await(&live, live_stats(&live).claims == 1);
	expect_asked(&live, "10.0.0.1", 20500, "unknown port");
	expect_asked(&live, "10.0.0.2", 20499, "alice");
	cr_expect_eq(ask_later(20000, said_us + 599 * SECOND).answer,
		     UIDRECV_ANSWER_USER);
	cr_expect_eq(ask_later(20000, acked_us + 600 * SECOND).answer,
		     UIDRECV_ANSWER_UNKNOWN_PORT);
	cr_expect_eq(ask_later(NO_PORT, acked_us + (SECOND << 30)).answer,
		     UIDRECV_ANSWER_NO_PORT);
	cr_expect_eq(ask_later(NO_PORT, acked_us).expires_in_ms, UINT64_MAX);
}

static void say_snapshot(uint32_t blocks)
{
	struct uidrecv_agent *agent = terminal.agent->agent;

	cr_assert_eq(uidrecv_agent_snapshot_begin(agent, false), 0);
	for (uint32_t i = 0; i < blocks; i++)
		map_for("alice", 20000 + 500 * i, 600);
	cr_assert_eq(uidrecv_agent_snapshot_end(agent), 0);
	terminal_await(&terminal);
}

static void refresh_all(uint64_t count)
{
	cr_assert_eq(uidrecv_agent_refresh_all(terminal.agent->agent, count),
		     0);
	terminal_await(&terminal);
}

Test(ts_blocks, T06_renewed_by_refresh_all_and_dropped_by_a_snapshot)
{
	struct uidrecv_mapping mapping, former;
	uint64_t now_us;

	start();
	terminal_set_system(&terminal);
	say_snapshot(4);
	expect_asked(&live, "10.0.0.1", 21999, "alice");
	now_us = ur_clock_boot_us();
	former = ask_later(21500, now_us);
	live_turns(&live, 30);
	refresh_all(4);
	mapping = ask_later(21500, now_us);
	cr_expect_gt(mapping.expires_in_ms, former.expires_in_ms + 20);
	cr_expect_eq(mapping.change, former.change);
	cr_expect_eq(live_counters(terminal.agent).resyncs, 0);
	/* The fourth is not said again. */
	former = ask_later(20000, now_us);
	say_snapshot(3);
	expect_asked(&live, "10.0.0.1", 21500, "unknown port");
	expect_asked(&live, "10.0.0.2", 21499, "alice");
	expect_asked(&live, "10.0.0.1", NO_PORT, "no port");
	cr_expect_eq(ask_later(20000, now_us).change, former.change);
	/* Counted with it nothing is renewed. */
	former = ask_later(20000, now_us);
	live_turns(&live, 30);
	refresh_all(4);
	cr_expect_eq(ask_later(20000, now_us).expires_in_ms,
		     former.expires_in_ms);
	live_await(&live, live_counters(terminal.agent).resyncs == 1);
	refresh_all(3);
	cr_expect_gt(ask_later(20000, now_us).expires_in_ms,
		     former.expires_in_ms + 20);
}

/* --- and then another user's --- */

static void say_at(uint16_t op, const char *user, uint64_t event_us)
{
	struct uidrecv_record record =
	    terminal_record(&terminal, op, user, 20000);

	record.has_event_time = true;
	record.event_time_us = event_us;
	terminal_queue(&terminal, &record);
	terminal_await(&terminal);
}

Test(ts_blocks, T05_former_login_does_not_come_back)
{
	uint64_t now_us;

	start();
	now_us = uidrecv_agent_now_us(terminal.agent->agent);
	terminal_set_system(&terminal);
	say_at(UIDRECV_OP_MAP, "alice", now_us - 9 * SECOND);
	expect_asked(&live, "10.0.0.1", 20000, "alice");
	say_at(UIDRECV_OP_LOGOUT, "alice", now_us - 5 * SECOND);
	expect_asked(&live, "10.0.0.1", 20000, "unknown port");
	say_at(UIDRECV_OP_MAP, "alice", now_us - 9 * SECOND);
	expect_asked(&live, "10.0.0.1", 20000, "unknown port");
	say_at(UIDRECV_OP_MAP, "bob", now_us - 4 * SECOND);
	expect_asked(&live, "10.0.0.1", 20000, "bob");
	/* Neither the login nor the logout of whom had it before. */
	say_at(UIDRECV_OP_MAP, "alice", now_us - 9 * SECOND);
	say_at(UIDRECV_OP_MAP, "alice", now_us - 5 * SECOND);
	say_at(UIDRECV_OP_LOGOUT, "alice", now_us - 3 * SECOND);
	expect_asked(&live, "10.0.0.1", 20000, "bob");
	/* What is about the whole address is not about the block. */
	live_say(terminal.agent, UIDRECV_OP_LOGOUT, "10.0.0.1", "bob");
	live_say(terminal.agent, UIDRECV_OP_WITHDRAW, "10.0.0.1", NULL);
	terminal_await(&terminal);
	expect_asked(&live, "10.0.0.1", 20000, "bob");
	say_at(UIDRECV_OP_LOGOUT, "bob", now_us - 2 * SECOND);
	say_at(UIDRECV_OP_MAP, "bob", now_us - 4 * SECOND);
	expect_asked(&live, "10.0.0.1", 20000, "unknown port");
	say_at(UIDRECV_OP_MAP, "alice", now_us - 1 * SECOND);
	expect_asked(&live, "10.0.0.2", 20499, "alice");
	cr_expect_eq(terminal.agent->events[UIDRECV_AGENT_REJECTED], 0);
}
