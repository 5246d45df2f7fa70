/* SPDX-License-Identifier: BSD-2-Clause */
#include <criterion/criterion.h>

#include "../table-helper.h"

Test(slot, layout_is_fixed)
{
	cr_assert_eq(sizeof(struct ur_slot), 64);
	cr_assert_eq(sizeof(struct ur_table_line), 272);
	cr_assert_eq(offsetof(struct ur_table_header, superseded), 128);
	cr_assert_eq(offsetof(struct ur_table_header, change), 192);
	cr_assert_eq(offsetof(struct ur_table_header, draft), 256);
}

Test(slot, every_flipped_bit_of_a_deadline_or_of_the_rest_shows)
{
	uint64_t seed = 1;

	for (int round = 0; round < 200; round++) {
		uint64_t generation = next_random(&seed);
		uint64_t word[UR_SLOT_WORDS];

		for (int i = 0; i < UR_SLOT_WORDS; i++)
			word[i] = next_random(&seed);
		word[3] = ur_deadline_word(generation, word, word[3] >> 16);
		word[5] = (word[5] & ~(uint64_t)UINT32_MAX) |
			  ur_check_rest(generation, word);
		cr_assert(ur_deadline_is_whole(generation, word));
		cr_assert(ur_rest_is_whole(generation, word));
		for (int bit = 32; bit < UR_SLOT_WORDS * 64; bit++) {
			word[bit / 64] ^= UINT64_C(1) << bit % 64;
			cr_assert_not(ur_deadline_is_whole(generation, word) &&
				      ur_rest_is_whole(generation, word));
			word[bit / 64] ^= UINT64_C(1) << bit % 64;
		}
	}
}

Test(slot, every_flipped_bit_of_a_line_or_of_its_index_shows)
{
	uint64_t seed = 1;

	for (int round = 0; round < 200; round++) {
		uint64_t generation = next_random(&seed);
		uint32_t index = (uint32_t)next_random(&seed) >> 16;
		uint64_t refreshed_ms = next_random(&seed) >> 16;
		uint64_t state = ur_line_word(generation, index, refreshed_ms);

		/* Those that mean most have no fewer bits of check. */
		if (round % 3 == 0)
			state = ur_line_word(generation, index, 0);
		if (round % 3 == 1)
			state =
			    ur_line_word(generation, index, UR_LINE_DROPPED);
		cr_assert(ur_line_is_whole(generation, index, state));
		for (int bit = 0; bit < 64; bit++)
			cr_assert_not(ur_line_is_whole(
			    generation, index, state ^ UINT64_C(1) << bit));
		for (int bit = 0; bit < 16; bit++)
			cr_assert_not(ur_line_is_whole(
			    generation, index ^ 1u << bit, state));
	}
}

Test(slot, an_answer_lives_as_long_as_it_or_its_line_says)
{
	static const struct {
		uint64_t own_ms, line_ms, lifetime_s, effective_ms;
	} cases[] = {
	    {1000, 0, 5, 1000},
	    {1000, 500, 0, 1000},
	    {1000, 500, 1, 1500},
	    {1000, 2000, 0, 2000},
	    {0, 2000, 5, 0},
	    {0, 0, 5, 0},
	    {UR_DEADLINE_NEVER, 2000, 5, UR_DEADLINE_NEVER},
	    {UR_DEADLINE_NEVER, 0, 5, UR_DEADLINE_NEVER},
	    {UR_DEADLINE_NEVER, UR_LINE_DROPPED, 5, 0},
	    {1000, UR_LINE_DROPPED, 5, 0},
	    {1000, UR_LINE_DROPPED, UR_LIFETIME_MAX_S, 0},
	    {1000, UR_LINE_DROPPED - 1, 0, UR_DEADLINE_NEVER - 1},
	    {1000, UR_LINE_DROPPED - 1, UR_LIFETIME_MAX_S,
	     UR_DEADLINE_NEVER - 1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint64_t word[UR_SLOT_WORDS] = {0};

		word[3] = cases[i].own_ms | UINT64_C(0xabcd) << 48;
		word[4] = ur_change_word(77, cases[i].lifetime_s);
		cr_assert_eq(ur_effective_ms(word, cases[i].line_ms |
						       UINT64_C(0x1234) << 48),
			     cases[i].effective_ms, "case %zu", i);
		cr_assert_eq(ur_change_offset(word[4]), 77);
	}
}

Test(slot, lifetimes_of_any_length_leave_the_change_number_alone)
{
	static const uint64_t lifetimes_s[] = {
	    0, 1, UR_LIFETIME_MAX_S, UR_LIFETIME_MAX_S + 1, UINT32_MAX};

	for (size_t i = 0; i < 5; i++) {
		uint64_t word4 =
		    ur_change_word(UR_CHANGES_MAX - 2, lifetimes_s[i]);

		cr_assert_eq(ur_change_offset(word4), UR_CHANGES_MAX - 2);
		cr_assert_eq(ur_lifetime_s(word4),
			     i < 2 ? lifetimes_s[i] : UR_LIFETIME_MAX_S);
	}
}

Test(slot, layouts_out_of_range_are_refused)
{
	struct ur_table_layout good = {.lines_max = UR_TABLE_LINES_MAX,
				       .slots_count = UR_TABLE_SLOTS_MIN};
	struct ur_table_layout layout = good;

	cr_assert_eq(ur_layout_set(&layout), 0);
	layout = good;
	layout.lines_max++;
	cr_assert_eq(ur_layout_set(&layout), -EINVAL);
	layout.lines_max = 0;
	cr_assert_eq(ur_layout_set(&layout), -EINVAL);
	layout = good;
	layout.slots_count++;
	cr_assert_eq(ur_layout_set(&layout), -EINVAL);
}

Test(slot, addresses_spread_evenly)
{
	uint64_t seed = 1;

	for (int round = 0; round < 68; round++) {
		/* Random ones, and those that end in many zeros. */
		uint64_t generation = round < 20
					  ? next_random(&seed)
					  : next_random(&seed) << (round - 20);
		unsigned int in[1024] = {0}, most = 0;

		/* A dense network, and one address of each of many /64. */
		for (uint64_t i = 0; i < 4096; i++) {
			struct uidrecv_address ipv4 =
			    uidrecv_address_from_ipv4(0x0a000000 + (uint32_t)i);
			struct uidrecv_address ipv6 = {
			    UINT64_C(0x20010db800000000) + i, 1};

			in[ur_hash(generation, ipv4) % 1024]++;
			in[ur_hash(generation, ipv6) % 1024]++;
		}
		for (int i = 0; i < 1024; i++)
			most = in[i] > most ? in[i] : most;
		/* 8 expected in each; random ones have up to about 20. */
		cr_assert_lt(most, 40);
	}
}
