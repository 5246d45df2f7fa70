/* SPDX-License-Identifier: BSD-2-Clause */
#include "answer.h"

#include <criterion/criterion.h>

#include "cells.h"

#define AGENTS 3
#define EACH 3

static struct ur_cell cell;

static void tell(struct ur_statement statement, uint32_t agent, uint64_t now)
{
	bool changed, added;

	cr_assert_geq(ur_cell_apply(&cell, &statement, agent, 1,
				    START + now * SECOND, &changed, &added),
		      0);
}

static uint32_t agent_at(uint64_t now)
{
	const struct ur_claim *claim =
	    ur_answer(&cell, &ranks, START + now * SECOND);

	return claim ? claim->agent : 0;
}

static void done(void)
{
	ur_cell_done(&cell);
}

TestSuite(answer, .fini = done);

Test(answer, nobody_says_nothing)
{
	cr_assert_eq(agent_at(0), 0);
	cr_assert_eq(ur_answer_contended_until(&cell, &ranks, START),
		     UR_TIME_NEVER);
}

Test(answer, the_greatest_priority_wins)
{
	tell(say(UIDRECV_OP_MAP, "new", 9, 9, 60), 1, 9);
	tell(say(UIDRECV_OP_MAP, "top", 1, 9, 60), 4, 9);
	tell(say(UIDRECV_OP_MAP, "mid", 5, 9, 60), 3, 9);
	cr_assert_eq(agent_at(9), 4);
}

Test(answer, of_equals_the_newest_wins)
{
	tell(say(UIDRECV_OP_MAP, "new", 9, 9, 60), 1, 9);
	tell(say(UIDRECV_OP_MAP, "old", 8, 9, 60), 2, 9);
	cr_assert_eq(agent_at(9), 1);
}

Test(answer, of_simultaneous_equals_the_name_decides)
{
	tell(say(UIDRECV_OP_MAP, "one", 9, 9, 60), 1, 9);
	tell(say(UIDRECV_OP_MAP, "two", 9, 9, 60), 2, 9);
	cr_assert_eq(agent_at(9), 2);
}

Test(answer, names_compare_by_bytes_and_the_longer_wins)
{
	const struct ur_rank by_id[] = {
	    {NULL, 0}, {"a", 1}, {"a.", 1}, {"A~~~", 1}, {"\xc3\xa4", 1}};
	const struct ur_ranks these = {by_id, 5};
	uint32_t expected[] = {0, 1, 2, 2, 4};

	for (uint32_t agent = 1; agent < 5; agent++) {
		tell(say(UIDRECV_OP_MAP, "x", 9, 9, 60), agent, 9);
		cr_assert_eq(ur_answer(&cell, &these, START)->agent,
			     expected[agent]);
	}
}

Test(answer, the_dead_and_the_unlisted_do_not_count)
{
	tell(say(UIDRECV_OP_MAP, "gone", 9, 9, 60), 5, 9);
	tell(say(UIDRECV_OP_MAP, "gone", 9, 9, 60), 1000, 9);
	tell(say(UIDRECV_OP_MAP, "top", 9, 9, 10), 4, 9);
	tell(say(UIDRECV_OP_MAP, "low", 9, 9, 60), 1, 9);
	cr_assert_eq(agent_at(18), 4);
	cr_assert_eq(agent_at(19), 1);
	cr_assert_eq(agent_at(68), 1);
	cr_assert_eq(agent_at(69), 0);
}

Test(answer, never_is_for_ever)
{
	tell(say(UIDRECV_OP_MAP, "x", 9, 9, UIDRECV_LIFETIME_NEVER), 1, 9);
	cr_assert_not_null(ur_answer(&cell, &ranks, UR_TIME_NEVER - 1));
}

Test(answer, contended_until_the_answer_ends)
{
	uint64_t now = START + 9 * SECOND;

	tell(say(UIDRECV_OP_MAP, "top", 9, 9, 10), 4, 9);
	cr_assert_eq(ur_answer_contended_until(&cell, &ranks, now),
		     UR_TIME_NEVER);
	tell(say(UIDRECV_OP_MAP, "low", 9, 9, 5), 1, 9);
	cr_assert_eq(ur_answer_contended_until(&cell, &ranks, now),
		     START + 19 * SECOND);
	/* A runner-up that is dead or suppressed waits for nothing. */
	cr_assert_eq(
	    ur_answer_contended_until(&cell, &ranks, START + 14 * SECOND),
	    UR_TIME_NEVER);
	tell(say(UIDRECV_OP_LOGOUT, "low", 9, 9, 0), 3, 9);
	cr_assert_eq(ur_answer_contended_until(&cell, &ranks, now),
		     UR_TIME_NEVER);
}

static struct ur_statement draw_statement(uint64_t *seed)
{
	static const enum uidrecv_op ops[] = {
	    UIDRECV_OP_MAP,	UIDRECV_OP_MAP,	   UIDRECV_OP_MAP,
	    UIDRECV_OP_REFRESH, UIDRECV_OP_LOGOUT, UIDRECV_OP_LOGOUT,
	    UIDRECV_OP_WITHDRAW};
	static const char *const users[] = {"ada", "bob", "eve"};
	enum uidrecv_op op = ops[draw(seed, 7)];
	const char *user = users[draw(seed, 3)];
	struct ur_statement statement;

	if (op != UIDRECV_OP_MAP && draw(seed, 2) == 0)
		user = NULL;
	statement = say(op, user, draw(seed, 8), 5 + draw(seed, 5),
			(uint32_t)(1 + draw(seed, 30)));
	if ((op == UIDRECV_OP_MAP || op == UIDRECV_OP_LOGOUT) &&
	    draw(seed, 3) == 0)
		return with_token(statement, draw(seed, 2));
	return statement;
}

/* Answers at some times, as one number. */
static uint64_t fingerprint(void)
{
	uint64_t print = 0;

	for (uint64_t now = 10; now < 42; now += 2) {
		const struct ur_claim *claim =
		    ur_answer(&cell, &ranks, START + now * SECOND);

		print = print * 31 + (claim ? claim->agent : 0);
		print = print * 31 + (claim ? (uint64_t)claim->user[0] : 0);
		print = print * 31 + (claim ? claim->deadline_us / SECOND : 0);
	}
	return print;
}

static uint64_t play(struct ur_statement said[AGENTS][EACH], const int *order,
		     const uint32_t *agents, bool collect)
{
	size_t next[AGENTS] = {0};

	ur_cell_clear(&cell);
	for (int i = 0; i < AGENTS * EACH; i++) {
		const struct ur_statement *statement =
		    &said[order[i]][next[order[i]]++];

		tell(*statement, agents[order[i]], 10);
		if (collect)
			ur_cell_collect(&cell, &ranks, START + 10 * SECOND);
	}
	return fingerprint();
}

/* The next order of a multiset; false after the last. */
static bool permute(int *order, int count)
{
	int i = count - 1, j = count - 1;

	while (i > 0 && order[i - 1] >= order[i])
		i--;
	if (i == 0)
		return false;
	while (order[j] <= order[i - 1])
		j--;
	for (int swap = order[i - 1]; i > 0; i = 0) {
		order[i - 1] = order[j];
		order[j] = swap;
		for (int a = i, b = count - 1; a < b; a++, b--) {
			swap = order[a];
			order[a] = order[b];
			order[b] = swap;
		}
	}
	return true;
}

Test(answer, interleaving_does_not_matter)
{
	static const uint32_t agents[AGENTS] = {1, 2, 4};
	struct ur_statement said[AGENTS][EACH];

	for (uint64_t run = 0; run < 300; run++) {
		int order[AGENTS * EACH] = {0, 0, 0, 1, 1, 1, 2, 2, 2};
		uint64_t seed = run;
		uint64_t print;
		int orders = 0;

		for (int i = 0; i < AGENTS * EACH; i++)
			said[i / EACH][i % EACH] = draw_statement(&seed);
		print = play(said, order, agents, false);
		do {
			orders++;
			cr_assert_eq(play(said, order, agents, orders & 1),
				     print, "seed %ju", (uintmax_t)run);
		} while (permute(order, AGENTS * EACH));
		cr_assert_eq(orders, 1680);
	}
}
