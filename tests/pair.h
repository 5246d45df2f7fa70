/* SPDX-License-Identifier: BSD-2-Clause */
/* Two TLS stages joined in memory. */
#ifndef TESTS_PAIR_H
#define TESTS_PAIR_H

#include "certs.h"
#include "tls.h"

/*
 * A context of NAME.pem, NAME-key.pem, the authorities of the file ca (NULL:
 * ca.pem) and the file crl or NULL. What goes wrong aborts the test.
 */
struct ur_tls_context *pair_context(struct certs *certs, enum ur_tls_side side,
				    const char *name, const char *ca,
				    const char *crl);

struct pair {
	struct ur_tls *client, *server;
	/* What the handshakes returned last, then the client's first read. */
	int client_result, server_result;
};

/* Takes over a reference of each context. */
void pair_new(struct pair *pair, struct ur_tls_context *client,
	      struct ur_tls_context *server);
void pair_free(struct pair *pair);

/* Moves what is to be sent, in steps of so many bytes; how many bytes. */
size_t pair_move(struct ur_tls *from, struct ur_tls *to, size_t step);

/*
 * Shakes hands until neither gets on. If only the server has failed the client
 * reads its alert. True if both are done.
 */
bool pair_shake(struct pair *pair, size_t step);

/* Both made of certs by default: "agent" dials "receiver". */
void pair_new_basic(struct pair *pair, struct certs *certs);

#endif
