/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Readers look stamped answers up while the writer works as fast as it can,
 * and is killed and replaced at random. Every answer is checked to be one that
 * was put for this address, whole, and not older than one seen before, through
 * snapshots and drops, too.
 *
 * stress-table [--lookups N] [--kills N] [--readers N] [--seconds N]
 *              [--seed N] [--threads]
 *
 * With --threads readers and writer share one mapping, and nobody is killed:
 * for TSan, which cannot see a race across mappings.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "plan.h"
#include "view.h"
#include "writer.h"

#define BATCH 256

/* Shared by all processes. */
struct shared {
	_Atomic uint64_t counter; /* of the newest stamp */
	_Atomic uint64_t lookups;
	_Atomic uint64_t torn;	 /* a text that nobody put */
	_Atomic uint64_t wrong;	 /* another address's, or older than before */
	_Atomic uint64_t failed; /* an error, or nobody where somebody is */
	_Atomic uint64_t moves;
	_Atomic bool is_over;
};

static struct shared *shared;
static struct scratch scratch;
static struct plan plan;

/* What a reader knows of an address. */
struct seen {
	uint64_t counter;
	uint64_t change;
	uint8_t user_size;
	char user[64];
};

struct lookups {
	uint64_t seed;
	struct uidrecv_reader *reader; /* or, with threads, */
	struct ur_view view;
	uint64_t count;
	struct seen seen[ALL];
};

static struct writer writer;

static void begin_writing(uint64_t seed, uint64_t entries_hint)
{
	writer.counter = &shared->counter;
	writer.seed = seed;
	start_table(&writer, scratch.path, entries_hint);
}

static pid_t start_writer(uint64_t seed)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	begin_writing(seed, 0);
	write_until(&writer, &shared->is_over);
	_exit(0);
}

static void count(_Atomic uint64_t *errors, const char *what, uint32_t i,
		  const struct uidrecv_mapping *mapping)
{
	if (atomic_fetch_add(errors, 1) < 10)
		fprintf(stderr, "%s: address %u: user=%s agent=%s\n", what, i,
			mapping != NULL ? mapping->user : "",
			mapping != NULL ? mapping->agent : "");
}

/* A text that was checked before needs no parsing again. */
static bool is_seen(const struct seen *seen,
		    const struct uidrecv_mapping *mapping)
{
	return mapping->change == seen->change &&
	       mapping->user_size == seen->user_size &&
	       memcmp(mapping->user, seen->user, seen->user_size + 1) == 0;
}

static void check_found(struct lookups *lookups, uint32_t i, uint64_t now_us,
			const struct uidrecv_mapping *mapping)
{
	struct seen *seen = &lookups->seen[i];
	uint64_t counter = seen->counter;
	uint32_t index = i;

	if ((!is_seen(seen, mapping) &&
	     !stamp_parse(mapping->user, mapping->user_size, &index,
			  &counter)) ||
	    !stamp_is_consistent(mapping, counter, now_us)) {
		count(&shared->torn, "torn", i, mapping);
		return;
	}
	if (index != i || counter < seen->counter ||
	    counter > atomic_load(&shared->counter) ||
	    mapping->change < seen->change ||
	    (mapping->change == seen->change) != (counter == seen->counter))
		count(&shared->wrong, "wrong", i, mapping);
	seen->counter = counter;
	seen->change = mapping->change;
	seen->user_size = mapping->user_size;
	memcpy(seen->user, mapping->user, mapping->user_size + 1u);
}

static void check(struct lookups *lookups, uint32_t i, uint64_t now_us, int r,
		  const struct uidrecv_mapping *mapping)
{
	lookups->count++;
	if (r == 1)
		check_found(lookups, i, now_us, mapping);
	else if (r < 0 || !may_be_gone(i))
		count(&shared->failed, uidrecv_strerror(r), i, NULL);
}

static void look_up_batch(struct lookups *lookups)
{
	uint64_t now_us = uidrecv_now_us();
	struct uidrecv_mapping mapping;
	int r;

	for (int n = 0; n < BATCH; n++) {
		uint32_t i = (uint32_t)next_random(&lookups->seed) % ALL;
		struct uidrecv_query query = {.address = address_of(i)};
		struct ur_view *view = &lookups->view;

		if (n % 4)
			i %= FIXED;
		query.address = address_of(i);
		if (lookups->reader != NULL)
			r = uidrecv_reader_lookup(lookups->reader, &query,
						  now_us, &mapping);
		else
			r = ur_view_find(view, &query, now_us, &mapping);
		check(lookups, i, now_us, r, &mapping);
	}
}

static void look_up_bulk(struct lookups *lookups)
{
	static _Thread_local struct uidrecv_mapping mappings[BATCH];
	struct uidrecv_query queries[BATCH];
	uint64_t now_us = uidrecv_now_us();
	int results[BATCH];
	uint32_t first = (uint32_t)next_random(&lookups->seed) % (ALL - BATCH);

	for (uint32_t n = 0; n < BATCH; n++)
		queries[n] =
		    (struct uidrecv_query){.address = address_of(first + n)};
	if (uidrecv_reader_lookup_bulk(lookups->reader, queries, BATCH, now_us,
				       mappings, results) < 0)
		count(&shared->failed, "bulk", first, NULL);
	for (uint32_t n = 0; n < BATCH; n++)
		check(lookups, first + n, now_us, results[n], &mappings[n]);
}

static void iterate(struct lookups *lookups)
{
	struct uidrecv_cursor cursor = {0, 0};
	struct uidrecv_mapping mapping;
	uint64_t now_us = uidrecv_now_us();
	uint32_t i;
	int r;

	while ((r = uidrecv_reader_next(lookups->reader, &cursor, now_us,
					&mapping)) == 1) {
		i = (uint32_t)mapping.address.lo & (ALL - 1);
		check(lookups, i, now_us, r, &mapping);
	}
	if (r != 0 && r != UIDRECV_E_TABLE_CHANGED && r != -EAGAIN)
		count(&shared->failed, uidrecv_strerror(r), 0, NULL);
}

static void read_until_over(struct lookups *lookups)
{
	while (!atomic_load(&shared->is_over)) {
		for (int n = 0; n < 64; n++)
			look_up_batch(lookups);
		if (lookups->reader != NULL) {
			look_up_bulk(lookups);
			iterate(lookups);
		}
		atomic_fetch_add(&shared->lookups, lookups->count);
		lookups->count = 0;
	}
}

static pid_t start_reader(uint64_t seed)
{
	static struct lookups lookups;
	struct uidrecv_reader_status status;
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	lookups.seed = seed;
	lookups.reader = open_reader(scratch.path);
	read_until_over(&lookups);
	if (uidrecv_reader_get_status(lookups.reader, 0, &status) == 0)
		atomic_fetch_add(&shared->moves, status.moves);
	uidrecv_reader_close(lookups.reader);
	_exit(0);
}

static bool is_time_up(uint64_t start_us)
{
	return ur_clock_boot_us() - start_us > plan.seconds * 1000000;
}

static uint64_t run_processes(uint64_t start_us)
{
	uint64_t seed = plan.seed;
	pid_t pid = start_writer(next_random(&seed));
	uint64_t kills = 0;

	while (access(scratch.path, F_OK) != 0)
		usleep(1000);
	for (uint64_t i = 0; i < plan.readers; i++)
		start_reader(next_random(&seed));
	while ((kills < plan.kills ||
		atomic_load(&shared->lookups) < plan.lookups) &&
	       !is_time_up(start_us)) {
		usleep((useconds_t)(next_random(&seed) % 60000));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		kills++;
		pid = start_writer(next_random(&seed));
	}
	atomic_store(&shared->is_over, true);
	while (wait(NULL) > 0)
		;
	return kills;
}

static void *read_in_thread(void *lookups)
{
	read_until_over(lookups);
	return NULL;
}

static void *write_in_thread(void *of)
{
	write_until(of, &shared->is_over);
	return NULL;
}

static void run_threads(uint64_t start_us)
{
	static struct lookups lookups[READERS_MAX];
	pthread_t threads[READERS_MAX + 1];
	size_t size;
	const void *bytes;

	/* With room for all, for growth would unmap it under the readers. */
	begin_writing(plan.seed, 4000000);
	bytes = ur_table_get_bytes(writer.table, &size);
	for (uint64_t i = 0; i < plan.readers; i++) {
		lookups[i].seed = plan.seed + i;
		if (ur_view_init(&lookups[i].view, bytes, size) < 0 ||
		    pthread_create(&threads[i], NULL, read_in_thread,
				   &lookups[i]) != 0)
			abort();
	}
	if (pthread_create(&threads[plan.readers], NULL, write_in_thread,
			   &writer) != 0)
		abort();
	while (atomic_load(&shared->lookups) < plan.lookups &&
	       !is_time_up(start_us))
		usleep(1000);
	atomic_store(&shared->is_over, true);
	for (uint64_t i = 0; i <= plan.readers; i++)
		pthread_join(threads[i], NULL);
	if (ur_table_get_bytes(writer.table, &size) != bytes)
		abort();
	ur_table_close(writer.table);
}

int main(int argc, char **argv)
{
	uint64_t start_us = ur_clock_boot_us();
	uint64_t kills = 0;

	plan = parse_plan(argc, argv);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 2;
	scratch_init(&scratch);
	if (plan.has_threads)
		run_threads(start_us);
	else
		kills = run_processes(start_us);
	scratch_done(&scratch);
	printf("lookups=%llu kills=%llu puts=%llu moves=%llu wrong=%llu "
	       "failed=%llu torn=%llu seconds=%.1f\n",
	       (unsigned long long)shared->lookups, (unsigned long long)kills,
	       (unsigned long long)shared->counter,
	       (unsigned long long)shared->moves,
	       (unsigned long long)shared->wrong,
	       (unsigned long long)shared->failed,
	       (unsigned long long)shared->torn,
	       (double)(ur_clock_boot_us() - start_us) / 1e6);
	return shared->wrong != 0 || shared->failed != 0 || shared->torn != 0;
}
