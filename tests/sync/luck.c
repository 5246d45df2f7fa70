/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "luck.h"

static uint64_t choose_seed(void)
{
	const char *text = getenv("UIDRECV_TEST_SEED");
	uint64_t seed =
	    text ? strtoull(text, NULL, 10)
		 : (uint64_t)time(NULL) * 1000003 + (uint64_t)getpid();

	printf("UIDRECV_TEST_SEED=%llu\n", (unsigned long long)seed);
	fflush(stdout);
	return seed ? seed : 1;
}

uint64_t luck_below(uint64_t limit)
{
	static uint64_t state;

	if (!state)
		state = choose_seed();
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state * UINT64_C(0x2545f4914f6cdd1d) >> 11) % limit;
}

bool luck_is_long(void)
{
	return getenv("UIDRECV_TEST_LONG") != NULL;
}
