/* SPDX-License-Identifier: BSD-2-Clause */
/* A store whose map or disk is full, or fails. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

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

TestSuite(store_disk, .init = start, .fini = done, .timeout = 200);

/* Adds until there is no room; returns how many were taken. */
static uint32_t fill_up(uint32_t first)
{
	uint32_t count = first;
	int rejects = 0;

	while (rejects == 0) {
		cr_assert_eq(box_fill(&box, count, 20, &rejects), 0);
		count += 20;
		cr_assert_lt(count, 200000);
	}
	return count - (uint32_t)rejects;
}

static void start_small(uint64_t map_bytes)
{
	char lock[96];

	const struct ur_agent_row *row;

	box_close(&box);
	cr_assert_eq(unlink(box.data), 0);
	snprintf(lock, sizeof(lock), "%s/store/lock.mdb", box.directory);
	cr_assert_eq(unlink(lock), 0);
	box.options.map_bytes = map_bytes;
	cr_assert_eq(box_open(&box), 0);
	cr_assert_eq(ur_store_add_agent(box.store, "a", 1, START, &row), 0);
}

Test(store_disk, S22_a_full_store_goes_on_with_what_it_has)
{
	struct ur_statement it;
	uint32_t count;
	int went, rejects;

	start_small(4 << 20);
	count = fill_up(0);
	cr_assert_gt(count, 10000);
	for (uint32_t i = 0; i < 2000; i++) {
		uint32_t ipv4 = i * 2654435761u;

		it = at(say(i & 1 ? UIDRECV_OP_REFRESH : UIDRECV_OP_MAP,
			    i & 1 ? NULL : "someone.else", 2, 2, 100),
			ipv4);
		cr_assert_eq(box_tell(&box, it, 1, 2), 0);
	}
	for (uint32_t i = 0; i < 100; i++) {
		it = at(say(UIDRECV_OP_LOGOUT, NULL, 2, 2, 0), i * 2654435761u);
		cr_assert_eq(box_tell(&box, it, 1, 2), 0);
	}
	do {
		cr_assert_eq(box_fill(&box, count++, 1, &rejects), 0);
		cr_assert_lt(count, 200000);
	} while (rejects == 0);
	cr_assert_eq(ur_store_tick(box.store, START + 60 * SECOND, START), 0);
	/* Everything dies, is collected, and there is room again. */
	do {
		went =
		    ur_store_collect(box.store, 500, START + 5 * HOUR, START);
		cr_assert_geq(went, 0);
	} while (went > 0);
	cr_assert_eq(ur_store_get_agent_by_id(box.store, 1)->claims, 0);
	cr_assert_eq(ur_store_tick(box.store, START + 6 * HOUR, START), 0);
	box_close(&box);
	cr_assert_eq(box_open(&box), 0);
	it = at(say(UIDRECV_OP_MAP, "u", 1, 6 * 3600, 100), 9);
	cr_assert_eq(box_tell(&box, it, 1, 6 * 3600), 0);
	cr_assert_eq(box_count(&box, 6 * 3600), 1);
}

/* Neighbours share pages: a round may have more of them than there are. */
Test(store_disk, a_large_round_fits_into_a_small_store)
{
	struct ur_statement map;

	start_small(4 << 20);
	cr_assert_eq(ur_store_begin(box.store), 0);
	for (uint32_t i = 0; i < 4000; i++) {
		map = map_of(i);
		cr_assert_eq(ur_store_apply(box.store, 1, UINT64_MAX, &map,
					    START + SECOND),
			     0, "%u", i);
	}
	cr_assert_eq(ur_store_commit(box.store, START + SECOND, START), 0);
	cr_assert_eq(ur_store_get_agent_by_id(box.store, 1)->claims, 4000);
}

Test(store_disk, a_round_too_large_for_the_map_did_not_happen)
{
	struct ur_statement map;
	int rc;

	start_small(1 << 20);
	fill_up(0);
	/* Replacing all in one round needs the map twice. */
	cr_assert_eq(ur_store_begin(box.store), 0);
	for (uint32_t i = 0; i < 100000; i++) {
		map = map_of(i * 2654435761u);
		map.lifetime_s = 7200;
		rc = ur_store_apply(box.store, 1, UINT64_MAX, &map,
				    START + SECOND);
		if (rc < 0)
			break;
	}
	cr_assert_eq(rc, UIDRECV_E_STORE_FULL);
	cr_assert_eq(ur_store_put_rejects(box.store, 1, 1,
					  &(struct ur_refusal){1, 1}, 1),
		     UIDRECV_E_STORE_FULL);
	cr_assert_eq(ur_store_commit(box.store, START, START),
		     UIDRECV_E_STORE_FULL);
	map = map_of(0);
	map.lifetime_s = 7200;
	cr_assert_eq(box_tell(&box, map, 1, 1), 0);
}

/* Runs in a child, for a limit cannot be raised again by everybody. */
static int write_beyond_limit(bool ignore)
{
	struct rlimit limit;
	struct stat data;
	int failures = 0;

	if (box_open(&box) != 0 || stat(box.data, &data) < 0 ||
	    getrlimit(RLIMIT_FSIZE, &limit) < 0)
		return 2;
	signal(SIGXFSZ, ignore ? SIG_IGN : SIG_DFL);
	limit.rlim_cur = (rlim_t)data.st_size + 3 * 4096;
	if (setrlimit(RLIMIT_FSIZE, &limit) < 0)
		return 3;
	for (uint32_t i = 0; i < 8; i++) {
		uint64_t claims =
		    ur_store_get_agent_by_id(box.store, 1)->claims;
		int rc = box_fill(&box, i * 500, 500, NULL);

		/* A write that is cut short is EIO for LMDB. */
		failures += rc == -EFBIG || rc == -EIO;
		if (rc != 0 && rc != -EFBIG && rc != -EIO)
			return 4;
		if (rc != 0 &&
		    ur_store_get_agent_by_id(box.store, 1)->claims != claims)
			return 5;
	}
	if (failures < 3)
		return 6;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_FSIZE, &limit);
	for (uint32_t i = 0; i < 8; i++)
		if (box_fill(&box, i * 500, 500, NULL) != 0)
			return 7;
	if (ur_store_get_agent_by_id(box.store, 1)->claims != 4000)
		return 8;
	box_close(&box);
	return 0;
}

static void check_limit(bool ignore)
{
	int status;
	pid_t child;

	box_close(&box);
	child = fork();
	if (child == 0)
		_exit(write_beyond_limit(ignore));
	waitpid(child, &status, 0);
	cr_assert_eq(status, 0, "status %x", (unsigned int)status);
	cr_assert_eq(box_open(&box), 0);
	cr_assert_eq(box_count(&box, 2), 4000);
}

Test(store_disk, S07_a_file_size_limit_fails_the_round_only)
{
	check_limit(true);
}

Test(store_disk, S07_a_file_size_limit_does_not_kill_the_host)
{
	check_limit(false);
}

/* The disk of the store of this box is a small one, from now on. */
static bool mount_small(const char *inner)
{
	return mount("none", inner, "tmpfs", 0, "size=300k,mode=0700") == 0;
}

Test(store_disk, S06_a_full_disk_fails_rounds_until_there_is_room)
{
	char inner[96];
	uint32_t done_count = 0;
	int rc = 0;

	snprintf(inner, sizeof(inner), "%s/store", box.directory);
	box_close(&box);
	if (!mount_small(inner))
		cr_skip("cannot mount a tmpfs");
	rc = box_open(&box);
	if (rc == 0) {
		const struct ur_agent_row *row;

		rc = ur_store_add_agent(box.store, "a", 1, START, &row);
		while (rc == 0 && done_count < 100000) {
			rc = box_fill(&box, done_count, 100, NULL);
			if (rc == 0)
				done_count += 100;
		}
	}
	cr_expect(rc == -ENOSPC || rc == -EIO, "%d", rc);
	cr_expect(box_fill(&box, done_count, 100, NULL) < 0);
	cr_expect_eq(box_count(&box, 2), done_count);
	cr_expect_eq(ur_store_get_agent_by_id(box.store, 1)->claims,
		     done_count);
	cr_expect_eq(mount("none", inner, "tmpfs", MS_REMOUNT, "size=4m"), 0);
	cr_expect_eq(box_fill(&box, done_count, 100, NULL), 0);
	cr_expect_eq(box_count(&box, 2), done_count + 100);
	box_close(&box);
	cr_expect_eq(box_open(&box), 0);
	cr_expect_eq(box_count(&box, 2), done_count + 100);
	box_close(&box);
	cr_expect_eq(umount(inner), 0);
}

Test(store_disk, S09_a_failed_write_of_the_meta_page_is_survived)
{
	struct ur_agent_row row;

	for (uint32_t i = 0; i < 20; i++) {
		row = *ur_store_get_agent_by_id(box.store, 1);
		cr_assert_eq(box_fill(&box, i * 10, 5, NULL), 0);
		box_break(&box, true);
		cr_assert_lt(box_fill(&box, i * 10 + 5, 5, NULL), 0);
		cr_assert_eq(ur_store_get_agent_by_id(box.store, 1)->claims,
			     row.claims + 5);
		cr_assert_eq(box_count(&box, 2), i * 10 + 5);
		cr_assert_eq(box_fill(&box, i * 10 + 5, 5, NULL), 0);
		cr_assert_eq(box_count(&box, 2), i * 10 + 10);
	}
	box_close(&box);
	cr_assert_eq(box_open(&box), 0);
	cr_assert_eq(box_count(&box, 2), 200);
}

Test(store_disk, S08_a_failed_write_of_pages_is_not_seen)
{
	cr_assert_eq(box_fill(&box, 0, 5, NULL), 0);
	box_break(&box, false);
	for (int i = 0; i < 3; i++)
		cr_assert_lt(box_fill(&box, 5, 500, NULL), 0);
	cr_assert_eq(box_count(&box, 2), 5);
	cr_assert_eq(ur_store_get_agent_by_id(box.store, 1)->claims, 5);
	box_close(&box);
	cr_assert_eq(box_open(&box), 0);
	cr_assert_eq(box_count(&box, 2), 5);
	cr_assert_eq(box_fill(&box, 5, 500, NULL), 0);
}
