/* SPDX-License-Identifier: BSD-2-Clause */
/* Multi-user systems as TLVs and back. */
#include <string.h>

#include "message-tlv.h"

static bool read_one(const struct ur_tlv *tlv, struct uidrecv_system *system)
{
	struct ur_bytes value = ur_bytes_of(tlv->value, tlv->size);

	switch (tlv->type) {
	case UR_TLV_ADDRESS:
		system->address = ur_tlv_address(value);
		return true;
	case UR_TLV_ALIAS:
		if (system->aliases_count == UIDRECV_ALIASES_MAX)
			return false;
		system->aliases[system->aliases_count++] =
		    ur_tlv_address(value);
		return true;
	case UR_TLV_PORTS:
		return ur_tlv_ports(value, &system->ports);
	case UR_TLV_RESERVED:
		return system->reserved_count < UIDRECV_RESERVED_MAX &&
		       ur_tlv_ports(
			   value, &system->reserved[system->reserved_count++]);
	case UR_TLV_BLOCK_SIZE:
		system->block_size = ur_bytes_u32(&value);
		return system->block_size > 0;
	default:
		return true;
	}
}

bool ur_system_read(struct ur_bytes body, struct uidrecv_system *ret_system)
{
	struct ur_tlv tlv;

	memset(ret_system, 0, sizeof(*ret_system));
	while (ur_tlv_next(&body, &tlv))
		if (!read_one(&tlv, ret_system))
			return false;
	return true;
}

void ur_ts_config_decode(const uint8_t *body, size_t body_size,
			 struct uidrecv_system *ret_system)
{
	struct ur_bytes reading = ur_bytes_of(body, body_size);

	(void)ur_system_read(reading, ret_system);
}

void ur_ts_config_encode(struct ur_buf *buf, uint64_t serial,
			 const struct uidrecv_system *system)
{
	size_t begun =
	    ur_frame_begin(buf, UR_PROTOCOL_VERSION, UR_TS_CONFIG, serial);

	ur_tlv_put_address(buf, UR_TLV_ADDRESS, system->address);
	for (uint32_t i = 0; i < system->aliases_count; i++)
		ur_tlv_put_address(buf, UR_TLV_ALIAS, system->aliases[i]);
	ur_tlv_put_ports(buf, UR_TLV_PORTS, system->ports);
	ur_tlv_put(buf, UR_TLV_BLOCK_SIZE, 4);
	ur_buf_u32(buf, system->block_size);
	for (uint32_t i = 0; i < system->reserved_count; i++)
		ur_tlv_put_ports(buf, UR_TLV_RESERVED, system->reserved[i]);
	ur_frame_end(buf, begun);
}
