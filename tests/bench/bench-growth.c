/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench-growth [--quick] [mappings | agents | terminals [ROW]]: how costs grow
 * with what there is; end to end as bench-ingest has it.
 *
 * growth: by mappings, of 4 agents. "lookup ns": of a random one that is there,
 *   the next known when the last is answered, while nobody says anything;
 *   "changed claim us", "refresh us": of each, by the wall, at full load, in
 *   random order; "table bytes", "store bytes": of the files, a mapping; "start
 *   ms": after a kill, until the table is published.
 * agents: by agents, which are all in one process on one core. "connect s":
 *   until all have a session; "KiB an agent": of the receiver's memory that is
 *   no file; "claims k/s": changed claims, each agent 1,000,000 divided by the
 *   agents, at most 10,000, of its own.
 * terminal servers: agents that the receiver connects to; see terminals.h.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench.h"
#include "site.h"
#include "terminals.h"

#define AGENTS 4
#define LOOKUPS 1000000
#define RUNS 5
/* Of the store, the table, and what agents have ready to say. */
#define BYTES_A_MAPPING 800
#define FILES_SPARE 200
#define AT_ONCE 64
#define SETTLE_US 1000000

static const struct {
	const char *name;
	uint32_t count;
} sizes[] = {
    {"10k", 10000}, {"100k", 100000}, {"1M", 1000000}, {"10M", 10000000}};

static const struct {
	const char *name;
	uint32_t count;
} crowds[] = {
    {"1", 1}, {"10", 10}, {"100", 100}, {"1000", 1000}, {"10000", 10000}};

static void emit(const char *table, const char *row, const char *column,
		 const char *unit, double value)
{
	bench_say("%s, %s: %s %.4g", table, row, column, value);
	bench_emit(table, row, column, unit, &value, 1);
}

/* Says a record of so many random mappings; microseconds for each. */
static double say_us(struct site *site, uint32_t count, uint32_t said,
		     uint16_t op)
{
	struct uidrecv_record record = {.op = op};
	uint64_t seed = op, start_ns, records;

	for (uint32_t n = 0; n < said; n++) {
		uint32_t i = (uint32_t)(bench_random(&seed) % count);

		record.address = uidrecv_address_from_ipv4(bench_ipv4(i));
		/* Every time another user than the last one there. */
		if (op == UIDRECV_OP_MAP)
			record.user_size =
			    (uint8_t)bench_user(i + count + n, record.user);
		speaker_say(site_speaker(site, count, i), &record);
	}
	for (size_t s = 0; s < site->speakers.count; s++)
		speaker_say_end(&site->speakers.list[s]);
	records = site_figures(site).stats.records;
	start_ns = bench_now_ns();
	speakers_finish(&site->speakers);
	start_ns = bench_now_ns() - start_ns;
	bench_must(site_figures(site).stats.records - records == said,
		   "all records are taken");
	return (double)start_ns / 1e3 / said;
}

static void look(struct uidrecv_reader *reader, uint32_t lookups,
		 uint32_t count, uint64_t seed)
{
	struct uidrecv_query query = {.has_port = false};
	uint64_t now_us = uidrecv_now_us(), last = 0;
	struct uidrecv_mapping mapping;

	for (uint32_t n = 0; n < lookups; n++) {
		/* What the processor cannot know before the last answer. */
		uint64_t i = bench_random(&seed) + last;

		query.address = uidrecv_address_from_ipv4(
		    bench_ipv4((uint32_t)(i % count)));
		bench_must(uidrecv_reader_lookup(reader, &query, now_us,
						 &mapping) == 1,
			   "an answer of the table");
		last = (uint64_t)(mapping.user[0] == 0);
	}
}

static void bench_lookups(const struct site *site, const char *row,
			  uint32_t count)
{
	uint32_t lookups = bench_size(LOOKUPS, LOOKUPS);
	struct uidrecv_reader *reader;
	double ns[RUNS];

	bench_must(uidrecv_reader_open(&reader, site->table, NULL) == 0,
		   "the table");
	look(reader, lookups, count, 0);
	for (uint64_t i = 0; i < RUNS; i++) {
		uint64_t start_ns = bench_now_ns();

		look(reader, lookups, count, i + 1);
		ns[i] = (double)(bench_now_ns() - start_ns) / lookups;
	}
	uidrecv_reader_close(reader);
	bench_emit("growth", row, "lookup ns", "ns", ns, RUNS);
}

static void bench_mappings(const char *row, uint32_t count)
{
	uint32_t said = bench_size(500000, 200000);
	struct site_figures figures;
	struct site site;

	site_init(&site, AGENTS);
	site_open(&site);
	site_load(&site, count);
	figures = site_figures(&site);
	speakers_drop(&site.speakers);
	site_kill(&site);
	site_open(&site);
	emit("growth", row, "start ms", "ms",
	     (double)site.shared->list_ns / 1e6);
	site_look_at_some(&site, count, NULL);
	bench_lookups(&site, row, count);
	emit("growth", row, "table bytes", "B",
	     (double)site_figures(&site).table_bytes / count);
	emit("growth", row, "store bytes", "B",
	     (double)figures.store_bytes / count);
	emit("growth", row, "refresh us", "us",
	     say_us(&site, count, said, UIDRECV_OP_REFRESH));
	emit("growth", row, "changed claim us", "us",
	     say_us(&site, count, said, UIDRECV_OP_MAP));
	site_done(&site);
}

static void bench_crowd(const char *row, uint32_t agents)
{
	uint32_t most = bench_size(10000, 10000);
	uint32_t each = 1000000 / agents < most ? 1000000 / agents : most;
	uint32_t count = each * agents, said = count;
	struct site_figures before, after;
	uint64_t start_ns;
	struct site site;

	site_init(&site, agents);
	site_start(&site);
	site_pin(false);
	before = site_figures(&site);
	start_ns = bench_now_ns();
	speakers_connect(&site.speakers, 0, agents, AT_ONCE);
	emit("agents", row, "connect s", "s",
	     (double)(bench_now_ns() - start_ns) / 1e9);
	usleep(bench_size(SETTLE_US, SETTLE_US));
	after = site_figures(&site);
	emit("agents", row, "KiB an agent", "KiB",
	     bench_per(after.anon_bytes, before.anon_bytes, agents) / 1024);
	site_load(&site, count);
	if (said > 200000 && bench_quick)
		said = 200000;
	emit("agents", row, "claims k/s", "k/s",
	     1e3 / say_us(&site, count, said, UIDRECV_OP_MAP));
	site_done(&site);
}

/* Room for so many mappings in memory and on the disk, or for connections? */
static bool has_room(uint32_t mappings, uint32_t agents)
{
	uint64_t bytes = bench_read_field("/proc/meminfo", "MemAvailable:")
			 << 10;
	struct rlimit files;
	bool has_room;

	getrlimit(RLIMIT_NOFILE, &files);
	has_room = bytes > (uint64_t)mappings * BYTES_A_MAPPING &&
		   files.rlim_max > agents + FILES_SPARE;
	if (!has_room)
		bench_say("too few bytes in memory, or descriptors, for %u "
			  "mappings or %u agents: left out",
			  mappings, agents);
	return has_room;
}

/* A row that is asked for, or else each that is not too large. */
static bool is_wanted(const char *row, const char *wanted, bool is_large)
{
	return wanted ? !strcmp(row, wanted) : !is_large || !bench_quick;
}

int main(int argc, char **argv)
{
	int next = bench_main_options(argc, argv);
	const char *part = next < argc ? argv[next] : NULL;
	const char *row = next + 1 < argc ? argv[next + 1] : NULL;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		if ((!part || !strcmp(part, "mappings")) &&
		    is_wanted(sizes[i].name, row, sizes[i].count > 1000000) &&
		    has_room(sizes[i].count, 0))
			bench_mappings(
			    sizes[i].name,
			    bench_size(sizes[i].count, sizes[i].count));
	for (size_t i = 0; i < sizeof(crowds) / sizeof(*crowds); i++)
		if ((!part || !strcmp(part, "agents")) &&
		    is_wanted(crowds[i].name, row, crowds[i].count > 1000) &&
		    has_room(0, crowds[i].count))
			bench_crowd(
			    crowds[i].name,
			    bench_size(crowds[i].count, crowds[i].count));
	if (!part || !strcmp(part, "terminals"))
		bench_terminals(bench_size(2500, 500));
	return 0;
}
