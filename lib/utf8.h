/* SPDX-License-Identifier: BSD-2-Clause */
/* The texts that the protocol allows. Pure. In libuidrecv. */
#ifndef UR_UTF8_H
#define UR_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Is this UTF-8 (RFC 3629) without the control characters that
 * doc/protocol.md section 5 forbids in a user? True for the empty text.
 */
bool ur_utf8_is_clean(const char *text, size_t size);

/* The lower case of an ASCII letter, whatever the locale. */
static inline char ur_ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

#endif
