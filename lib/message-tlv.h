/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The TLVs of the protocol (doc/protocol.md section 3), for message*.c
 * and record.c alone. Pure.
 */
#ifndef UR_MESSAGE_TLV_H
#define UR_MESSAGE_TLV_H

#include "bytes.h"
#include "message.h"

#define UR_TLV_HEADER 4
#define UR_TLV_CRITICAL 0x8000u

/* The TLVs that this version reads. */
enum ur_tlv_type {
	UR_TLV_VERSIONS = 0x8001,
	UR_TLV_ROLE = 0x8002,
	UR_TLV_SESSION = 0x8003,
	UR_TLV_REPLAY = 0x8004,
	UR_TLV_HOLD_RANGE = 0x8005,
	UR_TLV_HOLD_TIME = 0x8006,
	UR_TLV_FRAME_MAX = 0x8007,
	UR_TLV_CAPABILITIES = 0x0008,
	UR_TLV_SOFTWARE = 0x0009,
	UR_TLV_CLOCK = 0x800a,
	UR_TLV_VERSION = 0x800b,
	UR_TLV_DURABLE = 0x800c,
	UR_TLV_WINDOW = 0x800d,
	UR_TLV_ACKED = 0x800f,
	UR_TLV_AS_OF = 0x8010,
	UR_TLV_REFUSED = 0x8011,
	UR_TLV_REASON = 0x8012,
	UR_TLV_QUOTE = 0x0013,
	UR_TLV_COUNT = 0x8014,
	UR_TLV_PORTS = 0x8015,
	UR_TLV_BLOCK_SIZE = 0x8016,
	UR_TLV_RESERVED = 0x8017,
	UR_TLV_ALIAS = 0x8018,
	UR_TLV_ADDRESS = 0x8030,
	UR_TLV_USER = 0x8031,
	UR_TLV_EVENT_TIME = 0x8032,
	UR_TLV_LIFETIME = 0x8033,
	UR_TLV_SOURCE = 0x0034,
	UR_TLV_TOKEN = 0x8035,
};

/* A type without its critical bit, where a TLV is kept when it was read. */
#define UR_TLV_NUMBER(type) ((type) & ~UR_TLV_CRITICAL)
#define UR_TLV_NUMBERS 0x36
#define UR_TLV_BIT(type) (UINT64_C(1) << UR_TLV_NUMBER(type))

/* What TLVs stand in. */
enum ur_tlv_place {
	UR_IN_SOURCE_HELLO,
	UR_IN_SINK_HELLO,
	UR_IN_READY,
	UR_IN_UPDATE,
	UR_IN_ACK,
	UR_IN_REJECT,
	UR_IN_KEEPALIVE,
	UR_IN_BYE,
	UR_IN_RESYNC,
	UR_IN_SNAPSHOT_BEGIN,
	UR_IN_SNAPSHOT_END,
	UR_IN_REFRESH_ALL,
	UR_IN_TS_CONFIG,
	UR_IN_MAP,
	UR_IN_REFRESH,
	UR_IN_LOGOUT,
	UR_IN_WITHDRAW,
};

struct ur_tlv {
	const uint8_t *value;
	uint16_t type;
	uint16_t size;
};

/* The TLVs of a message or record. */
struct ur_tlvs {
	uint64_t seen;	  /* UR_TLV_BIT() of each */
	uint32_t records; /* how many, those of later versions included */
	uint32_t maps;	  /* how many of them are MAP */
	struct ur_bytes all;
	struct ur_tlv at[UR_TLV_NUMBERS];
};

enum ur_tlvs_result { UR_TLVS_GOOD, UR_TLVS_BAD, UR_TLVS_UNKNOWN };

/* Gives the next TLV; false at the end or, then reading->is_short, past it. */
static inline bool ur_tlv_next(struct ur_bytes *reading, struct ur_tlv *ret_tlv)
{
	if (reading->left == 0)
		return false;
	ret_tlv->type = ur_bytes_u16(reading);
	ret_tlv->size = ur_bytes_u16(reading);
	ret_tlv->value = ur_bytes_raw(reading, ret_tlv->size);
	return !reading->is_short;
}

/*
 * Reads all TLVs of a place and checks what section 3 says of them:
 * BAD if one is cut off, twice there, missing or of a wrong length, UNKNOWN if
 * one is critical and does not belong there.
 */
enum ur_tlvs_result ur_tlvs_read(struct ur_tlvs *tlvs, enum ur_tlv_place place,
				 const uint8_t *bytes, size_t size);

static inline bool ur_tlvs_has(const struct ur_tlvs *tlvs, unsigned int type)
{
	return tlvs->seen & UR_TLV_BIT(type);
}

/* The value of a TLV; empty, so that it reads as 0, if it is not there. */
static inline struct ur_bytes ur_tlvs_get(const struct ur_tlvs *tlvs,
					  unsigned int type)
{
	const struct ur_tlv *tlv = &tlvs->at[UR_TLV_NUMBER(type)];

	return ur_tlvs_has(tlvs, type) ? ur_bytes_of(tlv->value, tlv->size)
				       : ur_bytes_of(NULL, 0);
}

/* Is this the type of a record, be it of a later version? */
static inline bool ur_tlv_is_record(unsigned int type)
{
	return (type >= 0x8020 && type <= 0x802f) ||
	       (type >= 0x0024 && type <= 0x002f);
}

/* Begins a TLV; size bytes must follow. */
static inline void ur_tlv_put(struct ur_buf *buf, unsigned int type,
			      size_t size)
{
	ur_buf_u16(buf, (uint16_t)type);
	ur_buf_u16(buf, (uint16_t)size);
}

/* An address, from a value of 4 or 16 bytes; and as a TLV. */
struct uidrecv_address ur_tlv_address(struct ur_bytes value);
void ur_tlv_put_address(struct ur_buf *buf, unsigned int type,
			struct uidrecv_address address);

/* PORTS or RESERVED; false if they are none or reach past the last port. */
bool ur_tlv_ports(struct ur_bytes value, struct uidrecv_ports *ret_ports);
void ur_tlv_put_ports(struct ur_buf *buf, unsigned int type,
		      struct uidrecv_ports ports);

/*
 * Reads the TLVs of a TS CONFIG, whose lengths are right; false if there are
 * too many of a kind, or a value is out of its range.
 */
bool ur_system_read(struct ur_bytes body, struct uidrecv_system *ret_system);

/* Appends ur_record_encoded_size() bytes. */
void ur_record_encode(struct ur_buf *buf, const struct uidrecv_record *record);

#endif
