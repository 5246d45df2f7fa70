/* SPDX-License-Identifier: BSD-2-Clause */
/* What an agent has said and the receiver has not acknowledged. */
#include <errno.h>
#include <stdlib.h>

#include "agent-private.h"

/* Records that were queued later than this get an as-of time of their own. */
#define SAME_TIME_US UINT64_C(100000)

static void free_outgoing(struct ur_outbox *outbox, struct ur_outgoing *item)
{
	outbox->bytes -= item->frame.size;
	outbox->records -= item->count;
	ur_buf_done(&item->frame);
	free(item);
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

static struct ur_outgoing *begin(struct ur_outbox *outbox, uint64_t clock_us)
{
	struct ur_outgoing *item = calloc(1, sizeof(*item));

	if (!item)
		return NULL;
	ur_buf_init(&item->frame, UR_FRAME_HEADER + UR_FRAME_BODY_MAX);
	item->serial = outbox->serial + 1;
	item->first_ticket = outbox->ticket + 1;
	item->as_of_us = clock_us;
	ur_update_begin(&item->writer, &item->frame, item->serial, clock_us,
			false, 0, outbox->body_max);
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

static bool add_to_last(struct ur_outbox *outbox,
			const struct uidrecv_record *record)
{
	struct ur_outgoing *item = outbox->last;
	size_t before = item->frame.size;

	if (!ur_update_add(&item->writer, record))
		return false;
	item->count++;
	outbox->bytes += item->frame.size - before;
	outbox->records++;
	outbox->ticket++;
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
		ur_buf_done(&item->frame);
		free(item);
		return -ENOMEM;
	}
	ur_outbox_close(outbox);
	item->count = 1;
	outbox->records++;
	outbox->ticket++;
	append(outbox, item);
	return 0;
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
		free_outgoing(outbox, item);
		is_news = true;
	}
	return is_news;
}

static bool is_told(const struct ur_outgoing *item, uint32_t index)
{
	return item->refused[index / 8] & 1u << (index % 8);
}

static void set_told(struct ur_outgoing *item, uint32_t index)
{
	item->refused[index / 8] |= (uint8_t)(1u << (index % 8));
}

uint64_t ur_outbox_refuse(struct ur_outbox *outbox, uint64_t serial,
			  uint32_t index)
{
	struct ur_outgoing *item = outbox->first;

	while (item && item->serial != serial)
		item = item->next;
	if (!item || index >= item->count || is_told(item, index))
		return 0;
	set_told(item, index);
	return item->first_ticket + index;
}

void ur_outbox_rewind(struct ur_outbox *outbox)
{
	outbox->unsent = outbox->first;
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
		if (is_told(from, records.index))
			set_told(to->last, to->last->count - 1);
	}
	/* Each keeps its own as-of time. */
	ur_outbox_close(to);
	return 0;
}

int ur_outbox_renumber(struct ur_outbox *outbox, uint32_t body_max)
{
	struct ur_outbox renumbered = {
	    .ticket = outbox->acked_ticket,
	    .acked_ticket = outbox->acked_ticket,
	    .batch_max = outbox->batch_max,
	    .body_max = body_max,
	};
	int error;

	ur_outbox_close(outbox);
	for (struct ur_outgoing *item = outbox->first; item;
	     item = item->next) {
		error = copy_records(&renumbered, item);
		if (error) {
			ur_outbox_done(&renumbered);
			return error;
		}
	}
	ur_outbox_done(outbox);
	*outbox = renumbered;
	return 0;
}
