/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent-private.h"
#include "luck.h"
#include "said.h"

static struct uidrecv_address address_of(uint32_t place)
{
	struct uidrecv_address address;

	if (place % 4)
		return uidrecv_address_from_ipv4(0x0a000001 + place);
	cr_assert_eq(uidrecv_address_parse("2001:db8::1", &address), 0);
	address.lo += place;
	return address;
}

static void note(struct said *said)
{
	const struct ur_outbox *outbox = &said->agent->agent->outbox;

	cr_assert_lt(outbox->serial - said->agent->acked_serial, SAID_SERIALS);
	said->states[outbox->serial % SAID_SERIALS] = said->now;
}

void said_init(struct said *said, struct live *live, struct live_agent *agent)
{
	said->live = live;
	said->agent = agent;
	said->has_snapshot = false;
	said->now.is_open = false;
	said->ticket = 0;
	said->ends = 0;
	said->refreshes = 0;
	memset(said->is_refused, 0, sizeof(said->is_refused));
	note(said);
}

static void say(struct said *said, uint16_t op, uint32_t place, uint32_t user)
{
	struct uidrecv_record record = {.op = op, .address = address_of(place)};

	if (user)
		record.user_size = (uint8_t)snprintf(
		    record.user, sizeof(record.user), "v%u", user);
	cr_assert_eq(
	    uidrecv_agent_queue(said->agent->agent, &record, &said->ticket), 0);
	cr_assert_lt(said->ticket, LIVE_TICKETS_MAX);
	note(said);
}

void said_map(struct said *said, uint32_t place)
{
	said->now.user[place] = ++said->user;
	said->now.epoch[place] = said->now.current;
	say(said, UIDRECV_OP_MAP, place, said->user);
}

void said_map_refused(struct said *said)
{
	said->is_refused[said->ticket + 1] = true;
	said->ticket = live_map(said->agent, "192.0.2.1", "nobody");
	note(said);
}

void said_logout(struct said *said, uint32_t place)
{
	uint32_t user = said->now.user[place];

	said->now.user[place] = 0;
	if (user)
		say(said, UIDRECV_OP_LOGOUT, place, user);
}

void said_withdraw(struct said *said, uint32_t place)
{
	said->now.user[place] = 0;
	say(said, UIDRECV_OP_WITHDRAW, place, 0);
}

void said_begin(struct said *said)
{
	cr_assert_eq(uidrecv_agent_snapshot_begin(said->agent->agent, false),
		     0);
	said->now.current++;
	said->now.is_open = true;
	note(said);
}

void said_end(struct said *said)
{
	cr_assert_eq(uidrecv_agent_snapshot_end(said->agent->agent), 0);
	for (int i = 0; i < SAID_PLACES; i++)
		if (said->now.epoch[i] != said->now.current)
			said->now.user[i] = 0;
	said->now.is_open = false;
	said->has_snapshot = true;
	said->ends++;
	note(said);
}

void said_refresh_all(struct said *said)
{
	uint64_t count = 0;

	for (int i = 0; i < SAID_PLACES; i++)
		count += said->now.user[i] != 0;
	cr_assert_eq(uidrecv_agent_refresh_all(said->agent->agent, count), 0);
	said->refreshes++;
	note(said);
}

void said_anything(struct said *said)
{
	uint32_t place = (uint32_t)luck_below(SAID_PLACES);

	switch (luck_below(16)) {
	case 0:
		said_begin(said);
		break;
	case 1:
	case 2:
		if (said->now.is_open)
			said_end(said);
		break;
	case 3:
		if (said->has_snapshot && !said->now.is_open)
			said_refresh_all(said);
		break;
	case 4:
		said_logout(said, place);
		break;
	case 5:
		said_withdraw(said, place);
		break;
	case 6:
		said_map_refused(said);
		break;
	default:
		said_map(said, place);
	}
}

bool said_is_over(const struct said *said)
{
	return said->agent->acked_serial == said->agent->agent->outbox.serial;
}

void said_hurry(const struct said *said)
{
	struct uidrecv_agent *agent = said->agent->agent;

	if (agent->dialer.timer.index)
		ur_loop_set_timer(agent->loop, &agent->dialer.timer, 1);
}

static void read_table(struct live *live, uint32_t users[SAID_PLACES])
{
	for (uint32_t i = 0; i < SAID_PLACES; i++) {
		struct uidrecv_query query = {.address = address_of(i)};
		struct uidrecv_mapping mapping;
		int ret = live_lookup(live, &query, &mapping);

		users[i] =
		    ret ? (uint32_t)strtoul(mapping.user + 1, NULL, 10) : 0;
	}
}

uint64_t said_check_table(const struct said *said, const char *where)
{
	uint32_t users[SAID_PLACES];
	uint64_t acked = said->agent->acked_serial;
	uint64_t last = said->agent->agent->outbox.serial;

	read_table(said->live, users);
	for (uint64_t serial = acked; serial <= last; serial++)
		if (!memcmp(users, said->states[serial % SAID_SERIALS].user,
			    sizeof(users)))
			return serial;
	for (int i = 0; i < SAID_PLACES; i++)
		fprintf(stderr, "place %d: v%u, acknowledged v%u, last v%u\n",
			i, users[i], said->states[acked % SAID_SERIALS].user[i],
			said->now.user[i]);
	fprintf(stderr, "%s\n", said->live->log.text);
	cr_assert(false, "%s: the table is of no serial from %lu to %lu", where,
		  (unsigned long)acked, (unsigned long)last);
	return 0;
}

void said_check_end(const struct said *said, const char *where)
{
	const struct live_agent *agent = said->agent;

	cr_assert(said_is_over(said), "%s", where);
	said_check_table(said, where);
	cr_assert_eq(agent->acked, said->ticket, "%s", where);
	for (uint64_t i = 1; i <= said->ticket; i++)
		cr_assert_eq(agent->codes[i],
			     said->is_refused[i]
				 ? UIDRECV_REJECT_ADDRESS_NOT_ALLOWED
				 : 0,
			     "%s: ticket %lu", where, (unsigned long)i);
	cr_assert_eq(agent->events[UIDRECV_AGENT_RESYNC], 0, "%s", where);
	cr_assert_eq(live_counters(agent).resyncs, 0, "%s", where);
	cr_assert_eq(agent->events[UIDRECV_AGENT_REFUSED], 0, "%s", where);
}
