/* SPDX-License-Identifier: BSD-2-Clause */
/* Group commit over a real store and a real table. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "live.h"
#include "round.h"

#define NOW UINT64_C(1700000000000000)

struct fixture {
	char directory[64], path[80];
	struct uidrecv_rights *rights;
	struct ur_store *store;
	struct ur_table *table;
	struct ur_log log;
	struct ur_round round;
	struct ur_peer peers[2];
	struct ur_rank ranks[3];
	/* Of completions, in their order. */
	uint64_t serials[100];
	size_t refusals[100], completions;
	unsigned int without_conn;
};

static void completed(void *owner, const struct ur_batch *batch,
		      const struct ur_refusal *refusals)
{
	struct fixture *f = owner;

	f->serials[f->completions] = batch->serial;
	f->refusals[f->completions++] = batch->refusals_count;
	f->without_conn += !batch->conn;
	for (size_t i = 0; i < batch->refusals_count; i++)
		cr_assert_eq(refusals[i].code,
			     UIDRECV_REJECT_ADDRESS_NOT_ALLOWED);
}

static void open_store(struct fixture *f)
{
	struct ur_store_options options = {.directory = f->directory,
					   .map_bytes = 16u << 20,
					   .boot_us = 0,
					   .wall_us = NOW};
	struct ur_ranks ranks = {f->ranks, 3};
	const struct ur_agent_row *row;

	cr_assert_eq(ur_store_open(&f->store, &options), 0);
	for (uint32_t i = 0; i < 2; i++) {
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

static void make_table(struct fixture *f, uint32_t agents)
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

static struct fixture *start(uint32_t agents)
{
	static const char list[] = "a.example 10.0.0.0/8\n"
				   "b.example 10.0.0.0/8\n";
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

static void end(struct fixture *f)
{
	ur_round_done(&f->round);
	ur_table_close(f->table);
	ur_store_close(f->store);
	uidrecv_rights_free(f->rights);
	live_remove(f->directory);
	free(f);
}

static uint64_t now_us(const struct fixture *f)
{
	return uidrecv_now_us() + ur_store_get_base_us(f->store);
}

static void submit(struct fixture *f, int peer, uint64_t serial,
		   const char *address, const char *user)
{
	struct uidrecv_record record =
	    live_record(UIDRECV_OP_MAP, address, user);
	struct ur_batch batch = {.peer = &f->peers[peer],
				 .conn = f,
				 .serial = serial,
				 .as_of_us = now_us(f),
				 .records_count = 1};
	struct ur_update_writer writer;
	struct ur_buf buf;

	ur_buf_init(&buf, 65536);
	ur_update_begin(&writer, &buf, serial, 1, false, 0, 65536);
	cr_assert(ur_update_add(&writer, &record));
	ur_update_end(&writer);
	cr_assert_eq(ur_round_submit(&f->round, &batch,
				     ur_buf_front(&buf) + UR_FRAME_HEADER,
				     buf.size - UR_FRAME_HEADER),
		     0);
	ur_buf_done(&buf);
}

static int run(struct fixture *f)
{
	return ur_round_run(&f->round, now_us(f), NOW);
}

static void check_user(struct fixture *f, const char *address, const char *user)
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

static uint64_t durable(const struct fixture *f, int peer)
{
	return ur_store_get_agent_by_id(f->store, f->peers[peer].id)->durable;
}

Test(round, many_batches_are_one_commit)
{
	struct fixture *f = start(2);
	struct ur_store_stats before, after;

	ur_store_get_stats(f->store, &before);
	submit(f, 0, 1, "10.0.0.1", "one");
	submit(f, 1, 7, "10.0.0.2", "two");
	submit(f, 0, 2, "192.0.2.1", "refused");
	submit(f, 0, 3, "10.0.0.3", "three");
	cr_assert_eq(f->completions, 0);
	cr_assert_eq(run(f), 0);
	ur_store_get_stats(f->store, &after);
	cr_expect_eq(after.commits - before.commits, 1);
	cr_expect_eq(f->round.commits, 1);
	cr_assert_eq(f->completions, 4);
	cr_expect_eq(f->serials[0], 1);
	cr_expect_eq(f->serials[1], 7);
	cr_expect_eq(f->serials[3], 3);
	cr_expect_eq(f->refusals[2], 1);
	cr_expect_eq(f->refusals[3], 0);
	cr_expect_eq(durable(f, 0), 3);
	cr_expect_eq(durable(f, 1), 7);
	cr_expect_eq(f->round.total, 3);
	cr_expect_eq(f->round.total_rejected, 1);
	cr_expect_eq(f->round.updates, 4);
	check_user(f, "10.0.0.1", "one");
	check_user(f, "10.0.0.3", "three");
	/* Nothing is left, and an empty round is no commit. */
	cr_assert_eq(run(f), 0);
	cr_expect_eq(f->round.commits, 1);
	cr_expect_eq(f->completions, 4);
	end(f);
}

Test(round, gone_connections_complete_without)
{
	struct fixture *f = start(2);
	int other;

	submit(f, 0, 1, "10.0.0.1", "one");
	submit(f, 0, 2, "10.0.0.2", "two");
	ur_round_forget(&f->round, &other);
	ur_round_forget(&f->round, f);
	submit(f, 0, 3, "10.0.0.3", "three");
	cr_assert_eq(run(f), 0);
	cr_expect_eq(f->completions, 3);
	cr_expect_eq(f->without_conn, 2);
	check_user(f, "10.0.0.1", "one");
	end(f);
}

Test(round, take_back)
{
	struct fixture *f = start(2);

	ur_round_take_back(&f->round);
	submit(f, 0, 1, "10.0.0.1", "one");
	ur_round_take_back(&f->round);
	cr_expect_eq(f->round.batches, 0);
	cr_expect_eq(f->round.records, 0);
	cr_expect_null(f->round.first);
	submit(f, 0, 1, "10.0.0.2", "two");
	submit(f, 0, 2, "10.0.0.3", "three");
	ur_round_take_back(&f->round);
	submit(f, 0, 2, "10.0.0.4", "four");
	cr_assert_eq(run(f), 0);
	cr_expect_eq(f->completions, 2);
	check_user(f, "10.0.0.1", "");
	check_user(f, "10.0.0.2", "two");
	check_user(f, "10.0.0.3", "");
	check_user(f, "10.0.0.4", "four");
	end(f);
}

/* Nothing of a round that fails is seen, and it can be run again. */
Test(round, S06_failed_commit_is_tried_again)
{
	struct fixture *f = start(2);
	struct rlimit former, limit;

	submit(f, 0, 1, "10.0.0.1", "one");
	cr_assert_eq(run(f), 0);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &former);
	limit = former;
	limit.rlim_cur = 4096;
	setrlimit(RLIMIT_FSIZE, &limit);
	submit(f, 0, 2, "10.0.0.2", "two");
	submit(f, 0, 3, "192.0.2.1", "refused");
	for (int i = 0; i < 5; i++)
		cr_expect_lt(run(f), 0);
	setrlimit(RLIMIT_FSIZE, &former);
	cr_expect_eq(f->completions, 1);
	cr_expect_eq(f->round.commit_errors, 5);
	cr_expect_eq(durable(f, 0), 1);
	check_user(f, "10.0.0.1", "one");
	check_user(f, "10.0.0.2", "");
	cr_assert_eq(run(f), 0);
	cr_expect_eq(f->completions, 3);
	cr_expect_eq(f->refusals[2], 1);
	cr_expect_eq(f->round.total, 2);
	cr_expect_eq(f->round.total_rejected, 1);
	cr_expect_eq(durable(f, 0), 3);
	check_user(f, "10.0.0.2", "two");
	end(f);
}

/*
 * Stored, but the table does not take it (here it does not know the agent):
 * not completed, and the former user is not answered any more.
 */
Test(round, unpublished_answers_are_taken_back)
{
	struct fixture *f = start(1);

	submit(f, 0, 1, "10.0.0.1", "former");
	cr_assert_eq(run(f), 0);
	check_user(f, "10.0.0.1", "former");
	usleep(1000);
	submit(f, 1, 1, "10.0.0.1", "newer");
	submit(f, 0, 2, "10.0.0.2", "other");
	cr_expect_lt(run(f), 0);
	cr_expect_lt(run(f), 0);
	cr_expect(f->round.publish_failed);
	cr_expect_eq(f->completions, 1);
	check_user(f, "10.0.0.1", "");
	check_user(f, "10.0.0.2", "other");
	/* It is stored once; a new table brings it. */
	cr_expect_eq(f->round.commits, 2);
	cr_expect_eq(durable(f, 1), 1);
	cr_assert_eq(ur_table_add_agent(f->table, f->peers[1].id,
					f->peers[1].right->name,
					f->peers[1].right->name_size),
		     0);
	/* Taking back is for what is not stored. */
	ur_round_take_back(&f->round);
	f->round.publish_failed = false;
	cr_assert_eq(run(f), 0);
	cr_expect_eq(f->completions, 3);
	cr_expect_eq(f->round.commits, 2);
	end(f);
}
