/* SPDX-License-Identifier: BSD-2-Clause */
/* One finished line to the host's callback; nothing without a callback. */
#ifndef UR_LOG_H
#define UR_LOG_H

#include <uidrecv/types.h>

struct ur_log {
	uidrecv_log_fn fn;
	void *user;
	/* Lines that peers cause are limited: warnings apart from news. */
	struct ur_log_budget {
		uint64_t second;
		uint32_t lines;	     /* in that second */
		uint64_t suppressed; /* since the last line that got through */
	} warnings, news;
};

/* What peers can make us write in one second. */
#define UR_LOG_PEER_LINES 10

/* Formats a line; bytes that are not clean text come out as \xNN. */
__attribute__((format(printf, 3, 4))) void ur_log(struct ur_log *log,
						  enum uidrecv_log_level level,
						  const char *format, ...);

/*
 * The same for what a peer caused: at most UR_LOG_PEER_LINES a second up to
 * warnings, and as many of lesser levels, so that sessions that come and go
 * hide no refusal.
 */
__attribute__((format(printf, 4, 5))) void ur_log_peer(
    struct ur_log *log, enum uidrecv_log_level level, uint64_t now_us,
    const char *format, ...);

/*
 * Copies text so that it is printable in one line: control characters and
 * bytes that are not ASCII become \xNN. Cut to the room; zero-terminated.
 */
void ur_log_escape(char *out, size_t room, const char *text, size_t size);

#endif
