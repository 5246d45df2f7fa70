/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the store does about lives that it does not have: whom it lets lend, and
 * where it asks. Readers are an array here; agents 1 and 2 have one priority,
 * 3 a greater one.
 */
#include "store-private.h"
#include "systems.h"

#define PLACES 8
#define LIFE 3600

static struct box box;

static struct {
	bool lends;
	uint64_t lent_us[PLACES]; /* of agent 1 */
	unsigned int asked;	  /* to lend */
	uint32_t epoch;		  /* the last time */
} readers;

static bool renew(void *user, uint32_t agent, uint32_t epoch,
		  const struct ur_statement *statement, uint64_t now_us)
{
	cr_assert_eq(user, &box);
	cr_assert_eq(agent, 1);
	cr_assert_geq(now_us, START);
	readers.asked++;
	readers.epoch = epoch;
	if (readers.lends)
		readers.lent_us[statement->address.lo % PLACES] =
		    statement->as_of_us + LIFE * SECOND;
	return readers.lends;
}

static uint64_t get(void *user, struct uidrecv_address address,
		    const struct ur_claim *claim)
{
	cr_assert_eq(user, &box);
	return claim->agent == 1 ? readers.lent_us[address.lo % PLACES] : 0;
}

static void use_readers(bool are_there)
{
	ur_store_set_lives(box.store,
			   are_there ? (struct ur_store_lives){renew, get, &box}
				     : (struct ur_store_lives){0});
}

static void start(void)
{
	memset(&readers, 0, sizeof(readers));
	readers.lends = true;
	box_start(&box);
	use_readers(true);
}

static void done(void)
{
	box_done(&box);
}

TestSuite(store_lives, .init = start, .fini = done, .timeout = 200);

static struct ur_statement map_at(uint32_t ipv4, uint64_t now)
{
	return at(say(UIDRECV_OP_MAP, "ada", now, now, LIFE), ipv4);
}

static struct ur_statement refresh_at(uint32_t ipv4, uint64_t now)
{
	return at(say(UIDRECV_OP_REFRESH, NULL, now, now, 0), ipv4);
}

static void tell(uint32_t agent, struct ur_statement statement, uint64_t now)
{
	struct ur_change change;

	cr_assert_eq(box_tell(&box, statement, agent, now), 0);
	while (ur_store_next_change(box.store, &change) == 1)
		;
}

static void begin(void)
{
	cr_assert_eq(ur_store_begin(box.store), 0);
}

static void commit(uint64_t now)
{
	struct ur_change change;

	cr_assert_eq(ur_store_commit(box.store, START + now * SECOND,
				     START + now * SECOND),
		     0);
	while (ur_store_next_change(box.store, &change) == 1)
		;
}

/* In a round: how often was asked to lend by the REFRESH. */
static unsigned int refresh(uint32_t ipv4, uint64_t now)
{
	struct ur_statement statement = refresh_at(ipv4, now);
	unsigned int asked = readers.asked;

	cr_assert_eq(
	    ur_store_apply(box.store, 1, 100, &statement, START + now * SECOND),
	    0);
	return readers.asked - asked;
}

static uint64_t commits(void)
{
	struct ur_store_stats stats;

	ur_store_get_stats(box.store, &stats);
	return stats.commits;
}

/* The end of a life, in seconds after START; as it is written. */
static uint64_t ends(uint32_t ipv4, uint64_t now)
{
	struct box_find find = box_answer(&box, ipv4, now);

	return find.found ? (find.deadline_us - START) / SECOND : 0;
}

static uint64_t written(uint32_t ipv4, uint64_t now)
{
	uint64_t s;

	use_readers(false);
	s = ends(ipv4, now);
	use_readers(true);
	return s;
}

Test(store_lives, what_is_lent_is_not_written)
{
	uint64_t before;

	tell(1, map_at(1, 0), 0);
	before = commits();
	begin();
	cr_expect_eq(refresh(1, 100), 1);
	commit(100);
	cr_expect_eq(commits(), before);
	cr_expect_eq(written(1, 100), LIFE);
	cr_expect_eq(ends(1, 100), LIFE + 100);
}

Test(store_lives, what_is_not_lent_is_written)
{
	tell(1, map_at(1, 0), 0);
	readers.lends = false;
	tell(1, refresh_at(1, 100), 100);
	cr_expect_eq(readers.asked, 1);
	cr_expect_eq(written(1, 100), LIFE + 100);
}

Test(store_lives, a_MAP_asks_for_none)
{
	tell(1, map_at(1, 0), 0);
	tell(1, map_at(1, 0), 100);
	cr_expect_eq(readers.asked, 0);
}

Test(store_lives, an_as_of_time_before_a_REFRESH_ALL_is_that)
{
	bool is_taken;
	enum ur_ending ending;

	begin();
	cr_assert_eq(ur_store_begin_snapshot(box.store, 1), 0);
	cr_assert_eq(
	    ur_store_end_snapshot(box.store, 1, 0, 0, true, START, &ending), 0);
	commit(0);
	tell(1, map_at(1, 0), 0);
	begin();
	cr_assert_eq(ur_store_refresh_all(box.store, 1, START + 50 * SECOND, 1,
					  true, START + 50 * SECOND, &is_taken),
		     0);
	cr_assert(is_taken);
	/* Readers do not know of it yet. */
	cr_expect_eq(refresh(1, 40), 0);
	commit(50);
	begin();
	cr_expect_eq(refresh(1, 40), 1);
	cr_expect_eq(readers.lent_us[1], START + (50 + LIFE) * SECOND);
	cr_expect_eq(readers.epoch, 1);
	commit(50);
}

Test(store_lives, an_address_that_the_round_has_changed_is_not_lent)
{
	struct ur_statement map = map_at(1, 10);

	tell(1, map_at(1, 0), 0);
	tell(1, map_at(2, 0), 0);
	begin();
	cr_assert_eq(
	    ur_store_apply(box.store, 1, 100, &map, START + 10 * SECOND), 0);
	cr_expect_eq(refresh(1, 20), 0);
	cr_expect_eq(refresh(2, 20), 1);
	ur_store_abort(box.store);
	begin();
	cr_expect_eq(refresh(1, 30), 1);
	commit(30);
}

Test(store_lives, an_agent_whose_epoch_the_round_began_is_lent_nothing)
{
	tell(1, map_at(1, 0), 0);
	begin();
	cr_assert_eq(ur_store_begin_snapshot(box.store, 1), 0);
	cr_expect_eq(refresh(1, 20), 0);
	commit(20);
	begin();
	cr_expect_eq(refresh(1, 30), 1);
	cr_expect_eq(readers.epoch, 1);
	commit(30);
}

Test(store_lives, nothing_is_lent_before_readers_know_what_changed)
{
	struct ur_statement map = map_at(1, 0);
	struct ur_change change;

	tell(1, map_at(2, 0), 0);
	cr_assert_eq(box_tell(&box, map, 1, 0), 0);
	begin();
	cr_expect_eq(refresh(2, 20), 0);
	cr_assert_eq(ur_store_commit(box.store, START + 20 * SECOND, START), 0);
	while (ur_store_next_change(box.store, &change) == 1)
		;
	begin();
	cr_expect_eq(refresh(2, 30), 1);
	commit(30);
	box.store->has_lost_changes = true;
	begin();
	cr_expect_eq(refresh(2, 40), 0);
	commit(40);
}

Test(store_lives, nothing_is_lent_in_the_round_of_a_system)
{
	struct uidrecv_system system = system_at(1, 0);

	tell(1, map_at(1, 0), 0);
	begin();
	cr_assert_eq(ur_store_put_system(box.store, 2, &system, START + SECOND),
		     0);
	cr_expect_eq(refresh(1, 20), 0);
	commit(20);
}

/* Whoever writes the address writes it all. */
Test(store_lives, another_agent_writes_what_was_lent)
{
	tell(1, map_at(1, 0), 0);
	begin();
	cr_assert_eq(refresh(1, 100), 1);
	commit(100);
	tell(2, map_at(1, 110), 110);
	tell(2, at(say(UIDRECV_OP_WITHDRAW, NULL, 120, 120, 0), 1), 120);
	cr_expect_eq(written(1, 130), LIFE + 100);
}

Test(store_lives, what_is_listed_says_what_is_written)
{
	struct ur_change change;

	tell(1, map_at(1, 0), 0);
	tell(2, map_at(1, 0), 0);
	begin();
	cr_assert_eq(refresh(1, 100), 1);
	commit(100);
	/* The watch goes by what is written, and finds that it lives. */
	readers.lent_us[1] = START + 2 * LIFE * SECOND;
	cr_assert_eq(ur_store_settle(box.store, 10, START + LIFE * SECOND), 0);
	cr_assert_eq(ur_store_next_change(box.store, &change), 1);
	cr_expect_eq(change.agent, 1);
	cr_expect_eq(change.kept_us, START + LIFE * SECOND);
	cr_expect_eq(change.deadline_us, START + 2 * LIFE * SECOND);
	cr_assert_eq(ur_store_next_change(box.store, &change), 0);
	cr_assert_eq(box_tell(&box, map_at(1, LIFE), 2, LIFE), 0);
	cr_assert_eq(ur_store_next_change(box.store, &change), 1);
	cr_expect_eq(change.kept_us, change.deadline_us);
}

Test(store_lives, a_runner_up_waits_for_the_end_of_what_was_lent)
{
	struct ur_change change;

	tell(2, map_at(1, 0), 0);
	tell(1, map_at(1, 1), 1);
	tell(2, at(say(UIDRECV_OP_MAP, "ada", 0, 400, LIFE), 1), 400);
	begin();
	cr_assert_eq(refresh(1, 300), 1);
	commit(300);
	cr_assert_eq(
	    ur_store_settle(box.store, 10, START + (LIFE + 300) * SECOND - 1),
	    0);
	while (ur_store_next_change(box.store, &change) == 1)
		cr_expect_eq(change.agent, 1);
	cr_assert_eq(
	    ur_store_settle(box.store, 10, START + (LIFE + 300) * SECOND), 0);
	cr_assert_eq(ur_store_next_change(box.store, &change), 1);
	cr_expect_eq(change.agent, 2);
}

static bool collects(uint64_t now)
{
	return ur_store_collect(box.store, 100, START + now * SECOND, START) >
	       0;
}

Test(store_lives, lent_lives_are_not_collected_and_count)
{
	struct ur_statement other = map_at(2, LIFE + 50);
	int rc;

	tell(1, map_at(1, 0), 0);
	begin();
	cr_assert_eq(refresh(1, 100), 1);
	commit(100);
	cr_expect_not(collects(LIFE + 50));
	begin();
	rc = ur_store_apply(box.store, 1, 1, &other,
			    START + (LIFE + 50) * SECOND);
	cr_expect_eq(rc, UIDRECV_REJECT_QUOTA);
	commit(LIFE + 50);
	cr_expect_eq((ur_store_get_oldest_us(box.store, 1) - START) / SECOND,
		     100);
	cr_expect(collects(LIFE + 100));
	cr_expect_eq(ends(1, LIFE + 100), 0);
}

Test(store_lives, what_a_snapshot_dropped_is_lent_nothing)
{
	enum ur_ending ending;

	tell(1, map_at(1, 0), 0);
	begin();
	cr_assert_eq(refresh(1, 100), 1);
	cr_assert_eq(ur_store_begin_snapshot(box.store, 1), 0);
	cr_assert_eq(ur_store_end_snapshot(box.store, 1, 0, 0, true,
					   START + 100 * SECOND, &ending),
		     0);
	commit(100);
	cr_expect_eq(ends(1, 100), 0);
	cr_expect(collects(100));
}

static bool keep(void *user, uint32_t agent, struct uidrecv_address address,
		 const struct ur_claim *claim)
{
	(void)user;
	(void)agent;
	(void)address;
	(void)claim;
	return true;
}

/* By another list another one may answer, to whom nothing was lent. */
Test(store_lives, a_new_list_writes_what_was_lent_where_others_spoke)
{
	tell(1, map_at(1, 0), 0);
	tell(2, map_at(1, 0), 0);
	tell(1, map_at(2, 0), 0);
	tell(1, map_at(3, 0), 0);
	tell(2, at(say(UIDRECV_OP_LOGOUT, "eve", 0, 0, 0), 3), 0);
	begin();
	for (uint32_t i = 1; i <= 3; i++)
		cr_assert_eq(refresh(i, 100), 1);
	commit(100);
	box_restrict(&box, START + 100 * SECOND, ranks, keep, NULL);
	memset(readers.lent_us, 0, sizeof(readers.lent_us));
	tell(2, at(say(UIDRECV_OP_WITHDRAW, NULL, 110, 110, 0), 1), 110);
	cr_expect_eq(ends(1, 110), LIFE + 100);
	cr_expect_eq(ends(2, 110), LIFE);
	cr_expect_eq(ends(3, 110), LIFE + 100);
}

Test(store_lives, a_system_takes_the_address_but_not_what_was_lent)
{
	tell(1, map_at(1, 0), 0);
	begin();
	cr_assert_eq(refresh(1, 100), 1);
	commit(100);
	cr_assert_eq(box_put(&box, 2, system_at(1, 0), 110), 0);
	memset(readers.lent_us, 0, sizeof(readers.lent_us));
	cr_assert_eq(box_put(&box, 2, system_at(7, 0), 120), 0);
	cr_expect_eq(ends(1, 130), LIFE + 100);
}
