/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line of uidagent. */
#ifndef UIDAGENT_OPTIONS_H
#define UIDAGENT_OPTIONS_H

#include <uidrecv/agent.h>

#include "uidagent-said.h"

struct agent_command {
	struct uidrecv_agent_options options; /* what all receivers share */
	struct {
		const char *connect; /* or the name, with listen */
		const char *name;    /* NULL: the host */
	} receivers[RECEIVERS_MAX];
	size_t receivers_count;
	const char *listen; /* where to wait for them; NULL: connects */
	bool has_connect, has_firewall;
	uint64_t load; /* mappings to invent; 0: none */
	int verbose;
};

/* Dies if they are wrong, and exits for --help and --version. */
void parse_agent_command(struct agent_command *ret_command, int argc,
			 char *argv[]);

#endif
