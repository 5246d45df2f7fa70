/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SNAPSHOT BEGIN, SNAPSHOT END, REFRESH ALL, TS CONFIG and RESYNC in a session;
 * doc/protocol.md sections 3, 4, 7 and 9.
 */
#include "sessions.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define ALL                                                                    \
	(UR_CAPABILITY_SNAPSHOT | UR_CAPABILITY_REFRESH_ALL |                  \
	 UR_CAPABILITY_PORTS)

/* All that has a serial. */
static const uint8_t numbered[] = {UR_UPDATE, UR_SNAPSHOT_BEGIN,
				   UR_SNAPSHOT_END, UR_REFRESH_ALL,
				   UR_TS_CONFIG};
#define N COUNT(numbered)

static const struct uidrecv_system multi_user = {
    .address = {1, 2},
    .aliases = {{3, 4}},
    .ports = {20000, 20000},
    .reserved = {{20000, 1}},
    .block_size = 200,
    .aliases_count = 1,
    .reserved_count = 1,
};

static struct ur_buf make_numbered(uint8_t type, uint64_t serial)
{
	struct ur_buf buf;

	if (type == UR_UPDATE)
		return make_update(serial);
	ur_buf_init(&buf, 65536);
	if (type == UR_SNAPSHOT_BEGIN)
		ur_snapshot_begin_encode(&buf, serial);
	else if (type == UR_SNAPSHOT_END)
		ur_snapshot_end_encode(&buf, serial, 1000 + serial);
	else if (type == UR_TS_CONFIG)
		ur_ts_config_encode(&buf, serial, &multi_user);
	else
		ur_refresh_all_encode(&buf, serial, SOURCE_BASE, 1000 + serial);
	return buf;
}

static void send_numbered(struct ur_session *source, uint8_t type,
			  uint64_t serial)
{
	struct ur_buf buf = make_numbered(type, serial);

	ur_session_update(source, ur_buf_front(&buf), buf.size, 0);
	ur_buf_done(&buf);
}

/* Two sides that have announced what the arguments say. */
static void begin(struct ur_session *sink, struct ur_session *source,
		  uint64_t of_sink, uint64_t of_source)
{
	struct ur_session_options a = sink_options(), b = source_options();

	a.capabilities = of_sink;
	b.capabilities = of_source;
	b.replay_last = 100;
	ur_session_init(sink, &a, 0);
	ur_session_init(source, &b, 0);
}

static void begin_open(struct ur_session *sink, struct ur_session *source)
{
	begin(sink, source, ALL, UR_CAPABILITY_SNAPSHOT);
	open_both(sink, source, SIZE_MAX, 0);
}

/* Sends one and asserts that the sink gets it. */
static void pass(struct ur_session *source, struct ur_session *sink,
		 uint8_t type, uint64_t serial)
{
	struct ur_message message;

	send_numbered(source, type, serial);
	cr_assert_eq(turn(source, sink, SIZE_MAX, 0, &message), 1,
		     "type %u serial %llu", type, (unsigned long long)serial);
	cr_assert_eq(message.type, type);
	cr_assert_eq(message.serial, serial);
	cr_assert_eq(message.update.count,
		     type == UR_SNAPSHOT_END || type == UR_REFRESH_ALL
			 ? 1000 + serial
			 : 0);
	cr_assert_eq(message.update.as_of_us,
		     type == UR_UPDATE || type == UR_REFRESH_ALL ? SOURCE_BASE
								 : 0);
	cr_assert_eq(message.update.maps_count, type == UR_UPDATE);
}

/* Sends one and asserts how the sink answers it. */
static void refuse(struct ur_session *source, struct ur_session *sink,
		   uint8_t type, uint64_t serial, uint16_t bye)
{
	struct ur_message message;

	send_numbered(source, type, serial);
	cr_assert_lt(turn(source, sink, SIZE_MAX, 0, &message), 0,
		     "type %u serial %llu", type, (unsigned long long)serial);
	expect_bye(sink, source, bye);
}

Test(session_snapshot, each_side_hears_what_the_other_announced)
{
	static const uint64_t all[] = {0, 1, 2, 3, 4, UINT64_MAX};
	struct ur_session sink, source;

	for (size_t i = 0; i < COUNT(all) * COUNT(all); i++) {
		uint64_t of_sink = all[i / COUNT(all)];
		uint64_t of_source = all[i % COUNT(all)];

		begin(&sink, &source, of_sink, of_source);
		cr_assert_eq(source.peer_capabilities, 0, "no HELLO yet");
		open_both(&sink, &source, SIZE_MAX, 0);
		cr_assert_eq(sink.peer_capabilities, of_source);
		cr_assert_eq(source.peer_capabilities, of_sink);
		stop(&sink, &source);
	}
}

Test(session_snapshot, one_sequence_of_serials_for_all_types)
{
	static const uint64_t wrong[] = {0, 1, 2, 4, UINT64_MAX};
	struct ur_session sink, source;

	for (size_t i = 0; i < N * N * N; i++) {
		uint8_t a = numbered[i % N], b = numbered[i / N % N];
		uint8_t c = numbered[i / N / N];

		begin_open(&sink, &source);
		pass(&source, &sink, a, 1);
		pass(&source, &sink, b, 2);
		pass(&source, &sink, c, 3);
		cr_assert_eq(sink.serial, 3);
		stop(&sink, &source);
		for (size_t j = 0; j < COUNT(wrong); j++) {
			begin_open(&sink, &source);
			pass(&source, &sink, a, 1);
			pass(&source, &sink, b, 2);
			refuse(&source, &sink, c, wrong[j],
			       UIDRECV_BYE_BAD_SERIAL);
			cr_assert_eq(sink.serial, 2);
			stop(&sink, &source);
		}
	}
}

Test(session_snapshot, one_window_for_all_types)
{
	struct ur_session sink, source;

	for (size_t i = 0; i < N * N; i++) {
		begin_open(&sink, &source);
		for (uint64_t serial = 1; serial <= 4; serial++)
			pass(&source, &sink, numbered[(i + serial) % N],
			     serial);
		refuse(&source, &sink, numbered[i / N], 5, UIDRECV_BYE_WINDOW);
		stop(&sink, &source);
	}
}

static void hear_ack(struct ur_session *sink, struct ur_session *source,
		     uint64_t serial)
{
	struct ur_message message;

	ur_session_ack(sink, serial, 0);
	cr_assert_eq(turn(sink, source, SIZE_MAX, 0, &message), 1);
	cr_assert_eq(message.type, UR_ACK);
}

/* ACKED in the message itself makes the room that it needs. */
Test(session_snapshot, each_type_reports_what_was_acknowledged)
{
	struct ur_session sink, source;

	for (size_t i = 0; i < COUNT(numbered); i++) {
		begin_open(&sink, &source);
		for (uint64_t serial = 1; serial <= 4; serial++)
			pass(&source, &sink, UR_UPDATE, serial);
		hear_ack(&sink, &source, 1);
		cr_assert_eq(sink.acked, 0);
		pass(&source, &sink, numbered[i], 5);
		cr_assert_eq(sink.acked, 1, "type %u", numbered[i]);
		refuse(&source, &sink, numbered[i], 6, UIDRECV_BYE_WINDOW);
		stop(&sink, &source);
	}
}

/* The bytes of one, as they leave; each once with ACKED, then without. */
Test(session_snapshot, acked_is_added_once)
{
	struct ur_session sink, source;
	const uint8_t *bytes;

	for (size_t i = 0; i < COUNT(numbered); i++) {
		struct ur_buf buf = make_numbered(numbered[i], 7);

		begin_open(&sink, &source);
		pass(&source, &sink, UR_UPDATE, 1);
		hear_ack(&sink, &source, 1);
		send_numbered(&source, numbered[i], 7);
		cr_assert_eq(ur_session_send(&source, &bytes),
			     buf.size + UR_UPDATE_SPARE);
		cr_assert_eq(source.serial, 7);
		ur_session_sent(&source, buf.size + UR_UPDATE_SPARE);
		send_numbered(&source, numbered[i], 7);
		cr_assert_eq(ur_session_send(&source, &bytes), buf.size);
		cr_assert_arr_eq(bytes, ur_buf_front(&buf), buf.size);
		ur_buf_done(&buf);
		stop(&sink, &source);
	}
}

Test(session_snapshot, any_type_is_replayed)
{
	struct ur_session_options a = sink_options(), b = source_options();
	struct ur_session sink, source;

	a.capabilities = ALL;
	a.window = 100;
	b.replay_first = 5;
	b.replay_last = 20;
	b.acked = 4;
	for (size_t i = 0; i < N * N; i++) {
		ur_session_init(&sink, &a, 0);
		ur_session_init(&source, &b, 0);
		open_both(&sink, &source, SIZE_MAX, 10);
		for (uint64_t serial = 5; serial <= 12; serial++)
			pass(&source, &sink, numbered[(i + i / N * serial) % N],
			     serial);
		stop(&sink, &source);
		/* The first may be any that it can send, but no other. */
		ur_session_init(&sink, &a, 0);
		ur_session_init(&source, &b, 0);
		open_both(&sink, &source, SIZE_MAX, 10);
		if (i % 2)
			pass(&source, &sink, numbered[i / N], 11);
		else
			refuse(&source, &sink, numbered[i / N], i % 4 ? 4 : 12,
			       UIDRECV_BYE_BAD_SERIAL);
		stop(&sink, &source);
	}
}

/* What a side that has announced this takes, by section 4. */
static bool takes(enum ur_role role, uint64_t capabilities, uint8_t type)
{
	if (type == UR_RESYNC)
		return role == UR_SOURCE &&
		       (capabilities & UR_CAPABILITY_SNAPSHOT);
	if (role == UR_SOURCE)
		return false;
	if (type == UR_TS_CONFIG)
		return capabilities & UR_CAPABILITY_PORTS;
	return capabilities &
	       (type == UR_REFRESH_ALL ? UR_CAPABILITY_REFRESH_ALL
				       : UR_CAPABILITY_SNAPSHOT);
}

static void feed_type(struct ur_session *session, uint8_t type,
		      const char *body, size_t size, uint8_t *ret_header)
{
	struct ur_buf buf;
	size_t begun;

	ur_buf_init(&buf, 4096);
	begun = ur_frame_begin(&buf, 1, type, type != UR_RESYNC);
	ur_buf_bytes(&buf, body, size);
	ur_frame_end(&buf, begun);
	memcpy(ret_header, ur_buf_front(&buf), UR_FRAME_HEADER);
	cr_assert_eq(ur_session_feed(session, ur_buf_front(&buf), buf.size), 0);
	ur_buf_done(&buf);
}

/* Whatever is in it: good for some of the types, empty, garbage. */
static const struct {
	const char *bytes;
	size_t size;
} bodies[] = {
    {"\x80\x14\0\x8\0\0\0\0\0\0\0\1", 12},
    {"\x80\x10\0\x8\0\0\0\0\0\0\0\1\x80\x14\0\x8\0\0\0\0\0\0\0\1", 24},
    {"\x80\x12\0\2\0\1", 6},
    {"\x80\x30\0\4\n\1\2\3\x80\x15\0\6\0\1\0\0\0\1\x80\x16\0\4\0\0\0\1", 26},
    {"", 0},
    {"garbage", 7},
};

static void check_type(enum ur_role role, uint64_t capabilities, uint8_t type,
		       size_t body)
{
	struct ur_session sink, source;
	struct ur_session *session = role == UR_SINK ? &sink : &source;
	struct ur_session *peer = role == UR_SINK ? &source : &sink;
	uint8_t header[UR_FRAME_HEADER];
	struct ur_message message;

	begin(&sink, &source, role == UR_SINK ? capabilities : UINT64_MAX,
	      role == UR_SINK ? UINT64_MAX : capabilities);
	open_both(&sink, &source, SIZE_MAX, 0);
	feed_type(session, type, bodies[body].bytes, bodies[body].size, header);
	if (takes(role, capabilities, type)) {
		(void)ur_session_next(session, 0, &message);
		cr_assert_neq(session->bye_sent, UIDRECV_BYE_BAD_STATE);
		stop(&sink, &source);
		return;
	}
	cr_assert_eq(ur_session_next(session, 0, &message), UIDRECV_E_STATE,
		     "role %u %#llx type %u", role,
		     (unsigned long long)capabilities, type);
	cr_assert_eq(turn(session, peer, SIZE_MAX, 0, &message), 1);
	cr_assert_eq(message.type, UR_BYE);
	cr_assert_eq(message.bye.code, UIDRECV_BYE_BAD_STATE);
	cr_assert_not_null(message.bye.quote);
	cr_assert_arr_eq(message.bye.quote, header, UR_FRAME_HEADER);
	stop(&sink, &source);
}

Test(session_snapshot, P05_what_was_not_announced_is_refused_and_quoted)
{
	for (uint64_t capabilities = 0; capabilities < 8; capabilities++)
		for (uint8_t type = UR_RESYNC; type <= UR_TS_CONFIG; type++)
			for (size_t body = 0; body < COUNT(bodies); body++) {
				check_type(UR_SINK, capabilities, type, body);
				check_type(UR_SOURCE, capabilities, type, body);
			}
}

/* Announced or not: before READY nothing of the kind. */
Test(session_snapshot, nothing_of_it_before_ready)
{
	static const struct {
		uint8_t type;
		size_t body;
	} good[] = {{UR_SNAPSHOT_BEGIN, 4},
		    {UR_TS_CONFIG, 3},
		    {UR_SNAPSHOT_END, 0},
		    {UR_REFRESH_ALL, 1},
		    {UR_RESYNC, 2}};
	struct ur_session sink, source;
	struct ur_message message;
	uint8_t header[UR_FRAME_HEADER];

	for (size_t i = 0; i < COUNT(good) * 4; i++) {
		size_t body = good[i / 4].body;
		/* Before and after the other's HELLO. */
		struct ur_session *session = i % 2 ? &sink : &source;

		begin(&sink, &source, UINT64_MAX, UINT64_MAX);
		if (i / 2 % 2) {
			(void)turn(&sink, &source, SIZE_MAX, 0, &message);
			(void)turn(&source, &sink, SIZE_MAX, 0, &message);
		}
		feed_type(session, good[i / 4].type, bodies[body].bytes,
			  bodies[body].size, header);
		cr_assert_eq(ur_session_next(session, 0, &message),
			     UIDRECV_E_STATE, "%zu", i);
		cr_assert_eq(session->bye_sent, UIDRECV_BYE_BAD_STATE);
		stop(&sink, &source);
	}
}

Test(session_snapshot, resync_reaches_a_source_that_announced_it)
{
	struct ur_session sink, source;
	struct ur_message message;

	begin_open(&sink, &source);
	for (uint16_t code = 1; code <= 6; code++) {
		const char *text = uidrecv_resync_text(code);

		ur_session_resync(&sink, code, 9 * SECOND + code);
		cr_assert_eq(sink.sent_us, 9 * SECOND + code);
		cr_assert_eq(turn(&sink, &source, 5, 0, &message), 1);
		cr_assert_eq(message.type, UR_RESYNC);
		cr_assert_eq(message.serial, 0);
		cr_assert_eq(message.bye.code, code);
		cr_assert_eq(message.bye.text.size, strlen(text));
		cr_assert_arr_eq(message.bye.text.bytes, text, strlen(text));
		cr_assert_eq(source.state, UR_SESSION_OPEN);
		cr_assert_eq(source.bye_received, 0);
	}
	/* It goes on. */
	pass(&source, &sink, UR_SNAPSHOT_BEGIN, 1);
	hear_ack(&sink, &source, 1);
	stop(&sink, &source);
}

Test(session_snapshot, resync_is_not_queued_for_others)
{
	static const uint64_t others[] = {0, UR_CAPABILITY_REFRESH_ALL,
					  ~UR_CAPABILITY_SNAPSHOT};
	struct ur_session sink, source;
	const uint8_t *bytes;

	for (size_t i = 0; i < COUNT(others); i++) {
		begin(&sink, &source, ALL, others[i]);
		open_both(&sink, &source, SIZE_MAX, 0);
		ur_session_resync(&sink, UIDRECV_RESYNC_GAP, SECOND);
		cr_assert_eq(ur_session_send(&sink, &bytes), 0);
		cr_assert_eq(sink.sent_us, 0);
		stop(&sink, &source);
	}
}

Test(session_snapshot, resync_of_a_sink_that_takes_no_snapshot_is_refused)
{
	struct ur_session sink, source;
	struct ur_message message;
	struct ur_buf buf;

	begin(&sink, &source, UR_CAPABILITY_REFRESH_ALL,
	      UR_CAPABILITY_SNAPSHOT);
	open_both(&sink, &source, SIZE_MAX, 0);
	ur_buf_init(&buf, 4096);
	ur_resync_encode(&buf, UIDRECV_RESYNC_GAP);
	cr_assert_eq(ur_session_feed(&source, ur_buf_front(&buf), buf.size), 0);
	cr_assert_eq(ur_session_next(&source, 0, &message), UIDRECV_E_STATE);
	cr_assert_eq(source.bye_sent, UIDRECV_BYE_BAD_STATE);
	ur_buf_done(&buf);
	stop(&sink, &source);
}

Test(session_snapshot, resync_only_while_the_session_is_open)
{
	struct ur_session sink, source;
	struct ur_message message;
	const uint8_t *bytes;
	size_t size;

	begin(&sink, &source, ALL, UR_CAPABILITY_SNAPSHOT);
	cr_assert_eq(turn(&sink, &source, SIZE_MAX, 0, &message), 0);
	cr_assert_eq(turn(&source, &sink, SIZE_MAX, 0, &message), 1);
	cr_assert_eq(sink.state, UR_SESSION_DECIDING);
	ur_session_resync(&sink, UIDRECV_RESYNC_GAP, 0);
	cr_assert_eq(ur_session_send(&sink, &bytes), 0, "READY comes first");
	ur_session_accept(&sink, 0, 0);
	ur_session_bye(&sink, UIDRECV_BYE_SHUTDOWN, NULL, 0);
	size = ur_session_send(&sink, &bytes);
	ur_session_resync(&sink, UIDRECV_RESYNC_GAP, 0);
	cr_assert_eq(ur_session_send(&sink, &bytes), size, "BYE is the last");
	stop(&sink, &source);
}

static void check_system(const struct ur_update *update)
{
	struct uidrecv_system system;

	cr_assert_eq(update->records_count, 1);
	ur_ts_config_decode(update->body, update->body_size, &system);
	cr_assert_eq(system.address.lo, 2);
	cr_assert_eq(system.aliases_count, 1);
	cr_assert_eq(system.aliases[0].hi, 3);
	cr_assert_eq(system.ports.count, 20000);
	cr_assert_eq(system.block_size, 200);
	cr_assert_eq(system.reserved_count, 1);
	cr_assert_eq(system.reserved[0].start, 20000);
}

/* A whole session over pieces of any size gives the same messages. */
static void talk(size_t step)
{
	static const uint8_t said[] = {UR_TS_CONFIG,	  UR_REFRESH_ALL,
				       UR_SNAPSHOT_BEGIN, UR_UPDATE,
				       UR_UPDATE,	  UR_SNAPSHOT_END,
				       UR_REFRESH_ALL,	  UR_SNAPSHOT_BEGIN};
	struct ur_session sink, source;
	struct ur_message message;
	uint64_t serial = 0;

	begin(&sink, &source, ALL, UR_CAPABILITY_SNAPSHOT);
	open_both(&sink, &source, step, 0);
	sink.window = 100;
	for (size_t i = 0; i < COUNT(said); i++)
		send_numbered(&source, said[i], i + 1);
	for (size_t i = 0; i < COUNT(said); i++) {
		cr_assert_eq(turn(&source, &sink, step, 0, &message), 1);
		cr_assert_eq(message.type, said[i], "by %zu: %zu", step, i);
		cr_assert_eq(message.serial, ++serial);
		cr_assert_eq(message.update.count,
			     said[i] == UR_SNAPSHOT_END ||
				     said[i] == UR_REFRESH_ALL
				 ? 1000 + serial
				 : 0);
		if (said[i] == UR_TS_CONFIG)
			check_system(&message.update);
		ur_session_resync(&sink, (uint16_t)serial, 0);
		ur_session_ack(&sink, serial, 0);
	}
	for (uint64_t i = 1; i <= serial; i++) {
		cr_assert_eq(turn(&sink, &source, step, 0, &message), 1);
		cr_assert_eq(message.type, UR_RESYNC);
		cr_assert_eq(message.bye.code, i);
		cr_assert_eq(turn(&sink, &source, step, 0, &message), 1);
		cr_assert_eq(message.type, UR_ACK);
		cr_assert_eq(message.serial, i);
	}
	cr_assert_eq(turn(&sink, &source, step, 0, &message), 0);
	send_numbered(&source, UR_SNAPSHOT_END, serial + 1);
	cr_assert_eq(turn(&source, &sink, step, 0, &message), 1);
	cr_assert_eq(message.update.acked, serial);
	cr_assert_eq(sink.acked, serial);
	stop(&sink, &source);
}

Test(session_snapshot, N06_any_split_gives_the_same_messages)
{
	for (size_t step = 1; step < 500; step++)
		talk(step);
}

/*
 * The sink's KEEPALIVE leaves at 20 s and takes 30 ms; the source's answers it
 * when its own is due, and takes 10 ms.
 */
Test(session_snapshot, measures_by_keepalive_as_by_hello)
{
	struct ur_session sink, source;
	struct ur_message message;
	struct ur_clock_echo clock;
	int64_t offset_us;
	uint64_t error_us, due;

	begin_open(&sink, &source);
	cr_assert_eq(ur_session_tick(&sink, 20 * SECOND), 0);
	cr_assert_eq(
	    turn(&sink, &source, SIZE_MAX, 20 * SECOND + 30000, &message), 0);
	due = 25 * SECOND;
	cr_assert_eq(ur_session_tick(&source, due), 0);
	cr_assert_eq(turn(&source, &sink, SIZE_MAX, due + 10000, &message), 1);
	cr_assert_eq(message.type, UR_KEEPALIVE);
	clock = message.keepalive.clock;
	cr_assert_eq(clock.held_us, 5 * SECOND - 30000);
	ur_session_measure(&sink, &clock, due + 10000, &offset_us, &error_us);
	cr_assert_eq(error_us, 20000);
	cr_assert_eq(offset_us, (int64_t)(SINK_BASE - SOURCE_BASE) - 10000);
	/* Without an echo it says nothing of the way. */
	clock.echo_us = 0;
	ur_session_measure(&sink, &clock, due + 10000, &offset_us, &error_us);
	cr_assert_eq(error_us, 0);
	cr_assert_eq(offset_us, (int64_t)(SINK_BASE - SOURCE_BASE) + 10000);
	stop(&sink, &source);
}
