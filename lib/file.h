/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading a small file as a whole. */
#ifndef UR_FILE_H
#define UR_FILE_H

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* As ur_file_read(), of a descriptor; it need not know its size. */
static inline int ur_file_read_fd(int fd, size_t size_max, char **ret_bytes,
				  size_t *ret_size)
{
	size_t size = 0, room = 0;
	char *bytes = NULL, *grown;
	ssize_t got;
	int r;

	do {
		if (size == room) {
			room = room ? 2 * room : 65536;
			grown = realloc(bytes, room);
			if (!grown) {
				r = -ENOMEM;
				goto fail;
			}
			bytes = grown;
		}
		got = read(fd, bytes + size, room - size);
		if (got < 0 && errno != EINTR) {
			r = -errno;
			goto fail;
		}
		size += got > 0 ? (size_t)got : 0;
		if (size > size_max) {
			r = -EFBIG;
			goto fail;
		}
	} while (got != 0);
	*ret_bytes = bytes;
	*ret_size = size;
	return 0;

fail:
	free(bytes);
	return r;
}

/*
 * Reads all of a file into memory that the caller frees.
 *
 * Returns 0, -EFBIG if it has more than size_max bytes, -ENOMEM, or what
 * open() or read() said.
 */
static inline int ur_file_read(const char *path, size_t size_max,
			       char **ret_bytes, size_t *ret_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int r;

	if (fd < 0)
		return -errno;
	r = ur_file_read_fd(fd, size_max, ret_bytes, ret_size);
	close(fd);
	return r;
}

#endif
