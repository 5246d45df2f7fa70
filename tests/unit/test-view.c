/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The other side of test-step.c: the reader is stepped, and between any two
 * of its instructions the writer does much. However slow a reader is, it sees
 * what was true at one moment of its lookup.
 */
#include <sys/mman.h>

#include "stepping.h"
#include "tables.h"
#include "view.h"

#define STEPS_MAX 500
#define NOW_US UINT64_C(1000000000000)

TestSuite(view, .init = setup, .fini = teardown, .timeout = 280);

struct lookup {
	struct ur_view view;
	struct uidrecv_mapping mapping;
	int r;
};

static bool look_up(void *what)
{
	struct lookup *lookup = what;
	struct uidrecv_query query = {.address = uidrecv_address_from_ipv4(1)};

	lookup->r = ur_view_find(&lookup->view, &query,
				 ur_view_home(&lookup->view, query.address),
				 NOW_US, &lookup->mapping);
	return true;
}

static uint32_t load_seq(const struct lookup *lookup)
{
	const struct ur_view *view = &lookup->view;
	struct uidrecv_address address = uidrecv_address_from_ipv4(1);

	return ur_meta_seq(
	    ur_load(&view->slots[ur_view_home(view, address)].word[0]));
}

static struct ur_table *start(struct lookup *lookup)
{
	struct ur_table *table;
	const void *bytes;
	size_t size;

	/* Numbers of changes would go on after those of a former table. */
	(void)!unlink(scratch.path);
	table = make_published(scratch.path);
	bytes = ur_table_get_bytes(table, &size);
	cr_assert_eq(ur_view_init(&lookup->view, bytes, size), 0);
	return table;
}

static struct lookup *new_lookup(void)
{
	struct lookup *lookup =
	    mmap(NULL, sizeof(*lookup), PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(lookup, MAP_FAILED);
	return lookup;
}

/* So many instructions of the reader; false if it has no more. */
static bool step_reader(pid_t pid, unsigned int steps)
{
	while (steps > 0 && step(pid))
		steps--;
	return steps == 0;
}

/*
 * How many instructions to go on at once: one in plain builds. A sanitizer
 * adds many, and the time goes with their square.
 */
static unsigned int choose_stride(struct lookup *lookup)
{
	pid_t pid = start_child(look_up, lookup);
	unsigned int steps = 0;

	while (step(pid))
		steps++;
	kill_child(pid);
	cr_assert_gt(steps, 100);
	return 1 + steps / STEPS_MAX * (steps / STEPS_MAX);
}

/*
 * Steps a reader to each of its instructions in turn, lets the writer act
 * there, and gives what the reader found in the end to be checked.
 */
static void interleave(void (*prepare)(struct ur_table *table),
		       void (*act)(struct ur_table *table),
		       void (*check)(const struct lookup *lookup,
				     unsigned int steps))
{
	struct lookup *lookup = new_lookup();
	unsigned int steps = 0, stride = 0;
	bool is_going = true;

	for (; is_going; steps += stride) {
		struct ur_table *table = start(lookup);
		pid_t pid;

		prepare(table);
		if (stride == 0)
			stride = choose_stride(lookup);
		pid = start_child(look_up, lookup);
		is_going = step_reader(pid, steps);
		if (is_going) {
			act(table);
			run_on(pid);
		}
		kill_child(pid);
		check(lookup, steps);
		ur_table_close(table);
	}
	munmap(lookup, sizeof(*lookup));
}

static void state(struct ur_table *table)
{
	cr_assert_eq(put_of(table, 1, (struct epoch_put){.epoch = 1}), 0);
}

static void restate(struct ur_table *table)
{
	cr_assert_eq(put_of(table, 1, (struct epoch_put){.epoch = 2}), 0);
	ur_table_drop(table, 1, 2);
}

static void restate_thrice(struct ur_table *table)
{
	for (uint32_t epoch = 2; epoch < 5; epoch++) {
		cr_assert_eq(
		    put_of(table, 1, (struct epoch_put){.epoch = epoch}), 0);
		ur_table_drop(table, 1, epoch);
	}
}

static void replace(struct ur_table *table)
{
	struct epoch_put of = {.epoch = 2, .user = "bob", .agent = 2};

	cr_assert_eq(put_of(table, 1, of), 0);
	ur_table_drop(table, 1, 2);
}

static void check_is_alice(const struct lookup *lookup, unsigned int steps)
{
	cr_assert_eq(lookup->r, 1, "%d at step %u", lookup->r, steps);
	cr_assert_str_eq(lookup->mapping.user, "alice");
	cr_assert_str_eq(lookup->mapping.agent, "dc1");
	cr_assert_eq(lookup->mapping.change, 1001);
}

static void check_is_alice_or_bob(const struct lookup *lookup,
				  unsigned int steps)
{
	const struct uidrecv_mapping *mapping = &lookup->mapping;
	bool is_alice = strcmp(mapping->user, "alice") == 0;

	cr_assert_eq(lookup->r, 1, "%d at step %u", lookup->r, steps);
	cr_assert(is_alice || strcmp(mapping->user, "bob") == 0);
	cr_assert_str_eq(mapping->agent, is_alice ? "dc1" : "vpn-gate");
	cr_assert_eq(mapping->change, is_alice ? 1001 : 1002);
}

Test(view, who_is_stated_again_is_never_nobody)
{
	interleave(state, restate, check_is_alice);
}

Test(view, who_is_stated_again_many_times_is_never_nobody)
{
	interleave(state, restate_thrice, check_is_alice);
}

Test(view, who_is_replaced_in_a_snapshot_is_never_nobody)
{
	interleave(state, replace, check_is_alice_or_bob);
}

/* It has run out, and must not be revived. */
static void take_back_and_refresh(struct ur_table *table)
{
	cr_assert_eq(put(table, 1, NULL), 0);
	ur_table_refresh(table, 1, 1, NOW_US);
}

static void run_out(struct ur_table *table)
{
	struct epoch_put of = {
	    .epoch = 1, .deadline_us = NOW_US - 1000, .lifetime_s = 3600};

	cr_assert_eq(put_of(table, 1, of), 0);
}

static void check_is_nobody(const struct lookup *lookup, unsigned int steps)
{
	cr_assert_eq(lookup->r, 0, "%d at step %u", lookup->r, steps);
}

Test(view, who_was_taken_back_before_a_refresh_is_not_revived)
{
	interleave(run_out, take_back_and_refresh, check_is_nobody);
}

static void prolong_and_drop(struct ur_table *table)
{
	struct epoch_put of = {.epoch = 1, .lifetime_s = 3600};

	ur_table_refresh(table, 1, 1, NOW_US);
	cr_assert_eq(put_of(table, 1, of), 0);
	of.epoch = 2;
	cr_assert_eq(put_of(table, 1, of), 0);
	ur_table_drop(table, 1, 2);
}

static void nearly_run_out(struct ur_table *table)
{
	struct epoch_put of = {
	    .epoch = 1, .deadline_us = NOW_US + 1000, .lifetime_s = 3600};

	cr_assert_eq(put_of(table, 1, of), 0);
}

Test(view, who_is_renewed_in_every_way_is_never_nobody)
{
	interleave(nearly_run_out, prolong_and_drop, check_is_alice);
}

static bool do_restate(void *table)
{
	restate(table);
	return true;
}

/* The same, by a writer that was in the middle of it when the reader began. */
Test(view, who_is_being_stated_again_is_never_nobody)
{
	struct lookup *lookup = new_lookup();
	unsigned int steps = 0, stride = 0;
	bool is_going = true;

	for (; is_going; steps += stride) {
		struct ur_table *table = start(lookup);
		pid_t writer, reader;

		state(table);
		if (stride == 0)
			stride = choose_stride(lookup);
		writer = start_child(do_restate, table);
		while (load_seq(lookup) % 2 == 0)
			cr_assert(step(writer));
		reader = start_child(look_up, lookup);
		is_going = step_reader(reader, steps);
		if (is_going) {
			run_on(writer);
			run_on(reader);
		}
		kill_child(reader);
		kill_child(writer);
		check_is_alice(lookup, steps);
		ur_table_close(table);
	}
	munmap(lookup, sizeof(*lookup));
}
