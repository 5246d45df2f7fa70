/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An address that is an alias of a multi-user system now and then, and has a
 * claim for the whole of it all the time, under lookups: it answers by the one
 * or by the other, and by nothing else.
 */
#include <stdio.h>
#include <string.h>

#include "luck.h"
#include "terminal.h"
#include "watchers.h"

#define NAME "ts.example"
#define OTHER "other.example"

static struct live live;
static struct terminal terminal;
static struct watchers watchers;

/* In each odd round it is an alias. */
struct rounds {
	_Atomic uint32_t said, acked;
};

enum seen { NOTHING, SYSTEM, WHOLE };

static enum seen ask(struct uidrecv_reader *table, int port,
		     struct uidrecv_mapping *ret_mapping)
{
	struct uidrecv_query query = {.address =
					  uidrecv_address_from_ipv4(0x0a000002),
				      .has_port = port >= 0,
				      .port = (uint16_t)port};
	const char *user = ret_mapping->user;

	if (uidrecv_reader_lookup(table, &query, 0, ret_mapping) != 1)
		return NOTHING;
	switch (ret_mapping->answer) {
	case UIDRECV_ANSWER_NO_PORT:
		return port == NO_PORT ? SYSTEM : NOTHING;
	case UIDRECV_ANSWER_UNKNOWN_PORT:
		return port >= 20500 ? SYSTEM : NOTHING;
	default:
		if (!strcmp(user, "whole") && !ret_mapping->ports.count)
			return WHOLE;
		return port >= 20000 && port < 20500 &&
			       !strcmp(user, "alice") &&
			       ret_mapping->ports.start == 20000
			   ? SYSTEM
			   : NOTHING;
	}
}

static bool look(void *user, struct uidrecv_reader *table, char *why,
		 size_t size)
{
	static const int ports[] = {NO_PORT, 20000, 20499, 20500};
	struct rounds *rounds = user;
	struct uidrecv_mapping mapping = {.user = ""};
	int port = ports[luck_below(4)];
	uint32_t least = atomic_load(&rounds->acked);
	enum seen seen = ask(table, port, &mapping);
	uint32_t most = atomic_load(&rounds->said);

	if (seen != NOTHING &&
	    (least != most || seen == (most % 2 ? SYSTEM : WHOLE)))
		return true;
	snprintf(why, size, "port %d: answer %u, user '%s', round %u to %u",
		 port, mapping.answer, mapping.user, least, most);
	return false;
}

static void say_round(struct rounds *rounds, uint32_t round)
{
	atomic_store(&rounds->said, round);
	terminal.system.aliases_count = round % 2;
	terminal_set_system(&terminal);
	terminal_await(&terminal);
	atomic_store(&rounds->acked, round);
}

Test(ts_aliases, T07_whole_address_or_system_and_nothing_between)
{
	struct rounds *rounds = watchers_share(sizeof(*rounds));
	uint32_t round = 1, rounds_min = luck_is_long() ? 5000 : 300;
	struct live_agent *other;
	size_t size;

	live_init(&live, NAME, OTHER, NULL);
	terminal_open(&terminal, &live, NAME);
	terminal_allow(&terminal, NAME, "allow=multi-user", live.rights,
		       sizeof(live.rights));
	size = strlen(live.rights);
	snprintf(live.rights + size, sizeof(live.rights) - size,
		 OTHER " 10.0.0.0/8\n");
	live_start(&live);
	other = live_agent(&live, OTHER, NULL);
	live_map(other, "10.0.0.2", "whole");
	live_await(&live, other->acked == 1);
	say_round(rounds, round);
	terminal_map(&terminal, "alice", 20000);
	terminal_await(&terminal);
	watchers_start(&watchers, &live, look, rounds);
	while (watchers_count(&watchers) < 1000000 || round < rounds_min)
		say_round(rounds, ++round);
	watchers_end(&watchers);
	cr_expect_eq(terminal.agent->events[UIDRECV_AGENT_REJECTED], 0);
	terminal_close(&terminal);
	live_done(&live);
}
