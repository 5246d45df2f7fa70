/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line of uidrecvd.
 */
#ifndef UIDRECVD_OPTIONS_H
#define UIDRECVD_OPTIONS_H

#include <stddef.h>

#include <uidrecv/receiver.h>

#define LISTENERS_MAX 64
#define TS_AGENTS_MAX 4096

/* An agent that listens, and where. */
struct ts_agent {
	const char *option; /* as it was given */
	char *name, *host;
	uint16_t port;
};

struct config {
	struct uidrecv_receiver_options receiver;
	const char *agents_path;
	const char *listeners[LISTENERS_MAX];
	size_t listeners_count;
	struct ts_agent ts_agents[TS_AGENTS_MAX];
	size_t ts_agents_count;
	int verbose;
};

/* Reads the command line; exits if it is wrong, or for --help, --version. */
void config_parse(struct config *config, int argc, char *argv[]);

#endif
