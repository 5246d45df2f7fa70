/* SPDX-License-Identifier: BSD-2-Clause */
/* TS CONFIG as a message. */
#include "codec.h"

/* What a TS CONFIG says when it was encoded and decoded. */
static struct uidrecv_system again(const struct uidrecv_system *system,
				   bool has_acked)
{
	struct uidrecv_system decoded;
	struct ur_message message;
	struct ur_frame frame;
	struct ur_buf buf;
	uint16_t bye;

	ur_buf_init(&buf, ROOM);
	ur_ts_config_encode(&buf, 77, system);
	if (has_acked)
		ur_update_add_acked(&buf, 0, UINT64_MAX);
	cr_assert(!buf.failed);
	frame = frame_of(&buf);
	cr_assert_eq(ur_message_decode(&frame, &message, &bye), 0);
	cr_assert_eq(message.type, UR_TS_CONFIG);
	cr_assert_eq(message.serial, 77);
	cr_assert_eq(message.update.has_acked, has_acked);
	cr_assert_eq(message.update.acked, has_acked ? UINT64_MAX : 0);
	cr_assert_eq(message.update.records_count, 1);
	cr_assert_eq(message.update.maps_count, 0);
	cr_assert_eq(message.update.count, 0);
	cr_assert_eq(message.update.as_of_us, 0);
	memset(&decoded, 0xff, sizeof(decoded));
	ur_ts_config_decode(message.update.body, message.update.body_size,
			    &decoded);
	ur_buf_done(&buf);
	return decoded;
}

static void assert_ports(struct uidrecv_ports a, struct uidrecv_ports b)
{
	cr_assert_eq(a.start, b.start);
	cr_assert_eq(a.count, b.count);
}

static void assert_address(struct uidrecv_address a, struct uidrecv_address b)
{
	cr_assert_eq(a.hi, b.hi);
	cr_assert_eq(a.lo, b.lo);
}

static void assert_equal(const struct uidrecv_system *a,
			 const struct uidrecv_system *b)
{
	assert_address(a->address, b->address);
	assert_ports(a->ports, b->ports);
	cr_assert_eq(a->block_size, b->block_size);
	cr_assert_eq(a->aliases_count, b->aliases_count);
	cr_assert_eq(a->reserved_count, b->reserved_count);
	for (size_t i = 0; i < UIDRECV_ALIASES_MAX; i++)
		assert_address(a->aliases[i], b->aliases[i]);
	for (size_t i = 0; i < UIDRECV_RESERVED_MAX; i++)
		assert_ports(a->reserved[i], b->reserved[i]);
}

/* With any number of aliases, of both families, and of reserved ranges. */
Test(message_system, round_trip)
{
	for (uint32_t i = 0; i <= UIDRECV_ALIASES_MAX; i++)
		for (uint32_t j = 0; j <= UIDRECV_RESERVED_MAX; j++) {
			struct uidrecv_system system = full_system, got;

			memset(system.aliases, 0, sizeof(system.aliases));
			memset(system.reserved, 0, sizeof(system.reserved));
			system.aliases_count = i;
			system.reserved_count = j;
			system.block_size = UINT32_MAX - i;
			if (j % 2)
				system.address = (struct uidrecv_address){j, i};
			for (uint32_t k = 0; k < i; k++)
				system.aliases[k] =
				    k % 2 ? (struct uidrecv_address){k, j}
					  : uidrecv_address_from_ipv4(k);
			for (uint32_t k = 0; k < j; k++)
				system.reserved[k] = (struct uidrecv_ports){
				    (uint16_t)k, 65536 - k};
			got = again(&system, j % 3 == 0);
			assert_equal(&got, &system);
		}
}

/* An IPv4 address has one form here, too. */
Test(message_system, P12_mapped_addresses_are_those_of_ipv4)
{
	static const char mapped[] = "\0\0\0\0\0\0\0\0\0\0\xff\xff\n\1\2\3";
	struct uidrecv_system system;
	struct ur_buf body;

	ur_buf_init(&body, ROOM);
	put_tlv(&body, 0x8030, mapped, 16);
	put_tlv(&body, 0x8018, mapped, 16);
	put_tlv(&body, 0x8015, "\0\1\0\0\0\1", 6);
	put_tlv(&body, 0x8016, "\0\0\0\1", 4);
	cr_assert_eq(answer(UR_TS_CONFIG, ur_buf_front(&body), body.size), 0);
	ur_ts_config_decode(ur_buf_front(&body), body.size, &system);
	assert_address(system.address, full_system.address);
	assert_address(system.aliases[0], full_system.address);
	cr_assert_eq(system.aliases_count, 1);
	ur_buf_done(&body);
}

/* What this version does not know is skipped, wherever it stands. */
Test(message_system, optional_tlvs_are_skipped)
{
	struct ur_buf buf = encoded(&examples[12]);
	struct uidrecv_system system;

	put_tlv(&buf, 0x0018, "garbage", 7);
	put_tlv(&buf, 0x0015, "", 0);
	ur_frame_end(&buf, 0);
	cr_assert_eq(frame_of(&buf).type, UR_TS_CONFIG);
	cr_assert_eq(
	    answer(UR_TS_CONFIG, frame_of(&buf).body, frame_of(&buf).length),
	    0);
	ur_ts_config_decode(frame_of(&buf).body, frame_of(&buf).length,
			    &system);
	assert_equal(&system, &full_system);
	ur_buf_done(&buf);
}

/* The example with so many more of one TLV. */
static uint16_t answer_more(unsigned type, const char *value, size_t size,
			    size_t more)
{
	struct ur_buf buf = encoded(&examples[12]);
	uint16_t bye;

	for (size_t i = 0; i < more; i++)
		put_tlv(&buf, type, value, size);
	ur_frame_end(&buf, 0);
	bye = answer(UR_TS_CONFIG, frame_of(&buf).body, frame_of(&buf).length);
	ur_buf_done(&buf);
	return bye;
}

Test(message_system, P03_not_more_than_16_aliases_and_32_reserved_ranges)
{
	for (size_t more = 0; more < 100; more++) {
		cr_assert_eq(answer_more(0x8018, "\n\1\2\3", 4, more),
			     more + 2 <= 16 ? 0 : 204, "%zu", more);
		cr_assert_eq(answer_more(0x8017, "\0\1\0\0\0\1", 6, more),
			     more + 2 <= 32 ? 0 : 204, "%zu", more);
	}
	cr_assert_eq(answer_more(0x8018, "\n\1\2\3", 4, 100000), 204);
}

/* One that is bad, be it the last of many. */
Test(message_system, T02_each_reserved_range_is_checked)
{
	cr_assert_eq(answer_more(0x8017, "\xff\xff\0\0\0\1", 6, 30), 0);
	for (size_t good = 0; good < 30; good++) {
		struct ur_buf buf = encoded(&examples[12]);

		for (size_t i = 0; i < good; i++)
			put_tlv(&buf, 0x8017, "\0\1\0\0\0\1", 6);
		put_tlv(&buf, 0x8017, "\xff\xff\0\0\0\2", 6);
		ur_frame_end(&buf, 0);
		cr_assert_eq(answer(UR_TS_CONFIG, frame_of(&buf).body,
				    frame_of(&buf).length),
			     204);
		ur_buf_done(&buf);
	}
}
