/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the TLS stage share; nobody else includes this. */
#ifndef UR_TLS_PRIVATE_H
#define UR_TLS_PRIVATE_H

#include <openssl/ssl.h>

#include "buf.h"
#include "tls.h"

#define UR_TLS_ALPN "uidrecv/1"
#define UR_TLS_ALPN_SIZE (sizeof(UR_TLS_ALPN) - 1)

/*
 * A peer may send this many handshake messages (KeyUpdate, and a server also
 * NewSessionTicket) in a row without application data.
 */
#define UR_TLS_MESSAGES_MAX 64

struct ur_tls_context {
	SSL_CTX *ssl;
	BIO_METHOD *bio;
	enum ur_tls_side side;
	unsigned int references;
	int64_t not_after;
	int64_t crl_next_update;
};

struct ur_tls {
	struct ur_tls_context *context;
	SSL *ssl;
	struct ur_buf in, out;
	int error;	 /* sticky, of everything */
	bool is_done;	 /* the handshake, with all our checks */
	bool is_closed;	 /* the peer has sent close_notify */
	bool is_shut;	 /* we have */
	bool has_ended;	 /* no more bytes will be fed */
	bool is_refused; /* the peer's certificate, by us; text says why */
	bool is_foreign; /* the client does not offer our protocol */
	unsigned int messages; /* see UR_TLS_MESSAGES_MAX */
	int64_t not_after;
	char *names; /* one after the other, each with its zero */
	size_t names_count;
	char text[320];
};

/* A BIO whose data is a struct ur_tls: its queues in and out. */
BIO_METHOD *ur_tls_bio_method_new(void);

/* Reads the files into the context; as ur_tls_context_new(). */
int ur_tls_load(struct ur_tls_context *context,
		const struct ur_tls_files *files, char *error_text,
		size_t error_size);

/* Callbacks of the context; the side that verifies is in their names. */
int ur_tls_verify_client(int is_ok, X509_STORE_CTX *verification);
int ur_tls_verify_server(int is_ok, X509_STORE_CTX *verification);

/* Seconds since 1970; INT64_MIN if it is no time. */
int64_t ur_tls_time(const ASN1_TIME *time);

/* Fills names and not_after of the verified peer. 0 or -ENOMEM. */
int ur_tls_names_load(struct ur_tls *tls);

#endif
