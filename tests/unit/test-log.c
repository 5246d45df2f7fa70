/* SPDX-License-Identifier: BSD-2-Clause */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "log.h"

static char last[8192];
static unsigned int lines;
static enum uidrecv_log_level last_level;

static void take(void *user, enum uidrecv_log_level level, const char *message)
{
	cr_assert_eq(user, &lines);
	cr_assert_lt(strlen(message), sizeof(last));
	strcpy(last, message);
	last_level = level;
	lines++;
}

static struct ur_log make_log(void)
{
	return (struct ur_log){.fn = take, .user = &lines};
}

Test(log, one_clean_line)
{
	struct ur_log log = make_log();

	ur_log(&log, UIDRECV_LOG_INFO, "%s of %u", "one", 7u);
	cr_expect_str_eq(last, "one of 7");
	cr_expect_eq(last_level, UIDRECV_LOG_INFO);
	ur_log(&log, UIDRECV_LOG_ERROR, "%s", "a\r\nb\x1b[31m\x7f\xc3\xb6\t");
	cr_expect_str_eq(last, "a\\x0d\\x0ab\\x1b[31m\\x7f\\xc3\\xb6\\x09");
	cr_expect_eq(lines, 2);
}

Test(log, without_a_callback_nothing_happens)
{
	struct ur_log log = {.fn = NULL};

	ur_log(&log, UIDRECV_LOG_INFO, "%s", "x");
	ur_log_peer(&log, UIDRECV_LOG_INFO, 1, "%s", "x");
	cr_expect_eq(log.warnings.lines + log.news.lines, 0);
}

/* A line that is too long is cut, and never beyond its room. */
Test(log, long_lines_are_cut)
{
	struct ur_log log = make_log();
	char text[5000];

	memset(text, '\x01', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	ur_log(&log, UIDRECV_LOG_INFO, "%s", text);
	cr_expect_eq(lines, 1);
	cr_expect_gt(strlen(last), 1000);
	cr_expect_lt(strlen(last), 4096);
	cr_expect_eq(strlen(last) % 4, 0);
}

Test(log, escape_keeps_to_the_room)
{
	char out[16];

	for (size_t room = 1; room <= sizeof(out); room++) {
		memset(out, 'x', sizeof(out));
		ur_log_escape(out, room, "ab\ncd\nef", 8);
		cr_assert_lt(strlen(out), room);
		cr_assert(!strncmp(out, "ab\\x0acd\\x0aef", strlen(out)));
		/* No part of an escape. */
		cr_assert(strlen(out) <= 2 || strlen(out) >= 6);
		for (size_t i = room; i < sizeof(out); i++)
			cr_assert_eq(out[i], 'x');
	}
	out[0] = 'y';
	ur_log_escape(out, 0, "ab", 2);
	cr_assert_eq(out[0], 'y');
	ur_log_escape(out, sizeof(out), "a\0b", 3);
	cr_assert_str_eq(out, "a\\x00b");
}

Test(log, P22_ten_lines_a_second)
{
	struct ur_log log = make_log();
	uint64_t now_us = 5000000;

	for (int i = 0; i < 1000; i++)
		ur_log_peer(&log, UIDRECV_LOG_WARNING, now_us + 900u * i, "x");
	cr_expect_eq(lines, 10);
	/* What we do ourselves is not limited. */
	ur_log(&log, UIDRECV_LOG_INFO, "y");
	cr_expect_eq(lines, 11);
	ur_log_peer(&log, UIDRECV_LOG_WARNING, now_us + 1000000, "z");
	cr_expect_eq(lines, 13);
	cr_expect_str_eq(last, "z");
	cr_expect_eq(log.warnings.suppressed, 0);
	for (int i = 0; i < 1000; i++)
		ur_log_peer(&log, UIDRECV_LOG_WARNING, now_us + 1000000, "x");
	cr_expect_eq(lines, 22);
	cr_expect_eq(log.warnings.suppressed, 991);
	ur_log_peer(&log, UIDRECV_LOG_WARNING, now_us + 9000000, "%s", "");
	cr_expect_eq(lines, 24);
}

/* Sessions that come and go leave room for a warning. */
Test(log, P22_news_do_not_hide_warnings)
{
	struct ur_log log = make_log();

	for (int i = 0; i < 1000; i++)
		ur_log_peer(&log, UIDRECV_LOG_INFO, 5000000, "x");
	cr_expect_eq(lines, 10);
	ur_log_peer(&log, UIDRECV_LOG_WARNING, 5000000, "y");
	cr_expect_eq(lines, 11);
	cr_expect_str_eq(last, "y");
}
