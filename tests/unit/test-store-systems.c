/* SPDX-License-Identifier: BSD-2-Clause */
/* Multi-user systems in the store, and the addresses that they have. */
#include <errno.h>

#include "systems.h"

static struct box box;
static const uint32_t host = 0x0a010203, alias = 0x0a010204;

static void start(void)
{
	box_start(&box);
}

static void done(void)
{
	box_done(&box);
}

TestSuite(store_systems, .init = start, .fini = done, .timeout = 200);

static void check(uint32_t ipv4, uint64_t now, const char *text)
{
	cr_assert_str_eq(box_see(&box, ip(ipv4), now).text, text);
}

static struct ur_statement whole(const char *user, uint32_t lifetime_s)
{
	return at(say(UIDRECV_OP_MAP, user, 1, 1, lifetime_s), host);
}

static int find(uint32_t agent, uint32_t ipv4, uint16_t port, uint32_t count)
{
	struct uidrecv_address key = {0, 0};
	int rc = ur_store_find_block(box.store, agent, ip(ipv4),
				     (struct uidrecv_ports){port, count}, &key);

	if (rc == 0) {
		cr_assert(ur_block_is_key(key));
		cr_assert_eq(ur_block_agent(key), agent);
		cr_assert_eq(ur_block_start(key), port);
	}
	return rc;
}

Test(store_systems, T02_blocks_that_are_none_are_refused)
{
	struct uidrecv_system system = system_at(host, alias);

	cr_assert_eq(find(1, host, 20000, 200), UIDRECV_REJECT_NOT_MULTI_USER);
	system.reserved[0] = (struct uidrecv_ports){20400, 1};
	system.reserved_count = 1;
	cr_assert_eq(box_put(&box, 1, system, 1), 0);
	cr_assert_eq(box_put(&box, 2, system_at(99, 0), 1), 0);
	cr_assert_eq(find(1, host, 20000, 200), 0);
	cr_assert_eq(find(1, alias, 20000, 200), 0);
	cr_assert_eq(find(1, alias, 20800, 200), 0);
	cr_assert_eq(find(1, host, 20000, 0), UIDRECV_REJECT_PORTS_INVALID);
	cr_assert_eq(find(1, host, 20000, 199), UIDRECV_REJECT_PORTS_INVALID);
	cr_assert_eq(find(1, host, 20000, 400), UIDRECV_REJECT_PORTS_INVALID);
	cr_assert_eq(find(1, host, 20001, 200), UIDRECV_REJECT_PORTS_INVALID);
	cr_assert_eq(find(1, host, 19800, 200), UIDRECV_REJECT_PORTS_INVALID);
	cr_assert_eq(find(1, host, 21000, 200), UIDRECV_REJECT_PORTS_INVALID);
	cr_assert_eq(find(1, host, 65400, 200), UIDRECV_REJECT_PORTS_INVALID);
	cr_assert_eq(find(1, host, 20400, 200), UIDRECV_REJECT_PORTS_INVALID);
	cr_assert_eq(find(1, 99, 20000, 200), UIDRECV_REJECT_NOT_MULTI_USER);
	cr_assert_eq(find(2, host, 20000, 200), UIDRECV_REJECT_NOT_MULTI_USER);
	cr_assert_eq(find(3, host, 20000, 200), UIDRECV_REJECT_NOT_MULTI_USER);
	cr_assert_eq(find(99, host, 20000, 200), UIDRECV_REJECT_NOT_MULTI_USER);
}

Test(store_systems, T02_a_system_that_cannot_be_changes_nothing)
{
	struct uidrecv_system system = system_at(host, 0);
	struct ur_store_stats stats;

	system.block_size = 1001;
	cr_assert_eq(box_put(&box, 1, system, 1), UIDRECV_REJECT_PORTS_INVALID);
	cr_assert_null(ur_store_get_system(box.store, 1));
	ur_store_get_stats(box.store, &stats);
	cr_assert_eq(stats.commits, 5, "%ju", (uintmax_t)stats.commits);
	box_expect_end(&box);
	cr_assert_eq(ur_store_put_system(box.store, 1, &system, START),
		     -EINVAL);
	cr_assert_eq(ur_store_begin(box.store), 0);
	cr_assert_eq(ur_store_put_system(box.store, 0, &system, START),
		     -EINVAL);
	cr_assert_eq(ur_store_put_system(box.store, 6, &system, START),
		     -EINVAL);
	cr_assert_eq(ur_store_commit(box.store, START, START), 0);
}

/* Steps of the tests below, each in a round of its own. */
enum step { OTHERS_CLAIM, OWN_CLAIM, SENTINEL, BLOCK, STEPS };

static void take_step(enum step step, bool is_system)
{
	switch (step) {
	case OTHERS_CLAIM:
		cr_assert_eq(box_tell(&box, whole("other", 600), 4, 1), 0);
		break;
	case OWN_CLAIM:
		cr_assert_eq(box_tell(&box, whole("own", 900), 1, 1), 0);
		break;
	case SENTINEL:
		cr_assert_eq(box_put(&box, 1, system_at(host, alias), 1), 0);
		break;
	default:
		if (!is_system)
			break;
		cr_assert_eq(box_tell(&box, map_block(1, 20200, "u"), 1, 1), 0);
	}
}

/* What lookups of the host see by changes alone. */
static void follow(char text[64])
{
	struct ur_change change;

	while (ur_store_next_change(box.store, &change) == 1)
		if (change.address.hi == ip(host).hi &&
		    change.address.lo == ip(host).lo)
			box_text(&change, text);
}

static void check_step(const char *expected, const char *shown)
{
	cr_assert_str_eq(shown, expected);
	check(host, 1, expected);
	box_close(&box);
	cr_assert_eq(box_open(&box), 0);
	check(host, 1, expected);
}

static void run_order(const enum step order[STEPS])
{
	bool did[STEPS] = {false};
	char shown[64] = "";

	for (int i = 0; i < STEPS; i++) {
		take_step(order[i], did[SENTINEL]);
		did[order[i]] = true;
		follow(shown);
		check_step(did[SENTINEL]       ? SYSTEM_1
			   : did[OTHERS_CLAIM] ? "other"
			   : did[OWN_CLAIM]    ? "own"
					       : "",
			   shown);
	}
	/* Nothing that happens to the claims shows. */
	cr_assert_eq(box_tell(&box, whole("another", 700), 4, 2), 0);
	cr_assert_geq(ur_store_collect(box.store, 99, START, START), 0);
	cr_assert_eq(ur_store_settle(box.store, 99, START + 2 * SECOND), 0);
	follow(shown);
	check_step(SYSTEM_1, shown);
	/* When it goes elsewhere, who answers is who is best. */
	cr_assert_eq(box_put(&box, 1, system_at(alias, 0), 2), 0);
	follow(shown);
	check_step("another", shown);
	check(alias, 2, SYSTEM_1);
	cr_assert_eq(ur_store_settle(box.store, 99, START + 702 * SECOND), 0);
	follow(shown);
	cr_assert_str_eq(shown, "own");
}

Test(store_systems, T07_no_whole_address_claim_answers_whatever_the_order)
{
	for (int i = 0; i < STEPS * STEPS * STEPS * STEPS; i++) {
		enum step order[STEPS] = {i % STEPS, i / STEPS % STEPS,
					  i / STEPS / STEPS % STEPS,
					  i / STEPS / STEPS / STEPS};
		unsigned int seen = 0;

		for (int j = 0; j < STEPS; j++)
			seen |= 1u << order[j];
		if (seen != (1u << STEPS) - 1)
			continue;
		run_order(order);
		box_done(&box);
		box_start(&box);
	}
}

static bool keep_all(void *user, uint32_t agent, struct uidrecv_address address,
		     const struct ur_claim *claim)
{
	(void)user;
	(void)agent;
	(void)claim;
	return address.lo != ip(host).lo;
}

/* Whoever changes the cell tells of the system again. */
Test(store_systems, T07_collecting_and_restricting_do_not_show_claims)
{
	cr_assert_eq(box_put(&box, 1, system_at(host, 0), 1), 0);
	box_tell(&box, whole("other", 10), 4, 1);
	box_tell(&box, whole("low", 3000), 2, 1);
	box_skip(&box);
	cr_assert_eq(
	    ur_store_collect(box.store, 99, START + 20 * SECOND, START), 1);
	box_expect(&box, ip(host), SYSTEM_1);
	box_expect_end(&box);
	box_restrict(&box, START, ranks, keep_all, NULL);
	box_expect(&box, ip(host), SYSTEM_1);
	box_expect_end(&box);
	cr_assert_eq(box_row(&box, 2)->claims, 0);
	check(host, 20, SYSTEM_1);
}

/* An address is watched for a runner-up, but not while it has a system. */
Test(store_systems, T07_runners_up_wait_for_the_end_of_the_system)
{
	struct ur_store_stats stats;

	box_tell(&box, whole("top", 10), 4, 1);
	box_tell(&box, whole("low", 60), 2, 1);
	cr_assert_eq(box_put(&box, 1, system_at(host, 0), 1), 0);
	ur_store_get_stats(box.store, &stats);
	cr_assert_eq(stats.contended, 0);
	box_tell(&box, whole("mid", 50), 3, 1);
	check(host, 1, SYSTEM_1);
	ur_store_get_stats(box.store, &stats);
	cr_assert_eq(stats.contended, 0);
	box_skip(&box);
	cr_assert_eq(ur_store_settle(box.store, 9, START + 20 * SECOND), 0);
	box_expect_end(&box);
	cr_assert_eq(box_put(&box, 1, system_at(alias, 0), 20), 0);
	box_expect(&box, ip(alias), SYSTEM_1);
	box_expect(&box, ip(host), "mid");
	box_expect_end(&box);
	cr_assert_eq(ur_store_settle(box.store, 9, START + 55 * SECOND), 0);
	box_expect(&box, ip(host), "low");
}

Test(store_systems, T07_every_address_is_told_once_with_a_cell_or_without)
{
	static const uint8_t bytes[16] = {0x20, 1, 0xd, 0xb8};
	struct uidrecv_system system = system_at(host, alias);
	struct uidrecv_address six = uidrecv_address_from_ipv6(bytes);

	system.aliases[1] = six;
	system.aliases_count = 2;
	cr_assert_eq(box_put(&box, 1, system, 1), 0);
	cr_assert_eq(box_put(&box, 2, system_at(99, 0), 1), 0);
	box_tell(&box, whole("other", 600), 4, 1);
	box_tell(&box, map_block(1, 20200, "u"), 1, 1);
	box_tell(&box, at(whole("single", 600), 5), 4, 1);
	for (int i = 0; i < 2; i++) {
		struct box_seen seen = box_see(&box, six, 2);

		cr_assert_str_eq(seen.text, SYSTEM_1);
		cr_assert_eq(seen.count, 6);
		check(host, 2, SYSTEM_1);
		check(alias, 2, SYSTEM_1);
		check(99, 2, "<2: 20000+1000 by 200>");
		check(5, 2, "single");
		cr_assert_str_eq(box_see(&box, ur_block_key(1, 20200), 2).text,
				 "u");
		box_close(&box);
		cr_assert_eq(box_open(&box), 0);
	}
	cr_assert_eq(ur_store_get_system(box.store, 1)->aliases_count, 2);
}

Test(store_systems, T09_one_taken_alias_refuses_all)
{
	struct uidrecv_system system = system_at(200, alias);

	cr_assert_eq(box_put(&box, 1, system_at(host, alias), 1), 0);
	box_skip(&box);
	cr_assert_eq(box_put(&box, 2, system, 2), UIDRECV_REJECT_ADDRESS_TAKEN);
	cr_assert_eq(box_put(&box, 2, system_at(host, 0), 2),
		     UIDRECV_REJECT_ADDRESS_TAKEN);
	box_expect_end(&box);
	cr_assert_null(ur_store_get_system(box.store, 2));
	check(200, 2, "");
	/* Whoever has one already keeps all of it. */
	cr_assert_eq(box_put(&box, 2, system_at(300, 301), 2), 0);
	cr_assert_eq(box_put(&box, 2, system, 2), UIDRECV_REJECT_ADDRESS_TAKEN);
	check(301, 2, "<2: 20000+1000 by 200>");
	/* Within one round, in the order of what is said. */
	cr_assert_eq(ur_store_begin(box.store), 0);
	cr_assert_eq(ur_store_put_system(box.store, 2, &system, START),
		     UIDRECV_REJECT_ADDRESS_TAKEN);
	system = system_at(host, 0);
	cr_assert_eq(ur_store_put_system(box.store, 1, &system, START), 0);
	system = system_at(200, alias);
	cr_assert_eq(ur_store_put_system(box.store, 2, &system, START), 0);
	cr_assert_eq(ur_store_get_system(box.store, 2)->address.lo, ip(200).lo);
	cr_assert_eq(ur_store_commit(box.store, START, START), 0);
	check(alias, 2, "<2: 20000+1000 by 200>");
	check(301, 2, "");
	check(host, 2, SYSTEM_1);
	box_close(&box);
	cr_assert_eq(box_open(&box), 0);
	check(alias, 2, "<2: 20000+1000 by 200>");
	cr_assert_eq(find(2, alias, 20000, 200), 0);
	cr_assert_eq(find(2, 301, 20000, 200), UIDRECV_REJECT_NOT_MULTI_USER);
}

/* Only what differs is told. */
Test(store_systems, the_same_again_changes_nothing)
{
	struct uidrecv_system system = system_at(host, alias);
	struct ur_store_stats before, after;

	system.aliases[1] = ip(7);
	system.aliases_count = 2;
	cr_assert_eq(box_put(&box, 1, system, 1), 0);
	cr_assert_eq(box_tell(&box, map_block(1, 20200, "u"), 1, 1), 0);
	box_skip(&box);
	ur_store_get_stats(box.store, &before);
	cr_assert_eq(box_put(&box, 1, system, 2), 0);
	system.aliases[0] = ip(7);
	system.aliases[1] = ip(alias);
	system.aliases[2] = ip(host);
	system.aliases_count = 3;
	cr_assert_eq(box_put(&box, 1, system, 2), 0);
	ur_store_get_stats(box.store, &after);
	cr_assert_eq(after.commits, before.commits);
	box_expect_end(&box);
	cr_assert_eq(box_row(&box, 1)->claims, 1);
}

Test(store_systems, another_alias_ends_no_block_and_is_told_alone)
{
	cr_assert_eq(box_put(&box, 1, system_at(host, alias), 1), 0);
	cr_assert_eq(box_tell(&box, map_block(1, 20200, "u"), 1, 1), 0);
	cr_assert_eq(box_tell(&box, at(whole("other", 600), alias), 4, 1), 0);
	box_skip(&box);
	cr_assert_eq(box_put(&box, 1, system_at(host, 7), 2), 0);
	box_expect(&box, ip(7), SYSTEM_1);
	box_expect(&box, ip(alias), "other");
	box_expect_end(&box);
	/* The one for the other: no address came or went. */
	cr_assert_eq(box_put(&box, 1, system_at(7, host), 2), 0);
	box_expect_end(&box);
	cr_assert_eq(box_row(&box, 1)->claims, 1);
	cr_assert_str_eq(box_see(&box, ur_block_key(1, 20200), 2).text, "u");
	box_close(&box);
	cr_assert_eq(box_open(&box), 0);
	cr_assert_eq(ur_store_get_system(box.store, 1)->address.lo, ip(7).lo);
}

Test(store_systems, an_aborted_round_did_not_happen)
{
	struct uidrecv_system system = system_at(host, alias), other;
	struct ur_statement map = map_block(1, 20200, "v");

	cr_assert_eq(box_put(&box, 1, system, 1), 0);
	cr_assert_eq(box_tell(&box, map_block(1, 20200, "u"), 1, 1), 0);
	box_skip(&box);
	other = system_at(77, 0);
	other.block_size = 100;
	cr_assert_eq(ur_store_begin(box.store), 0);
	cr_assert_eq(ur_store_apply(box.store, 1, 9, &map, START), 0);
	cr_assert_eq(ur_store_put_system(box.store, 1, &other, START), 0);
	cr_assert_eq(ur_store_get_system(box.store, 1)->block_size, 100);
	ur_store_abort(box.store);
	cr_assert_eq(ur_store_get_system(box.store, 1)->block_size, 200);
	cr_assert_eq(box_row(&box, 1)->claims, 1);
	cr_assert_eq(box_row(&box, 1)->blocks_taken, 0);
	box_expect_end(&box);
	check(host, 2, SYSTEM_1);
	check(77, 2, "");
	cr_assert_str_eq(box_see(&box, ur_block_key(1, 20200), 2).text, "u");
	cr_assert_eq(find(1, alias, 20200, 200), 0);
	/* Nor does it come to light with the next round. */
	cr_assert_eq(box_put(&box, 2, system_at(78, 0), 2), 0);
	cr_assert_eq(ur_store_get_system(box.store, 1)->block_size, 200);
}

static void fail_to_put(struct uidrecv_system system, bool of_meta)
{
	box_break(&box, of_meta);
	cr_assert_lt(box_put(&box, 1, system, 2), 0);
	box_expect_end(&box);
	cr_assert_eq(ur_store_get_system(box.store, 1)->block_size, 200);
	check(host, 2, SYSTEM_1);
	check(alias, 2, SYSTEM_1);
	check(77, 2, "");
	cr_assert_str_eq(box_see(&box, ur_block_key(1, 20200), 2).text, "v");
	cr_assert_eq(box_row(&box, 1)->claims, 1);
	cr_assert_eq(box_row(&box, 1)->blocks_taken, 1);
}

/* After a failed write of the meta page all is read again from the disk. */
Test(store_systems, S08_S09_T09_a_failed_commit_did_not_happen)
{
	struct uidrecv_system system = system_at(host, 77);

	system.block_size = 100;
	cr_assert_eq(box_put(&box, 1, system_at(host, alias), 1), 0);
	cr_assert_eq(box_tell(&box, map_block(1, 20200, "u"), 1, 1), 0);
	cr_assert_eq(box_tell(&box, map_block(1, 20200, "v"), 1, 1), 0);
	box_skip(&box);
	for (int i = 0; i < 3; i++)
		fail_to_put(system, true);
	fail_to_put(system, false);
	box_close(&box);
	cr_assert_eq(box_open(&box), 0);
	check(alias, 2, SYSTEM_1);
	cr_assert_eq(box_row(&box, 1)->blocks_taken, 0);
	cr_assert_eq(box_put(&box, 1, system, 2), 0);
	check(77, 2, "<1: 20000+1000 by 100>");
	check(alias, 2, "");
}

static const struct uidrecv_system *asked[8];

static bool refuse(void *user, uint32_t agent,
		   const struct uidrecv_system *system)
{
	asked[agent] = system;
	cr_assert_eq(system->address.lo, ip(host + agent * 16).lo);
	return !(*(unsigned int *)user >> agent & 1);
}

static int restrict_agents(unsigned int refused, uint64_t now)
{
	uint64_t now_us = START + now * SECOND;

	return ur_store_restrict_systems(box.store, now_us, now_us, refuse,
					 &refused);
}

static void begin_snapshot(uint32_t agent)
{
	cr_assert_eq(ur_store_begin(box.store), 0);
	cr_assert_eq(ur_store_begin_snapshot(box.store, agent), 0);
	cr_assert_eq(ur_store_commit(box.store, START, START), 0);
}

Test(store_systems, T07_refused_systems_end_with_their_blocks)
{
	for (uint32_t id = 1; id <= 4; id++) {
		uint32_t ipv4 = host + id * 16;

		cr_assert_eq(box_put(&box, id, system_at(ipv4, ipv4 + 1), 1),
			     0);
		box_tell(&box, map_block(id, 20200, "u"), id, 1);
		box_tell(&box, map_block(id, 20800, "v"), id, 1);
		box_tell(&box, at(whole("other", 600), ipv4 + 1), 4, 1);
	}
	begin_snapshot(2);
	box_skip(&box);
	cr_assert_eq(restrict_agents(0, 2), 0);
	box_expect_end(&box);
	cr_assert(asked[1] && asked[2] && asked[3] && asked[4]);
	cr_assert_eq(restrict_agents(1u << 2 | 1u << 3, 2), 0);
	for (uint32_t id = 2; id <= 3; id++) {
		box_expect(&box, ur_block_key(id, 20200), "");
		box_expect(&box, ur_block_key(id, 20800), "");
		box_expect(&box, ip(host + id * 16), "");
		box_expect(&box, ip(host + id * 16 + 1), "other");
		cr_assert_eq(box_row(&box, id)->claims, 0);
		cr_assert_eq(box_row(&box, id)->epochs.wanted,
			     UIDRECV_RESYNC_GAP);
		cr_assert_not(box_row(&box, id)->epochs.is_open);
	}
	box_expect_end(&box);
	for (int i = 0; i < 2; i++) {
		cr_assert_null(ur_store_get_system(box.store, 2));
		cr_assert_null(ur_store_get_system(box.store, 3));
		cr_assert_eq(find(2, host + 32, 20200, 200),
			     UIDRECV_REJECT_NOT_MULTI_USER);
		cr_assert_eq(find(1, host + 16, 20200, 200), 0);
		check(host + 64, 2, "<4: 20000+1000 by 200>");
		cr_assert_eq(box_see(&box, ip(0), 2).count, 4 + 4 + 2);
		cr_assert_eq(box_row(&box, 1)->epochs.wanted, 0);
		cr_assert_eq(box_row(&box, 4)->claims, 6);
		box_close(&box);
		cr_assert_eq(box_open(&box), 0);
	}
	cr_assert_eq(ur_store_begin(box.store), 0);
	cr_assert_eq(restrict_agents(1u << 2, 2), -EBUSY);
	ur_store_abort(box.store);
	/* Their addresses are free for others. */
	cr_assert_eq(box_put(&box, 5, system_at(host + 32, host + 48), 3), 0);
}

static uint64_t count_commits(void)
{
	struct ur_store_stats stats;

	ur_store_get_stats(box.store, &stats);
	return stats.commits;
}

/* Each commit waits for the disk, and a list may refuse thousands. */
Test(store_systems, refused_systems_end_in_few_commits)
{
	uint64_t before;

	for (uint32_t id = 1; id <= 5; id++)
		cr_assert_eq(box_put(&box, id, system_at(host + id * 16, 0), 1),
			     0);
	before = count_commits();
	cr_assert_eq(restrict_agents(1u << 1 | 1u << 3 | 1u << 5, 2), 0);
	cr_assert_eq(count_commits() - before, 1);
	cr_assert_null(ur_store_get_system(box.store, 1));
	cr_assert_not_null(ur_store_get_system(box.store, 2));
	cr_assert_null(ur_store_get_system(box.store, 5));
}

/* But a round is no longer than others. */
Test(store_systems, many_refused_blocks_end_in_several_commits)
{
	uint64_t before;

	for (uint32_t id = 1; id <= 3; id++) {
		struct uidrecv_system system = system_at(host + id * 16, 0);

		system.block_size = 1;
		cr_assert_eq(box_put(&box, id, system, 1), 0);
		cr_assert_eq(ur_store_begin(box.store), 0);
		for (uint16_t i = 0; i < 600; i++) {
			struct ur_statement map = map_block(id, 20000 + i, "u");

			cr_assert_eq(ur_store_apply(box.store, id, 1000, &map,
						    START + SECOND),
				     0);
		}
		cr_assert_eq(ur_store_commit(box.store, START, START), 0);
	}
	before = count_commits();
	cr_assert_eq(restrict_agents(0xe, 2), 0);
	cr_assert_eq(count_commits() - before, 2);
	cr_assert_eq(box_see(&box, ip(0), 2).count, 0);
}

Test(store_systems, S15_a_damaged_system_is_found)
{
	static uint8_t bytes[1 << 20];
	uint8_t place[16];
	size_t size, found = 0;
	FILE *file;

	bytes[0] = 0;
	cr_assert_eq(box_put(&box, 1, system_at(0x0badcafe, 0), 1), 0);
	box_close(&box);
	memcpy(place, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0b\xad\xca\xfe", 16);
	file = fopen(box.data, "r+b");
	size = fread(bytes, 1, sizeof(bytes), file);
	for (size_t i = 0; i + 16 < size; i++)
		if (!memcmp(bytes + i, place, 16)) {
			found++;
			fseek(file, (long)i + 15, SEEK_SET);
			fputc(0xfd, file);
		}
	fclose(file);
	cr_assert_gt(found, 0);
	cr_assert_eq(box_open(&box), UIDRECV_E_STORE_DAMAGED);
}
