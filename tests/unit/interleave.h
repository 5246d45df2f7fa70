/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A reader that is stepped, and between any two of its instructions the writer
 * does much. However slow a reader is, it sees what was true at one moment of
 * its lookup.
 */
#ifndef TEST_INTERLEAVE_H
#define TEST_INTERLEAVE_H

#include <stdlib.h>
#include <sys/mman.h>

#include "stepping.h"
#include "tables.h"
#include "view.h"

#define INTERLEAVE_STEPS_MAX 500
#define INTERLEAVE_NOW_US UINT64_C(1000000000000)

/* Set: what comes of an iteration behind the address of the query. */
static bool is_iteration;

struct lookup {
	struct ur_view view;
	struct uidrecv_query query;
	struct uidrecv_mapping mapping;
	int r;
};

/* The number of the slot of an address or key that has one. */
static inline uint64_t find_slot(const struct ur_view *view,
				 struct uidrecv_address address)
{
	uint64_t at = ur_hash(view->layout.generation, address) %
		      view->layout.slots_count;

	while (ur_load(&view->slots[at].word[1]) != address.hi ||
	       ur_load(&view->slots[at].word[2]) != address.lo)
		at = (at + 1) % view->layout.slots_count;
	return at;
}

static inline bool look_up(void *what)
{
	struct lookup *lookup = what;
	struct ur_view *view = &lookup->view;
	uint64_t position;

	if (is_iteration) {
		/* As lib/view-next.c has it: its blocks, from port 0 on. */
		position = find_slot(view, lookup->query.address) << 17 | 1;
		lookup->r = ur_view_next(view, &position, INTERLEAVE_NOW_US,
					 &lookup->mapping);
		return true;
	}
	lookup->r = ur_view_find(view, &lookup->query, INTERLEAVE_NOW_US,
				 &lookup->mapping);
	return true;
}

static inline uint32_t load_seq(const struct lookup *lookup,
				struct uidrecv_address address)
{
	const struct ur_view *view = &lookup->view;

	return ur_meta_seq(
	    ur_load(&view->slots[find_slot(view, address)].word[0]));
}

static inline struct ur_table *start(struct lookup *lookup)
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

static inline struct lookup *new_lookup(struct uidrecv_query query)
{
	struct lookup *lookup;

	need_few_instructions();
	lookup = mmap(NULL, sizeof(*lookup), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(lookup, MAP_FAILED);
	lookup->query = query;
	return lookup;
}

/* So many instructions of the reader; false if it has no more. */
static inline bool step_reader(pid_t pid, unsigned int steps)
{
	while (steps > 0 && step(pid))
		steps--;
	return steps == 0;
}

/*
 * How many instructions to go on at once: one in long runs, and where there
 * are few; five in others, for the time goes with the square of their number.
 */
static inline unsigned int choose_stride(struct lookup *lookup)
{
	pid_t pid = start_child(look_up, lookup);
	unsigned int steps = 0, least = 1;

	while (step(pid))
		steps++;
	kill_child(pid);
	cr_assert_gt(steps, 100);
	if (steps > INTERLEAVE_STEPS_MAX && getenv("UIDRECV_TEST_LONG") == NULL)
		least = 5;
	return least +
	       steps / INTERLEAVE_STEPS_MAX * (steps / INTERLEAVE_STEPS_MAX);
}

/* As interleave(), by a view that has looked up before, or that has not. */
static inline void interleave_view(bool is_used, struct uidrecv_query query,
				   void (*prepare)(struct ur_table *table),
				   void (*act)(struct ur_table *table),
				   void (*check)(const struct lookup *lookup,
						 unsigned int steps))
{
	struct lookup *lookup = new_lookup(query);
	unsigned int steps = 0, stride = 0;
	bool is_going = true;

	for (; is_going; steps += stride) {
		struct ur_table *table = start(lookup);
		pid_t pid;

		prepare(table);
		if (is_used)
			look_up(lookup);
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

/*
 * Steps a reader to its instructions, one after the other, lets the writer act
 * there, and gives what the reader found in the end to be checked.
 */
static inline void interleave(struct uidrecv_query query,
			      void (*prepare)(struct ur_table *table),
			      void (*act)(struct ur_table *table),
			      void (*check)(const struct lookup *lookup,
					    unsigned int steps))
{
	interleave_view(false, query, prepare, act, check);
	/* It knows the line, and so goes another way. */
	interleave_view(true, query, prepare, act, check);
}

/* What a writer does in a child of its own. */
struct writing {
	struct ur_table *table;
	void (*act)(struct ur_table *table);
};

static inline bool do_write(void *what)
{
	const struct writing *writing = what;

	writing->act(writing->table);
	return true;
}

/*
 * The same, by a writer that was in the middle of rewriting the slot of an
 * address or key when the reader began.
 */
static inline void interleave_midway(struct uidrecv_query query,
				     struct uidrecv_address at,
				     void (*prepare)(struct ur_table *table),
				     void (*act)(struct ur_table *table),
				     void (*check)(const struct lookup *lookup,
						   unsigned int steps))
{
	struct lookup *lookup = new_lookup(query);
	unsigned int steps = 0, stride = 0;
	bool is_going = true;

	for (; is_going; steps += stride) {
		struct writing writing = {start(lookup), act};
		pid_t writer, reader;

		prepare(writing.table);
		look_up(lookup);
		if (stride == 0)
			stride = choose_stride(lookup);
		writer = start_child(do_write, &writing);
		while (load_seq(lookup, at) % 2 == 0)
			cr_assert(step(writer));
		reader = start_child(look_up, lookup);
		is_going = step_reader(reader, steps);
		if (is_going) {
			run_on(writer);
			run_on(reader);
		}
		kill_child(reader);
		kill_child(writer);
		check(lookup, steps);
		ur_table_close(writing.table);
	}
	munmap(lookup, sizeof(*lookup));
}

#endif
