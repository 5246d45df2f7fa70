/* SPDX-License-Identifier: BSD-2-Clause */
#include "speaker.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"
#include "bytes.h"
#include "clock.h"
#include "speakers.h"

#define BODY_MAX 65536
#define RETRY_NS UINT64_C(500000000) /* doubled by each failure, */
#define RETRY_DOUBLED_MAX 7	     /* so often */
#define TLS_RECORD 16384

void speaker_drop(struct speaker *speaker)
{
	if (speaker->state == SPEAKER_AWAY)
		return;
	speaker->all->ready -= speaker->state == SPEAKER_READY;
	speaker->state = SPEAKER_AWAY;
	SSL_set_quiet_shutdown(speaker->ssl, 1);
	SSL_free(speaker->ssl);
	close(speaker->fd);
	speaker->ssl = NULL;
	speaker->fd = -1;
	ur_framer_done(&speaker->framer);
}

/* It was ended by the other side: tries again as agents do. */
static void lose(struct speaker *speaker)
{
	uint64_t bound_ns;

	bench_must(speaker->serial == speaker->acked, "a connection was lost");
	speaker_drop(speaker);
	speaker->lost++;
	if (speaker->failures < RETRY_DOUBLED_MAX)
		speaker->failures++;
	bound_ns = RETRY_NS << (speaker->failures - 1);
	speaker->retry_ns =
	    bench_now_ns() + bench_random(&speaker->all->seed) % bound_ns;
}

void speaker_connect(struct speaker *speaker)
{
	struct sockaddr_in name = {.sin_family = AF_INET,
				   .sin_port = htons(speaker->all->port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET,
				    .data.ptr = speaker};
	int one = 1;

	speaker->fd =
	    socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bench_must(speaker->fd >= 0, "a socket");
	setsockopt(speaker->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	bench_must(
	    connect(speaker->fd, (struct sockaddr *)&name, sizeof(name)) == 0 ||
		errno == EINPROGRESS,
	    "to connect");
	speaker->ssl = SSL_new(speaker->all->ctx);
	bench_must(
	    speaker->ssl &&
		SSL_use_certificate(speaker->ssl, speaker->certificate) &&
		SSL_use_PrivateKey(speaker->ssl, speaker->all->key),
	    "a certificate");
	SSL_set_fd(speaker->ssl, speaker->fd);
	SSL_set_connect_state(speaker->ssl);
	ur_framer_init(&speaker->framer, BODY_MAX);
	speaker->state = SPEAKER_SHAKING;
	speaker->retry_ns = 0;
	bench_must(epoll_ctl(speaker->all->epoll, EPOLL_CTL_ADD, speaker->fd,
			     &event) == 0,
		   "epoll");
}

/* Something small, which the socket has room for. */
static void send_now(struct speaker *speaker, struct ur_buf *buf)
{
	int size = (int)buf->size;

	bench_must(SSL_write(speaker->ssl, ur_buf_front(buf), size) == size,
		   "a short message");
	ur_buf_done(buf);
}

static void send_hello(struct speaker *speaker, const struct ur_hello *theirs)
{
	struct ur_hello hello = {
	    .version_min = 1,
	    .version_max = 1,
	    .role = UR_SOURCE,
	    .hold_min_s = 1,
	    .hold_max_s = 300,
	    .frame_max = BODY_MAX,
	    .capabilities = UR_CAPABILITY_SNAPSHOT,
	    .software = {"bench", 5},
	    .clock = {.now_us = ur_clock_wall_us(),
		      .echo_us = theirs->clock.now_us},
	    .session_id = speaker->session_id,
	    .replay_first = speaker->acked + 1,
	    .replay_last = speaker->serial,
	    .acked = speaker->acked,
	};
	struct ur_buf buf;

	ur_buf_init(&buf, UR_FRAME_BODY_MIN);
	ur_hello_encode(&buf, &hello);
	send_now(speaker, &buf);
	speaker->reported = speaker->acked;
	speaker->state = SPEAKER_GREETING;
}

void speaker_keep_alive(struct speaker *speaker)
{
	struct ur_keepalive message = {
	    .clock = {.now_us = ur_clock_wall_us()},
	    .acked = speaker->acked,
	    .has_acked = true,
	};
	struct ur_buf buf;

	ur_buf_init(&buf, UR_FRAME_BODY_MIN);
	ur_keepalive_encode(&buf, &message);
	send_now(speaker, &buf);
	speaker->reported = speaker->acked;
}

static void take(struct speaker *speaker, const struct ur_message *message)
{
	switch (message->type) {
	case UR_HELLO:
		send_hello(speaker, &message->hello);
		break;
	case UR_READY:
		bench_must(message->ready.durable == speaker->serial,
			   "what was acknowledged is there");
		speaker->window = message->ready.window;
		speaker->state = SPEAKER_READY;
		speaker->failures = 0;
		speaker->all->ready++;
		break;
	case UR_ACK:
		speaker->acked = message->serial;
		speaker->acked_ns = bench_now_ns();
		break;
	case UR_KEEPALIVE:
		break;
	case UR_BYE:
		bench_must(speaker->state != SPEAKER_READY,
			   "an agent is sent away");
		break;
	default:
		bench_must(false, "a record was refused");
	}
}

/* False: the connection has ended. */
static bool take_all(struct speaker *speaker)
{
	static uint8_t block[65536];
	struct ur_message message;
	struct ur_frame frame;
	uint16_t bye;
	int ret;

	while ((ret = SSL_read(speaker->ssl, block, sizeof(block))) > 0) {
		bench_must(
		    ur_framer_feed(&speaker->framer, block, (size_t)ret) == 0,
		    "bytes");
		while (ur_framer_next(&speaker->framer, &frame) == 1) {
			bench_must(ur_message_decode(&frame, &message, &bye) ==
				       0,
				   "a frame");
			take(speaker, &message);
		}
	}
	return SSL_get_error(speaker->ssl, ret) == SSL_ERROR_WANT_READ;
}

/* How much of the script the window leaves. */
static void widen(struct speaker *speaker)
{
	while (speaker->may < speaker->script.size) {
		struct ur_bytes header =
		    ur_bytes_of(ur_buf_front(&speaker->script) + speaker->may,
				UR_FRAME_HEADER);
		uint32_t length;

		(void)ur_bytes_u32(&header); /* version, type, flags */
		length = ur_bytes_u32(&header);
		if (ur_bytes_u64(&header) > /* its serial */
		    speaker->reported + speaker->window)
			break;
		speaker->may += UR_FRAME_HEADER + length;
	}
}

static void send_script(struct speaker *speaker)
{
	const uint8_t *script = ur_buf_front(&speaker->script);
	int ret;

	for (;;) {
		size_t left;

		widen(speaker);
		left = speaker->may - speaker->sent;
		if (!left) {
			/* All that may be sent ends with a whole frame. */
			if (speaker->may == speaker->script.size ||
			    speaker->acked == speaker->reported)
				return;
			speaker_keep_alive(speaker);
			continue;
		}
		ret = SSL_write(speaker->ssl, script + speaker->sent,
				left < TLS_RECORD ? (int)left : TLS_RECORD);
		if (ret <= 0)
			return;
		speaker->sent += (size_t)ret;
	}
}

static void visit(struct speaker *speaker)
{
	uint8_t block[1024];
	int ret = SSL_read(speaker->ssl, block, sizeof(block));

	if (ret > 0) {
		speaker->all->visits++;
		speaker_drop(speaker);
	} else if (SSL_get_error(speaker->ssl, ret) != SSL_ERROR_WANT_READ) {
		lose(speaker);
	}
}

void speaker_go_on(struct speaker *speaker)
{
	if (speaker->state == SPEAKER_AWAY)
		return;
	ERR_clear_error();
	if (speaker->state == SPEAKER_SHAKING) {
		int ret = SSL_do_handshake(speaker->ssl);
		int error = SSL_get_error(speaker->ssl, ret);

		if (ret != 1) {
			if (error != SSL_ERROR_WANT_READ &&
			    error != SSL_ERROR_WANT_WRITE)
				lose(speaker);
			return;
		}
	}
	if (speaker->all->are_visitors) {
		visit(speaker);
		return;
	}
	if (!take_all(speaker)) {
		lose(speaker);
		return;
	}
	if (speaker->state == SPEAKER_READY)
		send_script(speaker);
}

void speaker_say_end(struct speaker *speaker)
{
	if (!speaker->is_writing)
		return;
	ur_update_end(&speaker->writer);
	speaker->is_writing = false;
	bench_must(!speaker->script.failed, "memory");
}

void speaker_say(struct speaker *speaker, const struct uidrecv_record *record)
{
	if (speaker->is_writing && ur_update_add(&speaker->writer, record))
		return;
	speaker_say_end(speaker);
	ur_update_begin(&speaker->writer, &speaker->script, ++speaker->serial,
			ur_clock_wall_us(), false, 0, BODY_MAX);
	speaker->is_writing = true;
	bench_must(ur_update_add(&speaker->writer, record), "a record");
}

void speaker_begin_snapshot(struct speaker *speaker)
{
	speaker_say_end(speaker);
	ur_snapshot_begin_encode(&speaker->script, ++speaker->serial);
}

void speaker_end_snapshot(struct speaker *speaker, uint64_t count)
{
	speaker_say_end(speaker);
	ur_snapshot_end_encode(&speaker->script, ++speaker->serial, count);
}

void speaker_refresh_all(struct speaker *speaker, uint64_t count)
{
	speaker_say_end(speaker);
	ur_refresh_all_encode(&speaker->script, ++speaker->serial,
			      ur_clock_wall_us(), count);
}
