/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <uidrecv/record.h>

#include "frame.h"

#define LIMIT 4096

/* What came out of a framer: its frames, one after another, and its end. */
struct outcome {
	struct ur_buf frames;
	size_t count;
	int error;
	uint16_t bye;
	bool inside;
};

static void put_frame(struct ur_buf *stream, uint8_t type, size_t length)
{
	size_t begun = ur_frame_begin(stream, 1, type, length + type);

	for (size_t i = 0; i < length; i++)
		ur_buf_u8(stream, (uint8_t)(i * 7 + type));
	ur_frame_end(stream, begun);
}

static void put_header(struct ur_buf *stream, uint8_t version, uint16_t flags,
		       uint32_t length)
{
	ur_buf_u8(stream, version);
	ur_buf_u8(stream, 3);
	ur_buf_u16(stream, flags);
	ur_buf_u32(stream, length);
	ur_buf_u64(stream, 0x1122334455667788);
}

/* Frames of many lengths; the caller adds an end. */
static void put_stream(struct ur_buf *stream)
{
	static const size_t lengths[] = {0, 1, 15, 16, 17, 0, 255, 4096, 3, 70};

	ur_buf_init(stream, 1 << 20);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++)
		put_frame(stream, (uint8_t)(i + 1), lengths[i]);
}

static int drain(struct ur_framer *framer, struct outcome *outcome)
{
	struct ur_frame frame;
	int result;

	while ((result = ur_framer_next(framer, &frame)) == 1) {
		cr_assert_eq(frame.body, frame.header + UR_FRAME_HEADER);
		ur_buf_bytes(&outcome->frames, frame.header,
			     UR_FRAME_HEADER + frame.length);
		outcome->count++;
	}
	return result;
}

/* Feeds pieces of step bytes; 0: of random sizes. */
static struct outcome run(const struct ur_buf *stream, size_t step,
			  unsigned int *seed)
{
	struct outcome outcome = {0};
	struct ur_framer framer;
	size_t size;

	ur_buf_init(&outcome.frames, 1 << 20);
	ur_framer_init(&framer, LIMIT);
	for (size_t at = 0; at < stream->size && !outcome.error; at += size) {
		size = step > 0 ? step : (size_t)rand_r(seed) % 400;
		if (size > stream->size - at)
			size = stream->size - at;
		cr_assert_eq(
		    ur_framer_feed(&framer, ur_buf_front(stream) + at, size),
		    0);
		outcome.error = drain(&framer, &outcome);
		cr_assert(framer.buf.room <= UR_FRAME_HEADER + LIMIT + 65536);
	}
	outcome.inside = ur_framer_is_inside(&framer);
	outcome.bye = framer.bye;
	ur_framer_done(&framer);
	return outcome;
}

static void assert_any_split_is_the_same(struct ur_buf *stream, size_t count,
					 int error, uint16_t bye, bool inside)
{
	unsigned int seed = 7;
	struct outcome whole = run(stream, stream->size, &seed);

	cr_assert_eq(whole.count, count);
	cr_assert_eq(whole.error, error);
	cr_assert_eq(whole.bye, bye);
	cr_assert_eq(whole.inside, inside);
	cr_assert_arr_eq(ur_buf_front(&whole.frames), ur_buf_front(stream),
			 whole.frames.size);
	for (size_t i = 1; i <= 164; i++) {
		struct outcome split = run(stream, i <= 64 ? i : 0, &seed);

		cr_assert_eq(split.error, error);
		cr_assert_eq(split.bye, bye);
		cr_assert_eq(split.inside, inside);
		cr_assert_eq(split.count, count);
		cr_assert_eq(split.frames.size, whole.frames.size);
		cr_assert_arr_eq(ur_buf_front(&split.frames),
				 ur_buf_front(&whole.frames),
				 whole.frames.size);
		ur_buf_done(&split.frames);
	}
	ur_buf_done(&whole.frames);
	ur_buf_done(stream);
}

Test(frame, N06_any_split_gives_the_same_frames)
{
	struct ur_buf stream;

	put_stream(&stream);
	assert_any_split_is_the_same(&stream, 10, 0, 0, false);
}

Test(frame, any_split_gives_the_same_end_inside_a_frame)
{
	struct ur_buf stream;

	put_stream(&stream);
	ur_buf_truncate(&stream, stream.size - 1);
	assert_any_split_is_the_same(&stream, 9, 0, 0, true);
}

Test(frame, any_split_gives_the_same_error)
{
	struct ur_buf stream;

	put_stream(&stream);
	put_header(&stream, 1, 1, 0);
	put_frame(&stream, 1, 5);
	assert_any_split_is_the_same(&stream, 10, UIDRECV_E_FRAME,
				     UIDRECV_BYE_BAD_FLAGS, false);
}

/* The answer to a header alone. */
static void judge(uint8_t version, uint16_t flags, uint32_t length, int error,
		  uint16_t bye)
{
	struct ur_framer framer;
	struct ur_frame frame;
	struct ur_buf buf;

	ur_buf_init(&buf, 64);
	put_header(&buf, version, flags, length);
	ur_framer_init(&framer, LIMIT);
	cr_assert_eq(ur_framer_feed(&framer, ur_buf_front(&buf), 15), 0);
	cr_assert_eq(ur_framer_next(&framer, &frame), 0);
	cr_assert(ur_framer_is_inside(&framer));
	cr_assert_eq(ur_framer_feed(&framer, ur_buf_front(&buf) + 15, 1), 0);
	cr_assert(framer.buf.room <= 256, "P01: no memory before the judgment");
	cr_assert_eq(ur_framer_next(&framer, &frame), error);
	cr_assert_eq(framer.bye, bye);
	if (error) {
		cr_assert_eq(ur_framer_next(&framer, &frame), error);
		cr_assert_eq(ur_framer_feed(&framer, "x", 1), error);
		cr_assert_arr_eq(framer.offending, ur_buf_front(&buf), 16);
		cr_assert_null(framer.buf.bytes);
		cr_assert(!ur_framer_is_inside(&framer));
	}
	ur_framer_done(&framer);
	ur_buf_done(&buf);
}

Test(frame, the_header_alone_is_judged)
{
	judge(0, 0, 1, UIDRECV_E_FRAME, UIDRECV_BYE_BAD_VERSION);
	judge(0, 1, LIMIT + 1, UIDRECV_E_FRAME, UIDRECV_BYE_BAD_VERSION);
	judge(1, 1, 1, UIDRECV_E_FRAME, UIDRECV_BYE_BAD_FLAGS);
	judge(1, 0x8000, LIMIT + 1, UIDRECV_E_FRAME, UIDRECV_BYE_BAD_FLAGS);
	judge(255, 0, 1, 0, 0);
}

Test(frame, p01_lengths_up_to_the_limit_and_no_further)
{
	static const uint32_t lies[] = {LIMIT + 1,  0xffff,	0x7fffffff,
					0x80000000, 0x80000001, 0xfffffff0,
					0xffffffff};

	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++)
		judge(1, 0, lies[i], UIDRECV_E_FRAME_SIZE,
		      UIDRECV_BYE_BAD_LENGTH);
	judge(1, 0, LIMIT, 0, 0);
}

Test(frame, the_limit_may_change_between_frames)
{
	struct ur_framer framer;
	struct ur_frame frame;
	struct ur_buf stream;

	ur_buf_init(&stream, 1 << 20);
	put_frame(&stream, 1, LIMIT + 1);
	ur_framer_init(&framer, LIMIT);
	ur_framer_set_limit(&framer, LIMIT + 1);
	cr_assert_eq(
	    ur_framer_feed(&framer, ur_buf_front(&stream), stream.size), 0);
	cr_assert_eq(ur_framer_next(&framer, &frame), 1);
	cr_assert_eq(frame.version, 1);
	cr_assert_eq(frame.type, 1);
	cr_assert_eq(frame.flags, 0);
	cr_assert_eq(frame.length, LIMIT + 1);
	cr_assert_eq(frame.serial, LIMIT + 2);
	cr_assert(!ur_framer_is_inside(&framer));
	ur_framer_set_limit(&framer, LIMIT);
	ur_framer_feed(&framer, ur_buf_front(&stream), stream.size);
	cr_assert_eq(ur_framer_next(&framer, &frame), UIDRECV_E_FRAME_SIZE);
	ur_framer_done(&framer);
	ur_buf_done(&stream);
}

Test(frame, more_than_may_be_fed_is_an_error_that_stays)
{
	uint8_t *bytes = calloc(1, 65536);
	struct ur_framer framer;
	struct ur_frame frame;
	int error = 0;

	bytes[0] = 1;
	ur_framer_init(&framer, LIMIT);
	for (int i = 0; i < 3 && !error; i++)
		error = ur_framer_feed(&framer, bytes, 65536);
	cr_assert_eq(error, -ENOMEM);
	cr_assert_eq(ur_framer_feed(&framer, bytes, 1), -ENOMEM);
	cr_assert_eq(ur_framer_next(&framer, &frame), -ENOMEM);
	cr_assert_null(framer.buf.bytes);
	ur_framer_done(&framer);
	free(bytes);
}

Test(frame, a_frame_that_does_not_fit_leaves_the_queue_as_before)
{
	struct ur_buf buf;

	for (size_t limit = 20; limit < 20 + 36; limit++) {
		ur_buf_init(&buf, limit);
		put_frame(&buf, 1, 4);
		cr_assert(!buf.failed);
		put_frame(&buf, 2, 20);
		cr_assert(buf.failed);
		cr_assert_eq(buf.size, 20);
		put_frame(&buf, 3, 0);
		cr_assert(buf.failed);
		cr_assert_eq(buf.size, 20);
		ur_buf_done(&buf);
	}
}
