/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What one agent says, and what the table must be after each of its serials:
 * so whatever breaks, the table is that of some serial from the last that is
 * acknowledged on. The agent is alone in its receiver, says only what
 * the receiver must take or refuse, and its drops are never held.
 */
#ifndef TESTS_SYNC_SAID_H
#define TESTS_SYNC_SAID_H

#include "live.h"

#define SAID_PLACES 32 /* addresses */
#define SAID_SERIALS 2048

/* The users of all places are v1, v2, ...; 0: nobody. */
struct said_state {
	uint32_t user[SAID_PLACES];
	uint32_t epoch[SAID_PLACES];
	uint32_t current;
	bool is_open;
};

struct said {
	struct live *live;
	struct live_agent *agent;
	uint32_t user; /* the last that was given to anybody */
	bool has_snapshot;
	uint64_t ticket, ends, refreshes;
	struct said_state now;
	/* After each serial that may still count. */
	struct said_state states[SAID_SERIALS];
	bool is_refused[LIVE_TICKETS_MAX]; /* by ticket */
};

/* What the table holds of former agents stays in the model. */
void said_init(struct said *said, struct live *live, struct live_agent *agent);

void said_map(struct said *said, uint32_t place);
void said_map_refused(struct said *said);
/* Ends what the place has, if it has anything. */
void said_logout(struct said *said, uint32_t place);
void said_withdraw(struct said *said, uint32_t place);
void said_begin(struct said *said);
/* It must be open. */
void said_end(struct said *said);
/* None may be open, and there must have been one. */
void said_refresh_all(struct said *said);

/* Any of these that the agent may say now, at random. */
void said_anything(struct said *said);

/* Is all acknowledged? */
bool said_is_over(const struct said *said);
/* Lets the agent connect again without waiting. */
void said_hurry(const struct said *said);
/*
 * The table must be that of one serial from the last acknowledged on, which is
 * returned. where is for the message of a failure.
 */
uint64_t said_check_table(const struct said *said, const char *where);
/*
 * All is acknowledged: the table is what was said last, each refusal was told
 * once, and nothing was asked for.
 */
void said_check_end(const struct said *said, const char *where);

#endif
