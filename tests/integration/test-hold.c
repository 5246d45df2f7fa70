/* SPDX-License-Identifier: BSD-2-Clause */
/* Hold time: who is silent is ended, who pauses or is paused is not. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "live.h"
#include "proxy.h"
#include "wire.h"

static void hold_one_second(struct live *live)
{
	live->options.hold_min_s = 1;
	live->options.hold_max_s = 1;
}

static struct uidrecv_agent_options quick_agent(struct live *live,
						const char *name)
{
	struct uidrecv_agent_options options = live_agent_options(live, name);

	options.hold_min_s = 1;
	return options;
}

Test(hold, silent_peer_is_ended)
{
	struct live live;
	struct wire wire;
	struct ur_message message;
	uint64_t begun_ms;
	unsigned int keepalives = 0;

	live_init(&live, "a.example", NULL);
	hold_one_second(&live);
	live_start(&live);
	wire_new(&wire, &live, "a.example");
	wire_open(&wire, 77);
	begun_ms = live_now_ms();
	while (wire_read(&wire, &message) && message.type == UR_KEEPALIVE)
		keepalives++;
	cr_assert_eq(message.type, UR_BYE);
	cr_expect_eq(message.bye.code, UIDRECV_BYE_HOLD_TIME);
	cr_expect_geq(live_now_ms() - begun_ms, 900);
	cr_expect_lt(live_now_ms() - begun_ms, 2500);
	cr_expect_geq(keepalives, 2);
	cr_expect_eq(live_stats(&live).hold_expired, 1);
	cr_expect_eq(live_stats(&live).sessions, 0);
	wire_free(&wire);
	live_done(&live);
}

Test(hold, quiet_session_is_kept_alive)
{
	struct live live;
	struct uidrecv_agent_options options;
	struct live_agent *agent;
	uint64_t ticket;

	live_init(&live, "a.example", NULL);
	hold_one_second(&live);
	live_start(&live);
	options = quick_agent(&live, "a.example");
	agent = live_agent(&live, "a.example", &options);
	live_await(&live, agent->events[UIDRECV_AGENT_CONNECTED]);
	live_turns(&live, 3000);
	ticket = live_map(agent, "10.0.0.1", "alice");
	live_await(&live, agent->acked == ticket);
	cr_expect_eq(agent->events[UIDRECV_AGENT_LOST], 0);
	cr_expect_eq(live_stats(&live).hold_expired, 0);
	live_done(&live);
}

/* The agent too notices that its receiver is gone without a word. */
Test(hold, agent_ends_a_silent_receiver)
{
	struct live live;
	struct proxy proxy;
	struct uidrecv_agent_options options;
	struct live_agent *agent;

	live_init(&live, "a.example", NULL);
	hold_one_second(&live);
	live_start(&live);
	proxy_init(&proxy, &live);
	options = quick_agent(&live, "a.example");
	options.receiver = proxy.address;
	agent = live_agent(&live, "a.example", &options);
	live_await(&live, agent->events[UIDRECV_AGENT_CONNECTED]);
	proxy.is_deaf = true;
	live_await(&live, agent->events[UIDRECV_AGENT_LOST]);
	cr_expect_eq(agent->last.error, UIDRECV_E_HOLD);
	proxy_done(&proxy);
	live_done(&live);
}

#define STRANGERS 150

static void say_keepalive(struct wire *wire)
{
	struct ur_keepalive keepalive = {.has_acked = true};
	struct ur_buf buf;

	ur_buf_init(&buf, 4096);
	ur_keepalive_encode(&buf, &keepalive);
	wire_send(wire, &buf);
	ur_buf_done(&buf);
}

/*
 * A receiver that was stopped, or that waited for its disk, for longer than the
 * hold time: what came meanwhile counts, also if there is so much of it that
 * one dispatch does not get at all of it.
 */
Test(hold, own_pause_is_not_the_peers_silence)
{
	struct live live;
	struct wire wire;
	struct ur_message message;
	int fds[STRANGERS];

	live_init(&live, "a.example", NULL);
	hold_one_second(&live);
	live_start(&live);
	for (int i = 0; i < STRANGERS; i++)
		fds[i] = wire_connect(&live);
	live_await(&live, live_stats(&live).connections == STRANGERS);
	wire_new(&wire, &live, "a.example");
	wire_open(&wire, 77);
	for (int i = 0; i < STRANGERS; i++)
		cr_assert_eq(send(fds[i], "\x16", 1, 0), 1);
	say_keepalive(&wire);
	wire_update(&wire, 1, "10.0.0.1", "alice", 1);
	usleep(1500000);
	cr_assert(wire_await(&wire, UR_ACK, &message));
	cr_expect_eq(live_stats(&live).hold_expired, 0);
	for (int i = 0; i < STRANGERS; i++)
		close(fds[i]);
	wire_free(&wire);
	live_done(&live);
}

/* An agent that was stopped is ended, comes back, and has lost nothing. */
Test(hold, stopped_agent_comes_back)
{
	struct live live;
	struct uidrecv_agent_options options;
	struct live_agent *agent;
	uint64_t ticket, end_ms;

	live_init(&live, "a.example", NULL);
	hold_one_second(&live);
	live_start(&live);
	options = quick_agent(&live, "a.example");
	agent = live_agent(&live, "a.example", &options);
	live_await(&live, agent->events[UIDRECV_AGENT_CONNECTED]);
	ticket = live_map(agent, "10.0.0.1", "alice");
	live.agents_count = 0;
	end_ms = live_now_ms() + 1500;
	while (live_now_ms() < end_ms)
		live_turn(&live);
	live.agents_count = 1;
	cr_expect_eq(live_stats(&live).hold_expired, 1);
	live_await(&live, agent->acked == ticket);
	cr_expect_eq(agent->events[UIDRECV_AGENT_CONNECTED], 2);
	cr_expect_eq(agent->last.code, UIDRECV_BYE_HOLD_TIME);
	live_done(&live);
}

/* Without a hold time in common there is no session, and no flapping. */
Test(hold, no_hold_time_in_common)
{
	struct live live;
	struct live_agent *agent;

	live_init(&live, "a.example", NULL);
	hold_one_second(&live);
	live_start(&live);
	agent = live_agent(&live, "a.example", NULL);
	live_await(&live, agent->result == UIDRECV_E_REFUSED);
	cr_expect_eq(agent->last.code, UIDRECV_BYE_NO_COMMON_HOLD_TIME);
	cr_expect_eq(live_stats(&live).sessions, 0);
	live_done(&live);
}

/*
 * A receiver that was stopped for less than the hold time ends nobody, even if
 * by its own clock the agent was silent for longer.
 */
Test(hold, short_stop_of_the_receiver_ends_nothing)
{
	struct live live;
	struct wire wire;
	struct ur_message message;
	uint64_t heard_ms;

	live_init(&live, "a.example", NULL);
	hold_one_second(&live);
	live_start(&live);
	wire_new(&wire, &live, "a.example");
	wire_open(&wire, 77);
	for (uint64_t serial = 1; serial <= 2; serial++) {
		wire_update(&wire, serial, "10.0.0.1", "alice", 1);
		cr_assert(wire_await(&wire, UR_ACK, &message));
		heard_ms = live_now_ms();
		live_turns(&live, 500);
		usleep(200000);
		say_keepalive(&wire);
		usleep(600000);
		cr_expect_geq(live_now_ms() - heard_ms, 1000);
	}
	wire_update(&wire, 3, "10.0.0.1", "alice", 1);
	cr_assert(wire_await(&wire, UR_ACK, &message));
	cr_expect_eq(live_stats(&live).hold_expired, 0);
	wire_free(&wire);
	live_done(&live);
}

/* Likewise an agent: what its receiver said meanwhile counts. */
Test(hold, short_stop_of_the_agent_ends_nothing)
{
	struct live live;
	struct uidrecv_agent_options options;
	struct live_agent *agent;
	uint64_t ticket, heard_ms, end_ms;

	live_init(&live, "a.example", NULL);
	live.options.hold_min_s = 2;
	live.options.hold_max_s = 2;
	live_start(&live);
	options = quick_agent(&live, "a.example");
	agent = live_agent(&live, "a.example", &options);
	ticket = live_map(agent, "10.0.0.1", "alice");
	live_await(&live, agent->acked == ticket);
	heard_ms = live_now_ms();
	live_turns(&live, 600);
	/* The receiver hears this, and its answers wait. */
	ticket = live_map(agent, "10.0.0.2", "bob");
	cr_assert_eq(uidrecv_agent_dispatch(agent->agent), 0);
	live.agents_count = 0;
	end_ms = live_now_ms() + 1500;
	while (live_now_ms() < end_ms)
		live_turn(&live);
	live.agents_count = 1;
	cr_expect_geq(live_now_ms() - heard_ms, 2000);
	live_await(&live, agent->acked == ticket);
	cr_expect_eq(agent->events[UIDRECV_AGENT_LOST], 0);
	cr_expect_eq(agent->events[UIDRECV_AGENT_CONNECTED], 1);
	cr_expect_eq(live_stats(&live).hold_expired, 0);
	live_done(&live);
}

/* 0: BYE of the code NO-COMMON-HOLD-TIME. */
static uint16_t agree(struct live *live, uint16_t min_s, uint16_t max_s)
{
	struct ur_hello hello = wire_hello(77);
	struct ur_message message;
	struct wire wire;
	uint16_t hold_s = 0;

	hello.hold_min_s = min_s;
	hello.hold_max_s = max_s;
	wire_new(&wire, live, "a.example");
	cr_assert(wire_shake(&wire));
	cr_assert(wire_read(&wire, &message));
	wire_send_hello(&wire, &hello);
	cr_assert(wire_read(&wire, &message));
	if (message.type == UR_READY) {
		hold_s = message.ready.hold_time_s;
	} else {
		cr_assert_eq(message.type, UR_BYE);
		cr_assert_eq(message.bye.code, UIDRECV_BYE_NO_COMMON_HOLD_TIME);
	}
	wire_free(&wire);
	return hold_s;
}

Test(hold, edges_of_the_ranges)
{
	struct live live;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	/* 10 to 90 by default. */
	cr_expect_eq(agree(&live, 3, 300), 90);
	cr_expect_eq(agree(&live, 0, 65535), 90);
	cr_expect_eq(agree(&live, 3, 9), 0);
	cr_expect_eq(agree(&live, 3, 10), 10);
	cr_expect_eq(agree(&live, 10, 10), 10);
	cr_expect_eq(agree(&live, 90, 90), 90);
	cr_expect_eq(agree(&live, 90, 300), 90);
	cr_expect_eq(agree(&live, 91, 300), 0);
	cr_expect_eq(agree(&live, 0, 0), 0);
	cr_expect_eq(agree(&live, 65535, 65535), 0);
	live_stop(&live);
	live.options.hold_min_s = 1;
	live.options.hold_max_s = 65535;
	live_start(&live);
	cr_expect_eq(agree(&live, 0, 0), 0);
	cr_expect_eq(agree(&live, 0, 1), 1);
	cr_expect_eq(agree(&live, 1, 1), 1);
	cr_expect_eq(agree(&live, 65535, 65535), 65535);
	live_done(&live);
}

/* Real agents at the edges: each takes the one time that both can. */
Test(hold, agents_at_the_edges_of_the_ranges)
{
	static const struct {
		uint16_t min_s, max_s;
		bool is_common;
	} ranges[] = {{3, 9, false},  {3, 10, true},   {10, 10, true},
		      {90, 90, true}, {90, 300, true}, {91, 300, false}};
	struct uidrecv_agent_options options;
	struct live_agent *agent;
	struct live live;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		options = live_agent_options(&live, "a.example");
		options.hold_min_s = ranges[i].min_s;
		options.hold_max_s = ranges[i].max_s;
		agent = live_agent(&live, "a.example", &options);
		if (ranges[i].is_common) {
			live_await(&live,
				   agent->events[UIDRECV_AGENT_CONNECTED]);
		} else {
			live_await(&live, agent->result == UIDRECV_E_REFUSED);
			cr_expect_eq(agent->last.code,
				     UIDRECV_BYE_NO_COMMON_HOLD_TIME);
		}
		live_agent_end(&live, agent);
	}
	live_done(&live);
}
