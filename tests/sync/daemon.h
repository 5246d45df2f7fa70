/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A real uidrecvd by the options of a struct live, whose agents connect to it;
 * live->receiver stays NULL.
 */
#ifndef TESTS_SYNC_DAEMON_H
#define TESTS_SYNC_DAEMON_H

#include <sys/types.h>

#include "live.h"

struct daemon {
	struct live *live;
	pid_t pid; /* 0: none runs */
	int out;   /* its standard output */
	char lines[65536];
	size_t size;
};

/* Is there a uidrecvd? Not in every build. */
bool daemon_exists(void);
/* Starts it, and waits until it is ready. Its port stays the same. */
void daemon_start(struct daemon *daemon, struct live *live);
/* It takes live->rights anew. */
void daemon_reload(struct daemon *daemon);
void daemon_signal(const struct daemon *daemon, int number);
/* Waits for a line that begins so; valid until the next call. */
const char *daemon_line(struct daemon *daemon, const char *text);
/* Ends it by the signal, and waits for it. Returns the status of wait(). */
int daemon_end(struct daemon *daemon, int number);

#endif
