/* SPDX-License-Identifier: BSD-2-Clause */
#include "tables.h"

TestSuite(table, .init = setup, .fini = teardown);

static uint64_t get_change(struct uidrecv_reader *reader)
{
	struct uidrecv_reader_status status;

	cr_assert_eq(uidrecv_reader_get_status(reader, 0, &status), 0);
	return status.change;
}

Test(table, is_invisible_until_published)
{
	struct ur_table *table = make_table(scratch.path, 1, 0);

	cr_assert_eq(access(scratch.path, F_OK), -1);
	cr_assert_eq(ur_table_publish(table), 0);
	cr_assert_eq(access(scratch.path, F_OK), 0);
	cr_assert_eq(ur_table_publish(table), -EALREADY);
	ur_table_close(table);
	cr_assert_eq(access(scratch.path, F_OK), 0);
	cr_assert_eq(count_files(), 1);
}

Test(table, unpublished_file_goes_with_close)
{
	unsigned int fds = count_fds();

	ur_table_close(make_table(scratch.path, 1, 0));
	cr_assert_eq(count_files(), 0);
	cr_assert_eq(count_fds(), fds);
	ur_table_close(NULL);
}

Test(table, temporary_files_of_killed_writers_are_removed)
{
	static const char *const names[] = {
	    "table.tmp.0123456789abcdef",
	    "table.tmp.0123456789abcde",
	    "table.tmp.0123456789ABCDEF",
	    "tablf.tmp.0123456789abcdef",
	};
	char path[160];

	for (size_t i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s/%s", scratch.dir, names[i]);
		close(open(path, O_CREAT | O_WRONLY, 0600));
	}
	ur_table_close(make_table(scratch.path, 1, 0));
	cr_assert_eq(count_files(), 3);
}

Test(table, mode_and_group_are_as_wanted)
{
	struct ur_table_options options = {
	    .path = scratch.path, .mode = 0604, .group = getegid()};
	struct ur_table *table;
	struct stat status;

	cr_assert_eq(ur_table_create(&table, &options), 0);
	cr_assert_eq(ur_table_publish(table), 0);
	cr_assert_eq(stat(scratch.path, &status), 0);
	cr_assert_eq(status.st_mode & 07777, 0604);
	cr_assert_eq(status.st_gid, getegid());
	ur_table_close(table);
	options.mode = 0660;
	cr_assert_eq(ur_table_create(&table, &options), -EINVAL);
	options.mode = 0602;
	cr_assert_eq(ur_table_create(&table, &options), -EINVAL);
}

Test(table, bad_options_are_refused_and_leave_nothing)
{
	struct ur_table_options options = {.path = NULL, .group = (gid_t)-1};
	struct ur_table *table;
	unsigned int fds = count_fds();

	cr_assert_eq(ur_table_create(&table, &options), -EINVAL);
	options.path = scratch.path;
	options.entries_hint = UINT64_MAX;
	cr_assert_eq(ur_table_create(&table, &options), -EINVAL);
	options.entries_hint = 0;
	options.path = "/nonexistent/table";
	cr_assert_eq(ur_table_create(&table, &options), -ENOENT);
	options.path = "/tmp/";
	cr_assert_eq(ur_table_create(&table, &options), -EINVAL);
	cr_assert_eq(count_fds(), fds);
	cr_assert_eq(count_files(), 0);
}

Test(table, agents_keep_their_names)
{
	struct ur_table *table = make_published(scratch.path);
	struct ur_table_answer answer = {.address = {0, 1},
					 .deadline_us = UINT64_MAX,
					 .agent = 3,
					 .user_size = 1,
					 .user = "x"};

	cr_assert_eq(ur_table_add_agent(table, 1, "dc1", 3), 0);
	cr_assert_eq(ur_table_add_agent(table, 1, "dc2", 3), -EEXIST);
	cr_assert_eq(ur_table_add_agent(table, 1, "dc", 2), -EEXIST);
	cr_assert_eq(ur_table_add_agent(table, 4, "", 0), -EINVAL);
	cr_assert_eq(ur_table_add_agent(table, 4, "x", 256), -EINVAL);
	cr_assert_eq(ur_table_add_agent(table, UINT32_MAX, "x", 1), -EINVAL);
	cr_assert_eq(ur_table_put(table, &answer, 1), -EINVAL);
	answer.agent = 1000000;
	cr_assert_eq(ur_table_put(table, &answer, 1), -EINVAL);
	ur_table_close(table);
}

Test(table, names_of_every_length_come_back)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	char user[UIDRECV_NAME_MAX + 1];

	for (uint32_t round = 0; round < 2; round++) {
		for (uint32_t size = 1; size <= UIDRECV_NAME_MAX; size++) {
			memset(user, (int)('a' + (size + round) % 26), size);
			user[size] = '\0';
			cr_assert_eq(put(table, size, user), 0);
			check_user(reader, size, user);
		}
	}
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(table, removal_is_seen_at_once_and_moves_the_change_number)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct uidrecv_mapping mapping;
	uint64_t change;

	cr_assert_eq(put(table, 7, NULL), 0);
	cr_assert_eq(ur_table_get_entries(table), 0);
	cr_assert_eq(put(table, 7, "alice"), 0);
	change = get_change(reader);
	cr_assert_eq(put(table, 7, NULL), 0);
	cr_assert_eq(look(reader, 7, &mapping), 0);
	cr_assert_eq(get_change(reader), change + 1);
	cr_assert_eq(put(table, 7, NULL), 0);
	cr_assert_eq(get_change(reader), change + 1);
	cr_assert_eq(put(table, 7, "bob"), 0);
	check_user(reader, 7, "bob");
	cr_assert_eq(ur_table_get_entries(table), 1);
	/* A deadline that has passed takes back, too. */
	cr_assert_eq(put_until(table, uidrecv_address_from_ipv4(7), "bob", 5),
		     0);
	cr_assert_eq(look(reader, 7, &mapping), 0);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(table, change_number_moves_with_the_user_and_not_with_the_deadline)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct uidrecv_address address = uidrecv_address_from_ipv4(7);
	struct ur_table_answer answer = {.address = address,
					 .deadline_us = UINT64_MAX,
					 .agent = 2,
					 .user_size = 3,
					 .user = "bob"};
	uint64_t soon = ur_clock_boot_us() + 60000000;
	struct uidrecv_mapping first, mapping;

	cr_assert_eq(put(table, 7, "bob"), 0);
	cr_assert_eq(look(reader, 7, &first), 1);
	cr_assert_eq(first.change, get_change(reader));
	cr_assert_eq(first.expires_in_ms, UINT64_MAX);
	cr_assert_eq(put_until(table, address, "bob", soon), 0);
	cr_assert_eq(look(reader, 7, &mapping), 1);
	cr_assert_eq(mapping.change, first.change);
	cr_assert_eq(get_change(reader), first.change);
	cr_assert_leq(mapping.expires_in_ms, 60000);
	cr_assert_gt(mapping.expires_in_ms, 50000);
	cr_assert_eq(ur_table_put(table, &answer, soon - 1), 0);
	cr_assert_eq(look(reader, 7, &mapping), 1);
	cr_assert_eq(mapping.change, first.change + 1);
	answer.source = UIDRECV_SOURCE_VPN;
	cr_assert_eq(ur_table_put(table, &answer, soon - 1), 0);
	cr_assert_eq(look(reader, 7, &mapping), 1);
	cr_assert_eq(mapping.change, first.change + 2);
	cr_assert_eq(mapping.source, UIDRECV_SOURCE_VPN);
	cr_assert_str_eq(mapping.agent, "vpn-gate");
	cr_assert_eq(ur_table_get_change(table), first.change + 2);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(table, who_comes_back_after_expiry_is_a_change)
{
	struct ur_table *table = make_published(scratch.path);
	struct ur_table_answer answer = {.address = {0, 1},
					 .deadline_us = 5000000,
					 .agent = 1,
					 .user_size = 3,
					 .user = "bob"};
	uint64_t change;

	cr_assert_eq(ur_table_put(table, &answer, 1000000), 0);
	change = ur_table_get_change(table);
	answer.deadline_us = 9000000;
	cr_assert_eq(ur_table_put(table, &answer, 4999999), 0);
	cr_assert_eq(ur_table_get_change(table), change);
	answer.deadline_us = 20000000;
	cr_assert_eq(ur_table_put(table, &answer, 9000000), 0);
	cr_assert_eq(ur_table_get_change(table), change + 1);
	/* Sweeping what has expired changes nothing. */
	answer.user_size = 0;
	cr_assert_eq(ur_table_put(table, &answer, 20000000), 0);
	cr_assert_eq(ur_table_get_change(table), change + 1);
	ur_table_close(table);
}

Test(table, change_numbers_never_repeat_across_restarts)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	uint64_t former;

	cr_assert_eq(put(table, 1, "alice"), 0);
	former = ur_table_get_change(table);
	ur_table_close(table);

	/* The clock went back: the former table says where to go on. */
	table = make_table(scratch.path, 1, 0);
	cr_assert_gt(ur_table_get_change(table), former);
	cr_assert_eq(put(table, 1, "alice"), 0);
	cr_assert_gt(ur_table_get_change(table), former + 1);
	cr_assert_eq(ur_table_publish(table), 0);
	cr_assert_gt(get_change(reader), former);
	former = ur_table_get_change(table);
	ur_table_close(table);

	table = make_table(scratch.path, 1000000, 0);
	cr_assert_eq(ur_table_get_change(table), 1000000);
	cr_assert_eq(ur_table_publish(table), 0);
	cr_assert_eq(get_change(reader), 1000000);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}
