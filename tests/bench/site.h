/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A receiver in a process and on a core of its own, with fsync, its store in a
 * directory on the disk, its table in /dev/shm; this
 * process is on the other cores, and may have speakers. What goes wrong ends
 * the program.
 */
#ifndef BENCH_SITE_H
#define BENCH_SITE_H

#include <sys/types.h>

#include <uidrecv/uidrecv.h>

#include "speakers.h"

#define SITE_ROUNDS_MAX 1000000

/* What the processes share. */
struct site_shared {
	uint64_t cpu_ns;     /* of waiting and of dispatch */
	uint64_t anon_bytes; /* that it had as it began */
	uint64_t new_ns,
	    list_ns; /* of the start: until open, until published */
	uint32_t rounds_count;
	uint32_t rounds[SITE_ROUNDS_MAX]; /* records in each commit */
	struct uidrecv_receiver_stats stats;
};

struct site {
	const char *directory, *table_directory;
	char store[300], table[300];
	struct certs *certs;
	char *list;
	struct uidrecv_receiver_options options;
	struct site_shared *shared;
	struct speakers speakers;
	pid_t pid; /* of the receiver, 0: it does not run */
	int orders;
	uint16_t port;
	struct uidrecv_reader *reader; /* of site_look() */
};

struct site_figures {
	struct uidrecv_receiver_stats stats;
	uint64_t cpu_ns;
	/*
	 * Given to write() and its like, of which sockets are none; write_bytes
	 * of /proc would count all of a folio of which a page is written.
	 */
	uint64_t write_bytes;
	uint64_t disk_bytes; /* that the whole disk has written; 0: unknown */
	uint64_t rss_bytes;  /* of the process */
	uint64_t anon_bytes; /* that are no file, since it began */
	uint64_t store_bytes, table_bytes; /* that the files take */
	uint32_t rounds_count;
};

/* A receiver for so many speakers, neither started nor connected. */
void site_init(struct site *site, size_t speakers);
void site_done(struct site *site);

void site_start(struct site *site);
void site_stop(struct site *site);
void site_kill(struct site *site);
/* Starts it, and connects all speakers. */
void site_open(struct site *site);

/* When it has nothing more to do. */
struct site_figures site_figures(struct site *site);

/*
 * Mappings 0 to count - 1 by a snapshot; speaker p says those from
 * site_first(site, count, p) on, up to the next one's first.
 */
void site_load(struct site *site, uint32_t count);
uint32_t site_first(const struct site *site, uint32_t count, size_t speaker);
/* Who says mapping i of so many. */
struct speaker *site_speaker(struct site *site, uint32_t count, uint32_t i);

/* Looks mapping i up in the table: the user must be that of mapping user. */
void site_look(struct site *site, uint32_t i, uint32_t user);
/* Some of so many mappings; users NULL: each has its own. */
void site_look_at_some(struct site *site, uint32_t count,
		       const uint32_t *users);

/* Binds the process to the receiver's core, or to all others. */
void site_pin(bool is_receiver);

#endif
