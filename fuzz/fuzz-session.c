/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A session of either role against any bytes: the first byte chooses the role
 * (bit 0) and how the rest is cut (bits 1-7); a sink accepts each HELLO, and
 * answers what has a serial, also with RESYNC; a source says something of each
 * kind. The clock goes on by what the bytes say.
 */
#include <stdlib.h>

#include "session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SECOND UINT64_C(1000000)

static struct ur_session_options make_options(bool is_source)
{
	return (struct ur_session_options){
	    .role = is_source ? UR_SOURCE : UR_SINK,
	    .hold_min_s = 3,
	    .hold_max_s = 90,
	    .frame_max = 8192,
	    .capabilities = is_source ? UR_CAPABILITY_SNAPSHOT
				      : UR_CAPABILITY_SNAPSHOT |
					    UR_CAPABILITY_REFRESH_ALL |
					    UR_CAPABILITY_PORTS,
	    .clock_base_us = UINT64_C(1700000000000000),
	    .handshake_us = 10 * SECOND,
	    .software = "fuzz",
	    .window = 16,
	    .session_id = 1,
	    .replay_first = 1,
	    .replay_last = 8,
	};
}

static void check(bool is_so)
{
	if (!is_so)
		abort();
}

/* What the peer may answer. */
static void say_all(struct ur_session *source, uint64_t now_us)
{
	static const struct uidrecv_system system = {
	    .address = {1, 2}, .ports = {1024, 1000}, .block_size = 10};
	struct ur_buf buf;

	for (uint64_t serial = 1; serial <= 6; serial++) {
		ur_buf_init(&buf, 4096);
		if (serial % 4 == 1)
			ur_snapshot_begin_encode(&buf, serial);
		else if (serial % 4 == 2)
			ur_snapshot_end_encode(&buf, serial, 0);
		else if (serial % 4 == 3)
			ur_ts_config_encode(&buf, serial, &system);
		else
			ur_refresh_all_encode(&buf, serial, now_us, 0);
		ur_session_update(source, ur_buf_front(&buf), buf.size, now_us);
		ur_buf_done(&buf);
	}
	check(source->serial == 6);
}

static void measure(const struct ur_session *session,
		    const struct ur_clock_echo *clock, uint64_t now_us)
{
	int64_t offset_us;
	uint64_t error_us;

	ur_session_measure(session, clock, now_us, &offset_us, &error_us);
	check(error_us <= now_us + session->options.clock_base_us);
}

static void check_ports(struct uidrecv_ports ports)
{
	check(ports.count > 0 && ports.count <= 65536u - ports.start);
}

static void check_system(const struct ur_update *update)
{
	struct uidrecv_system system;

	check(update->records_count == 1);
	ur_ts_config_decode(update->body, update->body_size, &system);
	check(system.block_size > 0);
	check(system.aliases_count <= UIDRECV_ALIASES_MAX);
	check(system.reserved_count <= UIDRECV_RESERVED_MAX);
	check_ports(system.ports);
	for (uint32_t i = 0; i < system.reserved_count; i++)
		check_ports(system.reserved[i]);
}

static void check_records(const struct ur_message *message)
{
	const struct ur_update *update = &message->update;
	struct uidrecv_record record;
	struct ur_records records;
	uint16_t code;

	check((message->type == UR_UPDATE) == (update->records_count > 0));
	ur_records_init(&records, update->body, update->body_size);
	while (ur_records_next(&records, &record, &code)) {
		check(code || !record.user_size || record.op);
		if (!code && record.ports.count)
			check_ports(record.ports);
	}
}

static void answer(struct ur_session *sink, const struct ur_message *message,
		   uint64_t now_us)
{
	static const struct ur_refusal refusals[2] = {{0, 1}, {7, 2}};
	const struct ur_update *update = &message->update;

	check(sink->options.role == UR_SINK);
	check(message->serial && message->serial == sink->serial);
	check(message->serial <= sink->acked ||
	      message->serial - sink->acked <= sink->window);
	check(update->maps_count <= update->records_count);
	if (message->type == UR_TS_CONFIG)
		check_system(update);
	else
		check_records(message);
	if (message->type == UR_UPDATE || message->type == UR_TS_CONFIG)
		ur_session_reject(sink, message->serial, refusals, 2, now_us);
	else
		ur_session_resync(sink, UIDRECV_RESYNC_COUNT, now_us);
	ur_session_ack(sink, message->serial, now_us);
}

static void act(struct ur_session *session, struct ur_message *message,
		uint64_t now_us)
{
	struct ur_reject reject;

	switch (message->type) {
	case UR_HELLO:
		measure(session, &message->hello.clock, now_us);
		ur_session_accept(session, 3, now_us);
		break;
	case UR_READY:
		say_all(session, now_us);
		break;
	case UR_UPDATE:
	case UR_SNAPSHOT_BEGIN:
	case UR_SNAPSHOT_END:
	case UR_REFRESH_ALL:
	case UR_TS_CONFIG:
		answer(session, message, now_us);
		break;
	case UR_REJECT:
		while (ur_rejects_next(&message->rejects, &reject))
			;
		break;
	case UR_KEEPALIVE:
		measure(session, &message->keepalive.clock, now_us);
		break;
	case UR_RESYNC:
		check(session->options.role == UR_SOURCE);
		check(!message->serial && !message->bye.quote &&
		      message->bye.text.size <= UR_TEXT_MAX);
		break;
	default:
		check(message->type == UR_ACK || message->type == UR_BYE);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ur_session_options options;
	struct ur_session session;
	struct ur_message message;
	const uint8_t *bytes;
	uint64_t now_us = 1;
	size_t step, sent;
	int ret = 0;

	if (!size)
		return 0;
	options = make_options(data[0] & 1);
	step = data[0] / 2 + 1;
	ur_session_init(&session, &options, now_us);
	for (size_t at = 1; at < size; at += step) {
		size_t piece = size - at < step ? size - at : step;

		(void)!ur_session_feed(&session, data + at, piece);
		while ((ret = ur_session_next(&session, now_us, &message)) == 1)
			act(&session, &message, now_us);
		now_us += data[at] * UINT64_C(1000);
		(void)!ur_session_tick(&session, now_us);
		sent = ur_session_send(&session, &bytes);
		ur_session_sent(&session, sent / 2);
		/* An error is for ever. */
		if (ret < 0 && ur_session_next(&session, now_us, &message) >= 0)
			abort();
	}
	ur_session_done(&session);
	return 0;
}
