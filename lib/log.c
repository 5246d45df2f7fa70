/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "log.h"

#define LINE_MAX_BYTES 1024

void ur_log_escape(char *out, size_t room, const char *text, size_t size)
{
	static const char hex[] = "0123456789abcdef";
	size_t at = 0;

	if (!room)
		return;
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)text[i];
		bool is_plain = c >= 0x20 && c < 0x7f;

		if (at + (is_plain ? 1 : 4) >= room)
			break;
		if (is_plain) {
			out[at++] = (char)c;
			continue;
		}
		out[at++] = '\\';
		out[at++] = 'x';
		out[at++] = hex[c >> 4];
		out[at++] = hex[c & 15];
	}
	out[at] = '\0';
}

__attribute__((format(printf, 3, 0))) static void write_line(
    struct ur_log *log, enum uidrecv_log_level level, const char *format,
    va_list arguments)
{
	char raw[LINE_MAX_BYTES], line[4 * LINE_MAX_BYTES];
	int size = vsnprintf(raw, sizeof(raw), format, arguments);

	if (size < 0)
		return;
	ur_log_escape(line, sizeof(line), raw, strlen(raw));
	log->fn(log->user, level, line);
}

void ur_log(struct ur_log *log, enum uidrecv_log_level level,
	    const char *format, ...)
{
	va_list arguments;

	if (!log->fn)
		return;
	va_start(arguments, format);
	write_line(log, level, format, arguments);
	va_end(arguments);
}

void ur_log_peer(struct ur_log *log, enum uidrecv_log_level level,
		 uint64_t now_us, const char *format, ...)
{
	struct ur_log_budget *budget =
	    level <= UIDRECV_LOG_WARNING ? &log->warnings : &log->news;
	uint64_t second = now_us / 1000000;
	va_list arguments;

	if (!log->fn)
		return;
	if (second != budget->second) {
		budget->second = second;
		budget->lines = 0;
		if (budget->suppressed)
			ur_log(log, UIDRECV_LOG_WARNING,
			       "%llu lines about peers were left out",
			       (unsigned long long)budget->suppressed);
		budget->suppressed = 0;
	}
	if (budget->lines >= UR_LOG_PEER_LINES) {
		budget->suppressed++;
		return;
	}
	budget->lines++;
	va_start(arguments, format);
	write_line(log, level, format, arguments);
	va_end(arguments);
}
