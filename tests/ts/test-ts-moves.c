/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A receiver that dials, an agent that moves blocks from user to user and cuts
 * its system anew, and processes that look up all the time. The name of a user
 * is the move in which he came, or the cut, and his block: so one of another
 * block, and one that was there before, show.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "luck.h"
#include "terminal.h"
#include "watchers.h"

#define NAME "ts.example"

static struct live live;
static struct terminal terminal;
static struct watchers watchers;

static void open_terminal(void)
{
	live_init(&live, NAME, NULL);
	terminal_open(&terminal, &live, NAME);
	terminal_allow(&terminal, NAME, "allow=multi-user,drops", live.rights,
		       sizeof(live.rights));
}

static void begin(void)
{
	open_terminal();
	live_start(&live);
}

static void end(void)
{
	terminal_close(&terminal);
	live_done(&live);
}

static bool goes_on(uint64_t rounds, uint64_t rounds_min)
{
	uint64_t lookups_min = luck_is_long() ? 10000000 : 1000000;

	if (luck_is_long())
		rounds_min *= 10;
	return watchers_count(&watchers) < lookups_min || rounds < rounds_min;
}

/* Every eighth name is too long for a slot. */
static uint8_t name_user(char *user, uint32_t round, uint32_t start)
{
	return (uint8_t)sprintf(
	    user, "%u-%u%s", round, start,
	    (round + start / 100) % 8 ? "" : "-with-a-long-name@example");
}

static void say(uint32_t round, uint32_t start)
{
	struct uidrecv_record record =
	    terminal_record(&terminal, UIDRECV_OP_MAP, "", start);

	record.user_size = name_user(record.user, round, start);
	record.lifetime_s = 3600;
	terminal_queue(&terminal, &record);
}

/* Asks at one of the addresses; a port below 0: without one. */
static int ask(struct uidrecv_reader *table, uint64_t address, int port,
	       struct uidrecv_mapping *ret_mapping)
{
	struct uidrecv_query query = {.address = uidrecv_address_from_ipv4(
					  0x0a000001 + (uint32_t)address),
				      .has_port = port >= 0,
				      .port = (uint16_t)port};

	return uidrecv_reader_lookup(table, &query, 0, ret_mapping);
}

static bool complain(char *why, size_t size, int port, int ret,
		     const struct uidrecv_mapping *mapping, uint32_t least,
		     uint32_t most)
{
	snprintf(why, size,
		 "port %d: result %d, answer %u, user '%s', block %u+%u, not "
		 "before %u nor after %u",
		 port, ret, mapping->answer, mapping->user,
		 mapping->ports.start, mapping->ports.count, least, most);
	return false;
}

/* Without a port it is always the same. */
static bool look_without_port(struct uidrecv_reader *table, char *why,
			      size_t size)
{
	struct uidrecv_mapping mapping = {.user = ""};
	int ret = ask(table, luck_below(2), NO_PORT, &mapping);

	return (ret == 1 && mapping.answer == UIDRECV_ANSWER_NO_PORT) ||
	       complain(why, size, NO_PORT, ret, &mapping, 0, 0);
}

/* A user of this block, and of this round. */
static bool is_user(const struct uidrecv_mapping *mapping, uint32_t round,
		    uint32_t start, uint32_t count)
{
	char user[UIDRECV_NAME_MAX + 1];

	name_user(user, round, start);
	return mapping->answer == UIDRECV_ANSWER_USER &&
	       mapping->ports.start == start && mapping->ports.count == count &&
	       !strcmp(mapping->user, user) && !strcmp(mapping->agent, NAME);
}

/* --- blocks that move --- */

#define FIRST 20000
#define SIZE 500
#define OWNED 64 /* blocks that have a user; the others never have */
#define ALL 80

struct moves {
	struct {
		_Atomic uint32_t said, acked;
	} blocks[OWNED];
};

static bool look_for_moves(void *user, struct uidrecv_reader *table, char *why,
			   size_t size)
{
	static uint32_t newest[OWNED];
	struct moves *moves = user;
	struct uidrecv_mapping mapping = {.user = ""};
	uint32_t block = (uint32_t)luck_below(ALL);
	uint32_t start = FIRST + block * SIZE, least, most, seen;
	int port = (int)(start + luck_below(SIZE)), ret;

	if (luck_below(8) == 0)
		return look_without_port(table, why, size);
	if (block >= OWNED) {
		ret = ask(table, luck_below(2), port, &mapping);
		return (ret == 1 &&
			mapping.answer == UIDRECV_ANSWER_UNKNOWN_PORT) ||
		       complain(why, size, port, ret, &mapping, 0, 0);
	}
	least = atomic_load(&moves->blocks[block].acked);
	ret = ask(table, luck_below(2), port, &mapping);
	most = atomic_load(&moves->blocks[block].said);
	seen = (uint32_t)strtoul(mapping.user, NULL, 10);
	if (least < newest[block])
		least = newest[block];
	if (ret != 1 || seen < least || seen > most ||
	    !is_user(&mapping, seen, start, SIZE))
		return complain(why, size, port, ret, &mapping, least, most);
	newest[block] = seen;
	return true;
}

static void move(struct moves *moves, uint32_t block)
{
	uint32_t round = atomic_load(&moves->blocks[block].said) + 1;

	atomic_store(&moves->blocks[block].said, round);
	say(round, FIRST + block * SIZE);
}

static void await_moves(struct moves *moves)
{
	terminal_await(&terminal);
	for (uint32_t i = 0; i < OWNED; i++)
		atomic_store(&moves->blocks[i].acked,
			     atomic_load(&moves->blocks[i].said));
}

/* Half of them move with it. */
static void move_by_snapshot(struct moves *moves, uint32_t odd)
{
	struct uidrecv_agent *agent = terminal.agent->agent;

	cr_assert_eq(uidrecv_agent_snapshot_begin(agent, false), 0);
	for (uint32_t i = 0; i < OWNED; i++) {
		if (i % 2 == odd)
			move(moves, i);
		else
			say(atomic_load(&moves->blocks[i].said),
			    FIRST + i * SIZE);
	}
	cr_assert_eq(uidrecv_agent_snapshot_end(agent), 0);
	await_moves(moves);
}

static void move_some(struct moves *moves, uint64_t round)
{
	if (round % 20 == 0) {
		move_by_snapshot(moves, round / 20 % 2);
		return;
	}
	for (uint64_t i = luck_below(8); i < 8; i++)
		move(moves, (uint32_t)luck_below(OWNED));
	if (round % 7 == 0) {
		await_moves(moves);
		cr_assert_eq(
		    uidrecv_agent_refresh_all(terminal.agent->agent, OWNED), 0);
	}
	await_moves(moves);
}

/* Never nobody, never the former after the ACK, never one of another block. */
Test(ts_moves, T04_blocks_move_under_lookups)
{
	struct moves *moves = watchers_share(sizeof(*moves));
	uint64_t round = 1;

	begin();
	terminal_set_system(&terminal);
	for (uint32_t i = 0; i < OWNED; i++)
		move(moves, i);
	await_moves(moves);
	move_by_snapshot(moves, 0);
	watchers_start(&watchers, &live, look_for_moves, moves);
	for (; goes_on(round, 200); round++)
		move_some(moves, round);
	watchers_end(&watchers);
	cr_expect_eq(terminal.agent->events[UIDRECV_AGENT_REJECTED], 0);
	cr_expect_eq(live_counters(terminal.agent).resyncs, 0);
	cr_expect_geq(live_stats(&live).refresh_alls, round / 7 - round / 140);
	cr_expect_eq(live_stats(&live).claims, OWNED);
	end();
}

/* The next one makes a new table of the store: with all, or not at all. */
Test(ts_moves, T06_receivers_are_killed_under_lookups)
{
	struct moves *moves = watchers_share(sizeof(*moves));
	struct daemon uidrecvd;
	uint64_t round = 1;

	if (!daemon_exists())
		cr_skip_test("this build has no uidrecvd");
	open_terminal();
	daemon_start(&uidrecvd, &live);
	terminal_set_system(&terminal);
	for (uint32_t i = 0; i < OWNED; i++)
		move(moves, i);
	await_moves(moves);
	watchers_start(&watchers, &live, look_for_moves, moves);
	for (; goes_on(round, 10); round++) {
		/* Some are not acknowledged, or not even sent. */
		for (uint32_t i = 0; i < 8; i++)
			move(moves, (uint32_t)luck_below(OWNED));
		for (uint64_t i = luck_below(4); i; i--)
			live_turn(&live);
		daemon_end(&uidrecvd, SIGKILL);
		daemon_start(&uidrecvd, &live);
		await_moves(moves);
	}
	watchers_end(&watchers);
	cr_expect_eq(terminal.agent->events[UIDRECV_AGENT_REJECTED], 0);
	daemon_end(&uidrecvd, SIGTERM);
	end();
}

/* --- a system that is cut anew --- */

struct cuts {
	/* Before it is said; when it is acknowledged; with all its blocks. */
	_Atomic uint32_t said, cut, whole;
};

static void cut(uint32_t round, struct uidrecv_ports *ret_ports,
		uint32_t *ret_size)
{
	ret_ports->start = round % 3 == 2 ? 20100 : 20000;
	ret_ports->count = 2000;
	*ret_size = round % 3 == 1 ? 100 : 200;
}

static bool look_for_cuts(void *user, struct uidrecv_reader *table, char *why,
			  size_t size)
{
	static uint32_t newest[2];
	struct cuts *cuts = user;
	struct uidrecv_mapping mapping = {.user = ""};
	uint32_t whole = atomic_load(&cuts->whole), most, seen, block_size;
	uint32_t least = atomic_load(&cuts->cut), port, start;
	uint64_t address = luck_below(2);
	struct uidrecv_ports ports;
	int ret;

	if (luck_below(8) == 0)
		return look_without_port(table, why, size);
	port = 19900 + (uint32_t)luck_below(2300);
	ret = ask(table, address, (int)port, &mapping);
	most = atomic_load(&cuts->said);
	if (least < newest[address])
		least = newest[address];
	seen = *mapping.user ? (uint32_t)strtoul(mapping.user, NULL, 10) : most;
	cut(seen, &ports, &block_size);
	start = port - (port - ports.start) % block_size;
	if (ret == 1 && mapping.answer == UIDRECV_ANSWER_UNKNOWN_PORT &&
	    (whole != most || port - ports.start >= ports.count))
		return true;
	if (ret != 1 || seen < least || seen > most ||
	    port - ports.start >= ports.count ||
	    !is_user(&mapping, seen, start, block_size))
		return complain(why, size, (int)port, ret, &mapping, least,
				most);
	newest[address] = seen;
	return true;
}

/* Every second time as a snapshot, before which it is said as well. */
static void cut_anew(struct cuts *cuts, uint32_t round)
{
	struct uidrecv_agent *agent = terminal.agent->agent;
	struct uidrecv_system *system = &terminal.system;

	atomic_store(&cuts->said, round);
	cut(round, &system->ports, &system->block_size);
	terminal_set_system(&terminal);
	if (round % 2) {
		cr_assert_eq(uidrecv_agent_snapshot_begin(agent, false), 0);
	} else {
		terminal_await(&terminal);
		atomic_store(&cuts->cut, round);
	}
	for (uint32_t at = 0; at < system->ports.count;
	     at += system->block_size)
		say(round, system->ports.start + at);
	if (round % 2)
		cr_assert_eq(uidrecv_agent_snapshot_end(agent), 0);
	terminal_await(&terminal);
	atomic_store(&cuts->cut, round);
	atomic_store(&cuts->whole, round);
}

/* Blocks become half and double, and begin elsewhere: keys are used again. */
Test(ts_moves, T04_system_is_cut_anew_under_lookups)
{
	struct cuts *cuts = watchers_share(sizeof(*cuts));
	uint32_t round = 1;

	begin();
	cut_anew(cuts, round++);
	watchers_start(&watchers, &live, look_for_cuts, cuts);
	for (; goes_on(round, 100); round++)
		cut_anew(cuts, round);
	watchers_end(&watchers);
	cr_expect_eq(terminal.agent->events[UIDRECV_AGENT_REJECTED], 0);
	cr_expect_eq(live_counters(terminal.agent).resyncs, 0);
	end();
}
