/* SPDX-License-Identifier: BSD-2-Clause */
/* Random numbers, by $UIDRECV_TEST_SEED or another seed that is printed. */
#ifndef TESTS_SYNC_LUCK_H
#define TESTS_SYNC_LUCK_H

#include <stdbool.h>
#include <stdint.h>

/* Below limit, which is not 0. */
uint64_t luck_below(uint64_t limit);

/* Are all cases to be run? */
bool luck_is_long(void);

#endif
