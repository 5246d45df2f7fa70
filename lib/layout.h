/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the areas of a table file lie. In libuidlookup; libuidrecv uses it
 * through the private version node of its map.
 */
#ifndef UR_LAYOUT_H
#define UR_LAYOUT_H

#include <stddef.h>

#include "slot.h"

/*
 * Sets all offsets and the file's size. lines_max, slots_count and
 * names_bytes must be set. 0, or -EINVAL if they are out of range.
 */
UIDRECV_API int ur_layout_set(struct ur_table_layout *layout);

/* The words beside the slots follow them. */
static inline uint64_t ur_layout_kept_offset(
    const struct ur_table_layout *layout)
{
	return layout->slots_offset +
	       layout->slots_count * sizeof(struct ur_slot);
}

/* Computes header_check. */
UIDRECV_API uint64_t ur_layout_check(const struct ur_table_layout *layout);

/*
 * Tells whether a layout, read from a file of file_bytes bytes, is one that
 * ur_layout_set() made. 0, UIDRECV_E_TABLE or UIDRECV_E_TABLE_VERSION.
 */
UIDRECV_API int ur_layout_verify(const struct ur_table_layout *layout,
				 size_t file_bytes);

#endif
