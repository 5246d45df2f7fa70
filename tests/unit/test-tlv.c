/* SPDX-License-Identifier: BSD-2-Clause */
/* Whatever is wrong with the TLVs of a message. */
#include "codec.h"

Test(tlv, p02_no_length_of_a_tlv_may_lie)
{
	static const int lies[] = {-1, 1, 4, -4, 0x7fff, -0x8000};
	struct span spans[16];
	struct ur_frame frame;
	struct ur_buf buf;
	size_t count;

	for (size_t i = 0; i < COUNT(examples); i++) {
		buf = encoded(&examples[i]);
		frame = frame_of(&buf);
		count = spans_of(frame.body, frame.length, spans);
		for (size_t j = 0; j < count * COUNT(lies); j++) {
			const struct span *span = &spans[j / COUNT(lies)];
			size_t at = UR_FRAME_HEADER + span->at + 2;
			size_t length = span->size - 4;

			ur_buf_patch_u16(
			    &buf, at,
			    (uint16_t)(length + (size_t)lies[j % COUNT(lies)]));
			cr_assert_neq(
			    answer(frame.type, frame.body, frame.length), 0,
			    "%s %#x", examples[i].name, span->type);
			ur_buf_patch_u16(&buf, at, (uint16_t)length);
		}
		cr_assert_eq(answer(frame.type, frame.body, frame.length), 0);
		ur_buf_done(&buf);
	}
}

/* An example with a value of another length in a TLV; well formed. */
static uint16_t answer_resized(const struct ur_frame *frame,
			       const struct span *span, size_t size)
{
	size_t value = span->at + 4, rest = span->at + span->size;
	struct ur_buf body;
	uint16_t bye;

	ur_buf_init(&body, ROOM);
	ur_buf_bytes(&body, frame->body, value);
	ur_buf_patch_u16(&body, span->at + 2, (uint16_t)size);
	for (size_t i = 0; i < size; i++)
		ur_buf_u8(&body,
			  i < span->size - 4 ? frame->body[value + i] : 0);
	ur_buf_bytes(&body, frame->body + rest, frame->length - rest);
	bye = answer(frame->type, ur_buf_front(&body), body.size);
	ur_buf_done(&body);
	return bye;
}

Test(tlv, p01_no_length_but_the_right_ones)
{
	static const struct {
		unsigned type;
		size_t min, max;
	} elastic[] = {{0x0009, 0, 64},	     {0x8011, 6, 6 + 255},
		       {0x8012, 2, 2 + 255}, {0x8020, 0, 300},
		       {0x8023, 0, 300},     {0x8018, 4, 16},
		       {0x8030, 4, 16}};
	struct span spans[16];
	struct ur_frame frame;
	struct ur_buf buf;
	size_t count;

	for (size_t i = 0; i < COUNT(examples); i++) {
		buf = encoded(&examples[i]);
		frame = frame_of(&buf);
		count = spans_of(frame.body, frame.length, spans);
		for (size_t j = 0; j < count * 300; j++) {
			const struct span *span = &spans[j / 300];
			size_t min = span->size - 4, max = min, size = j % 300;
			bool is_address =
			    span->type == 0x8018 || span->type == 0x8030;
			bool good;

			for (size_t k = 0; k < COUNT(elastic); k++) {
				if (elastic[k].type != span->type)
					continue;
				min = elastic[k].min;
				max = elastic[k].max;
			}
			good = size >= min && size <= max;
			if (is_address)
				good = size == min || size == max;
			cr_assert_eq(answer_resized(&frame, span, size),
				     good ? 0 : 204, "%s %#x of %zu",
				     examples[i].name, span->type, size);
		}
		ur_buf_done(&buf);
	}
}

Test(tlv, p03_records_are_counted)
{
	struct ur_buf body;

	ur_buf_init(&body, ROOM);
	put_tlv(&body, 0x8010, "12345678", 8);
	cr_assert_eq(answer(UR_UPDATE, ur_buf_front(&body), body.size), 204);
	for (unsigned i = 0; i < UR_RECORDS_MAX; i++) {
		put_tlv(&body, i % 2 ? 0x8020 + i % 16 : 0x0024 + i % 12, "",
			0);
		cr_assert_eq(answer(UR_UPDATE, ur_buf_front(&body), body.size),
			     0);
	}
	put_tlv(&body, 0x0023, "", 0);
	cr_assert_eq(answer(UR_UPDATE, ur_buf_front(&body), body.size), 0,
		     "no record of any version");
	put_tlv(&body, 0x0024, "", 0);
	cr_assert_eq(answer(UR_UPDATE, ur_buf_front(&body), body.size), 204);
	ur_buf_done(&body);
}

Test(tlv, p04_trailing_bytes)
{
	struct ur_frame frame;
	struct ur_buf buf;

	for (size_t i = 0; i < COUNT(examples); i++) {
		buf = encoded(&examples[i]);
		for (size_t extra = 1; extra <= 4; extra++) {
			ur_buf_u8(&buf, 0);
			frame = frame_of(&buf);
			cr_assert_eq(answer(frame.type, frame.body,
					    frame.length + extra),
				     extra < 4 ? 204 : 0);
		}
		ur_buf_done(&buf);
	}
}

Test(tlv, p05_all_types)
{
	for (unsigned type = 0; type < 256; type++) {
		uint16_t bye = answer((uint8_t)type, "", 0);

		if (type == UR_ACK || type == UR_SNAPSHOT_BEGIN)
			cr_assert_eq(bye, 0, "%u", type);
		else if (type >= UR_HELLO && type <= UR_TS_CONFIG)
			cr_assert_eq(bye, 204, "%u", type);
		else
			cr_assert_eq(bye, 201, "%u", type);
	}
}

Test(tlv, p06_truncated_at_each_byte)
{
	struct span spans[16];
	struct ur_frame frame;
	struct ur_buf buf;

	for (size_t i = 0; i < COUNT(examples); i++) {
		size_t count, boundary = 0;

		buf = encoded(&examples[i]);
		frame = frame_of(&buf);
		count = spans_of(frame.body, frame.length, spans);
		for (size_t cut = 1; cut < frame.length; cut++) {
			while (boundary < count && spans[boundary].at < cut)
				boundary++;
			if (boundary == count || spans[boundary].at != cut)
				cr_assert_eq(
				    answer(frame.type, frame.body, cut), 204,
				    "%s at %zu", examples[i].name, cut);
		}
		ur_buf_done(&buf);
	}
}

/* Copies a body without one TLV. */
static uint16_t answer_without(const struct ur_frame *frame,
			       const struct span *span)
{
	struct ur_buf body;
	uint16_t bye;

	ur_buf_init(&body, ROOM);
	ur_buf_bytes(&body, frame->body, span->at);
	ur_buf_bytes(&body, frame->body + span->at + span->size,
		     frame->length - span->at - span->size);
	bye = answer(frame->type, ur_buf_front(&body), body.size);
	ur_buf_done(&body);
	return bye;
}

static uint16_t answer_with(const struct ur_frame *frame, const void *tlv,
			    size_t size)
{
	struct ur_buf body;
	uint16_t bye;

	ur_buf_init(&body, ROOM);
	ur_buf_bytes(&body, frame->body, frame->length);
	ur_buf_bytes(&body, tlv, size);
	bye = answer(frame->type, ur_buf_front(&body), body.size);
	ur_buf_done(&body);
	return bye;
}

Test(tlv, p07_each_needed_tlv_once_and_no_other_twice)
{
	struct span spans[16];
	struct ur_frame frame;
	struct ur_buf buf;
	size_t count;

	for (size_t i = 0; i < COUNT(examples); i++) {
		const struct example *example = &examples[i];

		buf = encoded(example);
		frame = frame_of(&buf);
		count = spans_of(frame.body, frame.length, spans);
		for (size_t j = 0; j < count; j++) {
			unsigned type = spans[j].type;
			bool repeats = (type & 0xfff0) == 0x8020 ||
				       type == 0x8011 || type == 0x8017 ||
				       type == 0x8018;
			bool needed = is_listed(example->needed, 10, type);

			cr_assert(needed ||
				  is_listed(example->optional, 3, type));
			cr_assert_eq(answer_without(&frame, &spans[j]),
				     needed ? 204 : 0, "%s %#x", example->name,
				     type);
			cr_assert_eq(
			    answer_with(&frame, frame.body + spans[j].at,
					spans[j].size),
			    repeats ? 0 : 204, "%s %#x", example->name, type);
		}
		ur_buf_done(&buf);
	}
	cr_assert_eq(answer(UR_REJECT, "", 0), 204);
}

Test(tlv, every_type_of_tlv_in_every_message)
{
	struct ur_frame frame;
	struct ur_buf buf;

	for (size_t i = 0; i < COUNT(examples) * 65536; i++) {
		const struct example *example = &examples[i / 65536];
		unsigned type = i % 65536;
		uint8_t tlv[4] = {(uint8_t)(type >> 8), (uint8_t)type, 0, 0};
		uint16_t expected = 0;

		if (type == 0) {
			buf = encoded(example);
			frame = frame_of(&buf);
		}
		if (frame.type == UR_UPDATE && (type & 0xfff0) == 0x8020)
			expected = 0;
		else if (is_listed(example->needed, 10, type) ||
			 is_listed(example->optional, 3, type))
			expected = 204; /* twice, or of a wrong length */
		else if (type & 0x8000)
			expected = example->unknown;
		if (answer_with(&frame, tlv, 4) != expected)
			cr_assert_fail("%s %#x", example->name, type);
		if (type == 65535)
			ur_buf_done(&buf);
	}
}

/* Adds a TLV of one example to another. */
static void check_foreign(const struct example *example, const uint8_t *tlv,
			  const struct span *span)
{
	struct ur_buf buf = encoded(example);
	struct ur_frame frame = frame_of(&buf);
	bool is_record = (span->type & 0xfff0) == 0x8020;
	uint16_t expected = span->type & 0x8000 ? example->unknown : 0;

	if (!is_listed(example->needed, 10, span->type) &&
	    !is_listed(example->optional, 3, span->type) &&
	    !(is_record && frame.type == UR_UPDATE))
		cr_assert_eq(answer_with(&frame, tlv, span->size), expected,
			     "%#x in %s", span->type, example->name);
	ur_buf_done(&buf);
}

Test(tlv, a_good_tlv_of_another_message_counts_as_unknown)
{
	struct span spans[16];
	struct ur_frame frame;
	struct ur_buf buf;
	size_t count;

	for (size_t i = 0; i < COUNT(examples); i++) {
		buf = encoded(&examples[i]);
		frame = frame_of(&buf);
		count = spans_of(frame.body, frame.length, spans);
		for (size_t j = 0; j < count * COUNT(examples); j++) {
			const struct span *span = &spans[j / COUNT(examples)];

			check_foreign(&examples[j % COUNT(examples)],
				      frame.body + span->at, span);
		}
		ur_buf_done(&buf);
	}
}
