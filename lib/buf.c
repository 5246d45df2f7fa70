/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "buf.h"

#define ROOM_MIN 256

/* More room than this is given back when the queue gets empty. */
#define ROOM_KEPT 16384

void ur_buf_init(struct ur_buf *buf, size_t limit)
{
	*buf = (struct ur_buf){.limit = limit};
}

static void release(struct ur_buf *buf)
{
	free(buf->bytes);
	buf->bytes = NULL;
	buf->start = 0;
	buf->room = 0;
}

void ur_buf_done(struct ur_buf *buf)
{
	release(buf);
	buf->size = 0;
}

static bool grow(struct ur_buf *buf, size_t wanted)
{
	size_t room = buf->room > 0 ? buf->room : ROOM_MIN;
	uint8_t *bytes;

	while (room < wanted)
		room = room <= SIZE_MAX / 2 ? room * 2 : wanted;
	if (room > buf->limit)
		room = buf->limit;
	bytes = malloc(room);
	if (!bytes)
		return false;
	if (buf->size > 0)
		memcpy(bytes, ur_buf_front(buf), buf->size);
	free(buf->bytes);
	buf->bytes = bytes;
	buf->start = 0;
	buf->room = room;
	return true;
}

/* Makes room for size bytes at the end and counts them; NULL if it cannot. */
static uint8_t *extend(struct ur_buf *buf, size_t size)
{
	uint8_t *end;

	if (buf->failed || size > buf->limit || buf->size > buf->limit - size) {
		buf->failed = true;
		return NULL;
	}
	if (buf->size + size > buf->room) {
		if (!grow(buf, buf->size + size)) {
			buf->failed = true;
			return NULL;
		}
	} else if (buf->start > buf->room - buf->size - size) {
		memmove(buf->bytes, ur_buf_front(buf), buf->size);
		buf->start = 0;
	}
	end = buf->bytes + buf->start + buf->size;
	buf->size += size;
	return end;
}

static void store_number(uint8_t *bytes, uint64_t value, size_t size)
{
	while (size-- > 0) {
		bytes[size] = (uint8_t)value;
		value >>= 8;
	}
}

static void write_number(struct ur_buf *buf, uint64_t value, size_t size)
{
	uint8_t *end = extend(buf, size);

	if (end)
		store_number(end, value, size);
}

void ur_buf_u8(struct ur_buf *buf, uint8_t value)
{
	write_number(buf, value, 1);
}

void ur_buf_u16(struct ur_buf *buf, uint16_t value)
{
	write_number(buf, value, 2);
}

void ur_buf_u32(struct ur_buf *buf, uint32_t value)
{
	write_number(buf, value, 4);
}

void ur_buf_u64(struct ur_buf *buf, uint64_t value)
{
	write_number(buf, value, 8);
}

void ur_buf_bytes(struct ur_buf *buf, const void *bytes, size_t size)
{
	uint8_t *end;

	if (size == 0)
		return;
	end = extend(buf, size);
	if (end)
		memcpy(end, bytes, size);
}

void ur_buf_consume(struct ur_buf *buf, size_t size)
{
	if (size < buf->size) {
		buf->start += size;
		buf->size -= size;
		return;
	}
	buf->start = 0;
	buf->size = 0;
	if (buf->room > ROOM_KEPT)
		release(buf);
}

static void patch(struct ur_buf *buf, size_t offset, uint64_t value,
		  size_t size)
{
	if (offset <= buf->size && size <= buf->size - offset)
		store_number(buf->bytes + buf->start + offset, value, size);
	else
		buf->failed = true;
}

void ur_buf_patch_u16(struct ur_buf *buf, size_t offset, uint16_t value)
{
	patch(buf, offset, value, 2);
}

void ur_buf_patch_u32(struct ur_buf *buf, size_t offset, uint32_t value)
{
	patch(buf, offset, value, 4);
}

void ur_buf_truncate(struct ur_buf *buf, size_t size)
{
	if (size < buf->size)
		buf->size = size;
	buf->failed = false;
}
