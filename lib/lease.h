/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lives that are lent: readers have them, and the store has them not yet. What
 * may be lent is an eighth of the lifetime, and only on top of what the store
 * had when the answer was put, which is noted beside the slot.
 */
#ifndef UR_LEASE_H
#define UR_LEASE_H

#include "entry.h"

/* A claim of the store. */
struct ur_lease {
	struct uidrecv_address address;
	uint64_t kept_us; /* until when it lives as it was written */
	uint32_t lifetime_s;
	uint8_t user_size;
	const char *user;
	const char *agent; /* its name */
};

/* What is noted beside the slot of an answer that the store has until then. */
uint32_t ur_lease_word(uint64_t kept_us, uint64_t deadline_ms,
		       uint32_t lifetime_s);

/*
 * May an answer whose words are whole, with this note, live until then? It is
 * lent no more than it may.
 */
bool ur_lease_may_lend(const uint64_t word[UR_SLOT_WORDS], uint32_t kept,
		       uint64_t deadline_ms);

/*
 * Until when a claim of the store lives in the table, if it is lent; else 0.
 * The table may be one that a dead writer left, at whatever instruction.
 */
uint64_t ur_lease_get_us(const struct ur_generation *generation,
			 const struct ur_lease *lease);

#endif
