/* SPDX-License-Identifier: BSD-2-Clause */
#include "terminals.h"

#include <stdio.h>

#include "bench.h"
#include "crowd.h"

#define BLOCKS 40

static void emit(const char *row, const char *unit, double value)
{
	bench_say("terminal servers: %s %.4g %s", row, value, unit);
	bench_emit("terminal servers", row, "receiver", unit, &value, 1);
}

static void emit_figures(const struct crowd *crowd,
			 const struct crowd_figures *empty,
			 const struct crowd_figures *open,
			 const struct crowd_figures *full)
{
	uint64_t agents = crowd->agents_count;
	uint64_t blocks = agents * crowd->blocks_count;

	emit("CPU, a session", "ms",
	     bench_per(open->cpu_us, empty->cpu_us, agents) / 1e3);
	emit("CPU, a block", "us",
	     bench_per(full->cpu_us, open->cpu_us, blocks));
	emit("memory, an agent", "KiB",
	     bench_per(open->anon_bytes, empty->anon_bytes, agents) / 1024);
	emit("memory, a block", "B",
	     bench_per(full->anon_bytes, open->anon_bytes, blocks));
	emit("store, a block", "B",
	     bench_per(full->stats.store_used_bytes,
		       open->stats.store_used_bytes, blocks));
	emit("table, a block", "B", bench_per(full->table_bytes, 0, blocks));
	bench_say("%llu lookups meanwhile, %llu wrong",
		  (unsigned long long)crowd->lookups,
		  (unsigned long long)crowd->wrong);
}

void bench_terminals(uint32_t agents)
{
	static struct crowd crowd;
	struct crowd_figures empty, open, full;
	uint64_t start_ms;
	char row[64];

	crowd_init(&crowd, agents, BLOCKS, 0);
	empty = crowd_figures(&crowd);
	start_ms = crowd_now_ms();
	crowd_list(&crowd, true, false);
	crowd_await(&crowd, crowd.connected == agents);
	snprintf(row, sizeof(row), "until %u agents are connected", agents);
	emit(row, "s", (double)(crowd_now_ms() - start_ms) / 1e3);
	open = crowd_figures(&crowd);
	start_ms = crowd_now_ms();
	for (uint32_t i = 0; i < agents; i++)
		crowd_say_all(&crowd, &crowd.agents[i]);
	crowd_await(&crowd, crowd.waiting == 0);
	snprintf(row, sizeof(row), "until %u blocks are acknowledged",
		 agents * BLOCKS);
	emit(row, "s", (double)(crowd_now_ms() - start_ms) / 1e3);
	full = crowd_figures(&crowd);
	crowd_look_at_all(&crowd);
	emit_figures(&crowd, &empty, &open, &full);
	bench_must(!crowd.wrong && !crowd.rejected, "all answers are right");
	crowd_done(&crowd);
}
