/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "place.h"

int ur_place_open(struct ur_place *place, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;
	size_t dir_size = (size_t)(name - path);
	char dir[PATH_MAX] = ".";
	int fd;

	if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return -EINVAL;
	if (dir_size >= sizeof(dir) || strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	if (dir_size > 0) {
		memcpy(dir, path, dir_size);
		dir[dir_size] = '\0';
	}
	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	place->dir_fd = fd;
	memcpy(place->name, name, strlen(name) + 1);
	return 0;
}

void ur_place_close(struct ur_place *place)
{
	if (place->dir_fd >= 0)
		close(place->dir_fd);
	place->dir_fd = -1;
}
