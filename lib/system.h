/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Multi-user systems (doc/protocol.md section 8): which agent speaks for which
 * addresses, and how its ports are cut into blocks. Pure.
 */
#ifndef UR_SYSTEM_H
#define UR_SYSTEM_H

#include <stddef.h>

#include <uidrecv/record.h>

/* Who has an address. */
struct ur_system_place {
	struct uidrecv_address address;
	uint32_t agent; /* id */
};

/* The systems of all agents, one for each at most. Zeroed to begin with. */
struct ur_systems {
	struct ur_system *list; /* by agent */
	size_t count, room;
	struct ur_system_place *places; /* by address; each once */
	size_t places_count, places_room;
};

struct ur_system {
	uint32_t agent;
	struct uidrecv_system config; /* unused elements are zero */
};

void ur_systems_done(struct ur_systems *systems);

/* Makes to a copy of from, whatever it was. 0 or -ENOMEM (unchanged). */
int ur_systems_copy(struct ur_systems *to, const struct ur_systems *from);

/*
 * Can this be a system, as far as its numbers go? Whose the addresses may be is
 * not looked at. 0, or UIDRECV_REJECT_PORTS_INVALID.
 */
int ur_system_check(const struct uidrecv_system *config);

/*
 * The canonical form of what was checked: aliases and reserved ranges in their
 * order, none twice, no alias that is the address, what is unused zero. So two
 * that say the same are the same.
 */
struct uidrecv_system ur_system_clean(const struct uidrecv_system *config);

/*
 * Of clean ones. Are blocks of the one blocks of the other: range, size and
 * reserved alike? Is everything alike?
 */
bool ur_system_has_same_blocks(const struct uidrecv_system *a,
			       const struct uidrecv_system *b);
bool ur_system_is_same(const struct uidrecv_system *a,
		       const struct uidrecv_system *b);

/* The addresses: 0 to aliases_count. */
static inline struct uidrecv_address ur_system_address(
    const struct uidrecv_system *config, uint32_t index)
{
	return index == 0 ? config->address : config->aliases[index - 1];
}

bool ur_system_has_address(const struct uidrecv_system *config,
			   struct uidrecv_address address);

/*
 * Is this exactly one block that a user may have, of a system that was checked?
 * 0, or UIDRECV_REJECT_PORTS_INVALID.
 */
int ur_system_check_block(const struct uidrecv_system *config,
			  struct uidrecv_ports ports);

/* The system of an agent, or the one that has an address; NULL: none. */
const struct ur_system *ur_systems_of(const struct ur_systems *systems,
				      uint32_t agent);
const struct ur_system *ur_systems_at(const struct ur_systems *systems,
				      struct uidrecv_address address);

/*
 * Gives an agent a system, clean and checked, in the place of its former. 0,
 * UIDRECV_REJECT_ADDRESS_TAKEN, or -ENOMEM; then nothing changed.
 */
int ur_systems_put(struct ur_systems *systems, uint32_t agent,
		   const struct uidrecv_system *config);
void ur_systems_remove(struct ur_systems *systems, uint32_t agent);

/* As bytes in the store, big-endian, with a checksum that knows the agent. */
#define UR_SYSTEM_SIZE_MAX                                                     \
	(4 + 1 + 16 + 3 * 4 + 4 + 4 + UIDRECV_ALIASES_MAX * 16 +               \
	 UIDRECV_RESERVED_MAX * 8)
size_t ur_system_encode(const struct ur_system *system,
			uint8_t bytes[UR_SYSTEM_SIZE_MAX]);

/* False if encode cannot have written it for this agent. */
bool ur_system_decode(struct ur_system *system, uint32_t agent,
		      const uint8_t *bytes, size_t size);

#endif
