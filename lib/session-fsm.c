/* SPDX-License-Identifier: BSD-2-Clause */
/* The state tables of doc/protocol.md section 9. */
#include "session-private.h"

#define SECOND_US UINT64_C(1000000)

static void note_clock(struct ur_session *session,
		       const struct ur_clock_echo *clock, uint64_t now_us)
{
	session->peer_clock_us = clock->now_us;
	session->peer_clock_at_us = now_us;
}

/* The agreed hold time in seconds, or 0 if there is none. */
static uint16_t agree_hold(const struct ur_session *session,
			   const struct ur_hello *hello)
{
	uint16_t max = session->options.hold_max_s < hello->hold_max_s
			   ? session->options.hold_max_s
			   : hello->hold_max_s;

	if (max < session->options.hold_min_s || max < hello->hold_min_s)
		return 0;
	return max;
}

static int on_hello(struct ur_session *session, const struct ur_frame *frame,
		    const struct ur_hello *hello, uint64_t now_us)
{
	bool is_sink = session->options.role == UR_SINK;
	uint16_t hold_s = agree_hold(session, hello);

	if (hello->role == session->options.role)
		return ur_session_refuse(session, frame, UIDRECV_E_STATE,
					 UIDRECV_BYE_SAME_ROLE, now_us);
	if (hello->version_min > UR_PROTOCOL_VERSION ||
	    hello->version_max < UR_PROTOCOL_VERSION)
		return ur_session_refuse(session, frame, UIDRECV_E_VERSION,
					 UIDRECV_BYE_NO_COMMON_VERSION, now_us);
	/* The source hears in READY what the sink has chosen. */
	if (is_sink && !hold_s)
		return ur_session_refuse(session, frame, UIDRECV_E_HOLD,
					 UIDRECV_BYE_NO_COMMON_HOLD_TIME,
					 now_us);

	note_clock(session, &hello->clock, now_us);
	session->peer_frame_max = hello->frame_max;
	session->peer_capabilities = hello->capabilities;
	if (!is_sink) {
		ur_session_queue_hello(session, now_us);
		session->state = UR_SESSION_WAIT_READY;
		return 0;
	}
	session->hold_us = hold_s * SECOND_US;
	session->acked = hello->acked;
	session->peer_replay_first = hello->replay_first;
	session->state = UR_SESSION_DECIDING;
	return 1;
}

static int on_ready(struct ur_session *session, const struct ur_frame *frame,
		    const struct ur_ready *ready, uint64_t now_us)
{
	if (ready->version != UR_PROTOCOL_VERSION || !ready->window ||
	    ready->hold_time_s < session->options.hold_min_s ||
	    ready->hold_time_s > session->options.hold_max_s)
		return ur_session_refuse(session, frame, UIDRECV_E_MESSAGE,
					 UIDRECV_BYE_BAD_MESSAGE, now_us);
	if (ready->durable > session->options.replay_last)
		return ur_session_refuse(session, frame, UIDRECV_E_SERIAL,
					 UIDRECV_BYE_BAD_SERIAL, now_us);
	session->hold_us = ready->hold_time_s * SECOND_US;
	session->durable = ready->durable;
	session->window = ready->window;
	session->serial = session->options.acked;
	ur_session_open(session);
	return 1;
}

/* Is this the serial that may come now? */
static bool serial_is_next(const struct ur_session *session, uint64_t serial)
{
	uint64_t first = session->peer_replay_first;

	if (session->serial)
		return serial == session->serial + 1;
	if (first > session->durable + 1)
		return serial == first;
	return serial >= first && serial <= session->durable + 1;
}

static void note_acked(struct ur_session *session, uint64_t acked)
{
	if (acked > session->acked)
		session->acked = acked;
}

/* At a sink, whatever has a serial of its own. */
static int on_update(struct ur_session *session, const struct ur_frame *frame,
		     const struct ur_message *message, uint64_t now_us)
{
	const struct ur_update *update = &message->update;

	if (!message->serial || !serial_is_next(session, message->serial))
		return ur_session_refuse(session, frame, UIDRECV_E_SERIAL,
					 UIDRECV_BYE_BAD_SERIAL, now_us);
	if (update->has_acked)
		note_acked(session, update->acked);
	if (message->serial > session->acked &&
	    message->serial - session->acked > session->window)
		return ur_session_refuse(session, frame, UIDRECV_E_WINDOW,
					 UIDRECV_BYE_WINDOW, now_us);
	session->serial = message->serial;
	return 1;
}

static bool has_own_serial(uint8_t type)
{
	return type == UR_UPDATE || type == UR_SNAPSHOT_BEGIN ||
	       type == UR_SNAPSHOT_END || type == UR_REFRESH_ALL ||
	       type == UR_TS_CONFIG;
}

/* ACK and REJECT at a source: they must be about what was sent. */
static int on_answer(struct ur_session *session, const struct ur_frame *frame,
		     const struct ur_message *message, uint64_t now_us)
{
	bool is_ack = message->type == UR_ACK;

	if (message->serial > session->serial ||
	    message->serial < session->acked ||
	    (!is_ack && message->serial == session->acked))
		return ur_session_refuse(session, frame, UIDRECV_E_SERIAL,
					 UIDRECV_BYE_BAD_SERIAL, now_us);
	if (is_ack)
		session->acked = message->serial;
	return 1;
}

static int on_keepalive(struct ur_session *session,
			const struct ur_frame *frame,
			const struct ur_keepalive *keepalive, uint64_t now_us)
{
	bool from_source = session->options.role == UR_SINK;

	if (keepalive->has_acked != from_source)
		return ur_session_refuse(session, frame, UIDRECV_E_MESSAGE,
					 UIDRECV_BYE_BAD_MESSAGE, now_us);
	note_clock(session, &keepalive->clock, now_us);
	if (from_source)
		note_acked(session, keepalive->acked);
	return from_source;
}

static int on_bye(struct ur_session *session, const struct ur_bye *bye)
{
	session->bye_received = bye->code;
	session->state = UR_SESSION_CLOSED;
	session->error = UIDRECV_E_BYE;
	return 1;
}

int ur_session_run_fsm(struct ur_session *session, const struct ur_frame *frame,
		       const struct ur_message *message, uint64_t now_us)
{
	bool is_sink = session->options.role == UR_SINK;

	if (message->type == UR_BYE)
		return on_bye(session, &message->bye);

	switch (session->state) {
	case UR_SESSION_WAIT_HELLO:
		if (message->type == UR_HELLO)
			return on_hello(session, frame, &message->hello,
					now_us);
		break;
	case UR_SESSION_WAIT_READY:
		if (message->type == UR_READY)
			return on_ready(session, frame, &message->ready,
					now_us);
		break;
	case UR_SESSION_OPEN:
		if (message->type == UR_KEEPALIVE)
			return on_keepalive(session, frame, &message->keepalive,
					    now_us);
		if (is_sink && has_own_serial(message->type))
			return on_update(session, frame, message, now_us);
		if (!is_sink &&
		    (message->type == UR_ACK || message->type == UR_REJECT))
			return on_answer(session, frame, message, now_us);
		/* It was announced, so this is a source. */
		if (message->type == UR_RESYNC &&
		    session->peer_capabilities & UR_CAPABILITY_SNAPSHOT)
			return 1;
		break;
	case UR_SESSION_DECIDING:
	case UR_SESSION_CLOSED:
		break;
	}
	return ur_session_refuse(session, frame, UIDRECV_E_STATE,
				 UIDRECV_BYE_BAD_STATE, now_us);
}
