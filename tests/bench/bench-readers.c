/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench-readers [--quick]: lookups of 1,000,000 mappings by several at once,
 * and while others write.
 *
 * Table "throughput": millions of lookups per second that all processes or
 * threads do together, each with a reader of its own, bound to the processors
 * in turn. Independent lookups, any mapping; nobody writes.
 *
 * Table "latency": single lookups, timed one by one with CLOCK_MONOTONIC, less
 * what two looks at that clock take in the same loop (the median). The lookups
 * are bound to one processor. On the other a receiver and its agent are idle,
 * or change mappings over TLS and with fsync as fast as they can; or somebody
 * does with bare LMDB, with fsync of 10,000 changes each, and then the lookups
 * renew their transaction each time. "written meanwhile" says how fast.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "latency.h"

#define RUNS_MAX 5
#define CROWD_MAX 4
#define ASKED 400000
#define CHUNK 10000
#define WINDOW_NS 400000000

/* Those who look up at once; in memory that all of them have. */
struct crowd {
	const struct peer *peer;
	const struct peer_site *site;
	uint32_t *ipv4; /* ASKED of each */
	pthread_barrier_t barrier;
	pthread_mutex_t opens; /* LMDB wants one after the other */
	double rates[CROWD_MAX];
};

static uint32_t mappings;

struct member {
	struct crowd *crowd;
	int number;
};

static void look_up(struct crowd *crowd, int number)
{
	const uint32_t *ipv4 = crowd->ipv4 + (size_t)number * ASKED;
	uint64_t start, now, count = 0;
	uint32_t window_ns = bench_size(WINDOW_NS, WINDOW_NS);

	bench_pin(number);
	pthread_mutex_lock(&crowd->opens);
	crowd->peer->open(crowd->site);
	pthread_mutex_unlock(&crowd->opens);
	crowd->peer->run(PEER_INDEPENDENT, ipv4, ASKED / 4);
	pthread_barrier_wait(&crowd->barrier);
	start = bench_now_ns();
	do {
		bench_must(crowd->peer->run(PEER_INDEPENDENT,
					    ipv4 + count % ASKED,
					    CHUNK) == CHUNK,
			   crowd->peer->name);
		count += CHUNK;
		now = bench_now_ns();
	} while (now - start < window_ns);
	crowd->rates[number] = (double)count * 1e3 / (double)(now - start);
	pthread_barrier_wait(&crowd->barrier);
	pthread_mutex_lock(&crowd->opens);
	crowd->peer->close();
	pthread_mutex_unlock(&crowd->opens);
}

static void *run_thread(void *argument)
{
	struct member *member = argument;

	look_up(member->crowd, member->number);
	return NULL;
}

static void run_threads(struct crowd *crowd, int count)
{
	struct member members[CROWD_MAX];
	pthread_t threads[CROWD_MAX];

	for (int i = 0; i < count; i++) {
		members[i] = (struct member){crowd, i};
		bench_must(pthread_create(&threads[i], NULL, run_thread,
					  &members[i]) == 0,
			   "pthread_create()");
	}
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
}

static void run_processes(struct crowd *crowd, int count)
{
	pid_t pids[CROWD_MAX];

	for (int i = 0; i < count; i++) {
		pids[i] = fork();
		bench_must(pids[i] >= 0, "fork()");
		if (pids[i] == 0) {
			look_up(crowd, i);
			_exit(0);
		}
	}
	for (int i = 0; i < count; i++) {
		int status;

		bench_must(waitpid(pids[i], &status, 0) == pids[i] &&
			       status == 0,
			   "a process of lookups");
	}
}

/* What all do together, in millions a second. */
static double measure(struct crowd *crowd, const struct peer *peer,
		      const struct peer_site *site, bool is_threads, int count)
{
	pthread_barrierattr_t barrier;
	pthread_mutexattr_t mutex;
	double rate = 0;

	crowd->peer = peer;
	crowd->site = site;
	pthread_barrierattr_init(&barrier);
	pthread_barrierattr_setpshared(&barrier, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&crowd->barrier, &barrier, (unsigned int)count);
	pthread_mutexattr_init(&mutex);
	pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&crowd->opens, &mutex);
	if (is_threads)
		run_threads(crowd, count);
	else
		run_processes(crowd, count);
	for (int i = 0; i < count; i++)
		rate += crowd->rates[i];
	return rate;
}

static struct crowd *make_crowd(void)
{
	struct crowd *crowd = mmap(NULL, sizeof(*crowd), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t seed = 11;

	bench_must(crowd != MAP_FAILED, "mmap()");
	crowd->ipv4 = calloc(CROWD_MAX * ASKED + 256, sizeof(*crowd->ipv4));
	bench_must(crowd->ipv4 != NULL, "calloc()");
	for (uint32_t i = 0; i < CROWD_MAX * ASKED; i++)
		crowd->ipv4[i] =
		    bench_ipv4((uint32_t)(bench_random(&seed) % mappings));
	return crowd;
}

static void run_throughput(const struct peer_site *site)
{
	static const struct {
		const char *name;
		bool is_threads;
		int count;
	} rows[] = {
	    {"1 process", false, 1},
	    {"2 processes", false, 2},
	    {"4 processes", false, 4},
	    {"2 threads", true, 2},
	};
	const struct peer *const peers[] = {&peer_reader, &peer_lmdb,
					    &peer_hash};
	size_t runs = bench_runs(RUNS_MAX, 3);
	struct crowd *crowd = make_crowd();

	for (size_t i = 0; i < 3; i++) {
		double rates[4][RUNS_MAX];

		peers[i]->fill(site);
		for (size_t run = 0; run < runs; run++)
			for (size_t row = 0; row < 4; row++)
				rates[row][run] = measure(crowd, peers[i], site,
							  rows[row].is_threads,
							  rows[row].count);
		for (size_t row = 0; row < 4; row++)
			bench_emit("throughput", rows[row].name, peers[i]->name,
				   "M/s", rates[row], runs);
		peers[i]->clear();
	}
	free(crowd->ipv4);
	munmap(crowd, sizeof(*crowd));
}

static void run_latency(enum writer_kind kind, const struct peer *peer,
			const char *dir, const char *idle, const char *busy)
{
	struct peer_site site = {.dir = dir, .count = mappings};
	struct writer *writer = writer_start(kind, &site, 1);

	bench_say("%s: %u mappings are filled", idle, site.count);
	bench_pin(0);
	peer->open(&site);
	latency_compare(peer, writer, site.count, idle, busy);
	peer->close();
	writer_end(writer);
}

int main(int argc, char **argv)
{
	const char *memory, *disk;

	bench_main_options(argc, argv);
	mappings = bench_size(1000000, 1000000);
	memory = bench_scratch(BENCH_MEMORY);
	run_throughput(&(struct peer_site){.dir = memory, .count = mappings});
	run_latency(WRITER_RECEIVER, &peer_reader, memory, "idle",
		    "receiver at full speed");
	/* What is synced is to be on a disk. */
	disk = bench_scratch(NULL);
	run_latency(WRITER_LMDB, &peer_lmdb_renew, disk, "lmdb, idle",
		    "lmdb, writer at full speed");
	return 0;
}
