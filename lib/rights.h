/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The list of agents, as the library sees it. Pure. The list is in rights.c,
 * its text in rights-parse.c, what a right allows in admit.c.
 */
#ifndef UR_RIGHTS_H
#define UR_RIGHTS_H

#include <uidrecv/rights.h>

#define UR_LIFETIME_DEFAULT_S 2700
#define UR_LIFETIME_MAX_DEFAULT_S 86400
#define UR_MAPPINGS_MAX_DEFAULT 1000000
#define UR_KEEP_PERCENT_DEFAULT 50

/*
 * One agent, with the defaults filled in. One block of memory; owned by the
 * list, valid until the list is freed.
 */
struct ur_right {
	char *name; /* zero-terminated; a DNS name in lower case */
	size_t name_size;
	/* IPv4 first; each part sorted, none within another. */
	struct uidrecv_network *networks;
	size_t networks_count, ipv4_count;
	char **domains; /* zero-terminated */
	size_t domains_count;
	uint32_t priority;
	uint32_t lifetime_s;
	uint32_t lifetime_max_s;
	uint32_t allow;
	uint64_t mappings_max;
	uint32_t keep_percent; /* 0: snapshots drop any share */
	char *dial;	       /* "HOST:PORT", or NULL */
	size_t line;	       /* of the text that it is from; 0: none */
};

/*
 * Checks and copies what one agent may say.
 *
 * Returns 0 or what uidrecv_rights_add() does, but -EEXIST.
 */
int ur_right_new(struct ur_right **ret_right,
		 const struct uidrecv_agent_rights *agent);
void ur_right_free(struct ur_right *right);

/* Can this be the name of an agent? */
bool ur_right_name_is_valid(const char *name);

/* Is it "HOST:PORT" or "[IPV6]:PORT", to be connected to? */
bool ur_right_dial_is_valid(const char *dial);

/* Can this be a domain that an agent may name? */
bool ur_right_domain_is_valid(const char *domain);

/* The order of the list: by the bytes of the names. */
int ur_right_compare(const struct ur_right *a, const struct ur_right *b);

/*
 * Takes over rights that are sorted, each name once and none on the list.
 *
 * Returns 0 or -ENOMEM (nothing was taken over).
 */
int ur_rights_merge(struct uidrecv_rights *rights, struct ur_right **added,
		    size_t added_count);

/*
 * Finds an agent by its exact name (binary search), or NULL. A DNS name must
 * be in lower case.
 */
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

/* Is the user's domain one of this agent's? Always, if it has none. */
bool ur_right_has_user(const struct ur_right *right, const char *user,
		       size_t user_size);

#endif
