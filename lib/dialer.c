/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <uidrecv/record.h>

#include "dialer.h"

uint64_t ur_dialer_next_wait(uint64_t *bound_us, uint64_t random)
{
	uint64_t wait_us = random % (*bound_us + 1);

	*bound_us *= 2;
	if (*bound_us > UR_DIALER_MAX_US)
		*bound_us = UR_DIALER_MAX_US;
	return wait_us;
}

static bool is_same(const union ur_endpoint *a, const union ur_endpoint *b)
{
	if (a->any.sa_family != b->any.sa_family)
		return false;
	if (a->any.sa_family == AF_INET)
		return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
	return !memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr,
		       sizeof(a->in6.sin6_addr)) &&
	       a->in6.sin6_scope_id == b->in6.sin6_scope_id;
}

static bool was_tried(const struct ur_dialer *dialer,
		      const union ur_endpoint *address)
{
	for (size_t i = 0; i < dialer->tried_count; i++)
		if (is_same(&dialer->tried[i], address))
			return true;
	return false;
}

/*
 * By address and not by number, for name servers turn the list from answer to
 * answer.
 */
const union ur_endpoint *ur_dialer_choose(struct ur_dialer *dialer,
					  const struct ur_addresses *found)
{
	size_t i = 0;

	while (i < found->count && was_tried(dialer, &found->list[i]))
		i++;
	if (i == found->count || dialer->tried_count == UR_ADDRESSES_MAX) {
		dialer->tried_count = 0;
		i %= found->count;
	}
	dialer->tried[dialer->tried_count++] = found->list[i];
	return &found->list[i];
}

/* A socket that is connecting, or -errno. */
static int begin_connect(const union ur_endpoint *address, uint16_t port)
{
	union ur_endpoint name = *address;
	bool is_v4 = address->any.sa_family == AF_INET;
	int fd = socket(address->any.sa_family,
			SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int error;

	if (fd < 0)
		return -errno;
	if (is_v4)
		name.in.sin_port = htons(port);
	else
		name.in6.sin6_port = htons(port);
	if (!connect(fd, &name.any, is_v4 ? sizeof(name.in) : sizeof(name.in6)))
		return fd;
	if (errno == EINPROGRESS)
		return fd;
	error = -errno;
	close(fd);
	return error;
}

static void on_answered(struct ur_question *question,
			const struct ur_addresses *found)
{
	struct ur_dialer *dialer =
	    (struct ur_dialer *)((char *)question -
				 offsetof(struct ur_dialer, question));
	int fd;

	if (found->error) {
		dialer->failed(dialer, found->error, found->text);
		return;
	}
	fd = begin_connect(ur_dialer_choose(dialer, found), dialer->port);
	if (fd < 0)
		dialer->failed(dialer, fd, uidrecv_strerror(fd));
	else
		dialer->connecting(dialer, fd);
}

void ur_dialer_begin(struct ur_dialer *dialer)
{
	int error;

	dialer->attempts++;
	error =
	    ur_resolver_ask(dialer->resolver, &dialer->question, dialer->host);
	if (error)
		dialer->failed(dialer, error, uidrecv_strerror(error));
}

static void on_timer(struct ur_timer *timer)
{
	ur_dialer_begin(
	    (struct ur_dialer *)((char *)timer -
				 offsetof(struct ur_dialer, timer)));
}

int ur_dialer_init(struct ur_dialer *dialer, struct ur_resolver *resolver)
{
	if (ur_loop_reserve_timer(resolver->loop) < 0)
		return -ENOMEM;
	memset(dialer, 0, sizeof(*dialer));
	dialer->resolver = resolver;
	dialer->bound_us = UR_DIALER_MIN_US;
	dialer->timer.expired = on_timer;
	dialer->question.answered = on_answered;
	return 0;
}

void ur_dialer_done(struct ur_dialer *dialer)
{
	if (!dialer->resolver)
		return;
	ur_dialer_stop(dialer);
	ur_loop_release_timer(dialer->resolver->loop);
	dialer->resolver = NULL;
}

void ur_dialer_start(struct ur_dialer *dialer, uint64_t at_us)
{
	ur_dialer_succeeded(dialer);
	ur_loop_set_timer(dialer->resolver->loop, &dialer->timer, at_us);
}

static void wait_for(struct ur_dialer *dialer, uint64_t wait_us)
{
	struct ur_loop *loop = dialer->resolver->loop;

	ur_loop_set_timer(loop, &dialer->timer, loop->now_us + wait_us);
}

void ur_dialer_retry(struct ur_dialer *dialer)
{
	uint64_t random = 0;

	/* Never fails for so few bytes once the kernel is up. */
	(void)!getrandom(&random, sizeof(random), 0);
	wait_for(dialer, ur_dialer_next_wait(&dialer->bound_us, random));
}

void ur_dialer_retry_refused(struct ur_dialer *dialer)
{
	wait_for(dialer, UR_DIALER_MAX_US);
}

void ur_dialer_stop(struct ur_dialer *dialer)
{
	ur_question_cancel(&dialer->question);
	ur_loop_set_timer(dialer->resolver->loop, &dialer->timer, UINT64_MAX);
}

void ur_dialer_succeeded(struct ur_dialer *dialer)
{
	dialer->bound_us = UR_DIALER_MIN_US;
	dialer->tried_count = 0;
}

bool ur_dialer_is_busy(const struct ur_dialer *dialer)
{
	return dialer->timer.index || dialer->question.query;
}

uint64_t ur_dialer_get_wait_us(const struct ur_dialer *dialer, uint64_t now_us)
{
	if (!dialer->timer.index || dialer->timer.at_us <= now_us)
		return 0;
	return dialer->timer.at_us - now_us;
}

bool ur_dialer_is_refusal(int error, uint16_t bye)
{
	return bye >= UIDRECV_BYE_NOT_AUTHORIZED ||
	       error == UIDRECV_E_CERTIFICATE || error == UIDRECV_E_IDENTITY ||
	       error == UIDRECV_E_ALPN;
}
