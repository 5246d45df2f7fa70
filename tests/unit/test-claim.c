/* SPDX-License-Identifier: BSD-2-Clause */
#include "claim.h"

#include <stdio.h>

#include <criterion/criterion.h>

#include "cells.h"
#include "cell.h"

static struct ur_cell cell;
static bool changed, added;

static int tell(struct ur_statement statement, uint32_t agent, uint32_t epoch,
		uint64_t now)
{
	return ur_cell_apply(&cell, &statement, agent, epoch,
			     START + now * SECOND, &changed, &added);
}

static void check_claim(uint32_t agent, const char *user, uint64_t event,
			uint64_t deadline)
{
	const struct ur_claim *claim = ur_cell_find(&cell, agent);

	cr_assert_not_null(claim);
	cr_assert(
	    ur_text_is_same(claim->user, claim->user_size, user, strlen(user)),
	    "%.*s is not %s", claim->user_size, claim->user, user);
	cr_assert_eq(claim->event_us, START + event * SECOND);
	cr_assert_eq(claim->deadline_us, START + deadline * SECOND);
}

static const char *answer_at(uint64_t now)
{
	static char user[UIDRECV_NAME_MAX + 1];
	const struct ur_claim *claim =
	    ur_answer(&cell, &ranks, START + now * SECOND);

	if (!claim)
		return "";
	memcpy(user, claim->user, claim->user_size);
	user[claim->user_size] = '\0';
	return user;
}

static void done(void)
{
	ur_cell_done(&cell);
}

TestSuite(claim, .fini = done);

Test(claim, map_states_a_claim)
{
	struct ur_statement map = say(UIDRECV_OP_MAP, "ada", 5, 10, 60);

	map.source = UIDRECV_SOURCE_VPN;
	cr_assert_eq(tell(with_token(map, 77), 1, 3, 10), 0);
	cr_assert(changed && added);
	check_claim(1, "ada", 5, 70);
	cr_assert_eq(cell.claims[0].epoch, 3);
	cr_assert_eq(cell.claims[0].lifetime_s, 60);
	cr_assert_eq(cell.claims[0].source, UIDRECV_SOURCE_VPN);
	cr_assert(cell.claims[0].has_token && cell.claims[0].token == 77);
	cr_assert_eq(cell.claims[0].event_raw_us, 5 * SECOND);
}

Test(claim, map_replaces_the_former)
{
	tell(say(UIDRECV_OP_MAP, "ada", 5, 10, 60), 1, 1, 10);
	cr_assert_eq(tell(say(UIDRECV_OP_MAP, "bob", 6, 10, 20), 1, 1, 10), 0);
	cr_assert(changed && !added);
	cr_assert_eq(cell.claims_count, 1);
	check_claim(1, "bob", 6, 30);
}

Test(claim, map_of_another_user_at_the_same_time_replaces)
{
	tell(say(UIDRECV_OP_MAP, "ada", 5, 10, 60), 1, 1, 10);
	tell(say(UIDRECV_OP_MAP, "bob", 5, 10, 20), 1, 1, 10);
	check_claim(1, "bob", 5, 30);
}

Test(claim, map_does_not_replace_a_newer_living_claim)
{
	tell(say(UIDRECV_OP_MAP, "ada", 5, 10, 60), 1, 1, 10);
	cr_assert_eq(tell(say(UIDRECV_OP_MAP, "bob", 4, 10, 90), 1, 1, 10), 0);
	cr_assert(!changed && !added);
	check_claim(1, "ada", 5, 70);
	cr_assert_eq(tell(say(UIDRECV_OP_MAP, "bob", 4, 10, 90), 1, 1, 69), 0);
	cr_assert(!changed);
}

Test(claim, map_replaces_a_newer_claim_that_is_dead)
{
	tell(say(UIDRECV_OP_MAP, "ada", 5, 10, 60), 1, 1, 10);
	tell(say(UIDRECV_OP_MAP, "bob", 4, 10, 90), 1, 1, 70);
	cr_assert(changed && !added);
	check_claim(1, "bob", 4, 100);
}

Test(claim, map_replaces_a_newer_claim_of_a_former_epoch)
{
	tell(say(UIDRECV_OP_MAP, "ada", 5, 10, 60), 1, 1, 10);
	tell(say(UIDRECV_OP_MAP, "bob", 4, 10, 90), 1, 2, 10);
	check_claim(1, "bob", 4, 100);
	cr_assert_eq(cell.claims[0].epoch, 2);
}

Test(claim, map_told_again_renews_and_never_shortens)
{
	tell(say(UIDRECV_OP_MAP, "ada", 5, 10, 60), 1, 1, 10);
	tell(say(UIDRECV_OP_MAP, "ada", 5, 20, 60), 1, 2, 20);
	cr_assert(changed && !added);
	check_claim(1, "ada", 5, 80);
	cr_assert_eq(cell.claims[0].epoch, 2);
	tell(say(UIDRECV_OP_MAP, "ada", 5, 20, 10), 1, 2, 20);
	check_claim(1, "ada", 5, 80);
	cr_assert_eq(cell.claims[0].lifetime_s, 10);
	tell(say(UIDRECV_OP_MAP, "ada", 5, 20, 10), 1, 2, 20);
	cr_assert(!changed);
}

Test(claim, map_told_again_keeps_token_and_source_if_it_has_none)
{
	struct ur_statement first =
	    with_token(say(UIDRECV_OP_MAP, "alice", 10, 10, 100), 7);
	struct ur_statement again = say(UIDRECV_OP_MAP, "alice", 10, 20, 100);

	first.source = UIDRECV_SOURCE_VPN;
	cr_assert_eq(tell(first, 1, 1, 20), 0);
	cr_assert_eq(tell(again, 1, 1, 20), 0);
	cr_assert(cell.claims[0].has_token);
	cr_assert_eq(cell.claims[0].token, 7);
	cr_assert_eq(cell.claims[0].source, UIDRECV_SOURCE_VPN);
	again = with_token(again, 8);
	again.source = UIDRECV_SOURCE_PORTAL;
	cr_assert_eq(tell(again, 1, 1, 20), 0);
	cr_assert_eq(cell.claims[0].token, 8);
	cr_assert_eq(cell.claims[0].source, UIDRECV_SOURCE_PORTAL);
}

Test(claim, map_told_again_keeps_its_event_when_the_offset_changed)
{
	struct ur_statement map = say(UIDRECV_OP_MAP, "ada", 5, 10, 60);

	tell(map, 1, 1, 10);
	map.event_us += 3;
	map.as_of_us += 3000;
	tell(map, 1, 1, 11);
	cr_assert_eq(cell.claims[0].event_us, START + 5 * SECOND);
	map.event_us -= 9;
	tell(map, 1, 1, 12);
	cr_assert_eq(cell.claims[0].event_us, START + 5 * SECOND);
	cr_assert_eq(cell.claims[0].deadline_us, START + 70 * SECOND + 3000);
}

Test(claim, map_whose_life_is_over_ends_the_former)
{
	tell(say(UIDRECV_OP_MAP, "ada", 5, 10, 60), 1, 1, 10);
	cr_assert_eq(tell(say(UIDRECV_OP_MAP, "bob", 6, 10, 5), 1, 1, 15), 0);
	cr_assert(changed && !added);
	cr_assert_eq(cell.claims_count, 0);
	tell(say(UIDRECV_OP_MAP, "bob", 6, 10, 5), 1, 1, 15);
	cr_assert(!changed && !added);
}

Test(claim, map_needs_a_user)
{
	cr_assert_eq(tell(say(UIDRECV_OP_MAP, NULL, 1, 1, 9), 1, 1, 1),
		     UIDRECV_REJECT_MALFORMED);
	cr_assert_eq(tell(say((enum uidrecv_op)0x8099, "x", 1, 1, 9), 1, 1, 1),
		     UIDRECV_REJECT_UNSUPPORTED);
}

Test(claim, agents_do_not_touch_each_other)
{
	tell(say(UIDRECV_OP_MAP, "ada", 5, 10, 60), 3, 1, 10);
	tell(say(UIDRECV_OP_MAP, "bob", 6, 10, 60), 1, 1, 10);
	tell(say(UIDRECV_OP_MAP, "eve", 7, 10, 60), 2, 1, 10);
	cr_assert_eq(cell.claims_count, 3);
	tell(say(UIDRECV_OP_WITHDRAW, NULL, 9, 9, 0), 2, 1, 10);
	cr_assert(changed);
	tell(say(UIDRECV_OP_WITHDRAW, NULL, 9, 9, 0), 4, 1, 10);
	cr_assert(!changed);
	check_claim(1, "bob", 6, 70);
	check_claim(3, "ada", 5, 70);
	cr_assert_null(ur_cell_find(&cell, 2));
}

Test(claim, refresh_extends_life_and_nothing_else)
{
	tell(say(UIDRECV_OP_MAP, "ada", 5, 10, 60), 1, 1, 10);
	cr_assert_eq(tell(say(UIDRECV_OP_REFRESH, NULL, 30, 30, 0), 1, 2, 30),
		     0);
	cr_assert(changed);
	check_claim(1, "ada", 5, 90);
	cr_assert_eq(cell.claims[0].epoch, 2);
	tell(say(UIDRECV_OP_REFRESH, "ada", 31, 31, 5), 1, 2, 31);
	check_claim(1, "ada", 5, 90);
	cr_assert_eq(cell.claims[0].lifetime_s, 5);
	tell(say(UIDRECV_OP_REFRESH, NULL, 88, 88, 0), 1, 2, 88);
	check_claim(1, "ada", 5, 93);
}

Test(claim, refresh_of_nothing_is_refused)
{
	cr_assert_eq(tell(say(UIDRECV_OP_REFRESH, NULL, 1, 1, 0), 1, 1, 1),
		     UIDRECV_REJECT_NOT_FOUND);
	tell(say(UIDRECV_OP_MAP, "ada", 5, 10, 60), 1, 1, 10);
	cr_assert_eq(tell(say(UIDRECV_OP_REFRESH, "bob", 1, 20, 0), 1, 1, 20),
		     UIDRECV_REJECT_NOT_FOUND);
	cr_assert_eq(tell(say(UIDRECV_OP_REFRESH, NULL, 1, 20, 0), 2, 1, 20),
		     UIDRECV_REJECT_NOT_FOUND);
	cr_assert_eq(tell(say(UIDRECV_OP_REFRESH, NULL, 1, 69, 0), 1, 1, 70),
		     UIDRECV_REJECT_NOT_FOUND);
	check_claim(1, "ada", 5, 70);
}

Test(claim, P18_a_late_logout_never_ends_a_newer_login)
{
	tell(say(UIDRECV_OP_MAP, "ada", 5, 10, 60), 1, 1, 10);
	tell(say(UIDRECV_OP_LOGOUT, NULL, 4, 11, 0), 1, 1, 11);
	tell(say(UIDRECV_OP_LOGOUT, NULL, 5, 11, 0), 1, 1, 11);
	tell(say(UIDRECV_OP_LOGOUT, "ada", 4, 11, 0), 4, 1, 11);
	tell(with_token(say(UIDRECV_OP_LOGOUT, NULL, 9, 11, 0), 7), 4, 1, 11);
	tell(say(UIDRECV_OP_LOGOUT, "bob", 9, 11, 0), 4, 1, 11);
	check_claim(1, "ada", 5, 70);
	cr_assert_str_eq(answer_at(12), "ada");
}

Test(claim, logout_ends_what_it_matches)
{
	tell(say(UIDRECV_OP_MAP, "ada", 5, 10, 60), 1, 1, 10);
	tell(say(UIDRECV_OP_LOGOUT, NULL, 6, 11, 0), 1, 1, 11);
	cr_assert(changed);
	cr_assert_eq(cell.claims_count, 0);
	tell(say(UIDRECV_OP_MAP, "bob", 7, 10, 60), 1, 1, 12);
	tell(say(UIDRECV_OP_LOGOUT, "bob", 7, 12, 0), 1, 1, 12);
	cr_assert_eq(cell.claims_count, 0);
	tell(with_token(say(UIDRECV_OP_MAP, "eve", 8, 10, 60), 9), 1, 1, 12);
	tell(with_token(say(UIDRECV_OP_LOGOUT, "eve", 8, 12, 0), 9), 1, 1, 12);
	cr_assert_eq(cell.claims_count, 0);
}

Test(claim, P17_a_login_that_arrives_after_its_logout_stays_ended)
{
	tell(say(UIDRECV_OP_LOGOUT, "ada", 6, 11, 0), 1, 1, 11);
	tell(say(UIDRECV_OP_MAP, "ada", 5, 12, 60), 1, 1, 12);
	cr_assert(added);
	cr_assert_str_eq(answer_at(12), "");
	tell(say(UIDRECV_OP_MAP, "ada", 7, 12, 60), 1, 1, 12);
	cr_assert_str_eq(answer_at(12), "ada");
}

Test(claim, a_marker_suppresses_equal_and_lower_priority_only)
{
	tell(say(UIDRECV_OP_MAP, "low", 5, 10, 60), 1, 1, 10);
	tell(say(UIDRECV_OP_MAP, "top", 4, 10, 60), 4, 1, 10);
	tell(say(UIDRECV_OP_LOGOUT, NULL, 9, 11, 0), 3, 1, 11);
	cr_assert_eq(cell.claims_count, 2);
	cr_assert_str_eq(answer_at(12), "top");
	tell(say(UIDRECV_OP_WITHDRAW, NULL, 9, 11, 0), 4, 1, 11);
	cr_assert_str_eq(answer_at(12), "");
	tell(say(UIDRECV_OP_MAP, "mid", 5, 10, 60), 3, 1, 12);
	cr_assert_str_eq(answer_at(12), "");
}

Test(claim, a_marker_of_an_equal_suppresses_both_ways)
{
	tell(say(UIDRECV_OP_MAP, "ada", 5, 10, 60), 1, 1, 10);
	tell(say(UIDRECV_OP_LOGOUT, NULL, 9, 11, 0), 2, 1, 11);
	cr_assert_str_eq(answer_at(12), "");
}

Test(claim, a_marker_of_nobody_on_the_list_suppresses_nothing)
{
	tell(say(UIDRECV_OP_MAP, "ada", 5, 10, 60), 1, 1, 10);
	tell(say(UIDRECV_OP_LOGOUT, NULL, 9, 11, 0), 5, 1, 11);
	tell(say(UIDRECV_OP_LOGOUT, NULL, 9, 11, 0), 900, 1, 11);
	cr_assert_eq(cell.markers_count, 2);
	cr_assert_str_eq(answer_at(12), "ada");
}

Test(claim, a_logout_removes_the_own_claim_whatever_the_ranks)
{
	tell(say(UIDRECV_OP_MAP, "ada", 5, 10, 60), 5, 1, 10);
	tell(say(UIDRECV_OP_LOGOUT, NULL, 9, 11, 0), 5, 1, 11);
	cr_assert_eq(cell.claims_count, 0);
}

Test(claim, of_equal_markers_the_newest_stays)
{
	tell(say(UIDRECV_OP_LOGOUT, "ada", 6, 11, 0), 1, 1, 11);
	tell(say(UIDRECV_OP_LOGOUT, "ada", 8, 11, 0), 1, 1, 11);
	cr_assert(changed);
	tell(say(UIDRECV_OP_LOGOUT, "ada", 7, 11, 0), 1, 1, 11);
	cr_assert(!changed);
	tell(say(UIDRECV_OP_LOGOUT, "bob", 7, 11, 0), 1, 1, 11);
	tell(with_token(say(UIDRECV_OP_LOGOUT, "ada", 7, 11, 0), 1), 1, 1, 11);
	tell(say(UIDRECV_OP_LOGOUT, "ada", 7, 11, 0), 2, 1, 11);
	cr_assert_eq(cell.markers_count, 4);
	tell(say(UIDRECV_OP_LOGOUT, NULL, 7, 11, 0), 1, 1, 11);
	cr_assert_eq(cell.markers_count, 5);
	tell(say(UIDRECV_OP_LOGOUT, NULL, 8, 11, 0), 1, 1, 11);
	cr_assert_eq(cell.markers_count, 3);
	tell(say(UIDRECV_OP_LOGOUT, NULL, 9, 11, 0), 1, 1, 11);
	cr_assert_eq(cell.markers_count, 2);
	tell(say(UIDRECV_OP_LOGOUT, "ada", 8, 11, 0), 1, 1, 11);
	cr_assert(!changed);
}

Test(claim, the_latest_markers_stay)
{
	char user[8];

	for (int i = 0; i < 40; i++) {
		int event = 100 + i * 7 % 40;

		snprintf(user, sizeof(user), "u%d", event);
		tell(say(UIDRECV_OP_LOGOUT, user, (uint64_t)event, 11, 0), 1, 1,
		     11);
	}
	cr_assert_eq(cell.markers_count, UR_MARKERS_MAX);
	for (size_t i = 0; i < cell.markers_count; i++)
		cr_assert_geq(cell.markers[i].event_us, START + 124 * SECOND);
	tell(say(UIDRECV_OP_LOGOUT, "late", 3, 11, 0), 1, 1, 11);
	cr_assert(!changed);
}

static struct ur_marker draw_marker(uint64_t *seed)
{
	struct ur_marker marker = {0};

	marker.agent = 1;
	marker.event_us = START + draw(seed, 12);
	marker.user_size = (uint8_t)draw(seed, 2);
	if (marker.user_size)
		marker.user[0] = (char)('a' + draw(seed, 5));
	marker.has_token = draw(seed, 3) == 0;
	if (marker.has_token)
		marker.token = draw(seed, 5);
	return marker;
}

Test(claim, markers_do_not_depend_on_their_order)
{
	struct ur_marker markers[40];
	uint8_t first[4096], other[4096];

	for (uint64_t run = 0; run < 500; run++) {
		uint64_t seed = run;
		size_t size = 0;

		for (int i = 0; i < 40; i++)
			markers[i] = draw_marker(&seed);
		for (int order = 0; order < 8; order++) {
			ur_cell_clear(&cell);
			for (size_t i = 40; i-- > 1;) {
				size_t j = draw(&seed, i + 1);
				struct ur_marker swap = markers[i];

				markers[i] = markers[j];
				markers[j] = swap;
			}
			for (int i = 0; i < 40; i++)
				ur_cell_put_marker(&cell, &markers[i],
						   &changed);
			size = ur_cell_encoded_size(&cell);
			ur_cell_encode(&cell, (struct uidrecv_address){0, 0},
				       order ? other : first);
			cr_assert(order == 0 || !memcmp(first, other, size),
				  "seed %ju", (uintmax_t)run);
		}
	}
}

Test(claim, collect_takes_the_dead_and_needless)
{
	uint64_t hour = 3600;

	tell(say(UIDRECV_OP_MAP, "ada", 5, 10, 60), 1, 1, 10);
	tell(say(UIDRECV_OP_MAP, "bob", 5, 10, 9000), 2, 1, 10);
	tell(say(UIDRECV_OP_LOGOUT, "bob", 20, 20, 0), 3, 1, 20);
	tell(say(UIDRECV_OP_LOGOUT, "eve", 20, 20, 0), 3, 1, 20);
	cr_assert_eq(ur_cell_collect(&cell, &ranks, START + 69 * SECOND), 0);
	cr_assert_eq(ur_cell_collect(&cell, &ranks, START + 70 * SECOND), 1);
	cr_assert_eq(
	    ur_cell_collect(&cell, &ranks, START + (hour + 20) * SECOND - 1),
	    0);
	cr_assert_eq(
	    ur_cell_collect(&cell, &ranks, START + (hour + 20) * SECOND), 1);
	cr_assert_eq(cell.markers_count, 1);
	cr_assert_str_eq(answer_at(hour + 20), "");
	/* With the claim that it suppresses the other marker goes, too. */
	cr_assert_eq(ur_cell_collect(&cell, &ranks, START + 9010 * SECOND), 2);
	cr_assert_eq(cell.claims_count + cell.markers_count, 0);
}

Test(claim, deadlines_saturate)
{
	cr_assert_eq(ur_deadline_us(5, UIDRECV_LIFETIME_NEVER), UR_TIME_NEVER);
	cr_assert_eq(ur_deadline_us(5000, 2), 5000 + 2 * SECOND);
	cr_assert_eq(ur_deadline_us(5999, 2), 5000 + 2 * SECOND);
	cr_assert_eq(ur_deadline_us(UINT64_MAX, 1), UR_TIME_NEVER - 1);
	cr_assert_eq(ur_deadline_us(0, UINT32_MAX - 1),
		     (uint64_t)(UINT32_MAX - 1) * SECOND);
}
