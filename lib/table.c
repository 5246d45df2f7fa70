/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "entry.h"
#include "growth.h"
#include "table.h"

#define AGENTS_MIN 64
#define AGENT_ID_MAX (1u << 24)
#define NAMES_MIN 65536
#define NAME_BYTES_GUESS 32
#define GROW_TRIES 3

struct ur_table {
	struct ur_generation now;
	struct ur_generation_site site;
	uint32_t *index_of_id; /* index + 1; 0: unknown */
	uint32_t ids;
	uint64_t entries;
	uint64_t change;
};

static bool has_slot_left(const struct ur_table *table)
{
	return (table->entries + 1) * 8 <= table->now.layout.slots_count * 5;
}

static int grow(struct ur_table *table, uint64_t store_now_us, uint64_t factor)
{
	bool is_published = table->now.temporary[0] == '\0';
	struct ur_generation next;
	int r;

	r = ur_growth_make(&table->now, &table->site, store_now_us, factor,
			   &next);
	if (r < 0)
		return r;
	if (is_published)
		r = ur_generation_publish(&next, &table->site);
	if (r < 0) {
		ur_generation_close(&next, &table->site);
		return r;
	}
	/* Readers still in the old file find what was true until now. */
	ur_store(&table->now.header->superseded, 1);
	ur_generation_close(&table->now, &table->site);
	table->now = next;
	table->entries = ur_load(&next.header->entries);
	return 0;
}

/* Grows until an address has a place; the place may be one it had before. */
static int make_place(struct ur_table *table, uint64_t store_now_us,
		      const struct ur_table_answer *answer,
		      struct ur_slot **ret_slot)
{
	size_t name_bytes =
	    answer->user_size > UR_SLOT_NAME_INLINE ? answer->user_size : 0;

	for (uint64_t i = 0; i <= GROW_TRIES; i++) {
		const struct ur_generation *now = &table->now;
		struct ur_slot *slot = ur_entry_find(now, answer->address);
		bool is_new =
		    slot != NULL && ur_meta_seq(ur_load(&slot->word[0])) == 0;
		int r;

		if (slot != NULL && (!is_new || has_slot_left(table)) &&
		    now->layout.names_bytes - now->names_used >= name_bytes) {
			*ret_slot = slot;
			return 0;
		}
		if (i == GROW_TRIES)
			break;
		r = grow(table, store_now_us, UINT64_C(2) << i);
		if (r < 0)
			return r;
	}
	return -ENOSPC;
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

static void store_deadline(const struct ur_generation *now,
			   struct ur_slot *slot,
			   const uint64_t word[UR_SLOT_WORDS],
			   uint64_t deadline_ms)
{
	uint64_t word3 =
	    ur_deadline_word(now->layout.generation, word, deadline_ms);

	if (word3 != word[3])
		ur_store(&slot->word[3], word3);
}

static void remove_answer(struct ur_table *table, struct ur_slot *slot,
			  uint64_t store_now_us)
{
	uint64_t seed = table->now.layout.generation;
	uint64_t word[UR_SLOT_WORDS];
	bool is_dead;

	ur_entry_load(slot, word);
	is_dead = ur_deadline_is_whole(seed, word) &&
		  !ur_deadline_is_alive(ur_deadline_ms(word[3]), store_now_us);
	store_deadline(&table->now, slot, word, 0);
	if (!is_dead)
		count_change(table);
}

/* Whether words that are whole say the same but for the deadline. */
static bool is_same(const struct ur_table *table,
		    const uint64_t word[UR_SLOT_WORDS],
		    const struct ur_table_answer *answer, uint16_t agent)
{
	char room[UR_SLOT_NAME_INLINE];
	uint64_t meta = ur_meta(agent, answer->source, answer->user_size);

	if (word[0] >> 32 != meta >> 32)
		return false;
	return memcmp(ur_entry_get_name(&table->now, word, room), answer->user,
		      answer->user_size) == 0;
}

static int put_answer(struct ur_table *table,
		      const struct ur_table_answer *answer, uint16_t agent,
		      uint64_t deadline_ms, uint64_t store_now_us)
{
	uint64_t word[UR_SLOT_WORDS];
	struct ur_slot *slot;
	bool is_new;
	int r;

	slot = ur_entry_find(&table->now, answer->address);
	if (slot != NULL) {
		ur_entry_load(slot, word);
		if (ur_meta_seq(word[0]) != 0 &&
		    ur_entry_is_alive(&table->now, word, store_now_us) &&
		    is_same(table, word, answer, agent)) {
			store_deadline(&table->now, slot, word, deadline_ms);
			return 0;
		}
	}
	r = make_place(table, store_now_us, answer, &slot);
	if (r < 0)
		return r;
	is_new = ur_meta_seq(ur_load(&slot->word[0])) == 0;
	word[0] = ur_meta(agent, answer->source, answer->user_size);
	word[1] = answer->address.hi;
	word[2] = answer->address.lo;
	word[4] = table->change + 1;
	ur_entry_set_name(&table->now, word, answer->user, answer->user_size);
	ur_entry_set_checks(&table->now, word, deadline_ms);
	if (is_new) {
		ur_entry_insert(slot, word);
		ur_store(&table->now.header->entries, ++table->entries);
	} else {
		ur_entry_rewrite(table->now.header, slot, word);
	}
	count_change(table);
	return 0;
}

int ur_table_put(struct ur_table *table, const struct ur_table_answer *answer,
		 uint64_t store_now_us)
{
	uint64_t deadline_ms = deadline_ms_of(answer->deadline_us);
	struct ur_slot *slot;

	if (answer->user_size > 0 &&
	    ur_deadline_is_alive(deadline_ms, store_now_us)) {
		if (answer->agent >= table->ids ||
		    table->index_of_id[answer->agent] == 0)
			return -EINVAL;
		return put_answer(
		    table, answer,
		    (uint16_t)(table->index_of_id[answer->agent] - 1),
		    deadline_ms, store_now_us);
	}
	slot = ur_entry_find(&table->now, answer->address);
	if (slot != NULL && ur_meta_seq(ur_load(&slot->word[0])) != 0)
		remove_answer(table, slot, store_now_us);
	return 0;
}

static int reserve_id(struct ur_table *table, uint32_t id)
{
	uint32_t ids = id + 1 > 64 ? (id + 1) * 2 : 64;
	uint32_t *index_of_id;

	if (id < table->ids)
		return 0;
	index_of_id = realloc(table->index_of_id, ids * sizeof(*index_of_id));
	if (index_of_id == NULL)
		return -ENOMEM;
	memset(index_of_id + table->ids, 0,
	       (ids - table->ids) * sizeof(*index_of_id));
	table->index_of_id = index_of_id;
	table->ids = ids;
	return 0;
}

int ur_table_add_agent(struct ur_table *table, uint32_t id, const char *name,
		       size_t name_size)
{
	struct ur_table_agent *agent;
	int r;

	if (name_size == 0 || name_size > UIDRECV_NAME_MAX || id > AGENT_ID_MAX)
		return -EINVAL;
	r = reserve_id(table, id);
	if (r < 0)
		return r;
	if (table->index_of_id[id] != 0) {
		agent = &table->now.agents[table->index_of_id[id] - 1];
		if (agent->name_size != name_size ||
		    memcmp(agent->name, name, name_size) != 0)
			return -EEXIST;
		return 0;
	}
	if (table->now.agents_used == table->now.layout.agents_max) {
		r = grow(table, ur_clock_boot_us() + table->site.base_us, 2);
		if (r < 0)
			return r;
	}
	agent = &table->now.agents[table->now.agents_used];
	agent->name_size = (uint8_t)name_size;
	memcpy(agent->name, name, name_size);
	agent->check =
	    ur_check_bytes(table->now.layout.generation, name, name_size);
	table->index_of_id[id] = ++table->now.agents_used;
	return 0;
}

static int init(struct ur_table *table, const struct ur_table_options *options)
{
	struct ur_table_layout layout = {.agents_max = AGENTS_MIN};
	uint64_t former = 0;
	int r, fd;

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

	layout.slots_count = ur_growth_slots(options->entries_hint);
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
	free(table->index_of_id);
	free(table);
}

/* There is one epoch, and nothing renews or drops it, for now. */
void ur_table_refresh(struct ur_table *table, uint32_t agent, uint32_t epoch,
		      uint64_t refreshed_us)
{
	(void)table, (void)agent, (void)epoch, (void)refreshed_us;
}

void ur_table_drop(struct ur_table *table, uint32_t agent, uint32_t floor)
{
	(void)table, (void)agent, (void)floor;
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
