/* SPDX-License-Identifier: BSD-2-Clause */
/* Connections, handshakes and log lines are bounded. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "live.h"
#include "proxy.h"
#include "wire.h"

#define CROWD 200

static bool is_closed(int fd)
{
	char byte[64];
	ssize_t size;

	do
		size = recv(fd, byte, sizeof(byte), MSG_DONTWAIT);
	while (size > 0);
	return size == 0 || errno != EAGAIN;
}

static unsigned int count_closed(const int *fds, unsigned int count)
{
	unsigned int closed = 0;

	for (unsigned int i = 0; i < count; i++)
		closed += is_closed(fds[i]);
	return closed;
}

static void connect_many(struct live *live, int *fds, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		fds[i] = wire_connect(live);
}

static void close_many(const int *fds, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		close(fds[i]);
}

static void let_in(struct live *live, struct live_agent *agent)
{
	uint64_t ticket = live_map(agent, "10.0.0.1", "alice");

	live_await(live, agent->acked == ticket);
}

Test(limits, connections_max)
{
	struct live live;
	struct live_agent *agent;
	int fds[10];

	live_init(&live, "a.example", NULL);
	live.options.connections_max = 5;
	live_start(&live);
	agent = live_agent(&live, "a.example", NULL);
	let_in(&live, agent);
	connect_many(&live, fds, 10);
	live_await(&live, live_stats(&live).accepted == 11);
	cr_expect_eq(live_stats(&live).connections, 5);
	cr_expect_eq(live_stats(&live).refused_limit, 6);
	live_turns(&live, 20);
	cr_expect_eq(count_closed(fds, 10), 6);
	let_in(&live, agent);
	close_many(fds, 10);
	live_await(&live, live_stats(&live).connections == 1);
	let_in(&live, agent);
	live_done(&live);
}

/* The oldest that is not open yet gives way; a session never does. */
Test(limits, handshakes_max)
{
	struct live live;
	struct live_agent *agent, *late;
	int fds[20];

	live_init(&live, "a.example", "b.example", NULL);
	live.options.handshakes_max = 8;
	live_start(&live);
	agent = live_agent(&live, "a.example", NULL);
	let_in(&live, agent);
	for (int i = 0; i < 20; i++) {
		fds[i] = wire_connect(&live);
		live_turns(&live, 2);
	}
	live_await(&live, live_stats(&live).accepted == 21);
	cr_expect_eq(live_stats(&live).connections, 9);
	cr_expect_eq(live_stats(&live).refused_limit, 12);
	for (unsigned int i = 0; i < 20; i++)
		cr_expect_eq(is_closed(fds[i]), i < 12, "%u", i);
	late = live_agent(&live, "b.example", NULL);
	let_in(&live, late);
	let_in(&live, agent);
	cr_expect_eq(agent->events[UIDRECV_AGENT_LOST], 0);
	close_many(fds, 20);
	live_done(&live);
}

/* A host that says nothing pushes out itself, however often it connects. */
Test(limits, N04_one_host_does_not_push_out_others)
{
	struct live live;
	struct wire slow;
	int fds[50];

	live_init(&live, "a.example", NULL);
	live.options.handshakes_max = 8;
	live_start(&live);
	wire_new(&slow, &live, "a.example");
	live_await(&live, live_stats(&live).accepted == 1);
	for (int i = 0; i < 50; i++) {
		fds[i] = wire_connect_from(&live, INADDR_LOOPBACK + 1);
		live_turns(&live, 2);
	}
	live_await(&live, live_stats(&live).accepted == 51);
	cr_expect_eq(live_stats(&live).connections, 8);
	cr_assert(wire_shake(&slow));
	close_many(fds, 50);
	wire_free(&slow);
	live_done(&live);
}

Test(limits, N27_per_source_max)
{
	struct live live;
	struct live_agent *agent, *other;
	struct uidrecv_agent_options options;
	char address[32];
	uint16_t port = 0;
	int fds[10];

	live_init(&live, "a.example", "b.example", NULL);
	live.options.per_source_max = 4;
	live_start(&live);
	agent = live_agent(&live, "a.example", NULL);
	let_in(&live, agent);
	connect_many(&live, fds, 10);
	live_await(&live, live_stats(&live).accepted == 11);
	cr_expect_eq(live_stats(&live).connections, 4);
	cr_expect_eq(live_stats(&live).refused_limit, 7);
	/* Another address has its own: ::1 dials from ::1. */
	if (uidrecv_receiver_listen(live.receiver, "[::1]:0", &port) == 0) {
		snprintf(address, sizeof(address), "[::1]:%u", port);
		options = live_agent_options(&live, "b.example");
		options.receiver = address;
		other = live_agent(&live, "b.example", &options);
		let_in(&live, other);
	}
	close_many(fds, 10);
	live_await(&live, live_stats(&live).connections <= 2);
	let_in(&live, agent);
	live_done(&live);
}

/* One byte at a time keeps nobody beyond the time for a handshake. */
Test(limits, N03_slow_handshake)
{
	static const char hello[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03";
	struct live live;
	uint64_t begun_ms, sent_ms = 0;
	size_t at = 0;
	int fd;

	live_init(&live, "a.example", NULL);
	live.options.handshake_ms = 1000;
	live_start(&live);
	fd = wire_connect(&live);
	begun_ms = live_now_ms();
	while (!is_closed(fd)) {
		cr_assert_lt(live_now_ms() - begun_ms, 3000);
		if (live_now_ms() - sent_ms >= 100 && at < sizeof(hello) - 1) {
			cr_assert_eq(send(fd, hello + at++, 1, MSG_NOSIGNAL),
				     1);
			sent_ms = live_now_ms();
		}
		live_turn(&live);
	}
	cr_expect_geq(live_now_ms() - begun_ms, 950);
	cr_expect_lt(live_now_ms() - begun_ms, 1500);
	cr_expect_eq(live_stats(&live).refused_timeout, 1);
	close(fd);
	live_done(&live);
}

/* Through TLS, but then no HELLO: the same time counts. */
Test(limits, N04_silent_after_tls)
{
	struct live live;
	struct wire wire;
	struct ur_message message;
	uint64_t begun_ms;

	live_init(&live, "a.example", NULL);
	live.options.handshake_ms = 1000;
	live_start(&live);
	wire_new(&wire, &live, "a.example");
	begun_ms = live_now_ms();
	cr_assert(wire_shake(&wire));
	cr_assert(wire_await(&wire, UR_BYE, &message));
	cr_expect_eq(message.bye.code, UIDRECV_BYE_HOLD_TIME);
	cr_expect_geq(live_now_ms() - begun_ms, 950);
	cr_expect_lt(live_now_ms() - begun_ms, 1500);
	cr_expect_eq(live_stats(&live).refused_timeout, 1);
	cr_expect_eq(live_stats(&live).hold_expired, 0);
	wire_free(&wire);
	live_done(&live);
}

Test(limits, N04_silent_crowd)
{
	struct live live;
	struct live_agent *agent;
	int fds[CROWD];
	uint64_t begun_ms;

	live_init(&live, "a.example", NULL);
	live.options.handshakes_max = 100;
	live.options.handshake_ms = 1500;
	live_start(&live);
	connect_many(&live, fds, CROWD);
	begun_ms = live_now_ms();
	agent = live_agent(&live, "a.example", NULL);
	let_in(&live, agent);
	cr_expect_lt(live_now_ms() - begun_ms, 1000);
	live_await(&live, live_stats(&live).connections == 1);
	cr_expect_eq(live_stats(&live).refused_limit +
			 live_stats(&live).refused_timeout,
		     CROWD);
	let_in(&live, agent);
	close_many(fds, CROWD);
	live_done(&live);
}

/* A peer that says all byte by byte is as good as any other. */
Test(limits, N05_byte_by_byte)
{
	struct live live;
	struct proxy proxy;
	struct uidrecv_agent_options options;
	struct live_agent *agent;
	uint64_t ticket;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	proxy_init(&proxy, &live);
	proxy.step = 1;
	options = live_agent_options(&live, "a.example");
	options.receiver = proxy.address;
	agent = live_agent(&live, "a.example", &options);
	live_map(agent, "192.0.2.1", "alice");
	ticket = live_map(agent, "10.0.0.1", "alice");
	live_await(&live, agent->acked == ticket);
	cr_expect_eq(agent->codes[1], UIDRECV_REJECT_ADDRESS_NOT_ALLOWED);
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "alice");
	cr_expect_gt(proxy.moved[PROXY_UP], 1000);
	proxy_done(&proxy);
	live_done(&live);
}

static uint64_t cpu_ms(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) *
		   1000 +
	       (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) /
		   1000;
}

/* The receiver alone, waiting for its descriptor as a host does. */
static void run_receiver(struct live *live, uint64_t ms)
{
	uint64_t end_ms = live_now_ms() + ms, now_ms;

	while ((now_ms = live_now_ms()) < end_ms) {
		struct pollfd pollfd = {
		    .fd = uidrecv_receiver_get_fd(live->receiver),
		    .events = POLLIN};

		poll(&pollfd, 1, (int)(end_ms - now_ms));
		cr_assert_eq(uidrecv_receiver_dispatch(live->receiver), 0);
	}
}

/* No descriptor is left for the receiver; its peers have theirs already. */
static void use_up_descriptors(struct live *live, int *fds, unsigned int count)
{
	struct rlimit limit;

	connect_many(live, fds, count);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	/* All below the next free one are in use. */
	limit.rlim_cur = (rlim_t)dup(0);
	close((int)limit.rlim_cur);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

Test(limits, N12_out_of_descriptors)
{
	struct live live;
	struct live_agent *agent;
	struct rlimit before;
	uint64_t busy_ms, begun_ms;
	int fds[50], plain;

	live_init(&live, "a.example", NULL);
	live.options.handshake_ms = 60000;
	live_start(&live);
	agent = live_agent(&live, "a.example", NULL);
	let_in(&live, agent);
	getrlimit(RLIMIT_NOFILE, &before);
	plain = wire_connect(&live);
	use_up_descriptors(&live, fds, 50);
	busy_ms = cpu_ms();
	run_receiver(&live, 1000);
	/* A second of waiting costs next to nothing. */
	cr_expect_lt(cpu_ms() - busy_ms, 200);
	cr_expect_lt(live_stats(&live).accepted, 3);
	cr_expect(live_log_has(&live.log, "no connection can be accepted"));
	cr_expect_leq(live.log.lines[UIDRECV_LOG_ERROR], 12);
	/* Who is in goes on. */
	let_in(&live, agent);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	begun_ms = live_now_ms();
	live_await(&live, live_stats(&live).accepted == 52);
	cr_expect_lt(live_now_ms() - begun_ms, 1000);
	/* And all is TLS as ever. */
	cr_assert_eq(send(plain, "GET /\r\n\r\n", 9, MSG_NOSIGNAL), 9);
	live_await(&live, live_stats(&live).refused_tls == 1);
	close(plain);
	close_many(fds, 50);
	live_await(&live, live_stats(&live).connections == 1);
	let_in(&live, agent);
	live_done(&live);
}

Test(limits, P22_log_lines_are_limited)
{
	struct live live;
	uint64_t begun_ms = live_now_ms(), seconds;
	unsigned int lines;
	int fd;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	for (int i = 0; i < 500; i++) {
		fd = wire_connect(&live);
		cr_assert_eq(send(fd, "GET /\r\n\r\n", 9, MSG_NOSIGNAL), 9);
		live_turn(&live);
		close(fd);
	}
	live_await(&live, live_stats(&live).connections == 0);
	cr_expect_eq(live_stats(&live).refused_tls, 500);
	live_turns(&live, 1100);
	fd = wire_connect(&live);
	close(fd);
	live_await(&live, live_log_has(&live.log, "were left out"));
	seconds = (live_now_ms() - begun_ms) / 1000 + 2;
	lines = live.log.lines[UIDRECV_LOG_WARNING] +
		live.log.lines[UIDRECV_LOG_ERROR];
	cr_expect_leq(lines, seconds * 11, "%u lines", lines);
	cr_expect_eq(live.log.unclean, 0);
	live_done(&live);
}

/* What a peer says of itself cannot become a line of its own, or a colour. */
Test(limits, peers_cannot_write_log_lines)
{
	static const char evil[] = "x\r\nERROR all is lost\x1b[31m\x9b\xc2\x9b";
	struct live live;
	struct wire wire;
	struct ur_hello hello = wire_hello(77);
	struct ur_message message;
	struct uidrecv_agent_stats stats = {.size = sizeof(stats)};
	struct ur_buf buf;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	wire_new(&wire, &live, "a.example");
	cr_assert(wire_shake(&wire));
	cr_assert(wire_read(&wire, &message));
	hello.software = (struct ur_text){evil, sizeof(evil) - 1};
	wire_send_hello(&wire, &hello);
	cr_assert(wire_await(&wire, UR_READY, &message));
	cr_assert_eq(uidrecv_receiver_get_agent_stats(live.receiver, 0, &stats),
		     1);
	cr_expect_str_eq(
	    stats.software,
	    "x\\x0d\\x0aERROR all is lost\\x1b[31m\\x9b\\xc2\\x9b");
	ur_buf_init(&buf, 4096);
	ur_bye_encode(&buf, UIDRECV_BYE_SHUTDOWN, evil, NULL);
	wire_send(&wire, &buf);
	ur_buf_done(&buf);
	live_await(&live, live_stats(&live).sessions == 0);
	cr_expect_eq(live.log.unclean, 0);
	cr_expect_not(live_log_has(&live.log, "\nERROR"));
	wire_free(&wire);
	live_done(&live);
}
