/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lines of uidagent: one record in words.
 */
#ifndef UIDAGENT_LINES_H
#define UIDAGENT_LINES_H

#include <stddef.h>
#include <stdint.h>

#include <uidrecv/record.h>

/*
 * Reads a line:
 *
 *	map ADDRESS USER [lifetime_s=N|never] [age_ms=N] [token=N] [source=KIND]
 *	refresh ADDRESS [USER] [lifetime_s=N|never]
 *	logout ADDRESS [USER] [token=N] [age_ms=N]
 *	withdraw ADDRESS
 *
 * line is zero-terminated, without its newline, and is changed. now_us is the
 * clock that age_ms counts back from; a negative age lies ahead. Returns 1 with
 * a record, 0 for an empty line or a comment (#), or -1 with a message in
 * error.
 */
int uidagent_parse_line(char *line, uint64_t now_us,
			struct uidrecv_record *ret_record, char *error,
			size_t error_size);

#endif
