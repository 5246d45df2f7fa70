/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds answers in the bytes of a table: pure, no file and no clock. The bytes
 * may be hostile, and may change at any moment. A view is for one thread.
 */
#ifndef UR_VIEW_H
#define UR_VIEW_H

#include <uidrecv/reader.h>

#include "slot.h"

/* How many lines a view knows, and how many queries are a group. */
#define UR_VIEW_LINES 16
#define UR_VIEW_GROUP 16

/* How much of an agent's name lies beside the rest that is known of a line. */
#define UR_VIEW_NAME_MOSTLY 32

/*
 * A line that was found whole. A name is written once, and a state is known by
 * comparing it, so they need no verifying in each lookup.
 */
struct ur_view_known {
	const _Atomic uint64_t *state_of;
	uint64_t state;
	uint64_t renewed_ms; /* by the state; 0: never */
	uint16_t line;
	uint8_t name_size;
	char name[UR_VIEW_NAME_MOSTLY]; /* its beginning, and zeros */
};

/* A moment. Callers ask many queries of one, so it is divided once. */
struct ur_view_now {
	uint64_t store_us;
	uint64_t ms;	   /* rounded down */
	uint64_t ms_above; /* rounded up */
};

struct ur_view {
	const uint8_t *bytes;
	const struct ur_table_header *header;
	const struct ur_table_line *lines;
	const struct ur_slot *slots;
	uint64_t slots_mask;
	struct ur_view_now now;	       /* of the last lookup */
	struct ur_table_layout layout; /* a copy that was verified */
	/* Each line is in the place of its index modulo their number. */
	struct ur_view_known known[UR_VIEW_LINES];
	char known_names[UR_VIEW_LINES][UR_LINE_NAME_ROOM]; /* and zeros */
};

/*
 * Verifies the layout and keeps a pointer to bytes, which are aligned to 64.
 * 0, UIDRECV_E_TABLE or UIDRECV_E_TABLE_VERSION.
 */
int ur_view_init(struct ur_view *view, const void *bytes, size_t size);

/*
 * Answers a query. 1, 0, UIDRECV_E_TABLE or -EAGAIN, as
 * uidrecv_reader_lookup().
 */
int ur_view_find(struct ur_view *view, const struct uidrecv_query *query,
		 uint64_t store_now_us, struct uidrecv_mapping *ret_mapping);

/*
 * Answers up to UR_VIEW_GROUP queries, after asking for the memory of all. How
 * many results are 1.
 */
int ur_view_find_group(struct ur_view *view,
		       const struct uidrecv_query *queries, size_t count,
		       uint64_t store_now_us,
		       struct uidrecv_mapping *ret_mappings, int *ret_results);

/*
 * Reads what lives at a position or behind it, and moves the position behind
 * that; 0 is the beginning, and any number is allowed. As
 * uidrecv_reader_next().
 */
int ur_view_next(struct ur_view *view, uint64_t *position,
		 uint64_t store_now_us, struct uidrecv_mapping *ret_mapping);

#endif
