/* SPDX-License-Identifier: BSD-2-Clause */
#include "store-private.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bytes.h"

#define SCHEMA 3
#define META_MAGIC "uidrecv\n"
#define META_SIZE (8 + 4 + 4 + 16 + 5 * 8 + 4 + 4)
#define DBS_MAX 6

/*
 * Never MDB_WRITEMAP, MDB_NOSYNC, MDB_NOMETASYNC or MDB_NOLOCK: what is
 * acknowledged must outlive a power cut. MDB_NOTLS: transactions belong to the
 * store, not to the host's threads.
 */
#define ENV_FLAGS (MDB_NOTLS | MDB_NORDAHEAD)

int ur_store_error(int lmdb_error)
{
	switch (lmdb_error) {
	case MDB_SUCCESS:
		return 0;
	case MDB_MAP_FULL:
	case MDB_TXN_FULL:
		return UIDRECV_E_STORE_FULL;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INCOMPATIBLE:
		return UIDRECV_E_STORE_DAMAGED;
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
		return UIDRECV_E_STORE;
	default:
		return lmdb_error > 0 ? -lmdb_error : -EIO;
	}
}

int ur_store_txn_commit(MDB_txn *txn)
{
	static const struct timespec at_once = {0, 0};
	sigset_t limit, pending, former;
	bool was_pending;
	int rc;

	/* Beyond RLIMIT_FSIZE write() kills the host unless this is blocked. */
	sigemptyset(&limit);
	sigaddset(&limit, SIGXFSZ);
	pthread_sigmask(SIG_BLOCK, &limit, &former);
	sigpending(&pending);
	was_pending = sigismember(&pending, SIGXFSZ) == 1;
	rc = mdb_txn_commit(txn);
	if (rc != 0 && !was_pending)
		while (sigtimedwait(&limit, NULL, &at_once) < 0 &&
		       errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &former, NULL);
	return rc;
}

int ur_store_meta_put(struct ur_store *store, MDB_txn *txn,
		      const struct ur_store_meta *meta)
{
	static const struct uidrecv_address none = {0, 0};
	static const uint32_t order = 0x01020304;
	char name[] = "store";
	uint8_t bytes[META_SIZE];
	MDB_val key = {sizeof(name) - 1, name};
	MDB_val value = {sizeof(bytes), bytes};
	uint8_t *to = ur_bytes_put_raw(bytes, META_MAGIC, 8);

	to = ur_bytes_put_u32(to, SCHEMA);
	to = ur_bytes_put_raw(to, &order, sizeof(order));
	to = ur_bytes_put_raw(to, meta->boot_id, sizeof(meta->boot_id));
	to = ur_bytes_put_u64(to, meta->time_us);
	to = ur_bytes_put_u64(to, meta->wall_us);
	to = ur_bytes_put_u64(to, meta->base_us);
	to = ur_bytes_put_u64(to, meta->lifetime_max_us);
	to = ur_bytes_put_u64(to, meta->map_bytes);
	to = ur_bytes_put_u32(to, meta->agent_next);
	ur_bytes_put_u32(to, ur_checksum(none, bytes, META_SIZE - 4));
	return ur_store_error(mdb_put(txn, store->meta_dbi, &key, &value, 0));
}

static int get_meta(struct ur_store *store, MDB_txn *txn,
		    struct ur_store_meta *meta)
{
	static const struct uidrecv_address none = {0, 0};
	char name[] = "store";
	MDB_val key = {sizeof(name) - 1, name}, value;
	int rc = mdb_get(txn, store->meta_dbi, &key, &value);
	struct ur_bytes from;
	const uint8_t *magic;

	if (rc != 0)
		return rc == MDB_NOTFOUND ? UIDRECV_E_STORE
					  : ur_store_error(rc);
	from = ur_bytes_of(value.mv_data, value.mv_size);
	magic = ur_bytes_raw(&from, 8);
	if (!magic || memcmp(magic, META_MAGIC, 8) != 0)
		return UIDRECV_E_STORE;
	if (ur_bytes_u32(&from) != SCHEMA)
		return UIDRECV_E_STORE_SCHEMA;
	if (value.mv_size != META_SIZE)
		return UIDRECV_E_STORE_DAMAGED;
	/* LMDB refuses a file of another byte order, this is a second look. */
	if (memcmp(ur_bytes_raw(&from, 4), &(uint32_t){0x01020304}, 4) != 0)
		return UIDRECV_E_STORE;
	memcpy(meta->boot_id, ur_bytes_raw(&from, 16), 16);
	meta->time_us = ur_bytes_u64(&from);
	meta->wall_us = ur_bytes_u64(&from);
	meta->base_us = ur_bytes_u64(&from);
	meta->lifetime_max_us = ur_bytes_u64(&from);
	meta->map_bytes = ur_bytes_u64(&from);
	meta->agent_next = ur_bytes_u32(&from);
	if (ur_bytes_u32(&from) !=
		ur_checksum(none, value.mv_data, META_SIZE - 4) ||
	    meta->agent_next == 0)
		return UIDRECV_E_STORE_DAMAGED;
	return 0;
}

/* Opens tables; number 0 is that of the meta record. */
static int open_dbis(struct ur_store *store, MDB_txn *txn, unsigned int flags,
		     int first, int end)
{
	const struct {
		const char *name;
		MDB_dbi *dbi;
		unsigned int flags;
	} all[DBS_MAX] = {
	    {"meta", &store->meta_dbi, 0},
	    {"agents", &store->agents_dbi, 0},
	    {"rejects", &store->rejects_dbi, 0},
	    {"systems", &store->systems_dbi, 0},
	    {"ip4", &store->cells_dbi[UR_STORE_IP4], MDB_INTEGERKEY},
	    {"ip6", &store->cells_dbi[UR_STORE_IP6], 0},
	};

	for (int i = first; i < end; i++) {
		unsigned int found = 0;
		int rc = mdb_dbi_open(txn, all[i].name, all[i].flags | flags,
				      all[i].dbi);

		if (rc == MDB_NOTFOUND || rc == MDB_INCOMPATIBLE)
			return i == 0 ? UIDRECV_E_STORE
				      : UIDRECV_E_STORE_DAMAGED;
		if (rc == 0)
			rc = mdb_dbi_flags(txn, *all[i].dbi, &found);
		if (rc != 0)
			return ur_store_error(rc);
		if (found != all[i].flags)
			return UIDRECV_E_STORE_DAMAGED;
	}
	return 0;
}

static int new_env(MDB_env **ret_env, const char *path, unsigned int flags,
		   uint64_t map_bytes)
{
	int rc = mdb_env_create(ret_env);
	int fd;

	if (rc != 0)
		return ur_store_error(rc);
	rc = mdb_env_set_maxdbs(*ret_env, DBS_MAX);
	if (rc == 0 && map_bytes > 0)
		rc = mdb_env_set_mapsize(*ret_env, map_bytes);
	if (rc == 0)
		rc = mdb_env_open(*ret_env, path, flags, 0600);
	/* LMDB 0.9.24 lets the programs that the host starts inherit it. */
	if (rc == 0 && mdb_env_get_fd(*ret_env, &fd) == 0)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (rc == 0)
		return 0;
	mdb_env_close(*ret_env);
	*ret_env = NULL;
	return ur_store_error(rc);
}

/*
 * Reads the store's record, the agents and the systems in a transaction of
 * their own. Which tables there are depends on the schema, so the record comes
 * first.
 */
static int load(struct ur_store *store)
{
	struct ur_store_meta meta;
	MDB_envinfo info;
	MDB_txn *txn;
	int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);

	if (rc != 0)
		return ur_store_error(rc);
	rc = open_dbis(store, txn, 0, 0, 1);
	if (rc == 0)
		rc = get_meta(store, txn, &meta);
	if (rc == 0)
		rc = open_dbis(store, txn, 0, 1, DBS_MAX);
	mdb_env_info(store->env, &info);
	if (rc == 0 && info.me_mapsize != meta.map_bytes)
		rc = UIDRECV_E_STORE_DAMAGED;
	if (rc == 0) {
		store->meta = meta;
		rc = ur_store_agents_load(store, txn);
	}
	if (rc == 0)
		rc = ur_store_systems_load(store, txn);
	if (rc < 0) {
		mdb_txn_abort(txn);
		return rc;
	}
	/* Handles stay valid only if the transaction is committed. */
	return ur_store_error(mdb_txn_commit(txn));
}

void ur_store_env_close(struct ur_store *store)
{
	if (store->env)
		mdb_env_close(store->env);
	store->env = NULL;
}

int ur_store_env_open(struct ur_store *store)
{
	MDB_stat stat;
	int rc = new_env(&store->env, store->path, ENV_FLAGS, 0);

	if (rc < 0)
		return rc;
	mdb_env_stat(store->env, &stat);
	store->page_bytes = stat.ms_psize;
	ur_store_env_committed(store);
	rc = load(store);
	if (rc < 0)
		ur_store_env_close(store);
	return rc;
}

int ur_store_env_create(struct ur_store *store, const char *path,
			const struct ur_store_meta *meta)
{
	MDB_txn *txn;
	int rc = new_env(&store->env, path, ENV_FLAGS | MDB_NOSUBDIR,
			 meta->map_bytes);

	if (rc < 0)
		return rc;
	rc = ur_store_error(mdb_txn_begin(store->env, NULL, 0, &txn));
	if (rc == 0) {
		rc = open_dbis(store, txn, MDB_CREATE, 0, DBS_MAX);
		if (rc == 0)
			rc = ur_store_meta_put(store, txn, meta);
		if (rc == 0)
			rc = ur_store_error(ur_store_txn_commit(txn));
		else
			mdb_txn_abort(txn);
	}
	ur_store_env_close(store);
	return rc;
}

int ur_store_env_reopen(struct ur_store *store)
{
	size_t txnid = store->txnid;
	int rc;

	ur_store_env_close(store);
	rc = ur_store_env_open(store);
	if (store->txnid != txnid)
		store->has_lost_changes = true;
	return rc;
}

void ur_store_env_committed(struct ur_store *store)
{
	MDB_envinfo info;
	struct stat stat;
	off_t bytes;
	int fd;

	/*
	 * LMDB does not write a page at the end of the file that was used and
	 * freed in one transaction. This is LMDB's own descriptor: opening and
	 * closing another of the same file would be dangerous.
	 */
	if (mdb_env_info(store->env, &info) != 0 ||
	    mdb_env_get_fd(store->env, &fd) != 0)
		return;
	store->txnid = info.me_last_txnid;
	if (fstat(fd, &stat) < 0)
		return;
	bytes = (off_t)((info.me_last_pgno + 1) * store->page_bytes);
	if (stat.st_size >= bytes)
		return;
	while (ftruncate(fd, bytes) < 0 && errno == EINTR)
		;
}

/* Pages on LMDB's list of free ones that the next round may use. */
static int count_free(struct ur_store *store, size_t last_txnid,
		      uint64_t *ret_pages)
{
	MDB_val key, value;
	MDB_cursor *cursor;
	MDB_txn *txn;
	size_t number;
	int rc = ur_store_read_begin(store, &txn);

	*ret_pages = 0;
	if (rc < 0)
		return rc;
	rc = mdb_cursor_open(txn, 0, &cursor);
	if (rc != 0)
		cursor = NULL;
	while (rc == 0) {
		rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
		if (rc != 0)
			break;
		if (key.mv_size != sizeof(number) ||
		    value.mv_size < sizeof(number)) {
			rc = MDB_CORRUPTED;
			break;
		}
		memcpy(&number, key.mv_data, sizeof(number));
		if (number >= last_txnid)
			continue;
		memcpy(&number, value.mv_data, sizeof(number));
		*ret_pages += number;
	}
	if (cursor)
		mdb_cursor_close(cursor);
	mdb_txn_abort(txn);
	return rc == MDB_NOTFOUND ? 0 : ur_store_error(rc);
}

int ur_store_pages_used(struct ur_store *store, uint64_t *ret_pages)
{
	MDB_envinfo info;
	uint64_t unused;
	int rc = ur_store_error(mdb_env_info(store->env, &info));

	*ret_pages = info.me_last_pgno + 1;
	if (rc < 0 ||
	    *ret_pages * store->page_bytes < store->meta.map_bytes / 16 * 14)
		return rc;
	rc = count_free(store, info.me_last_txnid, &unused);
	*ret_pages -= unused < *ret_pages ? unused : *ret_pages;
	return rc;
}
