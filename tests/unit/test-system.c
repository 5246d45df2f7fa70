/* SPDX-License-Identifier: BSD-2-Clause */
#include "system.h"

#include <criterion/criterion.h>

#include "block.h"
#include "bytes.h"
#include "cells.h"

static struct ur_systems systems, copy;

static void done(void)
{
	ur_systems_done(&systems);
	ur_systems_done(&copy);
}

TestSuite(system, .fini = done, .timeout = 100);

static struct uidrecv_address ip(uint32_t ipv4)
{
	return uidrecv_address_from_ipv4(ipv4);
}

/* 20000 to 20999 in five blocks of 200. */
static struct uidrecv_system system_at(uint32_t ipv4)
{
	return (struct uidrecv_system){
	    .address = ip(ipv4), .ports = {20000, 1000}, .block_size = 200};
}

static int check(uint16_t start, uint32_t count, uint32_t block_size)
{
	struct uidrecv_system config = system_at(1);

	config.ports = (struct uidrecv_ports){start, count};
	config.block_size = block_size;
	return ur_system_check(&config);
}

Test(system, T02_ranges_that_cannot_be_are_refused)
{
	const int invalid = UIDRECV_REJECT_PORTS_INVALID;

	cr_assert_eq(check(20000, 1000, 200), 0);
	cr_assert_eq(check(0, 65536, 1), 0);
	cr_assert_eq(check(0, 65536, 65536), 0);
	cr_assert_eq(check(65535, 1, 1), 0);
	cr_assert_eq(check(65535, 2, 1), invalid);
	cr_assert_eq(check(1, 65536, 1), invalid);
	cr_assert_eq(check(0, 65537, 1), invalid);
	cr_assert_eq(check(1, UINT32_MAX, 1), invalid);
	cr_assert_eq(check(20000, 0, 0), invalid);
	cr_assert_eq(check(20000, 0, 1), invalid);
	cr_assert_eq(check(20000, 1000, 0), invalid);
	cr_assert_eq(check(20000, 1000, 1000), 0);
	cr_assert_eq(check(20000, 1000, 1001), invalid);
	cr_assert_eq(check(20000, 1000, UINT32_MAX), invalid);
}

static int check_reserved(uint16_t start, uint32_t count)
{
	struct uidrecv_system config = system_at(1);

	config.reserved[0] = (struct uidrecv_ports){20100, 1};
	config.reserved[1] = (struct uidrecv_ports){start, count};
	config.reserved_count = 2;
	return ur_system_check(&config);
}

Test(system, T02_reserved_ranges_are_checked_and_the_numbers_of_all)
{
	struct uidrecv_system config = system_at(1);

	cr_assert_eq(check_reserved(20000, 1), 0);
	cr_assert_eq(check_reserved(0, 65536), 0);
	cr_assert_eq(check_reserved(20000, 0), UIDRECV_REJECT_PORTS_INVALID);
	cr_assert_eq(check_reserved(65535, 2), UIDRECV_REJECT_PORTS_INVALID);
	for (uint32_t i = 0; i < UIDRECV_RESERVED_MAX; i++)
		config.reserved[i] = (struct uidrecv_ports){1, 1};
	config.aliases_count = UIDRECV_ALIASES_MAX;
	config.reserved_count = UIDRECV_RESERVED_MAX;
	cr_assert_eq(ur_system_check(&config), 0);
	config.aliases_count++;
	cr_assert_eq(ur_system_check(&config), UIDRECV_REJECT_PORTS_INVALID);
	config.aliases_count--;
	config.reserved_count++;
	cr_assert_eq(ur_system_check(&config), UIDRECV_REJECT_PORTS_INVALID);
}

/* By brute force: which ports of a range are of a block, and of which. */
static bool is_block(const struct uidrecv_system *config, uint32_t start,
		     uint32_t count)
{
	uint32_t end = config->ports.start + config->ports.count;
	bool found = false;

	for (uint32_t at = config->ports.start; at + config->block_size <= end;
	     at += config->block_size)
		found |= at == start && count == config->block_size;
	for (uint32_t port = start; found && port < start + count; port++)
		for (uint32_t i = 0; i < config->reserved_count; i++)
			found &= port < config->reserved[i].start ||
				 port >= config->reserved[i].start +
					     config->reserved[i].count;
	return found;
}

static void check_all_blocks(const struct uidrecv_system *config)
{
	const uint32_t counts[] = {0,
				   1,
				   config->block_size - 1,
				   config->block_size,
				   config->block_size + 1,
				   65536,
				   UINT32_MAX};

	for (uint32_t start = 0; start <= 65535; start++)
		for (size_t i = 0; i < 7; i++) {
			struct uidrecv_ports ports = {(uint16_t)start,
						      counts[i]};
			bool is_good =
			    ur_system_check_block(config, ports) == 0;
			/* Few starts are worth the trouble. */
			bool expected = counts[i] <= 65536 - start &&
					(i == 3 || is_good) &&
					is_block(config, start, counts[i]);

			cr_assert_eq(is_good, expected, "%u + %u", start,
				     counts[i]);
		}
}

Test(system, T01_T02_a_block_is_exactly_one_that_a_user_may_have)
{
	struct uidrecv_system config = system_at(1);

	config.ports.count = 1150; /* the last 150 are no block */
	config.reserved[0] = (struct uidrecv_ports){20399, 1};
	config.reserved[1] = (struct uidrecv_ports){20600, 1};
	config.reserved[2] = (struct uidrecv_ports){21000, 150};
	config.reserved[3] = (struct uidrecv_ports){100, 19900};
	config.reserved_count = 4;
	check_all_blocks(&config);
	cr_assert_eq(
	    ur_system_check_block(&config, (struct uidrecv_ports){20000, 200}),
	    0);
	cr_assert_neq(
	    ur_system_check_block(&config, (struct uidrecv_ports){20200, 200}),
	    0);
	config = system_at(1);
	config.ports = (struct uidrecv_ports){65000, 536};
	config.block_size = 134;
	check_all_blocks(&config);
	config.ports = (struct uidrecv_ports){0, 65536};
	config.block_size = 32768;
	check_all_blocks(&config);
}

Test(system, the_clean_form_does_not_depend_on_the_order)
{
	struct uidrecv_system a = system_at(1), b = system_at(1);
	const struct uidrecv_address aliases[] = {ip(3), ip(2), ip(1), ip(3)};
	const struct uidrecv_ports reserved[] = {{5, 2}, {5, 1}, {5, 2}};

	a.aliases_count = 4;
	memcpy(a.aliases, aliases, sizeof(aliases));
	a.reserved_count = 3;
	memcpy(a.reserved, reserved, sizeof(reserved));
	b.aliases_count = 2;
	b.aliases[0] = ip(2);
	b.aliases[1] = ip(3);
	b.aliases[2] = ip(9); /* not used */
	b.reserved_count = 2;
	b.reserved[0] = reserved[1];
	b.reserved[1] = reserved[0];
	b.reserved[2] = (struct uidrecv_ports){9, 9};
	a = ur_system_clean(&a);
	b = ur_system_clean(&b);
	cr_assert(ur_system_is_same(&a, &b));
	cr_assert_eq(a.aliases_count, 2);
	cr_assert_eq(a.reserved_count, 2);
	cr_assert_eq(a.aliases[2].lo, 0);
	cr_assert_eq(b.aliases[2].lo, 0);
	cr_assert_eq(b.reserved[2].count, 0);
	cr_assert(ur_system_has_address(&a, ip(1)));
	cr_assert(ur_system_has_address(&a, ip(3)));
	cr_assert_not(ur_system_has_address(&a, ip(9)));
	cr_assert_not(
	    ur_system_has_address(&a, (struct uidrecv_address){0, 0}));
}

/* Changes each number in turn; which of them count for the blocks? */
Test(system, what_makes_systems_and_their_blocks_the_same)
{
	struct uidrecv_system base = system_at(1), other;

	base.aliases_count = 1;
	base.aliases[0] = ip(5);
	base.reserved_count = 1;
	base.reserved[0] = (struct uidrecv_ports){20000, 10};
	for (int what = 0; what < 9; what++) {
		other = base;
		other.address.lo += what == 0;
		other.aliases[0].hi += what == 1;
		other.aliases_count -= what == 2;
		if (what == 3)
			other.ports.start++;
		other.ports.count -= what == 4;
		other.block_size -= what == 5;
		if (what == 6)
			other.reserved[0].start++;
		other.reserved[0].count += what == 7;
		other.reserved_count -= what == 8;
		cr_assert_not(ur_system_is_same(&base, &other), "%d", what);
		cr_assert_eq(ur_system_has_same_blocks(&base, &other), what < 3,
			     "%d", what);
	}
	other = base;
	cr_assert(ur_system_is_same(&base, &other));
}

static int put(uint32_t agent, uint32_t ipv4, uint32_t alias)
{
	struct uidrecv_system config = system_at(ipv4);

	config.aliases[0] = ip(alias);
	config.aliases_count = alias ? 1 : 0;
	return ur_systems_put(&systems, agent, &config);
}

static uint32_t agent_at(const struct ur_systems *of, uint32_t ipv4)
{
	const struct ur_system *at = ur_systems_at(of, ip(ipv4));

	return at ? at->agent : 0;
}

Test(system, T09_an_address_belongs_to_one_system)
{
	cr_assert_eq(put(2, 10, 11), 0);
	cr_assert_eq(put(1, 20, 11), UIDRECV_REJECT_ADDRESS_TAKEN);
	cr_assert_eq(put(1, 10, 0), UIDRECV_REJECT_ADDRESS_TAKEN);
	cr_assert_null(ur_systems_of(&systems, 1));
	cr_assert_eq(agent_at(&systems, 20), 0);
	cr_assert_eq(put(1, 20, 21), 0);
	/* In its place, and with an address of its former. */
	cr_assert_eq(put(1, 22, 20), 0);
	cr_assert_eq(put(1, 23, 10), UIDRECV_REJECT_ADDRESS_TAKEN);
	cr_assert_eq(agent_at(&systems, 20), 1);
	cr_assert_eq(agent_at(&systems, 21), 0);
	cr_assert_eq(agent_at(&systems, 22), 1);
	cr_assert_eq(agent_at(&systems, 23), 0);
	cr_assert_eq(agent_at(&systems, 10), 2);
	cr_assert_eq(ur_systems_of(&systems, 1)->config.address.lo, ip(22).lo);
	ur_systems_remove(&systems, 2);
	ur_systems_remove(&systems, 2);
	ur_systems_remove(&systems, 7);
	cr_assert_null(ur_systems_of(&systems, 2));
	cr_assert_eq(agent_at(&systems, 11), 0);
	cr_assert_eq(agent_at(&systems, 20), 1);
	cr_assert_eq(systems.count, 1);
	cr_assert_eq(systems.places_count, 2);
	cr_assert_eq(put(3, 11, 10), 0);
}

/* Against arrays that say for each agent and address whose it is. */
Test(system, T09_P25_random_changes_agree_with_a_simple_model)
{
	enum { AGENTS = 40, ADDRESSES = 200 };
	uint32_t of_agent[AGENTS + 1][2] = {{0}}, at[ADDRESSES + 1] = {0};
	uint64_t seed = 9;

	for (int i = 0; i < 20000; i++) {
		uint32_t agent = 1 + (uint32_t)draw(&seed, AGENTS);
		uint32_t first = 1 + (uint32_t)draw(&seed, ADDRESSES);
		uint32_t second = (uint32_t)draw(&seed, ADDRESSES + 1);
		bool taken = (at[first] && at[first] != agent) ||
			     (second && at[second] && at[second] != agent);

		second = second == first ? 0 : second;
		if (draw(&seed, 3)) {
			cr_assert_eq(put(agent, first, second),
				     taken ? UIDRECV_REJECT_ADDRESS_TAKEN : 0,
				     "%d", i);
			if (taken)
				continue;
		} else {
			ur_systems_remove(&systems, agent);
			first = second = 0;
		}
		at[of_agent[agent][0]] = at[of_agent[agent][1]] = 0;
		of_agent[agent][0] = first;
		of_agent[agent][1] = second;
		at[first] = at[second] = agent;
		at[0] = 0;
		cr_assert_eq(ur_systems_copy(&copy, &systems), 0);
		for (uint32_t j = 1; j <= ADDRESSES; j++)
			cr_assert_eq(agent_at(&copy, j), at[j], "%d: %u", i, j);
		for (uint32_t j = 1; j <= AGENTS; j++)
			cr_assert_eq(!!ur_systems_of(&copy, j),
				     of_agent[j][0] != 0);
	}
}

static struct ur_system large(void)
{
	struct ur_system system = {77, system_at(1)};

	system.config.aliases_count = UIDRECV_ALIASES_MAX;
	system.config.reserved_count = UIDRECV_RESERVED_MAX;
	for (uint32_t i = 0; i < UIDRECV_ALIASES_MAX; i++)
		system.config.aliases[i] =
		    (struct uidrecv_address){UINT64_C(0x2001) << 48, i};
	for (uint32_t i = 0; i < UIDRECV_RESERVED_MAX; i++)
		system.config.reserved[i] =
		    (struct uidrecv_ports){(uint16_t)(20000 + i), 2};
	return system;
}

Test(system, bytes_and_back)
{
	struct ur_system system = large(), read;
	uint8_t bytes[UR_SYSTEM_SIZE_MAX];
	size_t size = ur_system_encode(&system, bytes);

	cr_assert_eq(size, UR_SYSTEM_SIZE_MAX);
	cr_assert(ur_system_decode(&read, 77, bytes, size));
	cr_assert_eq(read.agent, 77);
	cr_assert(ur_system_is_same(&system.config, &read.config));
	cr_assert_not(ur_system_decode(&read, 78, bytes, size));
	system.config = system_at(1);
	size = ur_system_encode(&system, bytes);
	cr_assert(ur_system_decode(&read, 77, bytes, size));
	cr_assert(ur_system_is_same(&system.config, &read.config));
}

Test(system, S15_a_flipped_bit_is_found)
{
	struct ur_system system = large(), read;
	uint8_t bytes[UR_SYSTEM_SIZE_MAX];
	size_t size = ur_system_encode(&system, bytes);

	for (size_t i = 0; i < size * 8; i++) {
		bytes[i / 8] ^= (uint8_t)(1u << (i % 8));
		cr_assert_not(ur_system_decode(&read, 77, bytes, size));
		bytes[i / 8] ^= (uint8_t)(1u << (i % 8));
	}
	for (size_t i = 0; i < size; i++)
		cr_assert_not(ur_system_decode(&read, 77, bytes, i));
}

/* Decodes what has the right checksum, but what nobody wrote. */
static bool decode_forged(struct ur_system system, size_t place, uint8_t value,
			  size_t more)
{
	uint8_t bytes[UR_SYSTEM_SIZE_MAX + 8] = {0};
	size_t size = ur_system_encode(&system, bytes) + more;

	if (place)
		bytes[place] = value;
	ur_bytes_put_u32(bytes,
			 ur_checksum((struct uidrecv_address){0, system.agent},
				     bytes + 4, size - 4));
	return ur_system_decode(&system, system.agent, bytes, size);
}

Test(system, what_cannot_have_been_written_is_refused)
{
	struct ur_system system = large();

	cr_assert(decode_forged(system, 0, 0, 0));
	cr_assert_not(decode_forged(system, 0, 0, 8));
	cr_assert_not(decode_forged(system, 4, 9, 0));	  /* version */
	cr_assert_not(decode_forged(system, 22, 1, 0));	  /* start > 65535 */
	cr_assert_not(decode_forged(system, 33, 255, 0)); /* aliases */
	cr_assert_not(decode_forged(system, 40, UIDRECV_RESERVED_MAX + 1, 8));
	system.config.block_size = 0;
	cr_assert_not(decode_forged(system, 0, 0, 0));
	system = large();
	system.config.aliases[3] = system.config.aliases[2];
	cr_assert_not(decode_forged(system, 0, 0, 0));
	system = large();
	system.config.aliases[0] = ip(9); /* out of order */
	system.config.aliases[1] = ip(8);
	cr_assert_not(decode_forged(system, 0, 0, 0));
	system = large();
	system.config.reserved[0].count = 0;
	cr_assert_not(decode_forged(system, 0, 0, 0));
}
