/* SPDX-License-Identifier: BSD-2-Clause */
/* Dialled agents that misbehave, and what they cost the others. */
#include <malloc.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "dials.h"

enum manner {
	SILENT,	      /* takes the connection, and says nothing */
	SILENT_LATER, /* the same after the TLS handshake */
	SLOW,	      /* a byte of its HELLO now and then */
	ENDLESS,      /* garbage for ever, and no TLS */
	RESETS,	      /* at once */
	RESETS_LATER, /* after READY */
	MANNERS,
};

#define CONNECTIONS_MAX 64

struct villain {
	enum manner manner;
	char name[32];
	int listener;
	uint16_t port;
	struct villain_conn {
		struct wire wire;
		struct ur_buf out;
		bool is_open, is_shaken, is_ready;
		uint64_t sent_ms;
	} conns[CONNECTIONS_MAX];
	unsigned int count, readies;
};

/* What libraries may keep of a first use; a connection has more. */
#define KEPT_MAX 300000

static struct live live;
static struct villain villains[MANNERS];

static void reset(struct villain_conn *conn)
{
	wire_reset(&conn->wire);
	ur_buf_done(&conn->out);
	conn->is_open = false;
}

static void say_hello(struct villain_conn *conn)
{
	struct ur_hello hello = wire_hello(7);

	ur_hello_encode(&conn->out, &hello);
	conn->is_shaken = true;
}

/* Sends what is left of the HELLO, so many bytes at once. */
static void send_some(struct villain_conn *conn, size_t most)
{
	size_t size = conn->out.size < most ? conn->out.size : most;

	if (size && SSL_write(conn->wire.ssl, ur_buf_front(&conn->out),
			      (int)size) == (int)size)
		ur_buf_consume(&conn->out, size);
}

/* The receiver has closed it. */
static bool is_left(const struct villain_conn *conn)
{
	char bytes[4096];
	ssize_t size;

	do
		size = recv(conn->wire.fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	while (size > 0);
	return size == 0 || errno != EAGAIN;
}

static void step(struct villain *villain, struct villain_conn *conn)
{
	static const uint8_t garbage[65536] = {0x16, 3, 1};
	uint8_t block[4096];
	int size;

	switch (villain->manner) {
	case SILENT:
		break;
	case RESETS:
		reset(conn);
		break;
	case ENDLESS:
		/* A record of TLS that never ends, then what is none. */
		(void)!send(conn->wire.fd, garbage, sizeof(garbage),
			    MSG_NOSIGNAL | MSG_DONTWAIT);
		break;
	default:
		if (!conn->is_shaken && SSL_do_handshake(conn->wire.ssl) != 1)
			break;
		if (!conn->is_shaken)
			say_hello(conn);
		if (villain->manner == SLOW &&
		    live_now_ms() >= conn->sent_ms + 20) {
			send_some(conn, 1);
			conn->sent_ms = live_now_ms();
		}
		if (villain->manner == RESETS_LATER)
			send_some(conn, 4096);
		/* HELLO came with the handshake; then comes READY. */
		while ((size = SSL_read(conn->wire.ssl, block, sizeof(block))) >
		       0)
			conn->is_ready |= size > 1 && block[1] == UR_READY;
		if (villain->manner == RESETS_LATER && conn->is_ready) {
			villain->readies++;
			reset(conn);
		}
	}
	if (conn->is_open && is_left(conn))
		reset(conn);
}

static void take(struct villain *villain)
{
	struct villain_conn *conn = &villain->conns[villain->count];
	int fd = accept4(villain->listener, NULL, NULL,
			 SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	cr_assert_lt(villain->count, CONNECTIONS_MAX - 1);
	villain->count++;
	wire_new_server(&conn->wire, &live, villain->name, fd);
	ur_buf_init(&conn->out, 65536);
	conn->is_open = true;
}

static void turn(void *user)
{
	(void)user;
	for (int i = 0; i < MANNERS; i++) {
		struct villain *villain = &villains[i];

		take(villain);
		for (unsigned int j = 0; j < villain->count; j++)
			if (villain->conns[j].is_open)
				step(villain, &villain->conns[j]);
	}
}

static void start_villains(void)
{
	for (int i = 0; i < MANNERS; i++) {
		struct villain *villain = &villains[i];

		villain->manner = (enum manner)i;
		snprintf(villain->name, sizeof(villain->name),
			 "villain%d.example", i);
		live_add_name(&live, villain->name);
		villain->listener = wire_listen(&villain->port);
	}
	live.hook = turn;
}

static void use_villains(bool are_dialled)
{
	*live.rights = '\0';
	for (int i = 0; i < MANNERS; i++)
		dial_line(live.rights, sizeof(live.rights), villains[i].name,
			  "127.0.0.1", are_dialled ? villains[i].port : 0);
	dial_line(live.rights, sizeof(live.rights), "a.example", NULL, 0);
	cr_assert_eq(live_set_agents(&live, live.rights), 0);
}

static void end_villains(void)
{
	live.hook = NULL;
	for (int i = 0; i < MANNERS; i++) {
		struct villain *villain = &villains[i];

		for (unsigned int j = 0; j < villain->count; j++)
			if (villain->conns[j].is_open)
				reset(&villain->conns[j]);
		close(villain->listener);
	}
}

/* b after so many failures, none of which made it small again. */
static uint64_t bound_after(uint64_t failures)
{
	uint64_t bound_us = UR_DIALER_MIN_US;

	while (failures--)
		(void)ur_dialer_next_wait(&bound_us, 0);
	return bound_us;
}

static uint64_t check_villains(void)
{
	uint64_t least = UINT64_MAX;

	for (int i = 0; i < MANNERS; i++) {
		const struct villain *villain = &villains[i];
		const struct ur_dial *dial = dial_of(&live, villain->name);
		struct uidrecv_agent_stats stats =
		    dial_stats(&live, villain->name);
		uint64_t failures = stats.dial_attempts - (dial->conn != NULL);

		if (dial->dialer.timer.index == 0 && !dial->conn)
			continue; /* the first is to begin */
		/* Each has its wait, and each wait but the first is longer. */
		cr_assert_eq(dial->dialer.bound_us, bound_after(failures),
			     "manner %d: %llu after %llu", i,
			     (unsigned long long)dial->dialer.bound_us,
			     (unsigned long long)failures);
		if (failures)
			cr_assert_leq(stats.dial_retry_ms,
				      bound_after(failures - 1) / 1000);
		if (failures < least)
			least = failures;
	}
	return least;
}

static void say_more(struct live_agent *agent, uint64_t *mapped)
{
	live_map(agent, "10.0.0.1", "alice");
	++*mapped;
	live_await(&live, agent->acked == *mapped);
}

/*
 * N28: silent, slow, endless or hanging up, before or after READY: each costs
 * an attempt now and then, and nobody else anything.
 */
Test(dial_limits, N28_six_villains)
{
	struct live_agent *agent;
	uint64_t least = 0, mapped = 0, end_ms;
	unsigned int fds;
	size_t bytes;

	live_init(&live, "a.example", NULL);
	start_villains();
	live.options.handshake_ms = 300;
	live_start(&live);
	agent = live_agent(&live, "a.example", NULL);
	say_more(agent, &mapped);
	fds = live_count_fds();
	bytes = mallinfo2().uordblks;
	use_villains(true);
	end_ms = live_now_ms() + LIVE_PATIENCE_MS;
	while (least < 3) {
		cr_assert_lt(live_now_ms(), end_ms);
		say_more(agent, &mapped);
		least = check_villains();
	}
	use_villains(false);
	live_await(&live, live_stats(&live).connections == 1);
	live_await(&live, live_count_fds() <= fds);
	cr_expect_leq(mallinfo2().uordblks, bytes + KEPT_MAX);
	cr_expect_geq(villains[RESETS_LATER].readies, 3);
	cr_expect_eq(agent->events[UIDRECV_AGENT_LOST], 0);
	cr_expect_eq(live_stats(&live).refused_limit, 0);
	cr_expect_eq(live.receiver->handshakes, 0);
	cr_expect_eq(live.receiver->dialled, 0);
	end_villains();
	live_done(&live);
}

/* Only who held out for as long as b makes b small again. */
Test(dial_limits, N28_session_that_holds)
{
	const struct ur_dial *dial;
	struct wire wire;

	live_init(&live, "villain0.example", "a.example", NULL);
	villains[0].listener = wire_listen(&villains[0].port);
	snprintf(villains[0].name, sizeof(villains[0].name),
		 "villain0.example");
	live_start(&live);
	cr_assert_eq(uidrecv_receiver_add_agent(live.receiver, villains[0].name,
						"127.0.0.1", villains[0].port),
		     0);
	dial = dial_of(&live, villains[0].name);
	for (int i = 1; i <= 2; i++) {
		wire_accept(&wire, &live, villains[0].name,
			    villains[0].listener);
		wire_open(&wire, 7);
		wire_reset(&wire);
		live_await(&live, !dial->conn);
		cr_expect_eq(dial->dialer.bound_us, bound_after((uint64_t)i));
	}
	dial_accept(&wire, &live, villains[0].name, villains[0].listener);
	wire_open(&wire, 7);
	/* As if READY had come that much earlier. */
	((struct ur_dial *)(uintptr_t)dial)->opened_us -= dial->dialer.bound_us;
	wire_reset(&wire);
	live_await(&live, !dial->conn);
	cr_expect_eq(dial->dialer.bound_us, bound_after(1));
	close(villains[0].listener);
	live_done(&live);
}

/* What we connect to takes no place of those that come. */
Test(dial_limits, no_place_of_others)
{
	struct live_agent *agent;
	int fds[3];

	live_init(&live, "a.example", NULL);
	start_villains();
	live.hook = NULL;
	live.options.connections_max = 1;
	live.options.handshakes_max = 1;
	live.options.per_source_max = 1;
	live_start(&live);
	use_villains(true);
	live_await(&live, live_stats(&live).connections == MANNERS);
	agent = live_agent(&live, "a.example", NULL);
	live_map(agent, "10.0.0.1", "alice");
	live_await(&live, agent->acked == 1);
	cr_expect_eq(live_stats(&live).connections, MANNERS + 1);
	cr_expect_eq(live_stats(&live).refused_limit, 0);
	/* Nor do they give way. */
	live_agent_end(&live, agent);
	live_await(&live, live_stats(&live).connections == MANNERS);
	live.receiver->options.connections_max = 10;
	live.receiver->options.per_source_max = 10;
	for (int i = 0; i < 3; i++)
		fds[i] = wire_connect(&live);
	live_await(&live, live_stats(&live).refused_limit == 2);
	cr_expect_eq(live_stats(&live).connections, MANNERS + 1);
	for (int i = 0; i < MANNERS; i++)
		cr_expect_not_null(dial_of(&live, villains[i].name)->conn);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	end_villains();
	live_done(&live);
}

/* Nothing is read while nothing can be stored. */
Test(dial_limits, receiver_that_is_blocked)
{
	const struct ur_conn *conn;
	uint16_t port = 0;
	int listener = wire_listen(&port);
	struct wire wire;

	live_init(&live, "ts1.example", NULL);
	live_start(&live);
	live.receiver->is_blocked = true;
	cr_assert_eq(uidrecv_receiver_add_agent(live.receiver, "ts1.example",
						"127.0.0.1", port),
		     0);
	wire_accept(&wire, &live, "ts1.example", listener);
	live_turns(&live, 50);
	conn = dial_of(&live, "ts1.example")->conn;
	cr_assert_not_null(conn);
	cr_expect(conn->is_paused);
	cr_expect_eq(conn->state, UR_CONN_HANDSHAKE);
	live.receiver->is_blocked = false;
	ur_receiver_resume_all(live.receiver);
	wire_open(&wire, 7);
	wire_free(&wire);
	close(listener);
	live_done(&live);
}

/* At most 500 begin in a second. */
Test(dial_limits, first_attempts_are_spread)
{
	enum { COUNT = 1200 };
	char *rights = calloc(COUNT, 64);
	uint64_t first_us = UINT64_MAX, last_us = 0;
	size_t size = 0;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	for (int i = 0; i < COUNT; i++)
		size += (size_t)sprintf(
		    rights + size, "ts%d.example ::/0 dial=127.0.0.1:1\n", i);
	cr_assert_eq(live_set_agents(&live, rights), 0);
	for (const struct ur_dial *dial = live.receiver->dials; dial;
	     dial = dial->next) {
		uint64_t at_us = dial->dialer.timer.at_us;

		cr_assert(dial->dialer.timer.index);
		first_us = at_us < first_us ? at_us : first_us;
		last_us = at_us > last_us ? at_us : last_us;
	}
	cr_expect_geq(last_us - first_us, (COUNT - 1) * UINT64_C(2000));
	free(rights);
	live_done(&live);
}

/* One line for each change, and not for each attempt. */
Test(dial_limits, log_tells_of_changes)
{
	uint16_t port = 0;
	int listener = wire_listen(&port);
	unsigned int lines;
	struct wire wire;

	live_init(&live, "ts1.example", NULL);
	close(listener);
	live_start(&live);
	cr_assert_eq(uidrecv_receiver_add_agent(live.receiver, "ts1.example",
						"127.0.0.1", port),
		     0);
	for (unsigned int i = 1; i < 12; i++) {
		live_await(
		    &live,
		    (dial_now(&live, "ts1.example"),
		     dial_of(&live, "ts1.example")->dialer.attempts > i));
		cr_expect_eq(live.log.lines[UIDRECV_LOG_WARNING], 1);
	}
	cr_expect(live_log_has(&live.log, "ts1.example at 127.0.0.1:"));
	listener = wire_listen(&port);
	dial_accept(&wire, &live, "ts1.example", listener);
	wire_open(&wire, 7);
	close(listener);
	wire_free(&wire);
	lines = live.log.lines[UIDRECV_LOG_WARNING];
	live_await(&live, (dial_now(&live, "ts1.example"),
			   live.log.lines[UIDRECV_LOG_WARNING] > lines));
	cr_expect_eq(live.log.unclean, 0);
	live_done(&live);
}

/* All ends: a session, one that waits, one that connects, one that asks. */
Test(dial_limits, stop)
{
	uint16_t ports[3] = {0};
	int listeners[3], full[4];
	struct ur_message message;
	struct dns dns;
	struct wire wire;

	live_init(&live, "ts1.example", "ts2.example", "ts3.example",
		  "ts4.example", NULL);
	dns_open(&dns);
	for (int i = 0; i < 3; i++)
		listeners[i] = wire_listen(&ports[i]);
	close(listeners[1]);
	/* This one takes nobody any more. */
	listen(listeners[2], 0);
	live_start(&live);
	live.receiver->resolver.servers = dns.servers;
	for (int i = 0; i < 4; i++) {
		live.port = ports[2];
		full[i] = wire_connect(&live);
	}
	for (int i = 0; i < 3; i++) {
		char name[16];

		snprintf(name, sizeof(name), "ts%d.example", i + 1);
		cr_assert_eq(uidrecv_receiver_add_agent(live.receiver, name,
							"127.0.0.1", ports[i]),
			     0);
	}
	cr_assert_eq(uidrecv_receiver_add_agent(live.receiver, "ts4.example",
						"ts4.example", 1),
		     0);
	wire_accept(&wire, &live, "ts1.example", listeners[0]);
	wire_open(&wire, 7);
	live_await(&live, dial_of(&live, "ts4.example")->dialer.attempts);
	cr_expect_eq(dial_of(&live, "ts3.example")->conn->state,
		     UR_CONN_CONNECTING);
	uidrecv_receiver_stop(live.receiver);
	cr_assert(wire_await(&wire, UR_BYE, &message));
	cr_expect_eq(message.bye.code, UIDRECV_BYE_SHUTDOWN);
	wire_free(&wire);
	live_await(&live, live.result == -ESHUTDOWN);
	for (int i = 1; i <= 4; i++) {
		char name[16];

		snprintf(name, sizeof(name), "ts%d.example", i);
		cr_expect_not(ur_dialer_is_busy(&dial_of(&live, name)->dialer));
		cr_expect_null(dial_of(&live, name)->conn);
	}
	for (int i = 0; i < 4; i++)
		close(full[i]);
	close(listeners[0]);
	close(listeners[2]);
	live_done(&live);
	dns_close(&dns);
}
