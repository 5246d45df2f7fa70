/* SPDX-License-Identifier: BSD-2-Clause */
/* A new table: made, filled with what the store answers, put in place. */
#include <string.h>

#include "receiver-private.h"

static int add_agents(struct uidrecv_receiver *receiver, struct ur_table *table)
{
	uint32_t max = ur_store_get_agent_id_max(receiver->store);
	int error = 0;

	for (uint32_t id = 1; !error && id <= max; id++) {
		const char *name = ur_store_get_agent_name(receiver->store, id);

		if (name)
			error =
			    ur_table_add_agent(table, id, name, strlen(name));
	}
	return error;
}

void ur_receiver_begin_table(struct uidrecv_receiver *receiver,
			     struct ur_filling *filling)
{
	struct ur_store_stats stats;
	struct ur_table_options options = {
	    .path = receiver->table_path,
	    .mode = receiver->options.table_mode,
	    .group = (gid_t)receiver->options.table_group_plus_1 - 1,
	    .base_us = ur_store_get_base_us(receiver->store),
	    .change_min = ur_receiver_store_now_us(receiver),
	};

	filling->table = NULL;
	filling->now_us = options.change_min;
	filling->count = 0;
	ur_store_get_stats(receiver->store, &stats);
	options.entries_hint = stats.addresses;
	if (receiver->table &&
	    ur_table_get_change(receiver->table) >= options.change_min)
		options.change_min = ur_table_get_change(receiver->table) + 1;
	filling->error = ur_table_create(&filling->table, &options);
	if (!filling->error)
		filling->error = add_agents(receiver, filling->table);
}

static void put_answers(struct ur_filling *filling)
{
	for (size_t i = 0; !filling->error && i < filling->count; i++)
		filling->error = ur_table_put(
		    filling->table, &filling->answers[i], filling->now_us);
	filling->count = 0;
}

/* The memory of the newest few is asked for together: see UR_FILLING_GROUP. */
static void prefetch_group(const struct ur_filling *filling)
{
	for (size_t i = filling->count - UR_FILLING_GROUP; i < filling->count;
	     i++)
		ur_table_prefetch(filling->table, filling->answers[i].address);
}

int ur_filling_add(void *user, const struct ur_change *change)
{
	struct ur_filling *filling = user;
	struct ur_table_answer *answer = &filling->answers[filling->count];

	if (filling->error)
		return 0;
	*answer = ur_round_answer(change);
	if (change->user_size > 0)
		memcpy(filling->users[filling->count], change->user,
		       change->user_size);
	answer->user = filling->users[filling->count];
	if (++filling->count % UR_FILLING_GROUP == 0)
		prefetch_group(filling);
	if (filling->count == UR_FILLING_BATCH)
		put_answers(filling);
	return 0;
}

void ur_receiver_drop_table(struct ur_filling *filling)
{
	ur_table_close(filling->table);
	filling->table = NULL;
}

int ur_receiver_end_table(struct uidrecv_receiver *receiver,
			  struct ur_filling *filling)
{
	struct ur_change stale;

	put_answers(filling);
	if (!filling->error)
		filling->error = ur_table_publish(filling->table);
	if (filling->error) {
		ur_receiver_drop_table(filling);
		return filling->error;
	}
	/* What is listed is in the table, or was judged by another list. */
	while (ur_store_next_change(receiver->store, &stale) == 1)
		;
	ur_table_beat(filling->table);
	ur_table_close(receiver->table);
	receiver->table = filling->table;
	ur_former_close(receiver->round.former);
	receiver->round.former = NULL;
	receiver->round.publish_failed = false;
	return 0;
}

int ur_receiver_rebuild_table(struct uidrecv_receiver *receiver)
{
	struct ur_filling filling;
	int error;

	ur_receiver_begin_table(receiver, &filling);
	if (!filling.error) {
		error = ur_store_scan(receiver->store, filling.now_us,
				      ur_filling_add, &filling);
		if (error)
			filling.error = error;
	}
	return ur_receiver_end_table(receiver, &filling);
}
