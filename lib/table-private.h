/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of the table share. */
#ifndef UR_TABLE_PRIVATE_H
#define UR_TABLE_PRIVATE_H

#include "line.h"
#include "table.h"

struct ur_table {
	struct ur_generation now;
	struct ur_generation_site site;
	struct ur_lines lines; /* of now */
	uint64_t entries, change;
	bool is_full; /* it could not grow, and walks for that no more */
};

/* The one store by which an answer lives longer, or ends. */
static inline void ur_table_store_deadline(const struct ur_table *table,
					   struct ur_slot *slot,
					   const uint64_t word[UR_SLOT_WORDS],
					   uint64_t deadline_ms)
{
	uint64_t word3 =
	    ur_deadline_word(table->now.layout.generation, word, deadline_ms);

	if (word3 != word[3])
		ur_store(&slot->word[3], word3);
}

/* Before the first answer lives longer than the store has it. */
static inline void ur_table_mark_lending(const struct ur_table *table)
{
	if (ur_load(&table->now.header->lends) == 0)
		ur_store(&table->now.header->lends, 1);
}

#endif
