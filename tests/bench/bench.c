/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench.h"

#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BENCH_NET 0x0a000000u /* 10.0.0.0 */
#define SCRATCHES_MAX 8
#define SCRATCH_MAX 200

bool bench_quick, bench_smoke;

static cpu_set_t processors;
static char scratches[SCRATCHES_MAX][SCRATCH_MAX];
static pid_t scratches_owner;

int bench_main_options(int argc, char **argv)
{
	int i = 1;

	bench_must(sched_getaffinity(0, sizeof(processors), &processors) == 0,
		   "sched_getaffinity()");
	for (; i < argc && argv[i][0] == '-'; i++) {
		bench_smoke = !strcmp(argv[i], "--smoke");
		if (!bench_smoke && strcmp(argv[i], "--quick")) {
			fprintf(stderr, "usage: %s [--quick | --smoke]\n",
				argv[0]);
			exit(strcmp(argv[i], "--help") ? 2 : 0);
		}
		bench_quick = true;
	}
	return i;
}

uint32_t bench_size(uint32_t full, uint32_t quick)
{
	if (bench_smoke)
		return quick < 100 ? 1 : quick / 100;
	return bench_quick ? quick : full;
}

size_t bench_runs(size_t full, size_t quick)
{
	if (bench_smoke && quick > 2)
		return 2;
	return bench_quick ? quick : full;
}

void bench_must(bool is_right, const char *what)
{
	if (is_right)
		return;
	fprintf(stderr, "benchmark: wrong: %s\n", what);
	exit(1);
}

void bench_pin(int processor)
{
	int left = processor % CPU_COUNT(&processors), at = 0;
	cpu_set_t one;

	while (!CPU_ISSET(at, &processors) || left-- > 0)
		at++;
	CPU_ZERO(&one);
	CPU_SET(at, &one);
	bench_must(sched_setaffinity(0, sizeof(one), &one) == 0,
		   "sched_setaffinity()");
}

static int remove_one(const char *path, const struct stat *status, int flag,
		      struct FTW *place)
{
	(void)status;
	(void)flag;
	(void)place;
	return remove(path);
}

static void remove_scratch(char *path)
{
	if (path[0])
		nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	path[0] = '\0';
}

void bench_remove(const char *scratch)
{
	for (int i = 0; i < SCRATCHES_MAX; i++)
		if (scratches[i] == scratch)
			remove_scratch(scratches[i]);
}

/* Children leave them to who made them. */
static void remove_scratches(void)
{
	for (int i = 0; getpid() == scratches_owner && i < SCRATCHES_MAX; i++)
		remove_scratch(scratches[i]);
}

const char *bench_scratch(const char *parent)
{
	int i = 0;

	while (i < SCRATCHES_MAX && scratches[i][0])
		i++;
	bench_must(i < SCRATCHES_MAX, "bench_scratch()");
	if (parent == NULL || access(parent, W_OK) < 0)
		parent = getenv("TMPDIR");
	snprintf(scratches[i], SCRATCH_MAX, "%s/uidrecv-bench-XXXXXX",
		 parent != NULL ? parent : "/var/tmp");
	bench_must(mkdtemp(scratches[i]) != NULL, "mkdtemp()");
	if (!scratches_owner) {
		scratches_owner = getpid();
		atexit(remove_scratches);
		signal(SIGINT, exit);
		signal(SIGTERM, exit); /* of run.py, when it is interrupted */
	}
	return scratches[i];
}

void bench_say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

static uint64_t read_clock_ns(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t bench_now_ns(void)
{
	return read_clock_ns(CLOCK_MONOTONIC);
}

uint64_t bench_cpu_ns(void)
{
	return read_clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t bench_read_field(const char *path, const char *field)
{
	size_t size = strlen(field);
	FILE *file = fopen(path, "re");
	uint64_t value = 0;
	char line[256];

	while (file && fgets(line, sizeof(line), file)) {
		if (strncmp(line, field, size))
			continue;
		value = strtoull(line + size, NULL, 10);
		break;
	}
	if (file)
		fclose(file);
	return value;
}

uint64_t bench_random(uint64_t *seed)
{
	uint64_t x = *seed += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* Which of its 16 addresses. */
static uint32_t host_of(uint32_t i)
{
	return i * 2654435761u >> 28;
}

uint32_t bench_ipv4(uint32_t i)
{
	return BENCH_NET + i * 16 + host_of(i);
}

uint32_t bench_ipv4_missing(uint32_t i)
{
	return BENCH_NET + i * 16 + (host_of(i) + 5) % 16;
}

size_t bench_user(uint32_t i, char user[BENCH_USER_SIZE + 1])
{
	memcpy(user, "CORP\\user-", 10);
	for (int at = BENCH_USER_SIZE - 1; at >= 10; at--) {
		user[at] = (char)('0' + i % 10);
		i /= 10;
	}
	user[BENCH_USER_SIZE] = '\0';
	return BENCH_USER_SIZE;
}

double bench_per(uint64_t more, uint64_t less, uint64_t count)
{
	return more < less ? 0 : (double)(more - less) / (double)count;
}

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

double bench_percentile(double *values, size_t count, size_t percent)
{
	qsort(values, count, sizeof(*values), compare);
	return values[count * percent / 100];
}

void bench_emit(const char *table, const char *row, const char *column,
		const char *unit, const double *values, size_t count)
{
	printf("{\"table\": \"%s\", \"row\": \"%s\", \"column\": \"%s\", "
	       "\"unit\": \"%s\", \"values\": [",
	       table, row, column, unit);
	for (size_t i = 0; i < count; i++)
		printf("%s%.6g", i ? ", " : "", values[i]);
	printf("]}\n");
	fflush(stdout);
}
