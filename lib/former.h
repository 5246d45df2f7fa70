/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table that a writer of before left behind, dead or not: what lives it has
 * lent is known nowhere else.
 */
#ifndef UR_FORMER_H
#define UR_FORMER_H

#include "lease.h"

struct ur_former;

/*
 * Opens the table at a path, if it is ours alone, whole, of this boot, and
 * counts store time as we do. 0; an error: there is nothing to be learnt.
 */
int ur_former_open(struct ur_former **ret_former, const char *path,
		   uint64_t base_us);

void ur_former_close(struct ur_former *former);

/* Until when a claim of the store lives, if it was lent life there; else 0. */
uint64_t ur_former_get_lent_us(const struct ur_former *former,
			       const struct ur_lease *lease);

#endif
