/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes slots of a generation, in the one order that readers rely on. */
#ifndef UR_ENTRY_H
#define UR_ENTRY_H

#include "generation.h"

/*
 * Finds the slot of an address, or the free one where it belongs; NULL if
 * that is too far for readers.
 */
struct ur_slot *ur_entry_find(const struct ur_generation *generation,
			      struct uidrecv_address address);

/* Brings the slot of an address near that will soon be asked for. */
void ur_entry_prefetch(const struct ur_generation *generation,
		       struct uidrecv_address address);

void ur_entry_load(const struct ur_slot *slot, uint64_t word[UR_SLOT_WORDS]);

/*
 * Judges the words of a slot that is in use: 1 a whole answer that lives, 0
 * one that does not, UIDRECV_E_TABLE if they or their line are damaged.
 */
int ur_entry_judge(const struct ur_generation *generation,
		   const uint64_t word[UR_SLOT_WORDS], uint64_t store_now_us);

/* The name in words that are whole; inline names go through room. */
const char *ur_entry_get_name(const struct ur_generation *generation,
			      const uint64_t word[UR_SLOT_WORDS],
			      char room[UR_SLOT_NAME_INLINE]);

/* Puts a name into words 5 to 7; the names area must have room for it. */
void ur_entry_set_name(struct ur_generation *generation,
		       uint64_t word[UR_SLOT_WORDS], const char *name,
		       uint8_t size);

/* Completes words 3 and 5, after all others are set. */
void ur_entry_set_checks(const struct ur_generation *generation,
			 uint64_t word[UR_SLOT_WORDS], uint64_t deadline_ms);

/* Fills a free slot. Readers see it when word[0] is stored, and not before. */
void ur_entry_insert(struct ur_slot *slot, const uint64_t word[UR_SLOT_WORDS]);

/*
 * Gives a slot new content. From the first store of slot->word[0] on the
 * answer is the new one: in the draft while word[0] is odd, then in the slot.
 */
void ur_entry_rewrite(struct ur_table_header *header, struct ur_slot *slot,
		      const uint64_t word[UR_SLOT_WORDS]);

#endif
