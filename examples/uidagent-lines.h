/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lines of uidagent: one record in words, or what to do with all.
 */
#ifndef UIDAGENT_LINES_H
#define UIDAGENT_LINES_H

#include <stddef.h>
#include <stdint.h>

#include <uidrecv/record.h>

enum line_kind {
	LINE_BAD = -1,
	LINE_EMPTY = 0, /* or a comment (#) */
	LINE_RECORD,
	LINE_SNAPSHOT,
	LINE_END,
	LINE_REFRESH_ALL,
	LINE_SYSTEM,
};

/*
 * Reads a line:
 *
 *	map ADDRESS USER [lifetime_s=N|never] [age_ms=N] [token=N] [source=KIND]
 *	    [ports=START+COUNT]
 *	refresh ADDRESS [USER] [lifetime_s=N|never] [ports=START+COUNT]
 *	logout ADDRESS [USER] [token=N] [age_ms=N] [ports=START+COUNT]
 *	withdraw ADDRESS [ports=START+COUNT]
 *	system ADDRESS ports=START+COUNT block=SIZE [alias=ADDRESS,...]
 *	    [reserved=START+COUNT,...]
 *	snapshot
 *	end
 *	refresh-all
 *
 * line is zero-terminated, without its newline, and is changed. now_us is the
 * clock that age_ms counts back from; a negative age lies ahead. A login or
 * logout without it happened now. ret_record is filled by LINE_RECORD,
 * ret_system by LINE_SYSTEM, and a message is in error after LINE_BAD.
 */
enum line_kind uidagent_parse_line(char *line, uint64_t now_us,
				   struct uidrecv_record *ret_record,
				   struct uidrecv_system *ret_system,
				   char *error, size_t error_size);

#endif
