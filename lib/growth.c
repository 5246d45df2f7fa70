/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>

#include "entry.h"
#include "growth.h"

#define NAMES_MIN 65536

uint64_t ur_growth_slots(uint64_t entries)
{
	uint64_t slots = UR_TABLE_SLOTS_MIN;

	while (entries * 8 > slots * 5)
		slots *= 2;
	return slots;
}

/* What the next generation must have room for. */
struct room {
	uint64_t living;
	uint64_t name_bytes;
};

static int measure(const struct ur_generation *now, uint64_t store_now_us,
		   struct room *ret_room)
{
	uint64_t seed = now->layout.generation;
	struct room room = {0, 0};

	for (uint64_t i = 0; i < now->layout.slots_count; i++) {
		uint64_t word[UR_SLOT_WORDS];
		uint8_t size;

		ur_entry_load(&now->slots[i], word);
		size = ur_meta_user_size(word[0]);
		if (ur_meta_seq(word[0]) == 0)
			continue;
		/* Copying it would make damage look whole. */
		if (!ur_deadline_is_whole(seed, word))
			return UIDRECV_E_TABLE;
		if (!ur_deadline_is_alive(ur_deadline_ms(word[3]),
					  store_now_us))
			continue;
		if (!ur_rest_is_whole(seed, word))
			return UIDRECV_E_TABLE;
		room.living++;
		if (size <= UR_SLOT_NAME_INLINE)
			continue;
		if (ur_check_bytes(seed, now->bytes + word[6], size) != word[7])
			return UIDRECV_E_TABLE;
		room.name_bytes += size;
	}
	*ret_room = room;
	return 0;
}

static void copy_agents(const struct ur_generation *from,
			struct ur_generation *to)
{
	for (uint32_t i = 0; i < from->agents_used; i++) {
		to->agents[i] = from->agents[i];
		to->agents[i].check =
		    ur_check_bytes(to->layout.generation, to->agents[i].name,
				   to->agents[i].name_size);
	}
	to->agents_used = from->agents_used;
}

/* Copies what lives. Change numbers stay: the answers are the same. */
static int copy_slots(const struct ur_generation *from,
		      struct ur_generation *to, uint64_t store_now_us)
{
	for (uint64_t i = 0; i < from->layout.slots_count; i++) {
		uint64_t word[UR_SLOT_WORDS];
		char room[UR_SLOT_NAME_INLINE];
		struct ur_slot *slot;

		ur_entry_load(&from->slots[i], word);
		if (ur_meta_seq(word[0]) == 0 ||
		    !ur_entry_is_alive(from, word, store_now_us))
			continue;
		slot = ur_entry_find(
		    to, (struct uidrecv_address){word[1], word[2]});
		if (slot == NULL)
			return -ENOSPC;
		word[0] &= ~(uint64_t)UINT32_MAX;
		ur_entry_set_name(to, word, ur_entry_get_name(from, word, room),
				  ur_meta_user_size(word[0]));
		ur_entry_set_checks(to, word, ur_deadline_ms(word[3]));
		ur_entry_insert(slot, word);
	}
	return 0;
}

int ur_growth_make(const struct ur_generation *now,
		   const struct ur_generation_site *site, uint64_t store_now_us,
		   uint64_t factor, struct ur_generation *ret_next)
{
	struct ur_table_layout layout = {0};
	struct ur_generation next;
	struct room room;
	int r;

	r = measure(now, store_now_us, &room);
	if (r < 0)
		return r;
	layout.slots_count = ur_growth_slots(factor * (room.living + 1));
	layout.names_bytes = NAMES_MIN + factor * room.name_bytes;
	layout.agents_max = now->layout.agents_max;
	if (now->agents_used == layout.agents_max)
		layout.agents_max *= 2;
	if (layout.agents_max > UR_TABLE_AGENTS_MAX ||
	    layout.slots_count > UR_TABLE_SLOTS_MAX ||
	    layout.names_bytes > UR_TABLE_NAMES_MAX)
		return -ENOSPC;
	r = ur_generation_create(&next, site, &layout);
	if (r < 0)
		return r;
	copy_agents(now, &next);
	r = copy_slots(now, &next, store_now_us);
	if (r < 0) {
		ur_generation_close(&next, site);
		return r;
	}
	ur_store(&next.header->change, ur_load(&now->header->change));
	ur_store(&next.header->entries, room.living);
	*ret_next = next;
	return 0;
}
