/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A stream of frames. The first byte is the size of the pieces in which it is
 * fed a second time: that must give the same frames and the same end.
 */
#include <stdlib.h>
#include <string.h>

#include "message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PIECE_MAX 65536
#define BODY_MAX 65536

static void check(bool is_so)
{
	if (!is_so)
		abort();
}

/* Written again, a frame is the bytes that it was. */
static void check_written(struct ur_buf *frames, const struct ur_frame *frame)
{
	size_t begun =
	    ur_frame_begin(frames, frame->version, frame->type, frame->serial);

	ur_buf_bytes(frames, frame->body, frame->length);
	ur_frame_end(frames, begun);
	check(!frames->failed);
	check(memcmp(ur_buf_front(frames) + begun, frame->header,
		     UR_FRAME_HEADER) == 0);
}

static int drain(struct ur_framer *framer, struct ur_buf *frames)
{
	struct ur_frame frame;
	int result;

	while ((result = ur_framer_next(framer, &frame)) == 1) {
		check_written(frames, &frame);
		if (frame.type == UR_READY)
			ur_framer_set_limit(framer, BODY_MAX);
	}
	check(framer->buf.room <=
	      UR_FRAME_HEADER + framer->limit + (size_t)PIECE_MAX);
	return result;
}

/* Returns how it ended: a BYE, 1 inside of a frame, or 0. */
static int run(const uint8_t *data, size_t size, size_t piece,
	       struct ur_buf *frames)
{
	struct ur_framer framer;
	int result = 0;

	ur_buf_init(frames, size);
	ur_framer_init(&framer, UR_FRAME_BODY_MIN);
	for (size_t at = 0; at < size && result == 0; at += piece) {
		size_t left = size - at;

		result = ur_framer_feed(&framer, data + at,
					left < piece ? left : piece);
		check(result == 0);
		result = drain(&framer, frames);
	}
	if (result < 0) {
		check(framer.bye != 0);
		check(ur_framer_feed(&framer, data, size) == result);
		result = framer.bye;
	} else {
		result = ur_framer_is_inside(&framer);
	}
	ur_framer_done(&framer);
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ur_buf whole, split;
	int end_whole, end_split;

	if (size < 2)
		return 0;
	end_whole = run(data + 1, size - 1, PIECE_MAX, &whole);
	end_split = run(data + 1, size - 1, 1 + (size_t)data[0], &split);
	check(end_whole == end_split);
	check(whole.size == split.size);
	check(whole.size == 0 || memcmp(ur_buf_front(&whole),
					ur_buf_front(&split), whole.size) == 0);
	ur_buf_done(&whole);
	ur_buf_done(&split);
	return 0;
}
