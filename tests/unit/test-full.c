/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What has no end elsewhere: numbers of lines and of changes. The table is
 * compiled in here, for no test could count so far.
 */
#include "table.c"
#include "tables.h"

#define AGENTS 64

TestSuite(full, .init = setup, .fini = teardown);

Test(full, lines_that_run_out_harm_nothing)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct epoch_put of = {.agent = 0};
	struct uidrecv_mapping mapping;
	uint64_t generation;
	uint32_t i;
	int r = 0;

	for (uint32_t id = 3; id <= AGENTS; id++)
		cr_assert_eq(ur_table_add_agent(table, id, "agent", 5), 0);
	for (i = 0; r == 0; i += r == 0) {
		of.agent = 1 + i % AGENTS;
		of.epoch = i / AGENTS;
		r = put_of(table, i, of);
	}
	cr_assert_eq(r, -ENOSPC);
	cr_assert_eq(i, UR_TABLE_LINES_MAX);
	generation = table->now.layout.generation;
	/* In another line than the one it has, which it keeps, */
	of.agent = 5;
	of.epoch = UINT32_MAX;
	cr_assert_eq(put_of(table, 7, of), -ENOSPC);
	of.user = "bob";
	cr_assert_eq(put_of(table, 7, of), -ENOSPC);
	check_user(reader, 7, "alice");
	cr_assert_eq(look(reader, i, &mapping), 0);
	/* and for which no file is made in vain; */
	cr_assert_eq(table->now.layout.generation, generation);
	/* and in one that there is. */
	of.epoch = 0;
	cr_assert_eq(put_of(table, i, of), 0);
	check_user(reader, i, "bob");
	cr_assert_eq(put(table, 8, NULL), 0);
	cr_assert_eq(look(reader, 8, &mapping), 0);
	for (uint32_t n = 0; n < i; n++)
		if (n != 8)
			check_user(reader, n, "alice");
	cr_assert_eq(count_files(), 1);
	/* What is free now is for the table that comes next. */
	of.epoch = UINT32_MAX;
	cr_assert_eq(put_of(table, 9, of), -ENOSPC);
	check_user(reader, 9, "alice");
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(full, changes_that_do_not_fit_are_refused_and_harm_nothing)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct epoch_put of = {.epoch = 0};
	struct uidrecv_mapping mapping;

	table->change = 1000 + UR_CHANGES_MAX - 2;
	cr_assert_eq(put_of(table, 1, of), 0);
	cr_assert_eq(look(reader, 1, &mapping), 1);
	cr_assert_eq(mapping.change, 1000 + UR_CHANGES_MAX - 1);
	cr_assert_eq(put_of(table, 2, of), -ENOSPC);
	cr_assert_eq(look(reader, 2, &mapping), 0);
	of.user = "bob";
	cr_assert_eq(put_of(table, 1, of), -ENOSPC);
	check_user(reader, 1, "alice");
	/* What is no change fits, and taking back never fails. */
	of.user = "alice";
	of.epoch = 1;
	cr_assert_eq(put_of(table, 1, of), 0);
	cr_assert_eq(look(reader, 1, &mapping), 1);
	cr_assert_eq(mapping.change, 1000 + UR_CHANGES_MAX - 1);
	ur_table_drop(table, 1, 1);
	check_user(reader, 1, "alice");
	cr_assert_eq(put(table, 1, NULL), 0);
	cr_assert_eq(look(reader, 1, &mapping), 0);
	cr_assert_gt(ur_table_get_change(table), 1000 + UR_CHANGES_MAX);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(full, change_numbers_have_64_bits_and_keep_them)
{
	uint64_t base = UINT64_C(0x7123456789abcdef);
	struct ur_table *table = make_table(scratch.path, base, 0);
	struct uidrecv_reader *reader;
	struct uidrecv_mapping mapping;

	cr_assert_eq(ur_table_publish(table), 0);
	reader = open_reader(scratch.path);
	for (uint32_t i = 0; i < 2000; i++)
		cr_assert_eq(put(table, i, "alice"), 0);
	for (uint32_t i = 0; i < 2000; i++) {
		cr_assert_eq(look(reader, i, &mapping), 1);
		cr_assert_eq(mapping.change, base + 1 + i);
	}
	cr_assert_eq(table->now.layout.change_base, base);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}
