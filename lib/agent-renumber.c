/* SPDX-License-Identifier: BSD-2-Clause */
/* What waits, for a receiver that takes less than the one it was meant for. */
#include "agent-private.h"

static bool is_taken(const struct ur_outgoing *item, uint64_t capabilities)
{
	if (item->type == UR_SNAPSHOT_BEGIN || item->type == UR_SNAPSHOT_END)
		return capabilities & UR_CAPABILITY_SNAPSHOT;
	if (item->type == UR_REFRESH_ALL)
		return capabilities & UR_CAPABILITY_REFRESH_ALL;
	return true;
}

bool ur_outbox_suits(const struct ur_outbox *outbox, uint32_t body_max,
		     uint64_t capabilities)
{
	for (const struct ur_outgoing *item = outbox->first; item;
	     item = item->next)
		if (item->frame.size - UR_FRAME_HEADER > body_max ||
		    !is_taken(item, capabilities))
			return false;
	return true;
}

/*
 * Copies the records of one frame into another outbox, with what was told of
 * them. 0 or -ENOMEM.
 */
static int copy_records(struct ur_outbox *to, const struct ur_outgoing *from)
{
	/* AS_OF is the first TLV, and no record. */
	struct ur_records records;
	struct uidrecv_record record;
	uint16_t code;
	int error;

	ur_records_init(&records, ur_buf_front(&from->frame) + UR_FRAME_HEADER,
			from->frame.size - UR_FRAME_HEADER);
	while (ur_records_next(&records, &record, &code)) {
		error = ur_outbox_add(to, &record, from->as_of_us);
		if (error)
			return error;
		if (ur_outgoing_is_told(from, records.index))
			ur_outgoing_set_told(to->last, to->last->count - 1);
	}
	/* Each keeps its own as-of time. */
	ur_outbox_close(to);
	return 0;
}

static int copy(struct ur_outbox *to, const struct ur_outgoing *from)
{
	/* Between two messages tickets may have been thrown away. */
	to->ticket = from->first_ticket - 1;
	switch (from->type) {
	case UR_SNAPSHOT_BEGIN:
		return ur_outbox_begin_snapshot(to, false);
	case UR_SNAPSHOT_END:
		/* What it counts may be acknowledged, and not here. */
		to->maps_count = from->maps_count;
		return ur_outbox_end_snapshot(to);
	case UR_REFRESH_ALL:
		return ur_outbox_refresh_all(to, from->as_of_us,
					     from->maps_count);
	default:
		return copy_records(to, from);
	}
}

int ur_outbox_renumber(struct ur_outbox *outbox, uint32_t body_max,
		       uint64_t capabilities)
{
	struct ur_outbox renumbered = {
	    .acked_ticket = outbox->acked_ticket,
	    .batch_max = outbox->batch_max,
	    .body_max = body_max,
	};
	int error, left_out = 0;

	ur_outbox_close(outbox);
	for (struct ur_outgoing *item = outbox->first; item;
	     item = item->next) {
		if (!is_taken(item, capabilities)) {
			left_out++;
			continue;
		}
		error = copy(&renumbered, item);
		if (error) {
			ur_outbox_done(&renumbered);
			return error;
		}
	}
	renumbered.ticket = outbox->ticket;
	renumbered.is_snapshot_open =
	    outbox->is_snapshot_open && capabilities & UR_CAPABILITY_SNAPSHOT;
	ur_outbox_done(outbox);
	*outbox = renumbered;
	return left_out;
}
