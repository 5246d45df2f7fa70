/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The place of a file: its directory, held open, and its name in it. So a
 * process finds the next file at the same place after chdir() and chroot().
 * In libuidlookup; libuidrecv uses it through the private version node.
 */
#ifndef UR_PLACE_H
#define UR_PLACE_H

#include <limits.h>

#include <uidrecv/types.h>

struct ur_place {
	int dir_fd; /* O_PATH */
	char name[NAME_MAX + 1];
};

/*
 * Opens the directory of a path. 0; -EINVAL if the path does not end in a
 * name; -ENAMETOOLONG; or another errno of open().
 */
UIDRECV_API int ur_place_open(struct ur_place *place, const char *path);

UIDRECV_API void ur_place_close(struct ur_place *place);

#endif
