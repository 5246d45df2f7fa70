/* SPDX-License-Identifier: BSD-2-Clause */
#include "store-private.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "bytes.h"
#include "cell.h"

#define KEY_SIZE 12  /* agent, serial: an agent's are together, in order */
#define HEAD_SIZE 4  /* the check */
#define ENTRY_SIZE 6 /* index, code */
/* Refusals of one serial; as many records as an UPDATE may have. */
#define ENTRIES_MAX 1024

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

/* Reads the entries of a serial; ret_entries->left is 0 if there are none. */
static int get_entries(const struct ur_store *store, MDB_txn *txn,
		       uint32_t agent, uint64_t serial,
		       struct ur_bytes *ret_entries)
{
	uint8_t key_bytes[KEY_SIZE];
	MDB_val key, value;
	struct ur_bytes from = {NULL, 0, false};
	int rc;

	set_key(key_bytes, &key, agent, serial);
	rc = mdb_get(txn, store->rejects_dbi, &key, &value);
	*ret_entries = from;
	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc != 0)
		return ur_store_error(rc);
	from.at = value.mv_data;
	from.left = value.mv_size;
	if (from.left < HEAD_SIZE || (from.left - HEAD_SIZE) % ENTRY_SIZE != 0)
		return UIDRECV_E_STORE_DAMAGED;
	if (ur_bytes_u32(&from) != check_of(agent, serial, from.at, from.left))
		return UIDRECV_E_STORE_DAMAGED;
	*ret_entries = from;
	return 0;
}

/* Copies the entries with one more, in order of index, each index once. */
static size_t insert_entry(uint8_t *to, struct ur_bytes from, uint32_t index,
			   uint16_t code)
{
	uint8_t *start = to;
	bool is_in = false;

	while (from.left > 0) {
		uint32_t other = ur_bytes_u32(&from);
		uint16_t other_code = ur_bytes_u16(&from);

		if (other >= index && !is_in) {
			to = ur_bytes_put_u32(to, index);
			to = ur_bytes_put_u16(to, code);
			is_in = true;
		}
		if (other == index)
			continue;
		to = ur_bytes_put_u32(to, other);
		to = ur_bytes_put_u16(to, other_code);
	}
	if (!is_in) {
		to = ur_bytes_put_u32(to, index);
		to = ur_bytes_put_u16(to, code);
	}
	return (size_t)(to - start);
}

static int put_reject(struct ur_store *store, uint32_t agent, uint64_t serial,
		      uint32_t index, uint16_t code)
{
	uint8_t bytes[HEAD_SIZE + ENTRY_SIZE * (ENTRIES_MAX + 1)];
	uint8_t key_bytes[KEY_SIZE];
	struct ur_bytes entries;
	MDB_val key, value;
	size_t size;
	int rc = get_entries(store, store->txn, agent, serial, &entries);

	if (rc < 0)
		return rc;
	if (entries.left > ENTRY_SIZE * ENTRIES_MAX)
		return UIDRECV_E_STORE_DAMAGED;
	size = insert_entry(bytes + HEAD_SIZE, entries, index, code);
	if (size > ENTRY_SIZE * ENTRIES_MAX)
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

int ur_store_put_reject(struct ur_store *store, uint32_t agent, uint64_t serial,
			uint32_t index, uint16_t code)
{
	int rc = ur_store_check_round(store);

	if (rc < 0)
		return rc;
	store->error = put_reject(store, agent, serial, index, code);
	return store->error;
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

int ur_store_each_reject(
    struct ur_store *store, uint32_t agent, uint64_t serial,
    void (*each)(void *user, uint32_t index, uint16_t code), void *user)
{
	struct ur_bytes entries;
	MDB_txn *txn;
	int rc = ur_store_read_begin(store, &txn);

	if (rc < 0)
		return rc;
	rc = get_entries(store, txn, agent, serial, &entries);
	while (rc == 0 && entries.left > 0) {
		uint32_t index = ur_bytes_u32(&entries);

		each(user, index, ur_bytes_u16(&entries));
	}
	mdb_txn_abort(txn);
	return rc;
}
