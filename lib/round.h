/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Group commit: what agents submit is collected, stored in one transaction,
 * published, and then completed. Session and store meet only here, as submit
 * and completed.
 */
#ifndef UR_ROUND_H
#define UR_ROUND_H

#include "admit.h"
#include "former.h"
#include "log.h"
#include "message.h"
#include "store.h"
#include "table.h"

struct ur_batch;
struct ur_dial;

/* An agent on the list, and what the receiver knows of it. */
struct ur_peer {
	const struct ur_right *right;
	uint32_t id;	      /* in the store; 0: never heard of */
	void *conn;	      /* the connection that speaks for it, or NULL */
	struct ur_dial *dial; /* the receiver's: it connects to it; or NULL */
	uint64_t heard_us;    /* last frame; 0: never */
	const struct ur_batch *newest; /* of the running round */
	uint64_t dropped;     /* refusals of serials up to this are forgotten */
	int64_t offset_us;    /* its clock to the store's, while connected */
	uint64_t measured_us; /* when that was last looked at */
	uint64_t asked_us;    /* when RESYNC was last sent; 0: never */
	/* When END, and when REFRESH ALL, last walked through the store. */
	uint64_t end_counted_us, refresh_counted_us;
	uint64_t records, records_rejected;
	char software[3 * UR_SOFTWARE_MAX + 1];
};

/*
 * A message with a serial, from its arrival to its completion: UPDATE with its
 * records, SNAPSHOT BEGIN or END, REFRESH ALL, or TS CONFIG.
 */
struct ur_batch {
	struct ur_batch *next;
	struct ur_peer *peer;
	void *conn;	 /* NULL: it is gone, or there was none */
	uint64_t serial; /* 0: of the host itself, without a session */
	uint64_t count;	 /* COUNT */
	uint64_t as_of_us;
	uint64_t acked;
	int64_t offset_us;
	size_t refusals_start, refusals_count;
	uint32_t records_count;
	uint32_t maps_count;   /* of them MAP */
	uint8_t type;	       /* enum ur_message_type */
	bool follows_gap;      /* serials before it will never come */
	enum ur_ending ending; /* of an END */
	bool is_taken;	       /* of a REFRESH ALL */
	size_t body_size;
	uint8_t body[];
};

enum ur_round_state {
	UR_ROUND_COLLECTING = 0,
	UR_ROUND_STORED, /* durable, but not all of it published */
};

struct ur_round {
	struct ur_store *store;
	struct ur_table **table;  /* the receiver's, which may replace it */
	struct ur_former *former; /* while there is no table; or NULL */
	struct ur_log *log;
	enum ur_round_state state;
	struct ur_batch *first, **last;
	size_t batches;
	uint64_t records;
	struct ur_refusal *refusals;
	size_t refusals_count, refusals_room;
	uint64_t accepted, rejected; /* of the running attempt */
	bool publish_failed;	     /* the table lacks answers: rebuild it */
	/* A batch is durable and published. */
	void (*completed)(void *owner, const struct ur_batch *batch,
			  const struct ur_refusal *refusals);
	void *owner;
	uint64_t commits, commit_errors, updates, total, total_rejected;
};

void ur_round_init(struct ur_round *round);
void ur_round_done(struct ur_round *round);

/*
 * Lets the store lend lives by the table, when store and table are set; they
 * must then live as long as each other.
 */
void ur_round_lend(struct ur_round *round);

/* Copies a message into the round. 0 or -ENOMEM. */
int ur_round_submit(struct ur_round *round, const struct ur_batch *batch,
		    const uint8_t *body, size_t body_size);

/*
 * Stores, publishes and completes what was submitted. 0; or an error: then
 * nothing was completed, all is kept, and it may be called again.
 */
int ur_round_run(struct ur_round *round, uint64_t now_us, uint64_t wall_us);

/* What the store says of an address, as the table takes it. */
struct ur_table_answer ur_round_answer(const struct ur_change *change);

/* Publishes what the store has changed by itself. 0 or an error. */
int ur_round_publish(struct ur_round *round, uint64_t now_us);

/* Takes the last submitted batch back; only while nothing of it is stored. */
void ur_round_take_back(struct ur_round *round);

/* The connection is gone: its batches complete without it. */
void ur_round_forget(struct ur_round *round, const void *conn);

#endif
