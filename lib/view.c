/* SPDX-License-Identifier: BSD-2-Clause */
#include "block.h"
#include "layout.h"
#include "view-private.h"

int ur_view_init(struct ur_view *view, const void *bytes, size_t size)
{
	struct ur_table_layout layout;
	int r;

	if (size < sizeof(struct ur_table_header))
		return UIDRECV_E_TABLE;
	memcpy(&layout, bytes, sizeof(layout));
	r = ur_layout_verify(&layout, size);
	if (r < 0)
		return r;

	memset(view, 0, sizeof(*view));
	view->bytes = bytes;
	view->header = bytes;
	view->lines = (const void *)(view->bytes + layout.lines_offset);
	view->slots = (const void *)(view->bytes + layout.slots_offset);
	view->slots_mask = layout.slots_count - 1;
	view->layout = layout;
	/* None is known: a line belongs into the place of its index. */
	for (uint16_t at = 0; at < UR_VIEW_LINES; at++)
		view->known[at].line = at + 1;
	return 0;
}

/*
 * Word by word: what the caller has just stored as two words cannot be loaded
 * as one of 16 bytes until it is in the cache, behind all that is waited for.
 */
UR_VIEW_INLINE struct uidrecv_address load_address(
    const struct uidrecv_query *query)
{
	const volatile struct uidrecv_address *address = &query->address;

	return (struct uidrecv_address){address->hi, address->lo};
}

/* Where the search for an address ended; slot NULL: it has no answer. */
struct sought {
	struct uidrecv_address address;
	uint64_t hash, word0;
	const struct ur_slot *slot;
};

/* False: it has no answer, and the slot is unknown. */
UR_VIEW_INLINE bool seek(const struct ur_view *view, struct sought *sought)
{
	/* Blocks have no address of their own. */
	return !UR_VIEW_RARELY(ur_block_is_key(sought->address)) &&
	       ur_view_seek(view, sought->address, sought->hash, &sought->slot,
			    &sought->word0);
}

/*
 * As ur_effective_ms(), by a state that is known and is neither dropped nor
 * near the end of time. Lookups that find all in the caches wait for this: by
 * the other one they take 5 to 10 % longer.
 */
UR_VIEW_INLINE uint64_t find_deadline(const uint64_t word[UR_SLOT_WORDS],
				      const struct ur_view_known *known)
{
	uint64_t own_ms = ur_deadline_ms(word[3]), renewed_ms;

	if (known->renewed_ms == 0)
		return own_ms;
	renewed_ms = known->renewed_ms + ur_lifetime_s(word[4]) * 1000;
	return own_ms == 0 || own_ms >= renewed_ms ? own_ms : renewed_ms;
}

/*
 * Answers a query whose slot was found, as ur_view_find_any() does, which it
 * leaves to that unless all is as it mostly is: a whole slot of a user with a
 * short name, and a line that is known. What waits for the slot's cache line
 * is few instructions, so the processor comes to the next lookup meanwhile.
 */
UR_VIEW_INLINE int answer(struct ur_view *view,
			  const struct uidrecv_query *query,
			  const struct sought *sought,
			  struct uidrecv_mapping *ret_mapping)
{
	const struct ur_slot *slot = sought->slot;
	uint64_t word[UR_SLOT_WORDS] = {sought->word0};
	const struct ur_view_known *known = ur_view_known_of(view, word[0]);
	uint64_t deadline_ms;

	if (UR_VIEW_RARELY((word[0] & 1) != 0 ||
			   known->line != ur_meta_line(word[0]) ||
			   ur_load(known->state_of) != known->state))
		return ur_view_find_any(view, query, view->now.store_us,
					ret_mapping);

	word[3] = ur_load(&slot->word[3]);
	word[4] = ur_load(&slot->word[4]);
	word[5] = ur_load(&slot->word[5]);
	word[6] = ur_load(&slot->word[6]);
	word[7] = ur_load(&slot->word[7]);
	if (UR_VIEW_RARELY(ur_load(&slot->word[0]) != word[0] ||
			   !ur_sums_are_right(sought->hash, word) ||
			   ur_meta_user_size(word[0]) - 1u >=
			       UR_SLOT_NAME_INLINE))
		return ur_view_find_any(view, query, view->now.store_us,
					ret_mapping);

	deadline_ms = find_deadline(word, known);
	if (UR_VIEW_RARELY(deadline_ms <= view->now.ms &&
			   deadline_ms != UR_DEADLINE_NEVER))
		return 0;
	word[1] = sought->address.hi;
	word[2] = sought->address.lo;
	ur_view_fill(view, word, UIDRECV_ANSWER_USER, known, ret_mapping);
	ur_view_fill_name(word, ret_mapping);
	ret_mapping->expires_in_ms =
	    ur_view_left(deadline_ms, view->now.ms_above);
	if (UR_VIEW_RARELY(ur_view_has_long_agent(known)))
		return ur_view_fill_agent(view, word[0], ret_mapping);
	return 1;
}

int ur_view_find(struct ur_view *view, const struct uidrecv_query *query,
		 uint64_t store_now_us, struct uidrecv_mapping *ret_mapping)
{
	struct sought sought = {.address = load_address(query)};

	ur_view_set_now(view, store_now_us);
	sought.hash = ur_hash(view->layout.generation, sought.address);
	if (!seek(view, &sought))
		return 0;
	return answer(view, query, &sought, ret_mapping);
}

int ur_view_find_group(struct ur_view *view,
		       const struct uidrecv_query *queries, size_t count,
		       uint64_t store_now_us,
		       struct uidrecv_mapping *ret_mappings, int *ret_results)
{
	struct sought sought[UR_VIEW_GROUP];
	int found = 0;

	ur_view_set_now(view, store_now_us);
	for (size_t i = 0; i < count; i++) {
		const struct ur_slot *slots = view->slots;
		uint64_t mask = view->slots_mask;

		sought[i].address = load_address(&queries[i]);
		sought[i].hash =
		    ur_hash(view->layout.generation, sought[i].address);
		__builtin_prefetch(&slots[sought[i].hash & mask]);
		__builtin_prefetch(&slots[(sought[i].hash + 1) & mask]);
	}
	/*
	 * A search that goes on to the next slot waits for memory again. It is
	 * so few instructions that the searches of a group wait together.
	 */
	for (size_t i = 0; i < count; i++)
		if (!seek(view, &sought[i]))
			sought[i].slot = NULL;
	for (size_t i = 0; i < count; i++) {
		ret_results[i] = sought[i].slot == NULL
				     ? 0
				     : answer(view, &queries[i], &sought[i],
					      &ret_mappings[i]);
		found += ret_results[i] == 1;
	}
	return found;
}
