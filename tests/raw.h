/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A peer that is plain OpenSSL and does not care about the rules, joined in
 * memory with a TLS stage.
 */
#ifndef TESTS_RAW_H
#define TESTS_RAW_H

#include <openssl/ssl.h>

#include "certs.h"
#include "tls.h"

struct raw {
	SSL_CTX *ctx; /* change it before raw_start() */
	SSL *ssl;
	BIO *in, *out; /* of ssl */
	int alert;     /* that the stage sent last, 0: none */
};

/*
 * Presents NAME.pem (a chain) with NAME-key.pem, or nothing if name is NULL;
 * accepts everything; speaks ALPN uidrecv/1.
 */
void raw_new(struct raw *raw, bool is_server, struct certs *certs,
	     const char *name);
void raw_free(struct raw *raw);

/* Makes ssl. */
void raw_start(struct raw *raw);

/* Moves bytes both ways without more than 64 KiB at once; how many. */
size_t raw_move(struct raw *raw, struct ur_tls *tls);

/* Shakes hands till neither gets on. What the stage's handshake returned. */
int raw_shake(struct raw *raw, struct ur_tls *tls);

#endif
