/* SPDX-License-Identifier: BSD-2-Clause */
/* An agent, and bad receivers: those that it dials, and those that connect. */
#include <stdio.h>

#include "agent-private.h"
#include "villains.h"

static struct uidrecv_agent_listener *agent_listener;
static struct live_agent *agent;
static uint64_t attempts, connects;

static void send_as_receiver(struct wire *wire)
{
	struct ur_hello hello = wire_hello(0);
	struct ur_ready ready = {.version = 1, .hold_time_s = 90, .window = 9};
	struct ur_buf buf;

	hello.role = UR_SINK;
	wire_send_hello(wire, &hello);
	ur_buf_init(&buf, 4096);
	ur_ready_encode(&buf, &ready);
	wire_send(wire, &buf);
	ur_buf_done(&buf);
}

static void welcomed_by_agent(struct wire *wire)
{
	struct ur_message message;

	cr_assert(wire_shake(wire));
	send_as_receiver(wire);
	cr_assert(wire_await(wire, UR_UPDATE, &message));
	cr_expect(live_counters(agent).is_connected);
}

static void make_agent(const struct uidrecv_agent_options *options)
{
	agent = live_agent(&live, AGENT, options);
	live_map(agent, "10.0.0.1", "alice");
}

/* A new one each time, for it refuses for good. */
static void meet_dialling_agent(struct wire *wire, const char *name)
{
	struct uidrecv_agent_options options = live_agent_options(&live, AGENT);

	if (agent)
		live_agent_end(&live, agent);
	options.crl_path = live.options.crl_path;
	options.receiver_name = RECEIVER;
	make_agent(&options);
	wire_accept(wire, &live, name, listener);
}

static void refused_by_dialling_agent(enum refusal refusal, const char *name)
{
	live_await(&live, agent->events[UIDRECV_AGENT_REFUSED] ||
			      agent->events[UIDRECV_AGENT_LOST]);
	cr_expect_eq(agent->last.error,
		     refusal == BY_CERTIFICATE ? UIDRECV_E_CERTIFICATE
		     : refusal == BY_IDENTITY  ? UIDRECV_E_IDENTITY
					       : UIDRECV_E_TLS,
		     "%s: %d %s", name, agent->last.error, agent->last.text);
	/* Without any there is nothing that an operator could look at. */
	cr_expect_eq(agent->result, refusal == BY_TLS ? 0 : UIDRECV_E_REFUSED,
		     "%s", name);
	cr_expect_eq(agent->events[UIDRECV_AGENT_CONNECTED], 0, "%s", name);
	cr_expect_eq(live_counters(agent).queued_records, 1, "%s", name);
}

static void meet_listening_agent(struct wire *wire, const char *name)
{
	/* All of its log, for it has no counters. */
	agent_listener->log.warnings.second = 0;
	if (live.log.text)
		*live.log.text = '\0';
	live.log.size = 0;
	connects = agent->events[UIDRECV_AGENT_CONNECTED];
	attempts = live_counters(agent).attempts;
	wire_new(wire, &live, name);
}

static void refused_by_listening_agent(enum refusal refusal, const char *name)
{
	const char *identity = uidrecv_strerror(UIDRECV_E_IDENTITY);

	live_await(&live, live_log_has(&live.log, "not let in"));
	cr_expect_eq(live_log_has(&live.log, identity), refusal == BY_IDENTITY,
		     "%s: %s", name, live.log.text);
	cr_expect_eq(live_log_has(&live.log, " certificate"),
		     refusal == BY_CERTIFICATE, "%s: %s", name, live.log.text);
	cr_expect_eq(live_counters(agent).attempts, attempts, "%s", name);
	cr_expect_eq(agent->events[UIDRECV_AGENT_CONNECTED], connects, "%s",
		     name);
}

Test(ts_certificates, I01_I02_I03_I04_I05_receivers_that_are_dialled)
{
	static const struct way way = {
	    .peer = RECEIVER,
	    .peer_listens = true,
	    .meet = meet_dialling_agent,
	    .rush = send_as_receiver,
	    .refused = refused_by_dialling_agent,
	    .welcome = welcomed_by_agent,
	};

	villains_make(&way);
	snprintf(live.address, sizeof(live.address), "127.0.0.1:%u", port);
	villains_refuse_each(&way);
	live_done(&live);
}

Test(ts_certificates, N29_I01_I02_I03_I04_I05_receivers_that_connect)
{
	static const struct way way = {
	    .peer = RECEIVER,
	    .meet = meet_listening_agent,
	    .rush = send_as_receiver,
	    .refused = refused_by_listening_agent,
	    .welcome = welcomed_by_agent,
	};
	struct uidrecv_agent_listener_options options =
	    UIDRECV_AGENT_LISTENER_OPTIONS_INIT;
	struct uidrecv_agent_options agent_options = UIDRECV_AGENT_OPTIONS_INIT;

	villains_make(&way);
	options.address = "127.0.0.1:0";
	options.cert_path = certs_path(live.certs, AGENT ".pem");
	options.key_path = certs_path(live.certs, AGENT "-key.pem");
	options.ca_path = certs_path(live.certs, "ca.pem");
	options.crl_path = live.options.crl_path;
	options.log = live_log;
	options.log_user = &live.log;
	cr_assert_eq(
	    uidrecv_agent_listener_new(&agent_listener, &options, NULL, 0), 0);
	live.port = uidrecv_agent_listener_get_port(agent_listener);
	agent_options.listener = agent_listener;
	agent_options.receiver_name = RECEIVER;
	make_agent(&agent_options);
	villains_refuse_each(&way);
	cr_expect_eq(live_counters(agent).connects, VILLAINS - 1);
	live_agent_end(&live, agent);
	uidrecv_agent_listener_free(agent_listener);
	live_done(&live);
}
