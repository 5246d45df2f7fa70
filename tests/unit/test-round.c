/* SPDX-License-Identifier: BSD-2-Clause */
/* Group commit over a real store and a real table. */
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "rounds.h"
#include "store-private.h"

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
	cr_expect_eq(f->refused[2].code, UIDRECV_REJECT_ADDRESS_NOT_ALLOWED);
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

static struct ur_refusal many_refused[100];
static size_t many_count;

static void keep_refusals(void *owner, const struct ur_batch *batch,
			  const struct ur_refusal *refusals)
{
	(void)owner;
	many_count = batch->refusals_count;
	memcpy(many_refused, refusals, many_count * sizeof(*refusals));
}

/* Records are read some at a time; each keeps its place. */
Test(round, refusals_of_many_records_have_their_indexes)
{
	static const uint32_t refused[] = {0, 3, 15, 16, 17, 31, 32, 49};
	struct fixture *f = start(2);
	struct ur_batch batch = {.peer = &f->peers[0],
				 .conn = f,
				 .serial = 1,
				 .as_of_us = now_us(f),
				 .records_count = 50};
	struct ur_update_writer writer;
	struct ur_buf buf;
	char address[32];

	ur_buf_init(&buf, 65536);
	ur_update_begin(&writer, &buf, 1, 1, false, 0, 65536);
	for (uint32_t i = 0, next = 0; i < 50; i++) {
		bool is_refused = next < 8 && refused[next] == i;
		struct uidrecv_record record;

		next += is_refused;
		snprintf(address, sizeof(address), "%s.%u",
			 is_refused ? "192.0.2" : "10.0.0", i + 1);
		record = live_record(UIDRECV_OP_MAP, address, "u");
		cr_assert(ur_update_add(&writer, &record));
	}
	ur_update_end(&writer);
	cr_assert_eq(ur_round_submit(&f->round, &batch,
				     ur_buf_front(&buf) + UR_FRAME_HEADER,
				     buf.size - UR_FRAME_HEADER),
		     0);
	ur_buf_done(&buf);
	f->round.completed = keep_refusals;
	cr_assert_eq(run(f), 0);
	cr_assert_eq(many_count, 8);
	for (size_t i = 0; i < 8; i++)
		cr_expect_eq(many_refused[i].index, refused[i]);
	check_user(f, "10.0.0.50", "");
	check_user(f, "10.0.0.49", "u");
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

static int ignore(void *user, const struct ur_change *answer)
{
	(void)user;
	(void)answer;
	return 0;
}

static uint64_t life_of(struct fixture *f, const char *address)
{
	struct uidrecv_reader *reader;
	struct uidrecv_mapping mapping = {.user = ""};
	struct uidrecv_query query = {.has_port = false};

	uidrecv_address_parse(address, &query.address);
	cr_assert_eq(uidrecv_reader_open(&reader, f->path, NULL), 0);
	cr_assert_eq(uidrecv_reader_lookup(reader, &query, 0, &mapping), 1);
	uidrecv_reader_close(reader);
	return mapping.expires_in_ms;
}

/* In one round and one after the other. */
static void check_snapshot(struct fixture *f, bool in_one)
{
	submit(f, 0, 1, "10.0.0.1", "dropped");
	submit(f, 0, 2, "10.0.0.2", "old");
	cr_assert(in_one || run(f) == 0);
	submit_message(f, 0, 3, UR_SNAPSHOT_BEGIN, 0);
	submit(f, 0, 4, "10.0.0.2", "new");
	cr_assert(in_one || run(f) == 0);
	submit_message(f, 0, 5, UR_SNAPSHOT_END, 0);
	submit(f, 0, 6, "10.0.0.3", "after");
	submit_message(f, 0, 7, UR_REFRESH_ALL, 2);
	cr_assert_eq(run(f), 0);
	check_user(f, "10.0.0.1", "");
	check_user(f, "10.0.0.2", "new");
	check_user(f, "10.0.0.3", "after");
	cr_expect_eq(durable(f, 0), 7);
	cr_expect_eq(f->completions, 7);
}

Test(round, snapshots_are_published_in_their_order)
{
	struct fixture *f = start(2);
	uint64_t life_ms;

	check_snapshot(f, true);
	end(f);
	f = start(2);
	check_snapshot(f, false);
	usleep(200000);
	life_ms = life_of(f, "10.0.0.2");
	submit_message(f, 0, 8, UR_REFRESH_ALL, 2);
	cr_assert_eq(run(f), 0);
	cr_expect(f->is_taken);
	cr_expect_geq(life_of(f, "10.0.0.2"), life_ms + 100);
	end(f);
}

static void limit_files(struct rlimit *former)
{
	struct rlimit limit;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, former);
	limit = *former;
	limit.rlim_cur = 4096;
	setrlimit(RLIMIT_FSIZE, &limit);
}

Test(round, S06_a_failed_commit_of_an_end_drops_nothing)
{
	struct fixture *f = start(2);
	struct rlimit former;

	submit(f, 0, 1, "10.0.0.1", "one");
	submit_message(f, 0, 2, UR_SNAPSHOT_BEGIN, 0);
	submit(f, 0, 3, "10.0.0.2", "two");
	cr_assert_eq(run(f), 0);
	limit_files(&former);
	submit_message(f, 0, 4, UR_SNAPSHOT_END, 0);
	submit_message(f, 0, 5, UR_REFRESH_ALL, 1);
	for (int i = 0; i < 3; i++) {
		cr_expect_lt(run(f), 0);
		check_user(f, "10.0.0.1", "one");
		cr_expect_eq(durable(f, 0), 3);
	}
	setrlimit(RLIMIT_FSIZE, &former);
	cr_expect_eq(f->completions, 3);
	cr_assert_eq(run(f), 0);
	cr_expect_eq(f->completions, 5);
	cr_expect_eq(f->ending, UR_ENDING_DROPPED);
	cr_expect(f->is_taken);
	check_user(f, "10.0.0.1", "");
	end(f);
}

/*
 * The store says that it failed, and it was done: nobody has listed what it
 * dropped, so nothing is published but by a new table.
 */
Test(round, S09_a_failed_commit_that_was_done_is_published_anew)
{
	struct fixture *f = start(2);
	struct ur_change change;

	submit(f, 0, 1, "10.0.0.1", "one");
	submit_message(f, 0, 2, UR_SNAPSHOT_BEGIN, 0);
	cr_assert_eq(run(f), 0);
	cr_assert_eq(ur_store_begin(f->store), 0);
	cr_assert_eq(ur_store_end_snapshot(f->store, f->peers[0].id, 0, 0, true,
					   now_us(f), &f->ending),
		     0);
	cr_assert_eq(ur_store_commit(f->store, now_us(f), NOW), 0);
	while (ur_store_next_change(f->store, &change) == 1)
		;
	f->store->txnid--;
	cr_assert_eq(ur_store_env_reopen(f->store), 0);
	submit_message(f, 0, 3, UR_SNAPSHOT_END, 0);
	cr_expect_lt(run(f), 0);
	cr_expect(f->round.publish_failed);
	cr_expect_eq(f->completions, 2);
	/* It is tried again until there is one. */
	f->round.publish_failed = false;
	cr_expect_lt(run(f), 0);
	cr_expect(f->round.publish_failed);
	cr_assert_eq(ur_store_scan(f->store, now_us(f), ignore, NULL), 0);
	f->round.publish_failed = false;
	cr_assert_eq(run(f), 0);
	cr_expect_eq(f->completions, 3);
	end(f);
}

/* Each count is a walk through the whole store. */
Test(round, an_agent_is_counted_once_in_ten_seconds)
{
	struct fixture *f = start(2);
	uint64_t start_us, wanted;

	submit_message(f, 0, 1, UR_SNAPSHOT_BEGIN, 0);
	submit_message(f, 0, 2, UR_SNAPSHOT_END, 0);
	submit_message(f, 1, 1, UR_SNAPSHOT_BEGIN, 0);
	submit_message(f, 1, 2, UR_SNAPSHOT_END, 0);
	cr_assert_eq(run(f), 0);
	/* Each has one that dies in a second or so, again and again. */
	start_us = now_us(f);
	for (uint64_t i = 0; i < 4; i++) {
		static const uint64_t after_us[] = {0, 5000000, 9900000,
						    10000000};
		uint64_t at_us = start_us + after_us[i];

		for (uint32_t id = 1; id <= 2; id++)
			ur_store_agent_at(f->store, id)->counts.next_death_us =
			    0;
		submit_message(f, 0, 3 + i, UR_REFRESH_ALL, 0);
		if (i == 1)
			submit_message(f, 1, 3, UR_REFRESH_ALL, 0);
		cr_assert_eq(ur_round_run(&f->round, at_us, NOW), 0);
		wanted = ur_store_get_agent_by_id(f->store, f->peers[0].id)
			     ->epochs.wanted;
		cr_expect_eq(wanted, i == 0 ? 0 : UIDRECV_RESYNC_BUSY);
		cr_expect_eq(f->is_taken, i == 0 || i == 1 || i == 3);
	}
	/* A clock that is behind allows no more. */
	ur_store_agent_at(f->store, 1)->counts.next_death_us = 0;
	submit_message(f, 0, 7, UR_REFRESH_ALL, 0);
	cr_assert_eq(ur_round_run(&f->round, start_us + 5000000, NOW), 0);
	cr_expect_not(f->is_taken);
	end(f);
}

/* One may have died since the living were last counted. */
static int run_at(struct fixture *f, uint64_t at_us)
{
	ur_store_agent_at(f->store, 1)->counts.next_death_us = 0;
	return ur_round_run(&f->round, at_us, NOW);
}

/* A second snapshot that says as much as the first, of another address. */
static void submit_second(struct fixture *f, uint64_t at_us)
{
	submit(f, 0, 1, "10.0.0.1", "one");
	submit_message(f, 0, 2, UR_SNAPSHOT_BEGIN, 0);
	submit(f, 0, 3, "10.0.0.1", "one");
	submit_message(f, 0, 4, UR_SNAPSHOT_END, 0);
	submit_message(f, 0, 5, UR_REFRESH_ALL, 1);
	cr_assert_eq(run_at(f, at_us), 0);
	cr_assert(f->is_taken);
	submit_message(f, 0, 6, UR_SNAPSHOT_BEGIN, 0);
	submit(f, 0, 7, "10.0.0.2", "two");
	cr_assert_eq(run_at(f, at_us + 1000000), 0);
	submit_message(f, 0, 8, UR_SNAPSHOT_END, 0);
}

Test(round, an_end_is_judged_whatever_else_has_been_counted)
{
	struct fixture *f = start(2);
	uint64_t at_us = now_us(f);

	submit_second(f, at_us);
	cr_assert_eq(run_at(f, at_us + 2000000), 0);
	cr_expect_eq(f->ending, UR_ENDING_DROPPED);
	submit_message(f, 0, 9, UR_REFRESH_ALL, 1);
	cr_assert_eq(run_at(f, at_us + 3000000), 0);
	cr_expect_not(f->is_taken, "it was counted for one 3 seconds ago");
	submit_message(f, 0, 10, UR_SNAPSHOT_BEGIN, 0);
	submit_message(f, 0, 11, UR_SNAPSHOT_END, 0);
	cr_assert_eq(run_at(f, at_us + 4000000), 0);
	cr_expect_eq(f->ending, UR_ENDING_REFUSED);
	submit_message(f, 0, 12, UR_SNAPSHOT_BEGIN, 0);
	submit_message(f, 0, 13, UR_SNAPSHOT_END, 0);
	cr_assert_eq(run_at(f, at_us + 12000000), 0);
	cr_expect_eq(f->ending, UR_ENDING_HELD);
	end(f);
}

Test(round, what_was_counted_for_a_failed_commit_is_counted_again)
{
	struct fixture *f = start(2);
	uint64_t at_us = now_us(f);
	struct rlimit former;

	submit_second(f, at_us);
	limit_files(&former);
	cr_expect_lt(run_at(f, at_us + 2000000), 0);
	setrlimit(RLIMIT_FSIZE, &former);
	cr_assert_eq(run_at(f, at_us + 3000000), 0);
	cr_expect_eq(f->ending, UR_ENDING_DROPPED);
	end(f);
}

/* The agent has said it, and says it again; nothing else has happened. */
Test(round, S06_what_was_lent_in_a_failed_commit_stays)
{
	struct fixture *f = start(2);
	struct uidrecv_record refresh =
	    live_record(UIDRECV_OP_REFRESH, "10.0.0.1", NULL);
	struct rlimit former;
	uint64_t life_ms;

	ur_round_lend(&f->round);
	submit(f, 0, 1, "10.0.0.1", "one");
	cr_assert_eq(run(f), 0);
	usleep(300000);
	life_ms = life_of(f, "10.0.0.1");
	limit_files(&former);
	submit_record(f, 0, 2, &refresh);
	submit(f, 0, 3, "10.0.0.2", "two");
	for (int i = 0; i < 3; i++) {
		cr_expect_lt(run(f), 0);
		cr_expect_geq(life_of(f, "10.0.0.1"), life_ms + 100);
		check_user(f, "10.0.0.2", "");
		cr_expect_eq(durable(f, 0), 1);
	}
	setrlimit(RLIMIT_FSIZE, &former);
	cr_assert_eq(run(f), 0);
	cr_expect_eq(f->completions, 3);
	cr_expect_eq(f->round.total, 3);
	cr_expect_geq(life_of(f, "10.0.0.1"), life_ms + 100);
	check_user(f, "10.0.0.2", "two");
	cr_expect_eq(durable(f, 0), 3);
	end(f);
}

/* A serial is never later than its ACK, whatever else is. */
Test(round, the_serial_of_what_is_lent_is_stored)
{
	struct fixture *f = start(2);
	struct uidrecv_record refresh =
	    live_record(UIDRECV_OP_REFRESH, "10.0.0.1", "one");
	uint64_t puts;

	ur_round_lend(&f->round);
	submit(f, 0, 1, "10.0.0.1", "one");
	cr_assert_eq(run(f), 0);
	for (uint64_t serial = 2; serial < 50; serial++)
		submit_record(f, 0, serial, &refresh);
	puts = f->store->puts;
	cr_assert_eq(run(f), 0);
	cr_expect_eq(durable(f, 0), 49);
	cr_expect_eq(f->round.commits, 2);
	cr_expect_eq(f->completions, 49);
	/* No cell was written, and the count is of cells. */
	cr_expect_eq(puts, 1);
	cr_expect_eq(f->store->puts, 0);
	end(f);
}
