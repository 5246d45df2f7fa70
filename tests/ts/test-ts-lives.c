/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A receiver that dials an agent, and how long blocks live: without the agent,
 * beside claims for the whole address, and when they are renewed, dropped or
 * held.
 */
#include "clock.h"
#include "stage.h"

TestSuite(ts_lives, .init = setup, .fini = done);

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

Test(ts_lives, T06_agent_is_gone_and_blocks_live_to_their_end)
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

/* The list says no more where the agent is, and it comes from elsewhere. */
Test(ts_lives, T06_agent_moves_to_another_port)
{
	start();
	terminal_set_system(&terminal);
	map_for("alice", 20000, 600);
	terminal_await(&terminal);
	allow(false);
	strcat(live.rights, NAME " 10.0.0.0/8 allow=multi-user,drops\n");
	cr_assert_eq(live_set_agents(&live, live.rights), 0);
	live_await(&live, !dial_stats(&live, NAME).is_connected);
	cr_expect(is_there("alice", 20000));
	cr_expect(is_there("no port", NO_PORT));
	terminal_close(&terminal);
	terminal_open(&terminal, &live, NAME);
	allow(true);
	cr_assert_eq(live_set_agents(&live, live.rights), 0);
	live_await(&live, dial_stats(&live, NAME).is_connected);
	cr_expect(is_there("alice", 20000));
	/* Another session says the same system. */
	terminal_set_system(&terminal);
	map_for("bob", 20500, 600);
	terminal_await(&terminal);
	cr_expect(is_there("alice", 20000));
	cr_expect(is_there("bob", 20500));
	cr_expect_eq(terminal.agent->events[UIDRECV_AGENT_REJECTED], 0);
	say_snapshot(0);
	cr_expect(is_there("unknown port", 20000));
	cr_expect(is_there("unknown port", 20500));
	cr_expect(is_there("no port", NO_PORT));
}

static void say_whole(struct live_agent *agent, const char *user,
		      uint32_t lifetime_s)
{
	struct uidrecv_record record =
	    live_record(UIDRECV_OP_MAP, "10.0.0.1", user);
	uint64_t ticket;

	record.lifetime_s = lifetime_s;
	cr_assert_eq(uidrecv_agent_queue(agent->agent, &record, &ticket), 0);
	live_await(&live, agent->acked >= ticket);
}

/* Who would take over, and who is collected, changes nothing. */
Test(ts_lives, T07_claims_that_run_out_beneath_a_system)
{
	struct live_agent *first, *second;

	start();
	first = live_agent(&live, "a.example", NULL);
	second = live_agent(&live, "b.example", NULL);
	say_whole(first, "ann", 2);
	say_whole(second, "ben", 3);
	terminal_set_system(&terminal);
	terminal_map(&terminal, "alice", 20000);
	terminal_await(&terminal);
	while (live_stats(&live).claims > 1) {
		cr_assert(is_there("no port", NO_PORT));
		cr_assert(is_there("alice", 20000));
		live_turn(&live);
	}
	say_whole(first, "ann", 1);
	say_whole(second, "ben", 600);
	live_turns(&live, 2500);
	cr_expect(is_there("no port", NO_PORT));
	cr_expect(is_there("alice", 20000));
	/* The one that still lives answers behind it. */
	allow(false);
	strcat(live.rights, "b.example 10.0.0.0/8\n");
	cr_assert_eq(live_set_agents(&live, live.rights), 0);
	cr_expect(is_there("ben", NO_PORT));
}

static void refresh_all(uint64_t count)
{
	cr_assert_eq(uidrecv_agent_refresh_all(terminal.agent->agent, count),
		     0);
	terminal_await(&terminal);
}

Test(ts_lives, T06_renewed_by_refresh_all_and_dropped_by_a_snapshot)
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

/* An agent that has forgotten most of its blocks does not take them along. */
Test(ts_lives, P20_blocks_that_are_held)
{
	terminal_allow(&terminal, NAME, "allow=multi-user", live.rights,
		       sizeof(live.rights));
	live_start(&live);
	terminal_set_system(&terminal);
	say_snapshot(8);
	say_snapshot(1);
	cr_expect_eq(dial_stats(&live, NAME).held_claims, 7);
	cr_expect(is_there("alice", 23999));
	/* Said as it is the system changes nothing, and so does a drop. */
	terminal_set_system(&terminal);
	terminal_await(&terminal);
	cr_expect(is_there("alice", 23999));
	cr_assert_eq(uidrecv_receiver_accept_drops(live.receiver, NAME), 1);
	cr_expect(is_there("unknown port", 23999));
	cr_expect(is_there("alice", 20000));
	/* But no block outlives its cut, held or not. */
	say_snapshot(8);
	say_snapshot(1);
	cr_expect(is_there("alice", 23999));
	terminal.system.block_size = 250;
	terminal_set_system(&terminal);
	terminal_await(&terminal);
	cr_expect(is_there("unknown port", 23999));
	cr_expect(is_there("unknown port", 20000));
	cr_expect_eq(dial_stats(&live, NAME).held_claims, 0);
	cr_expect_eq(live_stats(&live).claims, 0);
}
