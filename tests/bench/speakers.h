/* SPDX-License-Identifier: BSD-2-Clause */
/* Agents by hand, as many as one likes in one thread. */
#ifndef BENCH_SPEAKERS_H
#define BENCH_SPEAKERS_H

#include "certs.h"
#include "speaker.h"

struct speakers {
	struct speaker *list;
	size_t count;
	int epoll;
	uint16_t port; /* of 127.0.0.1 */
	SSL_CTX *ctx;
	EVP_PKEY *key; /* of all */
	uint64_t seed;
	size_t ready;
	/* Visitors go as soon as they were told something; how many did. */
	bool are_visitors;
	size_t visits;
};

/* Agents "a0", "a1", ... of the authority "ca" in certs. */
void speakers_init(struct speakers *speakers, struct certs *certs,
		   size_t count);
void speakers_done(struct speakers *speakers);

/* The lines of those agents for uidrecv_rights_parse(); free() it. */
char *speakers_make_list(size_t count);

/* Those from first on, no more than at_once in handshakes, until all are. */
void speakers_connect(struct speakers *speakers, size_t first, size_t count,
		      size_t at_once);
/* Without a word; their sessions can go on. */
void speakers_drop(struct speakers *speakers);

/* For another process than the one that made them; none may be connected. */
void speakers_adopt(struct speakers *speakers);

/* What came is taken, what may be sent is sent; waits up to wait_ms. */
void speakers_turn(struct speakers *speakers, int wait_ms);
void speakers_keep_alive(struct speakers *speakers);
/* Sends all scripts, until all is acknowledged. */
void speakers_finish(struct speakers *speakers);

#endif
