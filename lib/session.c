/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "session-private.h"

/* A peer that does not read is paused by the owner long before this. */
#define OUT_LIMIT (16u << 20)

#define SECOND_US UINT64_C(1000000)

static uint64_t own_clock_us(const struct ur_session *session, uint64_t now_us)
{
	return now_us + session->options.clock_base_us;
}

static struct ur_clock_echo make_clock(const struct ur_session *session,
				       uint64_t now_us)
{
	struct ur_clock_echo clock = {
	    .now_us = own_clock_us(session, now_us),
	    .echo_us = session->peer_clock_us,
	    .held_us =
		session->peer_clock_us ? now_us - session->peer_clock_at_us : 0,
	};

	return clock;
}

void ur_session_queue_hello(struct ur_session *session, uint64_t now_us)
{
	const struct ur_session_options *options = &session->options;
	struct ur_hello hello = {
	    .version_min = UR_PROTOCOL_VERSION,
	    .version_max = UR_PROTOCOL_VERSION,
	    .role = (uint8_t)options->role,
	    .hold_min_s = options->hold_min_s,
	    .hold_max_s = options->hold_max_s,
	    .frame_max = options->frame_max,
	    .capabilities = options->capabilities,
	    .software = {options->software, strlen(options->software)},
	    .clock = make_clock(session, now_us),
	    .session_id = options->session_id,
	    .replay_first = options->replay_first,
	    .replay_last = options->replay_last,
	    .acked = options->acked,
	};

	ur_hello_encode(&session->out, &hello);
	session->sent_us = now_us;
}

void ur_session_init(struct ur_session *session,
		     const struct ur_session_options *options, uint64_t now_us)
{
	*session = (struct ur_session){
	    .options = *options,
	    .state = UR_SESSION_WAIT_HELLO,
	    .begun_us = now_us,
	    .heard_us = now_us,
	    .sent_us = now_us,
	    .acked = options->acked,
	    .acked_reported = options->acked,
	};
	if (!session->options.software)
		session->options.software = "";
	ur_framer_init(&session->framer, UR_FRAME_BODY_MIN);
	ur_buf_init(&session->out, OUT_LIMIT);
	if (options->role == UR_SINK)
		ur_session_queue_hello(session, now_us);
}

void ur_session_done(struct ur_session *session)
{
	ur_framer_done(&session->framer);
	ur_buf_done(&session->out);
}

static void close_with(struct ur_session *session, int error, uint16_t code,
		       const char *text, const uint8_t *quote, uint64_t now_us)
{
	if (session->state == UR_SESSION_CLOSED)
		return;
	ur_bye_encode(&session->out, code, text ? text : uidrecv_bye_text(code),
		      quote);
	session->state = UR_SESSION_CLOSED;
	session->error = error;
	session->bye_sent = code;
	session->sent_us = now_us;
}

int ur_session_refuse(struct ur_session *session, const struct ur_frame *frame,
		      int error, uint16_t code, uint64_t now_us)
{
	close_with(session, error, code, NULL, frame->header, now_us);
	return session->error;
}

void ur_session_bye(struct ur_session *session, uint16_t code, const char *text,
		    uint64_t now_us)
{
	close_with(session, UIDRECV_E_CLOSED, code, text, NULL, now_us);
}

int ur_session_feed(struct ur_session *session, const void *bytes, size_t size)
{
	int error;

	if (session->state == UR_SESSION_CLOSED)
		return session->error;
	error = ur_framer_feed(&session->framer, bytes, size);
	/* The framer's own errors are told by next, which answers them. */
	if (error == -ENOMEM) {
		session->state = UR_SESSION_CLOSED;
		session->error = error;
	}
	return error == -ENOMEM ? error : 0;
}

void ur_session_open(struct ur_session *session)
{
	session->state = UR_SESSION_OPEN;
	ur_framer_set_limit(&session->framer, session->options.frame_max);
}

void ur_session_accept(struct ur_session *session, uint64_t durable,
		       uint64_t now_us)
{
	struct ur_ready ready = {
	    .version = UR_PROTOCOL_VERSION,
	    .hold_time_s = (uint16_t)(session->hold_us / SECOND_US),
	    .durable = durable,
	    .window = session->options.window,
	};

	if (session->state != UR_SESSION_DECIDING)
		return;
	session->durable = durable;
	session->window = session->options.window;
	ur_session_open(session);
	ur_ready_encode(&session->out, &ready);
	session->sent_us = now_us;
	session->heard_us = now_us;
}

/* Checks what every frame must have in this state. */
static bool version_is_right(const struct ur_session *session,
			     const struct ur_frame *frame)
{
	if (frame->version == UR_PROTOCOL_VERSION)
		return true;
	/* A source waits for READY, too, and may hear a newer sink's BYE. */
	if (frame->type == UR_BYE)
		return session->state != UR_SESSION_OPEN;
	return session->state == UR_SESSION_WAIT_HELLO &&
	       frame->type == UR_HELLO;
}

/* Of what was not announced, to those who take it, only the type is read. */
static bool is_announced(const struct ur_session *session, uint8_t type)
{
	uint64_t capabilities = session->options.capabilities;
	bool is_sink = session->options.role == UR_SINK;

	switch (type) {
	case UR_RESYNC:
		return !is_sink && (capabilities & UR_CAPABILITY_SNAPSHOT);
	case UR_SNAPSHOT_BEGIN:
	case UR_SNAPSHOT_END:
		return is_sink && (capabilities & UR_CAPABILITY_SNAPSHOT);
	case UR_REFRESH_ALL:
		return is_sink && (capabilities & UR_CAPABILITY_REFRESH_ALL);
	case UR_TS_CONFIG:
		return is_sink && (capabilities & UR_CAPABILITY_PORTS);
	default:
		return true;
	}
}

int ur_session_next(struct ur_session *session, uint64_t now_us,
		    struct ur_message *ret_message)
{
	struct ur_frame frame;
	uint16_t bye;
	int ret;

	while (session->state != UR_SESSION_CLOSED) {
		ret = ur_framer_next(&session->framer, &frame);
		if (ret == 0)
			return 0;
		if (ret < 0) {
			close_with(session, ret, session->framer.bye, NULL,
				   session->framer.offending, now_us);
			break;
		}
		session->heard_us = now_us;
		if (!version_is_right(session, &frame))
			return ur_session_refuse(
			    session, &frame, UIDRECV_E_VERSION,
			    UIDRECV_BYE_BAD_VERSION, now_us);
		if (!is_announced(session, frame.type))
			return ur_session_refuse(session, &frame,
						 UIDRECV_E_STATE,
						 UIDRECV_BYE_BAD_STATE, now_us);
		ret = ur_message_decode(&frame, ret_message, &bye);
		if (ret < 0)
			return ur_session_refuse(session, &frame, ret, bye,
						 now_us);
		ret = ur_session_run_fsm(session, &frame, ret_message, now_us);
		if (ret)
			return ret;
	}
	return session->error;
}

void ur_session_ack(struct ur_session *session, uint64_t serial,
		    uint64_t now_us)
{
	if (session->state != UR_SESSION_OPEN)
		return;
	ur_ack_encode(&session->out, serial);
	session->sent_us = now_us;
}

void ur_session_reject(struct ur_session *session, uint64_t serial,
		       const struct ur_refusal *refusals, size_t count,
		       uint64_t now_us)
{
	if (session->state != UR_SESSION_OPEN || !count)
		return;
	ur_reject_encode(&session->out, serial, refusals, count,
			 session->peer_frame_max);
	session->sent_us = now_us;
}

void ur_session_resync(struct ur_session *session, uint16_t code,
		       uint64_t now_us)
{
	if (session->state != UR_SESSION_OPEN ||
	    !(session->peer_capabilities & UR_CAPABILITY_SNAPSHOT))
		return;
	ur_resync_encode(&session->out, code);
	session->sent_us = now_us;
}

void ur_session_update(struct ur_session *session, const uint8_t *frame,
		       size_t size, uint64_t now_us)
{
	size_t begun = session->out.size;
	struct ur_bytes reading;

	if (session->state != UR_SESSION_OPEN)
		return;
	ur_buf_bytes(&session->out, frame, size);
	if (session->acked != session->acked_reported) {
		ur_update_add_acked(&session->out, begun, session->acked);
		session->acked_reported = session->acked;
	}
	reading = ur_bytes_of(frame + 8, 8);
	session->serial = ur_bytes_u64(&reading);
	session->sent_us = now_us;
}

static uint64_t silence_us(const struct ur_session *session)
{
	if (session->state == UR_SESSION_OPEN)
		return session->heard_us + session->hold_us;
	return session->begun_us + session->options.handshake_us;
}

static uint64_t keepalive_us(const struct ur_session *session)
{
	if (session->state == UR_SESSION_OPEN)
		return session->sent_us + session->hold_us / 3;
	return UINT64_MAX;
}

uint64_t ur_session_deadline(const struct ur_session *session)
{
	uint64_t silence = silence_us(session);
	uint64_t keepalive = keepalive_us(session);

	if (session->state == UR_SESSION_CLOSED)
		return UINT64_MAX;
	return silence < keepalive ? silence : keepalive;
}

int ur_session_tick(struct ur_session *session, uint64_t now_us)
{
	if (session->state == UR_SESSION_CLOSED)
		return session->error;
	if (now_us >= silence_us(session)) {
		close_with(session, UIDRECV_E_HOLD, UIDRECV_BYE_HOLD_TIME, NULL,
			   NULL, now_us);
		return session->error;
	}
	if (now_us >= keepalive_us(session)) {
		struct ur_keepalive keepalive = {
		    .clock = make_clock(session, now_us),
		    .acked = session->acked,
		    .has_acked = session->options.role == UR_SOURCE,
		};

		ur_keepalive_encode(&session->out, &keepalive);
		session->acked_reported = session->acked;
		session->sent_us = now_us;
	}
	return 0;
}

void ur_session_heard(struct ur_session *session, uint64_t now_us)
{
	session->heard_us = now_us;
}

size_t ur_session_send(struct ur_session *session, const uint8_t **ret_bytes)
{
	/* Out of memory or over the limit: the stream has a hole. */
	if (session->out.failed) {
		session->state = UR_SESSION_CLOSED;
		if (!session->error)
			session->error = -ENOMEM;
		return 0;
	}
	*ret_bytes = ur_buf_front(&session->out);
	return session->out.size;
}

void ur_session_sent(struct ur_session *session, size_t size)
{
	ur_buf_consume(&session->out, size);
}

void ur_session_measure(const struct ur_session *session,
			const struct ur_clock_echo *clock, uint64_t now_us,
			int64_t *ret_offset_us, uint64_t *ret_error_us)
{
	uint64_t at = own_clock_us(session, now_us);
	uint64_t echo = clock->echo_us;
	uint64_t away, trip = 0;

	if (echo && echo <= at) {
		away = at - echo;
		if (clock->held_us <= away)
			trip = away - clock->held_us;
	}
	/* Both are checked to be at most 2^62, so this cannot overflow. */
	*ret_offset_us = (int64_t)(at - trip / 2) - (int64_t)clock->now_us;
	*ret_error_us = trip / 2;
}
