/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conn.h"

#define CHUNK 16384

/* What one connection may take of one dispatch, so that all get their turn. */
#define READS_MAX 16

/* Plain bytes that TLS holds encrypted; the rest waits in the session. */
#define CIPHER_MAX 65536

#define LINGER_US UINT64_C(2000000)

static uint64_t now_us(const struct ur_conn *conn)
{
	return conn->options.loop->now_us;
}

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
static void set_timer(struct ur_conn *conn)
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

static void set_events(struct ur_conn *conn, bool wants_write)
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

static void destroy(struct ur_conn *conn)
{
	if (conn->is_pumping) {
		/* Whoever pumps will see that there is nothing left to do. */
		conn->begun_us = 0;
		conn->state = UR_CONN_LINGERING;
		set_timer(conn);
		return;
	}
	conn->options.ops->gone(conn);
	ur_loop_remove(conn->options.loop, &conn->watch);
	ur_loop_set_timer(conn->options.loop, &conn->timer, UINT64_MAX);
	ur_loop_release_timer(conn->options.loop);
	close(conn->watch.fd);
	*conn->link = conn->next;
	if (conn->next)
		conn->next->link = conn->link;
	if (conn->session.state)
		ur_session_done(&conn->session);
	ur_tls_free(conn->tls);
	ur_tls_context_unref(conn->options.context);
	free(conn);
}

/* Ends it; what is queued still goes out. */
static void finish(struct ur_conn *conn, int error)
{
	if (conn->state >= UR_CONN_FLUSHING)
		return;
	conn->error = error;
	conn->state = UR_CONN_FLUSHING;
	conn->begun_us = now_us(conn);
	tell_ended(conn);
}

/* The socket is dead: nothing can be sent any more. */
static void drop(struct ur_conn *conn, int error)
{
	finish(conn, error);
	conn->state = UR_CONN_LINGERING;
	conn->begun_us = 0;
	set_timer(conn);
}

/* Moves plain bytes of the session into TLS, as far as it should hold them. */
static void encrypt(struct ur_conn *conn)
{
	const uint8_t *plain, *cipher;
	size_t size;
	int error;

	if (!conn->session.state)
		return;
	while (ur_tls_send(conn->tls, &cipher) < CIPHER_MAX) {
		size = ur_session_send(&conn->session, &plain);
		if (conn->session.out.failed)
			conn->send_error = -ENOMEM;
		if (!size)
			break;
		if (size > CHUNK)
			size = CHUNK;
		error = ur_tls_write(conn->tls, plain, size);
		if (error) {
			conn->send_error = error;
			break;
		}
		ur_session_sent(&conn->session, size);
	}
}

/* 1 all is out, 0 the kernel takes no more now, <0 the socket is dead. */
static int send_cipher(struct ur_conn *conn)
{
	const uint8_t *cipher;
	size_t size;
	ssize_t sent;

	for (;;) {
		encrypt(conn);
		size = ur_tls_send(conn->tls, &cipher);
		if (!size)
			return 1;
		sent = send(conn->watch.fd, cipher, size,
			    MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent > 0) {
			ur_tls_sent(conn->tls, (size_t)sent);
			continue;
		}
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return 0;
		return sent < 0 ? -errno : -EPIPE;
	}
}

void ur_conn_flush(struct ur_conn *conn)
{
	int ret;

	if (conn->state == UR_CONN_CONNECTING ||
	    conn->state == UR_CONN_LINGERING)
		return;
	ret = send_cipher(conn);
	if (ret < 0) {
		drop(conn, ret);
		return;
	}
	if (conn->send_error)
		finish(conn, conn->send_error);
	if (ret == 1 && conn->state == UR_CONN_FLUSHING) {
		/* close_notify once, then our half is done. */
		ur_tls_shutdown(conn->tls);
		(void)!send_cipher(conn);
		shutdown(conn->watch.fd, SHUT_WR);
		conn->state = UR_CONN_LINGERING;
		if (conn->is_at_end)
			conn->begun_us = 0;
	}
	set_events(conn, ret == 0);
	set_timer(conn);
}

static void begin_session(struct ur_conn *conn)
{
	uint64_t spent = now_us(conn) - conn->begun_us;
	struct ur_session_options *options = &conn->options.session;
	int bye = conn->options.ops->authenticated(conn);

	if (bye < 0) {
		finish(conn, bye);
		return;
	}
	options->handshake_us = conn->options.handshake_us > spent
				    ? conn->options.handshake_us - spent
				    : 0;
	ur_session_init(&conn->session, options, now_us(conn));
	conn->state = UR_CONN_SESSION;
	if (bye > 0)
		ur_conn_bye(conn, (uint16_t)bye, NULL);
}

/* Hands out what the session has. 0, or the error that ended it. */
static int take_messages(struct ur_conn *conn)
{
	struct ur_message message;
	int ret;

	while (!conn->is_paused && conn->state == UR_CONN_SESSION) {
		ret = ur_session_next(&conn->session, now_us(conn), &message);
		if (ret <= 0)
			return ret;
		conn->options.ops->message(conn, &message);
	}
	return 0;
}

/* Decrypts and hands out all that has arrived. */
static int take_plain(struct ur_conn *conn)
{
	uint8_t plain[CHUNK];
	int size, ret;

	while (!conn->is_paused && conn->state == UR_CONN_SESSION) {
		ret = take_messages(conn);
		if (ret < 0)
			return ret;
		if (conn->is_paused || conn->state != UR_CONN_SESSION)
			break;
		size = ur_tls_next(conn->tls, plain, sizeof(plain));
		if (size <= 0)
			return size;
		ret = ur_session_feed(&conn->session, plain, (size_t)size);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* Goes on with what TLS holds. 0, or the error that ends the connection. */
static int take_cipher(struct ur_conn *conn)
{
	int ret;

	if (conn->state == UR_CONN_HANDSHAKE) {
		ret = ur_tls_handshake(conn->tls);
		if (ret <= 0)
			return ret;
		begin_session(conn);
	}
	return take_plain(conn);
}

/* 1 something came, 0 nothing now, <0 the end. */
static int receive(struct ur_conn *conn)
{
	uint8_t cipher[CHUNK];
	ssize_t size =
	    recv(conn->watch.fd, cipher, sizeof(cipher), MSG_DONTWAIT);

	if (size == 0) {
		conn->is_at_end = true;
		ur_tls_feed_end(conn->tls);
		return UIDRECV_E_CLOSED;
	}
	if (size < 0) {
		if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
			return 0;
		return -errno;
	}
	if (conn->state >= UR_CONN_FLUSHING)
		return 1;
	if (ur_tls_feed(conn->tls, cipher, (size_t)size) < 0)
		return -ENOMEM;
	return 1;
}

/* Reads, decrypts, hands out, until there is no more or it is enough. */
static void pump(struct ur_conn *conn)
{
	int ret = 0;

	conn->is_pumping = true;
	/* Nothing may be left in TLS: no event would tell of it. */
	for (int i = 0;; i++) {
		if (conn->state < UR_CONN_FLUSHING) {
			ret = take_cipher(conn);
			if (ret < 0) {
				finish(conn, ret);
				break;
			}
		}
		if (i == READS_MAX ||
		    (conn->is_paused && conn->state < UR_CONN_FLUSHING))
			break;
		ret = receive(conn);
		if (ret <= 0)
			break;
	}
	conn->is_pumping = false;
	if (ret == -ECONNRESET || ret == -EPIPE || ret == -ETIMEDOUT ||
	    (ret < 0 && conn->state == UR_CONN_LINGERING)) {
		drop(conn, ret);
		return;
	}
	if (ret < 0)
		finish(conn, ret);
	ur_conn_flush(conn);
}

static void connected(struct ur_conn *conn)
{
	int error = 0;
	socklen_t size = sizeof(error);

	getsockopt(conn->watch.fd, SOL_SOCKET, SO_ERROR, &error, &size);
	if (error) {
		drop(conn, -error);
		return;
	}
	conn->state = UR_CONN_HANDSHAKE;
	name_peer(conn);
	set_events(conn, false);
	pump(conn);
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
		drop(conn, -ECONNRESET);
		return;
	}
	if (events & UR_LOOP_READ)
		pump(conn);
	else
		ur_conn_flush(conn);
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
			ur_session_heard(&conn->session, now_us(conn));
		else
			pump(conn);
		if (conn->state != UR_CONN_SESSION)
			break;
		ret = ur_session_tick(&conn->session, now_us(conn));
		if (ret < 0)
			finish(conn, ret);
		ur_conn_flush(conn);
		break;
	case UR_CONN_FLUSHING:
	case UR_CONN_LINGERING:
		destroy(conn);
		break;
	default:
		drop(conn, -ETIMEDOUT);
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
	conn->watch = (struct ur_watch){.fd = fd, .ready = on_ready};
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
	conn->link = list;
	conn->next = *list;
	if (conn->next)
		conn->next->link = &conn->next;
	*list = conn;
	set_timer(conn);
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
	finish(conn, UIDRECV_E_CLOSED);
	destroy(conn);
}

void ur_conn_bye(struct ur_conn *conn, uint16_t code, const char *text)
{
	if (conn->state >= UR_CONN_FLUSHING)
		return;
	if (conn->session.state)
		ur_session_bye(&conn->session, code, text, now_us(conn));
	finish(conn, UIDRECV_E_CLOSED);
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
		ur_session_heard(&conn->session, now_us(conn));
	pump(conn);
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
