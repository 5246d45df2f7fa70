/* SPDX-License-Identifier: BSD-2-Clause */
/* Snapshots and REFRESH ALL in a store. Agent 1 has the same priority as 2. */
#include <errno.h>

#include "store-private.h"

#include "stores.h"

static struct box box;

static void start(void)
{
	box_start(&box);
}

static void done(void)
{
	box_done(&box);
}

TestSuite(store_epochs, .init = start, .fini = done, .timeout = 200);

static const struct ur_agent_row *row_of(uint32_t agent)
{
	return ur_store_get_agent_by_id(box.store, agent);
}

static void begin(void)
{
	cr_assert_eq(ur_store_begin(box.store), 0);
}

/* Times in seconds after START. */
static void commit(uint64_t now)
{
	cr_assert_eq(ur_store_commit(box.store, START + now * SECOND,
				     START + now * SECOND),
		     0);
}

static void reopen(void)
{
	box_close(&box);
	cr_assert_eq(box_open(&box), 0);
}

/* In a round: so many addresses from the first, said by an agent. */
static void map_more(uint32_t agent, uint32_t first, uint32_t count,
		     uint64_t now, uint32_t lifetime_s)
{
	for (uint32_t i = first; i < first + count; i++) {
		struct ur_statement map =
		    at(say(UIDRECV_OP_MAP, "some.user", 1, now, lifetime_s), i);

		cr_assert_eq(ur_store_apply(box.store, agent, 1000, &map,
					    START + now * SECOND),
			     0);
	}
}

static void map(uint32_t agent, uint32_t first, uint32_t count, uint64_t now,
		uint32_t lifetime_s)
{
	begin();
	map_more(agent, first, count, now, lifetime_s);
	commit(now);
}

static void begin_snapshot(uint32_t agent)
{
	begin();
	cr_assert_eq(ur_store_begin_snapshot(box.store, agent), 0);
	commit(0);
}

static enum ur_ending try_end(uint32_t agent, uint64_t count,
			      unsigned int keep_percent, bool may_count,
			      uint64_t now)
{
	enum ur_ending ending = 0;

	begin();
	cr_assert_eq(ur_store_end_snapshot(box.store, agent, count,
					   keep_percent, may_count,
					   START + now * SECOND, &ending),
		     0);
	commit(now);
	return ending;
}

static enum ur_ending end_snapshot(uint32_t agent, unsigned int keep_percent,
				   uint64_t now)
{
	return try_end(agent, row_of(agent)->epochs.maps, keep_percent, true,
		       now);
}

static bool try_refresh_all(uint32_t agent, uint64_t as_of, uint64_t count,
			    bool may_count, uint64_t now)
{
	bool is_taken = false;

	begin();
	cr_assert_eq(ur_store_refresh_all(
			 box.store, agent, START + as_of * SECOND, count,
			 may_count, START + now * SECOND, &is_taken),
		     0);
	commit(now);
	return is_taken;
}

/* A whole snapshot of these, in which nothing is held. */
static void snapshot(uint32_t agent, uint32_t first, uint32_t count,
		     uint64_t now, uint32_t lifetime_s)
{
	begin();
	cr_assert_eq(ur_store_begin_snapshot(box.store, agent), 0);
	map_more(agent, first, count, now, lifetime_s);
	commit(now);
	cr_assert_eq(end_snapshot(agent, 0, now), UR_ENDING_DROPPED);
}

static int collect(size_t rows, uint64_t now)
{
	return ur_store_collect(box.store, rows, START + now * SECOND,
				START + now * SECOND);
}

static void forget_changes(void)
{
	struct ur_change change;

	while (ur_store_next_change(box.store, &change) == 1)
		;
}

static void expect_change(enum ur_change_kind kind, uint32_t agent,
			  uint32_t epoch)
{
	struct ur_change change;

	cr_assert_eq(ur_store_next_change(box.store, &change), 1);
	cr_expect_eq(change.kind, kind);
	cr_expect_eq(change.agent, agent);
	cr_expect_eq(change.epoch, epoch);
}

static void expect_no_change(void)
{
	struct ur_change change;

	cr_expect_eq(ur_store_next_change(box.store, &change), 0);
}

/* What the rows say against what is there, address by address. */
static void check_counts(void)
{
	uint64_t all[6] = {0}, stated[6] = {0}, held[6] = {0};
	uint64_t formers[6][UR_EPOCH_FORMERS] = {{0}};
	struct uidrecv_address address;
	struct ur_cell cell = {0};
	struct ur_store_walk walk;
	MDB_txn *txn;

	cr_assert_eq(ur_store_read_begin(box.store, &txn), 0);
	ur_store_walk_start(&walk, box.store, txn, NULL);
	while (ur_store_walk_next(&walk, &cell, &address) == 1)
		for (size_t i = 0; i < cell.claims_count; i++) {
			uint32_t epoch = cell.claims[i].epoch;
			uint32_t id = cell.claims[i].agent;
			const struct ur_epochs *epochs = &row_of(id)->epochs;

			if (epoch < epochs->floor)
				continue;
			all[id]++;
			stated[id] += epoch == epochs->current;
			held[id] += epoch < epochs->held;
			for (int f = 0; f < epochs->formers_count; f++)
				formers[id][f] +=
				    epochs->formers[f].epoch == epoch;
		}
	ur_store_walk_pause(&walk);
	mdb_txn_abort(txn);
	ur_cell_done(&cell);
	for (uint32_t id = 1; id <= 5; id++) {
		const struct ur_agent_row *row = row_of(id);

		cr_assert_eq(row->claims, all[id]);
		cr_assert_eq(row->epochs.stated, stated[id]);
		cr_assert_eq(row->epochs.held_claims, held[id]);
		for (int f = 0; f < row->epochs.formers_count; f++)
			cr_assert_eq(row->epochs.formers[f].claims,
				     formers[id][f]);
	}
}

static uint64_t deadline_of(uint32_t ipv4, uint64_t now)
{
	struct box_find find = box_answer(&box, ipv4, now);

	return find.found ? (find.deadline_us - START) / SECOND : 0;
}

Test(store_epochs, an_end_drops_what_was_not_said_again)
{
	map(1, 1, 4, 1, 3600);
	map(2, 4, 2, 0, 3600);
	begin_snapshot(1);
	map(1, 1, 2, 2, 3600);
	cr_expect_eq(box_count(&box, 2), 5);
	cr_expect_eq(end_snapshot(1, 0, 2), UR_ENDING_DROPPED);
	cr_expect_eq(box_count(&box, 2), 4);
	cr_expect_eq(row_of(1)->claims, 2);
	cr_expect_eq(row_of(2)->claims, 2);
	check_counts();
	/* It is the same before and after it is all gone. */
	cr_expect_eq(collect(100, 2), 2);
	cr_expect_eq(box_count(&box, 2), 4);
	check_counts();
}

Test(store_epochs, everything_outlives_a_restart)
{
	begin_snapshot(1);
	map(1, 1, 3, 1, 3600);
	begin();
	cr_assert_eq(ur_store_count_maps(box.store, 1, 3), 0);
	commit(1);
	reopen();
	cr_expect(row_of(1)->epochs.is_open);
	cr_expect_eq(row_of(1)->epochs.maps, 3);
	cr_expect_eq(try_end(1, 3, 50, true, 1), UR_ENDING_DROPPED);
	cr_expect(try_refresh_all(1, 10, 3, true, 10));
	begin_snapshot(1);
	map(1, 1, 1, 20, 3600);
	cr_expect_eq(end_snapshot(1, 50, 20), UR_ENDING_HELD);
	reopen();
	cr_expect_eq(row_of(1)->epochs.held, 2);
	cr_expect_eq(row_of(1)->epochs.held_claims, 2);
	cr_expect_eq(row_of(1)->epochs.formers_count, 1);
	cr_expect_eq(deadline_of(2, 20), 3610);
	check_counts();
	forget_changes();
	cr_expect_eq(ur_store_accept_drops(box.store, 1, START, START), 1);
	expect_change(UR_CHANGE_DROPPED, 1, 2);
	expect_no_change();
	cr_expect_gt(ur_store_get_due(box.store), 0);
	reopen();
	cr_expect_eq(row_of(1)->claims, 1);
	cr_expect_eq(box_count(&box, 20), 1);
	cr_expect_eq(collect(10, 20), 2);
	check_counts();
}

Test(store_epochs, a_round_that_is_given_up_changes_nothing)
{
	enum ur_ending ending;
	bool is_taken;

	snapshot(1, 1, 4, 1, 3600);
	begin_snapshot(1);
	map(1, 1, 1, 2, 3600);
	forget_changes();
	cr_expect_eq(collect(100, 2), 0);
	begin();
	cr_assert_eq(ur_store_end_snapshot(box.store, 1, 0, 0, true,
					   START + 2 * SECOND, &ending),
		     0);
	cr_assert_eq(ending, UR_ENDING_DROPPED);
	cr_assert_eq(ur_store_refresh_all(box.store, 1, START + 2 * SECOND, 1,
					  true, START + 2 * SECOND, &is_taken),
		     0);
	cr_assert(is_taken);
	map_more(1, 9, 1, 2, 3600);
	cr_assert_eq(ur_store_begin_snapshot(box.store, 1), 0);
	cr_assert_eq(ur_store_want_snapshot(box.store, 1, 1), 0);
	ur_store_abort(box.store);
	expect_no_change();
	cr_expect_eq(ur_store_get_due(box.store), 0);
	cr_expect_eq(row_of(1)->epochs.current, 2);
	cr_expect_eq(row_of(1)->epochs.floor, 1);
	cr_expect_eq(row_of(1)->epochs.refreshed_us, 0);
	cr_expect_eq(row_of(1)->epochs.wanted, 0);
	cr_expect(row_of(1)->epochs.is_open);
	cr_expect_eq(box_count(&box, 2), 4);
	cr_expect_eq(collect(100, 2), 0);
	check_counts();
	/* Not what is counted either. */
	cr_expect_eq(end_snapshot(1, 50, 2), UR_ENDING_HELD);
	cr_expect_eq(row_of(1)->epochs.held_claims, 3);
	check_counts();
}

Test(store_epochs, of_an_unknown_agent_and_without_a_round)
{
	enum ur_ending ending;
	bool is_taken;

	cr_expect_eq(ur_store_begin_snapshot(box.store, 1), -EINVAL);
	cr_expect_eq(ur_store_accept_drops(box.store, 6, START, START),
		     -EINVAL);
	cr_expect_eq(ur_store_accept_drops(box.store, 0, START, START),
		     -EINVAL);
	begin();
	cr_expect_eq(ur_store_begin_snapshot(box.store, 6), -EINVAL);
	cr_expect_eq(ur_store_begin_snapshot(box.store, 0), -EINVAL);
	cr_expect_eq(ur_store_count_maps(box.store, 6, 1), -EINVAL);
	cr_expect_eq(ur_store_want_snapshot(box.store, 6, 1), -EINVAL);
	cr_expect_eq(
	    ur_store_end_snapshot(box.store, 6, 0, 0, true, START, &ending),
	    -EINVAL);
	cr_expect_eq(ur_store_refresh_all(box.store, 6, START, 0, true, START,
					  &is_taken),
		     -EINVAL);
	cr_expect_eq(ur_store_accept_drops(box.store, 1, START, START), -EBUSY);
	commit(1);
	cr_expect_eq(ur_store_get_oldest_us(box.store, 6), UR_TIME_NEVER);
	cr_expect_eq(ur_store_get_counted_us(box.store, 6), 0);
}

Test(store_epochs, changes_come_in_their_order)
{
	bool is_taken;
	enum ur_ending ending;

	map(1, 1, 2, 1, 3600);
	forget_changes();
	begin();
	map_more(1, 1, 1, 2, 3600);
	cr_assert_eq(ur_store_begin_snapshot(box.store, 1), 0);
	map_more(1, 1, 1, 3, 3600);
	cr_assert_eq(ur_store_end_snapshot(box.store, 1, 0, 0, true,
					   START + 3 * SECOND, &ending),
		     0);
	cr_assert_eq(ur_store_refresh_all(box.store, 1, START + 3 * SECOND, 1,
					  true, START + 3 * SECOND, &is_taken),
		     0);
	map_more(1, 5, 1, 3, 3600);
	expect_no_change();
	commit(3);
	expect_change(UR_CHANGE_ANSWER, 1, 0);
	expect_change(UR_CHANGE_ANSWER, 1, 1);
	expect_change(UR_CHANGE_DROPPED, 1, 1);
	expect_change(UR_CHANGE_REFRESHED, 1, 1);
	expect_change(UR_CHANGE_ANSWER, 1, 1);
	expect_no_change();
}

Test(store_epochs, an_end_that_drops_nothing_is_no_change)
{
	begin_snapshot(1);
	map(1, 1, 2, 1, 3600);
	forget_changes();
	cr_expect_eq(end_snapshot(1, 50, 1), UR_ENDING_DROPPED);
	expect_no_change();
	cr_expect_eq(ur_store_get_due(box.store), 0);
}

Test(store_epochs, an_end_holds_below_the_share)
{
	map(1, 1, 4, 1, 3600);
	begin_snapshot(1);
	map(1, 1, 2, 2, 3600);
	/* Half is not below half. */
	cr_expect_eq(end_snapshot(1, 50, 2), UR_ENDING_DROPPED);
}

Test(store_epochs, what_died_does_not_count_in_the_share)
{
	/* Three that are dead but not collected, of 5 that live. */
	map(1, 1, 3, 1, 10);
	map(1, 11, 3, 1, 3600);
	begin_snapshot(1);
	map(1, 11, 2, 2, 3600);
	map(1, 21, 2, 2, 5);
	cr_assert_eq(row_of(1)->claims, 8);
	/* At 20: living 3, of them 2 of this epoch. */
	cr_expect_eq(end_snapshot(1, 60, 20), UR_ENDING_DROPPED);
	check_counts();
	/* The dead of this epoch are still there, unlike those below it. */
	cr_expect_geq(row_of(1)->claims, 2);
	cr_expect_eq(box_count(&box, 20), 2);
	cr_expect_geq(collect(100, 20), 4);
	check_counts();
	cr_expect_eq(row_of(1)->claims, 2);
}

Test(store_epochs, an_end_that_may_not_count_is_refused)
{
	map(1, 1, 2, 1, 10);
	map(1, 11, 2, 1, 3600);
	begin_snapshot(1);
	map(1, 11, 1, 2, 3600);
	/* One has perhaps died since it was counted, if ever it was. */
	cr_expect_eq(try_end(1, 0, 50, false, 20), UR_ENDING_REFUSED);
	cr_expect_eq(row_of(1)->epochs.wanted, UIDRECV_RESYNC_BUSY);
	cr_expect_not(row_of(1)->epochs.is_open);
	cr_expect_eq(row_of(1)->epochs.floor, 0);
	cr_expect_eq(box_count(&box, 20), 2);
	/* Without a share there is nothing to count. */
	begin_snapshot(1);
	cr_expect_eq(try_end(1, 0, 0, false, 20), UR_ENDING_DROPPED);
	cr_expect_eq(row_of(1)->epochs.wanted, 0);
}

/* Once counted, it stays counted until the next of them can die. */
Test(store_epochs, an_end_that_knows_need_not_count)
{
	map(1, 1, 2, 1, 10);
	map(1, 11, 4, 1, 3600);
	begin_snapshot(1);
	cr_expect_eq(end_snapshot(1, 100, 20), UR_ENDING_HELD);
	cr_expect_eq(ur_store_get_counted_us(box.store, 1),
		     START + 20 * SECOND);
	begin_snapshot(1);
	map(1, 11, 3, 21, 3600);
	cr_expect_eq(try_end(1, 0, 75, false, 3600), UR_ENDING_DROPPED);
	cr_expect_eq(row_of(1)->claims, 3);
	check_counts();
	begin_snapshot(1);
	map(1, 11, 1, 22, 3600);
	cr_expect_eq(try_end(1, 0, 30, false, 3621), UR_ENDING_REFUSED);
}

Test(store_epochs, an_end_with_another_count_is_refused)
{
	map(1, 1, 2, 1, 3600);
	begin_snapshot(1);
	begin();
	cr_assert_eq(ur_store_count_maps(box.store, 1, 2), 0);
	cr_assert_eq(ur_store_count_maps(box.store, 1, 3), 0);
	commit(1);
	cr_expect_eq(try_end(1, 4, 0, true, 1), UR_ENDING_REFUSED);
	cr_expect_eq(row_of(1)->epochs.wanted, UIDRECV_RESYNC_COUNT);
	cr_expect_eq(row_of(1)->claims, 2);
	/* Outside of a snapshot nothing is counted. */
	begin();
	cr_assert_eq(ur_store_count_maps(box.store, 1, 9), 0);
	commit(1);
	cr_expect_eq(row_of(1)->epochs.maps, 5);
	cr_expect_eq(try_end(1, 5, 0, true, 1), UR_ENDING_REFUSED);
	cr_expect_eq(row_of(1)->epochs.wanted, UIDRECV_RESYNC_NO_SNAPSHOT);
	expect_change(UR_CHANGE_ANSWER, 1, 0);
	expect_change(UR_CHANGE_ANSWER, 1, 0);
	expect_no_change();
}

Test(store_epochs, refresh_all_renews_by_the_life_of_each)
{
	begin_snapshot(1);
	map(1, 1, 1, 1, 100);
	map(1, 2, 1, 1, 3600);
	map(2, 3, 1, 1, 100);
	cr_expect_eq(end_snapshot(1, 50, 1), UR_ENDING_DROPPED);
	cr_expect(try_refresh_all(1, 50, 2, true, 60));
	cr_expect_eq(deadline_of(1, 60), 150);
	cr_expect_eq(deadline_of(2, 60), 3650);
	cr_expect_eq(deadline_of(3, 60), 101);
	/* What is said later as of an earlier time, too. */
	map(1, 4, 1, 61, 10);
	begin();
	cr_assert_eq(ur_store_apply(box.store, 1, 1000,
				    &(struct ur_statement){
					.address = uidrecv_address_from_ipv4(5),
					.op = UIDRECV_OP_MAP,
					.event_us = START,
					.as_of_us = START,
					.lifetime_s = 30,
					.user = "x",
					.user_size = 1},
				    START + 61 * SECOND),
		     0);
	commit(61);
	cr_expect_eq(deadline_of(5, 61), 80);
	cr_expect_eq(deadline_of(4, 61), 71);
	/* An earlier one is taken, and changes nothing. */
	cr_expect(try_refresh_all(1, 40, 4, true, 62));
	cr_expect_eq(deadline_of(1, 62), 150);
	check_counts();
}

Test(store_epochs, refresh_all_does_not_revive)
{
	begin_snapshot(1);
	map(1, 1, 2, 1, 10);
	map(1, 11, 3, 1, 100);
	cr_expect_eq(end_snapshot(1, 50, 1), UR_ENDING_DROPPED);
	/* Two have ended and are not collected. */
	cr_expect_not(try_refresh_all(1, 20, 5, true, 20));
	cr_expect_eq(row_of(1)->epochs.wanted, UIDRECV_RESYNC_COUNT);
	cr_expect_eq(box_count(&box, 20), 3);
	cr_expect(try_refresh_all(1, 20, 3, true, 20));
	cr_expect_eq(box_count(&box, 20), 3);
	cr_expect_eq(row_of(1)->claims, 3);
	check_counts();
	cr_expect_eq(deadline_of(11, 20), 120);
	/* Nor at the very end. */
	cr_expect_not(try_refresh_all(1, 119, 3, true, 120));
	cr_expect_eq(box_count(&box, 120), 0);
	cr_expect(try_refresh_all(1, 120, 0, true, 120));
	cr_expect_eq(box_count(&box, 120), 0);
}

/* What is held may be dead, which the current epoch is not the worse for. */
Test(store_epochs, refresh_all_leaves_other_epochs)
{
	map(1, 1, 6, 1, 10);
	map(1, 11, 4, 1, 100);
	begin_snapshot(1);
	map(1, 21, 1, 2, 100);
	cr_expect_eq(end_snapshot(1, 50, 2), UR_ENDING_HELD);
	cr_expect(try_refresh_all(1, 50, 1, true, 50));
	cr_expect_eq(box_count(&box, 50), 5);
	cr_expect_eq(deadline_of(11, 50), 101);
	cr_expect_eq(deadline_of(21, 50), 150);
	check_counts();
	/* Restated they are of this epoch, and renewed with it. */
	map(1, 11, 1, 51, 100);
	cr_expect(try_refresh_all(1, 60, 2, true, 60));
	cr_expect_eq(deadline_of(11, 60), 160);
	cr_expect_eq(deadline_of(12, 60), 101);
	check_counts();
}

Test(store_epochs, refresh_all_needs_this_session)
{
	struct ur_agent_row row;

	snapshot(1, 1, 2, 1, 100);
	cr_expect(try_refresh_all(1, 2, 2, true, 2));
	row = *row_of(1);
	row.session_id++;
	row.claims = 77;
	row.epochs.current = 77;
	begin();
	cr_assert_eq(ur_store_put_agent(box.store, &row), 0);
	commit(3);
	cr_expect_eq(row_of(1)->session_id, row.session_id);
	cr_expect_eq(row_of(1)->claims, 2);
	cr_expect_eq(row_of(1)->epochs.current, 1);
	cr_expect_not(try_refresh_all(1, 3, 2, true, 3));
	cr_expect_eq(row_of(1)->epochs.wanted, UIDRECV_RESYNC_NO_SNAPSHOT);
	/* The same session again changes nothing. */
	snapshot(1, 1, 2, 4, 100);
	begin();
	cr_assert_eq(ur_store_put_agent(box.store, &row), 0);
	commit(4);
	cr_expect(try_refresh_all(1, 5, 2, true, 5));
}

Test(store_epochs, refresh_all_that_may_not_count_is_refused)
{
	begin_snapshot(1);
	map(1, 1, 2, 1, 10);
	map(1, 11, 2, 1, 100);
	cr_expect_eq(end_snapshot(1, 0, 1), UR_ENDING_DROPPED);
	cr_expect_not(try_refresh_all(1, 20, 2, false, 20));
	cr_expect_eq(row_of(1)->epochs.wanted, UIDRECV_RESYNC_BUSY);
	cr_expect_not(try_refresh_all(1, 20, 4, false, 20));
	cr_expect_eq(deadline_of(11, 20), 101);
	/* Once it is counted, it goes on without. */
	cr_expect(try_refresh_all(1, 20, 2, true, 20));
	cr_expect(try_refresh_all(1, 119, 2, false, 119));
	/* An early one does not bring the next death nearer. */
	cr_expect(try_refresh_all(1, 1, 2, false, 120));
	cr_expect(try_refresh_all(1, 119, 2, false, 121));
	cr_expect(try_refresh_all(1, 218, 2, false, 218));
	cr_expect_eq(box_count(&box, 317), 2);
	cr_expect_not(try_refresh_all(1, 318, 2, false, 318));
}

/* A shorter life that is said later is the next to end. */
Test(store_epochs, refresh_all_knows_the_shortest_life)
{
	snapshot(1, 1, 2, 1, 3600);
	cr_expect(try_refresh_all(1, 2, 2, true, 2));
	map(1, 3, 1, 3, 10);
	cr_expect(try_refresh_all(1, 4, 3, false, 4));
	cr_expect_not(try_refresh_all(1, 14, 3, false, 14));
	cr_expect_eq(row_of(1)->epochs.wanted, UIDRECV_RESYNC_BUSY);
	cr_expect_not(try_refresh_all(1, 14, 3, true, 14));
	cr_expect_eq(row_of(1)->epochs.wanted, UIDRECV_RESYNC_COUNT);
	cr_expect(try_refresh_all(1, 14, 2, true, 14));
}

/* There is another snapshot; times of epochs that live on are kept. */
Test(store_epochs, four_former_times_are_kept)
{
	snapshot(1, 1, 5, 1, 1000);
	for (uint32_t i = 0; i < 5; i++) {
		uint64_t now = 10 * (i + 1);

		cr_expect_eq(try_refresh_all(1, now, i ? 1 : 5, true, now),
			     i < 4);
		begin_snapshot(1);
		map(1, 100 + i, 1, now, 1000);
		cr_expect_eq(end_snapshot(1, 100, now), UR_ENDING_HELD);
		check_counts();
	}
	cr_expect_eq(row_of(1)->epochs.formers_count, 4);
	cr_expect_eq(row_of(1)->epochs.wanted, 0);
	reopen();
	cr_expect_eq(deadline_of(1, 50), 1010);
	cr_expect_eq(deadline_of(100, 50), 1020);
	cr_expect_eq(deadline_of(102, 50), 1040);
	cr_expect_eq(deadline_of(103, 50), 1040);
	/* A place is free again. */
	begin();
	cr_assert_eq(
	    ur_store_apply(box.store, 1, 1000,
			   &(struct ur_statement){
			       .address = uidrecv_address_from_ipv4(100),
			       .op = UIDRECV_OP_WITHDRAW},
			   START + 50 * SECOND),
	    0);
	commit(50);
	cr_expect(try_refresh_all(1, 51, 1, true, 51));
	check_counts();
}

Test(store_epochs, collecting_lists_who_answers_instead)
{
	map(2, 1, 1, 0, 3600);
	map(2, 8, 1, 0, 3600);
	/* The same event of the same priority: the later name. */
	map(3, 2, 1, 0, 3600);
	map(1, 1, 3, 1, 3600);
	map(1, 4, 1, 1, 1);
	begin_snapshot(1);
	cr_expect_eq(end_snapshot(1, 0, 2), UR_ENDING_DROPPED);
	forget_changes();
	cr_expect_gt(ur_store_get_due(box.store), 0);
	cr_expect_eq(collect(100, 2), 4);
	expect_change(UR_CHANGE_ANSWER, 2, 0);
	expect_change(UR_CHANGE_ANSWER, 3, 0);
	/* The other two, and nobody. */
	expect_change(UR_CHANGE_ANSWER, 0, 0);
	expect_change(UR_CHANGE_ANSWER, 0, 0);
	expect_no_change();
	cr_expect_eq(ur_store_get_due(box.store), 0);
	cr_expect_eq(box_count(&box, 2), 3);
}

/* A table goes by the epoch: it must not know what a REFRESH ALL would renew.
 */
Test(store_epochs, what_has_run_out_is_listed_before_it_can_be_renewed)
{
	struct ur_statement it;

	begin_snapshot(1);
	map(1, 1, 3, 1, 10);
	map(1, 4, 1, 1, 1000);
	cr_expect_eq(end_snapshot(1, 0, 1), UR_ENDING_DROPPED);
	forget_changes();
	/* By what another says of the address, */
	it = at(say(UIDRECV_OP_LOGOUT, "nobody", 0, 20, 0), 1);
	cr_assert_eq(box_tell(&box, it, 2, 20), 0);
	expect_change(UR_CHANGE_ANSWER, 0, 0);
	expect_no_change();
	/* by what it says itself, */
	it = at(say(UIDRECV_OP_WITHDRAW, NULL, 20, 20, 0), 2);
	cr_assert_eq(box_tell(&box, it, 1, 20), 0);
	expect_change(UR_CHANGE_ANSWER, 0, 0);
	expect_no_change();
	/* by the REFRESH ALL, */
	cr_expect(try_refresh_all(1, 20, 1, true, 20));
	expect_change(UR_CHANGE_ANSWER, 0, 0);
	expect_change(UR_CHANGE_REFRESHED, 1, 1);
	expect_no_change();
	/* and by collecting. */
	map(1, 9, 1, 21, 10);
	forget_changes();
	cr_expect_geq(collect(100, 40), 1);
	expect_change(UR_CHANGE_ANSWER, 0, 0);
	expect_no_change();
	check_counts();
}

Test(store_epochs, sweeping_takes_one_whole_way)
{
	map(1, 1, 10, 1, 3600);
	cr_expect_eq(collect(4, 1), 0);
	begin_snapshot(1);
	cr_expect_eq(end_snapshot(1, 0, 2), UR_ENDING_DROPPED);
	/* The rest of this way, and all of the next one. */
	cr_expect_eq(collect(100, 2), 6);
	cr_expect_gt(ur_store_get_due(box.store), 0);
	cr_expect_eq(collect(2, 2), 2);
	cr_expect_gt(ur_store_get_due(box.store), 0);
	cr_expect_eq(collect(100, 2), 2);
	cr_expect_eq(ur_store_get_due(box.store), 0);
	/* From the beginning one is enough; of an empty store, too. */
	map(1, 1, 1, 3, 3600);
	begin_snapshot(1);
	cr_expect_eq(end_snapshot(1, 0, 3), UR_ENDING_DROPPED);
	cr_expect_gt(ur_store_get_due(box.store), 0);
	map(1, 1, 1, 3, 3600);
	cr_expect_eq(collect(100, 3), 0);
	cr_expect_eq(ur_store_get_due(box.store), 0);
}

Test(store_epochs, what_is_dropped_leaves_room_in_the_quota)
{
	struct ur_statement more =
	    at(say(UIDRECV_OP_MAP, "x", 3, 3, 3600), 100);

	map(1, 1, 4, 1, 3600);
	begin();
	cr_expect_eq(ur_store_apply(box.store, 1, 4, &more, START + 3 * SECOND),
		     UIDRECV_REJECT_QUOTA);
	commit(3);
	begin_snapshot(1);
	map(1, 1, 3, 2, 3600);
	cr_expect_eq(end_snapshot(1, 50, 3), UR_ENDING_DROPPED);
	begin();
	cr_expect_eq(ur_store_apply(box.store, 1, 4, &more, START + 3 * SECOND),
		     0);
	more.address.lo++;
	cr_expect_eq(ur_store_apply(box.store, 1, 4, &more, START + 3 * SECOND),
		     UIDRECV_REJECT_QUOTA);
	commit(3);
	/* The dropped one comes again, before it is collected: one more. */
	more = at(say(UIDRECV_OP_MAP, "x", 0, 3, 3600), 4);
	begin();
	cr_expect_eq(ur_store_apply(box.store, 1, 4, &more, START + 3 * SECOND),
		     UIDRECV_REJECT_QUOTA);
	cr_expect_eq(ur_store_apply(box.store, 1, 5, &more, START + 3 * SECOND),
		     0);
	commit(3);
	cr_expect_eq(row_of(1)->claims, 5);
	check_counts();
	cr_expect_eq(collect(100, 3), 0);
	/* What is held counts. */
	begin_snapshot(1);
	cr_expect_eq(end_snapshot(1, 50, 3), UR_ENDING_HELD);
	more.address.lo = 200;
	begin();
	cr_expect_eq(ur_store_apply(box.store, 1, 5, &more, START + 3 * SECOND),
		     UIDRECV_REJECT_QUOTA);
	commit(3);
	cr_assert_eq(ur_store_accept_drops(box.store, 1, START, START), 1);
	begin();
	cr_expect_eq(ur_store_apply(box.store, 1, 5, &more, START + 3 * SECOND),
		     0);
	commit(3);
	cr_expect_eq(ur_store_accept_drops(box.store, 1, START, START), 0);
	check_counts();
}

/* As if it had never been: an older login is no older than it. */
Test(store_epochs, what_is_dropped_is_gone_before_it_is_collected)
{
	struct ur_statement it = at(say(UIDRECV_OP_MAP, "x", 9, 9, 3600), 1);

	cr_assert_eq(box_tell(&box, it, 1, 9), 0);
	begin_snapshot(1);
	cr_expect_eq(end_snapshot(1, 0, 9), UR_ENDING_DROPPED);
	it = at(say(UIDRECV_OP_REFRESH, NULL, 9, 9, 0), 1);
	cr_expect_eq(box_tell(&box, it, 1, 9), UIDRECV_REJECT_NOT_FOUND);
	it = at(say(UIDRECV_OP_MAP, "y", 5, 9, 3600), 1);
	cr_assert_eq(box_tell(&box, it, 1, 9), 0);
	cr_expect_str_eq(box_answer(&box, 1, 9).user, "y");
	check_counts();
	begin_snapshot(1);
	cr_expect_eq(end_snapshot(1, 0, 9), UR_ENDING_DROPPED);
	it = at(say(UIDRECV_OP_WITHDRAW, NULL, 9, 9, 0), 1);
	cr_expect_eq(box_tell(&box, it, 1, 9), 0);
	cr_expect_eq(row_of(1)->claims, 0);
	check_counts();
}

/* A row that counts too little does not count to 2^64. */
Test(store_epochs, S15_counts_do_not_go_below_nothing)
{
	struct ur_statement it = at(say(UIDRECV_OP_WITHDRAW, NULL, 2, 2, 0), 1);
	struct ur_agent_row *row;

	map(1, 1, 1, 1, 3600);
	begin();
	row = ur_store_agent_touch(box.store, ur_store_agent_at(box.store, 1));
	row->claims = row->epochs.stated = 0;
	cr_assert_eq(ur_store_apply(box.store, 1, 9, &it, START + 2 * SECOND),
		     0);
	commit(2);
	cr_expect_eq(row_of(1)->claims, 0);
	cr_expect_eq(row_of(1)->epochs.stated, 0);
}

static bool keep_even(void *user, uint32_t agent,
		      struct uidrecv_address address,
		      const struct ur_claim *claim)
{
	(void)user;
	(void)claim;
	return agent != 1 || address.lo % 2 == 0;
}

Test(store_epochs, restricting_counts_each_claim_once)
{
	snapshot(1, 1, 6, 1, 3600);
	cr_expect(try_refresh_all(1, 2, 6, true, 2));
	begin_snapshot(1);
	map(1, 1, 2, 3, 3600);
	cr_expect_eq(end_snapshot(1, 50, 3), UR_ENDING_HELD);
	map(1, 1, 8, 4, 3600);
	begin_snapshot(1);
	map(1, 1, 4, 5, 3600);
	cr_expect_eq(end_snapshot(1, 50, 5), UR_ENDING_DROPPED);
	/* Four stay, four dropped ones are not collected. */
	box_restrict(&box, START + 5 * SECOND, ranks, keep_even, NULL);
	cr_expect_eq(row_of(1)->claims, 2);
	check_counts();
	cr_expect_eq(collect(100, 5), 2);
	cr_expect_eq(row_of(1)->claims, 2);
	cr_expect(try_refresh_all(1, 6, 2, true, 6));
	check_counts();
}

Test(store_epochs, oldest_is_what_was_not_vouched_for_longest)
{
	cr_expect_eq(ur_store_get_oldest_us(box.store, 1), UR_TIME_NEVER);
	map(1, 1, 1, 5, 100);
	map(1, 2, 1, 9, 100);
	map(1, 3, 1, 1, UIDRECV_LIFETIME_NEVER);
	map(1, 4, 1, 1, 2);
	map(2, 1, 1, 3, 100);
	map(4, 1, 1, 3, UIDRECV_LIFETIME_NEVER);
	cr_expect_eq(collect(2, 9), 0);
	cr_expect_eq(ur_store_get_oldest_us(box.store, 1), UR_TIME_NEVER);
	collect(100, 9);
	cr_expect_eq(ur_store_get_oldest_us(box.store, 1), START + 5 * SECOND);
	cr_expect_eq(ur_store_get_oldest_us(box.store, 2), START + 3 * SECOND);
	cr_expect_eq(ur_store_get_oldest_us(box.store, 3), UR_TIME_NEVER);
	cr_expect_eq(ur_store_get_oldest_us(box.store, 4), UR_TIME_NEVER);
	begin_snapshot(1);
	map(1, 2, 1, 20, 100);
	cr_expect_eq(end_snapshot(1, 0, 20), UR_ENDING_DROPPED);
	cr_expect(try_refresh_all(1, 30, 1, true, 30));
	collect(100, 30);
	cr_expect_eq(ur_store_get_oldest_us(box.store, 1), START + 30 * SECOND);
	collect(100, 3000);
	cr_expect_eq(ur_store_get_oldest_us(box.store, 1), UR_TIME_NEVER);
}

/*
 * There is no snapshot after so many, but BEGIN and END go on, and nothing that
 * has died is revived.
 */
Test(store_epochs, the_last_epoch_revives_nothing)
{
	struct ur_store_agent *agent = ur_store_agent_at(box.store, 1);

	begin();
	ur_store_agent_touch(box.store, agent)->epochs.current = UINT32_MAX;
	map_more(1, 1, 1, 1, 10);
	map_more(1, 2, 2, 1, 100);
	commit(1);
	begin_snapshot(1);
	cr_expect_eq(end_snapshot(1, 50, 1), UR_ENDING_DROPPED);
	cr_expect_eq(row_of(1)->claims, 3);
	cr_expect(try_refresh_all(1, 2, 3, true, 2));
	begin_snapshot(1);
	cr_expect_eq(end_snapshot(1, 50, 3), UR_ENDING_DROPPED);
	cr_expect_eq(agent->counts.stated, 3);
	cr_expect(try_refresh_all(1, 4, 3, true, 4));
	cr_expect_not(try_refresh_all(1, 20, 3, true, 20));
	cr_expect_eq(box_count(&box, 20), 2);
	cr_expect(try_refresh_all(1, 20, 2, true, 20));
	check_counts();
}

/* Only the agent's own dead are in the way of its REFRESH ALL. */
Test(store_epochs, an_end_takes_nothing_away)
{
	map(1, 1, 4, 1, 3600);
	begin_snapshot(1);
	map(1, 1, 2, 2, 3600);
	map(1, 11, 2, 2, 5);
	cr_expect_eq(end_snapshot(1, 50, 20), UR_ENDING_DROPPED);
	cr_expect_eq(collect(100, 20), 4);
	check_counts();
}

/*
 * What has died must be taken away before the rest is renewed. In a round that
 * is too large for the map that failed again and again, and with it all that
 * other agents said.
 */
Test(store_epochs, S22_refresh_all_in_a_full_store_fails_no_round)
{
	uint32_t count = 0;
	int rc = 0;

	box_done(&box);
	box_init(&box);
	box.options.map_bytes = 1 << 20;
	cr_assert_eq(box_open(&box), 0);
	cr_assert_eq(ur_store_add_agent(box.store, "a", 1, START,
					&(const struct ur_agent_row *){NULL}),
		     0);
	begin_snapshot(1);
	while (rc == 0) {
		struct ur_statement it = map_of(count++ * 2654435761u);

		/* Every third of them lives on. */
		it.lifetime_s = count % 3 ? 100 : 7200;
		begin();
		rc = ur_store_apply(box.store, 1, UINT64_MAX, &it,
				    START + SECOND);
		commit(1);
	}
	cr_assert_eq(rc, UIDRECV_REJECT_STORE_FULL);
	cr_expect_eq(end_snapshot(1, 0, 1), UR_ENDING_DROPPED);
	cr_expect_not(try_refresh_all(1, 200, 0, true, 200));
	cr_expect_eq(row_of(1)->epochs.wanted, UIDRECV_RESYNC_BUSY);
	cr_expect_eq(row_of(1)->claims, count - 1);
	/* Collecting makes room, and then it is taken. */
	do
		cr_assert_geq(collect(200, 200), 0);
	while (box.store->has_collected);
	count = (count - 1) / 3;
	cr_expect_eq(row_of(1)->claims, count);
	cr_expect(try_refresh_all(1, 200, count, true, 200));
	cr_expect_gt(count, 1000);
}

static void draw_round(uint64_t *seed, uint64_t now)
{
	static const enum uidrecv_op ops[] = {
	    UIDRECV_OP_MAP, UIDRECV_OP_MAP, UIDRECV_OP_REFRESH,
	    UIDRECV_OP_LOGOUT, UIDRECV_OP_WITHDRAW};
	uint32_t agent = 1 + (uint32_t)draw(seed, 2);
	uint64_t now_us = START + now * SECOND;
	uint64_t count = draw(seed, 3) ? row_of(agent)->epochs.stated : 1;
	enum ur_ending ending;
	bool is_taken;

	switch (draw(seed, 7)) {
	case 0:
		cr_assert_eq(ur_store_begin_snapshot(box.store, agent), 0);
		break;
	case 1:
		cr_assert_eq(
		    ur_store_end_snapshot(box.store, agent, 0,
					  (unsigned int)draw(seed, 101),
					  draw(seed, 2), now_us, &ending),
		    0);
		break;
	case 2:
		cr_assert_eq(ur_store_refresh_all(
				 box.store, agent,
				 now_us - draw(seed, 20) * SECOND, count,
				 draw(seed, 4), now_us, &is_taken),
			     0);
		break;
	default:
		for (uint64_t i = draw(seed, 5); i > 0; i--) {
			uint64_t as_of = now - draw(seed, 20);
			struct ur_statement it =
			    at(say(ops[draw(seed, 5)], "u", as_of, as_of,
				   1 + (uint32_t)draw(seed, 60)),
			       (uint32_t)draw(seed, 12));

			cr_assert_geq(ur_store_apply(box.store, agent,
						     4 + draw(seed, 8), &it,
						     now_us),
				      0);
		}
	}
}

static bool keep_some(void *user, uint32_t agent,
		      struct uidrecv_address address,
		      const struct ur_claim *claim)
{
	(void)agent;
	(void)claim;
	return draw(user, 8) + address.lo > 3;
}

static void draw_work(uint64_t *seed, uint64_t now)
{
	uint64_t now_us = START + now * SECOND;

	switch (draw(seed, 8)) {
	case 0:
		cr_assert_geq(collect(1 + draw(seed, 8), now), 0);
		break;
	case 1:
		cr_assert_geq(ur_store_accept_drops(box.store,
						    1 + (uint32_t)draw(seed, 2),
						    now_us, now_us),
			      0);
		break;
	case 2:
		if (draw(seed, 4) == 0)
			box_restrict(&box, now_us, ranks, keep_some, seed);
		break;
	case 3:
		if (draw(seed, 4) == 0)
			reopen();
		break;
	default:
		begin();
		for (uint64_t i = 1 + draw(seed, 4); i > 0; i--)
			draw_round(seed, now);
		if (draw(seed, 6) == 0)
			ur_store_abort(box.store);
		else
			commit(now);
	}
}

/* What is kept of the living in memory: bounds, or the very numbers. */
static void check_bounds(uint64_t now_us, uint64_t run)
{
	uint64_t living[6] = {0}, stated[6] = {0};
	struct uidrecv_address address;
	struct ur_cell cell = {0};
	struct ur_store_walk walk;
	MDB_txn *txn;

	cr_assert_eq(ur_store_read_begin(box.store, &txn), 0);
	ur_store_walk_start(&walk, box.store, txn, NULL);
	while (ur_store_walk_next(&walk, &cell, &address) == 1)
		for (size_t i = 0; i < cell.claims_count; i++) {
			const struct ur_claim *claim = &cell.claims[i];
			uint32_t current = row_of(claim->agent)->epochs.current;
			bool is_living = now_us < claim->deadline_us;

			living[claim->agent] += is_living;
			stated[claim->agent] +=
			    is_living && claim->epoch == current;
		}
	ur_store_walk_pause(&walk);
	mdb_txn_abort(txn);
	ur_cell_done(&cell);
	for (uint32_t id = 1; id <= 2; id++) {
		const struct ur_store_counts *counts =
		    &ur_store_agent_at(box.store, id)->counts;

		cr_assert_geq(counts->living, living[id], "seed %ju",
			      (uintmax_t)run);
		cr_assert_geq(counts->stated, stated[id], "seed %ju",
			      (uintmax_t)run);
		if (now_us >= counts->next_death_us)
			continue;
		cr_assert_eq(counts->living, living[id], "seed %ju",
			     (uintmax_t)run);
		cr_assert_eq(counts->stated, stated[id], "seed %ju",
			     (uintmax_t)run);
	}
}

Test(store_epochs, P25_counts_are_right_in_runs_of_everything)
{
	uint64_t runs = getenv("UIDRECV_TEST_LONG") ? 3000 : 300;

	for (uint64_t run = 0; run < runs; run++) {
		uint64_t seed = run, now = 100;

		box_done(&box);
		box_start(&box);
		for (int i = 0; i < 150; i++) {
			now += draw(&seed, 4) ? 1 : draw(&seed, 30);
			box.options.boot_us = UPTIME + now * SECOND;
			draw_work(&seed, now);
			check_counts();
			check_bounds(START + now * SECOND, run);
			forget_changes();
		}
	}
}
