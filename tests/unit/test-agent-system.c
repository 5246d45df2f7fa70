/* SPDX-License-Identifier: BSD-2-Clause */
/* What an agent's outbox does with the system and with records of its blocks.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "agent-private.h"

#define BODY_MAX 60000
#define ALL_CAPABILITIES                                                       \
	(UR_CAPABILITY_SNAPSHOT | UR_CAPABILITY_REFRESH_ALL |                  \
	 UR_CAPABILITY_PORTS)

static struct ur_outbox make_outbox(void)
{
	return (struct ur_outbox){.batch_max = 1024, .body_max = BODY_MAX};
}

static struct uidrecv_system make_system(uint16_t start)
{
	return (struct uidrecv_system){
	    .address = uidrecv_address_from_ipv4(0x0a000001),
	    .ports = {start, 1000},
	    .block_size = 200,
	};
}

static void set_system(struct ur_outbox *outbox, uint16_t start)
{
	struct ur_set_system set = {make_system(start), outbox->ticket + 1};

	cr_assert_eq(ur_outbox_add_system(outbox, &set, true), 0);
	outbox->system = set;
}

/* start 0: without ports. */
static void say(struct ur_outbox *outbox, uint16_t op, uint16_t start)
{
	struct uidrecv_record record = {
	    .op = op,
	    .address = uidrecv_address_from_ipv4(0x0a000001),
	    .user_size = op == UIDRECV_OP_MAP,
	    .user = "u",
	};

	if (start)
		record.ports = (struct uidrecv_ports){start, 200};
	cr_assert_eq(ur_outbox_add(outbox, &record, 1000000), 0);
}

static struct ur_message decode(const struct ur_outgoing *item)
{
	struct ur_message message;
	struct ur_framer framer;
	struct ur_frame frame;
	uint16_t bye;

	ur_framer_init(&framer, UR_FRAME_BODY_MAX);
	cr_assert_eq(ur_framer_feed(&framer, ur_buf_front(&item->frame),
				    item->frame.size),
		     0);
	cr_assert_eq(ur_framer_next(&framer, &frame), 1);
	cr_assert_eq(ur_message_decode(&frame, &message, &bye), 0);
	cr_assert_eq(message.serial, item->serial);
	/* What it points to is gone with the framer. */
	message.update.body = ur_buf_front(&item->frame) + UR_FRAME_HEADER;
	ur_framer_done(&framer);
	return message;
}

/*
 * What waits, a word each: C and where the range starts, U and how many
 * records, B, E and the count.
 */
static const char *describe(struct ur_outbox *outbox)
{
	static char text[256];
	size_t size = 0;
	uint64_t serial = outbox->first ? outbox->first->serial : 0;

	ur_outbox_close(outbox);
	*text = '\0';
	for (const struct ur_outgoing *item = outbox->first; item;
	     item = item->next) {
		struct ur_message message = decode(item);
		struct uidrecv_system system = {.block_size = 0};
		unsigned long long number = message.update.count;

		cr_assert_eq(item->serial, serial++);
		if (item->type == UR_UPDATE)
			number = message.update.records_count;
		if (item->type == UR_TS_CONFIG) {
			ur_ts_config_decode(message.update.body,
					    message.update.body_size, &system);
			number = system.ports.start;
		}
		size += (size_t)snprintf(text + size, sizeof(text) - size,
					 "%s%c%.0llu", size ? " " : "",
					 "???U?????BERC"[item->type], number);
	}
	return text;
}

#define expect_outbox(outbox, text)                                            \
	do {                                                                   \
		const char *has_ = describe(outbox);                           \
		cr_expect_str_eq(has_, text, "%s", has_);                      \
	} while (0)

Test(agent_system, takes_a_ticket_the_first_time)
{
	struct ur_outbox outbox = make_outbox();

	set_system(&outbox, 20000);
	say(&outbox, UIDRECV_OP_MAP, 20000);
	cr_expect_eq(outbox.ticket, 2);
	cr_assert_eq(ur_outbox_begin_snapshot(&outbox, false, true), 0);
	say(&outbox, UIDRECV_OP_MAP, 20200);
	cr_assert_eq(ur_outbox_end_snapshot(&outbox), 0);
	expect_outbox(&outbox, "C20000 U1 C20000 B U1 E1");
	cr_expect_eq(outbox.ticket, 3);
	cr_expect_eq(outbox.records, 3);
	cr_expect_eq(outbox.begin_serial, 4);
	/* Refused, and again when it is said again: its ticket each time. */
	cr_expect_eq(ur_outbox_refuse(&outbox, 1, 1), 0);
	cr_expect_eq(ur_outbox_refuse(&outbox, 1, 0), 1);
	cr_expect_eq(ur_outbox_refuse(&outbox, 1, 0), 0);
	cr_expect_eq(ur_outbox_refuse(&outbox, 3, 0), 1);
	cr_expect_eq(ur_outbox_refuse(&outbox, 3, 0), 0);
	cr_expect_eq(ur_outbox_refuse(&outbox, 2, 0), 2);
	cr_expect(ur_outbox_ack(&outbox, 1));
	cr_expect_eq(outbox.acked_ticket, 1);
	cr_expect(ur_outbox_ack(&outbox, 4));
	cr_expect_eq(outbox.acked_ticket, 2);
	cr_expect_eq(outbox.taken.ticket, 0);
	cr_expect(ur_outbox_ack(&outbox, 6));
	cr_expect_eq(outbox.acked_ticket, 3);
	cr_expect_eq(outbox.records, 0);
	cr_expect_eq(outbox.bytes, 0);
	ur_outbox_done(&outbox);
}

Test(agent_system, survives_a_snapshot_that_discards)
{
	struct ur_outbox outbox = make_outbox();

	say(&outbox, UIDRECV_OP_MAP, 0);
	ur_outbox_close(&outbox);
	outbox.sent = 1;
	outbox.unsent = NULL;
	set_system(&outbox, 20000);
	say(&outbox, UIDRECV_OP_MAP, 20000);
	cr_assert_eq(ur_outbox_begin_snapshot(&outbox, true, true), 0);
	expect_outbox(&outbox, "U1 C20000 B");
	cr_assert_not_null(outbox.unsent);
	cr_expect_eq(outbox.unsent->serial, 2);
	/* A refusal has the ticket of the call. */
	cr_expect_eq(ur_outbox_refuse(&outbox, 2, 0), 2);
	cr_expect(ur_outbox_ack(&outbox, 3));
	cr_expect_eq(outbox.acked_ticket, 3);
	/* Without the capability, and without a system. */
	cr_assert_eq(ur_outbox_begin_snapshot(&outbox, true, false), 0);
	expect_outbox(&outbox, "B");
	outbox.system.ticket = 0;
	cr_assert_eq(ur_outbox_begin_snapshot(&outbox, true, true), 0);
	ur_outbox_done(&outbox);
}

/* The records before a change are about the blocks before it. */
Test(agent_system, renumbered_session_begins_with_what_was_taken)
{
	struct ur_outbox outbox = make_outbox();

	set_system(&outbox, 20000);
	say(&outbox, UIDRECV_OP_MAP, 20000);
	set_system(&outbox, 30000);
	ur_outbox_refuse(&outbox, 3, 0);
	cr_expect(ur_outbox_ack(&outbox, 3));
	/* What was refused is not in force. */
	cr_expect_eq(outbox.taken.ticket, 1);
	cr_expect_eq(outbox.taken.config.ports.start, 20000);
	say(&outbox, UIDRECV_OP_MAP, 20200);
	set_system(&outbox, 40000);
	say(&outbox, UIDRECV_OP_MAP, 40000);
	say(&outbox, UIDRECV_OP_MAP, 40200);
	cr_assert_eq(ur_outbox_refuse(&outbox, 5, 0), 5);
	cr_expect(ur_outbox_suits(&outbox, BODY_MAX, ALL_CAPABILITIES));
	cr_expect_not(ur_outbox_suits(&outbox, 45, ALL_CAPABILITIES));
	cr_assert_eq(
	    ur_outbox_renumber(&outbox, 60, ALL_CAPABILITIES, NULL, NULL), 0);
	expect_outbox(&outbox, "C20000 U1 C40000 U1 U1");
	cr_expect_eq(outbox.system.config.ports.start, 40000);
	cr_expect_eq(outbox.ticket, 7);
	cr_expect_eq(outbox.records, 4);
	cr_expect_eq(ur_outbox_refuse(&outbox, 1, 0), 1);
	cr_expect_eq(ur_outbox_refuse(&outbox, 3, 0), 0); /* told before */
	cr_expect_eq(ur_outbox_refuse(&outbox, 5, 0), 7);
	cr_expect(ur_outbox_ack(&outbox, 1));
	cr_expect_eq(outbox.acked_ticket, 3);
	cr_expect(ur_outbox_ack(&outbox, 5));
	cr_expect_eq(outbox.acked_ticket, 7);
	ur_outbox_done(&outbox);
}

/* The one record that is about a block may be any of its message. */
Test(agent_system, records_alone_do_not_suit_either)
{
	static const uint16_t starts[][2] = {{20000, 0}, {0, 20000}};
	uint64_t without = ALL_CAPABILITIES & ~UR_CAPABILITY_PORTS;

	for (size_t i = 0; i < 2; i++) {
		struct ur_outbox outbox = make_outbox();

		say(&outbox, UIDRECV_OP_MAP, starts[i][0]);
		say(&outbox, UIDRECV_OP_MAP, starts[i][1]);
		cr_expect_eq(outbox.serial, 1);
		cr_expect_not(ur_outbox_suits(&outbox, BODY_MAX, without));
		cr_expect(ur_outbox_suits(&outbox, BODY_MAX, ALL_CAPABILITIES));
		ur_outbox_done(&outbox);
	}
}

static uint64_t told[16];
static size_t told_count;

static void tell(void *user, uint64_t serial, uint64_t ticket)
{
	cr_assert_eq(user, &told_count);
	cr_assert_neq(serial, 0);
	cr_assert_lt(told_count, 16);
	told[told_count++] = ticket;
}

Test(agent_system, receiver_without_ports_gets_the_rest)
{
	static const uint64_t expected[] = {1, 3, 5, 7};
	struct ur_outbox outbox = make_outbox();

	set_system(&outbox, 20000);	     /* ticket 1 */
	say(&outbox, UIDRECV_OP_MAP, 0);     /* 2 */
	say(&outbox, UIDRECV_OP_MAP, 20000); /* 3 */
	say(&outbox, UIDRECV_OP_MAP, 20200); /* 4, told by the receiver */
	cr_assert_eq(ur_outbox_begin_snapshot(&outbox, false, true), 0);
	say(&outbox, UIDRECV_OP_MAP, 20200);	  /* 5 */
	say(&outbox, UIDRECV_OP_MAP, 0);	  /* 6 */
	say(&outbox, UIDRECV_OP_WITHDRAW, 20000); /* 7 */
	say(&outbox, UIDRECV_OP_MAP, 0);	  /* 8 */
	cr_assert_eq(ur_outbox_end_snapshot(&outbox), 0);
	expect_outbox(&outbox, "C20000 U3 C20000 B U4 E3");
	cr_assert_eq(ur_outbox_refuse(&outbox, 2, 2), 4);
	/* Said again it is refused as it was. */
	cr_assert_eq(ur_outbox_refuse(&outbox, 3, 0), 1);
	cr_expect_not(ur_outbox_suits(&outbox, BODY_MAX,
				      ALL_CAPABILITIES & ~UR_CAPABILITY_PORTS));
	told_count = 0;
	cr_assert_eq(ur_outbox_renumber(&outbox, BODY_MAX,
					ALL_CAPABILITIES & ~UR_CAPABILITY_PORTS,
					tell, &told_count),
		     6);
	expect_outbox(&outbox, "U1 B U1 U1 E2");
	cr_assert_eq(told_count, 4);
	for (size_t i = 0; i < 4; i++)
		cr_expect_eq(told[i], expected[i]);
	cr_expect(ur_outbox_suits(&outbox, BODY_MAX,
				  ALL_CAPABILITIES & ~UR_CAPABILITY_PORTS));
	cr_expect_eq(ur_outbox_refuse(&outbox, 1, 0), 2);
	cr_expect_eq(ur_outbox_refuse(&outbox, 3, 0), 6);
	cr_expect_eq(ur_outbox_refuse(&outbox, 4, 0), 8);
	cr_expect_eq(outbox.records, 3);
	cr_expect(ur_outbox_ack(&outbox, 5));
	cr_expect_eq(outbox.acked_ticket, 8);
	ur_outbox_done(&outbox);
}
