/* SPDX-License-Identifier: BSD-2-Clause */
/* Lives that the table lends, and what became of them. */
#include "table-private.h"

/* Is the answer in words that are whole what the agent speaks of? */
static bool is_meant(const struct ur_table *table,
		     const uint64_t word[UR_SLOT_WORDS],
		     const struct ur_table_renewal *renewal)
{
	const struct ur_line *line =
	    &table->lines.of_index[ur_meta_line(word[0])];
	uint8_t user_size = ur_meta_user_size(word[0]);
	char room[UR_SLOT_NAME_INLINE];

	if (line->agent != renewal->agent || line->epoch != renewal->epoch ||
	    (renewal->lifetime_s != 0 &&
	     renewal->lifetime_s != ur_lifetime_s(word[4])))
		return false;
	if (renewal->user_size == 0)
		return true;
	return renewal->user_size == user_size &&
	       memcmp(ur_entry_get_name(&table->now, word, room), renewal->user,
		      user_size) == 0;
}

bool ur_table_renew(struct ur_table *table,
		    const struct ur_table_renewal *renewal,
		    uint64_t store_now_us)
{
	struct ur_slot *slot = ur_entry_find(&table->now, renewal->address);
	uint64_t word[UR_SLOT_WORDS];
	uint64_t deadline_ms;
	uint32_t kept;

	if (slot == NULL)
		return false;
	ur_entry_load(slot, word);
	kept = ur_load_kept(ur_generation_kept(&table->now, slot));
	/* A slot that is free has no note, nor has a multi-user address. */
	if (kept == 0 || renewal->as_of_us > store_now_us ||
	    ur_entry_judge(&table->now, word, store_now_us) != 1 ||
	    !is_meant(table, word, renewal))
		return false;
	deadline_ms =
	    (renewal->as_of_us + ur_lifetime_s(word[4]) * 1000000) / 1000;
	if (deadline_ms <= ur_deadline_ms(word[3]))
		return true;
	if (!ur_lease_may_lend(word, kept, deadline_ms))
		return false;
	ur_table_mark_lending(table);
	ur_table_store_deadline(table, slot, word, deadline_ms);
	return true;
}

void ur_table_prefetch(const struct ur_table *table,
		       struct uidrecv_address address)
{
	ur_entry_prefetch(&table->now, address);
}

uint64_t ur_table_get_lent_us(const struct ur_table *table,
			      const struct ur_lease *lease)
{
	return ur_lease_get_us(&table->now, lease);
}
