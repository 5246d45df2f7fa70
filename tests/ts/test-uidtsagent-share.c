/* SPDX-License-Identifier: BSD-2-Clause */
/* Who gets which block, without users, kernel or firewalls. */
#include <criterion/criterion.h>

#include <stdlib.h>

#include "uidtsagent-blocks.h"

#define SECOND UINT64_C(1000000)
#define REST (240 * SECOND)

static struct ts_share share;
static uint64_t now;
static bool is_acked, is_forgotten;

/* What kernel and firewalls make of it at once. */
static void follow(void)
{
	for (size_t i = 0; i < share.blocks_count; i++) {
		struct ts_block *block = &share.blocks[i];

		if (block->state != TS_USED && block->unruled_us == UINT64_MAX)
			block->unruled_us = now;
		block->is_ruled = block->state == TS_USED;
		block->is_known = is_acked;
		block->is_forgotten = is_forgotten;
		block->must_say = false;
	}
	for (size_t i = 0; i < share.users_count; i++)
		share.users[i].is_changed = false;
}

/* A second passes in which all look and follow. */
static void pass(uint64_t seconds)
{
	for (uint64_t i = 0; i < seconds; i++) {
		now += SECOND;
		for (size_t j = 0; j < share.users_count; j++)
			if (share.users[j].seen != 0)
				share.users[j].seen = share.looks + 1;
		ts_share_look(&share);
		ts_share_count(&share, now);
		for (int round = 0; round < 3; round++) {
			ts_share_step(&share, now);
			follow();
		}
	}
}

static void come(uid_t uid)
{
	cr_assert_eq(ts_share_see(&share, uid, "somebody"), 0);
}

static void go(uid_t uid)
{
	ts_share_find_user(&share, uid)->seen = 0;
}

static struct ts_block *his(uid_t uid, enum ts_state state)
{
	for (size_t i = 0; i < share.blocks_count; i++)
		if (share.blocks[i].state == state &&
		    share.blocks[i].uid == uid)
			return &share.blocks[i];
	return NULL;
}

static size_t count(uid_t uid, enum ts_state state)
{
	size_t found = 0;

	for (size_t i = 0; i < share.blocks_count; i++)
		found += share.blocks[i].state == state &&
			 share.blocks[i].uid == uid;
	return found;
}

static void begin(uint32_t blocks)
{
	share = (struct ts_share){
	    .system = {.ports = {20000, blocks * 200}, .block_size = 200},
	    .rest_us = REST,
	    .blocks_max = 3,
	};
	now = 1000 * SECOND;
	ts_share_look(&share);
	is_acked = is_forgotten = true;
	cr_assert_eq(ts_share_init(&share, now), 0);
}

static void end(void)
{
	ts_share_done(&share);
}

TestSuite(ts_blocks, .fini = end);

Test(uidtsagent_share, range_is_cut_and_reserved_ports_are_nobodys)
{
	begin(4);
	ts_share_done(&share);
	share.system.ports.count = 850;
	share.system.reserved[0] = (struct uidrecv_ports){20199, 2};
	share.system.reserved_count = 1;
	cr_assert_eq(ts_share_init(&share, now), 0);
	cr_assert_eq(share.blocks_count, 4);
	cr_assert_eq(share.blocks[0].state, TS_RESERVED);
	cr_assert_eq(share.blocks[1].state, TS_RESERVED);
	cr_assert_eq(share.blocks[2].state, TS_RESTING);
	cr_assert_eq(share.blocks[3].start, 20600);
	cr_assert_null(ts_share_find_block(&share, 19999));
	cr_assert_eq(ts_share_find_block(&share, 20799), &share.blocks[3]);
	cr_assert_null(ts_share_find_block(&share, 20800));
}

Test(uidtsagent_share, nothing_is_given_before_flows_were_counted)
{
	begin(1);
	come(1);
	ts_share_step(&share, now);
	follow();
	ts_share_step(&share, now);
	cr_assert_eq(share.blocks[0].state, TS_RESTING);
	pass(1);
	cr_assert_eq(share.blocks[0].state, TS_USED);
}

Test(uidtsagent_share, the_kernel_follows_the_firewalls)
{
	begin(1);
	is_acked = false;
	come(1);
	pass(100);
	cr_assert_eq(share.blocks[0].state, TS_ASKED);
	cr_assert_not(share.blocks[0].is_ruled);
	is_acked = true;
	pass(1);
	cr_assert_eq(share.blocks[0].state, TS_USED);
}

Test(uidtsagent_share, firewalls_hear_of_the_end_after_the_kernel)
{
	begin(1);
	come(1);
	pass(1);
	go(1);
	ts_share_step(&share, now);
	cr_assert_eq(share.blocks[0].state, TS_LEAVING);
	cr_assert_not(share.blocks[0].must_say);
	for (int i = 0; i < 5; i++)
		ts_share_step(&share, now);
	cr_assert_eq(share.blocks[0].state, TS_LEAVING, "it is still ruled");
	share.blocks[0].is_ruled = false;
	ts_share_step(&share, now);
	cr_assert_eq(share.blocks[0].state, TS_RESTING);
	cr_assert(share.blocks[0].must_say);
}

Test(uidtsagent_share, who_leaves_before_he_had_it_never_gets_it)
{
	begin(1);
	is_acked = false;
	come(1);
	pass(1);
	go(1);
	pass(1);
	is_acked = true;
	pass(1);
	cr_assert_eq(share.blocks[0].state, TS_RESTING);
	cr_assert_eq(share.users_count, 0);
}

Test(uidtsagent_share, T05_a_block_rests_before_another_gets_it)
{
	begin(1);
	come(1);
	pass(1);
	go(1);
	pass(1);
	come(2);
	pass(239);
	cr_assert_null(his(2, TS_USED));
	cr_assert(ts_share_find_user(&share, 2)->is_waiting);
	pass(2);
	cr_assert_not_null(his(2, TS_USED));
	cr_assert_not(ts_share_find_user(&share, 2)->is_waiting);
}

Test(uidtsagent_share, it_rests_for_as_long_as_it_has_flows)
{
	begin(1);
	come(1);
	pass(1);
	go(1);
	share.blocks[0].flows = 1;
	pass(1000);
	come(2);
	pass(10);
	cr_assert_null(his(2, TS_USED));
	share.blocks[0].flows = 0;
	pass(2);
	cr_assert_not_null(his(2, TS_USED));
}

Test(uidtsagent_share, it_rests_until_all_firewalls_have_forgotten)
{
	begin(1);
	come(1);
	pass(1);
	go(1);
	is_forgotten = false;
	pass(1000);
	cr_assert_eq(share.blocks[0].state, TS_RESTING);
	is_forgotten = true;
	pass(1);
	cr_assert_eq(share.blocks[0].state, TS_FREE);
}

Test(uidtsagent_share, what_has_flows_at_the_start_rests_as_if_it_came_back_now)
{
	begin(2);
	share.blocks[0].flows = 1;
	come(1);
	pass(1);
	cr_assert_eq(his(1, TS_USED), &share.blocks[1]);
	share.blocks[0].flows = 0;
	come(2);
	pass(238);
	cr_assert_null(his(2, TS_USED));
	pass(3);
	cr_assert_eq(his(2, TS_USED), &share.blocks[0]);
}

Test(uidtsagent_share, the_one_that_is_free_for_longest_is_given)
{
	begin(3);
	come(1);
	come(2);
	come(3);
	pass(1);
	go(2);
	pass(20);
	go(1);
	pass(20);
	go(3);
	pass(300);
	come(4);
	pass(1);
	cr_assert_eq(his(4, TS_USED), &share.blocks[1]);
	come(5);
	pass(1);
	cr_assert_eq(his(5, TS_USED), &share.blocks[0]);
}

Test(uidtsagent_share, who_is_not_seen_once_keeps_his_block)
{
	begin(1);
	come(1);
	pass(1);
	for (int i = 1; i < TS_GONE_LOOKS; i++)
		ts_share_look(&share);
	ts_share_step(&share, now);
	cr_assert_eq(share.blocks[0].state, TS_USED);
	ts_share_look(&share);
	ts_share_step(&share, now);
	cr_assert_eq(share.blocks[0].state, TS_LEAVING);
}

Test(uidtsagent_share, more_on_demand_up_to_the_most)
{
	begin(5);
	come(1);
	pass(1);
	ts_share_find_user(&share, 1)->load = 149;
	pass(1);
	cr_assert_eq(count(1, TS_USED), 1);
	ts_share_find_user(&share, 1)->load = 150;
	pass(5);
	cr_assert_eq(count(1, TS_USED), 2);
	ts_share_find_user(&share, 1)->load = 1000;
	pass(10);
	cr_assert_eq(count(1, TS_USED), 3, "it is all that he may have");
}

Test(uidtsagent_share, surplus_is_drained_least_recently_used_first)
{
	begin(5);
	come(1);
	pass(1);
	ts_share_find_user(&share, 1)->load = 150;
	pass(5);
	ts_share_find_user(&share, 1)->load = 100;
	share.blocks[0].flows = 50;
	pass(1);
	share.blocks[1].flows = 50;
	share.blocks[0].flows = 0;
	pass(58);
	cr_assert_eq(count(1, TS_USED), 2);
	pass(5);
	cr_assert_eq(share.blocks[0].state, TS_RESTING);
	cr_assert_eq(share.blocks[1].state, TS_USED);
	pass(1000);
	cr_assert_eq(share.blocks[1].state, TS_USED, "the last one stays");
}

Test(uidtsagent_share, what_drains_stays_his_while_it_has_flows)
{
	begin(5);
	come(1);
	pass(1);
	ts_share_find_user(&share, 1)->load = 150;
	pass(5);
	ts_share_find_user(&share, 1)->load = 10;
	share.blocks[0].flows = share.blocks[1].flows = 1;
	pass(100);
	cr_assert_eq(count(1, TS_DRAINING), 1);
	cr_assert_eq(count(1, TS_USED), 1);
	/* It is taken again before a new one is. */
	ts_share_find_user(&share, 1)->load = 150;
	pass(1);
	cr_assert_eq(count(1, TS_USED), 2);
	cr_assert_eq(count(1, TS_DRAINING), 0);
}

Test(uidtsagent_share, what_drains_is_counted_after_the_kernel_has_followed)
{
	begin(2);
	come(1);
	pass(1);
	ts_share_find_user(&share, 1)->load = 150;
	pass(5);
	ts_share_find_user(&share, 1)->load = 0;
	pass(59);
	now += 2 * SECOND;
	ts_share_look(&share);
	ts_share_look(&share);
	ts_share_find_user(&share, 1)->seen = share.looks;
	ts_share_count(&share, now);
	ts_share_step(&share, now);
	follow();
	cr_assert_eq(count(1, TS_DRAINING), 1);
	/* A flow may have got a port after it was counted. */
	ts_share_step(&share, now);
	cr_assert_eq(count(1, TS_DRAINING), 1);
	ts_share_count(&share, now + 1);
	ts_share_step(&share, now + 1);
	cr_assert_eq(count(1, TS_DRAINING), 0);
}

Test(uidtsagent_share, all_is_taken_back_at_the_end)
{
	begin(5);
	come(1);
	come(2);
	pass(1);
	ts_share_dismiss(&share);
	for (int i = 0; i < 3; i++) {
		ts_share_step(&share, now);
		follow();
	}
	for (size_t i = 0; i < share.blocks_count; i++)
		cr_assert_not(ts_block_is_said(&share.blocks[i]));
	cr_assert_eq(share.users_count, 0);
}

/*
 * Users come, go and use ports at random: nobody gets a block that was
 * another's within the rest, that still has flows, or that a firewall
 * remembers; and nobody has more than he may.
 */
Test(uidtsagent_share, T01_random_lives_never_share_a_block)
{
	uint64_t left_us[12] = {0};
	uid_t owner[12] = {0};

	begin(12);
	srandom(7);
	for (int i = 0; i < 20000; i++) {
		uid_t uid = 1 + (uid_t)(random() % 9);
		struct ts_user *user = ts_share_find_user(&share, uid);

		if (user == NULL)
			come(uid);
		else if (random() % 8 == 0)
			go(uid);
		else
			user->load = (uint32_t)(random() % 700);
		is_acked = random() % 3 != 0;
		is_forgotten = random() % 3 != 0;
		for (size_t j = 0; j < share.blocks_count; j++)
			share.blocks[j].flows = random() % 3 == 0;
		pass(1 + (uint64_t)(random() % 20));
		for (size_t j = 0; j < share.blocks_count; j++) {
			const struct ts_block *block = &share.blocks[j];

			if (!ts_block_is_said(block)) {
				if (owner[j] != 0)
					left_us[j] = now;
				owner[j] = 0;
				continue;
			}
			if (owner[j] == 0 && left_us[j] != 0)
				cr_assert_geq(now - left_us[j],
					      REST - 20 * SECOND);
			if (owner[j] != 0)
				cr_assert_eq(owner[j], block->uid);
			owner[j] = block->uid;
		}
		for (uid = 1; uid < 10; uid++)
			cr_assert_leq(count(uid, TS_USED) +
					  count(uid, TS_ASKED) +
					  count(uid, TS_DRAINING),
				      3);
	}
}
