/* SPDX-License-Identifier: BSD-2-Clause */
/* The agent: back-off, a full queue, the window, finishing, refusals. */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent-private.h"
#include "clock.h"
#include "dns.h"
#include "live.h"
#include "wire.h"

/* A port of 127.0.0.1 on which nobody listens. */
static void find_dead_port(struct live *live)
{
	live_start(live);
	live_stop(live);
}

/* Lets the agent try again now. */
static void expire(struct live_agent *agent)
{
	ur_loop_set_timer(agent->agent->loop, &agent->agent->dialer.timer, 1);
	ur_loop_arm(agent->agent->loop);
}

Test(agent, back_off_doubles_to_a_minute)
{
	struct live live;
	struct live_agent *agent;
	struct uidrecv_agent_counters counters;
	uint64_t bound_ms = 500, most_ms = 0, least_ms = UINT64_MAX;

	live_init(&live, "a.example", NULL);
	find_dead_port(&live);
	agent = live_agent(&live, "a.example", NULL);
	for (unsigned int i = 1; i <= 60; i++) {
		live_await(&live, agent->events[UIDRECV_AGENT_LOST] == i);
		cr_assert_eq(agent->last.error, -ECONNREFUSED);
		counters = live_counters(agent);
		cr_assert_eq(counters.attempts, i);
		cr_assert_leq(counters.retry_ms, bound_ms);
		if (bound_ms == 60000) {
			if (counters.retry_ms > most_ms)
				most_ms = counters.retry_ms;
			if (counters.retry_ms < least_ms)
				least_ms = counters.retry_ms;
		}
		bound_ms = bound_ms < 30000 ? 2 * bound_ms : 60000;
		expire(agent);
	}
	/* Any time in between: each of these fails once in 2^50. */
	cr_expect_gt(most_ms, 30000);
	cr_expect_lt(least_ms, 30000);
	cr_expect_not(counters.is_connected);
	cr_expect_eq(counters.connects, 0);
	/* READY begins anew. */
	live_start(&live);
	live_await(&live, agent->events[UIDRECV_AGENT_CONNECTED]);
	cr_expect_eq(live_counters(agent).retry_ms, 0);
	live_stop(&live);
	live_await(&live, agent->events[UIDRECV_AGENT_LOST] == 61);
	cr_expect_leq(live_counters(agent).retry_ms, 500);
	live_done(&live);
}

/* It does not try again before its time. */
Test(agent, waits_for_its_time)
{
	struct live live;
	struct live_agent *agent;

	live_init(&live, "a.example", NULL);
	find_dead_port(&live);
	agent = live_agent(&live, "a.example", NULL);
	agent->agent->dialer.bound_us = 60000000;
	live_await(&live, agent->events[UIDRECV_AGENT_LOST] == 1);
	while (live_counters(agent).retry_ms < 1000) {
		expire(agent);
		live_turn(&live);
	}
	live_turns(&live, 300);
	cr_expect_eq(live_counters(agent).attempts,
		     agent->events[UIDRECV_AGENT_LOST]);
	cr_expect_lt(live_counters(agent).attempts, 30);
	live_done(&live);
}

Test(agent, full_queue_and_recovery)
{
	struct live live;
	struct uidrecv_agent_options options;
	struct live_agent *agent;
	struct uidrecv_record record =
	    live_record(UIDRECV_OP_MAP, "10.0.0.1", "alice");
	uint64_t count = 0, ticket = 0;

	live_init(&live, "a.example", NULL);
	find_dead_port(&live);
	options = live_agent_options(&live, "a.example");
	options.queue_max_bytes = 100000;
	agent = live_agent(&live, "a.example", &options);
	while (!uidrecv_agent_queue(agent->agent, &record, &ticket)) {
		record.address.lo++;
		cr_assert_eq(ticket, ++count);
		cr_assert_lt(count, 10000);
	}
	cr_expect_eq(uidrecv_agent_queue(agent->agent, &record, &ticket),
		     UIDRECV_E_FULL);
	cr_expect_eq(live_counters(agent).queued_records, count);
	cr_expect_geq(live_counters(agent).queued_bytes, 100000);
	cr_expect_lt(live_counters(agent).queued_bytes, 101000);
	live_turns(&live, 20);
	live_start(&live);
	expire(agent);
	live_await(&live, agent->acked == count);
	cr_expect_eq(live_counters(agent).queued_records, 0);
	cr_expect_eq(live_counters(agent).queued_bytes, 0);
	cr_expect_eq(uidrecv_agent_queue(agent->agent, &record, &ticket), 0);
	cr_expect_eq(ticket, count + 1);
	live_await(&live, agent->acked == ticket);
	cr_expect_eq(live_stats(&live).claims, ticket);
	live_done(&live);
}

Test(agent, window)
{
	struct live live;
	struct uidrecv_agent_options options;
	struct live_agent *agent;
	struct uidrecv_record record =
	    live_record(UIDRECV_OP_MAP, "10.0.0.1", "alice");
	uint64_t ticket = 0;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	options = live_agent_options(&live, "a.example");
	options.batch_max = 1;
	agent = live_agent(&live, "a.example", &options);
	live_await(&live, agent->events[UIDRECV_AGENT_CONNECTED]);
	live.is_frozen = true;
	for (int i = 0; i < 1000; i++, record.address.lo++)
		cr_assert_eq(
		    uidrecv_agent_queue(agent->agent, &record, &ticket), 0);
	live_turns(&live, 50);
	cr_assert_not_null(agent->agent->outbox.unsent);
	cr_expect_eq(agent->agent->outbox.unsent->serial, 257);
	cr_expect_eq(live_counters(agent).last_serial, 1000);
	live.is_frozen = false;
	live_await(&live, agent->acked == ticket);
	cr_expect_eq(live_counters(agent).acked_serial, 1000);
	cr_expect_eq(agent->events[UIDRECV_AGENT_LOST], 0);
	live_done(&live);
}

/* A peer that says more than it may without hearing of it (BYE 207). */
Test(agent, receiver_insists_on_the_window)
{
	struct live live;
	struct wire wire;
	struct ur_message message;
	struct uidrecv_record record =
	    live_record(UIDRECV_OP_MAP, "10.0.0.1", "alice");
	struct ur_update_writer writer;
	struct ur_buf buf;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	wire_new(&wire, &live, "a.example");
	wire_open(&wire, 77);
	ur_buf_init(&buf, 1u << 20);
	for (uint64_t serial = 1; serial <= 257; serial++) {
		ur_update_begin(&writer, &buf, serial, ur_clock_wall_us(),
				false, 0, 65536);
		cr_assert(ur_update_add(&writer, &record));
		ur_update_end(&writer);
	}
	wire_send(&wire, &buf);
	ur_buf_done(&buf);
	cr_assert(wire_await(&wire, UR_BYE, &message));
	cr_expect_eq(message.bye.code, UIDRECV_BYE_WINDOW);
	cr_expect_eq(live_stats(&live).protocol_errors, 1);
	/* What was good is stored all the same. */
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "alice");
	wire_free(&wire);
	live_done(&live);
}

Test(agent, finish)
{
	struct live live;
	struct live_agent *agent;
	struct uidrecv_record record =
	    live_record(UIDRECV_OP_MAP, "10.0.0.1", "alice");

	live_init(&live, "a.example", NULL);
	find_dead_port(&live);
	/* Nothing to say and nobody to say it to. */
	agent = live_agent(&live, "a.example", NULL);
	uidrecv_agent_finish(agent->agent);
	cr_expect_eq(uidrecv_agent_dispatch(agent->agent), -ESHUTDOWN);
	live_agent_end(&live, agent);
	/* All that is queued is acknowledged first. */
	agent = live_agent(&live, "a.example", NULL);
	live_map(agent, "10.0.0.1", "alice");
	uidrecv_agent_finish(agent->agent);
	cr_expect_eq(uidrecv_agent_queue(agent->agent, &record, NULL), -EINVAL);
	live_turns(&live, 30);
	cr_expect_eq(agent->result, 0);
	live_start(&live);
	expire(agent);
	live_await(&live, agent->result == -ESHUTDOWN);
	cr_expect_eq(agent->acked, 1);
	live_await(&live, live_stats(&live).connections == 0);
	cr_expect(live_log_has(&live.log, "session of a.example ended"));
	live_agent_end(&live, agent);
	/* Idle, but connected. */
	agent = live_agent(&live, "a.example", NULL);
	live_await(&live, agent->events[UIDRECV_AGENT_CONNECTED]);
	uidrecv_agent_finish(agent->agent);
	live_await(&live, agent->result == -ESHUTDOWN);
	cr_expect_eq(agent->events[UIDRECV_AGENT_LOST], 0);
	live_done(&live);
}

Test(agent, retry_refused)
{
	struct live live;
	struct uidrecv_agent_options options;
	struct live_agent *agent;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	cr_assert_eq(uidrecv_receiver_set_agents(live.receiver, NULL), 0);
	options = live_agent_options(&live, "a.example");
	options.retry_refused = true;
	agent = live_agent(&live, "a.example", &options);
	live_map(agent, "10.0.0.1", "alice");
	live_await(&live, agent->events[UIDRECV_AGENT_REFUSED]);
	cr_expect_eq(agent->result, 0);
	cr_expect_geq(live_counters(agent).retry_ms, 59000);
	cr_expect_leq(live_counters(agent).retry_ms, 60000);
	live_map(agent, "10.0.0.2", "bob");
	cr_assert_eq(live_set_agents(&live, live.rights), 0);
	expire(agent);
	live_await(&live, agent->acked == 2);
	live_done(&live);
}

/* A receiver that takes the connection and says nothing. */
Test(agent, N28_connect_times_out)
{
	struct live live;
	struct uidrecv_agent_options options;
	struct live_agent *agent;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	options = live_agent_options(&live, "a.example");
	options.connect_ms = 200;
	live.is_frozen = true;
	agent = live_agent(&live, "a.example", &options);
	live_await(&live, agent->events[UIDRECV_AGENT_LOST]);
	cr_expect_eq(agent->last.error, -ETIMEDOUT);
	live.is_frozen = false;
	live_await(&live, agent->events[UIDRECV_AGENT_CONNECTED]);
	live_done(&live);
}

static void answer_late(void *user)
{
	static uint64_t since_ms;

	if (!since_ms)
		since_ms = live_now_ms();
	if (live_now_ms() > since_ms + 400)
		dns_turn(user);
}

/* The time that the resolver takes is not that of the connection. */
Test(agent, slow_resolver)
{
	struct live live;
	struct uidrecv_agent_options options;
	struct live_agent *agent;
	char receiver[64];
	struct dns dns;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	dns_open(&dns);
	dns_set(&dns, "receiver.example", "127.0.0.1");
	live.hook = answer_late;
	live.hook_user = &dns;
	options = live_agent_options(&live, "a.example");
	snprintf(receiver, sizeof(receiver), "receiver.example:%u", live.port);
	options.receiver = receiver;
	options.receiver_name = "receiver";
	options.connect_ms = 300;
	agent = live_agent(&live, "a.example", &options);
	agent->agent->resolver.servers = dns.servers;
	live_await(&live, agent->events[UIDRECV_AGENT_CONNECTED]);
	cr_expect_eq(agent->events[UIDRECV_AGENT_LOST], 0);
	live_done(&live);
	dns_close(&dns);
}

/* A name that nobody has is told, and asked for again. */
Test(agent, unknown_name)
{
	struct live live;
	struct uidrecv_agent_options options;
	struct live_agent *agent;
	struct dns dns;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	dns_open(&dns);
	live.hook = dns_turn;
	live.hook_user = &dns;
	options = live_agent_options(&live, "a.example");
	options.receiver = "nobody.example:1";
	agent = live_agent(&live, "a.example", &options);
	agent->agent->resolver.servers = dns.servers;
	for (unsigned int i = 1; i <= 3; i++) {
		live_await(&live, agent->events[UIDRECV_AGENT_LOST] == i);
		cr_expect_eq(agent->last.error, -EHOSTUNREACH);
		cr_expect_str_eq(agent->last.text,
				 "nobody.example:1: Domain name not found");
		expire(agent);
	}
	live_done(&live);
	dns_close(&dns);
}

/* The clock of the records runs on, near the time of day. */
Test(agent, clock)
{
	struct live live;
	struct live_agent *agent;
	uint64_t first, wall_us;

	live_init(&live, "a.example", NULL);
	find_dead_port(&live);
	agent = live_agent(&live, "a.example", NULL);
	first = uidrecv_agent_now_us(agent->agent);
	wall_us = (uint64_t)time(NULL) * 1000000;
	cr_expect_lt(first, wall_us + 5000000);
	cr_expect_gt(first, wall_us - 5000000);
	usleep(2000);
	cr_expect_geq(uidrecv_agent_now_us(agent->agent), first + 2000);
	live_done(&live);
}
