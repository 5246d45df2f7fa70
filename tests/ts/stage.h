/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of blocks share: a receiver, and two agents that it dials. */
#ifndef TESTS_STAGE_H
#define TESTS_STAGE_H

#include <string.h>

#include "dials.h"
#include "terminal.h"

#define NAME "ts.example"
#define SECOND UINT64_C(1000000) /* of microseconds */

static struct live live;
static struct terminal terminal, other;

static inline void setup(void)
{
	live_init(&live, NAME, "ts2.example", "a.example", "b.example", NULL);
	terminal_open(&terminal, &live, NAME);
	terminal_open(&other, &live, "ts2.example");
}

static inline void done(void)
{
	if (terminal.agent)
		terminal_close(&terminal);
	terminal_close(&other);
	live_done(&live);
}

static inline void allow(bool both)
{
	*live.rights = '\0';
	if (both)
		terminal_allow(&terminal, NAME, "allow=multi-user,drops",
			       live.rights, sizeof(live.rights));
	terminal_allow(&other, "ts2.example", "allow=multi-user",
		       live.rights + strlen(live.rights),
		       sizeof(live.rights) - strlen(live.rights));
}

static inline void start(void)
{
	allow(true);
	strcat(live.rights, "a.example 10.0.0.0/8 priority=9\n"
			    "b.example 10.0.0.0/8\n");
	live_start(&live);
}

static inline bool is_there(const char *user, int port)
{
	return !strcmp(terminal_asked(&live, "10.0.0.1", port, NULL), user);
}

#endif
