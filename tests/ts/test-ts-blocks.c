/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A receiver that dials an agent, and what lookups say of the agent's blocks:
 * at their edges, at each address, and when they are given again.
 */
#include "stage.h"

TestSuite(ts_blocks, .init = setup, .fini = done);

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

/* Who connects may speak for a system like who is dialled. */
Test(ts_blocks, T09_agent_that_connects)
{
	terminal_close(&terminal);
	terminal.listener = NULL;
	snprintf(live.rights, sizeof(live.rights),
		 NAME " 10.0.0.0/8 allow=multi-user\n");
	live_start(&live);
	terminal.agent = live_agent(&live, NAME, NULL);
	terminal_set_system(&terminal);
	terminal_map(&terminal, "alice", 20000);
	terminal_await(&terminal);
	expect_asked(&live, "10.0.0.2", 20499, "alice");
	expect_asked(&live, "10.0.0.1", NO_PORT, "no port");
	cr_expect_eq(live_stats(&live).accepted, 1);
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
