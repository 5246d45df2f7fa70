/* SPDX-License-Identifier: BSD-2-Clause */
/* The epochs of an agent, without a store. */
#include <criterion/criterion.h>

#include "cells.h"
#include "epoch.h"

/* So many claims come, each of the current epoch. */
static void gain(struct ur_epochs *epochs, int count)
{
	while (count-- > 0)
		ur_epochs_gain(epochs);
}

static void lose(struct ur_epochs *epochs, uint32_t epoch, int count)
{
	while (count-- > 0)
		ur_epochs_lose(epochs, epoch);
}

static uint64_t settled(const struct ur_epochs *epochs, uint32_t epoch,
			uint64_t deadline_us, uint32_t lifetime_s)
{
	struct ur_claim claim = {.epoch = epoch,
				 .deadline_us = deadline_us,
				 .lifetime_s = lifetime_s};

	ur_epochs_settle(epochs, &claim);
	cr_expect_eq(claim.epoch, epoch);
	cr_expect_eq(claim.lifetime_s, lifetime_s);
	return claim.deadline_us;
}

/* An agent with a snapshot behind it: epoch 1, of so many claims. */
static struct ur_epochs one_of(int claims)
{
	struct ur_epochs epochs = {0};

	ur_epochs_begin(&epochs);
	gain(&epochs, claims);
	ur_epochs_end(&epochs);
	return epochs;
}

/* Begins the next epoch, of one claim, which it renews; drops nothing. */
static void renew_next(struct ur_epochs *epochs, uint64_t as_of_us)
{
	uint64_t older = epochs->held_claims + epochs->stated;

	ur_epochs_begin(epochs);
	gain(epochs, 1);
	ur_epochs_hold(epochs, older);
	cr_assert_eq(ur_epochs_check_refresh(epochs), 0);
	ur_epochs_refresh(epochs, as_of_us);
}

Test(epoch, settle_leaves_what_nothing_was_said_of)
{
	struct ur_epochs epochs = {0};

	cr_expect_eq(settled(&epochs, 0, START, 60), START);
	cr_expect_eq(settled(&epochs, 0, 0, 60), 0);
	ur_epochs_begin(&epochs);
	cr_expect_eq(settled(&epochs, 0, START, 60), START);
	cr_expect_eq(settled(&epochs, 1, START, 60), START);
}

Test(epoch, settle_ends_what_is_below_the_floor)
{
	struct ur_epochs epochs = one_of(1);

	cr_expect_eq(settled(&epochs, 0, START, 60), 0);
	cr_expect_eq(settled(&epochs, 0, UR_TIME_NEVER, UIDRECV_LIFETIME_NEVER),
		     0);
	cr_expect_eq(settled(&epochs, 1, START, 60), START);
	/* No REFRESH ALL brings it back. */
	ur_epochs_refresh(&epochs, START);
	cr_expect_eq(settled(&epochs, 0, START, 60), 0);
}

Test(epoch, settle_renews_the_current_epoch)
{
	struct ur_epochs epochs = one_of(1);

	ur_epochs_refresh(&epochs, START);
	cr_expect_eq(settled(&epochs, 1, START - SECOND, 60),
		     START + 60 * SECOND);
	/* It never shortens. */
	cr_expect_eq(settled(&epochs, 1, START + 61 * SECOND, 60),
		     START + 61 * SECOND);
	cr_expect_eq(settled(&epochs, 1, UR_TIME_NEVER, 60), UR_TIME_NEVER);
	cr_expect_eq(settled(&epochs, 1, START, UIDRECV_LIFETIME_NEVER),
		     UR_TIME_NEVER);
	/* It saturates below NEVER. */
	ur_epochs_refresh(&epochs, UR_TIME_NEVER - 10);
	cr_expect_eq(settled(&epochs, 1, START, 60), UR_TIME_NEVER - 1);
}

Test(epoch, settle_renews_by_the_time_of_each_epoch)
{
	struct ur_epochs epochs = one_of(1);

	ur_epochs_refresh(&epochs, START);
	renew_next(&epochs, START + HOUR);
	ur_epochs_begin(&epochs);
	cr_expect_eq(settled(&epochs, 1, 1, 60), START + 60 * SECOND);
	cr_expect_eq(settled(&epochs, 2, 1, 60), START + HOUR + 60 * SECOND);
	cr_expect_eq(settled(&epochs, 3, 1, 60), 1);
	cr_expect_eq(settled(&epochs, 2, START + 2 * HOUR, 60),
		     START + 2 * HOUR);
}

Test(epoch, gain_and_lose_count_the_current_epoch)
{
	struct ur_epochs epochs = one_of(3);

	cr_expect_eq(epochs.stated, 3);
	lose(&epochs, 1, 2);
	cr_expect_eq(epochs.stated, 1);
	ur_epochs_begin(&epochs);
	cr_expect_eq(epochs.stated, 0);
	gain(&epochs, 1);
	/* Of the epoch before, which nobody counts. */
	lose(&epochs, 1, 1);
	cr_expect_eq(epochs.stated, 1);
	/* Damage upstream must not make it 2^64. */
	lose(&epochs, 2, 2);
	cr_expect_eq(epochs.stated, 0);
}

Test(epoch, lose_counts_what_is_held)
{
	struct ur_epochs epochs = one_of(3);

	ur_epochs_begin(&epochs);
	gain(&epochs, 1);
	ur_epochs_hold(&epochs, 3);
	lose(&epochs, 1, 2);
	cr_expect_eq(epochs.held_claims, 1);
	/* Not held: it was stated in the epoch that held them. */
	lose(&epochs, 2, 1);
	cr_expect_eq(epochs.held_claims, 1);
	ur_epochs_begin(&epochs);
	gain(&epochs, 1);
	lose(&epochs, 2, 1);
	cr_expect_eq(epochs.held_claims, 1);
	lose(&epochs, 1, 2);
	cr_expect_eq(epochs.held_claims, 0);
	cr_expect_eq(epochs.stated, 1);
}

Test(epoch, formers_go_with_their_last_claim)
{
	struct ur_epochs epochs = one_of(2);

	ur_epochs_refresh(&epochs, START);
	renew_next(&epochs, START + 1);
	ur_epochs_begin(&epochs);
	cr_assert_eq(epochs.formers_count, 2);
	cr_expect_eq(epochs.formers[0].epoch, 1);
	cr_expect_eq(epochs.formers[0].claims, 2);
	cr_expect_eq(epochs.formers[0].refreshed_us, START);
	cr_expect_eq(epochs.formers[1].epoch, 2);
	cr_expect_eq(epochs.formers[1].claims, 1);
	lose(&epochs, 1, 1);
	cr_expect_eq(epochs.formers_count, 2);
	cr_expect_eq(epochs.formers[0].claims, 1);
	lose(&epochs, 1, 1);
	cr_assert_eq(epochs.formers_count, 1);
	cr_expect_eq(epochs.formers[0].epoch, 2);
	cr_expect_eq(epochs.formers[0].refreshed_us, START + 1);
	lose(&epochs, 2, 1);
	cr_expect_eq(epochs.formers_count, 0);
	cr_expect_eq(epochs.formers[0].epoch, 0);
}

Test(epoch, begin_keeps_only_times_that_renew_something)
{
	struct ur_epochs epochs = one_of(2);

	/* No REFRESH ALL. */
	ur_epochs_begin(&epochs);
	cr_expect_eq(epochs.formers_count, 0);
	/* One of nothing. */
	ur_epochs_hold(&epochs, 2);
	ur_epochs_refresh(&epochs, START);
	ur_epochs_begin(&epochs);
	cr_expect_eq(epochs.formers_count, 0);
	cr_expect_eq(epochs.refreshed_us, 0);
	cr_expect_eq(epochs.current, 3);
}

Test(epoch, begin_opens_and_drops_nothing)
{
	struct ur_epochs epochs = one_of(2);

	ur_epochs_want(&epochs, UIDRECV_RESYNC_GAP);
	epochs.maps = 7;
	ur_epochs_begin(&epochs);
	cr_expect(epochs.is_open);
	cr_expect_not(epochs.is_whole);
	cr_expect_eq(epochs.maps, 0);
	cr_expect_eq(epochs.floor, 1);
	cr_expect_eq(epochs.current, 2);
	/* Only the end fulfils the wish. */
	cr_expect_eq(epochs.wanted, UIDRECV_RESYNC_GAP);
}

/* The time of each must have its place at the next BEGIN. */
Test(epoch, a_fifth_time_is_not_taken)
{
	struct ur_epochs epochs = one_of(1);

	ur_epochs_refresh(&epochs, START);
	for (int i = 1; i < UR_EPOCH_FORMERS; i++)
		renew_next(&epochs, START + (uint64_t)i * 1000);
	ur_epochs_begin(&epochs);
	gain(&epochs, 1);
	cr_assert_eq(epochs.formers_count, UR_EPOCH_FORMERS);
	ur_epochs_hold(&epochs, UR_EPOCH_FORMERS);
	cr_expect_eq(ur_epochs_check_refresh(&epochs), UIDRECV_RESYNC_BUSY);
	/* Until a place is free. */
	lose(&epochs, 2, 1);
	cr_expect_eq(ur_epochs_check_refresh(&epochs), 0);
	ur_epochs_refresh(&epochs, START + 10000);
	/* Another one of the same epoch needs no other. */
	cr_expect_eq(ur_epochs_check_refresh(&epochs), 0);
	ur_epochs_begin(&epochs);
	cr_expect_eq(epochs.formers_count, UR_EPOCH_FORMERS);
	cr_expect_eq(epochs.formers[3].epoch, 5);
	cr_expect_eq(epochs.formers[3].refreshed_us, START + 10000);
	cr_expect_eq(settled(&epochs, 1, 1, 1), START + SECOND);
	cr_expect_eq(settled(&epochs, 5, 1, 1), START + 10000 + SECOND);
}

Test(epoch, the_last_epoch_has_no_next)
{
	struct ur_epochs epochs = {.current = UINT32_MAX - 1};
	uint8_t bytes[UR_EPOCHS_SIZE];

	ur_epochs_begin(&epochs);
	cr_expect_eq(epochs.current, UINT32_MAX);
	gain(&epochs, 2);
	ur_epochs_end(&epochs);
	ur_epochs_refresh(&epochs, START);
	for (int i = 0; i < 2 * UR_EPOCH_FORMERS; i++) {
		ur_epochs_begin(&epochs);
		cr_expect(epochs.is_open);
		ur_epochs_end(&epochs);
	}
	cr_expect_eq(epochs.current, UINT32_MAX);
	cr_expect_eq(epochs.floor, UINT32_MAX);
	cr_expect_eq(epochs.stated, 2);
	cr_expect_eq(epochs.refreshed_us, START);
	cr_expect_eq(epochs.formers_count, 0);
	cr_expect_eq(settled(&epochs, UINT32_MAX, 1, 1), START + SECOND);
	ur_epochs_encode(&epochs, bytes);
	cr_expect(ur_epochs_decode(&epochs, bytes));
}

Test(epoch, an_end_needs_a_beginning_and_its_count)
{
	struct ur_epochs epochs = {0};

	cr_expect_eq(ur_epochs_check_end(&epochs, 0),
		     UIDRECV_RESYNC_NO_SNAPSHOT);
	ur_epochs_begin(&epochs);
	cr_expect_eq(ur_epochs_check_end(&epochs, 0), 0);
	epochs.maps = 3;
	cr_expect_eq(ur_epochs_check_end(&epochs, 2), UIDRECV_RESYNC_COUNT);
	cr_expect_eq(ur_epochs_check_end(&epochs, 4), UIDRECV_RESYNC_COUNT);
	cr_expect_eq(ur_epochs_check_end(&epochs, 3), 0);
	ur_epochs_end(&epochs);
	cr_expect_eq(ur_epochs_check_end(&epochs, 3),
		     UIDRECV_RESYNC_NO_SNAPSHOT);
}

Test(epoch, end_drops_all_that_is_older)
{
	struct ur_epochs epochs = one_of(2);

	ur_epochs_refresh(&epochs, START);
	renew_next(&epochs, START + 1);
	ur_epochs_begin(&epochs);
	ur_epochs_want(&epochs, UIDRECV_RESYNC_COUNT);
	ur_epochs_end(&epochs);
	cr_expect_eq(epochs.floor, 3);
	cr_expect_eq(epochs.held, 0);
	cr_expect_eq(epochs.held_claims, 0);
	cr_expect_eq(epochs.formers_count, 0);
	cr_expect_eq(epochs.wanted, 0);
	cr_expect_not(epochs.is_open);
}

Test(epoch, what_is_held_waits_for_accept)
{
	struct ur_epochs epochs = one_of(4);

	ur_epochs_refresh(&epochs, START);
	ur_epochs_begin(&epochs);
	gain(&epochs, 1);
	ur_epochs_want(&epochs, UIDRECV_RESYNC_GAP);
	ur_epochs_hold(&epochs, 4);
	cr_expect_eq(epochs.floor, 1);
	cr_expect_eq(epochs.held, 2);
	cr_expect_eq(epochs.held_claims, 4);
	cr_expect_eq(epochs.formers_count, 1);
	cr_expect_eq(epochs.wanted, 0);
	cr_expect_not(epochs.is_open);
	cr_expect_eq(settled(&epochs, 1, 1, 60), START + 60 * SECOND);
	/* What is stated since, even in another epoch, is not accepted away. */
	ur_epochs_refresh(&epochs, START + 1000);
	ur_epochs_begin(&epochs);
	ur_epochs_accept(&epochs);
	cr_expect_eq(epochs.floor, 2);
	cr_expect_eq(epochs.held, 0);
	cr_expect_eq(epochs.held_claims, 0);
	cr_assert_eq(epochs.formers_count, 1);
	cr_expect_eq(epochs.formers[0].epoch, 2);
	cr_expect_eq(settled(&epochs, 1, START, 60), 0);
	cr_expect_eq(settled(&epochs, 2, 1, 60), START + 1000 + 60 * SECOND);
	cr_expect(epochs.is_open);
}

Test(epoch, a_refused_end_drops_nothing)
{
	struct ur_epochs epochs = one_of(1);

	ur_epochs_begin(&epochs);
	ur_epochs_refuse_end(&epochs, UIDRECV_RESYNC_COUNT);
	cr_expect_eq(epochs.floor, 1);
	cr_expect_eq(epochs.wanted, UIDRECV_RESYNC_COUNT);
	cr_expect_not(epochs.is_open);
}

Test(epoch, refresh_all_needs_a_snapshot_of_its_session)
{
	struct ur_epochs epochs = {0};

	cr_expect_eq(ur_epochs_check_refresh(&epochs),
		     UIDRECV_RESYNC_NO_SNAPSHOT);
	ur_epochs_begin(&epochs);
	cr_expect_eq(ur_epochs_check_refresh(&epochs),
		     UIDRECV_RESYNC_NO_SNAPSHOT);
	ur_epochs_end(&epochs);
	cr_expect_eq(ur_epochs_check_refresh(&epochs), 0);
	ur_epochs_want(&epochs, UIDRECV_RESYNC_COUNT);
	cr_expect_eq(ur_epochs_check_refresh(&epochs), 0);
	ur_epochs_new_session(&epochs);
	cr_expect_eq(ur_epochs_check_refresh(&epochs),
		     UIDRECV_RESYNC_NO_SNAPSHOT);
}

/* A mapping and the end of another that are lost do not show in the count. */
Test(epoch, refresh_all_needs_a_snapshot_that_lacks_nothing)
{
	struct ur_epochs epochs = one_of(2);

	ur_epochs_want(&epochs, UIDRECV_RESYNC_GAP);
	cr_expect_eq(ur_epochs_check_refresh(&epochs),
		     UIDRECV_RESYNC_NO_SNAPSHOT);
	ur_epochs_begin(&epochs);
	ur_epochs_refuse_end(&epochs, UIDRECV_RESYNC_COUNT);
	cr_expect_eq(ur_epochs_check_refresh(&epochs),
		     UIDRECV_RESYNC_NO_SNAPSHOT);
}

Test(epoch, refresh_all_never_goes_back)
{
	struct ur_epochs epochs = one_of(1);

	ur_epochs_refresh(&epochs, START);
	ur_epochs_refresh(&epochs, START - 1);
	cr_expect_eq(epochs.refreshed_us, START);
	ur_epochs_refresh(&epochs, START + 1);
	cr_expect_eq(epochs.refreshed_us, START + 1);
}

Test(epoch, a_new_session_gives_up_what_is_open)
{
	struct ur_epochs epochs = one_of(1);

	ur_epochs_refresh(&epochs, START);
	ur_epochs_want(&epochs, UIDRECV_RESYNC_GAP);
	ur_epochs_begin(&epochs);
	gain(&epochs, 1);
	epochs.maps = 1;
	ur_epochs_new_session(&epochs);
	cr_expect_not(epochs.is_open);
	cr_expect_not(epochs.is_whole);
	cr_expect_eq(epochs.maps, 0);
	/* It has dropped nothing, what it stated stays, and so does a wish. */
	cr_expect_eq(epochs.floor, 1);
	cr_expect_eq(epochs.stated, 1);
	cr_expect_eq(epochs.formers_count, 1);
	cr_expect_eq(epochs.wanted, UIDRECV_RESYNC_GAP);
}

Test(epoch, group_gives_one_number_to_what_falls_together)
{
	struct ur_epochs epochs = one_of(1);

	for (int i = 0; i < 3; i++)
		ur_epochs_begin(&epochs);
	cr_expect_eq(ur_epochs_group(&epochs, 0), 0);
	cr_expect_eq(ur_epochs_group(&epochs, 1), 1);
	cr_expect_eq(ur_epochs_group(&epochs, 3), 1);
	cr_expect_eq(ur_epochs_group(&epochs, 4), 4);
	ur_epochs_hold(&epochs, 1);
	for (int i = 0; i < 3; i++)
		ur_epochs_begin(&epochs);
	cr_expect_eq(ur_epochs_group(&epochs, 0), 0);
	cr_expect_eq(ur_epochs_group(&epochs, 3), 1);
	cr_expect_eq(ur_epochs_group(&epochs, 4), 4);
	cr_expect_eq(ur_epochs_group(&epochs, 6), 4);
	cr_expect_eq(ur_epochs_group(&epochs, 7), 7);
}
