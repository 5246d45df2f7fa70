/* SPDX-License-Identifier: BSD-2-Clause */
#include "entry.h"

struct ur_slot *ur_entry_find(const struct ur_generation *generation,
			      struct uidrecv_address address)
{
	uint64_t mask = generation->layout.slots_count - 1;
	uint64_t home = ur_hash(generation->layout.generation, address);

	for (uint64_t i = 0; i < UR_PROBE_MAX; i++) {
		struct ur_slot *slot = &generation->slots[(home + i) & mask];

		if (ur_meta_seq(ur_load(&slot->word[0])) == 0)
			return slot;
		if (ur_load(&slot->word[2]) == address.lo &&
		    ur_load(&slot->word[1]) == address.hi)
			return slot;
	}
	return NULL;
}

void ur_entry_prefetch(const struct ur_generation *generation,
		       struct uidrecv_address address)
{
	uint64_t mask = generation->layout.slots_count - 1;
	uint64_t home = ur_hash(generation->layout.generation, address);

	__builtin_prefetch(&generation->slots[home & mask], 1);
	__builtin_prefetch(&generation->kept[home & mask], 1);
}

void ur_entry_load(const struct ur_slot *slot, uint64_t word[UR_SLOT_WORDS])
{
	for (int i = 0; i < UR_SLOT_WORDS; i++)
		word[i] = ur_load(&slot->word[i]);
}

int ur_entry_judge(const struct ur_generation *generation,
		   const uint64_t word[UR_SLOT_WORDS], uint64_t store_now_us)
{
	uint64_t seed = generation->layout.generation;
	uint16_t index = ur_meta_line(word[0]);
	uint64_t state;

	if (!ur_deadline_is_whole(seed, word))
		return UIDRECV_E_TABLE;
	/* What was taken back is gone, damaged or not. */
	if (ur_deadline_ms(word[3]) == 0)
		return 0;
	if (!ur_rest_is_whole(seed, word) || index >= generation->lines_used)
		return UIDRECV_E_TABLE;
	state = ur_load(&generation->lines[index].state);
	if (!ur_line_is_whole(seed, index, state))
		return UIDRECV_E_TABLE;
	return ur_deadline_is_alive(ur_effective_ms(word, state), store_now_us);
}

const char *ur_entry_get_name(const struct ur_generation *generation,
			      const uint64_t word[UR_SLOT_WORDS],
			      char room[UR_SLOT_NAME_INLINE])
{
	uint32_t last = (uint32_t)(word[5] >> 32);

	if (ur_meta_user_size(word[0]) > UR_SLOT_NAME_INLINE)
		return generation->bytes + word[6];
	memcpy(room, &word[6], 8);
	memcpy(room + 8, &word[7], 8);
	memcpy(room + 16, &last, 4);
	return room;
}

void ur_entry_set_name(struct ur_generation *generation,
		       uint64_t word[UR_SLOT_WORDS], const char *name,
		       uint8_t size)
{
	char room[UR_SLOT_NAME_INLINE] = {0};
	uint32_t last = 0;

	if (size > UR_SLOT_NAME_INLINE) {
		word[6] =
		    generation->layout.names_offset + generation->names_used;
		word[7] =
		    ur_check_bytes(generation->layout.generation, name, size);
		memcpy(generation->bytes + word[6], name, size);
		generation->names_used += size;
	} else {
		memcpy(room, name, size);
		memcpy(&word[6], room, 8);
		memcpy(&word[7], room + 8, 8);
		memcpy(&last, room + 16, 4);
	}
	word[5] = (uint64_t)last << 32;
}

void ur_entry_set_checks(const struct ur_generation *generation,
			 uint64_t word[UR_SLOT_WORDS], uint64_t deadline_ms)
{
	uint64_t seed = generation->layout.generation;

	word[3] = ur_deadline_word(seed, word, deadline_ms);
	word[5] = (word[5] & ~(uint64_t)UINT32_MAX) | ur_check_rest(seed, word);
}

void ur_entry_insert(struct ur_slot *slot, const uint64_t word[UR_SLOT_WORDS])
{
	for (int i = 1; i < UR_SLOT_WORDS; i++)
		ur_store(&slot->word[i], word[i]);
	ur_store(&slot->word[0], word[0] | 2);
}

void ur_entry_rewrite(struct ur_table_header *header, struct ur_slot *slot,
		      const uint64_t word[UR_SLOT_WORDS])
{
	uint32_t seq = ur_meta_seq(ur_load(&slot->word[0])) | 1;
	uint32_t next = seq + 1 != 0 ? seq + 1 : 2;

	for (int i = 1; i < UR_SLOT_WORDS; i++)
		ur_store(&header->draft.word[i], word[i]);
	ur_store(&header->draft.word[0], word[0] | seq);
	ur_store(&slot->word[0], word[0] | seq);
	for (int i = 3; i < UR_SLOT_WORDS; i++)
		ur_store(&slot->word[i], word[i]);
	ur_store(&slot->word[0], word[0] | next);
}
