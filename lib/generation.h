/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One generation of the table: one file, from its creation beside the path
 * until it gives way to the next. Knows files, not answers.
 */
#ifndef UR_GENERATION_H
#define UR_GENERATION_H

#include <sys/types.h>

#include "place.h"
#include "slot.h"

/* What all generations of a table have in common. */
struct ur_generation_site {
	struct ur_place place;
	mode_t mode;
	gid_t group; /* (gid_t)-1: leave */
	uint64_t base_us;
	uint64_t entries_hint; /* what the first one is made for */
};

struct ur_generation {
	struct ur_table_header *header; /* NULL: closed */
	struct ur_table_line *lines;
	struct ur_slot *slots;
	_Atomic uint32_t *kept; /* beside each slot */
	char *bytes;
	struct ur_table_layout layout;
	uint64_t names_used; /* bytes of the names area */
	uint32_t lines_used;
	char temporary[NAME_MAX + 1]; /* its file name, until it is published */
};

/* The word beside a slot. */
static inline _Atomic uint32_t *ur_generation_kept(
    const struct ur_generation *generation, const struct ur_slot *slot)
{
	return &generation->kept[slot - generation->slots];
}

/*
 * Makes a zeroed table in a temporary file, with all its blocks allocated.
 * Of layout, change_base, lines_max, slots_count and names_bytes are read. 0
 * or -errno.
 */
int ur_generation_create(struct ur_generation *generation,
			 const struct ur_generation_site *site,
			 const struct ur_table_layout *layout);

/* Gives the file its name. 0, or -errno: nothing has changed. */
int ur_generation_publish(struct ur_generation *generation,
			  const struct ur_generation_site *site);

/* Unmaps; removes the file if it was never published. */
void ur_generation_close(struct ur_generation *generation,
			 const struct ur_generation_site *site);

/* Removes what killed writers left behind. */
void ur_generation_clean(const struct ur_generation_site *site);

/*
 * The table that an earlier writer left at the place: opens it, and gives the
 * last change number that is sure to be in it. A file descriptor, or -1.
 */
int ur_generation_open_former(const struct ur_generation_site *site,
			      uint64_t *ret_change);

/* Tells the readers of the former table to look at the path, and closes. */
void ur_generation_supersede_former(int fd);

#endif
