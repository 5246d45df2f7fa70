/* SPDX-License-Identifier: BSD-2-Clause */
/* Which firewall lets users wait. */
#include <criterion/criterion.h>

#include "uidtsagent-report.h"

#define MINUTE UINT64_C(60000000)

static struct ts_block blocks[2] = {
    {.start = 20000, .state = TS_USED},
    {.start = 20200, .state = TS_ASKED, .since_us = 1000},
};
static struct ts_share share = {.blocks = blocks, .blocks_count = 2};
static struct ts_told quick_told[2] = {{.ticket = 1}, {.ticket = 2}};
static struct ts_told slow_told[2] = {{.ticket = 1}, {.ticket = 2}};
static struct ts_firewalls firewalls = {
    .list =
	{{.name = "quick",
	  .told = quick_told,
	  .acked = 2,
	  .is_connected = true},
	 {.name = "slow", .told = slow_told, .acked = 1, .is_connected = true}},
    .count = 2,
};

static const char *find(uint64_t now_us)
{
	return ts_report_find_slow(&share, &firewalls, now_us);
}

Test(uidtsagent_report, who_acknowledges_nothing_for_a_minute_is_slow)
{
	cr_assert_null(find(1000 + MINUTE - 1));
	cr_assert_str_eq(find(1000 + MINUTE), "slow");
	slow_told[1].ticket = 0;
	cr_assert_str_eq(find(1000 + MINUTE), "slow");
}

Test(uidtsagent_report, who_has_acknowledged_is_not_slow)
{
	firewalls.list[1].acked = 2;
	cr_assert_null(find(1000 + MINUTE));
}

Test(uidtsagent_report, who_refuses_or_is_away_is_not_slow)
{
	slow_told[1].is_refused = true;
	cr_assert_null(find(1000 + MINUTE));
	slow_told[1].is_refused = false;
	firewalls.list[1].is_connected = false;
	cr_assert_null(find(1000 + MINUTE));
}

Test(uidtsagent_report, what_is_used_waits_for_nobody)
{
	slow_told[0].ticket = 3;
	slow_told[1].ticket = 1;
	cr_assert_null(find(1000 + MINUTE));
}
