/* SPDX-License-Identifier: BSD-2-Clause */
/* Makes the next generation out of the living answers of a full one. */
#ifndef UR_GROWTH_H
#define UR_GROWTH_H

#include "generation.h"

/* The fewest slots that hold so many addresses without growing. */
uint64_t ur_growth_slots(uint64_t entries);

/* How many lines go with so many slots, so many being in use. */
uint64_t ur_growth_lines(uint64_t slots, uint64_t used);

/*
 * Copies what lives, and the lines that it leads to, into a new file with room
 * for factor times as much; if this one is not published yet, for all that is
 * expected and names like those so far. The new generation is whole, but not
 * yet in the place of the old. ret_number has now->lines_used entries: the new
 * index + 1 of each line, in the same order, or 0. 0; UIDRECV_E_TABLE if the
 * old generation is damaged; -ENOSPC or another errno.
 */
int ur_growth_make(const struct ur_generation *now,
		   const struct ur_generation_site *site, uint64_t store_now_us,
		   uint64_t factor, struct ur_generation *ret_next,
		   uint32_t *ret_number);

#endif
