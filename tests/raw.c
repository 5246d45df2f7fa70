/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raw.h"

static const unsigned char protocol[] = "\x09uidrecv/1";

static void insist(bool is_ok, const char *what)
{
	if (is_ok)
		return;
	fprintf(stderr, "raw: %s failed\n", what);
	abort();
}

static int accept_all(int is_ok, X509_STORE_CTX *verification)
{
	(void)is_ok;
	(void)verification;
	return 1;
}

static int choose(SSL *ssl, const unsigned char **ret_name,
		  unsigned char *ret_size, const unsigned char *offers,
		  unsigned int size, void *user)
{
	(void)ssl;
	(void)size;
	(void)user;
	*ret_name = offers + 1;
	*ret_size = offers[0];
	return SSL_TLSEXT_ERR_OK;
}

static void note_alert(const SSL *ssl, int where, int value)
{
	struct raw *raw = SSL_get_app_data(ssl);

	if (where == SSL_CB_READ_ALERT && raw)
		raw->alert = value & 0xff;
}

static void use(SSL_CTX *ctx, struct certs *certs, const char *name)
{
	char file[300];

	snprintf(file, sizeof(file), "%s.pem", name);
	insist(SSL_CTX_use_certificate_chain_file(ctx, certs_path(certs, file)),
	       file);
	snprintf(file, sizeof(file), "%s-key.pem", name);
	insist(SSL_CTX_use_PrivateKey_file(ctx, certs_path(certs, file),
					   SSL_FILETYPE_PEM),
	       file);
}

void raw_new(struct raw *raw, bool is_server, struct certs *certs,
	     const char *name)
{
	memset(raw, 0, sizeof(*raw));
	raw->ctx =
	    SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());
	insist(raw->ctx != NULL, "context");
	SSL_CTX_set_security_level(raw->ctx, 0);
	if (name)
		use(raw->ctx, certs, name);
	SSL_CTX_set_verify(raw->ctx, SSL_VERIFY_PEER, accept_all);
	SSL_CTX_set_info_callback(raw->ctx, note_alert);
	if (is_server)
		SSL_CTX_set_alpn_select_cb(raw->ctx, choose, NULL);
	else
		SSL_CTX_set_alpn_protos(raw->ctx, protocol,
					sizeof(protocol) - 1);
}

void raw_start(struct raw *raw)
{
	SSL_free(raw->ssl);
	raw->ssl = SSL_new(raw->ctx);
	raw->in = BIO_new(BIO_s_mem());
	raw->out = BIO_new(BIO_s_mem());
	raw->alert = 0;
	insist(raw->ssl && raw->in && raw->out, "memory");
	SSL_set_bio(raw->ssl, raw->in, raw->out);
	SSL_set_app_data(raw->ssl, raw);
	if (SSL_is_server(raw->ssl))
		SSL_set_accept_state(raw->ssl);
	else
		SSL_set_connect_state(raw->ssl);
}

void raw_free(struct raw *raw)
{
	SSL_free(raw->ssl);
	SSL_CTX_free(raw->ctx);
}

size_t raw_move(struct raw *raw, struct ur_tls *tls)
{
	static uint8_t block[64 * 1024];
	const uint8_t *bytes;
	int got = BIO_read(raw->out, block, sizeof(block));
	size_t size, moved = got > 0 ? (size_t)got : 0;

	insist(ur_tls_feed(tls, block, moved) == 0, "feed");
	size = ur_tls_send(tls, &bytes);
	if (size > 0)
		insist(BIO_write(raw->in, bytes, (int)size) == (int)size,
		       "move");
	ur_tls_sent(tls, size);
	return moved + size;
}

int raw_shake(struct raw *raw, struct ur_tls *tls)
{
	char byte;
	int result;

	do {
		if (SSL_do_handshake(raw->ssl) == 1)
			SSL_peek(raw->ssl, &byte, 1);
		result = ur_tls_handshake(tls);
	} while (raw_move(raw, tls) > 0);
	return result;
}
