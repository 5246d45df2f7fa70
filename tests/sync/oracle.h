/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What doc/protocol.md sections 6 and 8 say, done the plainest way: arrays of
 * sources and addresses that are walked from end to end for each question. It
 * shares no code with the library, but for the statement that it is given.
 *
 * Nothing here is lazy: REFRESH ALL renews each claim when it is said, and END
 * takes each one away.
 */
#ifndef TEST_ORACLE_H
#define TEST_ORACLE_H

#include "claim.h"

/* Ids of agents are 1 to 6, and addresses are numbers below 12. */
#define ORACLE_AGENTS 7
#define ORACLE_ADDRESSES 12
#define ORACLE_MARKERS 200

#define ORACLE_NEVER UINT64_MAX

/* Users are constants of the test: they are kept as pointers. */
struct oracle_claim {
	const char *user; /* NULL: there is none */
	uint64_t event_us, raw_us, deadline_us, token;
	uint32_t lifetime_s, epoch;
	uint8_t source;
	bool has_token;
};

struct oracle_marker {
	const char *user; /* NULL: any */
	uint64_t event_us, token;
	bool has_token;
};

struct oracle_marks {
	struct oracle_marker marks[ORACLE_MARKERS];
	size_t count;
};

struct oracle_agent {
	const char *name; /* NULL: not on the list */
	uint32_t priority;
	uint64_t session_id;
	uint32_t epoch;
	bool is_open;	 /* a snapshot, of this session */
	bool is_begun;	 /* the epoch, in this session */
	bool is_wanted;	 /* a snapshot */
	uint64_t maps;	 /* MAP records since BEGIN */
	uint64_t all_us; /* REFRESH ALL of this epoch; 0: none */
	uint32_t held;	 /* the epoch whose END held its drops; 0: none */
	struct oracle_claim claims[ORACLE_ADDRESSES];
	struct oracle_marks markers[ORACLE_ADDRESSES];
};

struct oracle {
	struct oracle_agent agents[ORACLE_AGENTS];
};

enum oracle_ending { ORACLE_DROPPED = 1, ORACLE_HELD, ORACLE_REFUSED };

/* 0 or REJECT 10 or 12. quota: living claims that the agent may have. */
int oracle_apply(struct oracle *oracle, uint32_t agent, size_t address,
		 uint64_t quota, const struct ur_statement *statement,
		 uint64_t now_us);

/* A session id that may be the same as before. */
void oracle_session(struct oracle *oracle, uint32_t agent, uint64_t session_id);
void oracle_begin(struct oracle *oracle, uint32_t agent);
void oracle_count_maps(struct oracle *oracle, uint32_t agent, uint64_t count);
enum oracle_ending oracle_end(struct oracle *oracle, uint32_t agent,
			      uint64_t count, unsigned int keep_percent,
			      uint64_t now_us);
bool oracle_refresh_all(struct oracle *oracle, uint32_t agent,
			uint64_t as_of_us, uint64_t count, uint64_t now_us);
/* Returns whether drops were held. */
bool oracle_accept(struct oracle *oracle, uint32_t agent);

/* Claims that an agent may no longer make go. */
void oracle_forget(struct oracle *oracle, uint32_t agent, size_t address);

/* Markers that have no more to say go. */
void oracle_collect(struct oracle *oracle, uint64_t now_us);

/* Who is behind an address, and who says so; NULL: nobody. */
const struct oracle_claim *oracle_answer(const struct oracle *oracle,
					 size_t address, uint64_t now_us,
					 uint32_t *ret_agent);

bool oracle_lives(const struct oracle_claim *claim, uint64_t now_us);
uint64_t oracle_count(const struct oracle *oracle, uint32_t agent,
		      uint64_t now_us);
uint64_t oracle_count_stated(const struct oracle *oracle, uint32_t agent,
			     uint64_t now_us);

#endif
