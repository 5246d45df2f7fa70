/* SPDX-License-Identifier: BSD-2-Clause */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include <uidrecv/types.h>

static struct uidrecv_address parse(const char *text)
{
	struct uidrecv_address address = {1, 1};

	cr_assert_eq(uidrecv_address_parse(text, &address), 0, "%s", text);
	return address;
}

Test(address, formats_to_one_canonical_text)
{
	static const char *const cases[][2] = {
	    {"10.1.2.3", "10.1.2.3"},
	    {"0.0.0.0", "0.0.0.0"},
	    {"255.255.255.255", "255.255.255.255"},
	    {"::ffff:10.1.2.3", "10.1.2.3"},
	    {"::FFFF:a01:203", "10.1.2.3"},
	    {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
	    {"2001:db8:0:1::", "2001:db8:0:1::"},
	    {"::", "::"},
	    {"::1", "::1"},
	    {"1:0:0:2:0:0:0:3", "1:0:0:2::3"},
	    {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	     "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
	};
	char text[UIDRECV_ADDRESS_TEXT_MAX];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct uidrecv_address address = parse(cases[i][0]);

		cr_assert_eq(uidrecv_address_format(address, text), text);
		cr_assert_str_eq(text, cases[i][1]);
	}
}

Test(address, refuses_what_is_no_address)
{
	static const char *const cases[] = {
	    "",
	    "10.1.2",
	    "10.1.2.256",
	    "10.1.2.3 ",
	    " 10.1.2.3",
	    "10.1.2.3/32",
	    "010.1.2.3",
	    "0x0a010203",
	    "fe80::1%lo",
	    "[::1]",
	    "1:2:3",
	    "::1::",
	    "10.1.2.3:80",
	    "host",
	};
	struct uidrecv_address address = {7, 7};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_assert_eq(uidrecv_address_parse(cases[i], &address), -EINVAL,
			     "%s", cases[i]);
	cr_assert_eq(uidrecv_address_parse(NULL, &address), -EINVAL);
	cr_assert_eq(uidrecv_address_parse("::1", NULL), -EINVAL);
	cr_assert(address.hi == 7 && address.lo == 7);
}

Test(address, mapped_and_plain_ipv4_are_equal)
{
	struct uidrecv_address plain = parse("192.0.2.1");
	struct uidrecv_address mapped = parse("::ffff:192.0.2.1");
	struct uidrecv_address made = uidrecv_address_from_ipv4(0xc0000201);

	cr_assert(plain.hi == mapped.hi && plain.lo == mapped.lo);
	cr_assert(plain.hi == made.hi && plain.lo == made.lo);
	cr_assert(uidrecv_address_is_ipv4(plain));
	cr_assert_not(uidrecv_address_is_ipv4(parse("::192.0.2.1")));
	cr_assert_not(uidrecv_address_is_ipv4(parse("::1")));
}

Test(address, bytes_are_in_network_order)
{
	static const uint8_t bytes[16] = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 0,
					  0,	0, 0,	0,    0, 0, 0, 9};
	struct uidrecv_address address = uidrecv_address_from_ipv6(bytes);

	cr_assert_eq(address.hi, UINT64_C(0x20010db800000000));
	cr_assert_eq(address.lo, 9);
}

static void check_user(const char *user, size_t size, const char *expected)
{
	char text[UIDRECV_USER_TEXT_MAX];
	char back[UIDRECV_NAME_MAX + 1];
	size_t back_size = 0;

	cr_assert_eq(uidrecv_user_format(user, size, text), text);
	cr_assert_str_eq(text, expected);
	cr_assert_eq(uidrecv_user_parse(text, back, &back_size), 0);
	cr_assert_eq(back_size, size);
	cr_assert_arr_eq(back, user, size);
	cr_assert_eq(back[size], '\0');
}

#define CHECK_USER(user, expected) check_user(user, sizeof(user) - 1, expected)

Test(user, is_one_printable_word_and_reads_back)
{
	CHECK_USER("", "");
	CHECK_USER("alice", "alice");
	CHECK_USER("CORP\\alice", "CORP\\alice");
	CHECK_USER("a b", "a%20b");
	CHECK_USER("50%", "50%25");
	CHECK_USER("a\nb\tc\0d\x7f", "a%0Ab%09c%00d%7F");
	CHECK_USER("\xc3\xa9\xe2\x82\xac\xf0\x9f\x99\x82",
		   "\xc3\xa9\xe2\x82\xac\xf0\x9f\x99\x82");
}

Test(user, invisible_unicode_is_escaped)
{
	CHECK_USER("a\xc2\xa0z", "a%C2%A0z");
	CHECK_USER("a\xc2\x85z", "a%C2%85z");
	CHECK_USER("a\xe2\x80\xa8z", "a%E2%80%A8z");
	CHECK_USER("a\xe2\x80\xaez", "a%E2%80%AEz");
	CHECK_USER("a\xe3\x80\x80z", "a%E3%80%80z");
}

Test(user, bytes_that_are_not_utf8_are_escaped)
{
	CHECK_USER("\xff", "%FF");
	CHECK_USER("a\x80", "a%80");
	CHECK_USER("\xc0\xaf", "%C0%AF");
	CHECK_USER("\xed\xa0\x80", "%ED%A0%80");
	CHECK_USER("\xf4\x90\x80\x80", "%F4%90%80%80");
	CHECK_USER("\xe0\x80\xaf", "%E0%80%AF");
	CHECK_USER("\xe2\x82", "%E2%82");
	CHECK_USER("\xf8\x88\x80\x80\x80", "%F8%88%80%80%80");
}

Test(user, the_longest_name_fits)
{
	char user[UIDRECV_NAME_MAX + 10];
	char text[UIDRECV_USER_TEXT_MAX];
	char back[UIDRECV_NAME_MAX + 1];
	size_t size = 0;

	memset(user, '\xff', sizeof(user));
	uidrecv_user_format(user, UIDRECV_NAME_MAX, text);
	cr_assert_eq(strlen(text), 3 * UIDRECV_NAME_MAX);
	cr_assert_eq(uidrecv_user_parse(text, back, &size), 0);
	cr_assert_eq(size, UIDRECV_NAME_MAX);
	uidrecv_user_format(user, sizeof(user), text);
	cr_assert_eq(strlen(text), 3 * UIDRECV_NAME_MAX);
}

Test(user, refuses_bad_escapes_and_long_names)
{
	static const char *const cases[] = {"%", "a%2", "%zz", "%2g", "%%20"};
	char text[UIDRECV_NAME_MAX + 2];
	char user[UIDRECV_NAME_MAX + 1];
	size_t size = 7;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_assert_eq(uidrecv_user_parse(cases[i], user, &size),
			     -EINVAL);
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	cr_assert_eq(uidrecv_user_parse(text, user, &size), -ENAMETOOLONG);
	cr_assert_eq(uidrecv_user_parse(NULL, user, &size), -EINVAL);
	cr_assert_eq(size, 7);
	cr_assert_eq(uidrecv_user_parse("a%2fb%2F", user, &size), 0);
	cr_assert_str_eq(user, "a/b/");
}
