/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The proof of "at every instruction": a child process puts, is stepped one
 * instruction at a time, and after each of them a reader looks. A writer that
 * is killed there leaves behind just what the reader sees there.
 */
#include "../table-helper.h"
#include "stepping.h"

#define LONG_OLD "an-old-user-with-a-name-of-more-than-20-bytes"
#define LONG_NEW "the-new-user-with-a-name-of-more-than-20-bytes"
#define STEPS_MAX 20000000

static struct scratch scratch;

static void setup(void)
{
	scratch_init(&scratch);
}

static void teardown(void)
{
	scratch_done(&scratch);
}

TestSuite(step, .init = setup, .fini = teardown, .timeout = 280);

struct a_put {
	struct ur_table *table;
	struct ur_table_answer answer;
	uint64_t now_us;
};

static bool do_put(void *what)
{
	const struct a_put *of = what;

	return ur_table_put(of->table, &of->answer, of->now_us) == 0;
}

static pid_t start_put(struct ur_table *table, uint32_t ipv4, const char *user,
		       uint64_t deadline_us)
{
	struct a_put of = {.table = table, .now_us = ur_clock_boot_us()};

	of.answer = (struct ur_table_answer){
	    .address = uidrecv_address_from_ipv4(ipv4),
	    .deadline_us = deadline_us,
	    .agent = 1,
	    .source = UIDRECV_SOURCE_DIRECTORY,
	    .user_size = user != NULL ? (uint8_t)strlen(user) : 0,
	    .user = user,
	};
	return start_child(do_put, &of);
}

struct expected {
	const char *user; /* NULL: nobody */
	uint64_t expires_in_ms;
};

static bool is_expected(const struct expected *expected, int r,
			const struct uidrecv_mapping *mapping)
{
	if (expected->user == NULL)
		return r == 0;
	return r == 1 && strcmp(mapping->user, expected->user) == 0 &&
	       mapping->user_size == strlen(expected->user) &&
	       strcmp(mapping->agent, "dc1") == 0 &&
	       (mapping->expires_in_ms == UINT64_MAX) ==
		   (expected->expires_in_ms == UINT64_MAX);
}

/* Puts new over old at address 1, with a look after every instruction. */
static void check_steps(struct expected old, struct expected new)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	uint64_t soon_us = ur_clock_boot_us() + 3600000000u;
	uint64_t old_us = old.expires_in_ms != 0 ? UINT64_MAX : soon_us;
	uint64_t new_us = new.expires_in_ms != 0 ? UINT64_MAX : soon_us;
	struct uidrecv_mapping mapping;
	unsigned int steps = 0;
	bool has_new = false;
	uint64_t change = 0;
	pid_t pid;
	int r;

	cr_assert_eq(put(table, 2, "neighbour"), 0);
	cr_assert_eq(
	    put_until(table, uidrecv_address_from_ipv4(1), old.user, old_us),
	    0);
	pid = start_put(table, 1, new.user, new_us);
	while (step(pid) && steps++ < STEPS_MAX) {
		r = look(reader, 1, &mapping);
		if (is_expected(&new, r, &mapping))
			has_new = true;
		else
			cr_assert(!has_new && is_expected(&old, r, &mapping),
				  "step %u: %d", steps, r);
		if (r == 1) {
			cr_assert_geq(mapping.change, change);
			change = mapping.change;
		}
		cr_assert_eq(look(reader, 2, &mapping), 1);
		cr_assert_str_eq(mapping.user, "neighbour");
	}
	kill_child(pid);
	cr_assert(has_new);
	cr_assert_gt(steps, 50);
	/* 1001 is the neighbour's; only a refresh leaves the number alone. */
	if (old.user != NULL && new.user != NULL)
		cr_assert_eq(change, strcmp(old.user, new.user) ? 1003 : 1002);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

#define FOREVER(user) ((struct expected){user, UINT64_MAX})
#define AN_HOUR(user) ((struct expected){user, 0})

Test(step, insert_is_whole_or_not_there)
{
	check_steps(FOREVER(NULL), FOREVER("alice"));
}

Test(step, insert_of_a_long_name_is_whole_or_not_there)
{
	check_steps(FOREVER(NULL), FOREVER(LONG_NEW));
}

Test(step, rewrite_is_old_or_new)
{
	check_steps(FOREVER("alice"), AN_HOUR("bob"));
}

/* What is common to both does not tell them apart. */
Test(step, rewrite_by_a_name_as_long_is_old_or_new)
{
	check_steps(FOREVER("alice"), AN_HOUR("carol"));
}

Test(step, rewrite_of_short_by_long_is_old_or_new)
{
	check_steps(AN_HOUR("alice"), FOREVER(LONG_NEW));
}

Test(step, rewrite_of_long_by_long_is_old_or_new)
{
	check_steps(AN_HOUR(LONG_OLD), AN_HOUR(LONG_NEW));
}

Test(step, rewrite_of_long_by_short_is_old_or_new)
{
	check_steps(FOREVER(LONG_OLD), FOREVER("bob"));
}

Test(step, removal_is_old_or_nobody)
{
	check_steps(FOREVER("alice"), FOREVER(NULL));
}

Test(step, refresh_changes_nothing_but_the_deadline)
{
	check_steps(AN_HOUR("alice"), FOREVER("alice"));
}

/*
 * The put that grows: some hundred thousand instructions and a dozen system
 * calls, with a reader that moves somewhere among them.
 */
Test(step, growth_never_fails_a_lookup)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_reader *reader = open_reader(scratch.path);
	struct uidrecv_reader_status status;
	struct uidrecv_mapping mapping;
	bool has_new = false;
	char user[64];
	pid_t pid;

	for (uint32_t i = 0; i < 640; i++) {
		snprintf(user, sizeof(user), i % 2 ? "u%u" : LONG_OLD "%u", i);
		cr_assert_eq(put(table, i, user), 0);
	}
	/* Most of them leave again: the less to copy, the fewer the steps. */
	for (uint32_t i = 0; i < 640; i++) {
		if (i % 16 > 1)
			cr_assert_eq(put(table, i, NULL), 0);
	}
	pid = start_put(table, 640, "the-one-too-many", UINT64_MAX);
	for (uint32_t steps = 0; step(pid); steps++) {
		uint32_t i = steps % 640;

		snprintf(user, sizeof(user), i % 2 ? "u%u" : LONG_OLD "%u", i);
		cr_assert_eq(look(reader, i, &mapping), i % 16 < 2);
		if (i % 16 < 2)
			cr_assert_str_eq(mapping.user, user);
		if (look(reader, 640, &mapping) == 1)
			has_new = true;
		else
			cr_assert_not(has_new);
	}
	kill_child(pid);
	cr_assert(has_new);
	cr_assert_eq(uidrecv_reader_get_status(reader, 0, &status), 0);
	cr_assert_eq(status.moves, 1);
	uidrecv_reader_close(reader);
	ur_table_close(table);
}

static void copy_file(const char *from, const char *to)
{
	static char bytes[1 << 20];
	int fd = open(from, O_RDONLY);
	ssize_t size = read(fd, bytes, sizeof(bytes));

	close(fd);
	fd = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	cr_assert(size > 0 && write(fd, bytes, (size_t)size) == size);
	close(fd);
}

/*
 * After every instruction of a put: what is in the file there is what a dead
 * writer leaves behind. A reader opens it, and the next writer takes over.
 */
Test(step, next_writer_takes_over_after_a_death_at_any_instruction)
{
	struct ur_table *table = make_published(scratch.path);
	unsigned int deaths = 0;
	bool has_new = false;
	char path[128];
	pid_t pid;

	snprintf(path, sizeof(path), "%s/left-behind", scratch.dir);
	cr_assert_eq(put(table, 1, "alice"), 0);
	pid = start_put(table, 1, LONG_NEW, UINT64_MAX);
	for (; step(pid); deaths++) {
		struct uidrecv_mapping before, after;
		struct uidrecv_reader *reader;
		struct ur_table *next;

		copy_file(scratch.path, path);
		reader = open_reader(path);
		cr_assert_eq(look(reader, 1, &before), 1);
		if (strcmp(before.user, LONG_NEW) == 0)
			has_new = true;
		else
			cr_assert(!has_new && !strcmp(before.user, "alice"));
		next = make_table(path, 1, 0);
		cr_assert_eq(put(next, 1, "carol"), 0);
		cr_assert_eq(ur_table_publish(next), 0);
		cr_assert_eq(look(reader, 1, &after), 1);
		cr_assert_str_eq(after.user, "carol");
		cr_assert_gt(after.change, before.change);
		uidrecv_reader_close(reader);
		ur_table_close(next);
	}
	kill_child(pid);
	cr_assert(has_new);
	cr_assert_gt(deaths, 50);
	ur_table_close(table);
}
