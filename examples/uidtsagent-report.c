/* SPDX-License-Identifier: BSD-2-Clause */
#include "uidtsagent-report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "uidtsagent-log.h"

#define MINUTE_US UINT64_C(60000000)

static const char *const state_names[] = {
    [TS_RESERVED] = "reserved", [TS_FREE] = "free",
    [TS_ASKED] = "asked",	[TS_USED] = "used",
    [TS_DRAINING] = "draining", [TS_LEAVING] = "leaving",
    [TS_RESTING] = "resting",
};

static void log_block(const struct ts_share *share,
		      const struct ts_block *block)
{
	const struct ts_user *user = ts_share_find_user(share, block->uid);
	char name[UIDRECV_USER_TEXT_MAX] = "-";

	if (ts_block_is_said(block) && user != NULL)
		uidrecv_user_format(user->name, user->name_size, name);
	ts_log(block->state == TS_USED || block->state == TS_RESTING
		   ? UIDRECV_LOG_INFO
		   : UIDRECV_LOG_DEBUG,
	       "ports %u to %" PRIu32 ": %s, uid=%u user=%s", block->start,
	       block->start + share->system.block_size - 1,
	       state_names[block->state], block->uid, name);
}

static size_t count_state(const struct ts_share *share, enum ts_state state)
{
	size_t count = 0;

	for (size_t i = 0; i < share->blocks_count; i++)
		count += share->blocks[i].state == state;
	return count;
}

static size_t count_waiting(const struct ts_share *share)
{
	size_t count = 0;

	for (size_t i = 0; i < share->users_count; i++)
		count += share->users[i].is_waiting;
	return count;
}

static size_t count_connected(const struct ts_firewalls *firewalls)
{
	size_t count = 0;

	for (size_t i = 0; i < firewalls->count; i++)
		count += firewalls->list[i].is_connected;
	return count;
}

static bool is_slow(const struct ts_firewall *firewall,
		    const struct ts_share *share, uint64_t now_us)
{
	for (size_t i = 0; i < share->blocks_count; i++) {
		const struct ts_block *block = &share->blocks[i];
		const struct ts_told *told = &firewall->told[i];

		if (block->state == TS_ASKED && !told->is_refused &&
		    now_us - block->since_us >= MINUTE_US &&
		    (told->ticket == 0 || told->ticket > firewall->acked))
			return true;
	}
	return false;
}

const char *ts_report_find_slow(const struct ts_share *share,
				const struct ts_firewalls *firewalls,
				uint64_t now_us)
{
	for (size_t i = 0; i < firewalls->count; i++)
		if (firewalls->list[i].is_connected &&
		    is_slow(&firewalls->list[i], share, now_us))
			return firewalls->list[i].name;
	return NULL;
}

static void complain(struct ts_report *report, const struct ts_share *share,
		     const struct ts_firewalls *firewalls, uint64_t now_us)
{
	size_t waiting = count_waiting(share);
	size_t asked = count_state(share, TS_ASKED);
	const char *slow;

	/* A start takes its time. */
	if (report->complained_us == 0)
		report->complained_us = now_us;
	if (now_us - report->complained_us < MINUTE_US)
		return;
	report->complained_us = now_us;
	if (waiting + asked > 0 && count_connected(firewalls) == 0) {
		ts_log(UIDRECV_LOG_WARNING,
		       "no firewall is connected, and users wait for one");
		return;
	}
	slow = ts_report_find_slow(share, firewalls, now_us);
	if (slow != NULL)
		ts_log(UIDRECV_LOG_WARNING,
		       "%s is connected, but acknowledges nothing for a "
		       "minute, and users wait for it: see its log, or take "
		       "it off the command line",
		       slow);
	if (waiting > 0)
		ts_log(UIDRECV_LOG_WARNING,
		       "%zu users wait for a block: %zu rest, %zu are in use; "
		       "give a larger --range or a smaller --block",
		       waiting, count_state(share, TS_RESTING),
		       count_state(share, TS_USED));
	if (report->forwarded > 0)
		ts_log(UIDRECV_LOG_WARNING,
		       "%" PRIu64 " forwarded flows have ports of the range: "
		       "give the masquerading of this host other ports",
		       report->forwarded);
}

void ts_report_changes(struct ts_report *report, const struct ts_share *share,
		       const struct ts_firewalls *firewalls, uint64_t now_us)
{
	if (report->states == NULL)
		report->states = calloc(share->blocks_count, 1);
	for (size_t i = 0; report->states && i < share->blocks_count; i++) {
		const struct ts_block *block = &share->blocks[i];

		/* Being free follows from resting, by itself. */
		if (report->states[i] != block->state && report->states[i] &&
		    block->state != TS_FREE)
			log_block(share, block);
		report->states[i] = block->state;
	}
	complain(report, share, firewalls, now_us);
}

static void add_system(struct output *output,
		       const struct uidrecv_system *system)
{
	char texts[(1 + UIDRECV_ALIASES_MAX) * UIDRECV_ADDRESS_TEXT_MAX];
	char text[UIDRECV_ADDRESS_TEXT_MAX];
	int size = 0;

	for (uint32_t i = 0; i <= system->aliases_count; i++)
		size += snprintf(
		    texts + size, sizeof(texts) - (size_t)size, "%s%s",
		    i == 0 ? "" : ",",
		    uidrecv_address_format(i == 0 ? system->address
						  : system->aliases[i - 1],
					   text));
	output_line(
	    output,
	    "system ports=%u-%" PRIu32 " block=%" PRIu32 " addresses=%s",
	    system->ports.start, system->ports.start + system->ports.count - 1,
	    system->block_size, texts);
}

static void add_user(struct output *output, const struct ts_user *user)
{
	char name[UIDRECV_USER_TEXT_MAX];

	output_line(output, "user %s uid=%u load=%" PRIu32 " waiting=%s",
		    uidrecv_user_format(user->name, user->name_size, name),
		    user->uid, user->load, user->is_waiting ? "yes" : "no");
}

static void add_block(struct output *output, const struct ts_share *share,
		      const struct ts_block *block)
{
	char uid[16] = "-";

	if (ts_block_is_said(block))
		snprintf(uid, sizeof(uid), "%u", block->uid);
	output_line(output,
		    "block %u-%" PRIu32 " state=%s uid=%s flows=%" PRIu32,
		    block->start, block->start + share->system.block_size - 1,
		    state_names[block->state], uid, block->flows);
}

static void add_firewall(struct output *output,
			 const struct ts_firewall *firewall)
{
	struct uidrecv_agent_counters counters = {.size = sizeof(counters)};

	if (uidrecv_agent_get_counters(firewall->agent, &counters) < 0)
		return;
	output_line(
	    output,
	    "firewall %s connected=%s refused=%" PRIu32
	    " system_refused=%s queued_records=%" PRIu64 " resyncs=%" PRIu64,
	    firewall->name, firewall->is_connected ? "yes" : "no",
	    firewall->refused, firewall->is_system_refused ? "yes" : "no",
	    counters.queued_records, counters.resyncs);
}

void ts_report_state(const struct ts_report *report, struct output *output,
		     const struct ts_share *share,
		     const struct ts_firewalls *firewalls)
{
	add_system(output, &share->system);
	for (size_t i = 0; i < share->blocks_count; i++)
		if (share->blocks[i].state != TS_FREE)
			add_block(output, share, &share->blocks[i]);
	for (size_t i = 0; i < share->users_count; i++)
		add_user(output, &share->users[i]);
	for (size_t i = 0; i < firewalls->count; i++)
		add_firewall(output, &firewalls->list[i]);
	output_line(
	    output,
	    "agent looks=%" PRIu64
	    " users=%zu waiting=%zu free=%zu asked=%zu used=%zu "
	    "draining=%zu leaving=%zu resting=%zu reserved=%zu "
	    "forwarded=%" PRIu64,
	    share->looks, share->users_count, count_waiting(share),
	    count_state(share, TS_FREE), count_state(share, TS_ASKED),
	    count_state(share, TS_USED), count_state(share, TS_DRAINING),
	    count_state(share, TS_LEAVING), count_state(share, TS_RESTING),
	    count_state(share, TS_RESERVED), report->forwarded);
}
