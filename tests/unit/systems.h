/* SPDX-License-Identifier: BSD-2-Clause */
/* What tests of multi-user systems in the store share. */
#ifndef TEST_SYSTEMS_H
#define TEST_SYSTEMS_H

#include "block.h"
#include "stores.h"

static inline struct uidrecv_address ip(uint32_t ipv4)
{
	return uidrecv_address_from_ipv4(ipv4);
}

/* 20000 to 20999 in five blocks of 200; alias 0: none. */
static inline struct uidrecv_system system_at(uint32_t ipv4, uint32_t alias)
{
	struct uidrecv_system system = {
	    .address = ip(ipv4), .ports = {20000, 1000}, .block_size = 200};

	system.aliases[0] = ip(alias);
	system.aliases_count = alias ? 1 : 0;
	return system;
}

/* In a round of its own; now in seconds after START. */
static inline int box_put(struct box *box, uint32_t agent,
			  struct uidrecv_system system, uint64_t now)
{
	uint64_t now_us = START + now * SECOND;
	int rc, commit;

	cr_assert_eq(ur_store_begin(box->store), 0);
	rc = ur_store_put_system(box->store, agent, &system, now_us);
	commit = ur_store_commit(box->store, now_us, now_us);
	return commit < 0 ? commit : rc;
}

/* A statement about the block that begins at a port. */
static inline struct ur_statement on_block(struct ur_statement statement,
					   uint32_t agent, uint16_t start)
{
	statement.address = ur_block_key(agent, start);
	return statement;
}

static inline struct ur_statement map_block(uint32_t agent, uint16_t start,
					    const char *user)
{
	return on_block(say(UIDRECV_OP_MAP, user, 1, 1, 3600), agent, start);
}

/* What a scan says of an address or a block: "", a user, or "N" of "<N>". */
struct box_seen {
	struct uidrecv_address address;
	char text[64];
	uint64_t deadline_us;
	size_t times, count;
};

static inline void box_text(const struct ur_change *change, char text[64])
{
	if (change->block_size)
		snprintf(text, 64, "<%u: %u+%u by %u>", change->agent,
			 change->ports.start, change->ports.count,
			 change->block_size);
	else
		snprintf(text, 64, "%.*s", change->user_size,
			 change->user_size ? change->user : "");
	/* Of a system nothing else is said. */
	if (change->block_size)
		cr_assert(change->user_size == 0 && change->deadline_us == 0 &&
			  change->kind == UR_CHANGE_ANSWER);
}

static inline int box_see_each(void *user, const struct ur_change *answer)
{
	struct box_seen *seen = user;

	seen->count++;
	if (answer->address.lo != seen->address.lo ||
	    answer->address.hi != seen->address.hi)
		return 0;
	seen->times++;
	seen->deadline_us = answer->deadline_us;
	box_text(answer, seen->text);
	return 0;
}

static inline struct box_seen box_see(struct box *box,
				      struct uidrecv_address address,
				      uint64_t now)
{
	struct box_seen seen = {.address = address};

	cr_assert_eq(ur_store_scan(box->store, START + now * SECOND,
				   box_see_each, &seen),
		     0);
	cr_assert_leq(seen.times, 1);
	return seen;
}

#define SYSTEM_1 "<1: 20000+1000 by 200>"

static inline const struct ur_agent_row *box_row(struct box *box, uint32_t id)
{
	return ur_store_get_agent_by_id(box->store, id);
}

/* The next change is this. */
static inline void box_expect(struct box *box, struct uidrecv_address address,
			      const char *text)
{
	struct ur_change change;
	char found[64];

	cr_assert_eq(ur_store_next_change(box->store, &change), 1,
		     "no change to %s", text);
	box_text(&change, found);
	cr_assert_str_eq(found, text);
	cr_assert(change.address.hi == address.hi &&
		      change.address.lo == address.lo,
		  "%s at %jx:%jx", found, (uintmax_t)change.address.hi,
		  (uintmax_t)change.address.lo);
}

static inline void box_expect_end(struct box *box)
{
	struct ur_change change;
	char found[64];

	if (ur_store_next_change(box->store, &change) == 0)
		return;
	box_text(&change, found);
	cr_assert_fail("one more change: %s", found);
}

static inline void box_skip(struct box *box)
{
	struct ur_change change;

	while (ur_store_next_change(box->store, &change) == 1)
		;
}

#endif
