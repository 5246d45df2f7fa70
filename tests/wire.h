/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An agent by hand: plain OpenSSL on a socket, and frames as the test wants
 * them. Waiting lets the receiver go on.
 */
#ifndef TESTS_WIRE_H
#define TESTS_WIRE_H

#include "live.h"
#include "message.h"
#include "raw.h"

struct wire {
	struct live *live;
	int fd; /* non-blocking */
	struct raw raw;
	SSL *ssl;
	struct ur_framer framer;
	bool has_ended; /* the receiver has closed */
};

/* A TCP connection, not blocking; live->port. */
int wire_connect(const struct live *live);
/* From one of 127.0.0.0/8, in host byte order. */
int wire_connect_from(const struct live *live, uint32_t address);

/* Connects as NAME (NULL: without a certificate); no handshake yet. */
void wire_new(struct wire *wire, struct live *live, const char *name);

/* An agent that listens: a socket on 127.0.0.1, not blocking; port 0: any. */
int wire_listen(uint16_t *port);
/* Takes the receiver's connection, once there is one, as NAME. */
void wire_accept(struct wire *wire, struct live *live, const char *name,
		 int listener);
/* The same of a connection that was taken. */
void wire_new_server(struct wire *wire, struct live *live, const char *name,
		     int fd);
void wire_free(struct wire *wire);
/* Resets the connection instead of ending it. */
void wire_reset(struct wire *wire);

/* Goes on with the handshake until it is done; false if it fails. */
bool wire_shake(struct wire *wire);

void wire_send(struct wire *wire, const struct ur_buf *buf);
/* Waits for a frame, valid until the next call. False: it has ended. */
bool wire_read(struct wire *wire, struct ur_message *message);
/* Reads until a message of the type; false if it ends before. */
bool wire_await(struct wire *wire, uint8_t type, struct ur_message *message);

/* A HELLO of a source with which all is well. */
struct ur_hello wire_hello(uint64_t session_id);
void wire_send_hello(struct wire *wire, const struct ur_hello *hello);
/* All up to READY, whose DURABLE is returned. */
uint64_t wire_open(struct wire *wire, uint64_t session_id);
/* An UPDATE with count mappings of user from address on. */
void wire_update(struct wire *wire, uint64_t serial, const char *address,
		 const char *user, uint32_t count);

#endif
