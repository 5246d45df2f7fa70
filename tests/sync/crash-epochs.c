/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kills who writes snapshots, REFRESH ALLs and all else into a store, at
 * random moments. What it had reported as committed is there, whole, and what
 * it had not is there whole or not at all, by the oracle, which the parent
 * leads the same way.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "world.h"

static struct world world;

static void die(const char *what)
{
	fprintf(stderr, "crash-epochs: %s (kept: %s)\n", what, world.directory);
	exit(1);
}

/*
 * A store that is a step ahead of the oracle does not let time go back when it
 * is opened: it moves its base, and the oracle keeps its time.
 */
static void open_store(void)
{
	static uint64_t base_us = WORLD_START - WORLD_UPTIME;
	uint64_t now_us = world.now_us;

	world.options.boot_us = now_us - base_us;
	world_open(&world);
	if (world.difference[0])
		die(world.difference);
	base_us = ur_store_get_base_us(world.store);
	world.now_us = now_us;
}

static void write_steps(int pipe_fd)
{
	uint64_t steps = 0;

	open_store();
	for (;;) {
		world_step(&world);
		if (world.difference[0])
			die(world.difference);
		steps++;
		if (write(pipe_fd, &steps, sizeof(steps)) != sizeof(steps))
			_exit(0);
	}
}

/* How many steps a writer reported that was killed after a while. */
static uint64_t kill_one(long wait_us)
{
	struct timespec wait = {0, wait_us * 1000};
	uint64_t steps, last = 0;
	int pipes[2], status;
	pid_t child;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		die("pipe");
	child = fork();
	if (child < 0)
		die("fork");
	if (child == 0) {
		close(pipes[0]);
		write_steps(pipes[1]);
	}
	close(pipes[1]);
	nanosleep(&wait, NULL);
	kill(child, SIGKILL);
	while (read(pipes[0], &steps, sizeof(steps)) == sizeof(steps))
		last = steps;
	close(pipes[0]);
	waitpid(child, &status, 0);
	if (!WIFSIGNALED(status))
		die("the writer ended by itself");
	return last;
}

/* An accepting has no mark, but is seen where it matters. */
static void check_held(void)
{
	for (uint32_t id = 1; id < ORACLE_AGENTS; id++) {
		const struct oracle_agent *it = &world.oracle.agents[id];
		const struct ur_epochs *epochs =
		    &ur_store_get_agent_by_id(world.store, id)->epochs;
		bool has_old = false;

		for (size_t i = 0; i < ORACLE_ADDRESSES; i++)
			has_old |= oracle_lives(&it->claims[i], world.now_us) &&
				   it->claims[i].epoch < it->held;
		if (has_old && !epochs->held)
			world_differ(&world, "agent %u holds nothing", id);
	}
}

static bool is_in_store(void)
{
	uint64_t marked;

	open_store();
	marked = ur_store_get_agent_by_id(world.store, 1)->offset_error_us;
	if (marked != world.rounds)
		world_differ(&world, "round %ju instead of %ju",
			     (uintmax_t)marked, (uintmax_t)world.rounds);
	world_check_answers(&world, world.now_us);
	world_check_rows(&world, false);
	check_held();
	world_close(&world);
	return world.difference[0] == '\0';
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	uint64_t kills = 60, steps = 0, ahead = 0;

	if (getenv("UIDRECV_TEST_SEED"))
		seed = strtoull(getenv("UIDRECV_TEST_SEED"), NULL, 10);
	if (getenv("UIDRECV_TEST_LONG"))
		kills *= 20;
	srandom((unsigned int)seed);
	world_init(&world, seed);
	world.is_apart = true;
	world_close(&world);
	for (uint64_t i = 0; i < kills; i++) {
		uint64_t reported = kill_one(random() % 60000);

		for (uint64_t j = 0; j < reported; j++)
			world_step(&world);
		steps += reported;
		if (is_in_store())
			continue;
		/* One more may have been committed, and not reported. */
		world.difference[0] = '\0';
		world_step(&world);
		ahead++;
		if (!is_in_store())
			die(world.difference);
	}
	world_done(&world);
	printf("crash-epochs: seed %ju, %ju kills, %ju steps, 0 lost, %ju "
	       "times one was committed and not yet reported\n",
	       (uintmax_t)seed, (uintmax_t)kills, (uintmax_t)steps,
	       (uintmax_t)ahead);
	return 0;
}
