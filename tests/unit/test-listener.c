/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "listener.h"

static unsigned int taken, failures;

/* So many ports are somebody else's in IPv4. */
static unsigned int taken_ports, binds;

int bind(int fd, __CONST_SOCKADDR_ARG name, socklen_t size)
{
	binds++;
	if (name.__sockaddr__->sa_family == AF_INET && taken_ports > 0) {
		taken_ports--;
		errno = EADDRINUSE;
		return -1;
	}
	return (int)syscall(SYS_bind, fd, name.__sockaddr__, size);
}

static int last_error, last_fd = -1;

static void accepted(struct ur_listener *listener, int fd)
{
	cr_assert_eq(listener->owner, &taken);
	cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	cr_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
	taken++;
	close(last_fd);
	last_fd = fd;
}

static void failed(struct ur_listener *listener, int error)
{
	(void)listener;
	failures++;
	last_error = error;
}

static struct ur_listener *start(struct ur_loop *loop)
{
	struct ur_listener *listener;
	int fds[2];

	cr_assert_eq(ur_loop_init(loop), 0);
	cr_assert_eq(ur_listener_bind("127.0.0.1:0", fds), 1);
	cr_assert_eq(ur_listener_new(&listener, loop, fds[0]), 0);
	listener->owner = &taken;
	listener->accepted = accepted;
	listener->failed = failed;
	cr_assert_neq(listener->port, 0);
	return listener;
}

static int dial(uint16_t port)
{
	struct sockaddr_in name = {.sin_family = AF_INET,
				   .sin_port = htons(port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert_eq(connect(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	return fd;
}

/* A crowd is taken in parts, so that others get their turn. */
Test(listener, takes_some_at_a_time)
{
	struct ur_loop loop;
	struct ur_listener *listener = start(&loop);
	int fds[40];

	for (int i = 0; i < 40; i++)
		fds[i] = dial(listener->port);
	ur_loop_poll(&loop);
	cr_expect_eq(taken, 16);
	ur_loop_poll(&loop);
	ur_loop_poll(&loop);
	cr_expect_eq(taken, 40);
	cr_expect_eq(failures, 0);
	for (int i = 0; i < 40; i++)
		close(fds[i]);
	ur_listener_free(listener);
	ur_loop_done(&loop);
}

/* One that is gone before it is taken harms nobody. */
Test(listener, N13_gone_before_it_is_taken)
{
	struct ur_loop loop;
	struct ur_listener *listener = start(&loop);
	struct linger linger = {.l_onoff = 1};

	for (int i = 0; i < 20; i++) {
		int fd = dial(listener->port);

		setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		close(fd);
	}
	close(dial(listener->port));
	ur_loop_poll(&loop);
	cr_expect_geq(taken, 1);
	cr_expect_eq(failures, 0);
	ur_listener_free(listener);
	ur_loop_done(&loop);
}

/* Without descriptors it rests, and says so once per rest. */
Test(listener, N12_rests_without_descriptors)
{
	struct ur_loop loop;
	struct ur_listener *listener = start(&loop);
	struct rlimit limit = {.rlim_cur = 256, .rlim_max = 256};
	int fds[256], count = 0, fd = dial(listener->port);

	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	while ((fds[count] = dup(0)) >= 0)
		count++;
	cr_assert_eq(errno, EMFILE);
	for (int i = 0; i < 10; i++)
		ur_loop_poll(&loop);
	cr_expect_eq(failures, 1);
	cr_expect_eq(last_error, -EMFILE);
	cr_expect_eq(taken, 0);
	while (count)
		close(fds[--count]);
	ur_loop_poll(&loop);
	cr_expect_eq(taken, 0);
	loop.now_us += 250000;
	ur_loop_run_timers(&loop);
	ur_loop_poll(&loop);
	cr_expect_eq(taken, 1);
	close(fd);
	ur_listener_free(listener);
	ur_loop_done(&loop);
}

Test(listener, bind_both_families)
{
	struct sockaddr_storage name;
	socklen_t size;
	int fds[2], count = ur_listener_bind("*:0", fds), one = 0;
	uint16_t ports[2] = {0};

	cr_assert_gt(count, 0);
	for (int i = 0; i < count; i++) {
		size = sizeof(name);
		getsockname(fds[i], (struct sockaddr *)&name, &size);
		cr_expect_eq(name.ss_family, i ? AF_INET6 : AF_INET);
		/* At the same place in both. */
		ports[i] = ntohs(((struct sockaddr_in *)&name)->sin_port);
		cr_expect(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
	}
	if (count == 2) {
		cr_expect_eq(ports[0], ports[1]);
		size = sizeof(one);
		getsockopt(fds[1], IPPROTO_IPV6, IPV6_V6ONLY, &one, &size);
		cr_expect_eq(one, 1);
	}
}

/* A port that the kernel chose in one family may be taken in the other. */
Test(listener, any_port_is_one_that_is_free_in_both_families)
{
	int fds[2], count;

	taken_ports = 3;
	count = ur_listener_bind("*:0", fds);
	cr_assert_gt(count, 0);
	for (int i = 0; i < count; i++)
		close(fds[i]);
}

/* But it is not sought for ever, and a port that was named is no other. */
Test(listener, a_port_that_is_taken_is_an_error)
{
	int fds[2];

	taken_ports = UINT32_MAX;
	cr_expect_eq(ur_listener_bind("*:0", fds), -EADDRINUSE);
	cr_expect_lt(binds, 100);
	binds = 0;
	cr_expect_eq(ur_listener_bind("*:1", fds), -EADDRINUSE);
	cr_expect_leq(binds, 2);
}

/* A socket that its former owner shuts down ends, and costs nothing more. */
Test(listener, shut_down_by_its_former_owner)
{
	struct ur_loop loop;
	struct ur_listener *listener = start(&loop);
	struct pollfd pollfd = {.fd = loop.epoll_fd, .events = POLLIN};

	cr_assert_eq(shutdown(listener->watch.fd, SHUT_RDWR), 0);
	for (int i = 0; i < 10; i++)
		ur_loop_poll(&loop);
	cr_expect_eq(failures, 1);
	cr_expect_eq(last_error, -EINVAL);
	cr_expect_eq(poll(&pollfd, 1, 0), 0);
	ur_listener_free(listener);
	ur_loop_done(&loop);
}
