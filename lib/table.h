/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The writer of the shared-memory table. One process, one thread. Knows
 * answers, not claims; nothing here can fail a lookup of a reader, whatever
 * instruction the writer is killed at.
 */
#ifndef UR_TABLE_H
#define UR_TABLE_H

#include <stdint.h>
#include <sys/types.h>

#include "lease.h"

/* The epoch of sentinels: no floor is above it, and no refresh is of it. */
#define UR_TABLE_EPOCH_SYSTEMS UINT32_MAX

struct ur_table;

struct ur_table_options {
	const char *path;
	mode_t mode;	       /* 0: 0640 */
	gid_t group;	       /* (gid_t)-1: leave */
	uint64_t base_us;      /* store time = CLOCK_BOOTTIME + base */
	uint64_t change_min;   /* the first change number; store time in us */
	uint64_t entries_hint; /* how many addresses to have room for */
};

/*
 * What is published for one address, or for one block (ur_block_key()).
 * user_size 0: nobody, or, with a system, that the address is multi-user; then
 * agent counts, which is the system's, and nothing else: it is so until it is
 * put otherwise, whatever is dropped or refreshed.
 */
struct ur_table_answer {
	struct uidrecv_address address;
	uint64_t deadline_us; /* store time; UINT64_MAX: never */
	/*
	 * Until when the store has it live by itself, if that is known: what
	 * ur_table_renew() lends is counted from there. 0: it lends nothing.
	 */
	uint64_t kept_us;
	uint32_t agent;	     /* the caller's id, from ur_table_add_agent() */
	uint32_t epoch;	     /* of the agent's claim */
	uint32_t lifetime_s; /* what ur_table_refresh() renews it by */
	uint8_t source;
	uint8_t user_size;
	const char *user;
	struct ur_table_system system;
};

/*
 * Makes a new table in a temporary file beside path, not yet under its name,
 * so that it can be filled before readers see it. Removes the temporary files
 * of killed writers. 0, -EINVAL (mode lets others write, or an option is out
 * of range) or another errno.
 */
int ur_table_create(struct ur_table **ret_table,
		    const struct ur_table_options *options);

/*
 * Gives the table its name, by rename(), and marks the file that had it as
 * superseded (if it is a table that we may write). 0 or -errno; -EALREADY if
 * it has its name.
 */
int ur_table_publish(struct ur_table *table);

/* Unmaps. The file stays, so that lookups go on. Removes it if unpublished. */
void ur_table_close(struct ur_table *table);

/*
 * Makes an agent known under the caller's id before answers name it. The name
 * of an id never changes. Ids are small numbers counted from 1. 0; -EEXIST if
 * the id has another name; -EINVAL; -ENOMEM.
 */
int ur_table_add_agent(struct ur_table *table, uint32_t id, const char *name,
		       size_t name_size);

/*
 * Publishes an answer. The change number moves if user, agent or source
 * differ from what is published and alive; if only the deadline differs it is
 * one atomic store. Taking an answer back (user_size 0, or a deadline that has
 * passed) is one atomic store, too, moves the change number, and never fails.
 * An answer that lives and is put for another epoch goes over to it at once,
 * and can no longer be dropped with the former.
 *
 * Grows (new file, same path) when the table is full. Failing that, the table
 * stays as it was, and the former answer in it: a caller that must not leave
 * that one takes it back. -EINVAL: the agent is unknown, or the system is none;
 * UIDRECV_E_TABLE: the table is damaged, make a new one; -ENOSPC (of epochs or
 * change numbers, too: a new one has room for them, and this one does not try
 * to grow again) or another errno.
 *
 * Who asks for a port reads two slots: blocks of a system that ends, or is cut
 * otherwise, are taken back before its addresses are put, and blocks of a new
 * one are put after them.
 */
int ur_table_put(struct ur_table *table, const struct ur_table_answer *answer,
		 uint64_t store_now_us);

/* What an agent says of an answer: that it is so still. */
struct ur_table_renewal {
	struct uidrecv_address address;
	uint64_t as_of_us;
	uint32_t agent;
	uint32_t epoch;
	uint32_t lifetime_s; /* 0: what it has */
	uint8_t user_size;   /* 0: whoever it is */
	const char *user;
};

/*
 * Lends an answer life that the store does not have yet: as_of_us + its
 * lifetime, if it lives, is of that agent, epoch and user, has that lifetime,
 * and lives by this at most an eighth of the lifetime longer than the store
 * has it. It is never shortened. False: nothing was done, ask the store. One
 * atomic store; the change number stays.
 */
bool ur_table_renew(struct ur_table *table,
		    const struct ur_table_renewal *renewal,
		    uint64_t store_now_us);

/*
 * Has the memory come that putting, renewing, or asking below, is going to
 * need. Whoever has many asks for 16 to 64 of them at once.
 */
void ur_table_prefetch(const struct ur_table *table,
		       struct uidrecv_address address);

/* Until when a claim of the store lives, if it was lent life here; else 0. */
uint64_t ur_table_get_lent_us(const struct ur_table *table,
			      const struct ur_lease *lease);

/*
 * All answers of that agent and epoch live until refreshed_us + their
 * lifetime, if that is later. What was taken back stays so, but not what has
 * merely run out: take that back first. Nothing, if the table has no such
 * answer. One atomic store; never fails; the change number stays.
 */
void ur_table_refresh(struct ur_table *table, uint32_t agent, uint32_t epoch,
		      uint64_t refreshed_us);

/*
 * Takes all answers of that agent and of epochs below floor back, at once:
 * one atomic store for each of these epochs. Moves the change number if there
 * were any. Never fails.
 */
void ur_table_drop(struct ur_table *table, uint32_t agent, uint32_t floor);

/* Shows readers that the receiver lives; call it every second. */
void ur_table_beat(struct ur_table *table);

uint64_t ur_table_get_change(const struct ur_table *table);

/* Addresses with a slot, and how many times the table was replaced. */
uint64_t ur_table_get_entries(const struct ur_table *table);

/*
 * The bytes as the writer has them mapped, until it grows. For readers in the
 * writer's process: two mappings of one file would hide a race from TSan.
 */
const void *ur_table_get_bytes(const struct ur_table *table, size_t *ret_size);

#endif
