/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "oracle.h"

#define HORIZON_US (UINT64_C(3600) * 1000000)
#define AHEAD_US (UINT64_C(10) * 1000000)
#define MARKERS_KEPT 16

bool oracle_lives(const struct oracle_claim *claim, uint64_t now_us)
{
	return claim->user && now_us < claim->deadline_us;
}

static uint64_t end_of_life(uint64_t as_of_us, uint32_t lifetime_s)
{
	if (lifetime_s == UIDRECV_LIFETIME_NEVER)
		return ORACLE_NEVER;
	/* The library ends lives with a millisecond. */
	return (as_of_us + UINT64_C(1000000) * lifetime_s) / 1000 * 1000;
}

static void prolong(struct oracle_claim *claim, uint64_t deadline_us)
{
	if (deadline_us > claim->deadline_us)
		claim->deadline_us = deadline_us;
}

uint64_t oracle_count(const struct oracle *oracle, uint32_t agent,
		      uint64_t now_us)
{
	uint64_t count = 0;

	for (size_t i = 0; i < ORACLE_ADDRESSES; i++)
		count += oracle_lives(&oracle->agents[agent].claims[i], now_us);
	return count;
}

uint64_t oracle_count_stated(const struct oracle *oracle, uint32_t agent,
			     uint64_t now_us)
{
	const struct oracle_agent *it = &oracle->agents[agent];
	uint64_t count = 0;

	for (size_t i = 0; i < ORACLE_ADDRESSES; i++)
		count += oracle_lives(&it->claims[i], now_us) &&
			 it->claims[i].epoch == it->epoch;
	return count;
}

/* Do user and token match, as far as they are said? */
static bool matches(const struct oracle_marker *logout,
		    const struct oracle_claim *claim)
{
	if (logout->user && strcmp(logout->user, claim->user) != 0)
		return false;
	if (logout->has_token)
		return claim->has_token && claim->token == logout->token;
	return true;
}

static bool ends(const struct oracle_marker *logout,
		 const struct oracle_claim *claim)
{
	bool says_whom = logout->user || logout->has_token;

	if (!claim->user || !matches(logout, claim))
		return false;
	return says_whom ? claim->event_us <= logout->event_us
			 : claim->event_us < logout->event_us;
}

static bool is_same_condition(const struct oracle_marker *a,
			      const struct oracle_marker *b)
{
	if (!a->user != !b->user || (a->user && strcmp(a->user, b->user) != 0))
		return false;
	return a->has_token == b->has_token &&
	       (!a->has_token || a->token == b->token);
}

static void take_marker(struct oracle_marks *marks, size_t index)
{
	marks->marks[index] = marks->marks[--marks->count];
}

/* Of one condition the latest says it all; of the others 16 stay. */
static void put_marker(struct oracle_marks *marks, struct oracle_marker marker)
{
	size_t oldest = 0;

	for (size_t i = 0; i < marks->count; i++) {
		if (!is_same_condition(&marks->marks[i], &marker))
			continue;
		if (marks->marks[i].event_us >= marker.event_us)
			return;
		take_marker(marks, i);
		break;
	}
	marks->marks[marks->count++] = marker;
	if (marks->count <= MARKERS_KEPT)
		return;
	for (size_t i = 0; i < marks->count; i++)
		if (marks->marks[i].event_us < marks->marks[oldest].event_us)
			oldest = i;
	take_marker(marks, oldest);
}

static bool suppresses(const struct oracle *oracle, uint32_t by,
		       const struct oracle_marker *marker, uint32_t agent,
		       size_t address)
{
	const struct oracle_agent *source = &oracle->agents[by];
	const struct oracle_agent *other = &oracle->agents[agent];

	return source->name && other->name &&
	       source->priority >= other->priority &&
	       ends(marker, &other->claims[address]);
}

static bool is_suppressed(const struct oracle *oracle, uint32_t agent,
			  size_t address)
{
	for (uint32_t by = 1; by < ORACLE_AGENTS; by++) {
		const struct oracle_marks *marks =
		    &oracle->agents[by].markers[address];

		for (size_t i = 0; i < marks->count; i++)
			if (suppresses(oracle, by, &marks->marks[i], agent,
				       address))
				return true;
	}
	return false;
}

static int apply_map(struct oracle_agent *it, struct oracle_claim *claim,
		     const struct ur_statement *map, uint64_t as_of_us,
		     bool has_room, uint64_t now_us)
{
	uint64_t deadline_us = end_of_life(as_of_us, map->lifetime_s);
	bool lives = oracle_lives(claim, now_us);

	if (lives && strcmp(claim->user, map->user) == 0 &&
	    (claim->event_us == map->event_us ||
	     claim->raw_us == map->event_raw_us)) {
		prolong(claim, deadline_us);
		claim->lifetime_s = map->lifetime_s;
		claim->epoch = it->epoch;
		if (map->has_token) {
			claim->has_token = true;
			claim->token = map->token;
		}
		if (map->source)
			claim->source = map->source;
		return 0;
	}
	if (lives && claim->epoch == it->epoch &&
	    claim->event_us > map->event_us)
		return 0;
	if (now_us >= deadline_us) {
		claim->user = NULL;
		return 0;
	}
	if (!lives && !has_room)
		return UIDRECV_REJECT_QUOTA;
	*claim = (struct oracle_claim){
	    .user = map->user,
	    .event_us = map->event_us,
	    .raw_us = map->event_raw_us,
	    .deadline_us = deadline_us,
	    .lifetime_s = map->lifetime_s,
	    .epoch = it->epoch,
	    .source = map->source,
	    .has_token = map->has_token,
	    .token = map->token,
	};
	return 0;
}

static int apply_refresh(struct oracle_agent *it, struct oracle_claim *claim,
			 const struct ur_statement *refresh, uint64_t as_of_us,
			 uint64_t now_us)
{
	if (!oracle_lives(claim, now_us) ||
	    (refresh->user && strcmp(refresh->user, claim->user) != 0))
		return UIDRECV_REJECT_NOT_FOUND;
	if (refresh->lifetime_s)
		claim->lifetime_s = refresh->lifetime_s;
	prolong(claim, end_of_life(as_of_us, claim->lifetime_s));
	claim->epoch = it->epoch;
	return 0;
}

int oracle_apply(struct oracle *oracle, uint32_t agent, size_t address,
		 uint64_t quota, const struct ur_statement *statement,
		 uint64_t now_us)
{
	struct oracle_agent *it = &oracle->agents[agent];
	struct oracle_claim *claim = &it->claims[address];
	bool has_room = oracle_count(oracle, agent, now_us) < quota;
	uint64_t as_of_us = statement->as_of_us;
	struct oracle_marker logout = {
	    .user = statement->user,
	    .event_us = statement->event_us,
	    .has_token = statement->has_token,
	    .token = statement->token,
	};

	if (as_of_us < it->all_us)
		as_of_us = it->all_us;
	switch (statement->op) {
	case UIDRECV_OP_MAP:
		return apply_map(it, claim, statement, as_of_us, has_room,
				 now_us);
	case UIDRECV_OP_REFRESH:
		return apply_refresh(it, claim, statement, as_of_us, now_us);
	case UIDRECV_OP_LOGOUT:
		if (ends(&logout, claim))
			claim->user = NULL;
		put_marker(&it->markers[address], logout);
		return 0;
	default:
		claim->user = NULL;
		return 0;
	}
}

void oracle_session(struct oracle *oracle, uint32_t agent, uint64_t session_id)
{
	struct oracle_agent *it = &oracle->agents[agent];

	if (it->session_id == session_id)
		return;
	it->session_id = session_id;
	it->is_open = false;
	it->is_whole = false;
}

void oracle_gap(struct oracle *oracle, uint32_t agent)
{
	oracle->agents[agent].is_open = false;
	oracle->agents[agent].is_whole = false;
	oracle->agents[agent].is_wanted = true;
}

void oracle_begin(struct oracle *oracle, uint32_t agent)
{
	struct oracle_agent *it = &oracle->agents[agent];

	it->epoch++;
	it->is_open = true;
	it->is_whole = false;
	it->maps = 0;
	it->all_us = 0;
}

void oracle_count_maps(struct oracle *oracle, uint32_t agent, uint64_t count)
{
	oracle->agents[agent].maps += count;
}

static void drop_below(struct oracle_agent *it, uint32_t epoch)
{
	for (size_t i = 0; i < ORACLE_ADDRESSES; i++)
		if (it->claims[i].epoch < epoch)
			it->claims[i].user = NULL;
	it->held = 0;
}

enum oracle_ending oracle_end(struct oracle *oracle, uint32_t agent,
			      uint64_t count, unsigned int keep_percent,
			      uint64_t now_us)
{
	struct oracle_agent *it = &oracle->agents[agent];
	uint64_t all = oracle_count(oracle, agent, now_us);
	uint64_t stated = oracle_count_stated(oracle, agent, now_us);
	bool was_open = it->is_open;

	it->is_open = false;
	if (!was_open || count != it->maps) {
		it->is_wanted = true;
		return ORACLE_REFUSED;
	}
	it->is_wanted = false;
	it->is_whole = true;
	if (stated * 100 < all * keep_percent) {
		it->held = it->epoch;
		return ORACLE_HELD;
	}
	drop_below(it, it->epoch);
	return ORACLE_DROPPED;
}

bool oracle_refresh_all(struct oracle *oracle, uint32_t agent,
			uint64_t as_of_us, uint64_t count, uint64_t now_us)
{
	struct oracle_agent *it = &oracle->agents[agent];

	if (!it->is_whole || as_of_us > now_us + AHEAD_US ||
	    count != oracle_count_stated(oracle, agent, now_us)) {
		it->is_wanted = true;
		return false;
	}
	if (as_of_us > now_us)
		as_of_us = now_us;
	if (as_of_us > it->all_us)
		it->all_us = as_of_us;
	for (size_t i = 0; i < ORACLE_ADDRESSES; i++) {
		struct oracle_claim *claim = &it->claims[i];

		if (oracle_lives(claim, now_us) && claim->epoch == it->epoch)
			prolong(claim,
				end_of_life(it->all_us, claim->lifetime_s));
	}
	return true;
}

bool oracle_accept(struct oracle *oracle, uint32_t agent)
{
	struct oracle_agent *it = &oracle->agents[agent];

	if (!it->held)
		return false;
	drop_below(it, it->held);
	return true;
}

void oracle_forget(struct oracle *oracle, uint32_t agent, size_t address)
{
	oracle->agents[agent].claims[address].user = NULL;
}

static bool is_needed(const struct oracle *oracle, uint32_t by,
		      const struct oracle_marker *marker, size_t address,
		      uint64_t now_us)
{
	if (marker->event_us + HORIZON_US >= now_us)
		return true;
	for (uint32_t agent = 1; agent < ORACLE_AGENTS; agent++)
		if (oracle_lives(&oracle->agents[agent].claims[address],
				 now_us) &&
		    suppresses(oracle, by, marker, agent, address))
			return true;
	return false;
}

void oracle_collect(struct oracle *oracle, uint64_t now_us)
{
	for (uint32_t by = 1; by < ORACLE_AGENTS; by++)
		for (size_t address = 0; address < ORACLE_ADDRESSES;
		     address++) {
			struct oracle_marks *marks =
			    &oracle->agents[by].markers[address];

			for (size_t i = marks->count; i-- > 0;)
				if (!is_needed(oracle, by, &marks->marks[i],
					       address, now_us))
					take_marker(marks, i);
		}
}

static bool is_greater(const struct oracle_agent *a,
		       const struct oracle_agent *b, size_t address)
{
	const struct oracle_claim *mine = &a->claims[address];
	const struct oracle_claim *its = &b->claims[address];

	if (a->priority != b->priority)
		return a->priority > b->priority;
	if (mine->event_us != its->event_us)
		return mine->event_us > its->event_us;
	return strcmp(a->name, b->name) > 0;
}

const struct oracle_claim *oracle_answer(const struct oracle *oracle,
					 size_t address, uint64_t now_us,
					 uint32_t *ret_agent)
{
	uint32_t best = 0;

	for (uint32_t agent = 1; agent < ORACLE_AGENTS; agent++) {
		const struct oracle_agent *it = &oracle->agents[agent];

		if (!it->name || !oracle_lives(&it->claims[address], now_us) ||
		    is_suppressed(oracle, agent, address))
			continue;
		if (!best || is_greater(it, &oracle->agents[best], address))
			best = agent;
	}
	*ret_agent = best;
	return best ? &oracle->agents[best].claims[address] : NULL;
}
