/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TLS as a pure stage: cipher bytes in and out, plain bytes in and out, over
 * memory BIOs. Only lib/tls*.c include OpenSSL.
 *
 * 1.3 only, mutual certificates, ALPN uidrecv/1, no resumption, no early data,
 * a private CA store, never default paths. A peer's certificate must have the
 * extended key usage of its side (clientAuth or serverAuth), must not be an
 * authority's, and its chain must keep the rules of RFC 5280; with a CRL file
 * every authority of the chain must have a current list there.
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
	const char *ca;	  /* PEM: the authorities that we trust */
	const char *crl;  /* PEM: revocation lists, or NULL: none is checked */
};

enum ur_tls_side { UR_TLS_CLIENT, UR_TLS_SERVER };

/*
 * Loads the files. 0, -ENOMEM, or UIDRECV_E_CREDENTIALS with a text that says
 * which file, what is wrong and what to do. A certificate of our own that has
 * expired or is not yet valid is refused, for no peer can accept it; a CRL that
 * has expired is loaded, and then refuses every peer.
 */
int ur_tls_context_new(struct ur_tls_context **ret_context,
		       enum ur_tls_side side, const struct ur_tls_files *files,
		       char *error, size_t error_size);
struct ur_tls_context *ur_tls_context_ref(struct ur_tls_context *context);
void ur_tls_context_unref(struct ur_tls_context *context);

/* When our own certificate ends, seconds since 1970. */
int64_t ur_tls_context_get_not_after(const struct ur_tls_context *context);

/*
 * When the first of the CRLs ends: after it no peer of its authority is let in.
 * INT64_MAX without an end, or without CRL.
 */
int64_t ur_tls_context_get_crl_next_update(
    const struct ur_tls_context *context);

/* One connection. It holds the context. */
struct ur_tls;

int ur_tls_new(struct ur_tls **ret_tls, struct ur_tls_context *context);
void ur_tls_free(struct ur_tls *tls);

/*
 * Takes cipher bytes from the socket. All of them are taken; at most 64 KiB at
 * once, and only after the handshake or ur_tls_next() has returned 0. 0 or
 * -ENOMEM (then for ever). After an error or the peer's close_notify bytes are
 * thrown away.
 */
int ur_tls_feed(struct ur_tls *tls, const void *bytes, size_t size);

/*
 * The socket has reached its end. What was fed is still given out; then, if
 * there was no close_notify, the handshake and ur_tls_next() return
 * UIDRECV_E_TLS: somebody may have cut the stream.
 */
void ur_tls_feed_end(struct ur_tls *tls);

/*
 * Goes on with the handshake. 1 done, 0 more bytes are needed, or for ever
 * after: UIDRECV_E_TLS, _CERTIFICATE, _ALPN, _CLOSED, -ENOMEM. What must be
 * sent is sent also after an error (the alert). A client is done before the
 * server has seen its certificate.
 */
int ur_tls_handshake(struct ur_tls *tls);

/*
 * Gives plain bytes. > 0 how many, 0 more cipher bytes are needed, or for ever
 * after: UIDRECV_E_CLOSED (close_notify; writing goes on), UIDRECV_E_TLS,
 * UIDRECV_E_CERTIFICATE (the peer refused our certificate by an alert),
 * UIDRECV_E_ALPN (likewise), -ENOMEM. Before the handshake is done, or without
 * room: -EINVAL.
 */
int ur_tls_next(struct ur_tls *tls, void *bytes, size_t room);

/*
 * Takes plain bytes to send: all or none. 0; -ENOBUFS if the bytes and what is
 * to be sent would be more than UR_TLS_OUT_MAX; UIDRECV_E_CLOSED after
 * ur_tls_shutdown(); or an error as above.
 */
#define UR_TLS_OUT_MAX (2u << 20)
int ur_tls_write(struct ur_tls *tls, const void *bytes, size_t size);

/* Queues close_notify, if there is a connection to close. Reading goes on. */
void ur_tls_shutdown(struct ur_tls *tls);

/* The cipher bytes to be sent: borrowed until the next call. */
size_t ur_tls_send(struct ur_tls *tls, const uint8_t **ret_bytes);
void ur_tls_sent(struct ur_tls *tls, size_t size);

/*
 * The verified peer's identities: SANs of type DNS (in lower case) and URI, in
 * the order of the certificate. Names that are empty, longer than
 * UIDRECV_NAME_MAX or not of printable ASCII without blanks are left out, and
 * so is a URI without a colon and a DNS name with one. A wildcard is a name
 * like any other. None before the handshake is done. NULL past the end; a name
 * is valid as long as tls.
 */
size_t ur_tls_get_names_count(const struct ur_tls *tls);
const char *ur_tls_get_name(const struct ur_tls *tls, size_t index);

/*
 * Has the peer's certificate a SAN that is exactly this DNS name (in any case),
 * URI or IP address? An address matches SANs of type IP only.
 */
bool ur_tls_has_name(const struct ur_tls *tls, const char *name);

/*
 * When the peer's certificate, or the first of its chain, ends, seconds since
 * 1970; INT64_MIN before the handshake is done.
 */
int64_t ur_tls_get_not_after(const struct ur_tls *tls);

/*
 * Verifies the peer's certificate again under another context of the same side
 * (after a reload of CA or CRL; also the times are checked). 0 or
 * UIDRECV_E_CERTIFICATE; the connection goes on in any case. -EINVAL before the
 * handshake is done.
 */
int ur_tls_reverify(struct ur_tls *tls, struct ur_tls_context *context);

/*
 * Says in detail what went wrong last, for the log: printable ASCII, never
 * NULL, empty if nothing did.
 */
const char *ur_tls_get_error(const struct ur_tls *tls);

#endif
