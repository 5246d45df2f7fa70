/* SPDX-License-Identifier: BSD-2-Clause */
#include "store-private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store-check.h"

#define DATA "data.mdb"
/* A store in the making; LMDB puts its lock beside it. */
#define DATA_NEW "data.mdb.new"
#define DATA_NEW_LOCK "data.mdb.new-lock"
#define LOCK "receiver.lock"

static int sync_and_close(int fd)
{
	int rc = fsync(fd) < 0 ? -errno : 0;

	close(fd);
	return rc;
}

static int sync_parent(const char *path)
{
	size_t size = strlen(path);
	char *parent;
	int fd;

	while (size > 1 && path[size - 1] == '/')
		size--;
	while (size > 0 && path[size - 1] != '/')
		size--;
	parent = size > 0 ? strndup(path, size) : strdup(".");
	if (!parent)
		return -ENOMEM;
	fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(parent);
	return fd < 0 ? -errno : sync_and_close(fd);
}

/* Opens DIR, or makes it; others look up the table in it, so 0711. */
static int open_directory(const char *path)
{
	struct stat stat;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = 0;

	if (fd < 0 && errno == ENOENT) {
		if (mkdir(path, 0711) < 0)
			return -errno;
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0 && fchmod(fd, 0711) < 0)
			rc = -errno;
		if (rc == 0)
			rc = sync_parent(path);
	}
	if (fd < 0)
		return -errno;
	if (rc == 0 && fstat(fd, &stat) < 0)
		rc = -errno;
	if (rc == 0 && (stat.st_uid != geteuid() || (stat.st_mode & 022) != 0))
		rc = UIDRECV_E_STORE_OWNER;
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

/* Opens DIR/store, or makes it: ours alone, and no symbolic link. */
static int open_private(int directory)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	struct stat stat;
	int fd = openat(directory, "store", flags);
	int rc = 0;

	if (fd < 0 && errno == ENOENT) {
		if (mkdirat(directory, "store", 0700) < 0)
			return -errno;
		fd = openat(directory, "store", flags);
		if (fd >= 0 && (fchmod(fd, 0700) < 0 || fsync(directory) < 0))
			rc = -errno;
	}
	if (fd < 0)
		return errno == ELOOP || errno == ENOTDIR
			   ? UIDRECV_E_STORE_OWNER
			   : -errno;
	if (rc == 0 && fstat(fd, &stat) < 0)
		rc = -errno;
	if (rc == 0 &&
	    (stat.st_uid != geteuid() || (stat.st_mode & 07777) != 0700))
		rc = UIDRECV_E_STORE_OWNER;
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

/* What a creation that was interrupted may leave. */
static bool is_rest(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..") ||
	       !strcmp(name, LOCK) || !strcmp(name, DATA_NEW) ||
	       !strcmp(name, DATA_NEW_LOCK);
}

/*
 * A store is made where nothing is, and nowhere else: a lost data file, whose
 * lock.mdb is still there, must not become an empty store.
 */
static int check_content(int private)
{
	struct stat stat;
	struct dirent *entry;
	DIR *directory;
	int rc = 0, fd;

	if (fstatat(private, DATA, &stat, AT_SYMLINK_NOFOLLOW) == 0)
		return S_ISREG(stat.st_mode) ? 0 : UIDRECV_E_STORE;
	if (errno != ENOENT)
		return -errno;
	fd = openat(private, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	directory = fdopendir(fd);
	if (!directory) {
		close(fd);
		return -ENOMEM;
	}
	while (rc == 0 && (entry = readdir(directory)))
		if (!is_rest(entry->d_name))
			rc = UIDRECV_E_STORE;
	closedir(directory);
	return rc;
}

/*
 * flock() and not LMDB's lock: LMDB lets a second writer in, and its locks go
 * when anybody in the process closes a descriptor of its file.
 */
static int lock(struct ur_store *store, int private)
{
	int fd = openat(private, LOCK,
			O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int rc = errno == EWOULDBLOCK ? UIDRECV_E_STORE_BUSY : -errno;

		if (errno == EINTR)
			continue;
		close(fd);
		return rc;
	}
	store->lock_fd = fd;
	return 0;
}

static int unlink_rest(int private)
{
	if (unlinkat(private, DATA_NEW, 0) < 0 && errno != ENOENT)
		return -errno;
	if (unlinkat(private, DATA_NEW_LOCK, 0) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

/*
 * Makes a store under another name and renames it, so that what is called
 * data.mdb is a whole store at any time.
 */
static int create(struct ur_store *store, int private,
		  const struct ur_store_meta *meta)
{
	char *path;
	int rc = unlink_rest(private);

	if (rc < 0)
		return rc;
	if (asprintf(&path, "%s/" DATA_NEW, store->path) < 0)
		return -ENOMEM;
	rc = ur_store_env_create(store, path, meta);
	free(path);
	if (rc == 0 && renameat(private, DATA_NEW, private, DATA) < 0)
		rc = -errno;
	if (rc == 0)
		rc = unlink_rest(private);
	if (rc == 0 && fsync(private) < 0)
		rc = -errno;
	return rc;
}

static int check_or_create(struct ur_store *store, int private,
			   const struct ur_store_meta *meta)
{
	int fd = openat(private, DATA, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int rc;

	if (fd < 0 && errno == ENOENT)
		return create(store, private, meta);
	if (fd < 0)
		return errno == ELOOP ? UIDRECV_E_STORE : -errno;
	/* LMDB has not opened it yet, so closing this one hurts nobody. */
	rc = ur_store_check_file(fd);
	close(fd);
	return rc;
}

int ur_store_dir_prepare(struct ur_store *store, const char *directory,
			 const struct ur_store_meta *meta)
{
	int outer = open_directory(directory);
	int private, rc;

	if (outer < 0)
		return outer;
	private = open_private(outer);
	close(outer);
	if (private < 0)
		return private;
	rc = check_content(private);
	if (rc == 0)
		rc = lock(store, private);
	if (rc == 0)
		rc = check_or_create(store, private, meta);
	close(private);
	return rc;
}
