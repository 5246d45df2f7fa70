/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>

#include "layout.h"
#include "view.h"

#define TRIES_MAX 64

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

	view->bytes = bytes;
	view->header = bytes;
	view->lines = (const void *)(view->bytes + layout.lines_offset);
	view->slots = (const void *)(view->bytes + layout.slots_offset);
	view->layout = layout;
	return 0;
}

uint64_t ur_view_home(const struct ur_view *view,
		      struct uidrecv_address address)
{
	return ur_hash(view->layout.generation, address) &
	       (view->layout.slots_count - 1);
}

/* Finds the bytes of a long name; NULL if they are not what was written. */
static const char *find_long_name(const struct ur_view *view,
				  const uint64_t word[UR_SLOT_WORDS],
				  uint8_t size)
{
	uint64_t offset = word[6] - view->layout.names_offset;
	const char *name;

	if (offset > view->layout.names_bytes ||
	    view->layout.names_bytes - offset < size)
		return NULL;
	name = (const char *)view->bytes + word[6];
	if (ur_check_bytes(view->layout.generation, name, size) != word[7])
		return NULL;
	return name;
}

static void copy_inline_name(char *user, const uint64_t word[UR_SLOT_WORDS])
{
	uint32_t first = (uint32_t)(word[5] >> 32);

	memcpy(user, &first, 4);
	memcpy(user + 4, &word[6], 8);
	memcpy(user + 12, &word[7], 8);
}

static uint64_t expires_in_ms(uint64_t deadline_ms, uint64_t store_now_us)
{
	if (deadline_ms == UR_DEADLINE_NEVER)
		return UINT64_MAX;
	return (deadline_ms * 1000 - store_now_us) / 1000;
}

/*
 * Judges and copies out the words of a slot and the state of its line, which
 * are of one moment, whole or damaged.
 */
static int decode(const struct ur_view *view,
		  const uint64_t word[UR_SLOT_WORDS], uint64_t state,
		  uint64_t store_now_us, struct uidrecv_mapping *mapping)
{
	uint64_t generation = view->layout.generation;
	uint64_t deadline_ms = ur_effective_ms(word, state);
	uint8_t size = ur_meta_user_size(word[0]);
	uint16_t index = ur_meta_line(word[0]);
	const struct ur_table_line *line = &view->lines[index];
	const char *name = NULL;

	if (!ur_deadline_is_whole(generation, word))
		return UIDRECV_E_TABLE;
	if (ur_deadline_ms(word[3]) == 0)
		return 0;
	if (!ur_rest_is_whole(generation, word) ||
	    !ur_line_is_whole(generation, index, state) || size == 0)
		return UIDRECV_E_TABLE;
	if (!ur_deadline_is_alive(deadline_ms, store_now_us))
		return 0;
	if (ur_check_bytes(generation, line->name, line->name_size) !=
	    line->check)
		return UIDRECV_E_TABLE;
	if (size > UR_SLOT_NAME_INLINE) {
		name = find_long_name(view, word, size);
		if (name == NULL)
			return UIDRECV_E_TABLE;
	}

	mapping->address.hi = word[1];
	mapping->address.lo = word[2];
	mapping->change = view->layout.change_base + ur_change_offset(word[4]);
	mapping->expires_in_ms = expires_in_ms(deadline_ms, store_now_us);
	mapping->answer = UIDRECV_ANSWER_USER;
	mapping->source = ur_meta_source(word[0]);
	mapping->user_size = size;
	mapping->agent_size = line->name_size;
	if (name == NULL)
		copy_inline_name(mapping->user, word);
	else
		memcpy(mapping->user, name, size);
	mapping->user[size] = '\0';
	memcpy(mapping->agent, line->name, mapping->agent_size);
	mapping->agent[mapping->agent_size] = '\0';
	return 1;
}

/*
 * Reads a slot whose word[0] was first and whose address never changes. An
 * odd slot's content is in the draft, unless the slot has moved on meanwhile.
 *
 * The line's state is loaded before word[0] is loaded again: the writer moves
 * an answer to its new line before it drops the old one, so who sees it
 * dropped there also sees that the slot has moved on. And before the deadline:
 * the writer takes back what has run out before it renews the line, so who
 * sees it renewed also sees what was taken back.
 */
static int read_slot(const struct ur_view *view, const struct ur_slot *slot,
		     uint64_t first, uint64_t store_now_us,
		     struct uidrecv_mapping *mapping)
{
	uint64_t word[UR_SLOT_WORDS];

	word[1] = ur_load(&slot->word[1]);
	word[2] = ur_load(&slot->word[2]);
	for (int i = 0; i < TRIES_MAX; i++) {
		bool is_odd = first & 1;
		const struct ur_slot *from =
		    is_odd ? &view->header->draft : slot;
		uint64_t draft_word0 = is_odd ? ur_load(&from->word[0]) : first;
		uint64_t state;

		if (ur_meta_line(first) >= view->layout.lines_max)
			return UIDRECV_E_TABLE;
		state = ur_load(&view->lines[ur_meta_line(first)].state);
		for (int j = 3; j < UR_SLOT_WORDS; j++)
			word[j] = ur_load(&from->word[j]);
		word[0] = ur_load(&slot->word[0]);
		if (word[0] == first) {
			if (draft_word0 != first)
				return UIDRECV_E_TABLE;
			return decode(view, word, state, store_now_us, mapping);
		}
		first = word[0];
	}
	return -EAGAIN;
}

int ur_view_find(const struct ur_view *view, struct uidrecv_address address,
		 uint64_t home, uint64_t store_now_us,
		 struct uidrecv_mapping *ret_mapping)
{
	uint64_t mask = view->layout.slots_count - 1;

	for (uint64_t i = 0; i < UR_PROBE_MAX; i++) {
		const struct ur_slot *slot = &view->slots[(home + i) & mask];
		uint64_t first = ur_load(&slot->word[0]);

		if (ur_meta_seq(first) == 0)
			return 0;
		if (ur_load(&slot->word[2]) == address.lo &&
		    ur_load(&slot->word[1]) == address.hi)
			return read_slot(view, slot, first, store_now_us,
					 ret_mapping);
	}
	/* The writer grows rather than put an address further from its home. */
	return 0;
}

int ur_view_at(const struct ur_view *view, uint64_t position,
	       uint64_t store_now_us, struct uidrecv_mapping *ret_mapping)
{
	const struct ur_slot *slot = &view->slots[position];
	uint64_t first = ur_load(&slot->word[0]);

	if (ur_meta_seq(first) == 0)
		return 0;
	return read_slot(view, slot, first, store_now_us, ret_mapping);
}
