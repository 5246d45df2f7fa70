/* SPDX-License-Identifier: BSD-2-Clause */
#include "store-private.h"

#include <string.h>

#include "answer.h"
#include "cell.h"

/* A round of restricting: rows that it may change, and that it may read. */
#define CHANGED_MAX 1000
#define READ_MAX 20000

void ur_store_walk_start(struct ur_store_walk *walk,
			 const struct ur_store *store, MDB_txn *txn,
			 const struct uidrecv_address *after)
{
	memset(walk, 0, sizeof(*walk));
	walk->store = store;
	walk->txn = txn;
	if (!after)
		return;
	walk->last = *after;
	walk->has_last = true;
	walk->family =
	    uidrecv_address_is_ipv4(*after) ? UR_STORE_IP4 : UR_STORE_IP6;
}

void ur_store_walk_pause(struct ur_store_walk *walk)
{
	if (walk->cursor)
		mdb_cursor_close(walk->cursor);
	walk->cursor = NULL;
}

/* Cursors are not trusted over a write: they are placed anew by key. */
static int seek(struct ur_store_walk *walk, MDB_val *key, MDB_val *value)
{
	struct ur_store_key last;
	int rc = mdb_cursor_open(
	    walk->txn, walk->store->cells_dbi[walk->family], &walk->cursor);

	if (rc != 0)
		return rc;
	if (!walk->has_last)
		return mdb_cursor_get(walk->cursor, key, value, MDB_FIRST);
	ur_store_key_set(walk->store, &last, walk->last);
	*key = last.val;
	rc = mdb_cursor_get(walk->cursor, key, value, MDB_SET_RANGE);
	if (rc == 0 && key->mv_size == last.val.mv_size &&
	    !memcmp(key->mv_data, last.val.mv_data, key->mv_size))
		rc = mdb_cursor_get(walk->cursor, key, value, MDB_NEXT);
	return rc;
}

static bool address_of(const struct ur_store_walk *walk, const MDB_val *key,
		       struct uidrecv_address *ret_address)
{
	uint32_t ip4;

	if (walk->family == UR_STORE_IP4) {
		if (key->mv_size != sizeof(ip4))
			return false;
		memcpy(&ip4, key->mv_data, sizeof(ip4));
		*ret_address = uidrecv_address_from_ipv4(ip4);
		return true;
	}
	if (key->mv_size != 16)
		return false;
	*ret_address = uidrecv_address_from_ipv6(key->mv_data);
	return !uidrecv_address_is_ipv4(*ret_address);
}

int ur_store_walk_next(struct ur_store_walk *walk, struct ur_cell *cell,
		       struct uidrecv_address *ret_address)
{
	MDB_val key, value;
	int rc = MDB_NOTFOUND;

	while (walk->family < UR_STORE_FAMILIES) {
		rc = walk->cursor
			 ? mdb_cursor_get(walk->cursor, &key, &value, MDB_NEXT)
			 : seek(walk, &key, &value);
		if (rc != MDB_NOTFOUND)
			break;
		ur_store_walk_pause(walk);
		walk->family++;
		walk->has_last = false;
	}
	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc != 0)
		return ur_store_error(rc);
	if (!address_of(walk, &key, ret_address))
		return UIDRECV_E_STORE_DAMAGED;
	walk->last = *ret_address;
	walk->has_last = true;
	rc = ur_cell_decode(cell, *ret_address, value.mv_data, value.mv_size);
	if (rc < 0)
		return rc;
	ur_store_settle_cell(walk->store, *ret_address, cell);
	return 1;
}

/* A walk that tells who answers, and whom to watch. */
struct scan {
	const struct ur_ranks *ranks;
	int (*each)(void *user, const struct ur_change *answer);
	void *user;
	uint64_t now_us;
	struct ur_watch watch;
};

/* Tells of the scanned cell. */
static int scan_one(struct ur_store *store, struct scan *scan,
		    struct uidrecv_address address)
{
	const struct ur_agent_row *row;
	struct ur_change answer;
	uint64_t until_us;
	int rc;

	/* The addresses of systems follow, whether or not they have a cell. */
	if (ur_systems_at(&store->systems, address))
		return 0;
	until_us = ur_answer_contended_until(&store->scanned, scan->ranks,
					     scan->now_us);
	if (until_us != UR_TIME_NEVER) {
		rc = ur_watch_reserve(&scan->watch, 1);
		if (rc < 0)
			return rc;
		ur_watch_set(&scan->watch, address, until_us);
	}
	ur_store_answer_of(store, scan->ranks, address, &store->scanned,
			   scan->now_us, &answer);
	if (answer.user_size == 0)
		return 0;
	row = ur_store_get_agent_by_id(store, answer.agent);
	answer.epoch = ur_epochs_group(&row->epochs, answer.epoch);
	return scan->each(scan->user, &answer);
}

static int scan_systems(struct ur_store *store, const struct scan *scan)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < store->systems.places_count; i++) {
		struct ur_change answer;

		ur_store_answer_of(store, scan->ranks,
				   store->systems.places[i].address,
				   &store->scanned, scan->now_us, &answer);
		rc = scan->each(scan->user, &answer);
	}
	return rc;
}

/* All cells were told of, or it ended in an error. */
static int end_scan(struct ur_store *store, struct scan *scan, int rc)
{
	if (rc == 0)
		rc = scan_systems(store, scan);
	if (rc == 0) {
		struct ur_watch former = store->watch;

		store->watch = scan->watch;
		scan->watch = former;
		store->has_lost_changes = false;
	}
	ur_watch_done(&scan->watch);
	return rc;
}

int ur_store_scan(struct ur_store *store, uint64_t now_us,
		  int (*each)(void *user, const struct ur_change *answer),
		  void *user)
{
	struct scan scan = {.ranks = &store->ranks,
			    .each = each,
			    .user = user,
			    .watch.seed = store->watch.seed};
	struct ur_store_walk walk;
	struct uidrecv_address address;
	MDB_txn *txn;
	int rc = ur_store_check_idle(store);

	if (rc == 0)
		rc = ur_store_read_begin(store, &txn);
	if (rc < 0)
		return rc;
	scan.now_us = ur_store_clamp(store, now_us);
	ur_store_walk_start(&walk, store, txn, NULL);
	do {
		rc = ur_store_walk_next(&walk, &store->scanned, &address);
		if (rc != 1)
			break;
		rc = scan_one(store, &scan, address);
	} while (rc == 0);
	ur_store_walk_pause(&walk);
	mdb_txn_abort(txn);
	return end_scan(store, &scan, rc);
}

int ur_store_settle(struct ur_store *store, size_t max, uint64_t now_us)
{
	struct uidrecv_address address;
	MDB_txn *txn;
	int rc = ur_store_check_idle(store);

	now_us = ur_store_clamp(store, now_us);
	if (rc < 0 || !ur_watch_get_due(&store->watch, now_us, &address))
		return rc;
	rc = ur_store_read_begin(store, &txn);
	if (rc < 0)
		return rc;
	while (max-- > 0 && ur_watch_get_due(&store->watch, now_us, &address)) {
		const struct ur_store_changes *changes = &store->changes;

		rc = ur_store_cell_get(store, txn, address, &store->scanned);
		if (rc == 0)
			rc = ur_store_changes_add(store, address,
						  &store->scanned, now_us);
		if (rc < 0)
			break;
		ur_watch_set(
		    &store->watch, address,
		    changes->list[changes->count - 1].contended_until_us);
		ur_store_changes_commit(&store->changes);
	}
	mdb_txn_abort(txn);
	if (rc < 0)
		return rc;
	return ur_watch_get_due(&store->watch, now_us, &address);
}

/* A walk that drops what another list refuses, and tells who answers then. */
struct restriction {
	const struct ur_store_list *list;
	struct scan scan;
	struct uidrecv_address place; /* where the next round goes on */
	bool has_place;
};

/*
 * Returns whether the scanned cell is to be written, or an error. Another list
 * may have somebody else answer, and lives are lent to answers alone.
 */
static int restrict_one(struct ur_store *store,
			const struct ur_store_list *list,
			struct uidrecv_address address)
{
	struct ur_cell *cell = &store->scanned;
	int is_changed = cell->claims_count + cell->markers_count > 1 &&
			 ur_store_cell_is_lent(cell);

	for (size_t i = cell->claims_count; i-- > 0;) {
		struct ur_claim *claim = &cell->claims[i];
		struct ur_store_agent *agent =
		    ur_store_agent_at(store, claim->agent);

		if (!agent)
			return UIDRECV_E_STORE_DAMAGED;
		if (list->keep(list->user, claim->agent, address, claim))
			continue;
		ur_store_agent_lose(store, agent, claim);
		ur_cell_remove(cell, claim);
		is_changed = 1;
	}
	return is_changed;
}

/* Returns 1 if there are more rows, 0 at the end, or an error. */
static int restrict_rows(struct ur_store *store,
			 struct restriction *restriction)
{
	struct ur_store_walk walk;
	struct uidrecv_address address;
	int changed = 0;
	int rc = 1;

	ur_store_walk_start(&walk, store, store->txn,
			    restriction->has_place ? &restriction->place
						   : NULL);
	for (int i = 0; i < READ_MAX && changed < CHANGED_MAX; i++) {
		rc = ur_store_walk_next(&walk, &store->scanned, &address);
		if (rc != 1)
			break;
		rc = restrict_one(store, restriction->list, address);
		if (rc > 0) {
			changed++;
			ur_store_walk_pause(&walk);
			rc = ur_store_cell_put(store, address, &store->scanned);
			if (rc == 0)
				rc = ur_store_changes_add(
				    store, address, &store->scanned,
				    restriction->scan.now_us);
		}
		if (rc == 0)
			rc = scan_one(store, &restriction->scan, address);
		if (rc < 0)
			break;
		rc = 1;
	}
	ur_store_walk_pause(&walk);
	restriction->place = walk.last;
	restriction->has_place = walk.has_last;
	return rc;
}

int ur_store_restrict(struct ur_store *store, uint64_t now_us, uint64_t wall_us,
		      const struct ur_store_list *list)
{
	struct restriction restriction = {
	    .list = list,
	    .scan = {.ranks = &list->ranks,
		     .each = list->each,
		     .user = list->user,
		     .now_us = ur_store_clamp(store, now_us),
		     .watch.seed = store->watch.seed},
	};
	int more = 1, rc = 0;

	while (rc == 0 && more > 0) {
		rc = ur_store_begin(store);
		if (rc < 0)
			break;
		more = restrict_rows(store, &restriction);
		store->error = more < 0 ? more : 0;
		rc = ur_store_commit(store, now_us, wall_us);
	}
	return end_scan(store, &restriction.scan, rc);
}
