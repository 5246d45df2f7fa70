/* SPDX-License-Identifier: BSD-2-Clause */
/* Many that connect at once, beside those that have their sessions. */
#include <poll.h>
#include <stdio.h>

#include "live.h"
#include "receiver-private.h"
#include "wire.h"

#define CROWD 120
#define IN_A_DISPATCH 16

struct storm {
	struct live live;
	struct wire session; /* that goes on meanwhile */
	struct wire crowd[CROWD];
};

static void name_one(char *name, size_t room, int i)
{
	snprintf(name, room, "s%d.example", i);
}

static void storm_start(struct storm *storm, uint32_t handshakes_max)
{
	char name[32];

	live_init(&storm->live, "a.example", NULL);
	storm->live.options.handshakes_max = handshakes_max;
	for (int i = 0; i < CROWD; i++) {
		name_one(name, sizeof(name), i);
		live_add_name(&storm->live, name);
	}
	live_start(&storm->live);
	wire_new(&storm->session, &storm->live, "a.example");
	wire_open(&storm->session, 77);
}

static void storm_connect(struct storm *storm)
{
	char name[32];

	for (int i = 0; i < CROWD; i++) {
		name_one(name, sizeof(name), i);
		wire_new(&storm->crowd[i], &storm->live, name);
	}
}

/* All say the first word before the receiver looks. */
static void storm_begin(struct storm *storm)
{
	for (int i = 0; i < CROWD; i++)
		cr_assert_eq(SSL_do_handshake(storm->crowd[i].ssl), -1);
}

static void storm_end(struct storm *storm)
{
	wire_free(&storm->session);
	for (int i = 0; i < CROWD; i++)
		wire_free(&storm->crowd[i]);
	live_done(&storm->live);
}

static bool is_readable(const struct wire *wire)
{
	struct pollfd in = {.fd = wire->fd, .events = POLLIN};

	return poll(&in, 1, 0) == 1;
}

/* To how many the receiver has given its certificate. */
static unsigned int count_answered(const struct storm *storm)
{
	unsigned int count = 0;

	for (int i = 0; i < CROWD; i++)
		count += is_readable(&storm->crowd[i]);
	return count;
}

/* One dispatch has a few handshakes in it, and all that a session says. */
Test(storm, N23_sessions_are_served_between_handshakes)
{
	static struct storm storm;
	struct ur_message message;
	unsigned int answered = 0, former;

	storm_start(&storm, 0);
	storm_connect(&storm);
	live_await(&storm.live, live_stats(&storm.live).accepted == 1 + CROWD);
	storm_begin(&storm);
	for (uint64_t serial = 1; answered < CROWD; serial++) {
		former = answered;
		wire_update(&storm.session, serial, "10.0.0.1", "alice", 1);
		cr_assert_eq(uidrecv_receiver_dispatch(storm.live.receiver), 0);
		cr_assert(is_readable(&storm.session), "%u", (unsigned)serial);
		cr_assert(wire_read(&storm.session, &message));
		cr_expect_eq(message.type, UR_ACK);
		answered = count_answered(&storm);
		cr_expect_leq(answered - former, IN_A_DISPATCH);
		/* It is their share, and not less. */
		cr_assert_leq(serial, CROWD / (IN_A_DISPATCH - 1) + 1);
	}
	storm_end(&storm);
}

static void go_on(struct wire *wire, int i, bool *has_greeted)
{
	struct ur_hello hello = wire_hello(1000 + (uint64_t)i);

	if (*has_greeted || SSL_do_handshake(wire->ssl) != 1)
		return;
	wire_send_hello(wire, &hello);
	*has_greeted = true;
}

/* Those who cannot be served yet wait in the kernel, and nobody is dropped. */
Test(storm, N02_all_of_a_crowd_get_in)
{
	static struct storm storm;
	static bool has_greeted[CROWD];
	struct live *live = &storm.live;
	struct ur_message message;
	uint64_t most = 0;

	storm_start(&storm, CROWD / 2);
	storm_connect(&storm);
	storm_begin(&storm);
	while (live_stats(live).sessions < 1 + CROWD) {
		cr_assert_eq(uidrecv_receiver_dispatch(live->receiver), 0);
		if (live->receiver->handshakes > most)
			most = live->receiver->handshakes;
		for (int i = 0; i < CROWD; i++)
			go_on(&storm.crowd[i], i, &has_greeted[i]);
		cr_assert_eq(live_stats(live).refused_limit, 0);
	}
	cr_expect_lt(most, CROWD / 2, "%u", (unsigned int)most);
	for (int i = 0; i < CROWD; i++)
		cr_expect(wire_await(&storm.crowd[i], UR_READY, &message));
	storm_end(&storm);
}
