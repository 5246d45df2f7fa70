/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench-lookup [--quick]: nanoseconds per lookup, of ours and of its peers, of
 * the same addresses, while nobody writes. See peer-*.c for what each does.
 * Prints the table "lookup".
 *
 * way   dependent: the next address depends on the name that was copied last
 *       (where nobody is known, none is, and the processor may go on ahead);
 *       independent: it may overlap lookups; bulk of 16: those who have a bulk
 *       form use it (Redis a pipeline of 100), others look up one by one
 * mix   hit: any mapping; zipf: the k-th most wanted 1/k as often as the first;
 *       hot: 1,000 of them; half miss: as often an address that is nobody's
 * size  how many mappings there are; small pages: of 4 KiB, else huge ones
 *
 * All look up the same addresses in a run, but the slow ones fewer of them.
 * Other runs have other addresses, so that no run finds in the processor's
 * caches what the last one left. Runs are interleaved, and each begins with
 * some lookups that do not count.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "bench.h"
#include "peer.h"

#define RUNS_MAX 9
#define HOT 1000
#define ENOUGH 4000 /* answers that are compared before anything is timed */
#define PEERS_MAX 6
#define BYTES_EACH 1000 /* of memory and of files, for all peers */

enum mix { HIT, ZIPF, HOT_FEW, HALF_MISS, MIXES };

static const char *const way_names[] = {"dependent", "independent",
					"bulk of 16"};
static const char *const mix_names[] = {"hit", "zipf", "hot", "half miss"};

/* The addresses of all runs; known[i]: how many before i are somebody's. */
struct asked {
	uint32_t *ipv4;
	uint32_t *known;
	size_t each; /* in a run */
	size_t runs;
};

/* Mappings that are much wanted lie anywhere among the others. */
static uint32_t scatter(uint64_t rank, uint32_t count)
{
	return (uint32_t)(rank * 2654435761u % count);
}

static uint32_t draw_mapping(enum mix mix, uint32_t count, uint64_t *seed)
{
	uint64_t random = bench_random(seed);

	if (mix == HOT_FEW)
		return scatter(random % HOT, count);
	if (mix == ZIPF) {
		/* The inverse of the sum, as an integral, of 1/k. */
		double share = (double)(random >> 11) * 0x1p-53;
		double rank = 0.5 * pow(2.0 * count + 1, share) + 0.5;

		return scatter((uint64_t)rank - 1, count);
	}
	return (uint32_t)(random % count);
}

static struct asked draw(enum mix mix, uint32_t count)
{
	struct asked asked = {
	    .each = bench_size(250000, 150000),
	    .runs = bench_runs(RUNS_MAX, 5),
	};
	size_t all = asked.each * asked.runs;
	uint64_t seed = (uint64_t)mix + 1;

	/* A dependent loop reads one behind the last if it goes wrong. */
	asked.ipv4 = calloc(all + 256, sizeof(*asked.ipv4));
	asked.known = calloc(all + 1, sizeof(*asked.known));
	bench_must(asked.ipv4 && asked.known, "calloc()");
	for (size_t i = 0; i < all; i++) {
		uint32_t mapping = draw_mapping(mix, count, &seed);
		bool is_known =
		    mix != HALF_MISS || (bench_random(&seed) & 1) == 0;

		asked.ipv4[i] = is_known ? bench_ipv4(mapping)
					 : bench_ipv4_missing(mapping);
		asked.known[i + 1] = asked.known[i] + is_known;
	}
	return asked;
}

static void forget(struct asked *asked)
{
	free(asked->ipv4);
	free(asked->known);
}

/* Every answer, single and in bulk, is the right one. */
static void verify(const struct peer *peer, uint32_t count)
{
	static struct uidrecv_mapping mappings[PEER_GROUP_MAX];
	char user[BENCH_USER_SIZE + 1];
	uint32_t ipv4[PEER_GROUP_MAX];
	int results[PEER_GROUP_MAX];
	uint64_t seed = 7;

	for (int round = 0; round < ENOUGH / PEER_GROUP_MAX; round++) {
		uint32_t group = peer->group, index[PEER_GROUP_MAX];

		for (uint32_t i = 0; i < group; i++) {
			index[i] = (uint32_t)(bench_random(&seed) % count);
			ipv4[i] = i % 4 ? bench_ipv4(index[i])
					: bench_ipv4_missing(index[i]);
		}
		memset(mappings, 0, sizeof(mappings));
		bench_must(peer->bulk(ipv4, group, mappings, results) ==
			       group - (group + 3) / 4,
			   peer->name);
		for (uint32_t i = 0; i < group * 2; i++) {
			struct uidrecv_mapping *mapping = &mappings[i / 2];
			bool is_known = results[i / 2] == 1;

			if (i % 2) {
				memset(mapping, 0, sizeof(*mapping));
				is_known = peer->look(ipv4[i / 2], mapping);
			}
			bench_must(is_known == (i / 2 % 4 != 0), peer->name);
			if (!is_known)
				continue;
			bench_must(
			    mapping->user_size ==
				    bench_user(index[i / 2], user) &&
				!memcmp(mapping->user, user, BENCH_USER_SIZE),
			    peer->name);
		}
	}
}

static double measure(const struct peer *peer, enum peer_way way,
		      const struct asked *asked, size_t run)
{
	size_t count = asked->each / peer->slowness;
	/* What warms up is the end of the stretch. */
	size_t warm = count / 10, first = run * asked->each;
	uint64_t start, end;
	size_t found;

	peer->run(way, asked->ipv4 + first + asked->each - warm, warm);
	start = bench_now_ns();
	found = peer->run(way, asked->ipv4 + first, count);
	end = bench_now_ns();
	bench_must(found == asked->known[first + count] - asked->known[first],
		   peer->name);
	return (double)(end - start) / (double)count;
}

static void compare(const struct peer *const *peers, size_t peers_count,
		    enum peer_way way, const char *row,
		    const struct asked *asked)
{
	double ns[PEERS_MAX][RUNS_MAX];

	/* Each peer comes after another one in another run. */
	for (size_t run = 0; run < asked->runs; run++)
		for (size_t i = 0; i < peers_count; i++) {
			size_t at = (i + run) % peers_count;

			ns[at][run] = measure(peers[at], way, asked, run);
		}
	for (size_t i = 0; i < peers_count; i++)
		bench_emit("lookup", row, peers[i]->name, "ns", ns[i],
			   asked->runs);
}

static void open_peers(const struct peer *const *peers, size_t count,
		       const struct peer_site *site)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t start = bench_now_ns();

		peers[i]->fill(site);
		peers[i]->open(site);
		verify(peers[i], site->count);
		bench_say("%s: %u mappings filled and verified in %.1f s",
			  peers[i]->name, site->count,
			  (double)(bench_now_ns() - start) * 1e-9);
	}
}

static void close_peers(const struct peer *const *peers, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		peers[i]->close();
		peers[i]->clear();
	}
}

/* Redis has another bulk form, which beats its pipeline. */
static void run_mget(const struct asked *asked, uint32_t count,
		     const char *size)
{
	const struct peer *const peers[] = {&peer_reader, &peer_redis_mget};
	char row[64];

	verify(&peer_redis_mget, count);
	snprintf(row, sizeof(row), "bulk of 16, Redis by MGET, hit, %s", size);
	compare(peers, 2, PEER_BULK, row, asked);
}

/* What the reader does without being told the time, and what that costs. */
static void run_clock(const struct asked *asked, const char *size)
{
	const struct peer *const peers[] = {&peer_reader_now};
	double ns[RUNS_MAX];
	char row[64];

	snprintf(row, sizeof(row), "dependent, hit, %s, now read", size);
	compare(peers, 1, PEER_DEPENDENT, row, asked);
	for (size_t run = 0; run < asked->runs; run++) {
		uint64_t start = bench_now_ns(), last = 0;

		for (size_t i = 0; i < asked->each; i++) {
			uint64_t now_us = uidrecv_now_us();

			bench_must(now_us >= last, "the clock goes back");
			last = now_us;
		}
		ns[run] =
		    (double)(bench_now_ns() - start) / (double)asked->each;
	}
	bench_emit("lookup", "clock, boot", "reader", "ns", ns, asked->runs);
}

static bool has_room(const char *dir, uint32_t count)
{
	uint64_t needed = (uint64_t)count * BYTES_EACH;
	struct statvfs status;

	return bench_read_field("/proc/meminfo", "MemAvailable:") * 1024 >
		   needed &&
	       statvfs(dir, &status) == 0 &&
	       status.f_bavail * status.f_frsize > needed;
}

static void run_size(uint32_t count, const char *size, size_t peers_count)
{
	const struct peer *peers[PEERS_MAX] = {&peer_reader, &peer_lmdb,
					       &peer_hash,   &peer_sqlite,
					       &peer_redis,  &peer_maxminddb};
	const char *dir = bench_scratch(BENCH_MEMORY);

	if (!has_room(dir, count)) {
		bench_say("no memory for %s mappings", size);
		return;
	}
	open_peers(peers, peers_count,
		   &(struct peer_site){.dir = dir, .count = count});
	for (enum mix mix = 0; mix < MIXES; mix++) {
		struct asked asked = draw(mix, count);

		for (enum peer_way way = 0; way <= PEER_BULK; way++) {
			char row[64];

			snprintf(row, sizeof(row), "%s, %s, %s", way_names[way],
				 mix_names[mix], size);
			compare(peers, peers_count, way, row, &asked);
		}
		if (mix == HIT && peers_count == PEERS_MAX) {
			run_mget(&asked, count, size);
			run_clock(&asked, size);
		}
		forget(&asked);
	}
	close_peers(peers, peers_count);
	bench_remove(dir);
}

/* What huge pages are worth: the kernel is asked to give this process none. */
static void run_small_pages(uint32_t count, const char *size)
{
	const struct peer *const peers[] = {&peer_reader, &peer_hash};
	const char *dir = bench_scratch(BENCH_MEMORY);
	struct asked asked = draw(HIT, count);

	bench_must(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0, "prctl()");
	open_peers(peers, 2, &(struct peer_site){.dir = dir, .count = count});
	for (enum peer_way way = 0; way <= PEER_BULK; way++) {
		char row[64];

		snprintf(row, sizeof(row), "%s, hit, %s, small pages",
			 way_names[way], size);
		compare(peers, 2, way, row, &asked);
	}
	close_peers(peers, 2);
	bench_must(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0) == 0, "prctl()");
	forget(&asked);
	bench_remove(dir);
}

int main(int argc, char **argv)
{
	uint32_t million;

	bench_main_options(argc, argv);
	million = bench_size(1000000, 1000000);
	run_size(bench_size(100000, 100000), "100k", bench_quick ? 3 : 5);
	run_size(million, "1M", PEERS_MAX);
	if (!bench_quick)
		run_size(5000000, "5M", 5);
	run_small_pages(million, "1M");
	return 0;
}
