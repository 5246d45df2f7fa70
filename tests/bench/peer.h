/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Agents by hand, as many as one likes in one thread: plain OpenSSL on sockets,
 * frames that were made before, and no more of them under way than the receiver
 * allows. So what an agent costs does not bound what a receiver can do. What
 * goes wrong ends the program.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <openssl/ssl.h>

#include "certs.h"
#include "message.h"

enum peer_state {
	PEER_AWAY,
	PEER_SHAKING,  /* TCP and TLS */
	PEER_GREETING, /* HELLO to READY */
	PEER_READY,
};

struct peer {
	struct peers *all;
	X509 *certificate;
	SSL *ssl;
	int fd;
	enum peer_state state;
	struct ur_framer framer;
	uint64_t session_id;
	uint64_t serial;	  /* of the last frame that was made */
	uint64_t acked, reported; /* what it heard, what it has said of it */
	uint64_t acked_ns;	  /* when the last ACK came */
	uint32_t window;
	uint64_t retry_ns; /* when it connects again */
	unsigned int lost; /* connections that others ended */
	/* Whole frames: those up to `may` may be sent, those up to `sent` are.
	 */
	struct ur_buf script;
	size_t may, sent;
	struct ur_update_writer writer; /* the UPDATE that is begun */
	bool is_writing;
};

struct peers {
	struct peer *list;
	size_t count;
	int epoll;
	uint16_t port; /* of 127.0.0.1 */
	SSL_CTX *ctx;
	EVP_PKEY *key; /* of all */
	uint64_t seed;
	size_t ready;
};

/* Agents "a0", "a1", ... of the authority "ca" in certs. */
void peers_init(struct peers *peers, struct certs *certs, size_t count);
void peers_done(struct peers *peers);

/* The lines of those agents for uidrecv_rights_parse(); free() it. */
char *peers_make_list(size_t count);

/* Begins to connect. The session goes on, if there was one. */
void peer_connect(struct peer *peer);
/* Ends the connection without a word; the session can go on. */
void peer_drop(struct peer *peer);
void peers_drop(struct peers *peers);
/* Those from first on, no more than at_once in handshakes, until all are. */
void peers_connect(struct peers *peers, size_t first, size_t count,
		   size_t at_once);

/* Says KEEPALIVE, for a receiver ends who is silent. */
void peers_keep_alive(struct peers *peers);

/* What came is taken, what may be sent is sent; waits up to wait_ms. */
void peers_turn(struct peers *peers, int wait_ms);
/* Sends all scripts, until all is acknowledged. */
void peers_finish(struct peers *peers);

/*
 * Add to the script. Records go into UPDATEs as full as may be, each of which
 * is vouched for when it is begun; peer_say_end() ends the last.
 */
void peer_say(struct peer *peer, const struct uidrecv_record *record);
void peer_say_end(struct peer *peer);
void peer_begin_snapshot(struct peer *peer);
void peer_end_snapshot(struct peer *peer, uint64_t count);
void peer_refresh_all(struct peer *peer, uint64_t count);

#endif
