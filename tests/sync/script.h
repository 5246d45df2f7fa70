/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What some agents say in a moment: drawn once, then played again and again,
 * each agent's stream in its own order, in any mixture. Times are relative to
 * a moment, so that one world can play it as often as it is asked to.
 */
#ifndef TEST_SCRIPT_H
#define TEST_SCRIPT_H

#include "world.h"

#define SCRIPT_MAX 96

enum action_kind {
	ACTION_SAY = 1,
	ACTION_BEGIN,
	ACTION_END,
	ACTION_REFRESH_ALL,
	ACTION_SESSION,
};

struct action {
	uint8_t kind;
	uint32_t agent;
	uint64_t count;
	unsigned int keep_percent;
	uint64_t as_of_us; /* of REFRESH ALL; as if at WORLD_START */
	struct ur_statement statement; /* likewise */
};

struct script {
	/* Said long before, in this order; then all at once, in any. */
	struct action before[SCRIPT_MAX], burst[SCRIPT_MAX];
	size_t before_count, burst_count;
	uint64_t after_us; /* from the one to the other */
	/* What comes of it. */
	struct oracle oracle;
	uint64_t end_us; /* the time of the burst */
};

/* The share that an agent's END must leave. */
unsigned int script_keep_percent(uint32_t agent);

/* each: what every agent says in the burst; with 1 there are 6 actions. */
void script_draw(struct script *script, uint64_t seed, size_t before,
		 size_t each);

/* Puts a world into the state in which nothing is said, a day later. */
void script_reset(struct world *world);

/*
 * Plays it: the burst in the order of the indexes given. split: how often, of
 * 8 times, a round ends between two actions, and what else a receiver does
 * between rounds is done.
 */
void script_play(const struct script *script, struct world *world,
		 const size_t *order, unsigned int split);

/* A random mixture in which each agent keeps its order. */
void script_mix(const struct script *script, struct world *world,
		size_t *order);

/* All that is answered, now and at each end of a life, is what was drawn. */
void script_check(const struct script *script, struct world *world);

#endif
