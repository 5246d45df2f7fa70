/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames to messages and back (doc/protocol.md sections 3 to 5). Pure. What a
 * decoded message points to is in the frame it was decoded from.
 */
#ifndef UR_MESSAGE_H
#define UR_MESSAGE_H

#include <uidrecv/record.h>

#include "bytes.h"
#include "frame.h"
#include "refusal.h"

enum ur_message_type {
	UR_HELLO = 0x01,
	UR_READY = 0x02,
	UR_UPDATE = 0x03,
	UR_ACK = 0x04,
	UR_REJECT = 0x05,
	UR_KEEPALIVE = 0x06,
	UR_BYE = 0x07,
	UR_RESYNC = 0x08,
	UR_SNAPSHOT_BEGIN = 0x09,
	UR_SNAPSHOT_END = 0x0a,
	UR_REFRESH_ALL = 0x0b,
	UR_TS_CONFIG = 0x0c,
};

enum ur_role { UR_SOURCE = 1, UR_SINK = 2 };

#define UR_RECORDS_MAX 1024
#define UR_SOFTWARE_MAX 64
#define UR_TEXT_MAX 255

/* Bits of CAPABILITIES. */
#define UR_CAPABILITY_SNAPSHOT UINT64_C(1)
#define UR_CAPABILITY_REFRESH_ALL UINT64_C(2)
#define UR_CAPABILITY_PORTS UINT64_C(4)

struct ur_text {
	const char *bytes;
	size_t size;
};

struct ur_clock_echo { /* CLOCK */
	uint64_t now_us, echo_us, held_us;
};

struct ur_hello {
	uint8_t version_min, version_max;
	uint8_t role; /* enum ur_role */
	uint16_t hold_min_s, hold_max_s;
	uint32_t frame_max;
	uint64_t capabilities;
	struct ur_text software;
	struct ur_clock_echo clock;
	/* Of a source. */
	uint64_t session_id;
	uint64_t replay_first, replay_last;
	uint64_t acked;
};

struct ur_ready {
	uint8_t version;
	uint16_t hold_time_s;
	uint64_t durable;
	uint32_t window;
};

/*
 * UPDATE, SNAPSHOT BEGIN, SNAPSHOT END, REFRESH ALL or TS CONFIG: a message of
 * a source that has a serial. What one of them does not have is 0 or NULL in
 * it. The records of UPDATE are read with ur_records_next() from body, TS
 * CONFIG with ur_ts_config_decode(); that has records_count 1.
 */
struct ur_update {
	uint64_t as_of_us;
	uint64_t count; /* COUNT */
	uint64_t acked;
	bool has_acked;
	uint32_t records_count;
	uint32_t maps_count; /* those that are MAP, well-formed or not */
	const uint8_t *body;
	size_t body_size;
};

struct ur_reject { /* one REFUSED */
	uint32_t index;
	uint16_t code;
	struct ur_text text;
};

struct ur_keepalive {
	struct ur_clock_echo clock;
	uint64_t acked;
	bool has_acked;
};

struct ur_bye { /* BYE or RESYNC */
	uint16_t code;
	struct ur_text text;
	const uint8_t *quote; /* UR_FRAME_HEADER bytes, or NULL */
};

struct ur_message {
	uint8_t type; /* enum ur_message_type */
	uint8_t version;
	uint64_t serial;
	union {
		struct ur_hello hello;
		struct ur_ready ready;
		struct ur_update update;
		struct ur_bytes rejects; /* for ur_rejects_next() */
		struct ur_keepalive keepalive;
		struct ur_bye bye;
	};
};

/*
 * Reads a message and checks its whole TLV structure, but for the insides of
 * records, and that its values are in their ranges. What depends on the state
 * or the sender's role (versions, serials in sequence, ACKED in a KEEPALIVE of
 * a sink) is the session's, as is whether a message was announced.
 *
 * 0, or UIDRECV_E_MESSAGE; *ret_bye is then the code that answers it:
 * BAD_TYPE, BAD_MESSAGE or UNSUPPORTED_FIELD.
 */
int ur_message_decode(const struct ur_frame *frame,
		      struct ur_message *ret_message, uint16_t *ret_bye);

/* Reads the body of a TS CONFIG that ur_message_decode() found good. */
void ur_ts_config_decode(const uint8_t *body, size_t body_size,
			 struct uidrecv_system *ret_system);

/* Walks the records of an update. */
struct ur_records {
	struct ur_bytes reading;
	uint32_t index; /* of the record given out last */
	uint32_t next;
};

void ur_records_init(struct ur_records *records, const uint8_t *body,
		     size_t body_size);

/*
 * Gives the next record. Optional records of later versions are skipped but
 * counted. 1 a record; 0 the end. *ret_code is 0 or the positive enum
 * uidrecv_reject that refuses it as it stands: MALFORMED, UNSUPPORTED,
 * USER_INVALID (empty), USER_TOO_LONG, LIFETIME_NOT_ALLOWED (explicit 0),
 * PORTS_INVALID (none, or past the last); what the record means is
 * ur_admit()'s. Without a code the record is filled, but for what is behind the
 * zero of its user; with one only its op counts.
 */
int ur_records_next(struct ur_records *records,
		    struct uidrecv_record *ret_record, uint16_t *ret_code);

/* Gives the next REFUSED of a decoded REJECT. 1 or 0. */
int ur_rejects_next(struct ur_bytes *rejects, struct ur_reject *ret_reject);

/*
 * Encoders: append one frame to buf; buf->failed says whether it fitted. If
 * not, buf is as it was before. Texts are cut to what is allowed, between
 * characters. The fields are written as they are: the caller fills them well.
 */
void ur_hello_encode(struct ur_buf *buf, const struct ur_hello *hello);
void ur_ready_encode(struct ur_buf *buf, const struct ur_ready *ready);
void ur_ack_encode(struct ur_buf *buf, uint64_t serial);
void ur_keepalive_encode(struct ur_buf *buf,
			 const struct ur_keepalive *message);
void ur_bye_encode(struct ur_buf *buf, uint16_t code, const char *text,
		   const uint8_t *quote);

/* RESYNC, with the text of the code. */
void ur_resync_encode(struct ur_buf *buf, uint16_t code);

/* Whole frames without ACKED; ur_update_add_acked() adds it. */
void ur_snapshot_begin_encode(struct ur_buf *buf, uint64_t serial);
void ur_snapshot_end_encode(struct ur_buf *buf, uint64_t serial,
			    uint64_t count);
void ur_refresh_all_encode(struct ur_buf *buf, uint64_t serial,
			   uint64_t as_of_us, uint64_t count);
void ur_ts_config_encode(struct ur_buf *buf, uint64_t serial,
			 const struct uidrecv_system *system);

/*
 * REJECT, with the texts of the codes; cut into frames of body_max bytes, none
 * if there is no refusal.
 */
void ur_reject_encode(struct ur_buf *buf, uint64_t serial,
		      const struct ur_refusal *refusals, size_t count,
		      uint32_t body_max);

/*
 * UPDATE: begin, 1 to UR_RECORDS_MAX records, end. ur_update_add() returns
 * false, and adds nothing, if the frame would get longer than body_max or hold
 * too many records, or if buf has no room or had failed before: the records
 * that are there stay good. ur_frame_begin() says what holds of buf in between.
 */
struct ur_update_writer {
	struct ur_buf *buf;
	size_t begun;
	uint32_t count;
	uint32_t body_max;
};
void ur_update_begin(struct ur_update_writer *writer, struct ur_buf *buf,
		     uint64_t serial, uint64_t as_of_us, bool has_acked,
		     uint64_t acked, uint32_t body_max);
bool ur_update_add(struct ur_update_writer *writer,
		   const struct uidrecv_record *record);
void ur_update_end(struct ur_update_writer *writer);

/*
 * Adds ACKED to a whole frame with a serial of a source's (see struct
 * ur_update) that has none; it begins at begun and is the last in buf. The body
 * gets UR_UPDATE_SPARE bytes longer.
 */
#define UR_UPDATE_SPARE 12
void ur_update_add_acked(struct ur_buf *buf, size_t begun, uint64_t acked);

/* The bytes that a record takes in an UPDATE. */
size_t ur_record_encoded_size(const struct uidrecv_record *record);

#endif
