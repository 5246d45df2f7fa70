/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <uidrecv/record.h>

#include "dialer.h"
#include "dns.h"

#define SECOND UINT64_C(1000000)

Test(dialer, N28_waits_double_to_a_minute)
{
	static const uint64_t bounds_us[] = {
	    500000,	 SECOND,      2 * SECOND,  4 * SECOND,	8 * SECOND,
	    16 * SECOND, 32 * SECOND, 60 * SECOND, 60 * SECOND,
	};
	uint64_t bound_us = UR_DIALER_MIN_US;

	for (size_t i = 0; i < sizeof(bounds_us) / sizeof(bounds_us[0]); i++) {
		cr_assert_eq(bound_us, bounds_us[i]);
		/* Each time up to b, and none beyond. */
		cr_assert_eq(ur_dialer_next_wait(&bound_us, 0), 0);
		bound_us = bounds_us[i];
		cr_assert_eq(ur_dialer_next_wait(&bound_us, bounds_us[i]),
			     bounds_us[i]);
		bound_us = bounds_us[i];
		cr_assert_eq(ur_dialer_next_wait(&bound_us, bounds_us[i] + 1),
			     0);
		bound_us = bounds_us[i];
		cr_assert_leq(ur_dialer_next_wait(&bound_us, UINT64_MAX),
			      bounds_us[i]);
	}
}

static struct ur_addresses list(const char *text)
{
	struct ur_addresses found = {0};

	for (; *text; text++) {
		union ur_endpoint *one = &found.list[found.count++];

		memset(one, 0, sizeof(*one));
		one->any.sa_family = *text >= 'a' ? AF_INET6 : AF_INET;
		if (*text >= 'a')
			one->in6.sin6_addr.s6_addr[15] = (uint8_t)*text;
		else
			one->in.sin_addr.s_addr = (uint8_t)*text;
	}
	return found;
}

static char choose(struct ur_dialer *dialer, const char *text)
{
	struct ur_addresses found = list(text);
	const union ur_endpoint *one = ur_dialer_choose(dialer, &found);

	return (char)(one->any.sa_family == AF_INET
			  ? (char)one->in.sin_addr.s_addr
			  : one->in6.sin6_addr.s6_addr[15]);
}

Test(dialer, addresses_in_turn)
{
	struct ur_dialer dialer = {0};

	cr_expect_eq(choose(&dialer, "a12"), 'a');
	cr_expect_eq(choose(&dialer, "a12"), '1');
	cr_expect_eq(choose(&dialer, "a12"), '2');
	cr_expect_eq(choose(&dialer, "a12"), 'a');
	cr_expect_eq(choose(&dialer, "a12"), '1');
	ur_dialer_succeeded(&dialer);
	cr_expect_eq(choose(&dialer, "a12"), 'a');
}

/* A name server that turns the list does not make it the same one each time. */
Test(dialer, list_that_turns)
{
	struct ur_dialer dialer = {0};

	cr_expect_eq(choose(&dialer, "12"), '1');
	cr_expect_eq(choose(&dialer, "21"), '2');
	cr_expect_eq(choose(&dialer, "12"), '1');
	cr_expect_eq(choose(&dialer, "21"), '2');
}

/* Other addresses each time: what is remembered of them is bounded. */
Test(dialer, list_that_changes)
{
	struct ur_dialer dialer = {0};
	char text[2] = {1, 0};

	for (int i = 0; i < 5 * UR_ADDRESSES_MAX; i++, text[0]++) {
		cr_assert_eq(choose(&dialer, text), text[0]);
		cr_assert_leq(dialer.tried_count, UR_ADDRESSES_MAX);
	}
}

Test(dialer, refusals)
{
	cr_expect(ur_dialer_is_refusal(UIDRECV_E_CERTIFICATE, 0));
	cr_expect(ur_dialer_is_refusal(UIDRECV_E_IDENTITY, 0));
	cr_expect(ur_dialer_is_refusal(UIDRECV_E_ALPN, 0));
	cr_expect(ur_dialer_is_refusal(UIDRECV_E_BYE, 300));
	cr_expect_not(ur_dialer_is_refusal(UIDRECV_E_BYE, 299));
	cr_expect_not(ur_dialer_is_refusal(UIDRECV_E_TLS, 0));
	cr_expect_not(ur_dialer_is_refusal(-ECONNREFUSED, 0));
}

struct scene {
	struct ur_loop loop;
	struct ur_resolver resolver;
	struct ur_dialer dialer;
	int fd, error;
	unsigned int connecting, failed;
};

static void on_connecting(struct ur_dialer *dialer, int fd)
{
	struct scene *scene = dialer->owner;

	scene->connecting++;
	scene->fd = fd;
}

static void on_failed(struct ur_dialer *dialer, int error, const char *text)
{
	struct scene *scene = dialer->owner;

	cr_assert_not_null(text);
	scene->failed++;
	scene->error = error;
}

static void start(struct scene *scene, const char *host, uint16_t port)
{
	memset(scene, 0, sizeof(*scene));
	cr_assert_eq(ur_loop_init(&scene->loop), 0);
	ur_resolver_init(&scene->resolver, &scene->loop);
	cr_assert_eq(ur_dialer_init(&scene->dialer, &scene->resolver), 0);
	scene->dialer.host = host;
	scene->dialer.port = port;
	scene->dialer.owner = scene;
	scene->dialer.connecting = on_connecting;
	scene->dialer.failed = on_failed;
}

static void end(struct scene *scene)
{
	ur_dialer_done(&scene->dialer);
	ur_dialer_done(&scene->dialer);
	ur_resolver_done(&scene->resolver);
	ur_loop_done(&scene->loop);
}

static void pass(struct scene *scene, uint64_t now_us)
{
	scene->loop.now_us = now_us;
	ur_loop_run_timers(&scene->loop);
}

static uint16_t listen_anywhere(int family, int *ret_fd)
{
	union ur_endpoint name = {.any.sa_family = (sa_family_t)family};
	socklen_t size = sizeof(name);

	if (family == AF_INET)
		name.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		name.in6.sin6_addr = in6addr_loopback;
	*ret_fd = socket(family, SOCK_STREAM, 0);
	cr_assert_eq(
	    bind(*ret_fd, &name.any,
		 family == AF_INET ? sizeof(name.in) : sizeof(name.in6)),
	    0);
	cr_assert_eq(listen(*ret_fd, 10), 0);
	cr_assert_eq(getsockname(*ret_fd, &name.any, &size), 0);
	return ntohs(family == AF_INET ? name.in.sin_port : name.in6.sin6_port);
}

static void check_connects(int family, const char *host)
{
	int listener, taken;
	uint16_t port = listen_anywhere(family, &listener);
	struct scene scene;

	start(&scene, host, port);
	ur_dialer_begin(&scene.dialer);
	cr_assert_eq(scene.connecting, 1);
	cr_expect_eq(scene.dialer.attempts, 1);
	taken = accept(listener, NULL, NULL);
	cr_expect_geq(taken, 0);
	close(taken);
	close(scene.fd);
	close(listener);
	end(&scene);
}

Test(dialer, connects)
{
	check_connects(AF_INET, "127.0.0.1");
	check_connects(AF_INET6, "::1");
}

/* One attempt for each wait, at its time and not before. */
Test(dialer, N28_attempts)
{
	struct scene scene;
	uint64_t now_us = 1000 * SECOND;

	/* There is no route to it, or nobody there. */
	start(&scene, "240.0.0.1", 1);
	ur_dialer_start(&scene.dialer, now_us);
	cr_expect(ur_dialer_is_busy(&scene.dialer));
	pass(&scene, now_us - 1);
	cr_expect_eq(scene.dialer.attempts, 0);
	pass(&scene, now_us);
	cr_expect_eq(scene.dialer.attempts, 1);
	cr_expect_not(ur_dialer_is_busy(&scene.dialer));
	cr_expect_eq(ur_dialer_get_wait_us(&scene.dialer, now_us), 0);
	for (unsigned int i = 2; i < 20; i++) {
		uint64_t bound_us = scene.dialer.bound_us, wait_us;

		ur_dialer_retry(&scene.dialer);
		wait_us = ur_dialer_get_wait_us(&scene.dialer, now_us);
		cr_assert_leq(wait_us, bound_us);
		cr_assert(ur_dialer_is_busy(&scene.dialer));
		if (wait_us) {
			pass(&scene, now_us + wait_us - 1);
			cr_assert_eq(scene.dialer.attempts, i - 1);
		}
		now_us += wait_us;
		pass(&scene, now_us);
		cr_assert_eq(scene.dialer.attempts, i);
	}
	cr_expect_eq(scene.dialer.bound_us, UR_DIALER_MAX_US);
	ur_dialer_succeeded(&scene.dialer);
	cr_expect_eq(scene.dialer.bound_us, UR_DIALER_MIN_US);
	ur_dialer_retry_refused(&scene.dialer);
	cr_expect_eq(ur_dialer_get_wait_us(&scene.dialer, now_us), 60 * SECOND);
	ur_dialer_stop(&scene.dialer);
	pass(&scene, now_us + 100 * SECOND);
	cr_expect_eq(scene.dialer.attempts, 19);
	if (scene.connecting)
		close(scene.fd);
	end(&scene);
}

/* Nobody is told of the name that was asked for. */
Test(dialer, stopped_while_it_asks)
{
	struct scene scene;

	start(&scene, "a.example", 1);
	scene.resolver.servers = "127.0.0.1:1";
	ur_dialer_begin(&scene.dialer);
	cr_expect(ur_dialer_is_busy(&scene.dialer));
	ur_dialer_stop(&scene.dialer);
	cr_expect_not(ur_dialer_is_busy(&scene.dialer));
	for (int i = 0; i < 50; i++) {
		ur_loop_poll(&scene.loop);
		ur_loop_run_timers(&scene.loop);
		usleep(1000);
	}
	cr_expect_eq(scene.connecting + scene.failed, 0);
	end(&scene);
}

Test(dialer, failures_are_told)
{
	struct scene scene;
	struct dns dns;

	start(&scene, "255.255.255.255", 1);
	ur_dialer_begin(&scene.dialer);
	cr_expect_eq(scene.failed, 1);
	cr_expect_lt(scene.error, 0);
	dns_open(&dns);
	scene.dialer.host = "nobody.example";
	scene.resolver.servers = dns.servers;
	ur_dialer_begin(&scene.dialer);
	for (int i = 0; i < 4000 && scene.failed < 2; i++) {
		dns_turn(&dns);
		ur_loop_poll(&scene.loop);
		ur_loop_run_timers(&scene.loop);
		usleep(1000);
	}
	cr_expect_eq(scene.error, -EHOSTUNREACH);
	cr_expect_eq(scene.dialer.attempts, 2);
	end(&scene);
	dns_close(&dns);
}
