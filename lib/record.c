/* SPDX-License-Identifier: BSD-2-Clause */
/* Records as TLVs and back (doc/protocol.md section 5). */
#include <string.h>

#include "message-tlv.h"

/* Returns 0 or the code that refuses the record. */
static uint16_t read_user(const struct ur_tlvs *tlvs,
			  struct uidrecv_record *record)
{
	struct ur_bytes value = ur_tlvs_get(tlvs, UR_TLV_USER);

	if (!ur_tlvs_has(tlvs, UR_TLV_USER))
		return 0;
	if (value.left == 0)
		return UIDRECV_REJECT_USER_INVALID;
	if (value.left > UIDRECV_NAME_MAX)
		return UIDRECV_REJECT_USER_TOO_LONG;
	record->user_size = (uint8_t)value.left;
	memcpy(record->user, value.at, value.left);
	record->user[value.left] = '\0';
	return 0;
}

static uint16_t fill_record(const struct ur_tlvs *tlvs,
			    struct uidrecv_record *record)
{
	struct ur_bytes value = ur_tlvs_get(tlvs, UR_TLV_ADDRESS);
	uint16_t code = read_user(tlvs, record);

	if (code)
		return code;
	record->address = ur_tlv_address(value);
	value = ur_tlvs_get(tlvs, UR_TLV_PORTS);
	if (ur_tlvs_has(tlvs, UR_TLV_PORTS) &&
	    !ur_tlv_ports(value, &record->ports))
		return UIDRECV_REJECT_PORTS_INVALID;
	value = ur_tlvs_get(tlvs, UR_TLV_LIFETIME);
	record->lifetime_s = ur_bytes_u32(&value);
	if (ur_tlvs_has(tlvs, UR_TLV_LIFETIME) && record->lifetime_s == 0)
		return UIDRECV_REJECT_LIFETIME_NOT_ALLOWED;
	value = ur_tlvs_get(tlvs, UR_TLV_EVENT_TIME);
	record->event_time_us = ur_bytes_u64(&value);
	record->has_event_time = ur_tlvs_has(tlvs, UR_TLV_EVENT_TIME);
	value = ur_tlvs_get(tlvs, UR_TLV_SOURCE);
	record->source = ur_bytes_u8(&value);
	value = ur_tlvs_get(tlvs, UR_TLV_TOKEN);
	record->token = ur_bytes_u64(&value);
	record->has_token = ur_tlvs_has(tlvs, UR_TLV_TOKEN);
	return 0;
}

static uint16_t decode_record(const struct ur_tlv *tlv,
			      struct uidrecv_record *ret_record)
{
	static const enum ur_tlv_place places[] = {
	    UR_IN_MAP, UR_IN_REFRESH, UR_IN_LOGOUT, UR_IN_WITHDRAW};
	struct ur_tlvs tlvs;

	/* A user ends with its zero; what is behind it is nobody's. */
	memset(ret_record, 0, offsetof(struct uidrecv_record, user) + 1);
	ret_record->op = tlv->type;
	if (tlv->type > UIDRECV_OP_WITHDRAW)
		return UIDRECV_REJECT_UNSUPPORTED;
	switch (ur_tlvs_read(&tlvs, places[tlv->type - UIDRECV_OP_MAP],
			     tlv->value, tlv->size)) {
	case UR_TLVS_GOOD:
		return fill_record(&tlvs, ret_record);
	case UR_TLVS_UNKNOWN:
		return UIDRECV_REJECT_UNSUPPORTED;
	default:
		return UIDRECV_REJECT_MALFORMED;
	}
}

void ur_records_init(struct ur_records *records, const uint8_t *body,
		     size_t body_size)
{
	records->reading = ur_bytes_of(body, body_size);
	records->index = 0;
	records->next = 0;
}

int ur_records_next(struct ur_records *records,
		    struct uidrecv_record *ret_record, uint16_t *ret_code)
{
	struct ur_tlv tlv;

	while (ur_tlv_next(&records->reading, &tlv)) {
		if (!ur_tlv_is_record(tlv.type))
			continue;
		records->index = records->next++;
		if (!(tlv.type & UR_TLV_CRITICAL))
			continue;
		*ret_code = decode_record(&tlv, ret_record);
		return 1;
	}
	return 0;
}

static size_t inner_size(const struct uidrecv_record *record)
{
	size_t size = UR_TLV_HEADER;

	size += uidrecv_address_is_ipv4(record->address) ? 4 : 16;
	if (record->user_size > 0)
		size += UR_TLV_HEADER + record->user_size;
	if (record->has_event_time)
		size += UR_TLV_HEADER + 8;
	if (record->lifetime_s != 0)
		size += UR_TLV_HEADER + 4;
	if (record->source != 0)
		size += UR_TLV_HEADER + 1;
	if (record->has_token)
		size += UR_TLV_HEADER + 8;
	if (record->ports.count != 0)
		size += UR_TLV_HEADER + 6;
	return size;
}

size_t ur_record_encoded_size(const struct uidrecv_record *record)
{
	return UR_TLV_HEADER + inner_size(record);
}

void ur_record_encode(struct ur_buf *buf, const struct uidrecv_record *record)
{
	ur_tlv_put(buf, record->op, inner_size(record));
	ur_tlv_put_address(buf, UR_TLV_ADDRESS, record->address);
	if (record->user_size > 0) {
		ur_tlv_put(buf, UR_TLV_USER, record->user_size);
		ur_buf_bytes(buf, record->user, record->user_size);
	}
	if (record->has_event_time) {
		ur_tlv_put(buf, UR_TLV_EVENT_TIME, 8);
		ur_buf_u64(buf, record->event_time_us);
	}
	if (record->lifetime_s != 0) {
		ur_tlv_put(buf, UR_TLV_LIFETIME, 4);
		ur_buf_u32(buf, record->lifetime_s);
	}
	if (record->source != 0) {
		ur_tlv_put(buf, UR_TLV_SOURCE, 1);
		ur_buf_u8(buf, record->source);
	}
	if (record->has_token) {
		ur_tlv_put(buf, UR_TLV_TOKEN, 8);
		ur_buf_u64(buf, record->token);
	}
	if (record->ports.count != 0)
		ur_tlv_put_ports(buf, UR_TLV_PORTS, record->ports);
}
