/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A block of ports as a key: 128 bits that no user's address ever is, for they
 * lie in ff00::/8 (multicast). So store and table keep what is said of a block
 * as they keep what is said of an address. Pure.
 */
#ifndef UR_BLOCK_H
#define UR_BLOCK_H

#include <uidrecv/types.h>

#define UR_BLOCK_TAG (UINT64_C(0xff) << 56)

/* The key of a block of an agent's system, by its first port. */
static inline struct uidrecv_address ur_block_key(uint32_t agent,
						  uint16_t start)
{
	return (struct uidrecv_address){UR_BLOCK_TAG | agent, start};
}

/* Is this a key of a block? Otherwise it is an address. */
static inline bool ur_block_is_key(struct uidrecv_address key)
{
	return key.hi >= UR_BLOCK_TAG;
}

static inline uint32_t ur_block_agent(struct uidrecv_address key)
{
	return (uint32_t)key.hi;
}

static inline uint16_t ur_block_start(struct uidrecv_address key)
{
	return (uint16_t)key.lo;
}

/*
 * The first port of the block that holds a port, for a range that is cut into
 * blocks of size (not 0) from its start; false if no whole block holds it.
 */
static inline bool ur_block_find(struct uidrecv_ports range, uint32_t size,
				 uint16_t port, uint16_t *ret_start)
{
	uint32_t index;

	if (port < range.start || (uint32_t)(port - range.start) >= range.count)
		return false;
	index = (uint32_t)(port - range.start) / size;
	if ((index + 1) * (uint64_t)size > range.count)
		return false;
	*ret_start = (uint16_t)(range.start + index * size);
	return true;
}

#endif
