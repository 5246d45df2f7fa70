/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each allocation fails once: making a receiver or an agent then fails with an
 * error, leaves nothing behind, and works the next time.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dials.h"
#include "sanitized.h"

/* Sanitizers have an allocator of their own, as has any libc but glibc. */
#if defined(__GLIBC__) && !defined(IS_SANITIZED)

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);

/* The allocation that fails, counted down; 0: none. */
static uint64_t fails_in, allocations;

static bool must_fail(void)
{
	allocations++;
	return fails_in && --fails_in == 0;
}

void *malloc(size_t size)
{
	if (!must_fail())
		return __libc_malloc(size);
	errno = ENOMEM;
	return NULL;
}

void *calloc(size_t count, size_t size)
{
	if (!must_fail())
		return __libc_calloc(count, size);
	errno = ENOMEM;
	return NULL;
}

void *realloc(void *memory, size_t size)
{
	if (!must_fail())
		return __libc_realloc(memory, size);
	errno = ENOMEM;
	return NULL;
}

static void check(int ret, bool is_made, uint64_t at)
{
	cr_assert_eq(ret == 0, is_made, "allocation %lu", (unsigned long)at);
	cr_assert(ret == 0 || ret == -ENOMEM || ret == UIDRECV_E_CREDENTIALS,
		  "allocation %lu: %s", (unsigned long)at,
		  uidrecv_strerror(ret));
}

/* All of the first ones, then some. */
static uint64_t next(uint64_t at)
{
	return at + (at < 200 ? 1 : 13);
}

Test(memory, S10_receiver_new)
{
	struct live live;
	struct uidrecv_receiver *receiver;
	uint64_t count, failures = 0;
	unsigned int fds;
	int ret;

	live_init(&live, "a.example", NULL);
	/* What is made once and for all. */
	live_start(&live);
	live_stop(&live);
	fds = live_count_fds();
	allocations = 0;
	live_open(&live);
	count = allocations;
	live_stop(&live);
	for (uint64_t at = 1; at <= count; at = next(at)) {
		char error[300];

		receiver = NULL;
		fails_in = at;
		ret = uidrecv_receiver_new(&receiver, &live.options, error,
					   sizeof(error));
		fails_in = 0;
		check(ret, receiver != NULL, at);
		uidrecv_receiver_free(receiver);
		failures += ret != 0;
		cr_assert_eq(live_count_fds(), fds);
	}
	cr_expect_gt(failures, 50);
	live_open(&live);
	live_done(&live);
}

Test(memory, S10_agent_new)
{
	struct live live;
	struct uidrecv_agent_options options;
	struct uidrecv_agent *agent;
	uint64_t count, failures = 0;
	unsigned int fds;
	int ret;

	live_init(&live, "a.example", NULL);
	strcpy(live.address, "127.0.0.1:9");
	options = live_agent_options(&live, "a.example");
	live_agent_end(&live, live_agent(&live, "a.example", &options));
	fds = live_count_fds();
	allocations = 0;
	live_agent_end(&live, live_agent(&live, "a.example", &options));
	count = allocations;
	for (uint64_t at = 1; at <= count; at = next(at)) {
		agent = NULL;
		fails_in = at;
		ret = uidrecv_agent_new(&agent, &options, NULL, 0);
		fails_in = 0;
		check(ret, agent != NULL, at);
		uidrecv_agent_free(agent);
		failures += ret != 0;
		cr_assert_eq(live_count_fds(), fds);
	}
	cr_expect_gt(failures, 50);
	live_done(&live);
}

/* A list is taken as a whole or not at all. */
Test(memory, S10_dials)
{
	static const char text[] = "a.example 10.0.0.0/8 dial=127.0.0.1:9\n"
				   "b.example 10.0.0.0/8 dial=127.0.0.1:9\n";
	struct live live;
	struct uidrecv_rights *rights;
	unsigned int failures = 0;
	int ret = -ENOMEM;

	live_init(&live, "a.example", NULL);
	live.options.log = NULL;
	live_open(&live);
	cr_assert_eq(uidrecv_rights_new(&rights), 0);
	cr_assert_eq(uidrecv_rights_parse(rights, text, strlen(text), NULL, 0),
		     0);
	for (uint64_t at = 1; ret == -ENOMEM; at++) {
		struct uidrecv_agent_stats stats = {.size = sizeof(stats)};

		fails_in = at;
		ret = uidrecv_receiver_set_agents(live.receiver, rights);
		fails_in = 0;
		cr_assert_eq(
		    uidrecv_receiver_get_agent_stats(live.receiver, 0, &stats),
		    1);
		/* Publishing, after it is in force, may fail as well. */
		failures += !stats.is_dialled;
		cr_assert_eq(!stats.is_dialled, !live.receiver->dials);
		cr_assert_eq(live_set_agents(&live, live.rights), 0);
		fails_in = at;
		if (uidrecv_receiver_add_agent(live.receiver, "a.example",
					       "127.0.0.1", 9))
			cr_assert_null(live.receiver->dials);
		fails_in = 0;
		(void)!uidrecv_receiver_remove_agent(live.receiver,
						     "a.example");
		cr_assert_null(live.receiver->dials);
	}
	cr_expect_eq(ret, 0);
	cr_expect_geq(failures, 8);
	uidrecv_rights_free(rights);
	live_done(&live);
}

/* A name, a connection: in the end it is there, whichever allocation failed. */
Test(memory, S10_dialling)
{
	uint16_t port = 0;
	int listener = wire_listen(&port);
	struct live live;
	struct wire wire;
	struct dns dns;

	live_init(&live, "a.example", NULL);
	live.options.log = NULL;
	dns_open(&dns);
	dns.any = "127.0.0.1";
	live.hook = dns_turn;
	live.hook_user = &dns;
	live_start(&live);
	live.receiver->resolver.servers = dns.servers;
	cr_assert_eq(uidrecv_receiver_add_agent(live.receiver, "a.example",
						"ts.example", port),
		     0);
	for (uint64_t at = 1; at <= 100; at += 1 + at / 20) {
		uint64_t attempts =
		    dial_of(&live, "a.example")->dialer.attempts;

		live_await(
		    &live,
		    (dial_now(&live, "a.example"), fails_in = at,
		     live.result = uidrecv_receiver_dispatch(live.receiver),
		     fails_in = 0,
		     dial_of(&live, "a.example")->dialer.attempts > attempts));
		cr_assert_eq(live.result, 0);
		/* Taken or refused, it ends; what it asks may be late. */
		dial_accept(&wire, &live, "a.example", listener);
		wire_reset(&wire);
		live_await(&live, !dial_of(&live, "a.example")->conn);
	}
	dial_accept(&wire, &live, "a.example", listener);
	wire_open(&wire, 7);
	wire_free(&wire);
	live_done(&live);
	dns_close(&dns);
	close(listener);
}

/* A message that has no memory leaves all as it was, and may be said again. */
Test(memory, S10_agent_snapshot)
{
	struct live live;
	struct live_agent *agent;
	struct uidrecv_agent_counters before, after;

	live_init(&live, "a.example", NULL);
	strcpy(live.address, "127.0.0.1:9");
	agent = live_agent(&live, "a.example", NULL);
	live_map(agent, "10.0.0.1", "alice");
	before = live_counters(agent);
	for (uint64_t at = 1; at <= 2; at++) {
		fails_in = at;
		cr_expect_eq(uidrecv_agent_snapshot_begin(agent->agent, true),
			     -ENOMEM);
		fails_in = at;
		cr_expect_eq(uidrecv_agent_refresh_all(agent->agent, 1),
			     -ENOMEM);
		fails_in = 0;
		after = live_counters(agent);
		cr_expect_eq(memcmp(&before, &after, sizeof(after)), 0);
	}
	cr_assert_eq(uidrecv_agent_snapshot_begin(agent->agent, false), 0);
	live_map(agent, "10.0.0.1", "alice");
	before = live_counters(agent);
	for (uint64_t at = 1; at <= 2; at++) {
		fails_in = at;
		cr_expect_eq(uidrecv_agent_snapshot_end(agent->agent), -ENOMEM);
		fails_in = 0;
		after = live_counters(agent);
		cr_expect_eq(memcmp(&before, &after, sizeof(after)), 0);
	}
	cr_expect_eq(uidrecv_agent_snapshot_end(agent->agent), 0);
	cr_expect_eq(live_counters(agent).last_serial, 4);
	live_done(&live);
}

/* The same of a system, also of one that goes before a snapshot. */
Test(memory, S10_agent_system)
{
	struct live live;
	struct live_agent *agent;
	struct uidrecv_agent_counters before, after;
	struct uidrecv_system system = {.ports = {20000, 1000},
					.block_size = 200};
	uint64_t ticket = 0;

	live_init(&live, "a.example", NULL);
	strcpy(live.address, "127.0.0.1:9");
	agent = live_agent(&live, "a.example", NULL);
	live_map(agent, "10.0.0.1", "alice");
	before = live_counters(agent);
	for (uint64_t at = 1; at <= 2; at++) {
		fails_in = at;
		cr_expect_eq(
		    uidrecv_agent_set_system(agent->agent, &system, &ticket),
		    -ENOMEM);
		fails_in = 0;
		after = live_counters(agent);
		cr_expect_eq(memcmp(&before, &after, sizeof(after)), 0);
	}
	cr_expect_eq(ticket, 0);
	cr_assert_eq(uidrecv_agent_set_system(agent->agent, &system, &ticket),
		     0);
	cr_expect_eq(ticket, 2);
	before = live_counters(agent);
	for (uint64_t at = 1; at <= 4; at++) {
		fails_in = at;
		cr_expect_eq(uidrecv_agent_snapshot_begin(agent->agent, true),
			     -ENOMEM);
		fails_in = 0;
		after = live_counters(agent);
		cr_expect_eq(memcmp(&before, &after, sizeof(after)), 0);
	}
	cr_assert_eq(uidrecv_agent_snapshot_begin(agent->agent, true), 0);
	cr_expect_eq(live_counters(agent).last_serial, 2);
	live_done(&live);
}

Test(memory, S10_agent_listener_new)
{
	struct live live;
	struct uidrecv_agent_listener_options options =
	    UIDRECV_AGENT_LISTENER_OPTIONS_INIT;
	struct uidrecv_agent_listener *listener;
	uint64_t count, failures = 0;
	unsigned int fds;
	int ret;

	live_init(&live, "a.example", NULL);
	options.address = "*:0";
	options.cert_path = certs_path(live.certs, "a.example.pem");
	options.key_path = certs_path(live.certs, "a.example-key.pem");
	options.ca_path = certs_path(live.certs, "ca.pem");
	fds = live_count_fds();
	allocations = 0;
	cr_assert_eq(uidrecv_agent_listener_new(&listener, &options, NULL, 0),
		     0);
	count = allocations;
	uidrecv_agent_listener_free(listener);
	for (uint64_t at = 1; at <= count; at = next(at)) {
		listener = NULL;
		fails_in = at;
		ret = uidrecv_agent_listener_new(&listener, &options, NULL, 0);
		fails_in = 0;
		check(ret, listener != NULL, at);
		uidrecv_agent_listener_free(listener);
		failures += ret != 0;
		cr_assert_eq(live_count_fds(), fds);
	}
	cr_expect_gt(failures, 50);
	live_done(&live);
}

/*
 * While all is running: what is said is acknowledged in the end, whichever
 * allocation failed.
 */
Test(memory, S10_session)
{
	struct live live;
	struct live_agent *agent;
	struct uidrecv_record record =
	    live_record(UIDRECV_OP_MAP, "10.0.0.0", "alice");
	uint64_t ticket = 0;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	agent = live_agent(&live, "a.example", NULL);
	live_await(&live, agent->events[UIDRECV_AGENT_CONNECTED]);
	cr_assert_str_eq(live_user(&live, "10.0.0.0"), "");
	for (uint64_t at = 1; at <= 30; at++) {
		for (int i = 0; i < 20; i++, record.address.lo++)
			cr_assert_eq(
			    uidrecv_agent_queue(agent->agent, &record, &ticket),
			    0);
		live.is_frozen = true;
		live_turn(&live);
		fails_in = at;
		cr_assert_eq(uidrecv_receiver_dispatch(live.receiver), 0);
		fails_in = 0;
		live.is_frozen = false;
		live_await(&live, agent->acked == ticket);
	}
	cr_expect_eq(live_stats(&live).claims, 600);
	cr_expect_eq(agent->events[UIDRECV_AGENT_REJECTED], 0);
	live_done(&live);
}

#else

Test(memory, skipped)
{
	cr_skip_test("no allocations can be made to fail here");
}

#endif
