/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses to look at again at a time: a heap by time, and a hash that finds
 * an address in it. An address is in it at most once. Pure.
 */
#ifndef UR_WATCH_H
#define UR_WATCH_H

#include <uidrecv/types.h>

struct ur_watch_entry {
	struct uidrecv_address address;
	uint64_t until_us;
	size_t slot; /* of the hash */
};

/* Zeroed but for the seed, which keeps peers from choosing collisions. */
struct ur_watch {
	struct ur_watch_entry *heap;
	size_t count, room;
	size_t *slots;	    /* place in the heap + 1; 0: free */
	size_t slots_count; /* a power of two, at least twice the room */
	uint64_t seed;
};

void ur_watch_done(struct ur_watch *watch);

/* Makes sure that so many more fit. 0 or -ENOMEM. */
int ur_watch_reserve(struct ur_watch *watch, size_t more);

/*
 * Sets when to look at an address; UINT64_MAX: never. There must be room for
 * it.
 */
void ur_watch_set(struct ur_watch *watch, struct uidrecv_address address,
		  uint64_t until_us);

/* The address whose time has come first, if it has. */
bool ur_watch_get_due(const struct ur_watch *watch, uint64_t now_us,
		      struct uidrecv_address *ret_address);

#endif
