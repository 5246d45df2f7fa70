/* SPDX-License-Identifier: BSD-2-Clause */
#include "store-private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"

#define ROW_VERSION 2
#define ROW_SIZE                                                               \
	(4 + 1 + 4 + 8 + 8 + 8 + 8 + 16 + 8 * UR_SUPERSEDED_MAX + 8 +          \
	 UR_EPOCHS_SIZE)

static uint32_t check_of(const char *name, size_t name_size,
			 const uint8_t *bytes, size_t size)
{
	static const struct uidrecv_address none = {0, 0};
	struct uidrecv_address seed = {name_size, 0};

	seed.lo = ur_checksum(none, (const uint8_t *)name, name_size);
	return ur_checksum(seed, bytes, size);
}

static void encode_row(const struct ur_store_agent *agent,
		       const struct ur_agent_row *row, uint8_t bytes[ROW_SIZE])
{
	uint8_t *to = ur_bytes_put_u8(bytes + 4, ROW_VERSION);

	to = ur_bytes_put_u32(to, row->id);
	to = ur_bytes_put_u64(to, row->session_id);
	to = ur_bytes_put_u64(to, row->durable);
	to = ur_bytes_put_u64(to, (uint64_t)row->offset_us);
	to = ur_bytes_put_u64(to, row->offset_error_us);
	to = ur_bytes_put_raw(to, row->offset_boot_id, 16);
	for (int i = 0; i < UR_SUPERSEDED_MAX; i++)
		to = ur_bytes_put_u64(to, row->superseded[i]);
	to = ur_bytes_put_u64(to, row->claims);
	ur_epochs_encode(&row->epochs, to);
	ur_bytes_put_u32(bytes, check_of(agent->name, agent->name_size,
					 bytes + 4, ROW_SIZE - 4));
}

static bool decode_row(const MDB_val *key, const MDB_val *value,
		       struct ur_agent_row *row)
{
	struct ur_bytes from = ur_bytes_of(value->mv_data, value->mv_size);

	memset(row, 0, sizeof(*row));
	if (key->mv_size == 0 || key->mv_size > UIDRECV_NAME_MAX ||
	    value->mv_size != ROW_SIZE)
		return false;
	if (ur_bytes_u32(&from) !=
		check_of(key->mv_data, key->mv_size, from.at, from.left) ||
	    ur_bytes_u8(&from) != ROW_VERSION)
		return false;
	row->id = ur_bytes_u32(&from);
	row->session_id = ur_bytes_u64(&from);
	row->durable = ur_bytes_u64(&from);
	row->offset_us = (int64_t)ur_bytes_u64(&from);
	row->offset_error_us = ur_bytes_u64(&from);
	memcpy(row->offset_boot_id, ur_bytes_raw(&from, 16), 16);
	for (int i = 0; i < UR_SUPERSEDED_MAX; i++)
		row->superseded[i] = ur_bytes_u64(&from);
	row->claims = ur_bytes_u64(&from);
	return ur_epochs_decode(&row->epochs, from.at) &&
	       row->epochs.stated <= row->claims;
}

struct ur_store_agent *ur_store_agent_at(const struct ur_store *store,
					 uint32_t id)
{
	if (id == 0 || id > store->agents_count)
		return NULL;
	return store->agents[id - 1];
}

/* The place of a name in the sorted list, or where it would be. */
static size_t place_of(const struct ur_store *store, const char *name,
		       size_t name_size, bool *ret_found)
{
	size_t low = 0, high = store->agents_count;

	*ret_found = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct ur_store_agent *agent =
		    store->agents_by_name[middle];
		size_t common =
		    name_size < agent->name_size ? name_size : agent->name_size;
		int order = memcmp(agent->name, name, common);

		if (order == 0 && agent->name_size == name_size) {
			*ret_found = true;
			return middle;
		}
		if (order < 0 || (order == 0 && agent->name_size < name_size))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int reserve_agents(struct ur_store *store, size_t count)
{
	size_t room = store->agents_room ? store->agents_room : 16;
	void *grown;

	if (count <= store->agents_room)
		return 0;
	while (room < count)
		room *= 2;
	grown = realloc(store->agents, room * sizeof(*store->agents));
	if (!grown)
		return -ENOMEM;
	store->agents = grown;
	grown = realloc(store->agents_by_name,
			room * sizeof(*store->agents_by_name));
	if (!grown)
		return -ENOMEM;
	store->agents_by_name = grown;
	grown = realloc(store->dirty, room * sizeof(*store->dirty));
	if (!grown)
		return -ENOMEM;
	store->dirty = grown;
	store->agents_room = room;
	return 0;
}

static struct ur_store_agent *new_agent(const char *name, size_t name_size)
{
	struct ur_store_agent *agent = calloc(1, sizeof(*agent));

	if (!agent)
		return NULL;
	memcpy(agent->name, name, name_size);
	agent->name_size = name_size;
	agent->oldest_us = agent->oldest_next_us = UR_TIME_NEVER;
	return agent;
}

/* Ids are given in sequence and rows are never removed. */
static void insert_agent(struct ur_store *store, struct ur_store_agent *agent)
{
	bool found;
	size_t place = place_of(store, agent->name, agent->name_size, &found);

	memmove(&store->agents_by_name[place + 1],
		&store->agents_by_name[place],
		(store->agents_count - place) * sizeof(*store->agents_by_name));
	store->agents_by_name[place] = agent;
	store->agents[store->agents_count++] = agent;
}

static int load_row(struct ur_store *store, const MDB_val *key,
		    const MDB_val *value, size_t place, bool is_again)
{
	struct ur_agent_row row;
	struct ur_store_agent *agent;

	if (!decode_row(key, value, &row) || row.id == 0 ||
	    row.id >= store->meta.agent_next)
		return UIDRECV_E_STORE_DAMAGED;
	agent = store->agents[row.id - 1];
	if (!is_again) {
		if (agent)
			return UIDRECV_E_STORE_DAMAGED;
		agent = new_agent(key->mv_data, key->mv_size);
		if (!agent)
			return -ENOMEM;
		store->agents[row.id - 1] = agent;
		/* The table is read in the order of names. */
		store->agents_by_name[place] = agent;
	}
	row.blocks_taken = agent->row.blocks_taken;
	agent->row = row;
	ur_store_agent_forget_counts(agent);
	return 0;
}

int ur_store_agents_load(struct ur_store *store, MDB_txn *txn)
{
	size_t count = store->meta.agent_next - 1, place = 0;
	bool is_again = store->agents_count > 0;
	MDB_cursor *cursor;
	MDB_val key, value;
	MDB_stat stat;
	int rc = ur_store_error(mdb_stat(txn, store->agents_dbi, &stat));

	if (rc < 0)
		return rc;
	if (is_again && count != store->agents_count)
		return -EIO;
	if (stat.ms_entries != count)
		return UIDRECV_E_STORE_DAMAGED;
	rc = reserve_agents(store, count ? count : 1);
	if (rc < 0)
		return rc;
	if (!is_again) {
		memset(store->agents, 0, count * sizeof(*store->agents));
		store->agents_count = count;
	}
	rc = ur_store_error(mdb_cursor_open(txn, store->agents_dbi, &cursor));
	if (rc < 0)
		return rc;
	while (rc == 0 && place < count) {
		rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
		if (rc == MDB_NOTFOUND)
			rc = MDB_CORRUPTED;
		rc = rc ? ur_store_error(rc)
			: load_row(store, &key, &value, place++, is_again);
	}
	mdb_cursor_close(cursor);
	return rc;
}

void ur_store_agents_free(struct ur_store *store)
{
	for (size_t i = 0; i < store->agents_count; i++)
		free(store->agents[i]);
	free(store->agents);
	free(store->agents_by_name);
	free(store->dirty);
}

struct ur_agent_row *ur_store_agent_touch(struct ur_store *store,
					  struct ur_store_agent *agent)
{
	if (!agent->is_dirty) {
		agent->is_dirty = true;
		agent->next = agent->row;
		store->dirty[store->dirty_count++] = agent->row.id;
	}
	return &agent->next;
}

const struct ur_agent_row *ur_store_agent_now(
    const struct ur_store_agent *agent)
{
	return agent->is_dirty ? &agent->next : &agent->row;
}

static int write_row(struct ur_store *store, struct ur_store_agent *agent)
{
	uint8_t bytes[ROW_SIZE];
	MDB_val key = {agent->name_size, agent->name};
	MDB_val value = {sizeof(bytes), bytes};

	encode_row(agent, &agent->next, bytes);
	return ur_store_error(
	    mdb_put(store->txn, store->agents_dbi, &key, &value, 0));
}

int ur_store_agents_write(struct ur_store *store)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < store->dirty_count; i++)
		rc =
		    write_row(store, ur_store_agent_at(store, store->dirty[i]));
	return rc;
}

void ur_store_agents_commit(struct ur_store *store)
{
	for (size_t i = 0; i < store->dirty_count; i++) {
		struct ur_store_agent *agent =
		    ur_store_agent_at(store, store->dirty[i]);

		agent->row = agent->next;
		agent->is_dirty = false;
	}
	store->dirty_count = 0;
}

void ur_store_agents_abort(struct ur_store *store)
{
	for (size_t i = 0; i < store->dirty_count; i++) {
		struct ur_store_agent *agent =
		    ur_store_agent_at(store, store->dirty[i]);

		agent->is_dirty = false;
		ur_store_agent_forget_counts(agent);
	}
	store->dirty_count = 0;
}

const struct ur_agent_row *ur_store_get_agent(const struct ur_store *store,
					      const char *name,
					      size_t name_size)
{
	bool found;
	size_t place = place_of(store, name, name_size, &found);

	return found ? &store->agents_by_name[place]->row : NULL;
}

const struct ur_agent_row *ur_store_get_agent_by_id(
    const struct ur_store *store, uint32_t id)
{
	const struct ur_store_agent *agent = ur_store_agent_at(store, id);

	return agent ? &agent->row : NULL;
}

const char *ur_store_get_agent_name(const struct ur_store *store, uint32_t id)
{
	const struct ur_store_agent *agent = ur_store_agent_at(store, id);

	return agent ? agent->name : NULL;
}

uint32_t ur_store_get_agent_id_max(const struct ur_store *store)
{
	return (uint32_t)store->agents_count;
}

int ur_store_put_agent(struct ur_store *store, const struct ur_agent_row *row)
{
	struct ur_store_agent *agent = ur_store_agent_at(store, row->id);
	struct ur_epochs epochs;
	struct ur_agent_row *next;
	uint64_t claims, blocks_taken;
	int rc = ur_store_check_round(store);

	if (rc < 0)
		return rc;
	if (!agent)
		return -EINVAL;
	next = ur_store_agent_touch(store, agent);
	claims = next->claims;
	blocks_taken = next->blocks_taken;
	epochs = next->epochs;
	if (row->session_id != next->session_id)
		ur_epochs_new_session(&epochs);
	*next = *row;
	next->claims = claims;
	next->blocks_taken = blocks_taken;
	next->epochs = epochs;
	store->is_written = true;
	return 0;
}

int ur_store_add_agent(struct ur_store *store, const char *name,
		       size_t name_size, uint64_t now_us,
		       const struct ur_agent_row **ret_row)
{
	const struct ur_agent_row *row;
	struct ur_store_agent *agent;
	size_t count = store->agents_count + 1;
	uint64_t wall_us;
	int rc = ur_store_check_idle(store);

	if (rc < 0)
		return rc;
	if (name_size == 0 || name_size > UIDRECV_NAME_MAX ||
	    count >= UINT32_MAX - 1)
		return -EINVAL;
	row = ur_store_get_agent(store, name, name_size);
	if (row) {
		*ret_row = row;
		return 0;
	}
	agent = new_agent(name, name_size);
	rc = agent ? reserve_agents(store, count) : -ENOMEM;
	if (rc == 0)
		rc = ur_store_begin(store);
	if (rc < 0) {
		free(agent);
		return rc;
	}
	agent->next.id = (uint32_t)count;
	store->meta_next.agent_next = agent->next.id + 1;
	store->is_written = true;
	store->error = write_row(store, agent);
	now_us = ur_store_clamp(store, now_us);
	wall_us = store->meta.wall_us + (now_us - store->meta.time_us);
	rc = ur_store_commit(store, now_us, wall_us);
	if (rc < 0) {
		free(agent);
		return rc;
	}
	agent->row = agent->next;
	ur_store_agent_forget_counts(agent);
	insert_agent(store, agent);
	*ret_row = &agent->row;
	return 0;
}
