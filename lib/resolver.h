/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The addresses of a host name, without blocking: the hosts file and DNS, by
 * c-ares on a loop. Only resolver.c includes c-ares.
 *
 * One per owner, no threads. All that is global is ares_library_init(), called
 * once per process and never undone; here it reserves nothing. Nothing is
 * opened before the first name, and no socket is while none is asked for. The
 * files are read anew when a question comes after one that failed, for the
 * network may have come up since.
 */
#ifndef UR_RESOLVER_H
#define UR_RESOLVER_H

#include <netinet/in.h>

#include "loop.h"

/* More of one name are not looked at. */
#define UR_ADDRESSES_MAX 16

/* Of one family or the other; the port is 0. */
union ur_endpoint {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

struct ur_addresses {
	int error;	  /* 0, or negative: there are no addresses */
	const char *text; /* says in detail what went wrong; never NULL */
	size_t count;	  /* at least one without an error */
	union ur_endpoint list[UR_ADDRESSES_MAX];
};

/* A question; part of its owner. */
struct ur_question {
	/* The answer is valid during the call. */
	void (*answered)(struct ur_question *question,
			 const struct ur_addresses *found);
	void *query; /* under way; NULL: none is */
};

struct ur_resolver {
	struct ur_loop *loop;
	const char
	    *servers; /* "ADDRESS:PORT,...", of tests; NULL: the files' */
	struct ur_channel *current;
	struct ur_channel
	    *former; /* has read older files; answers what it has */
};

void ur_resolver_init(struct ur_resolver *resolver, struct ur_loop *loop);

/* Questions under way are forgotten; must not be called by answered(). */
void ur_resolver_done(struct ur_resolver *resolver);

/*
 * Asks for the addresses of a host; an address in text is its own. answered()
 * may be called before this returns. The host is copied. 0 or an error; then
 * it is not called.
 */
int ur_resolver_ask(struct ur_resolver *resolver, struct ur_question *question,
		    const char *host);

/* Ends the question, if it is under way: answered() is not called any more. */
void ur_question_cancel(struct ur_question *question);

#endif
