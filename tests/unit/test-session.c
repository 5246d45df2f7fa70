/* SPDX-License-Identifier: BSD-2-Clause */
/* A session as source and as sink; doc/protocol.md sections 6, 7 and 9. */
#include "sessions.h"

Test(session, N06_opens_with_any_split_of_the_bytes)
{
	for (size_t step = 1; step < 200; step++) {
		struct ur_session sink, source;

		start(&sink, &source);
		open_both(&sink, &source, step, 0);
		cr_assert_eq(sink.hold_us, 60 * SECOND);
		cr_assert_eq(source.hold_us, 60 * SECOND);
		stop(&sink, &source);
	}
}

Test(session, carries_updates_acks_and_rejects)
{
	struct ur_refusal refusals[] = {{0, UIDRECV_REJECT_QUOTA}};
	struct ur_session sink, source;
	struct ur_message message;
	struct ur_reject reject;

	start(&sink, &source);
	open_both(&sink, &source, SIZE_MAX, 0);
	send_update(&source, 1);
	cr_assert_eq(turn(&source, &sink, SIZE_MAX, 0, &message), 1);
	cr_assert_eq(message.type, UR_UPDATE);
	cr_assert_eq(message.serial, 1);
	ur_session_reject(&sink, 1, refusals, 1, 0);
	ur_session_ack(&sink, 1, 0);
	cr_assert_eq(turn(&sink, &source, SIZE_MAX, 0, &message), 1);
	cr_assert_eq(message.type, UR_REJECT);
	cr_assert_eq(ur_rejects_next(&message.rejects, &reject), 1);
	cr_assert_eq(reject.code, UIDRECV_REJECT_QUOTA);
	cr_assert_eq(turn(&sink, &source, SIZE_MAX, 0, &message), 1);
	cr_assert_eq(message.type, UR_ACK);
	cr_assert_eq(source.acked, 1);
	/* The next UPDATE reports the ACK. */
	send_update(&source, 2);
	cr_assert_eq(turn(&source, &sink, SIZE_MAX, 0, &message), 1);
	cr_assert_eq(sink.acked, 1);
	stop(&sink, &source);
}

static void serial_case(uint64_t durable, uint64_t replay_first,
			const uint64_t *serials, size_t count, uint16_t code)
{
	struct ur_session_options a = sink_options(), b = source_options();
	struct ur_session sink, source;
	struct ur_message message;

	a.window = 1000;
	b.replay_first = replay_first;
	b.replay_last = 100;
	b.acked = replay_first - 1;
	ur_session_init(&sink, &a, 0);
	ur_session_init(&source, &b, 0);
	open_both(&sink, &source, SIZE_MAX, durable);
	for (size_t i = 0; i < count; i++) {
		send_update(&source, serials[i]);
		if (i + 1 == count && code) {
			cr_assert_eq(
			    turn(&source, &sink, SIZE_MAX, 0, &message),
			    UIDRECV_E_SERIAL);
			expect_bye(&sink, &source, code);
		} else {
			cr_assert_eq(
			    turn(&source, &sink, SIZE_MAX, 0, &message), 1);
			cr_assert_eq(message.serial, serials[i]);
		}
	}
	stop(&sink, &source);
}

Test(session, takes_serials_in_sequence_only)
{
	serial_case(10, 5, (uint64_t[]){5, 6, 7}, 3, 0);
	serial_case(10, 5, (uint64_t[]){11, 12}, 2, 0);
	serial_case(10, 5, (uint64_t[]){4}, 1, UIDRECV_BYE_BAD_SERIAL);
	serial_case(10, 5, (uint64_t[]){12}, 1, UIDRECV_BYE_BAD_SERIAL);
	serial_case(10, 5, (uint64_t[]){5, 7}, 2, UIDRECV_BYE_BAD_SERIAL);
	serial_case(10, 5, (uint64_t[]){5, 5}, 2, UIDRECV_BYE_BAD_SERIAL);
	/* It cannot send so old ones: it goes on with the first it can. */
	serial_case(10, 15, (uint64_t[]){15, 16}, 2, 0);
	serial_case(10, 15, (uint64_t[]){16}, 1, UIDRECV_BYE_BAD_SERIAL);
}

Test(session, ends_a_source_that_goes_beyond_the_window)
{
	struct ur_session sink, source;
	struct ur_message message;

	start(&sink, &source);
	open_both(&sink, &source, SIZE_MAX, 0);
	for (uint64_t serial = 1; serial <= 4; serial++) {
		send_update(&source, serial);
		cr_assert_eq(turn(&source, &sink, SIZE_MAX, 0, &message), 1);
	}
	send_update(&source, 5);
	cr_assert_eq(turn(&source, &sink, SIZE_MAX, 0, &message),
		     UIDRECV_E_WINDOW);
	expect_bye(&sink, &source, UIDRECV_BYE_WINDOW);
	stop(&sink, &source);
}

Test(session, refuses_acks_of_what_was_not_sent)
{
	struct ur_session sink, source;
	struct ur_message message;

	start(&sink, &source);
	open_both(&sink, &source, SIZE_MAX, 0);
	ur_session_ack(&sink, 9, 0);
	cr_assert_eq(turn(&sink, &source, SIZE_MAX, 0, &message),
		     UIDRECV_E_SERIAL);
	expect_bye(&source, &sink, UIDRECV_BYE_BAD_SERIAL);
	stop(&sink, &source);
}

Test(session, P05_answers_what_is_not_allowed_now_and_quotes_it)
{
	/* As the first message to a sink: all types but HELLO and BYE. */
	for (unsigned int type = 0; type < 256; type++) {
		struct ur_session_options options = sink_options();
		struct ur_session sink;
		struct ur_message message;
		uint8_t header[UR_FRAME_HEADER] = {1, (uint8_t)type};
		int ret;

		ur_session_init(&sink, &options, 0);
		cr_assert_eq(ur_session_feed(&sink, header, sizeof(header)), 0);
		ret = ur_session_next(&sink, 0, &message);
		cr_assert_lt(ret, 0);
		cr_assert_eq(sink.state, UR_SESSION_CLOSED);
		cr_assert_geq(sink.bye_sent, UIDRECV_BYE_BAD_VERSION);
		/* Sticky. */
		cr_assert_eq(ur_session_feed(&sink, header, 1), ret);
		cr_assert_eq(ur_session_next(&sink, 0, &message), ret);
		ur_session_done(&sink);
	}
}

/* Good messages, but not from this role once the session is open. */
Test(session, answers_what_only_its_own_role_may_say)
{
	static const struct ur_ready ready = {1, 60, 0, 4};
	static const struct ur_refusal refusal = {0, 1};
	struct ur_session sink, source;
	struct ur_message message;
	struct ur_buf buf;

	for (int i = 0; i < 4; i++) {
		struct ur_session *session = i ? &sink : &source;

		buf = make_update(1);
		if (i)
			ur_buf_truncate(&buf, 0);
		if (i == 1)
			ur_ready_encode(&buf, &ready);
		else if (i == 2)
			ur_ack_encode(&buf, 0);
		else if (i == 3)
			ur_reject_encode(&buf, 1, &refusal, 1, 4096);
		start(&sink, &source);
		open_both(&sink, &source, SIZE_MAX, 0);
		cr_assert_eq(
		    ur_session_feed(session, ur_buf_front(&buf), buf.size), 0);
		cr_assert_eq(ur_session_next(session, 0, &message),
			     UIDRECV_E_STATE, "%d", i);
		cr_assert_eq(session->bye_sent, UIDRECV_BYE_BAD_STATE);
		ur_buf_done(&buf);
		stop(&sink, &source);
	}
}

Test(session, quotes_the_offending_header)
{
	struct ur_session sink, source;
	struct ur_message message;
	uint8_t header[UR_FRAME_HEADER] = {1, UR_UPDATE, 0, 1};

	start(&sink, &source);
	open_both(&sink, &source, SIZE_MAX, 0);
	cr_assert_eq(ur_session_feed(&sink, header, sizeof(header)), 0);
	cr_assert_eq(ur_session_next(&sink, 0, &message), UIDRECV_E_FRAME);
	cr_assert_eq(turn(&sink, &source, SIZE_MAX, 0, &message), 1);
	cr_assert_eq(message.type, UR_BYE);
	cr_assert_eq(message.bye.code, UIDRECV_BYE_BAD_FLAGS);
	cr_assert_not_null(message.bye.quote);
	cr_assert_arr_eq(message.bye.quote, header, sizeof(header));
	stop(&sink, &source);
}

static void hello_case(void (*spoil)(struct ur_session_options *source),
		       uint16_t code)
{
	struct ur_session_options a = sink_options(), b = source_options();
	struct ur_session sink, source;
	struct ur_message message;

	spoil(&b);
	ur_session_init(&sink, &a, 0);
	ur_session_init(&source, &b, 0);
	(void)turn(&sink, &source, SIZE_MAX, 0, &message);
	cr_assert_lt(turn(&source, &sink, SIZE_MAX, 0, &message), 0);
	cr_assert_eq(sink.bye_sent, code);
	stop(&sink, &source);
}

static void same_role(struct ur_session_options *options)
{
	options->role = UR_SINK;
}

static void long_hold(struct ur_session_options *options)
{
	options->hold_min_s = 100;
	options->hold_max_s = 200;
}

static void short_hold(struct ur_session_options *options)
{
	options->hold_min_s = 1;
	options->hold_max_s = 9;
}

Test(session, refuses_a_hello_that_does_not_agree)
{
	hello_case(same_role, UIDRECV_BYE_SAME_ROLE);
	hello_case(long_hold, UIDRECV_BYE_NO_COMMON_HOLD_TIME);
	hello_case(short_hold, UIDRECV_BYE_NO_COMMON_HOLD_TIME);
}

static void feed_hello(struct ur_session *session, struct ur_hello *hello,
		       uint8_t version)
{
	struct ur_buf buf;

	ur_buf_init(&buf, 4096);
	ur_hello_encode(&buf, hello);
	buf.bytes[buf.start] = version;
	cr_assert_eq(ur_session_feed(session, ur_buf_front(&buf), buf.size), 0);
	ur_buf_done(&buf);
}

Test(session, answers_a_newer_version_with_its_own)
{
	struct ur_session_options options = sink_options();
	struct ur_hello hello = {
	    .version_min = 1,
	    .version_max = 9,
	    .role = UR_SOURCE,
	    .hold_min_s = 3,
	    .hold_max_s = 30,
	    .frame_max = 4096,
	    .clock.now_us = SOURCE_BASE,
	    .session_id = 1,
	    .replay_first = 1,
	};
	struct ur_session sink;
	struct ur_message message;

	ur_session_init(&sink, &options, 0);
	feed_hello(&sink, &hello, 9);
	cr_assert_eq(ur_session_next(&sink, 0, &message), 1);
	cr_assert_eq(message.type, UR_HELLO);
	ur_session_done(&sink);

	ur_session_init(&sink, &options, 0);
	hello.version_min = 2;
	feed_hello(&sink, &hello, 9);
	cr_assert_eq(ur_session_next(&sink, 0, &message), UIDRECV_E_VERSION);
	cr_assert_eq(sink.bye_sent, UIDRECV_BYE_NO_COMMON_VERSION);
	ur_session_done(&sink);
}

/* A newer sink may end it before READY, in the highest version it speaks. */
Test(session, takes_a_goodbye_of_a_newer_version_before_ready)
{
	struct ur_session sink, source;
	struct ur_message message;
	struct ur_buf buf;

	start(&sink, &source);
	cr_assert_eq(turn(&sink, &source, SIZE_MAX, 0, &message), 0);
	cr_assert_eq(source.state, UR_SESSION_WAIT_READY);
	ur_buf_init(&buf, 4096);
	ur_bye_encode(&buf, UIDRECV_BYE_SUPERSEDED, NULL, NULL);
	buf.bytes[buf.start] = 9;
	cr_assert_eq(ur_session_feed(&source, ur_buf_front(&buf), buf.size), 0);
	cr_assert_eq(ur_session_next(&source, 0, &message), 1);
	cr_expect_eq(message.type, UR_BYE);
	cr_expect_eq(source.bye_received, UIDRECV_BYE_SUPERSEDED);
	stop(&sink, &source);

	start(&sink, &source);
	open_both(&sink, &source, SIZE_MAX, 0);
	cr_assert_eq(ur_session_feed(&source, ur_buf_front(&buf), buf.size), 0);
	cr_assert_eq(ur_session_next(&source, 0, &message), UIDRECV_E_VERSION);
	cr_expect_eq(source.bye_sent, UIDRECV_BYE_BAD_VERSION);
	ur_buf_done(&buf);
	stop(&sink, &source);
}

Test(session, keeps_a_quiet_session_alive_and_ends_a_silent_one)
{
	struct ur_session sink, source;
	struct ur_message message;
	uint64_t now = 0;

	start(&sink, &source);
	open_both(&sink, &source, SIZE_MAX, 0);
	for (int i = 0; i < 20; i++) {
		now = ur_session_deadline(&source);
		cr_assert_leq(now, source.sent_us + source.hold_us / 3);
		cr_assert_eq(ur_session_tick(&source, now), 0);
		cr_assert_eq(ur_session_tick(&sink, now), 0);
		cr_assert_geq(turn(&source, &sink, 7, now, &message), 0);
		cr_assert_geq(turn(&sink, &source, 7, now, &message), 0);
	}
	cr_assert_geq(now, 300 * SECOND);
	/* Nothing is heard from now on. */
	cr_assert_eq(ur_session_tick(&sink, sink.heard_us + sink.hold_us - 1),
		     0);
	cr_assert_eq(ur_session_tick(&sink, sink.heard_us + sink.hold_us),
		     UIDRECV_E_HOLD);
	cr_assert_eq(sink.bye_sent, UIDRECV_BYE_HOLD_TIME);
	stop(&sink, &source);
}

Test(session, does_not_count_its_own_pause_as_silence)
{
	struct ur_session sink, source;
	uint64_t late = 1000 * SECOND;

	start(&sink, &source);
	open_both(&sink, &source, SIZE_MAX, 0);
	ur_session_heard(&sink, late);
	cr_assert_eq(ur_session_tick(&sink, late + 1), 0);
	stop(&sink, &source);
}

Test(session, N04_ends_a_peer_that_never_says_hello)
{
	struct ur_session_options options = sink_options();
	struct ur_session sink;

	ur_session_init(&sink, &options, 5);
	cr_assert_eq(ur_session_deadline(&sink), 5 + 10 * SECOND);
	cr_assert_eq(ur_session_tick(&sink, 4 + 10 * SECOND), 0);
	cr_assert_eq(ur_session_tick(&sink, 5 + 10 * SECOND), UIDRECV_E_HOLD);
	ur_session_done(&sink);
}

/* The sink's HELLO leaves at 0, takes 30 ms, waits 100 ms, goes back 10 ms. */
Test(session, measures_the_offset_between_the_clocks)
{
	struct ur_session sink, source;
	struct ur_message message;
	int64_t offset_us;
	uint64_t error_us;

	start(&sink, &source);
	carry(&sink, &source, SIZE_MAX);
	cr_assert_eq(ur_session_next(&source, 30000, &message), 0);
	carry(&source, &sink, SIZE_MAX);
	cr_assert_eq(ur_session_next(&sink, 40000, &message), 1);
	ur_session_measure(&sink, &message.hello.clock, 40000, &offset_us,
			   &error_us);
	cr_assert_eq(error_us, 20000);
	cr_assert_leq(llabs(offset_us - (int64_t)(SINK_BASE - SOURCE_BASE)),
		      20000);
	stop(&sink, &source);
}

Test(session, P16_measures_without_overflow_whatever_the_peer_says)
{
	static const uint64_t values[] = {0, 1, SINK_BASE, UINT64_C(1) << 62};
	struct ur_session_options options = sink_options();
	struct ur_session sink;
	int64_t offset_us;
	uint64_t error_us;

	ur_session_init(&sink, &options, 0);
	for (int i = 0; i < 64; i++) {
		struct ur_hello hello = {
		    .clock = {values[i % 4], values[i / 4 % 4],
			      i / 16 ? UINT64_MAX : values[i / 16]},
		};

		ur_session_measure(&sink, &hello.clock, 1000, &offset_us,
				   &error_us);
		cr_assert_leq(error_us, SINK_BASE);
	}
	ur_session_done(&sink);
}

Test(session, sends_what_is_queued_also_after_an_error)
{
	struct ur_session sink, source;
	struct ur_message message;
	const uint8_t *bytes;

	start(&sink, &source);
	open_both(&sink, &source, SIZE_MAX, 0);
	ur_session_ack(&sink, 0, 0);
	cr_assert_eq(ur_session_feed(&sink, "\0bad header 16 by", 16), 0);
	cr_assert_lt(ur_session_next(&sink, 0, &message), 0);
	cr_assert_gt(ur_session_send(&sink, &bytes), 2 * UR_FRAME_HEADER);
	stop(&sink, &source);
}
