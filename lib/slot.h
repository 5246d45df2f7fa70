/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The layout of the shared-memory table: what table.c writes and reader.c
 * reads. lib/README.md says why a reader is right at every instruction.
 *
 * One file is one generation. It never changes its size; growing means a new
 * file under the same path, and the word `superseded` in the old one.
 *
 *   header | agents | slots (one cache line each) | names
 *
 * All words are in host byte order; a table never leaves its machine. Every
 * word that is written after publication is atomic.
 */
#ifndef UR_SLOT_H
#define UR_SLOT_H

#include <stdatomic.h>
#include <stdint.h>

#include <uidrecv/types.h>

#define UR_TABLE_MAGIC UINT64_C(0x0a656c6261746975) /* "uitable\n" */
#define UR_TABLE_VERSION 1
#define UR_TABLE_SLOT_MASK_BITS_MAX 32

/*
 * One address. A slot is given to one address for the life of the generation
 * (seq != 0) and is never taken away, so a probe sequence never breaks.
 *
 * word[0]  seq (bits 0-31) | agent index (32-47) | source (48-55)
 *          | user_size (56-63). seq 0: the slot is free. Odd: the slot is
 *          being rewritten, its new content is in the header's draft. Even:
 *          the slot is whole.
 * word[1]  address.hi    word[2]  address.lo
 * word[3]  deadline in milliseconds of the store's time (bits 0-47; all ones:
 *          never; 0: nobody is here) | check of that and the address (48-63)
 * word[4]  change number of the answer
 * word[5]  check of the rest (bits 0-31) | name bytes 0-3 (32-63)
 * word[6]  name bytes 4-11     word[7]  name bytes 12-19
 *
 * A name of more than 20 bytes lies in the names area, immutable once
 * published: word[6] is its offset from the start of the file, word[7] a check
 * of its bytes.
 */
#define UR_SLOT_WORDS 8
#define UR_SLOT_NAME_INLINE 20

struct ur_slot {
	_Alignas(64) _Atomic uint64_t word[UR_SLOT_WORDS];
};

#define UR_DEADLINE_NEVER ((UINT64_C(1) << 48) - 1)

/* An agent's name; written once, before any slot names its index. */
struct ur_table_agent {
	uint8_t name_size;
	char name[UIDRECV_NAME_MAX];
};

struct ur_table_header {
	/* Written before the file gets its name; never after. */
	uint64_t magic;
	uint32_t version;
	uint32_t header_bytes;
	uint64_t file_bytes;
	uint64_t generation;  /* never repeats; what cursors compare */
	uint64_t base_us;     /* store time = CLOCK_BOOTTIME + base */
	uint8_t boot_id[16];
	uint64_t time_namespace; /* inode of /proc/self/ns/time */
	uint64_t agents_offset;
	uint64_t agents_max;
	uint64_t slots_offset;
	uint64_t slots_count; /* a power of two */
	uint64_t names_offset;
	uint64_t names_bytes;
	uint64_t header_check; /* of all the above */

	/* Written all the time. */
	_Alignas(64) _Atomic uint64_t superseded; /* 1: look at the path */
	_Atomic uint64_t change;       /* of the newest changed answer */
	_Atomic uint64_t heartbeat_us; /* CLOCK_BOOTTIME */
	_Atomic uint64_t entries;      /* slots in use */

	/* What the one odd slot will hold. */
	struct ur_slot draft;
};

#endif
