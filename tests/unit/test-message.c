/* SPDX-License-Identifier: BSD-2-Clause */
#include "codec.h"

static struct ur_message decoded(const struct ur_buf *buf)
{
	struct ur_frame frame = frame_of(buf);
	struct ur_message message;
	uint16_t bye;

	cr_assert_eq(ur_message_decode(&frame, &message, &bye), 0);
	cr_assert_eq(message.type, frame.type);
	cr_assert_eq(message.version, frame.version);
	cr_assert_eq(message.serial, frame.serial);
	return message;
}

static void assert_text(struct ur_text text, const char *expected)
{
	cr_assert_eq(text.size, strlen(expected));
	cr_assert_arr_eq(text.bytes, expected, text.size);
}

Test(message, hello_round_trip)
{
	struct ur_buf buf = encoded(&examples[0]);
	struct ur_message message = decoded(&buf);

	cr_assert_eq(message.type, UR_HELLO);
	cr_assert_eq(message.version, 2, "the highest version it speaks");
	assert_text(message.hello.software, "agent 1");
	message.hello.software = source_hello.software;
	cr_assert_eq(message.hello.version_min, 1);
	cr_assert_eq(message.hello.version_max, 2);
	cr_assert_eq(message.hello.role, UR_SOURCE);
	cr_assert_eq(message.hello.hold_min_s, 3);
	cr_assert_eq(message.hello.hold_max_s, 300);
	cr_assert_eq(message.hello.frame_max, 65536);
	cr_assert_eq(message.hello.capabilities, source_hello.capabilities);
	cr_assert_eq(message.hello.clock.now_us, 1000);
	cr_assert_eq(message.hello.clock.echo_us, 2000);
	cr_assert_eq(message.hello.clock.held_us, 3000);
	cr_assert_eq(message.hello.session_id, source_hello.session_id);
	cr_assert_eq(message.hello.replay_first, 6);
	cr_assert_eq(message.hello.replay_last, 7);
	cr_assert_eq(message.hello.acked, 5);
	ur_buf_done(&buf);
	buf = encoded(&examples[1]);
	message = decoded(&buf);
	cr_assert_eq(message.hello.role, UR_SINK);
	cr_assert_eq(message.hello.frame_max, 65536);
	cr_assert_eq(message.hello.session_id, 0);
	cr_assert_eq(message.hello.acked, 0);
	ur_buf_done(&buf);
}

Test(message, ready_and_keepalive_round_trip)
{
	static const struct ur_keepalive of_sink = {{9, 10, 11}, 12, false};
	struct ur_buf buf = encoded(&examples[2]);
	struct ur_message message = decoded(&buf);

	cr_assert_eq(message.ready.version, 1);
	cr_assert_eq(message.ready.hold_time_s, 90);
	cr_assert_eq(message.ready.durable, 77);
	cr_assert_eq(message.ready.window, 256);
	ur_buf_done(&buf);
	buf = encoded(&examples[6]);
	message = decoded(&buf);
	cr_assert_eq(message.keepalive.clock.held_us, 7);
	cr_assert_eq(message.keepalive.acked, 8);
	cr_assert(message.keepalive.has_acked);
	ur_buf_truncate(&buf, 0);
	ur_keepalive_encode(&buf, &of_sink);
	message = decoded(&buf);
	cr_assert_eq(message.keepalive.clock.now_us, 9);
	cr_assert_eq(message.keepalive.clock.echo_us, 10);
	cr_assert_eq(message.keepalive.acked, 0);
	cr_assert(!message.keepalive.has_acked);
	ur_buf_done(&buf);
}

Test(message, bye_and_ack_round_trip)
{
	struct ur_buf buf = encoded(&examples[7]);
	struct ur_message message = decoded(&buf);

	cr_assert_eq(message.bye.code, 206);
	assert_text(message.bye.text, "why");
	cr_assert_arr_eq(message.bye.quote, "0123456789abcdef", 16);
	ur_buf_truncate(&buf, 0);
	ur_bye_encode(&buf, 100, NULL, NULL);
	message = decoded(&buf);
	cr_assert_eq(message.bye.code, 100);
	assert_text(message.bye.text, "");
	cr_assert_null(message.bye.quote);
	ur_buf_truncate(&buf, 0);
	ur_ack_encode(&buf, UINT64_MAX);
	cr_assert_eq(decoded(&buf).serial, UINT64_MAX);
	ur_buf_done(&buf);
}

Test(message, snapshot_and_refresh_all_round_trip)
{
	struct ur_message message;
	struct ur_buf buf;

	ur_buf_init(&buf, ROOM);
	ur_snapshot_begin_encode(&buf, UINT64_MAX);
	message = decoded(&buf);
	cr_assert_eq(message.type, UR_SNAPSHOT_BEGIN);
	cr_assert_eq(message.serial, UINT64_MAX);
	cr_assert(!message.update.has_acked);
	ur_buf_truncate(&buf, 0);
	ur_snapshot_end_encode(&buf, 8, UINT64_MAX);
	message = decoded(&buf);
	cr_assert_eq(message.type, UR_SNAPSHOT_END);
	cr_assert_eq(message.serial, 8);
	cr_assert_eq(message.update.count, UINT64_MAX);
	cr_assert_eq(message.update.as_of_us, 0);
	cr_assert(!message.update.has_acked);
	ur_buf_truncate(&buf, 0);
	ur_refresh_all_encode(&buf, 9, 1234, 5678);
	message = decoded(&buf);
	cr_assert_eq(message.type, UR_REFRESH_ALL);
	cr_assert_eq(message.serial, 9);
	cr_assert_eq(message.update.as_of_us, 1234);
	cr_assert_eq(message.update.count, 5678);
	cr_assert(!message.update.has_acked);
	ur_buf_done(&buf);
}

Test(message, acked_is_added_to_whatever_has_a_serial)
{
	struct ur_message message;
	struct ur_buf buf;

	ur_buf_init(&buf, ROOM);
	for (size_t i = 0; i < COUNT(examples); i++) {
		ur_buf_truncate(&buf, 0);
		examples[i].encode(&buf);
		if (frame_of(&buf).type < UR_SNAPSHOT_BEGIN)
			continue;
		message = decoded(&buf);
		cr_assert(message.update.has_acked, "%s", examples[i].name);
		cr_assert_eq(message.update.acked, 5);
		cr_assert_eq(message.update.maps_count, 0);
		if (message.type == UR_TS_CONFIG)
			continue; /* test-message-system.c has the rest */
		cr_assert_eq(message.update.records_count, 0);
		cr_assert_null(message.update.body);
		cr_assert_eq(message.update.body_size, 0);
		/* What was there before it stays. */
		cr_assert_eq(message.update.count,
			     message.type == UR_SNAPSHOT_BEGIN ? 0 : 1000000);
		cr_assert_eq(message.update.as_of_us,
			     message.type == UR_REFRESH_ALL ? 1700000000000000
							    : 0);
	}
	ur_buf_done(&buf);
}

Test(message, maps_are_counted_whatever_is_in_them)
{
	static const struct {
		unsigned type;
		uint32_t maps; /* so far */
	} records[] = {{0x8020, 1}, {0x8021, 1}, {0x0024, 1}, {0x8022, 1},
		       {0x8020, 2}, {0x8023, 2}, {0x802f, 2}, {0x8024, 2},
		       {0x0020, 2}, {0x8020, 3}};
	struct ur_frame frame = {.version = 1, .type = UR_UPDATE, .serial = 1};
	struct ur_message message;
	struct ur_buf body;
	uint16_t bye;

	ur_buf_init(&body, ROOM);
	put_tlv(&body, 0x8010, "12345678", 8);
	for (size_t i = 0; i < COUNT(records); i++) {
		put_tlv(&body, records[i].type, "\x80\x31\0", i % 4);
		frame.body = ur_buf_front(&body);
		frame.length = (uint32_t)body.size;
		cr_assert_eq(ur_message_decode(&frame, &message, &bye), 0);
		cr_assert_eq(message.update.maps_count, records[i].maps, "%zu",
			     i);
	}
	cr_assert_eq(message.update.records_count, COUNT(records) - 1,
		     "0x0020 is no record");
	cr_assert_eq(message.update.count, 0);
	ur_buf_done(&body);
}

Test(message, resync_round_trip)
{
	struct ur_message message;
	struct ur_buf buf;

	ur_buf_init(&buf, ROOM);
	for (unsigned int code = 0; code <= 6; code++) {
		ur_buf_truncate(&buf, 0);
		ur_resync_encode(&buf, (uint16_t)code);
		message = decoded(&buf);
		cr_assert_eq(message.type, UR_RESYNC);
		cr_assert_eq(message.bye.code, code);
		assert_text(message.bye.text, uidrecv_resync_text(code));
		cr_assert_null(message.bye.quote);
	}
	/* A QUOTE does not belong there, and is optional: skipped. */
	put_tlv(&buf, 0x0013, "0123456789abcdef", UR_FRAME_HEADER);
	ur_frame_end(&buf, 0);
	cr_assert_null(decoded(&buf).bye.quote);
	ur_buf_done(&buf);
}

Test(message, reject_round_trip_over_several_frames)
{
	struct ur_refusal refusals[UR_RECORDS_MAX];
	struct ur_bytes rejects;
	struct ur_reject reject;
	struct ur_buf buf;
	uint32_t next = 0;
	int frames = 0;

	for (uint32_t i = 0; i < UR_RECORDS_MAX; i++)
		refusals[i] = (struct ur_refusal){i, (uint16_t)(i % 15 + 1)};
	ur_buf_init(&buf, ROOM);
	ur_reject_encode(&buf, 9, refusals, 0, 4096);
	cr_assert_eq(buf.size, 0);
	ur_reject_encode(&buf, 9, refusals, UR_RECORDS_MAX, 4096);
	for (; buf.size > 0; frames++) {
		cr_assert(frame_of(&buf).length <= 4096);
		cr_assert_eq(decoded(&buf).serial, 9);
		rejects = decoded(&buf).rejects;
		for (; ur_rejects_next(&rejects, &reject); next++) {
			cr_assert_eq(reject.index, refusals[next].index);
			cr_assert_eq(reject.code, refusals[next].code);
			assert_text(reject.text,
				    uidrecv_reject_text(reject.code));
		}
		ur_buf_consume(&buf, UR_FRAME_HEADER + frame_of(&buf).length);
	}
	cr_assert_eq(next, UR_RECORDS_MAX);
	cr_assert(frames > 1);
	ur_buf_done(&buf);
	ur_buf_init(&buf, 2 * 4096);
	ur_ack_encode(&buf, 1);
	ur_reject_encode(&buf, 9, refusals, UR_RECORDS_MAX, 4096);
	cr_assert(buf.failed);
	cr_assert_eq(buf.size, UR_FRAME_HEADER, "all of the frames or none");
	ur_buf_done(&buf);
}

Test(message, texts_are_cut_between_characters)
{
	char text[400];
	struct ur_message message;
	struct ur_hello hello = source_hello;
	struct ur_buf buf;

	for (size_t i = 0; i + 2 < sizeof(text); i += 2)
		memcpy(text + i, "\xc3\xb6", 2);
	text[398] = '\0';
	ur_buf_init(&buf, ROOM);
	ur_bye_encode(&buf, 100, text, NULL);
	message = decoded(&buf);
	cr_assert_eq(message.bye.text.size, 254);
	ur_buf_truncate(&buf, 0);
	hello.software = (struct ur_text){text + 1, 200};
	ur_hello_encode(&buf, &hello);
	message = decoded(&buf);
	cr_assert_eq(message.hello.software.size, 63);
	ur_buf_done(&buf);
}

Test(message, an_encoder_that_does_not_fit_leaves_the_queue_as_before)
{
	struct ur_buf whole, buf;

	for (size_t i = 0; i < COUNT(examples); i++) {
		whole = encoded(&examples[i]);
		for (size_t room = 0; room < whole.size; room++) {
			ur_buf_init(&buf, 3 + room);
			ur_buf_bytes(&buf, "abc", 3);
			examples[i].encode(&buf);
			cr_assert(buf.failed);
			cr_assert_eq(buf.size, 3);
			cr_assert_arr_eq(ur_buf_front(&buf), "abc", 3);
			ur_buf_done(&buf);
		}
		ur_buf_done(&whole);
	}
}

/* Replaces bytes at an offset of the value of a TLV of an example. */
static uint16_t answer_patched(size_t example, unsigned type, size_t offset,
			       uint64_t value, size_t size)
{
	struct ur_buf buf = encoded(&examples[example]);
	struct ur_frame frame = frame_of(&buf);
	struct span spans[16];
	size_t count = spans_of(frame.body, frame.length, spans);
	uint16_t bye = 0;

	for (size_t i = 0; i < count; i++) {
		uint8_t *at = buf.bytes + UR_FRAME_HEADER + spans[i].at + 4;

		for (size_t j = 0; spans[i].type == type && j < size; j++)
			at[offset + j] = (uint8_t)(value >> 8 * (size - 1 - j));
	}
	bye = answer(frame.type, frame.body, frame.length);
	ur_buf_done(&buf);
	return bye;
}

Test(message, values_are_in_their_ranges)
{
	static const struct {
		size_t example;
		unsigned type;
		size_t offset, size;
		uint64_t good, bad;
	} ranges[] = {
	    {0, 0x8001, 0, 1, 2, 3}, /* above the highest */
	    {0, 0x8001, 0, 1, 1, 0}, /* version 0 */
	    {0, 0x8002, 0, 1, 1, 0}, /* roles */
	    {1, 0x8002, 0, 1, 2, 3},
	    {0, 0x8003, 0, 8, 1, 0}, /* session */
	    {0, 0x8004, 0, 8, 8, 9}, /* first, of 7 */
	    {0, 0x8004, 0, 8, 1, 0},
	    {0, 0x8005, 0, 2, 300, 301},   /* above the highest */
	    {0, 0x8007, 0, 4, 4096, 4095}, /* the longest body */
	    {0, 0x8007, 0, 4, 1 << 20, (1 << 20) + 1},
	    {0, 0x800a, 0, 8, UINT64_C(1) << 62, (UINT64_C(1) << 62) + 1},
	    {1, 0x800a, 8, 8, UINT64_C(1) << 62, (UINT64_C(1) << 62) + 1},
	    {6, 0x800a, 16, 8, UINT64_C(1) << 62, UINT64_MAX},
	    {2, 0x800b, 0, 1, 1, 0},				/* version 0 */
	    {12, 0x8015, 0, 6, 0x00010000ffff, 0x000100010000}, /* ports */
	    {12, 0x8015, 0, 6, 0xffff00000001, 0xffff00000002},
	    {12, 0x8015, 2, 4, 45536, 45537}, /* of 20000 */
	    {12, 0x8015, 2, 4, 1, 0},
	    {12, 0x8015, 2, 4, 1, UINT32_MAX},
	    {12, 0x8017, 0, 6, 0x000000010000, 0x000000010001},
	    {12, 0x8017, 2, 4, 1, 0},
	    {12, 0x8016, 0, 4, 1, 0}, /* the size of a block */
	    {12, 0x8016, 0, 4, UINT32_MAX, 0},
	};

	for (size_t i = 0; i < COUNT(ranges); i++) {
		cr_assert_eq(answer_patched(ranges[i].example, ranges[i].type,
					    ranges[i].offset, ranges[i].good,
					    ranges[i].size),
			     0, "%zu", i);
		cr_assert_eq(answer_patched(ranges[i].example, ranges[i].type,
					    ranges[i].offset, ranges[i].bad,
					    ranges[i].size),
			     204, "%zu", i);
	}
}

Test(message, what_belongs_in_a_hello_depends_on_its_role)
{
	cr_assert_eq(answer_patched(0, 0x8002, 0, UR_SINK, 1), 305);
	cr_assert_eq(answer_patched(1, 0x8002, 0, UR_SOURCE, 1), 204);
}

static bool has_serial(uint8_t type)
{
	return (type >= UR_UPDATE && type <= UR_REJECT) ||
	       (type >= UR_SNAPSHOT_BEGIN && type <= UR_TS_CONFIG);
}

Test(message, a_serial_only_where_it_belongs)
{
	struct ur_message message;
	struct ur_frame frame;
	struct ur_buf buf;
	uint16_t bye;

	for (size_t i = 0; i < COUNT(examples); i++) {
		buf = encoded(&examples[i]);
		frame = frame_of(&buf);
		frame.serial = 1;
		bye = 0;
		ur_message_decode(&frame, &message, &bye);
		cr_assert_eq(bye, has_serial(frame.type) ? 0 : 204);
		ur_buf_done(&buf);
	}
}
