/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A session of either role against any bytes: the first byte chooses the role
 * (bit 0) and how the rest is cut (bits 1-7); a sink accepts each HELLO, and
 * answers each UPDATE. The clock goes on by what the bytes say.
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
	    .clock_base_us = UINT64_C(1700000000000000),
	    .handshake_us = 10 * SECOND,
	    .software = "fuzz",
	    .window = 16,
	    .session_id = 1,
	    .replay_first = 1,
	    .replay_last = 8,
	};
}

static void act(struct ur_session *session, struct ur_message *message,
		uint64_t now_us)
{
	struct ur_refusal refusals[2] = {{0, 1}, {7, 2}};
	struct uidrecv_record record;
	struct ur_records records;
	struct ur_reject reject;
	int64_t offset_us;
	uint64_t error_us;
	uint16_t code;

	switch (message->type) {
	case UR_HELLO:
		ur_session_measure(session, &message->hello.clock, now_us,
				   &offset_us, &error_us);
		ur_session_accept(session, 3, now_us);
		break;
	case UR_UPDATE:
		ur_records_init(&records, message->update.body,
				message->update.body_size);
		while (ur_records_next(&records, &record, &code))
			if (!code && record.user_size && !record.op)
				abort();
		ur_session_reject(session, message->serial, refusals, 2,
				  now_us);
		ur_session_ack(session, message->serial, now_us);
		break;
	case UR_REJECT:
		while (ur_rejects_next(&message->rejects, &reject))
			;
		break;
	default:
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
