/* SPDX-License-Identifier: BSD-2-Clause */
/* Certificates, when it is the receiver that connects. */
#include "dials.h"

#define NAME "ts1.example"

static struct live live;
static int listener;
static uint16_t port;

static void setup(void)
{
	live_init(&live, NAME, NULL);
	listener = wire_listen(&port);
}

static void done(void)
{
	live_done(&live);
	close(listener);
}

TestSuite(dial_certificates, .init = setup, .fini = done);

static void dial(void)
{
	cr_assert_eq(
	    uidrecv_receiver_add_agent(live.receiver, NAME, "127.0.0.1", port),
	    0);
}

static void make(const char *name, const char *usage, int64_t ends_s)
{
	char san[300];

	snprintf(san, sizeof(san), "DNS:%s", name);
	certs_make(live.certs, &(struct certs_spec){.name = name,
						    .issuer = "ca",
						    .san = san,
						    .usage = usage,
						    .ends_s = ends_s});
}

/* The listening side needs serverAuth, and no more; also after a reload. */
Test(dial_certificates, sides)
{
	struct ur_message message;
	struct wire wire;
	char error[600];

	make(NAME, "serverAuth", 0);
	live_start(&live);
	dial();
	wire_accept(&wire, &live, NAME, listener);
	wire_open(&wire, 7);
	cr_assert_eq(uidrecv_receiver_reload_certificates(live.receiver, error,
							  sizeof(error)),
		     0);
	wire_update(&wire, 1, "10.0.0.1", "alice", 1);
	cr_assert(wire_await(&wire, UR_ACK, &message));
	wire_free(&wire);
	make(NAME, "clientAuth", 0);
	dial_accept(&wire, &live, NAME, listener);
	wire_shake(&wire);
	live_await(&live, live_stats(&live).refused_certificate == 1);
	cr_expect_geq(dial_stats(&live, NAME).dial_retry_ms, 59000);
	cr_expect_eq(live_stats(&live).sessions, 0);
	wire_free(&wire);
}

/* Who is revoked is out, with a session and in the middle of the handshake. */
Test(dial_certificates, N32_reload)
{
	struct ur_message message;
	struct wire wire, shaking;
	char error[600];

	live_start(&live);
	dial();
	wire_accept(&wire, &live, NAME, listener);
	wire_open(&wire, 7);
	wire_free(&wire);
	dial_accept(&shaking, &live, NAME, listener);
	certs_make_crl(live.certs, &(struct certs_crl){.file = "crl.pem",
						       .issuer = "ca",
						       .revoked = NAME});
	live.receiver->crl_path = strdup(certs_path(live.certs, "crl.pem"));
	cr_assert_eq(uidrecv_receiver_reload_certificates(live.receiver, error,
							  sizeof(error)),
		     0, "%s", error);
	wire_shake(&shaking);
	live_await(&live, live_stats(&live).refused_certificate == 1);
	wire_free(&shaking);
	free(live.receiver->crl_path);
	live.receiver->crl_path = NULL;
	cr_assert_eq(uidrecv_receiver_reload_certificates(live.receiver, error,
							  sizeof(error)),
		     0);
	dial_accept(&wire, &live, NAME, listener);
	wire_open(&wire, 7);
	live.receiver->crl_path = strdup(certs_path(live.certs, "crl.pem"));
	cr_assert_eq(uidrecv_receiver_reload_certificates(live.receiver, error,
							  sizeof(error)),
		     0);
	cr_assert(wire_await(&wire, UR_BYE, &message));
	cr_expect_eq(message.bye.code, UIDRECV_BYE_CERTIFICATE);
	wire_free(&wire);
}

/* Files that cannot be used change neither side. */
Test(dial_certificates, bad_reload)
{
	struct ur_message message;
	struct wire wire;
	char error[600];

	live_start(&live);
	dial();
	wire_accept(&wire, &live, NAME, listener);
	wire_open(&wire, 7);
	certs_write(live.certs, "receiver.pem", "nothing\n");
	cr_assert_eq(uidrecv_receiver_reload_certificates(live.receiver, error,
							  sizeof(error)),
		     UIDRECV_E_CREDENTIALS);
	wire_update(&wire, 1, "10.0.0.1", "alice", 1);
	cr_assert(wire_await(&wire, UR_ACK, &message));
	wire_free(&wire);
	dial_accept(&wire, &live, NAME, listener);
	wire_open(&wire, 7);
	wire_free(&wire);
}

/* Our certificate has ended, and the agent says so. */
Test(dial_certificates, own_certificate_has_ended)
{
	uint64_t end_ms = live_now_ms() + 2500;
	struct wire wire;
	SSL_CTX *ctx;

	certs_make(live.certs, &(struct certs_spec){.name = "receiver",
						    .issuer = "ca",
						    .san = "DNS:receiver",
						    .ends_s = 2});
	live_start(&live);
	while (live_now_ms() < end_ms)
		live_turn(&live);
	dial();
	wire_accept(&wire, &live, NAME, listener);
	ctx = wire.raw.ctx;
	/* This one looks at what it is shown. */
	cr_assert(SSL_CTX_load_verify_locations(
	    ctx, certs_path(live.certs, "ca.pem"), NULL));
	SSL_CTX_set_verify(
	    ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_free(wire.ssl);
	wire.ssl = SSL_new(ctx);
	SSL_set_fd(wire.ssl, wire.fd);
	SSL_set_accept_state(wire.ssl);
	cr_expect_not(wire_shake(&wire));
	live_await(&live, live_stats(&live).refused_certificate == 1);
	cr_expect(strstr(dial_stats(&live, NAME).dial_error, "expired"), "%s",
		  dial_stats(&live, NAME).dial_error);
	cr_expect_geq(dial_stats(&live, NAME).dial_retry_ms, 59000);
	wire_free(&wire);
}
