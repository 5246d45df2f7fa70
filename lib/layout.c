/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>

#include "layout.h"

#define PAGE UINT64_C(4096)

static uint64_t round_up(uint64_t bytes)
{
	return (bytes + PAGE - 1) / PAGE * PAGE;
}

int ur_layout_set(struct ur_table_layout *layout)
{
	uint64_t slots = layout->slots_count;

	if (layout->lines_max == 0 || layout->lines_max > UR_TABLE_LINES_MAX ||
	    slots < UR_TABLE_SLOTS_MIN || slots > UR_TABLE_SLOTS_MAX ||
	    (slots & (slots - 1)) != 0 ||
	    layout->names_bytes > UR_TABLE_NAMES_MAX)
		return -EINVAL;

	layout->magic = UR_TABLE_MAGIC;
	layout->version = UR_TABLE_VERSION;
	layout->header_bytes = sizeof(struct ur_table_header);
	layout->lines_offset = PAGE;
	layout->slots_offset =
	    layout->lines_offset +
	    round_up(layout->lines_max * sizeof(struct ur_table_line));
	layout->names_offset =
	    ur_layout_kept_offset(layout) + slots * UR_KEPT_BYTES;
	layout->file_bytes =
	    layout->names_offset + round_up(layout->names_bytes);
	return 0;
}

uint64_t ur_layout_check(const struct ur_table_layout *layout)
{
	return ur_check_bytes(UR_TABLE_MAGIC, layout,
			      offsetof(struct ur_table_layout, header_check));
}

int ur_layout_verify(const struct ur_table_layout *layout, size_t file_bytes)
{
	struct ur_table_layout right = *layout;

	if (layout->magic != UR_TABLE_MAGIC)
		return UIDRECV_E_TABLE;
	if (layout->version != UR_TABLE_VERSION)
		return UIDRECV_E_TABLE_VERSION;
	if (layout->header_check != ur_layout_check(layout) ||
	    layout->file_bytes != file_bytes || layout->generation == 0)
		return UIDRECV_E_TABLE;
	/* Rather than judge each offset: there is only one right layout. */
	if (ur_layout_set(&right) < 0 ||
	    memcmp(&right, layout, sizeof(right)) != 0)
		return UIDRECV_E_TABLE;
	return 0;
}
