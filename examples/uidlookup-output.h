/* SPDX-License-Identifier: BSD-2-Clause */
/* How uidlookup tells what it found. */
#ifndef UIDLOOKUP_OUTPUT_H
#define UIDLOOKUP_OUTPUT_H

#include <stdio.h>

#include <uidrecv/reader.h>

/* Prints one line; mapping NULL: the address is unknown. */
void print_answer(FILE *out, bool is_json, const struct uidrecv_query *query,
		  const struct uidrecv_mapping *mapping);

#endif
