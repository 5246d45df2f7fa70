/* SPDX-License-Identifier: BSD-2-Clause */
/* Records of the host itself: uidrecv_receiver_submit(). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "live.h"

static int submit(struct live *live, const char *agent, const char *address,
		  const char *user, uint16_t *code)
{
	struct uidrecv_record record =
	    live_record(UIDRECV_OP_MAP, address, user);

	*code = 0xffff;
	return uidrecv_receiver_submit(live->receiver, agent, &record, 1, code);
}

Test(submit, is_durable_and_published_when_it_returns)
{
	struct live live;
	uint16_t code;

	live_init(&live, "portal", NULL);
	live_open(&live);
	cr_assert_eq(submit(&live, "portal", "10.0.0.1", "alice", &code), 0);
	cr_expect_eq(code, 0);
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "alice");
	live_stop(&live);
	live_open(&live);
	cr_expect_str_eq(live_user(&live, "10.0.0.1"), "alice");
	cr_expect_eq(live_stats(&live).claims, 1);
	live_done(&live);
}

Test(submit, rights_apply)
{
	struct live live;
	uint16_t code;

	live_init(&live, "portal", NULL);
	live_open(&live);
	cr_assert_eq(submit(&live, "portal", "192.0.2.1", "alice", &code), 0);
	cr_expect_eq(code, UIDRECV_REJECT_ADDRESS_NOT_ALLOWED);
	cr_expect_str_eq(live_user(&live, "192.0.2.1"), "");
	cr_assert_eq(submit(&live, "portal", "10.0.0.1", "", &code), 0);
	cr_expect_neq(code, 0);
	cr_expect_eq(submit(&live, "nobody", "10.0.0.1", "alice", &code),
		     UIDRECV_E_UNKNOWN_AGENT);
	cr_expect_eq(submit(&live, "", "10.0.0.1", "alice", &code),
		     UIDRECV_E_UNKNOWN_AGENT);
	cr_expect_eq(code, 0xffff);
	cr_assert_eq(live_set_agents(&live, ""), 0);
	cr_expect_eq(submit(&live, "portal", "10.0.0.1", "alice", &code),
		     UIDRECV_E_UNKNOWN_AGENT);
	live_done(&live);
}

/* Each record has its own code, in its place. */
Test(submit, many_with_codes)
{
	struct uidrecv_record *records = calloc(1025, sizeof(*records));
	uint16_t *codes = calloc(1025, sizeof(*codes));
	struct live live;

	live_init(&live, "portal", NULL);
	live_open(&live);
	for (int i = 0; i < 1025; i++) {
		records[i] = live_record(
		    UIDRECV_OP_MAP, i % 3 ? "10.0.0.0" : "192.0.2.0", "alice");
		records[i].address.lo += (uint64_t)i;
	}
	cr_expect_eq(uidrecv_receiver_submit(live.receiver, "portal", records,
					     1025, codes),
		     -EINVAL);
	cr_assert_eq(uidrecv_receiver_submit(live.receiver, "portal", records,
					     1024, codes),
		     0);
	for (int i = 0; i < 1024; i++)
		cr_assert_eq(codes[i],
			     i % 3 ? 0 : UIDRECV_REJECT_ADDRESS_NOT_ALLOWED);
	cr_expect_eq(live_stats(&live).records, 682);
	cr_expect_eq(live_stats(&live).records_rejected, 342);
	live_done(&live);
	free(records);
	free(codes);
}

/*
 * What is no record at all: nothing of the call is stored, and no code is
 * written.
 */
Test(submit, A03_misuse)
{
	static const uint16_t bad[] = {0,      0x0024, 0x8010,
				       0x800f, 0x8024, 0x8030};
	struct uidrecv_record records[2];
	uint16_t codes[2] = {77, 77};
	struct live live;

	live_init(&live, "portal", NULL);
	live_open(&live);
	records[0] = live_record(UIDRECV_OP_MAP, "10.0.0.1", "alice");
	records[1] = live_record(UIDRECV_OP_MAP, "10.0.0.2", "bob");
	cr_expect_eq(
	    uidrecv_receiver_submit(live.receiver, NULL, records, 2, codes),
	    -EINVAL);
	cr_expect_eq(
	    uidrecv_receiver_submit(live.receiver, "portal", NULL, 2, codes),
	    -EINVAL);
	cr_expect_eq(
	    uidrecv_receiver_submit(live.receiver, "portal", records, 0, codes),
	    -EINVAL);
	cr_expect_eq(
	    uidrecv_receiver_submit(live.receiver, "portal", records, 2, NULL),
	    -EINVAL);
	for (int i = 0; i < 6; i++) {
		records[0].op = bad[i];
		cr_expect_eq(uidrecv_receiver_submit(live.receiver, "portal",
						     records, 2, codes),
			     -EINVAL, "op %x", bad[i]);
	}
	cr_expect_eq(codes[0], 77);
	cr_expect_eq(codes[1], 77);
	cr_expect_str_eq(live_user(&live, "10.0.0.2"), "");
	live_done(&live);
}

/* The host and a connected agent speak of one address. */
Test(submit, beside_connected_agents)
{
	struct live live;
	struct live_agent *agent;
	uint64_t ticket;
	uint16_t code;

	live_init(&live, "a.example", NULL);
	live_add_name(&live, "portal");
	live_start(&live);
	cr_assert_eq(live_set_agents(&live, "a.example 10.0.0.0/8 priority=1\n"
					    "portal 10.0.0.0/8 priority=2\n"),
		     0);
	agent = live_agent(&live, "a.example", NULL);
	ticket = live_map(agent, "10.0.0.1", "directory");
	live_await(&live, agent->acked == ticket);
	cr_assert_str_eq(live_user(&live, "10.0.0.1"), "directory");
	cr_assert_eq(submit(&live, "portal", "10.0.0.1", "guest", &code), 0);
	cr_assert_str_eq(live_user(&live, "10.0.0.1"), "guest");
	/* Between the arrival of records and their round. */
	for (int i = 0; i < 50; i++) {
		ticket = live_map(agent, "10.0.0.2", i % 2 ? "x" : "y");
		live_turn(&live);
		cr_assert_eq(
		    submit(&live, "portal", "10.0.0.3", "guest", &code), 0);
		cr_assert_eq(code, 0);
	}
	live_await(&live, agent->acked == ticket);
	cr_assert_str_eq(live_user(&live, "10.0.0.2"), "x");
	cr_assert_eq(agent->events[UIDRECV_AGENT_REJECTED], 0);
	cr_assert_eq(agent->events[UIDRECV_AGENT_LOST], 0);
	live_done(&live);
}
