/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Somebody who changes mappings as fast as they can be changed, while others
 * look them up: a process of its own, bound to a processor.
 */
#ifndef WRITER_H
#define WRITER_H

#include <stdint.h>

#include "peer.h"

/* The user of mapping i is user i, or i and a multiple of this. */
#define WRITER_STEP 10000000

struct writer;

enum writer_kind {
	/* A receiver and its agent, over TLS; the store syncs to the disk. */
	WRITER_RECEIVER,
	/* Bare LMDB, likewise. */
	WRITER_LMDB,
};

/*
 * Fills what peer_reader or peer_lmdb can open at the site, and is idle then.
 * The store of a receiver is elsewhere, in TMPDIR or /tmp.
 */
struct writer *writer_start(enum writer_kind kind, const struct peer_site *site,
			    int cpu);

/* From when it returns on the writer is busy, or idle. */
void writer_set_busy(struct writer *writer, bool is_busy);

/* How many changes are stored by now. */
uint64_t writer_get_changes(const struct writer *writer);

void writer_end(struct writer *writer);

#endif
