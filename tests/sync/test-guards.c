/* SPDX-License-Identifier: BSD-2-Clause */
/* Each guard of claims, markers and epochs has a case that is lost with it. */
#include "boxes.h"

static const uint32_t ip = 0x0a010203;

TestSuite(sync_guards, .init = start, .fini = done, .timeout = 200);

static void tell(uint32_t agent, struct ur_statement statement, uint64_t now)
{
	cr_assert_eq(box_tell(&box, at(statement, ip), agent, now), 0);
}

/* A clock that was set back, say: the new epoch alone is believed. */
Test(sync_guards, epoch_an_older_claim_gives_way_to_an_older_event)
{
	map(1, ip, "ada", 100, 3600, 100);
	begin(1, 101);
	map(1, ip, "bob", 50, 3600, 101);
	cr_expect_str_eq(who(ip, 101), "bob");
	map(1, ip, "eve", 40, 3600, 102);
	cr_expect_str_eq(who(ip, 102), "bob");
}

Test(sync_guards, epoch_a_restated_claim_is_of_the_new_one)
{
	map(1, ip, "ada", 100, 3600, 100);
	map(1, ip + 1, "ada", 100, 3600, 100);
	begin(1, 101);
	map(1, ip, "ada", 100, 10, 101);
	tell(1, at(say(UIDRECV_OP_REFRESH, NULL, 0, 102, 0), ip), 102);
	cr_expect_eq(
	    box_tell(&box, at(say(UIDRECV_OP_REFRESH, NULL, 0, 102, 0), ip + 1),
		     1, 102),
	    0);
	cr_assert_eq(end(1, 1, 0, 103), UR_ENDING_DROPPED);
	cr_expect_str_eq(who(ip, 103), "ada");
	cr_expect_eq(until(ip, 103), 3700);
	cr_expect_str_eq(who(ip + 1, 103), "ada");
}

Test(sync_guards, epoch_begin_changes_nothing)
{
	map_some(1, ip, 3, 100, 50);
	begin(1, 51);
	cr_expect_eq(box_count(&box, 51), 3);
	cr_expect_eq(until(ip, 51), 150);
}

Test(sync_guards, epoch_end_drops_what_was_not_restated)
{
	map_some(1, ip, 3, 3600, 50);
	map(2, ip + 1, "bob", 1, 3600, 50);
	begin(1, 51);
	map(1, ip, "ada", 1, 3600, 51);
	cr_expect_eq(box_count(&box, 51), 3);
	cr_assert_eq(end(1, 1, 0, 52), UR_ENDING_DROPPED);
	cr_expect_str_eq(who(ip, 52), "ada");
	/* What another says is not its to drop. */
	cr_expect_str_eq(who(ip + 1, 52), "bob");
	cr_expect_str_eq(who(ip + 2, 52), "");
	cr_expect_eq(ur_store_get_agent_by_id(box.store, 1)->claims, 1);
}

/* Nor may one that is dropped refuse a newer one, or take its room. */
Test(sync_guards, epoch_a_dropped_claim_is_none)
{
	struct ur_statement it =
	    at(say(UIDRECV_OP_REFRESH, NULL, 0, 53, 0), ip);

	map(1, ip, "ada", 100, 3600, 100);
	begin(1, 101);
	cr_assert_eq(end(1, 0, 0, 102), UR_ENDING_DROPPED);
	cr_expect_eq(box_tell(&box, it, 1, 103), UIDRECV_REJECT_NOT_FOUND);
	it = at(say(UIDRECV_OP_MAP, "bob", 1, 103, 3600), ip + 1);
	cr_assert_eq(ur_store_begin(box.store), 0);
	cr_expect_eq(ur_store_apply(box.store, 1, 1, &it, START + 103 * SECOND),
		     0);
	cr_assert_eq(ur_store_commit(box.store, START + 103 * SECOND, START),
		     0);
	map(1, ip, "bob", 50, 3600, 104);
	cr_expect_str_eq(who(ip, 104), "bob");
}

Test(sync_guards, epochs_are_never_used_again)
{
	uint32_t last = epochs(1)->current;

	for (int i = 0; i < 5; i++) {
		begin(1, 10 + (uint64_t)i);
		cr_assert_gt(epochs(1)->current, last);
		last = epochs(1)->current;
		session(1, 1000 + (uint64_t)i, 10 + (uint64_t)i);
		reopen();
		cr_assert_eq(epochs(1)->current, last);
		cr_assert_eq(end(1, 0, 0, 10 + (uint64_t)i), UR_ENDING_REFUSED);
	}
}

Test(sync_guards, ids_of_agents_are_never_used_again)
{
	const struct ur_agent_row *row;

	for (uint32_t id = 6; id < 12; id++) {
		char name[16];

		snprintf(name, sizeof(name), "agent-%u", id);
		cr_assert_eq(ur_store_add_agent(box.store, name, strlen(name),
						START, &row),
			     0);
		cr_expect_eq(row->id, id);
		reopen();
		cr_assert_eq(ur_store_add_agent(box.store, name, strlen(name),
						START, &row),
			     0);
		cr_expect_eq(row->id, id);
	}
}

Test(sync_guards, P18_marker_ends_nothing_that_is_newer)
{
	map(1, ip, "ada", 100, 3600, 101);
	tell(2, say(UIDRECV_OP_LOGOUT, "ada", 99, 102, 0), 102);
	cr_expect_str_eq(who(ip, 102), "ada");
	tell(2, say(UIDRECV_OP_LOGOUT, "ada", 100, 102, 0), 102);
	cr_expect_str_eq(who(ip, 102), "");
}

/* Without a name the moment itself is not meant. */
Test(sync_guards, P18_marker_of_nobody_ends_what_is_older_only)
{
	map(1, ip, "ada", 100, 3600, 101);
	tell(2, say(UIDRECV_OP_LOGOUT, NULL, 100, 102, 0), 102);
	cr_expect_str_eq(who(ip, 102), "ada");
	tell(2, say(UIDRECV_OP_LOGOUT, NULL, 101, 102, 0), 102);
	cr_expect_str_eq(who(ip, 102), "");
}

Test(sync_guards, P18_marker_ends_no_other_user)
{
	map(1, ip, "ada", 100, 3600, 101);
	tell(2, say(UIDRECV_OP_LOGOUT, "bob", 101, 102, 0), 102);
	cr_expect_str_eq(who(ip, 102), "ada");
}

Test(sync_guards, P18_marker_ends_no_other_token)
{
	tell(1, with_token(say(UIDRECV_OP_MAP, "ada", 100, 101, 3600), 7), 101);
	tell(2, with_token(say(UIDRECV_OP_LOGOUT, "ada", 101, 102, 0), 8), 102);
	cr_expect_str_eq(who(ip, 102), "ada");
	tell(2, with_token(say(UIDRECV_OP_LOGOUT, NULL, 101, 103, 0), 7), 103);
	cr_expect_str_eq(who(ip, 103), "");
}

Test(sync_guards, P18_marker_with_a_token_ends_no_claim_without)
{
	tell(1, say(UIDRECV_OP_MAP, "ada", 100, 101, 3600), 101);
	tell(2, with_token(say(UIDRECV_OP_LOGOUT, "ada", 101, 102, 0), 0), 102);
	cr_expect_str_eq(who(ip, 102), "ada");
}

Test(sync_guards, P18_marker_ends_nothing_of_higher_priority)
{
	map(3, ip, "ada", 100, 3600, 101);
	tell(1, say(UIDRECV_OP_LOGOUT, "ada", 101, 102, 0), 102);
	cr_expect_str_eq(who(ip, 102), "ada");
	tell(4, say(UIDRECV_OP_LOGOUT, "ada", 101, 103, 0), 103);
	cr_expect_str_eq(who(ip, 103), "");
}

Test(sync_guards, P17_a_snapshot_brings_no_ended_login_back)
{
	map(1, ip, "ada", 100, 36000, 101);
	tell(2, say(UIDRECV_OP_LOGOUT, "ada", 101, 102, 0), 102);
	begin(1, 103);
	map(1, ip, "ada", 100, 36000, 103);
	cr_assert_eq(end(1, 1, 50, 104), UR_ENDING_DROPPED);
	cr_expect_str_eq(who(ip, 104), "");
	cr_expect_eq(refresh_all(1, 105, 1, 105), true);
	cr_expect_str_eq(who(ip, 105), "");
	/* The marker is old by now, and still has something to suppress. */
	cr_assert_geq(ur_store_collect(box.store, 100, START + 5000 * SECOND,
				       START + 5000 * SECOND),
		      0);
	cr_expect_str_eq(who(ip, 5001), "");
}

Test(sync_guards, P17_of_many_markers_the_latest_stay)
{
	for (uint64_t i = 0; i <= UR_MARKERS_MAX; i++) {
		char user[8];

		snprintf(user, sizeof(user), "u%ju", (uintmax_t)i);
		tell(2, say(UIDRECV_OP_LOGOUT, user, 100 + i, 200, 0), 200);
	}
	map(1, ip, "u1", 101, 3600, 201);
	cr_expect_str_eq(who(ip, 201), "");
	map(1, ip, "u0", 100, 3600, 202);
	begin(1, 203);
	map(1, ip, "u0", 100, 3600, 203);
	cr_expect_str_eq(who(ip, 203), "u0");
}

/* Takes what is listed of an address; its user, "" for nobody, or NULL. */
static const char *listed(void)
{
	static char user[UIDRECV_NAME_MAX + 1];
	struct ur_change change;
	bool is_there = false;

	while (ur_store_next_change(box.store, &change) == 1) {
		if (change.kind != UR_CHANGE_ANSWER ||
		    change.address.lo != uidrecv_address_from_ipv4(ip).lo)
			continue;
		is_there = true;
		memcpy(user, change.user, change.user_size);
		user[change.user_size] = '\0';
	}
	return is_there ? user : NULL;
}

Test(sync_guards, runner_up_is_listed_when_a_life_ends)
{
	map(3, ip, "ada", 1, 100, 1);
	map(1, ip, "bob", 1, 3600, 1);
	listed();
	cr_assert_eq(ur_store_settle(box.store, 100, START + 100 * SECOND), 0);
	cr_expect_null(listed());
	cr_assert_eq(ur_store_settle(box.store, 100, START + 101 * SECOND), 0);
	cr_expect_str_eq(listed(), "bob");
}

Test(sync_guards, runner_up_is_listed_after_a_drop)
{
	map(3, ip, "ada", 1, 3600, 1);
	map(1, ip, "bob", 1, 3600, 1);
	listed();
	begin(3, 2);
	cr_assert_eq(end(3, 0, 0, 3), UR_ENDING_DROPPED);
	cr_expect_str_eq(who(ip, 3), "bob");
	cr_assert_geq(ur_store_collect(box.store, 100, START + 3 * SECOND,
				       START + 3 * SECOND),
		      0);
	cr_assert_eq(ur_store_settle(box.store, 100, START + 3 * SECOND), 0);
	cr_expect_str_eq(listed(), "bob");
}

/* Its end was put off, so that of the runner-up's turn was, too. */
Test(sync_guards, runner_up_waits_for_what_was_renewed)
{
	snapshot(3, ip, 1, 100, 1);
	map(1, ip, "bob", 1, 3600, 1);
	listed();
	cr_assert_eq(refresh_all(3, 90, 1, 90), true);
	cr_assert_eq(ur_store_settle(box.store, 100, START + 150 * SECOND), 0);
	cr_expect_str_eq(who(ip, 150), "ada");
	cr_assert_eq(ur_store_settle(box.store, 100, START + 190 * SECOND), 0);
	cr_expect_str_eq(listed(), "bob");
}

Test(sync_guards, superseded_sessions_are_remembered)
{
	struct ur_agent_row row = *ur_store_get_agent_by_id(box.store, 2);
	const struct ur_agent_row *kept;

	for (uint64_t i = 0; i < UR_SUPERSEDED_MAX; i++)
		row.superseded[i] = 100 + i;
	cr_assert_eq(ur_store_begin(box.store), 0);
	cr_assert_eq(ur_store_put_agent(box.store, &row), 0);
	cr_assert_eq(ur_store_commit(box.store, START + SECOND, START), 0);
	snapshot(2, ip, 3, 100, 2);
	reopen();
	kept = ur_store_get_agent_by_id(box.store, 2);
	for (uint64_t i = 0; i < UR_SUPERSEDED_MAX; i++)
		cr_expect_eq(kept->superseded[i], 100 + i);
	cr_expect_eq(kept->session_id, 20);
}
