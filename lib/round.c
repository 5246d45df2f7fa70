/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "round.h"

/* At most once in this time the living claims of an agent are counted. */
#define COUNT_US UINT64_C(10000000)

#define AHEAD 16

void ur_round_init(struct ur_round *round)
{
	*round = (struct ur_round){0};
	round->last = &round->first;
}

static void clear(struct ur_round *round)
{
	struct ur_batch *next;

	for (struct ur_batch *batch = round->first; batch; batch = next) {
		next = batch->next;
		free(batch);
	}
	round->first = NULL;
	round->last = &round->first;
	round->batches = 0;
	round->records = 0;
	round->state = UR_ROUND_COLLECTING;
}

void ur_round_done(struct ur_round *round)
{
	clear(round);
	free(round->refusals);
}

int ur_round_submit(struct ur_round *round, const struct ur_batch *batch,
		    const uint8_t *body, size_t body_size)
{
	struct ur_batch *copy = malloc(sizeof(*copy) + body_size);

	if (!copy)
		return -ENOMEM;
	*copy = *batch;
	copy->next = NULL;
	copy->body_size = body_size;
	if (body_size > 0)
		memcpy(copy->body, body, body_size);
	*round->last = copy;
	round->last = &copy->next;
	round->batches++;
	round->records += batch->records_count;
	return 0;
}

void ur_round_take_back(struct ur_round *round)
{
	struct ur_batch **link = &round->first;

	if (!*link || round->state != UR_ROUND_COLLECTING)
		return;
	while ((*link)->next)
		link = &(*link)->next;
	round->batches--;
	round->records -= (*link)->records_count;
	free(*link);
	*link = NULL;
	round->last = link;
}

void ur_round_forget(struct ur_round *round, const void *conn)
{
	for (struct ur_batch *batch = round->first; batch; batch = batch->next)
		if (batch->conn == conn)
			batch->conn = NULL;
}

static int add_refusal(struct ur_round *round, uint32_t index, uint16_t code)
{
	if (round->refusals_count == round->refusals_room) {
		size_t room =
		    round->refusals_room ? 2 * round->refusals_room : 256;
		void *refusals =
		    realloc(round->refusals, room * sizeof(*round->refusals));

		if (!refusals)
			return -ENOMEM;
		round->refusals = refusals;
		round->refusals_room = room;
	}
	round->refusals[round->refusals_count++] =
	    (struct ur_refusal){.index = index, .code = code};
	return 0;
}

/* 0, a positive enum uidrecv_reject, or the round's error. */
static int apply_record(struct ur_round *round, const struct ur_batch *batch,
			const struct uidrecv_record *record, uint64_t now_us)
{
	const struct ur_right *right = batch->peer->right;
	struct ur_statement statement;
	int code = ur_admit(right, record, batch->as_of_us, batch->offset_us,
			    now_us, &statement);

	if (!code && record->ports.count > 0)
		code = ur_store_find_block(round->store, batch->peer->id,
					   record->address, record->ports,
					   &statement.address);
	if (code)
		return code;
	return ur_store_apply(round->store, batch->peer->id,
			      right->mappings_max, &statement, now_us);
}

/* Keeps count of what was applied (0) and refused. 0 or the round's error. */
static int note(struct ur_round *round, uint32_t index, int result)
{
	if (result < 0)
		return result;
	if (!result) {
		round->accepted++;
		return 0;
	}
	round->rejected++;
	return add_refusal(round, index, (uint16_t)result);
}

/* Records that are read before the first of them is applied. */
struct ahead {
	struct uidrecv_record records[AHEAD];
	uint32_t indexes[AHEAD];
	uint16_t malformed[AHEAD];
	size_t count;
};

/* The table's memory is far: it is asked for what is needed soon. */
static void read_ahead(const struct ur_round *round, struct ur_records *records,
		       struct ahead *ahead)
{
	size_t i = 0;

	while (i < AHEAD && ur_records_next(records, &ahead->records[i],
					    &ahead->malformed[i])) {
		if (*round->table)
			ur_table_prefetch(*round->table,
					  ahead->records[i].address);
		ahead->indexes[i++] = records->index;
	}
	ahead->count = i;
}

static int apply_records(struct ur_round *round, const struct ur_batch *batch,
			 uint64_t now_us)
{
	struct ur_records records;
	struct ahead ahead;
	int ret;

	ur_records_init(&records, batch->body, batch->body_size);
	do {
		read_ahead(round, &records, &ahead);
		for (size_t i = 0; i < ahead.count; i++) {
			ret = ahead.malformed[i];
			if (!ret)
				ret = apply_record(round, batch,
						   &ahead.records[i], now_us);
			ret = note(round, ahead.indexes[i], ret);
			if (ret)
				return ret;
		}
	} while (ahead.count == AHEAD);
	return 0;
}

/* A TS CONFIG is refused as a whole, like a record of index 0. */
static int apply_system(struct ur_round *round, const struct ur_batch *batch,
			uint64_t now_us)
{
	const struct ur_peer *peer = batch->peer;
	struct uidrecv_system system;
	int code;

	ur_ts_config_decode(batch->body, batch->body_size, &system);
	code = ur_admit_system(peer->right, &system);
	if (!code)
		code = ur_store_put_system(round->store, peer->id, &system,
					   now_us);
	return note(round, 0, code);
}

/* UPDATE or TS CONFIG: what can be refused, and keeps its refusals. */
static int apply_update(struct ur_round *round, struct ur_batch *batch,
			uint64_t now_us)
{
	int error;

	batch->refusals_start = round->refusals_count;
	if (batch->type == UR_TS_CONFIG)
		error = apply_system(round, batch, now_us);
	else
		error = apply_records(round, batch, now_us);
	batch->refusals_count = round->refusals_count - batch->refusals_start;
	if (!error && batch->serial && batch->maps_count)
		error = ur_store_count_maps(round->store, batch->peer->id,
					    batch->maps_count);
	if (!error && batch->serial && batch->refusals_count)
		error = ur_store_put_rejects(
		    round->store, batch->peer->id, batch->serial,
		    round->refusals + batch->refusals_start,
		    batch->refusals_count);
	return error;
}

/*
 * A walk through the store is dear, and an agent could ask for many. What its
 * quota or the other kind of message made be counted is not held against it.
 */
static bool may_count(uint64_t counted_us, uint64_t now_us)
{
	return !counted_us || now_us >= counted_us + COUNT_US;
}

static int apply_end(struct ur_round *round, struct ur_batch *batch,
		     uint64_t now_us)
{
	struct ur_peer *peer = batch->peer;
	uint64_t former_us = ur_store_get_counted_us(round->store, peer->id);
	int error = ur_store_end_snapshot(
	    round->store, peer->id, batch->count, peer->right->keep_percent,
	    may_count(peer->end_counted_us, now_us), now_us, &batch->ending);

	if (ur_store_get_counted_us(round->store, peer->id) != former_us)
		peer->end_counted_us = now_us;
	return error;
}

static int apply_refresh_all(struct ur_round *round, struct ur_batch *batch,
			     uint64_t now_us)
{
	struct ur_peer *peer = batch->peer;
	uint64_t former_us = ur_store_get_counted_us(round->store, peer->id);
	uint64_t as_of_us;
	int error;

	batch->is_taken = false;
	if (!ur_admit_time(batch->as_of_us, batch->offset_us, now_us,
			   &as_of_us))
		return ur_store_want_snapshot(round->store, peer->id,
					      UIDRECV_RESYNC_TIME);
	error =
	    ur_store_refresh_all(round->store, peer->id, as_of_us, batch->count,
				 may_count(peer->refresh_counted_us, now_us),
				 now_us, &batch->is_taken);
	if (ur_store_get_counted_us(round->store, peer->id) != former_us)
		peer->refresh_counted_us = now_us;
	return error;
}

static int apply_message(struct ur_round *round, struct ur_batch *batch,
			 uint64_t now_us)
{
	switch (batch->type) {
	case UR_SNAPSHOT_BEGIN:
		return ur_store_begin_snapshot(round->store, batch->peer->id);
	case UR_SNAPSHOT_END:
		return apply_end(round, batch, now_us);
	case UR_REFRESH_ALL:
		return apply_refresh_all(round, batch, now_us);
	default:
		return apply_update(round, batch, now_us);
	}
}

/* What the agent's row keeps of its session. */
static int apply_session(struct ur_round *round, const struct ur_batch *batch)
{
	struct ur_agent_row row;

	if (batch->acked > batch->peer->dropped) {
		int error = ur_store_drop_rejects(round->store, batch->peer->id,
						  batch->acked);

		if (error)
			return error;
	}
	row = *ur_store_get_agent_by_id(round->store, batch->peer->id);
	row.durable = batch->serial;
	row.offset_us = batch->offset_us;
	return ur_store_put_agent(round->store, &row);
}

static int apply_batch(struct ur_round *round, struct ur_batch *batch,
		       uint64_t now_us)
{
	int error = 0;

	if (batch->follows_gap)
		error = ur_store_want_snapshot(round->store, batch->peer->id,
					       UIDRECV_RESYNC_GAP);
	if (!error)
		error = apply_message(round, batch, now_us);
	/* One row an agent is enough: the one with the last serial. */
	if (!error && batch->serial && batch->peer->newest == batch)
		error = apply_session(round, batch);
	return error;
}

static int store_all(struct ur_round *round, uint64_t now_us, uint64_t wall_us)
{
	int error = ur_store_begin(round->store);

	if (error)
		return error;
	round->refusals_count = 0;
	round->accepted = 0;
	round->rejected = 0;
	for (struct ur_batch *batch = round->first; batch; batch = batch->next)
		if (batch->serial)
			batch->peer->newest = batch;
	for (struct ur_batch *batch = round->first; batch;
	     batch = batch->next) {
		error = apply_batch(round, batch, now_us);
		if (error) {
			ur_store_abort(round->store);
			return error;
		}
	}
	return ur_store_commit(round->store, now_us, wall_us);
}

/* What was counted in vain is counted again. */
static void forget_counts(struct ur_round *round)
{
	for (struct ur_batch *batch = round->first; batch;
	     batch = batch->next) {
		batch->peer->end_counted_us = 0;
		batch->peer->refresh_counted_us = 0;
	}
}

struct ur_table_answer ur_round_answer(const struct ur_change *change)
{
	return (struct ur_table_answer){
	    .address = change->address,
	    .deadline_us = change->deadline_us,
	    .kept_us = change->kept_us,
	    .agent = change->agent,
	    .epoch = change->epoch,
	    .lifetime_s = change->lifetime_s,
	    .source = change->source,
	    .user_size = change->user_size,
	    .user = change->user,
	    .system = {.agent = change->agent,
		       .block_size = change->block_size,
		       .ports = change->ports},
	};
}

static void publish_answer(struct ur_round *round,
			   const struct ur_change *change, uint64_t now_us)
{
	struct ur_table_answer answer = ur_round_answer(change);

	if (!ur_table_put(*round->table, &answer, now_us))
		return;
	/*
	 * Nobody is better than the former user, and taking back never fails.
	 * The rest is still taken from the store: a rebuild of the table brings
	 * all of it back.
	 */
	answer.user_size = 0;
	answer.system.block_size = 0;
	(void)!ur_table_put(*round->table, &answer, now_us);
	round->publish_failed = true;
}

int ur_round_publish(struct ur_round *round, uint64_t now_us)
{
	struct ur_change change;

	if (ur_store_has_lost_changes(round->store))
		round->publish_failed = true;
	while (ur_store_next_change(round->store, &change) == 1) {
		switch (change.kind) {
		case UR_CHANGE_REFRESHED:
			ur_table_refresh(*round->table, change.agent,
					 change.epoch, change.deadline_us);
			break;
		case UR_CHANGE_DROPPED:
			ur_table_drop(*round->table, change.agent,
				      change.epoch);
			break;
		default:
			publish_answer(round, &change, now_us);
		}
	}
	return round->publish_failed ? -ENOSPC : 0;
}

static void complete_all(struct ur_round *round)
{
	for (struct ur_batch *batch = round->first; batch;
	     batch = batch->next) {
		struct ur_peer *peer = batch->peer;

		if (batch->acked > peer->dropped)
			peer->dropped = batch->acked;
		round->completed(round->owner, batch,
				 batch->refusals_count
				     ? round->refusals + batch->refusals_start
				     : NULL);
	}
	round->updates += round->batches;
	round->total += round->accepted;
	round->total_rejected += round->rejected;
	clear(round);
}

int ur_round_run(struct ur_round *round, uint64_t now_us, uint64_t wall_us)
{
	int error;

	if (!round->first)
		return 0;
	if (round->state == UR_ROUND_COLLECTING) {
		error = store_all(round, now_us, wall_us);
		if (error) {
			forget_counts(round);
			round->commit_errors++;
			return error;
		}
		round->commits++;
		round->state = UR_ROUND_STORED;
	}
	error = ur_round_publish(round, now_us);
	if (error)
		return error;
	complete_all(round);
	return 0;
}
