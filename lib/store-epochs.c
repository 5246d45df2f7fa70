/* SPDX-License-Identifier: BSD-2-Clause */
/* Counts of living claims, and what snapshots and REFRESH ALL do. */
#include <errno.h>

#include "store-private.h"

void ur_store_agent_forget_counts(struct ur_store_agent *agent)
{
	const struct ur_agent_row *row = ur_store_agent_now(agent);

	agent->counts = (struct ur_store_counts){
	    .living = row->claims,
	    .stated = row->epochs.stated,
	    /* Of none nothing can die. */
	    .next_death_us = row->claims ? 0 : UR_TIME_NEVER,
	    .lifetime_min_s = row->claims ? 0 : UIDRECV_LIFETIME_NEVER,
	};
}

void ur_store_agent_gain(struct ur_store *store, struct ur_store_agent *agent,
			 const struct ur_claim *claim)
{
	struct ur_agent_row *row = ur_store_agent_touch(store, agent);
	struct ur_store_counts *counts = &agent->counts;

	row->claims++;
	ur_epochs_gain(&row->epochs);
	counts->living++;
	counts->stated++;
	if (claim->deadline_us < counts->next_death_us)
		counts->next_death_us = claim->deadline_us;
	if (claim->lifetime_s < counts->lifetime_min_s)
		counts->lifetime_min_s = claim->lifetime_s;
}

void ur_store_agent_lose(struct ur_store *store, struct ur_store_agent *agent,
			 const struct ur_claim *claim)
{
	struct ur_store_counts *counts = &agent->counts;
	struct ur_agent_row *row;

	/* It ceased to count when it was dropped. */
	if (claim->epoch < ur_store_agent_now(agent)->epochs.floor)
		return;
	row = ur_store_agent_touch(store, agent);
	if (row->claims > 0)
		row->claims--;
	if (claim->deadline_us > counts->counted_us) {
		if (counts->living > 0)
			counts->living--;
		if (claim->epoch == row->epochs.current && counts->stated > 0)
			counts->stated--;
	}
	ur_epochs_lose(&row->epochs, claim->epoch);
}

static void count_claim(struct ur_store_counts *counts,
			const struct ur_claim *claim, uint32_t current)
{
	counts->living++;
	if (claim->deadline_us < counts->next_death_us)
		counts->next_death_us = claim->deadline_us;
	if (claim->epoch != current)
		return;
	counts->stated++;
	if (claim->lifetime_s < counts->lifetime_min_s)
		counts->lifetime_min_s = claim->lifetime_s;
}

int ur_store_count_living(struct ur_store *store, struct ur_store_agent *agent,
			  bool collect, uint64_t now_us)
{
	uint32_t current = ur_store_agent_now(agent)->epochs.current;
	struct ur_store_counts counts = {
	    .counted_us = now_us,
	    .next_death_us = UR_TIME_NEVER,
	    .lifetime_min_s = UIDRECV_LIFETIME_NEVER,
	};
	struct ur_store_walk walk;
	struct uidrecv_address address;
	struct ur_claim *claim;
	int rc;

	ur_store_walk_start(&walk, store, store->txn, NULL);
	while ((rc = ur_store_walk_next(&walk, &store->scanned, &address)) ==
	       1) {
		claim = ur_cell_find(&store->scanned, agent->row.id);
		if (claim && ur_claim_is_alive(claim, now_us)) {
			count_claim(&counts, claim, current);
		} else if (claim && collect && claim->epoch == current &&
			   ur_store_has_room(store)) {
			ur_store_agent_lose(store, agent, claim);
			ur_cell_remove(&store->scanned, claim);
			ur_store_walk_pause(&walk);
			rc = ur_store_cell_put(store, address, &store->scanned);
			if (rc == 0)
				rc = ur_store_changes_add(
				    store, address, &store->scanned, now_us);
		}
		if (rc < 0)
			break;
	}
	ur_store_walk_pause(&walk);
	if (rc < 0)
		return rc;
	/* Dirty, so that an abort forgets what is counted here. */
	ur_store_agent_touch(store, agent);
	agent->counts = counts;
	return 0;
}

/* Finds the agent of a round's operation, and its row to change. */
static int take_agent(struct ur_store *store, uint32_t id,
		      struct ur_store_agent **ret_agent,
		      struct ur_agent_row **ret_row)
{
	int rc = ur_store_check_round(store);

	if (rc < 0)
		return rc;
	*ret_agent = ur_store_agent_at(store, id);
	if (!*ret_agent)
		return -EINVAL;
	*ret_row = ur_store_agent_touch(store, *ret_agent);
	store->is_written = true;
	return 0;
}

int ur_store_begin_snapshot(struct ur_store *store, uint32_t agent)
{
	struct ur_store_agent *found;
	struct ur_agent_row *row;
	int rc = take_agent(store, agent, &found, &row);

	if (rc < 0)
		return rc;
	ur_epochs_begin(&row->epochs);
	/* Of the last epoch there is no next, and its claims go on. */
	if (row->epochs.stated == 0) {
		found->counts.stated = 0;
		found->counts.lifetime_min_s = UIDRECV_LIFETIME_NEVER;
	}
	return 0;
}

int ur_store_count_maps(struct ur_store *store, uint32_t agent, uint64_t count)
{
	struct ur_store_agent *found;
	struct ur_agent_row *row;
	int rc = take_agent(store, agent, &found, &row);

	if (rc == 0 && row->epochs.is_open)
		row->epochs.maps += count;
	return rc;
}

int ur_store_want_snapshot(struct ur_store *store, uint32_t agent, uint8_t code)
{
	struct ur_store_agent *found;
	struct ur_agent_row *row;
	int rc = take_agent(store, agent, &found, &row);

	if (rc == 0)
		ur_epochs_want(&row->epochs, code);
	return rc;
}

static bool has_dead(const struct ur_store_agent *agent)
{
	return agent->counts.stated != ur_store_agent_now(agent)->epochs.stated;
}

/*
 * Makes sure that the counts are exact, and if asked to, that none of the
 * current epoch is dead; *ret_code is BUSY if it cannot be.
 */
static int know_counts(struct ur_store *store, struct ur_store_agent *agent,
		       bool collect, bool may_count, uint64_t now_us,
		       uint8_t *ret_code)
{
	int rc = 0;

	if (now_us < agent->counts.next_death_us &&
	    !(collect && has_dead(agent)))
		return 0;
	if (may_count)
		rc = ur_store_count_living(store, agent, collect, now_us);
	if (!may_count || (rc == 0 && collect && has_dead(agent)))
		*ret_code = UIDRECV_RESYNC_BUSY;
	return rc;
}

static int list_drop(struct ur_store *store, const struct ur_agent_row *row)
{
	return ur_store_changes_add_epoch(store, UR_CHANGE_DROPPED, row->id,
					  row->epochs.floor, 0);
}

static int end_snapshot(struct ur_store *store, struct ur_store_agent *agent,
			unsigned int keep_percent, enum ur_ending *ret_ending)
{
	struct ur_agent_row *row = ur_store_agent_touch(store, agent);
	uint64_t older = row->claims - row->epochs.stated;

	if (older > 0 &&
	    agent->counts.stated * 100 < agent->counts.living * keep_percent) {
		ur_epochs_hold(&row->epochs, older);
		*ret_ending = UR_ENDING_HELD;
		return 0;
	}
	ur_epochs_end(&row->epochs);
	row->claims = row->epochs.stated;
	agent->counts.living = agent->counts.stated;
	*ret_ending = UR_ENDING_DROPPED;
	return older > 0 ? list_drop(store, row) : 0;
}

int ur_store_end_snapshot(struct ur_store *store, uint32_t agent,
			  uint64_t count, unsigned int keep_percent,
			  bool may_count, uint64_t now_us,
			  enum ur_ending *ret_ending)
{
	struct ur_store_agent *found;
	struct ur_agent_row *row;
	uint8_t code;
	int rc = take_agent(store, agent, &found, &row);

	if (rc < 0)
		return rc;
	now_us = ur_store_clamp(store, now_us);
	code = ur_epochs_check_end(&row->epochs, count);
	if (!code && keep_percent > 0 && row->claims > row->epochs.stated)
		rc = know_counts(store, found, false, may_count, now_us, &code);
	if (rc == 0 && code) {
		ur_epochs_refuse_end(&row->epochs, code);
		*ret_ending = UR_ENDING_REFUSED;
	} else if (rc == 0) {
		rc = end_snapshot(store, found, keep_percent, ret_ending);
	}
	if (rc < 0)
		store->error = rc;
	return rc;
}

static int refresh_all(struct ur_store *store, struct ur_store_agent *agent,
		       uint64_t as_of_us)
{
	struct ur_agent_row *row = ur_store_agent_touch(store, agent);
	struct ur_store_counts *counts = &agent->counts;
	uint64_t next_us = ur_deadline_us(as_of_us, counts->lifetime_min_s);

	ur_epochs_refresh(&row->epochs, as_of_us);
	if (row->claims == row->epochs.stated &&
	    next_us > counts->next_death_us)
		counts->next_death_us = next_us;
	return ur_store_changes_add_epoch(store, UR_CHANGE_REFRESHED, row->id,
					  row->epochs.current,
					  row->epochs.refreshed_us);
}

int ur_store_refresh_all(struct ur_store *store, uint32_t agent,
			 uint64_t as_of_us, uint64_t count, bool may_count,
			 uint64_t now_us, bool *ret_is_taken)
{
	struct ur_store_agent *found;
	struct ur_agent_row *row;
	uint8_t code;
	int rc = take_agent(store, agent, &found, &row);

	if (rc < 0)
		return rc;
	code = ur_epochs_check_refresh(&row->epochs);
	/* What it renews must all be alive. */
	if (!code)
		rc = know_counts(store, found, true, may_count,
				 ur_store_clamp(store, now_us), &code);
	if (!code && count != row->epochs.stated)
		code = UIDRECV_RESYNC_COUNT;
	*ret_is_taken = rc == 0 && !code;
	if (rc == 0 && code)
		ur_epochs_want(&row->epochs, code);
	else if (rc == 0)
		rc = refresh_all(store, found, as_of_us);
	if (rc < 0)
		store->error = rc;
	return rc;
}

int ur_store_accept_drops(struct ur_store *store, uint32_t agent,
			  uint64_t now_us, uint64_t wall_us)
{
	struct ur_store_agent *found;
	struct ur_agent_row *row;
	int rc = ur_store_begin(store);

	if (rc < 0)
		return rc;
	rc = take_agent(store, agent, &found, &row);
	if (rc < 0 || !row->epochs.held) {
		ur_store_abort(store);
		return rc;
	}
	row->claims -= row->epochs.held_claims < row->claims
			   ? row->epochs.held_claims
			   : row->claims;
	ur_epochs_accept(&row->epochs);
	ur_store_agent_forget_counts(found);
	store->error = list_drop(store, row);
	rc = ur_store_commit(store, now_us, wall_us);
	return rc < 0 ? rc : 1;
}

uint64_t ur_store_get_counted_us(const struct ur_store *store, uint32_t agent)
{
	const struct ur_store_agent *found = ur_store_agent_at(store, agent);

	return found ? found->counts.counted_us : 0;
}

uint64_t ur_store_get_oldest_us(const struct ur_store *store, uint32_t agent)
{
	const struct ur_store_agent *found = ur_store_agent_at(store, agent);

	return found ? found->oldest_us : UR_TIME_NEVER;
}
