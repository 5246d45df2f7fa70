/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A store and the oracle side by side: what is done is done to both, and they
 * are compared. Operations are drawn from the seed and the state of the oracle
 * alone, so the oracle can go the same way without a store (store NULL).
 *
 * Who differs sets `difference`, which stays; callers look at it.
 */
#ifndef TEST_WORLD_H
#define TEST_WORLD_H

#include <stdio.h>
#include <stdlib.h>

#include "oracle.h"
#include "round.h"

#define SECOND UINT64_C(1000000)
#define HOUR (3600 * SECOND)
#define WORLD_START (UINT64_C(1700000000) * SECOND)
#define WORLD_UPTIME (1000 * SECOND)
#define WORLD_LINES 1024

/* What a table would hold of an address. */
struct world_shown {
	char user[16]; /* empty: nobody */
	uint64_t deadline_us;
	uint32_t agent, epoch, lifetime_s;
	uint8_t source;
};

/* What a table would hold of an agent's epoch. */
struct world_line {
	uint32_t epoch;
	uint64_t refreshed_us;
};

struct world {
	struct oracle oracle, committed;
	struct ur_store *store;
	struct ur_store_options options;
	char directory[64];
	struct ur_rank ranks[2][ORACLE_AGENTS];
	unsigned int ranks_used;
	uint64_t seed, first_seed;
	uint64_t now_us;  /* the store's time */
	uint64_t wall_us; /* of the wall clock, which steps */
	int64_t offsets_us[ORACLE_AGENTS];
	uint64_t serials[ORACLE_AGENTS];
	uint64_t quota;
	struct world_shown shown[ORACLE_ADDRESSES];
	uint32_t floors[ORACLE_AGENTS];
	struct world_line lines[ORACLE_AGENTS][WORLD_LINES];
	bool is_apart;	 /* what is done must not depend on the store */
	uint64_t rounds; /* then marked in the row of agent 1 */
	bool trace;
	/* With a table, which lends lives. */
	bool lends;
	bool is_boot; /* while it is restarted */
	struct ur_table *table, *next_table;
	struct ur_round round; /* of which they make use */
	struct ur_store_lives lives;
	char path[80];
	/* The latest life that a REFRESH of the round gave. */
	uint64_t refreshed_us[ORACLE_AGENTS][ORACLE_ADDRESSES];
	uint64_t lent, lost; /* lives that were, and those of them by boots */
	uint64_t operations, endings[4], taken;
	char difference[240];
};

/* A generator that is the same everywhere. */
uint64_t world_draw(struct world *world, uint64_t below);

void world_differ(struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

void world_trace(const struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* An error of the store, which none of the operations here may have. */
bool world_failed(struct world *world, const char *what, int rc);
/* Shows an answer, or all that is listed. */
int world_show(void *user, const struct ur_change *answer);
void world_take_changes(struct world *world);

/* Makes a store with six agents, each in a session. */
void world_init(struct world *world, uint64_t seed);
/* The same with a table, which lends lives. */
void world_init_lending(struct world *world, uint64_t seed);
/* The oracle without a store. */
void world_init_alone(struct world *world, uint64_t seed);
void world_done(struct world *world);

/* The same agents and the same state of things, in a store that is there. */
void world_open(struct world *world);
void world_close(struct world *world);

/* The store is closed and opened again; is_boot: by another boot. */
void world_restart(struct world *world, bool is_boot, uint64_t off_us,
		   int64_t wall_step_us);

struct uidrecv_address world_address(size_t index);
size_t world_index(struct uidrecv_address address);

/* A fresh statement, or one that says a living claim of the agent again. */
struct ur_statement world_draw_fresh(struct world *world, uint32_t agent);
bool world_draw_again(struct world *world, uint32_t agent,
		      struct ur_statement *ret_statement);

/* In a round: to both, with a comparison of what they say. */
void world_begin(struct world *world);
void world_apply(struct world *world, uint32_t agent,
		 const struct ur_statement *statement);
void world_session(struct world *world, uint32_t agent, uint64_t session_id);
void world_gap(struct world *world, uint32_t agent);
void world_snapshot(struct world *world, uint32_t agent);
enum ur_ending world_end(struct world *world, uint32_t agent, uint64_t count,
			 unsigned int keep_percent, bool may_count);
/* The library may refuse (RESYNC 5) a REFRESH ALL of one more epoch. */
bool world_is_busy(const struct world *world, uint32_t agent);
bool world_refresh_all(struct world *world, uint32_t agent, uint64_t as_of_us,
		       uint64_t count, bool may_count);
/* As the last of a round: says in the store which one it is. */
void world_mark(struct world *world);
void world_commit(struct world *world);
void world_abort(struct world *world);

/* Between rounds. */
void world_accept(struct world *world, uint32_t agent);
void world_collect(struct world *world, size_t rows);
void world_settle(struct world *world, uint64_t at_us);
void world_collect_all(struct world *world);
/* A new list: drawn priorities, who is on it, and addresses taken away. */
void world_reload(struct world *world);

/* The store's answers at a time are the oracle's. */
void world_check_answers(struct world *world, uint64_t at_us);
/*
 * Also just before, at and after each end of a life; the time goes on with it,
 * for that of a store does not go back.
 */
void world_check_deadlines(struct world *world);
/* The first end of a life after a time; ORACLE_NEVER: none. */
uint64_t world_next_deadline(const struct world *world, uint64_t after_us);
/*
 * What the listed changes show is right; before world_collect_all() nobody may
 * be shown where a claim was dropped.
 */
void world_check_shown(struct world *world, bool is_collected);
/* The rows of agents; after world_collect_all() the counts in them, too. */
void world_check_rows(struct world *world, bool is_collected);

/* world-table.c; nothing, if nothing is lent. */
void world_table_find_former(struct world *world);
/* In the place of the former, or of the one before. */
void world_table_make(struct world *world);
/* The same by another walk, which is between the two. */
void world_table_begin(struct world *world);
int world_table_put(void *user, const struct ur_change *change);
void world_table_end(struct world *world);
void world_table_take(struct world *world, const struct ur_change *change);
void world_table_close(struct world *world, bool is_boot);
/* What readers are told now; false: there is no table. */
bool world_table_look(struct world *world, size_t index,
		      struct world_shown *ret_shown);
/* An abort takes nothing back that was lent. */
void world_table_keep_lent(struct world *world);
/* A boot takes what was lent, and no more. */
void world_table_lose(struct world *world);

/* One drawn step of anything, with the time going on. */
void world_step(struct world *world);
/* A round of drawn operations. */
void world_round(struct world *world);

#endif
