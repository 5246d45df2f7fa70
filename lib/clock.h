/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The only file that reads clocks. In libuidlookup; libuidrecv uses it through
 * the private version node of its map.
 */
#ifndef UR_CLOCK_H
#define UR_CLOCK_H

#include <stdint.h>

#include <uidrecv/types.h>

/* CLOCK_BOOTTIME in microseconds; also exported as uidrecv_now_us(). */
UIDRECV_API uint64_t ur_clock_boot_us(void);

/* CLOCK_REALTIME in microseconds since 1970. May step. */
UIDRECV_API uint64_t ur_clock_wall_us(void);

/* The boot id of the kernel, 16 bytes. 0 or -errno. */
UIDRECV_API int ur_clock_boot_id(uint8_t ret_boot_id[16]);

/* The inode of this process's time namespace. 0 or -errno. */
UIDRECV_API int ur_clock_namespace(uint64_t *ret_inode);

#endif
