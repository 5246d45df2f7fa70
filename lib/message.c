/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "message-tlv.h"

#define TIME_MAX (UINT64_C(1) << 62)

static uint64_t get_number(const struct ur_tlvs *tlvs, unsigned int type)
{
	struct ur_bytes value = ur_tlvs_get(tlvs, type);

	switch (value.left) {
	case 1:
		return ur_bytes_u8(&value);
	case 2:
		return ur_bytes_u16(&value);
	case 4:
		return ur_bytes_u32(&value);
	default:
		return ur_bytes_u64(&value);
	}
}

static struct ur_text rest(struct ur_bytes *value)
{
	struct ur_text text = {(const char *)value->at, value->left};

	return text;
}

static bool get_clock(const struct ur_tlvs *tlvs, struct ur_clock_echo *clock)
{
	struct ur_bytes value = ur_tlvs_get(tlvs, UR_TLV_CLOCK);

	clock->now_us = ur_bytes_u64(&value);
	clock->echo_us = ur_bytes_u64(&value);
	clock->held_us = ur_bytes_u64(&value);
	return clock->now_us <= TIME_MAX && clock->echo_us <= TIME_MAX &&
	       clock->held_us <= TIME_MAX;
}

static bool fill_hello_source(const struct ur_tlvs *tlvs,
			      struct ur_hello *hello)
{
	struct ur_bytes replay = ur_tlvs_get(tlvs, UR_TLV_REPLAY);

	hello->session_id = get_number(tlvs, UR_TLV_SESSION);
	hello->replay_first = ur_bytes_u64(&replay);
	hello->replay_last = ur_bytes_u64(&replay);
	hello->acked = get_number(tlvs, UR_TLV_ACKED);
	return hello->session_id != 0 && hello->replay_first != 0 &&
	       hello->replay_first - 1 <= hello->replay_last;
}

static bool fill_hello(struct ur_message *message, const struct ur_tlvs *tlvs)
{
	struct ur_hello *hello = &message->hello;
	struct ur_bytes value;

	value = ur_tlvs_get(tlvs, UR_TLV_VERSIONS);
	hello->version_min = ur_bytes_u8(&value);
	hello->version_max = ur_bytes_u8(&value);
	hello->role = (uint8_t)get_number(tlvs, UR_TLV_ROLE);
	value = ur_tlvs_get(tlvs, UR_TLV_HOLD_RANGE);
	hello->hold_min_s = ur_bytes_u16(&value);
	hello->hold_max_s = ur_bytes_u16(&value);
	hello->frame_max = (uint32_t)get_number(tlvs, UR_TLV_FRAME_MAX);
	hello->capabilities = get_number(tlvs, UR_TLV_CAPABILITIES);
	value = ur_tlvs_get(tlvs, UR_TLV_SOFTWARE);
	hello->software = rest(&value);
	if (hello->version_min == 0 ||
	    hello->version_min > hello->version_max ||
	    hello->hold_min_s > hello->hold_max_s ||
	    hello->frame_max < UR_FRAME_BODY_MIN ||
	    hello->frame_max > UR_FRAME_BODY_MAX ||
	    !get_clock(tlvs, &hello->clock))
		return false;
	if (hello->role == UR_SOURCE)
		return fill_hello_source(tlvs, hello);
	return hello->role == UR_SINK;
}

static bool fill_ready(struct ur_message *message, const struct ur_tlvs *tlvs)
{
	struct ur_ready *ready = &message->ready;

	ready->version = (uint8_t)get_number(tlvs, UR_TLV_VERSION);
	ready->hold_time_s = (uint16_t)get_number(tlvs, UR_TLV_HOLD_TIME);
	ready->durable = get_number(tlvs, UR_TLV_DURABLE);
	ready->window = (uint32_t)get_number(tlvs, UR_TLV_WINDOW);
	return ready->version != 0;
}

/* What is said with a serial, but for records. */
static bool fill_bare(struct ur_message *message, const struct ur_tlvs *tlvs)
{
	struct ur_update *update = &message->update;

	update->as_of_us = get_number(tlvs, UR_TLV_AS_OF);
	update->count = get_number(tlvs, UR_TLV_COUNT);
	update->acked = get_number(tlvs, UR_TLV_ACKED);
	update->has_acked = ur_tlvs_has(tlvs, UR_TLV_ACKED);
	return true;
}

static bool fill_update(struct ur_message *message, const struct ur_tlvs *tlvs)
{
	struct ur_update *update = &message->update;

	fill_bare(message, tlvs);
	update->records_count = tlvs->records;
	update->maps_count = tlvs->maps;
	update->body = tlvs->all.at;
	update->body_size = tlvs->all.left;
	return tlvs->records > 0 && tlvs->records <= UR_RECORDS_MAX;
}

static bool fill_ts_config(struct ur_message *message,
			   const struct ur_tlvs *tlvs)
{
	struct ur_update *update = &message->update;
	struct uidrecv_system system;

	fill_bare(message, tlvs);
	update->records_count = 1;
	update->body = tlvs->all.at;
	update->body_size = tlvs->all.left;
	return ur_system_read(tlvs->all, &system);
}

static bool fill_ack(struct ur_message *message, const struct ur_tlvs *tlvs)
{
	(void)message;
	(void)tlvs;
	return true;
}

static bool fill_reject(struct ur_message *message, const struct ur_tlvs *tlvs)
{
	message->rejects = tlvs->all;
	return true;
}

static bool fill_keepalive(struct ur_message *message,
			   const struct ur_tlvs *tlvs)
{
	struct ur_keepalive *keepalive = &message->keepalive;

	keepalive->acked = get_number(tlvs, UR_TLV_ACKED);
	keepalive->has_acked = ur_tlvs_has(tlvs, UR_TLV_ACKED);
	return get_clock(tlvs, &keepalive->clock);
}

static bool fill_bye(struct ur_message *message, const struct ur_tlvs *tlvs)
{
	struct ur_bytes value = ur_tlvs_get(tlvs, UR_TLV_REASON);
	struct ur_bye *bye = &message->bye;

	bye->code = ur_bytes_u16(&value);
	bye->text = rest(&value);
	if (ur_tlvs_has(tlvs, UR_TLV_QUOTE))
		bye->quote = ur_tlvs_get(tlvs, UR_TLV_QUOTE).at;
	return true;
}

/* Section 4. */
struct kind {
	bool (*fill)(struct ur_message *message, const struct ur_tlvs *tlvs);
	enum ur_tlv_place place;
	bool has_serial;
};

static const struct kind kinds[] = {
    [UR_HELLO] = {fill_hello, UR_IN_SOURCE_HELLO, false},
    [UR_READY] = {fill_ready, UR_IN_READY, false},
    [UR_UPDATE] = {fill_update, UR_IN_UPDATE, true},
    [UR_ACK] = {fill_ack, UR_IN_ACK, true},
    [UR_REJECT] = {fill_reject, UR_IN_REJECT, true},
    [UR_KEEPALIVE] = {fill_keepalive, UR_IN_KEEPALIVE, false},
    [UR_BYE] = {fill_bye, UR_IN_BYE, false},
    [UR_RESYNC] = {fill_bye, UR_IN_RESYNC, false},
    [UR_SNAPSHOT_BEGIN] = {fill_bare, UR_IN_SNAPSHOT_BEGIN, true},
    [UR_SNAPSHOT_END] = {fill_bare, UR_IN_SNAPSHOT_END, true},
    [UR_REFRESH_ALL] = {fill_bare, UR_IN_REFRESH_ALL, true},
    [UR_TS_CONFIG] = {fill_ts_config, UR_IN_TS_CONFIG, true},
};

/* What belongs in a HELLO depends on its ROLE, which may stand anywhere. */
static enum ur_tlv_place place_of_hello(const struct ur_frame *frame)
{
	struct ur_bytes reading = ur_bytes_of(frame->body, frame->length);
	struct ur_tlv tlv;

	while (ur_tlv_next(&reading, &tlv))
		if (tlv.type == UR_TLV_ROLE && tlv.size == 1)
			return tlv.value[0] == UR_SINK ? UR_IN_SINK_HELLO
						       : UR_IN_SOURCE_HELLO;
	return UR_IN_SOURCE_HELLO;
}

static int refuse(uint16_t bye, uint16_t *ret_bye)
{
	*ret_bye = bye;
	return UIDRECV_E_MESSAGE;
}

int ur_message_decode(const struct ur_frame *frame,
		      struct ur_message *ret_message, uint16_t *ret_bye)
{
	enum ur_tlvs_result result;
	const struct kind *kind;
	enum ur_tlv_place place;
	struct ur_tlvs tlvs;

	if (frame->type == 0 || frame->type >= sizeof(kinds) / sizeof(*kinds))
		return refuse(UIDRECV_BYE_BAD_TYPE, ret_bye);
	memset(ret_message, 0, sizeof(*ret_message));
	ret_message->type = frame->type;
	ret_message->version = frame->version;
	ret_message->serial = frame->serial;
	kind = &kinds[frame->type];
	place = frame->type == UR_HELLO ? place_of_hello(frame) : kind->place;
	result = ur_tlvs_read(&tlvs, place, frame->body, frame->length);
	if (result == UR_TLVS_UNKNOWN && frame->type == UR_HELLO)
		return refuse(UIDRECV_BYE_UNSUPPORTED_FIELD, ret_bye);
	if (result != UR_TLVS_GOOD || !kind->fill(ret_message, &tlvs) ||
	    (!kind->has_serial && frame->serial != 0))
		return refuse(UIDRECV_BYE_BAD_MESSAGE, ret_bye);
	return 0;
}

int ur_rejects_next(struct ur_bytes *rejects, struct ur_reject *ret_reject)
{
	struct ur_bytes value;
	struct ur_tlv tlv;

	do {
		if (!ur_tlv_next(rejects, &tlv))
			return 0;
	} while (tlv.type != UR_TLV_REFUSED);
	value = ur_bytes_of(tlv.value, tlv.size);
	ret_reject->index = ur_bytes_u32(&value);
	ret_reject->code = ur_bytes_u16(&value);
	ret_reject->text = rest(&value);
	return !value.is_short;
}
