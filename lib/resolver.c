/* SPDX-License-Identifier: BSD-2-Clause */
#include <ares.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <uidrecv/types.h>

#include "resolver.h"

/* Of one try; each further one waits twice as long. */
#define TIMEOUT_MS 2000
#define TRIES 2

/* What c-ares knows of the files, and what it has under way by that. */
struct ur_channel {
	struct ur_resolver *resolver;
	ares_channel ares;
	struct socket *sockets;
	struct ur_timer timer;
	size_t questions;
	unsigned int depth; /* calls of c-ares that have not returned */
	bool has_failed;    /* read the files anew for the next question */
	bool is_closing;
};

struct socket {
	struct socket *next;
	struct ur_channel *channel;
	struct ur_watch watch;
};

struct query {
	struct ur_channel *channel;
	struct ur_question *question; /* NULL: nobody waits any more */
};

static void init_library(void)
{
	(void)ares_library_init(ARES_LIB_INIT_ALL);
}

void ur_resolver_init(struct ur_resolver *resolver, struct ur_loop *loop)
{
	*resolver = (struct ur_resolver){.loop = loop};
}

static void set_timer(struct ur_channel *channel)
{
	struct ur_loop *loop = channel->resolver->loop;
	struct timeval left;
	uint64_t at_us = UINT64_MAX;

	/* A millisecond later, for c-ares has a clock of its own. */
	if (ares_timeout(channel->ares, NULL, &left))
		at_us = loop->now_us + (uint64_t)left.tv_sec * 1000000 +
			(uint64_t)left.tv_usec + 1000;
	ur_loop_set_timer(loop, &channel->timer, at_us);
}

static void process(struct ur_channel *channel, int read_fd, int write_fd)
{
	channel->depth++;
	ares_process_fd(channel->ares, read_fd, write_fd);
	channel->depth--;
	set_timer(channel);
}

static void on_ready(struct ur_watch *watch, uint32_t events)
{
	struct socket *sock =
	    (struct socket *)((char *)watch - offsetof(struct socket, watch));
	int fd = watch->fd;

	/* c-ares may close it, and with it the watch goes. */
	process(sock->channel, events & UR_LOOP_READ ? fd : ARES_SOCKET_BAD,
		events & UR_LOOP_WRITE ? fd : ARES_SOCKET_BAD);
}

static void on_timer(struct ur_timer *timer)
{
	struct ur_channel *channel =
	    (struct ur_channel *)((char *)timer -
				  offsetof(struct ur_channel, timer));

	process(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void forget_socket(struct ur_channel *channel, struct socket **link)
{
	struct socket *sock = *link;

	ur_loop_remove(channel->resolver->loop, &sock->watch);
	*link = sock->next;
	free(sock);
}

/*
 * Without memory it is not watched: its questions end by their timeout, and
 * others are asked elsewhere.
 */
static void add_socket(struct ur_channel *channel, int fd, uint32_t events)
{
	struct socket *sock = calloc(1, sizeof(*sock));

	if (!sock) {
		channel->has_failed = true;
		return;
	}
	sock->channel = channel;
	sock->watch = (struct ur_watch){.fd = fd, .ready = on_ready};
	if (ur_loop_add(channel->resolver->loop, &sock->watch, events) < 0) {
		channel->has_failed = true;
		free(sock);
		return;
	}
	sock->next = channel->sockets;
	channel->sockets = sock;
}

static void on_socket(void *user, ares_socket_t fd, int reads, int writes)
{
	struct ur_channel *channel = user;
	struct socket **link = &channel->sockets;
	uint32_t events =
	    (reads ? UR_LOOP_READ : 0) | (writes ? UR_LOOP_WRITE : 0);

	while (*link && (*link)->watch.fd != fd)
		link = &(*link)->next;
	if (!*link && events)
		add_socket(channel, fd, events);
	else if (*link && events)
		ur_loop_change(channel->resolver->loop, &(*link)->watch,
			       events);
	else if (*link)
		forget_socket(channel, link);
}

static ares_socket_t open_socket(int family, int type, int protocol, void *user)
{
	(void)user;
	return socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
}

static int close_socket(ares_socket_t fd, void *user)
{
	(void)user;
	return close(fd);
}

static int connect_socket(ares_socket_t fd, const struct sockaddr *address,
			  ares_socklen_t size, void *user)
{
	(void)user;
	return connect(fd, address, size);
}

static ares_ssize_t receive(ares_socket_t fd, void *bytes, size_t size,
			    int flags, struct sockaddr *address,
			    ares_socklen_t *address_size, void *user)
{
	(void)user;
	return recvfrom(fd, bytes, size, flags, address, address_size);
}

/* Its own writev() would raise SIGPIPE when a server closes. */
static ares_ssize_t send_parts(ares_socket_t fd, const struct iovec *parts,
			       int count, void *user)
{
	struct msghdr message = {.msg_iovlen = (size_t)count};

	(void)user;
	memcpy(&message.msg_iov, &parts, sizeof(parts));
	return sendmsg(fd, &message, MSG_NOSIGNAL);
}

static const struct ares_socket_functions socket_functions = {
    .asocket = open_socket,
    .aclose = close_socket,
    .aconnect = connect_socket,
    .arecvfrom = receive,
    .asendv = send_parts,
};

static int open_ares(struct ur_channel *channel)
{
	const char *servers = channel->resolver->servers;
	struct ares_options options = {
	    .timeout = TIMEOUT_MS,
	    .tries = TRIES,
	    .sock_state_cb = on_socket,
	    .sock_state_cb_data = channel,
	};

	if (ares_init_options(&channel->ares, &options,
			      ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
				  ARES_OPT_SOCK_STATE_CB) != ARES_SUCCESS)
		return -ENOMEM;
	ares_set_socket_functions(channel->ares, &socket_functions, NULL);
	if (servers && ares_set_servers_ports_csv(channel->ares, servers) !=
			   ARES_SUCCESS) {
		ares_destroy(channel->ares);
		return -EINVAL;
	}
	return 0;
}

static int new_channel(struct ur_resolver *resolver)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct ur_channel *channel = calloc(1, sizeof(*channel));
	int error = -ENOMEM;

	pthread_once(&once, init_library);
	if (!channel)
		return error;
	channel->resolver = resolver;
	channel->timer.expired = on_timer;
	error = ur_loop_reserve_timer(resolver->loop);
	if (error)
		goto fail;
	error = open_ares(channel);
	if (error) {
		ur_loop_release_timer(resolver->loop);
		goto fail;
	}
	resolver->current = channel;
	return 0;
fail:
	free(channel);
	return error;
}

static void free_channel(struct ur_channel *channel)
{
	struct ur_loop *loop;

	if (!channel)
		return;
	loop = channel->resolver->loop;
	channel->is_closing = true;
	ares_destroy(channel->ares);
	while (channel->sockets)
		forget_socket(channel, &channel->sockets);
	ur_loop_set_timer(loop, &channel->timer, UINT64_MAX);
	ur_loop_release_timer(loop);
	free(channel);
}

void ur_resolver_done(struct ur_resolver *resolver)
{
	free_channel(resolver->former);
	free_channel(resolver->current);
	resolver->former = NULL;
	resolver->current = NULL;
}

static bool is_idle(const struct ur_channel *channel)
{
	return !channel->questions && !channel->depth;
}

/*
 * Makes current one that has read the files since the last failure. It may have
 * to wait for what two older ones have under way.
 */
static int refresh(struct ur_resolver *resolver)
{
	struct ur_channel *current = resolver->current;

	if (resolver->former && is_idle(resolver->former)) {
		free_channel(resolver->former);
		resolver->former = NULL;
	}
	if (!current)
		return new_channel(resolver);
	if (!current->has_failed || resolver->former)
		return 0;
	resolver->former = current;
	resolver->current = NULL;
	return new_channel(resolver);
}

static void take_addresses(struct ur_addresses *found,
			   const struct ares_addrinfo_node *node)
{
	for (; node && found->count < UR_ADDRESSES_MAX; node = node->ai_next) {
		union ur_endpoint *to = &found->list[found->count];

		if (node->ai_family != AF_INET && node->ai_family != AF_INET6)
			continue;
		memset(to, 0, sizeof(*to));
		memcpy(to, node->ai_addr, node->ai_addrlen);
		found->count++;
	}
}

static void on_answer(void *user, int status, int timeouts,
		      struct ares_addrinfo *info)
{
	struct query *query = user;
	struct ur_channel *channel = query->channel;
	struct ur_question *question = query->question;
	struct ur_addresses found = {0};

	(void)timeouts;
	channel->questions--;
	if (status == ARES_SUCCESS && info)
		take_addresses(&found, info->nodes);
	if (info)
		ares_freeaddrinfo(info);
	if (status == ARES_SUCCESS && !found.count)
		status = ARES_ENODATA;
	channel->has_failed |= status != ARES_SUCCESS;
	found.text = ares_strerror(status);
	if (status == ARES_ENOMEM)
		found.error = -ENOMEM;
	else if (status != ARES_SUCCESS)
		found.error = -EHOSTUNREACH;
	free(query);
	if (!question)
		return;
	question->query = NULL;
	if (!channel->is_closing)
		question->answered(question, &found);
}

/* An address in text, be it with a zone, needs no server. */
static bool answer_literal(struct ur_question *question, const char *host)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				 .ai_flags = AI_NUMERICHOST};
	struct ur_addresses found = {.text = "", .count = 1};
	struct addrinfo *info;

	if (getaddrinfo(host, NULL, &hints, &info))
		return false;
	memcpy(&found.list[0], info->ai_addr, info->ai_addrlen);
	freeaddrinfo(info);
	question->answered(question, &found);
	return true;
}

int ur_resolver_ask(struct ur_resolver *resolver, struct ur_question *question,
		    const char *host)
{
	struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC,
					    .ai_socktype = SOCK_STREAM};
	struct ur_channel *channel;
	struct query *query;
	int error;

	if (answer_literal(question, host))
		return 0;
	error = refresh(resolver);
	if (error)
		return error;
	channel = resolver->current;
	query = malloc(sizeof(*query));
	if (!query)
		return -ENOMEM;
	*query = (struct query){channel, question};
	question->query = query;
	channel->questions++;
	channel->depth++;
	ares_getaddrinfo(channel->ares, host, NULL, &hints, on_answer, query);
	channel->depth--;
	set_timer(channel);
	return 0;
}

void ur_question_cancel(struct ur_question *question)
{
	struct query *query = question->query;

	if (query)
		query->question = NULL;
	question->query = NULL;
}
