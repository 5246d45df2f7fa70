/* SPDX-License-Identifier: BSD-2-Clause */
#include "pages.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tables.h"

#define MAPPINGS 100000 /* in a table of some huge pages */
#define COLLAPSE 25	/* MADV_, of Linux 6.1 */

TestSuite(pages, .init = setup, .fini = teardown);

/* KiB of huge pages in the mapping that begins here. */
static unsigned long huge_kib_at(const void *bytes)
{
	FILE *maps = fopen("/proc/self/smaps", "re");
	char line[400], start[32];
	unsigned long kib = 0;
	bool is_found = false;

	cr_assert_not_null(maps);
	snprintf(start, sizeof(start), "%lx-", (unsigned long)bytes);
	while (fgets(line, sizeof(line), maps)) {
		if (!strncmp(line, start, strlen(start)))
			is_found = true;
		if (is_found && sscanf(line, "ShmemPmdMapped: %lu", &kib) == 1)
			break;
	}
	fclose(maps);
	return kib;
}

static bool can_collapse(void)
{
	int fd = open(scratch.path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	char *bytes;
	bool can;

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, UR_PAGES_HUGE), 0);
	bytes = ur_pages_map(fd, UR_PAGES_HUGE, PROT_READ | PROT_WRITE);
	cr_assert_neq(bytes, MAP_FAILED);
	bytes[0] = 1;
	can = madvise(bytes, UR_PAGES_HUGE, COLLAPSE) == 0;
	munmap(bytes, UR_PAGES_HUGE);
	close(fd);
	unlink(scratch.path);
	return can;
}

Test(pages, a_large_file_begins_where_a_huge_page_can)
{
	int fd = open(scratch.path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	size_t sizes[] = {1, 4097, UR_PAGES_HUGE, UR_PAGES_HUGE + 1,
			  5 * UR_PAGES_HUGE - 1};

	cr_assert_eq(ftruncate(fd, (off_t)(5 * UR_PAGES_HUGE)), 0);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		char *bytes =
		    ur_pages_map(fd, sizes[i], PROT_READ | PROT_WRITE);

		cr_assert_neq(bytes, MAP_FAILED);
		if (sizes[i] >= UR_PAGES_HUGE)
			cr_expect_eq((uintptr_t)bytes % UR_PAGES_HUGE, 0);
		bytes[sizes[i] - 1] = 1;
		cr_assert_eq(munmap(bytes, sizes[i]), 0);
	}
	close(fd);
}

Test(pages, a_large_table_has_huge_ones)
{
	struct ur_table *table;
	const char *bytes;
	size_t size;

	if (!can_collapse())
		cr_skip("the kernel gives none");
	table = make_table(scratch.path, 1000, MAPPINGS);
	bytes = ur_table_get_bytes(table, &size);
	cr_expect_gt(huge_kib_at(bytes), 0);
	ur_table_close(table);
}

static void check_all_is_there(const char *path)
{
	struct ur_table *table = make_table(path, 1000, MAPPINGS);
	struct stat status;

	cr_assert_eq(ur_table_publish(table), 0);
	cr_assert_eq(stat(path, &status), 0);
	cr_expect_geq((off_t)status.st_blocks * 512, status.st_size);
	ur_table_close(table);
}

/* Nothing of the file is yet to be found when it is written. */
Test(pages, all_of_a_table_is_there)
{
	check_all_is_there(scratch.path);
}

Test(pages, all_of_a_table_on_a_disk_is_there)
{
	char dir[] = "/var/tmp/uidrecv-test-XXXXXX", path[64];

	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/table", dir);
	check_all_is_there(path);
	cr_expect_eq(unlink(path), 0);
	cr_expect_eq(rmdir(dir), 0);
}

/* Where not even the first byte of each huge page fits, and where they do. */
Test(pages, a_full_disk_is_noticed_when_the_table_is_made)
{
	static const char *const sizes[] = {"size=16k,mode=0700",
					    "size=8m,mode=0700"};
	struct ur_table_options options = {.group = (gid_t)-1,
					   .entries_hint = MAPPINGS};
	struct ur_table *table;

	options.path = scratch.path;
	/* Seen by this process alone, and gone with it. */
	if (unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		cr_skip("cannot mount a tmpfs");
	for (size_t i = 0; i < 2; i++) {
		if (mount("none", scratch.dir, "tmpfs", 0, sizes[i]) < 0)
			cr_skip("cannot mount a tmpfs");
		cr_expect_eq(ur_table_create(&table, &options), -ENOSPC);
		cr_expect_eq(count_files(), 0);
		cr_assert_eq(umount(scratch.dir), 0);
	}
}
