/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What uidrecvd writes. Nothing here waits for who reads it: agents must not
 * stand still because a terminal or a log collector does.
 */
#ifndef UIDRECVD_OUTPUT_H
#define UIDRECVD_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#include <uidrecv/receiver.h>

/* Text for stdout that is not yet written. All zero is empty. */
struct output {
	char *text;
	size_t size;
	size_t written;
};

/* Adds a line. */
void output_line(struct output *output, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Adds a line for each agent and one for the receiver. */
void output_status(struct output *output,
		   const struct uidrecv_receiver *receiver);

/* Writes as much as stdout takes now. */
void output_write(struct output *output);

/* Tells whether something waits for stdout. */
bool output_is_pending(const struct output *output);

/* Writes a line with the time and the level to stderr, or drops it. */
void output_log(enum uidrecv_log_level level, const char *message);

#endif
