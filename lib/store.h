/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The durable store: every agent's claims, in LMDB. One process, one thread.
 * The only files that include <lmdb.h> are store.c and what it is split into.
 *
 * Work happens in rounds: begin, apply and put_agent any number of times,
 * commit. Nothing of a round is durable before commit returned 0; after any
 * error in between, commit fails with it and nothing of the round has
 * happened (memory included), but for lives that were lent: struct
 * ur_store_lives. What a round changed is listed by ur_store_next_change()
 * after the commit.
 *
 * In a child after fork() every call returns UIDRECV_E_FORKED, but for
 * ur_store_close(). What is said for every record asks only where it ends: of a
 * round that was open the commit, of changes that were listed the last. While a
 * round is open all other work (adding agents, settling, scanning, collecting,
 * restricting, tick) is refused with -EBUSY.
 */
#ifndef UR_STORE_H
#define UR_STORE_H

#include <stdint.h>

#include "epoch.h"
#include "refusal.h"
#include "system.h"

struct ur_store;

#define UR_SUPERSEDED_MAX 8

struct ur_store_options {
	const char *directory; /* made with mode 0711 if missing */
	uint64_t map_bytes;    /* of a new store; 0: 8 GiB (sparse) */
	uint64_t boot_us;      /* CLOCK_BOOTTIME */
	uint64_t wall_us;
	uint8_t boot_id[16];
};

/* What is kept of an agent. */
struct ur_agent_row {
	uint32_t id;	     /* from 1; never reused */
	uint64_t session_id; /* 0: none yet */
	uint64_t durable;    /* last serial of that session */
	int64_t offset_us;   /* its clock to the store's time */
	uint64_t offset_error_us;
	uint8_t offset_boot_id[16]; /* the boot it was measured in */
	uint64_t superseded[UR_SUPERSEDED_MAX]; /* newest first; 0: none */
	/*
	 * In the store and not dropped by a snapshot; those that died of age
	 * are counted until they are collected.
	 */
	uint64_t claims;
	/*
	 * Blocks that one user still had when another got them, since the
	 * store was opened.
	 */
	uint64_t blocks_taken;
	struct ur_epochs epochs;
};

/*
 * Opens DIR/store, or makes it.
 *
 * Returns 0, -errno, UIDRECV_E_STORE (something else lies there),
 * _STORE_DAMAGED, _STORE_SCHEMA, _STORE_BUSY, _STORE_OWNER.
 */
int ur_store_open(struct ur_store **ret_store,
		  const struct ur_store_options *options);
void ur_store_close(struct ur_store *store);

/* Store time = CLOCK_BOOTTIME + base; fixed while the store is open. */
uint64_t ur_store_get_base_us(const struct ur_store *store);

/* The ranks are the caller's and must live until the next call. */
void ur_store_set_ranks(struct ur_store *store, struct ur_ranks ranks);

/*
 * Lives that readers have before the store has them. What the store does not
 * have yet it asks for wherever it reads a claim, and has with the next write
 * of its address.
 */
struct ur_store_lives {
	/*
	 * Lends a claim the life that a REFRESH of its agent, whose current
	 * epoch that is, gives it; false: it is to be written. What was lent
	 * stays so if the round comes to nothing: the agent has said it.
	 */
	bool (*renew)(void *user, uint32_t agent, uint32_t epoch,
		      const struct ur_statement *statement, uint64_t now_us);
	/* Until when a claim lives that is written until kept_us; or 0. */
	uint64_t (*get)(void *user, struct uidrecv_address address,
			const struct ur_claim *claim);
	void *user;
};

/* Without them a REFRESH is written like everything else. */
void ur_store_set_lives(struct ur_store *store, struct ur_store_lives lives);

/*
 * Finds an agent's row by name, or by id; NULL if there is none. It shows the
 * last commit, also while a round is open: what it says may be told to peers.
 * Valid until the store is closed; changed only by the store.
 */
const struct ur_agent_row *ur_store_get_agent(const struct ur_store *store,
					      const char *name,
					      size_t name_size);
const struct ur_agent_row *ur_store_get_agent_by_id(
    const struct ur_store *store, uint32_t id);
const char *ur_store_get_agent_name(const struct ur_store *store, uint32_t id);
uint32_t ur_store_get_agent_id_max(const struct ur_store *store);

/*
 * Makes a row for a new name, in a round of its own; finds that of a known
 * name.
 */
int ur_store_add_agent(struct ur_store *store, const char *name,
		       size_t name_size, uint64_t now_us,
		       const struct ur_agent_row **ret_row);

int ur_store_begin(struct ur_store *store);

/*
 * Replaces an agent's row; what the store counts there and the epochs stay what
 * they are. Another session than before gives up the snapshot that the former
 * left open.
 */
int ur_store_put_agent(struct ur_store *store, const struct ur_agent_row *row);

/*
 * Applies a statement. Returns 0, a positive enum uidrecv_reject (QUOTA by
 * mappings_max living claims, STORE_FULL, NOT_FOUND), or a negative error of
 * the round.
 */
int ur_store_apply(struct ur_store *store, uint32_t agent,
		   uint64_t mappings_max, const struct ur_statement *statement,
		   uint64_t now_us);

/*
 * Multi-user systems, in a round. Gives an agent one, in the place of its
 * former; the agent's blocks end if the new one cuts them otherwise. The same
 * again changes nothing. Then no claim answers for its addresses any more: each
 * has the system in its answer. What changes is listed: first blocks that end,
 * then addresses.
 *
 * 0, a positive enum uidrecv_reject (PORTS_INVALID, ADDRESS_TAKEN), or a
 * negative error of the round.
 */
int ur_store_put_system(struct ur_store *store, uint32_t agent,
			const struct uidrecv_system *system, uint64_t now_us);

/*
 * The system of an agent, as the round has it; NULL: none. Valid until the
 * next call that changes systems.
 */
const struct uidrecv_system *ur_store_get_system(const struct ur_store *store,
						 uint32_t agent);

/*
 * The key under which a statement about a block is applied. 0, or
 * UIDRECV_REJECT_NOT_MULTI_USER or _PORTS_INVALID.
 */
int ur_store_find_block(const struct ur_store *store, uint32_t agent,
			struct uidrecv_address address,
			struct uidrecv_ports ports,
			struct uidrecv_address *ret_key);

/* What became of the end of a snapshot. */
enum ur_ending {
	UR_ENDING_DROPPED = 1, /* what it does not say */
	UR_ENDING_HELD,	       /* that waits for ur_store_accept_drops() */
	UR_ENDING_REFUSED,     /* nothing; another snapshot is wanted */
};

/*
 * Snapshots (doc/protocol.md section 8), in a round. `may_count` allows a walk
 * through the whole store where nothing else tells how many claims live;
 * without it such an END or REFRESH ALL is refused, and a snapshot is wanted.
 *
 * END: fewer living claims than keep_percent of all of them hold the drops; 0
 * never does. The drops are listed as one change, and ur_store_collect() does
 * the rest. 0, -EINVAL, or an error of the round.
 */
int ur_store_begin_snapshot(struct ur_store *store, uint32_t agent);
int ur_store_end_snapshot(struct ur_store *store, uint32_t agent,
			  uint64_t count, unsigned int keep_percent,
			  bool may_count, uint64_t now_us,
			  enum ur_ending *ret_ending);

/* So many MAP records of a snapshot, refused ones included, have come. */
int ur_store_count_maps(struct ur_store *store, uint32_t agent, uint64_t count);

/* REFRESH ALL, as of a time that is not ahead of now. Listed as one change. */
int ur_store_refresh_all(struct ur_store *store, uint32_t agent,
			 uint64_t as_of_us, uint64_t count, bool may_count,
			 uint64_t now_us, bool *ret_is_taken);

/* Remembers that a snapshot is wanted, and why (enum uidrecv_resync). */
int ur_store_want_snapshot(struct ur_store *store, uint32_t agent,
			   uint8_t code);

/*
 * Drops what the end of a snapshot holds, in a round of its own. 1, 0 if
 * nothing is held, or an error.
 */
int ur_store_accept_drops(struct ur_store *store, uint32_t agent,
			  uint64_t now_us, uint64_t wall_us);

/*
 * The time for which the agent vouched longest ago among its claims that live,
 * as ur_store_collect() saw it on its last way through the store;
 * UR_TIME_NEVER: it has none that ends.
 */
uint64_t ur_store_get_oldest_us(const struct ur_store *store, uint32_t agent);

/* When the living claims of an agent were last counted by a walk; 0: never. */
uint64_t ur_store_get_counted_us(const struct ur_store *store, uint32_t agent);

/*
 * Keeps the refusals of a serial until the agent has reported its ACK; each
 * index once. -EINVAL: no refusal, or an index or a number beyond
 * UR_REFUSALS_MAX.
 */
int ur_store_put_rejects(struct ur_store *store, uint32_t agent,
			 uint64_t serial, const struct ur_refusal *refusals,
			 size_t count);

/* Forgets the refusals of serials up to this one. */
int ur_store_drop_rejects(struct ur_store *store, uint32_t agent,
			  uint64_t serial);

/*
 * Ends the round. 0, or an error: -ENOSPC, -EIO, UIDRECV_E_STORE_FULL, ...;
 * the store reopens LMDB by itself where that is needed (MDB_PANIC), so the
 * caller may try the same round again.
 */
int ur_store_commit(struct ur_store *store, uint64_t now_us, uint64_t wall_us);
void ur_store_abort(struct ur_store *store);

/* Gives the refusals kept of a serial, in order of index. 0 or an error. */
int ur_store_get_rejects(const struct ur_store *store, uint32_t agent,
			 uint64_t serial,
			 struct ur_refusal ret_refusals[UR_REFUSALS_MAX],
			 size_t *ret_count);

enum ur_change_kind {
	UR_CHANGE_ANSWER = 0, /* of one address */
	UR_CHANGE_REFRESHED,  /* all answers of an agent's epoch, by its time */
	UR_CHANGE_DROPPED,    /* all answers of an agent's epochs below one */
};

/*
 * What an address answers now, or a block (ur_block_key()). user_size 0:
 * nobody, or block_size says that it is multi-user.
 */
struct ur_change {
	struct uidrecv_address address;
	uint64_t deadline_us; /* REFRESHED: the time that lives run from */
	uint64_t kept_us;     /* as it is written, which may be earlier */
	uint32_t agent;
	uint32_t epoch; /* DROPPED: the first that stays */
	uint32_t lifetime_s;
	uint8_t kind; /* enum ur_change_kind */
	uint8_t source;
	uint8_t user_size;
	const char *user;
	/*
	 * The system that the address belongs to, and its agent is agent;
	 * block_size 0: it is not multi-user.
	 */
	struct uidrecv_ports ports;
	uint32_t block_size;
};

/*
 * Takes the next change that a commit, ur_store_settle(), ur_store_collect(),
 * ur_store_restrict() or ur_store_restrict_systems() made. They come in the
 * order in which they happened. Returns 1, 0, or UIDRECV_E_FORKED. The user is
 * valid until the next call into the store.
 */
int ur_store_next_change(struct ur_store *store, struct ur_change *ret_change);

/*
 * Was a commit that failed found done after all? What it changed is not listed:
 * only ur_store_scan() tells of it, and then no longer.
 */
bool ur_store_has_lost_changes(const struct ur_store *store);

/*
 * Looks at up to max contended addresses whose answer may have ended, and lists
 * who answers now. Call it every second. 1 if more wait, 0, or an error.
 */
int ur_store_settle(struct ur_store *store, size_t max, uint64_t now_us);

/*
 * Calls back with the answer of every address and block that has one, and with
 * every address of a system. Epochs that fall together have one number there.
 */
int ur_store_scan(struct ur_store *store, uint64_t now_us,
		  int (*each)(void *user, const struct ur_change *answer),
		  void *user);

/*
 * Collects the dead of up to max_rows addresses, from where the last call
 * ended, in a round of its own, and lists who answers where a claim went.
 * Returns how many claims and markers went.
 */
int ur_store_collect(struct ur_store *store, size_t max_rows, uint64_t now_us,
		     uint64_t wall_us);

/*
 * How many addresses ur_store_collect() should look at now, because a snapshot
 * dropped something or so that what is dead does not pile up; 0: there is no
 * hurry.
 */
size_t ur_store_get_due(const struct ur_store *store);

/*
 * Ends the systems that keep() refuses, with their blocks, after a change of
 * the list of agents, and wants a snapshot of their agents (GAP); in rounds of
 * its own. The changes are listed.
 */
int ur_store_restrict_systems(struct ur_store *store, uint64_t now_us,
			      uint64_t wall_us,
			      bool (*keep)(void *user, uint32_t agent,
					   const struct uidrecv_system *system),
			      void *user);

/* What another list of agents says. */
struct ur_store_list {
	struct ur_ranks ranks;
	/* The address may be the key of a block. */
	bool (*keep)(void *user, uint32_t agent, struct uidrecv_address address,
		     const struct ur_claim *claim);
	int (*each)(void *user, const struct ur_change *answer);
	void *user;
};

/*
 * Drops the claims that keep() refuses, in rounds of its own, and calls each()
 * as ur_store_scan() would do afterwards with the ranks of the list. Those in
 * force stay so: the drops are listed by them, also if all ends in an error,
 * and it is the caller who sets the others then.
 */
int ur_store_restrict(struct ur_store *store, uint64_t now_us, uint64_t wall_us,
		      const struct ur_store_list *list);

/* Writes the store's time if 10 seconds passed since it was last written. */
int ur_store_tick(struct ur_store *store, uint64_t now_us, uint64_t wall_us);

struct ur_store_stats {
	uint64_t addresses; /* with a cell, and blocks */
	uint64_t claims;    /* dead ones included until collected */
	uint64_t commits;
	uint64_t used_bytes,
	    map_bytes;	    /* used: pages that can be reused, too */
	uint64_t contended; /* addresses that are watched */
};
void ur_store_get_stats(const struct ur_store *store,
			struct ur_store_stats *ret_stats);

#endif
