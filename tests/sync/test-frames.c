/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * However streams are cut into UPDATEs, and UPDATEs gathered into rounds,
 * readers of the table see the same, and it is what the oracle says.
 */
#include <criterion/criterion.h>

#include "frames.h"

static struct frames frames;
static struct script script;

static void start(void)
{
	frames_init(&frames);
}

static void done(void)
{
	frames_done(&frames);
}

static void play(uint64_t seed, unsigned int join, unsigned int split,
		 bool is_restarted)
{
	size_t order[SCRIPT_MAX];

	frames.world.first_seed = frames.world.seed = seed;
	script_draw(&script, seed, 40, 8);
	script_mix(&script, &frames.world, order);
	frames_reset(&frames);
	frames_play(&frames, &script, order, join, split);
	frames_check(&frames, false);
	if (is_restarted) {
		frames_make_table(&frames);
		frames_check(&frames, true);
		frames_accept(&frames);
	}
	frames_check_deadlines(&frames);
	cr_assert(frames.world.difference[0] == '\0', "%s",
		  frames.world.difference);
}

static void play_all(uint64_t first, uint64_t count, unsigned int join,
		     unsigned int split, bool is_restarted)
{
	const char *text = getenv("UIDRECV_TEST_SEED");

	if (text) {
		play(strtoull(text, NULL, 10), join, split, is_restarted);
		return;
	}
	if (getenv("UIDRECV_TEST_LONG"))
		count *= 30;
	for (uint64_t seed = first; seed < first + count; seed++)
		play(seed, join, split, is_restarted);
	cr_assert_gt(frames.ends, count);
	cr_assert_gt(frames.refreshes, count);
	/* To refuse for being busy is the exception. */
	cr_assert_lt(frames.busy, (frames.ends + frames.refreshes) / 4);
}

TestSuite(sync_frames, .init = start, .fini = done, .timeout = 3000);

Test(sync_frames, P18_a_frame_for_each_record)
{
	play_all(1, 150, 0, 2, false);
}

Test(sync_frames, P18_as_many_records_in_a_frame_as_can_be)
{
	play_all(1000, 150, 8, 2, false);
}

Test(sync_frames, P18_frames_cut_anywhere_in_one_round)
{
	play_all(2000, 150, 4, 0, false);
}

Test(sync_frames, P18_a_round_for_each_frame)
{
	play_all(3000, 100, 4, 8, false);
}

Test(sync_frames, P25_a_new_table_of_the_same_store_says_the_same)
{
	play_all(4000, 100, 4, 2, true);
}
