/* SPDX-License-Identifier: BSD-2-Clause */
/* Agents of multi-user systems: what they say of it, and to whom. */
#include <errno.h>
#include <string.h>

#include "scene.h"

#define WITH_PORTS                                                             \
	(UR_CAPABILITY_SNAPSHOT | UR_CAPABILITY_REFRESH_ALL |                  \
	 UR_CAPABILITY_PORTS)

static struct uidrecv_system make_system(void)
{
	return (struct uidrecv_system){
	    .address = uidrecv_address_from_ipv4(0x0a000001),
	    .ports = {20000, 20000},
	    .block_size = 200,
	    .aliases = {uidrecv_address_from_ipv4(0x0a000002)},
	    .aliases_count = 1,
	    .reserved = {{20200, 10}},
	    .reserved_count = 1,
	};
}

static void set_system(struct live_agent *agent)
{
	struct uidrecv_system system = make_system();

	cr_assert_eq(uidrecv_agent_set_system(agent->agent, &system,
					      &agent->system_ticket),
		     0);
}

static struct uidrecv_record make_record(const char *user, uint16_t start)
{
	struct uidrecv_record record =
	    live_record(UIDRECV_OP_MAP, "10.0.0.1", user);

	record.ports = (struct uidrecv_ports){start, 200};
	return record;
}

static uint64_t say(struct live_agent *agent, const char *user, uint16_t start)
{
	struct uidrecv_record record = make_record(user, start);
	uint64_t ticket = 0;

	cr_assert_eq(uidrecv_agent_queue(agent->agent, &record, &ticket), 0);
	return ticket;
}

static void say_snapshot(struct live_agent *agent, bool discard)
{
	cr_assert_eq(uidrecv_agent_snapshot_begin(agent->agent, discard), 0);
	say(agent, "alice", 20400);
	cr_assert_eq(uidrecv_agent_snapshot_end(agent->agent), 0);
}

Test(agent_ports, system_comes_first_and_before_each_snapshot)
{
	static struct scene scene;
	struct live *live = &scene.live;
	struct sink *sink = &scene.sinks[0];
	struct live_agent *agent;
	uint64_t ticket;

	open_scene(&scene, 0, 0);
	agent = scene.agents[0];
	sink->capabilities = WITH_PORTS;
	sink->cut_at = 2;
	set_system(agent);
	cr_expect_eq(agent->system_ticket, 1);
	ticket = say(agent, "alice", 20400);
	cr_expect_eq(ticket, 2);
	sink_dial(sink);
	live_await(live, agent->events[UIDRECV_AGENT_LOST]);
	sink_dial(sink);
	live_await(live, agent->acked == ticket);
	cr_expect_str_eq(sink_types(sink), "CU");
	say_snapshot(agent, false);
	live_await(live, agent->acked_serial == 6);
	cr_expect_str_eq(sink_types(sink), "CUCBUE");
	cr_expect_eq(sink->said[6].count, 1);
	/* Another system, thrown away and said again all the same. */
	set_system(agent);
	say_snapshot(agent, true);
	live_await(live, live_counters(agent).queued_bytes == 0);
	cr_expect_str_eq(sink_types(sink), "CUCBUECBUE");
	cr_expect_eq(agent->acked, 5);
	cr_expect_eq(sink->sessions, 1);
	cr_expect_eq(agent->events[UIDRECV_AGENT_REJECTED], 0);
	close_scene(&scene);
}

Test(agent_ports, refusal_of_the_system_is_told)
{
	static struct scene scene;
	struct live *live = &scene.live;
	struct sink *sink = &scene.sinks[0];
	struct live_agent *agent;

	open_scene(&scene, 0, 0);
	agent = scene.agents[0];
	sink->capabilities = WITH_PORTS;
	sink->is_silent = true;
	live_map(agent, "10.0.0.9", "bob");
	set_system(agent);
	cr_expect_eq(agent->system_ticket, 2);
	sink_dial(sink);
	live_await(live, sink->last == 2);
	sink_refuse(sink, 2, 0);
	sink_refuse(sink, 2, 1);
	sink_ack(sink, 2);
	live_await(live, agent->acked == 2);
	cr_expect_eq(agent->codes[2], UIDRECV_REJECT_QUOTA);
	cr_expect_eq(agent->told[2], 1);
	say_snapshot(agent, false);
	live_await(live, sink->last == 6);
	sink_refuse(sink, 3, 0);
	sink_ack(sink, 6);
	live_await(live, agent->acked == 3);
	cr_expect_eq(agent->told[2], 2);
	cr_expect_eq(agent->events[UIDRECV_AGENT_REJECTED], 2);
	close_scene(&scene);
}

/* What is not taken is told as refused; the rest arrives. */
Test(agent_ports, receiver_that_takes_no_blocks)
{
	static struct scene scene;
	struct live *live = &scene.live;
	struct sink *sink = &scene.sinks[0];
	struct uidrecv_system system = make_system();
	struct uidrecv_record record = make_record("alice", 20400);
	struct live_agent *agent;
	uint64_t ticket;

	open_scene(&scene, 0, 0);
	agent = scene.agents[0];
	sink->capabilities = WITH_PORTS & ~UR_CAPABILITY_PORTS;
	set_system(agent);
	say(agent, "alice", 20400);
	ticket = live_map(agent, "10.0.0.9", "bob");
	sink_dial(sink);
	live_await(live, agent->events[UIDRECV_AGENT_LOST] == 1);
	sink_dial(sink);
	live_await(live, agent->acked == ticket);
	cr_expect_str_eq(sink_types(sink), "U");
	cr_expect_eq(count_records(sink), 1);
	cr_expect_eq(sink->sessions, 2);
	cr_expect_eq(agent->codes[1], UIDRECV_REJECT_UNSUPPORTED);
	cr_expect_eq(agent->codes[2], UIDRECV_REJECT_UNSUPPORTED);
	cr_expect_eq(agent->codes[3], 0);
	cr_expect(live_log_has(&live->log, "2 messages or records were left"));
	cr_expect_eq(uidrecv_agent_set_system(agent->agent, &system, &ticket),
		     -EOPNOTSUPP);
	cr_expect_eq(uidrecv_agent_queue(agent->agent, &record, &ticket),
		     -EOPNOTSUPP);
	cr_expect_eq(ticket, 3);
	cr_assert_eq(uidrecv_agent_snapshot_begin(agent->agent, false), 0);
	cr_assert_eq(uidrecv_agent_snapshot_end(agent->agent), 0);
	live_await(live, live_counters(agent).queued_bytes == 0);
	cr_expect_str_eq(sink_types(sink), "UBE");
	/* It has learned it. */
	sink->capabilities = WITH_PORTS;
	sink_cut(sink);
	sink_dial(sink);
	live_await(live, agent->events[UIDRECV_AGENT_CONNECTED] == 2);
	say_snapshot(agent, false);
	live_await(live, live_counters(agent).queued_bytes == 0);
	cr_expect_str_eq(sink_types(sink), "UBECBUE");
	close_scene(&scene);
}

static int try_system(struct live_agent *agent,
		      void (*spoil)(struct uidrecv_system *system))
{
	struct uidrecv_system system = make_system();

	spoil(&system);
	return uidrecv_agent_set_system(agent->agent, &system, NULL);
}

#define SPOIL(name, statement)                                                 \
	static void name(struct uidrecv_system *system)                        \
	{                                                                      \
		statement;                                                     \
	}
SPOIL(no_ports, system->ports.count = 0)
SPOIL(ports_past_the_end, system->ports.count = 45537)
SPOIL(count_that_overflows, system->ports.count = UINT32_MAX - 19999)
SPOIL(no_block, system->block_size = 0)
SPOIL(block_too_large, system->block_size = 20001)
SPOIL(many_aliases, system->aliases_count = UIDRECV_ALIASES_MAX + 1)
SPOIL(many_reserved, system->reserved_count = UIDRECV_RESERVED_MAX + 1)
SPOIL(no_reserved_ports, system->reserved[0].count = 0)
SPOIL(reserved_past_the_end, system->reserved[0].count = 45337)
SPOIL(ports_to_the_end, system->ports.count = 45536)
SPOIL(one_block, system->block_size = 20000)

Test(agent_ports, T02_numbers_out_of_range)
{
	static struct scene scene;
	struct uidrecv_system system = make_system();
	struct uidrecv_record record = make_record("alice", 20400);
	struct live_agent *agent;

	open_scene(&scene, 0, 0);
	agent = scene.agents[0];
	cr_expect_eq(uidrecv_agent_set_system(NULL, &system, NULL), -EINVAL);
	cr_expect_eq(uidrecv_agent_set_system(agent->agent, NULL, NULL),
		     -EINVAL);
	cr_expect_eq(try_system(agent, no_ports), -EINVAL);
	cr_expect_eq(try_system(agent, ports_past_the_end), -EINVAL);
	cr_expect_eq(try_system(agent, count_that_overflows), -EINVAL);
	cr_expect_eq(try_system(agent, no_block), -EINVAL);
	cr_expect_eq(try_system(agent, block_too_large), -EINVAL);
	cr_expect_eq(try_system(agent, many_aliases), -EINVAL);
	cr_expect_eq(try_system(agent, many_reserved), -EINVAL);
	cr_expect_eq(try_system(agent, no_reserved_ports), -EINVAL);
	cr_expect_eq(try_system(agent, reserved_past_the_end), -EINVAL);
	cr_expect_eq(live_counters(agent).last_serial, 0);
	cr_expect_eq(try_system(agent, ports_to_the_end), 0);
	cr_expect_eq(try_system(agent, one_block), 0);
	record.ports = (struct uidrecv_ports){65535, 2};
	cr_expect_eq(uidrecv_agent_queue(agent->agent, &record, NULL), -EINVAL);
	record.ports.count = UINT32_MAX;
	cr_expect_eq(uidrecv_agent_queue(agent->agent, &record, NULL), -EINVAL);
	record.ports.count = 1;
	cr_expect_eq(uidrecv_agent_queue(agent->agent, &record, NULL), 0);
	uidrecv_agent_finish(agent->agent);
	cr_expect_eq(uidrecv_agent_set_system(agent->agent, &system, NULL),
		     -EINVAL);
	close_scene(&scene);
}
