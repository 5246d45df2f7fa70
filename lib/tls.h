/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TLS as a pure stage: cipher bytes in and out, plain bytes in and out, over
 * memory BIOs. The only file that includes OpenSSL.
 *
 * 1.3 only, mutual certificates, ALPN uidrecv/1, no resumption, no early data,
 * a private CA store, never default paths.
 */
#ifndef UR_TLS_H
#define UR_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Certificate, key, authorities: shared by connections, counted. */
struct ur_tls_context;

struct ur_tls_files {
	const char *cert; /* PEM: our certificate and its chain */
	const char *key;  /* PEM: its key */
	const char *ca;   /* PEM: the authorities that we trust */
	const char *crl;  /* PEM: revocation lists, or NULL: none is checked */
};

enum ur_tls_side { UR_TLS_CLIENT, UR_TLS_SERVER };

/*
 * Loads the files. 0, -ENOMEM, or UIDRECV_E_CREDENTIALS with a text that says
 * which file, what is wrong and what to do.
 */
int ur_tls_context_new(struct ur_tls_context **ret_context,
		       enum ur_tls_side side, const struct ur_tls_files *files,
		       char *error, size_t error_size);
struct ur_tls_context *ur_tls_context_ref(struct ur_tls_context *context);
void ur_tls_context_unref(struct ur_tls_context *context);

/* When our own certificate ends, seconds since 1970. */
int64_t ur_tls_context_get_not_after(const struct ur_tls_context *context);

/* One connection. */
struct ur_tls;

int ur_tls_new(struct ur_tls **ret_tls, struct ur_tls_context *context);
void ur_tls_free(struct ur_tls *tls);

/*
 * Takes cipher bytes from the socket. All of them are taken; at most 64 KiB at
 * once. 0 or -ENOMEM.
 */
int ur_tls_feed(struct ur_tls *tls, const void *bytes, size_t size);

/*
 * Goes on with the handshake. 1 done, 0 more bytes are needed, or for ever
 * after: UIDRECV_E_TLS, _CERTIFICATE, _ALPN. What must be sent is sent also
 * after an error (the alert).
 */
int ur_tls_handshake(struct ur_tls *tls);

/*
 * Gives plain bytes. > 0 how many, 0 more cipher bytes are needed, or for ever
 * after: UIDRECV_E_CLOSED (close_notify), UIDRECV_E_TLS,
 * UIDRECV_E_CERTIFICATE (the peer refused our certificate by an alert).
 */
int ur_tls_next(struct ur_tls *tls, void *bytes, size_t room);

/* Takes plain bytes to send. 0, or an error as above. */
int ur_tls_write(struct ur_tls *tls, const void *bytes, size_t size);

/* Queues close_notify. */
void ur_tls_shutdown(struct ur_tls *tls);

/* The cipher bytes to be sent: borrowed until the next call. */
size_t ur_tls_send(struct ur_tls *tls, const uint8_t **ret_bytes);
void ur_tls_sent(struct ur_tls *tls, size_t size);

/*
 * The verified peer's identities: SANs of type DNS (in lower case) and URI, in
 * the order of the certificate, as they are, without NUL or control characters
 * (others are left out). Returns the number; *ret_name is valid as long as tls.
 */
size_t ur_tls_get_names_count(const struct ur_tls *tls);
const char *ur_tls_get_name(const struct ur_tls *tls, size_t index);

/* Has the peer's certificate a SAN that is exactly this DNS name, URI or
 * IP address? */
bool ur_tls_has_name(const struct ur_tls *tls, const char *name);

/* When the peer's certificate ends, seconds since 1970. */
int64_t ur_tls_get_not_after(const struct ur_tls *tls);

/*
 * Verifies the peer's certificate again under another context (after a reload
 * of CA or CRL). 0 or UIDRECV_E_CERTIFICATE.
 */
int ur_tls_reverify(struct ur_tls *tls, struct ur_tls_context *context);

/* Says in detail what went wrong last, for the log; escaped, never NULL. */
const char *ur_tls_get_error(const struct ur_tls *tls);

#endif
