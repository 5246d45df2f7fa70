/* SPDX-License-Identifier: BSD-2-Clause */
#include <criterion/criterion.h>
#include <string.h>
#include <uidrecv/record.h>

Test(code, every_reject_has_its_name_and_text)
{
#define CHECK(name, number, wire, text)                                        \
	cr_expect_eq(UIDRECV_REJECT_##name, number);                           \
	cr_expect_str_eq(uidrecv_reject_name(number), wire);                   \
	cr_expect_str_eq(uidrecv_reject_text(number), text);
	UIDRECV_REJECTS(CHECK)
#undef CHECK
}

Test(code, every_bye_has_its_name_and_text)
{
#define CHECK(name, number, wire, text)                                        \
	cr_expect_eq(UIDRECV_BYE_##name, number);                              \
	cr_expect_str_eq(uidrecv_bye_name(number), wire);                      \
	cr_expect_str_eq(uidrecv_bye_text(number), text);
	UIDRECV_BYES(CHECK)
#undef CHECK
}

Test(code, every_resync_has_its_name_and_text)
{
#define CHECK(name, number, wire, text)                                        \
	cr_expect_eq(UIDRECV_RESYNC_##name, number);                           \
	cr_expect_str_eq(uidrecv_resync_name(number), wire);                   \
	cr_expect_str_eq(uidrecv_resync_text(number), text);
	UIDRECV_RESYNCS(CHECK)
#undef CHECK
}

Test(code, every_number_has_some_name_and_text)
{
	for (unsigned int code = 0; code <= 0x10000; code++) {
		cr_assert_gt(strlen(uidrecv_reject_name(code)), 0);
		cr_assert_gt(strlen(uidrecv_reject_text(code)), 0);
		cr_assert_gt(strlen(uidrecv_bye_name(code)), 0);
		cr_assert_gt(strlen(uidrecv_bye_text(code)), 0);
		cr_assert_gt(strlen(uidrecv_resync_name(code)), 0);
		cr_assert_gt(strlen(uidrecv_resync_text(code)), 0);
	}
}

Test(code, other_numbers_are_unknown)
{
	static const unsigned int codes[] = {0,	  17,  99,    107,
					     208, 306, 65535, 4294967295u};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		cr_expect_str_eq(uidrecv_reject_name(codes[i]), "UNKNOWN");
		cr_expect_str_eq(uidrecv_bye_name(codes[i]), "UNKNOWN");
		cr_expect_str_eq(uidrecv_resync_name(codes[i]), "UNKNOWN");
	}
}

Test(code, names_are_those_of_the_protocol)
{
	cr_expect_str_eq(uidrecv_reject_name(9), "TIME-IN-FUTURE");
	cr_expect_str_eq(uidrecv_bye_name(300), "NOT-AUTHORIZED");
	cr_expect_str_eq(uidrecv_resync_name(2), "NO-SNAPSHOT");
	cr_expect_eq(UIDRECV_RESYNC_BUSY, 5);
	cr_expect_str_eq(uidrecv_resync_name(6), "UNKNOWN");
}
