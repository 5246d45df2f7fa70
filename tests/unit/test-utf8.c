/* SPDX-License-Identifier: BSD-2-Clause */
/* P08, P09, P10: which texts are clean. */
#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

#include "utf8.h"

/* Writes a code point by the bit pattern alone, allowed or not. */
static size_t encode(uint32_t code, size_t bytes, char *text)
{
	static const unsigned char leads[] = {0,    0x00, 0xc0, 0xe0,
					      0xf0, 0xf8, 0xfc};

	for (size_t i = bytes; i-- > 1;) {
		text[i] = (char)(0x80 | (code & 0x3f));
		code >>= 6;
	}
	text[0] = (char)(leads[bytes] | code);
	return bytes;
}

static size_t shortest(uint32_t code)
{
	return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
}

static bool code_is_clean(uint32_t code, size_t bytes)
{
	char text[8];

	return ur_utf8_is_clean(text, encode(code, bytes, text));
}

static bool is_forbidden(uint32_t code)
{
	return code <= 0x1f || (code >= 0x7f && code <= 0x9f) ||
	       code == 0x061c || code == 0x200e || code == 0x200f ||
	       (code >= 0x2028 && code <= 0x202e) ||
	       (code >= 0x2066 && code <= 0x2069) ||
	       (code >= 0xd800 && code <= 0xdfff);
}

Test(utf8, P08_every_code_point_is_as_the_protocol_says)
{
	for (uint32_t code = 0; code <= 0x10ffff; code++)
		if (code_is_clean(code, shortest(code)) == is_forbidden(code))
			cr_assert(false, "U+%04X", code);
}

Test(utf8, P08_overlong_forms_are_refused)
{
	for (uint32_t code = 0; code < 0x10000; code++)
		for (size_t bytes = shortest(code) + 1; bytes <= 4; bytes++)
			if (code_is_clean(code, bytes))
				cr_assert(false, "U+%04X in %zu", code, bytes);
}

Test(utf8, P08_five_and_six_byte_forms_are_refused)
{
	static const uint32_t codes[] = {0x41, 0xe4, 0x200000, 0x3ffffff};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		cr_expect_not(code_is_clean(codes[i], 5));
		cr_expect_not(code_is_clean(codes[i], 6));
	}
}

Test(utf8, P08_code_points_above_10ffff_are_refused)
{
	for (uint32_t code = 0x110000; code < 0x200000; code++)
		if (code_is_clean(code, 4))
			cr_assert(false, "U+%04X", code);
}

Test(utf8, P08_surrogate_pairs_are_refused)
{
	cr_expect_not(ur_utf8_is_clean("\xed\xa0\xbd\xed\xb8\x80", 6));
}

Test(utf8, P08_truncated_characters_are_refused)
{
	static const uint32_t codes[] = {0x80 + 0x20, 0x7ff,   0x800,
					 0xffff,      0x20ac,  0x10000,
					 0x1f600,     0x10ffff};
	char text[16];

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		size_t size = encode(codes[i], shortest(codes[i]), text);

		cr_expect(ur_utf8_is_clean(text, size));
		for (size_t cut = 1; cut < size; cut++) {
			cr_expect_not(ur_utf8_is_clean(text, cut));
			/* The next character must not complete it. */
			text[cut] = 'a';
			cr_expect_not(ur_utf8_is_clean(text, cut + 1));
			encode(codes[i], size, text);
		}
	}
}

Test(utf8, P08_lone_bytes_are_refused)
{
	for (int byte = 0x80; byte <= 0xff; byte++) {
		char alone = (char)byte, middle[3] = {'a', alone, 'b'};

		cr_expect_not(ur_utf8_is_clean(&alone, 1), "%02x", byte);
		cr_expect_not(ur_utf8_is_clean(middle, 3), "%02x", byte);
	}
}

Test(utf8, P08_bytes_that_continue_nothing_are_refused)
{
	static const char *const texts[] = {
	    "\xc3\x41",		"\xc3\xc3",	    "\xe2\x82\x41",
	    "\xe2\x41\xac",	"\xf0\x9f\x98\x41", "\xf0\x9f\x41\x80",
	    "\xf0\x41\x98\x80", "\xe2\x82\xac\x80", "a\xc3\xa4\xa4",
	    "\xfe\xff",		"\xff\xfe",	    "\xf0\x9f\x98\xc0",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		cr_expect_not(ur_utf8_is_clean(texts[i], strlen(texts[i])),
			      "%zu", i);
}

/* Eight bytes of ASCII are looked at together. */
Test(utf8, P08_a_long_text_is_as_clean_as_its_characters)
{
	for (int pair = 0; pair < 0x10000; pair++) {
		char bytes[2] = {(char)(pair >> 8), (char)pair};
		bool is_clean = ur_utf8_is_clean(bytes, 2);

		for (size_t place = 0; place < 15; place++) {
			char text[16] = "~ ~ ~ ~ ~ ~ ~ ~";

			text[15] = ' ';
			memcpy(text + place, bytes, 2);
			if (ur_utf8_is_clean(text, 16) != is_clean)
				cr_assert(false, "%04x at %zu", pair, place);
		}
	}
}

Test(utf8, P09_a_nul_anywhere_is_refused)
{
	char text[] = "CORP\\alice";

	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		char cut[sizeof(text)];

		memcpy(cut, text, sizeof(text));
		cut[i] = '\0';
		cr_expect_not(ur_utf8_is_clean(cut, sizeof(text) - 1));
	}
}

Test(utf8, P10_lines_escapes_and_directions_are_refused)
{
	static const char *const texts[] = {
	    "a\r\nb",	      "a\nb",		"\x1b[31mred",
	    "\xc2\x9b[z",     "a\xe2\x80\xaez", "a\xe2\x81\xa6z",
	    "a\xe2\x80\xa8z", "a\x7f",		"\ta",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		cr_expect_not(ur_utf8_is_clean(texts[i], strlen(texts[i])),
			      "%zu", i);
}

Test(utf8, names_of_people_are_clean)
{
	static const char *const texts[] = {
	    "",
	    "CORP\\alice",
	    "alice@example.com",
	    "M\xc3\xbcller",
	    "\xe5\xb1\xb1\xe7\x94\xb0",
	    "\xf0\x9f\x98\x80",
	    "a b",
	    "\xef\xbf\xbd",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		cr_expect(ur_utf8_is_clean(texts[i], strlen(texts[i])), "%zu",
			  i);
}

Test(utf8, only_ascii_letters_have_a_lower_case)
{
	for (int c = 0; c < 256; c++) {
		char expected = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);

		cr_expect_eq(ur_ascii_lower((char)c), expected);
	}
}
