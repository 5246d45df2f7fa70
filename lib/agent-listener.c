/* SPDX-License-Identifier: BSD-2-Clause */
/* An agent's listener: who connects, until it is known whose receiver it is. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "agent-private.h"
#include "options.h"

#define OPTIONS_SMALLEST sizeof(struct uidrecv_agent_listener_options)

int ur_agent_listener_check(const struct uidrecv_agent_listener *listener,
			    const char *receiver_name)
{
	struct uidrecv_address address;
	bool is_uri = strchr(receiver_name, ':');

	if (listener->pid != getpid())
		return UIDRECV_E_FORKED;
	if (!*receiver_name || !uidrecv_address_parse(receiver_name, &address))
		return -EINVAL;
	for (const struct uidrecv_agent *agent = listener->agents; agent;
	     agent = agent->next)
		if (is_uri ? !strcmp(agent->receiver_name, receiver_name)
			   : !strcasecmp(agent->receiver_name, receiver_name))
			return -EEXIST;
	return 0;
}

void ur_agent_listener_add(struct uidrecv_agent_listener *listener,
			   struct uidrecv_agent *agent)
{
	struct uidrecv_agent **link = &listener->agents;

	while (*link)
		link = &(*link)->next;
	*link = agent;
	agent->loop = &listener->loop;
}

void ur_agent_listener_remove(struct uidrecv_agent_listener *listener,
			      const struct uidrecv_agent *agent)
{
	struct uidrecv_agent **link = &listener->agents;

	while (*link && *link != agent)
		link = &(*link)->next;
	if (*link)
		*link = agent->next;
}

/* A certificate with the names of several is that of the first made. */
static int on_authenticated(struct ur_conn *conn)
{
	const struct uidrecv_agent_listener *listener = conn->options.owner;

	for (struct uidrecv_agent *agent = listener->agents; agent;
	     agent = agent->next)
		if (ur_tls_has_name(conn->tls, agent->receiver_name))
			return ur_agent_take(agent, conn);
	return UIDRECV_E_IDENTITY;
}

static void on_ended(struct ur_conn *conn, int error)
{
	struct uidrecv_agent_listener *listener = conn->options.owner;
	const char *name = NULL;

	if (error == UIDRECV_E_IDENTITY)
		name = ur_tls_get_name(conn->tls, 0);
	ur_log_peer(
	    &listener->log,
	    error == UIDRECV_E_CLOSED ? UIDRECV_LOG_INFO : UIDRECV_LOG_WARNING,
	    listener->loop.now_us, "%s: not let in%s%s: %s", conn->peer,
	    name ? " as " : "", name ? name : "", ur_conn_get_error(conn));
}

static void on_gone(struct ur_conn *conn)
{
	(void)conn;
}

/* With the first message it is an agent's. */
static const struct ur_conn_ops ops = {
    .authenticated = on_authenticated,
    .ended = on_ended,
    .gone = on_gone,
};

/*
 * For the latest, the first in the list, who is over gives way first, else the
 * oldest of its own host, so that no host pushes out all others, else the
 * oldest: most likely it never gets on. Whose receiver is known is not here: of
 * these each agent has one.
 */
static void make_room(struct uidrecv_agent_listener *listener,
		      const struct ur_conn *latest)
{
	struct ur_conn *oldest = NULL, *own = NULL, *over = NULL;
	uint32_t count = 0;

	for (struct ur_conn *conn = latest->next; conn; conn = conn->next) {
		count++;
		oldest = conn;
		if (ur_conn_is_same_host(conn, latest))
			own = conn;
		if (conn->state >= UR_CONN_FLUSHING)
			over = conn;
	}
	if (count < listener->handshakes_max)
		return;
	if (own)
		oldest = own;
	if (!over)
		ur_log_peer(
		    &listener->log, UIDRECV_LOG_WARNING, listener->loop.now_us,
		    "%s: dropped, too many handshakes at once", oldest->peer);
	ur_conn_free(over ? over : oldest);
}

static void on_accepted(struct ur_listener *socket, int fd)
{
	struct uidrecv_agent_listener *listener = socket->owner;
	struct ur_conn_options options = {
	    .loop = &listener->loop,
	    .context = listener->tls,
	    .ops = &ops,
	    .owner = listener,
	    .handshake_us = listener->connect_ms * UINT64_C(1000),
	};
	struct ur_conn *conn;
	int error;

	error = ur_conn_new(&conn, fd, &listener->conns, &options);
	if (error)
		ur_log_peer(
		    &listener->log, UIDRECV_LOG_ERROR, listener->loop.now_us,
		    "a connection was not taken: %s", uidrecv_strerror(error));
	else
		make_room(listener, conn);
}

static void on_failed(struct ur_listener *socket, int error)
{
	struct uidrecv_agent_listener *listener = socket->owner;

	ur_log_peer(&listener->log, UIDRECV_LOG_ERROR, listener->loop.now_us,
		    "no connection can be accepted for the moment: %s",
		    uidrecv_strerror(error));
}

static int listen_on(struct uidrecv_agent_listener *listener,
		     const char *address)
{
	struct ur_listener *socket;
	int fds[2];
	int count = ur_listener_bind(address, fds), error = 0;

	for (int i = 0; i < count; i++) {
		if (!error)
			error =
			    ur_listener_new(&socket, &listener->loop, fds[i]);
		if (error) {
			close(fds[i]);
			continue;
		}
		socket->owner = listener;
		socket->accepted = on_accepted;
		socket->failed = on_failed;
		socket->next = listener->sockets;
		listener->sockets = socket;
	}
	return count < 0 ? count : error;
}

static int open_all(struct uidrecv_agent_listener *listener,
		    const struct uidrecv_agent_listener_options *options,
		    char *error, size_t error_size)
{
	struct ur_tls_files files = {
	    .cert = options->cert_path,
	    .key = options->key_path,
	    .ca = options->ca_path,
	    .crl = options->crl_path,
	};
	int ret;

	if (!options->address || !files.cert || !files.key || !files.ca)
		return -EINVAL;
	ret = ur_loop_init(&listener->loop);
	if (!ret)
		ret = ur_tls_context_new(&listener->tls, UR_TLS_SERVER, &files,
					 error, error_size);
	if (ret)
		return ret;
	ret = listen_on(listener, options->address);
	if (ret && error && error_size)
		snprintf(error, error_size, "cannot listen on \"%s\": %s",
			 options->address,
			 ret == -EINVAL ? "it is not ADDRESS:PORT, "
					  "[IPV6]:PORT or *:PORT"
					: uidrecv_strerror(ret));
	return ret;
}

int uidrecv_agent_listener_new(
    struct uidrecv_agent_listener **ret_listener,
    const struct uidrecv_agent_listener_options *options, char *error,
    size_t error_size)
{
	struct uidrecv_agent_listener_options own;
	struct uidrecv_agent_listener *listener;
	int ret;

	if (error && error_size)
		*error = '\0';
	if (!ret_listener || !options)
		return -EINVAL;
	listener = calloc(1, sizeof(*listener));
	if (!listener)
		return -ENOMEM;
	listener->pid = getpid();
	listener->loop = (struct ur_loop)UR_LOOP_NONE;
	ret = ur_options_load(&own, sizeof(own), OPTIONS_SMALLEST, options);
	listener->log = (struct ur_log){.fn = own.log, .user = own.log_user};
	listener->handshakes_max = own.handshakes_max ? own.handshakes_max : 64;
	listener->connect_ms = own.connect_ms ? own.connect_ms : 10000;
	if (!ret)
		ret = open_all(listener, &own, error, error_size);
	if (ret) {
		if (error && error_size && !*error)
			snprintf(error, error_size, "%s",
				 uidrecv_strerror(ret));
		uidrecv_agent_listener_free(listener);
		return ret;
	}
	*ret_listener = listener;
	return 0;
}

void uidrecv_agent_listener_free(struct uidrecv_agent_listener *listener)
{
	struct ur_listener *next;

	if (!listener)
		return;
	if (listener->pid != getpid())
		ur_loop_disown(&listener->loop);
	while (listener->conns)
		ur_conn_free(listener->conns);
	for (struct ur_listener *socket = listener->sockets; socket;
	     socket = next) {
		next = socket->next;
		ur_listener_free(socket);
	}
	ur_tls_context_unref(listener->tls);
	ur_loop_done(&listener->loop);
	free(listener);
}

uint16_t uidrecv_agent_listener_get_port(
    const struct uidrecv_agent_listener *listener)
{
	return listener ? listener->sockets->port : 0;
}

int uidrecv_agent_listener_get_fd(const struct uidrecv_agent_listener *listener)
{
	return listener ? listener->loop.epoll_fd : -EINVAL;
}

int uidrecv_agent_listener_dispatch(struct uidrecv_agent_listener *listener)
{
	bool has_finished;

	if (!listener)
		return -EINVAL;
	if (listener->pid != getpid())
		return UIDRECV_E_FORKED;
	ur_loop_poll(&listener->loop);
	ur_loop_run_timers(&listener->loop);
	has_finished = listener->agents;
	for (struct uidrecv_agent *agent = listener->agents; agent;
	     agent = agent->next)
		if (ur_agent_turn(agent) != -ESHUTDOWN)
			has_finished = false;
	ur_loop_arm(&listener->loop);
	return has_finished ? -ESHUTDOWN : 0;
}
