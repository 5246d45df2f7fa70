/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scripts as frames, through rounds of a receiver into a table, and what its
 * readers see beside the oracle. Each message is done by the oracle when the
 * round says that it is completed.
 */
#ifndef TEST_FRAMES_H
#define TEST_FRAMES_H

#include "round.h"
#include "script.h"

#include <uidrecv/reader.h>

struct frame_of {
	struct action actions[SCRIPT_MAX]; /* of one frame */
	size_t count;
};

struct frames {
	struct world world;
	struct uidrecv_rights *rights;
	struct ur_peer peers[ORACLE_AGENTS];
	char path[96];
	struct ur_table *table;
	struct uidrecv_reader *reader;
	struct ur_log log;
	struct ur_round round;
	uint64_t serials[ORACLE_AGENTS];
	/* Submitted, in their order. */
	struct frame_of submitted[2 * SCRIPT_MAX];
	size_t submitted_count, completed_count;
	uint64_t ends, refreshes, busy; /* busy: refused for that alone */
};

void frames_init(struct frames *frames);
void frames_done(struct frames *frames);

/* As a receiver that starts: a new table of what the store has. */
void frames_make_table(struct frames *frames);

/* An operator lets all drops go that are held. */
void frames_accept(struct frames *frames);

/* Nobody says anything any more, a day later. */
void frames_reset(struct frames *frames);

/*
 * Plays a script in the order of the indexes given. Of 8 times join is how
 * often a record goes into the frame of the one before it, and split how often
 * a round ends behind a frame.
 */
void frames_play(struct frames *frames, const struct script *script,
		 const size_t *order, unsigned int join, unsigned int split);

/* What readers see now; nobody is right where the collector has to look. */
void frames_check(struct frames *frames, bool is_collected);
/* And at each end of a life. */
void frames_check_deadlines(struct frames *frames);

#endif
