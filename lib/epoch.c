/* SPDX-License-Identifier: BSD-2-Clause */
#include "epoch.h"

#include <string.h>

#include "bytes.h"

enum {
	IS_OPEN = 1 << 0,
	IS_WHOLE = 1 << 1,
	FLAGS = IS_OPEN | IS_WHOLE,
};

static uint64_t refreshed_of(const struct ur_epochs *epochs, uint32_t epoch)
{
	if (epoch == epochs->current)
		return epochs->refreshed_us;
	for (int i = 0; i < epochs->formers_count; i++)
		if (epochs->formers[i].epoch == epoch)
			return epochs->formers[i].refreshed_us;
	return 0;
}

void ur_epochs_settle(const struct ur_epochs *epochs, struct ur_claim *claim)
{
	uint64_t refreshed_us, deadline_us;

	if (claim->epoch < epochs->floor) {
		claim->deadline_us = 0;
		return;
	}
	refreshed_us = refreshed_of(epochs, claim->epoch);
	if (!refreshed_us)
		return;
	deadline_us = ur_deadline_us(refreshed_us, claim->lifetime_s);
	if (deadline_us > claim->deadline_us)
		claim->deadline_us = deadline_us;
}

void ur_epochs_gain(struct ur_epochs *epochs)
{
	epochs->stated++;
}

static void remove_former(struct ur_epochs *epochs, int place)
{
	epochs->formers_count--;
	memmove(&epochs->formers[place], &epochs->formers[place + 1],
		(size_t)(epochs->formers_count - place) *
		    sizeof(epochs->formers[0]));
	memset(&epochs->formers[epochs->formers_count], 0,
	       sizeof(epochs->formers[0]));
}

void ur_epochs_lose(struct ur_epochs *epochs, uint32_t epoch)
{
	if (epoch == epochs->current) {
		if (epochs->stated > 0)
			epochs->stated--;
		return;
	}
	if (epoch < epochs->held && epochs->held_claims > 0)
		epochs->held_claims--;
	for (int i = 0; i < epochs->formers_count; i++) {
		if (epochs->formers[i].epoch != epoch)
			continue;
		if (--epochs->formers[i].claims == 0)
			remove_former(epochs, i);
		return;
	}
}

void ur_epochs_begin(struct ur_epochs *epochs)
{
	epochs->maps = 0;
	epochs->is_open = true;
	epochs->is_whole = false;
	/* After four thousand million snapshots nothing is dropped any more. */
	if (epochs->current == UINT32_MAX)
		return;
	/* There is room: a REFRESH ALL is taken only while there is. */
	if (epochs->refreshed_us && epochs->stated > 0)
		epochs->formers[epochs->formers_count++] =
		    (struct ur_epoch_former){
			.epoch = epochs->current,
			.refreshed_us = epochs->refreshed_us,
			.claims = epochs->stated,
		    };
	epochs->current++;
	epochs->refreshed_us = 0;
	epochs->stated = 0;
}

uint8_t ur_epochs_check_end(const struct ur_epochs *epochs, uint64_t count)
{
	if (!epochs->is_open)
		return UIDRECV_RESYNC_NO_SNAPSHOT;
	return count == epochs->maps ? 0 : UIDRECV_RESYNC_COUNT;
}

static void drop(struct ur_epochs *epochs, uint32_t floor)
{
	epochs->floor = floor;
	epochs->held = 0;
	epochs->held_claims = 0;
	while (epochs->formers_count > 0 && epochs->formers[0].epoch < floor)
		remove_former(epochs, 0);
}

static void complete(struct ur_epochs *epochs)
{
	epochs->is_open = false;
	epochs->is_whole = true;
	epochs->wanted = 0;
}

void ur_epochs_end(struct ur_epochs *epochs)
{
	drop(epochs, epochs->current);
	complete(epochs);
}

void ur_epochs_hold(struct ur_epochs *epochs, uint64_t claims)
{
	epochs->held = epochs->current;
	epochs->held_claims = claims;
	complete(epochs);
}

void ur_epochs_accept(struct ur_epochs *epochs)
{
	drop(epochs, epochs->held);
}

void ur_epochs_refuse_end(struct ur_epochs *epochs, uint8_t code)
{
	epochs->is_open = false;
	epochs->wanted = code;
}

void ur_epochs_want(struct ur_epochs *epochs, uint8_t code)
{
	if (code == UIDRECV_RESYNC_GAP) {
		epochs->is_open = false;
		epochs->is_whole = false;
	}
	epochs->wanted = code;
}

uint8_t ur_epochs_check_refresh(const struct ur_epochs *epochs)
{
	if (!epochs->is_whole)
		return UIDRECV_RESYNC_NO_SNAPSHOT;
	/* The next BEGIN must find room for the time of this one. */
	if (epochs->formers_count == UR_EPOCH_FORMERS)
		return UIDRECV_RESYNC_BUSY;
	return 0;
}

void ur_epochs_refresh(struct ur_epochs *epochs, uint64_t as_of_us)
{
	if (as_of_us > epochs->refreshed_us)
		epochs->refreshed_us = as_of_us;
}

void ur_epochs_new_session(struct ur_epochs *epochs)
{
	epochs->is_open = false;
	epochs->is_whole = false;
	epochs->maps = 0;
}

uint32_t ur_epochs_group(const struct ur_epochs *epochs, uint32_t epoch)
{
	if (epoch == epochs->current || epoch < epochs->floor)
		return epoch;
	if (epochs->held && epoch >= epochs->held)
		return epochs->held;
	return epochs->floor;
}

void ur_epochs_encode(const struct ur_epochs *epochs,
		      uint8_t bytes[UR_EPOCHS_SIZE])
{
	uint8_t *to = ur_bytes_put_u32(bytes, epochs->current);

	to = ur_bytes_put_u32(to, epochs->floor);
	to = ur_bytes_put_u32(to, epochs->held);
	to = ur_bytes_put_u64(to, epochs->stated);
	to = ur_bytes_put_u64(to, epochs->held_claims);
	to = ur_bytes_put_u64(to, epochs->refreshed_us);
	to = ur_bytes_put_u64(to, epochs->maps);
	to = ur_bytes_put_u8(to, (uint8_t)((epochs->is_open ? IS_OPEN : 0) |
					   (epochs->is_whole ? IS_WHOLE : 0)));
	to = ur_bytes_put_u8(to, epochs->wanted);
	to = ur_bytes_put_u8(to, epochs->formers_count);
	to = ur_bytes_put_u8(to, 0);
	for (int i = 0; i < UR_EPOCH_FORMERS; i++) {
		to = ur_bytes_put_u32(to, epochs->formers[i].epoch);
		to = ur_bytes_put_u64(to, epochs->formers[i].refreshed_us);
		to = ur_bytes_put_u64(to, epochs->formers[i].claims);
	}
}

static bool are_formers_sound(const struct ur_epochs *epochs)
{
	uint32_t least = epochs->floor;

	for (int i = 0; i < UR_EPOCH_FORMERS; i++) {
		const struct ur_epoch_former *former = &epochs->formers[i];

		if (i >= epochs->formers_count) {
			if (former->epoch || former->refreshed_us ||
			    former->claims)
				return false;
			continue;
		}
		if (former->epoch < least || former->epoch >= epochs->current ||
		    !former->refreshed_us || !former->claims)
			return false;
		least = former->epoch + 1;
	}
	return true;
}

/* What the functions above can lead to. */
static bool is_sound(const struct ur_epochs *epochs)
{
	if (epochs->floor > epochs->current || epochs->held > epochs->current ||
	    (epochs->held && epochs->held <= epochs->floor) ||
	    (!epochs->held && epochs->held_claims) ||
	    epochs->wanted > UIDRECV_RESYNC_BUSY ||
	    (epochs->is_open && epochs->is_whole) ||
	    (epochs->refreshed_us && epochs->formers_count == UR_EPOCH_FORMERS))
		return false;
	return are_formers_sound(epochs);
}

bool ur_epochs_decode(struct ur_epochs *epochs,
		      const uint8_t bytes[UR_EPOCHS_SIZE])
{
	struct ur_bytes from = ur_bytes_of(bytes, UR_EPOCHS_SIZE);
	uint8_t flags, zero;

	memset(epochs, 0, sizeof(*epochs));
	epochs->current = ur_bytes_u32(&from);
	epochs->floor = ur_bytes_u32(&from);
	epochs->held = ur_bytes_u32(&from);
	epochs->stated = ur_bytes_u64(&from);
	epochs->held_claims = ur_bytes_u64(&from);
	epochs->refreshed_us = ur_bytes_u64(&from);
	epochs->maps = ur_bytes_u64(&from);
	flags = ur_bytes_u8(&from);
	epochs->wanted = ur_bytes_u8(&from);
	epochs->formers_count = ur_bytes_u8(&from);
	zero = ur_bytes_u8(&from);
	if (flags & ~FLAGS || zero || epochs->formers_count > UR_EPOCH_FORMERS)
		return false;
	epochs->is_open = flags & IS_OPEN;
	epochs->is_whole = flags & IS_WHOLE;
	for (int i = 0; i < UR_EPOCH_FORMERS; i++) {
		struct ur_epoch_former *former = &epochs->formers[i];

		former->epoch = ur_bytes_u32(&from);
		former->refreshed_us = ur_bytes_u64(&from);
		former->claims = ur_bytes_u64(&from);
	}
	return is_sound(epochs);
}
