/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <fcntl.h>
#include <unistd.h>

#include <uidrecv/types.h>

#include "listener.h"
#include "words.h"

/*
 * Connections taken in one turn. Those that shake hands have turns, too, so
 * this also bounds how many do: the others wait in the kernel.
 */
#define ACCEPTS_MAX 16

/* How long accept() rests when descriptors or memory run out. */
#define PAUSE_US UINT64_C(200000)

#define BACKLOG 4096

/* Ports that are asked for until one is free for both families. */
#define CHOICES_MAX 16

static void pause_accepting(struct ur_listener *listener, int error)
{
	ur_loop_change(listener->loop, &listener->watch, 0);
	ur_loop_set_timer(listener->loop, &listener->timer,
			  listener->loop->now_us + PAUSE_US);
	listener->failed(listener, error);
}

static void on_ready(struct ur_watch *watch, uint32_t events)
{
	struct ur_listener *listener =
	    (struct ur_listener *)((char *)watch -
				   offsetof(struct ur_listener, watch));

	(void)events;
	for (int i = 0; i < ACCEPTS_MAX; i++) {
		int fd = accept4(watch->fd, NULL, NULL,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			listener->accepted(listener, fd);
			continue;
		}
		switch (errno) {
		case EMFILE:
		case ENFILE:
		case ENOBUFS:
		case ENOMEM:
			pause_accepting(listener, -errno);
			return;
		case EAGAIN:
#if EWOULDBLOCK != EAGAIN
		case EWOULDBLOCK:
#endif
			return;
		case EINVAL:
			/* Shut down by its former owner: it would hang up for
			 * ever, also when nothing is asked for. */
			ur_loop_remove(listener->loop, &listener->watch);
			listener->failed(listener, -EINVAL);
			return;
		default:
			/* The error of one connection that is gone already. */
			continue;
		}
	}
}

static void on_timer(struct ur_timer *timer)
{
	struct ur_listener *listener =
	    (struct ur_listener *)((char *)timer -
				   offsetof(struct ur_listener, timer));

	ur_loop_change(listener->loop, &listener->watch, UR_LOOP_READ);
}

static bool is_listening_stream(int fd)
{
	int type = 0, listens = 0;
	socklen_t size = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
		return false;
	size = sizeof(int);
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0)
		return false;
	return type == SOCK_STREAM && listens;
}

static uint16_t get_port(int fd)
{
	struct sockaddr_storage name = {0};
	socklen_t size = sizeof(name);

	if (getsockname(fd, (struct sockaddr *)&name, &size) < 0)
		return 0;
	if (name.ss_family == AF_INET)
		return ntohs(((struct sockaddr_in *)&name)->sin_port);
	if (name.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&name)->sin6_port);
	return 0;
}

int ur_listener_new(struct ur_listener **ret_listener, struct ur_loop *loop,
		    int fd)
{
	struct ur_listener *listener;
	int error, flags;

	if (!is_listening_stream(fd))
		return -EINVAL;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	listener = calloc(1, sizeof(*listener));
	if (!listener)
		return -ENOMEM;
	listener->loop = loop;
	listener->watch =
	    (struct ur_watch){.fd = fd, .ready = on_ready, .is_patient = true};
	listener->timer.expired = on_timer;
	listener->port = get_port(fd);
	error = ur_loop_reserve_timer(loop);
	if (error)
		goto fail;
	error = ur_loop_add(loop, &listener->watch, UR_LOOP_READ);
	if (error) {
		ur_loop_release_timer(loop);
		goto fail;
	}
	*ret_listener = listener;
	return 0;
fail:
	free(listener);
	return error;
}

void ur_listener_free(struct ur_listener *listener)
{
	if (!listener)
		return;
	ur_loop_remove(listener->loop, &listener->watch);
	ur_loop_set_timer(listener->loop, &listener->timer, UINT64_MAX);
	ur_loop_release_timer(listener->loop);
	close(listener->watch.fd);
	free(listener);
}

static int listen_on(int family, const void *name, socklen_t size)
{
	int one = 1, error;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY,
					      &one, sizeof(one)) < 0) ||
	    bind(fd, name, size) < 0 || listen(fd, BACKLOG) < 0) {
		error = -errno;
		close(fd);
		return error;
	}
	return fd;
}

static int listen_v4(uint32_t address, uint16_t port)
{
	struct sockaddr_in name = {.sin_family = AF_INET,
				   .sin_port = htons(port),
				   .sin_addr.s_addr = htonl(address)};

	return listen_on(AF_INET, &name, sizeof(name));
}

static int listen_v6(struct uidrecv_address address, uint16_t port)
{
	struct sockaddr_in6 name = {.sin6_family = AF_INET6,
				    .sin6_port = htons(port)};

	for (int i = 0; i < 8; i++) {
		int shift = 56 - 8 * i;

		name.sin6_addr.s6_addr[i] = (uint8_t)(address.hi >> shift);
		name.sin6_addr.s6_addr[8 + i] = (uint8_t)(address.lo >> shift);
	}
	return listen_on(AF_INET6, &name, sizeof(name));
}

static int bind_both(uint16_t port, int ret_fds[2])
{
	struct uidrecv_address any = {0, 0};
	int v6 = listen_v6(any, port);
	int v4;

	if (v6 >= 0 && !port)
		port = get_port(v6);
	v4 = listen_v4(INADDR_ANY, port);
	if (v4 < 0) {
		if (v6 >= 0)
			close(v6);
		return v4;
	}
	ret_fds[0] = v4;
	/* A kernel without IPv6 is no reason not to serve IPv4. */
	if (v6 == -EAFNOSUPPORT)
		return 1;
	if (v6 < 0) {
		close(v4);
		return v6;
	}
	ret_fds[1] = v6;
	return 2;
}

/* A port that the kernel chose for IPv6 may be taken for IPv4. */
static int bind_all(uint16_t port, int ret_fds[2])
{
	int count = bind_both(port, ret_fds);

	for (int i = 1; i < CHOICES_MAX && !port && count == -EADDRINUSE; i++)
		count = bind_both(port, ret_fds);
	return count;
}

int ur_listener_bind(const char *address, int ret_fds[2])
{
	struct uidrecv_address parsed;
	char host[UIDRECV_ADDRESS_TEXT_MAX];
	uint16_t port;
	int fd;

	if (!ur_words_endpoint(address, host, sizeof(host), &port))
		return -EINVAL;
	if (!strcmp(host, "*"))
		return bind_all(port, ret_fds);
	if (uidrecv_address_parse(host, &parsed) < 0)
		return -EINVAL;
	if (uidrecv_address_is_ipv4(parsed))
		fd = listen_v4((uint32_t)parsed.lo, port);
	else
		fd = listen_v6(parsed, port);
	if (fd < 0)
		return fd;
	ret_fds[0] = fd;
	return 1;
}
