/* SPDX-License-Identifier: BSD-2-Clause */
/* What waits, for a receiver that takes less than the one it was meant for. */
#include "agent-private.h"

/* A renumbering under way. */
struct renumbering {
	struct ur_outbox to;
	uint64_t capabilities;
	void (*tell)(void *user, uint64_t serial, uint64_t ticket);
	void *user;
	int left_out;
	uint64_t maps_left_out; /* of them those since the last BEGIN */
};

static bool is_taken(const struct ur_outgoing *item, uint64_t capabilities)
{
	switch (item->type) {
	case UR_SNAPSHOT_BEGIN:
	case UR_SNAPSHOT_END:
		return capabilities & UR_CAPABILITY_SNAPSHOT;
	case UR_REFRESH_ALL:
		return capabilities & UR_CAPABILITY_REFRESH_ALL;
	case UR_TS_CONFIG:
		return capabilities & UR_CAPABILITY_PORTS;
	default:
		return true;
	}
}

bool ur_outbox_suits(const struct ur_outbox *outbox, uint32_t body_max,
		     uint64_t capabilities)
{
	bool takes_ports = capabilities & UR_CAPABILITY_PORTS;

	for (const struct ur_outgoing *item = outbox->first; item;
	     item = item->next)
		if (item->frame.size - UR_FRAME_HEADER > body_max ||
		    (item->has_ports && !takes_ports) ||
		    !is_taken(item, capabilities))
			return false;
	return true;
}

/* Nobody shall think that a record arrived that was left out. */
static void leave_out(struct renumbering *renumbering, struct ur_outgoing *from,
		      uint32_t index, uint64_t ticket)
{
	renumbering->left_out++;
	if (!ticket || ur_outgoing_is_told(from, index))
		return;
	ur_outgoing_set_told(from, index);
	renumbering->tell(renumbering->user, from->serial, ticket);
}

static void leave_record_out(struct renumbering *renumbering,
			     struct ur_outgoing *from, uint32_t index,
			     const struct uidrecv_record *record)
{
	leave_out(renumbering, from, index, from->first_ticket + index);
	renumbering->maps_left_out += record->op == UIDRECV_OP_MAP;
	/* The tickets of one message are in a row. */
	ur_outbox_close(&renumbering->to);
	renumbering->to.ticket++;
}

static bool is_record_taken(const struct renumbering *renumbering,
			    const struct uidrecv_record *record)
{
	return !record->ports.count ||
	       renumbering->capabilities & UR_CAPABILITY_PORTS;
}

/*
 * Copies the records of one frame into another outbox, with what was told of
 * them. 0 or -ENOMEM.
 */
static int copy_records(struct renumbering *renumbering,
			struct ur_outgoing *from)
{
	struct ur_outbox *to = &renumbering->to;
	/* AS_OF is the first TLV, and no record. */
	struct ur_records records;
	struct uidrecv_record record;
	uint16_t code;
	int error;

	ur_records_init(&records, ur_buf_front(&from->frame) + UR_FRAME_HEADER,
			from->frame.size - UR_FRAME_HEADER);
	while (ur_records_next(&records, &record, &code)) {
		if (!is_record_taken(renumbering, &record)) {
			leave_record_out(renumbering, from, records.index,
					 &record);
			continue;
		}
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

static int copy_system(struct ur_outbox *to, const struct ur_outgoing *from)
{
	struct ur_set_system system = {.ticket = from->system_ticket};
	int error;

	ur_ts_config_decode(ur_buf_front(&from->frame) + UR_FRAME_HEADER,
			    from->frame.size - UR_FRAME_HEADER, &system.config);
	error = ur_outbox_add_system(to, &system, from->count);
	if (!error && ur_outgoing_is_told(from, 0))
		ur_outgoing_set_told(to->last, 0);
	return error;
}

static int copy(struct renumbering *renumbering, struct ur_outgoing *from)
{
	struct ur_outbox *to = &renumbering->to;

	/* Between two messages tickets may have been thrown away. */
	to->ticket = from->first_ticket - 1;
	if (!is_taken(from, renumbering->capabilities)) {
		leave_out(renumbering, from, 0, from->system_ticket);
		return 0;
	}
	switch (from->type) {
	case UR_SNAPSHOT_BEGIN:
		renumbering->maps_left_out = 0;
		return ur_outbox_begin_snapshot(to, false, false);
	case UR_SNAPSHOT_END:
		/* What it counts may be acknowledged, and not here. */
		to->maps_count = from->maps_count - renumbering->maps_left_out;
		return ur_outbox_end_snapshot(to);
	case UR_REFRESH_ALL:
		return ur_outbox_refresh_all(to, from->as_of_us,
					     from->maps_count);
	case UR_TS_CONFIG:
		return copy_system(to, from);
	default:
		return copy_records(renumbering, from);
	}
}

/* A session begins with the system that its first records are about. */
static int copy_all(struct renumbering *renumbering,
		    const struct ur_outbox *outbox)
{
	struct ur_outbox *to = &renumbering->to;
	int error = 0;

	if (outbox->taken.ticket &&
	    renumbering->capabilities & UR_CAPABILITY_PORTS)
		error = ur_outbox_add_system(to, &outbox->taken, false);
	for (struct ur_outgoing *item = outbox->first; item && !error;
	     item = item->next)
		error = copy(renumbering, item);
	return error;
}

int ur_outbox_renumber(
    struct ur_outbox *outbox, uint32_t body_max, uint64_t capabilities,
    void (*left_out)(void *user, uint64_t serial, uint64_t ticket), void *user)
{
	struct renumbering renumbering = {
	    .to =
		{
		    .acked_ticket = outbox->acked_ticket,
		    .ticket = outbox->acked_ticket,
		    .batch_max = outbox->batch_max,
		    .body_max = body_max,
		    .system = outbox->system,
		    .taken = outbox->taken,
		},
	    .capabilities = capabilities,
	    .tell = left_out,
	    .user = user,
	};
	struct ur_outbox *to = &renumbering.to;
	int error;

	ur_outbox_close(outbox);
	error = copy_all(&renumbering, outbox);
	if (error) {
		ur_outbox_done(to);
		return error;
	}
	to->ticket = outbox->ticket;
	to->is_snapshot_open =
	    outbox->is_snapshot_open && capabilities & UR_CAPABILITY_SNAPSHOT;
	ur_outbox_done(outbox);
	*outbox = *to;
	return renumbering.left_out;
}
