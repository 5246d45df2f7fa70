/* SPDX-License-Identifier: BSD-2-Clause */
/* Names to addresses, with a name server of our own. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns.h"
#include "resolver.h"

#define MANY 2500
#define PATIENCE 4000

struct asked {
	struct ur_question question;
	unsigned int answers;
	int error;
	char text[64];
	char list[1024]; /* the addresses, with spaces behind them */
	size_t count;
};

static struct ur_loop loop;
static struct ur_resolver resolver;
static struct dns dns;

static void answered(struct ur_question *question,
		     const struct ur_addresses *found)
{
	struct asked *asked = (struct asked *)question;

	asked->answers++;
	asked->error = found->error;
	asked->count = found->count;
	snprintf(asked->text, sizeof(asked->text), "%s", found->text);
	for (size_t i = 0; i < found->count; i++) {
		const union ur_endpoint *one = &found->list[i];
		char text[64];

		cr_assert_eq(one->any.sa_family == AF_INET ? one->in.sin_port
							   : one->in6.sin6_port,
			     0);
		inet_ntop(one->any.sa_family,
			  one->any.sa_family == AF_INET
			      ? (const void *)&one->in.sin_addr
			      : (const void *)&one->in6.sin6_addr,
			  text, sizeof(text));
		strcat(strcat(asked->list, text), " ");
	}
}

static void setup(void)
{
	cr_assert_eq(ur_loop_init(&loop), 0);
	dns_open(&dns);
	ur_resolver_init(&resolver, &loop);
	resolver.servers = dns.servers;
}

static void done(void)
{
	ur_resolver_done(&resolver);
	ur_loop_done(&loop);
	dns_close(&dns);
}

TestSuite(resolver, .init = setup, .fini = done);

static void ask(struct asked *asked, const char *host)
{
	memset(asked, 0, sizeof(*asked));
	asked->question.answered = answered;
	cr_assert_eq(ur_resolver_ask(&resolver, &asked->question, host), 0);
}

static void turn(void)
{
	struct pollfd pollfd = {.fd = loop.epoll_fd, .events = POLLIN};

	ur_loop_poll(&loop);
	ur_loop_run_timers(&loop);
	dns_turn(&dns);
	ur_loop_arm(&loop);
	poll(&pollfd, 1, 5);
}

static void await(struct asked *asked)
{
	for (int i = 0; i < PATIENCE && !asked->answers; i++)
		turn();
	cr_assert_eq(asked->answers, 1);
	cr_assert_null(asked->question.query);
}

static void expect_list(const char *host, const char *list)
{
	struct asked asked;

	ask(&asked, host);
	await(&asked);
	cr_expect_eq(asked.error, 0, "%s: %s", host, asked.text);
	cr_expect_str_eq(asked.list, list, "%s: %s", host, asked.list);
}

Test(resolver, addresses_need_no_server)
{
	expect_list("10.1.2.3", "10.1.2.3 ");
	expect_list("2001:db8::1", "2001:db8::1 ");
	expect_list("fe80::1%lo", "fe80::1 ");
	cr_expect_null(resolver.current);
	cr_expect_eq(dns.asked, 0);
}

Test(resolver, hosts_file)
{
	struct asked asked;

	ask(&asked, "localhost");
	await(&asked);
	cr_expect_eq(asked.error, 0);
	cr_expect(strstr(asked.list, "127.0.0.1 "), "%s", asked.list);
	cr_expect_eq(dns.asked, 0);
}

Test(resolver, both_families)
{
	dns_set(&dns, "a.example", "10.0.0.1,10.0.0.2");
	expect_list("a.example", "10.0.0.1 10.0.0.2 ");
	dns_set(&dns, "b.example", "2001:db8::1");
	expect_list("b.example", "2001:db8::1 ");
	dns_set(&dns, "c.example", "::1,127.0.0.1");
	expect_list("c.example", "::1 127.0.0.1 ");
	/* It is asked each time. */
	dns_set(&dns, "a.example", "10.0.0.9");
	expect_list("a.example", "10.0.0.9 ");
}

Test(resolver, more_addresses_than_are_looked_at)
{
	struct asked asked;

	dns_set(&dns, "many.example",
		"10.0.0.1,10.0.0.2,10.0.0.3,10.0.0.4,10.0.0.5,10.0.0.6,"
		"10.0.0.7,10.0.0.8,10.0.0.9,10.0.0.10,10.0.0.11,10.0.0.12,"
		"10.0.0.13,10.0.0.14,10.0.0.15,10.0.0.16,10.0.0.17,10.0.0.18");
	ask(&asked, "many.example");
	await(&asked);
	cr_expect_eq(asked.count, UR_ADDRESSES_MAX);
}

Test(resolver, failures_say_why)
{
	struct asked asked;

	ask(&asked, "nobody.example");
	cr_expect_not_null(asked.question.query);
	await(&asked);
	cr_expect_eq(asked.error, -EHOSTUNREACH);
	cr_expect_str_eq(asked.text, "Domain name not found");
	cr_expect_eq(asked.count, 0);
	/* Names that are none. */
	ask(&asked, "..");
	await(&asked);
	cr_expect_lt(asked.error, 0);
}

/* Nothing is told any more, and nothing is left behind. */
Test(resolver, cancelled)
{
	struct asked first, second;

	dns.any = "10.0.0.1";
	ask(&first, "a.example");
	ask(&second, "b.example");
	ur_question_cancel(&first.question);
	ur_question_cancel(&first.question);
	await(&second);
	for (int i = 0; i < 20; i++)
		turn();
	cr_expect_eq(first.answers, 0);
	ask(&first, "a.example");
	dns.is_silent = true;
	ask(&second, "b.example");
	ur_resolver_done(&resolver);
	cr_expect_eq(first.answers + second.answers, 0);
	cr_expect_null(second.question.query);
}

/* After a failure the files are read anew, also while others still wait. */
Test(resolver, begins_anew_after_a_failure)
{
	struct asked waiting, asked, third;
	struct ur_channel *first;

	dns.is_silent = true;
	ask(&waiting, "waiting.example");
	first = resolver.current;
	dns_turn(&dns);
	dns.is_silent = false;
	ask(&asked, "nobody.example");
	cr_expect_eq(resolver.current, first);
	await(&asked);
	dns.any = "10.0.0.1";
	ask(&asked, "a.example");
	cr_expect_eq(resolver.former, first);
	cr_expect_neq(resolver.current, first);
	await(&asked);
	cr_expect_eq(asked.error, 0);
	/* A third one has to wait for the first. */
	dns.any = NULL;
	ask(&asked, "nobody.example");
	await(&asked);
	ask(&third, "nobody.example");
	cr_expect_eq(resolver.former, first);
	await(&third);
	await(&waiting);
	ask(&third, "nobody.example");
	cr_expect_neq(resolver.former, first);
	await(&third);
}

Test(resolver, N28_many_at_once)
{
	struct asked *asked = calloc(MANY, sizeof(*asked));
	unsigned int answers = 0;
	char name[32];

	dns.any = "10.0.0.7";
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "ts%d.example", i);
		ask(&asked[i], name);
		/* What the kernel does not hold would be asked again later. */
		if (i % 50 == 0)
			turn();
	}
	for (int i = 0; i < PATIENCE && answers < MANY; i++) {
		turn();
		answers = 0;
		for (int j = 0; j < MANY; j++)
			answers += asked[j].answers;
	}
	cr_expect_eq(answers, MANY);
	for (int i = 0; i < MANY; i++)
		cr_assert_str_eq(asked[i].list, "10.0.0.7 ", "%d: %s", i,
				 asked[i].text);
	free(asked);
}

/* By TCP, of a server that hangs up on us: no SIGPIPE. */
Test(resolver, server_hangs_up)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};
	struct sockaddr_in name = {0};
	socklen_t size = sizeof(name);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), taken;
	unsigned int hung_up = 0;
	struct asked asked;

	cr_assert_eq(getsockname(dns.fd, (struct sockaddr *)&name, &size), 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	cr_assert_eq(listen(fd, 10), 0);
	dns.is_truncated = true;
	ask(&asked, "a.example");
	for (int i = 0; i < PATIENCE && !asked.answers; i++) {
		turn();
		while ((taken = accept(fd, NULL, NULL)) >= 0) {
			/* An end and a reset: writing is EPIPE then. */
			shutdown(taken, SHUT_WR);
			setsockopt(taken, SOL_SOCKET, SO_LINGER, &linger,
				   sizeof(linger));
			close(taken);
			hung_up++;
		}
	}
	cr_expect_lt(asked.error, 0);
	cr_expect_gt(hung_up, 0);
	close(fd);
}
