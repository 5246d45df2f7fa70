/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of dialled agents share. */
#ifndef TESTS_DIALS_H
#define TESTS_DIALS_H

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns.h"
#include "live.h"
#include "receiver-private.h"
#include "wire.h"

static inline struct uidrecv_agent_stats dial_stats(const struct live *live,
						    const char *name)
{
	struct uidrecv_agent_stats stats = {.size = sizeof(stats)};

	for (size_t i = 0;
	     uidrecv_receiver_get_agent_stats(live->receiver, i, &stats) == 1;
	     i++)
		if (strcmp(stats.name, name) == 0)
			return stats;
	cr_assert(false, "%s is not on the list", name);
	return stats;
}

/* A line of the list, with dial= if port is not 0. */
static inline void dial_line(char *rights, size_t room, const char *name,
			     const char *host, uint16_t port)
{
	size_t size = strlen(rights);

	size +=
	    (size_t)snprintf(rights + size, room - size, "%s 10.0.0.0/8", name);
	if (port)
		size += (size_t)snprintf(rights + size, room - size,
					 " dial=%s:%u", host, port);
	snprintf(rights + size, room - size, "\n");
}

static inline const struct ur_dial *dial_of(const struct live *live,
					    const char *name)
{
	const struct ur_dial *dial = live->receiver->dials;

	while (dial && strcmp(dial->name, name) != 0)
		dial = dial->next;
	cr_assert_not_null(dial);
	return dial;
}

/* Lets the next attempt begin now. */
static inline void dial_now(struct live *live, const char *name)
{
	const struct ur_dial *dial = dial_of(live, name);

	if (!dial->dialer.timer.index)
		return;
	ur_loop_set_timer(&live->receiver->loop,
			  (struct ur_timer *)(uintptr_t)&dial->dialer.timer, 1);
	ur_loop_wake(&live->receiver->loop);
}

/* The next connection, without waiting for its time. */
static inline void dial_accept(struct wire *wire, struct live *live,
			       const char *name, int listener)
{
	int fd;

	live_await(live, (dial_now(live, name),
			  (fd = accept4(listener, NULL, NULL,
					SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0));
	wire_new_server(wire, live, name, fd);
}

#endif
