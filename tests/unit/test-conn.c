/* SPDX-License-Identifier: BSD-2-Clause */
/* Two connections over a pair of sockets, in one loop. */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conn.h"
#include "pair.h"

struct side {
	struct ur_conn *list, *conn;
	unsigned int authenticated, messages, ended, gone;
	int error;
	bool says_no; /* to who is authenticated */
	unsigned int pause_after;
};

struct both {
	struct certs *certs;
	struct ur_loop loop;
	struct side sink, source;
	uint64_t serial;
};

static int on_authenticated(struct ur_conn *conn)
{
	struct side *side = conn->options.owner;

	side->authenticated++;
	return side->says_no ? UIDRECV_BYE_NOT_AUTHORIZED : 0;
}

static void on_message(struct ur_conn *conn, const struct ur_message *message)
{
	struct side *side = conn->options.owner;

	if (message->type == UR_HELLO)
		ur_session_accept(&conn->session, 0,
				  conn->options.loop->now_us);
	if (message->type == UR_UPDATE && ++side->messages == side->pause_after)
		ur_conn_pause(conn);
}

static void on_ended(struct ur_conn *conn, int error)
{
	struct side *side = conn->options.owner;

	side->ended++;
	side->error = error;
}

static void on_gone(struct ur_conn *conn)
{
	struct side *side = conn->options.owner;

	side->gone++;
	side->conn = NULL;
}

static const struct ur_conn_ops ops = {
    .authenticated = on_authenticated,
    .message = on_message,
    .ended = on_ended,
    .gone = on_gone,
};

static void make(struct both *both, struct side *side, int fd,
		 enum ur_role role)
{
	struct ur_tls_context *context = pair_context(
	    both->certs, role == UR_SINK ? UR_TLS_SERVER : UR_TLS_CLIENT,
	    role == UR_SINK ? "receiver" : "agent", NULL, NULL);
	struct ur_conn_options options = {
	    .loop = &both->loop,
	    .context = context,
	    .ops = &ops,
	    .owner = side,
	    .handshake_us = 10000000,
	    .is_connecting = role == UR_SOURCE,
	    .session = {.role = role,
			.hold_min_s = 1,
			.hold_max_s = 90,
			.frame_max = 1u << 20,
			.window = 100000,
			.session_id = 7,
			.replay_first = 1,
			.handshake_us = 10000000},
	};

	cr_assert_eq(ur_conn_new(&side->conn, fd, &side->list, &options), 0);
	ur_tls_context_unref(context);
}

static void turn(struct both *both, unsigned int count)
{
	while (count--) {
		ur_loop_poll(&both->loop);
		ur_loop_run_timers(&both->loop);
	}
}

static void start(struct both *both)
{
	int fds[2], size = 4 << 20;

	memset(both, 0, sizeof(*both));
	both->certs = certs_new_basic("agent", NULL);
	cr_assert_eq(ur_loop_init(&both->loop), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds),
		     0);
	for (int i = 0; i < 2; i++)
		setsockopt(fds[i], SOL_SOCKET, SO_SNDBUFFORCE, &size,
			   sizeof(size));
	make(both, &both->sink, fds[0], UR_SINK);
	make(both, &both->source, fds[1], UR_SOURCE);
}

static void open_both(struct both *both)
{
	start(both);
	turn(both, 20);
	cr_assert_eq(both->sink.conn->session.state, UR_SESSION_OPEN);
	cr_assert_eq(both->source.conn->session.state, UR_SESSION_OPEN);
}

static void end(struct both *both)
{
	while (both->sink.list)
		ur_conn_free(both->sink.list);
	while (both->source.list)
		ur_conn_free(both->source.list);
	ur_loop_done(&both->loop);
	certs_free(both->certs);
}

/* UPDATEs of about size bytes in all; how many. */
static unsigned int say(struct both *both, size_t size)
{
	struct uidrecv_record record = {
	    .op = UIDRECV_OP_MAP,
	    .address = uidrecv_address_from_ipv4(0x0a000001),
	    .user_size = 255,
	};
	struct ur_update_writer writer;
	unsigned int count = 0;
	struct ur_buf buf;

	memset(record.user, 'u', 255);
	for (size_t done = 0; done < size; count++) {
		ur_buf_init(&buf, 1u << 20);
		ur_update_begin(&writer, &buf, ++both->serial, 1, false, 0,
				60000);
		for (int i = 0; i < 4; i++)
			cr_assert(ur_update_add(&writer, &record));
		ur_update_end(&writer);
		done += buf.size;
		ur_session_update(&both->source.conn->session,
				  ur_buf_front(&buf), buf.size,
				  both->loop.now_us);
		ur_buf_done(&buf);
	}
	return count;
}

/*
 * All that lies in the socket is handed out, wherever the reads of one
 * dispatch happen to end.
 */
Test(conn, burst_is_read_to_its_end)
{
	struct both both;
	unsigned int said = 0;

	open_both(&both);
	for (size_t size = 200000; size < 320000; size += 1500) {
		said += say(&both, size);
		ur_conn_flush(both.source.conn);
		turn(&both, 12);
		cr_assert_eq(both.sink.messages, said, "%zu: %u of %u", size,
			     both.sink.messages, said);
	}
	end(&both);
}

/* Who is resumed before he is connected does not read yet. */
Test(conn, resumed_while_connecting)
{
	static const char bytes[100000];
	struct both both;
	int waiting = 0;

	start(&both);
	cr_assert_eq(send(both.sink.conn->watch.fd, bytes, sizeof(bytes), 0),
		     (ssize_t)sizeof(bytes));
	ur_conn_pause(both.source.conn);
	ur_conn_resume(both.source.conn);
	cr_expect_eq(both.source.conn->state, UR_CONN_CONNECTING);
	cr_assert_eq(ioctl(both.source.conn->watch.fd, FIONREAD, &waiting), 0);
	cr_expect_eq(waiting, (int)sizeof(bytes));
	turn(&both, 20);
	cr_expect_eq(both.source.error, UIDRECV_E_TLS);
	end(&both);
}

/* Paused, it hands out nothing, and all when it is resumed. */
Test(conn, pause_and_resume)
{
	struct both both;
	unsigned int said;

	open_both(&both);
	both.sink.pause_after = 3;
	said = say(&both, 100000);
	ur_conn_flush(both.source.conn);
	turn(&both, 20);
	cr_assert_eq(both.sink.messages, 3);
	cr_assert_eq(both.sink.ended, 0);
	ur_conn_resume(both.sink.conn);
	turn(&both, 20);
	cr_assert_eq(both.sink.messages, said);
	end(&both);
}

/* While it is paused the other's silence does not count, and it says so. */
Test(conn, pause_is_not_silence)
{
	struct both both;
	uint64_t sent_us;

	open_both(&both);
	ur_conn_pause(both.sink.conn);
	sent_us = both.sink.conn->session.sent_us;
	both.loop.now_us += 200000000;
	ur_loop_run_timers(&both.loop);
	cr_assert_eq(both.sink.ended, 0);
	cr_assert_gt(both.sink.conn->session.sent_us, sent_us);
	end(&both);
}

/* What it could not queue makes a hole in the stream: that is its end. */
Test(conn, output_without_memory)
{
	struct both both;

	open_both(&both);
	both.source.conn->session.out.limit = 100;
	say(&both, 1000);
	ur_conn_flush(both.source.conn);
	cr_expect_eq(both.source.ended, 1);
	cr_expect_eq(both.source.error, -ENOMEM);
	turn(&both, 20);
	cr_expect_eq(both.source.gone, 1);
	cr_expect_eq(both.sink.gone, 1);
	end(&both);
}

/* A BYE reaches the other, both end once, and both go. */
Test(conn, bye)
{
	struct both both;

	open_both(&both);
	ur_conn_bye(both.sink.conn, UIDRECV_BYE_OVERLOADED, NULL);
	cr_expect_eq(both.sink.ended, 1);
	turn(&both, 20);
	cr_expect_eq(both.source.ended, 1);
	cr_expect_eq(both.source.error, UIDRECV_E_BYE);
	cr_expect_eq(both.sink.gone, 1);
	cr_expect_eq(both.source.gone, 1);
	cr_expect_eq(both.sink.ended, 1);
	end(&both);
}

/* Who is not wanted hears it, after our HELLO. */
Test(conn, not_authorized)
{
	struct both both;

	start(&both);
	both.sink.says_no = true;
	turn(&both, 20);
	cr_expect_eq(both.sink.authenticated, 1);
	cr_expect_eq(both.source.authenticated, 1);
	cr_expect_eq(both.source.error, UIDRECV_E_BYE);
	cr_expect_eq(both.sink.messages, 0);
	cr_expect_eq(both.source.gone, 1);
	end(&both);
}

Test(conn, handshake_timeout)
{
	struct both both;

	start(&both);
	both.loop.now_us += 10000001;
	for (int i = 0; i < 4; i++)
		ur_loop_run_timers(&both.loop);
	cr_expect_eq(both.sink.error, -ETIMEDOUT);
	cr_expect_eq(both.sink.gone, 1);
	cr_expect_eq(both.source.gone, 1);
	end(&both);
}

/* A handshake that was paused has to wait for its turn, as any has. */
Test(conn, resumed_handshake_waits_for_its_turn)
{
	struct both both;
	char byte;

	start(&both);
	ur_conn_pause(both.sink.conn);
	turn(&both, 5);
	ur_conn_resume(both.sink.conn);
	cr_expect_eq(
	    recv(both.source.conn->watch.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT),
	    -1);
	turn(&both, 20);
	cr_expect_eq(both.sink.conn->session.state, UR_SESSION_OPEN);
	end(&both);
}

/*
 * A peer that has sent its last word and does not read ours costs no more than
 * waiting for it.
 */
Test(conn, half_closed_peer_does_not_spin)
{
	struct both both;
	struct pollfd pollfd = {.events = POLLIN};
	unsigned int woken = 0;

	open_both(&both);
	pollfd.fd = both.loop.epoll_fd;
	/* The source says nothing more, and reads nothing. */
	ur_conn_pause(both.source.conn);
	for (int i = 0; i < 600000; i++)
		ur_session_ack(&both.sink.conn->session, 1, both.loop.now_us);
	ur_conn_flush(both.sink.conn);
	cr_assert_gt(ur_conn_queued(both.sink.conn), 0);
	shutdown(both.source.conn->watch.fd, SHUT_WR);
	for (int i = 0; i < 100; i++) {
		ur_loop_poll(&both.loop);
		ur_loop_arm(&both.loop);
		woken += poll(&pollfd, 1, 0) == 1;
	}
	cr_expect_eq(both.sink.ended, 1);
	cr_expect_lt(woken, 10, "%u", woken);
	end(&both);
}

/* Who takes nothing for the hold time is gone, whatever he says meanwhile. */
Test(conn, peer_that_takes_nothing_is_dropped)
{
	struct both both;
	uint64_t begun_us;

	open_both(&both);
	ur_conn_pause(both.source.conn);
	ur_conn_pause(both.sink.conn);
	for (int i = 0; i < 600000; i++)
		ur_session_ack(&both.sink.conn->session, 1, both.loop.now_us);
	ur_conn_flush(both.sink.conn);
	cr_assert_gt(ur_conn_queued(both.sink.conn), 0);
	begun_us = both.loop.now_us;
	while (!both.sink.ended && both.loop.now_us < begun_us + 900000000) {
		both.loop.now_us += 10000000;
		ur_loop_run_timers(&both.loop);
	}
	cr_expect_eq(both.sink.error, UIDRECV_E_HOLD);
	cr_expect_geq(both.loop.now_us - begun_us, 90000000);
	cr_expect_leq(both.loop.now_us - begun_us, 130000000);
	end(&both);
}
