/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The disk fails: nothing is acknowledged, lookups go on; and when it is well
 * again, all is acknowledged.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "live.h"
#include "wire.h"

static struct rlimit former;

/* From now on no file can be written from this byte on. */
static void limit_files(rlim_t bytes)
{
	struct rlimit limit;

	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(getrlimit(RLIMIT_FSIZE, &former), 0);
	limit = former;
	limit.rlim_cur = bytes;
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void relieve(void)
{
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &former), 0);
}

Test(disk, S06_no_ack_while_nothing_can_be_written)
{
	struct live live;
	struct live_agent *agent, *late;
	struct uidrecv_record record =
	    live_record(UIDRECV_OP_MAP, "10.0.0.4", "guest");
	struct uidrecv_receiver_stats stats;
	uint64_t ticket, other;
	uint16_t code = 77;

	live_init(&live, "a.example", "b.example", NULL);
	live_start(&live);
	agent = live_agent(&live, "a.example", NULL);
	ticket = live_map(agent, "10.0.0.1", "alice");
	live_await(&live, agent->acked == ticket);
	limit_files(4096);
	live_map(agent, "10.0.0.2", "bob");
	ticket = live_map(agent, "192.0.2.1", "mallory");
	live_turns(&live, 300);
	cr_expect_eq(agent->acked, 1);
	cr_expect_eq(agent->events[UIDRECV_AGENT_REJECTED], 0);
	stats = live_stats(&live);
	cr_expect_gt(stats.commit_errors, 0);
	cr_expect_lt(stats.commit_errors, 6, "it backs off");
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "alice");
	cr_expect_str_eq(live_user(&live, "10.0.0.2"), "");
	/* Others wait too, but nobody is turned away. */
	late = live_agent(&live, "b.example", NULL);
	other = live_map(late, "10.0.0.3", "carol");
	live_turns(&live, 300);
	cr_expect_eq(late->acked, 0);
	cr_expect_lt(uidrecv_receiver_submit(live.receiver, "a.example",
					     &record, 1, &code),
		     0);
	cr_expect_eq(code, 77);
	cr_expect_eq(live_set_agents(&live, "z.example 10.0.0.0/8"), -EAGAIN);
	relieve();
	live_await(&live, agent->acked == ticket && late->acked == other);
	cr_expect_eq(agent->events[UIDRECV_AGENT_LOST], 0);
	cr_expect_eq(late->events[UIDRECV_AGENT_LOST], 0);
	cr_expect_eq(agent->codes[ticket], UIDRECV_REJECT_ADDRESS_NOT_ALLOWED);
	cr_expect_str_eq(live_user(&live, "10.0.0.2"), "bob");
	cr_expect_str_eq(live_user(&live, "10.0.0.3"), "carol");
	/* What was refused to the host was not stored. */
	cr_expect_str_eq(live_user(&live, "10.0.0.4"), "");
	cr_expect_eq(live_stats(&live).records, 3);
	cr_expect_eq(live.log.lines[UIDRECV_LOG_ERROR], 1);
	cr_expect(live_log_has(&live.log, "works again"));
	live_done(&live);
}

/* What the host was told is not stored is not stored later either. */
Test(disk, S06_failed_submit_is_taken_back)
{
	struct live live;
	struct uidrecv_record record =
	    live_record(UIDRECV_OP_MAP, "10.0.0.1", "guest");
	uint16_t code = 77;

	live_init(&live, "portal", NULL);
	live_open(&live);
	cr_assert_eq(
	    uidrecv_receiver_submit(live.receiver, "portal", &record, 1, &code),
	    0);
	record = live_record(UIDRECV_OP_MAP, "10.0.0.2", "guest");
	limit_files(4096);
	code = 77;
	cr_expect_lt(
	    uidrecv_receiver_submit(live.receiver, "portal", &record, 1, &code),
	    0);
	cr_expect_eq(code, 77);
	relieve();
	live_await(&live, live_log_has(&live.log, "works again"));
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "guest");
	cr_expect_str_eq(live_user(&live, "10.0.0.2"), "");
	cr_assert_eq(
	    uidrecv_receiver_submit(live.receiver, "portal", &record, 1, &code),
	    0);
	cr_expect_str_eq(live_user(&live, "10.0.0.2"), "guest");
	live_done(&live);
}

/* Who waits behind a mapping that ends needs no disk to be known. */
Test(disk, S06_runner_up_takes_over_meanwhile)
{
	struct live live;
	struct live_agent *agent;
	struct uidrecv_record winner =
	    live_record(UIDRECV_OP_MAP, "10.0.0.1", "alice");
	struct uidrecv_record runner_up =
	    live_record(UIDRECV_OP_MAP, "10.0.0.1", "bob");
	uint16_t code = 77;

	live_init(&live, "a.example", "b.example", "c.example", NULL);
	live_start(&live);
	agent = live_agent(&live, "c.example", NULL);
	live_await(&live, agent->events[UIDRECV_AGENT_CONNECTED]);
	winner.lifetime_s = 1;
	cr_assert_eq(uidrecv_receiver_submit(live.receiver, "b.example",
					     &runner_up, 1, &code),
		     0);
	cr_assert_eq(uidrecv_receiver_submit(live.receiver, "a.example",
					     &winner, 1, &code),
		     0);
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "alice");
	limit_files(4096);
	live_map(agent, "10.0.0.2", "carol");
	live_turns(&live, 2500);
	cr_expect_eq(agent->acked, 0);
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "bob");
	relieve();
	live_await(&live, agent->acked == 1);
	live_done(&live);
}

/* The agent's connection breaks and comes again while it waits. */
Test(disk, S06_agent_goes_and_comes)
{
	struct live live;
	struct live_agent *agent;
	uint64_t ticket;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	agent = live_agent(&live, "a.example", NULL);
	live_await(&live, agent->events[UIDRECV_AGENT_CONNECTED]);
	limit_files(4096);
	live_map(agent, "10.0.0.1", "alice");
	live_turns(&live, 50);
	live_agent_end(&live, agent);
	agent = live_agent(&live, "a.example", NULL);
	ticket = live_map(agent, "10.0.0.2", "bob");
	live_turns(&live, 50);
	live_agent_end(&live, agent);
	agent = live_agent(&live, "a.example", NULL);
	ticket = live_map(agent, "10.0.0.3", "carol");
	live_turns(&live, 50);
	cr_expect_eq(agent->acked, 0);
	relieve();
	live_await(&live, agent->acked == ticket);
	/* It had arrived, so it is stored, though there is nobody to tell. */
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "alice");
	cr_expect_str_eq(live_user(&live, "10.0.0.3"), "carol");
	live_await(&live, live_stats(&live).sessions == 1 &&
			      live_stats(&live).connections == 1);
	live_done(&live);
}

/* A connection that is reset, and freed, while its records wait. */
Test(disk, S06_reset_while_it_waits)
{
	struct live live;
	struct wire wire;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	wire_new(&wire, &live, "a.example");
	wire_open(&wire, 77);
	limit_files(4096);
	wire_update(&wire, 1, "10.0.0.1", "alice", 3);
	live_await(&live, live_stats(&live).commit_errors > 0);
	wire_reset(&wire);
	live_await(&live, live_stats(&live).connections == 0);
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "");
	relieve();
	live_await(&live, live_stats(&live).claims == 3);
	cr_expect_str_eq(live_user(&live, "10.0.0.3"), "alice");
	wire_new(&wire, &live, "a.example");
	cr_expect_eq(wire_open(&wire, 77), 1);
	wire_free(&wire);
	live_done(&live);
}

Test(disk, stop_while_nothing_can_be_written)
{
	struct live live;
	struct live_agent *agent;
	uint64_t ticket, begun_ms;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	agent = live_agent(&live, "a.example", NULL);
	live_await(&live, agent->events[UIDRECV_AGENT_CONNECTED]);
	limit_files(4096);
	ticket = live_map(agent, "10.0.0.1", "alice");
	live_turns(&live, 50);
	begun_ms = live_now_ms();
	uidrecv_receiver_stop(live.receiver);
	live_await(&live, live.result == -ESHUTDOWN);
	cr_expect_leq(live_now_ms() - begun_ms, 2500);
	cr_expect_eq(agent->acked, 0);
	cr_expect_eq(agent->last.code, UIDRECV_BYE_SHUTDOWN);
	relieve();
	live_stop(&live);
	live_start(&live);
	live_await(&live, agent->acked == ticket);
	live_done(&live);
}

static uint64_t say_many(struct live_agent *agent, unsigned int count)
{
	struct uidrecv_record record =
	    live_record(UIDRECV_OP_MAP, "10.1.0.0", "alice");
	uint64_t ticket = 0;

	for (unsigned int i = 0; i < count; i++, record.address.lo++)
		cr_assert_eq(
		    uidrecv_agent_queue(agent->agent, &record, &ticket), 0);
	return ticket;
}

/* The table cannot grow: stored but not published is not acknowledged. */
Test(disk, table_cannot_grow)
{
	struct live live;
	struct live_agent *agent;
	struct uidrecv_receiver_stats stats;
	char directory[300];
	uint64_t ticket;

	live_init(&live, "a.example", NULL);
	snprintf(directory, sizeof(directory), "%s/t", live.directory);
	snprintf(live.table, sizeof(live.table), "%s/t/table", live.directory);
	live.options.table_path = live.table;
	cr_assert_eq(mkdir(directory, 0755), 0);
	live_start(&live);
	agent = live_agent(&live, "a.example", NULL);
	ticket = live_map(agent, "10.0.0.1", "first");
	live_await(&live, agent->acked == ticket);
	cr_assert_str_eq(live_user(&live, "10.0.0.1"), "first");
	/* No new generation can be put there. */
	cr_assert_eq(unlink(live.table), 0);
	cr_assert_eq(rmdir(directory), 0);
	live_map(agent, "10.0.0.1", "second");
	ticket = say_many(agent, 10000);
	live_turns(&live, 500);
	cr_expect_lt(agent->acked, ticket);
	/* The former user is never answered when there is a newer one. */
	cr_expect_str_neq(live_user(&live, "10.0.0.1"), "first");
	stats = live_stats(&live);
	cr_assert_eq(mkdir(directory, 0755), 0);
	live_await(&live, agent->acked == ticket);
	/* Nothing was left that could lead the reader there at once. */
	uidrecv_reader_close(live.reader);
	live.reader = NULL;
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "second");
	cr_expect_str_eq(live_user(&live, "10.1.39.15"), "alice");
	cr_expect_eq(agent->events[UIDRECV_AGENT_LOST], 0);
	cr_expect_eq(live_stats(&live).claims, 10001);
	cr_expect_gt(live_stats(&live).change, stats.change);
	live_done(&live);
}

/* A store that is full refuses what is new, keeps the rest, and recovers. */
Test(disk, store_full)
{
	struct live live;
	struct live_agent *agent;
	uint64_t ticket, count = 12000, refused = 0;
	char address[UIDRECV_ADDRESS_TEXT_MAX];
	struct uidrecv_record record;

	live_init(&live, "a.example", NULL);
	live.options.store_max_bytes = 1u << 20;
	live_start(&live);
	agent = live_agent(&live, "a.example", NULL);
	ticket = say_many(agent, (unsigned int)count);
	live_await(&live, agent->acked == ticket);
	for (uint64_t i = 1; i <= count; i++) {
		cr_assert(!agent->codes[i] ||
			  agent->codes[i] == UIDRECV_REJECT_STORE_FULL);
		refused += agent->codes[i] != 0;
	}
	cr_expect_gt(refused, 0);
	cr_expect_lt(refused, count);
	cr_expect_eq(live_stats(&live).claims, count - refused);
	record = live_record(UIDRECV_OP_WITHDRAW, "10.1.0.0", NULL);
	for (uint64_t i = 1; i <= count; i++, record.address.lo++) {
		uidrecv_address_format(record.address, address);
		cr_assert_str_eq(live_user(&live, address),
				 agent->codes[i] ? "" : "alice");
		if (i <= 3000)
			cr_assert_eq(
			    uidrecv_agent_queue(agent->agent, &record, &ticket),
			    0);
	}
	live_await(&live, agent->acked == ticket);
	ticket = live_map(agent, "10.9.9.9", "late");
	live_await(&live, agent->acked == ticket);
	cr_expect_str_eq(live_user(&live, "10.9.9.9"), "late");
	cr_expect_eq(agent->events[UIDRECV_AGENT_LOST], 0);
	live_done(&live);
}
