/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * As test-step.c, for multi-user addresses: a system comes, goes or is cut
 * otherwise, and blocks move, with a look at everything after every
 * instruction of the writer.
 */
#include "stepping.h"
#include "tables.h"

TestSuite(step_ports, .init = setup, .fini = teardown, .timeout = 280);

#define HOST 1
#define ALIAS 2
#define COURSES_MAX 8

/* What a query finds, one after the other, from before to the end. */
struct course {
	uint32_t ipv4;
	int port;
	const char *text[4];
};

struct work {
	struct ur_table *table;
	bool (*act)(struct ur_table *table);
};

static bool do_work(void *what)
{
	const struct work *work = what;

	return work->act(work->table);
}

/* Looks where a course is now: where it was, or one further. */
static size_t follow(const struct course *course, size_t at,
		     struct uidrecv_reader *reader, unsigned int steps)
{
	struct said said = look_port(reader, course->ipv4, course->port);

	if (strcmp(said.text, course->text[at]) == 0)
		return at;
	cr_assert(course->text[at + 1] != NULL &&
		      strcmp(said.text, course->text[at + 1]) == 0,
		  "port %d: %s after %s at step %u", course->port, said.text,
		  course->text[at], steps);
	return at + 1;
}

static void check_steps(void (*prepare)(struct ur_table *table),
			bool (*act)(struct ur_table *table),
			const struct course *courses, size_t count)
{
	struct work work = {make_published(scratch.path), act};
	struct uidrecv_reader *reader = open_reader(scratch.path);
	size_t at[COURSES_MAX] = {0};
	unsigned int steps = 0;
	pid_t pid;

	prepare(work.table);
	pid = start_child(do_work, &work);
	for (; step(pid); steps++)
		for (size_t i = 0; i < count; i++)
			at[i] = follow(&courses[i], at[i], reader, steps);
	kill_child(pid);
	cr_assert_gt(steps, 50);
	for (size_t i = 0; i < count; i++)
		cr_assert_null(courses[i].text[at[i] + 1]);
	uidrecv_reader_close(reader);
	ur_table_close(work.table);
}

#define CHECK_STEPS(prepare, act, courses)                                     \
	check_steps(prepare, act, courses, sizeof(courses) / sizeof(*(courses)))

static void prepare_nobody(struct ur_table *table)
{
	cr_assert_eq(put(table, HOST + 7, "neighbour"), 0);
}

static void prepare_user(struct ur_table *table)
{
	cr_assert_eq(put(table, HOST, "carol"), 0);
}

static void prepare_system(struct ur_table *table)
{
	cr_assert_eq(put_system(table, HOST, 20000, 2000, 200), 0);
	cr_assert_eq(put_system(table, ALIAS, 20000, 2000, 200), 0);
	cr_assert_eq(put_block(table, 20000, "alice"), 0);
	cr_assert_eq(put_block(table, 20200, "dave"), 0);
}

static bool become_system(struct ur_table *table)
{
	return put_system(table, HOST, 20000, 2000, 200) == 0 &&
	       put_block(table, 20000, "alice") == 0;
}

Test(step_ports, nobody_becomes_a_system)
{
	static const struct course courses[] = {
	    {HOST, -1, {"nobody", "no-port"}},
	    {HOST, 20001, {"nobody", "unknown-port", "alice 20000+200"}},
	    {HOST, 20200, {"nobody", "unknown-port"}},
	    {HOST + 7, 20001, {"neighbour"}},
	};

	CHECK_STEPS(prepare_nobody, become_system, courses);
}

Test(step_ports, a_user_becomes_a_system)
{
	static const struct course courses[] = {
	    {HOST, -1, {"carol", "no-port"}},
	    {HOST, 20001, {"carol", "unknown-port", "alice 20000+200"}},
	    {HOST, 20200, {"carol", "unknown-port"}},
	};

	CHECK_STEPS(prepare_user, become_system, courses);
}

static bool become_user(struct ur_table *table)
{
	return put_block(table, 20000, NULL) == 0 &&
	       put_block(table, 20200, NULL) == 0 &&
	       put(table, HOST, "a-user-with-a-name-of-more-than-20-bytes") ==
		   0 &&
	       put_system(table, ALIAS, 0, 0, 0) == 0;
}

Test(step_ports, a_system_becomes_a_user_and_nobody)
{
#define LONG "a-user-with-a-name-of-more-than-20-bytes"
	static const struct course courses[] = {
	    {HOST, -1, {"no-port", LONG}},
	    {HOST, 20001, {"alice 20000+200", "unknown-port", LONG}},
	    {HOST, 20399, {"dave 20200+200", "unknown-port", LONG}},
	    {HOST, 80, {"unknown-port", LONG}},
	    {ALIAS, -1, {"no-port", "nobody"}},
	    {ALIAS, 20001, {"alice 20000+200", "unknown-port", "nobody"}},
	};

	CHECK_STEPS(prepare_system, become_user, courses);
}

static bool move_block(struct ur_table *table)
{
	return put_block(table, 20000, LONG) == 0 &&
	       put_block(table, 20000, "bob") == 0;
}

Test(step_ports, a_block_moves_from_user_to_user)
{
	static const struct course courses[] = {
	    {HOST,
	     20001,
	     {"alice 20000+200", LONG " 20000+200", "bob 20000+200"}},
	    {ALIAS,
	     20199,
	     {"alice 20000+200", LONG " 20000+200", "bob 20000+200"}},
	    {ALIAS, 20200, {"dave 20200+200"}},
	    {HOST, -1, {"no-port"}},
	};

	CHECK_STEPS(prepare_system, move_block, courses);
}

/* Blocks first, then the addresses, then new blocks, of another size. */
static bool cut_otherwise(struct ur_table *table)
{
	return put_block(table, 20000, NULL) == 0 &&
	       put_block(table, 20200, NULL) == 0 &&
	       put_system(table, HOST, 20000, 1000, 100) == 0 &&
	       put_system(table, ALIAS, 20000, 1000, 100) == 0 &&
	       put_block(table, 20000, "bob") == 0 &&
	       put_block(table, 20300, "erin") == 0;
}

Test(step_ports, a_system_is_cut_otherwise)
{
	static const struct course courses[] = {
	    {HOST, -1, {"no-port"}},
	    {HOST, 20050, {"alice 20000+200", "unknown-port", "bob 20000+100"}},
	    {HOST, 20150, {"alice 20000+200", "unknown-port"}},
	    {HOST, 20250, {"dave 20200+200", "unknown-port"}},
	    {ALIAS,
	     20350,
	     {"dave 20200+200", "unknown-port", "erin 20300+100"}},
	    {ALIAS, 20150, {"alice 20000+200", "unknown-port"}},
	};

	CHECK_STEPS(prepare_system, cut_otherwise, courses);
}

static bool drop_blocks(struct ur_table *table)
{
	ur_table_drop(table, 2, 2);
	return true;
}

Test(step_ports, a_drop_takes_all_blocks_and_no_system)
{
	static const struct course courses[] = {
	    {HOST, -1, {"no-port"}},
	    {HOST, 20001, {"alice 20000+200", "unknown-port"}},
	    {ALIAS, 20201, {"dave 20200+200", "unknown-port"}},
	};

	CHECK_STEPS(prepare_system, drop_blocks, courses);
}
