/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers as bytes of the store, big-endian, and their checksum. Reading past
 * the end is sticky. Inline, for they are on the path of every record.
 */
#ifndef UR_BYTES_H
#define UR_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <uidrecv/types.h>

/* Write at `to`, which has room, and return what is behind. */
static inline uint8_t *ur_bytes_put(uint8_t *to, uint64_t value, int size)
{
	for (int i = size; i-- > 0; value >>= 8)
		to[i] = (uint8_t)value;
	return to + size;
}

static inline uint8_t *ur_bytes_put_u8(uint8_t *to, uint8_t value)
{
	return ur_bytes_put(to, value, 1);
}

static inline uint8_t *ur_bytes_put_u16(uint8_t *to, uint16_t value)
{
	return ur_bytes_put(to, value, 2);
}

static inline uint8_t *ur_bytes_put_u32(uint8_t *to, uint32_t value)
{
	return ur_bytes_put(to, value, 4);
}

static inline uint8_t *ur_bytes_put_u64(uint8_t *to, uint64_t value)
{
	return ur_bytes_put(to, value, 8);
}

static inline uint8_t *ur_bytes_put_raw(uint8_t *to, const void *from,
					size_t size)
{
	memcpy(to, from, size);
	return to + size;
}

/* What is left to read. After is_short every number read is 0. */
struct ur_bytes {
	const uint8_t *at;
	size_t left;
	bool is_short;
};

/* The next `size` bytes, or NULL. */
static inline const uint8_t *ur_bytes_raw(struct ur_bytes *bytes, size_t size)
{
	const uint8_t *at = bytes->at;

	if (bytes->is_short || bytes->left < size) {
		bytes->is_short = true;
		return NULL;
	}
	bytes->at += size;
	bytes->left -= size;
	return at;
}

static inline uint64_t ur_bytes_number(struct ur_bytes *bytes, size_t size)
{
	const uint8_t *at = ur_bytes_raw(bytes, size);
	uint64_t value = 0;

	for (size_t i = 0; at && i < size; i++)
		value = value << 8 | at[i];
	return value;
}

static inline uint8_t ur_bytes_u8(struct ur_bytes *bytes)
{
	return (uint8_t)ur_bytes_number(bytes, 1);
}

static inline uint16_t ur_bytes_u16(struct ur_bytes *bytes)
{
	return (uint16_t)ur_bytes_number(bytes, 2);
}

static inline uint32_t ur_bytes_u32(struct ur_bytes *bytes)
{
	return (uint32_t)ur_bytes_number(bytes, 4);
}

static inline uint64_t ur_bytes_u64(struct ur_bytes *bytes)
{
	return ur_bytes_number(bytes, 8);
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
	struct ur_bytes rest = {bytes, size, false};

	while (rest.left >= 8)
		check = ur_bytes_mix(check, ur_bytes_u64(&rest));
	check = ur_bytes_mix(check, ur_bytes_number(&rest, rest.left));
	return (uint32_t)(ur_bytes_mix(check, 0) >> 32);
}

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

#endif
