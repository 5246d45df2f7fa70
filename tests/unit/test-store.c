/* SPDX-License-Identifier: BSD-2-Clause */
#include "store.h"

#include <errno.h>

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

TestSuite(store, .init = start, .fini = done, .timeout = 200);

static void check_answer(uint32_t ipv4, uint64_t now, const char *user)
{
	struct box_find find = box_answer(&box, ipv4, now);

	cr_assert_str_eq(find.found ? find.user : "", user);
}

static void check_change(const char *user)
{
	struct ur_change change;

	cr_assert_eq(ur_store_next_change(box.store, &change), 1);
	cr_assert(
	    ur_text_is_same(change.user, change.user_size, user, strlen(user)));
}

static void check_no_change(void)
{
	struct ur_change change;

	cr_assert_eq(ur_store_next_change(box.store, &change), 0);
}

static uint64_t claims_of(uint32_t agent)
{
	return ur_store_get_agent_by_id(box.store, agent)->claims;
}

Test(store, what_is_committed_is_there_after_reopening)
{
	static const uint8_t bytes[16] = {0x20, 1, 0xd, 0xb8, 7};
	struct ur_statement six = say(UIDRECV_OP_MAP, "six", 5, 5, 60);
	struct box_find find;

	six.address = uidrecv_address_from_ipv6(bytes);
	cr_assert_eq(box_tell(&box, say(UIDRECV_OP_MAP, "ada", 5, 5, 60), 1, 5),
		     0);
	cr_assert_eq(box_tell(&box, six, 2, 5), 0);
	check_change("ada");
	check_change("six");
	check_no_change();
	box_close(&box);
	cr_assert_eq(box_open(&box), 0);
	find = box_answer(&box, ip, 5);
	cr_assert_str_eq(find.user, "ada");
	cr_assert_eq(find.deadline_us, START + 65 * SECOND);
	cr_assert_eq(find.count, 2);
	cr_assert_eq(claims_of(1), 1);
	cr_assert_eq(claims_of(2), 1);
	check_no_change();
}

Test(store, an_aborted_round_did_not_happen)
{
	struct ur_statement map = say(UIDRECV_OP_MAP, "ada", 5, 5, 60);
	struct ur_agent_row row = *ur_store_get_agent_by_id(box.store, 1);
	struct ur_refusal refusal = {0, 3};

	row.durable = 9;
	cr_assert_eq(ur_store_begin(box.store), 0);
	cr_assert_eq(ur_store_apply(box.store, 1, 9, &map, START), 0);
	cr_assert_eq(ur_store_put_agent(box.store, &row), 0);
	cr_assert_eq(ur_store_put_rejects(box.store, 1, 9, &refusal, 1), 0);
	check_no_change();
	ur_store_abort(box.store);
	check_no_change();
	cr_assert_eq(claims_of(1), 0);
	cr_assert_eq(ur_store_get_agent_by_id(box.store, 1)->durable, 0);
	check_answer(ip, 5, "");
}

Test(store, rows_of_agents_are_kept_and_claims_are_the_stores_own)
{
	struct ur_agent_row row = *ur_store_get_agent(box.store, "mid", 3);
	const struct ur_agent_row *now;

	cr_assert_eq(row.id, 3);
	row.epochs.current = 7;
	row.session_id = UINT64_MAX;
	row.durable = 12;
	row.offset_us = -5;
	row.offset_error_us = 3;
	row.offset_boot_id[15] = 9;
	row.superseded[UR_SUPERSEDED_MAX - 1] = 8;
	row.claims = 999;
	cr_assert_eq(ur_store_begin(box.store), 0);
	cr_assert_eq(ur_store_put_agent(box.store, &row), 0);
	now = ur_store_get_agent_by_id(box.store, 3);
	cr_assert_eq(now->durable, 0, "shown before it is durable");
	cr_assert_eq(ur_store_commit(box.store, START, START), 0);
	cr_assert_eq(now->durable, 12);
	box_close(&box);
	cr_assert_eq(box_open(&box), 0);
	now = ur_store_get_agent(box.store, "mid", 3);
	row.claims = 0;
	row.epochs.current = 0;
	cr_assert_eq(memcmp(now, &row, sizeof(row)), 0);
	cr_assert_null(ur_store_get_agent(box.store, "mi", 2));
	cr_assert_null(ur_store_get_agent(box.store, "midd", 4));
	cr_assert_str_eq(ur_store_get_agent_name(box.store, 4), "top");
	cr_assert_null(ur_store_get_agent_name(box.store, 6));
	cr_assert_null(ur_store_get_agent_name(box.store, 0));
	cr_assert_eq(ur_store_get_agent_id_max(box.store), 5);
}

Test(store, a_known_name_keeps_its_id)
{
	const struct ur_agent_row *row;

	cr_assert_eq(ur_store_add_agent(box.store, "mid", 3, START, &row), 0);
	cr_assert_eq(row->id, 3);
	cr_assert_eq(ur_store_add_agent(box.store, "", 0, START, &row),
		     -EINVAL);
	for (int i = 0; i < 100; i++) {
		char name[8];

		snprintf(name, sizeof(name), "n%d", i * 37 % 100);
		cr_assert_eq(ur_store_add_agent(box.store, name, strlen(name),
						START, &row),
			     0);
		cr_assert_eq(row->id, 6 + (uint32_t)i);
	}
	box_close(&box);
	cr_assert_eq(box_open(&box), 0);
	cr_assert_eq(ur_store_get_agent(box.store, "n37", 3)->id, 7);
}

struct refused {
	struct ur_refusal list[UR_REFUSALS_MAX];
	size_t count;
};

static struct refused refused_of(uint32_t agent, uint64_t serial)
{
	struct refused refused = {.count = 0};

	cr_assert_eq(ur_store_get_rejects(box.store, agent, serial,
					  refused.list, &refused.count),
		     0);
	return refused;
}

Test(store, refusals_are_kept_until_they_are_dropped)
{
	static const struct ur_refusal two[] = {{5, 9}, {2, 3}};
	static const struct ur_refusal one[] = {{0, 1}};
	struct refused refused;

	cr_assert_eq(ur_store_begin(box.store), 0);
	for (uint64_t serial = 255; serial < 258; serial++) {
		cr_assert_eq(ur_store_put_rejects(box.store, 1, serial, two, 2),
			     0);
		cr_assert_eq(ur_store_put_rejects(box.store, 2, serial, one, 1),
			     0);
	}
	cr_assert_eq(ur_store_commit(box.store, START, START), 0);
	box_close(&box);
	cr_assert_eq(box_open(&box), 0);
	refused = refused_of(1, 256);
	cr_assert_eq(refused.count, 2);
	cr_assert(refused.list[0].index == 2 && refused.list[0].code == 3);
	cr_assert(refused.list[1].index == 5 && refused.list[1].code == 9);
	cr_assert_eq(ur_store_begin(box.store), 0);
	cr_assert_eq(ur_store_drop_rejects(box.store, 1, 256), 0);
	cr_assert_eq(ur_store_commit(box.store, START, START), 0);
	cr_assert_eq(refused_of(1, 255).count, 0);
	cr_assert_eq(refused_of(1, 256).count, 0);
	cr_assert_eq(refused_of(1, 257).count, 2);
	cr_assert_eq(refused_of(2, 255).count, 1);
}

/* Any refusals come back as they were. */
Test(store, refusals_of_all_indexes_and_codes)
{
	uint64_t seed = 1;

	cr_assert_eq(ur_store_begin(box.store), 0);
	for (uint64_t serial = 1; serial <= 200; serial++) {
		struct ur_refusal list[UR_REFUSALS_MAX];
		size_t count = 0;

		for (uint32_t i = 0; i < UR_REFUSALS_MAX; i++)
			if (draw(&seed, 200) < serial)
				list[count++] = (struct ur_refusal){
				    i, (uint16_t)(1 + draw(&seed,
							   serial % 14 + 1))};
		if (count)
			cr_assert_eq(ur_store_put_rejects(box.store, 1, serial,
							  list, count),
				     0);
	}
	cr_assert_eq(ur_store_commit(box.store, START, START), 0);
	seed = 1;
	for (uint64_t serial = 1; serial <= 200; serial++) {
		struct refused refused = refused_of(1, serial);
		size_t count = 0;

		for (uint32_t i = 0; i < UR_REFUSALS_MAX; i++) {
			if (draw(&seed, 200) >= serial)
				continue;
			cr_assert_lt(count, refused.count);
			cr_assert_eq(refused.list[count].index, i);
			cr_assert_eq(refused.list[count].code,
				     1 + draw(&seed, serial % 14 + 1));
			count++;
		}
		cr_assert_eq(refused.count, count);
	}
}

Test(store, refusals_of_a_serial_are_bounded)
{
	struct ur_refusal list[UR_REFUSALS_MAX + 1];

	for (uint32_t i = 0; i <= UR_REFUSALS_MAX; i++)
		list[i] = (struct ur_refusal){i, 1};
	cr_assert_eq(ur_store_begin(box.store), 0);
	cr_assert_eq(
	    ur_store_put_rejects(box.store, 1, 1, list, UR_REFUSALS_MAX), 0);
	cr_assert_eq(
	    ur_store_put_rejects(box.store, 1, 2, &list[UR_REFUSALS_MAX], 1),
	    -EINVAL);
	cr_assert_eq(ur_store_commit(box.store, START, START), -EINVAL);
}

Test(store, the_quota_counts_the_living_only)
{
	uint64_t now_us = START;
	struct ur_statement map;

	cr_assert_eq(ur_store_begin(box.store), 0);
	for (uint32_t i = 0; i < 10; i++) {
		map = at(say(UIDRECV_OP_MAP, "u", 0, 0, 10 + i), i);
		cr_assert_eq(ur_store_apply(box.store, 1, 10, &map, now_us), 0);
	}
	map = at(say(UIDRECV_OP_MAP, "u", 0, 0, 100), 10);
	cr_assert_eq(ur_store_apply(box.store, 1, 10, &map, now_us),
		     UIDRECV_REJECT_QUOTA);
	map = at(say(UIDRECV_OP_MAP, "v", 1, 0, 100), 9);
	cr_assert_eq(ur_store_apply(box.store, 1, 10, &map, now_us), 0);
	map = at(say(UIDRECV_OP_MAP, "u", 0, 0, 100), 10);
	cr_assert_eq(ur_store_apply(box.store, 2, 10, &map, now_us), 0);
	now_us += 10 * SECOND - 1;
	cr_assert_eq(ur_store_apply(box.store, 1, 10, &map, now_us),
		     UIDRECV_REJECT_QUOTA);
	now_us++; /* one has died, and one only */
	cr_assert_eq(ur_store_apply(box.store, 1, 10, &map, now_us), 0);
	map = at(say(UIDRECV_OP_MAP, "u", 0, 0, 100), 11);
	cr_assert_eq(ur_store_apply(box.store, 1, 10, &map, now_us),
		     UIDRECV_REJECT_QUOTA);
	/* A dead claim that comes to life again is one more, too. */
	map = at(say(UIDRECV_OP_MAP, "u", 0, 10, 100), 0);
	cr_assert_eq(ur_store_apply(box.store, 1, 10, &map, now_us),
		     UIDRECV_REJECT_QUOTA);
	map = at(say(UIDRECV_OP_WITHDRAW, NULL, 0, 0, 0), 5);
	cr_assert_eq(ur_store_apply(box.store, 1, 10, &map, now_us), 0);
	map = at(say(UIDRECV_OP_MAP, "u", 0, 10, 100), 0);
	cr_assert_eq(ur_store_apply(box.store, 1, 10, &map, now_us), 0);
	map = at(say(UIDRECV_OP_MAP, "u", 0, 10, 100), 77);
	cr_assert_eq(ur_store_apply(box.store, 1, 10, &map, now_us),
		     UIDRECV_REJECT_QUOTA);
	/* A lower quota ends nothing, but lets nothing in. */
	map = at(say(UIDRECV_OP_REFRESH, NULL, 0, 10, 100), 0);
	cr_assert_eq(ur_store_apply(box.store, 1, 1, &map, now_us), 0);
	cr_assert_eq(ur_store_commit(box.store, now_us, now_us), 0);
	cr_assert_eq(claims_of(1), 10);
}

Test(store, a_runner_up_takes_over)
{
	box_tell(&box, say(UIDRECV_OP_MAP, "top", 1, 1, 10), 4, 1);
	check_change("top");
	box_tell(&box, say(UIDRECV_OP_MAP, "low", 1, 1, 30), 1, 1);
	check_change("top");
	cr_assert_eq(ur_store_settle(box.store, 1000, START + 11 * SECOND - 1),
		     0);
	check_no_change();
	cr_assert_eq(ur_store_settle(box.store, 1000, START + 11 * SECOND), 0);
	check_change("low");
	check_no_change();
	cr_assert_eq(ur_store_settle(box.store, 1000, START + 50 * SECOND), 0);
	check_no_change();
}

Test(store, many_runners_up_take_over_in_slices)
{
	for (uint32_t i = 0; i < 3; i++) {
		box_tell(&box, at(say(UIDRECV_OP_MAP, "top", 1, 1, 10), i), 4,
			 1);
		box_tell(&box, at(say(UIDRECV_OP_MAP, "low", 1, 1, 30), i), 1,
			 1);
		check_change("top");
		check_change("top");
	}
	cr_assert_eq(ur_store_settle(box.store, 2, START + 12 * SECOND), 1);
	check_change("low");
	check_change("low");
	check_no_change();
	cr_assert_eq(ur_store_settle(box.store, 2, START + 12 * SECOND), 0);
	check_change("low");
	check_no_change();
}

Test(store, a_runner_up_takes_over_after_reopening)
{
	struct ur_store_stats stats;

	box_tell(&box, say(UIDRECV_OP_MAP, "top", 1, 1, 10), 4, 1);
	box_tell(&box, say(UIDRECV_OP_MAP, "low", 1, 1, 30), 1, 1);
	box_close(&box);
	cr_assert_eq(box_open(&box), 0);
	check_answer(ip, 2, "top");
	ur_store_get_stats(box.store, &stats);
	cr_assert_eq(stats.contended, 1);
	cr_assert_eq(stats.addresses, 1);
	cr_assert_eq(stats.claims, 2);
	cr_assert_eq(ur_store_settle(box.store, 1000, START + 12 * SECOND), 0);
	check_change("low");
	ur_store_get_stats(box.store, &stats);
	cr_assert_eq(stats.contended, 0);
}

Test(store, a_statement_between_the_end_and_settling_loses_nothing)
{
	box_tell(&box, say(UIDRECV_OP_MAP, "top", 1, 1, 10), 4, 1);
	box_tell(&box, say(UIDRECV_OP_MAP, "mid", 1, 1, 30), 3, 1);
	while (ur_store_next_change(box.store, &(struct ur_change){0}) > 0)
		;
	/* The answer is "mid" before and after this, but nobody was told. */
	box_tell(&box, say(UIDRECV_OP_MAP, "low", 1, 1, 30), 1, 12);
	check_change("mid");
}

Test(store, collect_takes_the_dead_in_steps)
{
	struct ur_store_stats stats;
	int count = 0;

	for (uint32_t i = 0; i < 20; i++)
		box_tell(&box,
			 at(say(UIDRECV_OP_MAP, "u", 1, 1, i & 1 ? 10 : 20), i),
			 1, 1);
	for (int i = 0; i < 5; i++) {
		int went =
		    ur_store_collect(box.store, 7, START + 11 * SECOND, START);

		cr_assert_geq(went, 0);
		cr_assert_leq(went, 7);
		count += went;
	}
	cr_assert_eq(count, 10);
	cr_assert_eq(claims_of(1), 10);
	ur_store_get_stats(box.store, &stats);
	cr_assert_eq(stats.addresses, 10);
	check_answer(0, 11, "u");
	check_answer(1, 11, "");
}

static bool keep_some(void *user, uint32_t agent,
		      struct uidrecv_address address,
		      const struct ur_claim *claim)
{
	(void)user;
	cr_assert_eq(claim->agent, agent);
	return agent != 4 || (uint32_t)address.lo % 3 == 0;
}

Test(store, restrict_drops_what_is_refused_and_lists_it)
{
	struct ur_change change;
	size_t nobody = 0, low = 0;

	cr_assert_eq(ur_store_begin(box.store), 0);
	for (uint32_t i = 0; i < 3000; i++) {
		struct ur_statement map =
		    at(say(UIDRECV_OP_MAP, "top", 1, 1, 60), i);

		cr_assert_eq(ur_store_apply(box.store, 4, 9999, &map, START),
			     0);
		map.user = "low";
		if (i % 6 == 1)
			cr_assert_eq(
			    ur_store_apply(box.store, 1, 9999, &map, START), 0);
	}
	cr_assert_eq(ur_store_commit(box.store, START, START), 0);
	while (ur_store_next_change(box.store, &change) > 0)
		;
	box_restrict(&box, START, ranks, keep_some, NULL);
	while (ur_store_next_change(box.store, &change) > 0) {
		cr_assert_neq(change.address.lo % 3, 0);
		nobody += change.user_size == 0;
		low += change.user_size > 0 && change.user[0] == 'l';
	}
	cr_assert_eq(nobody, 1500);
	cr_assert_eq(low, 500);
	cr_assert_eq(claims_of(4), 1000);
	cr_assert_eq(claims_of(1), 500);
}

static bool keep_all_but_low(void *user, uint32_t agent,
			     struct uidrecv_address address,
			     const struct ur_claim *claim)
{
	(void)user, (void)address, (void)claim;
	return agent != 1;
}

static void tell_three(uint32_t ipv4)
{
	cr_assert_eq(
	    box_tell(&box, at(say(UIDRECV_OP_MAP, "l", 1, 1, 90), ipv4), 1, 1),
	    0);
	cr_assert_eq(
	    box_tell(&box, at(say(UIDRECV_OP_MAP, "m", 1, 1, 60), ipv4), 3, 1),
	    0);
	cr_assert_eq(
	    box_tell(&box, at(say(UIDRECV_OP_MAP, "t", 1, 1, 30), ipv4), 4, 1),
	    0);
}

/* Until all has gone well the former ranks are in force. */
Test(store, restrict_tells_by_the_ranks_of_the_list)
{
	struct ur_rank others[5] = {
	    {NULL, 0}, {NULL, 0}, {NULL, 0}, {"mid", 50}, {"top", 30}};
	struct ur_change change;

	tell_three(1);
	while (ur_store_next_change(box.store, &change) == 1)
		;
	box_restrict(&box, START + SECOND, (struct ur_ranks){others, 5},
		     keep_all_but_low, NULL);
	check_change("t");
	check_answer(1, 2, "m");
	cr_expect_eq(claims_of(1), 0);
}

static int fail(void *user, const struct ur_change *answer)
{
	(void)user, (void)answer;
	return -ENOSPC;
}

Test(store, restrict_that_fails_leaves_ranks_and_runners_up)
{
	struct ur_rank others[4] = {
	    {NULL, 0}, {NULL, 0}, {NULL, 0}, {"mid", 50}};
	struct ur_store_list list = {{others, 4}, keep_all_but_low, fail, NULL};
	struct ur_change change;

	tell_three(1);
	tell_three(2);
	while (ur_store_next_change(box.store, &change) == 1)
		;
	cr_assert_eq(ur_store_restrict(box.store, START + SECOND, START, &list),
		     -ENOSPC);
	cr_expect_eq(claims_of(1), 2);
	check_answer(1, 2, "t");
	cr_assert_eq(ur_store_restrict(box.store, START + SECOND, START, &list),
		     -ENOSPC);
	cr_assert_eq(ur_store_settle(box.store, 9, START + 40 * SECOND), 0);
	check_change("m");
	check_change("m");
	check_no_change();
}

Test(store, other_work_waits_for_the_round)
{
	const struct ur_agent_row *row;

	cr_assert_eq(ur_store_begin(box.store), 0);
	cr_assert_eq(ur_store_begin(box.store), -EBUSY);
	cr_assert_eq(ur_store_settle(box.store, 1000, START), -EBUSY);
	cr_assert_eq(ur_store_tick(box.store, START, START), -EBUSY);
	cr_assert_eq(ur_store_collect(box.store, 1, START, START), -EBUSY);
	cr_assert_eq(ur_store_add_agent(box.store, "x", 1, START, &row),
		     -EBUSY);
	ur_store_abort(box.store);
	cr_assert_eq(ur_store_commit(box.store, START, START), -EINVAL);
	ur_store_abort(box.store);
}
