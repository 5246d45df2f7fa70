/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What answers "who is behind this IPv4 address", ours or somebody else's.
 * All do the same work: find the address, copy the user's name into the
 * caller's buffer, which is a mapping for all, and tell its size.
 *
 * fill() makes the data; children and threads may open() it then, each for
 * itself. What goes wrong exits.
 */
#ifndef PEER_H
#define PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uidrecv/reader.h>

#define PEER_GROUP_MAX 128

enum peer_way { PEER_DEPENDENT, PEER_INDEPENDENT, PEER_BULK };

/* The mappings 0 to count - 1 of bench.h, with files in a directory. */
struct peer_site {
	const char *dir;
	uint32_t count;
};

/*
 * What LMDB has of a mapping: 40 bytes, which is the least that answers as
 * ours do. SQLite, Redis and libmaxminddb have the name alone, for their good.
 */
struct peer_value {
	uint64_t deadline_us;
	uint64_t change;
	uint16_t agent;
	uint8_t source;
	uint8_t user_size;
	char user[20];
};

/* Writes user and user_size of the mapping, if somebody is known. */
typedef bool peer_look_fn(uint32_t ipv4, struct uidrecv_mapping *mapping);
/* Likewise; returns how many results are 1. */
typedef size_t peer_bulk_fn(const uint32_t *ipv4, size_t count,
			    struct uidrecv_mapping *mappings, int *results);

struct peer {
	const char *name;
	uint32_t group;	   /* of the bulk form */
	uint32_t slowness; /* how many times fewer lookups a run has */
	void (*fill)(const struct peer_site *site);
	void (*open)(const struct peer_site *site);
	peer_look_fn *look;
	peer_bulk_fn *bulk;
	/* Looks count addresses up, and returns how many were known. */
	size_t (*run)(enum peer_way way, const uint32_t *ipv4, size_t count);
	void (*close)(void);
	void (*clear)(void);
};

extern const struct peer peer_reader, peer_reader_now, peer_lmdb,
    peer_lmdb_renew, peer_hash, peer_maxminddb, peer_sqlite, peer_redis,
    peer_redis_mget;

/*
 * The loops are compiled into each peer's file, so that the compiler can put
 * a lookup that it sees, such as the hash's, into its caller.
 */
#define PEER_INLINE static inline __attribute__((always_inline))

PEER_INLINE size_t peer_run_single(bool is_dependent, peer_look_fn *look,
				   const uint32_t *ipv4, size_t count)
{
	struct uidrecv_mapping mapping = {.user = "C"};
	size_t found = 0, next = 0;

	for (size_t i = 0; i < count; i++) {
		found += look(ipv4[i + next], &mapping);
		/* All users begin with C, which the processor does not know. */
		if (is_dependent)
			next = (size_t)(mapping.user[0] - 'C');
		/* Nobody reads the name, but it must be there. */
		__asm__ volatile("" : : "r"(&mapping) : "memory");
	}
	return found;
}

PEER_INLINE size_t peer_run_bulk(uint32_t group, peer_bulk_fn *bulk,
				 const uint32_t *ipv4, size_t count)
{
	static _Thread_local struct uidrecv_mapping mappings[PEER_GROUP_MAX];
	int results[PEER_GROUP_MAX];
	size_t found = 0;

	for (size_t i = 0; i < count; i += group) {
		size_t left = count - i;

		found += bulk(ipv4 + i, left < group ? left : group, mappings,
			      results);
	}
	return found;
}

PEER_INLINE size_t peer_run(enum peer_way way, peer_look_fn *look,
			    peer_bulk_fn *bulk, uint32_t group,
			    const uint32_t *ipv4, size_t count)
{
	switch (way) {
	case PEER_DEPENDENT:
		return peer_run_single(true, look, ipv4, count);
	case PEER_INDEPENDENT:
		return peer_run_single(false, look, ipv4, count);
	case PEER_BULK:
		break;
	}
	return peer_run_bulk(group, bulk, ipv4, count);
}

/* For those who have no other bulk form: one after the other. */
PEER_INLINE size_t peer_bulk(peer_look_fn *look, const uint32_t *ipv4,
			     size_t count, struct uidrecv_mapping *mappings,
			     int *results)
{
	size_t found = 0;

	for (size_t i = 0; i < count; i++) {
		results[i] = look(ipv4[i], &mappings[i]);
		found += (size_t)results[i];
	}
	return found;
}

#endif
