/* SPDX-License-Identifier: BSD-2-Clause */
/* What a library must not do to its host. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "live.h"
#include "wire.h"

/* With SIGPIPE as it comes, peers that are gone before they are answered. */
Test(manners, N15_no_death_by_sigpipe)
{
	struct live live;
	struct wire wire;
	struct live_agent *agent;

	signal(SIGPIPE, SIG_DFL);
	live_init(&live, "a.example", NULL);
	live_start(&live);
	for (uint64_t i = 1; i <= 100; i++) {
		wire_new(&wire, &live, "a.example");
		cr_assert_eq(wire_open(&wire, 77), i - 1);
		live.is_frozen = true;
		wire_update(&wire, i, "10.0.0.1", "alice", 1);
		if (i % 2)
			wire_reset(&wire);
		else
			wire_free(&wire);
		live.is_frozen = false;
		live_await(&live, live_stats(&live).sessions == 0);
	}
	/* And the agent, whose receiver goes away. */
	agent = live_agent(&live, "a.example", NULL);
	live_await(&live, agent->events[UIDRECV_AGENT_CONNECTED]);
	for (int i = 0; i < 20; i++) {
		live_map(agent, "10.0.0.2", "bob");
		live_stop(&live);
		live_start(&live);
		live_turns(&live, 2);
	}
	live_done(&live);
}

static const char *name_of(int fd)
{
	static char name[300];
	char link[64];
	ssize_t size;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	size = readlink(link, name, sizeof(name) - 1);
	name[size > 0 ? size : 0] = '\0';
	return name;
}

Test(manners, S26_descriptors_are_close_on_exec)
{
	struct live live;
	struct live_agent *agent;
	uint16_t port;
	unsigned int before = live_count_fds(), count = 0;
	bool was_open[200];
	int flags;

	for (int fd = 0; fd < 200; fd++)
		was_open[fd] = fcntl(fd, F_GETFD) >= 0;
	live_init(&live, "a.example", NULL);
	live_start(&live);
	cr_assert_eq(
	    uidrecv_receiver_listen(live.receiver, "127.0.0.2:0", &port), 0);
	agent = live_agent(&live, "a.example", NULL);
	live_map(agent, "10.0.0.1", "alice");
	live_await(&live, agent->acked == 1);
	cr_assert_str_eq(live_user(&live, "10.0.0.1"), "alice");
	for (int fd = 0; fd < 200; fd++) {
		flags = fcntl(fd, F_GETFD);
		if (flags < 0 || was_open[fd])
			continue;
		count++;
		cr_expect(flags & FD_CLOEXEC, "descriptor %d: %s", fd,
			  name_of(fd));
	}
	cr_expect_geq(count, 8);
	live_done(&live);
	cr_expect_eq(live_count_fds(), before);
}

static int in_child(int (*run)(void *user), void *user)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(run(user));
	cr_assert_gt(pid, 0);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + status;
}

static int use_in_child(void *user)
{
	struct live *live = user;
	struct uidrecv_record record =
	    live_record(UIDRECV_OP_MAP, "10.0.0.2", "child");
	uint16_t code;

	return (uidrecv_receiver_dispatch(live->receiver) != UIDRECV_E_FORKED) |
	       (uidrecv_receiver_submit(live->receiver, "b.example", &record, 1,
					&code) != UIDRECV_E_FORKED)
		   << 1 |
	       (uidrecv_agent_dispatch(live->agents[0]->agent) !=
		UIDRECV_E_FORKED)
		   << 2 |
	       (uidrecv_agent_queue(live->agents[0]->agent, &record, NULL) !=
		UIDRECV_E_FORKED)
		   << 3 |
	       (uidrecv_receiver_run(live->receiver) != UIDRECV_E_FORKED) << 4 |
	       (uidrecv_agent_snapshot_begin(live->agents[0]->agent, false) !=
		UIDRECV_E_FORKED)
		   << 6 |
	       /* A reader goes on. */
	       (strcmp(live_user(live, "10.0.0.1"), "alice") != 0) << 5;
}

Test(manners, S25_child_of_a_fork)
{
	struct live live;
	struct live_agent *agent;
	uint64_t ticket = 0;

	live_init(&live, "a.example", "b.example", NULL);
	live_start(&live);
	agent = live_agent(&live, "a.example", NULL);
	ticket = live_map(agent, "10.0.0.1", "alice");
	live_await(&live, agent->acked == ticket);
	cr_assert_str_eq(live_user(&live, "10.0.0.1"), "alice");
	for (int i = 0; i < 20; i++) {
		cr_assert_eq(in_child(use_in_child, &live), 0);
		ticket = live_map(agent, "10.0.0.3", "bob");
		live_await(&live, agent->acked == ticket);
	}
	cr_expect_str_eq(live_user(&live, "10.0.0.2"), "");
	cr_expect_eq(agent->events[UIDRECV_AGENT_LOST], 0);
	live_done(&live);
}

static int free_in_child(void *user)
{
	struct live *live = user;

	uidrecv_agent_free(live->agents[0]->agent);
	uidrecv_receiver_free(live->receiver);
	return 0;
}

/* A child that tidies up takes nothing from its parent. */
Test(manners, S25_child_frees_what_it_inherited)
{
	struct live live;
	struct live_agent *agent;
	uint64_t ticket;

	live_init(&live, "a.example", "b.example", NULL);
	live_start(&live);
	agent = live_agent(&live, "a.example", NULL);
	ticket = live_map(agent, "10.0.0.1", "alice");
	live_await(&live, agent->acked == ticket);
	cr_assert_eq(in_child(free_in_child, &live), 0);
	ticket = live_map(agent, "10.0.0.2", "bob");
	live_await(&live, agent->acked == ticket);
	cr_expect_eq(agent->events[UIDRECV_AGENT_LOST], 0);
	agent = live_agent(&live, "b.example", NULL);
	live_await(&live, agent->events[UIDRECV_AGENT_CONNECTED]);
	live_done(&live);
}

static void whole_life(bool has_log)
{
	struct live live;
	struct live_agent *agent;
	struct wire wire;
	char error[300];

	live_init(&live, "a.example", NULL);
	if (!has_log)
		live.options.log = NULL;
	live_start(&live);
	agent = live_agent(&live, "a.example", NULL);
	live_map(agent, "10.0.0.1", "alice");
	live_await(&live, agent->acked == 1);
	wire_new(&wire, &live, NULL);
	wire_shake(&wire);
	wire_free(&wire);
	live.options.store_path = "/nowhere/x";
	cr_assert_lt(uidrecv_receiver_reload_certificates(live.receiver, error,
							  sizeof(error)),
		     1);
	live_stop(&live);
	cr_assert_lt(uidrecv_receiver_new(&live.receiver, &live.options, error,
					  sizeof(error)),
		     0);
	live_done(&live);
}

/* Not a byte on the standard descriptors, with or without a callback. */
Test(manners, no_output)
{
	char name[] = "/tmp/uidrecv-output-XXXXXX";
	int file = mkstemp(name), out = dup(1), err = dup(2);
	off_t written;

	cr_assert_geq(file, 0);
	unlink(name);
	dup2(file, 1);
	dup2(file, 2);
	whole_life(true);
	whole_life(false);
	fflush(NULL);
	written = lseek(file, 0, SEEK_END);
	dup2(out, 1);
	dup2(err, 2);
	cr_expect_eq(written, 0);
}

Test(manners, signal_handlers_and_mask_are_left_alone)
{
	struct sigaction before[32], after;
	sigset_t mask_before, mask_after;

	for (int i = 1; i < 32; i++)
		sigaction(i, NULL, &before[i]);
	sigprocmask(SIG_SETMASK, NULL, &mask_before);
	whole_life(true);
	sigprocmask(SIG_SETMASK, NULL, &mask_after);
	for (int i = 1; i < 32; i++) {
		sigaction(i, NULL, &after);
		cr_expect_eq(after.sa_handler, before[i].sa_handler, "%d", i);
		cr_expect_eq(sigismember(&mask_before, i),
			     sigismember(&mask_after, i));
	}
}

static volatile sig_atomic_t ticks;

static void tick(int number)
{
	(void)number;
	ticks++;
}

/* A host with a timer that interrupts all it does a thousand times a second. */
Test(manners, A04_interrupted_all_the_time)
{
	struct sigaction action = {.sa_handler = tick};
	struct itimerval often = {.it_interval = {.tv_usec = 1000},
				  .it_value = {.tv_usec = 1000}};
	struct live live;
	struct live_agent *agent;
	uint64_t ticket;
	char address[32];

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	live_init(&live, "a.example", NULL);
	live_start(&live);
	agent = live_agent(&live, "a.example", NULL);
	for (int i = 0; i < 200; i++) {
		snprintf(address, sizeof(address), "10.0.0.%d", i);
		ticket = live_map(agent, address, "alice");
		live_await(&live, agent->acked == ticket);
		cr_assert_str_eq(live_user(&live, address), "alice");
	}
	cr_expect_eq(agent->events[UIDRECV_AGENT_LOST], 0);
	cr_expect_eq(live_stats(&live).commit_errors, 0);
	memset(&often, 0, sizeof(often));
	setitimer(ITIMER_REAL, &often, NULL);
	cr_expect_gt(ticks, 50);
	live_done(&live);
}

static struct uidrecv_receiver *stopped_by_signal;

static void stop_it(int number)
{
	(void)number;
	uidrecv_receiver_stop(stopped_by_signal);
}

static void *stop_it_later(void *user)
{
	usleep(50000);
	uidrecv_receiver_stop(user);
	return NULL;
}

/* run() ends by a stop from a handler (-EINTR first) or another thread. */
Test(manners, A04_run_and_stop)
{
	struct sigaction action = {.sa_handler = stop_it};
	struct itimerval once = {.it_value = {.tv_usec = 50000}};
	struct live live;
	pthread_t thread;
	int ret;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	stopped_by_signal = live.receiver;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &once, NULL);
	do
		ret = uidrecv_receiver_run(live.receiver);
	while (ret == -EINTR);
	cr_expect_eq(ret, 0);
	live_stop(&live);
	live_start(&live);
	cr_assert_eq(
	    pthread_create(&thread, NULL, stop_it_later, live.receiver), 0);
	cr_expect_eq(uidrecv_receiver_run(live.receiver), 0);
	pthread_join(thread, NULL);
	live_done(&live);
}

/* Descriptors 0 to 2 may be closed: they are descriptors as any other. */
static int live_without_standard_descriptors(void *user)
{
	(void)user;
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	whole_life(true);
	return 0;
}

Test(manners, A10_standard_descriptors_are_closed)
{
	cr_assert_eq(in_child(live_without_standard_descriptors, NULL), 0);
}

/* Nothing is left of connections, receivers and agents that are gone. */
Test(manners, no_descriptor_leaks)
{
	struct live live;
	struct live_agent *agent;
	struct wire wire;
	unsigned int before;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	before = live_count_fds();
	for (int i = 0; i < 30; i++) {
		agent = live_agent(&live, "a.example", NULL);
		if (i % 3)
			live_await(&live,
				   agent->events[UIDRECV_AGENT_CONNECTED]);
		live_agent_end(&live, agent);
		wire_new(&wire, &live, i % 2 ? "a.example" : NULL);
		if (i % 5)
			wire_shake(&wire);
		wire_free(&wire);
	}
	live_await(&live, live_stats(&live).connections == 0);
	cr_expect_eq(live_count_fds(), before);
	live_stop(&live);
	live_start(&live);
	cr_expect_eq(live_count_fds(), before);
	live_done(&live);
}
