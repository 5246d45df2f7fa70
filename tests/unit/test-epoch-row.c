/* SPDX-License-Identifier: BSD-2-Clause */
/* The epochs of an agent as bytes, and in runs of everything. */
#include <criterion/criterion.h>

#include "cells.h"
#include "epoch.h"

/* Byte places, of which those of numbers begin with the highest byte. */
enum {
	CURRENT = 0,
	FLOOR = 4,
	HELD = 8,
	HELD_CLAIMS = 20,
	REFRESHED = 28,
	FLAGS = 44,
	WANTED,
	FORMERS_COUNT,
	ZERO,
	FORMER,
	FORMER_SIZE = 20,
};

static const struct ur_epochs full = {
    .current = 9,
    .floor = 2,
    .held = 7,
    .stated = 3,
    .held_claims = 4,
    .refreshed_us = START,
    .maps = 5,
    .is_open = true,
    .is_of_session = true,
    .wanted = UIDRECV_RESYNC_GAP,
    .formers_count = 3,
    .formers = {{2, START - 9, 1}, {5, START - 5, 2}, {8, START - 1, 3}},
};

static bool is_same(const struct ur_epochs *a, const struct ur_epochs *b)
{
	bool is =
	    a->current == b->current && a->floor == b->floor &&
	    a->held == b->held && a->stated == b->stated &&
	    a->held_claims == b->held_claims &&
	    a->refreshed_us == b->refreshed_us && a->maps == b->maps &&
	    a->is_open == b->is_open && a->is_of_session == b->is_of_session &&
	    a->wanted == b->wanted && a->formers_count == b->formers_count;

	for (int i = 0; i < UR_EPOCH_FORMERS; i++)
		is = is && a->formers[i].epoch == b->formers[i].epoch &&
		     a->formers[i].refreshed_us == b->formers[i].refreshed_us &&
		     a->formers[i].claims == b->formers[i].claims;
	return is;
}

Test(epoch_row, round_trip)
{
	struct ur_epochs empty = {0}, again;
	uint8_t bytes[UR_EPOCHS_SIZE];

	ur_epochs_encode(&full, bytes);
	cr_assert(ur_epochs_decode(&again, bytes));
	cr_expect(is_same(&full, &again));
	ur_epochs_encode(&empty, bytes);
	for (size_t i = 0; i < sizeof(bytes); i++)
		cr_expect_eq(bytes[i], 0);
	cr_assert(ur_epochs_decode(&again, bytes));
	cr_expect(is_same(&empty, &again));
}

static bool takes(size_t place, uint8_t value)
{
	struct ur_epochs again;
	uint8_t bytes[UR_EPOCHS_SIZE], written[UR_EPOCHS_SIZE];

	ur_epochs_encode(&full, bytes);
	bytes[place] = value;
	if (!ur_epochs_decode(&again, bytes))
		return false;
	/* Taken, so it must be the one form of what it says. */
	ur_epochs_encode(&again, written);
	cr_expect_arr_eq(bytes, written, sizeof(bytes), "byte %zu", place);
	return true;
}

Test(epoch_row, S15_every_byte_is_sound_or_refused)
{
	unsigned int refused = 0;

	for (size_t place = 0; place < UR_EPOCHS_SIZE; place++)
		for (unsigned int value = 0; value < 256; value++)
			refused += !takes(place, (uint8_t)value);
	cr_expect_gt(refused, 5000);
}

#define expect_refused(place, value) cr_expect_not(takes((place), (value)))

Test(epoch_row, S15_what_cannot_be_is_refused)
{
	cr_expect(takes(FLOOR + 3, 1));
	/* The floor or the held above the current, the held not above it. */
	expect_refused(FLOOR, 1);
	expect_refused(HELD, 1);
	expect_refused(HELD + 3, 2);
	expect_refused(HELD + 3, 1);
	/* Claims are held, but none can be. */
	expect_refused(HELD + 3, 0);
	/* What a flag, a wish, or the number of formers cannot be. */
	expect_refused(FLAGS, 4);
	expect_refused(WANTED, UIDRECV_RESYNC_BUSY + 1);
	expect_refused(WANTED, 255);
	expect_refused(FORMERS_COUNT, 2);
	expect_refused(FORMERS_COUNT, 4);
	expect_refused(FORMERS_COUNT, 5);
	expect_refused(ZERO, 1);
	/* Formers below the floor, out of order, twice, and the current one. */
	expect_refused(FORMER + 3, 1);
	expect_refused(FORMER + 3, 6);
	expect_refused(FORMER + 3, 5);
	expect_refused(FORMER + 2 * FORMER_SIZE + 3, 9);
	/* One without claims. */
	expect_refused(FORMER + FORMER_SIZE - 1, 0);
	/* What is behind the last of them. */
	expect_refused(FORMER + 4 * FORMER_SIZE - 1, 1);
}

Test(epoch_row, S15_a_former_without_a_time_or_without_room_is_refused)
{
	struct ur_epochs epochs = full, again;
	uint8_t bytes[UR_EPOCHS_SIZE];

	epochs.formers[1].refreshed_us = 0;
	ur_epochs_encode(&epochs, bytes);
	cr_expect_not(ur_epochs_decode(&again, bytes));
	epochs = full;
	epochs.formers_count = 4;
	epochs.formers[3] = epochs.formers[2];
	epochs.formers[2].epoch = 7;
	epochs.refreshed_us = 0;
	ur_epochs_encode(&epochs, bytes);
	cr_expect(ur_epochs_decode(&again, bytes));
	/* The next BEGIN would have no place for this time. */
	epochs.refreshed_us = START;
	ur_epochs_encode(&epochs, bytes);
	cr_expect_not(ur_epochs_decode(&again, bytes));
}

/* What a store would have: the number of claims of each epoch. */
#define EPOCHS_MAX 300
static uint64_t claims[EPOCHS_MAX];

static uint64_t claims_of(uint32_t first, uint32_t last)
{
	uint64_t count = 0;

	for (uint32_t i = first; i < last; i++)
		count += claims[i];
	return count;
}

static void check_walk(const struct ur_epochs *epochs, uint64_t seed)
{
	struct ur_epochs again;
	uint8_t bytes[UR_EPOCHS_SIZE];

	ur_epochs_encode(epochs, bytes);
	cr_assert(ur_epochs_decode(&again, bytes), "seed %ju", (uintmax_t)seed);
	cr_assert(is_same(epochs, &again), "seed %ju", (uintmax_t)seed);
	cr_assert_eq(epochs->stated, claims[epochs->current], "seed %ju",
		     (uintmax_t)seed);
	cr_assert_eq(epochs->held_claims,
		     epochs->held ? claims_of(epochs->floor, epochs->held) : 0,
		     "seed %ju", (uintmax_t)seed);
	for (int i = 0; i < epochs->formers_count; i++)
		cr_assert_eq(epochs->formers[i].claims,
			     claims[epochs->formers[i].epoch], "seed %ju",
			     (uintmax_t)seed);
}

static void end_somehow(struct ur_epochs *epochs, uint64_t *seed)
{
	uint64_t older = claims_of(epochs->floor, epochs->current);

	if (ur_epochs_check_end(epochs, draw(seed, 8) ? epochs->maps : 99))
		ur_epochs_refuse_end(epochs, UIDRECV_RESYNC_COUNT);
	else if (older > 0 && draw(seed, 3))
		ur_epochs_hold(epochs, older);
	else
		ur_epochs_end(epochs);
}

static void lose_somewhere(struct ur_epochs *epochs, uint64_t *seed)
{
	uint32_t span = epochs->current - epochs->floor + 1;
	uint32_t epoch = epochs->floor + (uint32_t)draw(seed, span);

	if (claims[epoch] == 0)
		return;
	claims[epoch]--;
	ur_epochs_lose(epochs, epoch);
}

static void step(struct ur_epochs *epochs, uint64_t *seed, int now)
{
	switch (draw(seed, 12)) {
	case 0:
	case 1:
		ur_epochs_begin(epochs);
		break;
	case 2:
	case 3:
		end_somehow(epochs, seed);
		break;
	case 4:
		if (epochs->held)
			ur_epochs_accept(epochs);
		break;
	case 5:
	case 6:
		if (!ur_epochs_check_refresh(epochs))
			ur_epochs_refresh(epochs, START + (uint64_t)now);
		break;
	case 7:
		if (draw(seed, 4) == 0)
			ur_epochs_new_session(epochs);
		else
			ur_epochs_want(epochs, UIDRECV_RESYNC_GAP);
		break;
	case 8:
	case 9:
		lose_somewhere(epochs, seed);
		break;
	default:
		ur_epochs_gain(epochs);
		claims[epochs->current]++;
	}
}

Test(epoch_row, P25_runs_of_everything_stay_sound)
{
	unsigned int with_all_formers = 0;

	for (uint64_t run = 0; run < 5000; run++) {
		struct ur_epochs epochs = {0};
		uint64_t seed = run;

		memset(claims, 0, sizeof(claims));
		for (int i = 0; i < EPOCHS_MAX - 1; i++) {
			step(&epochs, &seed, i);
			check_walk(&epochs, run);
			with_all_formers +=
			    epochs.formers_count == UR_EPOCH_FORMERS;
		}
	}
	/* They went where it is narrow. */
	cr_expect_gt(with_all_formers, 100);
}
