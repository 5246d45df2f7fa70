/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "message-tlv.h"

/* Cuts a text to max bytes, but not inside a character. */
static size_t cut(const char *text, size_t size, size_t max)
{
	if (size <= max)
		return size;
	size = max;
	while (size > 0 && (text[size] & 0xc0) == 0x80)
		size--;
	return size;
}

static void put_u64(struct ur_buf *buf, unsigned int type, uint64_t value)
{
	ur_tlv_put(buf, type, 8);
	ur_buf_u64(buf, value);
}

static void put_clock(struct ur_buf *buf, const struct ur_clock_echo *clock)
{
	ur_tlv_put(buf, UR_TLV_CLOCK, 24);
	ur_buf_u64(buf, clock->now_us);
	ur_buf_u64(buf, clock->echo_us);
	ur_buf_u64(buf, clock->held_us);
}

static void put_hello_source(struct ur_buf *buf, const struct ur_hello *hello)
{
	put_u64(buf, UR_TLV_SESSION, hello->session_id);
	ur_tlv_put(buf, UR_TLV_REPLAY, 16);
	ur_buf_u64(buf, hello->replay_first);
	ur_buf_u64(buf, hello->replay_last);
	put_u64(buf, UR_TLV_ACKED, hello->acked);
}

void ur_hello_encode(struct ur_buf *buf, const struct ur_hello *hello)
{
	size_t begun = ur_frame_begin(buf, hello->version_max, UR_HELLO, 0);
	size_t size = hello->software.size;

	ur_tlv_put(buf, UR_TLV_VERSIONS, 2);
	ur_buf_u8(buf, hello->version_min);
	ur_buf_u8(buf, hello->version_max);
	ur_tlv_put(buf, UR_TLV_ROLE, 1);
	ur_buf_u8(buf, hello->role);
	if (hello->role == UR_SOURCE)
		put_hello_source(buf, hello);
	ur_tlv_put(buf, UR_TLV_HOLD_RANGE, 4);
	ur_buf_u16(buf, hello->hold_min_s);
	ur_buf_u16(buf, hello->hold_max_s);
	ur_tlv_put(buf, UR_TLV_FRAME_MAX, 4);
	ur_buf_u32(buf, hello->frame_max);
	put_clock(buf, &hello->clock);
	if (hello->capabilities != 0)
		put_u64(buf, UR_TLV_CAPABILITIES, hello->capabilities);
	if (size > 0) {
		size = cut(hello->software.bytes, size, UR_SOFTWARE_MAX);
		ur_tlv_put(buf, UR_TLV_SOFTWARE, size);
		ur_buf_bytes(buf, hello->software.bytes, size);
	}
	ur_frame_end(buf, begun);
}

void ur_ready_encode(struct ur_buf *buf, const struct ur_ready *ready)
{
	size_t begun = ur_frame_begin(buf, UR_PROTOCOL_VERSION, UR_READY, 0);

	ur_tlv_put(buf, UR_TLV_VERSION, 1);
	ur_buf_u8(buf, ready->version);
	ur_tlv_put(buf, UR_TLV_HOLD_TIME, 2);
	ur_buf_u16(buf, ready->hold_time_s);
	put_u64(buf, UR_TLV_DURABLE, ready->durable);
	ur_tlv_put(buf, UR_TLV_WINDOW, 4);
	ur_buf_u32(buf, ready->window);
	ur_frame_end(buf, begun);
}

void ur_ack_encode(struct ur_buf *buf, uint64_t serial)
{
	ur_frame_end(buf,
		     ur_frame_begin(buf, UR_PROTOCOL_VERSION, UR_ACK, serial));
}

void ur_keepalive_encode(struct ur_buf *buf, const struct ur_keepalive *message)
{
	size_t begun =
	    ur_frame_begin(buf, UR_PROTOCOL_VERSION, UR_KEEPALIVE, 0);

	put_clock(buf, &message->clock);
	if (message->has_acked)
		put_u64(buf, UR_TLV_ACKED, message->acked);
	ur_frame_end(buf, begun);
}

static void put_reason(struct ur_buf *buf, uint16_t code, const char *text)
{
	size_t size = text ? cut(text, strlen(text), UR_TEXT_MAX) : 0;

	ur_tlv_put(buf, UR_TLV_REASON, 2 + size);
	ur_buf_u16(buf, code);
	ur_buf_bytes(buf, text, size);
}

void ur_bye_encode(struct ur_buf *buf, uint16_t code, const char *text,
		   const uint8_t *quote)
{
	size_t begun = ur_frame_begin(buf, UR_PROTOCOL_VERSION, UR_BYE, 0);

	put_reason(buf, code, text);
	if (quote) {
		ur_tlv_put(buf, UR_TLV_QUOTE, UR_FRAME_HEADER);
		ur_buf_bytes(buf, quote, UR_FRAME_HEADER);
	}
	ur_frame_end(buf, begun);
}

void ur_resync_encode(struct ur_buf *buf, uint16_t code)
{
	size_t begun = ur_frame_begin(buf, UR_PROTOCOL_VERSION, UR_RESYNC, 0);

	put_reason(buf, code, uidrecv_resync_text(code));
	ur_frame_end(buf, begun);
}

void ur_snapshot_begin_encode(struct ur_buf *buf, uint64_t serial)
{
	ur_frame_end(buf, ur_frame_begin(buf, UR_PROTOCOL_VERSION,
					 UR_SNAPSHOT_BEGIN, serial));
}

void ur_snapshot_end_encode(struct ur_buf *buf, uint64_t serial, uint64_t count)
{
	size_t begun =
	    ur_frame_begin(buf, UR_PROTOCOL_VERSION, UR_SNAPSHOT_END, serial);

	put_u64(buf, UR_TLV_COUNT, count);
	ur_frame_end(buf, begun);
}

void ur_refresh_all_encode(struct ur_buf *buf, uint64_t serial,
			   uint64_t as_of_us, uint64_t count)
{
	size_t begun =
	    ur_frame_begin(buf, UR_PROTOCOL_VERSION, UR_REFRESH_ALL, serial);

	put_u64(buf, UR_TLV_AS_OF, as_of_us);
	put_u64(buf, UR_TLV_COUNT, count);
	ur_frame_end(buf, begun);
}

/* Returns how many of the refusals the frame took. */
static size_t encode_one_reject(struct ur_buf *buf, uint64_t serial,
				const struct ur_refusal *refusals, size_t count,
				uint32_t body_max)
{
	size_t begun =
	    ur_frame_begin(buf, UR_PROTOCOL_VERSION, UR_REJECT, serial);
	size_t body = 0, taken = 0;

	for (; taken < count; taken++) {
		const struct ur_refusal *refusal = &refusals[taken];
		const char *text = uidrecv_reject_text(refusal->code);
		size_t size = cut(text, strlen(text), UR_TEXT_MAX);

		body += UR_TLV_HEADER + 6 + size;
		if (taken > 0 && body > body_max)
			break;
		ur_tlv_put(buf, UR_TLV_REFUSED, 6 + size);
		ur_buf_u32(buf, refusal->index);
		ur_buf_u16(buf, refusal->code);
		ur_buf_bytes(buf, text, size);
	}
	ur_frame_end(buf, begun);
	return taken;
}

void ur_reject_encode(struct ur_buf *buf, uint64_t serial,
		      const struct ur_refusal *refusals, size_t count,
		      uint32_t body_max)
{
	size_t size = buf->size;

	for (size_t i = 0; i < count;)
		i += encode_one_reject(buf, serial, refusals + i, count - i,
				       body_max);
	if (buf->failed) {
		ur_buf_truncate(buf, size);
		buf->failed = true;
	}
}

void ur_update_begin(struct ur_update_writer *writer, struct ur_buf *buf,
		     uint64_t serial, uint64_t as_of_us, bool has_acked,
		     uint64_t acked, uint32_t body_max)
{
	writer->buf = buf;
	writer->begun =
	    ur_frame_begin(buf, UR_PROTOCOL_VERSION, UR_UPDATE, serial);
	writer->count = 0;
	writer->body_max = body_max;
	put_u64(buf, UR_TLV_AS_OF, as_of_us);
	if (has_acked)
		put_u64(buf, UR_TLV_ACKED, acked);
}

bool ur_update_add(struct ur_update_writer *writer,
		   const struct uidrecv_record *record)
{
	struct ur_buf *buf = writer->buf;
	size_t size = buf->size;

	if (buf->failed || writer->count >= UR_RECORDS_MAX ||
	    buf->size - writer->begun - UR_FRAME_HEADER +
		    ur_record_encoded_size(record) >
		writer->body_max)
		return false;
	ur_record_encode(buf, record);
	if (buf->failed) {
		ur_buf_truncate(buf, size);
		return false;
	}
	writer->count++;
	return true;
}

void ur_update_end(struct ur_update_writer *writer)
{
	ur_frame_end(writer->buf, writer->begun);
}

void ur_update_add_acked(struct ur_buf *buf, size_t begun, uint64_t acked)
{
	put_u64(buf, UR_TLV_ACKED, acked);
	ur_frame_end(buf, begun);
}
