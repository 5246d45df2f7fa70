/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The layout of the shared-memory table: what table.c writes and view.c reads.
 * lib/README.md says why a reader is right at every instruction.
 *
 * One file is one generation. It never changes its size; growing means a new
 * file under the same path, and the word `superseded` in the old one.
 *
 *   header | lines | slots (one cache line each) | kept | names
 *
 * All words are in host byte order; a table never leaves its machine. Every
 * word that is written after publication is atomic, or (names, of lines too)
 * is written once, before a slot leads to it.
 */
#ifndef UR_SLOT_H
#define UR_SLOT_H

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include <uidrecv/types.h>

#define UR_TABLE_MAGIC UINT64_C(0x0a656c6261746975) /* "uitable\n" */
#define UR_TABLE_VERSION 4
#define UR_TABLE_LINES_MAX 65536
#define UR_TABLE_SLOTS_MIN 1024
#define UR_TABLE_SLOTS_MAX (UINT64_C(1) << 32)
#define UR_TABLE_NAMES_MAX (UINT64_C(1) << 40)

/*
 * How far from its home an address may lie. The writer grows rather than go
 * further, so a reader of a damaged table does not go round for ever.
 */
#define UR_PROBE_MAX 1024

/*
 * One address. A slot is given to one address for the life of the generation
 * (seq != 0) and is never taken away, so a probe sequence never breaks.
 *
 * word[0]  seq (bits 0-31) | index of the line (32-47) | source (48-55)
 *          | user_size (56-63). seq 0: the slot is free. Odd: the slot is
 *          being rewritten, its new content is in the header's draft. Even:
 *          the slot is whole.
 * word[1]  address.hi    word[2]  address.lo
 * word[3]  deadline in milliseconds of the store's time (bits 0-47; all ones:
 *          never; 0: nobody is here) | check of that and the address (48-63)
 * word[4]  lifetime in seconds (bits 0-23), which REFRESH ALL renews by
 *          | change number of the answer minus change_base (24-63)
 * word[5]  check of the rest (bits 0-31) | name bytes 16-19 (32-63)
 * word[6]  name bytes 0-7      word[7]  name bytes 8-15
 *
 * A name of more than 20 bytes lies in the names area, immutable once
 * published: word[6] is its offset from the start of the file, word[7] a check
 * of its bytes. The rest of an inline name is zero.
 *
 * A user of no bytes is no user: the address is multi-user, the slot is a
 * sentinel. Its deadline is never, and the words of the name are its system's:
 *
 * word[5]  agent's id (32-63)  word[6]  first port (0-15) | count of ports
 * word[7]  ports in a block             (16-63), the range
 *
 * A block of ports is in a slot of its own, under its key (block.h).
 */
#define UR_SLOT_WORDS 8
#define UR_SLOT_NAME_INLINE 20

struct ur_slot {
	_Alignas(64) _Atomic uint64_t word[UR_SLOT_WORDS];
};

#define UR_DEADLINE_NEVER ((UINT64_C(1) << 48) - 1)

/*
 * Beside the slots lies a word of 32 bits for each, for writers alone: until
 * when the store has the answer live by itself, in milliseconds, of which the
 * higher bits are those of the deadline in the slot; 0: what is in the slot is
 * not known to be what the store has. Between the two is at most an eighth of
 * the lifetime: what a refresh may lend before it is written.
 */
#define UR_KEPT_BYTES 4
#define UR_LENT_MAX_MS(lifetime_s) ((uint64_t)(lifetime_s)*1000 / 8)

/* About 194 days; what lives longer is renewed by that, which is no harm. */
#define UR_LIFETIME_MAX_S ((UINT64_C(1) << 24) - 1)

/* The first change number that, minus change_base, has no room in a slot. */
#define UR_CHANGES_MAX (UINT64_C(1) << 40)

/*
 * What all answers of one epoch of an agent have in common. The name is
 * written once, before any slot names the line.
 *
 * state    REFRESH ALL time in milliseconds of the store's time (bits 0-47; 0:
 *          none; all ones: the answers were dropped) | check of that and the
 *          line's index (48-63)
 */
#define UR_LINE_DROPPED UR_DEADLINE_NEVER

/* The agent's name, and zeros up to whole words, by which it is read. */
#define UR_LINE_NAME_ROOM (UIDRECV_NAME_MAX + 1)

struct ur_table_line {
	_Atomic uint64_t state;
	uint64_t check; /* size of the name (bits 0-7) | check of it (8-63) */
	char name[UR_LINE_NAME_ROOM];
};

/* Written before the file gets its name; never after. */
struct ur_table_layout {
	uint64_t magic;
	uint32_t version;
	uint32_t header_bytes;
	uint64_t file_bytes;
	uint64_t
	    generation;	  /* random; what cursors compare, seeds hash, checks */
	uint64_t base_us; /* store time = CLOCK_BOOTTIME + base */
	uint8_t boot_id[16];
	uint64_t time_namespace; /* inode of /proc/self/ns/time */
	uint64_t change_base;	 /* of the table's first generation */
	uint64_t lines_offset;
	uint64_t lines_max;
	uint64_t slots_offset;
	uint64_t slots_count; /* a power of two */
	uint64_t names_offset;
	uint64_t names_bytes;
	uint64_t header_check; /* of all the above */
};

struct ur_table_header {
	struct ur_table_layout layout;

	/* Loaded by each lookup, so apart from what each change writes. */
	_Alignas(64) _Atomic uint64_t superseded; /* 1: look at the path */
	_Atomic uint64_t heartbeat_us;		  /* CLOCK_BOOTTIME */

	/* Written all the time. */
	_Alignas(64) _Atomic uint64_t change; /* of the newest changed answer */
	_Atomic uint64_t entries;	      /* slots in use */
	_Atomic uint64_t lends; /* 1: look at what lies beside slots */

	/* What the one odd slot will hold; word[0] is that of the odd slot. */
	struct ur_slot draft;
};

static_assert(sizeof(struct ur_slot) == 64, "a slot is a cache line");
static_assert(sizeof(struct ur_table_line) == 272, "no padding");
static_assert(sizeof(struct ur_table_layout) == 128, "no padding");
static_assert(sizeof(struct ur_table_header) == 320, "no hidden padding");

/*
 * Every word is loaded with acquire and stored with release, so what a reader
 * has seen of a rewrite it also sees in word[0], on every machine. On x86
 * both are plain moves.
 */
static inline uint64_t ur_load(const _Atomic uint64_t *word)
{
	return atomic_load_explicit(word, memory_order_acquire);
}

static inline void ur_store(_Atomic uint64_t *word, uint64_t value)
{
	atomic_store_explicit(word, value, memory_order_release);
}

static inline uint32_t ur_load_kept(const _Atomic uint32_t *kept)
{
	return atomic_load_explicit(kept, memory_order_acquire);
}

static inline void ur_store_kept(_Atomic uint32_t *kept, uint32_t value)
{
	atomic_store_explicit(kept, value, memory_order_release);
}

static inline uint32_t ur_meta_seq(uint64_t word0)
{
	return (uint32_t)word0;
}

static inline uint16_t ur_meta_line(uint64_t word0)
{
	return (uint16_t)(word0 >> 32);
}

static inline uint8_t ur_meta_source(uint64_t word0)
{
	return (uint8_t)(word0 >> 48);
}

static inline uint8_t ur_meta_user_size(uint64_t word0)
{
	return (uint8_t)(word0 >> 56);
}

static inline uint64_t ur_meta(uint16_t line, uint8_t source, uint8_t size)
{
	return (uint64_t)size << 56 | (uint64_t)source << 48 |
	       (uint64_t)line << 32;
}

static inline uint64_t ur_lifetime_s(uint64_t word4)
{
	return word4 & UR_LIFETIME_MAX_S;
}

static inline uint64_t ur_change_offset(uint64_t word4)
{
	return word4 >> 24;
}

/* word[4]; the change number is without change_base. */
static inline uint64_t ur_change_word(uint64_t change_offset,
				      uint64_t lifetime_s)
{
	if (lifetime_s > UR_LIFETIME_MAX_S)
		lifetime_s = UR_LIFETIME_MAX_S;
	return change_offset << 24 | lifetime_s;
}

__extension__ typedef unsigned __int128 ur_u128;

/*
 * Where an address belongs, before the mask. Seeded with the generation, so
 * that an agent cannot choose addresses that collide.
 */
static inline uint64_t ur_hash(uint64_t generation,
			       struct uidrecv_address address)
{
	uint64_t left = address.hi ^ generation;
	uint64_t right = address.lo ^ (generation << 32 | generation >> 32) ^
			 UINT64_C(0x9e3779b97f4a7c15);
	ur_u128 product = (ur_u128)left * right;
	uint64_t folded = (uint64_t)product ^ (uint64_t)(product >> 64);

	/*
	 * For IPv4 left is the generation alone. One in a thousand ends in ten
	 * zero bits, and so would the product: neighbours would share a home.
	 */
	folded ^= folded >> 32;
	folded *= UINT64_C(0x9e3779b97f4a7c15);
	return folded ^ folded >> 29;
}

/*
 * The check of word[3]'s deadline, for a slot whose address has this hash. The
 * multiplier has no run of 16 equal bits, so every single flipped bit of the
 * deadline shows.
 */
static inline uint64_t ur_sum_deadline(uint64_t hash, uint64_t deadline_ms)
{
	return hash + deadline_ms * UINT64_C(0x8ebc6af09c88c6e3);
}

/*
 * The check of everything else: all of a slot but seq and deadline. One
 * multiplier, for the many would cost a reader as much as their products.
 */
static inline uint32_t ur_sum_rest(uint64_t hash,
				   const uint64_t word[UR_SLOT_WORDS])
{
	const uint64_t factor = UINT64_C(0xa0761d6478bd642f);
	uint64_t sum = hash + (word[0] >> 32);

	sum = sum * factor + (word[5] >> 32);
	sum = sum * factor + word[4];
	sum = sum * factor + word[6];
	sum = sum * factor + word[7];
	return (uint32_t)(sum * factor >> 32);
}

/* Whether deadline and rest are what was written there. */
static inline bool ur_sums_are_right(uint64_t hash,
				     const uint64_t word[UR_SLOT_WORDS])
{
	uint64_t deadline_ms = word[3] & UR_DEADLINE_NEVER;

	return (ur_sum_deadline(hash, deadline_ms) ^ word[3]) >> 48 == 0 &&
	       ur_sum_rest(hash, word) == (uint32_t)word[5];
}

static inline uint64_t ur_slot_hash(uint64_t generation,
				    const uint64_t word[UR_SLOT_WORDS])
{
	return ur_hash(generation, (struct uidrecv_address){word[1], word[2]});
}

static inline uint32_t ur_check_rest(uint64_t generation,
				     const uint64_t word[UR_SLOT_WORDS])
{
	return ur_sum_rest(ur_slot_hash(generation, word), word);
}

/* The check of a name in the names area or of a line, and of the layout. */
static inline uint64_t ur_check_bytes(uint64_t generation, const void *bytes,
				      size_t size)
{
	const char *next = bytes;
	uint64_t sum = generation + size;

	while (size > 0) {
		size_t step = size < 8 ? size : 8;
		uint64_t word = 0;

		memcpy(&word, next, step);
		sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		sum ^= sum >> 29;
		next += step;
		size -= step;
	}
	return sum * UINT64_C(0xbf58476d1ce4e5b9);
}

static inline uint64_t ur_deadline_word(uint64_t generation,
					const uint64_t word[UR_SLOT_WORDS],
					uint64_t deadline_ms)
{
	uint64_t hash = ur_slot_hash(generation, word);

	return ur_sum_deadline(hash, deadline_ms) >> 48 << 48 | deadline_ms;
}

static inline uint64_t ur_deadline_ms(uint64_t word3)
{
	return word3 & UR_DEADLINE_NEVER;
}

/* Whether the deadline of a slot is what was written there. */
static inline bool ur_deadline_is_whole(uint64_t generation,
					const uint64_t word[UR_SLOT_WORDS])
{
	return word[3] ==
	       ur_deadline_word(generation, word, ur_deadline_ms(word[3]));
}

/* The state of a line. Its check is as good as that of a deadline. */
static inline uint64_t ur_line_word(uint64_t generation, uint32_t index,
				    uint64_t refreshed_ms)
{
	uint64_t sum = generation * UINT64_C(0xc2b2ae3d27d4eb4f) +
		       (index + UINT64_C(1)) * UINT64_C(0xe7037ed1a0b428db) +
		       refreshed_ms * UINT64_C(0x8ebc6af09c88c6e3);

	return sum >> 48 << 48 | refreshed_ms;
}

/* The check of a line's name, with its size. */
static inline uint64_t ur_line_check(uint64_t generation, const char *name,
				     uint8_t size)
{
	return (ur_check_bytes(generation, name, size) & ~UINT64_C(0xff)) |
	       size;
}

static inline uint8_t ur_line_name_size(const struct ur_table_line *line)
{
	return (uint8_t)line->check;
}

static inline uint64_t ur_line_ms(uint64_t state)
{
	return state & UR_LINE_DROPPED;
}

/* Whether the state of a line is what was written there. */
static inline bool ur_line_is_whole(uint64_t generation, uint32_t index,
				    uint64_t state)
{
	return state == ur_line_word(generation, index, ur_line_ms(state));
}

/*
 * The deadline that an answer has by its own words and by its line's state, by
 * which alone its life is judged; 0 if it is dropped or taken back.
 */
static inline uint64_t ur_effective_ms(const uint64_t word[UR_SLOT_WORDS],
				       uint64_t state)
{
	uint64_t own_ms = ur_deadline_ms(word[3]);
	uint64_t line_ms = ur_line_ms(state);
	uint64_t renewed_ms = line_ms + ur_lifetime_s(word[4]) * 1000;

	if (line_ms == UR_LINE_DROPPED || own_ms == 0)
		return 0;
	if (line_ms == 0 || own_ms >= renewed_ms)
		return own_ms;
	return renewed_ms < UR_DEADLINE_NEVER ? renewed_ms
					      : UR_DEADLINE_NEVER - 1;
}

/* Whether an answer with this deadline lives; 0 never does. */
static inline bool ur_deadline_is_alive(uint64_t deadline_ms,
					uint64_t store_now_us)
{
	return store_now_us / 1000 < deadline_ms ||
	       deadline_ms == UR_DEADLINE_NEVER;
}

/* How readers find the block of a port of a multi-user address. */
struct ur_table_system {
	uint32_t agent;	     /* whose blocks they are: see ur_block_key() */
	uint32_t block_size; /* 0: the address is not multi-user */
	struct uidrecv_ports ports; /* the range */
};

/* Whether ports can be cut so: a whole block, and none past 65535. */
static inline bool ur_slot_is_system(const struct ur_table_system *system)
{
	return system->block_size > 0 &&
	       system->block_size <= system->ports.count &&
	       system->ports.count <= 65536u - system->ports.start;
}

/* Puts a system into words 5 to 7. */
static inline void ur_slot_set_system(uint64_t word[UR_SLOT_WORDS],
				      const struct ur_table_system *system)
{
	word[5] = (uint64_t)system->agent << 32;
	word[6] = (uint64_t)system->ports.count << 16 | system->ports.start;
	word[7] = system->block_size;
}

/* Reads the system of a sentinel; false if no writer has written it. */
static inline bool ur_slot_get_system(const uint64_t word[UR_SLOT_WORDS],
				      struct ur_table_system *ret_system)
{
	struct ur_table_system system = {
	    .agent = (uint32_t)(word[5] >> 32),
	    .block_size = (uint32_t)word[7],
	    .ports = {(uint16_t)word[6], (uint32_t)(word[6] >> 16)},
	};

	*ret_system = system;
	return ur_deadline_ms(word[3]) == UR_DEADLINE_NEVER &&
	       word[6] >> 48 == 0 && word[7] >> 32 == 0 &&
	       ur_slot_is_system(&system);
}

/* Whether the rest of a slot is what was written there. */
static inline bool ur_rest_is_whole(uint64_t generation,
				    const uint64_t word[UR_SLOT_WORDS])
{
	return (uint32_t)word[5] == ur_check_rest(generation, word);
}

#endif
