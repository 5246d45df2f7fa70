/* SPDX-License-Identifier: BSD-2-Clause */
#include "speaker.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
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
#define RETRY_NS UINT64_C(500000000) /* doubled by each failure, */
#define RETRY_DOUBLED_MAX 7	     /* so often */
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

/* The first one's with another name; no file of the others is needed. */
static X509 *make_certificate(const X509 *first, struct certs *certs, size_t i)
{
	X509 *certificate = X509_dup(first);
	X509_EXTENSION *names;
	char san[48];
	int at;

	bench_must(certificate != NULL, "memory");
	snprintf(san, sizeof(san), "DNS:a%zu", i);
	at = X509_get_ext_by_NID(certificate, NID_subject_alt_name, -1);
	X509_EXTENSION_free(X509_delete_ext(certificate, at));
	names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
	bench_must(names && X509_add_ext(certificate, names, at) &&
		       ASN1_INTEGER_set_uint64(
			   X509_get_serialNumber(certificate), 0x100000 + i),
		   "a certificate");
	X509_EXTENSION_free(names);
	certs_sign(certs, certificate, "ca");
	return certificate;
}

void speakers_init(struct speakers *speakers, struct certs *certs, size_t count)
{
	static const unsigned char protocol[] = "\x09uidrecv/1";

	*speakers = (struct speakers){.count = count, .seed = bench_now_ns()};
	speakers->list = calloc(count, sizeof(*speakers->list));
	speakers->epoll = epoll_create1(EPOLL_CLOEXEC);
	speakers->ctx = SSL_CTX_new(TLS_client_method());
	bench_must(speakers->list && speakers->epoll >= 0 && speakers->ctx,
		   "memory");
	SSL_CTX_set_alpn_protos(speakers->ctx, protocol, sizeof(protocol) - 1);
	SSL_CTX_set_mode(speakers->ctx,
			 SSL_MODE_ENABLE_PARTIAL_WRITE |
			     SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
			     SSL_MODE_RELEASE_BUFFERS);
	certs_make(certs, &(struct certs_spec){
			      .name = "a0", .issuer = "ca", .san = "DNS:a0"});
	speakers->key = read_pem(certs, "a0", "-key");
	for (size_t i = 0; i < count; i++) {
		struct speaker *speaker = &speakers->list[i];

		speaker->certificate =
		    i ? make_certificate(speakers->list->certificate, certs, i)
		      : read_pem(certs, "a0", "");
		speaker->all = speakers;
		speaker->fd = -1;
		speaker->session_id = bench_random(&speakers->seed) | 1;
		ur_buf_init(&speaker->script, SCRIPT_MAX);
	}
}

void speakers_done(struct speakers *speakers)
{
	for (size_t i = 0; i < speakers->count; i++) {
		speaker_drop(&speakers->list[i]);
		ur_buf_done(&speakers->list[i].script);
		X509_free(speakers->list[i].certificate);
	}
	EVP_PKEY_free(speakers->key);
	SSL_CTX_free(speakers->ctx);
	close(speakers->epoll);
	free(speakers->list);
}

char *speakers_make_list(size_t count)
{
	size_t room = count * 64 + 1;
	char *list = malloc(room), *at = list;

	bench_must(list != NULL, "memory");
	for (size_t i = 0; i < count; i++)
		at += sprintf(at, "a%zu 0.0.0.0/0 mappings_max=100000000\n", i);
	return list;
}

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

void speakers_adopt(struct speakers *speakers)
{
	close(speakers->epoll);
	speakers->epoll = epoll_create1(EPOLL_CLOEXEC);
	bench_must(speakers->epoll >= 0, "epoll");
	speakers->seed ^= (uint64_t)getpid() << 32;
}

void speakers_drop(struct speakers *speakers)
{
	for (size_t i = 0; i < speakers->count; i++)
		speaker_drop(&speakers->list[i]);
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

static void keep_alive(struct speaker *speaker)
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

void speakers_keep_alive(struct speakers *speakers)
{
	for (size_t i = 0; i < speakers->count; i++)
		if (speakers->list[i].state == SPEAKER_READY)
			keep_alive(&speakers->list[i]);
	speakers_turn(speakers, 0);
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

static uint64_t read_bytes(const uint8_t *at, int count)
{
	uint64_t value = 0;

	while (count--)
		value = value << 8 | *at++;
	return value;
}

/* How much of the script the window leaves. */
static void widen(struct speaker *speaker)
{
	while (speaker->may < speaker->script.size) {
		const uint8_t *frame =
		    ur_buf_front(&speaker->script) + speaker->may;

		if (read_bytes(frame + 8, 8) >
		    speaker->reported + speaker->window)
			break;
		speaker->may += UR_FRAME_HEADER + read_bytes(frame + 4, 4);
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
			keep_alive(speaker);
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

void speakers_turn(struct speakers *speakers, int wait_ms)
{
	struct epoll_event events[256];
	int count = epoll_wait(speakers->epoll, events, 256, wait_ms);

	for (int i = 0; i < count; i++)
		speaker_go_on(events[i].data.ptr);
}

void speakers_connect(struct speakers *speakers, size_t first, size_t count,
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
			shaking += speakers->list[i].state == SPEAKER_SHAKING ||
				   speakers->list[i].state == SPEAKER_GREETING;
		for (size_t i = first; i < first + count; i++) {
			struct speaker *speaker = &speakers->list[i];

			left += speaker->state != SPEAKER_READY;
			if (speaker->state != SPEAKER_AWAY ||
			    shaking >= at_once || speaker->retry_ns > now_ns)
				continue;
			speaker_connect(speaker);
			shaking++;
		}
		if (left)
			speakers_turn(speakers, 10);
	}
}

/* How many frames wait for their ACK. */
static uint64_t count_waiting(const struct speakers *speakers)
{
	uint64_t waiting = 0;

	for (size_t i = 0; i < speakers->count; i++)
		waiting += speakers->list[i].serial - speakers->list[i].acked;
	return waiting;
}

void speakers_finish(struct speakers *speakers)
{
	uint64_t end_ns = bench_now_ns() + PATIENCE_NS;
	uint64_t waiting = UINT64_MAX, left;

	for (size_t i = 0; i < speakers->count; i++)
		speaker_go_on(&speakers->list[i]);
	while ((left = count_waiting(speakers)) > 0) {
		if (left < waiting)
			end_ns = bench_now_ns() + PATIENCE_NS;
		waiting = left;
		bench_must(bench_now_ns() < end_ns, "all is acknowledged");
		speakers_turn(speakers, 100);
	}
	for (size_t i = 0; i < speakers->count; i++) {
		struct speaker *speaker = &speakers->list[i];

		speaker->may = 0;
		speaker->sent = 0;
		ur_buf_consume(&speaker->script, speaker->script.size);
	}
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
