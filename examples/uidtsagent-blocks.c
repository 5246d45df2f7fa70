/* SPDX-License-Identifier: BSD-2-Clause */
#include "uidtsagent-blocks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool overlaps(struct uidrecv_ports a, struct uidrecv_ports b)
{
	return a.start < b.start + b.count && b.start < a.start + a.count;
}

static bool is_reserved(const struct uidrecv_system *system, uint16_t start)
{
	struct uidrecv_ports block = {start, system->block_size};

	for (uint32_t i = 0; i < system->reserved_count; i++)
		if (overlaps(block, system->reserved[i]))
			return true;
	return false;
}

int ts_share_init(struct ts_share *share, uint64_t now_us)
{
	const struct uidrecv_system *system = &share->system;

	share->blocks_count = system->ports.count / system->block_size;
	share->blocks = calloc(share->blocks_count, sizeof(*share->blocks));
	if (share->blocks == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < share->blocks_count; i++) {
		struct ts_block *block = &share->blocks[i];

		block->start =
		    (uint16_t)(system->ports.start + i * system->block_size);
		block->state = is_reserved(system, block->start) ? TS_RESERVED
								 : TS_RESTING;
		block->unsaid_us = now_us;
	}
	return 0;
}

void ts_share_done(struct ts_share *share)
{
	free(share->blocks);
	free(share->users);
}

/* Where he is, or would be. */
static size_t place_of(const struct ts_share *share, uid_t uid)
{
	size_t low = 0, high = share->users_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (share->users[middle].uid < uid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct ts_user *ts_share_find_user(const struct ts_share *share, uid_t uid)
{
	size_t place = place_of(share, uid);

	if (place == share->users_count || share->users[place].uid != uid)
		return NULL;
	return &share->users[place];
}

struct ts_block *ts_share_find_block(const struct ts_share *share,
				     uint16_t port)
{
	size_t index;

	if (port < share->system.ports.start)
		return NULL;
	index = (size_t)(port - share->system.ports.start) /
		share->system.block_size;
	return index < share->blocks_count ? &share->blocks[index] : NULL;
}

static struct ts_user *add_user(struct ts_share *share, uid_t uid,
				const char *name)
{
	size_t place = place_of(share, uid);
	size_t room = share->users_room ? share->users_room * 2 : 16;
	struct ts_user *users = share->users;

	if (share->users_count == share->users_room) {
		users = reallocarray(users, room, sizeof(*users));
		if (users == NULL)
			return NULL;
		share->users = users;
		share->users_room = room;
	}
	memmove(&users[place + 1], &users[place],
		(share->users_count++ - place) * sizeof(*users));
	users[place] = (struct ts_user){.uid = uid};
	users[place].name_size = (uint8_t)strnlen(name, UIDRECV_NAME_MAX);
	memcpy(users[place].name, name, users[place].name_size);
	return &users[place];
}

void ts_share_look(struct ts_share *share)
{
	share->looks++;
}

int ts_share_see(struct ts_share *share, uid_t uid, const char *name)
{
	struct ts_user *user = ts_share_find_user(share, uid);

	if (user == NULL)
		user = add_user(share, uid, name);
	if (user == NULL)
		return -ENOMEM;
	user->seen = share->looks;
	return 0;
}

void ts_share_dismiss(struct ts_share *share)
{
	for (size_t i = 0; i < share->users_count; i++)
		share->users[i].seen = 0;
}

static void set_state(struct ts_block *block, enum ts_state state,
		      uint64_t now_us)
{
	block->state = (uint8_t)state;
	block->since_us = now_us;
}

static void ask_for(struct ts_block *block, uid_t uid, uint64_t now_us)
{
	set_state(block, TS_ASKED, now_us);
	block->uid = uid;
	block->said_us = now_us;
	block->busy_us = now_us;
	block->is_known = false;
	block->must_say = true;
}

static void lay_to_rest(struct ts_block *block, uint64_t now_us)
{
	set_state(block, TS_RESTING, now_us);
	block->unsaid_us = now_us;
	block->is_forgotten = false;
	block->must_say = true;
}

/* The one that is free for longest, and the lowest of those. */
static struct ts_block *find_free(const struct ts_share *share)
{
	struct ts_block *found = NULL;

	for (size_t i = 0; i < share->blocks_count; i++) {
		struct ts_block *block = &share->blocks[i];

		if (block->state == TS_FREE &&
		    (found == NULL || block->since_us < found->since_us))
			found = block;
	}
	return found;
}

/* His block in a state that was busy last (or least recently). */
static struct ts_block *find_his(const struct ts_share *share, uid_t uid,
				 enum ts_state state, bool is_last)
{
	struct ts_block *found = NULL;

	for (size_t i = 0; i < share->blocks_count; i++) {
		struct ts_block *block = &share->blocks[i];

		if (block->state != state || block->uid != uid)
			continue;
		if (found == NULL ||
		    (is_last ? block->busy_us > found->busy_us
			     : block->busy_us < found->busy_us))
			found = block;
	}
	return found;
}

static void give_one(struct ts_share *share, struct ts_user *user,
		     uint32_t count, uint64_t now_us)
{
	struct ts_block *block = find_his(share, user->uid, TS_DRAINING, true);

	if (block != NULL) {
		set_state(block, TS_USED, now_us);
		user->is_changed = true;
		return;
	}
	if (count >= share->blocks_max)
		return;
	block = find_free(share);
	user->is_waiting = block == NULL;
	if (block != NULL)
		ask_for(block, user->uid, now_us);
}

static void drain_one(struct ts_share *share, struct ts_user *user,
		      uint64_t now_us)
{
	struct ts_block *block = find_his(share, user->uid, TS_USED, false);

	set_state(block, TS_DRAINING, now_us);
	block->unruled_us = UINT64_MAX;
	user->is_changed = true;
	user->calm = 0;
}

/*
 * A flow needs a port that no other flow to the same destination has. So what
 * counts is the destination to which he has the most.
 */
static void weigh(struct ts_share *share, struct ts_user *user,
		  const uint32_t counts[], uint64_t now_us)
{
	uint64_t size = share->system.block_size, load = user->load;
	uint32_t used = counts[TS_USED], asked = counts[TS_ASKED];
	uint32_t all = used + asked + counts[TS_DRAINING];

	user->is_waiting = false;
	if (used + asked == 0 || (asked == 0 && load * 4 >= used * size * 3)) {
		user->calm = 0;
		give_one(share, user, all, now_us);
	} else if (used < 2 || load * 2 > (used - 1) * size) {
		user->calm = 0;
	} else if (user->calm == 0) {
		user->calm = share->looks;
	} else if (share->looks - user->calm >= TS_CALM_LOOKS) {
		drain_one(share, user, now_us);
	}
}

static void dismiss(struct ts_share *share, struct ts_user *user,
		    uint64_t now_us)
{
	for (size_t i = 0; i < share->blocks_count; i++) {
		struct ts_block *block = &share->blocks[i];

		if (!ts_block_is_said(block) || block->uid != user->uid ||
		    block->state == TS_LEAVING)
			continue;
		set_state(block, TS_LEAVING, now_us);
		user->is_changed = true;
	}
}

/* What a block does by itself. */
static void age(const struct ts_share *share, struct ts_block *block,
		uint64_t now_us)
{
	struct ts_user *user;

	switch (block->state) {
	case TS_ASKED:
		user = ts_share_find_user(share, block->uid);
		if (!block->is_known || user == NULL)
			break;
		set_state(block, TS_USED, now_us);
		user->is_changed = true;
		break;
	case TS_DRAINING:
		if (!block->is_ruled && block->flows == 0 &&
		    share->counted_us > block->unruled_us)
			lay_to_rest(block, now_us);
		break;
	case TS_LEAVING:
		if (!block->is_ruled)
			lay_to_rest(block, now_us);
		break;
	case TS_RESTING:
		if (block->flows == 0 && block->is_forgotten &&
		    share->counted_us > block->since_us &&
		    now_us - block->since_us >= share->rest_us)
			block->state = TS_FREE;
		break;
	}
}

static void count_blocks(const struct ts_share *share, uid_t uid,
			 uint32_t counts[])
{
	memset(counts, 0, (TS_RESTING + 1) * sizeof(*counts));
	for (size_t i = 0; i < share->blocks_count; i++)
		if (ts_block_is_said(&share->blocks[i]) &&
		    share->blocks[i].uid == uid)
			counts[share->blocks[i].state]++;
}

void ts_share_step(struct ts_share *share, uint64_t now_us)
{
	size_t kept = 0;

	for (size_t i = 0; i < share->blocks_count; i++)
		age(share, &share->blocks[i], now_us);
	for (size_t i = 0; i < share->users_count; i++) {
		struct ts_user *user = &share->users[i];
		bool is_here = user->seen != 0 &&
			       share->looks - user->seen < TS_GONE_LOOKS;
		uint32_t counts[TS_RESTING + 1];

		count_blocks(share, user->uid, counts);
		if (is_here)
			weigh(share, user, counts, now_us);
		else
			dismiss(share, user, now_us);
		/* Who has nothing, and is not there, is forgotten. */
		count_blocks(share, user->uid, counts);
		if (is_here || user->is_changed || counts[TS_LEAVING] > 0)
			share->users[kept++] = *user;
	}
	share->users_count = kept;
}

void ts_share_count(struct ts_share *share, uint64_t now_us)
{
	for (size_t i = 0; i < share->blocks_count; i++) {
		struct ts_block *block = &share->blocks[i];

		if (block->flows == 0)
			continue;
		block->busy_us = now_us;
		if (share->counted_us == 0 && block->state == TS_RESTING)
			block->since_us = now_us;
	}
	share->counted_us = now_us;
}
