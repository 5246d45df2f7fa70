/* SPDX-License-Identifier: BSD-2-Clause */
#include "uidtsagent-simulated.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_UID 100000

int ts_simulated_open(struct ts_simulated *simulated, uint32_t users,
		      uint64_t seed)
{
	*simulated = (struct ts_simulated){users, seed, NULL};
	simulated->is_here = calloc(users, sizeof(*simulated->is_here));
	return simulated->is_here ? 0 : -ENOMEM;
}

void ts_simulated_close(struct ts_simulated *simulated)
{
	free(simulated->is_here);
	simulated->is_here = NULL;
}

/* splitmix64 */
static uint32_t draw(struct ts_simulated *simulated, uint32_t below)
{
	uint64_t word = simulated->random += UINT64_C(0x9e3779b97f4a7c15);

	word = (word ^ word >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	word = (word ^ word >> 27) * UINT64_C(0x94d049bb133111eb);
	return (uint32_t)((word >> 32) % below);
}

/* Up to three blocks full, or nothing. */
static void use(struct ts_simulated *simulated, struct ts_share *share,
		struct ts_user *user)
{
	user->load = draw(simulated, 2) == 0
			 ? 0
			 : draw(simulated, 3 * share->system.block_size);
	for (size_t i = 0; i < share->blocks_count; i++) {
		struct ts_block *block = &share->blocks[i];

		if (block->state == TS_USED && block->uid == user->uid)
			block->flows = user->load;
	}
}

int ts_simulated_look(struct ts_simulated *simulated, struct ts_share *share,
		      uint64_t now_us)
{
	char name[32];

	ts_share_look(share);
	for (size_t i = 0; i < share->blocks_count; i++)
		share->blocks[i].flows = 0;
	for (uint32_t i = 0; i < simulated->users; i++) {
		bool *is_here = &simulated->is_here[i];
		struct ts_user *user;

		*is_here = draw(simulated, 20) == 0 ? !*is_here : *is_here;
		if (!*is_here)
			continue;
		snprintf(name, sizeof(name), "user%05u", i);
		if (ts_share_see(share, FIRST_UID + i, name) < 0)
			return -ENOMEM;
		user = ts_share_find_user(share, FIRST_UID + i);
		if (draw(simulated, 10) == 0)
			use(simulated, share, user);
	}
	ts_share_count(share, now_us);
	return 0;
}

int ts_simulated_apply(struct ts_share *share, uint64_t now_us)
{
	int result = 0;

	for (size_t i = 0; i < share->blocks_count; i++) {
		struct ts_block *block = &share->blocks[i];
		bool is_used = block->state == TS_USED;

		if (!is_used && block->unruled_us == UINT64_MAX)
			block->unruled_us = now_us;
		if (block->is_ruled != is_used)
			result = 1;
		block->is_ruled = is_used;
	}
	for (size_t i = 0; i < share->users_count; i++)
		share->users[i].is_changed = false;
	return result;
}
