/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers as bytes of a frame or of the store, big-endian, and a checksum. Do
 * all the reads, then look once whether they went past the end. Inline, for
 * they are on the path of every record.
 */
#ifndef UR_BYTES_H
#define UR_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <uidrecv/types.h>

/* Numbers of the machine's own byte order, at any place. */
static inline uint16_t ur_bytes_host_u16(const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static inline uint32_t ur_bytes_host_u32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static inline uint64_t ur_bytes_host_u64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

/* Write at `to`, which has room, and return what is behind. */
static inline uint8_t *ur_bytes_put_raw(uint8_t *to, const void *from,
					size_t size)
{
	memcpy(to, from, size);
	return to + size;
}

static inline uint8_t *ur_bytes_put_u8(uint8_t *to, uint8_t value)
{
	*to = value;
	return to + 1;
}

static inline uint8_t *ur_bytes_put_u16(uint8_t *to, uint16_t value)
{
	value = htobe16(value);
	return ur_bytes_put_raw(to, &value, sizeof(value));
}

static inline uint8_t *ur_bytes_put_u32(uint8_t *to, uint32_t value)
{
	value = htobe32(value);
	return ur_bytes_put_raw(to, &value, sizeof(value));
}

static inline uint8_t *ur_bytes_put_u64(uint8_t *to, uint64_t value)
{
	value = htobe64(value);
	return ur_bytes_put_raw(to, &value, sizeof(value));
}

/* What is left to read of borrowed bytes. */
struct ur_bytes {
	const uint8_t *at;
	size_t left;
	bool is_short; /* Nothing is left then, and all reads give 0 or NULL. */
};

static inline struct ur_bytes ur_bytes_of(const void *bytes, size_t size)
{
	/* Never NULL, so that borrowed bytes of size 0 are not NULL either. */
	return (struct ur_bytes){size > 0 ? bytes : (const void *)"", size,
				 false};
}

/* The next `size` bytes, borrowed, or NULL if there are fewer. */
static inline const uint8_t *ur_bytes_raw(struct ur_bytes *bytes, size_t size)
{
	const uint8_t *at = bytes->at;

	if (bytes->is_short || bytes->left < size) {
		bytes->is_short = true;
		bytes->left = 0;
		return NULL;
	}
	bytes->at += size;
	bytes->left -= size;
	return at;
}

static inline uint8_t ur_bytes_u8(struct ur_bytes *bytes)
{
	const uint8_t *at = ur_bytes_raw(bytes, 1);

	return at ? *at : 0;
}

static inline uint16_t ur_bytes_u16(struct ur_bytes *bytes)
{
	const uint8_t *at = ur_bytes_raw(bytes, 2);

	return at ? be16toh(ur_bytes_host_u16(at)) : 0;
}

static inline uint32_t ur_bytes_u32(struct ur_bytes *bytes)
{
	const uint8_t *at = ur_bytes_raw(bytes, 4);

	return at ? be32toh(ur_bytes_host_u32(at)) : 0;
}

static inline uint64_t ur_bytes_u64(struct ur_bytes *bytes)
{
	const uint8_t *at = ur_bytes_raw(bytes, 8);

	return at ? be64toh(ur_bytes_host_u64(at)) : 0;
}

/* Each step can be undone, so two texts differing in one word never meet. */
static inline uint64_t ur_bytes_mix(uint64_t check, uint64_t word)
{
	check = (check ^ word) * UINT64_C(0x9e3779b97f4a7c15);
	return check ^ check >> 32;
}

/* 32 bits of the bytes, their number, and what they belong to. */
static inline uint32_t ur_checksum(struct uidrecv_address seed,
				   const uint8_t *bytes, size_t size)
{
	uint64_t check = ur_bytes_mix(ur_bytes_mix(size, seed.hi), seed.lo);
	uint64_t rest = 0;

	for (; size >= 8; bytes += 8, size -= 8)
		check = ur_bytes_mix(check, be64toh(ur_bytes_host_u64(bytes)));
	while (size-- > 0)
		rest = rest << 8 | *bytes++;
	check = ur_bytes_mix(check, rest);
	return (uint32_t)(ur_bytes_mix(check, 0) >> 32);
}

#endif
