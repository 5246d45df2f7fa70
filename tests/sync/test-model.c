/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random runs of all that can happen to a store, and the oracle beside it.
 * UIDRECV_TEST_SEED makes one run alone, UIDRECV_TEST_TRACE tells its story.
 */
#include <criterion/criterion.h>

#include "world.h"

static struct world world;
static uint64_t operations, endings[4], taken, lent, lost;

struct plan {
	uint64_t seed; /* the first */
	uint64_t runs, steps;
	bool lends;
	uint64_t quota; /* 0: none */
	uint64_t check_every, shown_every, collect_every, deadlines_every,
	    restart_every; /* steps; 0: never */
};

static bool is_due(uint64_t step, uint64_t every)
{
	return every && step % every == 0 && !world.difference[0];
}

static void restart(void)
{
	static const int64_t hours[] = {0, 1, -1, 10000, -10000, 5};
	int64_t step = hours[world_draw(&world, 6)];

	world_restart(&world, world_draw(&world, 2) != 0,
		      world_draw(&world, 1000) * SECOND, step * (int64_t)HOUR);
}

static void look(const struct plan *plan, uint64_t step)
{
	if (is_due(step, plan->restart_every))
		restart();
	if (is_due(step, plan->shown_every)) {
		world_settle(&world, world.now_us);
		world_check_shown(&world, false);
	}
	if (is_due(step, plan->check_every)) {
		world_check_answers(&world, world.now_us);
		world_check_rows(&world, false);
	}
	if (is_due(step, plan->collect_every)) {
		world_collect_all(&world);
		world_check_rows(&world, true);
		world_settle(&world, world.now_us);
		world_check_shown(&world, true);
	}
	if (is_due(step, plan->deadlines_every))
		world_check_deadlines(&world);
}

static void run(const struct plan *plan, uint64_t seed)
{
	if (plan->lends)
		world_init_lending(&world, seed);
	else
		world_init(&world, seed);
	if (plan->quota)
		world.quota = plan->quota;
	for (uint64_t i = 1; i <= plan->steps && !world.difference[0]; i++) {
		world_step(&world);
		look(plan, i);
	}
	world_check_answers(&world, world.now_us);
	world_check_rows(&world, false);
	cr_assert(world.difference[0] == '\0', "%s", world.difference);
	operations += world.operations;
	taken += world.taken;
	lent += world.lent;
	lost += world.lost;
	for (size_t i = 0; i < 4; i++)
		endings[i] += world.endings[i];
	world_done(&world);
}

/* In the long form seventy times as many. */
static void follow(struct plan plan)
{
	const char *text = getenv("UIDRECV_TEST_SEED");

	if (text) {
		run(&plan, strtoull(text, NULL, 10));
		return;
	}
	if (getenv("UIDRECV_TEST_LONG"))
		plan.runs *= 70;
	for (uint64_t i = 0; i < plan.runs; i++)
		run(&plan, plan.seed + i);
	/* It is of no worth if nothing of this came to pass. */
	for (size_t i = 1; i < 4; i++)
		cr_assert_gt(endings[i], plan.runs * plan.steps / 10000);
	cr_assert_gt(taken, plan.runs * plan.steps / 10000);
	cr_assert(!plan.lends || lent > plan.runs * plan.steps / 100);
	fprintf(stderr,
		"%ju operations, %ju dropped, %ju held, %ju refused, "
		"%ju REFRESH ALL taken, %ju lives lent, %ju of them lost\n",
		(uintmax_t)operations, (uintmax_t)endings[1],
		(uintmax_t)endings[2], (uintmax_t)endings[3], (uintmax_t)taken,
		(uintmax_t)lent, (uintmax_t)lost);
}

static void clean(void)
{
	if (world.store)
		world_done(&world);
}

TestSuite(sync_model, .fini = clean, .timeout = 3000);

Test(sync_model, P25_many_short_runs_agree)
{
	follow((struct plan){
	    .seed = 1, .runs = 150, .steps = 150, .check_every = 1});
}

Test(sync_model, P25_long_runs_agree)
{
	follow((struct plan){
	    .seed = 10000, .runs = 3, .steps = 12000, .check_every = 20});
}

Test(sync_model, P25_what_is_listed_for_lookups_agrees)
{
	follow((struct plan){
	    .seed = 20000, .runs = 30, .steps = 600, .shown_every = 1});
}

Test(sync_model, P25_what_is_listed_agrees_while_much_is_collected)
{
	follow((struct plan){.seed = 30000,
			     .runs = 30,
			     .steps = 400,
			     .shown_every = 1,
			     .collect_every = 5});
}

Test(sync_model, P25_counts_agree_when_the_dead_are_collected)
{
	follow((struct plan){.seed = 40000,
			     .runs = 40,
			     .steps = 300,
			     .check_every = 5,
			     .collect_every = 10});
}

Test(sync_model, P25_every_end_of_a_life_agrees)
{
	follow((struct plan){
	    .seed = 50000, .runs = 80, .steps = 200, .deadlines_every = 20});
}

Test(sync_model, P25_restarts_boots_and_steps_of_the_clock_agree)
{
	follow((struct plan){.seed = 60000,
			     .runs = 40,
			     .steps = 300,
			     .check_every = 1,
			     .shown_every = 3,
			     .collect_every = 7,
			     .restart_every = 15});
}

Test(sync_model, P25_a_small_quota_agrees)
{
	follow((struct plan){.seed = 70000,
			     .runs = 40,
			     .steps = 300,
			     .quota = 3,
			     .check_every = 2,
			     .collect_every = 50});
}

/* The same with a table that lends lives, and is what is looked at. */
Test(sync_model, P25_lent_lives_agree)
{
	follow((struct plan){.seed = 80000,
			     .runs = 150,
			     .steps = 150,
			     .lends = true,
			     .check_every = 1,
			     .shown_every = 1});
}

Test(sync_model, P25_lent_lives_agree_in_long_runs)
{
	follow((struct plan){.seed = 90000,
			     .runs = 20,
			     .steps = 1500,
			     .lends = true,
			     .shown_every = 1,
			     .collect_every = 9});
}

Test(sync_model, P25_lent_lives_agree_in_counts_and_quotas)
{
	follow((struct plan){.seed = 100000,
			     .runs = 60,
			     .steps = 300,
			     .lends = true,
			     .quota = 3,
			     .check_every = 3,
			     .collect_every = 10});
}

Test(sync_model, P25_lent_lives_agree_at_every_end_of_a_life)
{
	follow((struct plan){.seed = 110000,
			     .runs = 80,
			     .steps = 200,
			     .lends = true,
			     .deadlines_every = 20});
}

Test(sync_model, P25_lent_lives_agree_after_restarts_and_boots)
{
	follow((struct plan){.seed = 120000,
			     .runs = 80,
			     .steps = 300,
			     .lends = true,
			     .check_every = 1,
			     .shown_every = 1,
			     .restart_every = 7});
	cr_assert_gt(lost, 0);
}
