/* SPDX-License-Identifier: BSD-2-Clause */
/* Lives that are lent: what the store does not write, and what it asks for. */
#include "slot.h"
#include "store-private.h"

void ur_store_set_lives(struct ur_store *store, struct ur_store_lives lives)
{
	store->lives = lives;
}

static uint32_t *touched_at(struct ur_store *store,
			    struct uidrecv_address address)
{
	return &store->touched[ur_hash(store->watch.seed, address) %
			       UR_STORE_TOUCHED];
}

void ur_store_touch(struct ur_store *store, struct uidrecv_address address)
{
	*touched_at(store, address) = store->round;
}

/* Is what readers have of the agent and the address what the round has? */
static bool is_as_published(struct ur_store *store,
			    const struct ur_store_agent *agent,
			    struct uidrecv_address address)
{
	const struct ur_epochs *now = &ur_store_agent_now(agent)->epochs;
	const struct ur_epochs *committed = &agent->row.epochs;

	return now->current == committed->current &&
	       now->refreshed_us == committed->refreshed_us &&
	       !store->has_systems_next && !store->has_lost_changes &&
	       store->changes.taken == store->changes.committed &&
	       *touched_at(store, address) != store->round;
}

bool ur_store_renew(struct ur_store *store, const struct ur_store_agent *agent,
		    const struct ur_statement *statement, uint64_t now_us)
{
	const struct ur_store_lives *lives = &store->lives;

	return statement->op == UIDRECV_OP_REFRESH && lives->renew &&
	       is_as_published(store, agent, statement->address) &&
	       lives->renew(lives->user, agent->row.id,
			    agent->row.epochs.current, statement, now_us);
}

void ur_store_settle_cell(const struct ur_store *store,
			  struct uidrecv_address address, struct ur_cell *cell)
{
	const struct ur_store_lives *lives = &store->lives;

	for (size_t i = 0; i < cell->claims_count; i++) {
		struct ur_claim *claim = &cell->claims[i];
		const struct ur_store_agent *agent =
		    ur_store_agent_at(store, claim->agent);
		uint64_t lent_us = 0;

		if (!agent)
			continue;
		ur_epochs_settle(&ur_store_agent_now(agent)->epochs, claim);
		/* What was dropped is so for good. */
		if (lives->get && claim->deadline_us > 0)
			lent_us = lives->get(lives->user, address, claim);
		if (lent_us > claim->deadline_us)
			claim->deadline_us = lent_us;
	}
}

bool ur_store_cell_is_lent(const struct ur_cell *cell)
{
	for (size_t i = 0; i < cell->claims_count; i++)
		if (cell->claims[i].deadline_us > cell->claims[i].kept_us)
			return true;
	return false;
}
