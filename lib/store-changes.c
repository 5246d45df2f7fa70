/* SPDX-License-Identifier: BSD-2-Clause */
/* Answers, and the list of those that changed. */
#include "store-private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "answer.h"

void ur_store_answer_of(const struct ur_store *store,
			const struct ur_ranks *ranks,
			struct uidrecv_address address,
			const struct ur_cell *cell, uint64_t now_us,
			struct ur_change *ret_answer)
{
	const struct ur_system *system =
	    ur_systems_at(ur_store_systems_now(store), address);
	const struct ur_claim *claim;

	memset(ret_answer, 0, sizeof(*ret_answer));
	ret_answer->address = address;
	if (system) {
		ret_answer->agent = system->agent;
		ret_answer->ports = system->config.ports;
		ret_answer->block_size = system->config.block_size;
		return;
	}
	claim = ur_answer(cell, ranks, now_us);
	if (!claim)
		return;
	ret_answer->deadline_us = claim->deadline_us;
	ret_answer->kept_us = claim->kept_us;
	ret_answer->agent = claim->agent;
	ret_answer->epoch = claim->epoch;
	ret_answer->lifetime_s = claim->lifetime_s;
	ret_answer->source = claim->source;
	ret_answer->user_size = claim->user_size;
	ret_answer->user = claim->user;
}

static int reserve_changes(struct ur_store_changes *changes)
{
	size_t room = changes->room ? changes->room * 2 : 64;
	size_t text_room = changes->text_room ? changes->text_room * 2 : 4096;
	void *grown;

	if (changes->count == changes->room) {
		grown = realloc(changes->list, room * sizeof(*changes->list));
		if (!grown)
			return -ENOMEM;
		changes->list = grown;
		changes->room = room;
	}
	if (changes->text_room - changes->text_size < UIDRECV_NAME_MAX) {
		grown = realloc(changes->text, text_room);
		if (!grown)
			return -ENOMEM;
		changes->text = grown;
		changes->text_room = text_room;
	}
	return 0;
}

int ur_store_changes_add(struct ur_store *store, struct uidrecv_address address,
			 const struct ur_cell *cell, uint64_t now_us)
{
	struct ur_store_changes *changes = &store->changes;
	struct ur_store_change *change;
	struct ur_change answer;
	int rc = reserve_changes(changes);

	if (rc < 0)
		return rc;
	ur_store_answer_of(store, &store->ranks, address, cell, now_us,
			   &answer);
	change = &changes->list[changes->count++];
	change->address = address;
	change->contended_until_us =
	    answer.block_size
		? UR_TIME_NEVER
		: ur_answer_contended_until(cell, &store->ranks, now_us);
	change->kind = UR_CHANGE_ANSWER;
	change->deadline_us = answer.deadline_us;
	change->kept_us = answer.kept_us;
	change->agent = answer.agent;
	change->epoch = answer.epoch;
	change->lifetime_s = answer.lifetime_s;
	change->source = answer.source;
	change->user_size = answer.user_size;
	change->ports = answer.ports;
	change->block_size = answer.block_size;
	change->user_at = changes->text_size;
	if (answer.user_size > 0)
		memcpy(changes->text + changes->text_size, answer.user,
		       answer.user_size);
	changes->text_size += answer.user_size;
	return 0;
}

int ur_store_changes_add_epoch(struct ur_store *store, enum ur_change_kind kind,
			       uint32_t agent, uint32_t epoch, uint64_t time_us)
{
	struct ur_store_changes *changes = &store->changes;
	int rc = reserve_changes(changes);

	if (rc < 0)
		return rc;
	changes->list[changes->count++] = (struct ur_store_change){
	    .kind = (uint8_t)kind,
	    .agent = agent,
	    .epoch = epoch,
	    .deadline_us = time_us,
	};
	return 0;
}

void ur_store_changes_commit(struct ur_store_changes *changes)
{
	changes->committed = changes->count;
	changes->text_committed = changes->text_size;
}

void ur_store_changes_abort(struct ur_store_changes *changes)
{
	changes->count = changes->committed;
	changes->text_size = changes->text_committed;
}

int ur_store_next_change(struct ur_store *store, struct ur_change *ret_change)
{
	struct ur_store_changes *changes = &store->changes;
	const struct ur_store_change *change;

	if (changes->taken == changes->committed) {
		if (store->pid != getpid())
			return UIDRECV_E_FORKED;
		/* The round that may be open has its own behind these. */
		if (changes->committed == changes->count)
			changes->taken = changes->committed = changes->count =
			    changes->text_size = changes->text_committed = 0;
		return 0;
	}
	change = &changes->list[changes->taken++];
	ret_change->address = change->address;
	ret_change->deadline_us = change->deadline_us;
	ret_change->kept_us = change->kept_us;
	ret_change->agent = change->agent;
	ret_change->epoch = change->epoch;
	ret_change->lifetime_s = change->lifetime_s;
	ret_change->kind = change->kind;
	ret_change->source = change->source;
	ret_change->user_size = change->user_size;
	ret_change->user = changes->text + change->user_at;
	ret_change->ports = change->ports;
	ret_change->block_size = change->block_size;
	return 1;
}

bool ur_store_has_lost_changes(const struct ur_store *store)
{
	return store->has_lost_changes;
}
