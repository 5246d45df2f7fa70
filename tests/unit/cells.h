/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of claim, answer, cell and store share. */
#ifndef TEST_CELLS_H
#define TEST_CELLS_H

#include <string.h>

#include "answer.h"

#define SECOND UINT64_C(1000000)
#define HOUR (3600 * SECOND)
/* Some store time, in seconds after which the tests count. */
#define START (UINT64_C(1700000000) * SECOND)

/* Agents 1 to 4 are on the list, 0 and 5 are not. */
static const struct ur_rank ranks_by_id[] = {
    {NULL, 0},	 {"low.a", 10}, {"low.b", 10},
    {"mid", 20}, {"top", 30},	{NULL, 99},
};
static const struct ur_ranks ranks = {ranks_by_id, sizeof(ranks_by_id) /
						       sizeof(ranks_by_id[0])};

/* Times in seconds after START. */
static inline struct ur_statement say(enum uidrecv_op op, const char *user,
				      uint64_t event, uint64_t as_of,
				      uint32_t lifetime_s)
{
	struct ur_statement statement = {0};

	statement.address = uidrecv_address_from_ipv4(0x0a010203);
	statement.op = (uint16_t)op;
	statement.event_us = START + event * SECOND;
	statement.event_raw_us = event * SECOND;
	statement.as_of_us = START + as_of * SECOND;
	statement.lifetime_s = lifetime_s;
	statement.user = user;
	statement.user_size = user ? (uint8_t)strlen(user) : 0;
	return statement;
}

static inline struct ur_statement with_token(struct ur_statement statement,
					     uint64_t token)
{
	statement.has_token = true;
	statement.token = token;
	return statement;
}

/* A generator that is the same everywhere. */
static inline uint64_t draw(uint64_t *seed, uint64_t below)
{
	uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (z ^ z >> 31) % below;
}

#endif
