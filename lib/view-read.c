/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>

#include "block.h"
#include "view-private.h"

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

bool ur_view_know(struct ur_view *view, uint16_t line, uint64_t state)
{
	uint16_t at = line % UR_VIEW_LINES;
	struct ur_view_known *known = &view->known[at];
	uint64_t generation = view->layout.generation;
	char name[UR_LINE_NAME_ROOM] = {0};
	uint64_t check = view->lines[line].check;
	uint8_t size = (uint8_t)check;

	if (!ur_line_is_whole(generation, line, state))
		return false;
	if (known->line != line) {
		/* A copy, for nobody else writes there. */
		memcpy(name, view->lines[line].name, size);
		if (ur_line_check(generation, name, size) != check)
			return false;
		known->line = line;
		known->state_of = &view->lines[line].state;
		known->name_size = size;
		memcpy(known->name, name, sizeof(known->name));
		memcpy(view->known_names[at], name, sizeof(name));
	}
	known->state = state;
	known->renewed_ms = ur_line_ms(state);
	/* The short way knows no end of time: it is to see another state. */
	if (known->renewed_ms >= UR_DEADLINE_NEVER - UR_LIFETIME_MAX_S * 1000)
		known->state = ~state;
	return true;
}

int ur_view_fill_agent(const struct ur_view *view, uint64_t word0,
		       struct uidrecv_mapping *mapping)
{
	uint16_t at = ur_meta_line(word0) % UR_VIEW_LINES;

	memcpy(mapping->agent, view->known_names[at], sizeof(mapping->agent));
	return 1;
}

/* What users and systems have in common; their line is known. */
static void fill(const struct ur_view *view, const uint64_t word[UR_SLOT_WORDS],
		 enum uidrecv_answer answer, struct uidrecv_mapping *mapping)
{
	const struct ur_view_known *known = ur_view_known_of(view, word[0]);

	ur_view_fill(view, word, answer, known, mapping);
	if (ur_view_has_long_agent(known))
		(void)ur_view_fill_agent(view, word[0], mapping);
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
int ur_view_read_slot(struct ur_view *view, struct ur_view_reading *reading,
		      uint64_t store_now_us)
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
		      struct uidrecv_address address,
		      struct ur_view_reading *reading)
{
	uint64_t hash = ur_hash(view->layout.generation, address);

	return ur_view_seek(view, address, hash, &reading->slot,
			    &reading->word[0]);
}

int ur_view_give_user(struct ur_view *view,
		      const struct ur_view_reading *reading,
		      uint64_t store_now_us, struct uidrecv_mapping *mapping)
{
	const uint64_t *word = reading->word;
	uint8_t size = ur_meta_user_size(word[0]);
	const char *name = NULL;

	if (size > UR_SLOT_NAME_INLINE) {
		name = find_long_name(view, word, size);
		if (name == NULL)
			return UIDRECV_E_TABLE;
	}
	if (!ur_view_know(view, ur_meta_line(word[0]), reading->state))
		return UIDRECV_E_TABLE;
	fill(view, word, UIDRECV_ANSWER_USER, mapping);
	mapping->expires_in_ms =
	    ur_view_left(reading->deadline_ms, (store_now_us + 999) / 1000);
	if (name == NULL) {
		ur_view_fill_name(word, mapping);
	} else {
		memcpy(mapping->user, name, size);
		mapping->user[size] = '\0';
	}
	return 1;
}

int ur_view_give_system(struct ur_view *view,
			const struct ur_view_reading *sentinel,
			enum uidrecv_answer answer,
			struct uidrecv_mapping *mapping)
{
	const uint64_t *word = sentinel->word;

	if (!ur_view_know(view, ur_meta_line(word[0]), sentinel->state))
		return UIDRECV_E_TABLE;
	fill(view, word, answer, mapping);
	mapping->expires_in_ms = UINT64_MAX;
	mapping->user[0] = '\0';
	return 1;
}

/*
 * Who finds the sentinel unchanged behind the block read the block while the
 * address had this system. Taking back leaves word[0] alone and changes
 * word[3]; nothing but word[0] ever leads back from there.
 */
int ur_view_read_block(struct ur_view *view,
		       const struct ur_view_reading *sentinel, uint32_t agent,
		       uint16_t start, uint64_t store_now_us,
		       struct ur_view_reading *ret_block)
{
	struct uidrecv_address key = ur_block_key(agent, start);
	const struct ur_slot *words =
	    find_words(view, sentinel->slot, sentinel->word[0]);
	int r = 0;

	if (find_slot(view, key, ret_block))
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

int ur_view_give_block(struct ur_view *view,
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

/* Answers for a multi-user address. As ur_view_find_any(). */
static int answer_port(struct ur_view *view,
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

int ur_view_find_any(struct ur_view *view, const struct uidrecv_query *query,
		     uint64_t store_now_us, struct uidrecv_mapping *ret_mapping)
{
	struct ur_view_reading reading;
	int r = -EAGAIN;

	/* Blocks have no address of their own. */
	if (ur_block_is_key(query->address) ||
	    !find_slot(view, query->address, &reading))
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
