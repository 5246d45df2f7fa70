/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The firewalls that connect to us: what each was told of which block, and what
 * of that it has acknowledged.
 */
#ifndef UIDTSAGENT_FIREWALLS_H
#define UIDTSAGENT_FIREWALLS_H

#include <uidrecv/agent.h>

#include "uidtsagent-blocks.h"

#define TS_FIREWALLS_MAX 16

/* The last that a firewall was told of a block. */
struct ts_told {
	uint64_t ticket; /* 0: not told, or not since it is otherwise */
	bool is_refused;
};

struct ts_firewall {
	const char *name;
	struct uidrecv_agent *agent;
	struct ts_told *told; /* for each block */
	uint64_t system_ticket;
	uint64_t acked;	     /* ticket */
	uint64_t vouched_us; /* when all of it was said last */
	uint64_t retry_us;   /* not all again before that */
	int64_t offset_us;   /* of the agent's clock from ours */
	uint32_t refused;    /* how many blocks */
	bool has_system;     /* it was told of it */
	bool is_system_refused;
	bool is_connected;
	bool must_tell_all;
};

struct ts_firewalls {
	struct uidrecv_agent_listener *listener;
	struct ts_firewall list[TS_FIREWALLS_MAX];
	size_t count;
	uint32_t lifetime_s;
};

struct ts_firewalls_options {
	struct uidrecv_agent_listener_options listener;
	const char *names[TS_FIREWALLS_MAX];
	size_t count;
	uint32_t lifetime_s;
};

/* Dies if it cannot be. */
void ts_firewalls_open(struct ts_firewalls *firewalls,
		       const struct ts_firewalls_options *options,
		       const struct ts_share *share, uint64_t now_us);
void ts_firewalls_close(struct ts_firewalls *firewalls);

/* Reads and writes, and notes what is acknowledged, refused, or asked for. */
void ts_firewalls_dispatch(struct ts_firewalls *firewalls,
			   struct ts_share *share);

/* Sets is_known and is_forgotten of each block. */
void ts_firewalls_judge(const struct ts_firewalls *firewalls,
			struct ts_share *share, uint64_t now_us);

/* Tells of what must be told; all that is to be told again; and renews. */
void ts_firewalls_tell(struct ts_firewalls *firewalls, struct ts_share *share,
		       uint64_t now_us);

/* The addresses have changed. */
void ts_firewalls_set_system(struct ts_firewalls *firewalls);

/* Have all that are connected acknowledged all? */
bool ts_firewalls_is_done(const struct ts_firewalls *firewalls);
/* Says goodbye to them. */
void ts_firewalls_finish(struct ts_firewalls *firewalls,
			 struct ts_share *share);

#endif
