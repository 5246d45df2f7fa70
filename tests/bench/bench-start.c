/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench-start [--quick]: how long a receiver takes from nothing until its table
 * is published, with a store of 1,000,000 mappings that it was told over TLS
 * and a kill before each start, and all of the store in memory.
 *
 * start, ms: "1M": uidrecv_receiver_new() and _set_agents() with the list;
 *   beside opening the store with LMDB and reading each byte of each row, on
 *   the same core in the same run. "1M, until it is open": the former alone.
 * table, B: what the file of the table takes, by mapping, with users of 20
 *   bytes, after a start; and the receiver's memory beside it, which is no
 * file.
 */
#include <unistd.h>

#include "bare.h"
#include "bench.h"

#define AGENTS 4
#define RUNS_MAX 15

static uint32_t mappings;

static double scan_ms(const struct site *site)
{
	uint64_t start_ns;
	double ms;

	site_pin(true);
	start_ns = bench_now_ns();
	bench_must(bare_scan(site->store) == mappings, "all rows are there");
	ms = (double)(bench_now_ns() - start_ns) / 1e6;
	site_pin(false);
	return ms;
}

int main(int argc, char **argv)
{
	double open_ms[RUNS_MAX], list_ms[RUNS_MAX], bare_ms[RUNS_MAX];
	double table_bytes, memory_bytes;
	struct site_figures figures;
	struct site site;
	size_t runs;

	(void)bench_main_options(argc, argv);
	mappings = bench_size(1000000, 1000000);
	runs = bench_runs(RUNS_MAX, 5);
	site_init(&site, AGENTS);
	site_open(&site);
	site_load(&site, mappings);
	speakers_drop(&site.speakers);
	site_kill(&site);
	(void)scan_ms(&site);
	for (size_t i = 0; i < runs; i++) {
		bare_ms[i] = scan_ms(&site);
		site_start(&site);
		open_ms[i] = (double)site.shared->new_ns / 1e6;
		list_ms[i] = (double)site.shared->list_ns / 1e6;
		bench_say("started in %.0f ms, of which %.0f to open; a scan "
			  "takes %.0f ms",
			  list_ms[i], open_ms[i], bare_ms[i]);
		if (i == runs - 1)
			break;
		site_kill(&site);
	}
	site_look_at_some(&site, mappings, NULL);
	figures = site_figures(&site);
	table_bytes = (double)figures.table_bytes / mappings;
	memory_bytes = (double)figures.anon_bytes / mappings;
	bench_emit("start", "1M", "receiver", "ms", list_ms, runs);
	bench_emit("start", "1M", "bare scan", "ms", bare_ms, runs);
	bench_emit("start", "1M, until it is open", "receiver", "ms", open_ms,
		   runs);
	bench_emit("table", "bytes a mapping", "receiver", "B", &table_bytes,
		   1);
	bench_emit("table", "memory of the receiver beside it, a mapping",
		   "receiver", "B", &memory_bytes, 1);
	site_done(&site);
	return 0;
}
