/* SPDX-License-Identifier: BSD-2-Clause */
/* A listening socket. The only file that calls accept. */
#ifndef UR_LISTENER_H
#define UR_LISTENER_H

#include "loop.h"

struct ur_listener {
	struct ur_listener *next;
	struct ur_loop *loop;
	struct ur_watch watch;
	struct ur_timer timer; /* ends a pause */
	void *owner;
	/* A new connection; the owner takes the non-blocking socket. */
	void (*accepted)(struct ur_listener *listener, int fd);
	/* accept() fails, and is paused (-EINVAL: ended); once per pause. */
	void (*failed)(struct ur_listener *listener, int error);
	uint16_t port; /* host byte order */
};

/*
 * Takes a listening stream socket over on success. 0, -EINVAL if it is none,
 * -ENOMEM or -errno.
 */
int ur_listener_new(struct ur_listener **ret_listener, struct ur_loop *loop,
		    int fd);
void ur_listener_free(struct ur_listener *listener);

/*
 * Makes listening sockets of "ADDRESS:PORT", "[IPV6]:PORT" or "*:PORT" (two:
 * IPv6 and IPv4). Returns how many, or -errno.
 */
int ur_listener_bind(const char *address, int ret_fds[2]);

#endif
