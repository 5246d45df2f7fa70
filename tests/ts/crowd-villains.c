/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crowd.h"

#define SLOW_MS 20

void crowd_open_villains(struct crowd *crowd)
{
	struct sockaddr_in name = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(name);

	for (uint32_t i = 0; i < crowd->villains_count; i++) {
		struct crowd_villain *villain = &crowd->villains[i];
		int fd = socket(AF_INET,
				SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		name.sin_port = 0;
		crowd_insist(
		    fd >= 0 && bind(fd, (struct sockaddr *)&name, size) == 0 &&
			listen(fd, 128) == 0 &&
			getsockname(fd, (struct sockaddr *)&name, &size) == 0,
		    "listening");
		*villain = (struct crowd_villain){
		    .listener = fd, .port = ntohs(name.sin_port), .fd = -1};
	}
}

static void let_go(struct crowd_villain *villain, bool is_reset)
{
	struct linger linger = {.l_onoff = is_reset};

	if (villain->fd < 0)
		return;
	setsockopt(villain->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(villain->fd);
	villain->fd = -1;
}

static void take(struct crowd_villain *villain)
{
	int fd = accept4(villain->listener, NULL, NULL,
			 SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	let_go(villain, false);
	villain->fd = fd;
	villain->taken++;
	villain->sent = 0;
}

/* A ServerHello of 118 bytes that never ends. */
static void say_a_byte(struct crowd_villain *villain)
{
	static const uint8_t hello[] = {0x16, 3, 3, 0, 122, 2, 0, 0, 118, 3, 3};
	uint8_t byte =
	    villain->sent < sizeof(hello) ? hello[villain->sent] : 0x55;
	uint64_t now_ms = crowd_now_ms();

	if (now_ms < villain->sent_ms + SLOW_MS || villain->sent >= 100)
		return;
	villain->sent_ms = now_ms;
	villain->sent +=
	    send(villain->fd, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

void crowd_turn_villains(struct crowd *crowd)
{
	static const uint8_t garbage[65536] = {0x16, 3, 3, 0x40, 0};

	for (uint32_t i = 0; i < crowd->villains_count; i++) {
		struct crowd_villain *villain = &crowd->villains[i];

		take(villain);
		if (villain->fd < 0)
			continue;
		switch ((enum crowd_manner)(i % CROWD_MANNERS)) {
		case CROWD_SLOW:
			say_a_byte(villain);
			break;
		case CROWD_ENDLESS:
			(void)!send(villain->fd, garbage, sizeof(garbage),
				    MSG_NOSIGNAL | MSG_DONTWAIT);
			break;
		case CROWD_RESETS:
			let_go(villain, true);
			break;
		default:
			break;
		}
	}
}

void crowd_close_villains(struct crowd *crowd)
{
	for (uint32_t i = 0; i < crowd->villains_count; i++) {
		let_go(&crowd->villains[i], false);
		close(crowd->villains[i].listener);
	}
	free(crowd->villains);
}
