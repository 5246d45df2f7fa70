/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One session with a peer, as source or as sink (doc/protocol.md sections 6, 7
 * and 9): bytes in, messages out, bytes out also after an error. Pure: no fd,
 * no clock; `now_us` is CLOCK_BOOTTIME, and the session's own clock on the
 * wire is that plus clock_base_us.
 */
#ifndef UR_SESSION_H
#define UR_SESSION_H

#include "message.h"

struct ur_session_options {
	enum ur_role role;
	uint16_t hold_min_s, hold_max_s;
	uint32_t frame_max;
	uint64_t capabilities; /* UR_CAPABILITY_*, announced in HELLO */
	uint64_t clock_base_us;
	uint64_t handshake_us; /* until READY */
	const char *software;  /* lives as long as the session */
	uint32_t window;       /* of a sink */
	uint64_t session_id;   /* of a source, as are the next three */
	uint64_t replay_first, replay_last;
	uint64_t acked;
};

enum ur_session_state {
	UR_SESSION_WAIT_HELLO = 1,
	UR_SESSION_DECIDING, /* a sink that owes the peer READY or BYE */
	UR_SESSION_WAIT_READY,
	UR_SESSION_OPEN,
	UR_SESSION_CLOSED, /* only sends what is queued */
};

struct ur_session {
	struct ur_session_options options;
	enum ur_session_state state;
	int error;	   /* sticky; why it is closed */
	uint16_t bye_sent; /* codes; 0: none */
	uint16_t bye_received;
	struct ur_framer framer;
	struct ur_buf out;

	uint64_t begun_us, heard_us, sent_us; /* now_us of the last frames */
	uint64_t hold_us;		      /* as agreed, once open */
	uint64_t peer_clock_us, peer_clock_at_us; /* for the echo */
	uint64_t peer_capabilities;		  /* as HELLO said */
	uint32_t peer_frame_max;

	uint64_t durable; /* as READY said */
	uint32_t window;
	uint64_t serial;	 /* last received or sent; 0: none yet */
	uint64_t acked;		 /* sink: as reported; source: as received */
	uint64_t acked_reported; /* source: what the sink knows */
	uint64_t peer_replay_first;
};

/* A sink's HELLO is queued at once. */
void ur_session_init(struct ur_session *session,
		     const struct ur_session_options *options, uint64_t now_us);
void ur_session_done(struct ur_session *session);

/*
 * Takes plain bytes, at most 64 KiB; call ur_session_next() until it returns
 * 0 before feeding again. 0, or the sticky error.
 */
int ur_session_feed(struct ur_session *session, const void *bytes, size_t size);

/*
 * Gives the next message that the owner has to act on; it has been checked
 * against the state, and is valid until the next call into the session.
 *
 * Sink: HELLO (answer with ur_session_accept() or ur_session_bye()), KEEPALIVE,
 * and, each in its sequence, UPDATE, SNAPSHOT BEGIN, SNAPSHOT END, REFRESH ALL,
 * TS CONFIG. Source: READY, ACK, REJECT, RESYNC. Both: BYE. A message that
 * needs a capability comes only if the options announce it.
 *
 * 1 a message, 0 more bytes are needed, or the sticky error: the session is
 * closed, and what is to be sent (BYE) is queued.
 */
int ur_session_next(struct ur_session *session, uint64_t now_us,
		    struct ur_message *ret_message);

/* Sink, after HELLO: queues READY. */
void ur_session_accept(struct ur_session *session, uint64_t durable,
		       uint64_t now_us);

/* Sink: queues an ACK, or REJECTs. */
void ur_session_ack(struct ur_session *session, uint64_t serial,
		    uint64_t now_us);
void ur_session_reject(struct ur_session *session, uint64_t serial,
		       const struct ur_refusal *refusals, size_t count,
		       uint64_t now_us);

/*
 * Sink, open: queues RESYNC with enum uidrecv_resync; nothing if the source did
 * not announce SNAPSHOT.
 */
void ur_session_resync(struct ur_session *session, uint16_t code,
		       uint64_t now_us);

/*
 * Source, open: queues any whole frame with a serial (UPDATE, SNAPSHOT BEGIN,
 * SNAPSHOT END, REFRESH ALL, TS CONFIG) that has no ACKED and at least
 * UR_UPDATE_SPARE bytes less than the peer's limit; ACKED is added when the
 * sink does not know it yet. Whether peer_capabilities allow it is the owner's
 * to know.
 */
void ur_session_update(struct ur_session *session, const uint8_t *frame,
		       size_t size, uint64_t now_us);

/* Queues BYE and closes; nothing if it is closed. text NULL: the code's. */
void ur_session_bye(struct ur_session *session, uint16_t code, const char *text,
		    uint64_t now_us);

/* When ur_session_tick() has something to do; UINT64_MAX: never. */
uint64_t ur_session_deadline(const struct ur_session *session);

/*
 * KEEPALIVE and hold time. Call it after the socket was drained. 0, or the
 * sticky error.
 */
int ur_session_tick(struct ur_session *session, uint64_t now_us);

/* Does not count the own pause as the peer's silence. */
void ur_session_heard(struct ur_session *session, uint64_t now_us);

/* The bytes to be sent: borrowed until the next call into the session. */
size_t ur_session_send(struct ur_session *session, const uint8_t **ret_bytes);
void ur_session_sent(struct ur_session *session, size_t size);

/*
 * From the CLOCK of a source's HELLO or KEEPALIVE, received at now_us: the
 * offset from its clock to ours, and half the round trip as the error
 * (doc/protocol.md section 6).
 */
void ur_session_measure(const struct ur_session *session,
			const struct ur_clock_echo *clock, uint64_t now_us,
			int64_t *ret_offset_us, uint64_t *ret_error_us);

#endif
