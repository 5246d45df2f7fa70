/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of agents, as the library sees it. Pure. */
#ifndef UR_RIGHTS_H
#define UR_RIGHTS_H

#include <uidrecv/rights.h>

/* One agent; owned by the list, valid until the list is freed. */
struct ur_right {
	char *name;
	size_t name_size;
	struct uidrecv_network *networks; /* sorted */
	size_t networks_count;
	char **domains;
	size_t domains_count;
	uint32_t priority;
	uint32_t lifetime_s;
	uint32_t lifetime_max_s;
	uint32_t allow;
	uint64_t mappings_max;
};

/* Finds an agent by its exact name (binary search), or NULL. */
const struct ur_right *ur_rights_find(const struct uidrecv_rights *rights,
				      const char *name, size_t name_size);

/* The agents in the order of their names; index < count. */
const struct ur_right *ur_rights_at(const struct uidrecv_rights *rights,
				    size_t index);

/* A deep copy, or NULL without memory. */
struct uidrecv_rights *ur_rights_copy(const struct uidrecv_rights *rights);

/* Is the address in a network of this agent, and allowed if special? */
bool ur_right_has_address(const struct ur_right *right,
			  struct uidrecv_address address);

/* Is the user's domain one of this agent's? */
bool ur_right_has_user(const struct ur_right *right, const char *user,
		       size_t user_size);

#endif
