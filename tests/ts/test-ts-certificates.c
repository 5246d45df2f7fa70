/* SPDX-License-Identifier: BSD-2-Clause */
/* A receiver, and bad agents: those that connect, and those that are dialled.
 */
#include "dials.h"
#include "villains.h"

static struct uidrecv_receiver_stats before;
static uint64_t serial;

static void rush_as_agent(struct wire *wire)
{
	struct ur_hello hello = wire_hello(66);

	wire_send_hello(wire, &hello);
	wire_update(wire, 1, "10.0.0.66", "mallory", 1);
}

static void refused_by_receiver(enum refusal refusal, const char *name)
{
	struct uidrecv_receiver_stats now;

	live_await(
	    &live,
	    (now = live_stats(&live),
	     now.refused_certificate + now.refused_identity + now.refused_tls >
		 before.refused_certificate + before.refused_identity +
		     before.refused_tls));
	cr_expect_eq(now.refused_certificate - before.refused_certificate,
		     refusal == BY_CERTIFICATE, "%s", name);
	cr_expect_eq(now.refused_identity - before.refused_identity,
		     refusal == BY_IDENTITY, "%s", name);
	cr_expect_eq(now.refused_tls - before.refused_tls, refusal == BY_TLS,
		     "%s", name);
	cr_expect_eq(now.protocol_errors, 0, "%s", name);
	cr_expect_eq(now.sessions, 0, "%s", name);
	cr_expect_eq(now.updates, serial, "%s", name);
	cr_expect_eq(now.claims, serial > 0, "%s", name);
	cr_expect_str_eq(live_user(&live, "10.0.0.66"), "", "%s", name);
	before = now;
}

static void welcomed_by_receiver(struct wire *wire)
{
	struct ur_message message;

	cr_assert_eq(wire_open(wire, 7), serial);
	wire_update(wire, ++serial, "10.0.0.1", "alice", 1);
	cr_assert(wire_await(wire, UR_ACK, &message));
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "alice");
	/* It stays when it is judged once more. */
	cr_assert_eq(
	    uidrecv_receiver_reload_certificates(live.receiver, NULL, 0), 0);
	wire_update(wire, ++serial, "10.0.0.1", "alice", 1);
	cr_assert(wire_await(wire, UR_ACK, &message));
	cr_expect_eq(live_stats(&live).sessions, 1);
}

static void await_nobody(void)
{
	live_await(&live, live_stats(&live).connections == 0);
}

static void meet_receiver(struct wire *wire, const char *name)
{
	await_nobody();
	wire_new(wire, &live, name);
}

static void meet_dialling_receiver(struct wire *wire, const char *name)
{
	int fd;

	await_nobody();
	live_await(&live, (dial_now(&live, AGENT),
			   (fd = accept4(listener, NULL, NULL,
					 SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0));
	wire_new_server(wire, &live, name, fd);
}

static void refused_by_dialling_receiver(enum refusal refusal, const char *name)
{
	struct uidrecv_agent_stats stats;

	refused_by_receiver(refusal, name);
	stats = dial_stats(&live, AGENT);
	cr_expect_neq(*stats.dial_error, '\0', "%s", name);
	if (refusal != BY_TLS)
		cr_expect_geq(stats.dial_retry_ms, 59000, "%s", name);
}

/* The peer connects to 5007, or the receiver to the peer's 5009. */
static void try_receiver(const struct way *way)
{
	villains_make(way);
	*live.rights = '\0';
	dial_line(live.rights, sizeof(live.rights), AGENT, "127.0.0.1", port);
	dial_line(live.rights, sizeof(live.rights), OTHER, NULL, 0);
	live_start(&live);
	villains_refuse_each(way);
	live_done(&live);
}

Test(ts_certificates, I01_I02_I03_I04_I05_agents_that_connect)
{
	static const struct way way = {
	    .peer = AGENT,
	    .meet = meet_receiver,
	    .rush = rush_as_agent,
	    .refused = refused_by_receiver,
	    .welcome = welcomed_by_receiver,
	};

	try_receiver(&way);
	cr_expect_eq(serial, 2 * (VILLAINS - 1));
}

Test(ts_certificates, N29_I01_I02_I03_I04_I05_agents_that_are_dialled)
{
	static const struct way way = {
	    .peer = AGENT,
	    .peer_listens = true,
	    .we_dial = true,
	    .meet = meet_dialling_receiver,
	    .rush = rush_as_agent,
	    .refused = refused_by_dialling_receiver,
	    .welcome = welcomed_by_receiver,
	};

	try_receiver(&way);
	cr_expect_eq(serial, 2 * VILLAINS);
}
