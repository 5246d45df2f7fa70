/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conn-private.h"

#define LINGER_US UINT64_C(2000000)

static void name_peer(struct ur_conn *conn)
{
	struct sockaddr_storage name = {0};
	socklen_t size = sizeof(name);
	char text[UIDRECV_ADDRESS_TEXT_MAX];
	const struct sockaddr_in *in = (const struct sockaddr_in *)&name;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&name;
	uint16_t port;
	bool is_v6;

	if (getpeername(conn->watch.fd, (struct sockaddr *)&name, &size) < 0)
		return;
	if (name.ss_family == AF_INET) {
		conn->peer_address =
		    uidrecv_address_from_ipv4(ntohl(in->sin_addr.s_addr));
		port = ntohs(in->sin_port);
	} else if (name.ss_family == AF_INET6) {
		conn->peer_address =
		    uidrecv_address_from_ipv6(in6->sin6_addr.s6_addr);
		port = ntohs(in6->sin6_port);
	} else {
		return;
	}
	is_v6 = !uidrecv_address_is_ipv4(conn->peer_address);
	uidrecv_address_format(conn->peer_address, text);
	snprintf(conn->peer, sizeof(conn->peer), is_v6 ? "[%s]:%u" : "%s:%u",
		 text, port);
}

/* The session's or the handshake's deadline, or the end of lingering. */
void ur_conn_set_timer(struct ur_conn *conn)
{
	uint64_t at_us;

	switch (conn->state) {
	case UR_CONN_SESSION:
		at_us = ur_session_deadline(&conn->session);
		break;
	case UR_CONN_FLUSHING:
	case UR_CONN_LINGERING:
		at_us = conn->begun_us + LINGER_US;
		break;
	default:
		at_us = conn->begun_us + conn->options.handshake_us;
	}
	ur_loop_set_timer(conn->options.loop, &conn->timer, at_us);
}

void ur_conn_set_events(struct ur_conn *conn, bool wants_write)
{
	uint32_t events = 0;

	/* The end would be readable for ever. */
	if (!conn->is_at_end &&
	    (!conn->is_paused || conn->state >= UR_CONN_FLUSHING))
		events |= UR_LOOP_READ;
	if (wants_write)
		events |= UR_LOOP_WRITE;
	ur_loop_change(conn->options.loop, &conn->watch, events);
}

static void tell_ended(struct ur_conn *conn)
{
	if (conn->is_told)
		return;
	conn->is_told = true;
	conn->options.ops->ended(conn, conn->error);
}

static void link_into(struct ur_conn *conn, struct ur_conn **list)
{
	conn->link = list;
	conn->next = *list;
	if (conn->next)
		conn->next->link = &conn->next;
	*list = conn;
}

static void unlink_from_list(struct ur_conn *conn)
{
	*conn->link = conn->next;
	if (conn->next)
		conn->next->link = conn->link;
}

static void destroy(struct ur_conn *conn)
{
	if (conn->is_pumping) {
		/* Whoever pumps will see that there is nothing left to do. */
		conn->begun_us = 0;
		conn->state = UR_CONN_LINGERING;
		ur_conn_set_timer(conn);
		return;
	}
	conn->options.ops->gone(conn);
	ur_loop_remove(conn->options.loop, &conn->watch);
	ur_loop_set_timer(conn->options.loop, &conn->timer, UINT64_MAX);
	ur_loop_release_timer(conn->options.loop);
	close(conn->watch.fd);
	unlink_from_list(conn);
	if (conn->session.state)
		ur_session_done(&conn->session);
	ur_tls_free(conn->tls);
	ur_tls_context_unref(conn->options.context);
	free(conn);
}

/* Ends it; what is queued still goes out. */
void ur_conn_finish(struct ur_conn *conn, int error)
{
	if (conn->state >= UR_CONN_FLUSHING)
		return;
	conn->error = error;
	conn->state = UR_CONN_FLUSHING;
	conn->begun_us = ur_conn_now_us(conn);
	tell_ended(conn);
}

/* The socket is dead: nothing can be sent any more. */
void ur_conn_drop(struct ur_conn *conn, int error)
{
	ur_conn_finish(conn, error);
	conn->state = UR_CONN_LINGERING;
	conn->begun_us = 0;
	ur_conn_set_timer(conn);
}

static void connected(struct ur_conn *conn)
{
	int error = 0;
	socklen_t size = sizeof(error);

	getsockopt(conn->watch.fd, SOL_SOCKET, SO_ERROR, &error, &size);
	if (error) {
		ur_conn_drop(conn, -error);
		return;
	}
	conn->state = UR_CONN_HANDSHAKE;
	name_peer(conn);
	ur_conn_set_events(conn, false);
	ur_conn_pump(conn);
}

static void on_ready(struct ur_watch *watch, uint32_t events)
{
	struct ur_conn *conn =
	    (struct ur_conn *)((char *)watch - offsetof(struct ur_conn, watch));

	if (conn->state == UR_CONN_CONNECTING) {
		if (events & UR_LOOP_WRITE)
			connected(conn);
		return;
	}
	if ((events & UR_LOOP_READ) && conn->is_paused &&
	    conn->state < UR_CONN_FLUSHING && !(watch->events & UR_LOOP_READ)) {
		/* Only errors are reported when nothing is asked for. */
		ur_conn_drop(conn, -ECONNRESET);
		return;
	}
	if (events & UR_LOOP_READ)
		ur_conn_pump(conn);
	else
		ur_conn_flush(conn);
}

/*
 * A peer that says that it lives and takes nothing would be paused for ever.
 * It will not take a BYE either.
 */
static bool is_deaf(const struct ur_conn *conn)
{
	return ur_conn_queued(conn) > 0 && conn->session.hold_us > 0 &&
	       ur_conn_now_us(conn) - conn->moved_us >= conn->session.hold_us;
}

static void on_timer(struct ur_timer *timer)
{
	struct ur_conn *conn =
	    (struct ur_conn *)((char *)timer - offsetof(struct ur_conn, timer));
	int ret;

	switch (conn->state) {
	case UR_CONN_SESSION:
		/* One dispatch need not have got round to this socket. */
		if (conn->is_paused)
			ur_session_heard(&conn->session, ur_conn_now_us(conn));
		else
			ur_conn_pump(conn);
		if (conn->state != UR_CONN_SESSION)
			break;
		if (is_deaf(conn)) {
			ur_conn_drop(conn, UIDRECV_E_HOLD);
			break;
		}
		ret = ur_session_tick(&conn->session, ur_conn_now_us(conn));
		if (ret < 0)
			ur_conn_finish(conn, ret);
		ur_conn_flush(conn);
		break;
	case UR_CONN_FLUSHING:
	case UR_CONN_LINGERING:
		destroy(conn);
		break;
	default:
		ur_conn_drop(conn, -ETIMEDOUT);
	}
}

int ur_conn_new(struct ur_conn **ret_conn, int fd, struct ur_conn **list,
		const struct ur_conn_options *options)
{
	struct ur_conn *conn = calloc(1, sizeof(*conn));
	int one = 1, error = -ENOMEM;

	if (!conn)
		goto fail_conn;
	conn->options = *options;
	/* Until it is a session: a handshake is dear. */
	conn->watch =
	    (struct ur_watch){.fd = fd, .ready = on_ready, .is_patient = true};
	conn->timer.expired = on_timer;
	conn->begun_us = options->loop->now_us;
	conn->state =
	    options->is_connecting ? UR_CONN_CONNECTING : UR_CONN_HANDSHAKE;
	error = ur_tls_new(&conn->tls, options->context);
	if (error)
		goto fail_tls;
	error = ur_loop_reserve_timer(options->loop);
	if (error)
		goto fail_timer;
	error =
	    ur_loop_add(options->loop, &conn->watch,
			options->is_connecting ? UR_LOOP_WRITE : UR_LOOP_READ);
	if (error)
		goto fail_add;

	/* Batches are whole messages: waiting to fill a segment only delays. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	ur_tls_context_ref(options->context);
	if (!options->is_connecting)
		name_peer(conn);
	link_into(conn, list);
	ur_conn_set_timer(conn);
	*ret_conn = conn;
	return 0;

fail_add:
	ur_loop_release_timer(options->loop);
fail_timer:
	ur_tls_free(conn->tls);
fail_tls:
	free(conn);
fail_conn:
	close(fd);
	return error;
}

void ur_conn_free(struct ur_conn *conn)
{
	ur_conn_finish(conn, UIDRECV_E_CLOSED);
	destroy(conn);
}

void ur_conn_move(struct ur_conn *conn, struct ur_conn **list)
{
	unlink_from_list(conn);
	link_into(conn, list);
}

void ur_conn_bye(struct ur_conn *conn, uint16_t code, const char *text)
{
	if (conn->state >= UR_CONN_FLUSHING)
		return;
	if (conn->session.state)
		ur_session_bye(&conn->session, code, text,
			       ur_conn_now_us(conn));
	ur_conn_finish(conn, UIDRECV_E_CLOSED);
	if (!conn->is_pumping)
		ur_conn_flush(conn);
}

void ur_conn_pause(struct ur_conn *conn)
{
	conn->is_paused = true;
	if (!conn->is_pumping)
		ur_conn_flush(conn);
}

void ur_conn_resume(struct ur_conn *conn)
{
	if (!conn->is_paused)
		return;
	conn->is_paused = false;
	if (conn->session.state)
		ur_session_heard(&conn->session, ur_conn_now_us(conn));
	/* Of others TLS holds nothing, and what has arrived has to wait. */
	if (conn->state == UR_CONN_SESSION)
		ur_conn_pump(conn);
	else
		ur_conn_flush(conn);
}

size_t ur_conn_queued(const struct ur_conn *conn)
{
	const uint8_t *cipher;

	return conn->session.out.size + ur_tls_send(conn->tls, &cipher);
}

const char *ur_conn_get_error(const struct ur_conn *conn)
{
	if (conn->error == UIDRECV_E_TLS ||
	    conn->error == UIDRECV_E_CERTIFICATE ||
	    conn->error == UIDRECV_E_ALPN)
		return ur_tls_get_error(conn->tls);
	if (conn->session.bye_sent)
		return uidrecv_bye_text(conn->session.bye_sent);
	if (conn->session.bye_received)
		return uidrecv_bye_text(conn->session.bye_received);
	return uidrecv_strerror(conn->error);
}
