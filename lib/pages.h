/* SPDX-License-Identifier: BSD-2-Clause */
/* A file in memory, where huge pages of it fit. */
#ifndef UR_PAGES_H
#define UR_PAGES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#define UR_PAGES_HUGE ((size_t)2 << 20)

/* The same as mmap() of the whole file, shared. */
static inline void *ur_pages_map(int fd, size_t size, int protection)
{
	size_t room_size = size + UR_PAGES_HUGE;
	uintptr_t at = 0;
	void *room;

	if (size >= UR_PAGES_HUGE) {
		/* Another thread may take the place: then it is anywhere. */
		room = mmap(NULL, room_size, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (room != MAP_FAILED) {
			at = ((uintptr_t)room + UR_PAGES_HUGE - 1) &
			     ~(UR_PAGES_HUGE - 1);
			munmap(room, room_size);
		}
	}
	return mmap((void *)at, size, protection, MAP_SHARED, fd, 0);
}

#endif
