/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What happens around snapshots: others answer for what was dropped, the list
 * of agents changes in the middle of one, another takes the identity over.
 */
#include <stdio.h>
#include <string.h>

#include "live.h"

#define MANY 20000
/* The receiver walks so many of them in a dispatch. */
#define SLICE 8192

static void begin(struct live_agent *agent)
{
	cr_assert_eq(uidrecv_agent_snapshot_begin(agent->agent, false), 0);
}

static void end(struct live_agent *agent)
{
	cr_assert_eq(uidrecv_agent_snapshot_end(agent->agent), 0);
}

#define await_acked(live, agent)                                               \
	live_await(live,                                                       \
		   (agent)->acked_serial == live_counters(agent).last_serial)

static struct uidrecv_address address_of(uint32_t place)
{
	return uidrecv_address_from_ipv4(0x0a000000 + place);
}

static void say(struct live_agent *agent, uint32_t first, uint32_t count,
		const char *user)
{
	struct uidrecv_record record =
	    live_record(UIDRECV_OP_MAP, "10.0.0.0", user);

	for (uint32_t i = first; i < first + count; i++) {
		record.address = address_of(i);
		cr_assert_eq(uidrecv_agent_queue(agent->agent, &record, NULL),
			     0);
	}
}

static uint32_t count_users(struct live *live, uint32_t first, uint32_t count,
			    const char *user)
{
	uint32_t found = 0;

	for (uint32_t i = first; i < first + count; i++) {
		struct uidrecv_query query = {.address = address_of(i)};
		struct uidrecv_mapping mapping;

		found += live_lookup(live, &query, &mapping) &&
			 !strcmp(mapping.user, user);
	}
	return found;
}

static struct uidrecv_agent_stats stats_of(const struct live *live)
{
	struct uidrecv_agent_stats stats = {.size = sizeof(stats)};

	cr_assert_eq(
	    uidrecv_receiver_get_agent_stats(live->receiver, 0, &stats), 1);
	return stats;
}

/* However many there are: a slice in each dispatch, and no wait in between. */
Test(live_changes, runners_up_take_over)
{
	struct live live;
	struct live_agent *a, *b;
	unsigned int turns = 0;

	live_init(&live, "a.example", "b.example", NULL);
	snprintf(live.rights, sizeof(live.rights),
		 "a.example 10.0.0.0/8 priority=2\n"
		 "b.example 10.0.0.0/8 priority=1\n");
	live.options.store_max_bytes = 512u << 20;
	live_start(&live);
	a = live_agent(&live, "a.example", NULL);
	b = live_agent(&live, "b.example", NULL);
	say(b, 0, MANY, "bob");
	begin(a);
	say(a, 0, MANY, "alice");
	end(a);
	await_acked(&live, a);
	await_acked(&live, b);
	cr_assert_eq(count_users(&live, 0, MANY, "alice"), MANY);
	begin(a);
	say(a, 0, MANY / 2, "alice");
	end(a);
	await_acked(&live, a);
	cr_assert_eq(count_users(&live, MANY / 2, MANY / 2, "alice"), 0);
	while (count_users(&live, MANY / 2, MANY / 2, "bob") < MANY / 2) {
		cr_assert_leq(++turns, MANY / SLICE + 4);
		live_turn(&live);
	}
	cr_expect_eq(count_users(&live, 0, MANY / 2, "alice"), MANY / 2);
	cr_expect_eq(stats_of(&live).claims, MANY / 2);
	live_done(&live);
}

Test(live_changes, removed_from_the_list_in_a_snapshot)
{
	struct live live;
	struct live_agent *agent;

	live_init(&live, "a.example", "b.example", NULL);
	live_start(&live);
	agent = live_agent(&live, "a.example", NULL);
	say(agent, 1, 4, "former");
	await_acked(&live, agent);
	begin(agent);
	say(agent, 1, 2, "alice");
	await_acked(&live, agent);
	cr_assert_eq(live_set_agents(&live, "b.example 10.0.0.0/8"), 0);
	cr_expect_eq(count_users(&live, 1, 4, "former"), 0);
	cr_expect_eq(count_users(&live, 1, 4, "alice"), 0);
	live_await(&live, agent->result == UIDRECV_E_REFUSED);
	cr_expect_eq(agent->last.code, UIDRECV_BYE_NOT_AUTHORIZED);
	cr_expect_eq(live_stats(&live).claims, 0);
	live_agent_end(&live, agent);
	/* It may come back, and nothing is left of the snapshot. */
	cr_assert_eq(live_set_agents(&live, live.rights), 0);
	agent = live_agent(&live, "a.example", NULL);
	say(agent, 7, 1, "late");
	begin(agent);
	say(agent, 3, 2, "alice");
	say(agent, 7, 1, "late");
	end(agent);
	cr_assert_eq(uidrecv_agent_refresh_all(agent->agent, 3), 0);
	await_acked(&live, agent);
	cr_expect_eq(count_users(&live, 1, 4, "alice"), 2);
	cr_expect_eq(stats_of(&live).claims, 3);
	cr_expect_eq(live_stats(&live).refresh_alls, 1);
	cr_expect_eq(live_counters(agent).resyncs, 0);
	live_done(&live);
}

/* What the rights lose is gone at once, and does not count in the end. */
Test(live_changes, narrowed_rights_in_a_snapshot)
{
	struct live live;
	struct live_agent *agent;
	unsigned int rejected;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	agent = live_agent(&live, "a.example", NULL);
	/* 10.0.0.1 to 4, and 10.1.0.1 to 4. */
	say(agent, 1, 4, "alice");
	say(agent, 0x10001, 4, "alice");
	await_acked(&live, agent);
	begin(agent);
	say(agent, 1, 2, "alice");
	say(agent, 0x10001, 2, "alice");
	await_acked(&live, agent);
	cr_assert_eq(live_set_agents(&live, "a.example 10.0.0.0/16"), 0);
	cr_expect_eq(stats_of(&live).claims, 4);
	cr_expect(stats_of(&live).is_in_snapshot);
	say(agent, 3, 1, "alice");
	say(agent, 0x10003, 2, "alice");
	end(agent);
	await_acked(&live, agent);
	rejected = agent->events[UIDRECV_AGENT_REJECTED];
	cr_expect_eq(rejected, 2);
	cr_expect_eq(count_users(&live, 1, 4, "alice"), 3);
	cr_expect_eq(count_users(&live, 0x10001, 4, "alice"), 0);
	cr_expect_eq(live_stats(&live).snapshots, 1);
	cr_expect_eq(stats_of(&live).held_claims, 0);
	cr_assert_eq(uidrecv_agent_refresh_all(agent->agent, 3), 0);
	await_acked(&live, agent);
	cr_expect_eq(live_stats(&live).refresh_alls, 1);
	cr_expect_eq(live_counters(agent).resyncs, 0);
	cr_expect_eq(agent->events[UIDRECV_AGENT_LOST], 0);
	live_done(&live);
}

/* What is held and no longer allowed waits for nobody. */
Test(live_changes, P20_narrowed_rights_and_held_claims)
{
	struct live live;
	struct live_agent *agent;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	agent = live_agent(&live, "a.example", NULL);
	say(agent, 1, 2, "alice");
	say(agent, 0x10001, 6, "alice");
	begin(agent);
	say(agent, 1, 1, "alice");
	end(agent);
	await_acked(&live, agent);
	cr_assert_eq(stats_of(&live).held_claims, 7);
	cr_assert_eq(live_set_agents(&live, "a.example 10.0.0.0/16"), 0);
	cr_expect_eq(stats_of(&live).held_claims, 1);
	cr_expect_eq(stats_of(&live).claims, 2);
	cr_expect_eq(count_users(&live, 1, 2, "alice"), 2);
	cr_expect_eq(count_users(&live, 0x10001, 6, "alice"), 0);
	cr_assert_eq(uidrecv_receiver_accept_drops(live.receiver, "a.example"),
		     1);
	cr_expect_eq(count_users(&live, 1, 2, "alice"), 1);
	cr_expect_eq(stats_of(&live).claims, 1);
	live_done(&live);
}

/*
 * Two agents with one certificate: the former's snapshot is given up and drops
 * nothing, and neither takes the identity from the other again.
 */
Test(live_changes, I10_superseded_in_a_snapshot)
{
	struct live live;
	struct live_agent *former, *later;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	former = live_agent(&live, "a.example", NULL);
	say(former, 1, 4, "former");
	await_acked(&live, former);
	begin(former);
	say(former, 1, 2, "again");
	await_acked(&live, former);
	later = live_agent(&live, "a.example", NULL);
	live_await(&live, later->events[UIDRECV_AGENT_CONNECTED]);
	live_await(&live, former->result == UIDRECV_E_REFUSED);
	cr_expect_eq(former->last.code, UIDRECV_BYE_SUPERSEDED);
	cr_expect_eq(count_users(&live, 1, 2, "again"), 2);
	cr_expect_eq(count_users(&live, 3, 2, "former"), 2);
	cr_expect_not(stats_of(&live).is_in_snapshot);
	begin(later);
	say(later, 2, 3, "later");
	end(later);
	await_acked(&live, later);
	cr_expect_eq(count_users(&live, 1, 4, "later"), 3);
	cr_expect_eq(count_users(&live, 1, 4, "again"), 0);
	cr_expect_eq(stats_of(&live).claims, 3);
	live_turns(&live, 700);
	cr_expect_eq(live_stats(&live).accepted, 2);
	cr_expect_eq(later->events[UIDRECV_AGENT_LOST], 0);
	cr_expect_eq(live_stats(&live).snapshots, 1);
	cr_expect_eq(live_counters(later).resyncs, 0);
	live_done(&live);
}
