/* SPDX-License-Identifier: BSD-2-Clause */
/* What the programs need to print JSON. */
#ifndef JSON_H
#define JSON_H

#include <stddef.h>
#include <stdio.h>

/* Prints bytes as a JSON string; what is not UTF-8 becomes U+FFFD. */
void json_print_string(FILE *out, const char *text, size_t size);

#endif
