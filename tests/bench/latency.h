/* SPDX-License-Identifier: BSD-2-Clause */
/* How long single lookups take, each timed by itself. */
#ifndef LATENCY_H
#define LATENCY_H

#include "writer.h"

#define LATENCY_RUNS_MAX 5

/* What a run found, in nanoseconds. */
struct latency {
	double p50, p99, p999;
};

/*
 * Lookups of a peer that is open, at random among the mappings of a writer,
 * and the clock's own cost taken off. Wrong answers exit.
 */
struct latency latency_measure(const struct peer *peer, uint32_t mappings,
			       uint32_t lookups, uint64_t *seed);

/* With the writer idle and busy, by turns: rows p50, p99 and p99.9. */
void latency_compare(const struct peer *peer, struct writer *writer,
		     uint32_t mappings, const char *idle, const char *busy);

#endif
