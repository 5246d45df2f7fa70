/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes to frames and back (doc/protocol.md section 2). Pure. */
#ifndef UR_FRAME_H
#define UR_FRAME_H

#include "buf.h"

#define UR_FRAME_HEADER 16
#define UR_FRAME_BODY_MIN 4096	     /* the limit before READY */
#define UR_FRAME_BODY_MAX (1u << 20) /* the largest FRAME_MAX */
#define UR_PROTOCOL_VERSION 1

struct ur_frame {
	uint8_t version;
	uint8_t type;
	uint16_t flags;
	uint32_t length;
	uint64_t serial;
	const uint8_t *header; /* UR_FRAME_HEADER bytes */
	const uint8_t *body;   /* length bytes */
};

/* Cuts a stream into frames. */
struct ur_framer {
	struct ur_buf buf;
	size_t taken;	/* bytes of the frame given out last */
	uint32_t limit; /* of a body */
	int error;	/* sticky */
	uint16_t bye;	/* the code that answers the error */
	uint8_t offending[UR_FRAME_HEADER];
};

void ur_framer_init(struct ur_framer *framer, uint32_t body_limit);
void ur_framer_done(struct ur_framer *framer);
void ur_framer_set_limit(struct ur_framer *framer, uint32_t body_limit);

/*
 * Takes bytes of the stream. Call ur_framer_next() until it returns 0 before
 * feeding again, and feed at most 64 KiB at once: then no more is held than
 * one frame and that. 0, -ENOMEM, or the sticky error; -ENOMEM is sticky, too,
 * for the bytes are lost.
 */
int ur_framer_feed(struct ur_framer *framer, const void *bytes, size_t size);

/*
 * Gives the next frame, valid until the next call into the framer. Checks
 * version != 0, flags and length, in this order, as soon as the header is
 * there. On an error what is held is freed.
 *
 * 1 a frame, 0 more bytes are needed, or for ever after: UIDRECV_E_FRAME,
 * UIDRECV_E_FRAME_SIZE, with bye and offending filled.
 */
int ur_framer_next(struct ur_framer *framer, struct ur_frame *ret_frame);

/* Is a frame begun and not complete? */
bool ur_framer_is_inside(const struct ur_framer *framer);

/*
 * Begins a frame at the end of buf and returns where, ends it there. The body
 * is what was written in between; nothing may be consumed meanwhile. If buf
 * has failed, the end takes the whole frame back, so that a failed buf still
 * holds whole frames only.
 */
size_t ur_frame_begin(struct ur_buf *buf, uint8_t version, uint8_t type,
		      uint64_t serial);
void ur_frame_end(struct ur_buf *buf, size_t begun);

#endif
