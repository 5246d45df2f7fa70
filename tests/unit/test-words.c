/* SPDX-License-Identifier: BSD-2-Clause */
#include <criterion/criterion.h>

#include "words.h"

static void check_endpoint(const char *text, const char *host, uint16_t port)
{
	char found[64] = "";
	uint16_t number = 0;

	cr_expect(ur_words_endpoint(text, found, sizeof(found), &number), "%s",
		  text);
	cr_expect_str_eq(found, host);
	cr_expect_eq(number, port);
}

Test(words, endpoint)
{
	static const char *const bad[] = {
	    "",	      ":1",
	    "a",      "a:",
	    "a:x",    "a:1x",
	    "a:-1",   "a:+1",
	    "a: 1",   "a:65536",
	    "::1:1",  "[]:1",
	    "[::1]1", "a:99999999999999999999",
	    "[::1]:", "[::1:1",
	};
	char host[8];
	uint16_t port;

	check_endpoint("a:1", "a", 1);
	check_endpoint("fw.example.com:65535", "fw.example.com", 65535);
	check_endpoint("10.0.0.1:0", "10.0.0.1", 0);
	check_endpoint("[::1]:5007", "::1", 5007);
	check_endpoint("[fe80::1%eth0]:5007", "fe80::1%eth0", 5007);
	check_endpoint("*:5007", "*", 5007);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_not(
		    ur_words_endpoint(bad[i], host, sizeof(host), &port), "%s",
		    bad[i]);
	cr_expect(ur_words_endpoint("1234567:1", host, 8, &port));
	cr_expect_not(ur_words_endpoint("12345678:1", host, 8, &port));
}
