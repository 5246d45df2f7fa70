/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hash that a process has for itself, that nobody writes and that checks
 * nothing: what a lookup costs at least. A slot is a cache line with the key,
 * which is as wide as ours, and the name; its load is that of our table.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench.h"
#include "peer.h"

#define GROUP 16
#define HUGE_PAGE (2u << 20)

struct slot {
	_Alignas(64) uint64_t hi;
	uint64_t lo;
	char user[47];
	uint8_t user_size;
};

static struct slot *slots;
static uint64_t mask;
static uint64_t seed;

/*
 * Mixed with a seed, as addresses that others choose must be: neighbours that
 * never collide would be a table that nobody has.
 */
static inline uint64_t home_of(struct uidrecv_address address)
{
	uint64_t mixed =
	    (address.hi ^ address.lo ^ seed) * UINT64_C(0x9e3779b97f4a7c15);

	mixed = (mixed ^ mixed >> 32) * UINT64_C(0xd6e8feb86659fd93);
	return (mixed ^ mixed >> 32) & mask;
}

static void fill(const struct peer_site *site)
{
	uint64_t size = 1024;

	seed = bench_now_ns();
	while ((uint64_t)site->count * 8 > size * 5)
		size *= 2;
	mask = size - 1;
	slots =
	    aligned_alloc(HUGE_PAGE, (size * sizeof(*slots) + HUGE_PAGE - 1) /
					 HUGE_PAGE * HUGE_PAGE);
	bench_must(slots != NULL, "aligned_alloc()");
	madvise(slots, size * sizeof(*slots), MADV_HUGEPAGE);
	memset(slots, 0, size * sizeof(*slots));
	for (uint32_t i = 0; i < site->count; i++) {
		struct uidrecv_address address =
		    uidrecv_address_from_ipv4(bench_ipv4(i));
		uint64_t at = home_of(address);
		char user[BENCH_USER_SIZE + 1];

		while (slots[at].lo != 0)
			at = (at + 1) & mask;
		slots[at].hi = address.hi;
		slots[at].lo = address.lo;
		slots[at].user_size = (uint8_t)bench_user(i, user);
		memcpy(slots[at].user, user, sizeof(user));
	}
}

static void open_hash(const struct peer_site *site)
{
	(void)site;
}

static inline bool look(uint32_t ipv4, struct uidrecv_mapping *mapping)
{
	struct uidrecv_address address = uidrecv_address_from_ipv4(ipv4);
	uint64_t at = home_of(address);

	while (slots[at].lo != address.lo || slots[at].hi != address.hi) {
		if (slots[at].lo == 0)
			return false;
		at = (at + 1) & mask;
	}
	memcpy(mapping->user, slots[at].user, sizeof(slots[at].user));
	mapping->user_size = slots[at].user_size;
	return true;
}

static inline size_t bulk(const uint32_t *ipv4, size_t count,
			  struct uidrecv_mapping *mappings, int *results)
{
	for (size_t i = 0; i < count; i++)
		__builtin_prefetch(
		    &slots[home_of(uidrecv_address_from_ipv4(ipv4[i]))]);
	return peer_bulk(look, ipv4, count, mappings, results);
}

static size_t run(enum peer_way way, const uint32_t *ipv4, size_t count)
{
	return peer_run(way, look, bulk, GROUP, ipv4, count);
}

static void close_hash(void)
{
}

static void clear(void)
{
	free(slots);
	slots = NULL;
}

const struct peer peer_hash = {
    .name = "hash",
    .group = GROUP,
    .slowness = 1,
    .fill = fill,
    .open = open_hash,
    .look = look,
    .bulk = bulk,
    .run = run,
    .close = close_hash,
    .clear = clear,
};
