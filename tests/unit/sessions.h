/* SPDX-License-Identifier: BSD-2-Clause */
/* For the tests of sessions: a source and a sink that talk. */
#ifndef UR_TEST_SESSIONS_H
#define UR_TEST_SESSIONS_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "session.h"

#define SECOND UINT64_C(1000000)
#define SINK_BASE UINT64_C(1700000000000000)
#define SOURCE_BASE UINT64_C(1600000000000000)

static inline struct ur_session_options sink_options(void)
{
	return (struct ur_session_options){
	    .role = UR_SINK,
	    .hold_min_s = 10,
	    .hold_max_s = 90,
	    .frame_max = 65536,
	    .clock_base_us = SINK_BASE,
	    .handshake_us = 10 * SECOND,
	    .software = "sink",
	    .window = 4,
	};
}

static inline struct ur_session_options source_options(void)
{
	return (struct ur_session_options){
	    .role = UR_SOURCE,
	    .hold_min_s = 3,
	    .hold_max_s = 60,
	    .frame_max = 65536,
	    .clock_base_us = SOURCE_BASE,
	    .handshake_us = 10 * SECOND,
	    .software = "source",
	    .session_id = 77,
	    .replay_first = 1,
	    .replay_last = 0,
	};
}

/* Moves a piece of at most step bytes from one side to the other. */
static inline void carry(struct ur_session *from, struct ur_session *to,
			 size_t step)
{
	const uint8_t *bytes;
	size_t size = ur_session_send(from, &bytes);

	if (size > step)
		size = step;
	(void)!ur_session_feed(to, bytes, size);
	ur_session_sent(from, size);
}

/* Runs one side until it has a message or nothing more comes. */
static inline int turn(struct ur_session *from, struct ur_session *to,
		       size_t step, uint64_t now_us, struct ur_message *message)
{
	const uint8_t *bytes;
	int ret;

	for (;;) {
		ret = ur_session_next(to, now_us, message);
		if (ret || !ur_session_send(from, &bytes))
			return ret;
		carry(from, to, step);
	}
}

static inline void open_both(struct ur_session *sink, struct ur_session *source,
			     size_t step, uint64_t durable)
{
	struct ur_message message;

	cr_assert_eq(turn(sink, source, step, 0, &message), 0);
	cr_assert_eq(source->state, UR_SESSION_WAIT_READY);
	cr_assert_eq(turn(source, sink, step, 0, &message), 1);
	cr_assert_eq(message.type, UR_HELLO);
	cr_assert_eq(message.hello.session_id, source->options.session_id);
	ur_session_accept(sink, durable, 0);
	cr_assert_eq(turn(sink, source, step, 0, &message), 1);
	cr_assert_eq(message.type, UR_READY);
	cr_assert_eq(message.ready.durable, durable);
	cr_assert_eq(sink->state, UR_SESSION_OPEN);
	cr_assert_eq(source->state, UR_SESSION_OPEN);
}

static inline void start(struct ur_session *sink, struct ur_session *source)
{
	struct ur_session_options a = sink_options(), b = source_options();

	ur_session_init(sink, &a, 0);
	ur_session_init(source, &b, 0);
}

static inline void stop(struct ur_session *sink, struct ur_session *source)
{
	ur_session_done(sink);
	ur_session_done(source);
}

/* An UPDATE frame with one MAP. */
static inline struct ur_buf make_update(uint64_t serial)
{
	struct uidrecv_record record = {
	    .op = UIDRECV_OP_MAP,
	    .address = uidrecv_address_from_ipv4(0x0a000001),
	    .user_size = 5,
	    .user = "alice",
	};
	struct ur_update_writer writer;
	struct ur_buf buf;

	ur_buf_init(&buf, 65536);
	ur_update_begin(&writer, &buf, serial, SOURCE_BASE, false, 0, 60000);
	cr_assert(ur_update_add(&writer, &record));
	ur_update_end(&writer);
	return buf;
}

static inline void send_update(struct ur_session *source, uint64_t serial)
{
	struct ur_buf buf = make_update(serial);

	ur_session_update(source, ur_buf_front(&buf), buf.size, 0);
	ur_buf_done(&buf);
}

static inline void expect_bye(struct ur_session *session,
			      struct ur_session *peer, uint16_t code)
{
	struct ur_message message;
	int ret;

	cr_assert_eq(session->bye_sent, code, "sent %u", session->bye_sent);
	do
		ret = turn(session, peer, SIZE_MAX, 0, &message);
	while (ret == 1 && message.type != UR_BYE);
	cr_assert_eq(ret, 1);
	cr_assert_eq(message.bye.code, code);
	cr_assert_eq(peer->bye_received, code);
	cr_assert_eq(ur_session_next(peer, 0, &message), UIDRECV_E_BYE);
}

#endif
