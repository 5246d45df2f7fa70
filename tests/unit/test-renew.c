/* SPDX-License-Identifier: BSD-2-Clause */
/* Lives that the table lends: to whom, for how long, and to nobody else. */
#include "renewals.h"

static struct scratch scratch;
static struct ur_table *table;
static struct uidrecv_reader *reader;

static void setup(void)
{
	scratch_init(&scratch);
	table = make_published(scratch.path);
	reader = open_reader(scratch.path);
}

static void teardown(void)
{
	uidrecv_reader_close(reader);
	ur_table_close(table);
	scratch_done(&scratch);
}

TestSuite(renew, .init = setup, .fini = teardown, .timeout = 280);

#define PUT(ipv4, ...)                                                         \
	cr_assert_eq(put_claim(table, ipv4, (struct claim){__VA_ARGS__}), 0)

Test(renew, readers_see_the_new_life_and_no_change)
{
	uint64_t change;

	PUT(1, 0);
	change = ur_table_get_change(table);
	cr_expect_eq(life_after_us(reader, 1), 0);
	cr_assert(renew_after(table, 1, 7 * SECOND + 999));
	cr_expect_eq(life_after_us(reader, 1), 7 * SECOND);
	cr_assert(renew_after(table, 1, 8 * SECOND + 1000));
	cr_expect_eq(life_after_us(reader, 1), 8 * SECOND + 1000);
	cr_expect_eq(ur_table_get_change(table), change);
}

Test(renew, never_shortens)
{
	PUT(1, 0);
	cr_assert(renew_after(table, 1, 9 * SECOND));
	cr_assert(renew_after(table, 1, 5 * SECOND));
	cr_expect_eq(life_after_us(reader, 1), 9 * SECOND);
}

Test(renew, lends_an_eighth_of_the_lifetime_to_the_millisecond)
{
	PUT(1, 0);
	cr_expect_not(renew_after(table, 1, LENT_MAX_US + 1000));
	cr_expect_eq(life_after_us(reader, 1), 0);
	cr_expect(renew_after(table, 1, LENT_MAX_US));
	cr_expect_not(renew_after(table, 1, LENT_MAX_US + 1000));
	cr_expect_eq(life_after_us(reader, 1), LENT_MAX_US);
	/* It is counted from what the store has, not from what was lent. */
	PUT(2, .deadline_us = then_us() + 8001 * SECOND,
	    .kept_us = then_us() + 8000 * SECOND);
	cr_expect_not(renew_after(table, 2, LENT_MAX_US + 1000));
	cr_expect(renew_after(table, 2, LENT_MAX_US));
	cr_expect_eq(life_after_us(reader, 2), LENT_MAX_US);
	/* The eighth is of its own lifetime. */
	PUT(3, .lifetime_s = 80);
	cr_expect_not(renew_after(table, 3, 10 * SECOND + 1000));
	cr_expect(renew_after(table, 3, 10 * SECOND));
}

Test(renew, what_the_store_has_since_lends_anew)
{
	PUT(1, 0);
	cr_assert(renew_after(table, 1, LENT_MAX_US));
	cr_expect_not(renew_after(table, 1, LENT_MAX_US + SECOND));
	PUT(1, .as_of_us = then_us() + LENT_MAX_US + SECOND);
	cr_expect(renew_after(table, 1, 2 * LENT_MAX_US + SECOND));
	cr_expect_eq(life_after_us(reader, 1), 2 * LENT_MAX_US + SECOND);
}

Test(renew, is_for_the_agent_the_epoch_the_user_and_the_lifetime)
{
	struct ur_table_renewal right = renewal_of(1, SECOND), other;

	PUT(1, 0);
	right.user = SHORT;
	right.user_size = (uint8_t)strlen(SHORT);
	right.lifetime_s = LIFE_S;
	other = right;
	other.agent = 2;
	cr_expect_not(renew(table, other));
	other = right;
	other.epoch = 2;
	cr_expect_not(renew(table, other));
	other = right;
	other.user = "CORP\\alicf";
	cr_expect_not(renew(table, other));
	other = right;
	other.user_size--;
	cr_expect_not(renew(table, other));
	other = right;
	other.lifetime_s++;
	cr_expect_not(renew(table, other));
	other = right;
	other.address.lo++;
	cr_expect_not(renew(table, other));
	cr_expect_eq(life_after_us(reader, 1), 0);
	cr_expect(renew(table, right));
	cr_expect_eq(life_after_us(reader, 1), SECOND);
}

Test(renew, long_names_are_compared_whole)
{
	struct ur_table_renewal renewal = renewal_of(1, SECOND);

	PUT(1, .user = LONG);
	renewal.user_size = (uint8_t)strlen(LONG);
	renewal.user = "a-user-with-a-name-of-more-than-20-bytez";
	cr_expect_not(renew(table, renewal));
	renewal.user = LONG;
	cr_expect(renew(table, renewal));
}

Test(renew, revives_nothing)
{
	struct ur_table_renewal late = renewal_of(1, LIFE_S * SECOND);
	struct ur_table_answer nobody = {.address =
					     uidrecv_address_from_ipv4(2)};

	PUT(1, 0);
	PUT(2, 0);
	PUT(3, .epoch = 1);
	PUT(4, .agent = 2);
	late.as_of_us -= LIFE_S * SECOND;
	cr_expect_not(
	    ur_table_renew(table, &late, then_us() + LIFE_S * SECOND));
	cr_expect(
	    ur_table_renew(table, &late, then_us() + LIFE_S * SECOND - 1));
	cr_assert_eq(ur_table_put(table, &nobody, then_us()), 0);
	cr_expect_not(renew_after(table, 2, SECOND));
	ur_table_drop(table, 1, 2);
	cr_expect_not(renew_after(table, 3, SECOND));
}

/* An as-of time of the future is no life. */
Test(renew, as_of_is_not_ahead)
{
	struct ur_table_renewal renewal = renewal_of(1, 0);

	PUT(1, 0);
	renewal.as_of_us = UINT64_MAX - 1;
	cr_expect_not(ur_table_renew(table, &renewal, then_us()));
	renewal.as_of_us = then_us() + 1000;
	cr_expect_not(ur_table_renew(table, &renewal, then_us() + 999));
	cr_expect(ur_table_renew(table, &renewal, then_us() + 1000));
}

Test(renew, what_the_store_has_must_be_known)
{
	/* Nothing is said of it; it has less by more than an eighth, or more.
	 */
	PUT(1, .kept_us = 1);
	cr_expect_not(renew_after(table, 1, SECOND));
	PUT(2, .kept_us = then_us() + LIFE_S * SECOND - LENT_MAX_US - 1000);
	cr_expect_not(renew_after(table, 2, 0));
	PUT(2, .kept_us = then_us() + LIFE_S * SECOND - LENT_MAX_US);
	cr_expect(renew_after(table, 2, 0));
	PUT(3, .kept_us = then_us() + LIFE_S * SECOND + 1000);
	cr_expect_not(renew_after(table, 3, 0));
	/* What never ends, and lifetimes that a slot cannot hold. */
	PUT(4, .deadline_us = UINT64_MAX);
	cr_expect_not(renew_after(table, 4, SECOND));
	PUT(5, .lifetime_s = UR_LIFETIME_MAX_S);
	cr_expect_not(renew_after(table, 5, SECOND));
	PUT(6, .lifetime_s = UR_LIFETIME_MAX_S - 1);
	cr_expect(renew_after(table, 6, SECOND));
}

/* The end of time is no time. */
Test(renew, nobody_is_lent_a_life_that_never_ends)
{
	struct ur_table_renewal renewal = renewal_of(1, 0);
	uint64_t life_ms = LIFE_S * 1000;

	PUT(1, .deadline_us = (UR_DEADLINE_NEVER - 10) * 1000);
	renewal.as_of_us = (UR_DEADLINE_NEVER - life_ms) * 1000;
	cr_expect_not(ur_table_renew(table, &renewal, renewal.as_of_us));
	renewal.as_of_us -= 1000;
	cr_expect(ur_table_renew(table, &renewal, renewal.as_of_us));
}

Test(renew, another_answer_at_the_address_is_known_anew)
{
	struct ur_table_answer nobody = {.address =
					     uidrecv_address_from_ipv4(1)};

	PUT(1, 0);
	PUT(1, .user = "eve", .kept_us = 1);
	cr_expect_not(renew_after(table, 1, SECOND));
	PUT(1, .user = "eve");
	cr_expect(renew_after(table, 1, SECOND));
	PUT(1, .user = "eve", .deadline_us = then_us() + 2 * LIFE_S * SECOND,
	    .kept_us = then_us() + LIFE_S * SECOND);
	cr_expect_not(renew_after(table, 1, SECOND));
	PUT(1, 0);
	cr_assert_eq(ur_table_put(table, &nobody, then_us()), 0);
	cr_expect_eq(
	    ur_table_get_lent_us(table, &(struct ur_lease){.agent = "dc1"}), 0);
	PUT(1, .kept_us = 1);
	cr_expect_not(renew_after(table, 1, SECOND));
}

Test(renew, multi_user_addresses_are_not_renewed)
{
	struct ur_table_renewal renewal = renewal_of(1, SECOND);

	cr_assert_eq(put_system(table, 1, 20000, 1000, 100), 0);
	renewal.agent = 2;
	renewal.epoch = UR_TABLE_EPOCH_SYSTEMS;
	cr_expect_not(renew(table, renewal));
	cr_expect_str_eq(look_port(reader, 1, -1).text, "no-port");
}

Test(renew, growth_keeps_what_may_be_lent)
{
	for (uint32_t i = 0; i < 600; i++)
		PUT(i, .user = i % 2 ? SHORT : LONG);
	for (uint32_t i = 0; i < 600; i++)
		cr_assert(renew_after(table, i, i * SECOND));
	for (uint32_t i = 600; i < 5000; i++)
		PUT(i, .kept_us = 1);
	for (uint32_t i = 0; i < 600; i++) {
		struct ur_lease lease =
		    lease_of(i, (struct claim){.user = i % 2 ? SHORT : LONG});

		cr_assert_eq(life_after_us(reader, i), i * SECOND);
		cr_assert_eq(ur_table_get_lent_us(table, &lease),
			     then_us() + (LIFE_S + i) * SECOND);
		cr_assert_not(renew_after(table, i, LENT_MAX_US + 1000));
		cr_assert(renew_after(table, i, LENT_MAX_US));
	}
	cr_assert_not(renew_after(table, 600, SECOND));
}

/* A line that REFRESH ALL has renewed lends nothing that it has not. */
Test(renew, after_a_REFRESH_ALL)
{
	PUT(1, 0);
	ur_table_refresh(table, 1, 1, then_us() + 2 * LENT_MAX_US);
	cr_expect_not(renew_after(table, 1, 2 * LENT_MAX_US + SECOND));
	cr_expect(renew_after(table, 1, SECOND));
	cr_expect_eq(life_after_us(reader, 1), 2 * LENT_MAX_US);
}
