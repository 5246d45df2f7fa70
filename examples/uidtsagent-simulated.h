/* SPDX-License-Identifier: BSD-2-Clause */
/* Users, flows and a kernel that are made up: to try firewalls with. */
#ifndef UIDTSAGENT_SIMULATED_H
#define UIDTSAGENT_SIMULATED_H

#include "uidtsagent-blocks.h"

struct ts_simulated {
	uint32_t users; /* how many there are, coming and going */
	uint64_t random;
	bool *is_here; /* of each */
};

/* 0 or -ENOMEM. The same seed makes the same users do the same. */
int ts_simulated_open(struct ts_simulated *simulated, uint32_t users,
		      uint64_t seed);
void ts_simulated_close(struct ts_simulated *simulated);

/* Lets some come and go, and use more or less. 0 or -ENOMEM. */
int ts_simulated_look(struct ts_simulated *simulated, struct ts_share *share,
		      uint64_t now_us);

/* As ts_rules_apply(). */
int ts_simulated_apply(struct ts_share *share, uint64_t now_us);

#endif
