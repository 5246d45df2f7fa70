/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a record of the wire to a statement for the store: is it well formed,
 * may this agent say it, and when was it in the store's time? Pure.
 */
#ifndef UR_ADMIT_H
#define UR_ADMIT_H

#include "claim.h"
#include "rights.h"

/* How far ahead of now a time may lie (doc/protocol.md section 6). */
#define UR_TOLERANCE_US UINT64_C(10000000)

#define UR_TIME_MAX (UINT64_C(1) << 62)

/*
 * Checks a record.
 *
 * offset_us is added to times of the agent to make them times of the store
 * (saturating at 0). as_of_us is of the agent's clock, now_us of the store's.
 * ret_statement->user points into the record.
 *
 * The code is of the first that fails: operation, address, the right to have
 * ports if there are any, user, lifetime, times. What the operation does not
 * have is zero in the statement, but event_us, which is then the time of
 * as_of_us. as_of_us of the statement is at most now_us; event_us may be ahead
 * by the tolerance. Of a record with ports the address in the statement is that
 * of the record: which block it is the store knows (ur_store_find_block()).
 *
 * Returns 0 or a positive enum uidrecv_reject.
 */
int ur_admit(const struct ur_right *right, const struct uidrecv_record *record,
	     uint64_t as_of_us, int64_t offset_us, uint64_t now_us,
	     struct ur_statement *ret_statement);

/*
 * Makes a time of the agent one of the store; within the tolerance ahead of now
 * it is now. False if it lies further ahead.
 */
bool ur_admit_time(uint64_t time_us, int64_t offset_us, uint64_t now_us,
		   uint64_t *ret_time_us);

/*
 * May a claim that is in the store stay there under these rights? It may not
 * if address, user or lifetime would be refused now. Of a block (see
 * ur_block_key()) not the address counts, which ur_admit_system() looks at,
 * but whether the agent may speak for multi-user systems.
 */
bool ur_admit_claim(const struct ur_right *right,
		    struct uidrecv_address address,
		    const struct ur_claim *claim);

/*
 * May an agent speak for this multi-user system? 0, or a positive enum
 * uidrecv_reject: MULTI_USER_NOT_ALLOWED, or ADDRESS_INVALID or
 * ADDRESS_NOT_ALLOWED of the first address that may not be in it. Whether it is
 * cut well is ur_system_check()'s.
 */
int ur_admit_system(const struct ur_right *right,
		    const struct uidrecv_system *system);

#endif
