/* SPDX-License-Identifier: BSD-2-Clause */
#include "watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void ur_watch_done(struct ur_watch *watch)
{
	free(watch->heap);
	free(watch->slots);
	watch->heap = NULL;
	watch->slots = NULL;
	watch->count = watch->room = watch->slots_count = 0;
}

static size_t home_of(const struct ur_watch *watch,
		      struct uidrecv_address address)
{
	uint64_t z = watch->seed ^ address.hi;

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9) ^ address.lo;
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	z = (z ^ z >> 31) * UINT64_C(0x9e3779b97f4a7c15);
	return (size_t)(z >> 16) & (watch->slots_count - 1);
}

/* The slot of an address, or the free one where it would go. */
static size_t find_slot(const struct ur_watch *watch,
			struct uidrecv_address address)
{
	size_t slot = home_of(watch, address);

	for (; watch->slots[slot];
	     slot = (slot + 1) & (watch->slots_count - 1)) {
		const struct ur_watch_entry *entry =
		    &watch->heap[watch->slots[slot] - 1];

		if (entry->address.hi == address.hi &&
		    entry->address.lo == address.lo)
			break;
	}
	return slot;
}

static void put_at(struct ur_watch *watch, size_t place,
		   struct ur_watch_entry entry)
{
	watch->heap[place] = entry;
	watch->slots[entry.slot] = place + 1;
}

/* Moves an entry up or down until the heap is one again. */
static void settle_at(struct ur_watch *watch, size_t place,
		      struct ur_watch_entry entry)
{
	while (place > 0) {
		size_t parent = (place - 1) / 2;

		if (watch->heap[parent].until_us <= entry.until_us)
			break;
		put_at(watch, place, watch->heap[parent]);
		place = parent;
	}
	for (;;) {
		size_t child = 2 * place + 1;

		if (child + 1 < watch->count &&
		    watch->heap[child + 1].until_us <
			watch->heap[child].until_us)
			child++;
		if (child >= watch->count ||
		    watch->heap[child].until_us >= entry.until_us)
			break;
		put_at(watch, place, watch->heap[child]);
		place = child;
	}
	put_at(watch, place, entry);
}

/* Linear probing without gravestones: what could not be found moves back. */
static void free_slot(struct ur_watch *watch, size_t slot)
{
	size_t mask = watch->slots_count - 1;

	watch->slots[slot] = 0;
	for (size_t next = (slot + 1) & mask; watch->slots[next];
	     next = (next + 1) & mask) {
		size_t place = watch->slots[next] - 1;
		size_t home = home_of(watch, watch->heap[place].address);

		if (((next - home) & mask) < ((next - slot) & mask))
			continue;
		watch->slots[slot] = place + 1;
		watch->heap[place].slot = slot;
		watch->slots[next] = 0;
		slot = next;
	}
}

static void remove_at(struct ur_watch *watch, size_t place)
{
	struct ur_watch_entry last;

	watch->count--;
	free_slot(watch, watch->heap[place].slot);
	/* The slot of the last may have moved just now. */
	last = watch->heap[watch->count];
	if (place < watch->count)
		settle_at(watch, place, last);
}

int ur_watch_reserve(struct ur_watch *watch, size_t more)
{
	size_t room = watch->room ? watch->room : 16;
	size_t slots_count;
	struct ur_watch_entry *heap;
	size_t *slots;

	if (more <= watch->room - watch->count)
		return 0;
	while (room - watch->count < more) {
		if (room > SIZE_MAX / 4 / sizeof(*heap))
			return -ENOMEM;
		room *= 2;
	}
	slots_count = room * 2;
	heap = realloc(watch->heap, room * sizeof(*heap));
	if (!heap)
		return -ENOMEM;
	watch->heap = heap;
	slots = calloc(slots_count, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(watch->slots);
	watch->slots = slots;
	watch->slots_count = slots_count;
	watch->room = room;
	for (size_t i = 0; i < watch->count; i++) {
		heap[i].slot = find_slot(watch, heap[i].address);
		slots[heap[i].slot] = i + 1;
	}
	return 0;
}

void ur_watch_set(struct ur_watch *watch, struct uidrecv_address address,
		  uint64_t until_us)
{
	struct ur_watch_entry entry = {address, until_us, 0};
	size_t place;

	if (watch->slots_count == 0)
		return;
	entry.slot = find_slot(watch, address);
	place = watch->slots[entry.slot] ? watch->slots[entry.slot] - 1
					 : watch->count;
	if (until_us == UINT64_MAX) {
		if (place < watch->count)
			remove_at(watch, place);
		return;
	}
	if (place == watch->count)
		watch->count++;
	settle_at(watch, place, entry);
}

bool ur_watch_get_due(const struct ur_watch *watch, uint64_t now_us,
		      struct uidrecv_address *ret_address)
{
	if (watch->count == 0 || watch->heap[0].until_us > now_us)
		return false;
	*ret_address = watch->heap[0].address;
	return true;
}
