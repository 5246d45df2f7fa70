/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One of the receivers that uidagent speaks to: what it is told, what it
 * answers, and the snapshots that make up for what it missed.
 */
#ifndef UIDAGENT_RECEIVER_H
#define UIDAGENT_RECEIVER_H

#include <uidrecv/agent.h>

#include "uidagent-said.h"

/* Where each outstanding record came from, as a ring. */
struct line_ring {
	struct line_origin {
		uint64_t line;
		struct uidrecv_address address;
		struct uidrecv_ports ports;
		bool is_refresh; /* of what was said */
		bool is_system;
	} * origins;
	size_t capacity; /* a power of two */
	uint64_t first;	 /* the oldest outstanding ticket */
	uint64_t next;	 /* the ticket to come */
};

enum receiver_state {
	RECEIVER_UP,	  /* gets each line */
	RECEIVER_BEHIND,  /* its queue was full: gets nothing till it is back */
	RECEIVER_WALKING, /* gets each line, and all that is said */
	RECEIVER_DONE,
};

struct receiver {
	struct said *said; /* NULL: nothing is kept, for nothing to be asked */
	uint64_t queue_max_bytes;
	unsigned int number;
	const char *connect;
	const char *label; /* what is printed begins with it */
	int verbose;

	struct uidrecv_agent *agent;
	struct line_ring ring;
	enum receiver_state state;
	bool is_in_snapshot; /* that of the input */
	bool is_finishing;
	bool must_refresh; /* when it has been told all */
	/* The lifetimes it knows are shorter than those that were said. */
	bool has_short_lives;
	uint64_t walked_ticket; /* the last one */
	uint64_t system_ticket, system_line;
	bool has_rejected, is_refused, has_lost, has_no_snapshots, has_no_ports;
	uint64_t connected_us, acked_us;
};

/* Dies if the command line is wrong. */
void receiver_open(struct receiver *receiver,
		   const struct uidrecv_agent_options *options);
void receiver_close(struct receiver *receiver);

/*
 * Queues a record of the input. 0, UIDRECV_E_FULL, or another error of
 * uidrecv_agent_queue().
 */
int receiver_say(struct receiver *receiver, const struct uidrecv_record *record,
		 uint64_t line);
void receiver_set_system(struct receiver *receiver,
			 const struct uidrecv_system *system, uint64_t line);
void receiver_begin_snapshot(struct receiver *receiver);
void receiver_end_snapshot(struct receiver *receiver);
void receiver_refresh_all(struct receiver *receiver);

/*
 * Tells all anew, as a snapshot if the receiver takes any: at once (WALKING),
 * or when it is back, and what waits is thrown away (BEHIND).
 */
void receiver_start_walk(struct receiver *receiver, enum receiver_state state);
/* Does it get on, with room beside what is queued? */
bool receiver_has_room(const struct receiver *receiver);

/* Is there more to tell, and room for it? */
bool receiver_can_walk(const struct receiver *receiver);
/* Goes on telling all. */
void receiver_walk(struct receiver *receiver);
/* Prints what happened. Sets RECEIVER_DONE at the end. */
void receiver_dispatch(struct receiver *receiver);
/* Nothing more will be said: finishes as soon as all is acknowledged. */
void receiver_finish(struct receiver *receiver);

#endif
