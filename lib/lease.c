/* SPDX-License-Identifier: BSD-2-Clause */
#include "lease.h"

uint32_t ur_lease_word(uint64_t kept_us, uint64_t deadline_ms,
		       uint32_t lifetime_s)
{
	uint64_t kept_ms = kept_us / 1000;

	/* A lifetime that a slot cannot hold could not be compared. */
	if (lifetime_s >= UR_LIFETIME_MAX_S ||
	    deadline_ms - kept_ms > UR_LENT_MAX_MS(lifetime_s))
		return 0;
	return (uint32_t)kept_ms;
}

bool ur_lease_may_lend(const uint64_t word[UR_SLOT_WORDS], uint32_t kept,
		       uint64_t deadline_ms)
{
	uint64_t own_ms = ur_deadline_ms(word[3]);
	uint32_t lent_ms = (uint32_t)own_ms - kept;

	return deadline_ms < UR_DEADLINE_NEVER &&
	       deadline_ms - own_ms + lent_ms <=
		   UR_LENT_MAX_MS(ur_lifetime_s(word[4]));
}

/* Loads what a slot holds, be it in the draft; false: that is another's. */
static bool load_words(const struct ur_generation *generation,
		       const struct ur_slot *slot, uint64_t word[UR_SLOT_WORDS])
{
	uint64_t word0 = ur_load(&slot->word[0]);

	ur_entry_load(word0 & 1 ? &generation->header->draft : slot, word);
	return word[0] == word0;
}

static bool has_user(const struct ur_generation *generation,
		     const uint64_t word[UR_SLOT_WORDS],
		     const struct ur_lease *lease)
{
	const struct ur_table_layout *layout = &generation->layout;
	uint64_t offset = word[6] - layout->names_offset;
	char room[UR_SLOT_NAME_INLINE];

	if (ur_meta_user_size(word[0]) != lease->user_size)
		return false;
	if (lease->user_size > UR_SLOT_NAME_INLINE &&
	    (offset > layout->names_bytes ||
	     layout->names_bytes - offset < lease->user_size))
		return false;
	return memcmp(ur_entry_get_name(generation, word, room), lease->user,
		      lease->user_size) == 0;
}

static bool has_agent(const struct ur_generation *generation, uint16_t index,
		      const char *agent)
{
	const struct ur_table_line *line;

	if (index >= generation->layout.lines_max)
		return false;
	line = &generation->lines[index];
	return line->name_size == strlen(agent) &&
	       memcmp(line->name, agent, line->name_size) == 0;
}

uint64_t ur_lease_get_us(const struct ur_generation *generation,
			 const struct ur_lease *lease)
{
	uint64_t seed = generation->layout.generation;
	const struct ur_slot *slot;
	uint64_t word[UR_SLOT_WORDS];
	uint64_t own_ms;
	uint32_t kept;

	/* Looking at each slot of a million takes longer than reading them. */
	if (ur_load(&generation->header->lends) == 0)
		return 0;
	slot = ur_entry_find(generation, lease->address);
	if (slot == NULL || !load_words(generation, slot, word))
		return 0;
	own_ms = ur_deadline_ms(word[3]);
	kept = ur_load_kept(ur_generation_kept(generation, slot));
	if (kept == 0 ||
	    kept != ur_lease_word(lease->kept_us, own_ms, lease->lifetime_s) ||
	    ur_lifetime_s(word[4]) != lease->lifetime_s ||
	    !ur_deadline_is_whole(seed, word) || !ur_rest_is_whole(seed, word))
		return 0;
	if (!has_user(generation, word, lease) ||
	    !has_agent(generation, ur_meta_line(word[0]), lease->agent))
		return 0;
	return own_ms * 1000;
}
