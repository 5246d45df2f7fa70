/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A wall clock of one's own, for LD_PRELOAD: it is ahead by the microseconds
 * that stand in the file $TEST_WALL, an int64_t as this machine writes it,
 * which may change at any time. The other clocks, sleeping and waiting stay as
 * they are, and nothing sets the machine's clock.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS INT64_C(1000000000)

int clock_gettime(clockid_t clock, struct timespec *ret_now);
int gettimeofday(struct timeval *restrict ret_now, void *restrict zone);
time_t time(time_t *ret_now);
int timespec_get(struct timespec *ret_now, int base);

static const volatile int64_t *ahead_us;

/* A test with a clock that is true after all would prove nothing. */
__attribute__((constructor)) static void map_file(void)
{
	const char *path = getenv("TEST_WALL");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *bytes =
	    mmap(NULL, sizeof(*ahead_us), PROT_READ, MAP_SHARED, fd, 0);

	if (bytes == MAP_FAILED) {
		perror("TEST_WALL");
		abort();
	}
	close(fd);
	ahead_us = bytes;
}

/* By a system call: libc's function may lead back here. */
int clock_gettime(clockid_t clock, struct timespec *ret_now)
{
	int ret = (int)syscall(SYS_clock_gettime, clock, ret_now);
	int64_t us = ahead_us ? *ahead_us : 0, ns;

	if (ret < 0 ||
	    (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE))
		return ret;
	ns = ret_now->tv_nsec + us % 1000000 * 1000;
	ret_now->tv_sec += us / 1000000;
	if (ns < 0 || ns >= SECOND_NS) {
		ret_now->tv_sec += ns < 0 ? -1 : 1;
		ns += ns < 0 ? SECOND_NS : -SECOND_NS;
	}
	ret_now->tv_nsec = ns;
	return 0;
}

int gettimeofday(struct timeval *restrict ret_now, void *restrict zone)
{
	struct timespec now;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	ret_now->tv_sec = now.tv_sec;
	ret_now->tv_usec = now.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *ret_now)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (ret_now)
		*ret_now = now.tv_sec;
	return now.tv_sec;
}

int timespec_get(struct timespec *ret_now, int base)
{
	if (base != TIME_UTC)
		return 0;
	clock_gettime(CLOCK_REALTIME, ret_now);
	return base;
}
