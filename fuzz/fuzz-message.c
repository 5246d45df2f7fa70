/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One frame, whose length is what is there. What decodes well is encoded and
 * decoded again, and must be the same.
 */
#include <stdlib.h>
#include <string.h>

#include "message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool is_so)
{
	if (!is_so)
		abort();
}

static bool is_equal(const void *a, const void *b, size_t size)
{
	return size == 0 || memcmp(a, b, size) == 0;
}

static bool decode(const uint8_t *bytes, size_t size,
		   struct ur_message *ret_message)
{
	struct ur_frame frame = {.header = bytes};
	struct ur_bytes reading = ur_bytes_of(bytes, UR_FRAME_HEADER);
	uint16_t bye = 0;
	int result;

	frame.version = ur_bytes_u8(&reading);
	frame.type = ur_bytes_u8(&reading);
	ur_bytes_u16(&reading);
	ur_bytes_u32(&reading);
	frame.serial = ur_bytes_u64(&reading);
	frame.length = (uint32_t)(size - UR_FRAME_HEADER);
	frame.body = bytes + UR_FRAME_HEADER;
	result = ur_message_decode(&frame, ret_message, &bye);
	check(result == 0 ? bye == 0
			  : result == UIDRECV_E_MESSAGE &&
				(bye == UIDRECV_BYE_BAD_TYPE ||
				 bye == UIDRECV_BYE_BAD_MESSAGE ||
				 bye == UIDRECV_BYE_UNSUPPORTED_FIELD));
	return result == 0;
}

static void check_record(const struct uidrecv_record *record)
{
	check(record->op >= UIDRECV_OP_MAP &&
	      record->op <= UIDRECV_OP_WITHDRAW);
	check(record->user[record->user_size] == '\0');
	check(record->user_size > 0 || record->op != UIDRECV_OP_MAP);
	check(record->has_token || record->token == 0);
	check(record->has_event_time || record->event_time_us == 0);
	check(record->ports.count > 0 || record->ports.start == 0);
	check(record->ports.count <= 65536u - record->ports.start);
}

/* Writes the good records again. Returns how many there are. */
static uint32_t encode_update(struct ur_buf *buf,
			      const struct ur_message *message)
{
	const struct ur_update *update = &message->update;
	struct uidrecv_record record;
	struct ur_update_writer writer;
	struct ur_records records;
	uint32_t given = 0, maps = 0;
	uint16_t code;

	ur_update_begin(&writer, buf, message->serial, update->as_of_us,
			update->has_acked, update->acked, UINT32_MAX);
	ur_records_init(&records, update->body, update->body_size);
	while (ur_records_next(&records, &record, &code)) {
		check(records.index >= given++);
		check(code <= UIDRECV_REJECT_LIFETIME_NOT_ALLOWED ||
		      code == UIDRECV_REJECT_PORTS_INVALID);
		maps += record.op == UIDRECV_OP_MAP;
		if (code != 0)
			continue;
		check_record(&record);
		check(ur_update_add(&writer, &record));
	}
	check(given <= update->records_count && records.next <= UR_RECORDS_MAX);
	check(records.next == update->records_count);
	check(maps == update->maps_count && update->count == 0);
	ur_update_end(&writer);
	return writer.count;
}

static void encode_ts_config(struct ur_buf *buf,
			     const struct ur_message *message)
{
	const struct ur_update *update = &message->update;
	struct uidrecv_system system;

	check(update->records_count == 1 && !update->maps_count);
	check(!update->as_of_us && !update->count);
	ur_ts_config_decode(update->body, update->body_size, &system);
	check(system.aliases_count <= UIDRECV_ALIASES_MAX);
	check(system.reserved_count <= UIDRECV_RESERVED_MAX);
	ur_ts_config_encode(buf, message->serial, &system);
	if (update->has_acked)
		ur_update_add_acked(buf, 0, update->acked);
}

/* Whatever else has a serial of its own. */
static void encode_bare(struct ur_buf *buf, const struct ur_message *message)
{
	const struct ur_update *update = &message->update;

	check(!update->body && !update->body_size);
	check(!update->records_count && !update->maps_count);
	check(!update->as_of_us || message->type == UR_REFRESH_ALL);
	check(!update->count || message->type != UR_SNAPSHOT_BEGIN);
	if (message->type == UR_SNAPSHOT_BEGIN)
		ur_snapshot_begin_encode(buf, message->serial);
	else if (message->type == UR_SNAPSHOT_END)
		ur_snapshot_end_encode(buf, message->serial, update->count);
	else
		ur_refresh_all_encode(buf, message->serial, update->as_of_us,
				      update->count);
	if (update->has_acked)
		ur_update_add_acked(buf, 0, update->acked);
}

static void check_system(const struct ur_update *a, const struct ur_update *b)
{
	struct uidrecv_system system, again;

	ur_ts_config_decode(a->body, a->body_size, &system);
	ur_ts_config_decode(b->body, b->body_size, &again);
	check(memcmp(&system, &again, sizeof(system)) == 0);
}

static void check_update(const struct ur_message *a, const struct ur_message *b)
{
	struct uidrecv_record record, again;
	struct ur_records of_a, of_b;
	uint16_t code, none;

	check(a->update.as_of_us == b->update.as_of_us);
	check(a->update.count == b->update.count);
	check(a->update.acked == b->update.acked);
	check(a->update.has_acked == b->update.has_acked);
	if (a->type == UR_TS_CONFIG) {
		check_system(&a->update, &b->update);
		return;
	}
	ur_records_init(&of_a, a->update.body, a->update.body_size);
	ur_records_init(&of_b, b->update.body, b->update.body_size);
	while (ur_records_next(&of_a, &record, &code)) {
		if (code != 0)
			continue;
		check(ur_records_next(&of_b, &again, &none) == 1 && none == 0);
		check(memcmp(&record, &again,
			     offsetof(struct uidrecv_record, user) +
				 record.user_size + 1) == 0);
	}
	check(ur_records_next(&of_b, &again, &none) == 0);
}

static void encode_rejects(struct ur_buf *buf, const struct ur_message *message)
{
	struct ur_bytes rejects = message->rejects;
	size_t room = rejects.left / 10, count = 0;
	struct ur_refusal *refusals = calloc(room, sizeof(*refusals));
	struct ur_reject reject;

	check(room > 0 && refusals);
	while (ur_rejects_next(&rejects, &reject)) {
		check(count < room && reject.text.size <= UR_TEXT_MAX);
		refusals[count].index = reject.index;
		refusals[count++].code = reject.code;
	}
	check(count > 0 && !rejects.is_short);
	ur_reject_encode(buf, message->serial, refusals, count, UINT32_MAX);
	free(refusals);
}

static void check_rejects(const struct ur_message *a,
			  const struct ur_message *b)
{
	struct ur_bytes of_a = a->rejects, of_b = b->rejects;
	struct ur_reject one, other;

	while (ur_rejects_next(&of_a, &one)) {
		check(ur_rejects_next(&of_b, &other) == 1);
		check(one.index == other.index && one.code == other.code);
	}
	check(ur_rejects_next(&of_b, &other) == 0);
}

static void encode_bye(struct ur_buf *buf, const struct ur_bye *bye)
{
	char text[UR_TEXT_MAX + 1] = {0};

	check(bye->text.size <= UR_TEXT_MAX);
	memcpy(text, bye->text.bytes, bye->text.size);
	ur_bye_encode(buf, bye->code, text, bye->quote);
}

/* Returns whether there was something to encode. */
static bool encode(struct ur_buf *buf, const struct ur_message *message)
{
	switch (message->type) {
	case UR_HELLO:
		ur_hello_encode(buf, &message->hello);
		return true;
	case UR_READY:
		ur_ready_encode(buf, &message->ready);
		return true;
	case UR_UPDATE:
		return encode_update(buf, message) > 0;
	case UR_ACK:
		ur_ack_encode(buf, message->serial);
		return true;
	case UR_REJECT:
		encode_rejects(buf, message);
		return true;
	case UR_KEEPALIVE:
		ur_keepalive_encode(buf, &message->keepalive);
		return true;
	case UR_BYE:
		encode_bye(buf, &message->bye);
		return true;
	case UR_RESYNC:
		check(message->serial == 0 && !message->bye.quote);
		check(message->bye.text.size <= UR_TEXT_MAX);
		ur_resync_encode(buf, message->bye.code);
		return true;
	case UR_SNAPSHOT_BEGIN:
	case UR_SNAPSHOT_END:
	case UR_REFRESH_ALL:
		encode_bare(buf, message);
		return true;
	case UR_TS_CONFIG:
		encode_ts_config(buf, message);
		return true;
	default:
		return false;
	}
}

static void check_hello(struct ur_hello a, struct ur_hello b)
{
	check(a.software.size == b.software.size);
	check(is_equal(a.software.bytes, b.software.bytes, a.software.size));
	check(a.version_min == b.version_min && a.version_max == b.version_max);
	check(a.role == b.role && a.frame_max == b.frame_max);
	check(a.hold_min_s == b.hold_min_s && a.hold_max_s == b.hold_max_s);
	check(a.capabilities == b.capabilities);
	check(is_equal(&a.clock, &b.clock, sizeof(a.clock)));
	check(a.session_id == b.session_id && a.acked == b.acked);
	check(a.replay_first == b.replay_first);
	check(a.replay_last == b.replay_last);
}

static void check_same(const struct ur_message *a, const struct ur_message *b)
{
	check(a->type == b->type && a->serial == b->serial);
	if (a->type == UR_HELLO) {
		check_hello(a->hello, b->hello);
	} else if (a->type == UR_READY) {
		check(a->ready.version == b->ready.version);
		check(a->ready.hold_time_s == b->ready.hold_time_s);
		check(a->ready.durable == b->ready.durable);
		check(a->ready.window == b->ready.window);
	} else if (a->type == UR_UPDATE || a->type >= UR_SNAPSHOT_BEGIN) {
		check_update(a, b);
	} else if (a->type == UR_REJECT) {
		check_rejects(a, b);
	} else if (a->type == UR_KEEPALIVE) {
		check(is_equal(&a->keepalive.clock, &b->keepalive.clock,
			       sizeof(a->keepalive.clock)));
		check(a->keepalive.acked == b->keepalive.acked);
		check(a->keepalive.has_acked == b->keepalive.has_acked);
	} else if (a->type == UR_RESYNC) {
		/* The text is the code's, whatever it was. */
		check(a->bye.code == b->bye.code);
	} else if (a->type == UR_BYE) {
		check(a->bye.code == b->bye.code);
		check(!a->bye.quote == !b->bye.quote);
		check(!a->bye.quote ||
		      is_equal(a->bye.quote, b->bye.quote, UR_FRAME_HEADER));
		/* An encoder's text ends at a zero. */
		check(is_equal(a->bye.text.bytes, b->bye.text.bytes,
			       b->bye.text.size));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ur_message message, again;
	struct ur_buf buf;

	if (size < UR_FRAME_HEADER || !decode(data, size, &message))
		return 0;
	ur_buf_init(&buf, SIZE_MAX);
	if (encode(&buf, &message)) {
		check(!buf.failed);
		check(decode(ur_buf_front(&buf), buf.size, &again));
		check_same(&message, &again);
	}
	ur_buf_done(&buf);
	return 0;
}
