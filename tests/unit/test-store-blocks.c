/* SPDX-License-Identifier: BSD-2-Clause */
/* What is said of blocks of ports, and what ends it. */
#include "systems.h"

static struct box box;
static const uint32_t host = 0x0a010203, alias = 0x0a010204;

static void start(void)
{
	box_start(&box);
	cr_assert_eq(box_put(&box, 1, system_at(host, alias), 1), 0);
	cr_assert_eq(box_put(&box, 2, system_at(host + 16, 0), 1), 0);
	box_skip(&box);
}

static void done(void)
{
	box_done(&box);
}

TestSuite(store_blocks, .init = start, .fini = done, .timeout = 200);

static void check(uint16_t block, uint64_t now, const char *text)
{
	cr_assert_str_eq(box_see(&box, ur_block_key(1, block), now).text, text);
}

static void tell(struct ur_statement statement)
{
	cr_assert_eq(box_tell(&box, statement, 1, 1), 0);
}

static uint64_t claims_of(uint32_t agent)
{
	return box_row(&box, agent)->claims;
}

static uint64_t taken_of(uint32_t agent)
{
	return box_row(&box, agent)->blocks_taken;
}

Test(store_blocks, T01_a_block_has_one_user)
{
	struct ur_statement map = map_block(1, 20200, "bob");

	tell(map_block(1, 20200, "ada"));
	tell(map_block(1, 20400, "ada"));
	box_expect(&box, ur_block_key(1, 20200), "ada");
	box_expect(&box, ur_block_key(1, 20400), "ada");
	cr_assert_eq(taken_of(1), 0);
	tell(map); /* of the same time: who came last */
	box_expect(&box, ur_block_key(1, 20200), "bob");
	cr_assert_eq(taken_of(1), 1);
	cr_assert_eq(claims_of(1), 2);
	/* The same user again, and what is older, take nothing. */
	tell(map);
	map.user = "eve";
	map.event_us -= SECOND;
	map.event_raw_us -= SECOND;
	tell(map);
	cr_assert_eq(taken_of(1), 1);
	check(20200, 2, "bob");
	check(20400, 2, "ada");
}

Test(store_blocks, T01_what_is_taken_is_counted)
{
	struct ur_agent_row row;

	tell(on_block(say(UIDRECV_OP_MAP, "ada", 1, 1, 10), 1, 20200));
	tell(on_block(say(UIDRECV_OP_MAP, "ada", 1, 1, 10), 1, 20400));
	tell(on_block(say(UIDRECV_OP_MAP, "ada", 1, 1, 10), 1, 20600));
	/* A life that is over when it arrives ends the former. */
	cr_assert_eq(
	    box_tell(&box,
		     on_block(say(UIDRECV_OP_MAP, "bob", 2, 2, 1), 1, 20200), 1,
		     5),
	    0);
	check(20200, 5, "");
	cr_assert_eq(taken_of(1), 0);
	/* Nobody has it any more. */
	cr_assert_eq(
	    box_tell(&box,
		     on_block(say(UIDRECV_OP_MAP, "bob", 20, 20, 60), 1, 20400),
		     1, 20),
	    0);
	cr_assert_eq(taken_of(1), 0);
	tell(on_block(say(UIDRECV_OP_WITHDRAW, NULL, 0, 0, 0), 1, 20600));
	tell(on_block(say(UIDRECV_OP_MAP, "bob", 20, 20, 60), 1, 20600));
	cr_assert_eq(taken_of(1), 0);
	/* A logout of another user, and a REFRESH that names none. */
	tell(on_block(say(UIDRECV_OP_LOGOUT, "eve", 30, 1, 0), 1, 20600));
	tell(on_block(say(UIDRECV_OP_REFRESH, NULL, 0, 1, 900), 1, 20600));
	check(20600, 20, "bob");
	cr_assert_eq(taken_of(1), 0);
	/* Whole addresses do not count. */
	tell(at(say(UIDRECV_OP_MAP, "ada", 20, 20, 60), 5));
	tell(at(say(UIDRECV_OP_MAP, "bob", 21, 20, 60), 5));
	cr_assert_eq(taken_of(1), 0);
	tell(on_block(say(UIDRECV_OP_MAP, "ada", 20, 20, 60), 1, 20600));
	cr_assert_eq(taken_of(1), 1);
	/* A row that is put keeps it, whatever it says. */
	row = *box_row(&box, 1);
	row.blocks_taken = 99;
	row.durable = 7;
	cr_assert_eq(ur_store_begin(box.store), 0);
	cr_assert_eq(ur_store_put_agent(box.store, &row), 0);
	cr_assert_eq(ur_store_commit(box.store, START, START), 0);
	cr_assert_eq(box_row(&box, 1)->durable, 7);
	cr_assert_eq(taken_of(1), 1);
	cr_assert_eq(taken_of(2), 0);
}

Test(store_blocks, T05_T07_markers_of_blocks_and_of_addresses_keep_apart)
{
	tell(map_block(1, 20200, "ada"));
	tell(map_block(1, 20400, "ada"));
	tell(at(say(UIDRECV_OP_MAP, "ada", 1, 1, 600), host));
	cr_assert_eq(box_tell(&box,
			      at(say(UIDRECV_OP_LOGOUT, NULL, 9, 9, 0), host),
			      4, 9),
		     0);
	tell(at(say(UIDRECV_OP_LOGOUT, "ada", 9, 9, 0), host));
	check(20200, 9, "ada");
	tell(at(say(UIDRECV_OP_MAP, "ada", 10, 9, 600), host));
	tell(on_block(say(UIDRECV_OP_LOGOUT, "ada", 20, 9, 0), 1, 20200));
	tell(on_block(say(UIDRECV_OP_LOGOUT, NULL, 20, 9, 0), 1, 20200));
	check(20200, 9, "");
	check(20400, 9, "ada");
	/* The block is not given back to the login that has ended. */
	tell(map_block(1, 20200, "ada"));
	check(20200, 9, "");
	cr_assert_eq(claims_of(1), 3);
	/* The whole address was touched by neither. */
	cr_assert_eq(box_put(&box, 1, system_at(alias, 0), 9), 0);
	cr_assert_str_eq(box_see(&box, ip(host), 9).text, "ada");
}

static int apply(struct ur_statement statement, uint64_t mappings_max)
{
	int rc;

	cr_assert_eq(ur_store_begin(box.store), 0);
	rc = ur_store_apply(box.store, 1, mappings_max, &statement, START);
	cr_assert_eq(ur_store_commit(box.store, START, START), 0);
	return rc;
}

Test(store_blocks, blocks_count_for_the_quota)
{
	struct uidrecv_system other = system_at(host, 0);

	cr_assert_eq(apply(map_block(1, 20000, "ada"), 3), 0);
	cr_assert_eq(apply(map_block(1, 20200, "ada"), 3), 0);
	cr_assert_eq(apply(map_of(5), 3), 0);
	cr_assert_eq(apply(map_block(1, 20400, "ada"), 3),
		     UIDRECV_REJECT_QUOTA);
	cr_assert_eq(apply(map_block(1, 20200, "bob"), 3), 0);
	/* Those that end with their system make room. */
	cr_assert_eq(box_put(&box, 1, system_at(host, 0), 1), 0);
	cr_assert_eq(apply(map_block(1, 20400, "ada"), 3),
		     UIDRECV_REJECT_QUOTA);
	other.block_size = 100;
	cr_assert_eq(box_put(&box, 1, other, 1), 0);
	cr_assert_eq(claims_of(1), 1);
	cr_assert_eq(apply(map_block(1, 20100, "ada"), 3), 0);
	cr_assert_eq(apply(map_block(1, 20200, "ada"), 3), 0);
	cr_assert_eq(apply(map_block(1, 20300, "ada"), 3),
		     UIDRECV_REJECT_QUOTA);
}

Test(store_blocks, a_block_ends_with_its_life)
{
	tell(on_block(say(UIDRECV_OP_MAP, "ada", 1, 1, 10), 1, 20200));
	check(20200, 10, "ada");
	check(20200, 11, "");
	box_skip(&box);
	cr_assert_eq(
	    ur_store_collect(box.store, 99, START + 11 * SECOND, START), 1);
	box_expect(&box, ur_block_key(1, 20200), "");
	box_expect_end(&box);
	cr_assert_eq(claims_of(1), 0);
	cr_assert_str_eq(box_see(&box, ip(host), 11).text, SYSTEM_1);
}

static void begin(void)
{
	cr_assert_eq(ur_store_begin(box.store), 0);
}

static void commit(void)
{
	cr_assert_eq(ur_store_commit(box.store, START + SECOND, START), 0);
}

static enum ur_ending end_snapshot(uint64_t count)
{
	enum ur_ending ending = 0;

	begin();
	cr_assert_eq(ur_store_end_snapshot(box.store, 1, count, 0, true,
					   START + SECOND, &ending),
		     0);
	commit();
	return ending;
}

static void begin_snapshot(void)
{
	begin();
	cr_assert_eq(ur_store_begin_snapshot(box.store, 1), 0);
	commit();
}

static void state(struct ur_statement statement)
{
	begin();
	cr_assert_eq(ur_store_apply(box.store, 1, 99, &statement, START), 0);
	cr_assert_eq(ur_store_count_maps(box.store, 1, 1), 0);
	commit();
}

static bool refresh_all(uint64_t count)
{
	bool is_taken = false;

	begin();
	cr_assert_eq(ur_store_refresh_all(box.store, 1, START + 500 * SECOND,
					  count, true, START + 500 * SECOND,
					  &is_taken),
		     0);
	cr_assert_eq(ur_store_commit(box.store, START + 500 * SECOND, START),
		     0);
	return is_taken;
}

Test(store_blocks, snapshots_and_refresh_all_are_about_blocks_too)
{
	tell(map_block(1, 20000, "old"));
	tell(map_block(1, 20200, "kept"));
	tell(at(say(UIDRECV_OP_MAP, "whole", 1, 1, 900), host));
	begin_snapshot();
	/* As agents do it: the same system again, in the snapshot. */
	cr_assert_eq(box_put(&box, 1, system_at(host, alias), 1), 0);
	state(map_block(1, 20200, "kept"));
	state(map_block(1, 20400, "new"));
	check(20000, 1, "old");
	cr_assert_eq(end_snapshot(2), UR_ENDING_DROPPED);
	check(20000, 1, "");
	check(20200, 1, "kept");
	cr_assert_eq(claims_of(1), 2);
	cr_assert_eq(box_row(&box, 1)->epochs.stated, 2);
	/* No drop and no count touches the system. */
	cr_assert_str_eq(box_see(&box, ip(host), 1).text, SYSTEM_1);
	cr_assert_not(refresh_all(3));
	cr_assert(refresh_all(2));
	check(20200, 3700, "kept");
	check(20200, 4101, "");
	cr_assert_str_eq(box_see(&box, ip(host), 99999).text, SYSTEM_1);
}

/* What is held, dropped, of this epoch or of a former: all goes, once. */
Test(store_blocks, another_cut_keeps_the_counts_exact)
{
	struct uidrecv_system other = system_at(host, alias);
	enum ur_ending ending;

	for (int i = 0; i < 2; i++)
		tell(map_block(1, 20000, "dropped"));
	tell(at(say(UIDRECV_OP_MAP, "whole", 1, 1, 900), 5));
	begin_snapshot();
	cr_assert_eq(end_snapshot(0), UR_ENDING_DROPPED);
	tell(map_block(1, 20200, "held"));
	tell(map_block(1, 20400, "held"));
	tell(at(say(UIDRECV_OP_MAP, "whole", 1, 1, 900), 6));
	begin_snapshot();
	state(map_block(1, 20600, "stated"));
	begin();
	cr_assert_eq(ur_store_end_snapshot(box.store, 1, 1, 50, true,
					   START + SECOND, &ending),
		     0);
	commit();
	cr_assert_eq(ending, UR_ENDING_HELD);
	cr_assert_eq(claims_of(1), 4);
	cr_assert_eq(box_row(&box, 1)->epochs.held_claims, 3);
	tell(on_block(say(UIDRECV_OP_LOGOUT, NULL, 9, 1, 0), 1, 20800));
	box_skip(&box);
	other.reserved[0] = (struct uidrecv_ports){20999, 1};
	other.reserved_count = 1;
	cr_assert_eq(box_put(&box, 1, other, 2), 0);
	/* The marker was seen by nobody. The addresses answer as before. */
	box_expect(&box, ur_block_key(1, 20000), "");
	box_expect(&box, ur_block_key(1, 20200), "");
	box_expect(&box, ur_block_key(1, 20400), "");
	box_expect(&box, ur_block_key(1, 20600), "");
	box_expect_end(&box);
	cr_assert_eq(claims_of(1), 1);
	cr_assert_eq(box_row(&box, 1)->epochs.held_claims, 1);
	cr_assert_eq(box_row(&box, 1)->epochs.stated, 0);
	cr_assert_eq(ur_store_accept_drops(box.store, 1, START, START), 1);
	cr_assert_eq(claims_of(1), 0);
	cr_assert_eq(ur_store_collect(box.store, 99, START + 2 * SECOND, START),
		     2);
	cr_assert_eq(claims_of(1), 0);
	cr_assert_eq(ur_store_find_block(box.store, 1, ip(host),
					 (struct uidrecv_ports){20800, 200},
					 &(struct uidrecv_address){0, 0}),
		     UIDRECV_REJECT_PORTS_INVALID);
	/* Nor is there a marker of another cut. */
	tell(on_block(say(UIDRECV_OP_MAP, "u", 2, 2, 900), 1, 20800));
	check(20800, 2, "u");
}

/* Everything that makes another cut, and what is told then. */
Test(store_blocks, T04_blocks_end_before_the_addresses_are_told)
{
	for (int what = 0; what < 4; what++) {
		struct uidrecv_system other =
		    *ur_store_get_system(box.store, 1);
		const char *text;

		other.ports.start = what == 0 ? 20200 : other.ports.start;
		other.ports.count -= what == 1 ? 200 : 0;
		other.block_size = what == 2 ? 400 : other.block_size;
		other.reserved[0] = (struct uidrecv_ports){30000, 1};
		other.reserved_count = what == 3;
		text = what == 0   ? "<1: 20200+1000 by 200>"
		       : what == 1 ? "<1: 20200+800 by 200>"
				   : "<1: 20200+800 by 400>";
		tell(map_block(1, 20200, "ada"));
		tell(map_block(1, 20600, "bob"));
		box_skip(&box);
		other.aliases[1] = ip(alias + 1 + (uint32_t)what);
		other.aliases_count = 2;
		cr_assert_eq(box_put(&box, 1, other, 2), 0);
		box_expect(&box, ur_block_key(1, 20200), "");
		box_expect(&box, ur_block_key(1, 20600), "");
		if (what < 3) {
			box_expect(&box, ip(host), text);
			box_expect(&box, ip(alias), text);
		}
		box_expect(&box, other.aliases[1], text);
		if (what > 0)
			box_expect(&box, ip(alias + (uint32_t)what), "");
		box_expect_end(&box);
		cr_assert_eq(claims_of(1), 0);
	}
}

static void fill(uint32_t agent, uint32_t first, uint32_t count)
{
	begin();
	for (uint32_t port = first; port < first + count; port++) {
		struct ur_statement map =
		    map_block(agent, (uint16_t)port, "some.user");

		cr_assert_eq(ur_store_apply(box.store, agent, UINT64_MAX, &map,
					    START + SECOND),
			     0, "%u", port);
	}
	commit();
}

Test(store_blocks, T08_as_many_blocks_as_there_are_ports_end_at_once)
{
	struct uidrecv_system all = system_at(host, 0);
	struct ur_statement six = map_of(0);
	struct ur_change change;
	uint32_t count = 0;

	all.ports = (struct uidrecv_ports){0, 65536};
	all.block_size = 1;
	cr_assert_eq(box_put(&box, 1, all, 1), 0);
	for (uint32_t first = 0; first < 65536; first += 8192)
		fill(1, first, 8192);
	/* What stands beside them in the order of keys. */
	fill(2, 20000, 1);
	fill(2, 0, 1);
	fill(2, 65535, 1);
	six.address = (struct uidrecv_address){UINT64_C(0xfeff) << 48, 1};
	cr_assert_eq(apply(six, UINT64_MAX), 0);
	cr_assert_eq(claims_of(1), 65537);
	box_skip(&box);
	all.block_size = 2;
	cr_assert_eq(box_put(&box, 1, all, 1), 0);
	while (ur_store_next_change(box.store, &change) == 1 &&
	       !change.block_size) {
		cr_assert_eq(ur_block_agent(change.address), 1);
		cr_assert_eq(ur_block_start(change.address), count);
		cr_assert_eq(change.user_size, 0);
		count++;
	}
	cr_assert_eq(count, 65536);
	cr_assert_eq(change.address.lo, ip(host).lo);
	box_expect_end(&box);
	cr_assert_eq(claims_of(1), 1);
	cr_assert_eq(claims_of(2), 3);
	cr_assert_eq(box_see(&box, six.address, 1).count, 1 + 3 + 2);
	/* The first agent has nobody before it, and the last nobody behind. */
	all.block_size = 1;
	cr_assert_eq(box_put(&box, 2, system_at(host + 16, host + 17), 1), 0);
	cr_assert_eq(claims_of(2), 3);
	all.address = ip(host + 16);
	cr_assert_eq(box_put(&box, 2, all, 1), 0);
	cr_assert_eq(claims_of(2), 0);
	cr_assert_eq(box_see(&box, six.address, 1).count, 1 + 2);
}

/* A full store must not keep anybody from ending what is there. */
Test(store_blocks, S22_blocks_of_a_full_store_end)
{
	struct uidrecv_system all = system_at(host, alias);
	uint32_t port = 0;
	int rc;

	box_done(&box);
	box_init(&box);
	box.options.map_bytes = 4 << 20;
	cr_assert_eq(box_open(&box), 0);
	cr_assert_eq(ur_store_add_agent(box.store, "a", 1, START,
					&(const struct ur_agent_row *){NULL}),
		     0);
	all.ports = (struct uidrecv_ports){0, 65536};
	all.block_size = 1;
	cr_assert_eq(box_put(&box, 1, all, 1), 0);
	do {
		struct ur_statement map = map_block(
		    1, (uint16_t)(port * 40503u), "DOMAIN\\a.longer.user");

		begin();
		rc = ur_store_apply(box.store, 1, UINT64_MAX, &map,
				    START + SECOND);
		commit();
	} while (rc == 0 && ++port < 65536);
	cr_assert_eq(rc, UIDRECV_REJECT_STORE_FULL);
	cr_assert_gt(port, 10000);
	all.block_size = 2;
	cr_assert_eq(box_put(&box, 1, all, 1), 0);
	cr_assert_eq(claims_of(1), 0);
	/* LMDB gives pages again when the next round has ended. */
	cr_assert_eq(ur_store_tick(box.store, START + 60 * SECOND, START), 0);
	tell(map_block(1, 20000, "u"));
}

Test(store_blocks, S15_a_damaged_block_fails_the_round)
{
	static uint8_t bytes[1 << 20];
	static const char user[] = "some.user.of.a.block";
	struct uidrecv_system other = system_at(host, alias);
	FILE *file;
	size_t size;

	tell(map_block(1, 20200, user));
	tell(map_of(5));
	box_close(&box);
	file = fopen(box.data, "r+b");
	size = fread(bytes, 1, sizeof(bytes), file);
	for (size_t i = 0; i + sizeof(user) < size; i++)
		if (!memcmp(bytes + i, user, sizeof(user) - 1)) {
			fseek(file, (long)i, SEEK_SET);
			fputc('S', file);
		}
	fclose(file);
	cr_assert_eq(box_open(&box), 0);
	other.block_size = 100;
	begin();
	cr_assert_eq(ur_store_put_system(box.store, 1, &other, START),
		     UIDRECV_E_STORE_DAMAGED);
	cr_assert_eq(ur_store_commit(box.store, START, START),
		     UIDRECV_E_STORE_DAMAGED);
	cr_assert_eq(ur_store_get_system(box.store, 1)->block_size, 200);
	tell(map_of(5));
}
