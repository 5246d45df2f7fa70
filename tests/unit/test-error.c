/* SPDX-License-Identifier: BSD-2-Clause */
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include <uidrecv/types.h>

#include "options.h"

Test(error, every_code_has_its_own_text)
{
	static const int codes[] = {
#define ERROR_CODE(name, number, text) UIDRECV_##name,
	    UIDRECV_ERRORS(ERROR_CODE)
#undef ERROR_CODE
	};
	size_t count = sizeof(codes) / sizeof(codes[0]);

	for (size_t i = 0; i < count; i++) {
		cr_assert_str_neq(uidrecv_strerror(codes[i]), "unknown error");
		cr_assert_lt(codes[i], -1000);
		for (size_t j = 0; j < i; j++) {
			cr_assert_neq(codes[i], codes[j]);
			cr_assert_str_neq(uidrecv_strerror(codes[i]),
					  uidrecv_strerror(codes[j]));
		}
	}
}

Test(error, errno_values_and_success_have_texts)
{
	cr_assert_str_eq(uidrecv_strerror(0), "success");
	cr_assert_str_eq(uidrecv_strerror(-ENOENT),
			 "No such file or directory");
	cr_assert_str_eq(uidrecv_strerror(UIDRECV_E_STORE_FULL),
			 "the store is full");
}

Test(error, every_other_number_is_unknown)
{
	static const int others[] = {1,	    INT_MAX, INT_MIN,
				     -1000, -1012,   INT_MIN + 1};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		cr_assert_str_eq(uidrecv_strerror(others[i]), "unknown error");
	for (int error = -2000; error < 2000; error++)
		cr_assert_not_null(uidrecv_strerror(error));
}

Test(error, version_is_that_of_the_header)
{
	cr_assert_eq(uidrecv_version(), UIDRECV_VERSION_MAJOR << 16 |
					    UIDRECV_VERSION_MINOR << 8 |
					    UIDRECV_VERSION_PATCH);
}

Test(error, sources_have_names)
{
	cr_assert_str_eq(uidrecv_source_name(UIDRECV_SOURCE_DIRECTORY),
			 "directory");
	cr_assert_str_eq(uidrecv_source_name(UIDRECV_SOURCE_REDISTRIBUTED),
			 "redistributed");
	for (unsigned int i = 0; i < 300; i++)
		cr_assert_not_null(uidrecv_source_name(i));
	cr_assert_str_eq(uidrecv_source_name(11), "unknown");
	cr_assert_str_eq(uidrecv_source_name(255), "unknown");
	cr_assert_str_eq(uidrecv_source_name(UINT_MAX), "unknown");
}

struct known {
	size_t size;
	uint64_t first;
	uint64_t second;
};

Test(options, null_is_all_zero)
{
	struct known known = {9, 9, 9};

	cr_assert_eq(ur_options_load(&known, sizeof(known), 16, NULL), 0);
	cr_assert_eq(known.size, sizeof(known));
	cr_assert_eq(known.first, 0);
	cr_assert_eq(known.second, 0);
}

Test(options, older_caller_gets_defaults_for_what_it_lacks)
{
	uint64_t older[2] = {sizeof(older), 7};
	struct known known;

	cr_assert_eq(ur_options_load(&known, sizeof(known), 16, older), 0);
	cr_assert_eq(known.first, 7);
	cr_assert_eq(known.second, 0);
}

Test(options, newer_caller_is_refused_only_if_it_uses_what_is_new)
{
	uint64_t newer[4] = {sizeof(newer), 7, 8, 0};
	struct known known;

	cr_assert_eq(ur_options_load(&known, sizeof(known), 16, newer), 0);
	cr_assert_eq(known.size, sizeof(known));
	cr_assert_eq(known.second, 8);
	newer[3] = 1;
	cr_assert_eq(ur_options_load(&known, sizeof(known), 16, newer),
		     UIDRECV_E_ABI);
}

Test(options, impossible_sizes_are_refused)
{
	uint64_t wrong[2] = {0, 0};
	struct known known;

	cr_assert_eq(ur_options_load(&known, sizeof(known), 16, wrong),
		     -EINVAL);
	wrong[0] = 15;
	cr_assert_eq(ur_options_load(&known, sizeof(known), 16, wrong),
		     -EINVAL);
	wrong[0] = UR_OPTIONS_SIZE_MAX + 1;
	cr_assert_eq(ur_options_load(&known, sizeof(known), 16, wrong),
		     -EINVAL);
}
