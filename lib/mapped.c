/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "mapped.h"
#include "pages.h"

int ur_trust_init(struct ur_trust *trust)
{
	int r;

	r = ur_clock_boot_id(trust->boot_id);
	if (r < 0)
		return r;
	trust->owner = geteuid();
	trust->has_owner = false;
	return ur_clock_namespace(&trust->time_namespace);
}

static int check_status(const struct stat *status, const struct ur_trust *trust)
{
	bool is_owner_right = status->st_uid == trust->owner ||
			      (!trust->has_owner && status->st_uid == 0);

	if (!S_ISREG(status->st_mode))
		return UIDRECV_E_TABLE;
	if (!is_owner_right || (status->st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return UIDRECV_E_TABLE_OWNER;
	if (status->st_size < (off_t)sizeof(struct ur_table_header))
		return UIDRECV_E_TABLE;
	return 0;
}

static int check_boot(const struct ur_table_layout *layout,
		      const struct ur_trust *trust)
{
	if (memcmp(layout->boot_id, trust->boot_id, sizeof(trust->boot_id)) ||
	    layout->time_namespace != trust->time_namespace)
		return UIDRECV_E_TABLE_BOOT;
	return 0;
}

static int map(struct ur_mapped *mapped, int fd, const struct ur_trust *trust)
{
	struct stat status;
	struct ur_view view;
	size_t size;
	void *bytes;
	int r;

	if (fstat(fd, &status) < 0)
		return -errno;
	r = check_status(&status, trust);
	if (r < 0)
		return r;
	size = (size_t)status.st_size;
	bytes = ur_pages_map(fd, size, PROT_READ);
	if (bytes == MAP_FAILED)
		return -errno;
	r = ur_view_init(&view, bytes, size);
	if (r == 0)
		r = check_boot(&view.layout, trust);
	if (r < 0) {
		munmap(bytes, size);
		return r;
	}
	mapped->view = view;
	mapped->size = size;
	mapped->device = status.st_dev;
	mapped->inode = status.st_ino;
	return 0;
}

int ur_mapped_open(struct ur_mapped *mapped, const struct ur_place *place,
		   const struct ur_trust *trust)
{
	int r, fd;

	/* A FIFO at the path must not make us wait for its writer. */
	fd = openat(place->dir_fd, place->name,
		    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	r = map(mapped, fd, trust);
	close(fd);
	return r;
}

void ur_mapped_close(struct ur_mapped *mapped)
{
	if (mapped->view.header != NULL) {
		/* The bytes came from mmap(), where they were not const. */
		munmap((void *)(uintptr_t)mapped->view.bytes, mapped->size);
	}
	mapped->view.header = NULL;
}
