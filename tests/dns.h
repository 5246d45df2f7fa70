/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A name server of the test's own on 127.0.0.1, which answers what it is told
 * to, when the test lets it.
 */
#ifndef TESTS_DNS_H
#define TESTS_DNS_H

#include <stdbool.h>
#include <stdint.h>

#define DNS_NAMES_MAX 8

struct dns {
	int fd;
	char servers[32]; /* for struct ur_resolver */
	struct {
		const char *name;
		const char *addresses; /* with commas between */
	} names[DNS_NAMES_MAX];
	const char *any;   /* the addresses of all other names, or NULL */
	bool is_silent;	   /* reads, and does not answer */
	bool is_truncated; /* says that the answer is to be had by TCP */
	unsigned int asked;
};

void dns_open(struct dns *dns);
void dns_close(struct dns *dns);

/* Replaces what a name has. */
void dns_set(struct dns *dns, const char *name, const char *addresses);

/* Answers what waits. */
void dns_turn(void *dns);

#endif
