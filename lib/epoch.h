/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The epochs of an agent: snapshots, what they drop, and REFRESH ALL
 * (doc/protocol.md section 8). Pure: counts are told, not looked up.
 */
#ifndef UR_EPOCH_H
#define UR_EPOCH_H

#include "claim.h"

/* Epochs before the current one that keep the time of a REFRESH ALL. */
#define UR_EPOCH_FORMERS 4

struct ur_epoch_former {
	uint32_t epoch;
	uint64_t refreshed_us;
	uint64_t claims; /* never 0 */
};

/*
 * Zeroed to begin with. What is said of claims "in the store" includes those
 * that died of age, until they are collected.
 */
struct ur_epochs {
	uint32_t current; /* that statements carry now; never goes down */
	uint32_t floor;	  /* claims of epochs below it are dropped */
	uint32_t held;	  /* the epochs below it wait to be dropped; 0: none */
	uint64_t stated;  /* claims of the current epoch in the store */
	uint64_t held_claims;  /* claims from floor to held in the store */
	uint64_t refreshed_us; /* REFRESH ALL of the current epoch; 0: none */
	uint64_t maps;	       /* MAP records since BEGIN */
	bool is_open;	       /* BEGIN without END */
	bool is_of_session; /* the current epoch began in the present session */
	uint8_t wanted;	    /* a snapshot is: enum uidrecv_resync; 0: no */
	uint8_t formers_count;
	struct ur_epoch_former formers[UR_EPOCH_FORMERS]; /* by epoch */
};

/*
 * Makes the deadline of a claim of the store what it is worth: 0 if it was
 * dropped, later if a REFRESH ALL renewed it.
 */
void ur_epochs_settle(const struct ur_epochs *epochs, struct ur_claim *claim);

/* A claim of the current epoch came into the store. */
void ur_epochs_gain(struct ur_epochs *epochs);

/* A claim that is not below the floor went, or is stated anew. */
void ur_epochs_lose(struct ur_epochs *epochs, uint32_t epoch);

void ur_epochs_begin(struct ur_epochs *epochs);

/* May a snapshot end with this count? 0, or the enum uidrecv_resync. */
uint8_t ur_epochs_check_end(const struct ur_epochs *epochs, uint64_t count);

/* Ends it, and drops what is older. */
void ur_epochs_end(struct ur_epochs *epochs);

/* Ends it, and holds so many claims that would be dropped. */
void ur_epochs_hold(struct ur_epochs *epochs, uint64_t claims);

/* Drops what is held. */
void ur_epochs_accept(struct ur_epochs *epochs);

/* Ends it, and drops nothing: another one is wanted. */
void ur_epochs_refuse_end(struct ur_epochs *epochs, uint8_t code);

/* A snapshot is wanted; one that is open may do, unless it has a gap. */
void ur_epochs_want(struct ur_epochs *epochs, uint8_t code);

/* May a REFRESH ALL come now, whatever it counts? 0 or enum uidrecv_resync. */
uint8_t ur_epochs_check_refresh(const struct ur_epochs *epochs);

/* Takes a REFRESH ALL. Earlier than the last: nothing. */
void ur_epochs_refresh(struct ur_epochs *epochs, uint64_t as_of_us);

/* Another session of the agent: what the former left open is given up. */
void ur_epochs_new_session(struct ur_epochs *epochs);

/*
 * One number for all epochs that fall together: fewer than the epochs
 * themselves, for whoever keeps something of each.
 */
uint32_t ur_epochs_group(const struct ur_epochs *epochs, uint32_t epoch);

/* As bytes in the store, big-endian. */
#define UR_EPOCHS_SIZE (3 * 4 + 4 * 8 + 4 + UR_EPOCH_FORMERS * 20)
void ur_epochs_encode(const struct ur_epochs *epochs,
		      uint8_t bytes[UR_EPOCHS_SIZE]);

/* False if the bytes cannot have been written by encode. */
bool ur_epochs_decode(struct ur_epochs *epochs,
		      const uint8_t bytes[UR_EPOCHS_SIZE]);

#endif
