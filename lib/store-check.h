/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Is a file safe for LMDB to open? Reads all pages that LMDB could follow,
 * without LMDB, and changes nothing.
 */
#ifndef UR_STORE_CHECK_H
#define UR_STORE_CHECK_H

/*
 * Returns 0, -errno, UIDRECV_E_STORE (no file of LMDB 0.9 of this kind of
 * machine), or UIDRECV_E_STORE_DAMAGED.
 */
int ur_store_check_file(int fd);

#endif
