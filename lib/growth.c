/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>

#include "entry.h"
#include "growth.h"

#define NAMES_MIN 65536
#define LINES_MIN 256

/*
 * Each snapshot takes a line, and when they run out all slots are walked to
 * see which are still led to: once in so many snapshots.
 */
#define SLOTS_OF_LINE 128

/*
 * When so many lines are led to, another one would soon take another walk
 * through all slots. A new table has one for epochs that fall together.
 */
#define LINES_MANY (UR_TABLE_LINES_MAX / 4 * 3)

/* Slots that are copied together, so that memory is waited for once. */
#define BATCH 32

static_assert(UR_TABLE_SLOTS_MIN % BATCH == 0, "all batches are whole");

uint64_t ur_growth_slots(uint64_t entries)
{
	uint64_t slots = UR_TABLE_SLOTS_MIN;

	while (entries * 8 > slots * 5)
		slots *= 2;
	return slots;
}

uint64_t ur_growth_lines(uint64_t slots, uint64_t used)
{
	uint64_t lines = LINES_MIN;

	while (lines < slots / SLOTS_OF_LINE || lines < used * 2)
		lines *= 2;
	return lines < UR_TABLE_LINES_MAX ? lines : UR_TABLE_LINES_MAX;
}

/* What the next generation must have room for. */
struct room {
	uint64_t living;
	uint64_t name_bytes;
	uint64_t lines;
};

/* Adds what a slot needs; number tells which lines are needed already. */
static int measure_slot(const struct ur_generation *now,
			const struct ur_slot *slot, uint64_t store_now_us,
			uint32_t *number, struct room *room)
{
	uint64_t seed = now->layout.generation;
	uint64_t word[UR_SLOT_WORDS];
	uint16_t line;
	uint8_t size;
	int r;

	ur_entry_load(slot, word);
	if (ur_meta_seq(word[0]) == 0)
		return 0;
	/* Copying damage would make it look whole. */
	r = ur_entry_judge(now, word, store_now_us);
	if (r <= 0)
		return r;
	line = ur_meta_line(word[0]);
	room->living++;
	room->lines += number[line] == 0;
	number[line] = 1;
	size = ur_meta_user_size(word[0]);
	if (size <= UR_SLOT_NAME_INLINE)
		return 0;
	if (ur_check_bytes(seed, now->bytes + word[6], size) != word[7])
		return UIDRECV_E_TABLE;
	room->name_bytes += size;
	return 0;
}

static int measure(const struct ur_generation *now, uint64_t store_now_us,
		   uint32_t *ret_number, struct room *ret_room)
{
	struct room room = {0, 0, 0};
	int r;

	memset(ret_number, 0, now->lines_used * sizeof(*ret_number));
	for (uint64_t i = 0; i < now->layout.slots_count; i++) {
		r = measure_slot(now, &now->slots[i], store_now_us, ret_number,
				 &room);
		if (r < 0)
			return r;
	}
	*ret_room = room;
	return 0;
}

/* Copies the lines that are needed, and numbers them. */
static int copy_lines(const struct ur_generation *from,
		      struct ur_generation *to, uint32_t *number)
{
	for (uint32_t i = 0; i < from->lines_used; i++) {
		const struct ur_table_line *line = &from->lines[i];
		uint32_t index = to->lines_used;
		struct ur_table_line *copy = &to->lines[index];
		uint8_t size = ur_line_name_size(line);

		if (number[i] == 0)
			continue;
		if (ur_line_check(from->layout.generation, line->name, size) !=
		    line->check)
			return UIDRECV_E_TABLE;
		memcpy(copy->name, line->name, size);
		copy->check =
		    ur_line_check(to->layout.generation, copy->name, size);
		ur_store(&copy->state,
			 ur_line_word(to->layout.generation, index,
				      ur_line_ms(ur_load(&line->state))));
		number[i] = ++to->lines_used;
	}
	return 0;
}

/* The slots from first on, of which not more than BATCH are looked at. */
struct batch {
	uint64_t word[BATCH][UR_SLOT_WORDS];
	uint32_t kept[BATCH];
	size_t count;
};

/* Loads those that live, and brings near where they go. */
static void load_batch(const struct ur_generation *from,
		       const struct ur_generation *to, uint64_t store_now_us,
		       uint64_t first, struct batch *batch)
{
	batch->count = 0;
	for (uint64_t i = first; i < first + BATCH; i++) {
		uint64_t *word = batch->word[batch->count];

		ur_entry_load(&from->slots[i], word);
		if (ur_meta_seq(word[0]) == 0 ||
		    ur_entry_judge(from, word, store_now_us) != 1)
			continue;
		ur_entry_prefetch(to,
				  (struct uidrecv_address){word[1], word[2]});
		batch->kept[batch->count++] = ur_load_kept(&from->kept[i]);
	}
}

/* Change numbers stay: the answers are the same. */
static int copy_slot(const struct ur_generation *from, struct ur_generation *to,
		     uint64_t word[UR_SLOT_WORDS], uint32_t kept,
		     const uint32_t *number)
{
	struct ur_slot *slot =
	    ur_entry_find(to, (struct uidrecv_address){word[1], word[2]});
	uint8_t size = ur_meta_user_size(word[0]);

	if (slot == NULL)
		return -ENOSPC;
	/* Short names and systems go as they are. */
	if (size > UR_SLOT_NAME_INLINE)
		ur_entry_set_name(to, word, from->bytes + word[6], size);
	word[0] = ur_meta((uint16_t)(number[ur_meta_line(word[0])] - 1),
			  ur_meta_source(word[0]), size);
	ur_entry_set_checks(to, word, ur_deadline_ms(word[3]));
	ur_store_kept(ur_generation_kept(to, slot), kept);
	ur_entry_insert(slot, word);
	return 0;
}

/* Copies what lives. */
static int copy_slots(const struct ur_generation *from,
		      struct ur_generation *to, uint64_t store_now_us,
		      const uint32_t *number)
{
	struct batch batch;
	int r = 0;

	for (uint64_t i = 0; i < from->layout.slots_count; i += BATCH) {
		load_batch(from, to, store_now_us, i, &batch);
		for (size_t k = 0; r == 0 && k < batch.count; k++)
			r = copy_slot(from, to, batch.word[k], batch.kept[k],
				      number);
		if (r < 0)
			return r;
	}
	return 0;
}

static int copy(const struct ur_generation *from, struct ur_generation *to,
		uint64_t store_now_us, uint32_t *number)
{
	int r;

	r = copy_lines(from, to, number);
	if (r < 0)
		return r;
	return copy_slots(from, to, store_now_us, number);
}

static void set_sizes(struct ur_table_layout *layout, const struct room *room,
		      uint64_t factor, uint64_t expected)
{
	uint64_t entries = factor * room->living;
	uint64_t name_bytes = factor * room->name_bytes;

	if (entries < expected) {
		/* A quarter more, so that it does not come to this again. */
		name_bytes =
		    (name_bytes * 5 / 4 / (entries + 1) + 1) * expected;
		entries = expected;
	}
	layout->slots_count = ur_growth_slots(entries);
	layout->names_bytes = NAMES_MIN + name_bytes;
	layout->lines_max = ur_growth_lines(layout->slots_count, room->lines);
}

int ur_growth_make(const struct ur_generation *now,
		   const struct ur_generation_site *site, uint64_t store_now_us,
		   uint64_t factor, struct ur_generation *ret_next,
		   uint32_t *ret_number)
{
	struct ur_table_layout layout = {.change_base =
					     now->layout.change_base};
	bool is_published = now->temporary[0] == '\0';
	struct ur_generation next;
	struct room room;
	int r;

	r = measure(now, store_now_us, ret_number, &room);
	if (r < 0)
		return r;
	set_sizes(&layout, &room, factor,
		  is_published ? 0 : site->entries_hint);
	if (room.lines == UR_TABLE_LINES_MAX ||
	    (is_published && room.lines > LINES_MANY) ||
	    layout.slots_count > UR_TABLE_SLOTS_MAX ||
	    layout.names_bytes > UR_TABLE_NAMES_MAX)
		return -ENOSPC;
	r = ur_generation_create(&next, site, &layout);
	if (r < 0)
		return r;
	r = copy(now, &next, store_now_us, ret_number);
	if (r < 0) {
		ur_generation_close(&next, site);
		return r;
	}
	ur_store(&next.header->change, ur_load(&now->header->change));
	ur_store(&next.header->entries, room.living);
	ur_store(&next.header->lends, ur_load(&now->header->lends));
	*ret_next = next;
	return 0;
}
