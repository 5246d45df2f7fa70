/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The other side of test-step.c: the reader is stepped, and between any two
 * of its instructions the writer does much. However slow a reader is, it sees
 * what was true at one moment of its lookup.
 */
#include "interleave.h"

#define NOW_US INTERLEAVE_NOW_US

TestSuite(view, .init = setup, .fini = teardown, .timeout = 280);

static void state(struct ur_table *table)
{
	cr_assert_eq(put_of(table, 1, (struct epoch_put){.epoch = 1}), 0);
}

static void restate(struct ur_table *table)
{
	cr_assert_eq(put_of(table, 1, (struct epoch_put){.epoch = 2}), 0);
	ur_table_drop(table, 1, 2);
}

static void restate_thrice(struct ur_table *table)
{
	for (uint32_t epoch = 2; epoch < 5; epoch++) {
		cr_assert_eq(
		    put_of(table, 1, (struct epoch_put){.epoch = epoch}), 0);
		ur_table_drop(table, 1, epoch);
	}
}

static void replace(struct ur_table *table)
{
	struct epoch_put of = {.epoch = 2, .user = "bob", .agent = 2};

	cr_assert_eq(put_of(table, 1, of), 0);
	ur_table_drop(table, 1, 2);
}

static void check_is_alice(const struct lookup *lookup, unsigned int steps)
{
	cr_assert_eq(lookup->r, 1, "%d at step %u", lookup->r, steps);
	cr_assert_str_eq(lookup->mapping.user, "alice");
	cr_assert_str_eq(lookup->mapping.agent, "dc1");
	cr_assert_eq(lookup->mapping.change, 1001);
}

static void check_is_alice_or_bob(const struct lookup *lookup,
				  unsigned int steps)
{
	const struct uidrecv_mapping *mapping = &lookup->mapping;
	bool is_alice = strcmp(mapping->user, "alice") == 0;

	cr_assert_eq(lookup->r, 1, "%d at step %u", lookup->r, steps);
	cr_assert(is_alice || strcmp(mapping->user, "bob") == 0);
	cr_assert_str_eq(mapping->agent, is_alice ? "dc1" : "vpn-gate");
	cr_assert_eq(mapping->change, is_alice ? 1001 : 1002);
}

Test(view, who_is_stated_again_is_never_nobody)
{
	interleave(ask(1, -1), state, restate, check_is_alice);
}

Test(view, who_is_stated_again_many_times_is_never_nobody)
{
	interleave(ask(1, -1), state, restate_thrice, check_is_alice);
}

Test(view, who_is_replaced_in_a_snapshot_is_never_nobody)
{
	interleave(ask(1, -1), state, replace, check_is_alice_or_bob);
}

/* All words but the deadline are checked with the user. */
static void state_for_long(struct ur_table *table)
{
	struct epoch_put of = {.epoch = 1, .deadline_us = NOW_US + 9000000};

	cr_assert_eq(put_of(table, 1, of), 0);
}

static void replace_for_short(struct ur_table *table)
{
	struct epoch_put of = {
	    .epoch = 1, .deadline_us = NOW_US + 1000000, .user = "carol"};

	cr_assert_eq(put_of(table, 1, of), 0);
}

static void check_has_own_deadline(const struct lookup *lookup,
				   unsigned int steps)
{
	const struct uidrecv_mapping *mapping = &lookup->mapping;
	bool is_alice = strcmp(mapping->user, "alice") == 0;

	cr_assert_eq(lookup->r, 1, "%d at step %u", lookup->r, steps);
	cr_assert(is_alice || strcmp(mapping->user, "carol") == 0);
	cr_assert_eq(mapping->expires_in_ms, is_alice ? 9000 : 1000,
		     "at step %u", steps);
}

Test(view, who_is_replaced_has_a_deadline_of_his_own)
{
	interleave(ask(1, -1), state_for_long, replace_for_short,
		   check_has_own_deadline);
}

Test(view, who_is_being_replaced_has_a_deadline_of_his_own)
{
	interleave_midway(ask(1, -1), ask(1, -1).address, state_for_long,
			  replace_for_short, check_has_own_deadline);
}

/* It has run out, and must not be revived. */
static void take_back_and_refresh(struct ur_table *table)
{
	cr_assert_eq(put(table, 1, NULL), 0);
	ur_table_refresh(table, 1, 1, NOW_US);
}

static void run_out(struct ur_table *table)
{
	struct epoch_put of = {
	    .epoch = 1, .deadline_us = NOW_US - 1000, .lifetime_s = 3600};

	cr_assert_eq(put_of(table, 1, of), 0);
}

static void check_is_nobody(const struct lookup *lookup, unsigned int steps)
{
	cr_assert_eq(lookup->r, 0, "%d at step %u", lookup->r, steps);
}

Test(view, who_was_taken_back_before_a_refresh_is_not_revived)
{
	interleave(ask(1, -1), run_out, take_back_and_refresh, check_is_nobody);
}

static void prolong_and_drop(struct ur_table *table)
{
	struct epoch_put of = {.epoch = 1, .lifetime_s = 3600};

	ur_table_refresh(table, 1, 1, NOW_US);
	cr_assert_eq(put_of(table, 1, of), 0);
	of.epoch = 2;
	cr_assert_eq(put_of(table, 1, of), 0);
	ur_table_drop(table, 1, 2);
}

static void nearly_run_out(struct ur_table *table)
{
	struct epoch_put of = {
	    .epoch = 1, .deadline_us = NOW_US + 1000, .lifetime_s = 3600};

	cr_assert_eq(put_of(table, 1, of), 0);
}

Test(view, who_is_renewed_in_every_way_is_never_nobody)
{
	interleave(ask(1, -1), nearly_run_out, prolong_and_drop,
		   check_is_alice);
}

/* The same, by a writer that was in the middle of it when the reader began. */
Test(view, who_is_being_stated_again_is_never_nobody)
{
	interleave_midway(ask(1, -1), ask(1, -1).address, state, restate,
			  check_is_alice);
}
