/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The answer for an address: a pure function of its claims and markers, the
 * agents' ranks and the time.
 */
#ifndef UR_ANSWER_H
#define UR_ANSWER_H

#include "claim.h"

/*
 * Finds the living, unsuppressed claim with the greatest (priority, event
 * time, agent name), or NULL.
 */
const struct ur_claim *ur_answer(const struct ur_cell *cell,
				 const struct ur_ranks *ranks, uint64_t now_us);

/*
 * When the answer may change without a statement: the deadline of the answer
 * if another living, unsuppressed claim waits behind it; else NEVER.
 */
uint64_t ur_answer_contended_until(const struct ur_cell *cell,
				   const struct ur_ranks *ranks,
				   uint64_t now_us);

#endif
