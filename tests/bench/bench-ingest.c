/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench-ingest [--quick] [many | one]: what a receiver makes of what agents
 * say, end to end: agents on one core, TLS over loopback, the receiver on the
 * other core, its store on the disk with an fsync for each commit, its table in
 * /dev/shm, 1,000,000 mappings.
 *
 * ingest, k/s: "changed claims": each record says another user of a random
 *   address that is known, by 4 agents and by one, by the clock at the wall
 *   while agents always have something to say; beside LMDB on a copy of the
 *   store, with a row of the same size for each of the same addresses in the
 *   same order, and as many rows in each commit as the receiver had.
 *   "unchanged refreshes": a REFRESH for each mapping, by one agent: by the
 *   wall, and by the receiver's processor time; all of them within an eighth
 *   of the lifetime, and others that come later than that after the last.
 * commits, 1: records in a commit of the changed claims.
 * bytes written, B: what the process has given to write(), beside what all of
 *   the disk has written meanwhile, be it for others.
 * refresh all: one REFRESH ALL of all mappings: frames, the receiver's
 *   processor time until it is idle again, and the time until the ACK. For the
 *   first since its start the receiver counts what lives in the store.
 * single claim, ms: from sending one to its ACK, while nobody else says
 *   anything; beside one row and its commit in LMDB.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bare.h"
#include "bench.h"

#define MAPPINGS_MAX 1000000
#define AGENTS 4
#define RUNS_MAX 5
#define CHANGED_ROW "changed claims, end to end"
#define CHANGED_BYTES_ROW "per changed claim, full load"
#define RARE_LIFETIME_S 96
#define RARE_ROW "refreshes an eighth of a lifetime apart"
#define REFRESH_BYTES_ROW "per unchanged refresh"

struct run {
	double us, cpu_us;	/* what all took, and of the receiver's core */
	double rate, core_rate; /* thousand records a second */
	double bytes, disk_bytes; /* that were written for a record */
	double batch;		  /* records a commit */
};

static uint32_t mappings; /* there are */
static uint32_t order[MAPPINGS_MAX];
static uint32_t users[MAPPINGS_MAX]; /* whose user each has */

static void shuffle(uint64_t seed)
{
	for (uint32_t i = 0; i < mappings; i++) {
		uint32_t at = (uint32_t)(bench_random(&seed) % (i + 1));

		order[i] = order[at];
		order[at] = i;
	}
}

/* Says the records of the scripts, and what they took. */
static struct run say(struct site *site, uint32_t count)
{
	struct site_figures before, after;
	uint64_t start_ns;
	struct run run;

	for (size_t p = 0; p < site->speakers.count; p++)
		speaker_say_end(&site->speakers.list[p]);
	speakers_keep_alive(&site->speakers);
	before = site_figures(site);
	start_ns = bench_now_ns();
	speakers_finish(&site->speakers);
	run.us = (double)(bench_now_ns() - start_ns) / 1e3;
	after = site_figures(site);
	bench_must(after.stats.records - before.stats.records == count,
		   "all records are taken");
	run.cpu_us = (double)(after.cpu_ns - before.cpu_ns) / 1e3;
	run.rate = count / run.us * 1e3;
	run.core_rate = count / run.cpu_us * 1e3;
	run.bytes =
	    (double)(after.write_bytes - before.write_bytes) / (double)count;
	run.disk_bytes =
	    (double)(after.disk_bytes - before.disk_bytes) / (double)count;
	run.batch = (double)count /
		    (double)(after.stats.commits - before.stats.commits);
	return run;
}

/* lifetime_s 0: the usual one. */
static struct run change(struct site *site, uint32_t first, uint32_t count,
			 uint32_t lifetime_s)
{
	struct uidrecv_record record = {.op = UIDRECV_OP_MAP,
					.lifetime_s = lifetime_s};

	for (uint32_t at = first; at < first + count; at++) {
		uint32_t i = order[at % mappings];

		users[i] += mappings;
		record.address = uidrecv_address_from_ipv4(bench_ipv4(i));
		record.user_size = (uint8_t)bench_user(users[i], record.user);
		speaker_say(site_speaker(site, mappings, i), &record);
	}
	return say(site, count);
}

static struct run change_bare(struct bare *bare, const struct site *site,
			      uint32_t round, uint32_t first, uint32_t count)
{
	static uint32_t changed[MAPPINGS_MAX];
	uint64_t bytes, start_ns;
	struct run run;

	for (uint32_t i = 0; i < count; i++)
		changed[i] = order[(first + i) % mappings];
	site_pin(true);
	bytes = bench_read_field("/proc/self/io", "wchar:");
	start_ns = bench_now_ns();
	bare_put(bare, changed, count, site->shared->rounds + round,
		 site->shared->rounds_count - round);
	run.us = (double)(bench_now_ns() - start_ns) / 1e3;
	run.rate = count / run.us * 1e3;
	bytes = bench_read_field("/proc/self/io", "wchar:") - bytes;
	run.bytes = (double)bytes / (double)count;
	site_pin(false);
	return run;
}

/* The figure is one of struct run. */
static void emit(const char *table, const char *row, const char *column,
		 const char *unit, const struct run *runs, size_t count,
		 size_t figure)
{
	double values[RUNS_MAX];

	for (size_t i = 0; i < count && i < RUNS_MAX; i++)
		memcpy(&values[i], (const char *)&runs[i] + figure,
		       sizeof(double));
	bench_emit(table, row, column, unit, values, count);
}

/* Loads a site, and makes a copy of its store. */
static void prepare(struct site *site, struct bare *bare, size_t agents)
{
	site_init(site, agents);
	site_open(site);
	site_load(site, mappings);
	speakers_drop(&site->speakers);
	site_stop(site);
	bare_open(bare, site);
	site_open(site);
	for (uint32_t i = 0; i < mappings; i++)
		users[i] = i;
}

static void bench_changes(struct site *site, struct bare *bare,
			  const char *column, bool is_goal)
{
	uint32_t count = bench_size(500000, 200000);
	size_t runs = bench_runs(5, 3);
	struct run live[RUNS_MAX], plain[RUNS_MAX];

	shuffle(1);
	/* The first pages that are copied are none that were freed. */
	(void)change(site, 0, count, 0);
	(void)change_bare(bare, site, 0, 0, count);
	for (size_t i = 0; i < runs; i++) {
		uint32_t round = site_figures(site).rounds_count;
		uint32_t first = (uint32_t)(i + 1) * count;

		live[i] = change(site, first, count, 0);
		plain[i] = change_bare(bare, site, round, first, count);
		bench_say("%s: %.0f k/s, %.0f a commit, %.0f B; bare LMDB "
			  "%.0f k/s, %.0f B",
			  column, live[i].rate, live[i].batch, live[i].bytes,
			  plain[i].rate, plain[i].bytes);
	}
	site_look_at_some(site, mappings, users);
	emit("commits", CHANGED_ROW, column, "1", live, runs,
	     offsetof(struct run, batch));
	if (!is_goal) {
		emit("ingest", "changed claims, one agent", "receiver", "k/s",
		     live, runs, offsetof(struct run, rate));
		emit("ingest", "changed claims, one agent", "bare lmdb", "k/s",
		     plain, runs, offsetof(struct run, rate));
		return;
	}
	emit("ingest", CHANGED_ROW, "receiver", "k/s", live, runs,
	     offsetof(struct run, rate));
	emit("ingest", CHANGED_ROW, "bare lmdb", "k/s", plain, runs,
	     offsetof(struct run, rate));
	emit("bytes written", CHANGED_BYTES_ROW, "receiver", "B", live, runs,
	     offsetof(struct run, bytes));
	emit("bytes written", CHANGED_BYTES_ROW, "receiver's disk", "B", live,
	     runs, offsetof(struct run, disk_bytes));
	emit("bytes written", CHANGED_BYTES_ROW, "bare lmdb", "B", plain, runs,
	     offsetof(struct run, bytes));
}

static struct run refresh(struct site *site, uint32_t count, bool in_order)
{
	struct uidrecv_record record = {.op = UIDRECV_OP_REFRESH};

	for (uint32_t at = 0; at < count; at++) {
		uint32_t i = in_order ? at : order[at];

		record.address = uidrecv_address_from_ipv4(bench_ipv4(i));
		speaker_say(site_speaker(site, mappings, i), &record);
	}
	return say(site, count);
}

static void bench_refreshes(struct site *site)
{
	size_t runs = bench_runs(5, 2);
	struct run random[RUNS_MAX], sorted[RUNS_MAX];

	shuffle(2);
	for (size_t i = 0; i < runs; i++) {
		random[i] = refresh(site, mappings, false);
		sorted[i] = refresh(site, mappings, true);
		bench_say("refreshes: random %.0f ms, %.0f of CPU; by address "
			  "%.0f ms, %.0f of CPU",
			  random[i].us / 1e3, random[i].cpu_us / 1e3,
			  sorted[i].us / 1e3, sorted[i].cpu_us / 1e3);
	}
	site_look_at_some(site, mappings, users);
	emit("ingest", "unchanged refreshes, per core of the receiver",
	     "receiver", "k/s", random, runs, offsetof(struct run, core_rate));
	emit("ingest", "unchanged refreshes, end to end", "receiver", "k/s",
	     random, runs, offsetof(struct run, rate));
	emit("ingest", "unchanged refreshes by address, per core", "receiver",
	     "k/s", sorted, runs, offsetof(struct run, core_rate));
	emit("ingest", "unchanged refreshes by address, end to end", "receiver",
	     "k/s", sorted, runs, offsetof(struct run, rate));
	emit("bytes written", REFRESH_BYTES_ROW, "receiver", "B", random, runs,
	     offsetof(struct run, bytes));
	emit("bytes written", REFRESH_BYTES_ROW, "receiver's disk", "B", random,
	     runs, offsetof(struct run, disk_bytes));
}

/*
 * Each is so late that the life it gives is more than the table alone may hold,
 * so it is written.
 */
static void bench_rare_refreshes(struct site *site)
{
	size_t runs = bench_runs(3, 1);
	uint32_t count = bench_size(200000, 200000);
	struct run rare[RUNS_MAX];

	(void)change(site, 0, count, RARE_LIFETIME_S);
	for (size_t i = 0; i < runs; i++) {
		sleep(bench_smoke ? 0 : RARE_LIFETIME_S / 8 + 1);
		rare[i] = refresh(site, count, false);
	}
	emit("ingest", RARE_ROW ", per core", "receiver", "k/s", rare, runs,
	     offsetof(struct run, core_rate));
	emit("ingest", RARE_ROW ", end to end", "receiver", "k/s", rare, runs,
	     offsetof(struct run, rate));
	emit("bytes written", "per refresh, an eighth of a lifetime later",
	     "receiver", "B", rare, runs, offsetof(struct run, bytes));
}

static struct run refresh_all(struct site *site)
{
	struct speaker *speaker = &site->speakers.list[0];
	struct site_figures before = site_figures(site), after;
	struct run run = {.batch = 1};
	uint64_t start_ns;

	speaker_refresh_all(speaker, mappings);
	start_ns = bench_now_ns();
	speakers_finish(&site->speakers);
	run.us = (double)(speaker->acked_ns - start_ns) / 1e3;
	after = site_figures(site);
	bench_must(after.stats.refresh_alls == before.stats.refresh_alls + 1,
		   "all is refreshed");
	run.cpu_us = (double)(after.cpu_ns - before.cpu_ns) / 1e3;
	return run;
}

/* Of the one agent that has said all. */
static void bench_refresh_all(struct site *site)
{
	struct run first = refresh_all(site), runs[RUNS_MAX];

	for (size_t i = 0; i < RUNS_MAX; i++)
		runs[i] = refresh_all(site);
	site_look_at_some(site, mappings, users);
	emit("refresh all", "frames", "receiver", "1", runs, RUNS_MAX,
	     offsetof(struct run, batch));
	emit("refresh all", "receiver CPU", "receiver", "us", runs, RUNS_MAX,
	     offsetof(struct run, cpu_us));
	emit("refresh all", "until the ACK", "receiver", "us", runs, RUNS_MAX,
	     offsetof(struct run, us));
	emit("refresh all", "receiver CPU, first since its start", "receiver",
	     "us", &first, 1, offsetof(struct run, cpu_us));
}

static void emit_latency(double *ms, size_t count, const char *column)
{
	double p50 = bench_percentile(ms, count, 50);
	double p99 = bench_percentile(ms, count, 99);

	bench_emit("single claim", "p50", column, "ms", &p50, 1);
	bench_emit("single claim", "p99", column, "ms", &p99, 1);
}

static void bench_single_claims(struct site *site, struct bare *bare)
{
	static double live[1000], plain[1000];
	size_t count = bench_size(1000, 200);
	uint32_t one = 1;

	for (size_t i = 0; i < count; i++) {
		uint32_t at = (uint32_t)i * 31 % mappings;
		uint64_t start_ns;

		live[i] = change(site, at, 1, 0).us / 1e3;
		start_ns = bench_now_ns();
		bare_put(bare, &order[at], 1, &one, 1);
		plain[i] = (double)(bench_now_ns() - start_ns) / 1e6;
	}
	emit_latency(live, count, "receiver");
	emit_latency(plain, count, "bare lmdb");
}

static void bench_one_agent(void)
{
	struct site site;
	struct bare bare;

	prepare(&site, &bare, 1);
	bench_changes(&site, &bare, "one agent", false);
	bench_single_claims(&site, &bare);
	bench_refresh_all(&site);
	bench_refreshes(&site);
	bench_rare_refreshes(&site);
	bare_close(&bare);
	site_done(&site);
}

static void bench_many_agents(void)
{
	struct site site;
	struct bare bare;

	prepare(&site, &bare, AGENTS);
	bench_changes(&site, &bare, "4 agents", true);
	bare_close(&bare);
	site_done(&site);
}

int main(int argc, char **argv)
{
	int next = bench_main_options(argc, argv);
	const char *part = next < argc ? argv[next] : "";

	mappings = bench_size(MAPPINGS_MAX, MAPPINGS_MAX);
	if (strcmp(part, "one"))
		bench_many_agents();
	if (strcmp(part, "many"))
		bench_one_agent();
	return 0;
}
