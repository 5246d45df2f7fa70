/* SPDX-License-Identifier: BSD-2-Clause */
/* Two connections, or two sessions, of one identity. */
#include <poll.h>
#include <string.h>

#include "live.h"
#include "wire.h"

#define SESSION_A 1001
#define SESSION_B 1002

/* The same session again: the former connection makes room (BYE 104). */
Test(supersede, reconnection_replaces_the_former)
{
	struct live live;
	struct wire former, later;
	struct ur_message message;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	wire_new(&former, &live, "a.example");
	cr_assert_eq(wire_open(&former, SESSION_A), 0);
	wire_update(&former, 1, "10.0.0.1", "alice", 1);
	cr_assert(wire_await(&former, UR_ACK, &message));
	wire_new(&later, &live, "a.example");
	cr_assert_eq(wire_open(&later, SESSION_A), 1);
	cr_assert(wire_await(&former, UR_BYE, &message));
	cr_expect_eq(message.bye.code, UIDRECV_BYE_REPLACED);
	wire_update(&later, 2, "10.0.0.2", "bob", 1);
	cr_assert(wire_await(&later, UR_ACK, &message));
	cr_expect_eq(message.serial, 2);
	cr_expect_eq(live_stats(&live).sessions, 1);
	wire_free(&former);
	live_await(&live, live_stats(&live).connections == 1);
	cr_expect_eq(live_stats(&live).sessions, 1);
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "alice");
	wire_free(&later);
	live_done(&live);
}

/* What the former had submitted is durable before READY says how far. */
Test(supersede, ready_waits_for_what_was_submitted)
{
	struct live live;
	struct wire former, later;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	wire_new(&former, &live, "a.example");
	wire_open(&former, SESSION_A);
	wire_new(&later, &live, "a.example");
	cr_assert(wire_shake(&later));
	live_turns(&live, 20);
	/* Both arrive before the same dispatch. */
	wire_update(&former, 1, "10.0.0.1", "alice", 1);
	cr_assert_eq(wire_open(&later, SESSION_A), 1);
	wire_free(&former);
	wire_free(&later);
	live_done(&live);
}

Test(supersede, I10_another_session_wins_for_good)
{
	struct live live;
	struct wire a, b, again;
	struct ur_hello hello = wire_hello(SESSION_A);
	struct ur_message message;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	wire_new(&a, &live, "a.example");
	wire_open(&a, SESSION_A);
	wire_update(&a, 1, "10.0.0.1", "alice", 1);
	wire_new(&b, &live, "a.example");
	cr_expect_eq(wire_open(&b, SESSION_B), 0);
	cr_assert(wire_await(&a, UR_BYE, &message));
	cr_expect_eq(message.bye.code, UIDRECV_BYE_SUPERSEDED);
	/* The former cannot come back, and does not disturb the new one. */
	wire_new(&again, &live, "a.example");
	cr_assert(wire_shake(&again));
	cr_assert(wire_read(&again, &message));
	wire_send_hello(&again, &hello);
	cr_assert(wire_await(&again, UR_BYE, &message));
	cr_expect_eq(message.bye.code, UIDRECV_BYE_SUPERSEDED);
	wire_update(&b, 1, "10.0.0.2", "bob", 1);
	cr_assert(wire_await(&b, UR_ACK, &message));
	/* A new session is no reason to drop anything. */
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "alice");
	cr_expect_str_eq(live_user(&live, "10.0.0.2"), "bob");
	wire_free(&a);
	wire_free(&again);
	wire_free(&b);
	live_done(&live);
}

/* Also not after a restart of the receiver. */
Test(supersede, I10_is_remembered_by_the_store)
{
	struct live live;
	struct wire wire;
	struct ur_hello hello = wire_hello(SESSION_A);
	struct ur_message message;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	wire_new(&wire, &live, "a.example");
	wire_open(&wire, SESSION_A);
	wire_free(&wire);
	wire_new(&wire, &live, "a.example");
	wire_open(&wire, SESSION_B);
	wire_free(&wire);
	live_stop(&live);
	live_start(&live);
	wire_new(&wire, &live, "a.example");
	cr_assert(wire_shake(&wire));
	cr_assert(wire_read(&wire, &message));
	wire_send_hello(&wire, &hello);
	cr_assert(wire_await(&wire, UR_BYE, &message));
	cr_expect_eq(message.bye.code, UIDRECV_BYE_SUPERSEDED);
	wire_free(&wire);
	live_done(&live);
}

/* Two agents with one certificate: one is refused, and they do not flap. */
Test(supersede, I10_two_agents_do_not_flap)
{
	struct live live;
	struct live_agent *first, *second;
	uint64_t ticket;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	first = live_agent(&live, "a.example", NULL);
	live_await(&live, first->events[UIDRECV_AGENT_CONNECTED]);
	second = live_agent(&live, "a.example", NULL);
	live_await(&live, second->events[UIDRECV_AGENT_CONNECTED]);
	live_await(&live, first->result == UIDRECV_E_REFUSED);
	cr_expect_eq(first->last.code, UIDRECV_BYE_SUPERSEDED);
	cr_expect_eq(first->last.error, UIDRECV_E_BYE);
	live_turns(&live, 1500);
	cr_expect_eq(live_stats(&live).accepted, 2);
	ticket = live_map(second, "10.0.0.1", "alice");
	live_await(&live, second->acked == ticket);
	cr_expect_eq(second->events[UIDRECV_AGENT_LOST], 0);
	live_done(&live);
}

/*
 * A peer that is gone again, with a reset, when its HELLO is looked at, and
 * whose answer goes out with those of a round: it must not become the agent's
 * connection.
 */
Test(supersede, connection_dies_within_its_hello)
{
	struct live live;
	struct wire busy, dead;
	struct ur_hello hello = wire_hello(SESSION_A);
	struct ur_message message;
	struct pollfd answer = {.events = POLLIN};
	int ret;

	live_init(&live, "busy.example", "dead.example", NULL);
	live_start(&live);
	wire_new(&busy, &live, "busy.example");
	wire_open(&busy, SESSION_B);
	for (uint64_t serial = 1; serial <= 20; serial++) {
		wire_new(&dead, &live, "dead.example");
		SSL_do_handshake(dead.ssl);
		answer.fd = dead.fd;
		live_await(&live, poll(&answer, 1, 0) == 1);
		/* All of this is there before the next dispatch. */
		wire_update(&busy, serial, "10.0.0.1", "alice", 1);
		ret = SSL_do_handshake(dead.ssl);
		cr_assert_eq(ret, 1);
		wire_send_hello(&dead, &hello);
		wire_reset(&dead);
		live_await(&live, live_stats(&live).connections == 1);
		cr_assert(wire_await(&busy, UR_ACK, &message));
		cr_assert_eq(live_stats(&live).sessions, 1);
	}
	wire_new(&dead, &live, "dead.example");
	wire_open(&dead, SESSION_A);
	cr_assert_eq(live_stats(&live).sessions, 2);
	wire_free(&dead);
	wire_free(&busy);
	live_done(&live);
}
