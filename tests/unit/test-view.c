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

/* A view that knows the line of address 2, or none. */
static void find_with(struct ur_table *table, bool knows, uint64_t store_now_us,
		      struct uidrecv_mapping *ret_mapping)
{
	struct uidrecv_query query = ask(2, -1);
	struct ur_view view;
	const void *bytes;
	size_t size;
	int r;

	bytes = ur_table_get_bytes(table, &size);
	cr_assert_eq(ur_view_init(&view, bytes, size), 0);
	if (knows)
		cr_assert_eq(
		    ur_view_find(&view, &query, store_now_us, ret_mapping), 1);
	memset(ret_mapping, 'x', sizeof(*ret_mapping));
	query = ask(1, -1);
	r = ur_view_find(&view, &query, store_now_us, ret_mapping);
	cr_assert(r == 0 || r == 1, "%d", r);
	if (r == 0)
		memset(ret_mapping, 0, sizeof(*ret_mapping));
	/* What is behind the zeros is nothing. */
	memset(strchr(ret_mapping->user, '\0'), 0,
	       sizeof(ret_mapping->user) - strlen(ret_mapping->user));
	memset(strchr(ret_mapping->agent, '\0'), 0,
	       sizeof(ret_mapping->agent) - strlen(ret_mapping->agent));
}

static uint64_t draw_time(uint64_t *seed)
{
	static const uint64_t bases_us[] = {UINT64_C(1000000), NOW_US,
					    (UR_DEADLINE_NEVER - 4000) * 1000,
					    UINT64_MAX};
	uint64_t base_us = bases_us[next_random(seed) % 4];

	return base_us == UINT64_MAX
		   ? base_us
		   : base_us + next_random(seed) % 4 * UINT64_C(1000000);
}

/* The short way of a lookup is for lines that the view knows. */
Test(view, the_short_way_says_what_the_long_one_says)
{
	static const uint32_t lifetimes_s[] = {0, 1, 3, UR_LIFETIME_MAX_S};
	static const uint64_t offsets_us[] = {
	    0, 1, 500, 999, 1000, 1001, -UINT64_C(1), -UINT64_C(1000)};
	static const char long_name[] =
	    "an-agent-with-a-name-of-forty-bytes-here";
	struct ur_table *table = make_published(scratch.path);
	uint64_t seed = ur_clock_boot_us();
	unsigned int found = 0;

	fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
	cr_assert_eq(ur_table_add_agent(table, 3, long_name, 32), 0);
	cr_assert_eq(ur_table_add_agent(table, 4, long_name, 40), 0);
	for (uint32_t i = 0; i < 2000; i++) {
		struct epoch_put of = {.agent = 1 + i % 4, .epoch = 1 + i};
		struct uidrecv_mapping one, other;
		uint64_t now_us;

		of.user = i % 2 ? "alice" : "twenty bytes of user";
		cr_assert_eq(put_of(table, 2, of), 0);
		of.deadline_us = draw_time(&seed);
		of.lifetime_s = lifetimes_s[next_random(&seed) % 4];
		cr_assert_eq(put_of(table, 1, of), 0);
		if (next_random(&seed) % 3)
			ur_table_refresh(table, of.agent, of.epoch,
					 draw_time(&seed));
		now_us =
		    draw_time(&seed) + offsets_us[next_random(&seed) % 8] +
		    (next_random(&seed) % 2 ? of.lifetime_s * UINT64_C(1000000)
					    : 0);
		find_with(table, false, now_us, &one);
		find_with(table, true, now_us, &other);
		cr_assert_eq(memcmp(&one, &other, sizeof(one)), 0, "%u at %llu",
			     i, (unsigned long long)now_us);
		found += one.user_size > 0;
	}
	cr_assert_gt(found, 300);
	cr_assert_lt(found, 1700);
	ur_table_close(table);
}
