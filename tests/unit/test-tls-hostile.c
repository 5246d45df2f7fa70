/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include <criterion/criterion.h>
#include <openssl/err.h>

#include <uidrecv/types.h>

#include "certs.h"
#include "pair.h"
#include "raw.h"

#define WHOLE (64 * 1024)
#define ALERT_SIZE 7 /* a record with an alert, unencrypted */

struct scene {
	struct certs *certs;
	struct ur_tls *tls;
	struct raw raw;
};

/* The stage and a raw peer with the agent's, or receiver's, certificate. */
static void begin(struct scene *scene, bool is_server)
{
	struct ur_tls_context *context;

	scene->certs = certs_new_basic("agent", NULL);
	context = pair_context(scene->certs,
			       is_server ? UR_TLS_SERVER : UR_TLS_CLIENT,
			       is_server ? "receiver" : "agent", NULL, NULL);
	cr_assert_eq(ur_tls_new(&scene->tls, context), 0);
	ur_tls_context_unref(context);
	raw_new(&scene->raw, !is_server, scene->certs,
		is_server ? "agent" : "receiver");
}

static void end(struct scene *scene)
{
	raw_free(&scene->raw);
	ur_tls_free(scene->tls);
	certs_free(scene->certs);
}

/* What the stage says when the peer is as ctx was made; ends the scene. */
static int shake(struct scene *scene, int *ret_alert)
{
	int result;

	raw_start(&scene->raw);
	result = raw_shake(&scene->raw, scene->tls);
	*ret_alert = scene->raw.alert;
	end(scene);
	return result;
}

Test(tls_hostile, refuses_older_versions)
{
	static const int versions[] = {TLS1_VERSION, TLS1_1_VERSION,
				       TLS1_2_VERSION};
	struct scene scene;
	int alert;

	for (size_t i = 0; i < 3; i++) {
		begin(&scene, true);
		SSL_CTX_set_max_proto_version(scene.raw.ctx, versions[i]);
		cr_assert_eq(shake(&scene, &alert), UIDRECV_E_TLS);
		cr_assert_eq(alert, SSL_AD_PROTOCOL_VERSION, "%d", alert);
		begin(&scene, false);
		SSL_CTX_set_max_proto_version(scene.raw.ctx, versions[i]);
		cr_assert_eq(shake(&scene, &alert), UIDRECV_E_TLS);
	}
}

Test(tls_hostile, needs_its_protocol_offered)
{
	static const struct {
		const char *offer;
		unsigned int size;
		int result, alert;
	} cases[] = {
	    {"", 0, UIDRECV_E_ALPN, 120},
	    {"\x02h2", 3, UIDRECV_E_ALPN, 120},
	    {"\x09uidrecv/2", 10, UIDRECV_E_ALPN, 120},
	    {"\x08uidrecv/", 9, UIDRECV_E_ALPN, 120},
	    {"\x0auidrecv/1x", 11, UIDRECV_E_ALPN, 120},
	    {"\x09UIDRECV/1", 10, UIDRECV_E_ALPN, 120},
	    {"\x02h2\x09uidrecv/1", 13, 1, 0},
	    {"\x09uidrecv/1\x02h2", 13, 1, 0},
	};
	struct scene scene;
	int alert, result;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		begin(&scene, true);
		SSL_CTX_set_alpn_protos(scene.raw.ctx,
					(const uint8_t *)cases[i].offer,
					cases[i].size);
		result = shake(&scene, &alert);
		cr_assert_eq(result, cases[i].result, "case %zu", i);
		cr_assert_eq(alert, cases[i].alert, "case %zu", i);
	}
}

/* The handshake is over for OpenSSL, so there is no alert but this one. */
Test(tls_hostile, needs_its_protocol_chosen)
{
	struct scene scene;

	begin(&scene, false);
	SSL_CTX_set_alpn_select_cb(scene.raw.ctx, NULL, NULL);
	raw_start(&scene.raw);
	cr_assert_eq(raw_shake(&scene.raw, scene.tls), UIDRECV_E_ALPN);
	cr_assert(SSL_get_shutdown(scene.raw.ssl) & SSL_RECEIVED_SHUTDOWN);
	end(&scene);
}

/* The client learns by the alert that the server does not know us. */
Test(tls_hostile, tells_why_the_peer_refused)
{
	struct certs *certs = certs_new_basic("agent", NULL);
	struct ur_tls_context *context =
	    pair_context(certs, UR_TLS_CLIENT, "agent", NULL, NULL);
	static const uint8_t alert[] = {21, 3, 3, 0, 2, 2, 120};
	struct ur_tls *tls;
	const uint8_t *bytes;

	cr_assert_eq(ur_tls_new(&tls, context), 0);
	ur_tls_context_unref(context);
	cr_assert_eq(ur_tls_handshake(tls), 0);
	ur_tls_sent(tls, ur_tls_send(tls, &bytes));
	ur_tls_feed(tls, alert, sizeof(alert));
	cr_assert_eq(ur_tls_handshake(tls), UIDRECV_E_ALPN);
	cr_assert_str_eq(ur_tls_get_error(tls),
			 "the peer sent the alert 'no application protocol'");
	cr_assert_eq(ur_tls_send(tls, &bytes), 0);
	ur_tls_free(tls);
	certs_free(certs);
}

Test(tls_hostile, speaks_three_suites_and_three_groups)
{
	static const struct {
		const char *suite;
		char *group;
		bool is_welcome;
	} cases[] = {
	    {"TLS_AES_128_GCM_SHA256", "X25519", true},
	    {"TLS_AES_256_GCM_SHA384", "P-256", true},
	    {"TLS_CHACHA20_POLY1305_SHA256", "P-384", true},
	    {"TLS_AES_128_CCM_SHA256", "X25519", false},
	    {"TLS_AES_128_CCM_8_SHA256", "X25519", false},
	    {"TLS_AES_128_GCM_SHA256", "P-521", false},
	    {"TLS_AES_128_GCM_SHA256", "X448", false},
	    {"TLS_AES_128_GCM_SHA256", "ffdhe2048", false},
	    {"TLS_AES_128_GCM_SHA256", "P-521:P-256", true}, /* HRR */
	};
	struct scene scene;
	int alert;

	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(*cases); i++) {
		begin(&scene, i % 2);
		cr_assert(SSL_CTX_set_ciphersuites(scene.raw.ctx,
						   cases[i / 2].suite));
		cr_assert(SSL_CTX_set1_groups_list(scene.raw.ctx,
						   cases[i / 2].group));
		cr_assert_eq(shake(&scene, &alert),
			     cases[i / 2].is_welcome ? 1 : UIDRECV_E_TLS,
			     "case %zu", i);
	}
}

/* What is no TLS gets at most an alert, and nothing comes of it. */
static void offer(const void *bytes, size_t size, bool is_server)
{
	struct scene scene;
	const uint8_t *answer;
	const char hello[] = "\x15\x03\x03\0\2";
	size_t answer_size;

	begin(&scene, is_server);
	if (!is_server) {
		cr_assert_eq(ur_tls_handshake(scene.tls), 0);
		ur_tls_sent(scene.tls, ur_tls_send(scene.tls, &answer));
	}
	ur_tls_feed(scene.tls, bytes, size);
	if (ur_tls_handshake(scene.tls) == 0)
		ur_tls_feed_end(scene.tls);
	cr_assert_eq(ur_tls_handshake(scene.tls), UIDRECV_E_TLS);
	answer_size = ur_tls_send(scene.tls, &answer);
	cr_assert_leq(answer_size, ALERT_SIZE);
	if (answer_size > 0)
		cr_assert_eq(memcmp(answer, hello, 1), 0);
	end(&scene);
}

Test(tls_hostile, refuses_what_is_no_tls)
{
	static const struct {
		const char *bytes;
		size_t size;
	} cases[] = {
	    {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27},
	    {"CONNECT x:1 HTTP/1.1\r\n\r\n", 24},
	    {"\x01\x01\0\0\0\0\0\x10\0\0\0\0\0\0\0\0", 16}, /* our frame */
	    {"SSH-2.0-x\r\n", 11},
	    {"\x80\x2e\x01\0\x02\0\x15\0\0\0\x10\x01\0\x80\x02\0\x80", 17},
	    {"\x16\x03\0\0\x05\x01\0\0\x01\x03", 10}, /* SSLv3 */
	    {"\x16\x03\x01\xff\xff\x01\0\0\x01\x03", 10},
	    {"\x16\x03\x01\0\0", 5},
	    {"\x17\x03\x03\0\x05hello", 10},
	    {"\x14\x03\x03\0\x01\x01", 6},
	    {"\0", 1},
	};
	static uint8_t noise[WHOLE];
	uint32_t state = 1;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		offer(cases[i].bytes, cases[i].size, true);
		offer(cases[i].bytes, cases[i].size, false);
	}
	for (int round = 0; round < 20; round++) {
		for (size_t i = 0; i < sizeof(noise); i++) {
			state = state * 1664525 + 1013904223;
			noise[i] = (uint8_t)(state >> 24);
		}
		offer(noise, sizeof(noise), round % 2);
	}
}

static int count_ticket(SSL *ssl, SSL_SESSION *session)
{
	int *count = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	(void)session;
	++*count;
	return 0;
}

Test(tls_hostile, resumes_nothing)
{
	struct scene scene;
	SSL_SESSION *session;
	int tickets = 0;

	begin(&scene, true);
	SSL_CTX_set_session_cache_mode(scene.raw.ctx, SSL_SESS_CACHE_CLIENT);
	SSL_CTX_sess_set_new_cb(scene.raw.ctx, count_ticket);
	SSL_CTX_set_app_data(scene.raw.ctx, &tickets);
	raw_start(&scene.raw);
	cr_assert_eq(raw_shake(&scene.raw, scene.tls), 1);
	cr_assert_eq(ur_tls_write(scene.tls, "x", 1), 0);
	raw_shake(&scene.raw, scene.tls);
	cr_assert_eq(tickets, 0);
	session = SSL_get1_session(scene.raw.ssl);
	cr_assert_not(SSL_SESSION_is_resumable(session));
	SSL_SESSION_free(session);
	end(&scene);
}

/* A session that a peer made up, with early data allowed. */
static int use_psk(SSL *ssl, const EVP_MD *digest, const unsigned char **ret_id,
		   size_t *ret_size, SSL_SESSION **ret_session)
{
	static const unsigned char id[] = "psk", key[32] = {1};
	static const unsigned char suite[] = {0x13, 0x01};
	SSL_SESSION *session = SSL_SESSION_new();

	(void)digest;
	cr_assert(
	    session && SSL_SESSION_set1_master_key(session, key, sizeof(key)) &&
	    SSL_SESSION_set_cipher(session, SSL_CIPHER_find(ssl, suite)) &&
	    SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) &&
	    SSL_SESSION_set_max_early_data(session, 1000) &&
	    SSL_SESSION_set1_alpn_selected(
		session, (const unsigned char *)"uidrecv/1", 9));
	*ret_id = id;
	*ret_size = 3;
	*ret_session = session;
	return 1;
}

Test(tls_hostile, takes_no_psk_and_no_early_data)
{
	struct scene scene;
	size_t written;
	uint8_t room[64];
	int result;

	for (int is_early = 0; is_early < 2; is_early++) {
		begin(&scene, true);
		SSL_CTX_set_psk_use_session_callback(scene.raw.ctx, use_psk);
		raw_start(&scene.raw);
		if (is_early)
			cr_assert_eq(SSL_write_early_data(scene.raw.ssl,
							  "early", 5, &written),
				     1);
		result = raw_shake(&scene.raw, scene.tls);
		if (result == 1)
			result = ur_tls_next(scene.tls, room, sizeof(room));
		cr_assert_leq(result, 0);
		cr_assert_not(SSL_session_reused(scene.raw.ssl));
		if (!is_early)
			cr_assert_eq(result, 0);
		end(&scene);
	}
}

/* Rounds of KeyUpdates; then perhaps a byte of data. What next() says. */
static int update(struct scene *scene, int updates, bool has_data, bool is_echo)
{
	uint8_t byte;
	int result = 0;

	for (int i = 0; i < updates; i++) {
		SSL_key_update(scene->raw.ssl,
			       is_echo ? SSL_KEY_UPDATE_REQUESTED
				       : SSL_KEY_UPDATE_NOT_REQUESTED);
		SSL_do_handshake(scene->raw.ssl);
	}
	if (has_data)
		SSL_write(scene->raw.ssl, "x", 1);
	do {
		raw_move(&scene->raw, scene->tls);
		while ((result = ur_tls_next(scene->tls, &byte, 1)) > 0)
			;
	} while (result == 0 && BIO_ctrl_pending(scene->raw.out) > 0);
	return result;
}

Test(tls_hostile, ends_a_flood_of_key_updates)
{
	struct scene scene;
	const uint8_t *bytes;

	for (int kind = 0; kind < 4; kind++) {
		begin(&scene, kind & 1);
		raw_start(&scene.raw);
		cr_assert_eq(raw_shake(&scene.raw, scene.tls), 1);
		for (int i = 0; i < 50; i++)
			cr_assert_eq(update(&scene, 60, true, kind & 2), 0);
		cr_assert_eq(update(&scene, 60, false, kind & 2), 0);
		cr_assert_eq(
		    update(&scene, kind ? 1000 : 100000, false, kind & 2),
		    UIDRECV_E_TLS);
		cr_assert_not_null(
		    strstr(ur_tls_get_error(scene.tls), "too many"));
		cr_assert_leq(ur_tls_send(scene.tls, &bytes), 64 * 64);
		end(&scene);
	}
}

/* What OpenSSL leaves behind in the thread's queue is not the next's fault. */
Test(tls_hostile, minds_its_own_errors_only)
{
	struct scene scene;

	begin(&scene, true);
	raw_start(&scene.raw);
	ERR_raise(ERR_LIB_SSL, SSL_R_BAD_LENGTH);
	cr_assert_eq(raw_shake(&scene.raw, scene.tls), 1);
	ERR_raise(ERR_LIB_SSL, SSL_R_BAD_LENGTH);
	cr_assert_eq(update(&scene, 1, true, true), 0);
	end(&scene);
}
