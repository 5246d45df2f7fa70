/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bare LMDB on a copy of a receiver's store, on the same file system: the same
 * pages, rows and sizes, and nobody who thinks about what is in them.
 */
#ifndef BENCH_BARE_H
#define BENCH_BARE_H

#include <lmdb.h>

#include "site.h"

struct bare {
	MDB_env *env;
	MDB_dbi dbi; /* of the IPv4 addresses */
	size_t row_size;
	uint64_t seed;
};

/* The receiver must not run. */
void bare_open(struct bare *bare, const struct site *site);
void bare_close(struct bare *bare);

/*
 * Rewrites the rows of the mappings in this order, a commit with fsync for as
 * many as each round has.
 */
void bare_put(struct bare *bare, const uint32_t *mappings, uint32_t count,
	      const uint32_t *rounds, uint32_t rounds_count);

/* Reads every byte of every row of a store; returns the rows of IPv4. */
uint64_t bare_scan(const char *store);

#endif
