/* SPDX-License-Identifier: BSD-2-Clause */
#include <criterion/criterion.h>
#include <sys/wait.h>

#include "../table-helper.h"

static struct scratch scratch;

static void setup(void)
{
	scratch_init(&scratch);
}

static void teardown(void)
{
	scratch_done(&scratch);
}

TestSuite(reader, .init = setup, .fini = teardown);

static void check_user(struct uidrecv_reader *reader, uint32_t ipv4,
		       const char *user)
{
	struct uidrecv_mapping mapping;

	cr_assert_eq(look(reader, ipv4, &mapping), 1);
	cr_assert_str_eq(mapping.user, user);
}

static void restart(struct ur_table **table, const char *user)
{
	ur_table_close(*table);
	*table = make_table(scratch.path, 1, 0);
	cr_assert_eq(put(*table, 1, user), 0);
	cr_assert_eq(ur_table_publish(*table), 0);
}

Test(reader, finds_all_of_an_answer)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct uidrecv_mapping mapping;

	cr_assert_eq(put(table, 0x0a010203, "CORP\\alice"), 0);
	cr_assert_eq(look(reader, 0x0a010203, &mapping), 1);
	cr_assert_eq(mapping.address.hi, 0);
	cr_assert_eq(mapping.address.lo, UINT64_C(0xffff0a010203));
	cr_assert_eq(mapping.answer, UIDRECV_ANSWER_USER);
	cr_assert_eq(mapping.source, UIDRECV_SOURCE_DIRECTORY);
	cr_assert_eq(mapping.user_size, 10);
	cr_assert_str_eq(mapping.user, "CORP\\alice");
	cr_assert_eq(mapping.agent_size, 3);
	cr_assert_str_eq(mapping.agent, "dc1");
	cr_assert_eq(look(reader, 0x0a010204, &mapping), 0);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(reader, both_spellings_of_an_ipv4_address_find_it)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct uidrecv_address address;
	struct uidrecv_mapping mapping;

	cr_assert_eq(put(table, 0x0a010203, "alice"), 0);
	cr_assert_eq(uidrecv_address_parse("::ffff:10.1.2.3", &address), 0);
	cr_assert_eq(look_at(reader, address, 0, &mapping), 1);
	cr_assert_eq(uidrecv_address_parse("10.1.2.3", &address), 0);
	cr_assert_eq(look_at(reader, address, 0, &mapping), 1);
	cr_assert_eq(uidrecv_address_parse("::10.1.2.3", &address), 0);
	cr_assert_eq(look_at(reader, address, 0, &mapping), 0);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(reader, null_arguments_are_refused)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct uidrecv_reader_options options = UIDRECV_READER_OPTIONS_INIT;
	struct uidrecv_reader_status status;
	struct uidrecv_query query = {.port = 0};
	struct uidrecv_cursor cursor = {0, 0};
	struct uidrecv_mapping mapping;
	int result;

	cr_assert_eq(uidrecv_reader_open(NULL, scratch.path, NULL), -EINVAL);
	cr_assert_eq(uidrecv_reader_open(&reader, NULL, NULL), -EINVAL);
	cr_assert_eq(uidrecv_reader_open(&reader, "", NULL), -EINVAL);
	cr_assert_eq(uidrecv_reader_open(&reader, "/tmp/", NULL), -EINVAL);
	options.size = 3;
	cr_assert_eq(uidrecv_reader_open(&reader, scratch.path, &options),
		     -EINVAL);
	cr_assert_eq(uidrecv_reader_lookup(NULL, &query, 0, &mapping), -EINVAL);
	cr_assert_eq(uidrecv_reader_lookup(reader, NULL, 0, &mapping), -EINVAL);
	cr_assert_eq(uidrecv_reader_lookup(reader, &query, 0, NULL), -EINVAL);
	cr_assert_eq(
	    uidrecv_reader_lookup_bulk(reader, NULL, 1, 0, &mapping, &result),
	    -EINVAL);
	cr_assert_eq(uidrecv_reader_lookup_bulk(reader, NULL, 0, 0, NULL, NULL),
		     0);
	cr_assert_eq(uidrecv_reader_next(reader, NULL, 0, &mapping), -EINVAL);
	cr_assert_eq(uidrecv_reader_next(reader, &cursor, 0, NULL), -EINVAL);
	cr_assert_eq(uidrecv_reader_get_status(reader, 0, NULL), -EINVAL);
	cr_assert_eq(uidrecv_reader_get_status(NULL, 0, &status), -EINVAL);
	uidrecv_reader_close(NULL);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(reader, expires_by_the_passing_of_now_alone)
{
	struct ur_table_options options = {.path = scratch.path,
					   .group = (gid_t)-1,
					   .base_us =
					       UINT64_C(1790000000000000)};
	uint64_t now_us = ur_clock_boot_us();
	struct ur_table_answer answer = {.address = {0, 1},
					 .deadline_us =
					     options.base_us + now_us + 1000999,
					 .agent = 1,
					 .user_size = 3,
					 .user = "bob"};
	struct uidrecv_address address = {0, 1};
	struct uidrecv_mapping mapping;
	struct uidrecv_reader *reader;
	struct ur_table *table;

	cr_assert_eq(ur_table_create(&table, &options), 0);
	cr_assert_eq(ur_table_add_agent(table, 1, "dc1", 3), 0);
	cr_assert_eq(ur_table_publish(table), 0);
	cr_assert_eq(ur_table_put(table, &answer, options.base_us + now_us), 0);
	reader = open_reader(scratch.path);
	cr_assert_eq(look_at(reader, address, now_us, &mapping), 1);
	cr_assert_leq(mapping.expires_in_ms, 1000);
	cr_assert_geq(mapping.expires_in_ms, 999);
	cr_assert_eq(look_at(reader, address, now_us + 999000, &mapping), 1);
	cr_assert_eq(look_at(reader, address, now_us + 1000999, &mapping), 0);
	cr_assert_eq(look_at(reader, address, now_us + 90000000, &mapping), 0);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(reader, a_new_reader_that_is_told_no_time_reads_the_clock)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct epoch_put of = {.deadline_us = 1000};
	struct uidrecv_mapping mapping;

	cr_assert_eq(put_of(table, 1, of), 0);
	cr_assert_eq(look(reader, 1, &mapping), 0);
	cr_assert_eq(
	    look_at(reader, uidrecv_address_from_ipv4(1), 999, &mapping), 1);
	cr_assert_eq(look(reader, 1, &mapping), 0);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(reader, bulk_finds_what_single_lookups_find)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct uidrecv_query queries[100] = {{.port = 0}};
	struct uidrecv_mapping mappings[100], mapping;
	int results[100];

	for (uint32_t i = 0; i < 100; i++) {
		queries[i].address = uidrecv_address_from_ipv4(i * 3);
		cr_assert_eq(put(table, i * 2, i % 2 ? "a" : "b"), 0);
	}
	for (size_t count = 0; count <= 100; count++) {
		int found = uidrecv_reader_lookup_bulk(reader, queries, count,
						       0, mappings, results);
		int expected = 0;

		for (size_t i = 0; i < count; i++) {
			int r =
			    look_at(reader, queries[i].address, 0, &mapping);

			cr_assert_eq(results[i], r);
			expected += r == 1;
			if (r == 1)
				cr_assert_str_eq(mappings[i].user,
						 mapping.user);
		}
		cr_assert_eq(found, expected);
	}
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(reader, iteration_sees_every_living_answer_once)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct uidrecv_cursor cursor = {0, 0};
	struct uidrecv_mapping mapping;
	unsigned int seen[500] = {0};
	int r;

	while ((r = uidrecv_reader_next(reader, &cursor, 0, &mapping)) == 1)
		cr_assert_fail("an empty table has nobody");
	cr_assert_eq(r, 0);
	for (uint32_t i = 0; i < 500; i++)
		cr_assert_eq(put(table, i, "x"), 0);
	for (uint32_t i = 0; i < 500; i += 5)
		cr_assert_eq(put(table, i, NULL), 0);
	cursor = (struct uidrecv_cursor){0, 0};
	while ((r = uidrecv_reader_next(reader, &cursor, 0, &mapping)) == 1)
		seen[(uint32_t)mapping.address.lo]++;
	cr_assert_eq(r, 0);
	cr_assert_eq(uidrecv_reader_next(reader, &cursor, 0, &mapping), 0);
	for (uint32_t i = 0; i < 500; i++)
		cr_assert_eq(seen[i], i % 5 != 0);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(reader, iteration_notices_that_the_table_was_replaced)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct uidrecv_cursor cursor = {0, 0};
	struct uidrecv_mapping mapping;

	cr_assert_eq(put(table, 1, "x"), 0);
	cr_assert_eq(uidrecv_reader_next(reader, &cursor, 0, &mapping), 1);
	restart(&table, "y");
	cr_assert_eq(uidrecv_reader_next(reader, &cursor, 0, &mapping),
		     UIDRECV_E_TABLE_CHANGED);
	cursor = (struct uidrecv_cursor){0, 0};
	cr_assert_eq(uidrecv_reader_next(reader, &cursor, 0, &mapping), 1);
	cr_assert_str_eq(mapping.user, "y");
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(reader, follows_a_restarted_writer_without_a_failed_lookup)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct uidrecv_reader_status status;
	unsigned int fds = count_fds();
	char user[32];

	cr_assert_eq(put(table, 1, "first"), 0);
	for (int i = 0; i < 50; i++) {
		snprintf(user, sizeof(user), "user-%d", i);
		restart(&table, user);
		check_user(reader, 1, user);
	}
	cr_assert_eq(uidrecv_reader_get_status(reader, 0, &status), 0);
	cr_assert_eq(status.moves, 50);
	cr_assert_eq(count_fds(), fds);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(reader, follows_at_the_moment_of_the_lookup_before)
{
	struct uidrecv_address address = uidrecv_address_from_ipv4(1);
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	uint64_t now_us = ur_clock_boot_us();
	struct uidrecv_mapping mapping;

	cr_assert_eq(put(table, 1, "old"), 0);
	for (int i = 0; i < 2; i++)
		cr_assert_eq(look_at(reader, address, now_us, &mapping), 1);
	cr_assert_str_eq(mapping.user, "old");
	restart(&table, "new");
	cr_assert_eq(look_at(reader, address, now_us, &mapping), 1);
	cr_assert_str_eq(mapping.user, "new");
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(reader, looks_for_a_newer_table_when_the_heartbeat_is_stale)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	uint64_t now_us = ur_clock_boot_us();
	struct uidrecv_reader_status status;
	struct uidrecv_mapping mapping;
	struct uidrecv_address address = uidrecv_address_from_ipv4(1);
	char moved[128];

	/* The former file is out of the new writer's sight: not marked. */
	cr_assert_eq(put(table, 1, "old"), 0);
	snprintf(moved, sizeof(moved), "%s.moved", scratch.path);
	cr_assert_eq(rename(scratch.path, moved), 0);
	restart(&table, "new");
	cr_assert_eq(look_at(reader, address, now_us, &mapping), 1);
	cr_assert_str_eq(mapping.user, "old");
	cr_assert_eq(uidrecv_reader_get_status(reader, now_us, &status), 0);
	cr_assert_lt(status.heartbeat_age_ms, 3000);
	cr_assert_eq(look_at(reader, address, now_us + 3100000, &mapping), 1);
	cr_assert_str_eq(mapping.user, "new");
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(reader, goes_on_with_the_old_table_when_the_new_one_is_unusable)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	uint64_t now_us = ur_clock_boot_us();
	struct uidrecv_mapping mapping;
	struct uidrecv_address address = uidrecv_address_from_ipv4(1);

	cr_assert_eq(put(table, 1, "old"), 0);
	restart(&table, "new");
	cr_assert_eq(chmod(scratch.path, 0666), 0);
	cr_assert_eq(look_at(reader, address, now_us, &mapping), 1);
	cr_assert_str_eq(mapping.user, "old");
	cr_assert_eq(chmod(scratch.path, 0600), 0);
	/* Looks again, but not more than once a second. */
	cr_assert_eq(look_at(reader, address, now_us + 900000, &mapping), 1);
	cr_assert_str_eq(mapping.user, "old");
	cr_assert_eq(look_at(reader, address, now_us + 1000000, &mapping), 1);
	cr_assert_str_eq(mapping.user, "new");
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(reader, finds_the_table_in_a_directory_made_anew)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	uint64_t now_us = ur_clock_boot_us();
	struct uidrecv_address address = uidrecv_address_from_ipv4(1);
	struct uidrecv_mapping mapping;

	cr_assert_eq(put(table, 1, "old"), 0);
	ur_table_close(table);
	scratch_done(&scratch);
	cr_assert_eq(look_at(reader, address, now_us + 4000000, &mapping), 1);
	cr_assert_str_eq(mapping.user, "old");
	cr_assert_eq(mkdir(scratch.dir, 0700), 0);
	table = make_table(scratch.path, 1, 0);
	cr_assert_eq(put(table, 1, "new"), 0);
	cr_assert_eq(ur_table_publish(table), 0);
	cr_assert_eq(look_at(reader, address, now_us + 5000000, &mapping), 1);
	cr_assert_str_eq(mapping.user, "new");
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(reader, follows_after_chdir_with_a_relative_path)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader;

	cr_assert_eq(chdir(scratch.dir), 0);
	reader = open_reader("table");
	cr_assert_eq(chdir("/"), 0);
	cr_assert_eq(put(table, 1, "old"), 0);
	check_user(reader, 1, "old");
	restart(&table, "new");
	check_user(reader, 1, "new");
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

Test(reader, S25_goes_on_in_a_child_after_fork)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct uidrecv_mapping mapping;
	int status;
	pid_t pid;

	cr_assert_eq(put(table, 1, "old"), 0);
	check_user(reader, 1, "old");
	pid = fork();
	if (pid == 0) {
		bool is_right = false;

		for (int i = 0; i < 5000 && !is_right; i++) {
			is_right = look(reader, 1, &mapping) == 1 &&
				   strcmp(mapping.user, "new") == 0;
			usleep(1000);
		}
		uidrecv_reader_close(reader);
		_exit(is_right ? 0 : 1);
	}
	restart(&table, "new");
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
	check_user(reader, 1, "new");
	uidrecv_reader_close(reader);
	ur_table_close(table);
}
