/* SPDX-License-Identifier: BSD-2-Clause */
/* Takes away what is dead, a slice at a time. */
#include "store-private.h"

/* What is collected at once: few enough that agents hardly wait for it. */
#define SLICE_ROWS 8192
#define DUE_MAX ((size_t)1 << 18)

/* Notes for how long agents have not vouched for what lives. */
static void note_ages(struct ur_store *store, uint64_t now_us)
{
	const struct ur_cell *cell = &store->scanned;

	for (size_t i = 0; i < cell->claims_count; i++) {
		const struct ur_claim *claim = &cell->claims[i];
		struct ur_store_agent *agent =
		    ur_store_agent_at(store, claim->agent);
		uint64_t lifetime_us = (uint64_t)claim->lifetime_s * 1000000;

		if (!agent || claim->lifetime_s == UIDRECV_LIFETIME_NEVER ||
		    !ur_claim_is_alive(claim, now_us))
			continue;
		if (claim->deadline_us - lifetime_us < agent->oldest_next_us)
			agent->oldest_next_us =
			    claim->deadline_us - lifetime_us;
	}
}

/* Returns how much of the scanned cell went, or an error. */
static ssize_t collect_one(struct ur_store *store, struct ur_store_walk *walk,
			   struct uidrecv_address address, uint64_t now_us)
{
	size_t claims_count = store->scanned.claims_count;
	ssize_t went = ur_store_cell_collect(store, &store->scanned, now_us);
	int rc;

	if (went <= 0)
		return went;
	ur_store_walk_pause(walk);
	rc = ur_store_cell_put(store, address, &store->scanned);
	/*
	 * Readers see by themselves that it is dead, but not who answers after
	 * a drop; and a REFRESH ALL must not find it in the table.
	 */
	if (rc == 0 && store->scanned.claims_count < claims_count)
		rc = ur_store_changes_add(store, address, &store->scanned,
					  now_us);
	return rc < 0 ? rc : went;
}

/* One round of collecting; what went is added to *ret_count. */
static int collect_rows(struct ur_store *store, size_t max_rows,
			uint64_t now_us, int *ret_count)
{
	struct ur_store_walk walk;
	struct uidrecv_address address;
	int rc = 0;

	ur_store_walk_start(&walk, store, store->txn,
			    store->has_collected ? &store->collected : NULL);
	for (size_t i = 0; i < max_rows; i++) {
		ssize_t went;

		rc = ur_store_walk_next(&walk, &store->scanned, &address);
		if (rc != 1)
			break;
		note_ages(store, now_us);
		went = collect_one(store, &walk, address, now_us);
		if (went < 0) {
			rc = (int)went;
			break;
		}
		*ret_count += (int)went;
	}
	ur_store_walk_pause(&walk);
	if (rc < 0)
		return rc;
	store->has_collected = walk.has_last;
	store->collected = walk.last;
	return 0;
}

/* A walk has come to the end of the store. */
static void end_collecting(struct ur_store *store)
{
	if (store->sweeps > 0)
		store->sweeps--;
	for (size_t i = 0; i < store->agents_count; i++) {
		store->agents[i]->oldest_us = store->agents[i]->oldest_next_us;
		store->agents[i]->oldest_next_us = UR_TIME_NEVER;
	}
}

size_t ur_store_get_due(const struct ur_store *store)
{
	if (store->debt >= SLICE_ROWS)
		return store->debt < DUE_MAX ? store->debt : DUE_MAX;
	return store->sweeps > 0 ? SLICE_ROWS : 0;
}

int ur_store_collect(struct ur_store *store, size_t max_rows, uint64_t now_us,
		     uint64_t wall_us)
{
	bool had_collected = store->has_collected;
	struct uidrecv_address collected = store->collected;
	int count = 0;
	int rc = ur_store_begin(store);

	if (rc < 0)
		return rc;
	now_us = ur_store_clamp(store, now_us);
	store->debt -= max_rows < store->debt ? max_rows : store->debt;
	store->error = collect_rows(store, max_rows, now_us, &count);
	rc = ur_store_commit(store, now_us, wall_us);
	if (rc < 0) {
		store->has_collected = had_collected;
		store->collected = collected;
		return rc;
	}
	if (!store->has_collected)
		end_collecting(store);
	return count;
}
