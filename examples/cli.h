/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the programs share: how they end, complain and read numbers.
 */
#ifndef CLI_H
#define CLI_H

#include <stdbool.h>
#include <stdint.h>

/* Exit codes that all programs have in common. */
enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1, /* a failure while running */
	CLI_USAGE = 2,	/* a wrong command line or file */
};

/* Prints "NAME VERSION" and exits with CLI_OK. */
void cli_version(const char *name) __attribute__((noreturn));

/* Prints the text, which is the whole help, and exits with CLI_OK. */
void cli_help(const char *text) __attribute__((noreturn));

/*
 * Prints "NAME: MESSAGE" to stderr, where NAME is the program's, and exits.
 * The message says what is wrong, where, and what to do.
 */
void cli_die(int status, const char *format, ...)
    __attribute__((noreturn, format(printf, 2, 3)));

/* As cli_die(), but goes on. */
void cli_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Dies for an argument that getopt_long() did not accept. */
void cli_die_option(char *const argv[], int option) __attribute__((noreturn));

/*
 * Reads a whole text as an unsigned number (base as of strtoull) from min to
 * max. ret_number is written only when true is returned.
 */
bool cli_number(const char *text, int base, uint64_t min, uint64_t max,
		uint64_t *ret_number);

/* As cli_number(), decimal; dies with a message that names the option. */
uint64_t cli_need_number(const char *option, const char *text, uint64_t min,
			 uint64_t max);

/* Exits with CLI_FAILED if stdout could not be written. */
void cli_flush_stdout(void);

#endif
