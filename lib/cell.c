/* SPDX-License-Identifier: BSD-2-Clause */
#include "cell.h"

#include <stdlib.h>

#include "bytes.h"

#define VERSION 1
#define HEADER_SIZE 13 /* check, version, claims, markers */
#define CLAIM_SIZE 39  /* without token and user */
#define MARKER_SIZE 14 /* likewise */
#define FLAG_TOKEN 0x01

size_t ur_cell_encoded_size(const struct ur_cell *cell)
{
	size_t size = HEADER_SIZE;

	for (size_t i = 0; i < cell->claims_count; i++)
		size += CLAIM_SIZE + cell->claims[i].user_size +
			(cell->claims[i].has_token ? 8u : 0u);
	for (size_t i = 0; i < cell->markers_count; i++)
		size += MARKER_SIZE + cell->markers[i].user_size +
			(cell->markers[i].has_token ? 8u : 0u);
	return size;
}

static uint8_t *encode_claim(uint8_t *to, const struct ur_claim *claim)
{
	to = ur_bytes_put_u32(to, claim->agent);
	to = ur_bytes_put_u64(to, claim->event_us);
	to = ur_bytes_put_u64(to, claim->event_raw_us);
	to = ur_bytes_put_u64(to, claim->deadline_us);
	to = ur_bytes_put_u32(to, claim->epoch);
	to = ur_bytes_put_u32(to, claim->lifetime_s);
	to = ur_bytes_put_u8(to, claim->source);
	to = ur_bytes_put_u8(to, claim->has_token ? FLAG_TOKEN : 0);
	if (claim->has_token)
		to = ur_bytes_put_u64(to, claim->token);
	to = ur_bytes_put_u8(to, claim->user_size);
	return ur_bytes_put_raw(to, claim->user, claim->user_size);
}

static uint8_t *encode_marker(uint8_t *to, const struct ur_marker *marker)
{
	to = ur_bytes_put_u32(to, marker->agent);
	to = ur_bytes_put_u64(to, marker->event_us);
	to = ur_bytes_put_u8(to, marker->has_token ? FLAG_TOKEN : 0);
	if (marker->has_token)
		to = ur_bytes_put_u64(to, marker->token);
	to = ur_bytes_put_u8(to, marker->user_size);
	return ur_bytes_put_raw(to, marker->user, marker->user_size);
}

void ur_cell_encode(const struct ur_cell *cell, struct uidrecv_address address,
		    uint8_t *bytes)
{
	uint8_t *checked = bytes + 4;
	uint8_t *to = ur_bytes_put_u8(checked, VERSION);

	to = ur_bytes_put_u32(to, (uint32_t)cell->claims_count);
	to = ur_bytes_put_u32(to, (uint32_t)cell->markers_count);
	for (size_t i = 0; i < cell->claims_count; i++)
		to = encode_claim(to, &cell->claims[i]);
	for (size_t i = 0; i < cell->markers_count; i++)
		to = encode_marker(to, &cell->markers[i]);
	ur_bytes_put_u32(bytes,
			 ur_checksum(address, checked, (size_t)(to - checked)));
}

/* The part that claims and markers end with: flags, token, user. */
static bool decode_tail(struct ur_bytes *from, bool *ret_has_token,
			uint64_t *ret_token, uint8_t *ret_user_size,
			char *ret_user)
{
	uint8_t flags = ur_bytes_u8(from);
	const uint8_t *user;

	*ret_has_token = flags & FLAG_TOKEN;
	*ret_token = *ret_has_token ? ur_bytes_u64(from) : 0;
	*ret_user_size = ur_bytes_u8(from);
	user = ur_bytes_raw(from, *ret_user_size);
	if (!user || flags > FLAG_TOKEN)
		return false;
	memcpy(ret_user, user, *ret_user_size);
	return true;
}

static bool decode_claim(struct ur_cell *cell, struct ur_bytes *from)
{
	struct ur_claim *claim = &cell->claims[cell->claims_count];

	claim->agent = ur_bytes_u32(from);
	claim->event_us = ur_bytes_u64(from);
	claim->event_raw_us = ur_bytes_u64(from);
	claim->deadline_us = ur_bytes_u64(from);
	claim->kept_us = claim->deadline_us;
	claim->epoch = ur_bytes_u32(from);
	claim->lifetime_s = ur_bytes_u32(from);
	claim->source = ur_bytes_u8(from);
	if (!decode_tail(from, &claim->has_token, &claim->token,
			 &claim->user_size, claim->user))
		return false;
	if (claim->user_size == 0 ||
	    (cell->claims_count > 0 && claim[-1].agent >= claim->agent))
		return false;
	cell->claims_count++;
	return true;
}

static bool decode_marker(struct ur_cell *cell, struct ur_bytes *from)
{
	struct ur_marker *marker = &cell->markers[cell->markers_count];

	marker->agent = ur_bytes_u32(from);
	marker->event_us = ur_bytes_u64(from);
	if (!decode_tail(from, &marker->has_token, &marker->token,
			 &marker->user_size, marker->user))
		return false;
	if (cell->markers_count > 0 &&
	    ur_marker_compare(&marker[-1], marker) >= 0)
		return false;
	cell->markers_count++;
	return true;
}

int ur_cell_decode(struct ur_cell *cell, struct uidrecv_address address,
		   const uint8_t *bytes, size_t size)
{
	struct ur_bytes from = ur_bytes_of(bytes, size);
	uint32_t check = ur_bytes_u32(&from);
	uint32_t claims, markers;
	int rc;

	ur_cell_clear(cell);
	if (from.is_short || check != ur_checksum(address, from.at, from.left))
		return UIDRECV_E_STORE_DAMAGED;
	if (ur_bytes_u8(&from) != VERSION)
		return UIDRECV_E_STORE_DAMAGED;
	claims = ur_bytes_u32(&from);
	markers = ur_bytes_u32(&from);
	if (from.is_short || claims > from.left / CLAIM_SIZE ||
	    markers > from.left / MARKER_SIZE)
		return UIDRECV_E_STORE_DAMAGED;
	rc = ur_cell_reserve(cell, claims, markers);
	if (rc < 0)
		return rc;
	while (claims-- > 0)
		if (!decode_claim(cell, &from))
			goto damaged;
	while (markers-- > 0)
		if (!decode_marker(cell, &from))
			goto damaged;
	if (from.left == 0)
		return 0;
damaged:
	ur_cell_clear(cell);
	return UIDRECV_E_STORE_DAMAGED;
}
