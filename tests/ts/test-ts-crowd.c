/* SPDX-License-Identifier: BSD-2-Clause */
/* Many Terminal Server agents to which one receiver connects. */
#include <criterion/criterion.h>

#include "crowd.h"

#define AGENTS 200
#define VILLAINS 20
#define BLOCKS 40

/* What libraries may keep of a first use; a connection has more. */
#define KEPT_MAX 300000

static struct crowd crowd;

static void fini(void)
{
	crowd_done(&crowd);
}

TestSuite(ts_crowd, .fini = fini);

/* All that are right have come, and have said all; nothing was wrong. */
static void come(uint32_t agents)
{
	crowd_await(&crowd, crowd.connected == agents);
	for (uint32_t i = 0; i < agents; i++)
		crowd_say_all(&crowd, &crowd.agents[i]);
	crowd_await(&crowd, crowd.waiting == 0);
}

/* Blocks come to other users, some after they were free for a while. */
static void change_some(uint32_t round)
{
	for (uint32_t i = 0; i < crowd.agents_count; i++) {
		uint32_t block = (i + round) % BLOCKS;
		uint32_t had = crowd.agents[i].blocks[block].user;

		crowd_say(&crowd, &crowd.agents[i], block,
			  i % 3 == round % 3 && had ? 0 : 1000 + i + round);
	}
	for (uint32_t i = 0; i < crowd.agents_count; i++)
		(void)!uidrecv_agent_listener_dispatch(
		    crowd.agents[i].listener);
	crowd_await(&crowd, crowd.waiting == 0);
}

static void check_all(unsigned int connects)
{
	crowd_look_at_all(&crowd);
	cr_expect_eq(crowd.wrong, 0, "%llu of %llu lookups",
		     (unsigned long long)crowd.wrong,
		     (unsigned long long)crowd.lookups);
	cr_expect_eq(crowd.rejected, 0);
	for (uint32_t i = 0; i < crowd.agents_count; i++) {
		cr_expect_eq(crowd.agents[i].connects, connects, "agent %u", i);
		cr_expect_eq(crowd.agents[i].losts, connects - 1);
	}
}

/* T08: each block of each has the one user that its agent says. */
Test(ts_crowd, T08_all_are_right)
{
	struct crowd_figures figures;

	crowd_init(&crowd, AGENTS, BLOCKS, 0);
	crowd_list(&crowd, true, false);
	come(AGENTS);
	for (uint32_t i = 0; i < 6; i++)
		change_some(i);
	check_all(1);
	figures = crowd_figures(&crowd);
	cr_expect_eq(figures.attempts_most, 1);
	cr_expect_eq(figures.stats.sessions, AGENTS);
	cr_expect_eq(figures.stats.snapshots, AGENTS);
	cr_expect_eq(figures.stats.records_rejected, 0);
	cr_expect_leq(figures.stats.claims, AGENTS * BLOCKS);
}

/* A receiver that is killed and comes back: nobody has another's block. */
Test(ts_crowd, receiver_is_killed)
{
	crowd_init(&crowd, AGENTS, BLOCKS, 0);
	crowd_list(&crowd, true, false);
	come(AGENTS);
	for (uint32_t i = 0; i < crowd.agents_count; i++)
		crowd_say(&crowd, &crowd.agents[i], i % BLOCKS, 2000 + i);
	for (int i = 0; i < 3; i++)
		crowd_turn(&crowd);
	crowd_kill(&crowd);
	crowd_await(&crowd, crowd.connected == 0);
	/* It reads the list of before. */
	crowd_start(&crowd);
	crowd_await(&crowd, crowd.connected == AGENTS);
	crowd_await(&crowd, crowd.waiting == 0);
	change_some(7);
	check_all(2);
}

/*
 * N28: of 200 that are dialled 20 are silent, slow, endless or reset: the
 * others come and are right, each attempt has its wait, and nothing grows.
 */
Test(ts_crowd, N28_twenty_villains)
{
	struct crowd_figures before, now;
	uint32_t round = 0;

	crowd_init(&crowd, AGENTS - VILLAINS, BLOCKS, VILLAINS);
	crowd_list(&crowd, true, true);
	come(AGENTS - VILLAINS);
	crowd_await(&crowd, crowd_figures(&crowd).failures_least >= 1);
	(void)crowd_list(&crowd, true, false);
	crowd_await(&crowd, crowd_figures(&crowd).stats.connections ==
				AGENTS - VILLAINS);
	before = crowd_figures(&crowd);
	crowd_list(&crowd, true, true);
	do {
		change_some(round++);
		now = crowd_figures(&crowd);
		cr_assert_eq(now.attempts_unbound, 0);
	} while (now.failures_least < 2 && round < 100000);
	cr_expect_geq(now.failures_least, 2);
	(void)crowd_list(&crowd, true, false);
	crowd_await(&crowd, crowd_figures(&crowd).stats.connections ==
				AGENTS - VILLAINS);
	now = crowd_figures(&crowd);
	cr_expect_leq(now.fds, before.fds);
	cr_expect_leq(now.heap_bytes, before.heap_bytes + KEPT_MAX);
	cr_expect_eq(now.attempts_most, 1);
	check_all(1);
}
