/* SPDX-License-Identifier: BSD-2-Clause */
/* The agent's snapshots and REFRESH ALL, as a receiver hears them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent-private.h"
#include "live.h"
#include "sink.h"

static struct live live;
static struct sink sink;
static struct live_agent *agent;

/* The agent, not yet connected. */
static void begin(uint64_t queue_max_bytes)
{
	struct uidrecv_agent_options options;

	live_init(&live, "a.example", NULL);
	sink_init(&sink, &live);
	options = live_agent_options(&live, "a.example");
	options.queue_max_bytes = queue_max_bytes;
	agent = live_agent(&live, "a.example", &options);
}

static void end(void)
{
	sink_done(&sink);
	live_done(&live);
}

/* Lets it try again now. */
static void hurry(void)
{
	if (agent->agent->dialer.timer.index)
		ur_loop_set_timer(agent->agent->loop,
				  &agent->agent->dialer.timer, 1);
}

static void connect_again(void)
{
	unsigned int connected = agent->events[UIDRECV_AGENT_CONNECTED];

	live_await(&live, (hurry(),
			   agent->events[UIDRECV_AGENT_CONNECTED] > connected));
}

#define await_acked(serial)                                                    \
	live_await(&live, (hurry(), agent->acked_serial == (serial)))

static int snapshot_begin(bool discard)
{
	return uidrecv_agent_snapshot_begin(agent->agent, discard);
}

static int snapshot_end(void)
{
	return uidrecv_agent_snapshot_end(agent->agent);
}

/* count mappings with one UPDATE for each batch_max of them. */
static uint64_t map_some(int count)
{
	struct uidrecv_record record =
	    live_record(UIDRECV_OP_MAP, "10.0.0.1", "alice");
	uint64_t ticket = 0;

	for (int i = 0; i < count; i++, record.address.lo++)
		cr_assert_eq(
		    uidrecv_agent_queue(agent->agent, &record, &ticket), 0);
	return ticket;
}

Test(agent_snapshot, frames_in_order)
{
	uint64_t ticket;

	begin(0);
	map_some(2);
	cr_assert_eq(snapshot_begin(false), 0);
	cr_expect(live_counters(agent).is_snapshot_open);
	map_some(3);
	live_say(agent, UIDRECV_OP_REFRESH, "10.0.0.1", NULL);
	live_say(agent, UIDRECV_OP_LOGOUT, "10.0.0.9", "bob");
	ticket = map_some(1);
	cr_assert_eq(snapshot_end(), 0);
	cr_expect_not(live_counters(agent).is_snapshot_open);
	cr_assert_eq(uidrecv_agent_refresh_all(agent->agent, 4), 0);
	ticket = map_some(1);
	cr_expect_eq(ticket, 9);
	await_acked(6);
	cr_expect_str_eq(sink_types(&sink), "UBUERU");
	cr_expect_eq(sink.said[3].records, 6);
	cr_expect_eq(sink.said[3].maps, 4);
	cr_expect_eq(sink.said[4].count, 4);
	cr_expect_eq(sink.said[5].count, 4);
	cr_expect_gt(sink.said[5].as_of_us, 0);
	cr_expect_geq(sink.said[5].as_of_us, sink.said[3].as_of_us);
	cr_expect_geq(sink.said[6].as_of_us, sink.said[5].as_of_us);
	cr_expect_eq(agent->acked, ticket);
	cr_expect_eq(sink.peer_capabilities, UR_CAPABILITY_SNAPSHOT);
	/* It counts anew, from none. */
	cr_assert_eq(snapshot_begin(false), 0);
	cr_assert_eq(snapshot_end(), 0);
	await_acked(8);
	cr_expect_str_eq(sink_types(&sink), "UBUERUBE");
	cr_expect_eq(sink.said[8].count, 0);
	cr_expect_eq(agent->acked, ticket);
	cr_expect_eq(agent->events[UIDRECV_AGENT_LOST], 0);
	end();
}

/* Each is acknowledged by itself, with the ticket of what was before it. */
Test(agent_snapshot, tickets)
{
	begin(0);
	sink.is_silent = true;
	connect_again();
	map_some(2);
	cr_assert_eq(snapshot_begin(false), 0);
	map_some(3);
	cr_assert_eq(snapshot_end(), 0);
	live_await(&live, sink.last == 4);
	sink_ack(&sink, 1);
	await_acked(1);
	cr_expect_eq(agent->acked, 2);
	sink_ack(&sink, 2);
	await_acked(2);
	cr_expect_eq(agent->acked, 2);
	/* A REJECT of what has no records is of nothing. */
	sink_refuse(&sink, 4, 0);
	sink_refuse(&sink, 3, 1);
	sink_ack(&sink, 3);
	await_acked(3);
	cr_expect_eq(agent->acked, 5);
	cr_expect_eq(agent->told[4], 1);
	cr_expect_eq(agent->events[UIDRECV_AGENT_REJECTED], 1);
	sink_ack(&sink, 4);
	await_acked(4);
	cr_expect_eq(agent->acked, 5);
	cr_expect_eq(live_counters(agent).queued_records, 0);
	cr_expect_eq(live_counters(agent).queued_bytes, 0);
	end();
}

/* Before the first record there is no ticket. */
Test(agent_snapshot, ticket_of_nothing)
{
	begin(0);
	cr_assert_eq(snapshot_begin(false), 0);
	await_acked(1);
	cr_expect_eq(agent->acked, 0);
	end();
}

/* Cut at each serial, before it is stored and after. */
Test(agent_snapshot, replayed_after_a_cut)
{
	for (uint64_t cut = 1; cut <= 14; cut++) {
		begin(0);
		agent->agent->outbox.batch_max = 2;
		sink.cut_at = (cut + 1) / 2;
		sink.is_cut_late = cut % 2;
		map_some(1);
		cr_assert_eq(snapshot_begin(false), 0);
		map_some(3);
		connect_again();
		cr_assert_eq(snapshot_begin(false), 0);
		map_some(1);
		cr_assert_eq(snapshot_end(), 0);
		await_acked(7);
		cr_expect_str_eq(sink_types(&sink), "UBUUBUE");
		cr_expect_eq(sink.said[7].count, 1);
		cr_expect_eq(sink.sessions, 1);
		cr_expect_eq(sink.hellos, 2);
		end();
	}
}

Test(agent_snapshot, goes_on_after_a_cut)
{
	begin(0);
	connect_again();
	cr_assert_eq(snapshot_begin(false), 0);
	map_some(2);
	await_acked(2);
	sink_cut(&sink);
	live_await(&live, agent->events[UIDRECV_AGENT_LOST]);
	cr_expect(live_counters(agent).is_snapshot_open);
	map_some(2);
	connect_again();
	cr_assert_eq(snapshot_end(), 0);
	await_acked(4);
	cr_expect_str_eq(sink_types(&sink), "BUUE");
	cr_expect_eq(sink.said[4].count, 4);
	end();
}

/* Without a connection nothing was sent: all of it is thrown away. */
Test(agent_snapshot, discards_what_was_never_sent)
{
	struct uidrecv_record record =
	    live_record(UIDRECV_OP_MAP, "10.1.0.0", "alice");
	uint64_t ticket = 0;

	begin(20000);
	while (!uidrecv_agent_queue(agent->agent, &record, &ticket))
		record.address.lo++;
	cr_assert_eq(uidrecv_agent_queue(agent->agent, &record, NULL),
		     UIDRECV_E_FULL);
	/* There is always room for these. */
	cr_assert_eq(snapshot_begin(false), 0);
	cr_assert_eq(snapshot_end(), 0);
	cr_assert_eq(uidrecv_agent_refresh_all(agent->agent, 1), 0);
	cr_assert_eq(snapshot_begin(true), 0);
	cr_expect_eq(live_counters(agent).queued_records, 0);
	cr_expect_lt(live_counters(agent).queued_bytes, 100);
	cr_expect_eq(live_counters(agent).last_serial, 1);
	cr_expect_eq(map_some(2), ticket + 2);
	cr_assert_eq(snapshot_end(), 0);
	await_acked(3);
	cr_expect_str_eq(sink_types(&sink), "BUE");
	cr_expect_eq(sink.said[3].count, 2);
	cr_expect_eq(agent->acked, ticket + 2);
	cr_expect_eq(sink.sessions, 1);
	end();
}

/* What was sent stays, also if it has to be sent again. */
Test(agent_snapshot, discards_no_more_than_that)
{
	begin(0);
	sink.is_silent = true;
	connect_again();
	map_some(1);
	cr_assert_eq(snapshot_begin(false), 0);
	map_some(2);
	live_await(&live, sink.last == 3);
	sink_cut(&sink);
	live_await(&live, agent->events[UIDRECV_AGENT_LOST]);
	map_some(4);
	cr_assert_eq(snapshot_end(), 0);
	sink.is_silent = false;
	cr_assert_eq(snapshot_begin(true), 0);
	cr_expect_eq(live_counters(agent).last_serial, 4);
	cr_expect_eq(live_counters(agent).queued_records, 3);
	map_some(1);
	cr_assert_eq(snapshot_end(), 0);
	await_acked(6);
	cr_expect_str_eq(sink_types(&sink), "UBUBUE");
	cr_expect_eq(sink.said[6].count, 1);
	/* All is sent and acknowledged: there is nothing to throw away. */
	cr_assert_eq(snapshot_begin(true), 0);
	await_acked(7);
	cr_expect_eq(agent->acked, 8);
	cr_expect_eq(sink.sessions, 1);
	cr_expect_eq(agent->events[UIDRECV_AGENT_LOST], 1);
	end();
}

/* What the window holds back on this connection may have been sent before. */
Test(agent_snapshot, discards_what_the_window_holds_back)
{
	begin(0);
	agent->agent->outbox.batch_max = 1;
	sink.is_silent = true;
	sink.window = 3;
	connect_again();
	map_some(5);
	live_await(&live, sink.last == 3);
	cr_expect_eq(agent->agent->outbox.unsent->serial, 4);
	cr_assert_eq(snapshot_begin(true), 0);
	cr_expect_eq(agent->agent->outbox.unsent, agent->agent->outbox.last);
	sink_cut(&sink);
	sink.window = 1;
	connect_again();
	live_await(&live, agent->agent->outbox.unsent->serial == 2);
	cr_assert_eq(snapshot_begin(true), 0);
	cr_expect_eq(agent->agent->outbox.unsent->serial, 2);
	cr_expect_eq(live_counters(agent).queued_records, 3);
	sink_cut(&sink);
	sink.window = 256;
	sink.is_silent = false;
	await_acked(4);
	cr_expect_str_eq(sink_types(&sink), "UUUB");
	cr_expect_eq(agent->acked, 5);
	cr_expect_eq(sink.sessions, 1);
	end();
}

/* Between HELLO, which names the last serial, and READY. */
Test(agent_snapshot, discards_what_hello_promised)
{
	begin(0);
	map_some(3);
	cr_assert_eq(uidrecv_agent_refresh_all(agent->agent, 1), 0);
	live_await(&live,
		   agent->agent->conn && agent->agent->conn->session.state ==
					     UR_SESSION_WAIT_READY);
	cr_expect_eq(agent->agent->conn->session.options.replay_last, 2);
	cr_assert_eq(snapshot_begin(true), 0);
	await_acked(1);
	cr_expect_str_eq(sink_types(&sink), "B");
	sink_cut(&sink);
	connect_again();
	map_some(1);
	await_acked(2);
	cr_expect_eq(sink.sessions, 1);
	end();
}

static void queue_all(void)
{
	map_some(1);
	cr_assert_eq(snapshot_begin(false), 0);
	map_some(2);
	cr_assert_eq(snapshot_end(), 0);
	cr_assert_eq(uidrecv_agent_refresh_all(agent->agent, 2), 0);
	map_some(1);
	cr_assert_eq(snapshot_begin(false), 0);
	map_some(1);
}

/* A receiver that does not take what waits: a new session without that. */
Test(agent_snapshot, left_out_for_a_receiver_that_takes_none)
{
	begin(0);
	agent->agent->log = (struct ur_log){.fn = live_log, .user = &live.log};
	queue_all();
	sink.capabilities = 0;
	live_await(&live, agent->events[UIDRECV_AGENT_LOST] == 1);
	cr_expect_not(live_counters(agent).is_snapshot_open);
	await_acked(4);
	cr_expect_str_eq(sink_types(&sink), "UUUU");
	cr_expect_eq(sink.said[2].maps, 2);
	cr_expect_eq(agent->acked, 5);
	cr_expect_eq(sink.sessions, 2);
	cr_expect(
	    live_log_has(&live.log, "4 messages or records were left out"));
	cr_expect_not(live_counters(agent).is_snapshot_open);
	cr_expect_eq(snapshot_end(), -EINVAL);
	cr_expect_eq(snapshot_begin(true), -EOPNOTSUPP);
	cr_expect_eq(uidrecv_agent_refresh_all(agent->agent, 5), -EOPNOTSUPP);
	/* The next one does: it is asked no more than the last. */
	sink_cut(&sink);
	live_await(&live, agent->events[UIDRECV_AGENT_LOST] == 2);
	sink.capabilities = UR_CAPABILITY_SNAPSHOT;
	connect_again();
	cr_expect_eq(uidrecv_agent_refresh_all(agent->agent, 5), -EOPNOTSUPP);
	cr_expect_eq(snapshot_begin(true), 0);
	await_acked(5);
	cr_expect_str_eq(sink_types(&sink), "UUUUB");
	/* One that is open while nothing waits. */
	sink_cut(&sink);
	live_await(&live, agent->events[UIDRECV_AGENT_LOST] == 3);
	sink.capabilities = 0;
	connect_again();
	cr_expect_not(live_counters(agent).is_snapshot_open);
	cr_expect_eq(sink.sessions, 2);
	end();
}

Test(agent_snapshot, left_out_one_by_one)
{
	begin(0);
	queue_all();
	sink.capabilities = UR_CAPABILITY_SNAPSHOT;
	await_acked(7);
	cr_expect_str_eq(sink_types(&sink), "UBUEUBU");
	cr_expect_eq(sink.said[4].count, 2);
	cr_expect(live_counters(agent).is_snapshot_open);
	map_some(1);
	cr_assert_eq(snapshot_end(), 0);
	await_acked(9);
	cr_expect_eq(sink.said[9].count, 2);
	cr_expect_eq(agent->acked, 6);
	end();
}

/* Carried over to a receiver with a smaller frame limit, whole or in part. */
Test(agent_snapshot, carried_over)
{
	uint64_t ticket;

	begin(0);
	sink.is_silent = true;
	connect_again();
	cr_assert_eq(snapshot_begin(false), 0);
	map_some(500);
	live_await(&live, sink.last == 2);
	sink_ack(&sink, 1);
	await_acked(1);
	/* BEGIN and the first are acknowledged; the END counts them too. */
	map_some(600);
	cr_assert_eq(snapshot_end(), 0);
	cr_assert_eq(uidrecv_agent_refresh_all(agent->agent, 1100), 0);
	ticket = map_some(1);
	live_await(&live, sink.last == 6);
	sink_ack(&sink, 2);
	await_acked(2);
	cr_assert_eq(snapshot_begin(false), 0);
	ticket = map_some(1);
	live_await(&live, sink.last == 8);
	sink_cut(&sink);
	sink.frame_max = 4096;
	sink.is_silent = false;
	live_await(&live, (hurry(), agent->acked == ticket));
	cr_expect_eq(sink.sessions, 2);
	cr_assert_str_eq(sink_types(&sink), "UUUUERUBU");
	cr_expect_eq(sink.said[5].count, 1100);
	cr_expect_eq(sink.said[6].count, 1100);
	cr_expect_gt(sink.said[6].as_of_us, 0);
	cr_expect(live_counters(agent).is_snapshot_open);
	cr_assert_eq(snapshot_end(), 0);
	await_acked(10);
	cr_expect_eq(sink.said[10].count, 1);
	end();
}

/* Tickets that were thrown away leave a hole; a new session keeps it. */
Test(agent_snapshot, tickets_after_a_hole)
{
	uint64_t ticket;

	begin(0);
	sink.is_silent = true;
	connect_again();
	map_some(500);
	live_await(&live, sink.last == 1);
	sink_cut(&sink);
	live_await(&live, agent->events[UIDRECV_AGENT_LOST]);
	map_some(7);
	cr_assert_eq(snapshot_begin(true), 0);
	ticket = map_some(2);
	cr_assert_eq(ticket, 509);
	sink.frame_max = 4096;
	connect_again();
	live_await(&live, strchr(sink_types(&sink), 'B') && sink.last == 5);
	cr_assert_str_eq(sink_types(&sink), "UUUBU");
	sink_ack(&sink, 3);
	await_acked(3);
	cr_expect_eq(agent->acked, 500);
	sink_ack(&sink, 4);
	await_acked(4);
	cr_expect_eq(agent->acked, 507);
	sink_refuse(&sink, 5, 0);
	sink_ack(&sink, 5);
	await_acked(5);
	cr_expect_eq(agent->told[508], 1);
	cr_expect_eq(agent->acked, ticket);
	end();
}

/* As the last thing, too: the next ticket is the next. */
Test(agent_snapshot, tickets_after_a_hole_at_the_end)
{
	begin(0);
	cr_assert_eq(map_some(7), 7);
	cr_assert_eq(snapshot_begin(true), 0);
	sink.capabilities = 0;
	connect_again();
	cr_expect_eq(sink.last, 0);
	cr_assert_eq(map_some(1), 8);
	await_acked(1);
	cr_expect_eq(agent->acked, 8);
	end();
}

Test(agent_snapshot, resync)
{
	begin(0);
	connect_again();
	sink_resync(&sink, UIDRECV_RESYNC_COUNT);
	live_await(&live, agent->events[UIDRECV_AGENT_RESYNC] == 1);
	cr_expect_eq(agent->resync.code, UIDRECV_RESYNC_COUNT);
	cr_expect_str_eq(agent->resync.text,
			 uidrecv_resync_text(UIDRECV_RESYNC_COUNT));
	/* Not while one is open. */
	cr_assert_eq(snapshot_begin(false), 0);
	await_acked(1);
	sink_resync(&sink, UIDRECV_RESYNC_GAP);
	live_await(&live, live_counters(agent).resyncs == 2);
	live_turn(&live);
	cr_expect_eq(agent->events[UIDRECV_AGENT_RESYNC], 1);
	/* It was ended: whatever it was, the receiver wants another. */
	cr_assert_eq(snapshot_end(), 0);
	await_acked(2);
	sink_resync(&sink, UIDRECV_RESYNC_NO_SNAPSHOT);
	live_await(&live, agent->events[UIDRECV_AGENT_RESYNC] == 2);
	cr_expect_eq(live_counters(agent).resyncs, 3);
	end();
}

/* The snapshot is sent, though something after it waits. */
Test(agent_snapshot, resync_behind_the_window)
{
	begin(0);
	sink.is_silent = true;
	sink.window = 2;
	connect_again();
	cr_assert_eq(snapshot_begin(false), 0);
	cr_assert_eq(snapshot_end(), 0);
	cr_assert_eq(uidrecv_agent_refresh_all(agent->agent, 0), 0);
	live_await(&live, sink.last == 2);
	cr_expect_not_null(agent->agent->outbox.unsent);
	sink_resync(&sink, UIDRECV_RESYNC_BUSY);
	live_await(&live, agent->events[UIDRECV_AGENT_RESYNC] == 1);
	end();
}

/* Said before the receiver can know that one is coming. */
Test(agent_snapshot, resync_before_the_snapshot_is_seen)
{
	begin(0);
	sink.resync = UIDRECV_RESYNC_GAP;
	cr_assert_eq(snapshot_begin(false), 0);
	map_some(1);
	cr_assert_eq(snapshot_end(), 0);
	await_acked(3);
	live_await(&live, live_counters(agent).resyncs == 1);
	cr_expect_eq(agent->events[UIDRECV_AGENT_RESYNC], 0);
	/* Of one that the receiver has, but for the ACK, it knows. */
	cr_assert_eq(snapshot_begin(false), 0);
	map_some(1);
	cr_assert_eq(snapshot_end(), 0);
	sink.is_silent = true;
	live_await(&live, sink.last == 6);
	sink_cut(&sink);
	connect_again();
	live_await(&live, live_counters(agent).resyncs == 2);
	live_turn(&live);
	cr_expect_eq(agent->events[UIDRECV_AGENT_RESYNC], 1);
	end();
}

Test(agent_snapshot, misuse)
{
	begin(0);
	cr_expect_eq(snapshot_end(), -EINVAL);
	cr_expect_eq(live_counters(agent).last_serial, 0);
	cr_expect_eq(snapshot_begin(false), 0);
	cr_expect_eq(uidrecv_agent_refresh_all(agent->agent, 0), -EBUSY);
	/* The former is given up. */
	cr_expect_eq(snapshot_begin(false), 0);
	cr_expect_eq(snapshot_end(), 0);
	cr_expect_eq(snapshot_end(), -EINVAL);
	cr_expect_eq(uidrecv_agent_refresh_all(agent->agent, UINT64_MAX), 0);
	await_acked(4);
	cr_expect_str_eq(sink_types(&sink), "BBER");
	cr_expect_eq(sink.said[4].count, UINT64_MAX);
	cr_expect_eq(snapshot_begin(false), 0);
	uidrecv_agent_finish(agent->agent);
	cr_expect_eq(snapshot_begin(false), -EINVAL);
	cr_expect_eq(snapshot_end(), -EINVAL);
	cr_expect_eq(uidrecv_agent_refresh_all(agent->agent, 1), -EINVAL);
	/* It ends when that BEGIN is acknowledged too. */
	live_await(&live, agent->result == -ESHUTDOWN);
	cr_expect_eq(sink.last, 5);
	end();
}
