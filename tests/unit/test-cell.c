/* SPDX-License-Identifier: BSD-2-Clause */
#include "bytes.h"
#include "cell.h"

#include <criterion/criterion.h>

#include "cells.h"

static struct ur_cell cell, copy;
static const struct uidrecv_address address = {0x20010db8, 7};
static uint8_t bytes[65536];

static void tell(struct ur_statement statement, uint32_t agent)
{
	bool changed, added;

	cr_assert_eq(ur_cell_apply(&cell, &statement, agent, 2,
				   START + 9 * SECOND, &changed, &added),
		     0);
}

static size_t fill(void)
{
	size_t size;

	tell(say(UIDRECV_OP_MAP, "DOMAIN\\ada.lovelace.", 1, 9, 60), 1);
	tell(with_token(say(UIDRECV_OP_MAP, "b", 2, 9, 60), UINT64_MAX), 4);
	tell(with_token(say(UIDRECV_OP_LOGOUT, "c", 3, 9, 0), 5), 4);
	tell(say(UIDRECV_OP_LOGOUT, NULL, 2, 9, 0), 3);
	size = ur_cell_encoded_size(&cell);
	cr_assert_leq(size, sizeof(bytes));
	ur_cell_encode(&cell, address, bytes);
	return size;
}

static void done(void)
{
	ur_cell_done(&cell);
	ur_cell_done(&copy);
}

TestSuite(cell, .fini = done);

Test(cell, comes_back_as_it_was)
{
	size_t size = fill();
	uint8_t again[1024];

	cr_assert_eq(ur_cell_decode(&copy, address, bytes, size), 0);
	cr_assert_eq(copy.claims_count, 2);
	cr_assert_eq(copy.markers_count, 2);
	for (size_t i = 0; i < 2; i++) {
		const struct ur_claim *a = &cell.claims[i];
		const struct ur_claim *b = &copy.claims[i];

		cr_assert_eq(a->event_us, b->event_us);
		cr_assert_eq(a->event_raw_us, b->event_raw_us);
		cr_assert_eq(a->deadline_us, b->deadline_us);
		cr_assert_eq(a->token, b->token);
		cr_assert_eq(a->agent, b->agent);
		cr_assert_eq(a->epoch, b->epoch);
		cr_assert_eq(a->lifetime_s, b->lifetime_s);
		cr_assert_eq(a->source, b->source);
		cr_assert_eq(a->has_token, b->has_token);
		cr_assert(ur_text_is_same(a->user, a->user_size, b->user,
					  b->user_size));
		cr_assert_eq(
		    ur_marker_compare(&cell.markers[i], &copy.markers[i]), 0);
	}
	cr_assert_eq(ur_cell_encoded_size(&copy), size);
	ur_cell_encode(&copy, address, again);
	cr_assert_eq(memcmp(bytes, again, size), 0);
}

Test(cell, one_claim_is_small)
{
	tell(say(UIDRECV_OP_MAP, "DOMAIN\\ada.lovelace.", 1, 9, 60), 1);
	cr_assert_leq(ur_cell_encoded_size(&cell), 96);
}

Test(cell, is_refused_under_another_address)
{
	size_t size = fill();
	struct uidrecv_address other = address;

	other.lo ^= 1;
	cr_assert_eq(ur_cell_decode(&copy, other, bytes, size),
		     UIDRECV_E_STORE_DAMAGED);
	other = (struct uidrecv_address){address.lo, address.hi};
	cr_assert_eq(ur_cell_decode(&copy, other, bytes, size),
		     UIDRECV_E_STORE_DAMAGED);
}

Test(cell, S15_every_flipped_bit_is_found)
{
	size_t size = fill();

	for (size_t bit = 0; bit < size * 8; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		cr_assert_eq(ur_cell_decode(&copy, address, bytes, size),
			     UIDRECV_E_STORE_DAMAGED);
		cr_assert_eq(copy.claims_count + copy.markers_count, 0);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	cr_assert_eq(ur_cell_decode(&copy, address, bytes, size), 0);
}

Test(cell, every_cut_and_every_tail_is_found)
{
	size_t size = fill();

	for (size_t cut = 0; cut < size; cut++)
		cr_assert_eq(ur_cell_decode(&copy, address, bytes, cut),
			     UIDRECV_E_STORE_DAMAGED);
	bytes[size] = 0;
	cr_assert_eq(ur_cell_decode(&copy, address, bytes, size + 1),
		     UIDRECV_E_STORE_DAMAGED);
}

/* Makes the checksum right again, so that what is behind it is tested. */
static int decode_resealed(size_t size)
{
	uint32_t check = ur_checksum(address, bytes + 4, size - 4);

	for (int i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(check >> (24 - 8 * i));
	return ur_cell_decode(&copy, address, bytes, size);
}

Test(cell, nonsense_with_a_right_checksum_is_found)
{
	size_t size = fill();

	cr_assert_eq(decode_resealed(size), 0);
	for (size_t cut = 4; cut < size; cut++)
		cr_assert_eq(decode_resealed(cut), UIDRECV_E_STORE_DAMAGED);
	bytes[4] = 2;
	cr_assert_eq(decode_resealed(size), UIDRECV_E_STORE_DAMAGED);
	bytes[4] = 1;
	bytes[5] = 0xff; /* the number of claims */
	cr_assert_eq(decode_resealed(size), UIDRECV_E_STORE_DAMAGED);
	bytes[5] = 0;
	bytes[16] = 4; /* the first claim's agent: twice the same then */
	cr_assert_eq(decode_resealed(size), UIDRECV_E_STORE_DAMAGED);
	bytes[16] = 1;
	bytes[50] = 2; /* its flags */
	cr_assert_eq(decode_resealed(size), UIDRECV_E_STORE_DAMAGED);
	bytes[50] = 0;
	cr_assert_eq(decode_resealed(size), 0);
}

Test(cell, many_claims_fit)
{
	for (uint32_t agent = 400; agent > 0; agent--)
		tell(say(UIDRECV_OP_MAP, "user", agent, 9, 60), agent);
	ur_cell_encode(&cell, address, bytes);
	cr_assert_eq(
	    ur_cell_decode(&copy, address, bytes, ur_cell_encoded_size(&cell)),
	    0);
	cr_assert_eq(copy.claims_count, 400);
	for (uint32_t agent = 1; agent <= 400; agent++)
		cr_assert_eq(ur_cell_find(&copy, agent)->event_us,
			     START + agent * SECOND);
}
