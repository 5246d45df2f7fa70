/* SPDX-License-Identifier: BSD-2-Clause */
/* What an agent has said and the receiver has not acknowledged. */
#include <errno.h>
#include <stdlib.h>

#include "agent-private.h"

/* Records that were queued later than this get an as-of time of their own. */
#define SAME_TIME_US UINT64_C(100000)

static void free_item(struct ur_outgoing *item)
{
	if (!item)
		return;
	ur_buf_done(&item->frame);
	free(item);
}

static void free_outgoing(struct ur_outbox *outbox, struct ur_outgoing *item)
{
	outbox->bytes -= item->frame.size;
	outbox->records -= item->count;
	free_item(item);
}

void ur_outbox_done(struct ur_outbox *outbox)
{
	struct ur_outgoing *next;

	for (struct ur_outgoing *item = outbox->first; item; item = next) {
		next = item->next;
		free_outgoing(outbox, item);
	}
	outbox->first = NULL;
	outbox->last = NULL;
	outbox->unsent = NULL;
}

static struct ur_outgoing *new_outgoing(const struct ur_outbox *outbox,
					enum ur_message_type type,
					uint64_t clock_us)
{
	struct ur_outgoing *item = calloc(1, sizeof(*item));

	if (!item)
		return NULL;
	ur_buf_init(&item->frame, UR_FRAME_HEADER + UR_FRAME_BODY_MAX);
	item->type = (uint8_t)type;
	item->serial = outbox->serial + 1;
	item->first_ticket = outbox->ticket + 1;
	item->as_of_us = clock_us;
	return item;
}

static struct ur_outgoing *begin(struct ur_outbox *outbox, uint64_t clock_us)
{
	struct ur_outgoing *item = new_outgoing(outbox, UR_UPDATE, clock_us);

	if (item)
		ur_update_begin(&item->writer, &item->frame, item->serial,
				clock_us, false, 0, outbox->body_max);
	return item;
}

static void append(struct ur_outbox *outbox, struct ur_outgoing *item)
{
	if (outbox->last)
		outbox->last->next = item;
	else
		outbox->first = item;
	outbox->last = item;
	if (!outbox->unsent)
		outbox->unsent = item;
	outbox->serial = item->serial;
	outbox->bytes += item->frame.size;
}

void ur_outbox_close(struct ur_outbox *outbox)
{
	struct ur_outgoing *item = outbox->last;

	if (!item || item->is_closed)
		return;
	ur_update_end(&item->writer);
	item->is_closed = true;
}

static bool has_room(const struct ur_outbox *outbox, uint64_t clock_us)
{
	const struct ur_outgoing *item = outbox->last;

	return item && !item->is_closed && item->count < outbox->batch_max &&
	       clock_us - item->as_of_us <= SAME_TIME_US;
}

static void count_record(struct ur_outbox *outbox,
			 const struct uidrecv_record *record)
{
	outbox->records++;
	outbox->ticket++;
	outbox->maps_count += record->op == UIDRECV_OP_MAP;
}

static bool add_to_last(struct ur_outbox *outbox,
			const struct uidrecv_record *record)
{
	struct ur_outgoing *item = outbox->last;
	size_t before = item->frame.size;

	if (!ur_update_add(&item->writer, record))
		return false;
	item->count++;
	item->has_ports |= record->ports.count > 0;
	outbox->bytes += item->frame.size - before;
	count_record(outbox, record);
	return true;
}

int ur_outbox_add(struct ur_outbox *outbox, const struct uidrecv_record *record,
		  uint64_t clock_us)
{
	struct ur_outgoing *item;

	if (has_room(outbox, clock_us) && add_to_last(outbox, record))
		return 0;
	item = begin(outbox, clock_us);
	if (!item)
		return -ENOMEM;
	/* A frame without a record must never be sent: try before appending. */
	if (!ur_update_add(&item->writer, record)) {
		free_item(item);
		return -ENOMEM;
	}
	ur_outbox_close(outbox);
	item->count = 1;
	item->has_ports = record->ports.count > 0;
	count_record(outbox, record);
	append(outbox, item);
	return 0;
}

/* A whole message without records, not yet queued. NULL: no memory. */
static struct ur_outgoing *new_control(const struct ur_outbox *outbox,
				       enum ur_message_type type,
				       uint64_t serial, uint64_t clock_us,
				       uint64_t count)
{
	struct ur_outgoing *item = new_outgoing(outbox, type, clock_us);

	if (!item)
		return NULL;
	item->serial = serial;
	item->maps_count = count;
	item->is_closed = true;
	if (type == UR_SNAPSHOT_BEGIN)
		ur_snapshot_begin_encode(&item->frame, serial);
	else if (type == UR_SNAPSHOT_END)
		ur_snapshot_end_encode(&item->frame, serial, count);
	else
		ur_refresh_all_encode(&item->frame, serial, clock_us, count);
	if (!item->frame.failed)
		return item;
	free_item(item);
	return NULL;
}

/* The same of TS CONFIG. */
static struct ur_outgoing *new_system(const struct ur_outbox *outbox,
				      uint64_t serial,
				      const struct ur_set_system *system)
{
	struct ur_outgoing *item = new_outgoing(outbox, UR_TS_CONFIG, 0);

	if (!item)
		return NULL;
	item->serial = serial;
	item->system_ticket = system->ticket;
	item->is_closed = true;
	ur_ts_config_encode(&item->frame, serial, &system->config);
	if (!item->frame.failed)
		return item;
	free_item(item);
	return NULL;
}

int ur_outbox_add_system(struct ur_outbox *outbox,
			 const struct ur_set_system *system, bool is_first)
{
	struct ur_outgoing *item =
	    new_system(outbox, outbox->serial + 1, system);

	if (!item)
		return -ENOMEM;
	ur_outbox_close(outbox);
	item->count = is_first;
	outbox->ticket += is_first;
	outbox->records += is_first;
	append(outbox, item);
	return 0;
}

/* Throws away what was never sent: the serials go on from what was. */
static void discard_unsent(struct ur_outbox *outbox)
{
	struct ur_outgoing *kept = NULL, *item = outbox->first, *next;

	while (item && item->serial <= outbox->sent) {
		kept = item;
		item = item->next;
	}
	if (outbox->unsent && outbox->unsent->serial > outbox->sent)
		outbox->unsent = NULL;
	outbox->last = kept;
	if (kept)
		kept->next = NULL;
	else
		outbox->first = NULL;
	for (; item; item = next) {
		next = item->next;
		free_outgoing(outbox, item);
	}
}

int ur_outbox_begin_snapshot(struct ur_outbox *outbox, bool discard,
			     bool with_system)
{
	uint64_t serial = (discard ? outbox->sent : outbox->serial) + 1;
	struct ur_outgoing *system = NULL, *item;

	if (with_system && outbox->system.ticket) {
		system = new_system(outbox, serial++, &outbox->system);
		if (!system)
			return -ENOMEM;
	}
	item = new_control(outbox, UR_SNAPSHOT_BEGIN, serial, 0, 0);
	if (!item) {
		free_item(system);
		return -ENOMEM;
	}
	if (discard)
		discard_unsent(outbox);
	ur_outbox_close(outbox);
	if (system)
		append(outbox, system);
	append(outbox, item);
	outbox->is_snapshot_open = true;
	outbox->begin_serial = serial;
	outbox->maps_count = 0;
	return 0;
}

int ur_outbox_end_snapshot(struct ur_outbox *outbox)
{
	struct ur_outgoing *item = new_control(
	    outbox, UR_SNAPSHOT_END, outbox->serial + 1, 0, outbox->maps_count);

	if (!item)
		return -ENOMEM;
	ur_outbox_close(outbox);
	append(outbox, item);
	outbox->is_snapshot_open = false;
	return 0;
}

int ur_outbox_refresh_all(struct ur_outbox *outbox, uint64_t clock_us,
			  uint64_t count)
{
	struct ur_outgoing *item = new_control(
	    outbox, UR_REFRESH_ALL, outbox->serial + 1, clock_us, count);

	if (!item)
		return -ENOMEM;
	ur_outbox_close(outbox);
	append(outbox, item);
	return 0;
}

/* A system that was refused is not in force there. */
static void note_taken(struct ur_outbox *outbox, const struct ur_outgoing *item)
{
	if (item->type != UR_TS_CONFIG || ur_outgoing_is_told(item, 0))
		return;
	ur_ts_config_decode(ur_buf_front(&item->frame) + UR_FRAME_HEADER,
			    item->frame.size - UR_FRAME_HEADER,
			    &outbox->taken.config);
	outbox->taken.ticket = item->system_ticket;
}

bool ur_outbox_ack(struct ur_outbox *outbox, uint64_t serial)
{
	bool is_news = false;

	while (outbox->first && outbox->first->serial <= serial) {
		struct ur_outgoing *item = outbox->first;

		outbox->first = item->next;
		if (!item->next)
			outbox->last = NULL;
		if (outbox->unsent == item)
			outbox->unsent = item->next;
		outbox->acked = item->serial;
		outbox->acked_ticket = item->first_ticket + item->count - 1;
		note_taken(outbox, item);
		free_outgoing(outbox, item);
		is_news = true;
	}
	return is_news;
}

uint64_t ur_outbox_refuse(struct ur_outbox *outbox, uint64_t serial,
			  uint32_t index)
{
	struct ur_outgoing *item = outbox->first;
	uint32_t count;

	while (item && item->serial != serial)
		item = item->next;
	if (!item)
		return 0;
	count = item->type == UR_TS_CONFIG ? 1 : item->count;
	if (index >= count || ur_outgoing_is_told(item, index))
		return 0;
	ur_outgoing_set_told(item, index);
	return item->type == UR_TS_CONFIG ? item->system_ticket
					  : item->first_ticket + index;
}

void ur_outbox_rewind(struct ur_outbox *outbox)
{
	outbox->unsent = outbox->first;
}
