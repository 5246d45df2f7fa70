/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The writer of stress-table.c: puts, refreshes and removes stamped answers,
 * and now and then an agent sends a snapshot or REFRESH ALL.
 */
#ifndef WRITER_H
#define WRITER_H

#include "stamp.h"

#define FIXED 512 /* addresses that are always known, but for every eighth */
#define ALL 2048  /* the rest come and go */

struct writer {
	struct ur_table *table;
	_Atomic uint64_t *counter; /* of the newest stamp, of all writers */
	uint64_t seed;
	uint64_t counter_of[ALL]; /* of the stamp that is put; 0: nobody */
	uint32_t epoch_of[AGENTS];
};

static inline bool may_be_gone(uint32_t i)
{
	return i >= FIXED || i % 8 == 0;
}

static inline void put_counter(struct writer *writer, uint32_t i,
			       uint64_t counter)
{
	uint64_t now_us = ur_clock_boot_us();
	char user[256];
	struct ur_table_answer answer = {
	    .address = address_of(i),
	    .deadline_us = stamp_deadline_us(counter, now_us),
	    .agent = 1 + (uint32_t)(counter % AGENTS),
	    .epoch = writer->epoch_of[counter % AGENTS],
	    .lifetime_s = stamp_lifetime_s(counter),
	    .source = (uint8_t)(counter % 11),
	    .user_size = stamp(user, i, counter),
	    .user = user,
	};

	writer->counter_of[i] = counter;
	if (ur_table_put(writer->table, &answer, now_us) < 0)
		abort();
	if (counter % 4)
		return;
	/* A refresh: the same but for the deadline, which stays in tune. */
	answer.deadline_us += 16000000 * (1 + counter % 100);
	if (ur_table_put(writer->table, &answer, now_us) < 0)
		abort();
}

static inline void put_stamp(struct writer *writer, uint32_t i)
{
	put_counter(writer, i, 1 + atomic_fetch_add(writer->counter, 1));
}

static inline void remove_stamp(struct writer *writer, uint32_t i)
{
	struct ur_table_answer answer = {.address = address_of(i)};

	writer->counter_of[i] = 0;
	if (ur_table_put(writer->table, &answer, ur_clock_boot_us()) < 0)
		abort();
}

/*
 * Of an agent's addresses half get another user, maybe another agent's, the
 * rest are stated again, or not if they may be gone.
 */
static inline void send_snapshot(struct writer *writer, uint32_t agent)
{
	uint32_t epoch = ++writer->epoch_of[agent];
	uint64_t draw = next_random(&writer->seed);

	for (uint32_t i = 0; i < ALL; i++) {
		uint64_t counter = writer->counter_of[i];

		if (counter == 0 || counter % AGENTS != agent)
			continue;
		draw = next_random(&writer->seed);
		if (draw % 2)
			put_stamp(writer, i);
		else if (!may_be_gone(i) || draw % 8)
			put_counter(writer, i, counter);
		else
			writer->counter_of[i] = 0;
	}
	ur_table_drop(writer->table, 1 + agent, epoch);
}

static inline void refresh_all(struct writer *writer, uint32_t agent)
{
	ur_table_refresh(writer->table, 1 + agent, writer->epoch_of[agent],
			 stamp_refreshed_us(ur_clock_boot_us()));
}

static inline void start_table(struct writer *writer, const char *path,
			       uint64_t entries_hint)
{
	struct ur_table_options options = {
	    .path = path,
	    .group = (gid_t)-1,
	    .entries_hint = entries_hint,
	};
	char name[16];

	if (ur_table_create(&writer->table, &options) < 0)
		abort();
	for (uint32_t id = 1; id <= AGENTS; id++) {
		size_t size = (size_t)sprintf(name, "agent-%u", id);

		if (ur_table_add_agent(writer->table, id, name, size) < 0)
			abort();
	}
	for (uint32_t i = 0; i < FIXED; i++)
		put_stamp(writer, i);
	if (ur_table_publish(writer->table) < 0)
		abort();
}

static inline void write_until(struct writer *writer, _Atomic bool *is_over)
{
	for (uint64_t puts = 1; !atomic_load(is_over); puts++) {
		uint64_t draw = next_random(&writer->seed);
		uint32_t i = draw % 4 ? (uint32_t)(draw >> 8) % FIXED
				      : (uint32_t)(draw >> 8) % ALL;

		if (may_be_gone(i) && draw >> 60 < 4)
			remove_stamp(writer, i);
		else
			put_stamp(writer, i);
		if (puts % 256 == 0)
			ur_table_beat(writer->table);
		if (puts % 64 == 0)
			refresh_all(writer, (uint32_t)(draw >> 32) % AGENTS);
		if (puts % 512 == 0)
			send_snapshot(writer, (uint32_t)(draw >> 32) % AGENTS);
	}
}

#endif
