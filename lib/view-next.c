/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>

#include "block.h"
#include "view-private.h"

/*
 * A position of an iteration is the number of a slot, and in so many bits
 * behind it a place: 0 the slot itself, else 1 + the port from which on blocks
 * of the multi-user address in the slot are wanted.
 */
#define PLACE_BITS 17
#define PLACES (UINT64_C(1) << PLACE_BITS)
#define PORTS 65536u

/* Reads the user or sentinel in a slot, but no block. As ur_view_find(). */
static int read_at(struct ur_view *view, const struct ur_slot *slot,
		   uint64_t store_now_us, struct ur_view_reading *ret_reading)
{
	struct uidrecv_address key;
	int r;

	ret_reading->slot = slot;
	ret_reading->word[0] = ur_load(&slot->word[0]);
	if (ur_meta_seq(ret_reading->word[0]) == 0)
		return 0;
	r = ur_view_read_slot(view, ret_reading, store_now_us);
	key.hi = ret_reading->word[1];
	key.lo = ret_reading->word[2];
	return r == 1 && ur_block_is_key(key) ? 0 : r;
}

/*
 * Reads the first block that lives and begins at *port or behind it, and moves
 * *port behind it (but if it is to be read again), or behind all if there is
 * none or the sentinel is damaged.
 */
static int next_block(struct ur_view *view,
		      const struct ur_view_reading *sentinel, uint32_t *port,
		      uint64_t store_now_us, struct uidrecv_mapping *mapping)
{
	uint32_t from = *port, first, size, blocks;
	struct ur_table_system system;
	struct ur_view_reading block;
	int r = 0;

	*port = PORTS;
	if (!ur_slot_get_system(sentinel->word, &system))
		return UIDRECV_E_TABLE;
	first = system.ports.start;
	size = system.block_size;
	blocks = system.ports.count / size;
	for (uint32_t i = from > first ? (from - first + size - 1) / size : 0;
	     i < blocks; i++) {
		struct uidrecv_ports ports = {(uint16_t)(first + i * size),
					      size};

		r = ur_view_read_block(view, sentinel, system.agent,
				       ports.start, store_now_us, &block);
		if (r == 0)
			continue;
		*port = ports.start + (r == -EAGAIN ? 0 : size);
		if (r < 0)
			return r;
		return ur_view_give_block(view, sentinel, &block, ports,
					  store_now_us, mapping);
	}
	return 0;
}

/* Reads the block at a place or behind it. As ur_view_next(). */
static int next_at(struct ur_view *view, const struct ur_slot *slot,
		   uint64_t *place, uint64_t store_now_us,
		   struct uidrecv_mapping *mapping)
{
	uint32_t port = (uint32_t)*place - 1;
	struct ur_view_reading reading;
	int r = -EAGAIN;

	for (int i = 0; i < UR_VIEW_TRIES_MAX && r == -EAGAIN; i++) {
		r = read_at(view, slot, store_now_us, &reading);
		if (r == 1 && ur_view_is_sentinel(&reading)) {
			r = next_block(view, &reading, &port, store_now_us,
				       mapping);
		} else if (r != -EAGAIN) {
			port = PORTS;
			/* Its address has come as multi-user already. */
			r = r < 0 ? r : 0;
		}
	}
	*place = 1 + port;
	return r;
}

/* Reads a slot by itself, and moves the place behind what it gives. */
static int first_at(struct ur_view *view, const struct ur_slot *slot,
		    uint64_t *place, uint64_t store_now_us,
		    struct uidrecv_mapping *mapping)
{
	struct ur_view_reading reading;
	struct ur_table_system system;
	int r;

	r = read_at(view, slot, store_now_us, &reading);
	/* What is in motion is asked for again by the next call. */
	if (r == -EAGAIN)
		return r;
	*place = PLACES;
	if (r != 1)
		return r;
	if (!ur_view_is_sentinel(&reading))
		return ur_view_give_user(view, &reading, store_now_us, mapping);
	if (!ur_slot_get_system(reading.word, &system))
		return UIDRECV_E_TABLE;
	*place = 1;
	return ur_view_give_system(view, &reading, UIDRECV_ANSWER_NO_PORT,
				   mapping);
}

int ur_view_next(struct ur_view *view, uint64_t *position,
		 uint64_t store_now_us, struct uidrecv_mapping *ret_mapping)
{
	int r = 0;

	while (r == 0 && *position >> PLACE_BITS < view->layout.slots_count) {
		const struct ur_slot *slot =
		    &view->slots[*position >> PLACE_BITS];
		uint64_t place = *position % PLACES;
		uint64_t at = *position - place;

		if (place == 0)
			r = first_at(view, slot, &place, store_now_us,
				     ret_mapping);
		else
			r = next_at(view, slot, &place, store_now_us,
				    ret_mapping);
		*position = at + (place > PORTS ? PLACES : place);
	}
	return r;
}
