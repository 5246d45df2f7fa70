/* SPDX-License-Identifier: BSD-2-Clause */
/* Damaged and hostile sentinels and blocks: an error, and never a wrong user.
 */
#include "tables.h"

TestSuite(damage_ports, .init = setup, .fini = teardown, .timeout = 280);

#define HOST 0x0a000001
#define FIRST 20000
#define SIZE 200
#define BLOCKS 5

struct fixture {
	struct ur_table *table;
	struct uidrecv_reader *reader;
	uint64_t generation;
	struct ur_slot *slots;
	uint64_t slots_count;
};

/* A host with five blocks; of those the even ones are user-N's. */
static struct fixture start(void)
{
	struct fixture fixture = {.table = make_published(scratch.path)};
	const struct ur_table_layout *layout;
	char user[64];
	size_t size;

	cr_assert_eq(
	    put_system(fixture.table, HOST, FIRST, BLOCKS * SIZE, SIZE), 0);
	for (uint32_t i = 0; i < BLOCKS; i += 2) {
		snprintf(user, sizeof(user), "user-%u", i);
		cr_assert_eq(put_block(fixture.table,
				       (uint16_t)(FIRST + i * SIZE), user),
			     0);
	}
	cr_assert_eq(put(fixture.table, HOST + 1, "carol"), 0);
	fixture.reader = open_reader(scratch.path);
	layout = ur_table_get_bytes(fixture.table, &size);
	fixture.generation = layout->generation;
	fixture.slots = (void *)((uintptr_t)layout + layout->slots_offset);
	fixture.slots_count = layout->slots_count;
	return fixture;
}

static void stop(struct fixture *fixture)
{
	uidrecv_reader_close(fixture->reader);
	ur_table_close(fixture->table);
}

static struct ur_slot *find(const struct fixture *fixture,
			    struct uidrecv_address address)
{
	for (uint64_t i = 0; i < fixture->slots_count; i++) {
		struct ur_slot *slot = &fixture->slots[i];

		if (ur_load(&slot->word[1]) == address.hi &&
		    ur_load(&slot->word[2]) == address.lo)
			return slot;
	}
	cr_assert_fail("no slot");
	return NULL;
}

/* Writes words 3 to 7, and user_size 0, with checks that are right. */
static void set_words(const struct fixture *fixture, struct ur_slot *slot,
		      const uint64_t words[UR_SLOT_WORDS], uint64_t deadline_ms)
{
	uint64_t word[UR_SLOT_WORDS];

	memcpy(word, words, sizeof(word));
	word[0] = ur_load(&slot->word[0]) & ~(UINT64_C(0xff) << 56);
	word[1] = ur_load(&slot->word[1]);
	word[2] = ur_load(&slot->word[2]);
	word[3] = ur_deadline_word(fixture->generation, word, deadline_ms);
	word[5] = (word[5] & ~(uint64_t)UINT32_MAX) |
		  ur_check_rest(fixture->generation, word);
	for (int i = 0; i < UR_SLOT_WORDS; i++)
		ur_store(&slot->word[i], word[i]);
}

static struct said look_at_host(const struct fixture *fixture, int port)
{
	return look_port(fixture->reader, HOST, port);
}

/* Lists all; how many answers and errors there are. */
static void list(const struct fixture *fixture, unsigned int *ret_answers,
		 unsigned int *ret_errors)
{
	struct uidrecv_cursor cursor = {0, 0};
	struct uidrecv_mapping mapping;
	int r;

	*ret_answers = *ret_errors = 0;
	while ((r = uidrecv_reader_next(fixture->reader, &cursor, 0,
					&mapping)) != 0) {
		if (r == 1)
			++*ret_answers;
		else
			++*ret_errors;
		cr_assert_leq(*ret_answers + *ret_errors, 100);
	}
}

static void check_error(const struct fixture *fixture, const char *what)
{
	unsigned int answers, errors;
	char text[16];

	snprintf(text, sizeof(text), "%d", UIDRECV_E_TABLE);
	for (int port = -1; port < 65536; port += 97)
		cr_assert_str_eq(look_at_host(fixture, port).text, text, "%s",
				 what);
	list(fixture, &answers, &errors);
	cr_assert_eq(errors, 1, "%s", what);
	cr_assert_eq(answers, 1, "%s", what);
}

Test(damage_ports, systems_that_nobody_has_are_errors)
{
#define RANGE(start, count) ((uint64_t)(count) << 16 | (start))
	static const struct {
		const char *what;
		uint64_t range, block_size, deadline_ms;
	} bad[] = {
	    {"no size", RANGE(FIRST, 1000), 0, UR_DEADLINE_NEVER},
	    {"large size", RANGE(FIRST, 1000), 1001, UR_DEADLINE_NEVER},
	    {"huge size", RANGE(FIRST, 1000), (UINT64_C(1) << 32) + 200,
	     UR_DEADLINE_NEVER},
	    {"no range", RANGE(FIRST, 0), 0, UR_DEADLINE_NEVER},
	    {"long range", RANGE(FIRST, 65537 - FIRST), 200, UR_DEADLINE_NEVER},
	    {"endless range", RANGE(0, UINT32_MAX), 200, UR_DEADLINE_NEVER},
	    {"high bits", RANGE(FIRST, 1000) | UINT64_C(1) << 48, 200,
	     UR_DEADLINE_NEVER},
	    {"mortal", RANGE(FIRST, 1000), 200, UR_DEADLINE_NEVER - 1},
	};
	struct fixture fixture = start();
	struct ur_slot *slot = find(&fixture, uidrecv_address_from_ipv4(HOST));
	uint64_t word[UR_SLOT_WORDS] = {0};

	word[5] = UINT64_C(2) << 32;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		word[6] = bad[i].range;
		word[7] = bad[i].block_size;
		set_words(&fixture, slot, word, bad[i].deadline_ms);
		check_error(&fixture, bad[i].what);
	}
	/* It is the words alone: the good ones are good. */
	word[6] = RANGE(FIRST, 1000);
	word[7] = 200;
	set_words(&fixture, slot, word, UR_DEADLINE_NEVER);
	cr_assert_str_eq(look_at_host(&fixture, FIRST).text,
			 "user-0 20000+200");
	stop(&fixture);
}

Test(damage_ports, a_block_that_is_a_system_is_an_error)
{
	struct fixture fixture = start();
	uint64_t word[UR_SLOT_WORDS] = {0};
	unsigned int answers, errors;
	char text[16];

	snprintf(text, sizeof(text), "%d", UIDRECV_E_TABLE);
	word[5] = UINT64_C(2) << 32;
	word[6] = RANGE(FIRST, 1000);
	word[7] = 200;
	set_words(&fixture, find(&fixture, ur_block_key(2, FIRST)), word,
		  UR_DEADLINE_NEVER);
	cr_assert_str_eq(look_at_host(&fixture, FIRST).text, text);
	cr_assert_str_eq(look_at_host(&fixture, FIRST + 400).text,
			 "user-2 20400+200");
	list(&fixture, &answers, &errors);
	cr_assert_eq(errors, 1);
	cr_assert_eq(answers, 4);
	stop(&fixture);
}

Test(damage_ports, every_flipped_bit_of_a_sentinel_is_no_user)
{
	struct fixture fixture = start();
	struct ur_slot *slot = find(&fixture, uidrecv_address_from_ipv4(HOST));
	struct said said;
	char text[16];

	snprintf(text, sizeof(text), "%d", UIDRECV_E_TABLE);
	/* Bits of the sequence number tell nothing about what is there. */
	for (size_t bit = 32; bit < UR_SLOT_WORDS * 64; bit++) {
		uint64_t word = ur_load(&slot->word[bit / 64]);
		bool is_address = bit / 64 == 1 || bit / 64 == 2;

		ur_store(&slot->word[bit / 64], word ^ UINT64_C(1) << bit % 64);
		said = look_at_host(&fixture, FIRST);
		cr_assert_str_eq(said.text, is_address ? "nobody" : text,
				 "bit %zu", bit);
		ur_store(&slot->word[bit / 64], word);
	}
	stop(&fixture);
}

Test(damage_ports, every_flipped_bit_of_a_block_is_no_user)
{
	struct fixture fixture = start();
	struct ur_slot *slot = find(&fixture, ur_block_key(2, FIRST));
	unsigned int answers, errors;
	char text[16];

	snprintf(text, sizeof(text), "%d", UIDRECV_E_TABLE);
	for (size_t bit = 32; bit < UR_SLOT_WORDS * 64; bit++) {
		uint64_t word = ur_load(&slot->word[bit / 64]);
		bool is_address = bit / 64 == 1 || bit / 64 == 2;

		ur_store(&slot->word[bit / 64], word ^ UINT64_C(1) << bit % 64);
		cr_assert_str_eq(look_at_host(&fixture, FIRST).text,
				 is_address ? "unknown-port" : text, "bit %zu",
				 bit);
		cr_assert_str_eq(look_at_host(&fixture, -1).text, "no-port");
		/* One error for the slot, and one for its place in the host. */
		list(&fixture, &answers, &errors);
		cr_assert_eq(answers, 4);
		cr_assert_eq(errors, is_address ? 1 : 2);
		ur_store(&slot->word[bit / 64], word);
	}
	stop(&fixture);
}

/* What a user of this block must be called; or it is nobody's. */
static void check_whose(const struct fixture *fixture, uint32_t port)
{
	struct said said = look_at_host(fixture, (int)port);
	uint32_t block = (port - FIRST) / SIZE;
	char text[64];

	snprintf(text, sizeof(text), "user-%u %u+%u", block,
		 FIRST + block * SIZE, SIZE);
	if (block % 2 == 0 && strcmp(said.text, text) == 0)
		return;
	snprintf(text, sizeof(text), "%d", UIDRECV_E_TABLE);
	cr_assert(strcmp(said.text, text) == 0 ||
		      strcmp(said.text, "unknown-port") == 0 ||
		      strcmp(said.text, "nobody") == 0,
		  "port %u: %s", port, said.text);
}

Test(damage_ports, random_flipped_bits_never_give_a_wrong_user)
{
	uint64_t seed = 20261122;
	struct fixture fixture = start();

	for (int round = 0; round < 20000; round++) {
		uint64_t bit = next_random(&seed) %
			       (fixture.slots_count * UR_SLOT_WORDS * 64);
		struct ur_slot *slot = &fixture.slots[bit / 512];
		_Atomic uint64_t *word = &slot->word[bit % 512 / 64];

		ur_store(word, ur_load(word) ^ UINT64_C(1) << bit % 64);
		for (uint32_t port = FIRST; port < FIRST + BLOCKS * SIZE;
		     port += SIZE / 2)
			check_whose(&fixture, port);
	}
	stop(&fixture);
}
