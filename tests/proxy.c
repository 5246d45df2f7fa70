/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy.h"
#include "wire.h"

static void close_pair(struct proxy *proxy, int pair)
{
	for (int i = 0; i < 2; i++)
		close(proxy->pairs[pair].fds[i]);
	proxy->pairs[pair].fds[0] = -1;
	proxy->pairs[pair].fds[1] = -1;
}

void proxy_cut(struct proxy *proxy)
{
	for (int i = 0; i < PROXY_PAIRS_MAX; i++)
		if (proxy->pairs[i].fds[0] >= 0)
			close_pair(proxy, i);
	proxy->cuts++;
}

static void take_connection(struct proxy *proxy)
{
	int fd =
	    accept4(proxy->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	int one = 1, i = 0;

	if (fd < 0)
		return;
	proxy->accepted++;
	if (proxy->is_unwelcome) {
		close(fd);
		return;
	}
	while (proxy->pairs[i].fds[0] >= 0)
		cr_assert(++i < PROXY_PAIRS_MAX);
	proxy->pairs[i].fds[0] = fd;
	proxy->pairs[i].fds[1] = wire_connect(proxy->live);
	for (int side = 0; side < 2; side++)
		setsockopt(proxy->pairs[i].fds[side], IPPROTO_TCP, TCP_NODELAY,
			   &one, sizeof(one));
}

/* False if the connection has ended or is to be cut. */
static bool move(struct proxy *proxy, int pair, enum proxy_way way)
{
	uint64_t cut_at = proxy->cut_at[way];
	char block[16384];
	size_t room = sizeof(block);
	ssize_t size;

	if (proxy->step)
		room = proxy->step;
	if (cut_at && cut_at - proxy->moved[way] < room)
		room = cut_at - proxy->moved[way];
	size = recv(proxy->pairs[pair].fds[way], block, room, MSG_DONTWAIT);
	if (size < 0 && (errno == EAGAIN || errno == ENOTCONN))
		return true;
	if (size <= 0)
		return false;
	/* What the tests say is less than a socket takes. */
	if (send(proxy->pairs[pair].fds[1 - way], block, (size_t)size,
		 MSG_NOSIGNAL) != size)
		return false;
	proxy->moved[way] += (uint64_t)size;
	if (cut_at && proxy->moved[way] == cut_at) {
		proxy->cut_at[way] = 0;
		proxy_cut(proxy);
		return false;
	}
	return true;
}

static void turn(void *user)
{
	struct proxy *proxy = user;

	take_connection(proxy);
	for (int i = 0; i < PROXY_PAIRS_MAX && !proxy->is_deaf; i++) {
		struct pollfd up = {.fd = proxy->pairs[i].fds[1],
				    .events = POLLOUT};

		if (up.fd < 0 || poll(&up, 1, 0) != 1)
			continue;
		if (!move(proxy, i, PROXY_UP) || !move(proxy, i, PROXY_DOWN))
			if (proxy->pairs[i].fds[0] >= 0)
				close_pair(proxy, i);
	}
}

void proxy_init(struct proxy *proxy, struct live *live)
{
	struct sockaddr_in name = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(name);

	memset(proxy, 0, sizeof(*proxy));
	proxy->live = live;
	for (int i = 0; i < PROXY_PAIRS_MAX; i++) {
		proxy->pairs[i].fds[0] = -1;
		proxy->pairs[i].fds[1] = -1;
	}
	proxy->listen_fd =
	    socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	cr_assert_eq(
	    bind(proxy->listen_fd, (struct sockaddr *)&name, sizeof(name)), 0);
	cr_assert_eq(listen(proxy->listen_fd, 64), 0);
	getsockname(proxy->listen_fd, (struct sockaddr *)&name, &size);
	snprintf(proxy->address, sizeof(proxy->address), "127.0.0.1:%u",
		 ntohs(name.sin_port));
	live->hook = turn;
	live->hook_user = proxy;
}

void proxy_done(struct proxy *proxy)
{
	proxy_cut(proxy);
	close(proxy->listen_fd);
	proxy->live->hook = NULL;
}
