/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>

#include <uidrecv/record.h>

#include "bytes.h"
#include "frame.h"

/* What may be fed at once, on top of one frame. */
#define FEED_MAX 65536

void ur_framer_init(struct ur_framer *framer, uint32_t body_limit)
{
	*framer = (struct ur_framer){0};
	ur_buf_init(&framer->buf, 0);
	ur_framer_set_limit(framer, body_limit);
}

void ur_framer_done(struct ur_framer *framer)
{
	ur_buf_done(&framer->buf);
	framer->taken = 0;
}

void ur_framer_set_limit(struct ur_framer *framer, uint32_t body_limit)
{
	framer->limit = body_limit;
	framer->buf.limit = (size_t)UR_FRAME_HEADER + body_limit + FEED_MAX;
}

static void drop_taken(struct ur_framer *framer)
{
	ur_buf_consume(&framer->buf, framer->taken);
	framer->taken = 0;
}

/* Bytes are lost, so the stream is, too: the error stays. */
static int fail(struct ur_framer *framer, int error)
{
	framer->error = error;
	ur_framer_done(framer);
	return error;
}

int ur_framer_feed(struct ur_framer *framer, const void *bytes, size_t size)
{
	if (framer->error)
		return framer->error;
	drop_taken(framer);
	ur_buf_bytes(&framer->buf, bytes, size);
	return framer->buf.failed ? fail(framer, -ENOMEM) : 0;
}

static void read_header(const uint8_t *bytes, struct ur_frame *ret_frame)
{
	struct ur_bytes reading = ur_bytes_of(bytes, UR_FRAME_HEADER);

	ret_frame->version = ur_bytes_u8(&reading);
	ret_frame->type = ur_bytes_u8(&reading);
	ret_frame->flags = ur_bytes_u16(&reading);
	ret_frame->length = ur_bytes_u32(&reading);
	ret_frame->serial = ur_bytes_u64(&reading);
	ret_frame->header = bytes;
	ret_frame->body = bytes + UR_FRAME_HEADER;
}

/* The code that answers the header, or 0. */
static uint16_t judge(const struct ur_frame *frame, uint32_t limit)
{
	if (frame->version == 0)
		return UIDRECV_BYE_BAD_VERSION;
	if (frame->flags != 0)
		return UIDRECV_BYE_BAD_FLAGS;
	if (frame->length > limit)
		return UIDRECV_BYE_BAD_LENGTH;
	return 0;
}

int ur_framer_next(struct ur_framer *framer, struct ur_frame *ret_frame)
{
	struct ur_frame frame;

	if (framer->error)
		return framer->error;
	drop_taken(framer);
	if (framer->buf.size < UR_FRAME_HEADER)
		return 0;
	read_header(ur_buf_front(&framer->buf), &frame);
	framer->bye = judge(&frame, framer->limit);
	if (framer->bye) {
		memcpy(framer->offending, frame.header, UR_FRAME_HEADER);
		return fail(framer, framer->bye == UIDRECV_BYE_BAD_LENGTH
					? UIDRECV_E_FRAME_SIZE
					: UIDRECV_E_FRAME);
	}
	if (framer->buf.size - UR_FRAME_HEADER < frame.length)
		return 0;
	framer->taken = UR_FRAME_HEADER + (size_t)frame.length;
	*ret_frame = frame;
	return 1;
}

bool ur_framer_is_inside(const struct ur_framer *framer)
{
	return framer->buf.size > framer->taken;
}

size_t ur_frame_begin(struct ur_buf *buf, uint8_t version, uint8_t type,
		      uint64_t serial)
{
	size_t begun = buf->size;

	ur_buf_u8(buf, version);
	ur_buf_u8(buf, type);
	ur_buf_u16(buf, 0);
	ur_buf_u32(buf, 0);
	ur_buf_u64(buf, serial);
	return begun;
}

void ur_frame_end(struct ur_buf *buf, size_t begun)
{
	if (buf->failed) {
		ur_buf_truncate(buf, begun);
		buf->failed = true;
		return;
	}
	ur_buf_patch_u32(buf, begun + 4,
			 (uint32_t)(buf->size - begun - UR_FRAME_HEADER));
}
