/* SPDX-License-Identifier: BSD-2-Clause */
/* One case that passes and one that fails in the way PLANT says. */
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <criterion/criterion.h>

enum plant {
	NOTHING,
	ASSERTION,
	CRASH,
	STATUS,
	HANG,
	LEAK,
	OVERFLOW,
	FINI,
	LATE_STATUS
};

static void *volatile kept;
static volatile int number = INT_MAX;

static void fini(void)
{
	cr_assert(PLANT != FINI);
}

Test(planted, good)
{
}

Test(planted, bad, .fini = fini)
{
	cr_assert(PLANT != ASSERTION);
	if (PLANT == CRASH)
		raise(SIGSEGV);
	if (PLANT == STATUS)
		exit(3);
	if (PLANT == HANG)
		sleep(60);
	for (int i = 0; PLANT == LEAK && i < 4; i++)
		kept = malloc(16);
	kept = NULL;
	if (PLANT == OVERFLOW)
		number++;
}

__attribute__((destructor)) static void end(void)
{
	if (PLANT == LATE_STATUS)
		_exit(9);
}
