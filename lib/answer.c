/* SPDX-License-Identifier: BSD-2-Clause */
#include "answer.h"

#include <string.h>

static bool is_suppressed(const struct ur_cell *cell,
			  const struct ur_claim *claim,
			  const struct ur_ranks *ranks)
{
	for (size_t i = 0; i < cell->markers_count; i++)
		if (ur_marker_suppresses(&cell->markers[i], claim, ranks))
			return true;
	return false;
}

static bool counts(const struct ur_cell *cell, const struct ur_claim *claim,
		   const struct ur_ranks *ranks, uint64_t now_us)
{
	return ur_claim_is_alive(claim, now_us) &&
	       claim->agent < ranks->count && ranks->by_id[claim->agent].name &&
	       !is_suppressed(cell, claim, ranks);
}

static bool is_greater(const struct ur_claim *a, const struct ur_claim *b,
		       const struct ur_ranks *ranks)
{
	const struct ur_rank *of_a = &ranks->by_id[a->agent];
	const struct ur_rank *of_b = &ranks->by_id[b->agent];

	if (of_a->priority != of_b->priority)
		return of_a->priority > of_b->priority;
	if (a->event_us != b->event_us)
		return a->event_us > b->event_us;
	return strcmp(of_a->name, of_b->name) > 0;
}

/* The answer, and how many claims could have been it. */
static const struct ur_claim *choose(const struct ur_cell *cell,
				     const struct ur_ranks *ranks,
				     uint64_t now_us, size_t *ret_count)
{
	const struct ur_claim *best = NULL;

	*ret_count = 0;
	for (size_t i = 0; i < cell->claims_count; i++) {
		const struct ur_claim *claim = &cell->claims[i];

		if (!counts(cell, claim, ranks, now_us))
			continue;
		++*ret_count;
		if (!best || is_greater(claim, best, ranks))
			best = claim;
	}
	return best;
}

const struct ur_claim *ur_answer(const struct ur_cell *cell,
				 const struct ur_ranks *ranks, uint64_t now_us)
{
	size_t count;

	return choose(cell, ranks, now_us, &count);
}

uint64_t ur_answer_contended_until(const struct ur_cell *cell,
				   const struct ur_ranks *ranks,
				   uint64_t now_us)
{
	const struct ur_claim *answer;
	size_t count;

	if (cell->claims_count < 2)
		return UR_TIME_NEVER;
	answer = choose(cell, ranks, now_us, &count);
	return count > 1 ? answer->deadline_us : UR_TIME_NEVER;
}
