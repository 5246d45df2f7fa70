/* SPDX-License-Identifier: BSD-2-Clause */
#include "claim.h"

#include <string.h>

static void remove_marker(struct ur_cell *cell, size_t place)
{
	cell->markers_count--;
	memmove(&cell->markers[place], &cell->markers[place + 1],
		(cell->markers_count - place) * sizeof(*cell->markers));
}

static bool marker_is_unconditional(const struct ur_marker *marker)
{
	return marker->user_size == 0 && !marker->has_token;
}

bool ur_marker_covers(const struct ur_marker *marker,
		      const struct ur_claim *claim)
{
	if (marker_is_unconditional(marker))
		return claim->event_us < marker->event_us;
	if (marker->has_token &&
	    (!claim->has_token || claim->token != marker->token))
		return false;
	if (marker->user_size > 0 &&
	    !ur_text_is_same(marker->user, marker->user_size, claim->user,
			     claim->user_size))
		return false;
	return claim->event_us <= marker->event_us;
}

static const struct ur_rank *find_rank(const struct ur_ranks *ranks,
				       uint32_t agent)
{
	if (agent >= ranks->count || !ranks->by_id[agent].name)
		return NULL;
	return &ranks->by_id[agent];
}

bool ur_marker_suppresses(const struct ur_marker *marker,
			  const struct ur_claim *claim,
			  const struct ur_ranks *ranks)
{
	const struct ur_rank *by = find_rank(ranks, marker->agent);
	const struct ur_rank *of = find_rank(ranks, claim->agent);

	if (!by || !ur_marker_covers(marker, claim))
		return false;
	/*
	 * A claim whose agent is not on the list answers nothing, but the
	 * agent may come back; until then the marker must not be collected.
	 */
	return !of || by->priority >= of->priority;
}

/* Any total order of the conditions will do; it breaks ties. */
static int compare_conditions(const struct ur_marker *a,
			      const struct ur_marker *b)
{
	if (a->has_token != b->has_token)
		return a->has_token ? 1 : -1;
	if (a->has_token && a->token != b->token)
		return a->token > b->token ? 1 : -1;
	if (a->user_size != b->user_size)
		return a->user_size > b->user_size ? 1 : -1;
	return memcmp(a->user, b->user, a->user_size);
}

int ur_marker_compare(const struct ur_marker *a, const struct ur_marker *b)
{
	if (a->agent != b->agent)
		return a->agent > b->agent ? 1 : -1;
	if (a->event_us != b->event_us)
		return a->event_us < b->event_us ? 1 : -1;
	return compare_conditions(a, b);
}

/* Does a of the same agent suppress whatever b does? */
static bool marker_makes_needless(const struct ur_marker *a,
				  const struct ur_marker *b)
{
	if (a->agent != b->agent)
		return false;
	if (compare_conditions(a, b) == 0)
		return a->event_us >= b->event_us;
	return marker_is_unconditional(a) && a->event_us > b->event_us;
}

static void insert_marker(struct ur_cell *cell, const struct ur_marker *marker)
{
	size_t place = 0;

	while (place < cell->markers_count &&
	       ur_marker_compare(&cell->markers[place], marker) < 0)
		place++;
	memmove(&cell->markers[place + 1], &cell->markers[place],
		(cell->markers_count - place) * sizeof(*marker));
	cell->markers[place] = *marker;
	cell->markers_count++;
}

/* The last of an agent's markers in their order goes if there are too many. */
static void limit_markers(struct ur_cell *cell, uint32_t agent)
{
	size_t count = 0, last = 0;

	for (size_t i = 0; i < cell->markers_count; i++) {
		if (cell->markers[i].agent != agent)
			continue;
		count++;
		last = i;
	}
	if (count > UR_MARKERS_MAX)
		remove_marker(cell, last);
}

/*
 * What stays is a function of the set of all markers ever put, not of their
 * order: those that no other makes needless, and of them the latest. (Whatever
 * makes one that was kept needless does so to all older ones, dropped or not.)
 */
int ur_cell_put_marker(struct ur_cell *cell, const struct ur_marker *marker,
		       bool *ret_changed)
{
	int rc = ur_cell_reserve(cell, 0, cell->markers_count + 1);
	size_t before = cell->markers_count;
	size_t i = 0;

	if (rc < 0)
		return rc;
	for (i = 0; i < cell->markers_count; i++)
		if (marker_makes_needless(&cell->markers[i], marker))
			return 0;
	for (i = cell->markers_count; i-- > 0;)
		if (marker_makes_needless(marker, &cell->markers[i]))
			remove_marker(cell, i);
	if (cell->markers_count < before)
		*ret_changed = true;
	insert_marker(cell, marker);
	limit_markers(cell, marker->agent);
	for (i = 0; i < cell->markers_count; i++)
		if (ur_marker_compare(&cell->markers[i], marker) == 0)
			*ret_changed = true;
	return 0;
}

static bool marker_is_needed(const struct ur_cell *cell,
			     const struct ur_marker *marker,
			     const struct ur_ranks *ranks, uint64_t now_us)
{
	if (now_us < UR_MARKER_HORIZON_US ||
	    marker->event_us > now_us - UR_MARKER_HORIZON_US)
		return true;
	for (size_t i = 0; i < cell->claims_count; i++)
		if (ur_marker_suppresses(marker, &cell->claims[i], ranks))
			return true;
	return false;
}

size_t ur_cell_collect(struct ur_cell *cell, const struct ur_ranks *ranks,
		       uint64_t now_us)
{
	size_t count = 0;

	for (size_t i = cell->claims_count; i-- > 0;) {
		if (ur_claim_is_alive(&cell->claims[i], now_us))
			continue;
		ur_cell_remove(cell, &cell->claims[i]);
		count++;
	}
	for (size_t i = cell->markers_count; i-- > 0;) {
		if (marker_is_needed(cell, &cell->markers[i], ranks, now_us))
			continue;
		remove_marker(cell, i);
		count++;
	}
	return count;
}
