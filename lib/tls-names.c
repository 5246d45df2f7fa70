/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <uidrecv/types.h>

#include "tls-private.h"

int64_t ur_tls_time(const ASN1_TIME *time)
{
	struct tm tm;

	if (!time || !ASN1_TIME_to_tm(time, &tm))
		return INT64_MIN;
	return timegm(&tm);
}

/*
 * IA5String is ASCII by definition, but OpenSSL does not look. A name with a
 * NUL would compare as its beginning, one with control characters would forge
 * log lines, one that is too long is no agent's.
 */
static bool is_usable(const unsigned char *bytes, size_t size)
{
	if (size == 0 || size > UIDRECV_NAME_MAX)
		return false;
	for (size_t i = 0; i < size; i++) {
		if (bytes[i] <= ' ' || bytes[i] >= 0x7f)
			return false;
	}
	return true;
}

/* A URI has a scheme, a DNS name has no colon: one look tells them apart. */
static bool is_uri(const void *bytes, size_t size)
{
	return memchr(bytes, ':', size) != NULL;
}

static char to_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static const ASN1_IA5STRING *get_text(const GENERAL_NAME *name)
{
	if (name->type == GEN_DNS)
		return name->d.dNSName;
	if (name->type == GEN_URI)
		return name->d.uniformResourceIdentifier;
	return NULL;
}

/* Writes the name if there is a place; its size with the zero, or 0. */
static size_t put_name(char *at, const GENERAL_NAME *name)
{
	const ASN1_IA5STRING *text = get_text(name);
	const unsigned char *bytes;
	size_t size;

	if (!text)
		return 0;
	bytes = ASN1_STRING_get0_data(text);
	size = (size_t)ASN1_STRING_length(text);
	if (!is_usable(bytes, size) ||
	    is_uri(bytes, size) != (name->type == GEN_URI))
		return 0;
	if (!at)
		return size + 1;
	memcpy(at, bytes, size);
	at[size] = '\0';
	for (; name->type == GEN_DNS && *at; at++)
		*at = to_lower(*at);
	return size + 1;
}

static int put_names(struct ur_tls *tls, const GENERAL_NAMES *names)
{
	size_t size = 0, at = 0, put;

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
		size += put_name(NULL, sk_GENERAL_NAME_value(names, i));
	if (size == 0)
		return 0;
	tls->names = malloc(size);
	if (!tls->names)
		return -ENOMEM;
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		put =
		    put_name(tls->names + at, sk_GENERAL_NAME_value(names, i));
		at += put;
		tls->names_count += put > 0;
	}
	return 0;
}

int ur_tls_names_load(struct ur_tls *tls)
{
	X509 *certificate = SSL_get0_peer_certificate(tls->ssl);
	STACK_OF(X509) *chain = SSL_get0_verified_chain(tls->ssl);
	GENERAL_NAMES *names;
	int64_t end;
	int error = 0;

	/* It ends with the first of its chain. */
	tls->not_after = ur_tls_time(X509_get0_notAfter(certificate));
	for (int i = 0; i < sk_X509_num(chain); i++) {
		end = ur_tls_time(X509_get0_notAfter(sk_X509_value(chain, i)));
		if (end < tls->not_after)
			tls->not_after = end;
	}
	names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	if (names)
		error = put_names(tls, names);
	GENERAL_NAMES_free(names);
	return error;
}

size_t ur_tls_get_names_count(const struct ur_tls *tls)
{
	return tls->names_count;
}

const char *ur_tls_get_name(const struct ur_tls *tls, size_t index)
{
	const char *name = tls->names;

	if (index >= tls->names_count)
		return NULL;
	for (; index > 0; index--)
		name += strlen(name) + 1;
	return name;
}

static bool has_address(const struct ur_tls *tls, const uint8_t *bytes,
			size_t size)
{
	X509 *certificate = SSL_get0_peer_certificate(tls->ssl);

	return certificate && X509_check_ip(certificate, bytes, size, 0) == 1;
}

static bool is_same_dns(const char *name, const char *wanted)
{
	while (*name && *name == to_lower(*wanted)) {
		name++;
		wanted++;
	}
	return !*name && !*wanted;
}

bool ur_tls_has_name(const struct ur_tls *tls, const char *name)
{
	uint8_t bytes[16];
	const char *own;

	if (!tls->is_done)
		return false;
	if (inet_pton(AF_INET, name, bytes) == 1)
		return has_address(tls, bytes, 4);
	if (inet_pton(AF_INET6, name, bytes) == 1)
		return has_address(tls, bytes, 16);
	for (size_t i = 0; i < tls->names_count; i++) {
		own = ur_tls_get_name(tls, i);
		if (is_uri(own, strlen(own)) ? strcmp(own, name) == 0
					     : is_same_dns(own, name))
			return true;
	}
	return false;
}

static void blame(struct ur_tls *tls, X509 *certificate, const char *why)
{
	/* All but printable ASCII comes out escaped, and so do quotes. */
	unsigned long style = XN_FLAG_RFC2253;
	BIO *bio = certificate ? BIO_new(BIO_s_mem()) : NULL;
	const char *bytes = "";
	long size = 0;

	if (bio && X509_NAME_print_ex(bio, X509_get_subject_name(certificate),
				      0, style) >= 0)
		size = BIO_get_mem_data(bio, &bytes);
	snprintf(
	    tls->text, sizeof(tls->text), "the certificate of \"%.*s%s\": %s",
	    size > 160 ? 160 : (int)size, bytes, size > 160 ? "..." : "", why);
	tls->is_refused = !tls->is_done;
	BIO_free(bio);
}

/*
 * What OpenSSL lets pass: a certificate without any extended key usage, and an
 * authority's own certificate.
 */
static const char *find_fault(X509 *certificate, uint32_t usage)
{
	uint32_t usages = X509_get_extended_key_usage(certificate);

	if (X509_check_ca(certificate) != 0)
		return "it is an authority (CA:TRUE), not a peer";
	if (usages != UINT32_MAX && (usages & usage))
		return NULL;
	return usage == XKU_SSL_CLIENT
		   ? "its extended key usage lacks clientAuth"
		   : "its extended key usage lacks serverAuth";
}

/* Never turns a refusal into a consent. */
static int verify(int is_ok, X509_STORE_CTX *verification, uint32_t usage)
{
	X509 *certificate = X509_STORE_CTX_get_current_cert(verification);
	SSL *ssl = X509_STORE_CTX_get_ex_data(
	    verification, SSL_get_ex_data_X509_STORE_CTX_idx());
	const char *why = NULL;

	if (!is_ok)
		why = X509_verify_cert_error_string(
		    X509_STORE_CTX_get_error(verification));
	else if (X509_STORE_CTX_get_error_depth(verification) == 0)
		why = find_fault(certificate, usage);
	if (!why)
		return 1;
	if (is_ok)
		X509_STORE_CTX_set_error(verification,
					 X509_V_ERR_INVALID_PURPOSE);
	if (ssl)
		blame(SSL_get_app_data(ssl), certificate, why);
	return 0;
}

int ur_tls_verify_client(int is_ok, X509_STORE_CTX *verification)
{
	return verify(is_ok, verification, XKU_SSL_CLIENT);
}

int ur_tls_verify_server(int is_ok, X509_STORE_CTX *verification)
{
	return verify(is_ok, verification, XKU_SSL_SERVER);
}

static bool is_verified(struct ur_tls *tls, X509_STORE *store)
{
	X509_STORE_CTX *verification = X509_STORE_CTX_new();
	bool is_ok;

	is_ok = verification &&
		X509_STORE_CTX_init(verification, store,
				    SSL_get0_peer_certificate(tls->ssl),
				    SSL_get_peer_cert_chain(tls->ssl)) &&
		X509_STORE_CTX_set_ex_data(verification,
					   SSL_get_ex_data_X509_STORE_CTX_idx(),
					   tls->ssl) &&
		X509_verify_cert(verification) == 1;
	X509_STORE_CTX_free(verification);
	return is_ok;
}

int ur_tls_reverify(struct ur_tls *tls, struct ur_tls_context *context)
{
	bool is_ok;

	if (!tls->is_done || context->side != tls->context->side)
		return -EINVAL;
	ERR_clear_error();
	snprintf(tls->text, sizeof(tls->text), "no memory to verify again");
	is_ok = is_verified(tls, SSL_CTX_get_cert_store(context->ssl));
	ERR_clear_error();
	if (!is_ok)
		return UIDRECV_E_CERTIFICATE;
	tls->text[0] = '\0';
	return 0;
}
