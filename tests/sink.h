/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A receiver that keeps nothing but a list of what it was told, and does to the
 * agent what the test wants. It is the hook of a struct live. One that dials is
 * none: there may be several.
 */
#ifndef TESTS_SINK_H
#define TESTS_SINK_H

#include "conn.h"
#include "listener.h"
#include "live.h"

#define SINK_SAID_MAX 1024

struct sink {
	struct live *live;
	uint64_t capabilities; /* of the next connection, as are these */
	uint32_t frame_max, window;
	bool is_silent;	  /* acknowledges nothing */
	uint64_t cut_at;  /* cuts the connection on this serial, once */
	bool is_cut_late; /* after it was stored, not before */
	uint16_t resync;  /* sent right after READY; 0: none */

	struct ur_loop loop;
	struct ur_listener *listener;
	struct ur_tls_context *context;
	struct ur_conn *conns, *conn;
	bool must_cut;
	uint64_t session_id, durable;
	unsigned int sessions, hellos;
	uint64_t peer_capabilities;
	/* Of this session, by serial from 1. */
	struct {
		uint8_t type; /* 0: not said yet */
		uint32_t records, maps;
		uint64_t count, as_of_us;
	} said[SINK_SAID_MAX + 1];
	uint64_t last; /* the highest serial */
	int error;     /* of the last connection that ended */
};

/* Listens on live->address; live has been initialised and has no receiver. */
void sink_init(struct sink *sink, struct live *live);
/* Dials as NAME instead, by sink_dial(); needs sink_turn(). */
void sink_init_dialling(struct sink *sink, struct live *live, const char *name);
/* Connects to live->port. */
void sink_dial(struct sink *sink);
void sink_turn(struct sink *sink);
void sink_done(struct sink *sink);
/* Ends the connection without a word. */
void sink_cut(struct sink *sink);
/* Acknowledges, or refuses one record of, a serial. */
void sink_ack(struct sink *sink, uint64_t serial);
void sink_refuse(struct sink *sink, uint64_t serial, uint32_t index);
void sink_resync(struct sink *sink, uint16_t code);
/* What was said, a letter each: U B E R C; valid until the next call. */
const char *sink_types(const struct sink *sink);

#endif
