/* SPDX-License-Identifier: BSD-2-Clause */
/* What a store refuses. */
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <signal.h>
#include <sys/wait.h>

#include "bytes.h"
#include "cell.h"
#include "stores.h"

static struct box box;

static void start(void)
{
	box_start(&box);
}

static void done(void)
{
	box_done(&box);
}

TestSuite(store_guards, .init = start, .fini = done, .timeout = 200);

static uint64_t checksum_of_file(void)
{
	static uint8_t bytes[1 << 22];
	FILE *file = fopen(box.data, "rb");
	size_t size;

	cr_assert_not_null(file);
	size = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	return (uint64_t)ur_checksum((struct uidrecv_address){0, 0}, bytes,
				     size)
		   << 32 |
	       size;
}

Test(store_guards, S28_a_second_opener_is_refused)
{
	struct ur_store *other;
	int status;
	pid_t child = 0;

	cr_assert_eq(ur_store_open(&other, &box.options), UIDRECV_E_STORE_BUSY);
	child = fork();
	if (child == 0)
		_exit(ur_store_open(&other, &box.options) ==
			      UIDRECV_E_STORE_BUSY
			  ? 0
			  : 1);
	waitpid(child, &status, 0);
	cr_assert_eq(status, 0);
	cr_assert_eq(box_tell(&box, map_of(1), 1, 1), 0);
	box_close(&box);
	cr_assert_eq(box_open(&box), 0);
}

static void kill_holder(void)
{
	int pipes[2];
	char byte;
	pid_t child;

	box_close(&box);
	cr_assert_eq(pipe(pipes), 0);
	child = fork();
	if (child == 0) {
		if (box_open(&box) == 0 && ur_store_begin(box.store) == 0 &&
		    write(pipes[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	cr_assert_eq(read(pipes[0], &byte, 1), 1);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close(pipes[0]);
	close(pipes[1]);
}

Test(store_guards, S02_the_store_of_a_killed_writer_is_free)
{
	for (int i = 0; i < 10; i++) {
		kill_holder();
		cr_assert_eq(box_open(&box), 0);
		cr_assert_eq(box_tell(&box, map_of((uint32_t)i), 1, 1), 0);
	}
}

static int each_nothing(void *user, const struct ur_change *answer)
{
	(void)user;
	(void)answer;
	return 0;
}

static bool keep_none(void *user, uint32_t agent,
		      const struct uidrecv_system *system)
{
	(void)user;
	(void)agent;
	(void)system;
	return false;
}

static int be_child(void)
{
	static const struct uidrecv_system system = {
	    .address = {0, 0xffff0a000001},
	    .ports = {20000, 1000},
	    .block_size = 200};
	struct ur_statement map = map_of(1);
	const struct ur_agent_row *row;
	struct ur_change change;
	struct ur_store *store = box.store;
	int rc, wrong = 0;

	wrong += ur_store_begin(store) != UIDRECV_E_FORKED;
	/* The open round is a copy of its own, and never gets out. */
	wrong += ur_store_apply(store, 1, 99, &map, START) < 0;
	wrong += ur_store_commit(store, START, START) != UIDRECV_E_FORKED;
	wrong += ur_store_settle(store, 1000, START) != UIDRECV_E_FORKED;
	wrong += ur_store_tick(store, START, START) != UIDRECV_E_FORKED;
	wrong += ur_store_collect(store, 1, START, START) != UIDRECV_E_FORKED;
	wrong +=
	    ur_store_scan(store, START, each_nothing, NULL) != UIDRECV_E_FORKED;
	wrong += ur_store_put_rejects(store, 1, 1, &(struct ur_refusal){1, 1},
				      1) != UIDRECV_E_FORKED;
	wrong += ur_store_drop_rejects(store, 1, 1) != UIDRECV_E_FORKED;
	wrong +=
	    ur_store_add_agent(store, "y", 1, START, &row) != UIDRECV_E_FORKED;
	wrong +=
	    ur_store_put_agent(store, ur_store_get_agent_by_id(store, 1)) !=
	    UIDRECV_E_FORKED;
	wrong +=
	    ur_store_put_system(store, 1, &system, START) != UIDRECV_E_FORKED;
	wrong += ur_store_restrict_systems(store, START, START, keep_none,
					   NULL) != UIDRECV_E_FORKED;
	while ((rc = ur_store_next_change(store, &change)) == 1)
		;
	wrong += rc != UIDRECV_E_FORKED;
	ur_store_abort(store);
	ur_store_close(store);
	return wrong;
}

Test(store_guards, S25_a_forked_child_is_refused_and_harms_nothing)
{
	for (int i = 0; i < 20; i++) {
		struct ur_statement map = map_of((uint32_t)i);
		int status;
		pid_t child;

		cr_assert_eq(ur_store_begin(box.store), 0);
		cr_assert_eq(
		    ur_store_apply(box.store, 1, 99, &map, START + SECOND), 0);
		child = fork();
		if (child == 0)
			_exit(be_child());
		waitpid(child, &status, 0);
		cr_assert_eq(status, 0);
		cr_assert_eq(ur_store_commit(box.store, START, START), 0);
	}
	cr_assert_eq(box_count(&box, 2), 20);
	box_close(&box);
	cr_assert_eq(box_open(&box), 0);
	cr_assert_eq(box_count(&box, 2), 20);
}

Test(store_guards, S26_no_descriptor_is_inherited)
{
	for (int fd = 3; fd < 256; fd++) {
		char link[64], name[256] = "";

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		if (readlink(link, name, sizeof(name) - 1) > 0 &&
		    strstr(name, box.directory))
			cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC, "%s", name);
	}
}

static int open_with_mode(const char *path, mode_t mode)
{
	struct stat stat_before;
	int rc;

	cr_assert_eq(stat(path, &stat_before), 0);
	cr_assert_eq(chmod(path, mode), 0);
	rc = box_open(&box);
	cr_assert_eq(chmod(path, stat_before.st_mode & 07777), 0);
	return rc;
}

Test(store_guards, S12_a_directory_of_the_wrong_mode_is_refused)
{
	char inner[96];

	snprintf(inner, sizeof(inner), "%s/store", box.directory);
	box_close(&box);
	cr_assert_eq(open_with_mode(inner, 0755), UIDRECV_E_STORE_OWNER);
	cr_assert_eq(open_with_mode(inner, 0710), UIDRECV_E_STORE_OWNER);
	cr_assert_eq(open_with_mode(inner, 0500), UIDRECV_E_STORE_OWNER);
	cr_assert_eq(open_with_mode(box.directory, 0777),
		     UIDRECV_E_STORE_OWNER);
	cr_assert_eq(open_with_mode(box.directory, 0730),
		     UIDRECV_E_STORE_OWNER);
	cr_assert_eq(box_open(&box), 0);
}

Test(store_guards, S12_a_directory_of_another_owner_is_refused)
{
	char inner[96];

	if (geteuid() != 0)
		cr_skip("needs root");
	snprintf(inner, sizeof(inner), "%s/store", box.directory);
	box_close(&box);
	cr_assert_eq(chown(inner, 1, 1), 0);
	cr_assert_eq(box_open(&box), UIDRECV_E_STORE_OWNER);
	cr_assert_eq(chown(inner, 0, 0), 0);
	cr_assert_eq(chown(box.directory, 1, 1), 0);
	cr_assert_eq(box_open(&box), UIDRECV_E_STORE_OWNER);
}

Test(store_guards, S12_links_and_files_in_its_place_are_refused)
{
	char inner[96], away[96];

	snprintf(inner, sizeof(inner), "%s/store", box.directory);
	snprintf(away, sizeof(away), "%s/away", box.directory);
	box_close(&box);
	cr_assert_eq(rename(inner, away), 0);
	cr_assert_eq(symlink("away", inner), 0);
	cr_assert_eq(box_open(&box), UIDRECV_E_STORE_OWNER);
	cr_assert_eq(unlink(inner), 0);
	close(open(inner, O_CREAT | O_WRONLY, 0700));
	cr_assert_eq(box_open(&box), UIDRECV_E_STORE_OWNER);
	box.options.directory = inner;
	cr_assert_eq(box_open(&box), -ENOTDIR);
	box.options.directory = "/nowhere/at/all";
	cr_assert_eq(box_open(&box), -ENOENT);
}

Test(store_guards, S12_missing_directories_are_made)
{
	char deeper[96], inner[104];
	struct stat made;

	box_close(&box);
	snprintf(deeper, sizeof(deeper), "%s/deeper/", box.directory);
	snprintf(inner, sizeof(inner), "%sstore", deeper);
	box.options.directory = deeper;
	umask(077);
	cr_assert_eq(box_open(&box), 0);
	cr_assert_eq(stat(deeper, &made), 0);
	cr_assert_eq(made.st_mode & 07777, 0711);
	cr_assert_eq(stat(inner, &made), 0);
	cr_assert_eq(made.st_mode & 07777, 0700);
}

static void remove_all(const char *path)
{
	static const char *const names[] = {"data.mdb", "lock.mdb",
					    "receiver.lock"};
	char name[160];

	for (size_t i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "%s/%s", path, names[i]);
		cr_assert_eq(unlink(name), 0);
	}
	cr_assert_eq(rmdir(path), 0);
}

Test(store_guards, a_lost_data_file_is_not_replaced)
{
	box_close(&box);
	cr_assert_eq(unlink(box.data), 0);
	cr_assert_eq(box_open(&box), UIDRECV_E_STORE);
	cr_assert_neq(access(box.data, F_OK), 0);
}

Test(store_guards, what_is_not_ours_is_left_as_it_is)
{
	char path[120];
	FILE *file;

	box_close(&box);
	snprintf(path, sizeof(path), "%s/store", box.directory);
	remove_all(path);
	cr_assert_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/store/letters.txt", box.directory);
	file = fopen(path, "w");
	cr_assert_not_null(file);
	fclose(file);
	cr_assert_eq(box_open(&box), UIDRECV_E_STORE);
	cr_assert_eq(unlink(path), 0);
	/* Nothing was added either. */
	snprintf(path, sizeof(path), "%s/store", box.directory);
	cr_assert_eq(rmdir(path), 0);
}

Test(store_guards, a_store_half_made_is_made_again)
{
	char path[120];
	FILE *file;

	box_close(&box);
	cr_assert_eq(unlink(box.data), 0);
	snprintf(path, sizeof(path), "%s/store/lock.mdb", box.directory);
	cr_assert_eq(unlink(path), 0);
	snprintf(path, sizeof(path), "%s.new", box.data);
	file = fopen(path, "w");
	fputs("half", file);
	fclose(file);
	cr_assert_eq(box_open(&box), 0);
	cr_assert_eq(access(path, F_OK), -1);
	cr_assert_eq(ur_store_get_agent_id_max(box.store), 0);
}

Test(store_guards, S13_a_truncated_file_is_refused_and_left_alone)
{
	struct stat whole;
	off_t size;

	cr_assert_eq(box_fill(&box, 0, 3000, NULL), 0);
	box_close(&box);
	cr_assert_eq(stat(box.data, &whole), 0);
	for (size = whole.st_size - 4096; size >= 0; size -= 4096) {
		uint64_t before;
		int rc;

		cr_assert_eq(truncate(box.data, size), 0);
		before = checksum_of_file();
		rc = box_open(&box);
		cr_assert(rc == UIDRECV_E_STORE_DAMAGED ||
			      rc == UIDRECV_E_STORE,
			  "%jd: %d", (intmax_t)size, rc);
		cr_assert_eq(checksum_of_file(), before);
	}
	cr_assert_eq(truncate(box.data, 100), 0);
	cr_assert_eq(box_open(&box), UIDRECV_E_STORE_DAMAGED);
}

static void overwrite(const void *bytes, size_t size, off_t offset)
{
	int fd = open(box.data, O_WRONLY);

	cr_assert_eq(pwrite(fd, bytes, size, offset), (ssize_t)size);
	close(fd);
}

Test(store_guards, another_file_is_refused)
{
	static const char text[] = "SQLite format 3 is something else";
	uint64_t before;

	box_close(&box);
	overwrite(text, sizeof(text), 0);
	before = checksum_of_file();
	cr_assert_eq(box_open(&box), UIDRECV_E_STORE);
	cr_assert_eq(checksum_of_file(), before);
	cr_assert_eq(unlink(box.data), 0);
	cr_assert_eq(mkdir(box.data, 0700), 0);
	cr_assert_lt(box_open(&box), 0);
	cr_assert_eq(rmdir(box.data), 0);
	cr_assert_eq(symlink("/etc/passwd", box.data), 0);
	cr_assert_eq(box_open(&box), UIDRECV_E_STORE);
	cr_assert_eq(unlink(box.data), 0);
}

/* Writes something into a store as LMDB sees it. */
static void edit_key(const char *dbi_name, const void *key_bytes,
		     size_t key_size, size_t offset, const void *bytes,
		     size_t size)
{
	char inner[96];
	uint8_t name[256], copy[1024];
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	MDB_val key = {key_size, NULL}, value;

	snprintf(inner, sizeof(inner), "%s/store", box.directory);
	cr_assert_eq(mdb_env_create(&env), 0);
	mdb_env_set_maxdbs(env, 9);
	cr_assert_eq(mdb_env_open(env, inner, 0, 0600), 0);
	cr_assert_eq(mdb_txn_begin(env, NULL, 0, &txn), 0);
	cr_assert_eq(mdb_dbi_open(txn, dbi_name, MDB_CREATE, &dbi), 0);
	memcpy(name, key_bytes, key_size);
	key.mv_data = name;
	if (mdb_get(txn, dbi, &key, &value) != 0) {
		value.mv_size = size;
		value.mv_data = copy;
	} else {
		cr_assert_leq(value.mv_size, sizeof(copy));
		memcpy(copy, value.mv_data, value.mv_size);
		value.mv_data = copy;
	}
	memcpy(copy + offset, bytes, size);
	cr_assert_eq(mdb_put(txn, dbi, &key, &value, 0), 0);
	cr_assert_eq(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
}

static void edit(const char *dbi_name, const char *key_text, size_t offset,
		 const void *bytes, size_t size)
{
	edit_key(dbi_name, key_text, strlen(key_text), offset, bytes, size);
}

static void check_schema(const char *schema)
{
	uint64_t before;

	box_close(&box);
	edit("meta", "store", 8, schema, 4);
	before = checksum_of_file();
	cr_assert_eq(box_open(&box), UIDRECV_E_STORE_SCHEMA);
	cr_assert_eq(checksum_of_file(), before);
	edit("meta", "store", 8, "\0\0\0\3", 4);
	cr_assert_eq(box_open(&box), 0);
}

Test(store_guards, S33_a_newer_schema_is_refused)
{
	check_schema("\0\0\0\4");
}

/* One whose rows know no snapshots is not called damaged. */
Test(store_guards, S32_an_older_schema_is_refused)
{
	check_schema("\0\0\0\1");
}

/* Takes a table out of a store as LMDB sees it. */
static void drop(const char *dbi_name)
{
	char inner[96];
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;

	snprintf(inner, sizeof(inner), "%s/store", box.directory);
	cr_assert_eq(mdb_env_create(&env), 0);
	mdb_env_set_maxdbs(env, 9);
	cr_assert_eq(mdb_env_open(env, inner, 0, 0600), 0);
	cr_assert_eq(mdb_txn_begin(env, NULL, 0, &txn), 0);
	cr_assert_eq(mdb_dbi_open(txn, dbi_name, 0, &dbi), 0);
	cr_assert_eq(mdb_drop(txn, dbi, 1), 0);
	cr_assert_eq(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
}

/* Of schema 2 one table was not there; that is no damage. */
Test(store_guards, S32_a_schema_without_systems_is_refused)
{
	uint64_t before;

	box_close(&box);
	drop("systems");
	cr_assert_eq(box_open(&box), UIDRECV_E_STORE_DAMAGED);
	edit("meta", "store", 8, "\0\0\0\2", 4);
	before = checksum_of_file();
	cr_assert_eq(box_open(&box), UIDRECV_E_STORE_SCHEMA);
	cr_assert_eq(checksum_of_file(), before);
}

Test(store_guards, a_store_of_something_else_is_refused)
{
	box_close(&box);
	edit("meta", "store", 0, "another\n", 8);
	cr_assert_eq(box_open(&box), UIDRECV_E_STORE);
	cr_assert_eq(unlink(box.data), 0);
	edit("things", "a key", 0, "a value", 7);
	cr_assert_eq(box_open(&box), UIDRECV_E_STORE);
}

Test(store_guards, S15_a_damaged_record_is_found)
{
	box_close(&box);
	edit("agents", "mid", 20, "x", 1);
	cr_assert_eq(box_open(&box), UIDRECV_E_STORE_DAMAGED);
	edit("agents", "mid", 20, "\0", 1);
	edit("meta", "store", 40, "x", 1);
	cr_assert_eq(box_open(&box), UIDRECV_E_STORE_DAMAGED);
}

static void check_forged_system(uint32_t agent, const char *key,
				size_t key_size, int expected)
{
	struct ur_system system = {agent,
				   {.address = {0, 0xffff0a000000 + agent},
				    .ports = {20000, 1000},
				    .block_size = 200}};
	uint8_t bytes[UR_SYSTEM_SIZE_MAX];
	size_t size = ur_system_encode(&system, bytes);

	box_done(&box);
	box_start(&box);
	box_close(&box);
	edit_key("systems", key, key_size, 0, bytes, size);
	cr_assert_eq(box_open(&box), expected);
}

Test(store_guards, S15_a_system_of_nobody_is_found)
{
	check_forged_system(5, "\0\0\0\5", 4, 0);
	cr_assert_not_null(ur_store_get_system(box.store, 5));
	check_forged_system(6, "\0\0\0\6", 4, UIDRECV_E_STORE_DAMAGED);
	check_forged_system(0, "\0\0\0\0", 4, UIDRECV_E_STORE_DAMAGED);
	check_forged_system(0, "\0\0\5", 3, UIDRECV_E_STORE_DAMAGED);
	check_forged_system(5, "\0\0\0\5\0", 5, UIDRECV_E_STORE_DAMAGED);
	check_forged_system(5, "\0\0\0\4", 4, UIDRECV_E_STORE_DAMAGED);
}

Test(store_guards, S15_T09_two_systems_of_one_address_are_found)
{
	struct ur_system system = {2,
				   {.address = {0, 0xffff0a000001},
				    .ports = {20000, 1000},
				    .block_size = 200}};
	uint8_t bytes[UR_SYSTEM_SIZE_MAX];
	size_t size = ur_system_encode(&system, bytes);

	cr_assert_eq(ur_store_begin(box.store), 0);
	cr_assert_eq(ur_store_put_system(box.store, 1, &system.config, START),
		     0);
	cr_assert_eq(ur_store_commit(box.store, START, START), 0);
	box_close(&box);
	edit_key("systems", "\0\0\0\2", 4, 0, bytes, size);
	cr_assert_eq(box_open(&box), UIDRECV_E_STORE_DAMAGED);
}

Test(store_guards, S15_a_damaged_cell_fails_the_round_and_the_scan)
{
	struct box_find find = {0};
	static const char user[] = "DOMAIN\\some.user";
	struct ur_statement map = map_of(0);
	static uint8_t bytes[1 << 20];
	FILE *file;
	size_t size;

	cr_assert_eq(box_fill(&box, 0, 1, NULL), 0);
	box_close(&box);
	file = fopen(box.data, "rb");
	size = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	for (size_t i = 0; i + sizeof(user) < size; i++)
		if (!memcmp(bytes + i, user, sizeof(user) - 1))
			overwrite("d", 1, (off_t)i);
	cr_assert_eq(box_open(&box), 0);
	cr_assert_eq(ur_store_scan(box.store, START, box_find_each, &find),
		     UIDRECV_E_STORE_DAMAGED);
	cr_assert_eq(ur_store_begin(box.store), 0);
	cr_assert_eq(ur_store_apply(box.store, 1, 9, &map, START),
		     UIDRECV_E_STORE_DAMAGED);
	cr_assert_eq(ur_store_commit(box.store, START, START),
		     UIDRECV_E_STORE_DAMAGED);
}
