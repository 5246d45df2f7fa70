/* SPDX-License-Identifier: BSD-2-Clause */
#include "uidagent-said.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "cli.h"

#define ROOM_MIN 1024

/* All addresses of the system have the same blocks. No user's is in ff00::/8.
 */
static struct uidrecv_address key_of(const struct uidrecv_address *address,
				     struct uidrecv_ports ports)
{
	if (!ports.count)
		return *address;
	return (struct uidrecv_address){
	    UINT64_C(0xff) << 56, (uint64_t)ports.count << 16 | ports.start};
}

/* Who chooses his address must not choose the bucket: the seed is random. */
static size_t bucket_of(const struct said *said,
			const struct uidrecv_address *address,
			struct uidrecv_ports ports)
{
	struct uidrecv_address key = key_of(address, ports);
	uint64_t hash = key.hi ^ said->seed;

	hash = (hash ^ hash >> 32) * UINT64_C(0xd6e8feb86659fd93);
	hash ^= key.lo + (said->seed << 1);
	hash = (hash ^ hash >> 32) * UINT64_C(0xd6e8feb86659fd93);
	hash = (hash ^ hash >> 32) * UINT64_C(0xd6e8feb86659fd93);
	return (size_t)(hash ^ hash >> 32) & (said->room - 1);
}

static bool is_about(const struct said_mapping *mapping,
		     const struct uidrecv_address *address,
		     struct uidrecv_ports ports)
{
	struct uidrecv_address a = key_of(&mapping->address, mapping->ports);
	struct uidrecv_address b = key_of(address, ports);

	return a.hi == b.hi && a.lo == b.lo;
}

static void drop(struct said *said, struct said_mapping *mapping)
{
	struct said_mapping **link =
	    &said->buckets[bucket_of(said, &mapping->address, mapping->ports)];

	while (*link != mapping)
		link = &(*link)->chain;
	*link = mapping->chain;
	for (size_t i = 0; i < RECEIVERS_MAX; i++)
		if (said->cursors[i] == mapping)
			said->cursors[i] = mapping->next;
	if (mapping->prev)
		mapping->prev->next = mapping->next;
	else
		said->first = mapping->next;
	if (mapping->next)
		mapping->next->prev = mapping->prev;
	else
		said->last = mapping->prev;
	said->count--;
	free(mapping);
}

static void drop_dead(struct said *said, uint64_t now_us)
{
	struct said_mapping *next;

	for (struct said_mapping *mapping = said->first; mapping;
	     mapping = next) {
		next = mapping->next;
		if (mapping->deadline_us <= now_us)
			drop(said, mapping);
	}
}

static struct said_mapping *find(struct said *said,
				 const struct uidrecv_address *address,
				 struct uidrecv_ports ports, uint64_t now_us)
{
	struct said_mapping *mapping;

	if (!said->room)
		return NULL;
	mapping = said->buckets[bucket_of(said, address, ports)];
	while (mapping && !is_about(mapping, address, ports))
		mapping = mapping->chain;
	if (mapping && mapping->deadline_us <= now_us) {
		drop(said, mapping);
		return NULL;
	}
	return mapping;
}

static void put(struct said *said, struct said_mapping *mapping)
{
	struct said_mapping **bucket =
	    &said->buckets[bucket_of(said, &mapping->address, mapping->ports)];

	mapping->chain = *bucket;
	*bucket = mapping;
}

/* The dead make room first, so that it is bounded by what lives. */
static void make_room(struct said *said, uint64_t now_us)
{
	if (said->count < said->room)
		return;
	drop_dead(said, now_us);
	if (said->room && said->count < said->room / 2)
		return;
	if (!said->room && getrandom(&said->seed, sizeof(said->seed), 0) < 0)
		cli_die(CLI_FAILED, "no random bytes");
	free(said->buckets);
	said->room = said->room ? said->room * 2 : ROOM_MIN;
	said->buckets = calloc(said->room, sizeof(struct said_mapping *));
	if (said->buckets == NULL)
		cli_die(CLI_FAILED, "out of memory");
	for (struct said_mapping *mapping = said->first; mapping;
	     mapping = mapping->next)
		put(said, mapping);
}

static void add(struct said *said, const struct said_mapping *from,
		const char *user, uint64_t now_us)
{
	struct said_mapping *mapping =
	    malloc(sizeof(*mapping) + from->user_size);

	if (mapping == NULL)
		cli_die(CLI_FAILED, "out of memory");
	make_room(said, now_us);
	memcpy(mapping, from, sizeof(*mapping));
	memcpy(mapping->user, user, from->user_size);
	put(said, mapping);
	mapping->next = NULL;
	mapping->prev = said->last;
	if (said->last)
		said->last->next = mapping;
	else
		said->first = mapping;
	said->last = mapping;
	said->count++;
}

static uint64_t deadline(uint32_t lifetime_s, uint64_t now_us)
{
	if (!lifetime_s || lifetime_s == UIDRECV_LIFETIME_NEVER)
		return UINT64_MAX;
	return now_us + lifetime_s * UINT64_C(1000000);
}

static bool has_user(const struct said_mapping *mapping,
		     const struct uidrecv_record *record)
{
	return mapping->user_size == record->user_size &&
	       memcmp(mapping->user, record->user, record->user_size) == 0;
}

const struct said_mapping *said_find(struct said *said,
				     const struct uidrecv_record *record,
				     uint64_t now_us)
{
	const struct said_mapping *mapping =
	    find(said, &record->address, record->ports, now_us);

	if (mapping && record->user_size && !has_user(mapping, record))
		return NULL;
	return mapping;
}

static void note_map(struct said *said, const struct uidrecv_record *record,
		     struct said_mapping *former, uint64_t line,
		     uint64_t now_us)
{
	struct said_mapping mapping = {
	    .address = record->address,
	    .ports = record->ports,
	    .line = line,
	    .event_us = record->event_time_us,
	    .deadline_us = deadline(record->lifetime_s, now_us),
	    .token = record->token,
	    .snapshot = said->snapshot,
	    .lifetime_s = record->lifetime_s,
	    .source = record->source,
	    .has_token = record->has_token,
	    .user_size = record->user_size,
	};

	if (former && former->event_us == mapping.event_us &&
	    has_user(former, record)) {
		if (mapping.deadline_us < former->deadline_us)
			mapping.deadline_us = former->deadline_us;
		if (!mapping.has_token) {
			mapping.has_token = former->has_token;
			mapping.token = former->token;
		}
		if (!mapping.source)
			mapping.source = former->source;
	} else if (former && former->snapshot == said->snapshot &&
		   former->event_us > mapping.event_us) {
		return;
	}
	if (former)
		drop(said, former);
	add(said, &mapping, record->user, now_us);
}

static void note_refresh(struct said *said, const struct uidrecv_record *record,
			 struct said_mapping *mapping, uint64_t now_us)
{
	uint64_t deadline_us;

	if (record->user_size && !has_user(mapping, record))
		return;
	if (record->lifetime_s)
		mapping->lifetime_s = record->lifetime_s;
	deadline_us = deadline(mapping->lifetime_s, now_us);
	if (mapping->deadline_us < deadline_us)
		mapping->deadline_us = deadline_us;
	mapping->snapshot = said->snapshot;
}

static bool is_ended_by(const struct said_mapping *mapping,
			const struct uidrecv_record *logout)
{
	if (!logout->user_size && !logout->has_token)
		return mapping->event_us < logout->event_time_us;
	if (logout->has_token &&
	    (!mapping->has_token || mapping->token != logout->token))
		return false;
	if (logout->user_size && !has_user(mapping, logout))
		return false;
	return mapping->event_us <= logout->event_time_us;
}

void said_note(struct said *said, const struct uidrecv_record *record,
	       uint64_t line, uint64_t now_us)
{
	struct said_mapping *former =
	    find(said, &record->address, record->ports, now_us);

	if (record->op == UIDRECV_OP_MAP)
		note_map(said, record, former, line, now_us);
	else if (former && record->op == UIDRECV_OP_REFRESH)
		note_refresh(said, record, former, now_us);
	else if (former && (record->op == UIDRECV_OP_WITHDRAW ||
			    is_ended_by(former, record)))
		drop(said, former);
}

void said_begin_snapshot(struct said *said)
{
	said->snapshot++;
}

void said_end_snapshot(struct said *said)
{
	struct said_mapping *next;

	for (struct said_mapping *mapping = said->first; mapping;
	     mapping = next) {
		next = mapping->next;
		if (mapping->snapshot != said->snapshot)
			drop(said, mapping);
	}
}

void said_refresh_all(struct said *said, uint64_t now_us)
{
	drop_dead(said, now_us);
	for (struct said_mapping *mapping = said->first; mapping;
	     mapping = mapping->next) {
		uint64_t deadline_us = deadline(mapping->lifetime_s, now_us);

		if (mapping->deadline_us < deadline_us)
			mapping->deadline_us = deadline_us;
	}
}

static bool has_same_blocks(const struct uidrecv_system *a,
			    const struct uidrecv_system *b)
{
	if (a->ports.start != b->ports.start ||
	    a->ports.count != b->ports.count ||
	    a->block_size != b->block_size ||
	    a->reserved_count != b->reserved_count)
		return false;
	for (uint32_t i = 0; i < a->reserved_count; i++)
		if (a->reserved[i].start != b->reserved[i].start ||
		    a->reserved[i].count != b->reserved[i].count)
			return false;
	return true;
}

void said_set_system(struct said *said, const struct uidrecv_system *system)
{
	bool is_same = has_same_blocks(&said->system, system);
	struct said_mapping *next;

	for (struct said_mapping *mapping = said->first; mapping;
	     mapping = next) {
		next = mapping->next;
		if (!mapping->ports.count)
			continue;
		/* Its own address may be the system's no more. */
		mapping->address = system->address;
		if (!is_same)
			drop(said, mapping);
	}
	said->system = *system;
}

void said_refuse(struct said *said, const struct uidrecv_address *address,
		 struct uidrecv_ports ports, uint64_t line, bool is_refresh,
		 unsigned int receiver)
{
	struct said_mapping *mapping = find(said, address, ports, 0);

	/* What was said later is judged by itself. */
	if (mapping == NULL || mapping->line > line ||
	    (!is_refresh && mapping->line != line))
		return;
	mapping->refused |= (uint16_t)(1u << receiver);
	if (mapping->refused == said->receivers)
		drop(said, mapping);
}

static bool is_refused(const struct said_mapping *mapping,
		       unsigned int receiver)
{
	return mapping->refused & 1u << receiver;
}

uint64_t said_count(struct said *said, uint64_t now_us, unsigned int receiver)
{
	uint64_t count = 0;

	drop_dead(said, now_us);
	for (const struct said_mapping *mapping = said->first; mapping;
	     mapping = mapping->next)
		count += !is_refused(mapping, receiver);
	return count;
}

void said_rewind(struct said *said, unsigned int receiver)
{
	said->cursors[receiver] = said->first;
}

const struct said_mapping *said_next(struct said *said, uint64_t now_us,
				     unsigned int receiver)
{
	struct said_mapping **cursor = &said->cursors[receiver];
	const struct said_mapping *mapping;

	while ((mapping = *cursor) != NULL) {
		*cursor = mapping->next;
		if (mapping->deadline_us > now_us &&
		    !is_refused(mapping, receiver))
			return mapping;
	}
	return NULL;
}

void said_free(struct said *said)
{
	while (said->first)
		drop(said, said->first);
	free(said->buckets);
}
