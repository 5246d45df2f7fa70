/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of view share. */
#ifndef UR_VIEW_PRIVATE_H
#define UR_VIEW_PRIVATE_H

#include "view.h"

#define UR_VIEW_TRIES_MAX 64

/* What a slot holds at one moment. */
struct ur_view_reading {
	const struct ur_slot *slot;
	uint64_t word[UR_SLOT_WORDS]; /* [0]: seen before all others */
	uint64_t state;		      /* of the slot's line */
	uint64_t deadline_ms;	      /* of both, if it lives */
};

/* Is this a multi-user address, and not a user's? */
static inline bool ur_view_is_sentinel(const struct ur_view_reading *reading)
{
	return ur_meta_user_size(reading->word[0]) == 0;
}

/*
 * Reads a slot that is in use; slot and word[0] are set. 1 what is there lives,
 * 0 it does not, UIDRECV_E_TABLE or -EAGAIN.
 */
int ur_view_read_slot(const struct ur_view *view,
		      struct ur_view_reading *reading, uint64_t store_now_us);

/*
 * Reads a block of a system whose sentinel was read. 1 a user has it, 0
 * nobody, UIDRECV_E_TABLE, or -EAGAIN: read the sentinel again.
 */
int ur_view_read_block(const struct ur_view *view,
		       const struct ur_view_reading *sentinel, uint32_t agent,
		       uint16_t start, uint64_t store_now_us,
		       struct ur_view_reading *ret_block);

/*
 * Copy out what lives: a user, the user of a block of a system, and that an
 * address is multi-user. 1 or UIDRECV_E_TABLE.
 */
int ur_view_give_user(const struct ur_view *view,
		      const struct ur_view_reading *reading,
		      uint64_t store_now_us, struct uidrecv_mapping *mapping);
int ur_view_give_block(const struct ur_view *view,
		       const struct ur_view_reading *sentinel,
		       const struct ur_view_reading *block,
		       struct uidrecv_ports ports, uint64_t store_now_us,
		       struct uidrecv_mapping *mapping);
int ur_view_give_system(const struct ur_view *view,
			const struct ur_view_reading *sentinel,
			enum uidrecv_answer answer,
			struct uidrecv_mapping *mapping);

#endif
