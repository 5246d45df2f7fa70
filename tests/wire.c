/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "wire.h"

int wire_connect(const struct live *live)
{
	return wire_connect_from(live, INADDR_LOOPBACK);
}

int wire_connect_from(const struct live *live, uint32_t address)
{
	struct sockaddr_in from = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(address)};
	struct sockaddr_in name = {.sin_family = AF_INET,
				   .sin_port = htons(live->port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int one = 1;

	cr_assert(fd >= 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	cr_assert_eq(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	cr_assert(connect(fd, (struct sockaddr *)&name, sizeof(name)) == 0 ||
		      errno == EINPROGRESS,
		  "%s", strerror(errno));
	return fd;
}

void wire_new(struct wire *wire, struct live *live, const char *name)
{
	memset(wire, 0, sizeof(*wire));
	wire->live = live;
	raw_new(&wire->raw, false, live->certs, name);
	SSL_CTX_set_info_callback(wire->raw.ctx, NULL);
	wire->fd = wire_connect(live);
	wire->ssl = SSL_new(wire->raw.ctx);
	SSL_set_fd(wire->ssl, wire->fd);
	SSL_set_connect_state(wire->ssl);
	ur_framer_init(&wire->framer, UR_FRAME_BODY_MAX);
}

int wire_listen(uint16_t *port)
{
	struct sockaddr_in name = {.sin_family = AF_INET,
				   .sin_port = htons(*port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(name);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int one = 1;

	cr_assert(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	cr_assert_eq(bind(fd, (struct sockaddr *)&name, size), 0, "%s",
		     strerror(errno));
	cr_assert_eq(listen(fd, 128), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&name, &size), 0);
	*port = ntohs(name.sin_port);
	return fd;
}

void wire_new_server(struct wire *wire, struct live *live, const char *name,
		     int fd)
{
	int one = 1;

	memset(wire, 0, sizeof(*wire));
	wire->live = live;
	raw_new(&wire->raw, true, live->certs, name);
	SSL_CTX_set_info_callback(wire->raw.ctx, NULL);
	wire->fd = fd;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	wire->ssl = SSL_new(wire->raw.ctx);
	SSL_set_fd(wire->ssl, fd);
	SSL_set_accept_state(wire->ssl);
	ur_framer_init(&wire->framer, UR_FRAME_BODY_MAX);
}

void wire_accept(struct wire *wire, struct live *live, const char *name,
		 int listener)
{
	int fd;

	live_await(live, (fd = accept4(listener, NULL, NULL,
				       SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0);
	wire_new_server(wire, live, name, fd);
}

void wire_free(struct wire *wire)
{
	SSL_free(wire->ssl);
	SSL_CTX_free(wire->raw.ctx);
	ur_framer_done(&wire->framer);
	close(wire->fd);
}

void wire_reset(struct wire *wire)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};

	cr_assert_eq(setsockopt(wire->fd, SOL_SOCKET, SO_LINGER, &linger,
				sizeof(linger)),
		     0);
	SSL_set_shutdown(wire->ssl, SSL_SENT_SHUTDOWN);
	wire_free(wire);
}

/* True to try again, false if the connection is at its end. */
static bool may_retry(struct wire *wire, int ret)
{
	int error = SSL_get_error(wire->ssl, ret);

	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
		live_turn(wire->live);
		return true;
	}
	wire->has_ended = true;
	return false;
}

bool wire_shake(struct wire *wire)
{
	uint64_t end_ms = live_now_ms() + LIVE_PATIENCE_MS;
	int ret;

	while ((ret = SSL_do_handshake(wire->ssl)) != 1) {
		cr_assert(live_now_ms() < end_ms, "no handshake");
		if (!may_retry(wire, ret))
			return false;
	}
	return true;
}

void wire_send(struct wire *wire, const struct ur_buf *buf)
{
	uint64_t end_ms = live_now_ms() + LIVE_PATIENCE_MS;
	int ret;

	while ((ret = SSL_write(wire->ssl, ur_buf_front(buf),
				(int)buf->size)) <= 0) {
		cr_assert(live_now_ms() < end_ms, "nothing is taken");
		if (!may_retry(wire, ret))
			return;
	}
}

bool wire_read(struct wire *wire, struct ur_message *message)
{
	uint64_t end_ms = live_now_ms() + LIVE_PATIENCE_MS;
	struct ur_frame frame;
	uint8_t block[16384];
	uint16_t bye;
	int ret;

	while (!(ret = ur_framer_next(&wire->framer, &frame))) {
		cr_assert(live_now_ms() < end_ms, "nothing comes");
		ret = SSL_read(wire->ssl, block, sizeof(block));
		if (ret > 0)
			cr_assert_eq(
			    ur_framer_feed(&wire->framer, block, (size_t)ret),
			    0);
		else if (!may_retry(wire, ret))
			return false;
	}
	cr_assert_eq(ret, 1);
	cr_assert_eq(ur_message_decode(&frame, message, &bye), 0);
	return true;
}

bool wire_await(struct wire *wire, uint8_t type, struct ur_message *message)
{
	while (wire_read(wire, message))
		if (message->type == type)
			return true;
	return false;
}

struct ur_hello wire_hello(uint64_t session_id)
{
	return (struct ur_hello){
	    .version_min = 1,
	    .version_max = 1,
	    .role = UR_SOURCE,
	    .hold_min_s = 1,
	    .hold_max_s = 300,
	    .frame_max = 65536,
	    .software = {"wire", 4},
	    .clock = {.now_us = ur_clock_wall_us()},
	    .session_id = session_id,
	    .replay_first = 1,
	};
}

void wire_send_hello(struct wire *wire, const struct ur_hello *hello)
{
	struct ur_buf buf;

	ur_buf_init(&buf, 65536);
	ur_hello_encode(&buf, hello);
	wire_send(wire, &buf);
	ur_buf_done(&buf);
}

uint64_t wire_open(struct wire *wire, uint64_t session_id)
{
	struct ur_hello hello = wire_hello(session_id);
	struct ur_message message;

	cr_assert(wire_shake(wire));
	cr_assert(wire_read(wire, &message));
	cr_assert_eq(message.type, UR_HELLO);
	wire_send_hello(wire, &hello);
	cr_assert(wire_read(wire, &message));
	cr_assert_eq(message.type, UR_READY, "type %u", message.type);
	return message.ready.durable;
}

void wire_update(struct wire *wire, uint64_t serial, const char *address,
		 const char *user, uint32_t count)
{
	struct uidrecv_record record =
	    live_record(UIDRECV_OP_MAP, address, user);
	struct ur_update_writer writer;
	struct ur_buf buf;

	ur_buf_init(&buf, UR_FRAME_HEADER + UR_FRAME_BODY_MAX);
	ur_update_begin(&writer, &buf, serial, ur_clock_wall_us(), true,
			serial - 1, UR_FRAME_BODY_MAX);
	for (uint32_t i = 0; i < count; i++, record.address.lo++)
		cr_assert(ur_update_add(&writer, &record));
	ur_update_end(&writer);
	wire_send(wire, &buf);
	ur_buf_done(&buf);
}
