/* SPDX-License-Identifier: BSD-2-Clause */
/* What a receiver answers, as lines for whoever runs uidagent. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "cli.h"
#include "uidagent-receiver.h"

static void report_rejected(struct receiver *receiver,
			    const struct uidrecv_agent_event *event)
{
	struct line_ring *ring = &receiver->ring;
	struct line_origin origin = {0};

	if (event->ticket >= ring->first && event->ticket < ring->next)
		origin = ring->origins[event->ticket & (ring->capacity - 1)];
	/* The library says it again before each snapshot. */
	if (event->ticket == receiver->system_ticket) {
		origin.line = receiver->system_line;
		origin.is_system = true;
	}
	receiver->has_rejected = true;
	printf("%srejected %" PRIu64 " %s %s\n", receiver->label, origin.line,
	       uidrecv_reject_name(event->code), event->text);
	if (receiver->said == NULL || origin.is_system)
		return;
	/* A refresh of what it was not told, but is told since. */
	if (origin.is_refresh && (event->code != UIDRECV_REJECT_NOT_FOUND ||
				  receiver->state != RECEIVER_UP ||
				  event->ticket <= receiver->walked_ticket))
		return;
	said_refuse(receiver->said, &origin.address, origin.ports, origin.line,
		    origin.is_refresh, receiver->number);
}

static void report_acked(struct receiver *receiver,
			 const struct uidrecv_agent_event *event)
{
	receiver->acked_us = uidrecv_agent_now_us(receiver->agent);
	if (receiver->ring.first <= event->ticket)
		receiver->ring.first = event->ticket + 1;
	if (receiver->said != NULL)
		printf("%sacked %" PRIu64 "\n", receiver->label, event->serial);
}

/* The first time also if nobody asked: else it would seem to hang. */
static void report_lost(struct receiver *receiver,
			const struct uidrecv_agent_event *event)
{
	if (receiver->verbose)
		cli_warn("%s; trying again", event->text);
	else if (!receiver->has_lost)
		cli_warn("%s; trying again, from now on in silence (-v tells)",
			 event->text);
	receiver->has_lost = true;
}

/* The text has the receiver's address and the reason. */
static void report_refused(struct receiver *receiver,
			   const struct uidrecv_agent_event *event)
{
	receiver->is_refused = true;
	if (event->error == UIDRECV_E_IDENTITY)
		cli_warn("%s; give the name in its certificate with --name; "
			 "not tried again",
			 event->text);
	else if (event->code)
		cli_warn("%s: %s; not tried again",
			 uidrecv_bye_name(event->code), event->text);
	else
		cli_warn("%s; not tried again", event->text);
}

/* Who has said nothing yet has not lost what the receiver knows. */
static void answer_resync(struct receiver *receiver,
			  const struct uidrecv_agent_event *event)
{
	printf("%sresync %s %s\n", receiver->label,
	       uidrecv_resync_name(event->code), event->text);
	if (receiver->said != NULL && receiver->said->has_spoken &&
	    receiver->state == RECEIVER_UP && !receiver->is_finishing)
		receiver_start_walk(receiver, RECEIVER_WALKING);
}

static void report(struct receiver *receiver,
		   const struct uidrecv_agent_event *event)
{
	switch (event->type) {
	case UIDRECV_AGENT_CONNECTED:
		if (receiver->connected_us == 0)
			receiver->connected_us =
			    uidrecv_agent_now_us(receiver->agent);
		if (receiver->verbose)
			cli_warn("%s: connected", receiver->connect);
		break;
	case UIDRECV_AGENT_LOST:
		report_lost(receiver, event);
		break;
	case UIDRECV_AGENT_REFUSED:
		report_refused(receiver, event);
		break;
	case UIDRECV_AGENT_ACKED:
		report_acked(receiver, event);
		break;
	case UIDRECV_AGENT_REJECTED:
		report_rejected(receiver, event);
		break;
	case UIDRECV_AGENT_RESYNC:
		answer_resync(receiver, event);
		break;
	}
	/* Something always waits for its ACK: at least SNAPSHOT BEGIN. */
	if (receiver->state == RECEIVER_BEHIND &&
	    event->type == UIDRECV_AGENT_ACKED)
		receiver->state = RECEIVER_WALKING;
}

void receiver_dispatch(struct receiver *receiver)
{
	struct uidrecv_agent_event event;
	int result;

	if (receiver->state == RECEIVER_DONE)
		return;
	result = uidrecv_agent_dispatch(receiver->agent);
	while (uidrecv_agent_next_event(receiver->agent, &event) == 1)
		report(receiver, &event);
	if (result == 0)
		return;
	if (result == UIDRECV_E_REFUSED)
		receiver->is_refused = true;
	else if (result != -ESHUTDOWN)
		cli_die(CLI_FAILED, "%s: %s", receiver->connect,
			uidrecv_strerror(result));
	receiver->state = RECEIVER_DONE;
}
