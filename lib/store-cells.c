/* SPDX-License-Identifier: BSD-2-Clause */
#include "store-private.h"

#include <errno.h>
#include <string.h>

#include "answer.h"
#include "block.h"
#include "bytes.h"
#include "cell.h"

/*
 * Of whatever lives addresses may go and others come, as fast as agents can
 * say them. For each that comes so many are looked at, if something may be
 * dead, so that the dead are never many more than the living.
 */
#define COLLECT_SHARE 2

/* A window of serials whose records are refused for one reason, twice. */
#define PAGES_PER_AGENT 32

/* A node in a page of LMDB, with its key, beside its value. */
#define NODE_BYTES 26

/* Pages of branches that a round may make. */
#define MADE_PAGES 64

void ur_store_key_set(const struct ur_store *store, struct ur_store_key *key,
		      struct uidrecv_address address)
{
	if (uidrecv_address_is_ipv4(address)) {
		key->ip4 = (uint32_t)address.lo;
		key->val.mv_data = &key->ip4;
		key->val.mv_size = sizeof(key->ip4);
		key->dbi = store->cells_dbi[UR_STORE_IP4];
		return;
	}
	ur_bytes_put_u64(ur_bytes_put_u64(key->ip6, address.hi), address.lo);
	key->val.mv_data = key->ip6;
	key->val.mv_size = sizeof(key->ip6);
	key->dbi = store->cells_dbi[UR_STORE_IP6];
}

int ur_store_cell_get(const struct ur_store *store, MDB_txn *txn,
		      struct uidrecv_address address, struct ur_cell *cell)
{
	struct ur_store_key key;
	MDB_val value;
	int rc;

	ur_store_key_set(store, &key, address);
	rc = mdb_get(txn, key.dbi, &key.val, &value);
	if (rc == MDB_NOTFOUND) {
		ur_cell_clear(cell);
		return 0;
	}
	if (rc != 0)
		return ur_store_error(rc);
	rc = ur_cell_decode(cell, address, value.mv_data, value.mv_size);
	if (rc == 0)
		ur_store_settle_cell(store, address, cell);
	return rc;
}

int ur_store_cell_put(struct ur_store *store, struct uidrecv_address address,
		      struct ur_cell *cell)
{
	struct ur_store_key key;
	MDB_val value = {ur_cell_encoded_size(cell), NULL};
	int rc;

	for (size_t i = 0; i < cell->claims_count; i++)
		cell->claims[i].kept_us = cell->claims[i].deadline_us;
	ur_store_touch(store, address);
	ur_store_key_set(store, &key, address);
	store->is_written = true;
	store->puts++;
	store->put_bytes += NODE_BYTES + value.mv_size;
	if (cell->claims_count + cell->markers_count == 0) {
		rc = mdb_del(store->txn, key.dbi, &key.val, NULL);
		return rc == MDB_NOTFOUND ? 0 : ur_store_error(rc);
	}
	rc = mdb_put(store->txn, key.dbi, &key.val, &value, MDB_RESERVE);
	if (rc != 0)
		return ur_store_error(rc);
	ur_cell_encode(cell, address, value.mv_data);
	return 0;
}

ssize_t ur_store_cell_collect(struct ur_store *store, struct ur_cell *cell,
			      uint64_t now_us)
{
	for (size_t i = 0; i < cell->claims_count; i++) {
		const struct ur_claim *claim = &cell->claims[i];
		struct ur_store_agent *agent =
		    ur_store_agent_at(store, claim->agent);

		if (!agent)
			return UIDRECV_E_STORE_DAMAGED;
		if (!ur_claim_is_alive(claim, now_us))
			ur_store_agent_lose(store, agent, claim);
	}
	return (ssize_t)ur_cell_collect(cell, &store->ranks, now_us);
}

/* May the agent have one more living claim, as yet another in its cell? */
static int check_quota(struct ur_store *store, struct ur_store_agent *agent,
		       uint64_t mappings_max, uint64_t now_us)
{
	int rc;

	if (agent->counts.living < mappings_max)
		return 0;
	/* Until the next of them can die the count is exact. */
	if (now_us < agent->counts.next_death_us)
		return UIDRECV_REJECT_QUOTA;
	rc = ur_store_count_living(store, agent, false, now_us);
	if (rc < 0)
		return rc;
	return agent->counts.living < mappings_max ? 0 : UIDRECV_REJECT_QUOTA;
}

/*
 * The last sixteenth is for what makes room and for what is there, and some
 * pages of each agent are for the refusals that it then gets.
 */
bool ur_store_has_room(const struct ur_store *store)
{
	uint64_t pages = store->meta.map_bytes / store->page_bytes;
	uint64_t reserve = pages / 16 + PAGES_PER_AGENT * store->agents_count;
	/*
	 * LMDB copies each page that it changes, once, and fills half of those
	 * that it makes; and a put changes a page or so.
	 */
	uint64_t dirty = store->pages_used + MADE_PAGES +
			 2 * store->put_bytes / store->page_bytes;

	if (dirty > store->puts)
		dirty = store->puts;
	if (reserve > pages / 2)
		reserve = pages / 2;
	return store->pages_used + dirty < pages - reserve;
}

static int check_map(struct ur_store *store, struct ur_store_agent *agent,
		     uint64_t mappings_max,
		     const struct ur_statement *statement, uint64_t now_us)
{
	const struct ur_claim *former =
	    ur_cell_find(&store->cell, agent->row.id);

	if (statement->op != UIDRECV_OP_MAP ||
	    (former && ur_claim_is_alive(former, now_us)) ||
	    ur_deadline_us(statement->as_of_us, statement->lifetime_s) <=
		now_us)
		return 0;
	if (!former && !ur_store_has_room(store))
		return UIDRECV_REJECT_STORE_FULL;
	return check_quota(store, agent, mappings_max, now_us);
}

/* What counts of a claim; the rest of it is not copied. */
static struct ur_claim essence_of(const struct ur_claim *claim)
{
	struct ur_claim essence;

	essence.deadline_us = claim->deadline_us;
	essence.lifetime_s = claim->lifetime_s;
	essence.epoch = claim->epoch;
	return essence;
}

static void count_change(struct ur_store *store, struct ur_store_agent *agent,
			 const struct ur_claim *former)
{
	const struct ur_claim *claim =
	    ur_cell_find(&store->cell, agent->row.id);
	uint64_t lifetime_us;

	/* Perhaps only a marker came. */
	if (former && claim && claim->epoch == former->epoch &&
	    claim->deadline_us == former->deadline_us &&
	    claim->lifetime_s == former->lifetime_s)
		return;
	if (former)
		ur_store_agent_lose(store, agent, former);
	if (!claim)
		return;
	ur_store_agent_gain(store, agent, claim);
	lifetime_us = (uint64_t)claim->lifetime_s * 1000000;
	if (claim->lifetime_s != UIDRECV_LIFETIME_NEVER &&
	    lifetime_us > store->meta_next.lifetime_max_us)
		store->meta_next.lifetime_max_us = lifetime_us;
}

/* Does a MAP take a block from a user who has it still? */
static bool is_taking(const struct ur_statement *statement,
		      const struct ur_claim *former, uint64_t now_us)
{
	return ur_block_is_key(statement->address) && former &&
	       statement->op == UIDRECV_OP_MAP &&
	       ur_claim_is_alive(former, now_us) &&
	       !ur_text_is_same(former->user, former->user_size,
				statement->user, statement->user_size);
}

static int apply(struct ur_store *store, struct ur_store_agent *agent,
		 uint64_t mappings_max, const struct ur_statement *statement,
		 uint64_t now_us)
{
	struct ur_cell *cell = &store->cell;
	uint32_t epoch = ur_store_agent_now(agent)->epochs.current;
	const struct ur_claim *former;
	struct ur_claim essence;
	bool had, had_claims, is_new, takes, changed, added;
	ssize_t went;
	int rc = ur_store_cell_get(store, store->txn, statement->address, cell);

	if (rc < 0)
		return rc;
	had_claims = cell->claims_count > 0;
	is_new = cell->claims_count + cell->markers_count == 0;
	former = ur_cell_find(cell, agent->row.id);
	had = former != NULL;
	if (had)
		essence = essence_of(former);
	takes = is_taking(statement, former, now_us);
	rc = check_map(store, agent, mappings_max, statement, now_us);
	if (rc == 0)
		rc = ur_cell_apply(cell, statement, agent->row.id, epoch,
				   now_us, &changed, &added);
	if (rc != 0 || !changed)
		return rc;
	if (is_new &&
	    (store->sweeps > 0 || now_us >= agent->counts.next_death_us))
		store->debt += COLLECT_SHARE;
	count_change(store, agent, had ? &essence : NULL);
	/* A MAP whose life was over left nobody. */
	if (takes && ur_cell_find(cell, agent->row.id))
		ur_store_agent_touch(store, agent)->blocks_taken++;
	went = ur_store_cell_collect(store, cell, now_us);
	if (went < 0)
		return (int)went;
	rc = ur_store_cell_put(store, statement->address, cell);
	if (rc < 0)
		return rc;
	/* What had run out is listed too: a REFRESH ALL must not find it. */
	if (!had_claims && !ur_answer(cell, &store->ranks, now_us))
		return 0;
	return ur_store_changes_add(store, statement->address, cell, now_us);
}

int ur_store_apply(struct ur_store *store, uint32_t agent,
		   uint64_t mappings_max, const struct ur_statement *statement,
		   uint64_t now_us)
{
	struct ur_store_agent *found = ur_store_agent_at(store, agent);
	struct ur_statement raised;
	uint64_t refreshed_us;
	int rc = ur_store_check_round(store);

	if (rc < 0)
		return rc;
	if (!found)
		return -EINVAL;
	now_us = ur_store_clamp(store, now_us);
	refreshed_us = ur_store_agent_now(found)->epochs.refreshed_us;
	if (statement->as_of_us < refreshed_us) {
		raised = *statement;
		raised.as_of_us = refreshed_us;
		statement = &raised;
	}
	if (ur_store_renew(store, found, statement, now_us))
		return 0;
	rc = apply(store, found, mappings_max, statement, now_us);
	if (rc < 0)
		store->error = rc;
	return rc;
}
