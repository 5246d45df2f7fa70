/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * However the streams of several agents interleave, and are cut into rounds,
 * everybody reads the same.
 */
#include <criterion/criterion.h>

#include "script.h"

static struct world world;
static struct script script;

static bool is_long(void)
{
	return getenv("UIDRECV_TEST_LONG") != NULL;
}

static void start(void)
{
	world_init(&world, 1);
}

static void start_lending(void)
{
	world_init_lending(&world, 1);
}

static void done(void)
{
	world_done(&world);
}

/* The seeds of a case; with UIDRECV_TEST_SEED it is that one alone. */
static bool next_seed(uint64_t *seed, uint64_t first, uint64_t count)
{
	const char *text = getenv("UIDRECV_TEST_SEED");

	if (text) {
		bool is_first = *seed == 0;

		*seed = strtoull(text, NULL, 10);
		return is_first;
	}
	if (is_long())
		count *= 20;
	*seed = *seed ? *seed + 1 : first;
	return *seed < first + count;
}

static void play(const size_t *order, uint64_t seed, unsigned int split)
{
	world.seed = seed;
	world.first_seed = seed;
	script_reset(&world);
	script_play(&script, &world, order, split);
	script_check(&script, &world);
	cr_assert(world.difference[0] == '\0', "%s", world.difference);
}

static void swap(size_t *a, size_t *b)
{
	size_t kept = *a;

	*a = *b;
	*b = kept;
}

/* The next order of a permutation, as in a dictionary. */
static bool permute(size_t *order, size_t count)
{
	size_t i = count - 1, j = count - 1;

	while (i > 0 && order[i - 1] >= order[i])
		i--;
	if (i == 0)
		return false;
	while (order[j] <= order[i - 1])
		j--;
	swap(&order[i - 1], &order[j]);
	for (j = count - 1; i < j; i++, j--)
		swap(&order[i], &order[j]);
	return true;
}

static size_t play_all_orders(uint64_t seed, unsigned int split)
{
	size_t order[] = {0, 1, 2, 3, 4, 5}, count = 0;

	cr_assert_eq(script.burst_count, 6);
	do {
		play(order, seed, split);
		count++;
	} while (permute(order, 6));
	return count;
}

TestSuite(sync_orders, .init = start, .fini = done, .timeout = 3000);

Test(sync_orders, I17_P18_all_720_orders_of_six_agents_from_nothing)
{
	for (uint64_t seed = 0; next_seed(&seed, 1, 4);) {
		script_draw(&script, seed, 0, 1);
		cr_assert_eq(play_all_orders(seed, 0), 720);
	}
}

Test(sync_orders, I17_P18_all_720_orders_after_a_past)
{
	for (uint64_t seed = 0; next_seed(&seed, 1000, 6);) {
		script_draw(&script, seed, 60, 1);
		cr_assert_eq(play_all_orders(seed, 0), 720);
	}
}

Test(sync_orders, I17_P18_all_720_orders_in_rounds_of_their_own)
{
	for (uint64_t seed = 0; next_seed(&seed, 2000, 4);) {
		script_draw(&script, seed, 40, 1);
		cr_assert_eq(play_all_orders(seed, 8), 720);
	}
}

/* Each seed is a case of several mixtures. */
static void play_mixtures(uint64_t first, uint64_t count, size_t before,
			  size_t each, unsigned int split)
{
	size_t order[SCRIPT_MAX];

	for (uint64_t seed = 0; next_seed(&seed, first, count);) {
		script_draw(&script, seed, before, each);
		for (uint64_t i = 0; i < 4; i++) {
			world.seed = seed + i;
			script_mix(&script, &world, order);
			play(order, seed, split);
		}
	}
}

Test(sync_orders, P18_streams_in_one_round)
{
	play_mixtures(10000, 300, 20, 6, 0);
}

Test(sync_orders, P18_streams_in_a_round_for_each_action)
{
	play_mixtures(20000, 300, 20, 6, 8);
}

Test(sync_orders, P18_streams_cut_into_rounds_anywhere)
{
	play_mixtures(30000, 500, 30, 8, 2);
}

Test(sync_orders, P18_long_streams_cut_into_rounds_anywhere)
{
	play_mixtures(40000, 150, 90, 15, 3);
}

/* The same with a table that lends lives, some of them in each case. */
TestSuite(sync_lent_orders, .init = start_lending, .fini = done,
	  .timeout = 3000);

Test(sync_lent_orders, I17_P18_all_720_orders_after_a_past)
{
	for (uint64_t seed = 0; next_seed(&seed, 50000, 2);) {
		script_draw(&script, seed, 60, 1);
		cr_assert_eq(play_all_orders(seed, 4), 720);
	}
}

Test(sync_lent_orders, P18_streams_cut_into_rounds_anywhere)
{
	play_mixtures(60000, 200, 30, 8, 2);
	cr_assert_gt(world.lent, 0);
}

Test(sync_lent_orders, P18_long_streams_cut_into_rounds_anywhere)
{
	play_mixtures(70000, 60, 90, 15, 3);
	cr_assert_gt(world.lent, 0);
}
