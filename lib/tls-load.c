/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <uidrecv/types.h>

#include "tls-private.h"

/* The context being filled and where to complain. */
struct loading {
	struct ur_tls_context *context;
	char *error;
	size_t error_size;
};

__attribute__((format(printf, 2, 3))) static int refuse(struct loading *loading,
							const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(loading->error, loading->error_size, format, arguments);
	va_end(arguments);
	return UIDRECV_E_CREDENTIALS;
}

static const char *get_reason(void)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	return reason ? reason : "unknown error";
}

/* Without it OpenSSL would ask on the terminal. */
static int refuse_passphrase(char *buffer, int size, int is_write, void *user)
{
	bool *is_asked = user;

	(void)buffer;
	(void)size;
	(void)is_write;
	if (is_asked)
		*is_asked = true;
	return -1;
}

static int open_file(struct loading *loading, const char *file, BIO **ret_bio)
{
	ERR_clear_error();
	errno = 0;
	*ret_bio = BIO_new_file(file, "re");
	if (*ret_bio)
		return 0;
	if (errno == ENOMEM)
		return -ENOMEM;
	return refuse(loading,
		      "%s: cannot be opened: %s; check the path and who may "
		      "read it",
		      file, strerror(errno));
}

/* Was the end of the file why nothing more was read, not a damaged part? */
static bool is_at_end(void)
{
	unsigned long error = ERR_peek_last_error();

	return ERR_GET_LIB(error) == ERR_LIB_PEM &&
	       ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

static int check_end(struct loading *loading, const char *file, int count,
		     const char *what, const char *begin)
{
	if (!is_at_end())
		return refuse(loading, "%s: is damaged: %s; write it again",
			      file, get_reason());
	if (count == 0)
		return refuse(loading,
			      "%s: holds no %s; expected PEM with -----BEGIN "
			      "%s-----",
			      file, what, begin);
	return 0;
}

static int check_times(struct loading *loading, const char *file,
		       const X509 *certificate)
{
	const ASN1_TIME *start = X509_get0_notBefore(certificate);
	const ASN1_TIME *end = X509_get0_notAfter(certificate);
	char text[32];
	struct tm tm;
	bool is_early = X509_cmp_current_time(start) > 0;

	if (!is_early && X509_cmp_current_time(end) > 0)
		return 0;
	if (!ASN1_TIME_to_tm(is_early ? start : end, &tm) ||
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		return refuse(loading, "%s: the certificate has a bad time",
			      file);
	if (is_early)
		return refuse(loading,
			      "%s: the certificate is not valid before %s; "
			      "check the clock of this system",
			      file, text);
	return refuse(loading,
		      "%s: the certificate expired at %s; issue a new one",
		      file, text);
}

static int use_certificate(struct loading *loading, const char *file,
			   X509 *certificate, bool is_first)
{
	SSL_CTX *ssl = loading->context->ssl;
	int error = check_times(loading, file, certificate);
	int64_t end = ur_tls_time(X509_get0_notAfter(certificate));

	if (error)
		return error;
	if (is_first || end < loading->context->not_after)
		loading->context->not_after = end;
	if (is_first ? SSL_CTX_use_certificate(ssl, certificate) == 1
		     : SSL_CTX_add1_chain_cert(ssl, certificate) == 1)
		return 0;
	return refuse(loading,
		      "%s: the certificate cannot be used: %s; make one with a "
		      "P-256 key, or RSA of 2048 bits or more, and SHA-256",
		      file, get_reason());
}

static int load_certificates(struct loading *loading, const char *file)
{
	X509 *certificate;
	BIO *bio;
	int count = 0, error;

	error = open_file(loading, file, &bio);
	while (!error) {
		certificate =
		    PEM_read_bio_X509(bio, NULL, refuse_passphrase, NULL);
		if (!certificate)
			break;
		error = use_certificate(loading, file, certificate, count == 0);
		X509_free(certificate);
		count++;
	}
	if (!error)
		error = check_end(loading, file, count, "certificate",
				  "CERTIFICATE");
	BIO_free(bio);
	return error;
}

static int load_key(struct loading *loading, const char *file,
		    const char *certificate_file)
{
	SSL_CTX *ssl = loading->context->ssl;
	bool is_asked = false;
	EVP_PKEY *key;
	BIO *bio;
	int error;

	error = open_file(loading, file, &bio);
	if (error)
		return error;
	key = PEM_read_bio_PrivateKey(bio, NULL, refuse_passphrase, &is_asked);
	BIO_free(bio);
	if (!key && is_asked)
		return refuse(loading,
			      "%s: the key has a passphrase; write it without "
			      "one: openssl pkey -in OLD -out NEW",
			      file);
	if (!key)
		return refuse(loading,
			      "%s: holds no private key that can be read: %s; "
			      "expected PEM with -----BEGIN PRIVATE KEY-----",
			      file, get_reason());
	if (X509_check_private_key(SSL_CTX_get0_certificate(ssl), key) != 1)
		error = refuse(loading,
			       "%s: does not belong to the certificate in %s; "
			       "give the key that it was made for",
			       file, certificate_file);
	else if (SSL_CTX_use_PrivateKey(ssl, key) != 1)
		error = refuse(loading, "%s: the key cannot be used: %s", file,
			       get_reason());
	EVP_PKEY_free(key);
	return error;
}

static int load_authorities(struct loading *loading, const char *file)
{
	X509_STORE *store = SSL_CTX_get_cert_store(loading->context->ssl);
	X509 *certificate;
	BIO *bio;
	int count = 0, error;

	error = open_file(loading, file, &bio);
	while (!error) {
		certificate =
		    PEM_read_bio_X509(bio, NULL, refuse_passphrase, NULL);
		if (!certificate)
			break;
		if (X509_check_ca(certificate) != 1)
			error = refuse(loading,
				       "%s: holds a certificate that is no "
				       "authority (CA:TRUE); give the one that "
				       "signed the peers'",
				       file);
		else if (!X509_STORE_add_cert(store, certificate))
			error = -ENOMEM;
		X509_free(certificate);
		count++;
	}
	if (!error)
		error = check_end(loading, file, count, "certificate",
				  "CERTIFICATE");
	BIO_free(bio);
	return error;
}

static int load_revocations(struct loading *loading, const char *file)
{
	X509_STORE *store = SSL_CTX_get_cert_store(loading->context->ssl);
	int64_t *next_update = &loading->context->crl_next_update;
	int64_t end;
	X509_CRL *crl;
	BIO *bio;
	int count = 0, error;

	error = open_file(loading, file, &bio);
	while (!error) {
		crl = PEM_read_bio_X509_CRL(bio, NULL, refuse_passphrase, NULL);
		if (!crl)
			break;
		end = ur_tls_time(X509_CRL_get0_nextUpdate(crl));
		if (end != INT64_MIN && end < *next_update)
			*next_update = end;
		if (!X509_STORE_add_crl(store, crl))
			error = -ENOMEM;
		X509_CRL_free(crl);
		count++;
	}
	if (!error)
		error = check_end(loading, file, count, "revocation list",
				  "X509 CRL");
	BIO_free(bio);
	return error;
}

int ur_tls_load(struct ur_tls_context *context,
		const struct ur_tls_files *files, char *error_text,
		size_t error_size)
{
	struct loading loading = {context, error_text, error_size};
	int error;

	error = load_certificates(&loading, files->cert);
	if (!error)
		error = load_key(&loading, files->key, files->cert);
	if (!error)
		error = load_authorities(&loading, files->ca);
	if (!error && files->crl)
		error = load_revocations(&loading, files->crl);
	return error;
}
