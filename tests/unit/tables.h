/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of the table and of its growth share. */
#ifndef TEST_TABLES_H
#define TEST_TABLES_H

#include <criterion/criterion.h>
#include <dirent.h>

#include "../table-helper.h"

static struct scratch scratch;

static inline void setup(void)
{
	scratch_init(&scratch);
}

static inline void teardown(void)
{
	scratch_done(&scratch);
}

static inline unsigned int count_files(void)
{
	DIR *dir = opendir(scratch.dir);
	unsigned int count = 0;

	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count - 2;
}

static inline void check_user(struct uidrecv_reader *reader, uint32_t ipv4,
			      const char *user)
{
	struct uidrecv_mapping mapping;

	cr_assert_eq(look(reader, ipv4, &mapping), 1);
	cr_assert_eq(mapping.user_size, strlen(user));
	cr_assert_str_eq(mapping.user, user);
}

#endif
