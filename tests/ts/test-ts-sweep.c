/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random systems and random records for their blocks, good and bad, through
 * rounds, store and table; then every port is looked up, and has to be whose an
 * array with an element for each port says.
 */
#include "../unit/rounds.h"
#include "luck.h"

#define TABLES 100
#define TABLES_LONG 1000
#define PORTS 65536
#define RECORDS_MAX 300
#define USERS 6

/* Written from doc/protocol.md section 8. A user of 0 is nobody. */
struct port {
	uint8_t user;
	uint64_t event_us;
	struct uidrecv_ports block;
};

struct sweep {
	struct fixture *f;
	uint64_t begun_us, serials[ROUND_AGENTS], refused;
	struct uidrecv_system system;
	struct port ports[PORTS];
	/* What the newest submitted record is to get: a code or 0. */
	uint16_t codes[100];
	size_t submitted;
};

static const struct uidrecv_address host = {0, UINT64_C(0xffff0a000001)};
static const struct uidrecv_address alias = {0, UINT64_C(0xffff0a000002)};
static const struct uidrecv_address other = {0, UINT64_C(0xffff0a000003)};

static bool luck(uint64_t one_in)
{
	return luck_below(one_in) == 0;
}

static struct uidrecv_ports draw_ports(uint32_t count_max)
{
	struct uidrecv_ports ports = {.start = (uint16_t)luck_below(PORTS)};
	uint32_t room = PORTS - ports.start;

	ports.count =
	    1 + (uint32_t)luck_below(room < count_max ? room : count_max);
	return ports;
}

static void run_all(struct sweep *sweep)
{
	struct fixture *f = sweep->f;

	f->completions = 0;
	cr_assert_eq(run(f), 0);
	cr_assert_eq(f->completions, sweep->submitted);
	for (size_t i = 0; i < sweep->submitted; i++) {
		uint16_t code = f->refusals[i] ? f->refused[i].code : 0;

		cr_assert_eq(code, sweep->codes[i], "%u instead of %u", code,
			     sweep->codes[i]);
		sweep->refused += code != 0;
	}
	sweep->submitted = 0;
}

static void note_submitted(struct sweep *sweep, uint16_t code)
{
	sweep->codes[sweep->submitted++] = code;
	if (sweep->submitted == 90 || luck(20))
		run_all(sweep);
}

static bool is_same_cut(const struct uidrecv_system *a,
			const struct uidrecv_system *b)
{
	return a->ports.start == b->ports.start &&
	       a->ports.count == b->ports.count &&
	       a->block_size == b->block_size &&
	       a->reserved_count == b->reserved_count &&
	       !memcmp(a->reserved, b->reserved, sizeof(a->reserved));
}

static void configure(struct sweep *sweep)
{
	struct uidrecv_system system = {.address = host, .aliases_count = 1};

	system.aliases[0] = alias;
	system.ports = draw_ports(PORTS);
	system.block_size = 1 + (uint32_t)luck_below(system.ports.count);
	/* Mostly there are many blocks. */
	if (!luck(8))
		system.block_size =
		    1 + (uint32_t)luck_below(1 + system.ports.count / 50);
	system.reserved_count = (uint32_t)luck_below(4);
	for (uint32_t i = 0; i < system.reserved_count; i++)
		system.reserved[i] = draw_ports(2000);
	if (luck(3) && sweep->system.block_size)
		system = sweep->system;
	submit_system(sweep->f, 0, ++sweep->serials[0], &system);
	if (!is_same_cut(&system, &sweep->system))
		memset(sweep->ports, 0, sizeof(sweep->ports));
	sweep->system = system;
	note_submitted(sweep, 0);
}

/* The block by its number; what lies behind the last is none. */
static struct uidrecv_ports draw_block(const struct sweep *sweep)
{
	const struct uidrecv_system *system = &sweep->system;
	uint32_t count = system->ports.count / system->block_size;
	uint32_t start = system->ports.start +
			 (uint32_t)luck_below(count + 1) * system->block_size;
	struct uidrecv_ports ports = {(uint16_t)start, system->block_size};

	if (luck(20))
		ports.start += 1;
	if (luck(20))
		ports.count += 1;
	if (luck(40))
		return draw_ports(PORTS);
	return ports;
}

/* The code that refuses such a block, or 0. */
static uint16_t judge(const struct sweep *sweep, struct uidrecv_ports ports)
{
	const struct uidrecv_system *system = &sweep->system;
	uint32_t end = ports.start + ports.count;

	if (end > PORTS || ports.count != system->block_size ||
	    ports.start < system->ports.start ||
	    (ports.start - system->ports.start) % system->block_size != 0 ||
	    end > (uint32_t)system->ports.start + system->ports.count)
		return UIDRECV_REJECT_PORTS_INVALID;
	for (uint32_t i = 0; i < system->reserved_count; i++)
		for (uint32_t port = ports.start; port < end; port++)
			if (port >= system->reserved[i].start &&
			    port - system->reserved[i].start <
				system->reserved[i].count)
				return UIDRECV_REJECT_PORTS_INVALID;
	return 0;
}

static void set_ports(struct sweep *sweep, struct uidrecv_ports block,
		      uint8_t user, uint64_t event_us)
{
	for (uint32_t i = 0; i < block.count; i++)
		sweep->ports[block.start + i] =
		    (struct port){user, event_us, block};
}

static void say_block(struct sweep *sweep)
{
	struct uidrecv_record record = {
	    .op = luck(5) ? UIDRECV_OP_WITHDRAW : UIDRECV_OP_MAP,
	    .address = luck(2) ? host : alias,
	    .ports = draw_block(sweep),
	};
	uint8_t user = (uint8_t)(1 + luck_below(USERS));
	uint64_t event_us = sweep->begun_us - luck_below(1000000);
	const struct port *former = &sweep->ports[record.ports.start];
	uint16_t code = judge(sweep, record.ports);

	if (luck(30)) {
		record.address = other;
		/* Ports that are none are a fault of the record itself. */
		if (record.ports.start + record.ports.count <= PORTS)
			code = UIDRECV_REJECT_NOT_MULTI_USER;
	}
	if (record.op == UIDRECV_OP_MAP) {
		record.user_size = 1;
		record.user[0] = (char)('a' + user);
		record.has_event_time = true;
		record.event_time_us = event_us;
	}
	submit_record(sweep->f, 0, ++sweep->serials[0], &record);
	if (!code && record.op == UIDRECV_OP_WITHDRAW)
		set_ports(sweep, record.ports, 0, 0);
	else if (!code && (!former->user || former->event_us <= event_us))
		set_ports(sweep, record.ports, user, event_us);
	note_submitted(sweep, code);
}

/* Somebody claims the whole address; so does the system's own agent. */
static void say_whole(struct sweep *sweep)
{
	int peer = (int)luck_below(ROUND_AGENTS);

	submit(sweep->f, peer, ++sweep->serials[peer],
	       luck(2) ? "10.0.0.1" : "10.0.0.2", "whole");
	note_submitted(sweep, 0);
}

static void check_port(const struct sweep *sweep, struct uidrecv_reader *reader,
		       struct uidrecv_address address, uint32_t port)
{
	const struct port *expected = &sweep->ports[port];
	struct uidrecv_query query = {address, (uint16_t)port, true};
	struct uidrecv_mapping mapping;

	cr_assert_eq(uidrecv_reader_lookup(reader, &query, 0, &mapping), 1);
	if (!expected->user) {
		cr_assert_eq(mapping.answer, UIDRECV_ANSWER_UNKNOWN_PORT,
			     "port %u is %s's", port, mapping.user);
		return;
	}
	cr_assert_eq(mapping.answer, UIDRECV_ANSWER_USER, "port %u", port);
	cr_assert_eq(mapping.user_size, 1);
	cr_assert_eq(mapping.user[0], 'a' + expected->user, "port %u", port);
	cr_assert_eq(mapping.ports.start, expected->block.start);
	cr_assert_eq(mapping.ports.count, expected->block.count);
}

static void check_all(const struct sweep *sweep)
{
	struct uidrecv_query query = {.address = luck(2) ? host : alias};
	struct uidrecv_mapping mapping;
	struct uidrecv_reader *reader;

	cr_assert_eq(uidrecv_reader_open(&reader, sweep->f->path, NULL), 0);
	for (uint32_t port = 0; port < PORTS; port++)
		check_port(sweep, reader, query.address, port);
	cr_assert_eq(uidrecv_reader_lookup(reader, &query, 0, &mapping), 1);
	cr_assert_eq(mapping.answer, UIDRECV_ANSWER_NO_PORT);
	uidrecv_reader_close(reader);
}

/* One table after another, each on what the former left. */
Test(ts_sweep, T10_every_port_of_random_systems_agrees_with_an_array)
{
	static struct sweep sweep;
	uint64_t tables = luck_is_long() ? TABLES_LONG : TABLES;

	sweep.f = start(ROUND_AGENTS);
	sweep.begun_us = now_us(sweep.f);
	for (uint64_t i = 0; i < tables; i++) {
		uint64_t records = luck_below(RECORDS_MAX);

		configure(&sweep);
		while (records-- > 0) {
			if (luck(50))
				say_whole(&sweep);
			else if (luck(200))
				configure(&sweep);
			else
				say_block(&sweep);
		}
		run_all(&sweep);
		check_all(&sweep);
	}
	cr_expect_gt(sweep.refused, tables);
	end(sweep.f);
}
