/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An agent by hand: plain OpenSSL on a socket, frames that were made before,
 * and no more of them under way than the receiver allows. So what an agent
 * costs does not bound what a receiver can do. What goes wrong ends the
 * program.
 */
#ifndef BENCH_SPEAKER_H
#define BENCH_SPEAKER_H

#include <openssl/ssl.h>

#include "message.h"

enum speaker_state {
	SPEAKER_AWAY,
	SPEAKER_SHAKING,  /* TCP and TLS */
	SPEAKER_GREETING, /* HELLO to READY */
	SPEAKER_READY,
};

struct speaker {
	struct speakers *all;
	X509 *certificate;
	SSL *ssl;
	int fd;
	enum speaker_state state;
	struct ur_framer framer;
	uint64_t session_id;
	uint64_t serial;	  /* of the last frame that was made */
	uint64_t acked, reported; /* what it heard, what it has said of it */
	uint64_t acked_ns;	  /* when the last ACK came */
	uint32_t window;
	uint64_t retry_ns;     /* when it connects again */
	unsigned int failures; /* since it was ready */
	unsigned int lost;     /* connections that others ended */
	/* Whole frames: those up to `may` may be sent, those up to `sent` are.
	 */
	struct ur_buf script;
	size_t may, sent;
	struct ur_update_writer writer; /* the UPDATE that is begun */
	bool is_writing;
};

/* Begins to connect. The session goes on, if there was one. */
void speaker_connect(struct speaker *speaker);
/* Ends the connection without a word; the session can go on. */
void speaker_drop(struct speaker *speaker);

/* What came is taken, what may be sent is sent. */
void speaker_go_on(struct speaker *speaker);

/* Says KEEPALIVE, for a receiver ends who is silent. */
void speaker_keep_alive(struct speaker *speaker);

/*
 * Add to the script. Records go into UPDATEs as full as may be, each of which
 * is vouched for when it is begun; speaker_say_end() ends the last.
 */
void speaker_say(struct speaker *speaker, const struct uidrecv_record *record);
void speaker_say_end(struct speaker *speaker);
void speaker_begin_snapshot(struct speaker *speaker);
void speaker_end_snapshot(struct speaker *speaker, uint64_t count);
void speaker_refresh_all(struct speaker *speaker, uint64_t count);

#endif
