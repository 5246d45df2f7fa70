/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <time.h>

#include <criterion/criterion.h>

#include <uidrecv/types.h>

#include "certs.h"
#include "pair.h"

#define WHOLE (64 * 1024)
#define SPEC(...) (&(struct certs_spec){__VA_ARGS__})
#define CRL(...) (&(struct certs_crl){__VA_ARGS__})

static struct certs *make_all(void)
{
	struct certs *certs = certs_new_basic("agent", "thief", NULL);

	certs_make(certs, SPEC(.name = "other-ca", .is_authority = true));
	certs_make(certs, SPEC(.name = "twin-ca", .subject = "ca",
			       .is_authority = true));
	certs_make(certs, SPEC(.name = "sub-ca", .issuer = "ca",
			       .is_authority = true));
	certs_make(certs, SPEC(.name = "sub", .issuer = "sub-ca"));
	certs_append(certs, "sub.pem", "sub-ca.pem");
	certs_make_crl(
	    certs, CRL(.file = "good.crl", .issuer = "ca", .revoked = "thief"));
	certs_make_crl(
	    certs, CRL(.file = "all.crl", .issuer = "ca", .revoked = "agent"));
	certs_make_crl(certs, CRL(.file = "sub.crl", .issuer = "sub-ca"));
	certs_make_crl(certs, CRL(.file = "no-sub.crl", .issuer = "ca",
				  .revoked = "sub-ca"));
	certs_make_crl(certs,
		       CRL(.file = "old.crl", .issuer = "ca", .ends_s = -1));
	certs_make_crl(
	    certs, CRL(.file = "future.crl", .issuer = "ca", .starts_s = 3600));
	certs_make_crl(certs, CRL(.file = "alien.crl", .issuer = "other-ca"));
	certs_make_crl(certs, CRL(.file = "twin.crl", .issuer = "twin-ca"));
	certs_join(certs, "both.crl", "good.crl", "sub.crl");
	certs_join(certs, "neither.crl", "no-sub.crl", "sub.crl");
	certs_join(certs, "cas.pem", "ca.pem", "other-ca.pem");
	return certs;
}

static const struct {
	const char *name, *crl;
	bool is_welcome;
} cases[] = {
    {"agent", NULL, true},	    {"agent", "good.crl", true},
    {"thief", NULL, true},	    {"thief", "good.crl", false},
    {"agent", "all.crl", false},    {"agent", "old.crl", false},
    {"agent", "future.crl", false}, {"agent", "alien.crl", false},
    {"agent", "twin.crl", false},   {"sub", "good.crl", false},
    {"sub", "sub.crl", false},	    {"sub", "both.crl", true},
    {"sub", "neither.crl", false},  {"agent", "both.crl", true},
};

Test(tls_revocation, fails_closed_in_both_directions)
{
	struct certs *certs = make_all();
	struct pair pair;

	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(*cases); i++) {
		const char *name = cases[i / 2].name, *crl = cases[i / 2].crl;
		bool is_server = i % 2;

		pair_new(&pair,
			 pair_context(certs, UR_TLS_CLIENT,
				      is_server ? "agent" : name, NULL,
				      is_server ? crl : NULL),
			 pair_context(certs, UR_TLS_SERVER,
				      is_server ? name : "receiver", NULL,
				      is_server ? NULL : crl));
		cr_assert_eq(pair_shake(&pair, WHOLE), cases[i / 2].is_welcome,
			     "%s with %s", name, crl ? crl : "no list");
		if (!cases[i / 2].is_welcome) {
			/* Also the refused one says whose fault it was. */
			cr_assert_eq(pair.client_result, UIDRECV_E_CERTIFICATE);
			cr_assert_eq(pair.server_result, UIDRECV_E_CERTIFICATE);
		}
		pair_free(&pair);
	}
	certs_free(certs);
}

Test(tls_revocation, says_when_the_list_ends)
{
	struct certs *certs = make_all();
	struct ur_tls_context *context;
	int64_t end = time(NULL) + 86400;
	int64_t said;

	context =
	    pair_context(certs, UR_TLS_SERVER, "receiver", NULL, "both.crl");
	said = ur_tls_context_get_crl_next_update(context);
	cr_assert(said > end - 60 && said < end + 60);
	said = ur_tls_context_get_not_after(context);
	cr_assert(said > end - 60 && said < end + 60);
	ur_tls_context_unref(context);
	context = pair_context(certs, UR_TLS_SERVER, "receiver", NULL, NULL);
	cr_assert_eq(ur_tls_context_get_crl_next_update(context), INT64_MAX);
	ur_tls_context_unref(context);
	certs_free(certs);
}

/* What a stage says to its peer after a reload. */
static int reload(struct ur_tls *tls, struct certs *certs,
		  enum ur_tls_side side, const char *ca, const char *crl)
{
	struct ur_tls_context *context = pair_context(
	    certs, side, side == UR_TLS_SERVER ? "receiver" : "agent", ca, crl);
	int result = ur_tls_reverify(tls, context);

	ur_tls_context_unref(context);
	return result;
}

static void check_reloads(struct certs *certs, struct ur_tls *tls,
			  enum ur_tls_side side)
{
	cr_assert_eq(reload(tls, certs, side, NULL, NULL), 0);
	cr_assert_str_empty(ur_tls_get_error(tls));
	cr_assert_eq(reload(tls, certs, side, NULL, "good.crl"), 0);
	cr_assert_eq(reload(tls, certs, side, NULL, "old.crl"),
		     UIDRECV_E_CERTIFICATE);
	cr_assert_eq(reload(tls, certs, side, "other-ca.pem", NULL),
		     UIDRECV_E_CERTIFICATE);
	cr_assert_str_not_empty(ur_tls_get_error(tls));
	cr_assert_eq(reload(tls, certs, side, "twin-ca.pem", NULL),
		     UIDRECV_E_CERTIFICATE);
	cr_assert_eq(reload(tls, certs, side, "cas.pem", NULL), 0);
	cr_assert_str_empty(ur_tls_get_error(tls));
}

Test(tls_revocation, a_reload_verifies_again)
{
	struct certs *certs = make_all();
	struct pair pair;
	uint8_t room[16];

	pair_new_basic(&pair, certs);
	cr_assert_eq(reload(pair.server, certs, UR_TLS_SERVER, NULL, NULL),
		     -EINVAL);
	cr_assert(pair_shake(&pair, WHOLE));
	check_reloads(certs, pair.server, UR_TLS_SERVER);
	check_reloads(certs, pair.client, UR_TLS_CLIENT);
	cr_assert_eq(reload(pair.server, certs, UR_TLS_SERVER, NULL, "all.crl"),
		     UIDRECV_E_CERTIFICATE);
	cr_assert_str_eq(ur_tls_get_error(pair.server),
			 "the certificate of \"CN=agent\": certificate "
			 "revoked");
	cr_assert_eq(reload(pair.server, certs, UR_TLS_CLIENT, NULL, NULL),
		     -EINVAL);
	/* A verdict is not a fault of the connection: BYE can be said. */
	cr_assert_eq(ur_tls_write(pair.server, "bye", 3), 0);
	pair_move(pair.server, pair.client, WHOLE);
	cr_assert_eq(ur_tls_next(pair.client, room, sizeof(room)), 3);
	pair_free(&pair);
	certs_free(certs);
}

/* The peer's own intermediate authority must be remembered for it. */
Test(tls_revocation, a_reload_verifies_the_whole_chain)
{
	struct certs *certs = make_all();
	struct pair pair;

	pair_new(&pair, pair_context(certs, UR_TLS_CLIENT, "sub", NULL, NULL),
		 pair_context(certs, UR_TLS_SERVER, "sub", NULL, NULL));
	cr_assert(pair_shake(&pair, WHOLE));
	for (int i = 0; i < 2; i++) {
		struct ur_tls *tls = i ? pair.client : pair.server;
		enum ur_tls_side side = i ? UR_TLS_CLIENT : UR_TLS_SERVER;

		cr_assert_eq(reload(tls, certs, side, NULL, NULL), 0);
		cr_assert_eq(reload(tls, certs, side, NULL, "both.crl"), 0);
		cr_assert_eq(reload(tls, certs, side, NULL, "neither.crl"),
			     UIDRECV_E_CERTIFICATE);
		cr_assert_str_eq(
		    ur_tls_get_error(tls),
		    "the certificate of \"CN=sub-ca\": certificate "
		    "revoked");
	}
	pair_free(&pair);
	certs_free(certs);
}

Test(tls_revocation, a_chain_ends_with_its_first)
{
	struct certs *certs = make_all();
	int64_t end = time(NULL) + 600;
	struct pair pair;
	int64_t said;

	certs_make(certs, SPEC(.name = "brief-ca", .issuer = "ca",
			       .is_authority = true, .ends_s = 600));
	certs_make(certs, SPEC(.name = "leaf", .issuer = "brief-ca"));
	certs_append(certs, "leaf.pem", "brief-ca.pem");
	pair_new(&pair, pair_context(certs, UR_TLS_CLIENT, "leaf", NULL, NULL),
		 pair_context(certs, UR_TLS_SERVER, "receiver", NULL, NULL));
	cr_assert(pair_shake(&pair, WHOLE));
	said = ur_tls_get_not_after(pair.server);
	cr_assert(said > end - 60 && said < end + 60);
	pair_free(&pair);
	certs_free(certs);
}

Test(tls_revocation, a_peer_that_expires_fails_the_next_time)
{
	struct certs *certs = make_all();
	struct timespec pause = {0, 100 * 1000 * 1000};
	struct pair pair;
	int64_t end;

	certs_make(certs, SPEC(.name = "brief", .issuer = "ca", .ends_s = 3));
	pair_new(&pair, pair_context(certs, UR_TLS_CLIENT, "brief", NULL, NULL),
		 pair_context(certs, UR_TLS_SERVER, "receiver", NULL, NULL));
	cr_assert(pair_shake(&pair, WHOLE));
	end = ur_tls_get_not_after(pair.server);
	while (time(NULL) <= end)
		nanosleep(&pause, NULL);
	cr_assert_eq(reload(pair.server, certs, UR_TLS_SERVER, NULL, NULL),
		     UIDRECV_E_CERTIFICATE);
	pair_free(&pair);
	certs_free(certs);
}
