/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reference receiver: the library, a command line and signals.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <uidrecv/receiver.h>

#include "cli.h"
#include "uidrecvd-options.h"
#include "uidrecvd-output.h"

struct program {
	struct config config;
	struct uidrecv_receiver *receiver;
	struct output output;
	int signal_fd;
};

static void write_log(void *user, enum uidrecv_log_level level,
		      const char *message)
{
	const struct program *program = user;

	if ((int)level <= (int)UIDRECV_LOG_WARNING + program->config.verbose)
		output_log(level, message);
}

/* A failure at the start is either the administrator's or the system's. */
static int exit_code(int error)
{
	switch (error) {
	case -ENOMEM:
	case -EMFILE:
	case -ENFILE:
	case -ENOSPC:
	case -EIO:
	case -EADDRINUSE:
	case UIDRECV_E_STORE_BUSY:
		return CLI_FAILED;
	default:
		return CLI_USAGE;
	}
}

/* The list is good, but the store or the table does not take it. */
static void explain_unusable(const struct program *program, int result,
			     char *error, size_t error_size)
{
	const struct config *config = &program->config;
	const char *table = config->receiver.table_path;

	snprintf(error, error_size,
		 "%s cannot be put in force: %s; look at the store %s and the "
		 "table %s%s",
		 config->agents_path, uidrecv_strerror(result),
		 config->receiver.store_path,
		 table ? table : config->receiver.store_path,
		 table ? "" : "/table");
}

static int load_agents(const struct program *program, char *error,
		       size_t error_size)
{
	struct uidrecv_rights *rights;
	int result = uidrecv_rights_new(&rights);

	if (result < 0) {
		snprintf(error, error_size, "%s", uidrecv_strerror(result));
		return result;
	}
	result = uidrecv_rights_load(rights, program->config.agents_path, error,
				     error_size);
	if (result == 0) {
		result = uidrecv_receiver_set_agents(program->receiver, rights);
		if (result < 0)
			explain_unusable(program, result, error, error_size);
	}
	uidrecv_rights_free(rights);
	return result;
}

static void start_listeners(struct program *program)
{
	for (size_t i = 0; i < program->config.listeners_count; i++) {
		const char *listener = program->config.listeners[i];
		const char *colon = strrchr(listener, ':');
		uint16_t port;
		int error =
		    uidrecv_receiver_listen(program->receiver, listener, &port);

		if (error == -EINVAL)
			cli_die(CLI_USAGE,
				"--listen %s: not an address and a port; write "
				"10.0.0.1:5007, [2001:db8::1]:5007 or *:5007",
				listener);
		if (error < 0)
			cli_die(exit_code(error),
				"--listen %s: %s; choose an "
				"address and port of this host that is free",
				listener, uidrecv_strerror(error));
		output_line(&program->output, "listening %.*s:%u",
			    (int)(colon - listener), listener, port);
	}
}

static void add_ts_agents(struct program *program)
{
	const struct config *config = &program->config;

	for (size_t i = 0; i < config->ts_agents_count; i++) {
		const struct ts_agent *agent = &config->ts_agents[i];
		int error = uidrecv_receiver_add_agent(
		    program->receiver, agent->name, agent->host, agent->port);

		if (error < 0)
			cli_die(exit_code(error),
				"--ts-agent %s: %s; NAME must be on the list "
				"%s, without dial=, and stand here once",
				agent->option, uidrecv_strerror(error),
				config->agents_path);
	}
}

/* Nobody could ever say anything. */
static bool is_deaf(const struct program *program)
{
	struct uidrecv_agent_stats agent = {.size = sizeof(agent)};

	if (program->config.listeners_count > 0)
		return false;
	for (size_t i = 0; uidrecv_receiver_get_agent_stats(program->receiver,
							    i, &agent) == 1;
	     i++)
		if (agent.is_dialled)
			return false;
	return true;
}

/* Tells systemd, if it asked, that we are up. */
static void notify_ready(void)
{
	static const char message[] = "READY=1";
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t size = path == NULL ? 0 : strlen(path);
	int fd;

	if (size == 0 || size > sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, path, size);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	size += offsetof(struct sockaddr_un, sun_path);
	if (sendto(fd, message, sizeof(message) - 1, MSG_NOSIGNAL,
		   (struct sockaddr *)&address, (socklen_t)size) < 0)
		output_log(UIDRECV_LOG_WARNING,
			   "NOTIFY_SOCKET: systemd cannot be told");
	close(fd);
}

/* Each agent is a connection: take as many as we are allowed. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void catch_signals(struct program *program)
{
	sigset_t signals;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGUSR1);
	sigaddset(&signals, SIGUSR2);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	program->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
	if (program->signal_fd < 0)
		cli_die(CLI_FAILED, "signalfd: %s", strerror(errno));
}

static void log_reload_error(const char *error)
{
	char message[1200];

	snprintf(message, sizeof(message),
		 "%s; what was in force stays in force", error);
	output_log(UIDRECV_LOG_ERROR, message);
}

/* The two are independent: a typo in one must not hold back the other. */
static void reload(struct program *program)
{
	char error[1024] = "";
	bool is_done = true;

	if (uidrecv_receiver_reload_certificates(program->receiver, error,
						 sizeof(error)) < 0) {
		is_done = false;
		log_reload_error(error);
	}
	if (load_agents(program, error, sizeof(error)) < 0) {
		is_done = false;
		log_reload_error(error);
	}
	output_line(&program->output, is_done ? "reloaded" : "reload failed");
}

static void accept_drops(struct program *program)
{
	int count = uidrecv_receiver_accept_drops(program->receiver, NULL);

	if (count >= 0)
		output_line(&program->output, "accepted %d", count);
	else
		output_line(&program->output, "accept failed: %s",
			    uidrecv_strerror(count));
}

static void handle_signals(struct program *program)
{
	struct signalfd_siginfo info;

	while (read(program->signal_fd, &info, sizeof(info)) ==
	       (ssize_t)sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGHUP:
			reload(program);
			break;
		case SIGUSR1:
			/* Who did not read the last needs no other. */
			output_write(&program->output);
			if (!output_is_pending(&program->output))
				output_status(&program->output,
					      program->receiver);
			break;
		case SIGUSR2:
			accept_drops(program);
			break;
		default:
			uidrecv_receiver_stop(program->receiver);
		}
	}
}

static int run(struct program *program)
{
	struct pollfd fds[] = {
	    {program->signal_fd, POLLIN, 0},
	    {uidrecv_receiver_get_fd(program->receiver), POLLIN, 0},
	    {-1, POLLOUT, 0},
	};
	int error = 0;

	while (error == 0) {
		output_write(&program->output);
		fds[2].fd =
		    output_is_pending(&program->output) ? STDOUT_FILENO : -1;
		if (poll(fds, 3, -1) < 0 && errno != EINTR)
			return -errno;
		if (fds[0].revents)
			handle_signals(program);
		error = uidrecv_receiver_dispatch(program->receiver);
	}
	return error;
}

int main(int argc, char *argv[])
{
	static struct program program = {
	    .config.receiver = UIDRECV_RECEIVER_OPTIONS_INIT,
	};
	char error[1024] = "";
	int result;

	config_parse(&program.config, argc, argv);
	catch_signals(&program);
	raise_file_limit();
	program.config.receiver.log = write_log;
	program.config.receiver.log_user = &program;
	result = uidrecv_receiver_new(
	    &program.receiver, &program.config.receiver, error, sizeof(error));
	if (result < 0)
		cli_die(exit_code(result), "%s",
			*error ? error : uidrecv_strerror(result));
	result = load_agents(&program, error, sizeof(error));
	if (result < 0)
		cli_die(exit_code(result), "%s", error);
	add_ts_agents(&program);
	if (is_deaf(&program))
		cli_die(CLI_USAGE,
			"--listen must be given, or --ts-agent, or an agent "
			"with dial= in %s; see uidrecvd --help",
			program.config.agents_path);
	start_listeners(&program);
	output_line(&program.output, "ready");
	notify_ready();
	result = run(&program);
	uidrecv_receiver_free(program.receiver);
	close(program.signal_fd);
	free(program.output.text);
	if (result != -ESHUTDOWN)
		cli_die(CLI_FAILED, "%s", uidrecv_strerror(result));
	return CLI_OK;
}
