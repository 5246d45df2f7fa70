/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include <uidrecv/types.h>

#include "certs.h"
#include "tls.h"

#define SPEC(...) (&(struct certs_spec){__VA_ARGS__})

static struct certs *make_all(void)
{
	struct certs *certs = certs_new_basic("agent", NULL);

	certs_make(certs, SPEC(.name = "old", .issuer = "ca", .ends_s = -60));
	certs_make(certs,
		   SPEC(.name = "early", .issuer = "ca", .starts_s = 3600));
	certs_make(certs,
		   SPEC(.name = "weak", .issuer = "ca", .rsa_bits = 1024));
	certs_make_crl(certs,
		       &(struct certs_crl){.file = "crl.pem", .issuer = "ca"});
	certs_protect_key(certs, "receiver", "secret.pem", "secret");
	certs_protect_key(certs, "receiver", "empty-secret.pem", "");
	certs_join(certs, "old-chain.pem", "receiver.pem", "old.pem");
	certs_write(certs, "empty.pem", "");
	certs_write(certs, "text.pem", "not a certificate\n");
	certs_write(certs, "cut.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n");
	certs_write(certs, "garbage.pem",
		    "-----BEGIN CERTIFICATE-----\nMIIBAAAA\n"
		    "-----END CERTIFICATE-----\n");
	certs_write(certs, "bad-key.pem",
		    "-----BEGIN PRIVATE KEY-----\nMIIBAAAA\n"
		    "-----END PRIVATE KEY-----\n");
	certs_write(certs, "bad-crl.pem",
		    "-----BEGIN X509 CRL-----\nMIIBAAAA\n"
		    "-----END X509 CRL-----\n");
	certs_join(certs, "half.pem", "ca.pem", "garbage.pem");
	certs_join(certs, "half-crl.pem", "crl.pem", "bad-crl.pem");
	return certs;
}

/* Files in the order cert, key, ca, crl; NULL: the good one (no crl). */
static const struct {
	const char *files[4];
	int wrong; /* which of them the text must name */
	const char *says;
} cases[] = {
    {{"missing.pem"}, 0, "cannot be opened: No such file"},
    {{"."}, 0, ""},
    {{"empty.pem"}, 0, "holds no certificate"},
    {{"text.pem"}, 0, "holds no certificate"},
    {{"receiver-key.pem"}, 0, "holds no certificate"},
    {{"cut.pem"}, 0, "is damaged"},
    {{"garbage.pem"}, 0, "is damaged"},
    {{"old.pem", "old-key.pem"}, 0, "expired at 20"},
    {{"old-chain.pem"}, 0, "expired at 20"},
    {{"early.pem", "early-key.pem"}, 0, "check the clock"},
    {{"weak.pem", "weak-key.pem"}, 0, "cannot be used"},
    {{NULL, "missing.pem"}, 1, "cannot be opened"},
    {{NULL, "empty.pem"}, 1, "holds no private key"},
    {{NULL, "receiver.pem"}, 1, "holds no private key"},
    {{NULL, "bad-key.pem"}, 1, "holds no private key"},
    {{NULL, "agent-key.pem"}, 1, "does not belong to the certificate in"},
    {{NULL, "weak-key.pem"}, 1, "does not belong to the certificate in"},
    {{NULL, "secret.pem"}, 1, "has a passphrase"},
    {{NULL, "empty-secret.pem"}, 1, "has a passphrase"},
    {{NULL, NULL, "missing.pem"}, 2, "cannot be opened"},
    {{NULL, NULL, "empty.pem"}, 2, "holds no certificate"},
    {{NULL, NULL, "half.pem"}, 2, "is damaged"},
    {{NULL, NULL, "agent.pem"}, 2, "no authority"},
    {{NULL, NULL, NULL, "missing.pem"}, 3, "cannot be opened"},
    {{NULL, NULL, NULL, "empty.pem"}, 3, "holds no revocation list"},
    {{NULL, NULL, NULL, "ca.pem"}, 3, "holds no revocation list"},
    {{NULL, NULL, NULL, "bad-crl.pem"}, 3, "is damaged"},
    {{NULL, NULL, NULL, "half-crl.pem"}, 3, "is damaged"},
};

static const char *choose(struct certs *certs, const char *file,
			  const char *otherwise)
{
	if (!file && !otherwise)
		return NULL;
	return certs_path(certs, file ? file : otherwise);
}

static int load(struct certs *certs, const char *const files[4],
		struct ur_tls_files *ret_files, char *error, size_t error_size)
{
	struct ur_tls_context *context = NULL;
	int result;

	ret_files->cert = choose(certs, files[0], "receiver.pem");
	ret_files->key = choose(certs, files[1], "receiver-key.pem");
	ret_files->ca = choose(certs, files[2], "ca.pem");
	ret_files->crl = choose(certs, files[3], NULL);
	result = ur_tls_context_new(&context, UR_TLS_SERVER, ret_files, error,
				    error_size);
	ur_tls_context_unref(context);
	return result;
}

Test(tls_files, says_which_file_and_what)
{
	struct certs *certs = make_all();
	struct ur_tls_files files;
	char error[512];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *paths[4];
		int result =
		    load(certs, cases[i].files, &files, error, sizeof(error));

		paths[0] = files.cert;
		paths[1] = files.key;
		paths[2] = files.ca;
		paths[3] = files.crl;
		cr_assert_eq(result, UIDRECV_E_CREDENTIALS, "case %zu", i);
		cr_assert(strncmp(error, paths[cases[i].wrong],
				  strlen(paths[cases[i].wrong])) == 0,
			  "%s", error);
		cr_assert_not_null(strstr(error, cases[i].says), "%s", error);
		cr_assert_null(strchr(error, '\n'));
	}
	certs_free(certs);
}

Test(tls_files, takes_good_ones)
{
	static const char *const plain[4], *const crl[4] = {[3] = "crl.pem"};
	struct certs *certs = make_all();
	struct ur_tls_files files;
	char error[8] = "";

	cr_assert_eq(load(certs, plain, &files, error, sizeof(error)), 0);
	cr_assert_eq(load(certs, crl, &files, error, sizeof(error)), 0);
	cr_assert_str_empty(error);
	certs_free(certs);
}

Test(tls_files, needs_no_room_for_the_text)
{
	static const char *const missing[4] = {"missing.pem"};
	struct certs *certs = make_all();
	struct ur_tls_files files;
	char error[8];

	cr_assert_eq(load(certs, missing, &files, NULL, 0),
		     UIDRECV_E_CREDENTIALS);
	cr_assert_eq(load(certs, missing, &files, error, sizeof(error)),
		     UIDRECV_E_CREDENTIALS);
	cr_assert_eq(strlen(error), sizeof(error) - 1);
	certs_free(certs);
}

/* A reload fails as a whole; the connections keep what they have. */
Test(tls_files, a_context_lives_as_long_as_its_connections)
{
	static const char *const good[4];
	struct certs *certs = make_all();
	struct ur_tls_context *context;
	struct ur_tls_files files;
	struct ur_tls *tls;
	const uint8_t *bytes;
	char error[64];

	cr_assert_eq(load(certs, good, &files, error, sizeof(error)), 0);
	cr_assert_eq(ur_tls_context_new(&context, UR_TLS_CLIENT, &files, error,
					sizeof(error)),
		     0);
	ur_tls_context_ref(context);
	cr_assert_eq(ur_tls_new(&tls, context), 0);
	ur_tls_context_unref(context);
	ur_tls_context_unref(context);
	cr_assert_eq(ur_tls_handshake(tls), 0);
	cr_assert_gt(ur_tls_send(tls, &bytes), 100);
	ur_tls_free(tls);
	ur_tls_free(NULL);
	ur_tls_context_unref(NULL);
	certs_free(certs);
}
