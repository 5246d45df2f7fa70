/* SPDX-License-Identifier: BSD-2-Clause */
/* A record of an UPDATE that is refused: what REJECT says, and the store keeps.
 */
#ifndef UR_REFUSAL_H
#define UR_REFUSAL_H

#include <stdint.h>

/* As many as an UPDATE has records. */
#define UR_REFUSALS_MAX 1024

struct ur_refusal {
	uint32_t index; /* of the record, below UR_REFUSALS_MAX */
	uint16_t code;	/* enum uidrecv_reject */
};

#endif
