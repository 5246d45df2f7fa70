/* SPDX-License-Identifier: BSD-2-Clause */
/* For the tests of messages and records: one good example of each message. */
#ifndef UR_TEST_CODEC_H
#define UR_TEST_CODEC_H

#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "message.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* Room for the longest body that is made here. */
#define ROOM (1u << 20)

static const struct ur_hello source_hello = {
    .version_min = 1,
    .version_max = 2,
    .role = UR_SOURCE,
    .hold_min_s = 3,
    .hold_max_s = 300,
    .frame_max = 65536,
    .capabilities = 0x8000000000000001,
    .software = {"agent 1", 7},
    .clock = {1000, 2000, 3000},
    .session_id = 0x0123456789abcdef,
    .replay_first = 6,
    .replay_last = 7,
    .acked = 5,
};

static const struct uidrecv_record full_record = {
    .address = {0, 0xffff0a010203},
    .event_time_us = 1699999990000000,
    .token = 4660,
    .lifetime_s = 3600,
    .op = UIDRECV_OP_MAP,
    .source = 200,
    .user_size = 10,
    .has_event_time = true,
    .has_token = true,
    .user = "CORP\\alice",
};

static inline void encode_source_hello(struct ur_buf *buf)
{
	ur_hello_encode(buf, &source_hello);
}

static inline void encode_sink_hello(struct ur_buf *buf)
{
	struct ur_hello hello = source_hello;

	hello.role = UR_SINK;
	ur_hello_encode(buf, &hello);
}

static inline void encode_ready(struct ur_buf *buf)
{
	static const struct ur_ready ready = {1, 90, 77, 256};

	ur_ready_encode(buf, &ready);
}

static inline void encode_update(struct ur_buf *buf)
{
	struct uidrecv_record withdraw = {.address = {1, 2},
					  .op = UIDRECV_OP_WITHDRAW};
	struct ur_update_writer writer;

	ur_update_begin(&writer, buf, 0, 1700000000000000, true, 5, 4096);
	if (!ur_update_add(&writer, &full_record) ||
	    !ur_update_add(&writer, &withdraw))
		buf->failed = true; /* one without the other is not wanted */
	ur_update_end(&writer);
}

static inline void encode_ack(struct ur_buf *buf)
{
	ur_ack_encode(buf, 0);
}

static inline void encode_reject(struct ur_buf *buf)
{
	static const struct ur_refusal refusals[] = {{1, 12}, {70000, 4}};

	ur_reject_encode(buf, 0, refusals, 2, 4096);
}

static inline void encode_keepalive(struct ur_buf *buf)
{
	static const struct ur_keepalive keepalive = {{5, 6, 7}, 8, true};

	ur_keepalive_encode(buf, &keepalive);
}

static inline void encode_bye(struct ur_buf *buf)
{
	ur_bye_encode(buf, 206, "why", (const uint8_t *)"0123456789abcdef");
}

static inline void encode_resync(struct ur_buf *buf)
{
	ur_resync_encode(buf, UIDRECV_RESYNC_GAP);
}

static inline void encode_snapshot_begin(struct ur_buf *buf)
{
	size_t begun = buf->size;

	ur_snapshot_begin_encode(buf, 0);
	ur_update_add_acked(buf, begun, 5);
}

static inline void encode_snapshot_end(struct ur_buf *buf)
{
	size_t begun = buf->size;

	ur_snapshot_end_encode(buf, 0, 1000000);
	ur_update_add_acked(buf, begun, 5);
}

static inline void encode_refresh_all(struct ur_buf *buf)
{
	size_t begun = buf->size;

	ur_refresh_all_encode(buf, 0, 1700000000000000, 1000000);
	ur_update_add_acked(buf, begun, 5);
}

static const struct uidrecv_system full_system = {
    .address = {0, 0xffff0a010203},
    .aliases = {{0x20010db800000000, 0x10002}, {0, 0xffff0a010204}},
    .ports = {20000, 20000},
    .reserved = {{20000, 1}, {39999, 1}},
    .block_size = 200,
    .aliases_count = 2,
    .reserved_count = 2,
};

static inline void encode_ts_config(struct ur_buf *buf)
{
	size_t begun = buf->size;

	ur_ts_config_encode(buf, 0, &full_system);
	ur_update_add_acked(buf, begun, 5);
}

static const struct example {
	const char *name;
	void (*encode)(struct ur_buf *buf);
	uint16_t unknown;    /* answers an unknown critical TLV */
	uint16_t needed[10]; /* TLVs, by section 4 of the protocol */
	uint16_t optional[3];
} examples[] = {
    {"HELLO of a source",
     encode_source_hello,
     305,
     {0x8001, 0x8002, 0x8003, 0x8004, 0x8005, 0x8007, 0x800a, 0x800f},
     {0x0008, 0x0009}},
    {"HELLO of a sink",
     encode_sink_hello,
     305,
     {0x8001, 0x8002, 0x8005, 0x8007, 0x800a},
     {0x0008, 0x0009}},
    {"READY", encode_ready, 204, {0x8006, 0x800b, 0x800c, 0x800d}, {0}},
    {"UPDATE", encode_update, 204, {0x8010}, {0x800f, 0x8020, 0x8023}},
    {"ACK", encode_ack, 204, {0}, {0}},
    {"REJECT", encode_reject, 204, {0}, {0x8011}},
    {"KEEPALIVE", encode_keepalive, 204, {0x800a}, {0x800f}},
    {"BYE", encode_bye, 204, {0x8012}, {0x0013}},
    {"RESYNC", encode_resync, 204, {0x8012}, {0}},
    {"SNAPSHOT BEGIN", encode_snapshot_begin, 204, {0}, {0x800f}},
    {"SNAPSHOT END", encode_snapshot_end, 204, {0x8014}, {0x800f}},
    {"REFRESH ALL", encode_refresh_all, 204, {0x8010, 0x8014}, {0x800f}},
    {"TS CONFIG",
     encode_ts_config,
     204,
     {0x8015, 0x8016, 0x8030},
     {0x800f, 0x8017, 0x8018}},
};

static inline bool is_listed(const uint16_t *types, size_t count, unsigned type)
{
	for (size_t i = 0; i < count; i++)
		if (types[i] == type && type != 0)
			return true;
	return false;
}

/* The frame at the front of a buf. */
static inline struct ur_frame frame_of(const struct ur_buf *buf)
{
	struct ur_frame frame = {0};
	struct ur_bytes reading = ur_bytes_of(ur_buf_front(buf), buf->size);

	frame.version = ur_bytes_u8(&reading);
	frame.type = ur_bytes_u8(&reading);
	frame.flags = ur_bytes_u16(&reading);
	frame.length = ur_bytes_u32(&reading);
	frame.serial = ur_bytes_u64(&reading);
	frame.header = ur_buf_front(buf);
	frame.body = ur_bytes_raw(&reading, frame.length);
	cr_assert_not_null(frame.body);
	return frame;
}

static inline struct ur_buf encoded(const struct example *example)
{
	struct ur_buf buf;

	ur_buf_init(&buf, ROOM);
	example->encode(&buf);
	cr_assert(!buf.failed);
	return buf;
}

/* 0 or the BYE that answers a message; its bytes end where memory ends. */
static inline uint16_t answer(uint8_t type, const void *body, size_t size)
{
	struct ur_frame frame = {
	    .version = 1, .type = type, .length = (uint32_t)size};
	uint8_t *exact = malloc(size > 0 ? size : 1);
	struct ur_message message;
	uint16_t bye = 0;
	int result;

	if (size > 0)
		memcpy(exact, body, size);
	frame.body = exact;
	result = ur_message_decode(&frame, &message, &bye);
	cr_assert_eq(result, bye ? UIDRECV_E_MESSAGE : 0);
	free(exact);
	return bye;
}

static inline void put_tlv(struct ur_buf *buf, unsigned type, const void *value,
			   size_t size)
{
	ur_buf_u16(buf, (uint16_t)type);
	ur_buf_u16(buf, (uint16_t)size);
	ur_buf_bytes(buf, value, size);
}

struct span { /* a TLV inside of bytes */
	unsigned type;
	size_t at, size; /* with its header */
};

/* The TLVs of good bytes. Returns how many. */
static inline size_t spans_of(const uint8_t *bytes, size_t size,
			      struct span spans[16])
{
	size_t count = 0;

	for (size_t at = 0; at < size; at += spans[count++].size) {
		spans[count].at = at;
		spans[count].type = (unsigned)bytes[at] << 8 | bytes[at + 1];
		spans[count].size =
		    4u + ((unsigned)bytes[at + 2] << 8 | bytes[at + 3]);
	}
	return count;
}

#endif
