/* SPDX-License-Identifier: BSD-2-Clause */
#include <criterion/criterion.h>

#include "../table-helper.h"

Test(slot, layout_is_fixed)
{
	cr_assert_eq(sizeof(struct ur_slot), 64);
	cr_assert_eq(offsetof(struct ur_table_header, superseded), 128);
	cr_assert_eq(offsetof(struct ur_table_header, draft), 192);
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
