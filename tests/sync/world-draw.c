/* SPDX-License-Identifier: BSD-2-Clause */
#include "world.h"

/* Delays stay below the horizon of the markers. */
#define DELAY 1500

static const char *const users[] = {"ada", "bob", "eve"};

uint64_t world_draw(struct world *world, uint64_t below)
{
	uint64_t z = world->seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (z ^ z >> 31) % below;
}

static uint32_t draw_life(struct world *world)
{
	switch (world_draw(world, 12)) {
	case 0:
		return UIDRECV_LIFETIME_NEVER;
	case 1:
		return 3600 * (uint32_t)(1 + world_draw(world, 5));
	default:
		return 1 + (uint32_t)world_draw(world, 400);
	}
}

static void set_user(struct ur_statement *it, const char *user)
{
	it->user = user;
	it->user_size = user ? (uint8_t)strlen(user) : 0;
}

/* Event times are whole and few, so that those of several agents meet. */
struct ur_statement world_draw_fresh(struct world *world, uint32_t agent)
{
	static const enum uidrecv_op ops[] = {
	    UIDRECV_OP_MAP,	UIDRECV_OP_MAP,	   UIDRECV_OP_MAP,
	    UIDRECV_OP_REFRESH, UIDRECV_OP_LOGOUT, UIDRECV_OP_WITHDRAW};
	struct ur_statement it = {.op = (uint16_t)ops[world_draw(world, 6)]};
	uint64_t delay = world_draw(world, 4) ? world_draw(world, 20)
					      : world_draw(world, DELAY);

	it.address = world_address(world_draw(world, ORACLE_ADDRESSES));
	it.event_us = (world->now_us / SECOND - delay) / 5 * 5 * SECOND;
	if (world_draw(world, 20) == 0)
		it.event_us += 10 * SECOND;
	it.event_raw_us = it.event_us - WORLD_START;
	it.event_us += (uint64_t)world->offsets_us[agent];
	it.as_of_us = world->now_us - world_draw(world, delay + 1) * SECOND;
	if (it.op == UIDRECV_OP_MAP || world_draw(world, 2))
		set_user(&it, users[world_draw(world, 3)]);
	if (it.op == UIDRECV_OP_MAP ||
	    (it.op == UIDRECV_OP_REFRESH && world_draw(world, 2)))
		it.lifetime_s = draw_life(world);
	if (it.op == UIDRECV_OP_MAP)
		it.source = (uint8_t)world_draw(world, 3);
	if (it.op == UIDRECV_OP_WITHDRAW)
		set_user(&it, NULL);
	if ((it.op == UIDRECV_OP_MAP || it.op == UIDRECV_OP_LOGOUT) &&
	    world_draw(world, 3) == 0) {
		it.has_token = true;
		it.token = world_draw(world, 2);
	}
	return it;
}

/* The same by a REFRESH, mostly of the lifetime that it has. */
static void refresh_again(struct world *world, uint32_t agent,
			  struct ur_statement *it)
{
	const struct oracle_claim *claim =
	    &world->oracle.agents[agent].claims[world_index(it->address)];

	it->op = UIDRECV_OP_REFRESH;
	it->source = 0;
	it->has_token = false;
	it->token = 0;
	if (world_draw(world, 8))
		it->lifetime_s = world_draw(world, 2) ? claim->lifetime_s : 0;
	if (world_draw(world, 2))
		set_user(it, NULL);
}

bool world_draw_again(struct world *world, uint32_t agent,
		      struct ur_statement *ret_statement)
{
	const struct oracle_agent *its = &world->oracle.agents[agent];
	size_t first = world_draw(world, ORACLE_ADDRESSES);

	for (size_t i = 0; i < ORACLE_ADDRESSES; i++) {
		size_t index = (first + i) % ORACLE_ADDRESSES;
		const struct oracle_claim *claim = &its->claims[index];
		struct ur_statement it = {.op = UIDRECV_OP_MAP};

		if (!oracle_lives(claim, world->now_us))
			continue;
		it.address = world_address(index);
		it.event_raw_us = claim->raw_us;
		it.event_us = claim->raw_us + WORLD_START +
			      (uint64_t)world->offsets_us[agent];
		it.as_of_us = world->now_us - world_draw(world, 3) * SECOND;
		it.lifetime_s = draw_life(world);
		it.source = (uint8_t)world_draw(world, 3);
		set_user(&it, claim->user);
		if (world_draw(world, 2)) {
			it.has_token = claim->has_token;
			it.token = claim->token;
		}
		if (world_draw(world, 2))
			refresh_again(world, agent, &it);
		*ret_statement = it;
		return true;
	}
	return false;
}

/* What an agent says in one frame. */
static void say_records(struct world *world, uint32_t agent)
{
	bool is_open = world->oracle.agents[agent].is_open;

	for (uint64_t i = world_draw(world, is_open ? 8 : 4) + 1; i > 0; i--) {
		struct ur_statement it;

		if (world_draw(world, is_open ? 4 : 2) == 0 ||
		    !world_draw_again(world, agent, &it))
			it = world_draw_fresh(world, agent);
		world_apply(world, agent, &it);
	}
}

static void say_end(struct world *world, uint32_t agent)
{
	static const unsigned int shares[] = {0, 30, 50, 50, 100};
	uint64_t count = world->oracle.agents[agent].maps;
	bool may_count = world->is_apart || world_draw(world, 8);

	if (world_draw(world, 8) == 0)
		count += 1 - 2 * world_draw(world, 2);
	world_end(world, agent, count, shares[world_draw(world, 5)], may_count);
}

static void say_refresh_all(struct world *world, uint32_t agent)
{
	uint64_t count =
	    oracle_count_stated(&world->oracle, agent, world->now_us);
	bool may_count = world->is_apart || world_draw(world, 8);
	uint64_t as_of_us = world->now_us;

	if (world->is_apart && world_is_busy(world, agent))
		return;
	if (world_draw(world, 8) == 0)
		count += 1 - 2 * world_draw(world, 2);
	if (world_draw(world, 3) == 0)
		as_of_us -= world_draw(world, 300) * SECOND;
	else if (world_draw(world, 6) == 0)
		as_of_us +=
		    world_draw(world, 20) * SECOND + world_draw(world, 3);
	world_refresh_all(world, agent, as_of_us, count, may_count);
}

static void say_something(struct world *world, uint32_t agent)
{
	bool is_open = world->oracle.agents[agent].is_open;

	switch (world_draw(world, 20)) {
	case 0:
		if (!is_open || world_draw(world, 4) == 0)
			world_snapshot(world, agent);
		break;
	case 1:
	case 2:
		if (is_open || world_draw(world, 8) == 0)
			say_end(world, agent);
		break;
	case 3:
	case 4:
		if (!is_open || world_draw(world, 6) == 0)
			say_refresh_all(world, agent);
		break;
	case 5:
		if (world_draw(world, 3))
			break;
		world->offsets_us[agent] =
		    (int64_t)(world_draw(world, 5) * SECOND);
		world_session(world, agent,
			      world->oracle.agents[agent].session_id + 1);
		break;
	case 6:
		if (world_draw(world, 10) == 0)
			world_gap(world, agent);
		break;
	default:
		say_records(world, agent);
	}
}

void world_round(struct world *world)
{
	world_begin(world);
	for (uint64_t i = world_draw(world, 5); i > 0; i--) {
		uint32_t agent =
		    1 + (uint32_t)world_draw(world, ORACLE_AGENTS - 1);

		if (world->oracle.agents[agent].name)
			say_something(world, agent);
	}
	if (world_draw(world, 10) == 0) {
		world_abort(world);
		return;
	}
	if (world->is_apart)
		world_mark(world);
	world_commit(world);
}

static void pass_time(struct world *world)
{
	switch (world_draw(world, 60)) {
	case 0:
		world->now_us += world_draw(world, 4 * HOUR);
		break;
	case 1:
	case 2:
	case 3:
		world->now_us += world_draw(world, 300) * SECOND;
		break;
	case 4:
		world->wall_us += world_draw(world, 100) * HOUR;
		break;
	case 5:
		world->wall_us -= world_draw(world, 100) * HOUR;
		break;
	default:
		world->now_us +=
		    world_draw(world, 3) * SECOND / 2 + world_draw(world, 2);
	}
}

void world_step(struct world *world)
{
	uint64_t what = world_draw(world, 400);

	pass_time(world);
	if (what < 2 && !world->is_apart)
		world_restart(world, world_draw(world, 2) != 0,
			      world_draw(world, 100) * SECOND,
			      (int64_t)(world_draw(world, 3) * HOUR) -
				  (int64_t)HOUR);
	else if (what == 2 && !world->is_apart)
		world_reload(world);
	else if (what < 8)
		world_accept(
		    world, 1 + (uint32_t)world_draw(world, ORACLE_AGENTS - 1));
	else if (what < 40)
		world_collect(world, world_draw(world, 6));
	else
		world_round(world);
}
