/* SPDX-License-Identifier: BSD-2-Clause */
#include "uidagent-input.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "uidagent-lines.h"

/* 10.0.0.0/8 has room for so many, the others go to 2001:db8::/32. */
#define LOAD_IPV4_MAX (UINT64_C(1) << 24)

static void invent(uint64_t index, struct uidrecv_record *ret_record)
{
	memset(ret_record, 0, sizeof(*ret_record));
	ret_record->op = UIDRECV_OP_MAP;
	if (index < LOAD_IPV4_MAX) {
		ret_record->address = uidrecv_address_from_ipv4(
		    (UINT32_C(10) << 24) + (uint32_t)index);
	} else {
		ret_record->address.hi = UINT64_C(0x20010db800000000);
		ret_record->address.lo = index - LOAD_IPV4_MAX;
	}
	ret_record->user_size =
	    (uint8_t)snprintf(ret_record->user, sizeof(ret_record->user),
			      "CORP\\user%011" PRIu64, index + 1);
}

static enum input_result parse_line(struct input *input, char *line,
				    size_t size, uint64_t now_us,
				    struct uidrecv_record *ret_record,
				    char *error, size_t error_size)
{
	enum line_kind kind;

	input->number++;
	line[size] = '\0';
	if (strlen(line) != size) {
		snprintf(error, error_size, "a zero byte is no text");
		return INPUT_BAD;
	}
	/* Two lines are never at one time: what comes first is older. */
	if (now_us <= input->time_us)
		now_us = input->time_us + 1;
	input->time_us = now_us;
	kind = uidagent_parse_line(line, now_us, ret_record, &input->system,
				   error, error_size);
	switch (kind) {
	case LINE_BAD:
		return INPUT_BAD;
	case LINE_RECORD:
		return INPUT_RECORD;
	case LINE_SNAPSHOT:
		return INPUT_SNAPSHOT;
	case LINE_END:
		return INPUT_SNAPSHOT_END;
	case LINE_REFRESH_ALL:
		return INPUT_REFRESH_ALL;
	case LINE_SYSTEM:
		return INPUT_SYSTEM;
	case LINE_EMPTY:
		break;
	}
	return INPUT_WAIT;
}

enum input_result input_next(struct input *input, uint64_t now_us,
			     struct uidrecv_record *ret_record, char *error,
			     size_t error_size)
{
	enum input_result result = INPUT_WAIT;

	if (input->load) {
		if (input->number == input->load)
			return INPUT_END;
		invent(input->number++, ret_record);
		return INPUT_RECORD;
	}
	while (result == INPUT_WAIT && input->start < input->end) {
		char *line = input->buffer + input->start;
		size_t size = input->end - input->start;
		char *newline = memchr(line, '\n', size);

		if (newline != NULL)
			size = (size_t)(newline - line);
		if (size > INPUT_LINE_MAX) {
			input->number++;
			snprintf(error, error_size, "longer than %d bytes",
				 INPUT_LINE_MAX);
			return INPUT_BAD;
		}
		if (newline == NULL && !input->is_ended)
			return INPUT_WAIT;
		input->start += size + (newline != NULL);
		result = parse_line(input, line, size, now_us, ret_record,
				    error, error_size);
	}
	if (result == INPUT_WAIT && input->is_ended)
		return INPUT_END;
	return result;
}

int input_read(struct input *input, int fd)
{
	size_t size = input->end - input->start;
	ssize_t got;

	memmove(input->buffer, input->buffer + input->start, size);
	input->start = 0;
	input->end = size;
	got = read(fd, input->buffer + size, INPUT_BUFFER_SIZE - size);
	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (got == 0)
		input->is_ended = true;
	input->end += (size_t)got;
	return 0;
}
