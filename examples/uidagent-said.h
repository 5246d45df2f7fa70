/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What uidagent has said and what of it should still live, by address or block
 * of ports of its one system, so that
 * it can say it again. It follows doc/protocol.md section 8, but for lifetimes
 * that only the receiver knows: without one a mapping stays until it is ended,
 * replaced or refused.
 */
#ifndef UIDAGENT_SAID_H
#define UIDAGENT_SAID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uidrecv/record.h>

#define RECEIVERS_MAX 16

struct said_mapping {
	struct said_mapping *chain;	  /* with the same hash */
	struct said_mapping *next, *prev; /* in the order of being said */
	struct uidrecv_address address;
	struct uidrecv_ports ports; /* count 0: the whole address */
	uint64_t line;		    /* of its MAP */
	uint64_t event_us;
	uint64_t deadline_us; /* UINT64_MAX: not known, or never */
	uint64_t token;
	uint64_t snapshot;   /* in which it was said last */
	uint32_t lifetime_s; /* 0: the receiver's default */
	uint16_t refused;    /* a bit for each receiver */
	uint8_t source;
	bool has_token;
	uint8_t user_size;
	char user[];
};

/* All zero knows nothing. Without memory the program ends. */
struct said {
	struct said_mapping **buckets; /* a power of two of them */
	size_t room, count;
	struct said_mapping *first, *last;
	struct said_mapping *cursors[RECEIVERS_MAX];
	uint64_t seed;
	uint64_t snapshot;
	struct uidrecv_system system; /* block_size 0: none */
	bool has_spoken;	      /* something was said */
	uint16_t receivers;	      /* a bit for each that there is */
};

/* Notes a record; a MAP and a LOGOUT must have an event time. */
void said_note(struct said *said, const struct uidrecv_record *record,
	       uint64_t line, uint64_t now_us);
void said_begin_snapshot(struct said *said);
/* Forgets what the snapshot did not say. */
void said_end_snapshot(struct said *said);
/* All that lives gets another lifetime. */
void said_refresh_all(struct said *said, uint64_t now_us);

/* The system of all blocks: ends them if it cuts them otherwise. */
void said_set_system(struct said *said, const struct uidrecv_system *system);

/* A receiver has refused the record of this line. */
void said_refuse(struct said *said, const struct uidrecv_address *address,
		 struct uidrecv_ports ports, uint64_t line, bool is_refresh,
		 unsigned int receiver);
/* What lives and the receiver has not refused. */
uint64_t said_count(struct said *said, uint64_t now_us, unsigned int receiver);
/* Walks through that; what is said meanwhile may come too. NULL: the end. */
void said_rewind(struct said *said, unsigned int receiver);
const struct said_mapping *said_next(struct said *said, uint64_t now_us,
				     unsigned int receiver);

/* NULL: not said, or its life is over, or the record is of another user. */
const struct said_mapping *said_find(struct said *said,
				     const struct uidrecv_record *record,
				     uint64_t now_us);
void said_free(struct said *said);

#endif
