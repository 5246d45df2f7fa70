/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What agents say of one address: claims and markers, and what a statement
 * does to them (doc/protocol.md section 8). Pure: no clock, no I/O.
 */
#ifndef UR_CLAIM_H
#define UR_CLAIM_H

#include <string.h>

#include <uidrecv/record.h>

/* Markers of one agent that one address keeps. */
#define UR_MARKERS_MAX 16

/* How long a marker lasts, at least. */
#define UR_MARKER_HORIZON_US (UINT64_C(3600) * 1000000)

#define UR_TIME_NEVER UINT64_MAX

/* All times here are microseconds of the store's time. */
struct ur_claim {
	uint64_t event_us;
	uint64_t event_raw_us; /* as the agent said it, in its own clock */
	uint64_t deadline_us;  /* alive while now < deadline; or NEVER */
	uint64_t kept_us;      /* the deadline as it is written in the store */
	uint64_t token;
	uint32_t agent; /* id */
	uint32_t epoch;
	uint32_t lifetime_s;
	uint8_t source;
	bool has_token;
	uint8_t user_size; /* never 0 */
	char user[UIDRECV_NAME_MAX];
};

struct ur_marker {
	uint64_t event_us;
	uint64_t token;
	uint32_t agent;
	bool has_token;
	uint8_t user_size; /* 0: any user */
	char user[UIDRECV_NAME_MAX];
};

/* Everything known about one address. Grows as needed; reuse it. */
struct ur_cell {
	struct ur_claim *claims; /* one per agent, in the order of agents */
	size_t claims_count, claims_room;
	struct ur_marker *markers; /* in the order of ur_marker_compare() */
	size_t markers_count, markers_room;
};

/* An admitted record: checked against the rights, in the store's time. */
struct ur_statement {
	struct uidrecv_address address;
	uint64_t event_us;
	uint64_t event_raw_us;
	uint64_t as_of_us;
	uint64_t token;
	uint32_t lifetime_s; /* REFRESH: 0 keeps what the claim has */
	uint16_t op;	     /* enum uidrecv_op */
	uint8_t source;
	bool has_token;
	uint8_t user_size;
	const char *user; /* user_size bytes, of the record */
};

/* How an agent counts; from the list of agents. */
struct ur_rank {
	const char *name; /* NULL: not on the list, its claims do not count */
	uint32_t priority;
};

/* The ranks by agent id; ids beyond count are not on the list. */
struct ur_ranks {
	const struct ur_rank *by_id;
	size_t count;
};

void ur_cell_done(struct ur_cell *cell);
void ur_cell_clear(struct ur_cell *cell);

/* Makes room for that many of each. 0 or -ENOMEM. */
int ur_cell_reserve(struct ur_cell *cell, size_t claims, size_t markers);

/*
 * Applies a statement of an agent. *ret_changed says whether the cell is
 * another than before. A MAP whose life is over ends the former claim and
 * leaves none.
 *
 * Returns 0, a positive enum uidrecv_reject, or -ENOMEM (cell unchanged).
 * The quota is the caller's: *ret_added says whether a claim was added where
 * the agent had none.
 */
int ur_cell_apply(struct ur_cell *cell, const struct ur_statement *statement,
		  uint32_t agent, uint32_t epoch, uint64_t now_us,
		  bool *ret_changed, bool *ret_added);

/* The claim of an agent, dead or alive, or NULL. */
struct ur_claim *ur_cell_find(const struct ur_cell *cell, uint32_t agent);

/* Takes a claim away. */
void ur_cell_remove(struct ur_cell *cell, struct ur_claim *claim);

/*
 * Takes dead claims away, and markers that are older than the horizon and
 * suppress nothing. Returns how many went.
 */
size_t ur_cell_collect(struct ur_cell *cell, const struct ur_ranks *ranks,
		       uint64_t now_us);

/* Does the marker suppress the claim? */
bool ur_marker_suppresses(const struct ur_marker *marker,
			  const struct ur_claim *claim,
			  const struct ur_ranks *ranks);

/* The same without regard to ranks: do its conditions match, and its time? */
bool ur_marker_covers(const struct ur_marker *marker,
		      const struct ur_claim *claim);

/* By agent, the newest first, then by conditions; 0 only if equal. */
int ur_marker_compare(const struct ur_marker *a, const struct ur_marker *b);

/*
 * Adds a marker; of an agent's markers those stay that no other makes
 * needless, and of these the UR_MARKERS_MAX latest. 0 or -ENOMEM.
 */
int ur_cell_put_marker(struct ur_cell *cell, const struct ur_marker *marker,
		       bool *ret_changed);

static inline bool ur_text_is_same(const char *a, size_t a_size, const char *b,
				   size_t b_size)
{
	return a_size == b_size && (a_size == 0 || !memcmp(a, b, a_size));
}

static inline bool ur_claim_is_alive(const struct ur_claim *claim,
				     uint64_t now_us)
{
	return now_us < claim->deadline_us;
}

/*
 * as_of + lifetime in whole milliseconds, as the table has it, so that both end
 * at one instant; saturating, and NEVER for UIDRECV_LIFETIME_NEVER.
 */
uint64_t ur_deadline_us(uint64_t as_of_us, uint32_t lifetime_s);

#endif
