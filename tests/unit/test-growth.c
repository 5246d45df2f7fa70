/* SPDX-License-Identifier: BSD-2-Clause */
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tables.h"

TestSuite(growth, .init = setup, .fini = teardown);

Test(growth, more_agents_than_expected_make_it_grow)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct uidrecv_mapping mapping;
	char name[UIDRECV_NAME_MAX + 1];

	for (uint32_t i = 3; i < 300; i++) {
		struct ur_table_answer answer = {
		    .address = uidrecv_address_from_ipv4(i),
		    .deadline_us = UINT64_MAX,
		    .agent = i,
		    .user_size = 1,
		    .user = "u"};
		size_t size = 1 + i % UIDRECV_NAME_MAX;

		memset(name, (int)('a' + i % 26), sizeof(name));
		cr_assert_eq(ur_table_add_agent(table, i, name, size), 0);
		cr_assert_eq(ur_table_put(table, &answer, 1), 0);
	}
	for (uint32_t i = 3; i < 300; i++) {
		cr_assert_eq(look(reader, i, &mapping), 1);
		cr_assert_eq(mapping.agent_size, 1 + i % UIDRECV_NAME_MAX);
		cr_assert_eq(mapping.agent[0], 'a' + i % 26);
		cr_assert_eq(strlen(mapping.agent), mapping.agent_size);
	}
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

#define SECOND_US UINT64_C(1000000)
#define NOW_US (UINT64_C(1000000) * SECOND_US)

/* Puts addresses from first on until the table has grown once more. */
static uint32_t grow(struct ur_table *table, struct uidrecv_reader *reader,
		     uint32_t first, struct epoch_put of)
{
	struct uidrecv_reader_status before, after;

	cr_assert_eq(uidrecv_reader_get_status(reader, NOW_US, &before), 0);
	do {
		cr_assert_eq(put_of(table, first++, of), 0);
		cr_assert_eq(uidrecv_reader_get_status(reader, NOW_US, &after),
			     0);
	} while (after.moves == before.moves);
	return first;
}

static int look_then(struct uidrecv_reader *reader, uint32_t ipv4,
		     uint64_t now_us, struct uidrecv_mapping *ret_mapping)
{
	return look_at(reader, uidrecv_address_from_ipv4(ipv4), now_us,
		       ret_mapping);
}

/*
 * Lines of which the first and third are dropped, the second and the fourth
 * are renewed: they are others in the next generation, and the same.
 */
Test(growth, refreshed_answers_come_along_and_dropped_ones_do_not)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct epoch_put of = {.deadline_us = NOW_US + SECOND_US,
			       .lifetime_s = 100};
	struct epoch_put other = {
	    .agent = 2, .epoch = 9, .now_us = NOW_US + 2 * SECOND_US};
	uint64_t later_us = NOW_US + 50 * SECOND_US;
	struct uidrecv_mapping mapping;
	uint32_t next;

	for (uint32_t i = 1; i <= 4; i++) {
		of.epoch = i;
		of.agent = i < 4 ? 1 : 2;
		cr_assert_eq(put_of(table, i, of), 0);
		if (i % 2)
			ur_table_drop(table, 1, i + 1);
		else
			ur_table_refresh(table, of.agent, i, NOW_US);
	}
	/* The drop of 3 took 2 with it. */
	of.agent = 1;
	of.epoch = 5;
	cr_assert_eq(put_of(table, 2, of), 0);
	ur_table_refresh(table, 1, 5, NOW_US);
	next = grow(table, reader, 100, other);
	for (int generation = 0; generation < 2; generation++) {
		cr_assert_eq(look_then(reader, 1, NOW_US, &mapping), 0);
		cr_assert_eq(look_then(reader, 3, NOW_US, &mapping), 0);
		cr_assert_eq(look_then(reader, 2, later_us, &mapping), 1);
		cr_assert_eq(mapping.change, 1007);
		cr_assert_str_eq(mapping.agent, "dc1");
		cr_assert_eq(mapping.expires_in_ms, 50000);
		cr_assert_eq(look_then(reader, 4, later_us, &mapping), 1);
		cr_assert_eq(mapping.change, 1006);
		cr_assert_str_eq(mapping.agent, "vpn-gate");
		next = grow(table, reader, next, other);
	}
	/* The writer finds its lines under their new numbers. */
	ur_table_refresh(table, 2, 4, later_us);
	ur_table_drop(table, 1, 6);
	cr_assert_eq(look_then(reader, 2, later_us, &mapping), 0);
	cr_assert_eq(look_then(reader, 4, later_us + 99 * SECOND_US, &mapping),
		     1);
	cr_assert_eq(look_then(reader, 4, later_us + 100 * SECOND_US, &mapping),
		     0);
	cr_assert_eq(look_then(reader, 100, later_us, &mapping), 1);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

/*
 * Most tables have few names that do not fit into a slot. When one has many,
 * it finds out while it is filled, and grows for that and for nothing else.
 */
Test(growth, many_long_names_need_room_for_themselves_alone)
{
	const uint32_t count = 70000;
	struct ur_table *table = make_table(scratch.path, 1000, count);
	struct uidrecv_reader *reader;
	struct uidrecv_mapping mapping;
	char user[41];
	size_t empty_size, size;

	(void)ur_table_get_bytes(table, &empty_size);
	for (uint32_t i = 0; i < count; i++) {
		snprintf(user, sizeof(user), "%040u", i);
		cr_assert_eq(put(table, i, user), 0);
	}
	(void)ur_table_get_bytes(table, &size);
	cr_assert_lt(size, empty_size + count * 50);
	cr_assert_eq(ur_table_publish(table), 0);
	reader = open_reader(scratch.path);
	for (uint32_t i = 0; i < count; i++) {
		snprintf(user, sizeof(user), "%040u", i);
		cr_assert_eq(look(reader, i, &mapping), 1);
		cr_assert_str_eq(mapping.user, user);
	}
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

/* It grows when it is full to the last slot that it may use, not beyond twice.
 */
Test(growth, a_table_that_is_full_becomes_twice_as_large)
{
	struct ur_table *table = make_table(scratch.path, 1000, 40960);
	size_t size, next_size;

	(void)ur_table_get_bytes(table, &size);
	cr_assert_eq(ur_table_publish(table), 0);
	for (uint32_t i = 0; i < 40960; i++)
		cr_assert_eq(put(table, i, "alice"), 0);
	(void)ur_table_get_bytes(table, &next_size);
	cr_assert_eq(next_size, size);
	cr_assert_eq(put(table, 40960, "alice"), 0);
	(void)ur_table_get_bytes(table, &next_size);
	cr_assert_gt(next_size, size);
	cr_assert_leq(next_size, 2 * size);
	ur_table_close(table);
}

Test(growth, a_table_of_short_names_is_small)
{
	struct ur_table *table = make_table(scratch.path, 1000, 1000000);
	size_t size;

	(void)ur_table_get_bytes(table, &size);
	cr_assert_leq(size, 160 * 1000000);
	ur_table_close(table);
}

Test(growth, snapshots_without_end_need_no_more_room)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct uidrecv_reader_status reader_status;
	struct epoch_put of = {.epoch = 0};
	struct stat status;

	for (; of.epoch < 5000; of.epoch++) {
		for (uint32_t i = 0; i < 10; i++)
			cr_assert_eq(put_of(table, i, of), 0);
		ur_table_drop(table, 1, of.epoch);
		check_user(reader, of.epoch % 10, "alice");
	}
	cr_assert_eq(stat(scratch.path, &status), 0);
	cr_assert_lt(status.st_size, 300000);
	cr_assert_eq(uidrecv_reader_get_status(reader, 0, &reader_status), 0);
	cr_assert_geq(reader_status.moves, 19);
	cr_assert_leq(reader_status.moves, 21);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

/* Flips a bit of the first line, and puts until the table wants to grow. */
static void check_damaged_line(size_t offset)
{
	struct ur_table *table = make_table(scratch.path, 1000, 0);
	struct uidrecv_reader *reader;
	size_t size;
	const struct ur_table_header *header;
	char *bytes;
	uint32_t i = 0;
	int r = 0;

	cr_assert_eq(ur_table_publish(table), 0);
	reader = open_reader(scratch.path);
	cr_assert_eq(put(table, 1000, "alice"), 0);
	header = ur_table_get_bytes(table, &size);
	bytes = (char *)(uintptr_t)header;
	bytes[header->layout.lines_offset + offset] ^= 4;
	for (; r == 0 && i < 1000; i++)
		r = put_of(table, i, (struct epoch_put){.epoch = 1});
	cr_assert_eq(r, UIDRECV_E_TABLE);
	check_user(reader, 0, "alice");
	cr_assert_eq(count_files(), 1);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(growth, damaged_lines_are_not_made_to_look_whole)
{
	check_damaged_line(offsetof(struct ur_table_line, state));
	check_damaged_line(offsetof(struct ur_table_line, state) + 7);
	check_damaged_line(offsetof(struct ur_table_line, check));
	check_damaged_line(offsetof(struct ur_table_line, check) + 1);
	check_damaged_line(offsetof(struct ur_table_line, name));
}

/* The checks of the slot are right. */
Test(growth, slots_that_name_no_line_are_damage)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct uidrecv_mapping mapping;
	size_t size;
	char *bytes = (char *)(uintptr_t)ur_table_get_bytes(table, &size);
	struct ur_table_layout layout;
	struct ur_slot *slot;
	uint64_t word[UR_SLOT_WORDS];
	uint32_t i = 0;
	int r = 0;

	memcpy(&layout, bytes, sizeof(layout));
	cr_assert_eq(put(table, 1000, "alice"), 0);
	slot = (void *)(bytes + layout.slots_offset);
	while (ur_load(&slot->word[0]) == 0)
		slot++;
	for (int n = 0; n < UR_SLOT_WORDS; n++)
		word[n] = ur_load(&slot->word[n]);
	word[0] |= UINT64_C(0xffff) << 32;
	word[5] =
	    (word[5] >> 32 << 32) | ur_check_rest(layout.generation, word);
	ur_store(&slot->word[0], word[0]);
	ur_store(&slot->word[5], word[5]);
	for (; r == 0 && i < 1000; i++)
		r = put(table, i, "alice");
	cr_assert_eq(r, UIDRECV_E_TABLE);
	cr_assert_eq(look(reader, 1000, &mapping), UIDRECV_E_TABLE);
	/* What is taken back hinders nothing. */
	cr_assert_eq(put(table, 1000, NULL), 0);
	cr_assert_eq(put(table, i, "alice"), 0);
	check_user(reader, i, "alice");
	cr_assert_eq(look(reader, 1000, &mapping), 0);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(growth, growth_keeps_answers_and_their_change_numbers)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct uidrecv_reader_status status;
	struct uidrecv_mapping mapping;
	unsigned int fds = count_fds();
	char user[64];

	for (uint32_t i = 0; i < 20000; i++) {
		snprintf(user, sizeof(user),
			 i % 2 ? "u%u" : "a-long-name-of-user-%u@corp", i);
		cr_assert_eq(put(table, i, user), 0);
		cr_assert_eq(ur_table_get_change(table), 1001 + i);
		check_user(reader, i, user);
		check_user(reader, 0, "a-long-name-of-user-0@corp");
	}
	for (uint32_t i = 0; i < 20000; i++) {
		cr_assert_eq(look(reader, i, &mapping), 1);
		cr_assert_eq(mapping.change, 1001 + i);
	}
	cr_assert_eq(uidrecv_reader_get_status(reader, 0, &status), 0);
	cr_assert_geq(status.moves, 3);
	cr_assert_eq(status.entries, 20000);
	cr_assert_eq(count_fds(), fds);
	cr_assert_eq(count_files(), 1);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(growth, growth_leaves_the_dead_behind)
{
	struct ur_table *table = make_published(scratch.path);
	struct stat status;
	uint64_t now_us = 1000000;

	/* Each lives a second; 10,000 come by, never more than 100 at once. */
	for (uint64_t i = 0; i < 10000; i++) {
		struct ur_table_answer answer = {
		    .address = {1, i},
		    .deadline_us = now_us + 1000000,
		    .agent = 1,
		    .user_size = 21,
		    .user = "abcdefghijklmnopqrstu"};

		cr_assert_eq(ur_table_put(table, &answer, now_us), 0);
		now_us += 10000;
	}
	cr_assert_eq(stat(scratch.path, &status), 0);
	cr_assert_lt(status.st_size, 300000);
	ur_table_close(table);
}

Test(growth, failed_growth_leaves_the_table_whole)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct rlimit limit = {4096, 4096}, former;
	struct uidrecv_mapping mapping;
	uint32_t count = 0;
	int r = 0;

	/* The writer can make no larger file: as on a full disk. */
	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(getrlimit(RLIMIT_FSIZE, &former), 0);
	limit.rlim_max = former.rlim_max;
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	while (r == 0 && count < 2000) {
		r = put(table, count, "alice");
		count += r == 0;
	}
	cr_assert_eq(r, -EFBIG);
	cr_assert_eq(count, 640);
	for (uint32_t i = 0; i < count; i++)
		check_user(reader, i, "alice");
	cr_assert_eq(look(reader, count, &mapping), 0);
	cr_assert_eq(put(table, 5, "bob"), 0);
	check_user(reader, 5, "bob");
	cr_assert_eq(put(table, 6, NULL), 0);
	cr_assert_eq(look(reader, 6, &mapping), 0);
	cr_assert_eq(count_files(), 1);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &former), 0);
	cr_assert_eq(put(table, count, "carol"), 0);
	check_user(reader, count, "carol");
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(growth, full_names_area_makes_it_grow)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct uidrecv_reader_status status;
	char user[256];

	memset(user, 'x', 255);
	user[255] = '\0';
	for (uint32_t i = 0; i < 2000; i++) {
		user[0] = (char)('a' + i % 26);
		cr_assert_eq(put(table, 1, user), 0);
		check_user(reader, 1, user);
	}
	cr_assert_eq(uidrecv_reader_get_status(reader, 0, &status), 0);
	cr_assert_geq(status.moves, 5);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

static void put_line(struct ur_table *table, uint32_t ipv4, uint32_t epoch,
		     int *ret_result)
{
	struct ur_table_answer answer = {.address =
					     uidrecv_address_from_ipv4(ipv4),
					 .deadline_us = UINT64_MAX,
					 .agent = 1,
					 .epoch = epoch,
					 .user_size = 1,
					 .user = "u"};

	*ret_result = ur_table_put(table, &answer, NOW_US);
}

/*
 * An agent that says one mapping in each of very many snapshots, and goes on
 * so: each growth is a walk through the whole table, so there must not be one
 * for each of them.
 */
Test(growth, very_many_epochs_do_not_make_it_grow_for_each)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct uidrecv_reader_status status;
	uint64_t changed, inode = 0;
	uint32_t growths = 0, last = 0;
	struct stat file;
	int r;

	for (uint32_t i = 0; i < UR_TABLE_LINES_MAX + 99; i++) {
		put_line(table, 1 + i % (UR_TABLE_LINES_MAX - 1), i, &r);
		cr_assert(r == 0 || r == -ENOSPC);
		last = r == 0 ? i : last;
		cr_assert_eq(stat(scratch.path, &file), 0);
		growths += inode != file.st_ino;
		inode = file.st_ino;
		cr_assert_leq(growths, 16, "at %u", i);
	}
	cr_assert_geq(last, UR_TABLE_LINES_MAX / 2);
	/* What it could not take has taken nothing from the rest. */
	cr_assert_eq(uidrecv_reader_get_status(reader, NOW_US, &status), 0);
	changed = status.change;
	put_line(table, 1, last, &r);
	cr_assert_eq(r, 0);
	cr_assert_eq(look(reader, 1, &(struct uidrecv_mapping){0}), 1);
	cr_assert_eq(uidrecv_reader_get_status(reader, NOW_US, &status), 0);
	cr_assert_eq(status.change, changed);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}
