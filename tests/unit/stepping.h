/* SPDX-License-Identifier: BSD-2-Clause */
/* A child process that does one thing, one machine instruction at a time. */
#ifndef TEST_STEPPING_H
#define TEST_STEPPING_H

#include <criterion/criterion.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "../sanitized.h"

/* To be called before there is anything that a test would have to free. */
static inline void need_few_instructions(void)
{
#ifdef IS_SANITIZED
	cr_skip_test("the instructions of a sanitizer take too long");
#endif
}

/*
 * Starts a child that does something and stops before it and after it. No
 * clocks in there: slowly stepped, a read of the clock never ends.
 */
static inline pid_t start_child(bool (*do_it)(void *what), void *what)
{
	int status;
	pid_t pid;

	need_few_instructions();
	pid = fork();
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(77);
		raise(SIGSTOP);
		if (!do_it(what))
			_exit(1);
		raise(SIGSTOP);
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		cr_skip_test("no ptrace here");
	cr_assert(WIFSTOPPED(status));
	return pid;
}

static inline int continue_by(pid_t pid, enum __ptrace_request request)
{
	int status;

	cr_assert_eq(ptrace(request, pid, NULL, NULL), 0);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFSTOPPED(status), "the child failed");
	return WSTOPSIG(status);
}

/* One instruction; false when it is done. */
static inline bool step(pid_t pid)
{
	return continue_by(pid, PTRACE_SINGLESTEP) == SIGTRAP;
}

/* All the rest. */
static inline void run_on(pid_t pid)
{
	cr_assert_eq(continue_by(pid, PTRACE_CONT), SIGSTOP);
}

static inline void kill_child(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

#endif
