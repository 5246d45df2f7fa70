/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Snapshots that are whole, cut, empty or wrong. Each guard has a case that is
 * lost with it.
 */
#include "boxes.h"

TestSuite(sync_snapshots, .init = start, .fini = done, .timeout = 200);

Test(sync_snapshots, P19_cut_anywhere_nothing_is_lost)
{
	snapshot(1, 0, 100, 3600, 10);
	for (uint32_t part = 0; part <= 100; part += 10) {
		begin(1, 20 + part);
		map_some(1, 100 - part, part, 3600, 20 + part);
		/* The agent starts anew, or the receiver does. */
		if (part % 20)
			session(1, 1000 + part, 20 + part);
		reopen();
		cr_expect_eq(box_count(&box, 21 + part), 100);
	}
	cr_expect_eq(end(1, 100, 0, 200), UR_ENDING_DROPPED);
	cr_expect_eq(box_count(&box, 200), 100);
}

Test(sync_snapshots, P19_goes_on_where_it_was_cut)
{
	snapshot(1, 0, 10, 3600, 10);
	begin(1, 20);
	map_some(1, 5, 3, 3600, 21);
	reopen();
	session(1, 10, 22);
	map_some(1, 8, 4, 3600, 23);
	cr_expect_eq(end(1, 7, 0, 24), UR_ENDING_DROPPED);
	cr_expect_eq(box_count(&box, 24), 7);
	cr_expect_str_eq(who(4, 24), "");
	cr_expect_str_eq(who(11, 24), "ada");
}

Test(sync_snapshots, P19_a_new_session_does_not_end_the_formers)
{
	snapshot(1, 0, 10, 3600, 10);
	begin(1, 20);
	map_some(1, 0, 3, 3600, 21);
	session(1, 11, 22);
	cr_expect_not(epochs(1)->is_open);
	cr_expect_eq(end(1, 3, 0, 23), UR_ENDING_REFUSED);
	cr_expect_eq(box_count(&box, 23), 10);
	cr_expect_eq(epochs(1)->wanted, UIDRECV_RESYNC_NO_SNAPSHOT);
}

Test(sync_snapshots, a_second_begin_gives_the_first_up)
{
	snapshot(1, 0, 10, 3600, 10);
	begin(1, 20);
	map_some(1, 0, 3, 3600, 21);
	begin(1, 22);
	map_some(1, 3, 2, 3600, 23);
	cr_expect_eq(box_count(&box, 23), 10);
	cr_expect_eq(end(1, 2, 0, 24), UR_ENDING_DROPPED);
	cr_expect_eq(box_count(&box, 24), 2);
	cr_expect_str_eq(who(3, 24), "ada");
}

Test(sync_snapshots, end_count_that_is_wrong_drops_nothing)
{
	for (uint64_t count = 1; count <= 3; count++) {
		snapshot(1, 0, 10, 3600, 10);
		begin(1, 20);
		map_some(1, 0, 2, 3600, 21);
		cr_expect_eq(end(1, count, 0, 22), count == 2
						       ? UR_ENDING_DROPPED
						       : UR_ENDING_REFUSED);
		cr_expect_eq(box_count(&box, 22), count == 2 ? 2 : 10);
		cr_expect_eq(epochs(1)->wanted,
			     count == 2 ? 0 : UIDRECV_RESYNC_COUNT);
	}
}

/* It had its END, wrong as that was. */
Test(sync_snapshots, end_is_judged_once)
{
	snapshot(1, 0, 10, 3600, 10);
	begin(1, 20);
	cr_expect_eq(end(1, 1, 0, 21), UR_ENDING_REFUSED);
	cr_expect_eq(end(1, 0, 0, 22), UR_ENDING_REFUSED);
	cr_expect_eq(box_count(&box, 22), 10);
}

Test(sync_snapshots, end_without_begin_drops_nothing)
{
	map_some(1, 0, 3, 3600, 10);
	cr_expect_eq(end(1, 3, 0, 11), UR_ENDING_REFUSED);
	cr_expect_eq(end(1, 0, 0, 11), UR_ENDING_REFUSED);
	cr_expect_eq(epochs(1)->wanted, UIDRECV_RESYNC_NO_SNAPSHOT);
	cr_expect_eq(box_count(&box, 11), 3);
}

Test(sync_snapshots, wanted_is_remembered_until_an_end_is_taken)
{
	cr_expect_eq(end(1, 0, 0, 11), UR_ENDING_REFUSED);
	reopen();
	cr_expect_eq(epochs(1)->wanted, UIDRECV_RESYNC_NO_SNAPSHOT);
	session(1, 11, 12);
	begin(1, 13);
	cr_expect_neq(epochs(1)->wanted, 0);
	cr_expect_eq(end(1, 0, 50, 14), UR_ENDING_DROPPED);
	cr_expect_eq(epochs(1)->wanted, 0);
	/* Held counts as taken. */
	map_some(1, 0, 3, 3600, 15);
	cr_expect_eq(end(1, 3, 0, 15), UR_ENDING_REFUSED);
	begin(1, 16);
	cr_expect_eq(end(1, 0, 50, 17), UR_ENDING_HELD);
	cr_expect_eq(epochs(1)->wanted, 0);
}

Test(sync_snapshots, P20_held_an_empty_one_drops_nothing)
{
	snapshot(1, 0, 10, 3600, 10);
	begin(1, 20);
	cr_expect_eq(end(1, 0, 50, 21), UR_ENDING_HELD);
	cr_expect_eq(box_count(&box, 22), 10);
	reopen();
	cr_expect_eq(box_count(&box, 22), 10);
	cr_expect_neq(epochs(1)->held, 0);
	cr_expect_eq(epochs(1)->held_claims, 10);
	/* They end by themselves. */
	cr_expect_eq(box_count(&box, 3609), 10);
	cr_expect_eq(box_count(&box, 3610), 0);
}

Test(sync_snapshots, P20_held_is_what_leaves_less_than_the_share)
{
	static const struct {
		uint32_t stated;
		unsigned int keep_percent;
		enum ur_ending ending;
	} cases[] = {
	    {4, 50, UR_ENDING_HELD},	  {5, 50, UR_ENDING_DROPPED},
	    {0, 0, UR_ENDING_DROPPED},	  {9, 100, UR_ENDING_HELD},
	    {10, 100, UR_ENDING_DROPPED}, {0, 1, UR_ENDING_HELD},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snapshot(1, 0, 10, 3600, 10);
		begin(1, 20);
		map_some(1, 0, cases[i].stated, 3600, 21);
		cr_expect_eq(end(1, cases[i].stated, cases[i].keep_percent, 22),
			     cases[i].ending, "case %zu", i);
		cr_expect_eq(
		    box_count(&box, 22),
		    cases[i].ending == UR_ENDING_HELD ? 10 : cases[i].stated);
	}
}

/* Only the living count: who let nine of ten die may say the tenth. */
Test(sync_snapshots, P20_held_is_judged_by_the_living)
{
	snapshot(1, 0, 9, 50, 10);
	map_some(1, 9, 1, 3600, 10);
	begin(1, 100);
	map_some(1, 9, 1, 3600, 100);
	map_some(1, 20, 2, 3600, 100);
	cr_expect_eq(end(1, 3, 90, 101), UR_ENDING_DROPPED);
	cr_expect_eq(box_count(&box, 101), 3);
}

Test(sync_snapshots, P20_held_claims_count_in_the_next_end)
{
	snapshot(1, 0, 10, 3600, 10);
	begin(1, 20);
	map_some(1, 0, 1, 3600, 20);
	cr_expect_eq(end(1, 1, 50, 21), UR_ENDING_HELD);
	begin(1, 30);
	map_some(1, 0, 4, 3600, 30);
	cr_expect_eq(end(1, 4, 50, 31), UR_ENDING_HELD);
	begin(1, 40);
	map_some(1, 0, 5, 3600, 40);
	cr_expect_eq(end(1, 5, 50, 41), UR_ENDING_DROPPED);
	cr_expect_eq(box_count(&box, 41), 5);
	cr_expect_eq(epochs(1)->held, 0);
}

Test(sync_snapshots, P20_held_drops_wait_for_the_operator)
{
	snapshot(1, 0, 10, 3600, 10);
	begin(1, 20);
	map_some(1, 0, 2, 3600, 20);
	cr_expect_eq(end(1, 2, 50, 21), UR_ENDING_HELD);
	/* What comes meanwhile is not held. */
	map_some(1, 20, 1, 3600, 22);
	begin(1, 23);
	map_some(1, 5, 1, 3600, 23);
	cr_expect_eq(ur_store_accept_drops(box.store, 1, START + 24 * SECOND,
					   START + 24 * SECOND),
		     1);
	cr_expect_eq(box_count(&box, 24), 4);
	cr_expect_str_eq(who(5, 24), "ada");
	cr_expect_str_eq(who(6, 24), "");
	cr_expect_str_eq(who(20, 24), "ada");
	cr_expect_eq(ur_store_accept_drops(box.store, 1, START + 25 * SECOND,
					   START + 25 * SECOND),
		     0);
	cr_expect_eq(box_count(&box, 25), 4);
}

Test(sync_snapshots, an_aborted_round_ends_nothing)
{
	enum ur_ending ending;

	snapshot(1, 0, 10, 3600, 10);
	begin(1, 20);
	cr_assert_eq(ur_store_begin(box.store), 0);
	cr_assert_eq(ur_store_end_snapshot(box.store, 1, 0, 0, true,
					   START + 21 * SECOND, &ending),
		     0);
	cr_expect_eq(ending, UR_ENDING_DROPPED);
	ur_store_abort(box.store);
	cr_expect_eq(box_count(&box, 22), 10);
	cr_expect(epochs(1)->is_open);
	cr_expect_eq(ur_store_get_agent_by_id(box.store, 1)->claims, 10);
	cr_expect_eq(end(1, 0, 0, 23), UR_ENDING_DROPPED);
	cr_expect_eq(box_count(&box, 24), 0);
}
