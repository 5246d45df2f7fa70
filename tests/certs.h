/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Throw-away certificates for tests, good and bad ones: made at run time with
 * P-256 keys, written as PEM into a temporary directory. What goes wrong aborts
 * the test.
 */
#ifndef TESTS_CERTS_H
#define TESTS_CERTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct certs;
struct x509_st; /* X509 */

/* Types of subject alternative names, as RFC 5280 numbers them. */
enum certs_name_type {
	CERTS_EMAIL = 1,
	CERTS_DNS = 2,
	CERTS_URI = 6,
	CERTS_IP = 7,
};

/* A name byte for byte, for those that the text form cannot say. */
struct certs_name {
	enum certs_name_type type;
	const char *bytes;
	size_t size;
};

/* What a certificate shall be like; what is zero is as in a good one. */
struct certs_spec {
	const char *name;   /* its files are NAME.pem and NAME-key.pem */
	const char *issuer; /* name of an authority made before; NULL: itself */
	const char *key;    /* of this one made before; NULL: its own */
	const char *subject; /* common name; NULL: name */
	bool is_bmp;	     /* subject as BMPString */
	const char *san;     /* as OpenSSL writes it: "DNS:a,URI:b:c,IP:::1" */
	const struct certs_name *names; /* instead of san */
	size_t names_count;
	const char *usage; /* extended key usage; NULL: both sides; "": none */
	bool is_authority; /* CA:TRUE */
	bool has_no_key_ids;
	int64_t starts_s, ends_s; /* from now on; 0: an hour ago, in a day */
	unsigned int rsa_bits;	  /* 0: P-256 */
};

struct certs_crl {
	const char *file; /* under the directory */
	const char *issuer;
	const char *revoked;	  /* name, or NULL: nobody */
	int64_t starts_s, ends_s; /* as above */
};

struct certs *certs_new(void);
/* Removes the directory too. */
void certs_free(struct certs *certs);

/*
 * An authority "ca", a "receiver" (DNS:localhost, DNS:receiver, IP:127.0.0.1,
 * IP:::1) and an agent by each of the names, up to a NULL, whose SAN is
 * DNS:NAME.
 */
struct certs *certs_new_basic(const char *agent, ...) __attribute__((sentinel));

/* The path of a file in the directory; valid as long as certs. */
const char *certs_path(struct certs *certs, const char *file);

void certs_make(struct certs *certs, const struct certs_spec *spec);

/* Signs a certificate again that was changed by hand. */
void certs_sign(struct certs *certs, struct x509_st *certificate,
		const char *issuer);

void certs_make_crl(struct certs *certs, const struct certs_crl *spec);

/* Writes the key of name under a passphrase. */
void certs_protect_key(struct certs *certs, const char *name, const char *file,
		       const char *passphrase);

/* Writes a file of the first file and the second; adds a file; a text. */
void certs_join(struct certs *certs, const char *file, const char *first,
		const char *second);
void certs_append(struct certs *certs, const char *file, const char *added);
void certs_write(struct certs *certs, const char *file, const char *text);

#endif
