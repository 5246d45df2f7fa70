/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>

#include "pair.h"

static void insist(bool is_ok, const char *what)
{
	if (is_ok)
		return;
	fprintf(stderr, "pair: %s\n", what);
	abort();
}

struct ur_tls_context *pair_context(struct certs *certs, enum ur_tls_side side,
				    const char *name, const char *ca,
				    const char *crl)
{
	struct ur_tls_context *context = NULL;
	char cert[300], key[300], error[600] = "";
	struct ur_tls_files files;

	snprintf(cert, sizeof(cert), "%s.pem", name);
	snprintf(key, sizeof(key), "%s-key.pem", name);
	files.cert = certs_path(certs, cert);
	files.key = certs_path(certs, key);
	files.ca = certs_path(certs, ca ? ca : "ca.pem");
	files.crl = crl ? certs_path(certs, crl) : NULL;
	insist(ur_tls_context_new(&context, side, &files, error,
				  sizeof(error)) == 0,
	       error);
	return context;
}

void pair_new(struct pair *pair, struct ur_tls_context *client,
	      struct ur_tls_context *server)
{
	pair->client_result = 0;
	pair->server_result = 0;
	insist(ur_tls_new(&pair->client, client) == 0, "client");
	insist(ur_tls_new(&pair->server, server) == 0, "server");
	ur_tls_context_unref(client);
	ur_tls_context_unref(server);
}

void pair_new_basic(struct pair *pair, struct certs *certs)
{
	pair_new(pair, pair_context(certs, UR_TLS_CLIENT, "agent", NULL, NULL),
		 pair_context(certs, UR_TLS_SERVER, "receiver", NULL, NULL));
}

void pair_free(struct pair *pair)
{
	ur_tls_free(pair->client);
	ur_tls_free(pair->server);
}

size_t pair_move(struct ur_tls *from, struct ur_tls *to, size_t step)
{
	const uint8_t *bytes;
	size_t size = ur_tls_send(from, &bytes);

	if (size > step)
		size = step;
	insist(ur_tls_feed(to, bytes, size) == 0, "feed");
	ur_tls_sent(from, size);
	return size;
}

bool pair_shake(struct pair *pair, size_t step)
{
	size_t moved;
	uint8_t byte;

	do {
		pair->client_result = ur_tls_handshake(pair->client);
		moved = pair_move(pair->client, pair->server, step);
		pair->server_result = ur_tls_handshake(pair->server);
		moved += pair_move(pair->server, pair->client, step);
	} while (moved);
	if (pair->client_result == 1 && pair->server_result < 0)
		pair->client_result = ur_tls_next(pair->client, &byte, 1);
	return pair->client_result == 1 && pair->server_result == 1;
}
