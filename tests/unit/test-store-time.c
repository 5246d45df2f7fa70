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
