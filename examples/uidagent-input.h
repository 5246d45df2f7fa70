/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where uidagent has its records from: lines of stdin, or invented ones.
 */
#ifndef UIDAGENT_INPUT_H
#define UIDAGENT_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uidrecv/record.h>

/* The longest line; a user of 255 bytes takes 765 when written as %XX. */
#define INPUT_LINE_MAX 4096
#define INPUT_BUFFER_SIZE (64 * 1024)

/* All zero is an input of lines. */
struct input {
	uint64_t load;	  /* how many mappings to invent; 0: read lines */
	uint64_t number;  /* of the last line or invented mapping */
	uint64_t time_us; /* of the last line */
	struct uidrecv_system system;
	bool is_ended; /* nothing more can be read */
	size_t start;  /* what is buffered and not yet taken */
	size_t end;
	char buffer[INPUT_BUFFER_SIZE + 1];
};

enum input_result {
	INPUT_WAIT,   /* read more first */
	INPUT_RECORD, /* one record, from line input->number */
	INPUT_END,
	INPUT_SNAPSHOT,
	INPUT_SNAPSHOT_END,
	INPUT_REFRESH_ALL,
	INPUT_SYSTEM, /* in input->system */
	INPUT_BAD,    /* error says why line input->number is none */
};

/* Takes the next record. now_us is the clock of event times. */
enum input_result input_next(struct input *input, uint64_t now_us,
			     struct uidrecv_record *ret_record, char *error,
			     size_t error_size);

/* Reads once from fd, which should be readable. Returns 0 or -errno. */
int input_read(struct input *input, int fd);

#endif
