/* SPDX-License-Identifier: BSD-2-Clause */
/* What may stand where (doc/protocol.md sections 3 to 5), and common values. */
#include "message-tlv.h"

#define PORTS_END 65536u

/* Section 3: the lengths of values. */
struct form {
	uint16_t type; /* 0: not known */
	bool repeats;
	uint16_t min, max;
	bool is_either; /* min or max, and nothing between */
};

#define FORM(type, min, max)                                                   \
	[UR_TLV_NUMBER(type)] = {type, false, min, max, false}
#define FORM_REPEATS(type, min, max)                                           \
	[UR_TLV_NUMBER(type)] = {type, true, min, max, false}

static const struct form forms[UR_TLV_NUMBERS] = {
    FORM(UR_TLV_VERSIONS, 2, 2),
    FORM(UR_TLV_ROLE, 1, 1),
    FORM(UR_TLV_SESSION, 8, 8),
    FORM(UR_TLV_REPLAY, 16, 16),
    FORM(UR_TLV_HOLD_RANGE, 4, 4),
    FORM(UR_TLV_HOLD_TIME, 2, 2),
    FORM(UR_TLV_FRAME_MAX, 4, 4),
    FORM(UR_TLV_CAPABILITIES, 8, 8),
    FORM(UR_TLV_SOFTWARE, 0, UR_SOFTWARE_MAX),
    FORM(UR_TLV_CLOCK, 24, 24),
    FORM(UR_TLV_VERSION, 1, 1),
    FORM(UR_TLV_DURABLE, 8, 8),
    FORM(UR_TLV_WINDOW, 4, 4),
    FORM(UR_TLV_ACKED, 8, 8),
    FORM(UR_TLV_AS_OF, 8, 8),
    FORM_REPEATS(UR_TLV_REFUSED, 6, 6 + UR_TEXT_MAX),
    FORM(UR_TLV_REASON, 2, 2 + UR_TEXT_MAX),
    FORM(UR_TLV_QUOTE, UR_FRAME_HEADER, UR_FRAME_HEADER),
    FORM(UR_TLV_COUNT, 8, 8),
    FORM(UR_TLV_PORTS, 6, 6),
    FORM(UR_TLV_BLOCK_SIZE, 4, 4),
    FORM_REPEATS(UR_TLV_RESERVED, 6, 6),
    [UR_TLV_NUMBER(UR_TLV_ALIAS)] = {UR_TLV_ALIAS, true, 4, 16, true},
    [UR_TLV_NUMBER(UR_TLV_ADDRESS)] = {UR_TLV_ADDRESS, false, 4, 16, true},
    /* Users of a wrong length have codes of their own. */
    FORM(UR_TLV_USER, 0, UINT16_MAX),
    FORM(UR_TLV_EVENT_TIME, 8, 8),
    FORM(UR_TLV_LIFETIME, 4, 4),
    FORM(UR_TLV_SOURCE, 1, 1),
    FORM(UR_TLV_TOKEN, 8, 8),
};

/* Sections 4 and 5: which must stand in what, and which may. */
struct belonging {
	uint64_t needed, optional;
};

#define B(name) UR_TLV_BIT(UR_TLV_##name)
#define SINK_HELLO                                                             \
	(B(VERSIONS) | B(ROLE) | B(HOLD_RANGE) | B(FRAME_MAX) | B(CLOCK))

static const struct belonging belongings[] = {
    [UR_IN_SOURCE_HELLO] = {SINK_HELLO | B(SESSION) | B(REPLAY) | B(ACKED),
			    B(CAPABILITIES) | B(SOFTWARE)},
    [UR_IN_SINK_HELLO] = {SINK_HELLO, B(CAPABILITIES) | B(SOFTWARE)},
    [UR_IN_READY] = {B(VERSION) | B(HOLD_TIME) | B(DURABLE) | B(WINDOW), 0},
    [UR_IN_UPDATE] = {B(AS_OF), B(ACKED)},
    [UR_IN_ACK] = {0, 0},
    [UR_IN_REJECT] = {B(REFUSED), 0},
    [UR_IN_KEEPALIVE] = {B(CLOCK), B(ACKED)},
    [UR_IN_BYE] = {B(REASON), B(QUOTE)},
    [UR_IN_RESYNC] = {B(REASON), 0},
    [UR_IN_SNAPSHOT_BEGIN] = {0, B(ACKED)},
    [UR_IN_SNAPSHOT_END] = {B(COUNT), B(ACKED)},
    [UR_IN_REFRESH_ALL] = {B(AS_OF) | B(COUNT), B(ACKED)},
    [UR_IN_TS_CONFIG] = {B(ADDRESS) | B(PORTS) | B(BLOCK_SIZE),
			 B(RESERVED) | B(ALIAS) | B(ACKED)},
    [UR_IN_MAP] = {B(ADDRESS) | B(USER), B(EVENT_TIME) | B(LIFETIME) |
					     B(SOURCE) | B(TOKEN) | B(PORTS)},
    [UR_IN_REFRESH] = {B(ADDRESS), B(USER) | B(LIFETIME) | B(PORTS)},
    [UR_IN_LOGOUT] = {B(ADDRESS),
		      B(USER) | B(EVENT_TIME) | B(TOKEN) | B(PORTS)},
    [UR_IN_WITHDRAW] = {B(ADDRESS), B(PORTS)},
};

static bool belongs(enum ur_tlv_place place, unsigned int type)
{
	const struct belonging *here = &belongings[place];
	unsigned int number = UR_TLV_NUMBER(type);

	return number < UR_TLV_NUMBERS && forms[number].type == type &&
	       (here->needed | here->optional) & UR_TLV_BIT(type);
}

static bool has_right_size(const struct form *form, uint16_t size)
{
	if (form->is_either)
		return size == form->min || size == form->max;
	return size >= form->min && size <= form->max;
}

static enum ur_tlvs_result take(struct ur_tlvs *tlvs, enum ur_tlv_place place,
				const struct ur_tlv *tlv)
{
	const struct form *form;

	if (place == UR_IN_UPDATE && ur_tlv_is_record(tlv->type)) {
		tlvs->records++;
		tlvs->maps += tlv->type == UIDRECV_OP_MAP;
		return UR_TLVS_GOOD;
	}
	if (!belongs(place, tlv->type))
		return tlv->type & UR_TLV_CRITICAL ? UR_TLVS_UNKNOWN
						   : UR_TLVS_GOOD;
	form = &forms[UR_TLV_NUMBER(tlv->type)];
	if (!has_right_size(form, tlv->size) ||
	    (ur_tlvs_has(tlvs, tlv->type) && !form->repeats))
		return UR_TLVS_BAD;
	tlvs->seen |= UR_TLV_BIT(tlv->type);
	tlvs->at[UR_TLV_NUMBER(tlv->type)] = *tlv;
	return UR_TLVS_GOOD;
}

enum ur_tlvs_result ur_tlvs_read(struct ur_tlvs *tlvs, enum ur_tlv_place place,
				 const uint8_t *bytes, size_t size)
{
	enum ur_tlvs_result result, all = UR_TLVS_GOOD;
	struct ur_bytes reading = ur_bytes_of(bytes, size);
	struct ur_tlv tlv;

	tlvs->seen = 0;
	tlvs->records = 0;
	tlvs->maps = 0;
	tlvs->all = reading;
	while (ur_tlv_next(&reading, &tlv)) {
		result = take(tlvs, place, &tlv);
		if (result == UR_TLVS_BAD)
			return result;
		/* What is wrong with the structure comes first. */
		if (result == UR_TLVS_UNKNOWN)
			all = result;
	}
	if (reading.is_short || belongings[place].needed & ~tlvs->seen)
		return UR_TLVS_BAD;
	return all;
}

struct uidrecv_address ur_tlv_address(struct ur_bytes value)
{
	if (value.left == 4)
		return uidrecv_address_from_ipv4(ur_bytes_u32(&value));
	return uidrecv_address_from_ipv6(value.at);
}

void ur_tlv_put_address(struct ur_buf *buf, unsigned int type,
			struct uidrecv_address address)
{
	if (uidrecv_address_is_ipv4(address)) {
		ur_tlv_put(buf, type, 4);
		ur_buf_u32(buf, (uint32_t)address.lo);
	} else {
		ur_tlv_put(buf, type, 16);
		ur_buf_u64(buf, address.hi);
		ur_buf_u64(buf, address.lo);
	}
}

bool ur_tlv_ports(struct ur_bytes value, struct uidrecv_ports *ret_ports)
{
	ret_ports->start = ur_bytes_u16(&value);
	ret_ports->count = ur_bytes_u32(&value);
	return ret_ports->count > 0 &&
	       ret_ports->count <= PORTS_END - (uint32_t)ret_ports->start;
}

void ur_tlv_put_ports(struct ur_buf *buf, unsigned int type,
		      struct uidrecv_ports ports)
{
	ur_tlv_put(buf, type, 6);
	ur_buf_u16(buf, ports.start);
	ur_buf_u32(buf, ports.count);
}
