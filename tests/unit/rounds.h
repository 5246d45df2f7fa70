/* SPDX-License-Identifier: BSD-2-Clause */
/* For the tests of rounds: a real store, a real table, three agents. */
#ifndef UR_TEST_ROUNDS_H
#define UR_TEST_ROUNDS_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "live.h"
#include "round.h"

#define NOW UINT64_C(1700000000000000)
#define ROUND_AGENTS 3

struct fixture {
	char directory[64], path[80];
	struct uidrecv_rights *rights;
	struct ur_store *store;
	struct ur_table *table;
	struct ur_log log;
	struct ur_round round;
	struct ur_peer peers[ROUND_AGENTS];
	struct ur_rank ranks[ROUND_AGENTS + 1];
	/* Of completions, in their order. */
	uint64_t serials[100];
	size_t refusals[100], completions;
	struct ur_refusal refused[100]; /* the last of each */
	unsigned int without_conn;
	enum ur_ending ending; /* of the last END */
	bool is_taken;	       /* of the last REFRESH ALL */
};

static inline void completed(void *owner, const struct ur_batch *batch,
			     const struct ur_refusal *refusals)
{
	struct fixture *f = owner;

	f->serials[f->completions] = batch->serial;
	f->refusals[f->completions] = batch->refusals_count;
	if (batch->refusals_count)
		f->refused[f->completions] =
		    refusals[batch->refusals_count - 1];
	f->completions++;
	f->without_conn += !batch->conn;
	if (batch->type == UR_SNAPSHOT_END)
		f->ending = batch->ending;
	if (batch->type == UR_REFRESH_ALL)
		f->is_taken = batch->is_taken;
}

static inline void open_store(struct fixture *f)
{
	struct ur_store_options options = {.directory = f->directory,
					   .map_bytes = 16u << 20,
					   .boot_us = 0,
					   .wall_us = NOW};
	struct ur_ranks ranks = {f->ranks, ROUND_AGENTS + 1};
	const struct ur_agent_row *row;

	cr_assert_eq(ur_store_open(&f->store, &options), 0);
	for (uint32_t i = 0; i < ROUND_AGENTS; i++) {
		f->peers[i].right = ur_rights_at(f->rights, i);
		cr_assert_eq(
		    ur_store_add_agent(f->store, f->peers[i].right->name,
				       f->peers[i].right->name_size, NOW, &row),
		    0);
		f->peers[i].id = row->id;
		f->ranks[row->id].name = f->peers[i].right->name;
	}
	ur_store_set_ranks(f->store, ranks);
}

static inline void make_table(struct fixture *f, uint32_t agents)
{
	struct ur_table_options options = {
	    .path = f->path,
	    .mode = 0640,
	    .group = (gid_t)-1,
	    .base_us = ur_store_get_base_us(f->store),
	    .change_min = NOW,
	};

	cr_assert_eq(ur_table_create(&f->table, &options), 0);
	for (uint32_t i = 0; i < agents; i++)
		cr_assert_eq(ur_table_add_agent(f->table, f->peers[i].id,
						f->peers[i].right->name,
						f->peers[i].right->name_size),
			     0);
	cr_assert_eq(ur_table_publish(f->table), 0);
}

/* The table knows so many of the agents. */
static inline struct fixture *start(uint32_t agents)
{
	static const char list[] = "a.example 10.0.0.0/8 allow=multi-user\n"
				   "b.example 10.0.0.0/8 allow=multi-user\n"
				   "c.example 10.0.0.0/8\n";
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->directory, "/tmp/uidrecv-round-XXXXXX");
	cr_assert_not_null(mkdtemp(f->directory));
	snprintf(f->path, sizeof(f->path), "%s/table", f->directory);
	cr_assert_eq(uidrecv_rights_new(&f->rights), 0);
	cr_assert_eq(
	    uidrecv_rights_parse(f->rights, list, sizeof(list) - 1, NULL, 0),
	    0);
	open_store(f);
	make_table(f, agents);
	ur_round_init(&f->round);
	f->round.store = f->store;
	f->round.table = &f->table;
	f->round.log = &f->log;
	f->round.completed = completed;
	f->round.owner = f;
	return f;
}

static inline void end(struct fixture *f)
{
	ur_round_done(&f->round);
	ur_table_close(f->table);
	ur_store_close(f->store);
	uidrecv_rights_free(f->rights);
	live_remove(f->directory);
	free(f);
}

static inline uint64_t now_us(const struct fixture *f)
{
	return uidrecv_now_us() + ur_store_get_base_us(f->store);
}

static inline void submit_record(struct fixture *f, int peer, uint64_t serial,
				 const struct uidrecv_record *record)
{
	struct ur_batch batch = {.peer = &f->peers[peer],
				 .conn = f,
				 .serial = serial,
				 .as_of_us = now_us(f),
				 .records_count = 1};
	struct ur_update_writer writer;
	struct ur_buf buf;

	ur_buf_init(&buf, 65536);
	ur_update_begin(&writer, &buf, serial, 1, false, 0, 65536);
	cr_assert(ur_update_add(&writer, record));
	ur_update_end(&writer);
	cr_assert_eq(ur_round_submit(&f->round, &batch,
				     ur_buf_front(&buf) + UR_FRAME_HEADER,
				     buf.size - UR_FRAME_HEADER),
		     0);
	ur_buf_done(&buf);
}

static inline void submit(struct fixture *f, int peer, uint64_t serial,
			  const char *address, const char *user)
{
	struct uidrecv_record record =
	    live_record(UIDRECV_OP_MAP, address, user);

	submit_record(f, peer, serial, &record);
}

static inline void submit_message(struct fixture *f, int peer, uint64_t serial,
				  enum ur_message_type type, uint64_t count)
{
	struct ur_batch batch = {.peer = &f->peers[peer],
				 .conn = f,
				 .serial = serial,
				 .type = (uint8_t)type,
				 .count = count,
				 .as_of_us = now_us(f)};

	cr_assert_eq(ur_round_submit(&f->round, &batch, (uint8_t[1]){0}, 0), 0);
}

static inline void submit_system(struct fixture *f, int peer, uint64_t serial,
				 const struct uidrecv_system *system)
{
	struct ur_batch batch = {.peer = &f->peers[peer],
				 .conn = f,
				 .serial = serial,
				 .type = UR_TS_CONFIG,
				 .records_count = 1};
	struct ur_buf buf;

	ur_buf_init(&buf, 65536);
	ur_ts_config_encode(&buf, serial, system);
	cr_assert_eq(ur_round_submit(&f->round, &batch,
				     ur_buf_front(&buf) + UR_FRAME_HEADER,
				     buf.size - UR_FRAME_HEADER),
		     0);
	ur_buf_done(&buf);
}

static inline int run(struct fixture *f)
{
	return ur_round_run(&f->round, now_us(f), NOW);
}

static inline void check_user(struct fixture *f, const char *address,
			      const char *user)
{
	struct uidrecv_reader *reader;
	struct uidrecv_mapping mapping = {.user = ""};
	struct uidrecv_query query = {.has_port = false};

	uidrecv_address_parse(address, &query.address);
	cr_assert_eq(uidrecv_reader_open(&reader, f->path, NULL), 0);
	cr_expect_eq(uidrecv_reader_lookup(reader, &query, 0, &mapping),
		     user[0] ? 1 : 0);
	cr_expect_str_eq(mapping.user, user);
	uidrecv_reader_close(reader);
}

static inline uint64_t durable(const struct fixture *f, int peer)
{
	return ur_store_get_agent_by_id(f->store, f->peers[peer].id)->durable;
}

#endif
