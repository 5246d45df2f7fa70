/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include <uidrecv/types.h>

#include "tls-private.h"

#define IN_MAX (128 * 1024)
/* For alerts, KeyUpdates and what encryption adds. */
#define OUT_SPARE (64 * 1024)

static int take_in(BIO *bio, char *bytes, int size)
{
	struct ur_tls *tls = BIO_get_data(bio);
	size_t taken = size > 0 ? (size_t)size : 0;

	BIO_clear_retry_flags(bio);
	/* OpenSSL would go on until all that was fed is used up. */
	if (tls->messages > UR_TLS_MESSAGES_MAX)
		return -1;
	if (tls->in.size == 0 && tls->has_ended)
		return 0;
	if (tls->in.size == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	if (taken > tls->in.size)
		taken = tls->in.size;
	memcpy(bytes, ur_buf_front(&tls->in), taken);
	ur_buf_consume(&tls->in, taken);
	return (int)taken;
}

static int put_out(BIO *bio, const char *bytes, int size)
{
	struct ur_tls *tls = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	ur_buf_bytes(&tls->out, bytes, size > 0 ? (size_t)size : 0);
	return tls->out.failed ? -1 : size;
}

static long control(BIO *bio, int command, long number, void *pointer)
{
	const struct ur_tls *tls = BIO_get_data(bio);

	(void)number;
	(void)pointer;
	if (command == BIO_CTRL_EOF)
		return tls->has_ended && tls->in.size == 0;
	return command == BIO_CTRL_FLUSH;
}

BIO_METHOD *ur_tls_bio_method_new(void)
{
	BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "uidrecv");

	if (method && BIO_meth_set_read(method, take_in) &&
	    BIO_meth_set_write(method, put_out) &&
	    BIO_meth_set_ctrl(method, control))
		return method;
	BIO_meth_free(method);
	return NULL;
}

static bool set_up(struct ur_tls *tls)
{
	BIO *bio;

	tls->ssl = SSL_new(tls->context->ssl);
	bio = BIO_new(tls->context->bio);
	if (!tls->ssl || !bio || !SSL_set_app_data(tls->ssl, tls)) {
		BIO_free(bio);
		return false;
	}
	BIO_set_data(bio, tls);
	BIO_set_init(bio, 1);
	SSL_set_bio(tls->ssl, bio, bio);
	if (tls->context->side == UR_TLS_SERVER)
		SSL_set_accept_state(tls->ssl);
	else
		SSL_set_connect_state(tls->ssl);
	return true;
}

int ur_tls_new(struct ur_tls **ret_tls, struct ur_tls_context *context)
{
	struct ur_tls *tls = calloc(1, sizeof(*tls));

	if (!tls)
		return -ENOMEM;
	tls->context = ur_tls_context_ref(context);
	tls->not_after = INT64_MIN;
	ur_buf_init(&tls->in, IN_MAX);
	ur_buf_init(&tls->out, UR_TLS_OUT_MAX + OUT_SPARE);
	ERR_clear_error();
	if (!set_up(tls)) {
		ERR_clear_error();
		ur_tls_free(tls);
		return -ENOMEM;
	}
	*ret_tls = tls;
	return 0;
}

void ur_tls_free(struct ur_tls *tls)
{
	if (!tls)
		return;
	SSL_free(tls->ssl);
	ur_tls_context_unref(tls->context);
	ur_buf_done(&tls->in);
	ur_buf_done(&tls->out);
	free(tls->names);
	free(tls);
}

static int fail(struct ur_tls *tls, int error, const char *text)
{
	tls->error = error;
	if (text)
		snprintf(tls->text, sizeof(tls->text), "%s", text);
	return error;
}

/* Which alerts say that our certificate was not liked. */
static bool is_about_certificate(int alert)
{
	switch (alert) {
	case SSL_AD_BAD_CERTIFICATE:
	case SSL_AD_UNSUPPORTED_CERTIFICATE:
	case SSL_AD_CERTIFICATE_REVOKED:
	case SSL_AD_CERTIFICATE_EXPIRED:
	case SSL_AD_CERTIFICATE_UNKNOWN:
	case SSL_AD_UNKNOWN_CA:
	case SSL_AD_ACCESS_DENIED:
	case SSL_AD_CERTIFICATE_REQUIRED:
		return true;
	default:
		return false;
	}
}

static int fail_by_alert(struct ur_tls *tls, int alert)
{
	snprintf(tls->text, sizeof(tls->text), "the peer sent the alert '%s'",
		 SSL_alert_desc_string_long(alert));
	if (is_about_certificate(alert))
		return fail(tls, UIDRECV_E_CERTIFICATE, NULL);
	if (alert == SSL_AD_NO_APPLICATION_PROTOCOL)
		return fail(tls, UIDRECV_E_ALPN, NULL);
	return fail(tls, UIDRECV_E_TLS, NULL);
}

static int fail_by_reason(struct ur_tls *tls, unsigned long error)
{
	const char *text = ERR_reason_error_string(error);
	int reason = ERR_GET_REASON(error);

	if (reason == ERR_R_MALLOC_FAILURE)
		return fail(tls, -ENOMEM, "no memory");
	if (ERR_GET_LIB(error) != ERR_LIB_SSL)
		return fail(tls, UIDRECV_E_TLS, text ? text : "unknown error");
	if (reason > SSL_AD_REASON_OFFSET)
		return fail_by_alert(tls, reason - SSL_AD_REASON_OFFSET);
	switch (reason) {
	case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
	case SSL_R_CERTIFICATE_VERIFY_FAILED:
		return fail(tls, UIDRECV_E_CERTIFICATE, text);
	case SSL_R_UNEXPECTED_EOF_WHILE_READING:
		return fail(tls, UIDRECV_E_TLS,
			    "the connection ended without close_notify");
	default:
		return fail(tls, UIDRECV_E_TLS, text ? text : "unknown error");
	}
}

/* What a call of OpenSSL that gave no success means: 0 for more bytes. */
static int explain(struct ur_tls *tls, int result)
{
	int what = SSL_get_error(tls->ssl, result);

	if (what == SSL_ERROR_WANT_READ)
		return 0;
	if (what == SSL_ERROR_ZERO_RETURN) {
		tls->is_closed = true;
		return UIDRECV_E_CLOSED;
	}
	if (tls->in.failed || tls->out.failed)
		return fail(tls, -ENOMEM, "no memory");
	if (tls->messages > UR_TLS_MESSAGES_MAX)
		return fail(tls, UIDRECV_E_TLS,
			    "too many handshake messages after the handshake");
	if (tls->is_refused)
		return fail(tls, UIDRECV_E_CERTIFICATE, NULL);
	if (tls->is_foreign)
		return fail(tls, UIDRECV_E_ALPN,
			    "the peer does not offer " UR_TLS_ALPN);
	return fail_by_reason(tls, ERR_peek_error());
}

int ur_tls_feed(struct ur_tls *tls, const void *bytes, size_t size)
{
	if (tls->error || tls->is_closed || tls->has_ended)
		return 0;
	ur_buf_bytes(&tls->in, bytes, size);
	if (tls->in.failed)
		return fail(tls, -ENOMEM, "no memory");
	return 0;
}

void ur_tls_feed_end(struct ur_tls *tls)
{
	tls->has_ended = true;
}

static bool is_our_protocol(const SSL *ssl)
{
	const unsigned char *name;
	unsigned int size;

	SSL_get0_alpn_selected(ssl, &name, &size);
	return size == UR_TLS_ALPN_SIZE && memcmp(name, UR_TLS_ALPN, size) == 0;
}

/* OpenSSL is content; are we? */
static int check_handshake(struct ur_tls *tls)
{
	SSL *ssl = tls->ssl;

	/* The result is X509_V_OK also if nothing was verified. */
	if (!SSL_get0_peer_certificate(ssl) ||
	    SSL_get_verify_result(ssl) != X509_V_OK)
		return fail(tls, UIDRECV_E_CERTIFICATE,
			    "the peer's certificate was not verified");
	if (SSL_version(ssl) != TLS1_3_VERSION || SSL_session_reused(ssl))
		return fail(tls, UIDRECV_E_TLS,
			    "not a full handshake of TLS 1.3");
	if (!is_our_protocol(ssl))
		return fail(tls, UIDRECV_E_ALPN,
			    "the peer did not choose " UR_TLS_ALPN);
	if (ur_tls_names_load(tls) < 0)
		return fail(tls, -ENOMEM, "no memory");
	return 0;
}

int ur_tls_handshake(struct ur_tls *tls)
{
	int result;

	if (tls->error)
		return tls->error;
	if (tls->is_done)
		return 1;
	if (tls->is_closed)
		return UIDRECV_E_CLOSED;
	ERR_clear_error();
	result = SSL_do_handshake(tls->ssl);
	if (result != 1) {
		result = explain(tls, result);
		ERR_clear_error();
		return result;
	}
	result = check_handshake(tls);
	if (result) {
		/* The handshake's own alerts are over: close_notify. */
		SSL_shutdown(tls->ssl);
		ERR_clear_error();
		return result;
	}
	tls->is_done = true;
	return 1;
}

int ur_tls_next(struct ur_tls *tls, void *bytes, size_t room)
{
	int result;

	if (tls->error)
		return tls->error;
	if (tls->is_closed)
		return UIDRECV_E_CLOSED;
	if (!tls->is_done || room == 0)
		return -EINVAL;
	ERR_clear_error();
	result =
	    SSL_read(tls->ssl, bytes, room > INT_MAX ? INT_MAX : (int)room);
	if (result > 0) {
		tls->messages = 0;
		return result;
	}
	result = explain(tls, result);
	ERR_clear_error();
	return result;
}

int ur_tls_write(struct ur_tls *tls, const void *bytes, size_t size)
{
	int result;

	if (tls->error)
		return tls->error;
	if (tls->is_shut)
		return UIDRECV_E_CLOSED;
	if (!tls->is_done)
		return -EINVAL;
	if (size == 0)
		return 0;
	if (size > UR_TLS_OUT_MAX || tls->out.size > UR_TLS_OUT_MAX - size)
		return -ENOBUFS;
	ERR_clear_error();
	result = SSL_write(tls->ssl, bytes, (int)size);
	if (result > 0)
		return 0;
	result = explain(tls, result);
	ERR_clear_error();
	/* Our BIO takes everything: there is nothing to wait for. */
	return result ? result : fail(tls, UIDRECV_E_TLS, "write stalled");
}

void ur_tls_shutdown(struct ur_tls *tls)
{
	if (tls->error || tls->is_shut || !tls->is_done)
		return;
	tls->is_shut = true;
	ERR_clear_error();
	SSL_shutdown(tls->ssl);
	ERR_clear_error();
}

size_t ur_tls_send(struct ur_tls *tls, const uint8_t **ret_bytes)
{
	*ret_bytes = ur_buf_front(&tls->out);
	return tls->out.size;
}

void ur_tls_sent(struct ur_tls *tls, size_t size)
{
	ur_buf_consume(&tls->out, size);
}

int64_t ur_tls_get_not_after(const struct ur_tls *tls)
{
	return tls->not_after;
}

const char *ur_tls_get_error(const struct ur_tls *tls)
{
	return tls->text;
}
