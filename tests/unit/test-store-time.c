/* SPDX-License-Identifier: BSD-2-Clause */
/* The store's time, which goes on over reboots. */
#include "stores.h"

static struct box box;
static const uint32_t ip = 0x0a010203;

static void start(void)
{
	box_start(&box);
}

static void done(void)
{
	box_done(&box);
}

TestSuite(store_time, .init = start, .fini = done);

static uint64_t reopen_at(uint64_t boot_us, uint64_t wall_us, uint8_t boot_id)
{
	box_close(&box);
	box.options.boot_us = boot_us;
	box.options.wall_us = wall_us;
	box.options.boot_id[0] = boot_id;
	cr_assert_eq(box_open(&box), 0);
	return boot_us + ur_store_get_base_us(box.store);
}

Test(store_time, time_goes_on_with_the_boot_clock)
{
	uint64_t base = ur_store_get_base_us(box.store);

	cr_assert_eq(base, START - UPTIME);
	/* Steps of the wall clock change nothing. */
	cr_assert_eq(reopen_at(UPTIME + 5, START + 9 * HOUR, 1), START + 5);
	cr_assert_eq(reopen_at(UPTIME + 9, 7, 1), START + 9);
	cr_assert_eq(ur_store_get_base_us(box.store), base);
}

Test(store_time, C03_a_reboot_carries_the_remaining_life_over)
{
	uint64_t now = START + 50 * SECOND;

	box_tell(&box, say(UIDRECV_OP_MAP, "u", 1, 1, 3600), 1, 1);
	cr_assert_eq(ur_store_tick(box.store, now, now), 0);
	/* Off for ten minutes. */
	cr_assert_eq(reopen_at(3 * SECOND, now + 600 * SECOND, 2),
		     now + 600 * SECOND);
	/* A second start in this boot measures nothing anew. */
	cr_assert_eq(reopen_at(4 * SECOND, now + 900 * SECOND, 2),
		     now + 601 * SECOND);
	now += 601 * SECOND;
	/* The clock was set back, then it is not credible; life stands still.
	 */
	cr_assert_eq(reopen_at(SECOND, START, 3), now - SECOND);
	now -= SECOND;
	cr_assert_eq(ur_store_tick(box.store, now + 20 * SECOND, START), 0);
	cr_assert_eq(reopen_at(2 * SECOND, START + 3601 * SECOND, 4),
		     now + 20 * SECOND);
}

Test(store_time, time_never_goes_back)
{
	box_tell(&box, say(UIDRECV_OP_MAP, "u", 1, 1, 10), 1, 1);
	box_tell(&box, say(UIDRECV_OP_MAP, "v", 2, 1, 50), 1, 20);
	cr_assert_str_eq(box_answer(&box, ip, 1).user, "v");
	cr_assert_eq(reopen_at(UPTIME - 100 * SECOND, START, 1),
		     START + 20 * SECOND);
}

Test(store_time, tick_writes_every_ten_seconds)
{
	struct ur_store_stats before, after;

	ur_store_get_stats(box.store, &before);
	cr_assert_eq(ur_store_tick(box.store, START + 10 * SECOND - 1, START),
		     0);
	ur_store_get_stats(box.store, &after);
	cr_assert_eq(before.commits, after.commits);
	cr_assert_eq(ur_store_tick(box.store, START + 10 * SECOND, START), 0);
	cr_assert_eq(ur_store_tick(box.store, START + 11 * SECOND, START), 0);
	ur_store_get_stats(box.store, &after);
	cr_assert_eq(before.commits + 1, after.commits);
}

/*
 * Agents state a flood of mappings that hardly live, of other addresses all
 * the time: what is dead must not fill the store and the disk.
 */
Test(store_time, the_dead_are_never_many_more_than_the_living)
{
	const uint32_t a_round = 12000;
	struct ur_store_stats stats;
	struct ur_statement map;
	size_t due;

	cr_expect_eq(ur_store_get_due(box.store), 0);
	for (uint32_t i = 0; i < 12 * a_round; i++) {
		uint64_t now_us = START + i / a_round * SECOND;

		if (i % a_round == 0)
			cr_assert_eq(ur_store_begin(box.store), 0);
		map = map_of(i * 2654435761u);
		map.as_of_us = now_us;
		map.lifetime_s = 1;
		cr_assert_eq(
		    ur_store_apply(box.store, 1, UINT64_MAX, &map, now_us), 0);
		if (i % a_round != a_round - 1)
			continue;
		cr_assert_eq(ur_store_commit(box.store, now_us, now_us), 0);
		due = ur_store_get_due(box.store);
		cr_assert_leq(due, 4 * a_round);
		if (due)
			cr_assert_geq(
			    ur_store_collect(box.store, due, now_us, now_us),
			    0);
		ur_store_get_stats(box.store, &stats);
		cr_assert_leq(stats.addresses, 3 * a_round);
	}
	/* Who says what is there makes no work. */
	cr_assert_geq(
	    ur_store_collect(box.store, 1 << 20, 12 * SECOND + START, START),
	    0);
	cr_expect_eq(ur_store_get_due(box.store), 0);
	for (uint32_t i = 0; i < 2; i++)
		cr_assert_eq(box_fill(&box, 0, 4000, NULL), 0);
	cr_expect_eq(ur_store_get_due(box.store), 0);
	cr_assert_eq(box_fill(&box, 4000, 96, NULL), 0);
	cr_expect_eq(ur_store_get_due(box.store), 8192);
}

/* A first load has nothing to look for. */
Test(store_time, where_nothing_can_be_dead_nothing_is_looked_for)
{
	struct ur_statement it;

	cr_assert_eq(ur_store_begin(box.store), 0);
	for (uint32_t i = 0; i < 20000; i++) {
		it = at(say(UIDRECV_OP_MAP, "u", 0, 0, 3600), i);
		cr_assert_eq(
		    ur_store_apply(box.store, 1, UINT64_MAX, &it, START), 0);
	}
	cr_assert_eq(ur_store_commit(box.store, START, START), 0);
	cr_expect_eq(ur_store_get_due(box.store), 0);
}
