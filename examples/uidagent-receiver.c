/* SPDX-License-Identifier: BSD-2-Clause */
#include "uidagent-receiver.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* So many mappings are told before the connection is looked at again. */
#define WALK_ROUND 16384

/* What is said again so soon is said with its whole lifetime. */
#define SOON_US UINT64_C(10000000)

#define SECOND_US UINT64_C(1000000)

static void remember(struct line_ring *ring, const struct line_origin *origin)
{
	size_t capacity = ring->capacity ? ring->capacity * 2 : 1024;
	struct line_origin *origins;

	if (ring->next - ring->first == ring->capacity) {
		origins = calloc(capacity, sizeof(*origins));
		if (origins == NULL)
			cli_die(CLI_FAILED, "out of memory");
		for (uint64_t i = ring->first; i != ring->next; i++)
			origins[i & (capacity - 1)] =
			    ring->origins[i & (ring->capacity - 1)];
		free(ring->origins);
		ring->origins = origins;
		ring->capacity = capacity;
	}
	ring->origins[ring->next++ & (ring->capacity - 1)] = *origin;
}

static void write_log(void *user, enum uidrecv_log_level level,
		      const char *message)
{
	const struct receiver *receiver = user;

	if (receiver->verbose > 1 || level <= UIDRECV_LOG_ERROR)
		cli_warn("%s", message);
}

void receiver_open(struct receiver *receiver,
		   const struct uidrecv_agent_options *options)
{
	struct uidrecv_agent_options mine = *options;
	char error[1024] = "";
	int result;

	receiver->ring.first = receiver->ring.next = 1;
	mine.receiver = mine.listener ? NULL : receiver->connect;
	mine.software = "uidagent";
	mine.log = write_log;
	mine.log_user = receiver;
	receiver->queue_max_bytes = mine.queue_max_bytes;
	result =
	    uidrecv_agent_new(&receiver->agent, &mine, error, sizeof(error));
	if (result == -EEXIST || (result == -EINVAL && mine.listener))
		cli_die(CLI_USAGE,
			"--firewall %s: write a DNS name or URI of its "
			"certificate, each once",
			receiver->connect);
	if (result == -EINVAL)
		cli_die(CLI_USAGE,
			"--connect %s: write HOST:PORT or [IPV6]:PORT, such as "
			"firewall.example:5007",
			receiver->connect);
	if (result < 0)
		cli_die(result == -ENOMEM ? CLI_FAILED : CLI_USAGE, "%s",
			*error ? error : uidrecv_strerror(result));
}

void receiver_close(struct receiver *receiver)
{
	uidrecv_agent_free(receiver->agent);
	free(receiver->ring.origins);
}

static uint64_t now_us(const struct receiver *receiver)
{
	return uidrecv_agent_now_us(receiver->agent);
}

static struct uidrecv_agent_counters counters_of(
    const struct receiver *receiver)
{
	struct uidrecv_agent_counters counters = {.size = sizeof(counters)};

	if (uidrecv_agent_get_counters(receiver->agent, &counters) < 0)
		cli_die(CLI_FAILED, "%s: no counters", receiver->connect);
	return counters;
}

/* Lines must find room beside what a walk has queued. */
bool receiver_has_room(const struct receiver *receiver)
{
	if (receiver->state != RECEIVER_UP &&
	    receiver->state != RECEIVER_WALKING)
		return false;
	return counters_of(receiver).queued_bytes <
	       receiver->queue_max_bytes / 2;
}

static void need(const struct receiver *receiver, int error)
{
	if (error == -ENOMEM)
		cli_die(CLI_FAILED, "out of memory");
	/* The others say by themselves that the receiver is lost for good. */
	if (error < 0 && receiver->verbose > 1)
		cli_warn("%s: %s", receiver->connect, uidrecv_strerror(error));
}

static int queue(struct receiver *receiver, const struct uidrecv_record *record,
		 uint64_t line, bool is_refresh)
{
	struct line_origin origin = {
	    .line = line,
	    .address = record->address,
	    .ports = record->ports,
	    .is_refresh = is_refresh,
	};
	int error = uidrecv_agent_queue(receiver->agent, record, NULL);

	if (error == 0)
		remember(&receiver->ring, &origin);
	else if (error == -ENOMEM)
		cli_die(CLI_FAILED, "out of memory");
	return error;
}

void receiver_start_walk(struct receiver *receiver, enum receiver_state state)
{
	bool discard = state == RECEIVER_BEHIND;

	need(receiver, uidrecv_agent_snapshot_begin(receiver->agent, discard));
	receiver->state = state;
	receiver->is_in_snapshot = false;
	receiver->has_short_lives = false;
	said_rewind(receiver->said, receiver->number);
}

static void warn_of_no_ports(struct receiver *receiver)
{
	if (!receiver->has_no_ports)
		cli_warn("%s takes no port blocks: it is not told of any",
			 receiver->connect);
	receiver->has_no_ports = true;
	receiver->has_rejected = true;
}

void receiver_set_system(struct receiver *receiver,
			 const struct uidrecv_system *system, uint64_t line)
{
	struct line_origin origin = {.line = line, .is_system = true};
	int error;

	if (receiver->state == RECEIVER_DONE)
		return;
	error = uidrecv_agent_set_system(receiver->agent, system,
					 &receiver->system_ticket);
	if (error == -EOPNOTSUPP)
		warn_of_no_ports(receiver);
	need(receiver, error);
	if (error)
		return;
	receiver->system_line = line;
	remember(&receiver->ring, &origin);
}

int receiver_say(struct receiver *receiver, const struct uidrecv_record *record,
		 uint64_t line)
{
	struct uidrecv_record copy;
	const struct said_mapping *refreshed = NULL;
	int error;

	if (receiver->state == RECEIVER_BEHIND ||
	    receiver->state == RECEIVER_DONE)
		return 0;
	if (receiver->said && record->op == UIDRECV_OP_REFRESH)
		refreshed = said_find(receiver->said, record, now_us(receiver));
	if (refreshed && receiver->has_short_lives && !record->lifetime_s) {
		copy = *record;
		copy.lifetime_s = refreshed->lifetime_s;
		record = &copy;
	}
	error = queue(receiver, record, line, refreshed != NULL);
	if (error == -EOPNOTSUPP) {
		warn_of_no_ports(receiver);
		if (receiver->said)
			said_refuse(receiver->said, &record->address,
				    record->ports, line, refreshed != NULL,
				    receiver->number);
		return 0;
	}
	/* Its refusal is told by the next dispatch. */
	return error == UIDRECV_E_REFUSED ? 0 : error;
}

static void warn_of_no_snapshots(struct receiver *receiver)
{
	if (!receiver->has_no_snapshots)
		cli_warn("%s takes no snapshots: what is not said any more "
			 "lives there until its lifetime ends",
			 receiver->connect);
	receiver->has_no_snapshots = true;
}

void receiver_begin_snapshot(struct receiver *receiver)
{
	int error;

	/* It will be told all anyway. */
	if (receiver->state == RECEIVER_BEHIND ||
	    receiver->state == RECEIVER_DONE)
		return;
	error = uidrecv_agent_snapshot_begin(receiver->agent, false);
	if (error == -EOPNOTSUPP)
		warn_of_no_snapshots(receiver);
	need(receiver, error);
	receiver->state = RECEIVER_UP;
	receiver->must_refresh = false;
	receiver->has_short_lives = false;
	receiver->is_in_snapshot = error == 0;
}

void receiver_end_snapshot(struct receiver *receiver)
{
	int error;

	if (receiver->state == RECEIVER_DONE)
		return;
	if (receiver->is_in_snapshot) {
		error = uidrecv_agent_snapshot_end(receiver->agent);
		/* Another receiver answers there now. */
		if (error == -EINVAL)
			warn_of_no_snapshots(receiver);
		need(receiver, error);
		receiver->is_in_snapshot = false;
	} else if (receiver->state != RECEIVER_BEHIND &&
		   !receiver->has_no_snapshots) {
		/* It has missed some of it, and was told what is over now. */
		receiver_start_walk(receiver, RECEIVER_WALKING);
	}
}

void receiver_refresh_all(struct receiver *receiver)
{
	uint64_t count;
	int error = -EOPNOTSUPP;

	receiver->must_refresh = receiver->state == RECEIVER_WALKING;
	if (receiver->state != RECEIVER_UP)
		return;
	if (!receiver->has_short_lives) {
		count = said_count(receiver->said, now_us(receiver),
				   receiver->number);
		error = uidrecv_agent_refresh_all(receiver->agent, count);
		need(receiver, error);
	}
	if (error == -EOPNOTSUPP)
		receiver_start_walk(receiver, RECEIVER_WALKING);
}

/* A mapping as it is to be said again: it lives no longer for it. */
static void make_record(struct receiver *receiver,
			const struct said_mapping *mapping,
			struct uidrecv_record *ret_record)
{
	uint64_t left_us = mapping->deadline_us - now_us(receiver);

	*ret_record = (struct uidrecv_record){
	    .op = UIDRECV_OP_MAP,
	    .address = mapping->address,
	    .ports = mapping->ports,
	    .event_time_us = mapping->event_us,
	    .has_event_time = true,
	    .lifetime_s = mapping->lifetime_s,
	    .source = mapping->source,
	    .token = mapping->token,
	    .has_token = mapping->has_token,
	    .user_size = mapping->user_size,
	};
	memcpy(ret_record->user, mapping->user, mapping->user_size);
	if (mapping->deadline_us != UINT64_MAX &&
	    left_us + SOON_US < mapping->lifetime_s * SECOND_US) {
		ret_record->lifetime_s =
		    (uint32_t)((left_us + SECOND_US - 1) / SECOND_US);
		receiver->has_short_lives = true;
	}
}

static void end_walk(struct receiver *receiver)
{
	receiver->state = RECEIVER_UP;
	/* -EINVAL: it takes none. */
	need(receiver, uidrecv_agent_snapshot_end(receiver->agent));
	if (receiver->must_refresh)
		receiver_refresh_all(receiver);
}

bool receiver_can_walk(const struct receiver *receiver)
{
	return receiver->state == RECEIVER_WALKING &&
	       receiver_has_room(receiver);
}

void receiver_walk(struct receiver *receiver)
{
	const struct said_mapping *mapping;
	struct uidrecv_record record;

	for (int i = 0; i < WALK_ROUND && receiver_can_walk(receiver); i++) {
		mapping = said_next(receiver->said, now_us(receiver),
				    receiver->number);
		if (mapping == NULL) {
			end_walk(receiver);
			return;
		}
		make_record(receiver, mapping, &record);
		if (queue(receiver, &record, mapping->line, false) < 0)
			return;
		receiver->walked_ticket = receiver->ring.next - 1;
	}
}

void receiver_finish(struct receiver *receiver)
{
	struct uidrecv_agent_counters counters;

	if (receiver->state != RECEIVER_UP || receiver->is_finishing)
		return;
	counters = counters_of(receiver);
	if (counters.acked_serial != counters.last_serial)
		return;
	receiver->is_finishing = true;
	uidrecv_agent_finish(receiver->agent);
}
