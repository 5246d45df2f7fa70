/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bounded readers and writers of bytes with a sticky error: do all the reads
 * or writes, then check once. Big-endian. Pure. Reading is inline, for it is on
 * the path of every record.
 */
#ifndef UR_BUF_H
#define UR_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"

/* Reads from borrowed bytes. After an overrun all reads give 0 or NULL. */
struct ur_reading {
	const uint8_t *at;
	size_t left;
	bool failed;
};

static inline void ur_reading_init(struct ur_reading *reading,
				   const void *bytes, size_t size)
{
	/* Never NULL, so that borrowed bytes of size 0 are not NULL either. */
	reading->at = size > 0 ? bytes : (const void *)"";
	reading->left = size;
	reading->failed = false;
}

/* The next size bytes, borrowed. NULL if there are fewer. */
static inline const uint8_t *ur_reading_bytes(struct ur_reading *reading,
					      size_t size)
{
	const uint8_t *bytes = reading->at;

	if (reading->failed || size > reading->left) {
		reading->failed = true;
		reading->left = 0;
		return NULL;
	}
	reading->at += size;
	reading->left -= size;
	return bytes;
}

static inline uint8_t ur_reading_u8(struct ur_reading *reading)
{
	const uint8_t *at = ur_reading_bytes(reading, 1);

	return at ? *at : 0;
}

static inline uint16_t ur_reading_u16(struct ur_reading *reading)
{
	const uint8_t *at = ur_reading_bytes(reading, 2);

	return at ? be16toh(ur_bytes_host_u16(at)) : 0;
}

static inline uint32_t ur_reading_u32(struct ur_reading *reading)
{
	const uint8_t *at = ur_reading_bytes(reading, 4);

	return at ? be32toh(ur_bytes_host_u32(at)) : 0;
}

static inline uint64_t ur_reading_u64(struct ur_reading *reading)
{
	const uint8_t *at = ur_reading_bytes(reading, 8);

	return at ? be64toh(ur_bytes_host_u64(at)) : 0;
}

/*
 * A queue of bytes: written at the end, consumed at the front. Grows up to
 * limit; beyond it, or without memory, it fails and stays as it was before the
 * failing write. Frees its memory when it gets empty after having been large.
 */
struct ur_buf {
	uint8_t *bytes;
	size_t start, size, room, limit;
	bool failed;
};

void ur_buf_init(struct ur_buf *buf, size_t limit);
void ur_buf_done(struct ur_buf *buf);
void ur_buf_u8(struct ur_buf *buf, uint8_t value);
void ur_buf_u16(struct ur_buf *buf, uint16_t value);
void ur_buf_u32(struct ur_buf *buf, uint32_t value);
void ur_buf_u64(struct ur_buf *buf, uint64_t value);
void ur_buf_bytes(struct ur_buf *buf, const void *bytes, size_t size);
/* What is queued: buf->size bytes from here. */
static inline const uint8_t *ur_buf_front(const struct ur_buf *buf)
{
	return buf->bytes ? buf->bytes + buf->start : NULL;
}
void ur_buf_consume(struct ur_buf *buf, size_t size);
/* Overwrites at an offset from the front; it must lie inside. */
void ur_buf_patch_u16(struct ur_buf *buf, size_t offset, uint16_t value);
void ur_buf_patch_u32(struct ur_buf *buf, size_t offset, uint32_t value);
/* Cuts the queue back to its first size bytes and clears the failure. */
void ur_buf_truncate(struct ur_buf *buf, size_t size);

#endif
