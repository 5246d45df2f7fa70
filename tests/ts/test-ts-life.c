/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A real uidrecvd that dials an agent, and what ends a multi-user system: not a
 * kill, but the list.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "daemon.h"
#include "luck.h"
#include "terminal.h"

#define NAME "ts.example"
#define OTHER "other.example"
#define BLOCKS 16

static struct live live;
static struct terminal terminal;
static struct daemon uidrecvd;

/* NULL: the list lacks it. */
static void write_list(const char *more)
{
	size_t size;

	*live.rights = '\0';
	if (more)
		terminal_allow(&terminal, NAME, more, live.rights,
			       sizeof(live.rights));
	size = strlen(live.rights);
	snprintf(live.rights + size, sizeof(live.rights) - size,
		 OTHER " 10.0.0.0/8 priority=9\n");
}

static void begin(void)
{
	if (!daemon_exists())
		cr_skip_test("this build has no uidrecvd");
	live_init(&live, NAME, OTHER, NULL);
	terminal_open(&terminal, &live, NAME);
	write_list("allow=multi-user,drops");
	daemon_start(&uidrecvd, &live);
}

static void end(void)
{
	int status = daemon_end(&uidrecvd, SIGTERM);

	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	terminal_close(&terminal);
	live_done(&live);
}

static void reload(const char *more)
{
	write_list(more);
	daemon_reload(&uidrecvd);
}

static void kill_it(void)
{
	int status = daemon_end(&uidrecvd, SIGKILL);

	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* --- killed --- */

struct place {
	unsigned int user; /* his number, for one block after the other */
	bool is_new;	   /* he has just been said, or it is the one before */
	uint64_t ticket;
};

static void check_place(const struct place *place, uint32_t block)
{
	char user[32], former[32];
	const char *seen = terminal_asked(
	    &live, block % 2 ? "10.0.0.1" : "10.0.0.2",
	    20000 + 500 * (int)block + (int)luck_below(500), NULL);

	snprintf(user, sizeof(user), "u%u", place->user);
	snprintf(former, sizeof(former), "u%u", place->user - 1);
	if (!place->is_new || place->ticket <= terminal.agent->acked)
		cr_assert_str_eq(seen, user);
	else if (strcmp(seen, former))
		cr_assert_str_eq(seen, user);
}

static void check_places(const struct place *places)
{
	for (uint32_t i = 0; i < BLOCKS; i++)
		check_place(&places[i], i);
	expect_asked(&live, "10.0.0.1", NO_PORT, "no port");
	expect_asked(&live, "10.0.0.2", NO_PORT, "no port");
	expect_asked(&live, "10.0.0.1", 20000 + 500 * BLOCKS, "unknown port");
}

static void say_one(struct place *places, uint32_t block)
{
	char user[32];

	snprintf(user, sizeof(user), "u%u", ++places[block].user);
	places[block].is_new = true;
	places[block].ticket =
	    terminal_map(&terminal, user, 20000 + 500 * block);
}

static void kill_once(struct place *places)
{
	terminal_await(&terminal);
	for (uint32_t i = 0; i < BLOCKS; i++)
		places[i].is_new = false;
	for (uint32_t i = 0; i < BLOCKS; i++) {
		if (luck_below(2))
			say_one(places, i);
		if (luck_below(2))
			live_turn(&live);
	}
	kill_it();
	check_places(places);
	daemon_start(&uidrecvd, &live);
	/* The agent has not yet been back. */
	check_places(places);
}

Test(ts_life, T06_killed_receiver_has_all_at_once)
{
	struct place places[BLOCKS] = {{.user = 0}};

	begin();
	terminal_set_system(&terminal);
	for (uint32_t i = 0; i < BLOCKS; i++)
		say_one(places, i);
	terminal_await(&terminal);
	check_places(places);
	for (int i = 0; i < (luck_is_long() ? 100 : 10); i++)
		kill_once(places);
	terminal_await(&terminal);
	check_places(places);
	cr_expect_eq(terminal.agent->events[UIDRECV_AGENT_REJECTED], 0);
	cr_expect_eq(live_counters(terminal.agent).resyncs, 0);
	end();
}

/* --- claims for the whole address --- */

static void say_all(void)
{
	struct uidrecv_agent *agent = terminal.agent->agent;

	terminal_set_system(&terminal);
	cr_assert_eq(uidrecv_agent_snapshot_begin(agent, false), 0);
	terminal_map(&terminal, "alice", 20000);
	cr_assert_eq(uidrecv_agent_snapshot_end(agent), 0);
	terminal_await(&terminal);
}

static void check_multi_user(void)
{
	for (int i = 1; i <= 2; i++) {
		const char *address = i == 1 ? "10.0.0.1" : "10.0.0.2";

		expect_asked(&live, address, NO_PORT, "no port");
		expect_asked(&live, address, 20499, "alice");
		expect_asked(&live, address, 20500, "unknown port");
		expect_asked(&live, address, 80, "unknown port");
	}
}

static void map_whole(struct live_agent *agent, const char *address,
		      const char *user)
{
	uint64_t ticket = live_map(agent, address, user);

	live_await(&live, agent->acked >= ticket);
	cr_expect_eq(agent->codes[ticket], 0);
}

Test(ts_life, T07_whole_addresses_answer_before_and_after)
{
	struct live_agent *other;

	begin();
	other = live_agent(&live, OTHER, NULL);
	map_whole(other, "10.0.0.1", "before");
	expect_asked(&live, "10.0.0.1", NO_PORT, "before");
	expect_asked(&live, "10.0.0.1", 20000, "before");
	say_all();
	check_multi_user();
	map_whole(other, "10.0.0.1", "during");
	map_whole(other, "10.0.0.2", "alias");
	map_whole(terminal.agent, "10.0.0.2", "self");
	check_multi_user();
	live_say(other, UIDRECV_OP_REFRESH, "10.0.0.1", "during");
	live_say(other, UIDRECV_OP_LOGOUT, "10.0.0.2", NULL);
	map_whole(other, "10.0.0.2", "again");
	check_multi_user();
	kill_it();
	check_multi_user();
	daemon_start(&uidrecvd, &live);
	check_multi_user();
	/* Without the right to it the system ends, and all of its blocks. */
	live_await(&live, live_counters(terminal.agent).is_connected);
	reload("");
	expect_asked(&live, "10.0.0.1", NO_PORT, "during");
	expect_asked(&live, "10.0.0.1", 20000, "during");
	expect_asked(&live, "10.0.0.2", 20000, "again");
	live_await(&live, terminal.agent->events[UIDRECV_AGENT_RESYNC]);
	/* The right alone brings nothing back: the agent does. */
	reload("allow=multi-user,drops");
	expect_asked(&live, "10.0.0.1", 20000, "during");
	map_whole(other, "10.0.0.1", "late");
	say_all();
	check_multi_user();
	cr_expect_eq(other->events[UIDRECV_AGENT_REJECTED], 0);
	end();
}

Test(ts_life, T07_agent_is_taken_off_the_list)
{
	struct live_agent *other;
	uint64_t ticket;

	begin();
	other = live_agent(&live, OTHER, NULL);
	map_whole(other, "10.0.0.2", "whole");
	say_all();
	check_multi_user();
	reload(NULL);
	expect_asked(&live, "10.0.0.1", NO_PORT, "");
	expect_asked(&live, "10.0.0.1", 20000, "");
	expect_asked(&live, "10.0.0.2", 20000, "whole");
	live_await(&live, terminal.agent->events[UIDRECV_AGENT_LOST]);
	cr_expect_eq(terminal.agent->last.code, UIDRECV_BYE_NOT_AUTHORIZED);
	kill_it();
	daemon_start(&uidrecvd, &live);
	expect_asked(&live, "10.0.0.1", 20000, "");
	expect_asked(&live, "10.0.0.2", NO_PORT, "whole");
	/* Back on it, it is told that its system is none any more. */
	reload("allow=multi-user,drops");
	ticket = terminal_map(&terminal, "alice", 20000);
	live_await(&live, terminal.agent->codes[ticket]);
	cr_expect_eq(terminal.agent->codes[ticket],
		     UIDRECV_REJECT_NOT_MULTI_USER);
	expect_asked(&live, "10.0.0.1", 20000, "");
	say_all();
	check_multi_user();
	end();
}
