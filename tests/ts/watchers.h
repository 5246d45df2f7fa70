/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Processes that look up all the time, while the test goes on in its own. What
 * they may see the test says, in memory that all share.
 */
#ifndef TESTS_WATCHERS_H
#define TESTS_WATCHERS_H

#include <stdatomic.h>
#include <sys/types.h>

#include "live.h"

#define WATCHERS 4

/* One lookup; false, and why, if that may not be. */
typedef bool watch_fn(void *user, struct uidrecv_reader *table, char *why,
		      size_t why_size);

struct watchers {
	struct watchers_board *board;
	pid_t pids[WATCHERS];
};

void watchers_start(struct watchers *watchers, const struct live *live,
		    watch_fn *look, void *user);
/* How many lookups there were. */
uint64_t watchers_count(const struct watchers *watchers);
/* Ends them, and fails the test for what one of them saw. */
void watchers_end(struct watchers *watchers);

/* Shared by this process and its later children. */
void *watchers_share(size_t size);

#endif
