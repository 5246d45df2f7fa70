/* SPDX-License-Identifier: BSD-2-Clause */
#include "store-private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "answer.h"
#include "cell.h"

#define MAP_BYTES_DEFAULT (UINT64_C(8) << 30)
#define MAP_BYTES_MIN (UINT64_C(1) << 20)
#define TICK_US UINT64_C(10000000)

int ur_store_check_idle(const struct ur_store *store)
{
	if (store->pid != getpid())
		return UIDRECV_E_FORKED;
	return store->txn ? -EBUSY : 0;
}

int ur_store_check_round(const struct ur_store *store)
{
	if (store->pid != getpid())
		return UIDRECV_E_FORKED;
	return store->txn ? store->error : -EINVAL;
}

int ur_store_read_begin(const struct ur_store *store, MDB_txn **ret_txn)
{
	if (store->pid != getpid())
		return UIDRECV_E_FORKED;
	if (!store->env)
		return -EIO;
	return ur_store_error(
	    mdb_txn_begin(store->env, NULL, MDB_RDONLY, ret_txn));
}

uint64_t ur_store_clamp(struct ur_store *store, uint64_t now_us)
{
	if (store->now_us < now_us)
		store->now_us = now_us;
	return store->now_us;
}

/* Time does not go back, and over a boot it goes on only as is credible. */
static uint64_t new_base(const struct ur_store_meta *meta,
			 const struct ur_store_options *options)
{
	uint64_t time_us = meta->time_us;

	if (memcmp(meta->boot_id, options->boot_id, 16) != 0 &&
	    options->wall_us >= meta->wall_us &&
	    options->wall_us - meta->wall_us <= meta->lifetime_max_us)
		time_us += options->wall_us - meta->wall_us;
	return time_us > options->boot_us ? time_us - options->boot_us : 0;
}

/*
 * The new base must last: a second start in this boot would measure another
 * one. But a full disk is no reason not to answer, and tick writes it again.
 */
static int start_clock(struct ur_store *store,
		       const struct ur_store_options *options)
{
	struct ur_store_meta *meta = &store->meta;
	uint64_t now_us = options->boot_us + meta->base_us;
	int rc;

	if (memcmp(meta->boot_id, options->boot_id, 16) == 0 &&
	    now_us >= meta->time_us) {
		store->now_us = now_us;
		return 0;
	}
	meta->base_us = new_base(meta, options);
	memcpy(meta->boot_id, options->boot_id, 16);
	now_us = ur_store_clamp(store, options->boot_us + meta->base_us);
	rc = ur_store_begin(store);
	if (rc < 0)
		return rc;
	store->is_written = true;
	rc = ur_store_commit(store, now_us, options->wall_us);
	if (rc < 0)
		store->is_clock_unwritten = true;
	return rc == UIDRECV_E_STORE_DAMAGED ? rc : 0;
}

static int open_store(struct ur_store *store,
		      const struct ur_store_options *options)
{
	struct ur_store_meta meta = {0};
	uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	int rc;

	meta.map_bytes =
	    options->map_bytes ? options->map_bytes : MAP_BYTES_DEFAULT;
	if (meta.map_bytes < MAP_BYTES_MIN)
		meta.map_bytes = MAP_BYTES_MIN;
	meta.map_bytes -= meta.map_bytes % page_bytes;
	memcpy(meta.boot_id, options->boot_id, 16);
	meta.wall_us = options->wall_us;
	meta.base_us = options->wall_us > options->boot_us
			   ? options->wall_us - options->boot_us
			   : 0;
	meta.time_us = options->boot_us + meta.base_us;
	meta.agent_next = 1;
	if (asprintf(&store->path, "%s/store", options->directory) < 0) {
		store->path = NULL;
		return -ENOMEM;
	}
	if (getrandom(&store->watch.seed, sizeof(store->watch.seed), 0) < 0)
		return -errno;
	rc = ur_store_dir_prepare(store, options->directory, &meta);
	if (rc == 0)
		rc = ur_store_env_open(store);
	if (rc == 0)
		rc = start_clock(store, options);
	return rc;
}

int ur_store_open(struct ur_store **ret_store,
		  const struct ur_store_options *options)
{
	struct ur_store *store = calloc(1, sizeof(*store));
	int rc;

	if (!store)
		return -ENOMEM;
	store->pid = getpid();
	store->lock_fd = -1;
	rc = open_store(store, options);
	if (rc < 0) {
		ur_store_close(store);
		return rc;
	}
	*ret_store = store;
	return 0;
}

void ur_store_close(struct ur_store *store)
{
	if (!store)
		return;
	/* In a child LMDB's locks and transactions are the parent's. */
	if (store->pid == getpid()) {
		ur_store_abort(store);
		ur_store_env_close(store);
	}
	if (store->lock_fd >= 0)
		close(store->lock_fd);
	ur_store_agents_free(store);
	ur_systems_done(&store->systems);
	ur_systems_done(&store->systems_next);
	ur_cell_done(&store->cell);
	ur_cell_done(&store->scanned);
	ur_watch_done(&store->watch);
	free(store->changes.list);
	free(store->changes.text);
	free(store->path);
	free(store);
}

uint64_t ur_store_get_base_us(const struct ur_store *store)
{
	return store->meta.base_us;
}

void ur_store_set_ranks(struct ur_store *store, struct ur_ranks ranks)
{
	store->ranks = ranks;
}

int ur_store_begin(struct ur_store *store)
{
	int rc = ur_store_check_idle(store);

	if (rc == 0 && !store->env)
		rc = ur_store_env_reopen(store);
	if (rc == 0)
		rc = ur_store_pages_used(store, &store->pages_used);
	if (rc < 0)
		return rc;
	rc = mdb_txn_begin(store->env, NULL, 0, &store->txn);
	if (rc == MDB_PANIC) {
		rc = ur_store_env_reopen(store);
		if (rc < 0)
			return rc;
		rc = mdb_txn_begin(store->env, NULL, 0, &store->txn);
	}
	if (rc != 0) {
		store->txn = NULL;
		return ur_store_error(rc);
	}
	store->error = 0;
	store->round++;
	store->is_written = false;
	store->puts = 0;
	store->put_bytes = 0;
	store->meta_next = store->meta;
	return 0;
}

static void forget_round(struct ur_store *store)
{
	store->txn = NULL;
	store->error = 0;
	ur_store_agents_abort(store);
	ur_store_systems_abort(store);
	ur_store_changes_abort(&store->changes);
}

void ur_store_abort(struct ur_store *store)
{
	if (store->pid != getpid() || !store->txn)
		return;
	mdb_txn_abort(store->txn);
	forget_round(store);
}

/* After the commit nothing may fail, so there must be room before. */
static int prepare_commit(struct ur_store *store, uint64_t now_us,
			  uint64_t wall_us)
{
	const struct ur_store_changes *changes = &store->changes;
	int rc = ur_watch_reserve(&store->watch,
				  changes->count - changes->committed);

	if (rc < 0)
		return rc;
	store->meta_next.time_us = ur_store_clamp(store, now_us);
	store->meta_next.wall_us = wall_us;
	rc = ur_store_agents_write(store);
	if (rc < 0)
		return rc;
	return ur_store_meta_put(store, store->txn, &store->meta_next);
}

static void take_over(struct ur_store *store)
{
	struct ur_store_changes *changes = &store->changes;

	store->txn = NULL;
	store->meta = store->meta_next;
	store->is_clock_unwritten = false;
	store->commits++;
	ur_store_env_committed(store);
	ur_store_agents_commit(store);
	ur_store_systems_commit(store);
	for (size_t i = changes->committed; i < changes->count; i++) {
		if (changes->list[i].kind == UR_CHANGE_ANSWER)
			ur_watch_set(&store->watch, changes->list[i].address,
				     changes->list[i].contended_until_us);
		/* If collecting is on its way, that way and another one. */
		if (changes->list[i].kind == UR_CHANGE_DROPPED)
			store->sweeps = store->has_collected ? 2 : 1;
	}
	ur_store_changes_commit(changes);
}

int ur_store_commit(struct ur_store *store, uint64_t now_us, uint64_t wall_us)
{
	int rc = ur_store_check_round(store);
	MDB_txn *txn = store->txn;
	int commit_rc;

	if (rc == UIDRECV_E_FORKED || !txn)
		return rc;
	if (rc == 0 && store->is_written)
		rc = prepare_commit(store, now_us, wall_us);
	if (rc < 0) {
		ur_store_abort(store);
		return rc;
	}
	if (!store->is_written) {
		/* Agents may have been counted; that stays true. */
		mdb_txn_abort(txn);
		store->txn = NULL;
		ur_store_agents_commit(store);
		ur_store_systems_abort(store);
		return 0;
	}
	commit_rc = ur_store_txn_commit(txn);
	if (commit_rc == 0) {
		take_over(store);
		return 0;
	}
	/* LMDB has freed the transaction, and may have given up for good. */
	forget_round(store);
	rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
	if (rc == 0)
		mdb_txn_abort(txn);
	if (rc == MDB_PANIC)
		ur_store_env_reopen(store);
	return ur_store_error(commit_rc);
}

int ur_store_tick(struct ur_store *store, uint64_t now_us, uint64_t wall_us)
{
	int rc = ur_store_check_idle(store);

	now_us = ur_store_clamp(store, now_us);
	if (rc < 0 || (now_us - store->meta.time_us < TICK_US &&
		       !store->is_clock_unwritten))
		return rc;
	rc = ur_store_begin(store);
	if (rc < 0)
		return rc;
	store->is_written = true;
	return ur_store_commit(store, now_us, wall_us);
}

void ur_store_get_stats(const struct ur_store *store,
			struct ur_store_stats *ret_stats)
{
	struct ur_store_stats stats = {0};
	MDB_envinfo info;
	MDB_stat stat;
	MDB_txn *txn;

	stats.commits = store->commits;
	stats.map_bytes = store->meta.map_bytes;
	stats.contended = store->watch.count;
	for (size_t i = 0; i < store->agents_count; i++)
		stats.claims += store->agents[i]->row.claims;
	if (ur_store_read_begin(store, &txn) == 0) {
		for (int i = 0; i < UR_STORE_FAMILIES; i++)
			if (mdb_stat(txn, store->cells_dbi[i], &stat) == 0)
				stats.addresses += stat.ms_entries;
		mdb_txn_abort(txn);
		mdb_env_info(store->env, &info);
		stats.used_bytes = (info.me_last_pgno + 1) * store->page_bytes;
	}
	*ret_stats = stats;
}
