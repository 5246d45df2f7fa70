/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <uidrecv/types.h>

#include "tls-private.h"

#define DEPTH_MAX 3
#define SECURITY_LEVEL 2
#define CERTIFICATES_BYTES_MAX (16 * 1024)

static struct ur_tls *get_tls(SSL *ssl)
{
	return SSL_get_app_data(ssl);
}

/* OpenSSL asks for the ALPN choice only if the client offers any. */
static int look_at_hello(SSL *ssl, int *alert, void *user)
{
	const unsigned char *bytes;
	size_t size;

	(void)user;
	/* A hello of TLS 1.2 is answered with protocol_version, later. */
	if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_supported_versions,
				       &bytes, &size) ||
	    SSL_client_hello_get0_ext(
		ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &bytes,
		&size))
		return SSL_CLIENT_HELLO_SUCCESS;
	get_tls(ssl)->is_foreign = true;
	*alert = SSL_AD_NO_APPLICATION_PROTOCOL;
	return SSL_CLIENT_HELLO_ERROR;
}

static int choose_protocol(SSL *ssl, const unsigned char **ret_name,
			   unsigned char *ret_size, const unsigned char *offers,
			   unsigned int size, void *user)
{
	(void)user;
	for (unsigned int at = 0; at < size; at += offers[at] + 1u) {
		if (offers[at] != UR_TLS_ALPN_SIZE ||
		    size - at <= UR_TLS_ALPN_SIZE ||
		    memcmp(offers + at + 1, UR_TLS_ALPN, UR_TLS_ALPN_SIZE) != 0)
			continue;
		*ret_name = offers + at + 1;
		*ret_size = offers[at];
		return SSL_TLSEXT_ERR_OK;
	}
	get_tls(ssl)->is_foreign = true;
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* OpenSSL bounds neither KeyUpdates nor tickets after the handshake. */
static void count_message(int is_written, int version, int type,
			  const void *bytes, size_t size, SSL *ssl, void *user)
{
	struct ur_tls *tls = get_tls(ssl);

	(void)version;
	(void)bytes;
	(void)size;
	(void)user;
	if (!is_written && type == SSL3_RT_HANDSHAKE && tls && tls->is_done)
		tls->messages++;
}

static bool set_protocol(SSL_CTX *ssl, enum ur_tls_side side)
{
	/* A list of one, with its length before it. */
	static const unsigned char offer[] = "\x09" UR_TLS_ALPN;

	_Static_assert(UR_TLS_ALPN_SIZE == 9, "the length in offer");

	if (side == UR_TLS_SERVER) {
		SSL_CTX_set_client_hello_cb(ssl, look_at_hello, NULL);
		SSL_CTX_set_alpn_select_cb(ssl, choose_protocol, NULL);
		return true;
	}
	return SSL_CTX_set_alpn_protos(ssl, offer, sizeof(offer) - 1) == 0;
}

static bool set_parameters(SSL_CTX *ssl)
{
	SSL_CTX_set_security_level(ssl, SECURITY_LEVEL);
	return SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION) &&
	       SSL_CTX_set_max_proto_version(ssl, TLS1_3_VERSION) &&
	       SSL_CTX_set_ciphersuites(ssl, "TLS_AES_256_GCM_SHA384:"
					     "TLS_CHACHA20_POLY1305_SHA256:"
					     "TLS_AES_128_GCM_SHA256") &&
	       SSL_CTX_set1_groups_list(ssl, "X25519:P-256:P-384");
}

/* A resumed session would skip the check of the certificate. */
static bool set_no_resumption(SSL_CTX *ssl)
{
	static const unsigned char id[] = UR_TLS_ALPN;

	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	return SSL_CTX_set_num_tickets(ssl, 0) &&
	       SSL_CTX_set_max_early_data(ssl, 0) &&
	       SSL_CTX_set_recv_max_early_data(ssl, 0) &&
	       SSL_CTX_set_session_id_context(ssl, id, sizeof(id) - 1);
}

static void set_options(SSL_CTX *ssl)
{
	SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION |
				     SSL_OP_NO_RENEGOTIATION);
#ifdef SSL_OP_NO_RX_CERTIFICATE_COMPRESSION
	/* It would take memory before anybody is authenticated. */
	SSL_CTX_set_options(ssl, SSL_OP_NO_RX_CERTIFICATE_COMPRESSION |
				     SSL_OP_NO_TX_CERTIFICATE_COMPRESSION);
#endif
	/* A system-wide configuration may have set it. */
	SSL_CTX_clear_options(ssl, SSL_OP_IGNORE_UNEXPECTED_EOF);
	/* Our chain is what is in our file, not what is in the CA's. */
	SSL_CTX_set_mode(ssl,
			 SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_max_cert_list(ssl, CERTIFICATES_BYTES_MAX);
	SSL_CTX_set_msg_callback(ssl, count_message);
}

/* In the store, so that ur_tls_reverify() asks for the same. */
static bool set_verification(SSL_CTX *ssl, enum ur_tls_side side, bool has_crl)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ssl);
	unsigned long flags = X509_V_FLAG_X509_STRICT;
	bool is_server = side == UR_TLS_SERVER;

	if (has_crl)
		flags |= X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL;
	SSL_CTX_set_verify(
	    ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	X509_STORE_set_verify_cb(store, is_server ? ur_tls_verify_client
						  : ur_tls_verify_server);
	X509_VERIFY_PARAM_set_auth_level(X509_STORE_get0_param(store),
					 SECURITY_LEVEL);
	return X509_STORE_set_flags(store, flags) &&
	       X509_STORE_set_depth(store, DEPTH_MAX) &&
	       X509_STORE_set_purpose(store, is_server
						 ? X509_PURPOSE_SSL_CLIENT
						 : X509_PURPOSE_SSL_SERVER);
}

static bool set_up(struct ur_tls_context *context, bool has_crl)
{
	enum ur_tls_side side = context->side;

	context->ssl = SSL_CTX_new(side == UR_TLS_SERVER ? TLS_server_method()
							 : TLS_client_method());
	context->bio = ur_tls_bio_method_new();
	if (!context->ssl || !context->bio)
		return false;
	set_options(context->ssl);
	return set_parameters(context->ssl) &&
	       set_no_resumption(context->ssl) &&
	       set_protocol(context->ssl, side) &&
	       set_verification(context->ssl, side, has_crl);
}

/* A system-wide policy may forbid what we need. */
static int explain(char *error, size_t error_size)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(code);

	if (!code || ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE)
		return -ENOMEM;
	snprintf(error, error_size,
		 "OpenSSL refuses TLS 1.3 as it is needed here: %s; look at "
		 "the openssl.cnf of this system",
		 reason ? reason : "unknown error");
	return UIDRECV_E_CREDENTIALS;
}

int ur_tls_context_new(struct ur_tls_context **ret_context,
		       enum ur_tls_side side, const struct ur_tls_files *files,
		       char *error, size_t error_size)
{
	struct ur_tls_context *context = calloc(1, sizeof(*context));
	int result;

	if (!context)
		return -ENOMEM;
	context->references = 1;
	context->side = side;
	context->crl_next_update = INT64_MAX;
	ERR_clear_error();
	if (set_up(context, files->crl != NULL))
		result = ur_tls_load(context, files, error, error_size);
	else
		result = explain(error, error_size);
	ERR_clear_error();
	if (result)
		ur_tls_context_unref(context);
	else
		*ret_context = context;
	return result;
}

struct ur_tls_context *ur_tls_context_ref(struct ur_tls_context *context)
{
	context->references++;
	return context;
}

void ur_tls_context_unref(struct ur_tls_context *context)
{
	if (!context || --context->references > 0)
		return;
	SSL_CTX_free(context->ssl);
	BIO_meth_free(context->bio);
	free(context);
}

int64_t ur_tls_context_get_not_after(const struct ur_tls_context *context)
{
	return context->not_after;
}

int64_t ur_tls_context_get_crl_next_update(const struct ur_tls_context *context)
{
	return context->crl_next_update;
}
