/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>

#include <uidrecv/types.h>

/*
 * Reads one character. Returns its size in bytes; 0 if the bytes are not
 * UTF-8 (RFC 3629: no overlong form, no surrogate, nothing over 10FFFF).
 */
static size_t decode_utf8(const uint8_t *bytes, size_t size, uint32_t *ret_char)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	uint32_t c = bytes[0];
	size_t need;

	if (c < 0x80) {
		*ret_char = c;
		return 1;
	}
	if (c < 0xc2 || c > 0xf4)
		return 0;
	need = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	if (size < need)
		return 0;
	c &= 0xffu >> (need + 1);
	for (size_t i = 1; i < need; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (bytes[i] & 0x3f);
	}
	if (c < smallest[need] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*ret_char = c;
	return need;
}

/*
 * White space and controls, the invisible ones of Unicode included: a name
 * must neither break a line of a log nor reverse it.
 */
static bool is_printable(uint32_t c)
{
	return c > 0x20 && c != '%' && !(c >= 0x7f && c <= 0xa0) && c != 0xad &&
	       c != 0x061c && c != 0x1680 && c != 0x180e &&
	       !(c >= 0x2000 && c <= 0x200f) && !(c >= 0x2028 && c <= 0x202f) &&
	       !(c >= 0x205f && c <= 0x206f) && c != 0x3000 && c != 0xfeff;
}

char *uidrecv_user_format(const char *user, size_t user_size,
			  char text[UIDRECV_USER_TEXT_MAX])
{
	static const char digits[] = "0123456789ABCDEF";
	const uint8_t *bytes = (const uint8_t *)user;
	char *out = text;

	if (user_size > UIDRECV_NAME_MAX)
		user_size = UIDRECV_NAME_MAX;
	for (size_t i = 0; i < user_size;) {
		uint32_t c = 0;
		size_t step = decode_utf8(bytes + i, user_size - i, &c);
		bool is_plain = step > 0 && is_printable(c);

		if (step == 0)
			step = 1;
		for (size_t end = i + step; i < end; i++) {
			if (is_plain) {
				*out++ = user[i];
				continue;
			}
			*out++ = '%';
			*out++ = digits[bytes[i] >> 4];
			*out++ = digits[bytes[i] & 15];
		}
	}
	*out = '\0';
	return text;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int uidrecv_user_parse(const char *text, char user[UIDRECV_NAME_MAX + 1],
		       size_t *ret_size)
{
	size_t size = 0;

	if (text == NULL || user == NULL || ret_size == NULL)
		return -EINVAL;
	while (*text != '\0') {
		char c = *text++;

		if (c == '%') {
			int high = hex_digit(text[0]);
			int low = high < 0 ? -1 : hex_digit(text[1]);

			if (low < 0)
				return -EINVAL;
			c = (char)(high << 4 | low);
			text += 2;
		}
		if (size == UIDRECV_NAME_MAX)
			return -ENAMETOOLONG;
		user[size++] = c;
	}
	user[size] = '\0';
	*ret_size = size;
	return 0;
}
