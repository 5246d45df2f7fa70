/* SPDX-License-Identifier: BSD-2-Clause */
#include <criterion/criterion.h>

#include <uidrecv/types.h>

#include "certs.h"
#include "pair.h"
#include "raw.h"

#include <openssl/x509v3.h>

#define WHOLE (64 * 1024)
#define SPEC(...) (&(struct certs_spec){__VA_ARGS__})

static struct certs *make_all(void)
{
	struct certs *certs = certs_new_basic("agent", NULL);

	certs_make(certs, SPEC(.name = "other-ca", .is_authority = true));
	certs_make(certs, SPEC(.name = "twin-ca", .subject = "ca",
			       .is_authority = true));
	certs_make(certs, SPEC(.name = "sub-ca", .issuer = "ca",
			       .is_authority = true));
	certs_make(certs, SPEC(.name = "sub-leaf", .issuer = "sub-ca",
			       .san = "DNS:agent"));
	certs_join(certs, "sub.pem", "sub-leaf.pem", "sub-ca.pem");
	certs_join(certs, "sub-key.pem", "sub-leaf-key.pem", "sub-leaf.pem");
	return certs;
}

/* What a stage that trusts "ca" says to a peer with the certificate name. */
static int meet(struct certs *certs, bool is_server, const char *name,
		const char *crl, int *ret_alert)
{
	struct ur_tls_context *context =
	    pair_context(certs, is_server ? UR_TLS_SERVER : UR_TLS_CLIENT,
			 is_server ? "receiver" : "agent", NULL, crl);
	struct ur_tls *tls;
	struct raw raw;
	int result;

	cr_assert_eq(ur_tls_new(&tls, context), 0);
	ur_tls_context_unref(context);
	raw_new(&raw, !is_server, certs, name);
	raw_start(&raw);
	result = raw_shake(&raw, tls);
	*ret_alert = raw.alert;
	if (result < 0) {
		cr_assert_str_not_empty(ur_tls_get_error(tls));
		cr_assert_eq(ur_tls_get_names_count(tls), 0);
		cr_assert_not(ur_tls_has_name(tls, "127.0.0.1"));
	}
	cr_assert_neq(result, 0, "%s", name);
	raw_free(&raw);
	ur_tls_free(tls);
	return result;
}

static void expect(struct certs *certs, const char *name, const char *crl,
		   int client_alert, int server_alert)
{
	int alert;
	int result = meet(certs, true, name, crl, &alert);

	cr_assert_eq(result, client_alert ? UIDRECV_E_CERTIFICATE : 1,
		     "%s to a server: %d", name, result);
	cr_assert_eq(alert, client_alert, "%s to a server: alert %d", name,
		     alert);
	result = meet(certs, false, name, crl, &alert);
	cr_assert_eq(result, server_alert ? UIDRECV_E_CERTIFICATE : 1,
		     "%s to a client: %d", name, result);
	cr_assert_eq(alert, server_alert, "%s to a client: alert %d", name,
		     alert);
}

/* Each peer as a client of ours and as a server of ours; 0: welcome. */
static const struct {
	int as_client, as_server; /* the alert that it gets */
	struct certs_spec spec;
} peers[] = {
    {0, 0, {.name = "good", .issuer = "ca"}},
    {0, 0, {.name = "rsa", .issuer = "ca", .rsa_bits = 2048}},
    {0, 43, {.name = "client", .issuer = "ca", .usage = "clientAuth"}},
    {43, 0, {.name = "server", .issuer = "ca", .usage = "serverAuth"}},
    {45, 45, {.name = "old", .issuer = "ca", .starts_s = -9, .ends_s = -1}},
    {42, 42, {.name = "early", .issuer = "ca", .starts_s = 3600}},
    {48, 48, {.name = "alien", .issuer = "other-ca"}},
    {48, 48, {.name = "self"}},
    {48, 48, {.name = "self-agent", .subject = "agent"}},
    {48, 48, {.name = "twin", .issuer = "twin-ca"}},
    {43, 43, {.name = "no-eku", .issuer = "ca", .usage = ""}},
    {43, 43, {.name = "any", .issuer = "ca", .usage = "anyExtendedKeyUsage"}},
    {43, 43, {.name = "mail", .issuer = "ca", .usage = "emailProtection"}},
    {43,
     43,
     {.name = "leaf-ca",
      .issuer = "ca",
      .usage = "clientAuth,serverAuth",
      .is_authority = true}},
    {48, 48, {.name = "of-leaf", .issuer = "good"}},
    {46, 46, {.name = "no-ids", .issuer = "ca", .has_no_key_ids = true}},
    {42, 42, {.name = "weak", .issuer = "ca", .rsa_bits = 1024}},
};

Test(tls_peer, lets_in_whom_it_should_in_both_directions)
{
	struct certs *certs = make_all();

	for (size_t i = 0; i < sizeof(peers) / sizeof(*peers); i++) {
		certs_make(certs, &peers[i].spec);
		expect(certs, peers[i].spec.name, NULL, peers[i].as_client,
		       peers[i].as_server);
	}
	expect(certs, "sub", NULL, 0, 0);
	expect(certs, "sub-leaf", NULL, 48, 48);
	certs_free(certs);
}

/* The subject is the peer's, the text must not be. */
Test(tls_peer, names_the_refused_escaped)
{
	struct certs *certs = certs_new_basic("agent", NULL);
	struct ur_tls_context *context =
	    pair_context(certs, UR_TLS_SERVER, "receiver", NULL, NULL);
	struct ur_tls *tls;
	struct raw raw;

	certs_make(certs, SPEC(.name = "evil", .issuer = "ca", .ends_s = -1,
			       .subject = "x\n\x1b[2J,CN=\xc3\xa9\""));
	cr_assert_eq(ur_tls_new(&tls, context), 0);
	ur_tls_context_unref(context);
	raw_new(&raw, false, certs, "evil");
	raw_start(&raw);
	cr_assert_eq(raw_shake(&raw, tls), UIDRECV_E_CERTIFICATE);
	cr_assert_str_eq(ur_tls_get_error(tls),
			 "the certificate of \"CN=x\\0A\\1B[2J\\,CN=\\C3"
			 "\\A9\\\"\": certificate has expired");
	raw_free(&raw);
	ur_tls_free(tls);
	certs_free(certs);
}

Test(tls_peer, needs_a_certificate)
{
	struct certs *certs = certs_new_basic("agent", NULL);
	int alert;

	cr_assert_eq(meet(certs, true, NULL, NULL, &alert),
		     UIDRECV_E_CERTIFICATE);
	cr_assert_eq(alert, 116);
	certs_free(certs);
}

/* A chain of authorities below "ca" and a leaf under the last of them. */
static void make_chain(struct certs *certs, unsigned int authorities)
{
	char name[32], issuer[32] = "ca";

	for (unsigned int i = 0; i < authorities; i++) {
		snprintf(name, sizeof(name), "step%u", i);
		certs_make(certs, SPEC(.name = name, .issuer = issuer,
				       .is_authority = true));
		snprintf(issuer, sizeof(issuer), "step%u", i);
	}
	certs_make(certs, SPEC(.name = "end", .issuer = issuer));
	certs_join(certs, "chain.pem", "end.pem", "end-key.pem");
	certs_join(certs, "chain-key.pem", "end-key.pem", "end.pem");
	while (authorities-- > 0) {
		snprintf(name, sizeof(name), "step%u.pem", authorities);
		certs_append(certs, "chain.pem", name);
	}
}

static int meet_chain(unsigned int authorities)
{
	struct certs *certs = certs_new_basic("agent", NULL);
	int alert, result;

	make_chain(certs, authorities);
	result = meet(certs, true, "chain", NULL, &alert);
	certs_free(certs);
	return result;
}

Test(tls_peer, bounds_the_chain)
{
	cr_assert_eq(meet_chain(3), 1);
	cr_assert_eq(meet_chain(4), UIDRECV_E_CERTIFICATE);
	cr_assert_eq(meet_chain(60), UIDRECV_E_TLS);
}

Test(tls_peer, bounds_the_size_of_a_certificate)
{
	struct certs *certs = certs_new_basic("agent", NULL);
	static struct certs_name names[10000];
	int alert;

	for (size_t i = 0; i < 10000; i++)
		names[i] = (struct certs_name){CERTS_DNS, "a.example", 9};
	certs_make(certs, SPEC(.name = "large", .issuer = "ca", .names = names,
			       .names_count = 10000));
	cr_assert_eq(meet(certs, true, "large", NULL, &alert), UIDRECV_E_TLS);
	certs_make(certs, SPEC(.name = "wide", .issuer = "ca", .names = names,
			       .names_count = 1000));
	cr_assert_eq(meet(certs, true, "wide", NULL, &alert), 1);
	certs_make(certs,
		   SPEC(.name = "long", .issuer = "ca", .rsa_bits = 3072));
	cr_assert_eq(meet(certs, true, "long", NULL, &alert), 1);
	certs_free(certs);
}

/* What the stage makes of a certificate changed after it was loaded. */
static int meet_changed(X509_EXTENSION *extension, bool is_added)
{
	struct certs *certs = certs_new_basic("agent", NULL);
	struct ur_tls_context *context =
	    pair_context(certs, UR_TLS_SERVER, "receiver", NULL, NULL);
	struct ur_tls *tls;
	struct raw raw;
	X509 *certificate;
	int result, at;

	cr_assert_eq(ur_tls_new(&tls, context), 0);
	ur_tls_context_unref(context);
	raw_new(&raw, false, certs, "agent");
	certificate = SSL_CTX_get0_certificate(raw.ctx);
	at = X509_get_ext_by_NID(certificate, NID_subject_alt_name, -1);
	if (!is_added)
		X509_EXTENSION_free(X509_delete_ext(certificate, at));
	cr_assert(X509_add_ext(certificate, extension, -1));
	X509_EXTENSION_free(extension);
	certs_sign(certs, certificate, "ca");
	raw_start(&raw);
	result = raw_shake(&raw, tls);
	raw_free(&raw);
	ur_tls_free(tls);
	certs_free(certs);
	return result;
}

static X509_EXTENSION *make_san(const char *bytes, size_t size)
{
	ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
	X509_EXTENSION *extension;

	cr_assert(value && ASN1_OCTET_STRING_set(
			       value, (const unsigned char *)bytes, (int)size));
	extension =
	    X509_EXTENSION_create_by_NID(NULL, NID_subject_alt_name, 0, value);
	ASN1_OCTET_STRING_free(value);
	return extension;
}

Test(tls_peer, refuses_malformed_names)
{
	static const char good[] = "\x30\x03\x82\x01z";

	cr_assert_eq(meet_changed(make_san(good, 5), false), 1);
	cr_assert_eq(meet_changed(make_san(good, 5), true),
		     UIDRECV_E_CERTIFICATE);
	cr_assert_eq(meet_changed(make_san(good, 4), false),
		     UIDRECV_E_CERTIFICATE);
	cr_assert_eq(meet_changed(make_san("\x30\x03\x82\x7fz", 5), false),
		     UIDRECV_E_CERTIFICATE);
	cr_assert_eq(meet_changed(make_san("", 0), false),
		     UIDRECV_E_CERTIFICATE);
}
