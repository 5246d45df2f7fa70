/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A way to the receiver that can be cut at any byte. It is the hook of a
 * struct live.
 */
#ifndef TESTS_PROXY_H
#define TESTS_PROXY_H

#include "live.h"

#define PROXY_PAIRS_MAX 16

enum proxy_way { PROXY_UP, PROXY_DOWN }; /* to the receiver, from it */

struct proxy {
	struct live *live;
	int listen_fd;
	char address[32];
	struct {
		int fds[2]; /* agent's and receiver's; -1: closed */
	} pairs[PROXY_PAIRS_MAX];
	uint64_t moved[2];  /* bytes, by way, of all connections */
	uint64_t cut_at[2]; /* cuts all connections then, once; 0: never */
	unsigned int cuts;
	unsigned int accepted;
	size_t step;	   /* bytes moved at once; 0: many */
	bool is_deaf;	   /* nothing comes through */
	bool is_unwelcome; /* cuts what connects */
};

void proxy_init(struct proxy *proxy, struct live *live);
void proxy_done(struct proxy *proxy);
void proxy_cut(struct proxy *proxy);

#endif
