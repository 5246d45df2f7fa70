/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A serial that is durable changes nothing when it comes again: over TLS, by
 * an agent by hand that goes on where it likes.
 */
#include "clock.h"
#include "wire.h"

static struct live live;
static struct wire wire;
static const uint64_t session_id = 7;

static void start(void)
{
	live_init(&live, "a.example", NULL);
	live_start(&live);
}

static void done(void)
{
	wire_free(&wire);
	live_done(&live);
}

TestSuite(sync_serials, .init = start, .fini = done, .timeout = 100);

/* Connects as one that can send all from serial 1 on again. */
static void open_wire(uint64_t last)
{
	struct ur_hello hello = wire_hello(session_id);
	struct ur_message message;

	hello.capabilities = UR_CAPABILITY_SNAPSHOT;
	hello.replay_last = last;
	wire_new(&wire, &live, "a.example");
	cr_assert(wire_shake(&wire));
	cr_assert(wire_read(&wire, &message));
	wire_send_hello(&wire, &hello);
	cr_assert(wire_read(&wire, &message));
	cr_assert_eq(message.type, UR_READY);
	cr_assert_eq(message.ready.durable, last);
}

static void open_again(uint64_t last)
{
	wire_free(&wire);
	open_wire(last);
}

static void await_ack(uint64_t serial)
{
	struct ur_message message;

	do
		cr_assert(wire_await(&wire, UR_ACK, &message));
	while (message.serial < serial);
}

static void send_control(uint8_t type, uint64_t serial, uint64_t count)
{
	struct ur_buf buf;

	ur_buf_init(&buf, 65536);
	if (type == UR_SNAPSHOT_BEGIN)
		ur_snapshot_begin_encode(&buf, serial);
	else if (type == UR_SNAPSHOT_END)
		ur_snapshot_end_encode(&buf, serial, count);
	else
		ur_refresh_all_encode(&buf, serial, ur_clock_wall_us(), count);
	wire_send(&wire, &buf);
	ur_buf_done(&buf);
	await_ack(serial);
}

static void send_maps(uint64_t serial, const char *address, uint32_t count)
{
	wire_update(&wire, serial, address, "ada", count);
	await_ack(serial);
}

static void send_withdraw(uint64_t serial, const char *address)
{
	struct uidrecv_record record =
	    live_record(UIDRECV_OP_WITHDRAW, address, "");
	struct ur_update_writer writer;
	struct ur_buf buf;

	ur_buf_init(&buf, 65536);
	ur_update_begin(&writer, &buf, serial, ur_clock_wall_us(), false, 0,
			65536);
	cr_assert(ur_update_add(&writer, &record));
	ur_update_end(&writer);
	wire_send(&wire, &buf);
	ur_buf_done(&buf);
	await_ack(serial);
}

static struct uidrecv_agent_stats stats(void)
{
	struct uidrecv_agent_stats stats = {.size = sizeof(stats)};

	cr_assert_eq(uidrecv_receiver_get_agent_stats(live.receiver, 0, &stats),
		     1);
	return stats;
}

/* A withdrawal leaves nothing that would refuse it. */
Test(sync_serials, P17_duplicate_of_a_mapping_that_was_withdrawn)
{
	open_wire(0);
	send_maps(1, "10.0.0.1", 1);
	cr_assert_str_eq(live_user(&live, "10.0.0.1"), "ada");
	send_withdraw(2, "10.0.0.1");
	open_again(2);
	send_maps(1, "10.0.0.1", 1);
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "");
	send_withdraw(2, "10.0.0.1");
	send_maps(3, "10.0.0.2", 1);
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "");
	cr_expect_str_eq(live_user(&live, "10.0.0.2"), "ada");
}

Test(sync_serials, duplicate_of_an_update_is_not_counted_in_its_snapshot)
{
	open_wire(0);
	send_control(UR_SNAPSHOT_BEGIN, 1, 0);
	send_maps(2, "10.0.0.1", 3);
	open_again(2);
	send_maps(2, "10.0.0.1", 3);
	send_control(UR_SNAPSHOT_END, 3, 3);
	cr_expect_eq(stats().resync_code, 0);
	cr_expect_eq(live_stats(&live).snapshots, 1);
	cr_expect_eq(live_stats(&live).snapshots_refused, 0);
}

Test(sync_serials, duplicate_of_a_begin_opens_nothing)
{
	open_wire(0);
	send_control(UR_SNAPSHOT_BEGIN, 1, 0);
	send_maps(2, "10.0.0.1", 3);
	send_control(UR_SNAPSHOT_END, 3, 3);
	open_again(3);
	send_control(UR_SNAPSHOT_BEGIN, 1, 0);
	cr_expect_not(stats().is_in_snapshot);
	send_maps(2, "10.0.0.1", 3);
	send_control(UR_SNAPSHOT_END, 3, 3);
	/* The epoch is still that of the first. */
	send_maps(4, "10.0.0.9", 1);
	send_control(UR_REFRESH_ALL, 5, 4);
	cr_expect_eq(stats().resync_code, 0);
	cr_expect_eq(live_stats(&live).refresh_alls, 1);
	cr_expect_eq(live_stats(&live).snapshots, 1);
}

Test(sync_serials, duplicate_of_an_end_drops_nothing)
{
	open_wire(0);
	send_control(UR_SNAPSHOT_BEGIN, 1, 0);
	send_maps(2, "10.0.0.1", 3);
	send_control(UR_SNAPSHOT_END, 3, 3);
	send_control(UR_SNAPSHOT_BEGIN, 4, 0);
	open_again(4);
	send_control(UR_SNAPSHOT_END, 3, 3);
	cr_expect(stats().is_in_snapshot);
	cr_expect_eq(stats().resync_code, 0);
	cr_expect_str_eq(live_user(&live, "10.0.0.3"), "ada");
}

Test(sync_serials, duplicate_of_a_refresh_all_is_not_counted_anew)
{
	open_wire(0);
	send_control(UR_SNAPSHOT_BEGIN, 1, 0);
	send_maps(2, "10.0.0.1", 3);
	send_control(UR_SNAPSHOT_END, 3, 3);
	send_control(UR_REFRESH_ALL, 4, 3);
	send_maps(5, "10.0.0.9", 1);
	open_again(5);
	send_control(UR_REFRESH_ALL, 4, 3);
	cr_expect_eq(stats().resync_code, 0);
	cr_expect_eq(live_stats(&live).refresh_alls, 1);
}
