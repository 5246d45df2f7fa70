/* SPDX-License-Identifier: BSD-2-Clause */
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "latency.h"

#define NS_MAX 50000
#define CLOCK_EACH 16 /* lookups for one look at the clock alone */
#define WARM 20000
#define SETTLE_MS 300

struct histogram {
	uint32_t counts[NS_MAX + 1]; /* the last: all that took longer */
	uint32_t total;
};

static void note(struct histogram *histogram, uint64_t ns)
{
	histogram->counts[ns < NS_MAX ? ns : NS_MAX]++;
	histogram->total++;
}

static double quantile(const struct histogram *histogram, double share)
{
	double left = share * histogram->total;
	uint32_t ns = 0;

	while (ns < NS_MAX && (left -= histogram->counts[ns]) > 0)
		ns++;
	return ns;
}

/* Whether that is a user that mapping i ever had. */
static bool is_user_of(const struct uidrecv_mapping *mapping, uint32_t i)
{
	char user[BENCH_USER_SIZE + 1];
	uint64_t number = 0;

	bench_user(0, user);
	if (mapping->user_size != BENCH_USER_SIZE ||
	    memcmp(mapping->user, user, 10))
		return false;
	for (int at = 10; at < BENCH_USER_SIZE; at++)
		number = number * 10 + (uint64_t)(mapping->user[at] - '0');
	return number % WRITER_STEP == i;
}

/* The reader is told a new time now and then, as by a caller of many. */
static void warm_up(const struct peer *peer, uint32_t mappings, uint64_t *seed)
{
	static uint32_t ipv4[WARM + 256];

	for (uint32_t i = 0; i < WARM; i++)
		ipv4[i] = bench_ipv4((uint32_t)(bench_random(seed) % mappings));
	bench_must(peer->run(PEER_INDEPENDENT, ipv4, WARM) == WARM, peer->name);
}

struct latency latency_measure(const struct peer *peer, uint32_t mappings,
			       uint32_t lookups, uint64_t *seed)
{
	static struct histogram histogram, clock;
	struct uidrecv_mapping mapping;
	double cost;

	memset(&histogram, 0, sizeof(histogram));
	memset(&clock, 0, sizeof(clock));
	for (uint32_t i = 0; i < lookups; i++) {
		uint32_t index = (uint32_t)(bench_random(seed) % mappings);
		uint32_t ipv4 = bench_ipv4(index);
		uint64_t start, end;
		bool is_known;

		if (i % WARM == 0)
			warm_up(peer, mappings, seed);
		start = bench_now_ns();
		is_known = peer->look(ipv4, &mapping);
		end = bench_now_ns();
		note(&histogram, end - start);
		bench_must(is_known && is_user_of(&mapping, index), peer->name);
		if (i % CLOCK_EACH == 0) {
			start = bench_now_ns();
			end = bench_now_ns();
			note(&clock, end - start);
		}
	}
	cost = quantile(&clock, 0.5);
	return (struct latency){
	    .p50 = quantile(&histogram, 0.5) - cost,
	    .p99 = quantile(&histogram, 0.99) - cost,
	    .p999 = quantile(&histogram, 0.999) - cost,
	};
}

static void emit(const char *column, double values[3][LATENCY_RUNS_MAX],
		 size_t runs)
{
	static const char *const rows[] = {"p50", "p99", "p99.9"};

	for (int i = 0; i < 3; i++)
		bench_emit("latency", rows[i], column, "ns", values[i], runs);
}

void latency_compare(const struct peer *peer, struct writer *writer,
		     uint32_t mappings, const char *idle, const char *busy)
{
	double ns[2][3][LATENCY_RUNS_MAX], rate[LATENCY_RUNS_MAX];
	size_t runs = bench_runs(LATENCY_RUNS_MAX, 3);
	uint64_t seed = 5;

	for (size_t run = 0; run < runs; run++)
		for (int is_busy = 0; is_busy < 2; is_busy++) {
			struct latency latency;
			uint64_t start, changes;

			writer_set_busy(writer, is_busy);
			poll(NULL, 0, (int)bench_size(SETTLE_MS, SETTLE_MS));
			start = bench_now_ns();
			changes = writer_get_changes(writer);
			latency = latency_measure(
			    peer, mappings, bench_size(1000000, 500000), &seed);
			/* So few lookups may end before the first change. */
			while (bench_smoke && is_busy &&
			       writer_get_changes(writer) == changes)
				poll(NULL, 0, 1);
			changes = writer_get_changes(writer) - changes;
			bench_must((changes > 0) == is_busy, "the writer");
			rate[run] = (double)changes * 1e6 /
				    (double)(bench_now_ns() - start);
			ns[is_busy][0][run] = latency.p50;
			ns[is_busy][1][run] = latency.p99;
			ns[is_busy][2][run] = latency.p999;
		}
	writer_set_busy(writer, false);
	emit(idle, ns[0], runs);
	emit(busy, ns[1], runs);
	bench_emit("written meanwhile", "changes", busy, "k/s", rate, runs);
}
