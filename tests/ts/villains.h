/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One table of bad certificates, and one test of it for each way in which a
 * receiver and an agent can meet: each is refused for its reason, gets and
 * leaves nothing, and the good one after it is let in.
 */
#ifndef TESTS_VILLAINS_H
#define TESTS_VILLAINS_H

#include "wire.h"

#define AGENT "ts.example"
#define RECEIVER "fw.example"
#define OTHER "other.example"
#define VILLAINS 16

enum refusal { BY_CERTIFICATE, BY_IDENTITY, BY_TLS };

struct way {
	const char *peer; /* whom our side means to meet */
	bool peer_listens;
	bool we_dial; /* as a receiver */
	/* They are connected, and shake hands next. */
	void (*meet)(struct wire *wire, const char *name);
	/* All that the peer has to say, without waiting for anything. */
	void (*rush)(struct wire *wire);
	void (*refused)(enum refusal refusal, const char *name);
	/* Our side says what it says to the good one. */
	void (*welcome)(struct wire *wire);
};

/* With the certificates of live_init(), and crl.pem. */
extern struct live live;
/* Where the peer listens. */
extern int listener;
extern uint16_t port;

/* Begins with this; ends with live_done(). */
void villains_make(const struct way *way);
/* All but the last are tried, which is another one of the list, unless we_dial.
 */
void villains_refuse_each(const struct way *way);

#endif
