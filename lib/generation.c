/* SPDX-License-Identifier: BSD-2-Clause */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "generation.h"
#include "layout.h"
#include "pages.h"

#define TEMPORARY_DIGITS 16
/* MADV_, of Linux 5.14 and 6.1; older headers lack them. */
#define POPULATE_WRITE 23
#define COLLAPSE 25

static int set_layout(struct ur_table_layout *layout,
		      const struct ur_table_layout *wanted, uint64_t base_us)
{
	int r;

	memset(layout, 0, sizeof(*layout));
	layout->change_base = wanted->change_base;
	layout->lines_max = wanted->lines_max;
	layout->slots_count = wanted->slots_count;
	layout->names_bytes = wanted->names_bytes;
	layout->base_us = base_us;
	r = ur_layout_set(layout);
	if (r == 0)
		r = ur_clock_boot_id(layout->boot_id);
	if (r == 0)
		r = ur_clock_namespace(&layout->time_namespace);
	while (r == 0 && layout->generation == 0) {
		if (getrandom(&layout->generation, sizeof(layout->generation),
			      0) < 0)
			r = -errno;
	}
	layout->header_check = ur_layout_check(layout);
	return r;
}

static int make_file(int fd, const struct ur_generation_site *site, off_t size)
{
	if (site->group != (gid_t)-1 && fchown(fd, (uid_t)-1, site->group) < 0)
		return -errno;
	if (fchmod(fd, site->mode) < 0 || ftruncate(fd, size) < 0)
		return -errno;
	return 0;
}

/*
 * Huge pages: a slot is then found without walking to its page, by readers
 * too, and there are fewer pages to make. The kernel makes each of what is
 * there of it, so there has to be something. Where it has none for a file, as
 * on a disk, it is asked for one alone.
 */
static void take_huge_pages(struct ur_generation *generation, int fd)
{
	size_t size = generation->layout.file_bytes & ~(UR_PAGES_HUGE - 1);

	for (size_t at = 0; at < size; at += UR_PAGES_HUGE) {
		if (posix_fallocate(fd, (off_t)at, 1) != 0)
			return;
		if (at == 0 &&
		    madvise(generation->bytes, UR_PAGES_HUGE, COLLAPSE) < 0 &&
		    errno == EINVAL)
			return;
	}
	if (size > 0)
		(void)madvise(generation->bytes, size, COLLAPSE);
}

static int take_pages(struct ur_generation *generation, int fd)
{
	const struct ur_table_layout *layout = &generation->layout;
	int error;

	take_huge_pages(generation, fd);
	/* A full disk must fail here, not as SIGBUS in the middle of a put. */
	do
		error = posix_fallocate(fd, 0, (off_t)layout->file_bytes);
	while (error == EINTR);
	if (error != 0)
		return -error;
	/*
	 * A table is filled in the order of a hash, which would take a page
	 * fault for each page. An old kernel that cannot is right, and slower.
	 */
	(void)madvise(generation->bytes, layout->names_offset, POPULATE_WRITE);
	return 0;
}

static int map(struct ur_generation *generation, int fd)
{
	struct ur_table_layout *layout = &generation->layout;
	char *bytes;
	int r;

	bytes = ur_pages_map(fd, layout->file_bytes, PROT_READ | PROT_WRITE);
	if (bytes == MAP_FAILED)
		return -errno;
	generation->bytes = bytes;
	r = take_pages(generation, fd);
	if (r < 0) {
		munmap(bytes, layout->file_bytes);
		return r;
	}
	generation->header = (void *)bytes;
	generation->lines = (void *)(bytes + layout->lines_offset);
	generation->slots = (void *)(bytes + layout->slots_offset);
	generation->kept = (void *)(bytes + ur_layout_kept_offset(layout));
	generation->header->layout = *layout;
	ur_store(&generation->header->heartbeat_us, ur_clock_boot_us());
	return 0;
}

static int create_file(struct ur_generation *generation,
		       const struct ur_generation_site *site)
{
	int fd, size;

	size = snprintf(generation->temporary, sizeof(generation->temporary),
			"%s.tmp.%016" PRIx64, site->place.name,
			generation->layout.generation);
	if (size >= (int)sizeof(generation->temporary))
		return -ENAMETOOLONG;
	fd = openat(site->place.dir_fd, generation->temporary,
		    O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd >= 0 ? fd : -errno;
}

int ur_generation_create(struct ur_generation *generation,
			 const struct ur_generation_site *site,
			 const struct ur_table_layout *layout)
{
	struct ur_generation made = {0};
	int r, fd;

	r = set_layout(&made.layout, layout, site->base_us);
	if (r < 0)
		return r;
	fd = create_file(&made, site);
	if (fd < 0)
		return fd;
	r = make_file(fd, site, (off_t)made.layout.file_bytes);
	if (r == 0)
		r = map(&made, fd);
	close(fd);
	if (r < 0) {
		(void)unlinkat(site->place.dir_fd, made.temporary, 0);
		return r;
	}
	*generation = made;
	return 0;
}

int ur_generation_publish(struct ur_generation *generation,
			  const struct ur_generation_site *site)
{
	if (renameat(site->place.dir_fd, generation->temporary,
		     site->place.dir_fd, site->place.name) < 0)
		return -errno;
	generation->temporary[0] = '\0';
	return 0;
}

void ur_generation_close(struct ur_generation *generation,
			 const struct ur_generation_site *site)
{
	if (generation->header == NULL)
		return;
	munmap(generation->bytes, generation->layout.file_bytes);
	generation->header = NULL;
	if (generation->temporary[0] != '\0')
		(void)unlinkat(site->place.dir_fd, generation->temporary, 0);
}

static bool is_temporary(const char *name, const char *table)
{
	size_t size = strlen(table);

	if (strncmp(name, table, size) != 0 ||
	    strncmp(name + size, ".tmp.", 5) != 0)
		return false;
	name += size + 5;
	return strlen(name) == TEMPORARY_DIGITS &&
	       strspn(name, "0123456789abcdef") == TEMPORARY_DIGITS;
}

void ur_generation_clean(const struct ur_generation_site *site)
{
	struct dirent *entry;
	DIR *dir;
	int fd;

	fd =
	    openat(site->place.dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	dir = fdopendir(fd);
	if (dir == NULL) {
		close(fd);
		return;
	}
	while ((entry = readdir(dir)) != NULL) {
		if (is_temporary(entry->d_name, site->place.name))
			(void)unlinkat(fd, entry->d_name, 0);
	}
	closedir(dir);
}

int ur_generation_open_former(const struct ur_generation_site *site,
			      uint64_t *ret_change)
{
	struct ur_table_header header;
	struct stat status;
	int fd;

	fd = openat(site->place.dir_fd, site->place.name,
		    O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -1;
	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) ||
	    pread(fd, &header, sizeof(header), 0) != sizeof(header) ||
	    ur_layout_verify(&header.layout, (size_t)status.st_size) < 0) {
		close(fd);
		return -1;
	}
	*ret_change = ur_load(&header.change);
	return fd;
}

void ur_generation_supersede_former(int fd)
{
	uint64_t superseded = 1;

	if (fd < 0)
		return;
	/*
	 * The page that readers have mapped is the one that write() changes,
	 * and write() cannot raise SIGBUS. If it fails, readers find the new
	 * table when they miss the heartbeat of the old.
	 */
	if (pwrite(fd, &superseded, sizeof(superseded),
		   offsetof(struct ur_table_header, superseded)) < 0)
		(void)0;
	close(fd);
}
