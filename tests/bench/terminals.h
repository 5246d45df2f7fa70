/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Terminal Server agents, each with a system of 40 blocks, to all of which one
 * receiver connects, over TLS and with fsync, while this process, which has all
 * the agents, looks blocks up. A wrong answer ends the program. Table "terminal
 * servers".
 */
#ifndef BENCH_TERMINALS_H
#define BENCH_TERMINALS_H

#include <stdint.h>

void bench_terminals(uint32_t agents);

#endif
