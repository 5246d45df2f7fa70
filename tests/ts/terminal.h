/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A Terminal Server agent: one that listens, for a receiver with the
 * certificate of live_init(), and says whose the blocks of its system are.
 */
#ifndef TESTS_TERMINAL_H
#define TESTS_TERMINAL_H

#include "live.h"

struct terminal {
	struct live *live;
	struct uidrecv_agent_listener *listener;
	struct live_agent *agent;
	struct uidrecv_system system;
};

/*
 * It listens as NAME. Its system, which is not said yet, has 10.0.0.1 and
 * 10.0.0.2, and the ports from 20000 to 59999 in blocks of 500.
 */
void terminal_open(struct terminal *terminal, struct live *live,
		   const char *name);
/* Before live_done(). The same again with terminal_open() is another session.
 */
void terminal_close(struct terminal *terminal);

/* Writes a line of the list, by which the receiver connects to it. */
void terminal_allow(const struct terminal *terminal, const char *name,
		    const char *more, char *line, size_t size);

/* What it says has the ticket that is returned. */
uint64_t terminal_set_system(struct terminal *terminal);
/* Not by ADDRESS alone: the record may have been given other fields. */
struct uidrecv_record terminal_record(const struct terminal *terminal,
				      uint16_t op, const char *user,
				      uint32_t start);
uint64_t terminal_queue(struct terminal *terminal,
			const struct uidrecv_record *record);
uint64_t terminal_map(struct terminal *terminal, const char *user,
		      uint32_t start);

/* All that was said is acknowledged. */
bool terminal_is_heard(const struct terminal *terminal);
#define terminal_await(terminal)                                               \
	live_await((terminal)->live, terminal_is_heard(terminal))

#define NO_PORT (-1)
/*
 * Who is there: a user, "" for nobody, or "no port", "unknown port" of a
 * multi-user system. Until the next call. mapping may be NULL.
 */
const char *terminal_asked(struct live *live, const char *address, int port,
			   struct uidrecv_mapping *ret_mapping);
#define expect_asked(live, address, port, user)                                \
	cr_expect_str_eq(terminal_asked(live, address, port, NULL), user)

#endif
