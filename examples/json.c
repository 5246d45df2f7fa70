/* SPDX-License-Identifier: BSD-2-Clause */
#include "json.h"

/* The bytes of the UTF-8 character at text, 0 if it is none. */
static size_t measure_utf8(const unsigned char *text, size_t size)
{
	size_t need = text[0] < 0x80	? 1
		      : text[0] < 0xc2	? 0
		      : text[0] < 0xe0	? 2
		      : text[0] < 0xf0	? 3
		      : text[0] <= 0xf4 ? 4
					: 0;

	if (need == 0 || need > size)
		return 0;
	for (size_t i = 1; i < need; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	}
	if ((text[0] == 0xe0 && text[1] < 0xa0) ||
	    (text[0] == 0xed && text[1] > 0x9f) ||
	    (text[0] == 0xf0 && text[1] < 0x90) ||
	    (text[0] == 0xf4 && text[1] > 0x8f))
		return 0;
	return need;
}

void json_print_string(FILE *out, const char *text, size_t size)
{
	const unsigned char *bytes = (const unsigned char *)text;

	fputc('"', out);
	for (size_t i = 0; i < size;) {
		size_t step = measure_utf8(bytes + i, size - i);

		if (step == 0) {
			fputs("\\ufffd", out);
			step = 1;
		} else if (bytes[i] == '"' || bytes[i] == '\\') {
			fprintf(out, "\\%c", bytes[i]);
		} else if (bytes[i] < 0x20 || bytes[i] == 0x7f) {
			fprintf(out, "\\u%04x", bytes[i]);
		} else {
			fwrite(bytes + i, 1, step, out);
		}
		i += step;
	}
	fputc('"', out);
}
