/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block.h"
#include "clock.h"
#include "growth.h"
#include "table-private.h"

#define NAMES_MIN 65536
/* Few names are too long for a slot, or most: then one growth tells. */
#define NAME_BYTES_GUESS 8
#define GROW_TRIES 3

static bool has_slot_left(const struct ur_table *table)
{
	return (table->entries + 1) * 8 <= table->now.layout.slots_count * 5;
}

/* Makes the next generation, in the place of the present one. */
static int make_next(const struct ur_table *table, uint64_t store_now_us,
		     uint64_t factor, struct ur_generation *ret_next,
		     uint32_t *ret_number)
{
	bool is_published = table->now.temporary[0] == '\0';
	int r;

	r = ur_growth_make(&table->now, &table->site, store_now_us, factor,
			   ret_next, ret_number);
	if (r < 0 || !is_published)
		return r;
	r = ur_generation_publish(ret_next, &table->site);
	if (r < 0)
		ur_generation_close(ret_next, &table->site);
	return r;
}

static int grow(struct ur_table *table, uint64_t store_now_us, uint64_t factor)
{
	uint32_t count = table->now.lines_used;
	uint32_t *number = calloc(count + 1, sizeof(*number));
	struct ur_generation next;
	int r;

	if (number == NULL)
		return -ENOMEM;
	r = make_next(table, store_now_us, factor, &next, number);
	if (r == 0) {
		/* Readers still in the old file find what was true. */
		ur_store(&table->now.header->superseded, 1);
		ur_generation_close(&table->now, &table->site);
		ur_lines_renumber(&table->lines, number, count);
		table->now = next;
		table->entries = ur_load(&next.header->entries);
	}
	table->is_full = r == -ENOSPC;
	free(number);
	return r;
}

static uint64_t deadline_ms_of(uint64_t deadline_us)
{
	if (deadline_us == UINT64_MAX)
		return UR_DEADLINE_NEVER;
	/* Rounded down: nobody lives longer than was promised. */
	if (deadline_us / 1000 >= UR_DEADLINE_NEVER)
		return UR_DEADLINE_NEVER - 1;
	return deadline_us / 1000;
}

/* After the slot: whoever sees the old number may have seen the new answer. */
static void count_change(struct ur_table *table)
{
	table->change++;
	ur_store(&table->now.header->change, table->change);
}

static void remove_answer(struct ur_table *table, struct ur_slot *slot,
			  uint64_t store_now_us)
{
	uint64_t word[UR_SLOT_WORDS];
	bool is_dead;

	ur_entry_load(slot, word);
	is_dead = ur_entry_judge(&table->now, word, store_now_us) == 0;
	ur_table_store_deadline(table, slot, word, 0);
	if (!is_dead)
		count_change(table);
}

/* Where an answer goes. */
struct place {
	struct ur_slot *slot;
	uint64_t word[UR_SLOT_WORDS]; /* what is there */
	uint32_t line;		      /* or UR_LINE_NONE: to be made */
	bool is_new;
	bool is_same; /* what is there lives, with this user, agent, source */
};

/* Whether words that are whole have the same range and block size. */
static bool is_same_system(const uint64_t word[UR_SLOT_WORDS],
			   const struct ur_table_system *system)
{
	uint64_t other[UR_SLOT_WORDS];

	ur_slot_set_system(other, system);
	return word[6] == other[6] && word[7] == other[7];
}

/* Whether words that are whole have the same user, agent and source. */
static bool is_same(const struct ur_table *table,
		    const uint64_t word[UR_SLOT_WORDS],
		    const struct ur_table_answer *answer)
{
	char room[UR_SLOT_NAME_INLINE];
	const struct ur_line *line =
	    &table->lines.of_index[ur_meta_line(word[0])];

	if (line->agent != answer->agent ||
	    ur_meta_source(word[0]) != answer->source ||
	    ur_meta_user_size(word[0]) != answer->user_size)
		return false;
	if (answer->user_size == 0)
		return is_same_system(word, &answer->system);
	return memcmp(ur_entry_get_name(&table->now, word, room), answer->user,
		      answer->user_size) == 0;
}

/* Finds the place of an answer; false if the table must grow for it. */
static bool find_place(const struct ur_table *table,
		       const struct ur_table_answer *answer,
		       uint64_t store_now_us, struct place *place)
{
	const struct ur_generation *now = &table->now;
	size_t name_bytes =
	    answer->user_size > UR_SLOT_NAME_INLINE ? answer->user_size : 0;

	place->slot = ur_entry_find(now, answer->address);
	if (place->slot == NULL)
		return false;
	ur_entry_load(place->slot, place->word);
	place->is_new = ur_meta_seq(place->word[0]) == 0;
	place->is_same = !place->is_new &&
			 ur_entry_judge(now, place->word, store_now_us) == 1 &&
			 is_same(table, place->word, answer);
	place->line = ur_meta_line(place->word[0]);
	/* Mostly what is told again is there; an agent may have many lines. */
	if (!place->is_same ||
	    table->lines.of_index[place->line].epoch != answer->epoch)
		place->line =
		    ur_lines_find(&table->lines, answer->agent, answer->epoch);
	if (place->line == UR_LINE_NONE &&
	    now->lines_used == now->layout.lines_max)
		return false;
	if (place->is_same)
		return true;
	return (!place->is_new || has_slot_left(table)) &&
	       now->layout.names_bytes - now->names_used >= name_bytes;
}

/* Grows until an answer has a place; the place may be one it had before. */
static int make_place(struct ur_table *table,
		      const struct ur_table_answer *answer,
		      uint64_t store_now_us, struct place *ret_place)
{
	int r;

	for (uint64_t i = 0; i < GROW_TRIES; i++) {
		if (find_place(table, answer, store_now_us, ret_place))
			return 0;
		r = table->is_full
			? -ENOSPC
			: grow(table, store_now_us, UINT64_C(2) << i);
		if (r < 0)
			return r;
	}
	return find_place(table, answer, store_now_us, ret_place) ? 0 : -ENOSPC;
}

/* The same answer: of another epoch, of another lifetime, or just younger. */
static void renew_answer(struct ur_table *table, struct place *place,
			 const struct ur_table_answer *answer,
			 uint64_t deadline_ms)
{
	uint64_t *word = place->word;
	uint64_t seq = ur_meta_seq(word[0]);
	uint64_t word0 = seq | ur_meta((uint16_t)place->line, answer->source,
				       answer->user_size);
	uint64_t word4 =
	    ur_change_word(ur_change_offset(word[4]), answer->lifetime_s);

	if (word[0] == word0 && word[4] == word4) {
		ur_table_store_deadline(table, place->slot, word, deadline_ms);
		return;
	}
	word[0] = word0 - seq;
	word[4] = word4;
	ur_entry_set_checks(&table->now, word, deadline_ms);
	ur_entry_rewrite(table->now.header, place->slot, word);
}

static void replace_answer(struct ur_table *table, struct place *place,
			   const struct ur_table_answer *answer,
			   uint64_t deadline_ms)
{
	struct ur_generation *now = &table->now;
	uint64_t *word = place->word;

	word[0] =
	    ur_meta((uint16_t)place->line, answer->source, answer->user_size);
	word[1] = answer->address.hi;
	word[2] = answer->address.lo;
	word[4] = ur_change_word(table->change + 1 - now->layout.change_base,
				 answer->lifetime_s);
	if (answer->user_size > 0)
		ur_entry_set_name(now, word, answer->user, answer->user_size);
	else
		ur_slot_set_system(word, &answer->system);
	ur_entry_set_checks(now, word, deadline_ms);
	if (place->is_new) {
		ur_entry_insert(place->slot, word);
		ur_store(&now->header->entries, ++table->entries);
	} else {
		ur_entry_rewrite(now->header, place->slot, word);
	}
	count_change(table);
}

static int put_answer(struct ur_table *table,
		      const struct ur_table_answer *answer,
		      uint64_t deadline_ms, uint64_t store_now_us)
{
	uint32_t kept =
	    ur_lease_word(answer->kept_us, deadline_ms, answer->lifetime_s);
	struct place place;
	int r;

	r = make_place(table, answer, store_now_us, &place);
	if (r < 0)
		return r;
	if (!place.is_same &&
	    table->change + 1 - table->now.layout.change_base >= UR_CHANGES_MAX)
		return -ENOSPC;
	if (place.line == UR_LINE_NONE)
		place.line = ur_lines_make(&table->lines, &table->now,
					   answer->agent, answer->epoch);
	if (kept != 0 && kept != (uint32_t)deadline_ms)
		ur_table_mark_lending(table);
	if (place.is_same)
		renew_answer(table, &place, answer, deadline_ms);
	else
		replace_answer(table, &place, answer, deadline_ms);
	/* Behind the answer: killed before, it is not the store's any more. */
	ur_store_kept(ur_generation_kept(&table->now, place.slot), kept);
	return 0;
}

static int put_sentinel(struct ur_table *table,
			const struct ur_table_answer *answer,
			uint64_t store_now_us)
{
	struct ur_table_answer sentinel = {.address = answer->address,
					   .agent = answer->agent,
					   .epoch = UR_TABLE_EPOCH_SYSTEMS,
					   .system = answer->system};

	if (answer->agent != answer->system.agent ||
	    !ur_slot_is_system(&answer->system) ||
	    ur_block_is_key(answer->address) ||
	    !ur_lines_has_agent(&table->lines, answer->agent))
		return -EINVAL;
	return put_answer(table, &sentinel, UR_DEADLINE_NEVER, store_now_us);
}

int ur_table_put(struct ur_table *table, const struct ur_table_answer *answer,
		 uint64_t store_now_us)
{
	uint64_t deadline_ms = deadline_ms_of(answer->deadline_us);
	struct ur_slot *slot;

	if (answer->user_size == 0 && answer->system.block_size > 0)
		return put_sentinel(table, answer, store_now_us);
	if (answer->user_size > 0 &&
	    ur_deadline_is_alive(deadline_ms, store_now_us)) {
		if (!ur_lines_has_agent(&table->lines, answer->agent))
			return -EINVAL;
		return put_answer(table, answer, deadline_ms, store_now_us);
	}
	slot = ur_entry_find(&table->now, answer->address);
	if (slot != NULL && ur_meta_seq(ur_load(&slot->word[0])) != 0)
		remove_answer(table, slot, store_now_us);
	return 0;
}

int ur_table_add_agent(struct ur_table *table, uint32_t id, const char *name,
		       size_t name_size)
{
	return ur_lines_add_agent(&table->lines, id, name, name_size);
}

static int init(struct ur_table *table, const struct ur_table_options *options)
{
	struct ur_table_layout layout = {0};
	uint64_t former = 0;
	int r, fd;

	r = ur_lines_init(&table->lines);
	if (r < 0)
		return r;
	r = ur_place_open(&table->site.place, options->path);
	if (r < 0)
		return r;
	ur_generation_clean(&table->site);
	fd = ur_generation_open_former(&table->site, &former);
	if (fd >= 0)
		close(fd);
	/*
	 * A writer that was killed may have used one number more than its
	 * header says; a damaged number must not wear ours out.
	 */
	table->change = options->change_min;
	if (former >= table->change && former < UINT64_MAX / 2)
		table->change = former + 1;

	layout.change_base = table->change;
	layout.slots_count = ur_growth_slots(options->entries_hint);
	layout.lines_max = ur_growth_lines(layout.slots_count, 0);
	layout.names_bytes =
	    NAMES_MIN + options->entries_hint * NAME_BYTES_GUESS;
	r = ur_generation_create(&table->now, &table->site, &layout);
	if (r == 0)
		ur_store(&table->now.header->change, table->change);
	return r;
}

int ur_table_create(struct ur_table **ret_table,
		    const struct ur_table_options *options)
{
	mode_t mode = options->mode != 0 ? options->mode : 0640;
	struct ur_table *table;
	int r;

	/* Readers refuse a table that others may write. */
	if (options->path == NULL || (mode & (S_IWGRP | S_IWOTH)) != 0 ||
	    (mode & ~(mode_t)0777) != 0 ||
	    options->entries_hint > UR_TABLE_SLOTS_MAX / 2)
		return -EINVAL;
	table = calloc(1, sizeof(*table));
	if (table == NULL)
		return -ENOMEM;
	table->site.place.dir_fd = -1;
	table->site.mode = mode;
	table->site.group = options->group;
	table->site.base_us = options->base_us;
	table->site.entries_hint = options->entries_hint;
	r = init(table, options);
	if (r < 0) {
		ur_table_close(table);
		return r;
	}
	*ret_table = table;
	return 0;
}

int ur_table_publish(struct ur_table *table)
{
	uint64_t change;
	int r, fd;

	if (table->now.temporary[0] == '\0')
		return -EALREADY;
	ur_table_beat(table);
	fd = ur_generation_open_former(&table->site, &change);
	r = ur_generation_publish(&table->now, &table->site);
	if (r == 0)
		ur_generation_supersede_former(fd);
	else if (fd >= 0)
		close(fd);
	return r;
}

void ur_table_close(struct ur_table *table)
{
	if (table == NULL)
		return;
	ur_generation_close(&table->now, &table->site);
	ur_place_close(&table->site.place);
	ur_lines_done(&table->lines);
	free(table);
}

void ur_table_refresh(struct ur_table *table, uint32_t agent, uint32_t epoch,
		      uint64_t refreshed_us)
{
	ur_lines_refresh(&table->lines, &table->now, agent, epoch,
			 refreshed_us);
}

void ur_table_drop(struct ur_table *table, uint32_t agent, uint32_t floor)
{
	if (ur_lines_drop(&table->lines, &table->now, agent, floor))
		count_change(table);
}

void ur_table_beat(struct ur_table *table)
{
	ur_store(&table->now.header->heartbeat_us, ur_clock_boot_us());
}

uint64_t ur_table_get_change(const struct ur_table *table)
{
	return table->change;
}

uint64_t ur_table_get_entries(const struct ur_table *table)
{
	return table->entries;
}

const void *ur_table_get_bytes(const struct ur_table *table, size_t *ret_size)
{
	*ret_size = table->now.layout.file_bytes;
	return table->now.bytes;
}
