/* SPDX-License-Identifier: BSD-2-Clause */
/* What stress-table is told to do. */
#ifndef PLAN_H
#define PLAN_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#define READERS_MAX 64

struct plan {
	uint64_t lookups;
	uint64_t kills;
	uint64_t readers;
	uint64_t seconds;
	uint64_t seed;
	bool has_threads;
};

static inline struct plan parse_plan(int argc, char **argv)
{
	static const struct option options[] = {
	    {"lookups", required_argument, NULL, 'l'},
	    {"kills", required_argument, NULL, 'k'},
	    {"readers", required_argument, NULL, 'r'},
	    {"seconds", required_argument, NULL, 's'},
	    {"seed", required_argument, NULL, 'e'},
	    {"threads", no_argument, NULL, 't'},
	    {NULL, 0, NULL, 0},
	};
	struct plan plan = {UINT64_C(100000000), 200, 4, 120, 1, false};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		uint64_t number = optarg ? strtoull(optarg, NULL, 10) : 0;

		if (c == 'l')
			plan.lookups = number;
		else if (c == 'k')
			plan.kills = number;
		else if (c == 'r' && number <= READERS_MAX)
			plan.readers = number;
		else if (c == 's')
			plan.seconds = number;
		else if (c == 'e')
			plan.seed = number;
		else if (c == 't')
			plan.has_threads = true;
		else
			exit(2);
	}
	if (getenv("UIDRECV_TEST_LONG")) {
		plan.lookups *= 10;
		plan.kills *= 5;
		plan.seconds *= 10;
	}
	return plan;
}

#endif
