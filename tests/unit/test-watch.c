/* SPDX-License-Identifier: BSD-2-Clause */
#include "watch.h"

#include <criterion/criterion.h>

#include "cells.h"

#define ADDRESSES 300

static struct ur_watch watch;

static struct uidrecv_address address_of(uint64_t index)
{
	struct uidrecv_address address = {index % 3, index};

	return address;
}

static void done(void)
{
	ur_watch_done(&watch);
}

TestSuite(watch, .fini = done);

Test(watch, nothing_is_due_when_there_is_nothing)
{
	struct uidrecv_address address;

	cr_assert(!ur_watch_get_due(&watch, UINT64_MAX, &address));
	ur_watch_set(&watch, address_of(1), UINT64_MAX);
	cr_assert_eq(watch.count, 0);
}

static void check_order(const uint64_t *until, uint64_t run)
{
	uint64_t last = 0;
	struct uidrecv_address address;

	while (ur_watch_get_due(&watch, UINT64_MAX - 1, &address)) {
		cr_assert_eq(watch.heap[0].until_us, until[address.lo],
			     "seed %ju", (uintmax_t)run);
		cr_assert_geq(until[address.lo], last);
		last = until[address.lo];
		cr_assert(!ur_watch_get_due(&watch, last - 1, &address));
		ur_watch_set(&watch, address, UINT64_MAX);
	}
}

Test(watch, gives_each_address_once_in_the_order_of_time)
{
	for (uint64_t run = 0; run < 200; run++) {
		uint64_t until[ADDRESSES];
		uint64_t seed = run;
		size_t count = 0;

		watch.seed = run;
		memset(until, 0xff, sizeof(until));
		for (int i = 0; i < 2000; i++) {
			uint64_t index = draw(&seed, ADDRESSES);
			uint64_t time =
			    draw(&seed, 3) ? 1 + draw(&seed, 1000) : UINT64_MAX;

			cr_assert_eq(ur_watch_reserve(&watch, 1), 0);
			count += (time != UINT64_MAX);
			count -= (until[index] != UINT64_MAX);
			until[index] = time;
			ur_watch_set(&watch, address_of(index), time);
			cr_assert_eq(watch.count, count);
		}
		check_order(until, run);
		cr_assert_eq(watch.count, 0);
		ur_watch_done(&watch);
	}
}
