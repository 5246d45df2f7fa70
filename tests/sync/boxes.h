/* SPDX-License-Identifier: BSD-2-Clause */
/* Agents with sessions and snapshots in a store; times as in stores.h. */
#ifndef TEST_BOXES_H
#define TEST_BOXES_H

#include "stores.h"

static struct box box;

/* A session of an agent begins, or goes on. */
static inline void session(uint32_t agent, uint64_t id, uint64_t now)
{
	struct ur_agent_row row = *ur_store_get_agent_by_id(box.store, agent);

	row.session_id = id;
	cr_assert_eq(ur_store_begin(box.store), 0);
	cr_assert_eq(ur_store_put_agent(box.store, &row), 0);
	cr_assert_eq(ur_store_commit(box.store, START + now * SECOND,
				     START + now * SECOND),
		     0);
}

static inline void start(void)
{
	box_start(&box);
	for (uint32_t agent = 1; agent <= 5; agent++)
		session(agent, 10 * agent, 1);
}

static inline void done(void)
{
	box_done(&box);
}

static inline void begin(uint32_t agent, uint64_t now)
{
	cr_assert_eq(ur_store_begin(box.store), 0);
	cr_assert_eq(ur_store_begin_snapshot(box.store, agent), 0);
	cr_assert_eq(ur_store_commit(box.store, START + now * SECOND,
				     START + now * SECOND),
		     0);
}

static inline enum ur_ending end(uint32_t agent, uint64_t count,
				 unsigned int keep_percent, uint64_t now)
{
	enum ur_ending ending = 0;

	cr_assert_eq(ur_store_begin(box.store), 0);
	cr_assert_eq(ur_store_end_snapshot(box.store, agent, count,
					   keep_percent, true,
					   START + now * SECOND, &ending),
		     0);
	cr_assert_eq(ur_store_commit(box.store, START + now * SECOND,
				     START + now * SECOND),
		     0);
	return ending;
}

static inline bool refresh_all(uint32_t agent, uint64_t as_of, uint64_t count,
			       uint64_t now)
{
	bool is_taken = false;

	cr_assert_eq(ur_store_begin(box.store), 0);
	cr_assert_eq(ur_store_refresh_all(box.store, agent,
					  START + as_of * SECOND, count, true,
					  START + now * SECOND, &is_taken),
		     0);
	cr_assert_eq(ur_store_commit(box.store, START + now * SECOND,
				     START + now * SECOND),
		     0);
	return is_taken;
}

/* A MAP as of now, counted as one of a snapshot. */
static inline void map(uint32_t agent, uint32_t ipv4, const char *user,
		       uint64_t event, uint32_t lifetime_s, uint64_t now)
{
	struct ur_statement it =
	    at(say(UIDRECV_OP_MAP, user, event, now, lifetime_s), ipv4);

	cr_assert_eq(ur_store_begin(box.store), 0);
	cr_assert_eq(ur_store_count_maps(box.store, agent, 1), 0);
	cr_assert_eq(
	    ur_store_apply(box.store, agent, 1000, &it, START + now * SECOND),
	    0);
	cr_assert_eq(ur_store_commit(box.store, START + now * SECOND,
				     START + now * SECOND),
		     0);
}

static inline void map_some(uint32_t agent, uint32_t first, uint32_t count,
			    uint32_t lifetime_s, uint64_t now)
{
	for (uint32_t i = first; i < first + count; i++)
		map(agent, i, "ada", 1, lifetime_s, now);
}

/* Everything that an agent says, in a snapshot that is taken. */
static inline void snapshot(uint32_t agent, uint32_t first, uint32_t count,
			    uint32_t lifetime_s, uint64_t now)
{
	begin(agent, now);
	map_some(agent, first, count, lifetime_s, now);
	cr_assert_eq(end(agent, count, 0, now), UR_ENDING_DROPPED);
}

static inline const struct ur_epochs *epochs(uint32_t agent)
{
	return &ur_store_get_agent_by_id(box.store, agent)->epochs;
}

/* Who is at an address, "" for nobody; until the next call. */
static inline const char *who(uint32_t ipv4, uint64_t now)
{
	static struct box_find find;

	find = box_answer(&box, ipv4, now);
	return find.user;
}

/* When the life of an answer ends, in seconds; 0: nobody. */
static inline uint64_t until(uint32_t ipv4, uint64_t now)
{
	struct box_find find = box_answer(&box, ipv4, now);

	return find.found ? (find.deadline_us - START) / SECOND : 0;
}

static inline void reopen(void)
{
	box_close(&box);
	cr_assert_eq(box_open(&box), 0);
}

#endif
