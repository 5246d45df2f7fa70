/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>

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

/* Tells whether words and state, which are of one moment, are alive. */
static int judge(const struct ur_view *view, struct ur_view_reading *reading,
		 uint64_t store_now_us)
{
	uint64_t generation = view->layout.generation;
	const uint64_t *word = reading->word;

	if (!ur_deadline_is_whole(generation, word))
		return UIDRECV_E_TABLE;
	if (ur_deadline_ms(word[3]) == 0)
		return 0;
	if (!ur_rest_is_whole(generation, word) ||
	    !ur_line_is_whole(generation, ur_meta_line(word[0]),
			      reading->state))
		return UIDRECV_E_TABLE;
	reading->deadline_ms = ur_effective_ms(word, reading->state);
	return ur_deadline_is_alive(reading->deadline_ms, store_now_us);
}

/* Where the words are of a slot with this word[0]. */
static const struct ur_slot *find_words(const struct ur_view *view,
					const struct ur_slot *slot,
					uint64_t word0)
{
	return word0 & 1 ? &view->header->draft : slot;
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
int ur_view_read_slot(const struct ur_view *view,
		      struct ur_view_reading *reading, uint64_t store_now_us)
{
	const struct ur_slot *slot = reading->slot;
	uint64_t *word = reading->word;
	uint64_t first = word[0];

	word[1] = ur_load(&slot->word[1]);
	word[2] = ur_load(&slot->word[2]);
	for (int i = 0; i < UR_VIEW_TRIES_MAX; i++) {
		const struct ur_slot *from = find_words(view, slot, first);
		uint64_t draft_word0 =
		    from == slot ? first : ur_load(&from->word[0]);

		if (ur_meta_line(first) >= view->layout.lines_max)
			return UIDRECV_E_TABLE;
		reading->state =
		    ur_load(&view->lines[ur_meta_line(first)].state);
		for (int j = 3; j < UR_SLOT_WORDS; j++)
			word[j] = ur_load(&from->word[j]);
		word[0] = ur_load(&slot->word[0]);
		if (word[0] == first) {
			if (draft_word0 != first)
				return UIDRECV_E_TABLE;
			return judge(view, reading, store_now_us);
		}
		first = word[0];
	}
	return -EAGAIN;
}

/* Finds the slot of an address or key, and its word[0]; false: it has none. */
static bool find_slot(const struct ur_view *view,
		      struct uidrecv_address address, uint64_t home,
		      struct ur_view_reading *reading)
{
	uint64_t mask = view->layout.slots_count - 1;

	for (uint64_t i = 0; i < UR_PROBE_MAX; i++) {
		const struct ur_slot *slot = &view->slots[(home + i) & mask];
		uint64_t first = ur_load(&slot->word[0]);

		if (ur_meta_seq(first) == 0)
			return false;
		if (ur_load(&slot->word[2]) == address.lo &&
		    ur_load(&slot->word[1]) == address.hi) {
			reading->slot = slot;
			reading->word[0] = first;
			return true;
		}
	}
	/* The writer grows rather than put an address further from its home. */
	return false;
}

/* What users and systems have in common: 1 or UIDRECV_E_TABLE. */
static int give_common(const struct ur_view *view,
		       const struct ur_view_reading *reading,
		       struct uidrecv_mapping *mapping)
{
	const uint64_t *word = reading->word;
	const struct ur_table_line *line = &view->lines[ur_meta_line(word[0])];

	if (ur_check_bytes(view->layout.generation, line->name,
			   line->name_size) != line->check)
		return UIDRECV_E_TABLE;
	mapping->address.hi = word[1];
	mapping->address.lo = word[2];
	mapping->change = view->layout.change_base + ur_change_offset(word[4]);
	mapping->source = ur_meta_source(word[0]);
	mapping->user_size = ur_meta_user_size(word[0]);
	mapping->agent_size = line->name_size;
	mapping->ports = (struct uidrecv_ports){0, 0};
	memcpy(mapping->agent, line->name, mapping->agent_size);
	mapping->agent[mapping->agent_size] = '\0';
	return 1;
}

int ur_view_give_user(const struct ur_view *view,
		      const struct ur_view_reading *reading,
		      uint64_t store_now_us, struct uidrecv_mapping *mapping)
{
	uint8_t size = ur_meta_user_size(reading->word[0]);
	const char *name = NULL;
	int r;

	if (size > UR_SLOT_NAME_INLINE) {
		name = find_long_name(view, reading->word, size);
		if (name == NULL)
			return UIDRECV_E_TABLE;
	}
	r = give_common(view, reading, mapping);
	if (r < 0)
		return r;
	mapping->expires_in_ms =
	    expires_in_ms(reading->deadline_ms, store_now_us);
	mapping->answer = UIDRECV_ANSWER_USER;
	if (name == NULL)
		copy_inline_name(mapping->user, reading->word);
	else
		memcpy(mapping->user, name, size);
	mapping->user[size] = '\0';
	return 1;
}

int ur_view_give_system(const struct ur_view *view,
			const struct ur_view_reading *sentinel,
			enum uidrecv_answer answer,
			struct uidrecv_mapping *mapping)
{
	int r = give_common(view, sentinel, mapping);

	if (r < 0)
		return r;
	mapping->expires_in_ms = UINT64_MAX;
	mapping->answer = (uint8_t)answer;
	mapping->user[0] = '\0';
	return 1;
}

/*
 * Who finds the sentinel unchanged behind the block read the block while the
 * address had this system. Taking back leaves word[0] alone and changes
 * word[3]; nothing but word[0] ever leads back from there.
 */
int ur_view_read_block(const struct ur_view *view,
		       const struct ur_view_reading *sentinel, uint32_t agent,
		       uint16_t start, uint64_t store_now_us,
		       struct ur_view_reading *ret_block)
{
	struct uidrecv_address key = ur_block_key(agent, start);
	const struct ur_slot *words =
	    find_words(view, sentinel->slot, sentinel->word[0]);
	int r = 0;

	if (find_slot(view, key, ur_view_home(view, key), ret_block))
		r = ur_view_read_slot(view, ret_block, store_now_us);
	if (r < 0)
		return r;
	if (r == 1 && ur_view_is_sentinel(ret_block))
		return UIDRECV_E_TABLE;
	if (ur_load(&words->word[3]) != sentinel->word[3] ||
	    ur_load(&sentinel->slot->word[0]) != sentinel->word[0])
		return -EAGAIN;
	return r;
}

int ur_view_give_block(const struct ur_view *view,
		       const struct ur_view_reading *sentinel,
		       const struct ur_view_reading *block,
		       struct uidrecv_ports ports, uint64_t store_now_us,
		       struct uidrecv_mapping *mapping)
{
	int r = ur_view_give_user(view, block, store_now_us, mapping);

	if (r < 0)
		return r;
	mapping->address.hi = sentinel->word[1];
	mapping->address.lo = sentinel->word[2];
	mapping->ports = ports;
	return 1;
}

/* Answers for a multi-user address. As ur_view_find(). */
static int answer_port(const struct ur_view *view,
		       const struct ur_view_reading *sentinel,
		       const struct uidrecv_query *query, uint64_t store_now_us,
		       struct uidrecv_mapping *mapping)
{
	struct ur_table_system system;
	struct uidrecv_ports ports;
	struct ur_view_reading block;
	int r;

	if (!ur_slot_get_system(sentinel->word, &system))
		return UIDRECV_E_TABLE;
	if (!query->has_port)
		return ur_view_give_system(view, sentinel,
					   UIDRECV_ANSWER_NO_PORT, mapping);
	if (!ur_block_find(system.ports, system.block_size, query->port,
			   &ports.start))
		return ur_view_give_system(
		    view, sentinel, UIDRECV_ANSWER_UNKNOWN_PORT, mapping);
	r = ur_view_read_block(view, sentinel, system.agent, ports.start,
			       store_now_us, &block);
	if (r < 0)
		return r;
	if (r == 0)
		return ur_view_give_system(
		    view, sentinel, UIDRECV_ANSWER_UNKNOWN_PORT, mapping);
	ports.count = system.block_size;
	return ur_view_give_block(view, sentinel, &block, ports, store_now_us,
				  mapping);
}

int ur_view_find(const struct ur_view *view, const struct uidrecv_query *query,
		 uint64_t home, uint64_t store_now_us,
		 struct uidrecv_mapping *ret_mapping)
{
	struct ur_view_reading reading;
	int r = -EAGAIN;

	/* Blocks have no address of their own. */
	if (ur_block_is_key(query->address) ||
	    !find_slot(view, query->address, home, &reading))
		return 0;
	for (int i = 0; i < UR_VIEW_TRIES_MAX && r == -EAGAIN; i++) {
		r = ur_view_read_slot(view, &reading, store_now_us);
		if (r != 1)
			return r;
		if (!ur_view_is_sentinel(&reading))
			return ur_view_give_user(view, &reading, store_now_us,
						 ret_mapping);
		r = answer_port(view, &reading, query, store_now_us,
				ret_mapping);
	}
	return r;
}
