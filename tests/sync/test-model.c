/* SPDX-License-Identifier: BSD-2-Clause */
/* Random runs of everything that can happen to a store, and the oracle. */
#include <criterion/criterion.h>

#include "world.h"

static struct world world;

static bool is_long(void)
{
	return getenv("UIDRECV_TEST_LONG") != NULL;
}

/* The seed is settable, and then only that run is made. */
static uint64_t get_seed(uint64_t otherwise)
{
	const char *text = getenv("UIDRECV_TEST_SEED");

	return text ? strtoull(text, NULL, 10) : otherwise;
}

static void run(uint64_t seed, uint64_t steps, uint64_t check_every)
{
	world_init(&world, get_seed(seed));
	if (seed % 3 == 0)
		world.quota = 4;
	for (uint64_t i = 0; i < steps && !world.difference[0]; i++) {
		world_step(&world);
		if (i % check_every)
			continue;
		world_check_answers(&world, world.now_us);
		world_check_rows(&world, false);
	}
	cr_assert(world.difference[0] == '\0', "%s", world.difference);
	world_done(&world);
}

TestSuite(sync_model, .timeout = 3000);

Test(sync_model, P25_short_runs_agree)
{
	for (uint64_t i = 0; i < 300; i++)
		run(i, 200, 1);
}
