/* SPDX-License-Identifier: BSD-2-Clause */
/* Agents that listen, to which the receiver connects. */
#include "dials.h"

#define NAME "ts1.example"

static struct live live;
static struct dns dns;
static int listener;
static uint16_t port;

static void setup(void)
{
	live_init(&live, NAME, "ts2.example", "a.example", NULL);
	dns_open(&dns);
	live.hook = dns_turn;
	live.hook_user = &dns;
	listener = wire_listen(&port);
}

static void done(void)
{
	live_done(&live);
	dns_close(&dns);
	close(listener);
}

TestSuite(dial, .init = setup, .fini = done);

/* The list has NAME, to be connected to at the host (NULL: not). */
static void use_list(const char *host, uint16_t at)
{
	*live.rights = '\0';
	dial_line(live.rights, sizeof(live.rights), NAME, host, host ? at : 0);
	dial_line(live.rights, sizeof(live.rights), "a.example", NULL, 0);
	if (live.receiver)
		cr_assert_eq(live_set_agents(&live, live.rights), 0);
}

static void start(const char *host, uint16_t at)
{
	use_list(host, at);
	live_start(&live);
	live.receiver->resolver.servers = dns.servers;
}

Test(dial, by_the_list)
{
	struct uidrecv_agent_stats stats;
	struct ur_message message;
	struct wire wire;
	char text[64];

	start("127.0.0.1", port);
	wire_accept(&wire, &live, NAME, listener);
	cr_expect_eq(wire_open(&wire, 7), 0);
	wire_update(&wire, 1, "10.0.0.1", "alice", 1);
	cr_assert(wire_await(&wire, UR_ACK, &message));
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "alice");
	stats = dial_stats(&live, NAME);
	snprintf(text, sizeof(text), "127.0.0.1:%u", port);
	cr_expect(stats.is_connected);
	cr_expect(stats.is_dialled);
	cr_expect_str_eq(stats.dial, text);
	cr_expect_str_eq(stats.peer, text);
	cr_expect_str_eq(stats.dial_error, "");
	cr_expect_eq(stats.dial_attempts, 1);
	cr_expect_eq(stats.dial_retry_ms, 0);
	cr_expect_eq(live_stats(&live).sessions, 1);
	cr_expect_eq(live_stats(&live).accepted, 0);
	/* Not those that connect by themselves. */
	stats = dial_stats(&live, "a.example");
	cr_expect_not(stats.is_dialled);
	cr_expect_str_eq(stats.dial, "");
	wire_free(&wire);
	/* Again when it ends. */
	wire_accept(&wire, &live, NAME, listener);
	cr_expect_eq(wire_open(&wire, 7), 1);
	cr_expect_eq(dial_stats(&live, NAME).dial_attempts, 2);
	cr_expect(*dial_stats(&live, NAME).dial_error);
	wire_free(&wire);
}

Test(dial, by_the_call)
{
	struct ur_message message;
	struct wire wire;

	start(NULL, 0);
	cr_expect_eq(
	    uidrecv_receiver_add_agent(live.receiver, NAME, "127.0.0.1", port),
	    0);
	cr_expect_eq(
	    uidrecv_receiver_add_agent(live.receiver, NAME, "127.0.0.1", port),
	    -EEXIST);
	wire_accept(&wire, &live, NAME, listener);
	wire_open(&wire, 7);
	/* A list that is the same changes nothing. */
	cr_assert_eq(live_set_agents(&live, live.rights), 0);
	wire_update(&wire, 1, "10.0.0.1", "alice", 1);
	cr_assert(wire_await(&wire, UR_ACK, &message));
	cr_expect_eq(dial_stats(&live, NAME).dial_attempts, 1);
	cr_expect_eq(uidrecv_receiver_remove_agent(live.receiver, NAME), 0);
	cr_assert(wire_await(&wire, UR_BYE, &message));
	cr_expect_eq(message.bye.code, UIDRECV_BYE_SHUTDOWN);
	wire_free(&wire);
	cr_expect_not(dial_stats(&live, NAME).is_dialled);
	/* What it said stays. */
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "alice");
	live_turns(&live, 700);
	cr_expect_lt(accept(listener, NULL, NULL), 0);
	cr_expect_eq(uidrecv_receiver_remove_agent(live.receiver, NAME),
		     UIDRECV_E_UNKNOWN_AGENT);
}

Test(dial, wrong_arguments)
{
	char host[300];

	start("127.0.0.1", 1);
	memset(host, 'a', sizeof(host) - 1);
	host[sizeof(host) - 1] = '\0';
	for (int i = 0; i < 7; i++) {
		const char *hosts[] = {"",    "a b",	"a\nb", "[::1]",
				       "a=b", "\xff.x", host};

		cr_expect_eq(uidrecv_receiver_add_agent(
				 live.receiver, "a.example", hosts[i], 1),
			     -EINVAL, "%s", hosts[i]);
	}
	cr_expect_eq(
	    uidrecv_receiver_add_agent(live.receiver, "a.example", "::1", 0),
	    -EINVAL);
	cr_expect_eq(
	    uidrecv_receiver_add_agent(live.receiver, "a.example", NULL, 1),
	    -EINVAL);
	cr_expect_eq(uidrecv_receiver_add_agent(live.receiver, NULL, "::1", 1),
		     -EINVAL);
	cr_expect_eq(uidrecv_receiver_add_agent(NULL, "a.example", "::1", 1),
		     -EINVAL);
	cr_expect_eq(uidrecv_receiver_remove_agent(NULL, "a.example"), -EINVAL);
	cr_expect_eq(uidrecv_receiver_remove_agent(live.receiver, NULL),
		     -EINVAL);
	/* The list has it already. */
	cr_expect_eq(uidrecv_receiver_add_agent(live.receiver, NAME, "::1", 1),
		     -EEXIST);
	cr_expect_eq(uidrecv_receiver_remove_agent(live.receiver, NAME),
		     UIDRECV_E_UNKNOWN_AGENT);
	cr_expect_eq(
	    uidrecv_receiver_add_agent(live.receiver, "a.example", "::1", 1),
	    0);
	cr_expect_str_eq(dial_stats(&live, "a.example").dial, "[::1]:1");
}

/* Without a certificate nobody is connected to; the old list stays. */
Test(dial, no_certificate)
{
	live.options.cert_path = NULL;
	live.options.key_path = NULL;
	live.options.ca_path = NULL;
	use_list(NULL, 0);
	live_open(&live);
	cr_expect_eq(uidrecv_receiver_add_agent(live.receiver, NAME, "::1", 1),
		     UIDRECV_E_CREDENTIALS);
	cr_expect_eq(live_set_agents(&live, NAME " 10.0.0.0/8 dial=a:1\n"),
		     UIDRECV_E_CREDENTIALS);
	cr_expect_not(dial_stats(&live, NAME).is_dialled);
	dial_stats(&live, "a.example");
}

/* N29: another one than the one that belongs there. */
Test(dial, N29_wrong_identity)
{
	struct uidrecv_agent_stats stats;
	struct wire wire;

	start("127.0.0.1", port);
	wire_accept(&wire, &live, "ts2.example", listener);
	wire_shake(&wire);
	live_await(&live, live_stats(&live).refused_identity == 1);
	stats = dial_stats(&live, NAME);
	cr_expect_not(stats.is_connected);
	cr_expect_str_eq(stats.dial_error,
			 uidrecv_strerror(UIDRECV_E_IDENTITY));
	cr_expect_geq(stats.dial_retry_ms, 59000);
	cr_expect_leq(stats.dial_retry_ms, 60000);
	cr_expect_eq(live_stats(&live).sessions, 0);
	cr_expect(live_log_has(&live.log, NAME " at 127.0.0.1:"));
	wire_free(&wire);
	/* Also if that one is on the list. */
	dial_line(live.rights, sizeof(live.rights), "ts2.example", NULL, 0);
	cr_assert_eq(live_set_agents(&live, live.rights), 0);
	dial_now(&live, NAME);
	wire_accept(&wire, &live, "ts2.example", listener);
	wire_shake(&wire);
	live_await(&live, live_stats(&live).refused_identity == 2);
	cr_expect_eq(live_stats(&live).sessions, 0);
	wire_free(&wire);
	/* The right one is welcome. */
	dial_now(&live, NAME);
	wire_accept(&wire, &live, NAME, listener);
	wire_open(&wire, 7);
	wire_free(&wire);
}

/* N29: who is not on the list is not connected to; an address is no name. */
Test(dial, N29_not_on_the_list)
{
	struct uidrecv_network network = {.prefix_bits = 0};
	struct uidrecv_agent_rights rights = {.size = sizeof(rights),
					      .name = "127.0.0.1",
					      .networks = &network,
					      .networks_count = 1};
	struct uidrecv_rights *list;
	struct wire wire;

	start(NULL, 0);
	cr_expect_eq(uidrecv_receiver_add_agent(live.receiver, "ts2.example",
						"127.0.0.1", port),
		     UIDRECV_E_UNKNOWN_AGENT);
	live_turns(&live, 50);
	cr_expect_lt(accept(listener, NULL, NULL), 0);
	cr_assert_eq(uidrecv_rights_new(&list), 0);
	cr_assert_eq(uidrecv_rights_add(list, &rights), 0);
	cr_assert_eq(uidrecv_receiver_set_agents(live.receiver, list), 0);
	uidrecv_rights_free(list);
	cr_assert_eq(uidrecv_receiver_add_agent(live.receiver, "127.0.0.1",
						"127.0.0.1", port),
		     0);
	/* That certificate has 127.0.0.1 as an IP address. */
	wire_accept(&wire, &live, "receiver", listener);
	wire_shake(&wire);
	live_await(&live, live_stats(&live).refused_identity == 1);
	wire_free(&wire);
}

Test(dial, name_with_a_dead_address)
{
	static const char *const addresses[] = {
	    "127.0.0.2,127.0.0.1", "127.0.0.1,127.0.0.2", "::1,127.0.0.1"};
	struct wire wire;

	start("ts.example.net", port);
	for (int i = 0; i < 3; i++) {
		dns_set(&dns, "ts.example.net", addresses[i]);
		dial_accept(&wire, &live, NAME, listener);
		wire_open(&wire, 7);
		wire_free(&wire);
	}
	/* No address a second time before the others. */
	cr_expect_leq(dial_stats(&live, NAME).dial_attempts, 7);
}

Test(dial, address_changes_between_attempts)
{
	struct wire wire;

	start("ts.example.net", port);
	dns_set(&dns, "ts.example.net", "127.0.0.2");
	live_await(&live, *dial_stats(&live, NAME).dial_error);
	dns_set(&dns, "ts.example.net", NULL);
	dial_now(&live, NAME);
	live_await(&live, !strcmp(dial_stats(&live, NAME).dial_error,
				  "Domain name not found"));
	cr_expect(live_log_has(&live.log, "Domain name not found"));
	dns_set(&dns, "ts.example.net", "127.0.0.1");
	wire_accept(&wire, &live, NAME, listener);
	wire_open(&wire, 7);
	wire_free(&wire);
}

/* A name server that is silent holds up nobody. */
Test(dial, silent_name_server)
{
	struct live_agent *agent;

	dns.is_silent = true;
	start("ts.example.net", port);
	live_await(&live, dns.asked > 0);
	agent = live_agent(&live, "a.example", NULL);
	live_map(agent, "10.0.0.1", "alice");
	live_await(&live, agent->acked == 1);
	cr_expect_eq(dial_stats(&live, NAME).dial_attempts, 1);
	cr_expect_str_eq(dial_stats(&live, NAME).dial_error, "");
	cr_expect_not_null(dial_of(&live, NAME)->dialer.question.query);
}

Test(dial, list_changes)
{
	uint16_t other_port = 0;
	int other = wire_listen(&other_port);
	struct ur_message message;
	struct wire wire;

	start("127.0.0.1", port);
	wire_accept(&wire, &live, NAME, listener);
	wire_open(&wire, 7);
	/* The same host and port: nothing happens. */
	use_list("127.0.0.1", port);
	live_turns(&live, 50);
	cr_expect(dial_stats(&live, NAME).is_connected);
	/* Another one. */
	use_list("127.0.0.1", other_port);
	cr_assert(wire_await(&wire, UR_BYE, &message));
	wire_free(&wire);
	wire_accept(&wire, &live, NAME, other);
	wire_open(&wire, 7);
	cr_expect_lt(accept(listener, NULL, NULL), 0);
	/* None. */
	use_list(NULL, 0);
	cr_assert(wire_await(&wire, UR_BYE, &message));
	wire_free(&wire);
	cr_expect_not(dial_stats(&live, NAME).is_dialled);
	cr_expect_null(live.receiver->dials);
	/* A new one. */
	use_list("127.0.0.1", port);
	wire_accept(&wire, &live, NAME, listener);
	wire_open(&wire, 7);
	/* Off the list. */
	cr_assert_eq(live_set_agents(&live, "a.example 10.0.0.0/8\n"), 0);
	cr_assert(wire_await(&wire, UR_BYE, &message));
	cr_expect_eq(message.bye.code, UIDRECV_BYE_NOT_AUTHORIZED);
	wire_free(&wire);
	cr_expect_null(live.receiver->dials);
	close(other);
}

/* What was added waits while a list lacks it or has a dial of its own. */
Test(dial, added_and_listed)
{
	uint16_t other_port = 0;
	int other = wire_listen(&other_port);
	struct wire wire;

	start(NULL, 0);
	cr_assert_eq(
	    uidrecv_receiver_add_agent(live.receiver, NAME, "127.0.0.1", port),
	    0);
	wire_accept(&wire, &live, NAME, listener);
	wire_open(&wire, 7);
	use_list("127.0.0.1", other_port);
	wire_free(&wire);
	wire_accept(&wire, &live, NAME, other);
	wire_open(&wire, 7);
	wire_free(&wire);
	cr_assert_eq(live_set_agents(&live, "a.example 10.0.0.0/8\n"), 0);
	live_turns(&live, 50);
	cr_expect_lt(accept(listener, NULL, NULL), 0);
	use_list(NULL, 0);
	wire_accept(&wire, &live, NAME, listener);
	wire_open(&wire, 7);
	wire_free(&wire);
	/* Ended while it is without effect, it does not come back. */
	use_list("127.0.0.1", other_port);
	cr_expect_eq(uidrecv_receiver_remove_agent(live.receiver, NAME), 0);
	wire_accept(&wire, &live, NAME, other);
	wire_open(&wire, 7);
	wire_free(&wire);
	use_list(NULL, 0);
	cr_expect_null(live.receiver->dials);
	close(other);
}

/* Both ways: the later connection of one session replaces the former. */
Test(dial, agent_connects_as_well)
{
	struct wire dialled, own;
	struct ur_message message;

	start("127.0.0.1", port);
	wire_accept(&dialled, &live, NAME, listener);
	wire_open(&dialled, 7);
	wire_new(&own, &live, NAME);
	wire_open(&own, 7);
	cr_assert(wire_await(&dialled, UR_BYE, &message));
	cr_expect_eq(message.bye.code, UIDRECV_BYE_REPLACED);
	cr_expect_eq(live_stats(&live).sessions, 1);
	wire_free(&dialled);
	wire_free(&own);
}
