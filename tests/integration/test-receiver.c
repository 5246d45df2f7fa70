/* SPDX-License-Identifier: BSD-2-Clause */
/* From an agent's mapping to an answer, and where a receiver listens. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "live.h"

static bool has_ipv6(void)
{
	struct sockaddr_in6 name = {.sin6_family = AF_INET6,
				    .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	bool has = fd >= 0 && !bind(fd, (struct sockaddr *)&name, sizeof(name));

	close(fd);
	return has;
}

Test(receiver, mapping_end_to_end)
{
	struct live live;
	struct live_agent *agent;
	struct uidrecv_receiver_stats stats;
	uint64_t ticket;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	agent = live_agent(&live, "a.example", NULL);
	live_map(agent, "10.1.2.3", "CORP\\alice");
	ticket = live_map(agent, "2001:db8::1", "b\xc3\xb6rn");
	cr_assert_eq(ticket, 2);
	live_await(&live, agent->acked == ticket);
	cr_assert_str_eq(live_user(&live, "10.1.2.3"), "CORP\\alice");
	cr_assert_str_eq(live_user(&live, "::ffff:10.1.2.3"), "CORP\\alice");
	cr_assert_str_eq(live_user(&live, "2001:db8::1"), "b\xc3\xb6rn");
	cr_assert_str_eq(live_user(&live, "10.1.2.4"), "");
	ticket = live_say(agent, UIDRECV_OP_WITHDRAW, "10.1.2.3", NULL);
	live_await(&live, agent->acked == ticket);
	cr_assert_str_eq(live_user(&live, "10.1.2.3"), "");
	stats = live_stats(&live);
	cr_assert_eq(stats.records, 3);
	cr_assert_eq(stats.records_rejected, 0);
	cr_assert_eq(stats.sessions, 1);
	cr_assert_eq(stats.connections, 1);
	cr_assert_eq(stats.claims, 1);
	live_done(&live);
}

static void use_rejects_list(struct live *live)
{
	snprintf(live->rights, sizeof(live->rights),
		 "a.example 10.0.0.0/8 127.0.0.0/8 domains=corp "
		 "lifetime_max_s=3600 mappings_max=2\n");
}

/* Each record that is refused is told with its own ticket and code. */
Test(receiver, reject_codes)
{
	struct live live;
	struct live_agent *agent;
	struct uidrecv_record record;
	uint64_t t[10] = {0};

	live_init(&live, "a.example", NULL);
	use_rejects_list(&live);
	live_start(&live);
	agent = live_agent(&live, "a.example", NULL);
	t[0] = live_map(agent, "10.0.0.1", "CORP\\alice");
	t[1] = live_map(agent, "224.0.0.1", "CORP\\alice");
	t[2] = live_map(agent, "192.0.2.1", "CORP\\alice");
	t[3] = live_map(agent, "127.0.0.1", "CORP\\alice");
	t[4] = live_map(agent, "10.0.0.2", "CORP\\ali\nce");
	t[5] = live_map(agent, "10.0.0.2", "OTHER\\alice");
	t[6] = live_say(agent, UIDRECV_OP_REFRESH, "10.0.0.9", NULL);
	record = live_record(UIDRECV_OP_MAP, "10.0.0.2", "CORP\\bob");
	record.lifetime_s = 3601;
	cr_assert_eq(uidrecv_agent_queue(agent->agent, &record, &t[7]), 0);
	record.lifetime_s = 0;
	record.has_event_time = true;
	record.event_time_us = uidrecv_agent_now_us(agent->agent) + 60000000;
	cr_assert_eq(uidrecv_agent_queue(agent->agent, &record, &t[8]), 0);
	live_map(agent, "10.0.0.2", "CORP\\bob");
	t[9] = live_map(agent, "10.0.0.3", "CORP\\carol");
	live_await(&live, agent->acked == t[9]);
	cr_expect_eq(agent->codes[t[0]], 0);
	cr_expect_eq(agent->codes[t[1]], UIDRECV_REJECT_ADDRESS_INVALID);
	cr_expect_eq(agent->codes[t[2]], UIDRECV_REJECT_ADDRESS_NOT_ALLOWED);
	cr_expect_eq(agent->codes[t[3]], UIDRECV_REJECT_ADDRESS_NOT_ALLOWED);
	cr_expect_eq(agent->codes[t[4]], UIDRECV_REJECT_USER_INVALID);
	cr_expect_eq(agent->codes[t[5]], UIDRECV_REJECT_DOMAIN_NOT_ALLOWED);
	cr_expect_eq(agent->codes[t[6]], UIDRECV_REJECT_NOT_FOUND);
	cr_expect_eq(agent->codes[t[7]], UIDRECV_REJECT_LIFETIME_NOT_ALLOWED);
	cr_expect_eq(agent->codes[t[8]], UIDRECV_REJECT_TIME_IN_FUTURE);
	cr_expect_eq(agent->codes[t[9]], UIDRECV_REJECT_QUOTA);
	cr_expect_eq(agent->events[UIDRECV_AGENT_REJECTED], 9);
	cr_expect_eq(live_stats(&live).records_rejected, 9);
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "CORP\\alice");
	cr_expect_str_eq(live_user(&live, "10.0.0.2"), "CORP\\bob");
	live_done(&live);
}

/* Says a mapping by the address and waits for its ACK. */
static void speak_to(struct live *live, const char *host, uint16_t port)
{
	struct uidrecv_agent_options options =
	    live_agent_options(live, "a.example");
	struct live_agent *agent;
	char address[80];
	uint64_t ticket;

	snprintf(address, sizeof(address), "%s:%u", host, port);
	options.receiver = address;
	options.receiver_name = "receiver";
	agent = live_agent(live, "a.example", &options);
	ticket = live_map(agent, "10.0.0.1", host);
	live_await(live, agent->acked == ticket);
	cr_assert_str_eq(live_user(live, "10.0.0.1"), host);
	live_agent_end(live, agent);
}

Test(receiver, listens_on_all_kinds_of_addresses)
{
	struct live live;
	uint16_t port = 0;

	live_init(&live, "a.example", NULL);
	live_open(&live);
	cr_assert_eq(
	    uidrecv_receiver_listen(live.receiver, "127.0.0.1:0", &port), 0);
	cr_assert_neq(port, 0);
	speak_to(&live, "127.0.0.1", port);
	cr_assert_eq(
	    uidrecv_receiver_listen(live.receiver, "127.0.0.2:0", &port), 0);
	speak_to(&live, "127.0.0.2", port);
	if (!has_ipv6()) {
		live_done(&live);
		return;
	}
	cr_assert_eq(uidrecv_receiver_listen(live.receiver, "[::1]:0", &port),
		     0);
	speak_to(&live, "[::1]", port);
	cr_assert_eq(uidrecv_receiver_listen(live.receiver, "*:0", &port), 0);
	speak_to(&live, "127.0.0.1", port);
	speak_to(&live, "[::1]", port);
	live_done(&live);
}

static int make_listening(bool listens, int type)
{
	struct sockaddr_in name = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, type, 0);

	cr_assert_eq(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	if (listens)
		cr_assert_eq(listen(fd, 5), 0);
	return fd;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in name;
	socklen_t size = sizeof(name);

	getsockname(fd, (struct sockaddr *)&name, &size);
	return ntohs(name.sin_port);
}

Test(receiver, takes_a_listening_descriptor)
{
	struct live live;
	int good = make_listening(true, SOCK_STREAM);
	int mute = make_listening(false, SOCK_STREAM);
	int datagram = make_listening(false, SOCK_DGRAM);
	int pipes[2];

	live_init(&live, "a.example", NULL);
	live_open(&live);
	cr_assert_eq(pipe(pipes), 0);
	cr_expect_eq(uidrecv_receiver_listen_fd(live.receiver, mute), -EINVAL);
	cr_expect_eq(uidrecv_receiver_listen_fd(live.receiver, datagram),
		     -EINVAL);
	cr_expect_eq(uidrecv_receiver_listen_fd(live.receiver, pipes[0]),
		     -EINVAL);
	cr_expect_eq(uidrecv_receiver_listen_fd(live.receiver, -1), -EINVAL);
	cr_assert_eq(uidrecv_receiver_listen_fd(live.receiver, good), 0);
	speak_to(&live, "127.0.0.1", port_of(good));
	/* What was refused still belongs to the caller. */
	cr_expect_eq(close(mute), 0);
	cr_expect_eq(close(datagram), 0);
	cr_expect_eq(close(pipes[0]), 0);
	cr_expect_eq(close(pipes[1]), 0);
	live_done(&live);
	cr_expect_eq(close(good), -1);
}

Test(receiver, N14_bind_failures)
{
	struct live live;
	char address[64];
	uint16_t port = 7;
	int busy = make_listening(true, SOCK_STREAM);
	unsigned int fds;

	live_init(&live, "a.example", NULL);
	live_open(&live);
	fds = live_count_fds();
	snprintf(address, sizeof(address), "127.0.0.1:%u", port_of(busy));
	cr_expect_eq(uidrecv_receiver_listen(live.receiver, address, &port),
		     -EADDRINUSE);
	snprintf(address, sizeof(address), "*:%u", port_of(busy));
	cr_expect_eq(uidrecv_receiver_listen(live.receiver, address, &port),
		     -EADDRINUSE);
	cr_expect_eq(
	    uidrecv_receiver_listen(live.receiver, "192.0.2.1:0", &port),
	    -EADDRNOTAVAIL);
	for (int i = 0; i < 8; i++) {
		static const char *const bad[] = {
		    "",		 ":5007",	"127.0.0.1",   "127.0.0.1:",
		    "::1:65536", "[::1]:65536", "localhost:0", "1.2.3.4:-1",
		};

		cr_expect_eq(
		    uidrecv_receiver_listen(live.receiver, bad[i], &port),
		    -EINVAL, "%s", bad[i]);
	}
	cr_expect_eq(port, 7);
	cr_expect_eq(live_count_fds(), fds);
	close(busy);
	live_done(&live);
}

/* Nobody listens without a certificate. */
Test(receiver, no_certificate_no_listening)
{
	struct live live;
	uint16_t port;
	int fd = make_listening(true, SOCK_STREAM);

	live_init(&live, "a.example", NULL);
	live.options.cert_path = NULL;
	live.options.key_path = NULL;
	live.options.ca_path = NULL;
	live_open(&live);
	cr_expect_eq(
	    uidrecv_receiver_listen(live.receiver, "127.0.0.1:0", &port),
	    UIDRECV_E_CREDENTIALS);
	cr_expect_eq(uidrecv_receiver_listen_fd(live.receiver, fd),
		     UIDRECV_E_CREDENTIALS);
	cr_expect_eq(close(fd), 0);
	live_done(&live);
}
