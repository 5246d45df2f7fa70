/* SPDX-License-Identifier: BSD-2-Clause */
/* REFRESH ALL: what it renews, and each of its conditions. */
#include "boxes.h"

TestSuite(sync_refresh_all, .init = start, .fini = done, .timeout = 200);

Test(sync_refresh_all, renews_each_by_its_own_lifetime)
{
	begin(1, 10);
	map(1, 0, "ada", 1, 100, 10);
	map(1, 1, "bob", 1, 1000, 10);
	map(1, 2, "eve", 1, UIDRECV_LIFETIME_NEVER, 10);
	cr_assert_eq(end(1, 3, 50, 11), UR_ENDING_DROPPED);
	map(1, 3, "new", 1, 200, 12);
	cr_expect(refresh_all(1, 60, 4, 65));
	cr_expect_eq(until(0, 65), 160);
	cr_expect_eq(until(1, 65), 1060);
	cr_expect_eq(until(3, 65), 260);
	cr_expect_eq(box_answer(&box, 2, 65).deadline_us, UR_TIME_NEVER);
	reopen();
	cr_expect_eq(until(0, 65), 160);
	cr_expect_eq(box_count(&box, 160), 3);
}

Test(sync_refresh_all, never_shortens)
{
	snapshot(1, 0, 2, 100, 50);
	cr_expect(refresh_all(1, 40, 2, 60));
	cr_expect_eq(until(0, 60), 150);
	cr_expect(refresh_all(1, 70, 2, 70));
	cr_expect(refresh_all(1, 65, 2, 80));
	cr_expect_eq(until(0, 80), 170);
	/* An UPDATE that vouches for an earlier time came later. */
	map(1, 5, "bob", 1, 100, 81);
	cr_assert_eq(box_tell(&box,
			      at(say(UIDRECV_OP_MAP, "bob", 1, 20, 100), 6), 1,
			      81),
		     0);
	cr_expect_eq(until(6, 81), 170);
	cr_expect_eq(until(5, 81), 181);
}

/* Late by itself, but what it says was vouched for since. */
Test(sync_refresh_all, counts_for_a_mapping_that_comes_late)
{
	snapshot(1, 0, 1, 100, 10);
	cr_expect(refresh_all(1, 70, 1, 70));
	cr_assert_eq(
	    box_tell(&box, at(say(UIDRECV_OP_MAP, "bob", 1, 20, 40), 6), 1, 81),
	    0);
	cr_expect_eq(until(6, 81), 110);
	/* A new epoch knows nothing of that. */
	begin(1, 82);
	cr_assert_eq(
	    box_tell(&box, at(say(UIDRECV_OP_MAP, "bob", 1, 20, 40), 7), 1, 83),
	    0);
	cr_expect_eq(until(7, 83), 0);
	cr_expect_eq(until(6, 83), 110);
}

Test(sync_refresh_all, count_that_is_wrong_renews_nothing)
{
	for (uint64_t count = 2; count <= 4; count++) {
		snapshot(1, 0, 3, 100, 10);
		cr_expect_eq(refresh_all(1, 20, count, 20), count == 3);
		cr_expect_eq(until(0, 20), count == 3 ? 120 : 110);
		cr_expect_eq(epochs(1)->wanted,
			     count == 3 ? 0 : UIDRECV_RESYNC_COUNT);
		box_done(&box);
		start();
	}
}

Test(sync_refresh_all, count_is_of_the_living)
{
	begin(1, 10);
	map(1, 0, "ada", 1, 20, 10);
	map(1, 1, "bob", 1, 100, 10);
	cr_assert_eq(end(1, 2, 50, 11), UR_ENDING_DROPPED);
	cr_expect_not(refresh_all(1, 30, 2, 30));
	cr_expect(refresh_all(1, 30, 1, 31));
	cr_expect_eq(until(1, 31), 130);
}

Test(sync_refresh_all, count_includes_what_is_suppressed)
{
	snapshot(1, 0, 2, 100, 10);
	cr_assert_eq(box_tell(&box,
			      at(say(UIDRECV_OP_LOGOUT, "ada", 11, 11, 0), 0),
			      2, 11),
		     0);
	cr_expect_str_eq(who(0, 11), "");
	cr_expect(refresh_all(1, 12, 2, 12));
}

/* Neither in the store, nor by what lookups are told. */
Test(sync_refresh_all, revives_nothing)
{
	begin(1, 10);
	map(1, 0, "ada", 1, 20, 10);
	map(1, 1, "bob", 1, 1000, 10);
	cr_assert_eq(end(1, 2, 50, 11), UR_ENDING_DROPPED);
	cr_expect(refresh_all(1, 35, 1, 35));
	cr_expect_str_eq(who(0, 35), "");
	cr_expect_str_eq(who(1, 35), "bob");
	reopen();
	cr_expect_str_eq(who(0, 36), "");
}

/* What has run out is taken back before its line is renewed. */
static bool is_taken_back_first(uint32_t ipv4)
{
	struct ur_change change;
	bool is_back = false;

	while (ur_store_next_change(box.store, &change) == 1) {
		if (change.kind == UR_CHANGE_REFRESHED)
			return is_back;
		if (change.kind == UR_CHANGE_ANSWER &&
		    change.address.lo == uidrecv_address_from_ipv4(ipv4).lo)
			is_back = change.user_size == 0;
	}
	return false;
}

Test(sync_refresh_all, revives_nothing_that_lookups_were_told)
{
	snapshot(1, 0, 1, 20, 10);
	map(1, 1, "bob", 1, 1000, 10);
	cr_expect(refresh_all(1, 35, 1, 35));
	cr_expect(is_taken_back_first(0));
}

Test(sync_refresh_all, revives_nothing_that_was_collected)
{
	snapshot(1, 0, 1, 20, 10);
	map(1, 1, "bob", 1, 1000, 10);
	cr_assert_geq(ur_store_collect(box.store, 100, START + 35 * SECOND,
				       START + 35 * SECOND),
		      0);
	cr_expect(refresh_all(1, 35, 1, 35));
	cr_expect(is_taken_back_first(0));
}

Test(sync_refresh_all, revives_nothing_that_was_withdrawn_when_dead)
{
	snapshot(1, 0, 1, 20, 10);
	map(1, 1, "bob", 1, 1000, 10);
	cr_assert_eq(box_tell(&box,
			      at(say(UIDRECV_OP_WITHDRAW, NULL, 0, 35, 0), 0),
			      1, 35),
		     0);
	cr_expect(refresh_all(1, 36, 1, 36));
	cr_expect(is_taken_back_first(0));
}

Test(sync_refresh_all, session_must_have_begun_the_epoch)
{
	snapshot(1, 0, 3, 100, 10);
	session(1, 11, 12);
	cr_expect_not(refresh_all(1, 20, 3, 20));
	cr_expect_eq(until(0, 20), 110);
	cr_expect_eq(epochs(1)->wanted, UIDRECV_RESYNC_NO_SNAPSHOT);
	begin(1, 21);
	map_some(1, 0, 3, 100, 21);
	cr_assert_eq(end(1, 3, 50, 22), UR_ENDING_DROPPED);
	/* The same session goes on, over a restart. */
	reopen();
	session(1, 11, 23);
	cr_expect(refresh_all(1, 30, 3, 30));
	cr_expect_eq(until(0, 30), 130);
}

Test(sync_refresh_all, session_without_a_snapshot_renews_nothing)
{
	map_some(1, 0, 3, 100, 10);
	cr_expect_not(refresh_all(1, 20, 3, 20));
	cr_expect_eq(until(0, 20), 110);
}

Test(sync_refresh_all, snapshot_that_is_open_renews_nothing)
{
	snapshot(1, 0, 3, 100, 10);
	begin(1, 15);
	map_some(1, 0, 3, 100, 15);
	cr_expect_not(refresh_all(1, 20, 3, 20));
	cr_expect_eq(until(0, 20), 115);
	/* The snapshot is none the worse for it. */
	cr_expect_eq(end(1, 3, 50, 21), UR_ENDING_DROPPED);
	cr_expect(refresh_all(1, 22, 3, 22));
}

Test(sync_refresh_all, held_claims_are_not_renewed)
{
	snapshot(1, 0, 10, 100, 10);
	begin(1, 20);
	map_some(1, 0, 2, 100, 20);
	cr_assert_eq(end(1, 2, 50, 21), UR_ENDING_HELD);
	cr_expect(refresh_all(1, 50, 2, 50));
	cr_expect_eq(until(0, 50), 150);
	cr_expect_eq(until(5, 50), 110);
	cr_expect_eq(box_count(&box, 110), 2);
}

/* Each epoch stays renewed while it is held; beyond a few none is renewed. */
Test(sync_refresh_all, begin_shortens_no_life)
{
	enum { EPOCHS = 3 * UR_EPOCH_FORMERS, KEPT = UR_EPOCH_FORMERS };

	for (uint32_t i = 0; i < EPOCHS; i++) {
		begin(1, 10 + 2 * i);
		map(1, i, "ada", 1, 100, 10 + 2 * i);
		cr_assert_eq(end(1, 1, 100, 10 + 2 * i),
			     i ? UR_ENDING_HELD : UR_ENDING_DROPPED);
		cr_expect_eq(refresh_all(1, 11 + 2 * i, 1, 11 + 2 * i),
			     i < KEPT);
		cr_expect_eq(epochs(1)->wanted,
			     i < KEPT ? 0 : UIDRECV_RESYNC_BUSY);
	}
	reopen();
	for (uint32_t i = 0; i < EPOCHS; i++)
		cr_expect_eq(until(i, 40), 110 + (i < KEPT) + 2 * i,
			     "address %u", i);
	cr_assert_eq(ur_store_accept_drops(box.store, 1, START + 40 * SECOND,
					   START + 40 * SECOND),
		     1);
	cr_expect(refresh_all(1, 50, 1, 50));
	cr_expect_eq(until(EPOCHS - 1, 50), 150);
}

Test(sync_refresh_all, an_aborted_round_renews_nothing)
{
	bool is_taken = false;

	snapshot(1, 0, 3, 100, 10);
	cr_assert_eq(ur_store_begin(box.store), 0);
	cr_assert_eq(ur_store_refresh_all(box.store, 1, START + 20 * SECOND, 3,
					  true, START + 20 * SECOND, &is_taken),
		     0);
	cr_expect(is_taken);
	ur_store_abort(box.store);
	cr_expect_eq(until(0, 21), 110);
	cr_expect(refresh_all(1, 15, 3, 22));
	cr_expect_eq(until(0, 22), 115);
}
