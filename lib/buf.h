/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bounded queue of bytes with a sticky error: do all the writes, then check
 * once. Numbers are big-endian. Pure.
 */
#ifndef UR_BUF_H
#define UR_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A queue of bytes: written at the end, consumed at the front. Grows up to
 * limit; beyond it, or without memory, it fails and stays as it was before the
 * failing write. Has no memory while it is empty: connections are idle for most
 * of their lives.
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
