/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of lent lives share: an answer that the store has, too. */
#ifndef TEST_RENEWALS_H
#define TEST_RENEWALS_H

#include <criterion/criterion.h>

#include "../table-helper.h"

#define SECOND UINT64_C(1000000)
/* Store time is that of the boot clock; an answer lives for some hours. */
#define LIFE_S 8000u
#define LENT_MAX_US (LIFE_S / 8 * SECOND)
#define SHORT "CORP\\alice"
#define LONG "a-user-with-a-name-of-more-than-20-bytes"

/* What is 0 is agent 1, epoch 1, SHORT, LIFE_S, as of now, all of it written.
 */
struct claim {
	uint32_t agent;
	uint32_t epoch;
	uint32_t lifetime_s;
	uint64_t as_of_us;
	uint64_t deadline_us;
	uint64_t kept_us;
	const char *user;
};

/* Some whole second, and the same in all of a test. */
static inline uint64_t then_us(void)
{
	static uint64_t us;

	if (us == 0)
		us = ur_clock_boot_us() / SECOND * SECOND + 100 * SECOND;
	return us;
}

static inline struct claim claim_of(struct claim of)
{
	if (of.agent == 0)
		of.agent = 1;
	if (of.epoch == 0)
		of.epoch = 1;
	if (of.lifetime_s == 0)
		of.lifetime_s = LIFE_S;
	if (of.as_of_us == 0)
		of.as_of_us = then_us();
	if (of.deadline_us == 0)
		of.deadline_us = of.as_of_us + of.lifetime_s * SECOND;
	if (of.kept_us == 0)
		of.kept_us = of.deadline_us;
	if (of.user == NULL)
		of.user = SHORT;
	return of;
}

static inline int put_claim(struct ur_table *table, uint32_t ipv4,
			    struct claim of)
{
	struct ur_table_answer answer;

	of = claim_of(of);
	answer = (struct ur_table_answer){
	    .address = uidrecv_address_from_ipv4(ipv4),
	    .deadline_us = of.deadline_us,
	    .kept_us = of.kept_us,
	    .agent = of.agent,
	    .epoch = of.epoch,
	    .lifetime_s = of.lifetime_s,
	    .source = UIDRECV_SOURCE_DIRECTORY,
	    .user_size = (uint8_t)strlen(of.user),
	    .user = of.user,
	};
	return ur_table_put(table, &answer, then_us());
}

/* A REFRESH after so long a time, which leaves out what is 0 or NULL. */
static inline struct ur_table_renewal renewal_of(uint32_t ipv4,
						 uint64_t after_us)
{
	return (struct ur_table_renewal){
	    .address = uidrecv_address_from_ipv4(ipv4),
	    .as_of_us = then_us() + after_us,
	    .agent = 1,
	    .epoch = 1,
	};
}

static inline bool renew(struct ur_table *table,
			 struct ur_table_renewal renewal)
{
	return ur_table_renew(table, &renewal, renewal.as_of_us);
}

static inline bool renew_after(struct ur_table *table, uint32_t ipv4,
			       uint64_t after_us)
{
	return renew(table, renewal_of(ipv4, after_us));
}

static inline struct ur_lease lease_of(uint32_t ipv4, struct claim of)
{
	of = claim_of(of);
	return (struct ur_lease){
	    .address = uidrecv_address_from_ipv4(ipv4),
	    .kept_us = of.kept_us,
	    .lifetime_s = of.lifetime_s,
	    .user_size = (uint8_t)strlen(of.user),
	    .user = of.user,
	    .agent = of.agent == 1 ? "dc1" : "vpn-gate",
	};
}

/* The end of its life for readers, as far behind that of claim_of({0}). */
static inline uint64_t life_after_us(struct uidrecv_reader *reader,
				     uint32_t ipv4)
{
	struct uidrecv_mapping mapping;

	cr_assert_eq(look_at(reader, uidrecv_address_from_ipv4(ipv4), then_us(),
			     &mapping),
		     1);
	return mapping.expires_in_ms * 1000 - LIFE_S * SECOND;
}

#endif
