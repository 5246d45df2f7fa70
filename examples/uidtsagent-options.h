/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line of uidtsagent. */
#ifndef UIDTSAGENT_OPTIONS_H
#define UIDTSAGENT_OPTIONS_H

#include "uidtsagent-firewalls.h"
#include "uidtsagent-users.h"

struct ts_command {
	struct ts_firewalls_options firewalls;
	struct uidrecv_system system; /* address.lo 0: to be found */
	struct ts_users users;
	bool has_address;
	uint64_t rest_s;
	uint32_t blocks_max;
	uint64_t interval_us; /* between looks */
	const char *state_dir;
	uint32_t simulated; /* users to make up; 0: real ones */
	uint64_t seed;
	bool must_undo;
	int verbose;
};

/* Dies if they are wrong, and exits for --help and --version. */
void ts_command_parse(struct ts_command *ret_command, int argc, char *argv[]);

#endif
