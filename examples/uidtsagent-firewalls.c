/* SPDX-License-Identifier: BSD-2-Clause */
#include "uidtsagent-firewalls.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "uidtsagent-log.h"

#define SECOND_US UINT64_C(1000000)
/* What was refused is said again after so long. */
#define RETRY_US (60 * SECOND_US)
/* Clocks are not alike: a life has ended only when it has for so long. */
#define MARGIN_US (10 * SECOND_US)

static void add_firewall(struct ts_firewalls *firewalls, const char *name,
			 const struct uidrecv_agent_listener_options *listener,
			 const struct ts_share *share, uint64_t now_us)
{
	struct ts_firewall *firewall = &firewalls->list[firewalls->count++];
	struct uidrecv_agent_options options = UIDRECV_AGENT_OPTIONS_INIT;
	char error[1024] = "";
	int result;

	options.listener = firewalls->listener;
	options.receiver_name = name;
	options.log = listener->log;
	options.log_user = listener->log_user;
	options.software = "uidtsagent";
	result =
	    uidrecv_agent_new(&firewall->agent, &options, error, sizeof(error));
	if (result < 0)
		cli_die(CLI_USAGE, "--firewall %s: %s", name,
			*error ? error : uidrecv_strerror(result));
	firewall->name = name;
	firewall->must_tell_all = true;
	firewall->offset_us =
	    (int64_t)(uidrecv_agent_now_us(firewall->agent) - now_us);
	firewall->told = calloc(share->blocks_count, sizeof(*firewall->told));
	if (firewall->told == NULL)
		cli_die(CLI_FAILED, "out of memory");
}

void ts_firewalls_open(struct ts_firewalls *firewalls,
		       const struct ts_firewalls_options *options,
		       const struct ts_share *share, uint64_t now_us)
{
	char error[1024] = "";
	int result;

	*firewalls = (struct ts_firewalls){.lifetime_s = options->lifetime_s};
	result = uidrecv_agent_listener_new(
	    &firewalls->listener, &options->listener, error, sizeof(error));
	if (result < 0)
		cli_die(result == -EADDRINUSE ? CLI_FAILED : CLI_USAGE, "%s",
			*error ? error : uidrecv_strerror(result));
	for (size_t i = 0; i < options->count; i++)
		add_firewall(firewalls, options->names[i], &options->listener,
			     share, now_us);
}

void ts_firewalls_close(struct ts_firewalls *firewalls)
{
	for (size_t i = 0; i < firewalls->count; i++) {
		uidrecv_agent_free(firewalls->list[i].agent);
		free(firewalls->list[i].told);
	}
	uidrecv_agent_listener_free(firewalls->listener);
}

/* A former mapping would outlive a refused one: it is withdrawn, too. */
static void refuse_block(struct ts_firewall *firewall, struct ts_block *block,
			 struct ts_told *told,
			 const struct uidrecv_agent_event *event)
{
	/* What it has not, nobody needs to withdraw. */
	if (!ts_block_is_said(block) || told->is_refused)
		return;
	told->is_refused = true;
	firewall->refused++;
	block->must_say = true;
	if (!firewall->is_system_refused)
		ts_log(UIDRECV_LOG_ERROR,
		       "%s refuses the ports from %u on for uid %u: %s %s",
		       firewall->name, block->start, block->uid,
		       uidrecv_reject_name(event->code), event->text);
}

static void take_rejected(struct ts_firewall *firewall, struct ts_share *share,
			  const struct uidrecv_agent_event *event)
{
	if (event->ticket == firewall->system_ticket) {
		firewall->is_system_refused = true;
		ts_log(UIDRECV_LOG_ERROR,
		       "%s refuses this host as a multi-user system, so nobody "
		       "gets ports, unless one of before stands: %s %s; %s",
		       firewall->name, uidrecv_reject_name(event->code),
		       event->text,
		       event->code == UIDRECV_REJECT_ADDRESS_TAKEN
			   ? "end that system there first"
			   : "look at the agent's line in its list, and at "
			     "the addresses that SIGUSR1 shows here");
		return;
	}
	for (size_t i = 0; i < share->blocks_count; i++)
		if (firewall->told[i].ticket == event->ticket)
			refuse_block(firewall, &share->blocks[i],
				     &firewall->told[i], event);
}

static void take_event(struct ts_firewall *firewall, struct ts_share *share,
		       const struct uidrecv_agent_event *event)
{
	switch (event->type) {
	case UIDRECV_AGENT_CONNECTED:
		ts_log(UIDRECV_LOG_INFO, "%s has connected", firewall->name);
		firewall->is_connected = true;
		firewall->must_tell_all = true;
		firewall->retry_us = 0;
		break;
	case UIDRECV_AGENT_LOST:
		ts_log(UIDRECV_LOG_WARNING, "%s is lost: %s", firewall->name,
		       event->text);
		firewall->is_connected = false;
		break;
	case UIDRECV_AGENT_REFUSED:
		ts_log(UIDRECV_LOG_ERROR, "%s refuses us: %s", firewall->name,
		       event->text);
		firewall->is_connected = false;
		break;
	case UIDRECV_AGENT_ACKED:
		if (firewall->acked < event->ticket)
			firewall->acked = event->ticket;
		break;
	case UIDRECV_AGENT_REJECTED:
		take_rejected(firewall, share, event);
		break;
	case UIDRECV_AGENT_RESYNC:
		ts_log(UIDRECV_LOG_INFO, "%s asks for all: %s %s",
		       firewall->name, uidrecv_resync_name(event->code),
		       event->text);
		firewall->must_tell_all = true;
		break;
	}
}

void ts_firewalls_dispatch(struct ts_firewalls *firewalls,
			   struct ts_share *share)
{
	struct uidrecv_agent_event event;
	int result = uidrecv_agent_listener_dispatch(firewalls->listener);

	for (size_t i = 0; i < firewalls->count; i++)
		while (uidrecv_agent_next_event(firewalls->list[i].agent,
						&event) == 1)
			take_event(&firewalls->list[i], share, &event);
	if (result < 0 && result != -ESHUTDOWN)
		cli_die(CLI_FAILED, "%s", uidrecv_strerror(result));
}

static bool is_known(const struct ts_firewalls *firewalls, size_t block)
{
	bool is_anywhere = false;

	for (size_t i = 0; i < firewalls->count; i++) {
		const struct ts_firewall *firewall = &firewalls->list[i];
		const struct ts_told *told = &firewall->told[block];

		if (!firewall->is_connected)
			continue;
		if (firewall->must_tell_all || told->is_refused ||
		    told->ticket == 0 || told->ticket > firewall->acked)
			return false;
		is_anywhere = true;
	}
	return is_anywhere;
}

/* A firewall that is away forgets when the mapping's life has ended. */
static bool is_forgotten(const struct ts_firewalls *firewalls, size_t index,
			 const struct ts_block *block, uint64_t now_us)
{
	uint64_t life_us = firewalls->lifetime_s * SECOND_US + MARGIN_US;

	if (now_us - block->unsaid_us > life_us)
		return true;
	for (size_t i = 0; i < firewalls->count; i++) {
		const struct ts_firewall *firewall = &firewalls->list[i];
		uint64_t ticket = firewall->told[index].ticket;

		if (ticket == 0 || ticket > firewall->acked)
			return false;
	}
	return true;
}

void ts_firewalls_judge(const struct ts_firewalls *firewalls,
			struct ts_share *share, uint64_t now_us)
{
	for (size_t i = 0; i < share->blocks_count; i++) {
		struct ts_block *block = &share->blocks[i];

		/* What was decided since is not told yet. */
		block->is_known = !block->must_say && is_known(firewalls, i);
		block->is_forgotten = !block->must_say &&
				      is_forgotten(firewalls, i, block, now_us);
	}
}

static struct uidrecv_record make_record(const struct ts_firewalls *firewalls,
					 const struct ts_firewall *firewall,
					 const struct ts_share *share,
					 const struct ts_block *block,
					 bool is_map)
{
	struct uidrecv_record record = {
	    .op = UIDRECV_OP_WITHDRAW,
	    .address = share->system.address,
	    .ports = {block->start, share->system.block_size},
	};
	const struct ts_user *user = ts_share_find_user(share, block->uid);

	if (!is_map || user == NULL)
		return record;
	record.op = UIDRECV_OP_MAP;
	record.has_event_time = true;
	record.event_time_us = block->said_us + (uint64_t)firewall->offset_us;
	record.lifetime_s = firewalls->lifetime_s;
	record.source = UIDRECV_SOURCE_TERMINAL;
	record.user_size = user->name_size;
	memcpy(record.user, user->name, user->name_size);
	return record;
}

/* Returns a negative error if it must be told all instead. */
static int tell_block(const struct ts_firewalls *firewalls,
		      struct ts_firewall *firewall,
		      const struct ts_share *share, size_t index)
{
	const struct ts_block *block = &share->blocks[index];
	struct ts_told *told = &firewall->told[index];
	bool is_map = ts_block_is_said(block) && !told->is_refused;
	struct uidrecv_record record =
	    make_record(firewalls, firewall, share, block, is_map);

	if (!ts_block_is_said(block) && told->is_refused) {
		told->is_refused = false;
		firewall->refused--;
	}
	told->ticket = 0;
	return uidrecv_agent_queue(firewall->agent, &record, &told->ticket);
}

static int tell_system(struct ts_firewall *firewall,
		       const struct ts_share *share)
{
	int result;

	if (firewall->has_system && !firewall->is_system_refused)
		return 0;
	result = uidrecv_agent_set_system(firewall->agent, &share->system,
					  &firewall->system_ticket);
	firewall->has_system = result == 0;
	firewall->is_system_refused = false;
	return result;
}

static int tell_all(const struct ts_firewalls *firewalls,
		    struct ts_firewall *firewall, const struct ts_share *share)
{
	int result = tell_system(firewall, share);
	bool is_snapshot;

	if (result < 0)
		return result;
	result = uidrecv_agent_snapshot_begin(firewall->agent, true);
	is_snapshot = result == 0;
	if (result < 0 && result != -EOPNOTSUPP)
		return result;
	firewall->refused = 0;
	for (size_t i = 0; i < share->blocks_count; i++) {
		firewall->told[i] = (struct ts_told){0};
		if (share->blocks[i].state == TS_RESERVED)
			continue;
		result = tell_block(firewalls, firewall, share, i);
		if (result < 0)
			return result;
	}
	return is_snapshot ? uidrecv_agent_snapshot_end(firewall->agent) : 0;
}

static bool may_renew(const struct ts_firewall *firewall, uint64_t third_us,
		      uint64_t now_us)
{
	struct uidrecv_agent_counters counters = {.size = sizeof(counters)};

	return now_us - firewall->vouched_us >= third_us &&
	       uidrecv_agent_get_counters(firewall->agent, &counters) == 0 &&
	       counters.queued_bytes == 0;
}

/* When all is acknowledged: a refusal under way would spoil the count. */
static void renew(const struct ts_firewalls *firewalls,
		  struct ts_firewall *firewall, const struct ts_share *share,
		  uint64_t now_us)
{
	uint64_t third_us = firewalls->lifetime_s * SECOND_US / 3;
	uint64_t count = 0;

	if (firewall->refused > 0 || firewall->is_system_refused) {
		firewall->must_tell_all =
		    now_us - firewall->vouched_us >=
		    (third_us < RETRY_US ? third_us : RETRY_US);
		return;
	}
	if (!may_renew(firewall, third_us, now_us))
		return;
	for (size_t i = 0; i < share->blocks_count; i++)
		count += ts_block_is_said(&share->blocks[i]);
	/* Where it is not taken all is said again, which renews it as well. */
	firewall->must_tell_all =
	    uidrecv_agent_refresh_all(firewall->agent, count) < 0;
	firewall->vouched_us = now_us;
}

static void tell_one(const struct ts_firewalls *firewalls,
		     struct ts_firewall *firewall, struct ts_share *share,
		     uint64_t now_us)
{
	int result = 0;

	for (size_t i = 0; i < share->blocks_count; i++) {
		if (!share->blocks[i].must_say)
			continue;
		if (!firewall->is_connected || firewall->must_tell_all)
			firewall->told[i].ticket = 0;
		else if (tell_block(firewalls, firewall, share, i) < 0)
			firewall->must_tell_all = true;
	}
	if (!firewall->is_connected || now_us < firewall->retry_us)
		return;
	if (firewall->must_tell_all) {
		result = tell_all(firewalls, firewall, share);
		firewall->must_tell_all = result < 0;
		firewall->vouched_us = now_us;
		firewall->retry_us = now_us + SECOND_US;
	}
	if (result < 0)
		ts_log(UIDRECV_LOG_ERROR,
		       "%s cannot be told whose ports are whose: %s",
		       firewall->name, uidrecv_strerror(result));
	else
		renew(firewalls, firewall, share, now_us);
}

void ts_firewalls_tell(struct ts_firewalls *firewalls, struct ts_share *share,
		       uint64_t now_us)
{
	for (size_t i = 0; i < firewalls->count; i++)
		tell_one(firewalls, &firewalls->list[i], share, now_us);
	for (size_t i = 0; i < share->blocks_count; i++)
		share->blocks[i].must_say = false;
}

void ts_firewalls_set_system(struct ts_firewalls *firewalls)
{
	for (size_t i = 0; i < firewalls->count; i++) {
		firewalls->list[i].has_system = false;
		firewalls->list[i].must_tell_all = true;
	}
}

bool ts_firewalls_is_done(const struct ts_firewalls *firewalls)
{
	struct uidrecv_agent_counters counters = {.size = sizeof(counters)};

	for (size_t i = 0; i < firewalls->count; i++) {
		const struct ts_firewall *firewall = &firewalls->list[i];

		if (firewall->is_connected &&
		    (firewall->must_tell_all ||
		     uidrecv_agent_get_counters(firewall->agent, &counters) <
			 0 ||
		     counters.queued_bytes > 0))
			return false;
	}
	return true;
}

void ts_firewalls_finish(struct ts_firewalls *firewalls, struct ts_share *share)
{
	for (size_t i = 0; i < firewalls->count; i++)
		uidrecv_agent_finish(firewalls->list[i].agent);
	ts_firewalls_dispatch(firewalls, share);
}
