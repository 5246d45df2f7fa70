/* SPDX-License-Identifier: BSD-2-Clause */
/* The store asks for lives that readers have, and the table knows. */
#include <string.h>

#include "round.h"

static bool renew(void *user, uint32_t agent, uint32_t epoch,
		  const struct ur_statement *statement, uint64_t now_us)
{
	struct ur_round *round = user;
	struct ur_table_renewal renewal = {
	    .address = statement->address,
	    .as_of_us = statement->as_of_us,
	    .agent = agent,
	    .epoch = epoch,
	    .lifetime_s = statement->lifetime_s,
	    .user_size = statement->user_size,
	    .user = statement->user,
	};

	return *round->table && ur_table_renew(*round->table, &renewal, now_us);
}

static uint64_t get(void *user, struct uidrecv_address address,
		    const struct ur_claim *claim)
{
	const struct ur_round *round = user;
	struct ur_lease lease = {
	    .address = address,
	    .kept_us = claim->kept_us,
	    .lifetime_s = claim->lifetime_s,
	    .user_size = claim->user_size,
	    .user = claim->user,
	    .agent = ur_store_get_agent_name(round->store, claim->agent),
	};

	if (*round->table)
		return ur_table_get_lent_us(*round->table, &lease);
	return round->former ? ur_former_get_lent_us(round->former, &lease) : 0;
}

void ur_round_lend(struct ur_round *round)
{
	ur_store_set_lives(round->store,
			   (struct ur_store_lives){renew, get, round});
}
