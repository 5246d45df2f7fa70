/* SPDX-License-Identifier: BSD-2-Clause */
#include "store-private.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "bytes.h"

#define KEY_SIZE 12 /* agent, serial: an agent's are together, in order */
#define HEAD_SIZE 4 /* the check */

/*
 * What follows the check: for each code the code (u16), and the part of the
 * bitmap of the refused indexes that is not zero: its first byte (u8), how many
 * bytes (u8), the bytes. An agent that has each record refused for one reason
 * costs 136 bytes a serial, where a list of indexes would cost two pages.
 */
#define BITMAP_SIZE (UR_REFUSALS_MAX / 8)
#define CODES_MAX 64
#define VALUE_MAX (HEAD_SIZE + CODES_MAX * (4 + BITMAP_SIZE))

static void set_key(uint8_t bytes[KEY_SIZE], MDB_val *key, uint32_t agent,
		    uint64_t serial)
{
	ur_bytes_put_u64(ur_bytes_put_u32(bytes, agent), serial);
	key->mv_data = bytes;
	key->mv_size = KEY_SIZE;
}

static uint32_t check_of(uint32_t agent, uint64_t serial, const uint8_t *bytes,
			 size_t size)
{
	struct uidrecv_address seed = {agent, serial};

	return ur_checksum(seed, bytes, size);
}

/* The bitmap of a code, as far as it is not zero; where the next may be put. */
static uint8_t *put_code(uint8_t *to, uint16_t code,
			 const struct ur_refusal *refusals, size_t count)
{
	uint8_t bits[BITMAP_SIZE] = {0};
	size_t first = BITMAP_SIZE, end = 0;

	for (size_t i = 0; i < count; i++) {
		size_t at = refusals[i].index / 8;

		if (refusals[i].code != code)
			continue;
		bits[at] |= (uint8_t)(1u << (refusals[i].index % 8));
		first = at < first ? at : first;
		end = at + 1 > end ? at + 1 : end;
	}
	to = ur_bytes_put_u16(to, code);
	to = ur_bytes_put_u8(to, (uint8_t)first);
	to = ur_bytes_put_u8(to, (uint8_t)(end - first));
	return ur_bytes_put_raw(to, bits + first, end - first);
}

/* Was this code seen before that place of the list? */
static bool is_repeated(const struct ur_refusal *refusals, size_t place)
{
	for (size_t i = 0; i < place; i++)
		if (refusals[i].code == refusals[place].code)
			return true;
	return false;
}

/* The size of what was written, or 0 if there are too many codes. */
static size_t encode(uint8_t *bytes, const struct ur_refusal *refusals,
		     size_t count)
{
	uint8_t *to = bytes;
	size_t codes = 0;

	for (size_t i = 0; i < count; i++) {
		if (is_repeated(refusals, i))
			continue;
		if (codes++ == CODES_MAX)
			return 0;
		to = put_code(to, refusals[i].code, refusals, count);
	}
	return (size_t)(to - bytes);
}

static int put_rejects(struct ur_store *store, uint32_t agent, uint64_t serial,
		       const struct ur_refusal *refusals, size_t count)
{
	uint8_t bytes[VALUE_MAX], key_bytes[KEY_SIZE];
	MDB_val key, value;
	size_t size;

	if (count == 0 || count > UR_REFUSALS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < count; i++)
		if (refusals[i].index >= UR_REFUSALS_MAX || !refusals[i].code)
			return -EINVAL;
	size = encode(bytes + HEAD_SIZE, refusals, count);
	if (!size)
		return -EINVAL;
	ur_bytes_put_u32(bytes,
			 check_of(agent, serial, bytes + HEAD_SIZE, size));
	set_key(key_bytes, &key, agent, serial);
	value.mv_data = bytes;
	value.mv_size = HEAD_SIZE + size;
	store->is_written = true;
	return ur_store_error(
	    mdb_put(store->txn, store->rejects_dbi, &key, &value, 0));
}

int ur_store_put_rejects(struct ur_store *store, uint32_t agent,
			 uint64_t serial, const struct ur_refusal *refusals,
			 size_t count)
{
	int rc = ur_store_check_round(store);

	if (rc < 0)
		return rc;
	store->error = put_rejects(store, agent, serial, refusals, count);
	return store->error;
}

/* Reads the bitmap of one code into the codes by index. */
static bool decode_code(struct ur_bytes *from, uint16_t codes[UR_REFUSALS_MAX])
{
	uint16_t code = ur_bytes_u16(from);
	size_t first = ur_bytes_u8(from);
	size_t size = ur_bytes_u8(from);
	const uint8_t *bits = ur_bytes_raw(from, size);

	if (from->is_short || first + size > BITMAP_SIZE)
		return false;
	for (size_t i = 0; i < size * 8; i++)
		if (bits[i / 8] & 1u << (i % 8))
			codes[first * 8 + i] = code;
	return true;
}

static int decode(uint32_t agent, uint64_t serial, const MDB_val *value,
		  uint16_t codes[UR_REFUSALS_MAX])
{
	struct ur_bytes from = ur_bytes_of(value->mv_data, value->mv_size);

	if (from.left < HEAD_SIZE ||
	    ur_bytes_u32(&from) != check_of(agent, serial, from.at, from.left))
		return UIDRECV_E_STORE_DAMAGED;
	while (from.left > 0)
		if (!decode_code(&from, codes))
			return UIDRECV_E_STORE_DAMAGED;
	return 0;
}

int ur_store_get_rejects(const struct ur_store *store, uint32_t agent,
			 uint64_t serial,
			 struct ur_refusal ret_refusals[UR_REFUSALS_MAX],
			 size_t *ret_count)
{
	uint16_t codes[UR_REFUSALS_MAX] = {0};
	uint8_t key_bytes[KEY_SIZE];
	MDB_val key, value;
	MDB_txn *txn;
	size_t count = 0;
	int rc = ur_store_read_begin(store, &txn);

	if (rc < 0)
		return rc;
	set_key(key_bytes, &key, agent, serial);
	rc = mdb_get(txn, store->rejects_dbi, &key, &value);
	if (rc == 0)
		rc = decode(agent, serial, &value, codes);
	else
		rc = rc == MDB_NOTFOUND ? 0 : ur_store_error(rc);
	mdb_txn_abort(txn);
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < UR_REFUSALS_MAX; i++)
		if (codes[i])
			ret_refusals[count++] =
			    (struct ur_refusal){i, codes[i]};
	*ret_count = count;
	return 0;
}

static int drop_rejects(struct ur_store *store, uint32_t agent, uint64_t serial)
{
	uint8_t low_bytes[KEY_SIZE], high_bytes[KEY_SIZE];
	MDB_val low, high, key;
	int rc;

	set_key(low_bytes, &low, agent, 0);
	set_key(high_bytes, &high, agent, serial);
	for (;;) {
		MDB_cursor *cursor;

		rc = mdb_cursor_open(store->txn, store->rejects_dbi, &cursor);
		if (rc != 0)
			return ur_store_error(rc);
		key = low;
		rc = mdb_cursor_get(cursor, &key, NULL, MDB_SET_RANGE);
		if (rc == 0 &&
		    (key.mv_size != KEY_SIZE ||
		     memcmp(key.mv_data, high.mv_data, KEY_SIZE) > 0))
			rc = MDB_NOTFOUND;
		if (rc == 0) {
			store->is_written = true;
			rc = mdb_cursor_del(cursor, 0);
		}
		mdb_cursor_close(cursor);
		if (rc != 0)
			return rc == MDB_NOTFOUND ? 0 : ur_store_error(rc);
	}
}

int ur_store_drop_rejects(struct ur_store *store, uint32_t agent,
			  uint64_t serial)
{
	int rc = ur_store_check_round(store);

	if (rc < 0)
		return rc;
	store->error = drop_rejects(store, agent, serial);
	return store->error;
}
