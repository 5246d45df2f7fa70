/* SPDX-License-Identifier: BSD-2-Clause */
#include "utf8.h"

#include <stdint.h>

#include "bytes.h"

/* The bounds of the second byte keep overlong forms and surrogates out. */
struct form {
	uint8_t lead_first, lead_last;
	uint8_t second_first, second_last;
	uint8_t bytes;
};

/* RFC 3629 section 4, the syntax of UTF8-2 to UTF8-4. */
static const struct form forms[] = {
    {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
    {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3},
    {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
    {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
};

static const struct form *find_form(uint8_t lead)
{
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
		if (lead >= forms[i].lead_first && lead <= forms[i].lead_last)
			return &forms[i];
	return NULL;
}

/* Reads one character; returns its bytes, or 0 if it is none. */
static size_t read_character(const uint8_t *bytes, size_t size,
			     uint32_t *ret_code)
{
	const struct form *form;
	uint32_t code;

	if (bytes[0] < 0x80) {
		*ret_code = bytes[0];
		return 1;
	}
	form = find_form(bytes[0]);
	if (!form || form->bytes > size)
		return 0;
	if (bytes[1] < form->second_first || bytes[1] > form->second_last)
		return 0;
	code = bytes[0] & (0x7fu >> form->bytes);
	for (size_t i = 1; i < form->bytes; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (bytes[i] & 0x3f);
	}
	*ret_code = code;
	return form->bytes;
}

static bool is_forbidden(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code <= 0x9f) ||
	       code == 0x061c || code == 0x200e || code == 0x200f ||
	       (code >= 0x2028 && code <= 0x202e) ||
	       (code >= 0x2066 && code <= 0x2069);
}

/* Are these eight bytes printable ASCII, as almost all names are? */
static bool is_plain(const uint8_t *bytes)
{
	const uint64_t each = UINT64_C(0x0101010101010101);
	uint64_t word = ur_bytes_host_u64(bytes);

	/* These carry and borrow nothing; of others one gets the high bit. */
	return !(((word + each) | (word - 0x20 * each)) & 0x80 * each);
}

bool ur_utf8_is_clean(const char *text, size_t size)
{
	const uint8_t *bytes = (const uint8_t *)text;
	uint32_t code;
	size_t step;

	for (; size > 0; bytes += step, size -= step) {
		step = 8;
		if (size >= step && is_plain(bytes))
			continue;
		step = read_character(bytes, size, &code);
		if (step == 0 || is_forbidden(code))
			return false;
	}
	return true;
}
