/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench-agents [AGENTS [BLOCKS]]: a receiver connects to AGENTS (2,500)
 * Terminal Server agents, each with a system of BLOCKS (40) blocks, over TLS
 * and with fsync, while this process, which has all the agents, looks blocks
 * up. Prints the time and the receiver's memory that it took. A wrong answer
 * ends it with status 1.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "crowd.h"

static double per(uint64_t more, uint64_t less, uint64_t count)
{
	return ((double)more - (double)less) / (double)count;
}

static double seconds_since(uint64_t start_ms)
{
	return (double)(crowd_now_ms() - start_ms) / 1000;
}

static void print_figures(const struct crowd *crowd,
			  const struct crowd_figures *empty,
			  const struct crowd_figures *open,
			  const struct crowd_figures *full)
{
	uint64_t agents = crowd->agents_count;
	uint64_t blocks = agents * crowd->blocks_count;

	printf("receiver's CPU              %10.2f s for the sessions, "
	       "%.2f ms each; %.2f s for the blocks\n",
	       per(open->cpu_us, empty->cpu_us, 1000000),
	       per(open->cpu_us, empty->cpu_us, agents) / 1000,
	       per(full->cpu_us, open->cpu_us, 1000000));
	printf("receiver's memory, an agent %10.0f bytes\n",
	       per(open->anon_bytes, empty->anon_bytes, agents));
	printf("receiver's memory, a block  %10.0f bytes\n",
	       per(full->anon_bytes, open->anon_bytes, blocks));
	printf("store, a block              %10.0f bytes\n",
	       per(full->stats.store_used_bytes, open->stats.store_used_bytes,
		   blocks));
	printf("table, a block              %10.0f bytes\n",
	       per(full->table_bytes, 0, blocks));
	printf("commits                     %10" PRIu64 "\n",
	       full->stats.commits);
	printf("attempts of an agent        %10" PRIu64 " at the most\n",
	       full->attempts_most);
	printf("lookups meanwhile           %10" PRIu64 ", %" PRIu64 " wrong\n",
	       crowd->lookups, crowd->wrong);
}

int main(int argc, char **argv)
{
	static struct crowd crowd;
	uint64_t agents = argc > 1 ? strtoull(argv[1], NULL, 10) : 2500;
	uint64_t blocks = argc > 2 ? strtoull(argv[2], NULL, 10) : 40;
	struct crowd_figures empty, open, full;
	uint64_t start_ms;
	bool is_right;

	if (!agents || agents > 65536 || !blocks || blocks > CROWD_BLOCKS_MAX)
		return 2;
	crowd_init(&crowd, (uint32_t)agents, (uint32_t)blocks, 0);
	empty = crowd_figures(&crowd);
	start_ms = crowd_now_ms();
	crowd_list(&crowd, true, false);
	crowd_await(&crowd, crowd.connected == agents);
	printf("until all are connected     %10.2f s\n",
	       seconds_since(start_ms));
	open = crowd_figures(&crowd);
	start_ms = crowd_now_ms();
	for (uint64_t i = 0; i < agents; i++)
		crowd_say_all(&crowd, &crowd.agents[i]);
	crowd_await(&crowd, crowd.waiting == 0);
	printf("until all are acknowledged  %10.2f s, %" PRIu64 " blocks\n",
	       seconds_since(start_ms), agents * blocks);
	full = crowd_figures(&crowd);
	crowd_look_at_all(&crowd);
	print_figures(&crowd, &empty, &open, &full);
	is_right = !crowd.wrong && !crowd.rejected;
	crowd_done(&crowd);
	return is_right ? 0 : 1;
}
