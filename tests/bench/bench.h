/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the benchmarks share: clocks, the mappings that all of them know, and
 * the rows that tests/bench/run.py makes tables of. A program prints rows on
 * its standard output and nothing else, and exits 1 if any answer was wrong.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_USER_SIZE 20

/*
 * Set by --quick: fewer runs and smaller sizes; and by --smoke, both: so few
 * that the figures mean nothing, under the names that they always have.
 */
extern bool bench_quick, bench_smoke;

/*
 * Reads --quick, --smoke and --help, exits 2 for another option. Returns where
 * the other arguments begin.
 */
int bench_main_options(int argc, char **argv);

/*
 * How many there are of something, and how often it is done: in full or with
 * --quick. With --smoke it is a hundredth of the latter, and twice at the most.
 */
uint32_t bench_size(uint32_t full, uint32_t quick);
size_t bench_runs(size_t full, size_t quick);

/* Exits 1 and says what on standard error if it is not right. */
void bench_must(bool is_right, const char *what);

/*
 * Binds the calling thread to a processor, counted, again from 0 behind the
 * last, among those that the program had when it read its options.
 */
void bench_pin(int processor);

#define BENCH_MEMORY "/dev/shm"

/*
 * Makes a directory in BENCH_MEMORY, where tables should be, or NULL: on a
 * disk, TMPDIR or /var/tmp. It is removed when the program exits or is ended,
 * or by bench_remove(); its path is valid until then.
 */
const char *bench_scratch(const char *parent);
void bench_remove(const char *scratch);

/* For people, on standard error. */
void bench_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

uint64_t bench_now_ns(void); /* CLOCK_MONOTONIC */
uint64_t bench_cpu_ns(void); /* of this thread */

/* The number after a field such as "wchar:" in a file of /proc; 0: none. */
uint64_t bench_read_field(const char *path, const char *field);

/* The same numbers in every run for the same seed; any seed. */
uint64_t bench_random(uint64_t *seed);

/*
 * The mapping i, which may be any below 2^28: an address of each 16 from
 * 10.0.0.0 on, so 1,000,000 are in 10.0.0.0/8, and a user of BENCH_USER_SIZE
 * bytes, which has a zero behind it. Returns BENCH_USER_SIZE.
 */
uint32_t bench_ipv4(uint32_t i);
size_t bench_user(uint32_t i, char user[BENCH_USER_SIZE + 1]);
/* An address beside that of i that is nobody's. */
uint32_t bench_ipv4_missing(uint32_t i);

/* What is more of it, for each of so many; 0 if there is less. */
double bench_per(uint64_t more, uint64_t less, uint64_t count);
/* Sorts the values, and returns the one above so many percent of them. */
double bench_percentile(double *values, size_t count, size_t percent);

/*
 * Prints a figure for each interleaved run, of which the reader of the table
 * takes the median. Rows of a table have one unit each.
 */
void bench_emit(const char *table, const char *row, const char *column,
		const char *unit, const double *values, size_t count);

#endif
