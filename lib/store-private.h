/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of the store share. */
#ifndef UR_STORE_PRIVATE_H
#define UR_STORE_PRIVATE_H

#include <lmdb.h>
#include <sys/types.h>

#include "store.h"
#include "watch.h"

/* The record of the store itself; written with every commit. */
struct ur_store_meta {
	uint8_t boot_id[16];
	uint64_t time_us; /* the store's, when this was written */
	uint64_t wall_us;
	uint64_t base_us;
	uint64_t lifetime_max_us; /* the longest but NEVER that was stored */
	uint64_t map_bytes;
	uint32_t agent_next;
};

/*
 * How many claims live: upper bounds, exact until next_death_us. They are those
 * of the store whose deadline is after counted_us.
 */
struct ur_store_counts {
	uint64_t living;
	uint64_t stated; /* of them those of the current epoch */
	uint64_t counted_us, next_death_us;
	uint32_t
	    lifetime_min_s; /* not above that of any of the current epoch */
};

struct ur_store_agent {
	struct ur_agent_row row;  /* as committed */
	struct ur_agent_row next; /* as the round has it, if dirty */
	bool is_dirty;
	struct ur_store_counts counts;
	/* The oldest time vouched for: of this walk, and of the last whole one.
	 */
	uint64_t oldest_next_us, oldest_us;
	size_t name_size;
	char name[UIDRECV_NAME_MAX + 1];
};

struct ur_store_change {
	struct uidrecv_address address;
	uint64_t deadline_us, kept_us;
	uint64_t contended_until_us;
	size_t user_at; /* in the text */
	uint32_t agent;
	uint32_t epoch;
	uint32_t lifetime_s;
	uint8_t kind;
	uint8_t source;
	uint8_t user_size;
	struct uidrecv_ports ports;
	uint32_t block_size;
};

/* A list that a round adds to; what is behind `committed` may go again. */
struct ur_store_changes {
	struct ur_store_change *list;
	size_t count, room, committed, taken;
	char *text;
	size_t text_size, text_room, text_committed;
};

/*
 * The marks of addresses that a round has changed. Two may share one: then what
 * could be lent is written.
 */
#define UR_STORE_TOUCHED 65536

enum ur_store_family { UR_STORE_IP4, UR_STORE_IP6, UR_STORE_FAMILIES };

struct ur_store {
	pid_t pid;
	char *path; /* DIR/store */
	int lock_fd;
	MDB_env *env; /* NULL: to be opened again */
	MDB_dbi meta_dbi, agents_dbi, systems_dbi, rejects_dbi;
	MDB_dbi cells_dbi[UR_STORE_FAMILIES];
	size_t page_bytes;
	size_t txnid; /* of the last commit */
	struct ur_store_meta meta;
	uint64_t now_us;	 /* the latest seen */
	bool is_clock_unwritten; /* a new boot's base is not durable yet */

	struct ur_store_agent **agents; /* by id - 1 */
	struct ur_store_agent **agents_by_name;
	size_t agents_count, agents_room;
	struct ur_systems systems; /* as committed */
	struct ur_ranks ranks;
	struct ur_cell cell;	/* of the statement at hand */
	struct ur_cell scanned; /* of a walk */

	struct ur_store_lives lives;
	uint32_t touched[UR_STORE_TOUCHED]; /* the last round */

	/* The round. */
	MDB_txn *txn;
	uint32_t round;	 /* its number */
	int error;	 /* sticky */
	bool is_written; /* anything to commit? */
	uint64_t puts, put_bytes;
	uint64_t pages_used; /* when it began */
	struct ur_store_meta meta_next;
	uint32_t *dirty; /* ids; room for all agents */
	size_t dirty_count;
	struct ur_systems systems_next; /* as the round has them, if changed */
	bool has_systems_next;

	struct ur_store_changes changes;
	/* A commit that failed was found done: what it changed is not listed.
	 */
	bool has_lost_changes;
	struct ur_watch watch;
	uint64_t commits;
	/* Where collecting goes on. */
	struct uidrecv_address collected;
	bool has_collected;
	int sweeps;  /* ways to its end until all that was dropped is gone */
	size_t debt; /* addresses to be looked at for those that are new */
};

/* store-env.c: LMDB and the meta record. */
int ur_store_error(int lmdb_error);
int ur_store_env_open(struct ur_store *store);
/* Makes a whole, empty store in a file. */
int ur_store_env_create(struct ur_store *store, const char *path,
			const struct ur_store_meta *meta);
void ur_store_env_close(struct ur_store *store);
/* After a panic: opens LMDB again, reads agents and systems again. */
int ur_store_env_reopen(struct ur_store *store);
int ur_store_meta_put(struct ur_store *store, MDB_txn *txn,
		      const struct ur_store_meta *meta);
/* The same as mdb_txn_commit(); no SIGXFSZ reaches the host. */
int ur_store_txn_commit(MDB_txn *txn);
/* Pages in use that a round cannot have; 0 or an error. */
int ur_store_pages_used(struct ur_store *store, uint64_t *ret_pages);
/*
 * Notes what was committed. A file that is shorter than LMDB says would look
 * cut off: makes it long.
 */
void ur_store_env_committed(struct ur_store *store);

/*
 * store-dir.c: makes and checks the directories, locks, and makes or checks
 * the file; meta is that of a new store.
 */
int ur_store_dir_prepare(struct ur_store *store, const char *directory,
			 const struct ur_store_meta *meta);

/* store-agents.c */
int ur_store_agents_load(struct ur_store *store, MDB_txn *txn);
void ur_store_agents_free(struct ur_store *store);
struct ur_store_agent *ur_store_agent_at(const struct ur_store *store,
					 uint32_t id);
/* Gives the agent's row of the round. */
struct ur_agent_row *ur_store_agent_touch(struct ur_store *store,
					  struct ur_store_agent *agent);
int ur_store_agents_write(struct ur_store *store);
void ur_store_agents_commit(struct ur_store *store);
void ur_store_agents_abort(struct ur_store *store);

/* The row that holds now: of the round, if one has changed it. */
const struct ur_agent_row *ur_store_agent_now(
    const struct ur_store_agent *agent);

/* store-epochs.c: counts, and what snapshots do. */

/* Counts a claim of the current epoch that comes, or any that goes. */
void ur_store_agent_gain(struct ur_store *store, struct ur_store_agent *agent,
			 const struct ur_claim *claim);
void ur_store_agent_lose(struct ur_store *store, struct ur_store_agent *agent,
			 const struct ur_claim *claim);
/* Nothing is known but how many there are at most. */
void ur_store_agent_forget_counts(struct ur_store_agent *agent);

/* store-lives.c: lives that readers have and the store has not yet. */

/* The round has changed what is said of an address. */
void ur_store_touch(struct ur_store *store, struct uidrecv_address address);
/* Lends the claim that a REFRESH is about what it asks for, if it may. */
bool ur_store_renew(struct ur_store *store, const struct ur_store_agent *agent,
		    const struct ur_statement *statement, uint64_t now_us);
/* Makes the deadlines of a cell what they are worth. */
void ur_store_settle_cell(const struct ur_store *store,
			  struct uidrecv_address address, struct ur_cell *cell);
/* Has a claim a life that its row alone does not tell? */
bool ur_store_cell_is_lent(const struct ur_cell *cell);

/* store-systems.c */
int ur_store_systems_load(struct ur_store *store, MDB_txn *txn);
void ur_store_systems_commit(struct ur_store *store);
void ur_store_systems_abort(struct ur_store *store);
/* The systems that hold now: of the round, if it has changed them. */
const struct ur_systems *ur_store_systems_now(const struct ur_store *store);

/* store-cells.c: cells. */
struct ur_store_key {
	MDB_dbi dbi;
	MDB_val val;
	uint32_t ip4;
	uint8_t ip6[16];
};
void ur_store_key_set(const struct ur_store *store, struct ur_store_key *key,
		      struct uidrecv_address address);
int ur_store_cell_get(const struct ur_store *store, MDB_txn *txn,
		      struct uidrecv_address address, struct ur_cell *cell);
int ur_store_cell_put(struct ur_store *store, struct uidrecv_address address,
		      struct ur_cell *cell);
/* May the round have a page for something more? */
bool ur_store_has_room(const struct ur_store *store);
/* Collects in one cell and counts it. Returns how many went, or an error. */
ssize_t ur_store_cell_collect(struct ur_store *store, struct ur_cell *cell,
			      uint64_t now_us);

/* store-changes.c: answers, and those that changed. */
int ur_store_changes_add(struct ur_store *store, struct uidrecv_address address,
			 const struct ur_cell *cell, uint64_t now_us);
int ur_store_changes_add_epoch(struct ur_store *store, enum ur_change_kind kind,
			       uint32_t agent, uint32_t epoch,
			       uint64_t time_us);
void ur_store_changes_commit(struct ur_store_changes *changes);
void ur_store_changes_abort(struct ur_store_changes *changes);
/* The system of the address, or what its claims answer by these ranks. */
void ur_store_answer_of(const struct ur_store *store,
			const struct ur_ranks *ranks,
			struct uidrecv_address address,
			const struct ur_cell *cell, uint64_t now_us,
			struct ur_change *ret_answer);

/* store.c: 0, UIDRECV_E_FORKED, or -EBUSY if a round is open. */
int ur_store_check_idle(const struct ur_store *store);
/* 0, UIDRECV_E_FORKED, -EINVAL if no round is open, or its error. */
int ur_store_check_round(const struct ur_store *store);
/* A transaction that sees the last commit; ends with mdb_txn_abort(). */
int ur_store_read_begin(const struct ur_store *store, MDB_txn **ret_txn);
/* The store's time does not go back. */
uint64_t ur_store_clamp(struct ur_store *store, uint64_t now_us);

/* store-scan.c: all cells in their order, IPv4 first. */
struct ur_store_walk {
	const struct ur_store *store;
	MDB_txn *txn;
	MDB_cursor *cursor;
	int family;
	struct uidrecv_address last;
	bool has_last;
};
void ur_store_walk_start(struct ur_store_walk *walk,
			 const struct ur_store *store, MDB_txn *txn,
			 const struct uidrecv_address *after);
/* Reads the next cell. Returns 1, 0 at the end, or an error. */
int ur_store_walk_next(struct ur_store_walk *walk, struct ur_cell *cell,
		       struct uidrecv_address *ret_address);
/* To be called before the transaction ends, and after writing. */
void ur_store_walk_pause(struct ur_store_walk *walk);
/*
 * Makes the counts of an agent's living claims exact, in a round; if asked to,
 * collects those of its current epoch that are dead, while there is room.
 */
int ur_store_count_living(struct ur_store *store, struct ur_store_agent *agent,
			  bool collect, uint64_t now_us);

#endif
