/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a receiver learns of the table that another one left: which it believes,
 * and of which claims it says that they live longer, wherever the writer died.
 */
#include "former.h"
#include "renewals.h"
#include "stepping.h"

#define STEPS_MAX 100000

static struct scratch scratch;
static struct ur_table *table;

static void setup(void)
{
	scratch_init(&scratch);
	table = make_published(scratch.path);
}

static void teardown(void)
{
	ur_table_close(table);
	scratch_done(&scratch);
}

TestSuite(former, .init = setup, .fini = teardown, .timeout = 280);

#define PUT(ipv4, ...)                                                         \
	cr_assert_eq(put_claim(table, ipv4, (struct claim){__VA_ARGS__}), 0)

static struct ur_former *open_former(void)
{
	struct ur_former *former;

	cr_assert_eq(ur_former_open(&former, scratch.path, 0), 0);
	return former;
}

/* How much longer a claim lives there, in seconds; 0: not known. */
static uint64_t lent_s(const struct ur_former *former, uint32_t ipv4,
		       struct claim of)
{
	struct ur_lease lease = lease_of(ipv4, of);
	uint64_t lent_us = ur_former_get_lent_us(former, &lease);

	return lent_us > lease.kept_us ? (lent_us - lease.kept_us) / SECOND : 0;
}

#define LENT_S(ipv4, ...) lent_s(former, ipv4, (struct claim){__VA_ARGS__})

Test(former, tells_what_was_lent)
{
	struct ur_former *former;

	PUT(1, 0);
	PUT(2, .user = LONG, .agent = 2);
	PUT(3, 0);
	cr_assert(renew_after(table, 1, 5 * SECOND));
	cr_assert(renew_after(table, 3, 0));
	former = open_former();
	cr_expect_eq(LENT_S(1, 0), 5);
	cr_expect_eq(LENT_S(2, .user = LONG, .agent = 2), 0);
	cr_expect_eq(LENT_S(3, 0), 0);
	cr_expect_eq(LENT_S(4, 0), 0);
	/* Others have it open while the writer lives. */
	cr_assert(renew_after(table, 1, 6 * SECOND));
	cr_expect_eq(LENT_S(1, 0), 6);
	ur_former_close(former);
}

/* A table that was made anew has lent nothing by itself. */
Test(former, tells_what_was_lent_in_the_table_before)
{
	uint64_t end_us = then_us() + LIFE_S * SECOND;
	struct ur_former *former;

	PUT(1, .kept_us = end_us, .deadline_us = end_us + 5 * SECOND);
	former = open_former();
	cr_expect_eq(LENT_S(1, .kept_us = end_us), 5);
	ur_former_close(former);
}

Test(former, tells_it_of_the_claim_alone_to_which_it_was_lent)
{
	struct ur_former *former;
	uint64_t end_us = then_us() + LIFE_S * SECOND;
	struct ur_lease lease;

	PUT(1, 0);
	PUT(2, .user = LONG);
	cr_assert(renew_after(table, 1, 5 * SECOND));
	cr_assert(renew_after(table, 2, 5 * SECOND));
	former = open_former();
	cr_expect_eq(LENT_S(2, .user = LONG), 5);
	cr_expect_eq(LENT_S(1, .agent = 2), 0);
	cr_expect_eq(LENT_S(1, .user = "CORP\\alicf"), 0);
	cr_expect_eq(LENT_S(1, .user = "CORP\\alic"), 0);
	cr_expect_eq(
	    LENT_S(2, .user = "a-user-with-a-name-of-more-than-20-bytez"), 0);
	cr_expect_eq(LENT_S(1, .lifetime_s = LIFE_S + 1, .kept_us = end_us), 0);
	/* A claim that was written since, or before. */
	cr_expect_eq(LENT_S(1, .kept_us = end_us + 1000), 0);
	cr_expect_eq(LENT_S(1, .kept_us = end_us - 1000), 0);
	cr_expect_eq(LENT_S(1, .kept_us = end_us), 5);
	/* The note has 32 bits of it, and no more is needed. */
	cr_expect_eq(LENT_S(1, .kept_us = end_us - (UINT64_C(1000) << 32)), 0);
	cr_expect_eq(LENT_S(1, .kept_us = end_us + (UINT64_C(1000) << 32)), 0);
	lease = lease_of(1, (struct claim){0});
	cr_expect_gt(ur_former_get_lent_us(former, &lease), 0);
	lease.agent = "dc12";
	cr_expect_eq(ur_former_get_lent_us(former, &lease), 0);
	lease.agent = "dc2";
	cr_expect_eq(ur_former_get_lent_us(former, &lease), 0);
	ur_former_close(former);
}

Test(former, tells_nothing_of_what_was_taken_back)
{
	struct ur_table_answer nobody = {.address =
					     uidrecv_address_from_ipv4(1)};
	struct ur_former *former;

	PUT(1, 0);
	cr_assert(renew_after(table, 1, 5 * SECOND));
	cr_assert_eq(ur_table_put(table, &nobody, then_us()), 0);
	former = open_former();
	cr_expect_eq(LENT_S(1, 0), 0);
	/* What the slot has then is no life, whatever stood beside it. */
	PUT(1, .kept_us = 1);
	cr_expect_eq(LENT_S(1, 0), 0);
	cr_expect_eq(LENT_S(1, .kept_us = 1), 0);
	ur_former_close(former);
}

static struct ur_slot *slot_of(uint32_t ipv4, struct ur_table_layout *layout)
{
	size_t size;
	/* Ours to change, as a test. */
	char *bytes = (char *)(uintptr_t)ur_table_get_bytes(table, &size);
	struct uidrecv_address address = uidrecv_address_from_ipv4(ipv4);
	struct ur_slot *slots;

	memcpy(layout, bytes, sizeof(*layout));
	slots = (void *)(bytes + layout->slots_offset);
	return &slots[ur_hash(layout->generation, address) &
		      (layout->slots_count - 1)];
}

/* Nobody lives longer by a bit that has changed. */
Test(former, S15_flipped_bits_lend_nothing)
{
	struct ur_table_layout layout;
	struct ur_former *former;
	struct ur_slot *slot = slot_of(1, &layout);

	PUT(1, .user = LONG);
	cr_assert(renew_after(table, 1, 5 * SECOND));
	former = open_former();
	cr_assert_eq(LENT_S(1, .user = LONG), 5);
	for (int i = 0; i < 64 * UR_SLOT_WORDS; i++) {
		uint64_t word = ur_load(&slot->word[i / 64]);
		uint64_t lent;

		ur_store(&slot->word[i / 64], word ^ UINT64_C(1) << i % 64);
		lent = LENT_S(1, .user = LONG);
		ur_store(&slot->word[i / 64], word);
		/* A sequence number is any number. */
		cr_assert(lent == 0 || (lent == 5 && i < 32), "bit %d: %ju", i,
			  (uintmax_t)lent);
	}
	ur_former_close(former);
}

/* The slot is being rewritten, but what the draft holds is of another. */
Test(former, a_draft_is_of_one_slot)
{
	uint64_t end_us = then_us() + LIFE_S * SECOND;
	struct ur_table_layout layout;
	struct ur_former *former;
	struct ur_slot *slot = slot_of(1, &layout);

	PUT(1, 0);
	PUT(2, .user = "eve");
	PUT(2, .kept_us = end_us, .deadline_us = end_us + 5 * SECOND);
	cr_assert(renew_after(table, 1, 5 * SECOND));
	former = open_former();
	cr_assert_eq(LENT_S(1, 0), 5);
	ur_store(&slot->word[0], ur_load(&slot->word[0]) | 5);
	cr_expect_eq(LENT_S(1, 0), 0);
	ur_former_close(former);
}

static void restore(struct ur_slot *slot, uint64_t generation,
		    uint64_t word[UR_SLOT_WORDS])
{
	word[5] =
	    (word[5] & ~(uint64_t)UINT32_MAX) | ur_check_rest(generation, word);
	for (int i = 0; i < UR_SLOT_WORDS; i++)
		ur_store(&slot->word[i], word[i]);
}

/*
 * Whatever a slot says, a name and a line lie where they should; here right
 * ones lie just outside.
 */
Test(former, names_and_lines_have_their_places)
{
	uint64_t offsets[3], word[UR_SLOT_WORDS];
	struct ur_table_layout layout;
	struct ur_former *former;
	struct ur_table_line *line;
	struct ur_slot *slot;
	char *bytes;
	size_t size;

	ur_table_close(table);
	table = make_table(scratch.path, 1, 10);
	cr_assert_eq(ur_table_publish(table), 0);
	PUT(1, .user = LONG);
	cr_assert(renew_after(table, 1, 5 * SECOND));
	former = open_former();
	slot = slot_of(1, &layout);
	bytes = (char *)(uintptr_t)ur_table_get_bytes(table, &size);
	offsets[0] = layout.names_offset - 40;
	offsets[1] = layout.names_offset + layout.names_bytes - 5;
	offsets[2] = layout.names_offset + layout.names_bytes - strlen(LONG);
	for (int i = 0; i < 3; i++) {
		ur_entry_load(slot, word);
		word[6] = offsets[i];
		memcpy(bytes + offsets[i], LONG, strlen(LONG));
		restore(slot, layout.generation, word);
		cr_expect_eq(LENT_S(1, .user = LONG), i == 2 ? 5 : 0);
	}
	line = (void *)(bytes + layout.lines_offset);
	cr_assert_neq((char *)&line[layout.lines_max], (char *)slot);
	line[layout.lines_max] = line[0];
	word[0] = (word[0] & ~(UINT64_C(0xffff) << 32)) | layout.lines_max
							      << 32;
	restore(slot, layout.generation, word);
	cr_expect_eq(LENT_S(1, .user = LONG), 0);
	ur_former_close(former);
}

static int try_open(uint64_t base_us)
{
	struct ur_former *former = NULL;
	int r = ur_former_open(&former, scratch.path, base_us);

	ur_former_close(former);
	return r;
}

Test(former, must_be_ours_and_of_this_boot_and_time)
{
	unsigned int fds = count_fds();
	struct ur_table_layout layout;
	char *bytes;
	size_t size;

	(void)slot_of(1, &layout);
	bytes = (char *)(uintptr_t)ur_table_get_bytes(table, &size);
	cr_expect_eq(try_open(0), 0);
	cr_expect_eq(try_open(1), UIDRECV_E_TABLE_BOOT);
	chmod(scratch.path, 0660);
	cr_expect_eq(try_open(0), UIDRECV_E_TABLE_OWNER);
	chmod(scratch.path, 0640);
	if (geteuid() == 0) {
		cr_assert_eq(chown(scratch.path, 1, 1), 0);
		cr_expect_eq(try_open(0), UIDRECV_E_TABLE_OWNER);
		cr_assert_eq(chown(scratch.path, 0, 0), 0);
	}
	if (geteuid() == 0) {
		/* Root's is not ours, unlike for readers. */
		chmod(scratch.path, 0644);
		chmod(scratch.dir, 0755);
		cr_assert_eq(seteuid(1), 0);
		cr_expect_eq(try_open(0), UIDRECV_E_TABLE_OWNER);
		cr_assert_eq(seteuid(0), 0);
	}
	layout.boot_id[0] ^= 1;
	layout.header_check = ur_layout_check(&layout);
	memcpy(bytes, &layout, sizeof(layout));
	cr_expect_eq(try_open(0), UIDRECV_E_TABLE_BOOT);
	layout.lines_max++;
	memcpy(bytes, &layout, sizeof(layout));
	cr_expect_eq(try_open(0), UIDRECV_E_TABLE);
	unlink(scratch.path);
	cr_expect_eq(try_open(0), -ENOENT);
	cr_expect_eq(count_fds(), fds);
}

struct work {
	uint64_t renew_us; /* or */
	struct claim put;
};

static bool do_work(void *what)
{
	const struct work *work = what;

	if (work->renew_us)
		return renew_after(table, 1, work->renew_us);
	return put_claim(table, 1, work->put) == 0;
}

/*
 * A claim to which 5 seconds were lent, and a writer that dies at each
 * instruction: for a claim that is written as it is, before is lent, and then
 * after.
 */
static void check_steps(struct claim former_claim, struct work work,
			struct claim of, uint64_t before, uint64_t after)
{
	struct ur_former *former;
	unsigned int steps = 0;
	bool has_new = false;
	pid_t pid;

	need_few_instructions();
	cr_assert_eq(put_claim(table, 1, former_claim), 0);
	cr_assert(renew_after(table, 1, 5 * SECOND));
	former = open_former();
	pid = start_child(do_work, &work);
	while (step(pid) && steps++ < STEPS_MAX) {
		uint64_t lent = lent_s(former, 1, of);

		if (lent == after)
			has_new = true;
		else
			cr_assert(!has_new && lent == before, "step %u: %ju",
				  steps, (uintmax_t)lent);
	}
	kill_child(pid);
	cr_assert_gt(steps, 50);
	cr_assert_eq(lent_s(former, 1, of), after);
	ur_former_close(former);
}

Test(former, S01_a_writer_that_dies_as_it_lends_has_lent_or_not)
{
	check_steps((struct claim){0}, (struct work){.renew_us = 7 * SECOND},
		    (struct claim){0}, 5, 7);
}

/* The store has it, so the former table need not. */
Test(former, S01_a_writer_that_dies_lends_nothing_to_what_was_written)
{
	struct claim longer = {.as_of_us = then_us() + 20 * SECOND};
	struct claim other = {.user = LONG};

	check_steps((struct claim){0}, (struct work){.put = longer}, longer, 0,
		    0);
	check_steps((struct claim){0}, (struct work){.put = other}, other, 0,
		    0);
	check_steps(other, (struct work){.put = {0}}, (struct claim){0}, 0, 0);
}

/* Nothing was written, and the answer goes over to another line. */
Test(former, S01_a_writer_that_dies_as_it_tells_again_takes_nothing_back)
{
	uint64_t end_us = then_us() + LIFE_S * SECOND;
	struct claim again = {
	    .epoch = 2, .kept_us = end_us, .deadline_us = end_us + 5 * SECOND};

	check_steps((struct claim){0}, (struct work){.put = again},
		    (struct claim){.kept_us = end_us}, 5, 5);
}
