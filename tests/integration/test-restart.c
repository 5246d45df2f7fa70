/* SPDX-License-Identifier: BSD-2-Clause */
/* A receiver ends and another begins; readers and agents notice nothing. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "live.h"
#include "wire.h"

#define MAPPINGS 50
#define CROWD 140

struct watcher {
	const char *table;
	_Atomic bool must_end;
	_Atomic uint64_t lookups, gaps;
	uint64_t moves;
};

/* Looks up all the time; each must be known each time. */
static void *watch(void *user)
{
	struct watcher *watcher = user;
	struct uidrecv_reader *reader;
	struct uidrecv_reader_status status;
	struct uidrecv_mapping mapping;
	struct uidrecv_query query = {.has_port = false};

	if (uidrecv_reader_open(&reader, watcher->table, NULL) < 0) {
		watcher->gaps++;
		return NULL;
	}
	while (!watcher->must_end) {
		query.address = uidrecv_address_from_ipv4(
		    0x0a000000u + (uint32_t)(watcher->lookups % MAPPINGS));
		if (uidrecv_reader_lookup(reader, &query, 0, &mapping) != 1 ||
		    strcmp(mapping.user, "alice") != 0)
			watcher->gaps++;
		watcher->lookups++;
	}
	if (uidrecv_reader_get_status(reader, 0, &status) == 0)
		watcher->moves = status.moves;
	uidrecv_reader_close(reader);
	return NULL;
}

static uint64_t say_all(struct live_agent *agent)
{
	char address[32];
	uint64_t ticket = 0;

	for (int i = 0; i < MAPPINGS; i++) {
		snprintf(address, sizeof(address), "10.0.0.%d", i);
		ticket = live_map(agent, address, "alice");
	}
	return ticket;
}

Test(restart, readers_never_see_a_gap)
{
	struct live live;
	struct live_agent *agent;
	struct watcher watcher = {.must_end = false};
	uint64_t ticket, before;
	pthread_t thread;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	agent = live_agent(&live, "a.example", NULL);
	ticket = say_all(agent);
	live_await(&live, agent->acked == ticket);
	live_agent_end(&live, agent);
	watcher.table = live.table;
	cr_assert_eq(pthread_create(&thread, NULL, watch, &watcher), 0);
	for (int i = 0; i < 20; i++) {
		before = watcher.lookups;
		while (watcher.lookups < before + 1000)
			usleep(100);
		live_stop(&live);
		usleep(5000);
		/* It waits for its list: the table is the former one's. */
		cr_assert_eq(uidrecv_receiver_new(&live.receiver, &live.options,
						  NULL, 0),
			     0);
		for (int j = 0; j < 3; j++)
			cr_assert_eq(uidrecv_receiver_dispatch(live.receiver),
				     0);
		before = watcher.lookups;
		while (watcher.lookups < before + 1000)
			usleep(100);
		cr_assert_eq(live_set_agents(&live, live.rights), 0);
	}
	watcher.must_end = true;
	pthread_join(thread, NULL);
	cr_expect_eq(watcher.gaps, 0);
	cr_expect_gt(watcher.lookups, 40000);
	cr_expect_geq(watcher.moves, 1);
	live_done(&live);
}

/* The table is first published with the first list. */
Test(restart, no_table_without_a_list)
{
	struct live live;

	live_init(&live, "a.example", NULL);
	cr_assert_eq(
	    uidrecv_receiver_new(&live.receiver, &live.options, NULL, 0), 0);
	cr_assert_eq(uidrecv_receiver_dispatch(live.receiver), 0);
	cr_expect_neq(access(live.table, F_OK), 0);
	cr_expect_eq(live_stats(&live).table_entries, 0);
	cr_assert_eq(uidrecv_receiver_set_agents(live.receiver, NULL), 0);
	cr_expect_eq(access(live.table, F_OK), 0);
	live_done(&live);
}

/*
 * Two agents contend for an address, and the better claim ends while there is
 * no list yet.
 */
Test(restart, contended_address_without_a_list)
{
	struct live live;
	struct uidrecv_record record =
	    live_record(UIDRECV_OP_MAP, "10.0.0.1", "short");
	uint16_t code;

	live_init(&live, "a.example", "b.example", NULL);
	live_open(&live);
	record.lifetime_s = 1;
	cr_assert_eq(uidrecv_receiver_submit(live.receiver, "b.example",
					     &record, 1, &code),
		     0);
	cr_assert_eq(code, 0);
	record = live_record(UIDRECV_OP_MAP, "10.0.0.1", "long");
	record.has_event_time = true;
	record.event_time_us = uidrecv_now_us() - 5000000;
	cr_assert_eq(uidrecv_receiver_submit(live.receiver, "a.example",
					     &record, 1, &code),
		     0);
	cr_assert_eq(code, 0);
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "short");
	live_stop(&live);
	cr_assert_eq(
	    uidrecv_receiver_new(&live.receiver, &live.options, NULL, 0), 0);
	live_turns(&live, 2500);
	cr_assert_eq(live_set_agents(&live, live.rights), 0);
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "long");
	live_done(&live);
}

/* The runner-up takes over within a second or so. */
Test(restart, runner_up_takes_over)
{
	struct live live;
	struct live_agent *a, *b;
	struct uidrecv_record record =
	    live_record(UIDRECV_OP_MAP, "10.0.0.1", "long");
	uint64_t ticket, begun_ms;

	live_init(&live, "a.example", "b.example", NULL);
	live_start(&live);
	a = live_agent(&live, "a.example", NULL);
	b = live_agent(&live, "b.example", NULL);
	cr_assert_eq(uidrecv_agent_queue(a->agent, &record, &ticket), 0);
	live_await(&live, a->acked == ticket);
	record = live_record(UIDRECV_OP_MAP, "10.0.0.1", "short");
	record.lifetime_s = 1;
	cr_assert_eq(uidrecv_agent_queue(b->agent, &record, &ticket), 0);
	live_await(&live, b->acked == ticket);
	begun_ms = live_now_ms();
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "short");
	live_await(&live, strcmp(live_user(&live, "10.0.0.1"), "long") == 0);
	cr_expect_lt(live_now_ms() - begun_ms, 2500);
	live_done(&live);
}

Test(restart, S28_two_receivers_on_one_store)
{
	struct live live;
	struct uidrecv_receiver *second = NULL;
	char error[300] = "";
	unsigned int fds;

	live_init(&live, "a.example", NULL);
	live_open(&live);
	fds = live_count_fds();
	cr_expect_eq(
	    uidrecv_receiver_new(&second, &live.options, error, sizeof(error)),
	    UIDRECV_E_STORE_BUSY);
	cr_expect_null(second);
	cr_expect(strstr(error, live.store) != NULL, "%s", error);
	cr_expect_eq(live_count_fds(), fds);
	live_stop(&live);
	cr_expect_eq(
	    uidrecv_receiver_new(&second, &live.options, error, sizeof(error)),
	    0);
	uidrecv_receiver_free(second);
	live_done(&live);
}

/* Agents go on by themselves after a stop, and the goodbye says so. */
Test(restart, stop_stores_and_says_goodbye)
{
	struct live live;
	struct live_agent *agent;
	uint64_t ticket, begun_ms;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	agent = live_agent(&live, "a.example", NULL);
	live_await(&live, agent->events[UIDRECV_AGENT_CONNECTED]);
	ticket = say_all(agent);
	live.is_frozen = true;
	live_turns(&live, 20);
	live.is_frozen = false;
	uidrecv_receiver_stop(live.receiver);
	begun_ms = live_now_ms();
	live_await(&live, live.result == -ESHUTDOWN);
	cr_expect_leq(live_now_ms() - begun_ms, 2500);
	live_await(&live, agent->events[UIDRECV_AGENT_LOST]);
	cr_expect_eq(agent->last.code, UIDRECV_BYE_SHUTDOWN);
	/* What had arrived was acknowledged first. */
	cr_expect_eq(agent->acked, ticket);
	cr_expect_eq(uidrecv_receiver_dispatch(live.receiver), -ESHUTDOWN);
	live_stop(&live);
	live_start(&live);
	ticket = live_map(agent, "10.0.0.99", "bob");
	live_await(&live, agent->acked == ticket);
	live_done(&live);
}

/* More of them have spoken than one dispatch listens to. */
Test(restart, stop_stores_what_a_crowd_has_said)
{
	static struct wire wires[CROWD];
	struct ur_message message;
	struct live live;
	char name[32];

	live_init(&live, NULL, NULL);
	for (int i = 0; i < CROWD; i++) {
		snprintf(name, sizeof(name), "a%d.example", i);
		live_add_name(&live, name);
	}
	live_start(&live);
	for (int i = 0; i < CROWD; i++) {
		snprintf(name, sizeof(name), "a%d.example", i);
		wire_new(&wires[i], &live, name);
		wire_open(&wires[i], 77);
	}
	for (int i = 0; i < CROWD; i++)
		wire_update(&wires[i], 1, "10.0.0.1", "alice", 1);
	uidrecv_receiver_stop(live.receiver);
	live_await(&live, live.result == -ESHUTDOWN);
	cr_expect_eq(live_stats(&live).updates, CROWD);
	for (int i = 0; i < CROWD; i++) {
		cr_expect(wire_await(&wires[i], UR_ACK, &message), "%d", i);
		cr_expect(wire_await(&wires[i], UR_BYE, &message), "%d", i);
		wire_free(&wires[i]);
	}
	live_done(&live);
}

/* A peer that does not read is not waited for beyond two seconds. */
Test(restart, stop_does_not_wait_for_the_deaf)
{
	struct live live;
	struct wire wire;
	uint64_t begun_ms;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	wire_new(&wire, &live, "a.example");
	wire_open(&wire, 77);
	uidrecv_receiver_stop(live.receiver);
	begun_ms = live_now_ms();
	live_await(&live, live.result == -ESHUTDOWN);
	cr_expect_leq(live_now_ms() - begun_ms, 2500);
	wire_free(&wire);
	live_done(&live);
}
