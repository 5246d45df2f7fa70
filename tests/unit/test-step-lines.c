/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * As test-step.c, for what is done to many answers at once: snapshots, drops
 * and REFRESH ALL, with a look after every instruction of the writer.
 */
#include "stepping.h"
#include "tables.h"

#define LONG "a-user-with-a-name-of-more-than-20-bytes"
#define SECOND_US UINT64_C(1000000)
#define NOW_US (UINT64_C(1000000) * SECOND_US)
#define SOON_US (NOW_US + 10 * SECOND_US)
#define LATER_US (NOW_US + 60 * SECOND_US)

TestSuite(step_lines, .init = setup, .fini = teardown, .timeout = 280);

/* What the child does, in this order; what is not wanted is zero. */
struct work {
	struct ur_table *table;
	struct epoch_put put; /* at address 1, if it has an epoch */
	uint32_t floor;
	uint64_t refreshed_us;
};

static bool do_work(void *what)
{
	struct work *work = what;

	if (work->put.epoch > 0 && put_of(work->table, 1, work->put) < 0)
		return false;
	if (work->floor > 0)
		ur_table_drop(work->table, 1, work->floor);
	if (work->refreshed_us > 0)
		ur_table_refresh(work->table, 1, 1, work->refreshed_us);
	return true;
}

static int look_then(struct uidrecv_reader *reader, uint32_t ipv4,
		     uint64_t now_us, struct uidrecv_mapping *ret_mapping)
{
	return look_at(reader, uidrecv_address_from_ipv4(ipv4), now_us,
		       ret_mapping);
}

/* Address 1 is stated again, maybe with another user; the old is dropped. */
static void check_snapshot(const char *old, const char *new)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct work work = {.table = table, .floor = 2};
	bool is_same = strcmp(old, new) == 0, has_new = is_same;
	struct uidrecv_mapping mapping;
	unsigned int steps = 0;
	bool is_dropped = false;
	pid_t pid;

	cr_assert_eq(
	    put_of(table, 1, (struct epoch_put){.epoch = 1, .user = old}), 0);
	cr_assert_eq(put_of(table, 2, (struct epoch_put){.epoch = 1}), 0);
	work.put = (struct epoch_put){.epoch = 2, .user = new};
	pid = start_child(do_work, &work);
	for (; step(pid); steps++) {
		cr_assert_eq(look_then(reader, 1, NOW_US, &mapping), 1,
			     "nobody at step %u", steps);
		if (!has_new && strcmp(mapping.user, old) != 0)
			has_new = true;
		cr_assert_str_eq(mapping.user, has_new ? new : old);
		cr_assert_eq(mapping.change, has_new && !is_same ? 1003 : 1001);
		/* What was not stated is there until the drop. */
		if (look_then(reader, 2, NOW_US, &mapping) == 0)
			is_dropped = true;
		else
			cr_assert_not(is_dropped);
		cr_assert(has_new || !is_dropped);
	}
	kill_child(pid);
	cr_assert(has_new && is_dropped);
	cr_assert_gt(steps, 50);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(step_lines, snapshot_of_the_same_user_has_no_gap_and_no_change)
{
	check_snapshot("alice", "alice");
}

Test(step_lines, snapshot_of_the_same_long_user_has_no_gap_and_no_change)
{
	check_snapshot(LONG, LONG);
}

Test(step_lines, snapshot_of_another_user_has_no_gap)
{
	check_snapshot("alice", "bob");
}

Test(step_lines, snapshot_of_a_longer_user_has_no_gap)
{
	check_snapshot("alice", LONG);
}

Test(step_lines, drop_takes_all_at_one_instruction)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct work work = {.table = table, .floor = 2};
	struct uidrecv_mapping mapping;
	bool is_dropped = false;
	pid_t pid;

	for (uint32_t i = 0; i < 20; i++)
		cr_assert_eq(
		    put_of(table, i, (struct epoch_put){.epoch = 1 + i % 2}),
		    0);
	pid = start_child(do_work, &work);
	while (step(pid)) {
		if (look_then(reader, 0, NOW_US, &mapping) == 0)
			is_dropped = true;
		for (uint32_t i = 0; i < 20; i++)
			cr_assert_eq(look_then(reader, i, NOW_US, &mapping),
				     i % 2 || !is_dropped);
	}
	kill_child(pid);
	cr_assert(is_dropped);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(step_lines, refresh_renews_all_at_one_instruction)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct work work = {.table = table, .refreshed_us = NOW_US};
	struct epoch_put of = {.deadline_us = SOON_US, .lifetime_s = 3600};
	struct uidrecv_mapping mapping;
	bool is_renewed = false;
	pid_t pid;

	for (uint32_t i = 0; i < 20; i++) {
		of.epoch = 1 + i % 2;
		cr_assert_eq(put_of(table, i, of), 0);
	}
	pid = start_child(do_work, &work);
	while (step(pid)) {
		if (look_then(reader, 0, LATER_US, &mapping) == 1)
			is_renewed = true;
		for (uint32_t i = 0; i < 20; i++) {
			cr_assert_eq(look_then(reader, i, NOW_US, &mapping), 1);
			cr_assert_eq(mapping.change, 1001 + i);
			cr_assert_eq(look_then(reader, i, LATER_US, &mapping),
				     i % 2 == 0 && is_renewed);
		}
	}
	kill_child(pid);
	cr_assert(is_renewed);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

/* Stated again when it lives by REFRESH ALL alone. */
Test(step_lines, restating_what_was_renewed_has_no_gap)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct work work = {.table = table, .floor = 2};
	struct epoch_put of = {
	    .epoch = 1, .deadline_us = SOON_US, .lifetime_s = 3600};
	struct uidrecv_mapping mapping;
	pid_t pid;

	cr_assert_eq(put_of(table, 1, of), 0);
	ur_table_refresh(table, 1, 1, NOW_US);
	of.epoch = 2;
	of.now_us = LATER_US;
	of.deadline_us = LATER_US + 3600 * SECOND_US;
	work.put = of;
	pid = start_child(do_work, &work);
	while (step(pid)) {
		cr_assert_eq(look_then(reader, 1, LATER_US, &mapping), 1);
		cr_assert_eq(mapping.change, 1001);
	}
	kill_child(pid);
	cr_assert_eq(look_then(reader, 1, of.deadline_us - 1000, &mapping), 1);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}
