/* SPDX-License-Identifier: BSD-2-Clause */
/* Epochs: answers that are renewed or dropped together, by their line. */
#include "line.h"
#include "tables.h"

#define SECOND_US UINT64_C(1000000)
#define AN_HOUR_S 3600
#define NOW_US (UINT64_C(1000000) * SECOND_US)

TestSuite(line, .init = setup, .fini = teardown);

/* Looks as if it were then; NULL: nobody. The table's base is 0. */
static void check_at(struct uidrecv_reader *reader, uint32_t ipv4,
		     uint64_t now_us, const char *user)
{
	struct uidrecv_mapping mapping;
	int r =
	    look_at(reader, uidrecv_address_from_ipv4(ipv4), now_us, &mapping);

	cr_assert_eq(r, user != NULL, "%u: %d", ipv4, r);
	if (user != NULL)
		cr_assert_str_eq(mapping.user, user);
}

static uint64_t change_of(struct uidrecv_reader *reader, uint32_t ipv4)
{
	struct uidrecv_mapping mapping;

	cr_assert_eq(
	    look_at(reader, uidrecv_address_from_ipv4(ipv4), NOW_US, &mapping),
	    1);
	return mapping.change;
}

static uint64_t header_change(struct uidrecv_reader *reader)
{
	struct uidrecv_reader_status status;

	cr_assert_eq(uidrecv_reader_get_status(reader, NOW_US, &status), 0);
	return status.change;
}

Test(line, drop_takes_all_of_older_epochs_back_and_no_others)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);

	/* Addresses 10 * agent + epoch, but 0 in the place of 20 to 29. */
	for (uint32_t agent = 1; agent <= 2; agent++) {
		for (uint32_t epoch = 0; epoch < 5; epoch++) {
			struct epoch_put of = {.agent = agent, .epoch = epoch};

			of.user = "alice";
			cr_assert_eq(put_of(table, 10 * agent + epoch, of), 0);
			of.user = "someone-with-a-name-of-more-than-20";
			cr_assert_eq(
			    put_of(table, 100 + 10 * agent + epoch, of), 0);
		}
	}
	ur_table_drop(table, 1, 3);
	for (uint32_t i = 0; i < 5; i++) {
		check_at(reader, 10 + i, NOW_US, i < 3 ? NULL : "alice");
		check_at(reader, 110 + i, NOW_US,
			 i < 3 ? NULL : "someone-with-a-name-of-more-than-20");
		check_at(reader, 20 + i, NOW_US, "alice");
	}
	ur_table_drop(table, 2, UINT32_MAX);
	for (uint32_t i = 0; i < 5; i++)
		check_at(reader, 20 + i, NOW_US, NULL);
	check_at(reader, 13, NOW_US, "alice");
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(line, drop_moves_the_change_number_if_there_was_anything)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	uint64_t change;

	cr_assert_eq(put_of(table, 1, (struct epoch_put){.epoch = 5}), 0);
	change = header_change(reader);
	ur_table_drop(table, 1, 5);
	ur_table_drop(table, 2, UINT32_MAX);
	ur_table_drop(table, 0, UINT32_MAX);
	ur_table_drop(table, 1u << 30, UINT32_MAX);
	cr_assert_eq(header_change(reader), change);
	ur_table_drop(table, 1, 6);
	cr_assert_eq(header_change(reader), change + 1);
	ur_table_drop(table, 1, 6);
	cr_assert_eq(header_change(reader), change + 1);
	/* What is dropped is no answer any more that could be taken back. */
	cr_assert_eq(put(table, 1, NULL), 0);
	cr_assert_eq(header_change(reader), change + 1);
	cr_assert_eq(ur_table_get_change(table), change + 1);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(line, what_comes_back_after_a_drop_is_a_change_even_in_its_epoch)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct epoch_put of = {.epoch = 1};
	uint64_t change;

	cr_assert_eq(put_of(table, 1, of), 0);
	change = change_of(reader, 1);
	ur_table_drop(table, 1, 2);
	check_at(reader, 1, NOW_US, NULL);
	cr_assert_eq(put_of(table, 1, of), 0);
	check_at(reader, 1, NOW_US, "alice");
	cr_assert_eq(change_of(reader, 1), change + 2);
	ur_table_drop(table, 1, 2);
	of.epoch = 2;
	cr_assert_eq(put_of(table, 1, of), 0);
	cr_assert_eq(change_of(reader, 1), change + 4);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(line, refresh_renews_each_by_its_own_lifetime_and_no_other_epoch)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct epoch_put of = {.epoch = 4, .deadline_us = NOW_US + SECOND_US};
	uint64_t later_us = NOW_US + 500 * SECOND_US;
	struct uidrecv_mapping mapping;
	uint64_t change;

	for (uint32_t i = 1; i <= 3; i++) {
		of.lifetime_s = i * 1000;
		cr_assert_eq(put_of(table, i, of), 0);
	}
	of.epoch = 3;
	cr_assert_eq(put_of(table, 8, of), 0);
	of.agent = 2;
	of.epoch = 4;
	cr_assert_eq(put_of(table, 9, of), 0);
	change = header_change(reader);
	ur_table_refresh(table, 1, 4, later_us);
	cr_assert_eq(header_change(reader), change);
	for (uint32_t i = 1; i <= 3; i++) {
		uint64_t end_us = later_us + i * 1000 * SECOND_US;

		check_at(reader, i, end_us - 1000, "alice");
		check_at(reader, i, end_us, NULL);
		cr_assert_eq(look_at(reader, uidrecv_address_from_ipv4(i),
				     NOW_US, &mapping),
			     1);
		cr_assert_eq(mapping.expires_in_ms, (end_us - NOW_US) / 1000);
		cr_assert_eq(mapping.change, 1000 + i);
	}
	check_at(reader, 8, NOW_US + SECOND_US, NULL);
	check_at(reader, 9, NOW_US + SECOND_US, NULL);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(line, refresh_never_shortens)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct epoch_put of = {.lifetime_s = 10};
	uint64_t hour_us = NOW_US + AN_HOUR_S * SECOND_US;

	/* Not a deadline of its own, */
	of.deadline_us = hour_us;
	cr_assert_eq(put_of(table, 1, of), 0);
	/* nor one that never comes, */
	of.deadline_us = UINT64_MAX;
	cr_assert_eq(put_of(table, 2, of), 0);
	of.deadline_us = NOW_US + SECOND_US;
	cr_assert_eq(put_of(table, 3, of), 0);
	ur_table_refresh(table, 1, 0, NOW_US + 100 * SECOND_US);
	/* nor a later REFRESH ALL time. */
	ur_table_refresh(table, 1, 0, NOW_US + 50 * SECOND_US);
	ur_table_refresh(table, 1, 0, 0);
	check_at(reader, 1, hour_us - 1000, "alice");
	check_at(reader, 1, hour_us, NULL);
	check_at(reader, 2, hour_us * 1000, "alice");
	check_at(reader, 3, NOW_US + 110 * SECOND_US - 1000, "alice");
	check_at(reader, 3, NOW_US + 110 * SECOND_US, NULL);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(line, refresh_revives_nothing_that_was_dropped_or_taken_back)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct epoch_put of = {.epoch = 1, .lifetime_s = AN_HOUR_S};

	of.deadline_us = NOW_US + SECOND_US;
	cr_assert_eq(put_of(table, 1, of), 0);
	of.epoch = 2;
	cr_assert_eq(put_of(table, 2, of), 0);
	cr_assert_eq(put_of(table, 3, of), 0);
	cr_assert_eq(put(table, 3, NULL), 0);
	ur_table_drop(table, 1, 2);
	for (uint32_t epoch = 0; epoch < 4; epoch++)
		ur_table_refresh(table, 1, epoch, NOW_US);
	ur_table_refresh(table, 1, 1, UINT64_MAX);
	check_at(reader, 1, NOW_US, NULL);
	check_at(reader, 2, NOW_US + 10 * SECOND_US, "alice");
	check_at(reader, 3, NOW_US, NULL);
	/* Nor is there anybody to refresh. */
	ur_table_refresh(table, 2, 0, NOW_US);
	ur_table_refresh(table, 0, 0, NOW_US);
	ur_table_refresh(table, 1u << 30, 0, NOW_US);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(line, times_and_lifetimes_at_their_ends_are_no_drop_and_no_never)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct epoch_put of = {.deadline_us = NOW_US + SECOND_US};
	uint64_t end_us = NOW_US + UR_LIFETIME_MAX_S * SECOND_US;
	struct uidrecv_mapping mapping;

	of.lifetime_s = UINT32_MAX;
	cr_assert_eq(put_of(table, 1, of), 0);
	of.lifetime_s = 0;
	cr_assert_eq(put_of(table, 2, of), 0);
	ur_table_refresh(table, 1, 0, NOW_US);
	check_at(reader, 1, end_us - 1000, "alice");
	check_at(reader, 1, end_us, NULL);
	check_at(reader, 2, NOW_US + SECOND_US - 1000, "alice");
	check_at(reader, 2, NOW_US + SECOND_US, NULL);
	ur_table_refresh(table, 1, 0, UINT64_MAX);
	check_at(reader, 1, end_us, "alice");
	cr_assert_eq(
	    look_at(reader, uidrecv_address_from_ipv4(1), NOW_US, &mapping), 1);
	cr_assert_neq(mapping.expires_in_ms, UINT64_MAX);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(line, restating_in_another_epoch_or_with_another_lifetime_is_no_change)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct epoch_put of = {.deadline_us = NOW_US + SECOND_US};
	uint64_t change = 1002;

	for (of.epoch = 1; of.epoch < 2000; of.epoch++) {
		/* Long names would fill their area, were they put anew. */
		of.user = "someone-with-a-name-of-more-than-20";
		of.lifetime_s = of.epoch;
		cr_assert_eq(put_of(table, 2, of), 0);
		of.user = "alice";
		cr_assert_eq(put_of(table, 1, of), 0);
		ur_table_drop(table, 1, of.epoch);
		change += of.epoch > 1;
		cr_assert_eq(header_change(reader), change);
		cr_assert_eq(change_of(reader, 2), 1001);
		cr_assert_eq(change_of(reader, 1), 1002);
	}
	/* The lifetime is the new one. */
	ur_table_refresh(table, 1, 1999, NOW_US);
	check_at(reader, 1, NOW_US + 1999 * SECOND_US - 1000, "alice");
	check_at(reader, 1, NOW_US + 1999 * SECOND_US, NULL);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(line, another_lifetime_in_the_same_epoch_is_taken_and_no_change)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct epoch_put of = {.deadline_us = NOW_US + SECOND_US};

	for (of.lifetime_s = 100; of.lifetime_s < 105; of.lifetime_s++)
		cr_assert_eq(put_of(table, 1, of), 0);
	cr_assert_eq(change_of(reader, 1), 1001);
	cr_assert_eq(header_change(reader), 1001);
	ur_table_refresh(table, 1, 0, NOW_US);
	check_at(reader, 1, NOW_US + 104 * SECOND_US - 1000, "alice");
	check_at(reader, 1, NOW_US + 104 * SECOND_US, NULL);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(line, who_lives_by_a_refresh_alone_is_alive_for_the_writer_too)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct epoch_put of = {.deadline_us = NOW_US + SECOND_US,
			       .lifetime_s = AN_HOUR_S};
	uint64_t later_us = NOW_US + 60 * SECOND_US, change;

	cr_assert_eq(put_of(table, 1, of), 0);
	cr_assert_eq(put_of(table, 2, of), 0);
	change = header_change(reader);
	ur_table_refresh(table, 1, 0, NOW_US);
	/* Putting the same then is no change, taking it back is one. */
	of.deadline_us = later_us + AN_HOUR_S * SECOND_US;
	of.now_us = later_us;
	cr_assert_eq(put_of(table, 1, of), 0);
	cr_assert_eq(header_change(reader), change);
	cr_assert_eq(change_of(reader, 1), 1001);
	of.deadline_us = 1;
	cr_assert_eq(put_of(table, 2, of), 0);
	cr_assert_eq(header_change(reader), change + 1);
	check_at(reader, 2, NOW_US, NULL);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(line, an_agents_lines_are_found_in_every_order)
{
	uint32_t number[4] = {1, 0, 2, 3};
	struct ur_table_line area[8];
	struct ur_generation generation = {.lines = area};
	struct ur_lines lines;

	memset(area, 0, sizeof(area));
	cr_assert_eq(ur_lines_init(&lines), 0);
	cr_assert_eq(ur_lines_add_agent(&lines, 7, "dc1", 3), 0);
	cr_assert_eq(ur_lines_add_agent(&lines, 500, "vpn", 3), 0);
	cr_assert_not(ur_lines_has_agent(&lines, 8));
	cr_assert_eq(ur_lines_find(&lines, 7, 0), UR_LINE_NONE);
	cr_assert_eq(ur_lines_make(&lines, &generation, 7, 9), 0);
	cr_assert_eq(ur_lines_make(&lines, &generation, 7, 3), 1);
	cr_assert_eq(ur_lines_make(&lines, &generation, 500, 3), 2);
	cr_assert_eq(ur_lines_make(&lines, &generation, 7, 5), 3);
	cr_assert_eq(ur_lines_find(&lines, 7, 9), 0);
	cr_assert_eq(ur_lines_find(&lines, 7, 3), 1);
	cr_assert_eq(ur_lines_find(&lines, 500, 3), 2);
	cr_assert_eq(ur_lines_find(&lines, 500, 9), UR_LINE_NONE);
	ur_lines_renumber(&lines, number, 4);
	cr_assert_eq(ur_lines_find(&lines, 7, 9), 0);
	cr_assert_eq(ur_lines_find(&lines, 7, 3), UR_LINE_NONE);
	cr_assert_eq(ur_lines_find(&lines, 500, 3), 1);
	cr_assert_eq(ur_lines_find(&lines, 7, 5), 2);
	/* From the middle of the chain. */
	cr_assert_eq(ur_lines_make(&lines, &generation, 7, 1), 4);
	cr_assert(ur_lines_drop(&lines, &generation, 7, 6));
	cr_assert_eq(ur_lines_find(&lines, 7, 9), 0);
	cr_assert_eq(ur_lines_find(&lines, 7, 5), UR_LINE_NONE);
	cr_assert_eq(ur_lines_find(&lines, 7, 1), UR_LINE_NONE);
	cr_assert_not(ur_lines_drop(&lines, &generation, 7, 6));
	ur_lines_done(&lines);
}
