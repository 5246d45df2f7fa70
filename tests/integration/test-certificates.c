/* SPDX-License-Identifier: BSD-2-Clause */
/* Who is let in, and certificate files that are read again. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "live.h"
#include "wire.h"

static void make_crl(struct live *live, const char *revoked)
{
	certs_make_crl(live->certs, &(struct certs_crl){.file = "crl.pem",
							.issuer = "ca",
							.revoked = revoked});
}

static void use_crl(struct live *live)
{
	make_crl(live, NULL);
	live->options.crl_path = certs_path(live->certs, "crl.pem");
}

/* Agents that are refused for their certificate, and the one that is good. */
static void refuse(struct live *live, const char *name, uint64_t refused)
{
	struct live_agent *agent = live_agent(live, name, NULL);

	live_map(agent, "10.0.0.1", "mallory");
	live_await(live, agent->events[UIDRECV_AGENT_REFUSED]);
	cr_expect_eq(agent->last.error, UIDRECV_E_CERTIFICATE, "%s: %s", name,
		     agent->last.text);
	cr_expect_eq(agent->result, UIDRECV_E_REFUSED);
	cr_expect_eq(live_stats(live).refused_certificate, refused, "%s", name);
	cr_expect_str_eq(live_user(live, "10.0.0.1"), "");
	live_agent_end(live, agent);
}

static void make(struct live *live, const struct certs_spec *spec)
{
	struct certs_spec copy = *spec;
	size_t size = strlen(live->rights);

	copy.san = copy.san ? copy.san : "DNS:a.example";
	certs_make(live->certs, &copy);
	snprintf(live->rights + size, sizeof(live->rights) - size,
		 "%s 10.0.0.0/8\n", copy.name);
}

Test(certificates, I02_I03_I05_refused)
{
	struct live live;

	live_init(&live, "a.example", "revoked.example", NULL);
	use_crl(&live);
	make_crl(&live, "revoked.example");
	make(&live, &(struct certs_spec){.name = "ca2", .is_authority = true});
	make(&live, &(struct certs_spec){.name = "other", .issuer = "ca2"});
	make(&live, &(struct certs_spec){.name = "self"});
	make(&live, &(struct certs_spec){.name = "server",
					 .issuer = "ca",
					 .usage = "serverAuth"});
	make(&live, &(struct certs_spec){.name = "authority",
					 .issuer = "ca",
					 .is_authority = true});
	live_start(&live);
	refuse(&live, "revoked.example", 1);
	refuse(&live, "other", 2);
	refuse(&live, "self", 3);
	refuse(&live, "server", 4);
	refuse(&live, "authority", 5);
	live_done(&live);
}

/* An agent does not start with an expired certificate: so by hand. */
static void refuse_by_hand(struct live *live, const char *name,
			   uint64_t refused)
{
	struct wire wire;
	struct ur_message message;

	wire_new(&wire, live, name);
	if (wire_shake(&wire))
		cr_expect_not(wire_read(&wire, &message), "%s",
			      name ? name : "none");
	cr_expect_eq(live_stats(live).refused_certificate, refused, "%s",
		     name ? name : "none");
	wire_free(&wire);
}

Test(certificates, I01_expired_not_yet_valid_none)
{
	struct live live;

	live_init(&live, "a.example", NULL);
	make(&live, &(struct certs_spec){.name = "expired",
					 .issuer = "ca",
					 .starts_s = -7200,
					 .ends_s = -3600});
	make(&live, &(struct certs_spec){.name = "early",
					 .issuer = "ca",
					 .starts_s = 3600,
					 .ends_s = 7200});
	live_start(&live);
	refuse_by_hand(&live, "expired", 1);
	refuse_by_hand(&live, "early", 2);
	refuse_by_hand(&live, NULL, 3);
	live_done(&live);
}

/* The right authority but not on the list; the common name does not count. */
Test(certificates, I04_I12_identity_is_a_listed_name)
{
	struct live live;
	struct live_agent *agent;

	live_init(&live, "a.example", NULL);
	certs_make(live.certs, &(struct certs_spec){.name = "cn",
						    .issuer = "ca",
						    .subject = "a.example",
						    .san = "DNS:b.example"});
	certs_make(live.certs, &(struct certs_spec){.name = "wild",
						    .issuer = "ca",
						    .san = "DNS:*.example"});
	live_start(&live);
	agent = live_agent(&live, "cn", NULL);
	live_await(&live, agent->events[UIDRECV_AGENT_REFUSED]);
	cr_expect_eq(agent->last.code, UIDRECV_BYE_NOT_AUTHORIZED);
	live_agent_end(&live, agent);
	agent = live_agent(&live, "wild", NULL);
	live_await(&live, agent->events[UIDRECV_AGENT_REFUSED]);
	cr_expect_eq(agent->last.code, UIDRECV_BYE_NOT_AUTHORIZED);
	cr_expect_eq(live_stats(&live).refused_identity, 2);
	live_done(&live);
}

/* The agent insists on its receiver's name too, and does not try again. */
Test(certificates, agent_refuses_another_receiver)
{
	struct live live;
	struct live_agent *agent;
	struct uidrecv_agent_options options;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	options = live_agent_options(&live, "a.example");
	options.receiver_name = "elsewhere.example";
	agent = live_agent(&live, "a.example", &options);
	live_await(&live, agent->events[UIDRECV_AGENT_REFUSED]);
	cr_expect_eq(agent->last.error, UIDRECV_E_IDENTITY);
	live_done(&live);
}

static int reload(struct live *live)
{
	char error[600] = "";
	int ret = uidrecv_receiver_reload_certificates(live->receiver, error,
						       sizeof(error));

	if (ret)
		cr_expect_neq(error[0], '\0');
	return ret;
}

Test(certificates, reload_ends_the_revoked)
{
	struct live live;
	struct live_agent *good, *bad;
	uint64_t ticket;

	live_init(&live, "good.example", "bad.example", NULL);
	use_crl(&live);
	live_start(&live);
	good = live_agent(&live, "good.example", NULL);
	bad = live_agent(&live, "bad.example", NULL);
	ticket = live_map(bad, "10.0.0.1", "alice");
	live_await(&live, bad->acked == ticket &&
			      good->events[UIDRECV_AGENT_CONNECTED]);
	make_crl(&live, "bad.example");
	cr_assert_eq(reload(&live), 0);
	live_await(&live, bad->events[UIDRECV_AGENT_LOST]);
	cr_expect_eq(bad->last.code, UIDRECV_BYE_CERTIFICATE);
	/* It tries again, and is refused for good. */
	live_await(&live, bad->result == UIDRECV_E_REFUSED);
	cr_expect_eq(bad->last.error, UIDRECV_E_CERTIFICATE);
	ticket = live_map(good, "10.0.0.2", "bob");
	live_await(&live, good->acked == ticket);
	cr_expect_eq(good->events[UIDRECV_AGENT_LOST], 0);
	/* A mapping lives on by its own time. */
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "alice");
	live_done(&live);
}

/* A handshake that began under the former list of revocations. */
Test(certificates, I02_reload_within_a_handshake)
{
	struct live live;
	struct wire wire;
	struct ur_message message;

	live_init(&live, "bad.example", NULL);
	use_crl(&live);
	live_start(&live);
	wire_new(&wire, &live, "bad.example");
	cr_assert_neq(SSL_do_handshake(wire.ssl), 1);
	live_turns(&live, 20);
	make_crl(&live, "bad.example");
	cr_assert_eq(reload(&live), 0);
	if (wire_shake(&wire))
		cr_expect_not(wire_read(&wire, &message));
	cr_expect_eq(live_stats(&live).refused_certificate, 1);
	wire_free(&wire);
	live_done(&live);
}

/* It lets nobody in, and the operator hears why, once. */
Test(certificates, I06_an_expired_list_is_told)
{
	struct live live;

	live_init(&live, "a.example", NULL);
	certs_make_crl(live.certs, &(struct certs_crl){.file = "crl.pem",
						       .issuer = "ca",
						       .starts_s = -7200,
						       .ends_s = -3600});
	live.options.crl_path = certs_path(live.certs, "crl.pem");
	live_start(&live);
	live_await(&live, live_log_has(&live.log, "list has expired"));
	live_turns(&live, 2200);
	cr_expect_eq(live.log.lines[UIDRECV_LOG_ERROR], 1);
	make_crl(&live, NULL);
	cr_assert_eq(reload(&live), 0);
	live_agent(&live, "a.example", NULL);
	live_await(&live, live_stats(&live).sessions == 1);
	live_done(&live);
}

Test(certificates, O01_bad_files_keep_the_old)
{
	static const char *const files[] = {"receiver.pem", "receiver-key.pem",
					    "ca.pem", "crl.pem"};
	struct live live;
	struct live_agent *agent;
	char saved[300];

	live_init(&live, "a.example", NULL);
	use_crl(&live);
	live_start(&live);
	agent = live_agent(&live, "a.example", NULL);
	live_await(&live, agent->events[UIDRECV_AGENT_CONNECTED]);
	for (int i = 0; i < 4; i++) {
		snprintf(saved, sizeof(saved), "%s.saved",
			 certs_path(live.certs, files[i]));
		cr_assert_eq(rename(certs_path(live.certs, files[i]), saved),
			     0);
		cr_expect_eq(reload(&live), UIDRECV_E_CREDENTIALS);
		certs_write(live.certs, files[i], "nonsense\n");
		cr_expect_eq(reload(&live), UIDRECV_E_CREDENTIALS);
		cr_assert_eq(rename(saved, certs_path(live.certs, files[i])),
			     0);
	}
	live_agent_end(&live, agent);
	agent = live_agent(&live, "a.example", NULL);
	live_await(&live, agent->events[UIDRECV_AGENT_CONNECTED]);
	cr_expect_eq(reload(&live), 0);
	live_done(&live);
}

/* Not TLS at all, or not our protocol in it. */
Test(certificates, N16_plaintext_and_alpn)
{
	static const char http[] = "GET / HTTP/1.0\r\n\r\n";
	static const char frame[] = "\1\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
	struct live live;
	struct wire wire;
	int fd;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	for (int i = 0; i < 3; i++) {
		fd = wire_connect(&live);
		live_turns(&live, 20);
		cr_assert_gt(send(fd, i == 1 ? frame : http,
				  i == 1   ? sizeof(frame) - 1
				  : i == 2 ? 1
					   : sizeof(http) - 1,
				  MSG_NOSIGNAL),
			     0);
		if (i == 2) /* ends within the first record */
			shutdown(fd, SHUT_WR);
		live_turns(&live, 20);
		close(fd);
		live_await(&live, live_stats(&live).connections == 0);
	}
	wire_new(&wire, &live, "a.example");
	SSL_set_alpn_protos(wire.ssl, (const unsigned char *)"\x02h2", 3);
	cr_expect_not(wire_shake(&wire));
	wire_free(&wire);
	cr_expect_eq(live_stats(&live).refused_tls, 3);
	wire_new(&wire, &live, "a.example");
	SSL_set_max_proto_version(wire.ssl, TLS1_2_VERSION);
	cr_expect_not(wire_shake(&wire));
	wire_free(&wire);
	cr_expect_eq(live_stats(&live).refused_tls, 4);
	live_await(&live, live_stats(&live).connections == 0);
	live_done(&live);
}
