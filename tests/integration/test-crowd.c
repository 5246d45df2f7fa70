/* SPDX-License-Identifier: BSD-2-Clause */
/* Many agents at once, and one that wants all for itself. */
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "live.h"
#include "message-tlv.h"
#include "receiver-private.h"
#include "wire.h"

#define AGENTS 50
#define RECORDS 200

static void add_names(struct live *live)
{
	char name[32];

	for (int i = 0; i < AGENTS; i++) {
		snprintf(name, sizeof(name), "a%d.example", i);
		live_add_name(live, name);
	}
}

/* Connects all, and lets them say HELLO before the receiver looks. */
static void greet_together(struct live *live, struct wire *wires, int count,
			   uint64_t session_id)
{
	struct ur_hello hello = wire_hello(session_id);
	struct ur_message message;
	char name[32];

	for (int i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "a%d.example", i);
		wire_new(&wires[i], live, name);
		cr_assert(wire_shake(&wires[i]));
		cr_assert(wire_read(&wires[i], &message));
		cr_assert_eq(message.type, UR_HELLO);
	}
	for (int i = 0; i < count; i++)
		wire_send_hello(&wires[i], &hello);
	for (int i = 0; i < count; i++)
		cr_assert(wire_await(&wires[i], UR_READY, &message));
}

/* On a slow disk each commit is time in which nobody hears from us. */
Test(crowd, those_that_come_together_share_a_commit)
{
	struct live live;
	struct wire wires[10];
	uint64_t commits;

	live_init(&live, NULL, NULL);
	add_names(&live);
	live_start(&live);
	/* The first time each gets a row of its own. */
	greet_together(&live, wires, 10, 1);
	for (int i = 0; i < 10; i++)
		wire_free(&wires[i]);
	live_await(&live, live_stats(&live).connections == 0);
	commits = live_stats(&live).commits;
	greet_together(&live, wires, 10, 2);
	/* One is the clock's, if its ten seconds are over. */
	cr_expect_leq(live_stats(&live).commits - commits, 2);
	cr_expect_eq(live_stats(&live).sessions, 10);
	for (int i = 0; i < 10; i++)
		wire_free(&wires[i]);
	live_done(&live);
}

/* Of two that come together with one identity the later one stays. */
Test(crowd, I10_twins_that_come_together)
{
	struct live live;
	struct wire twins[2];
	struct ur_hello hello = wire_hello(1);
	struct ur_message message;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	for (int i = 0; i < 2; i++) {
		wire_new(&twins[i], &live, "a.example");
		cr_assert(wire_shake(&twins[i]));
		cr_assert(wire_read(&twins[i], &message));
	}
	for (int i = 0; i < 2; i++) {
		hello.session_id = 1 + (uint64_t)i;
		wire_send_hello(&twins[i], &hello);
	}
	cr_assert(wire_await(&twins[1], UR_READY, &message));
	cr_assert(wire_await(&twins[0], UR_BYE, &message));
	cr_expect_eq(message.bye.code, UIDRECV_BYE_SUPERSEDED);
	cr_expect_eq(live_stats(&live).sessions, 1);
	wire_free(&twins[0]);
	wire_free(&twins[1]);
	live_done(&live);
}

/* Group commit: far fewer commits than UPDATEs, and each is acknowledged. */
Test(crowd, many_agents_share_commits)
{
	struct live live;
	struct live_agent *agents[AGENTS];
	struct uidrecv_agent_options options;
	struct uidrecv_receiver_stats stats;
	uint64_t tickets[AGENTS];
	char address[32], name[32];

	live_init(&live, NULL, NULL);
	add_names(&live);
	live_start(&live);
	for (int i = 0; i < AGENTS; i++) {
		snprintf(name, sizeof(name), "a%d.example", i);
		options = live_agent_options(&live, name);
		options.batch_max = 10;
		agents[i] = live_agent(&live, name, &options);
		live_await(&live, agents[i]->events[UIDRECV_AGENT_CONNECTED]);
	}
	stats = live_stats(&live);
	for (int i = 0; i < AGENTS; i++)
		for (int j = 0; j < RECORDS; j++) {
			snprintf(address, sizeof(address), "10.%d.0.%d", i, j);
			tickets[i] = live_map(agents[i], address, "alice");
		}
	for (int i = 0; i < AGENTS; i++)
		live_await(&live, agents[i]->acked == tickets[i]);
	cr_expect_eq(live_stats(&live).updates, AGENTS * RECORDS / 10);
	cr_expect_eq(live_stats(&live).records, AGENTS * RECORDS);
	cr_expect_lt(live_stats(&live).commits - stats.commits, 40);
	cr_expect_eq(live_stats(&live).sessions, AGENTS);
	cr_expect_str_eq(live_user(&live, "10.49.0.199"), "alice");
	live_done(&live);
}

/* Fills the socket with UPDATEs as far as it takes them. */
static uint64_t flood(struct wire *wire, uint64_t serial)
{
	struct uidrecv_record record =
	    live_record(UIDRECV_OP_MAP, "10.1.0.0", "flood");
	struct ur_update_writer writer;
	struct pollfd out = {.fd = wire->fd, .events = POLLOUT};
	struct ur_buf buf;

	while (poll(&out, 1, 0) == 1) {
		serial++;
		ur_buf_init(&buf, UR_FRAME_HEADER + UR_FRAME_BODY_MAX);
		/* It is lying about what it has heard. */
		ur_update_begin(&writer, &buf, serial, 1, true, serial - 1,
				65536);
		for (int i = 0; i < 1024; i++, record.address.lo++)
			cr_assert(ur_update_add(&writer, &record));
		ur_update_end(&writer);
		if (SSL_write(wire->ssl, ur_buf_front(&buf), (int)buf.size) <=
		    0)
			serial = UINT64_MAX;
		ur_buf_done(&buf);
		if (serial == UINT64_MAX)
			break;
	}
	return serial;
}

static size_t find_pending(const struct live *live)
{
	size_t most = 0;

	for (const struct ur_conn *conn = live->receiver->conns; conn;
	     conn = conn->next)
		if (conn->pending_bytes > most)
			most = conn->pending_bytes;
	return most;
}

/*
 * An agent that says as much as the line takes does not keep another's single
 * mapping, and its own pending records are bounded.
 */
Test(crowd, P21_flood_by_one_agent)
{
	struct live live;
	struct wire wire;
	struct live_agent *agent;
	uint64_t serial = 0, ticket, turns, begun;
	uint8_t block[65536];
	size_t pending = 0;

	live_init(&live, "flood.example", "a.example", NULL);
	live_start(&live);
	agent = live_agent(&live, "a.example", NULL);
	live_await(&live, agent->events[UIDRECV_AGENT_CONNECTED]);
	wire_new(&wire, &live, "flood.example");
	SSL_set_mode(wire.ssl, SSL_MODE_ENABLE_PARTIAL_WRITE);
	wire_open(&wire, 77);
	SSL_clear_mode(wire.ssl, SSL_MODE_ENABLE_PARTIAL_WRITE);
	for (int i = 0; i < 10; i++) {
		serial = flood(&wire, serial);
		ticket = live_map(agent, "10.0.0.1", i % 2 ? "x" : "y");
		begun = live_stats(&live).commits;
		for (turns = 0; agent->acked < ticket; turns++) {
			if (serial != UINT64_MAX)
				serial = flood(&wire, serial);
			live_turn(&live);
			if (find_pending(&live) > pending)
				pending = find_pending(&live);
			cr_assert_lt(turns, 30);
		}
		cr_expect_leq(live_stats(&live).commits - begun, 30);
		while (SSL_read(wire.ssl, block, sizeof(block)) > 0)
			;
	}
	/* 256 KiB and the UPDATE that crosses it. */
	cr_expect_leq(pending, (256u << 10) + 65536);
	cr_expect_gt(live_stats(&live).updates, 10);
	cr_expect_eq(agent->events[UIDRECV_AGENT_LOST], 0);
	wire_free(&wire);
	live_done(&live);
}

/* A peer that never reads its answers is not given memory without end. */
Test(crowd, P21_answers_that_nobody_reads)
{
	struct live live;
	struct wire wire;
	struct live_agent *agent;
	uint64_t serial = 0, ticket;
	size_t queued = 0;

	live_init(&live, "deaf.example", "a.example", NULL);
	snprintf(live.rights, sizeof(live.rights),
		 "deaf.example 192.0.2.0/24\na.example 10.0.0.0/8\n");
	live_start(&live);
	agent = live_agent(&live, "a.example", NULL);
	wire_new(&wire, &live, "deaf.example");
	wire_open(&wire, 77);
	for (int i = 0; i < 300; i++) {
		if (serial != UINT64_MAX)
			serial = flood(&wire, serial);
		live_turn(&live);
		for (struct ur_conn *conn = live.receiver->conns; conn;
		     conn = conn->next)
			if (ur_conn_queued(conn) > queued)
				queued = ur_conn_queued(conn);
	}
	cr_expect_gt(queued, 512u << 10, "%zu", queued);
	/* 1 MiB, and the answers to what was pending then. */
	cr_expect_lt(queued, 3u << 20, "%zu", queued);
	ticket = live_map(agent, "10.0.0.1", "alice");
	live_await(&live, agent->acked == ticket);
	wire_free(&wire);
	live_await(&live, live_stats(&live).connections == 1);
	live_done(&live);
}

static size_t count_rejects(const struct live *live, uint64_t serial)
{
	struct ur_refusal refusals[UR_REFUSALS_MAX];
	size_t count;

	cr_assert_eq(ur_store_get_rejects(live->receiver->store, 1, serial,
					  refusals, &count),
		     0);
	return count;
}

/* An agent that reports ACKs it cannot have does not fill the store. */
Test(crowd, acks_that_were_never_sent)
{
	struct ur_keepalive lie = {
	    .clock.now_us = 1, .has_acked = true, .acked = UINT64_MAX - 1};
	struct live live;
	struct wire wire;
	struct ur_message message;
	struct ur_buf buf;
	size_t kept = 0;

	live_init(&live, "liar.example", NULL);
	live_start(&live);
	wire_new(&wire, &live, "liar.example");
	wire_open(&wire, 77);
	ur_buf_init(&buf, 4096);
	ur_keepalive_encode(&buf, &lie);
	wire_send(&wire, &buf);
	ur_buf_done(&buf);
	for (uint64_t serial = 1; serial <= 20; serial++) {
		wire_update(&wire, serial, "192.0.2.1", "mallory", 3);
		cr_assert(wire_await(&wire, UR_ACK, &message));
	}
	for (uint64_t serial = 1; serial <= 20; serial++)
		kept += count_rejects(&live, serial);
	/* Those of the last one, which may be told again. */
	cr_expect_eq(kept, 3, "%zu", kept);
	cr_expect_eq(count_rejects(&live, 20), 3);
	wire_free(&wire);
	live_done(&live);
}

/* As a host does: dispatches when the descriptor is readable, not else. */
static void dispatch_when_readable(void *user)
{
	struct live *live = user;
	struct pollfd in = {.fd = uidrecv_receiver_get_fd(live->receiver),
			    .events = POLLIN};

	if (poll(&in, 1, 0) == 1)
		live->result = uidrecv_receiver_dispatch(live->receiver);
}

/* 1,024 records of nothing: little to say, much to answer. */
static void say_nothing(struct wire *wire, uint64_t serial)
{
	struct ur_buf buf;
	size_t begun;

	ur_buf_init(&buf, UR_FRAME_HEADER + UR_FRAME_BODY_MAX);
	begun = ur_frame_begin(&buf, 1, UR_UPDATE, serial);
	ur_tlv_put(&buf, UR_TLV_AS_OF, 8);
	ur_buf_u64(&buf, ur_clock_wall_us());
	for (int i = 0; i < 1024; i++)
		ur_tlv_put(&buf, UIDRECV_OP_MAP, 0);
	ur_frame_end(&buf, begun);
	wire_send(wire, &buf);
	ur_buf_done(&buf);
}

/* Much is told again without a rest, to one who reads it all. */
Test(crowd, many_answers_again)
{
	struct live live;
	struct wire wire;
	struct ur_message message;
	uint64_t begun_ms = 0;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	live.is_frozen = true;
	live.hook = dispatch_when_readable;
	live.hook_user = &live;
	for (int again = 0; again < 2; again++) {
		wire_new(&wire, &live, "a.example");
		cr_assert_eq(wire_open(&wire, 77), again ? 250 : 0);
		begun_ms = live_now_ms();
		for (uint64_t serial = 1; serial <= 250; serial++)
			say_nothing(&wire, serial);
		do
			cr_assert(wire_await(&wire, UR_ACK, &message));
		while (message.serial < 250);
		wire_free(&wire);
	}
	cr_expect_lt(live_now_ms() - begun_ms, 3000, "%u ms",
		     (unsigned int)(live_now_ms() - begun_ms));
	live_done(&live);
}

/* A round has its bound, over all agents. */
Test(crowd, round_records_max)
{
	struct live live;
	struct live_agent *agents[4];
	struct uidrecv_record record =
	    live_record(UIDRECV_OP_MAP, "10.0.0.0", "alice");
	uint64_t tickets[4] = {0};
	char name[32];

	live_init(&live, "a0.example", "a1.example", "a2.example", "a3.example",
		  NULL);
	live.options.round_records_max = 1500;
	live_start(&live);
	for (int i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "a%d.example", i);
		agents[i] = live_agent(&live, name, NULL);
		for (int j = 0; j < 10000; j++, record.address.lo++)
			cr_assert_eq(uidrecv_agent_queue(agents[i]->agent,
							 &record, &tickets[i]),
				     0);
	}
	for (int i = 0; i < 4; i++)
		live_await(&live, agents[i]->acked == tickets[i]);
	/* Each of the four may add one UPDATE more. */
	cr_expect_gt(live_stats(&live).commits, 40000 / (1500 + 4 * 1024));
	cr_expect_eq(live_stats(&live).claims, 40000);
	live_done(&live);
}
