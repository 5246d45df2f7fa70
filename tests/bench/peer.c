/* SPDX-License-Identifier: BSD-2-Clause */
#include "peer.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"
#include "clock.h"

#define PATIENCE_NS UINT64_C(120000000000)
#define SCRIPT_MAX ((size_t)4 << 30)
#define BODY_MAX 65536
#define RETRY_NS UINT64_C(500000000)
#define TLS_RECORD 16384

static void *read_pem(struct certs *certs, const char *name, const char *what)
{
	char file[64];
	FILE *stream;
	void *read;
	bool is_key = *what;

	snprintf(file, sizeof(file), "%s%s.pem", name, what);
	stream = fopen(certs_path(certs, file), "re");
	bench_must(stream != NULL, file);
	read = is_key ? (void *)PEM_read_PrivateKey(stream, NULL, NULL, NULL)
		      : (void *)PEM_read_X509(stream, NULL, NULL, NULL);
	fclose(stream);
	bench_must(read != NULL, file);
	return read;
}

/* All have the key of the first; no file is left of the others. */
static void make_certificate(struct peers *peers, struct certs *certs, size_t i)
{
	char name[32], file[48], san[48];

	snprintf(name, sizeof(name), "a%zu", i);
	snprintf(san, sizeof(san), "DNS:%s", name);
	certs_make(certs, &(struct certs_spec){.name = name,
					       .issuer = "ca",
					       .key = i ? "a0" : NULL,
					       .san = san});
	peers->list[i].certificate = read_pem(certs, name, "");
	if (!i) {
		peers->key = read_pem(certs, name, "-key");
		return;
	}
	snprintf(file, sizeof(file), "%s.pem", name);
	unlink(certs_path(certs, file));
	snprintf(file, sizeof(file), "%s-key.pem", name);
	unlink(certs_path(certs, file));
}

void peers_init(struct peers *peers, struct certs *certs, size_t count)
{
	static const unsigned char protocol[] = "\x09uidrecv/1";

	*peers = (struct peers){.count = count, .seed = bench_now_ns()};
	peers->list = calloc(count, sizeof(*peers->list));
	peers->epoll = epoll_create1(EPOLL_CLOEXEC);
	peers->ctx = SSL_CTX_new(TLS_client_method());
	bench_must(peers->list && peers->epoll >= 0 && peers->ctx, "memory");
	SSL_CTX_set_alpn_protos(peers->ctx, protocol, sizeof(protocol) - 1);
	SSL_CTX_set_mode(peers->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
					 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					 SSL_MODE_RELEASE_BUFFERS);
	for (size_t i = 0; i < count; i++) {
		struct peer *peer = &peers->list[i];

		make_certificate(peers, certs, i);
		peer->all = peers;
		peer->fd = -1;
		peer->session_id = bench_random(&peers->seed) | 1;
		ur_buf_init(&peer->script, SCRIPT_MAX);
	}
}

void peers_done(struct peers *peers)
{
	for (size_t i = 0; i < peers->count; i++) {
		peer_drop(&peers->list[i]);
		ur_buf_done(&peers->list[i].script);
		X509_free(peers->list[i].certificate);
	}
	EVP_PKEY_free(peers->key);
	SSL_CTX_free(peers->ctx);
	close(peers->epoll);
	free(peers->list);
}

char *peers_make_list(size_t count)
{
	size_t room = count * 64 + 1;
	char *list = malloc(room), *at = list;

	bench_must(list != NULL, "memory");
	for (size_t i = 0; i < count; i++)
		at += sprintf(at, "a%zu 0.0.0.0/0 mappings_max=100000000\n", i);
	return list;
}

void peer_drop(struct peer *peer)
{
	if (peer->state == PEER_AWAY)
		return;
	peer->all->ready -= peer->state == PEER_READY;
	peer->state = PEER_AWAY;
	SSL_set_quiet_shutdown(peer->ssl, 1);
	SSL_free(peer->ssl);
	close(peer->fd);
	peer->ssl = NULL;
	peer->fd = -1;
	ur_framer_done(&peer->framer);
}

void peers_drop(struct peers *peers)
{
	for (size_t i = 0; i < peers->count; i++)
		peer_drop(&peers->list[i]);
}

/* It was ended by the other side: tries again as agents do. */
static void lose(struct peer *peer)
{
	bench_must(peer->serial == peer->acked, "a connection was lost");
	peer_drop(peer);
	peer->lost++;
	peer->retry_ns =
	    bench_now_ns() + bench_random(&peer->all->seed) % RETRY_NS;
}

void peer_connect(struct peer *peer)
{
	struct sockaddr_in name = {.sin_family = AF_INET,
				   .sin_port = htons(peer->all->port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET,
				    .data.ptr = peer};
	int one = 1;

	peer->fd =
	    socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bench_must(peer->fd >= 0, "a socket");
	setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	bench_must(connect(peer->fd, (struct sockaddr *)&name, sizeof(name)) ==
			   0 ||
		       errno == EINPROGRESS,
		   "to connect");
	peer->ssl = SSL_new(peer->all->ctx);
	bench_must(peer->ssl &&
		       SSL_use_certificate(peer->ssl, peer->certificate) &&
		       SSL_use_PrivateKey(peer->ssl, peer->all->key),
		   "a certificate");
	SSL_set_fd(peer->ssl, peer->fd);
	SSL_set_connect_state(peer->ssl);
	ur_framer_init(&peer->framer, BODY_MAX);
	peer->state = PEER_SHAKING;
	peer->retry_ns = 0;
	bench_must(
	    epoll_ctl(peer->all->epoll, EPOLL_CTL_ADD, peer->fd, &event) == 0,
	    "epoll");
}

/* Something small, which the socket has room for. */
static void send_now(struct peer *peer, struct ur_buf *buf)
{
	int size = (int)buf->size;

	bench_must(SSL_write(peer->ssl, ur_buf_front(buf), size) == size,
		   "a short message");
	ur_buf_done(buf);
}

static void send_hello(struct peer *peer, const struct ur_hello *theirs)
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
	    .session_id = peer->session_id,
	    .replay_first = peer->acked + 1,
	    .replay_last = peer->serial,
	    .acked = peer->acked,
	};
	struct ur_buf buf;

	ur_buf_init(&buf, UR_FRAME_BODY_MIN);
	ur_hello_encode(&buf, &hello);
	send_now(peer, &buf);
	peer->reported = peer->acked;
	peer->state = PEER_GREETING;
}

static void keep_alive(struct peer *peer)
{
	struct ur_keepalive message = {
	    .clock = {.now_us = ur_clock_wall_us()},
	    .acked = peer->acked,
	    .has_acked = true,
	};
	struct ur_buf buf;

	ur_buf_init(&buf, UR_FRAME_BODY_MIN);
	ur_keepalive_encode(&buf, &message);
	send_now(peer, &buf);
	peer->reported = peer->acked;
}

void peers_keep_alive(struct peers *peers)
{
	for (size_t i = 0; i < peers->count; i++)
		if (peers->list[i].state == PEER_READY)
			keep_alive(&peers->list[i]);
	peers_turn(peers, 0);
}

static void take(struct peer *peer, const struct ur_message *message)
{
	switch (message->type) {
	case UR_HELLO:
		send_hello(peer, &message->hello);
		break;
	case UR_READY:
		bench_must(message->ready.durable == peer->serial,
			   "what was acknowledged is there");
		peer->window = message->ready.window;
		peer->state = PEER_READY;
		peer->all->ready++;
		break;
	case UR_ACK:
		peer->acked = message->serial;
		peer->acked_ns = bench_now_ns();
		break;
	case UR_KEEPALIVE:
		break;
	case UR_BYE:
		bench_must(peer->state != PEER_READY, "an agent is sent away");
		break;
	default:
		bench_must(false, "a record was refused");
	}
}

/* False: the connection has ended. */
static bool take_all(struct peer *peer)
{
	static uint8_t block[65536];
	struct ur_message message;
	struct ur_frame frame;
	uint16_t bye;
	int ret;

	while ((ret = SSL_read(peer->ssl, block, sizeof(block))) > 0) {
		bench_must(ur_framer_feed(&peer->framer, block, (size_t)ret) ==
			       0,
			   "bytes");
		while (ur_framer_next(&peer->framer, &frame) == 1) {
			bench_must(ur_message_decode(&frame, &message, &bye) ==
				       0,
				   "a frame");
			take(peer, &message);
		}
	}
	return SSL_get_error(peer->ssl, ret) == SSL_ERROR_WANT_READ;
}

static uint64_t read_bytes(const uint8_t *at, int count)
{
	uint64_t value = 0;

	while (count--)
		value = value << 8 | *at++;
	return value;
}

/* How much of the script the window leaves. */
static void widen(struct peer *peer)
{
	while (peer->may < peer->script.size) {
		const uint8_t *frame = ur_buf_front(&peer->script) + peer->may;

		if (read_bytes(frame + 8, 8) > peer->reported + peer->window)
			break;
		peer->may += UR_FRAME_HEADER + read_bytes(frame + 4, 4);
	}
}

static void send_script(struct peer *peer)
{
	const uint8_t *script = ur_buf_front(&peer->script);
	int ret;

	for (;;) {
		size_t left;

		widen(peer);
		left = peer->may - peer->sent;
		if (!left) {
			/* All that may be sent ends with a whole frame. */
			if (peer->may == peer->script.size ||
			    peer->acked == peer->reported)
				return;
			keep_alive(peer);
			continue;
		}
		ret = SSL_write(peer->ssl, script + peer->sent,
				left < TLS_RECORD ? (int)left : TLS_RECORD);
		if (ret <= 0)
			return;
		peer->sent += (size_t)ret;
	}
}

static void go_on(struct peer *peer)
{
	if (peer->state == PEER_AWAY)
		return;
	ERR_clear_error();
	if (peer->state == PEER_SHAKING) {
		int ret = SSL_do_handshake(peer->ssl);
		int error = SSL_get_error(peer->ssl, ret);

		if (ret != 1) {
			if (error != SSL_ERROR_WANT_READ &&
			    error != SSL_ERROR_WANT_WRITE)
				lose(peer);
			return;
		}
	}
	if (!take_all(peer)) {
		lose(peer);
		return;
	}
	if (peer->state == PEER_READY)
		send_script(peer);
}

void peers_turn(struct peers *peers, int wait_ms)
{
	struct epoll_event events[256];
	int count = epoll_wait(peers->epoll, events, 256, wait_ms);

	for (int i = 0; i < count; i++)
		go_on(events[i].data.ptr);
}

void peers_connect(struct peers *peers, size_t first, size_t count,
		   size_t at_once)
{
	uint64_t end_ns = bench_now_ns() + PATIENCE_NS;
	size_t left = count;

	while (left) {
		uint64_t now_ns = bench_now_ns();
		size_t shaking = 0;

		bench_must(now_ns < end_ns, "all agents are connected");
		left = 0;
		for (size_t i = first; i < first + count; i++)
			shaking += peers->list[i].state == PEER_SHAKING ||
				   peers->list[i].state == PEER_GREETING;
		for (size_t i = first; i < first + count; i++) {
			struct peer *peer = &peers->list[i];

			left += peer->state != PEER_READY;
			if (peer->state != PEER_AWAY || shaking >= at_once ||
			    peer->retry_ns > now_ns)
				continue;
			peer_connect(peer);
			shaking++;
		}
		if (left)
			peers_turn(peers, 10);
	}
}

void peers_finish(struct peers *peers)
{
	uint64_t end_ns = bench_now_ns() + PATIENCE_NS;
	bool is_waiting = true;

	for (size_t i = 0; i < peers->count; i++)
		go_on(&peers->list[i]);
	while (is_waiting) {
		is_waiting = false;
		bench_must(bench_now_ns() < end_ns, "all is acknowledged");
		for (size_t i = 0; i < peers->count; i++)
			is_waiting |=
			    peers->list[i].acked < peers->list[i].serial;
		if (is_waiting)
			peers_turn(peers, 100);
	}
	for (size_t i = 0; i < peers->count; i++) {
		struct peer *peer = &peers->list[i];

		peer->may = 0;
		peer->sent = 0;
		ur_buf_truncate(&peer->script, 0);
	}
}

void peer_say_end(struct peer *peer)
{
	if (!peer->is_writing)
		return;
	ur_update_end(&peer->writer);
	peer->is_writing = false;
	bench_must(!peer->script.failed, "memory");
}

void peer_say(struct peer *peer, const struct uidrecv_record *record)
{
	if (peer->is_writing && ur_update_add(&peer->writer, record))
		return;
	peer_say_end(peer);
	ur_update_begin(&peer->writer, &peer->script, ++peer->serial,
			ur_clock_wall_us(), false, 0, BODY_MAX);
	peer->is_writing = true;
	bench_must(ur_update_add(&peer->writer, record), "a record");
}

void peer_begin_snapshot(struct peer *peer)
{
	peer_say_end(peer);
	ur_snapshot_begin_encode(&peer->script, ++peer->serial);
}

void peer_end_snapshot(struct peer *peer, uint64_t count)
{
	peer_say_end(peer);
	ur_snapshot_end_encode(&peer->script, ++peer->serial, count);
}

void peer_refresh_all(struct peer *peer, uint64_t count)
{
	peer_say_end(peer);
	ur_refresh_all_encode(&peer->script, ++peer->serial, ur_clock_wall_us(),
			      count);
}
