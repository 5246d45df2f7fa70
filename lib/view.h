/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds answers in the bytes of a table: pure, no file and no clock. The bytes
 * may be hostile, and may change at any moment.
 */
#ifndef UR_VIEW_H
#define UR_VIEW_H

#include <uidrecv/reader.h>

#include "slot.h"

struct ur_view {
	const uint8_t *bytes;
	const struct ur_table_header *header;
	const struct ur_table_line *lines;
	const struct ur_slot *slots;
	struct ur_table_layout layout; /* a copy that was verified */
};

/*
 * Verifies the layout and keeps a pointer to bytes, which are aligned to 64.
 * 0, UIDRECV_E_TABLE or UIDRECV_E_TABLE_VERSION.
 */
int ur_view_init(struct ur_view *view, const void *bytes, size_t size);

/* The index of the slot where the search for an address starts. */
uint64_t ur_view_home(const struct ur_view *view,
		      struct uidrecv_address address);

/*
 * Answers a query; home is that of its address. 1, 0, UIDRECV_E_TABLE or
 * -EAGAIN, as uidrecv_reader_lookup().
 */
int ur_view_find(const struct ur_view *view, const struct uidrecv_query *query,
		 uint64_t home, uint64_t store_now_us,
		 struct uidrecv_mapping *ret_mapping);

/*
 * Reads what lives at a position or behind it, and moves the position behind
 * that; 0 is the beginning, and any number is allowed. As
 * uidrecv_reader_next().
 */
int ur_view_next(const struct ur_view *view, uint64_t *position,
		 uint64_t store_now_us, struct uidrecv_mapping *ret_mapping);

#endif
