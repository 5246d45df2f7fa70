/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench-live TABLE COUNT: looks random addresses of `uidagent --load COUNT` up
 * until SIGTERM, while somebody else fills the table, and prints what a lookup
 * took. A lookup that fails, or answers another user than is loaded there, ends
 * it with status 1.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <uidrecv/reader.h>

#define GROUP 64
#define NS_MAX 20000

static volatile sig_atomic_t is_over;

static void end(int signal)
{
	(void)signal;
	is_over = 1;
}

static uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static uint64_t draw(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* 1 known, 0 not yet. */
static int look(struct uidrecv_reader *reader, uint32_t index)
{
	struct uidrecv_query query = {
	    .address = uidrecv_address_from_ipv4(0x0a000000 + index)};
	struct uidrecv_mapping mapping;
	int ret = uidrecv_reader_lookup(reader, &query, 0, &mapping);

	if (ret < 0) {
		printf("a lookup failed: %s\n", uidrecv_strerror(ret));
		exit(1);
	}
	if (ret == 1 && (mapping.address.lo != query.address.lo ||
			 memcmp(mapping.user, "CORP\\user", 9))) {
		printf("a wrong answer: %s\n", mapping.user);
		exit(1);
	}
	return ret;
}

static uint64_t quantile(const uint64_t *counts, uint64_t total, double share)
{
	uint64_t sum = 0, at = 0;

	while (at < NS_MAX && (double)sum < share * (double)total)
		sum += counts[at++];
	return at;
}

int main(int argc, char **argv)
{
	static uint64_t counts[NS_MAX + 1];
	struct uidrecv_reader *reader;
	uint64_t seed = 88172645463325252, groups = 0, known = 0;
	uint32_t loaded;
	int ret;

	if (argc != 3)
		return 2;
	loaded = (uint32_t)strtoul(argv[2], NULL, 10);
	ret = uidrecv_reader_open(&reader, argv[1], NULL);
	if (ret < 0 || !loaded) {
		printf("%s: %s\n", argv[1], uidrecv_strerror(ret));
		return 2;
	}
	signal(SIGTERM, end);
	while (!is_over) {
		uint64_t start = now_ns(), ns;

		for (int i = 0; i < GROUP; i++)
			known += (uint64_t)look(
			    reader, (uint32_t)(draw(&seed) % loaded));
		ns = (now_ns() - start) / GROUP;
		counts[ns < NS_MAX ? ns : NS_MAX]++;
		groups++;
	}
	printf("%llu lookups meanwhile, %llu known; ns per lookup, in groups "
	       "of %d: p50 %llu, p99 %llu; failed 0, wrong 0\n",
	       (unsigned long long)groups * GROUP, (unsigned long long)known,
	       GROUP, (unsigned long long)quantile(counts, groups, 0.5),
	       (unsigned long long)quantile(counts, groups, 0.99));
	uidrecv_reader_close(reader);
	return 0;
}
