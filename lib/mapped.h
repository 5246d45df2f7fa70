/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A table file, mapped for reading after everything about it was checked. In
 * libuidlookup; libuidrecv uses it through the private version node of its map.
 */
#ifndef UR_MAPPED_H
#define UR_MAPPED_H

#include <sys/stat.h>
#include <sys/types.h>

#include "place.h"
#include "view.h"

/* Which tables a process may believe. */
struct ur_trust {
	uint8_t boot_id[16];
	uint64_t time_namespace;
	uid_t owner;
	bool has_owner; /* else root or the effective user of then */
};

struct ur_mapped {
	struct ur_view view;
	size_t size;
	dev_t device;
	ino_t inode;
};

/* Fills all but the owner's choice. 0 or -errno. */
UIDRECV_API int ur_trust_init(struct ur_trust *trust);

/* Opens and maps the file at a place. 0 or as uidrecv_reader_open(). */
UIDRECV_API int ur_mapped_open(struct ur_mapped *mapped,
			       const struct ur_place *place,
			       const struct ur_trust *trust);

UIDRECV_API void ur_mapped_close(struct ur_mapped *mapped);

#endif
