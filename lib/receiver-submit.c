/* SPDX-License-Identifier: BSD-2-Clause */
/* Records of the host program itself. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "receiver-private.h"

/* What is none would not be counted as a record when it is read again. */
static bool is_record(const struct uidrecv_record *record)
{
	return record->op == UIDRECV_OP_MAP ||
	       record->op == UIDRECV_OP_REFRESH ||
	       record->op == UIDRECV_OP_LOGOUT ||
	       record->op == UIDRECV_OP_WITHDRAW;
}

static int encode_records(struct ur_buf *buf,
			  const struct uidrecv_record *records, size_t count,
			  uint64_t now_us)
{
	struct ur_update_writer writer;

	ur_update_begin(&writer, buf, 0, now_us, false, 0, UR_FRAME_BODY_MAX);
	for (size_t i = 0; i < count; i++)
		if (!is_record(&records[i]) ||
		    !ur_update_add(&writer, &records[i]))
			return buf->failed ? -ENOMEM : -EINVAL;
	ur_update_end(&writer);
	return buf->failed ? -ENOMEM : 0;
}

struct local {
	struct uidrecv_receiver *receiver;
	uint16_t *codes;
};

static void complete_local(void *owner, const struct ur_batch *batch,
			   const struct ur_refusal *refusals)
{
	struct local *local = owner;

	for (size_t i = 0; i < batch->refusals_count; i++)
		local->codes[refusals[i].index] = refusals[i].code;
	ur_receiver_completed(local->receiver, batch, refusals);
}

/* Runs a round that holds nothing but the host's own batch. */
static int run_local(struct uidrecv_receiver *receiver, struct ur_peer *peer,
		     const struct ur_buf *buf, size_t count,
		     uint16_t *ret_codes)
{
	struct local local = {receiver, calloc(count, sizeof(uint16_t))};
	struct ur_batch batch = {
	    .peer = peer,
	    .type = UR_UPDATE,
	    .as_of_us = receiver->loop.now_us,
	    .offset_us = (int64_t)ur_store_get_base_us(receiver->store),
	    .records_count = (uint32_t)count,
	};
	int error = -ENOMEM;

	if (!local.codes)
		return -ENOMEM;
	if (!ur_round_submit(&receiver->round, &batch,
			     ur_buf_front(buf) + UR_FRAME_HEADER,
			     buf->size - UR_FRAME_HEADER)) {
		receiver->round.completed = complete_local;
		receiver->round.owner = &local;
		error = ur_receiver_run_round(receiver);
		receiver->round.completed = ur_receiver_completed;
		receiver->round.owner = receiver;
		if (error)
			ur_round_take_back(&receiver->round);
	}
	if (!error)
		memcpy(ret_codes, local.codes, count * sizeof(uint16_t));
	free(local.codes);
	return error;
}

int uidrecv_receiver_submit(struct uidrecv_receiver *receiver,
			    const char *agent,
			    const struct uidrecv_record *records, size_t count,
			    uint16_t *ret_codes)
{
	struct ur_peer *peer;
	struct ur_buf buf;
	int error;

	if (!receiver || !agent || !records || !ret_codes || !count ||
	    count > UR_RECORDS_MAX)
		return -EINVAL;
	if (receiver->pid != getpid())
		return UIDRECV_E_FORKED;
	receiver->loop.now_us = ur_clock_boot_us();
	peer = ur_receiver_find_peer(receiver, agent, strlen(agent));
	if (!peer)
		return UIDRECV_E_UNKNOWN_AGENT;
	/* Also makes sure that there is a table. */
	error = ur_receiver_run_round(receiver);
	if (!error)
		error = ur_receiver_enrol(receiver, peer);
	if (error)
		return error;
	ur_buf_init(&buf, UR_FRAME_HEADER + UR_FRAME_BODY_MAX);
	error = encode_records(&buf, records, count, receiver->loop.now_us);
	if (!error)
		error = run_local(receiver, peer, &buf, count, ret_codes);
	ur_buf_done(&buf);
	return error;
}
