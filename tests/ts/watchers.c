/* SPDX-License-Identifier: BSD-2-Clause */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "luck.h"
#include "watchers.h"

struct watchers_board {
	_Atomic bool is_over;
	struct {
		_Atomic uint64_t lookups;
		_Atomic bool has_failed;
		char why[600];
	} watchers[WATCHERS];
};

void *watchers_share(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(memory, MAP_FAILED);
	return memory;
}

static void watch(struct watchers_board *board, int self, const char *path,
		  watch_fn *look, void *user)
{
	struct uidrecv_reader *table;
	uint64_t lookups = 0;

	/* A test that fails leaves nothing behind. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (uidrecv_reader_open(&table, path, NULL) < 0)
		_exit(1);
	while (!atomic_load(&board->is_over)) {
		if (!look(user, table, board->watchers[self].why,
			  sizeof(board->watchers[self].why))) {
			atomic_store(&board->watchers[self].has_failed, true);
			break;
		}
		atomic_store(&board->watchers[self].lookups, ++lookups);
	}
	_exit(0);
}

void watchers_start(struct watchers *watchers, const struct live *live,
		    watch_fn *look, void *user)
{
	watchers->board = watchers_share(sizeof(*watchers->board));
	for (int i = 0; i < WATCHERS; i++) {
		/* So that each has luck of its own. */
		luck_below(7);
		watchers->pids[i] = fork();
		cr_assert_geq(watchers->pids[i], 0);
		if (watchers->pids[i] == 0)
			watch(watchers->board, i, live->table, look, user);
	}
	for (int i = 0; i < WATCHERS; i++)
		while (!atomic_load(&watchers->board->watchers[i].lookups) &&
		       !atomic_load(&watchers->board->watchers[i].has_failed))
			sched_yield();
}

uint64_t watchers_count(const struct watchers *watchers)
{
	uint64_t count = 0;

	for (int i = 0; i < WATCHERS; i++) {
		cr_assert_not(
		    atomic_load(&watchers->board->watchers[i].has_failed), "%s",
		    watchers->board->watchers[i].why);
		count += atomic_load(&watchers->board->watchers[i].lookups);
	}
	return count;
}

void watchers_end(struct watchers *watchers)
{
	int status;

	atomic_store(&watchers->board->is_over, true);
	for (int i = 0; i < WATCHERS; i++) {
		cr_assert_eq(waitpid(watchers->pids[i], &status, 0),
			     watchers->pids[i]);
		cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	printf("%llu lookups\n", (unsigned long long)watchers_count(watchers));
	munmap(watchers->board, sizeof(*watchers->board));
}
