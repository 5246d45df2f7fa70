/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A cell as bytes in the store: a checksum of the rest and of the address it
 * belongs to, version, claims, markers. Big-endian, as on the wire. A cell has
 * exactly one form. Pure; fuzzed.
 */
#ifndef UR_CELL_H
#define UR_CELL_H

#include "claim.h"

/* The bytes that ur_cell_encode() writes. */
size_t ur_cell_encoded_size(const struct ur_cell *cell);

/* Writes exactly that many bytes. */
void ur_cell_encode(const struct ur_cell *cell, struct uidrecv_address address,
		    uint8_t *bytes);

/*
 * Replaces the cell by what the bytes say. Returns 0, -ENOMEM, or
 * UIDRECV_E_STORE_DAMAGED if checksum, address or anything else is wrong.
 */
int ur_cell_decode(struct ur_cell *cell, struct uidrecv_address address,
		   const uint8_t *bytes, size_t size);

#endif
