/* SPDX-License-Identifier: BSD-2-Clause */
#include "uidtsagent-log.h"

#include <stdarg.h>
#include <stdio.h>

#include "uidrecvd-output.h"

static int max_level = UIDRECV_LOG_WARNING;

void ts_log_set_verbose(int verbose)
{
	max_level = UIDRECV_LOG_WARNING + verbose;
}

void ts_log_library(void *user, enum uidrecv_log_level level,
		    const char *message)
{
	(void)user;
	if ((int)level <= max_level)
		output_log(level, message);
}

void ts_log(enum uidrecv_log_level level, const char *format, ...)
{
	char message[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	ts_log_library(NULL, level, message);
}
