/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of view share. */
#ifndef UR_VIEW_PRIVATE_H
#define UR_VIEW_PRIVATE_H

#include "view.h"

#define UR_VIEW_TRIES_MAX 64

#define UR_VIEW_INLINE static inline __attribute__((always_inline))
#define UR_VIEW_RARELY(condition) __builtin_expect((condition), 0)

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
 * Finds the slot of an address or key with this hash, and its word[0]; false:
 * it has none. The writer grows rather than put an address further from its
 * home.
 */
UR_VIEW_INLINE bool ur_view_seek(const struct ur_view *view,
				 struct uidrecv_address address, uint64_t hash,
				 const struct ur_slot **ret_slot,
				 uint64_t *ret_word0)
{
	for (uint64_t at = hash; at != hash + UR_PROBE_MAX; at++) {
		const struct ur_slot *slot =
		    &view->slots[at & view->slots_mask];

		*ret_word0 = ur_load(&slot->word[0]);
		if (ur_meta_seq(*ret_word0) == 0)
			return false;
		*ret_slot = slot;
		if (ur_load(&slot->word[2]) == address.lo &&
		    ur_load(&slot->word[1]) == address.hi)
			return true;
	}
	return false;
}

/*
 * What is known of the line of a slot with this word[0], or of another one. The
 * compiler is not to see where it lies, for it would find its way there anew
 * for each member, in half a dozen instructions that wait for the slot.
 */
static inline const struct ur_view_known *ur_view_known_of(
    const struct ur_view *view, uint64_t word0)
{
	const struct ur_view_known *known =
	    &view->known[(word0 >> 32) % UR_VIEW_LINES];

	__asm__("" : "+r"(known));
	return known;
}

/* What users and systems have in common, but for a long name of the agent. */
UR_VIEW_INLINE void ur_view_fill(const struct ur_view *view,
				 const uint64_t word[UR_SLOT_WORDS],
				 enum uidrecv_answer answer,
				 const struct ur_view_known *known,
				 struct uidrecv_mapping *mapping)
{
	mapping->address.hi = word[1];
	mapping->address.lo = word[2];
	mapping->change = view->layout.change_base + ur_change_offset(word[4]);
	mapping->source = ur_meta_source(word[0]);
	mapping->user_size = ur_meta_user_size(word[0]);
	mapping->answer = (uint8_t)answer;
	mapping->agent_size = known->name_size;
	memset(&mapping->ports, 0, sizeof(mapping->ports));
	memcpy(mapping->agent, known->name, sizeof(known->name));
}

static inline bool ur_view_has_long_agent(const struct ur_view_known *known)
{
	return known->name_size >= sizeof(known->name);
}

/* The whole name of the agent. Returns 1. */
int ur_view_fill_agent(const struct ur_view *view, uint64_t word0,
		       struct uidrecv_mapping *mapping);

/* What is asked next is asked at this moment. */
UR_VIEW_INLINE void ur_view_set_now(struct ur_view *view, uint64_t store_now_us)
{
	if (UR_VIEW_RARELY(view->now.store_us != store_now_us))
		view->now =
		    (struct ur_view_now){store_now_us, store_now_us / 1000,
					 (store_now_us + 999) / 1000};
}

/* What a user who lives has left, in milliseconds. */
static inline uint64_t ur_view_left(uint64_t deadline_ms, uint64_t now_ms_above)
{
	if (UR_VIEW_RARELY(deadline_ms == UR_DEADLINE_NEVER))
		return UINT64_MAX;
	return deadline_ms - now_ms_above;
}

/* The name of a user that has a short one. */
UR_VIEW_INLINE void ur_view_fill_name(const uint64_t word[UR_SLOT_WORDS],
				      struct uidrecv_mapping *mapping)
{
	uint32_t last = (uint32_t)(word[5] >> 32);

	memcpy(mapping->user, &word[6], 8);
	memcpy(mapping->user + 8, &word[7], 8);
	memcpy(mapping->user + 16, &last, 4);
	mapping->user[ur_meta_user_size(word[0])] = '\0';
}

/*
 * Knows a line with its present state; false: they are not what was written.
 */
bool ur_view_know(struct ur_view *view, uint16_t line, uint64_t state);

/* As ur_view_find(), for what is seldom, too. */
int ur_view_find_any(struct ur_view *view, const struct uidrecv_query *query,
		     uint64_t store_now_us,
		     struct uidrecv_mapping *ret_mapping);

/*
 * Reads a slot that is in use; slot and word[0] are set. 1 what is there lives,
 * 0 it does not, UIDRECV_E_TABLE or -EAGAIN.
 */
int ur_view_read_slot(struct ur_view *view, struct ur_view_reading *reading,
		      uint64_t store_now_us);

/*
 * Reads a block of a system whose sentinel was read. 1 a user has it, 0
 * nobody, UIDRECV_E_TABLE, or -EAGAIN: read the sentinel again.
 */
int ur_view_read_block(struct ur_view *view,
		       const struct ur_view_reading *sentinel, uint32_t agent,
		       uint16_t start, uint64_t store_now_us,
		       struct ur_view_reading *ret_block);

/*
 * Copy out what lives: a user, the user of a block of a system, and that an
 * address is multi-user. 1 or UIDRECV_E_TABLE.
 */
int ur_view_give_user(struct ur_view *view,
		      const struct ur_view_reading *reading,
		      uint64_t store_now_us, struct uidrecv_mapping *mapping);
int ur_view_give_block(struct ur_view *view,
		       const struct ur_view_reading *sentinel,
		       const struct ur_view_reading *block,
		       struct uidrecv_ports ports, uint64_t store_now_us,
		       struct uidrecv_mapping *mapping);
int ur_view_give_system(struct ur_view *view,
			const struct ur_view_reading *sentinel,
			enum uidrecv_answer answer,
			struct uidrecv_mapping *mapping);

#endif
