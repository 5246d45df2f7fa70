/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line of uidrecvd.
 */
#ifndef UIDRECVD_OPTIONS_H
#define UIDRECVD_OPTIONS_H

#include <stddef.h>

#include <uidrecv/receiver.h>

#define LISTENERS_MAX 64

struct config {
	struct uidrecv_receiver_options receiver;
	const char *agents_path;
	const char *listeners[LISTENERS_MAX];
	size_t listeners_count;
	int verbose;
};

/* Reads the command line; exits if it is wrong, or for --help, --version. */
void config_parse(struct config *config, int argc, char *argv[]);

#endif
