/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Users that say which address they were put for, when, and with what else,
 * so that an answer of the wrong address, a torn and a mixed one show.
 */
#ifndef STAMP_H
#define STAMP_H

#include "../table-helper.h"

#define AGENTS 8
#define AN_HOUR_S 3600 /* a multiple of 16 */

static inline struct uidrecv_address address_of(uint32_t i)
{
	if (i % 2)
		return (struct uidrecv_address){UINT64_C(0x20010db8) << 32, i};
	return uidrecv_address_from_ipv4(0x0a000000 + i);
}

static inline uint32_t stamp_check(uint32_t i, uint64_t counter)
{
	uint64_t seed = counter << 16 ^ i;

	return (uint32_t)next_random(&seed) & 0xffffff;
}

/* Of 13 to 20 bytes, or of more; says all that it must be found with. */
static inline uint8_t stamp(char user[256], uint32_t i, uint64_t counter)
{
	int size = sprintf(user, "%x.%llx.%x", i, (unsigned long long)counter,
			   stamp_check(i, counter));

	if (counter % 3 == 0) {
		memset(user + size, '-', 41);
		size += 10 + (int)(counter % 31);
		user[size] = '\0';
	}
	return (uint8_t)size;
}

/*
 * Deadlines are whole seconds, of which the last four bits are the counter's,
 * whether they are the answer's own or made of lifetime and REFRESH ALL time.
 */
static inline uint64_t stamp_deadline_us(uint64_t counter, uint64_t now_us)
{
	uint64_t hence_s = now_us / 1000000 + AN_HOUR_S;

	return ((hence_s & ~UINT64_C(15)) | (counter & 15)) * 1000000;
}

static inline uint32_t stamp_lifetime_s(uint64_t counter)
{
	return AN_HOUR_S + (counter & 15);
}

static inline uint64_t stamp_refreshed_us(uint64_t now_us)
{
	return ((now_us / 1000000 + 16) & ~UINT64_C(15)) * 1000000;
}

/* Reads a stamp; false if nobody ever put this text. */
static inline bool stamp_parse(const char *user, size_t size, uint32_t *ret_i,
			       uint64_t *ret_counter)
{
	unsigned long long counter;
	unsigned int i;
	char right[256];

	if (sscanf(user, "%x.%llx.", &i, &counter) != 2 ||
	    stamp(right, i & 0xffff, counter) != size ||
	    strcmp(user, right) != 0)
		return false;
	*ret_i = i;
	*ret_counter = counter;
	return true;
}

/* Whether all that is not the user is of the same put as the user. */
static inline bool stamp_is_consistent(const struct uidrecv_mapping *mapping,
				       uint64_t counter, uint64_t now_us)
{
	uint64_t deadline_ms =
	    (now_us + mapping->expires_in_ms * 1000 + 999) / 1000;

	return mapping->agent_size == 7 &&
	       memcmp(mapping->agent, "agent-", 6) == 0 &&
	       mapping->agent[6] == (char)('1' + counter % AGENTS) &&
	       mapping->source == counter % 11 && deadline_ms % 1000 == 0 &&
	       (deadline_ms / 1000 & 15) == (counter & 15);
}

#endif
