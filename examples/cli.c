/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <uidrecv/types.h>

static void complain(const char *format, va_list arguments)
    __attribute__((format(printf, 1, 0)));

static void complain(const char *format, va_list arguments)
{
	fprintf(stderr, "%s: ", program_invocation_short_name);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
}

void cli_die(int status, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	complain(format, arguments);
	va_end(arguments);
	exit(status);
}

void cli_warn(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	complain(format, arguments);
	va_end(arguments);
}

void cli_version(const char *name)
{
	unsigned int version = uidrecv_version();

	printf("%s %u.%u.%u\n", name, version >> 16, version >> 8 & 0xff,
	       version & 0xff);
	cli_flush_stdout();
	exit(CLI_OK);
}

void cli_help(const char *text)
{
	fputs(text, stdout);
	cli_flush_stdout();
	exit(CLI_OK);
}

void cli_die_option(char *const argv[], int option)
{
	const char *name = program_invocation_short_name;

	if (option == ':')
		cli_die(CLI_USAGE, "option %s needs a value; see %s --help",
			argv[optind - 1], name);
	if (optopt > ' ' && optopt < 127 && argv[optind - 1][1] != '-')
		cli_die(CLI_USAGE, "unknown option -%c; see %s --help", optopt,
			name);
	cli_die(CLI_USAGE, "unknown option %s; see %s --help", argv[optind - 1],
		name);
}

bool cli_number(const char *text, int base, uint64_t min, uint64_t max,
		uint64_t *ret_number)
{
	char *end;
	unsigned long long number;

	/* strtoull() would skip white space and take a minus sign. */
	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	number = strtoull(text, &end, base);
	if (errno != 0 || *end != '\0' || number < min || number > max)
		return false;
	*ret_number = number;
	return true;
}

uint64_t cli_need_number(const char *option, const char *text, uint64_t min,
			 uint64_t max)
{
	uint64_t number = 0;

	if (!cli_number(text, 10, min, max, &number))
		cli_die(CLI_USAGE,
			"%s %s: give a number from %" PRIu64 " to %" PRIu64,
			option, text, min, max);
	return number;
}

void cli_flush_stdout(void)
{
	if (fflush(stdout) != 0 || ferror(stdout))
		cli_die(CLI_FAILED, "standard output: cannot be written");
}
