/* SPDX-License-Identifier: BSD-2-Clause */
/* What a connection reads and writes. */
#include <errno.h>
#include <sys/socket.h>

#include "conn-private.h"

#define CHUNK 16384

/* What one connection may take of one dispatch, so that all get their turn. */
#define READS_MAX 16

/* Plain bytes that TLS holds encrypted; the rest waits in the session. */
#define CIPHER_MAX 65536

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
		if (!size) {
			conn->moved_us = ur_conn_now_us(conn);
			return 1;
		}
		sent = send(conn->watch.fd, cipher, size,
			    MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent > 0) {
			conn->moved_us = ur_conn_now_us(conn);
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
	/* The session is closed then, and has no deadline any more. */
	if (ret >= 0 && conn->session.out.failed)
		ret = -ENOMEM;
	if (ret < 0) {
		ur_conn_drop(conn, ret);
		return;
	}
	if (conn->send_error)
		ur_conn_finish(conn, conn->send_error);
	if (ret == 1 && conn->state == UR_CONN_FLUSHING) {
		/* close_notify once, then our half is done. */
		ur_tls_shutdown(conn->tls);
		(void)!send_cipher(conn);
		shutdown(conn->watch.fd, SHUT_WR);
		conn->state = UR_CONN_LINGERING;
		if (conn->is_at_end)
			conn->begun_us = 0;
	}
	ur_conn_set_events(conn, ret == 0);
	ur_conn_set_timer(conn);
}

static void begin_session(struct ur_conn *conn)
{
	uint64_t spent = ur_conn_now_us(conn) - conn->begun_us;
	struct ur_session_options *options = &conn->options.session;
	int bye = conn->options.ops->authenticated(conn);

	if (!bye)
		bye = ur_loop_hurry(conn->options.loop, &conn->watch);
	if (bye < 0) {
		ur_conn_finish(conn, bye);
		return;
	}
	options->handshake_us = conn->options.handshake_us > spent
				    ? conn->options.handshake_us - spent
				    : 0;
	ur_session_init(&conn->session, options, ur_conn_now_us(conn));
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
		ret = ur_session_next(&conn->session, ur_conn_now_us(conn),
				      &message);
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
void ur_conn_pump(struct ur_conn *conn)
{
	int ret = 0;

	conn->is_pumping = true;
	/* Nothing may be left in TLS: no event would tell of it. */
	for (int i = 0;; i++) {
		if (conn->state < UR_CONN_FLUSHING) {
			ret = take_cipher(conn);
			if (ret < 0) {
				ur_conn_finish(conn, ret);
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
		ur_conn_drop(conn, ret);
		return;
	}
	if (ret < 0)
		ur_conn_finish(conn, ret);
	ur_conn_flush(conn);
}
