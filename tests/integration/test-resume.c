/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections that break at any byte: nothing that is acknowledged is lost, no
 * REJECT is lost or told twice, and the table is what was said.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent-private.h"
#include "live.h"
#include "proxy.h"
#include "wire.h"

#define RECORDS 12

/* The agent tries again at once, so that tests need not wait for it. */
static void hurry(struct live_agent *agent)
{
	agent->agent->dialer.bound_us = 1000;
}

/* Every third is refused. */
static void say_all(struct live_agent *agent)
{
	char address[32], user[32];

	for (int i = 0; i < RECORDS; i++) {
		snprintf(address, sizeof(address),
			 i % 3 == 2 ? "192.0.2.%d" : "10.0.0.%d", i);
		snprintf(user, sizeof(user), "user%d", i);
		live_map(agent, address, user);
	}
}

static void check_all(struct live *live, const struct live_agent *agent,
		      const char *what, uint64_t at)
{
	char address[32], user[32];

	for (int i = 0; i < RECORDS; i++) {
		bool is_bad = i % 3 == 2;

		snprintf(address, sizeof(address),
			 is_bad ? "192.0.2.%d" : "10.0.0.%d", i);
		snprintf(user, sizeof(user), "user%d", i);
		cr_assert_str_eq(live_user(live, address), is_bad ? "" : user,
				 "%s %lu", what, (unsigned long)at);
		cr_assert_eq(agent->codes[i + 1],
			     is_bad ? UIDRECV_REJECT_ADDRESS_NOT_ALLOWED : 0,
			     "%s %lu: record %d", what, (unsigned long)at, i);
	}
}

static void clear_all(struct live *live)
{
	cr_assert_eq(uidrecv_receiver_set_agents(live->receiver, NULL), 0);
	cr_assert_eq(live_set_agents(live, live->rights), 0);
}

/* A whole session with one cut, and whether it was cut. */
static bool cut_once(struct live *live, struct proxy *proxy, enum proxy_way way,
		     uint64_t at)
{
	struct uidrecv_agent_options options =
	    live_agent_options(live, "a.example");
	struct live_agent *agent;
	unsigned int cuts = proxy->cuts;

	options.receiver = proxy->address;
	options.batch_max = 2;
	agent = live_agent(live, "a.example", &options);
	proxy->moved[way] = 0;
	proxy->cut_at[way] = at;
	say_all(agent);
	uidrecv_agent_finish(agent->agent);
	live_await(live, (hurry(agent), agent->result == -ESHUTDOWN));
	cr_assert_eq(agent->acked, RECORDS);
	check_all(live, agent, way == PROXY_UP ? "up" : "down", at);
	proxy->cut_at[way] = 0;
	live_agent_end(live, agent);
	return proxy->cuts > cuts;
}

static void cut_everywhere(enum proxy_way way)
{
	struct live live;
	struct proxy proxy;
	uint64_t at = 1;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	proxy_init(&proxy, &live);
	/* A handshake has some thousand bytes, an ACK 38: go in small steps. */
	while (cut_once(&live, &proxy, way, at)) {
		clear_all(&live);
		at += 23;
	}
	cr_assert_gt(at, 1000);
	proxy_done(&proxy);
	live_done(&live);
}

Test(resume, cut_at_every_place_up)
{
	cut_everywhere(PROXY_UP);
}

Test(resume, cut_at_every_place_down)
{
	cut_everywhere(PROXY_DOWN);
}

/* Cut again and again, with little said in between. */
Test(resume, many_cuts_of_one_session)
{
	struct live live;
	struct proxy proxy;
	struct uidrecv_agent_options options;
	struct live_agent *agent;
	uint64_t ticket = 0;
	char address[32];

	live_init(&live, "a.example", NULL);
	live_start(&live);
	proxy_init(&proxy, &live);
	options = live_agent_options(&live, "a.example");
	options.receiver = proxy.address;
	options.batch_max = 3;
	agent = live_agent(&live, "a.example", &options);
	for (int i = 0; i < 60; i++) {
		for (int j = 0; j < 10; j++) {
			snprintf(address, sizeof(address),
				 j % 5 ? "10.0.%d.%d" : "192.0.%d.%d", i, j);
			ticket = live_map(agent, address, "alice");
		}
		live_turns(&live, (uint64_t)i % 7);
		proxy_cut(&proxy);
		hurry(agent);
		live_turns(&live, 3);
	}
	live_await(&live, (hurry(agent), agent->acked == ticket));
	for (uint64_t i = 1; i <= ticket; i++)
		cr_assert_eq(agent->codes[i],
			     (i - 1) % 5 ? 0
					 : UIDRECV_REJECT_ADDRESS_NOT_ALLOWED,
			     "ticket %lu", (unsigned long)i);
	cr_expect_eq(live_stats(&live).claims, 480);
	cr_expect_str_eq(live_user(&live, "10.0.59.9"), "alice");
	proxy_done(&proxy);
	live_done(&live);
}

/* The receiver is freed and made again between what is said and its ACK. */
Test(resume, receiver_restarts_in_between)
{
	struct live live;
	struct uidrecv_agent_options options;
	struct live_agent *agent;
	uint64_t ticket = 0;
	char address[32];

	live_init(&live, "a.example", NULL);
	live_start(&live);
	options = live_agent_options(&live, "a.example");
	options.batch_max = 2;
	agent = live_agent(&live, "a.example", &options);
	for (int i = 0; i < 30; i++) {
		for (int j = 0; j < 10; j++) {
			snprintf(address, sizeof(address),
				 j == 7 ? "192.0.%d.%d" : "10.0.%d.%d", i, j);
			ticket = live_map(agent, address, "alice");
		}
		for (int j = 0; j < i % 6; j++)
			live_turn(&live);
		live_stop(&live);
		hurry(agent);
		live_turn(&live);
		live_start(&live);
		hurry(agent);
		live_turns(&live, 5);
	}
	live_await(&live, (hurry(agent), agent->acked == ticket));
	for (uint64_t i = 1; i <= ticket; i++)
		cr_assert_eq(agent->codes[i] != 0, (i - 1) % 10 == 7);
	cr_expect_eq(live_stats(&live).claims, 270);
	live_done(&live);
}

/*
 * A receiver that takes shorter frames than the one before: what waits is cut
 * anew, for a new session; what was told as refused is not told again.
 */
Test(resume, smaller_frames_than_before)
{
	struct live live;
	struct live_agent *agent;
	uint64_t ticket = 0;
	char address[32];

	live_init(&live, "a.example", NULL);
	live_start(&live);
	agent = live_agent(&live, "a.example", NULL);
	live_await(&live, agent->events[UIDRECV_AGENT_CONNECTED]);
	for (int i = 0; i < 2000; i++) {
		snprintf(address, sizeof(address),
			 i % 10 ? "10.0.%d.%d" : "192.0.%d.%d", i / 256,
			 i % 256);
		ticket = live_map(agent, address, "alice");
	}
	live_stop(&live);
	live.options.frame_max = 4096;
	live_start(&live);
	live_await(&live, (hurry(agent), agent->acked == ticket));
	for (uint64_t i = 1; i <= ticket; i++)
		cr_assert_eq(agent->codes[i] != 0, (i - 1) % 10 == 0);
	cr_expect_eq(live_stats(&live).claims, 1800);
	cr_expect_gt(live_stats(&live).updates, 9);
	/* Only the one whose frames were cut anew had another session. */
	cr_expect_eq(agent->events[UIDRECV_AGENT_REFUSED], 0);
	live_done(&live);
}

/* A sink by hand that refuses a record and is gone before its ACK. */
Test(resume, rejects_are_told_once_by_a_new_session)
{
	struct ur_outbox outbox = {.batch_max = 1024, .body_max = 60000};
	struct uidrecv_record record =
	    live_record(UIDRECV_OP_MAP, "10.0.0.1", "alice");
	struct ur_outgoing *item;
	unsigned int told = 0;

	for (int i = 0; i < 200; i++)
		cr_assert_eq(ur_outbox_add(&outbox, &record, 1000), 0);
	ur_outbox_close(&outbox);
	cr_assert_eq(outbox.serial, 1);
	cr_assert_eq(ur_outbox_refuse(&outbox, 1, 150), 151);
	cr_assert_eq(ur_outbox_refuse(&outbox, 1, 150), 0);
	cr_assert_eq(ur_outbox_renumber(&outbox, 4096, 0, NULL, NULL), 0);
	cr_assert_gt(outbox.serial, 1);
	for (item = outbox.first; item; item = item->next)
		for (uint32_t i = 0; i < item->count; i++) {
			uint64_t ticket =
			    ur_outbox_refuse(&outbox, item->serial, i);

			if (ticket) {
				told++;
				cr_assert_neq(ticket, 151);
			}
		}
	cr_expect_eq(told, 199);
	cr_expect_eq(outbox.ticket, 200);
	cr_expect_eq(outbox.records, 200);
	ur_outbox_done(&outbox);
}
