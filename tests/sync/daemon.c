/* SPDX-License-Identifier: BSD-2-Clause */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon.h"

static const char *program(void)
{
	static char path[600];
	const char *root = getenv("BUILD_ROOT");

	snprintf(path, sizeof(path), "%s/examples/uidrecvd", root ? root : ".");
	return path;
}

bool daemon_exists(void)
{
	return access(program(), X_OK) == 0;
}

static const char *write_agents(const struct live *live)
{
	static char path[300];
	FILE *file;

	snprintf(path, sizeof(path), "%s/agents", live->directory);
	file = fopen(path, "w");
	cr_assert_not_null(file);
	cr_assert_geq(fputs(live->rights, file), 0);
	cr_assert_eq(fclose(file), 0);
	return path;
}

static void run(const struct live *live, const char *agents, int out)
{
	char log[300];
	int fd;

	snprintf(log, sizeof(log), "%s/log", live->directory);
	/* A test that fails leaves nothing behind. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	dup2(out, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	execl(program(), program(), "--store", live->store, "--listen",
	      live->address, "--cert", live->options.cert_path, "--key",
	      live->options.key_path, "--ca", live->options.ca_path, "--agents",
	      agents, "-v", NULL);
	_exit(127);
}

void daemon_start(struct daemon *daemon, struct live *live)
{
	const char *agents = write_agents(live), *port;
	int pipes[2];

	*daemon = (struct daemon){.live = live};
	snprintf(live->address, sizeof(live->address), "127.0.0.1:%u",
		 live->port);
	cr_assert_eq(pipe2(pipes, O_CLOEXEC), 0);
	daemon->pid = fork();
	cr_assert_geq(daemon->pid, 0);
	if (daemon->pid == 0)
		run(live, agents, pipes[1]);
	close(pipes[1]);
	daemon->out = pipes[0];
	cr_assert_eq(fcntl(daemon->out, F_SETFL, O_NONBLOCK), 0);
	port = strrchr(daemon_line(daemon, "listening "), ':');
	live->port = (uint16_t)strtoul(port + 1, NULL, 10);
	snprintf(live->address, sizeof(live->address), "127.0.0.1:%u",
		 live->port);
	daemon_line(daemon, "ready");
}

void daemon_signal(const struct daemon *daemon, int number)
{
	cr_assert_eq(kill(daemon->pid, number), 0);
}

void daemon_reload(struct daemon *daemon)
{
	write_agents(daemon->live);
	daemon_signal(daemon, SIGHUP);
	daemon_line(daemon, "reloaded");
}

/* Takes the first line, if it is whole, out of what was read. */
static bool take_line(struct daemon *daemon, char *line, size_t line_size)
{
	char *end = memchr(daemon->lines, '\n', daemon->size);
	size_t size;

	if (!end)
		return false;
	size = (size_t)(end - daemon->lines);
	cr_assert_lt(size, line_size);
	memcpy(line, daemon->lines, size);
	line[size] = '\0';
	daemon->size -= size + 1;
	memmove(daemon->lines, end + 1, daemon->size);
	return true;
}

const char *daemon_line(struct daemon *daemon, const char *text)
{
	static char line[4096];
	uint64_t end_ms = live_now_ms() + LIVE_PATIENCE_MS;

	for (;;) {
		ssize_t size;

		while (take_line(daemon, line, sizeof(line)))
			if (!strncmp(line, text, strlen(text)))
				return line;
		cr_assert_lt(live_now_ms(), end_ms, "in vain for %s", text);
		size = read(daemon->out, daemon->lines + daemon->size,
			    sizeof(daemon->lines) - daemon->size);
		cr_assert_neq(size, 0, "uidrecvd ended before %s", text);
		if (size > 0)
			daemon->size += (size_t)size;
		else
			usleep(1000);
	}
}

int daemon_end(struct daemon *daemon, int number)
{
	int status = 0;

	daemon_signal(daemon, number);
	cr_assert_eq(waitpid(daemon->pid, &status, 0), daemon->pid);
	close(daemon->out);
	daemon->pid = 0;
	return status;
}
