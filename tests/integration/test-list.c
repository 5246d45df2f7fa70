/* SPDX-License-Identifier: BSD-2-Clause */
/* Another list of agents while they are connected. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "live.h"
#include "wire.h"

Test(list, removed_agent_is_ended_and_its_claims_go)
{
	struct live live;
	struct live_agent *gone, *stays;
	struct uidrecv_record record;
	uint64_t ticket, other;

	live_init(&live, "gone.example", "stays.example", NULL);
	live_start(&live);
	gone = live_agent(&live, "gone.example", NULL);
	stays = live_agent(&live, "stays.example", NULL);
	ticket = live_map(gone, "10.0.0.1", "alice");
	other = live_map(stays, "10.0.0.2", "bob");
	live_await(&live, gone->acked == ticket && stays->acked == other);
	cr_assert_eq(live_set_agents(&live, "stays.example 10.0.0.0/8"), 0);
	/* Before it returned. */
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "");
	cr_expect_str_eq(live_user(&live, "10.0.0.2"), "bob");
	live_await(&live, gone->events[UIDRECV_AGENT_REFUSED]);
	cr_expect_eq(gone->last.code, UIDRECV_BYE_NOT_AUTHORIZED);
	cr_expect_eq(gone->result, UIDRECV_E_REFUSED);
	record = live_record(UIDRECV_OP_MAP, "10.0.0.3", "x");
	cr_expect_eq(uidrecv_agent_queue(gone->agent, &record, NULL),
		     UIDRECV_E_REFUSED);
	other = live_map(stays, "10.0.0.4", "carol");
	live_await(&live, stays->acked == other);
	cr_expect_eq(stays->events[UIDRECV_AGENT_LOST], 0);
	cr_expect_eq(live_stats(&live).sessions, 1);
	cr_expect_eq(live_stats(&live).claims, 2);
	/* And cannot come back. */
	live_agent_end(&live, gone);
	gone = live_agent(&live, "gone.example", NULL);
	live_await(&live, gone->events[UIDRECV_AGENT_REFUSED]);
	cr_expect_eq(gone->last.code, UIDRECV_BYE_NOT_AUTHORIZED);
	cr_expect_eq(live_stats(&live).refused_identity, 1);
	live_done(&live);
}

Test(list, narrowed_rights_drop_claims)
{
	struct live live;
	struct live_agent *agent;
	uint64_t ticket;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	agent = live_agent(&live, "a.example", NULL);
	live_map(agent, "10.1.0.1", "CORP\\alice");
	live_map(agent, "10.1.0.2", "OTHER\\bob");
	ticket = live_map(agent, "10.2.0.1", "CORP\\carol");
	live_await(&live, agent->acked == ticket);
	cr_assert_eq(live_set_agents(&live, "a.example 10.1.0.0/16"), 0);
	cr_expect_str_eq(live_user(&live, "10.1.0.1"), "CORP\\alice");
	cr_expect_str_eq(live_user(&live, "10.1.0.2"), "OTHER\\bob");
	cr_expect_str_eq(live_user(&live, "10.2.0.1"), "");
	cr_assert_eq(
	    live_set_agents(&live, "a.example 10.0.0.0/8 domains=corp"), 0);
	cr_expect_str_eq(live_user(&live, "10.1.0.1"), "CORP\\alice");
	cr_expect_str_eq(live_user(&live, "10.1.0.2"), "");
	cr_expect_str_eq(live_user(&live, "10.2.0.1"), "");
	/* The session goes on by the new list. */
	ticket = live_map(agent, "10.2.0.1", "OTHER\\carol");
	live_await(&live, agent->acked == ticket);
	cr_expect_eq(agent->codes[ticket], UIDRECV_REJECT_DOMAIN_NOT_ALLOWED);
	cr_expect_eq(agent->events[UIDRECV_AGENT_LOST], 0);
	cr_expect_eq(agent->events[UIDRECV_AGENT_CONNECTED], 1);
	live_done(&live);
}

Test(list, priority_changes_the_answer)
{
	struct live live;
	struct live_agent *a, *b;
	uint64_t first, second;

	live_init(&live, "a.example", "b.example", NULL);
	live_start(&live);
	a = live_agent(&live, "a.example", NULL);
	b = live_agent(&live, "b.example", NULL);
	first = live_map(a, "10.0.0.1", "by-a");
	live_await(&live, a->acked == first);
	second = live_map(b, "10.0.0.1", "by-b");
	live_await(&live, b->acked == second);
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "by-b");
	cr_assert_eq(live_set_agents(&live, "a.example 10.0.0.0/8 priority=1\n"
					    "b.example 10.0.0.0/8\n"),
		     0);
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "by-a");
	cr_assert_eq(live_set_agents(&live,
				     "a.example 10.0.0.0/8 priority=1\n"
				     "b.example 10.0.0.0/8 priority=2\n"),
		     0);
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "by-b");
	live_done(&live);
}

/* What the drop of a claim uncovers is judged by the new priorities. */
Test(list, runner_up_by_the_new_priorities)
{
	struct live live;
	struct live_agent *agents[3];
	const char *names[] = {"a.example", "b.example", "c.example"};

	live_init(&live, "a.example", "b.example", "c.example", NULL);
	live_start(&live);
	cr_assert_eq(live_set_agents(&live,
				     "a.example 10.0.0.0/8 priority=3\n"
				     "b.example 10.0.0.0/8 priority=2\n"
				     "c.example 10.0.0.0/8 priority=1\n"),
		     0);
	for (int i = 0; i < 3; i++) {
		agents[i] = live_agent(&live, names[i], NULL);
		live_map(agents[i], "10.0.0.1", names[i]);
		live_await(&live, agents[i]->acked == 1);
	}
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "a.example");
	cr_assert_eq(live_set_agents(&live,
				     "a.example 10.9.0.0/16 priority=3\n"
				     "b.example 10.0.0.0/8 priority=1\n"
				     "c.example 10.0.0.0/8 priority=2\n"),
		     0);
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "c.example");
	live_map(agents[0], "10.9.0.1", "alice");
	live_await(&live, agents[0]->acked == 2);
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "c.example");
	live_done(&live);
}

Test(list, null_is_the_empty_list)
{
	struct live live;
	struct live_agent *agent;
	uint64_t ticket;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	agent = live_agent(&live, "a.example", NULL);
	ticket = live_map(agent, "10.0.0.1", "alice");
	live_await(&live, agent->acked == ticket);
	cr_assert_eq(uidrecv_receiver_set_agents(live.receiver, NULL), 0);
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "");
	live_await(&live, agent->result == UIDRECV_E_REFUSED);
	cr_expect_eq(live_stats(&live).claims, 0);
	cr_expect_eq(live_stats(&live).sessions, 0);
	live_done(&live);
}

/* Before there is a list nobody is refused for good. */
Test(list, agents_come_before_the_first_list)
{
	struct live live;
	struct live_agent *agent;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	live_stop(&live);
	cr_assert_eq(
	    uidrecv_receiver_new(&live.receiver, &live.options, NULL, 0), 0);
	cr_assert_eq(uidrecv_receiver_listen(live.receiver, live.address, NULL),
		     0);
	agent = live_agent(&live, "a.example", NULL);
	live_await(&live, agent->last.type);
	cr_expect_eq(agent->last.type, UIDRECV_AGENT_LOST);
	cr_expect_eq(agent->last.code, UIDRECV_BYE_OVERLOADED);
	cr_assert_eq(live_set_agents(&live, live.rights), 0);
	live_await(&live, agent->events[UIDRECV_AGENT_CONNECTED]);
	live_done(&live);
}

/* The list changes while a handshake is under way, by which it was let in. */
Test(list, removed_before_its_hello)
{
	struct live live;
	struct wire wire;
	struct ur_message message;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	wire_new(&wire, &live, "a.example");
	cr_assert(wire_shake(&wire));
	cr_assert(wire_read(&wire, &message));
	cr_assert_eq(live_set_agents(&live, "b.example 10.0.0.0/8"), 0);
	cr_assert(wire_await(&wire, UR_BYE, &message));
	cr_expect_eq(message.bye.code, UIDRECV_BYE_NOT_AUTHORIZED);
	cr_assert_not(wire_read(&wire, &message));
	live_await(&live, live_stats(&live).connections == 0);
	wire_free(&wire);
	live_done(&live);
}

/* Agents that stay keep what is known of them, whatever comes and goes. */
Test(list, agents_keep_their_state)
{
	struct live live;
	struct live_agent *agent;
	struct uidrecv_agent_stats stats = {.size = sizeof(stats)};
	uint64_t ticket, session_id;

	live_init(&live, "m.example", NULL);
	live_start(&live);
	agent = live_agent(&live, "m.example", NULL);
	ticket = live_map(agent, "10.0.0.1", "alice");
	live_await(&live, agent->acked == ticket);
	cr_assert_eq(uidrecv_receiver_get_agent_stats(live.receiver, 0, &stats),
		     1);
	session_id = stats.session_id;
	cr_assert_eq(live_set_agents(&live, "z.example 10.0.0.0/8\n"
					    "a.example 10.0.0.0/8\n"
					    "m.example 10.0.0.0/8 priority=7"),
		     0);
	cr_assert_eq(uidrecv_receiver_get_agent_stats(live.receiver, 0, &stats),
		     1);
	cr_expect_str_eq(stats.name, "a.example");
	cr_assert_eq(uidrecv_receiver_get_agent_stats(live.receiver, 1, &stats),
		     1);
	cr_expect_str_eq(stats.name, "m.example");
	cr_expect(stats.is_connected);
	cr_expect_eq(stats.session_id, session_id);
	cr_expect_eq(stats.priority, 7);
	cr_expect_eq(stats.records, 1);
	cr_expect_eq(stats.claims, 1);
	cr_expect_eq(stats.durable, 1);
	cr_expect_str_eq(stats.software, "libuidrecv");
	cr_expect(!strncmp(stats.peer, "127.0.0.1:", 10));
	cr_expect_lt(stats.last_heard_ms, 60000);
	cr_expect_leq(stats.certificate_days, 1);
	live_done(&live);
}

/*
 * The table cannot be written: the new list is in force, and dispatch goes on
 * trying. Of the first list there is no table at all yet.
 */
static void fail_to_publish(bool is_first)
{
	struct live live;
	struct live_agent *agent;
	struct uidrecv_record record =
	    live_record(UIDRECV_OP_MAP, "10.0.0.9", "guest");
	struct uidrecv_record stored[] = {
	    live_record(UIDRECV_OP_MAP, "10.0.0.8", "carol"),
	    live_record(UIDRECV_OP_MAP, "10.2.0.8", "carol"),
	};
	char table[300];
	uint64_t ticket, other;
	uint16_t code;

	live_init(&live, "a.example", "b.example", NULL);
	snprintf(live.table, sizeof(live.table), "%s/t/table", live.directory);
	snprintf(table, sizeof(table), "%s/t", live.directory);
	live.options.table_path = live.table;
	cr_assert_eq(mkdir(table, 0755), 0);
	live_start(&live);
	for (size_t i = 0; i < 2; i++)
		cr_assert_eq(uidrecv_receiver_submit(live.receiver, "b.example",
						     &stored[i], 1, &code),
			     0);
	if (is_first) {
		live_stop(&live);
		cr_assert_eq(unlink(live.table), 0);
		cr_assert_eq(uidrecv_receiver_new(&live.receiver, &live.options,
						  NULL, 0),
			     0);
		cr_assert_eq(
		    uidrecv_receiver_listen(live.receiver, live.address, NULL),
		    0);
		live_turns(&live, 20);
	}
	unlink(live.table);
	cr_assert_eq(rmdir(table), 0);
	cr_assert_eq(live_set_agents(&live, "b.example 10.0.0.0/8"), -ENOENT);
	agent = live_agent(&live, "b.example", NULL);
	ticket = live_map(agent, "10.0.0.1", "alice");
	live_turns(&live, 300);
	cr_expect_eq(agent->acked, 0);
	cr_expect_eq(uidrecv_receiver_submit(live.receiver, "b.example",
					     &record, 1, &code),
		     -ENOENT);
	/* Nor does that keep a right from being taken away. */
	cr_expect_eq(live_set_agents(&live, "b.example 10.0.0.0/24"), -ENOENT);
	other = live_map(agent, "10.1.0.1", "bob");
	cr_assert_eq(mkdir(table, 0755), 0);
	live_await(&live, agent->acked == other);
	cr_expect_eq(agent->codes[ticket], 0);
	cr_expect_eq(agent->codes[other], UIDRECV_REJECT_ADDRESS_NOT_ALLOWED);
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "alice");
	cr_expect_str_eq(live_user(&live, "10.0.0.8"), "carol");
	cr_expect_str_eq(live_user(&live, "10.2.0.8"), "");
	live_done(&live);
}

Test(list, table_cannot_be_published)
{
	fail_to_publish(false);
}

Test(list, first_table_cannot_be_published)
{
	fail_to_publish(true);
}
