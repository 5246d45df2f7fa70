/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A Terminal Server agent: gives each user of this host blocks of source ports,
 * makes the kernel use them, and tells firewalls whose they are.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include <uidrecv/uidrecv.h>

#include "cli.h"
#include "uidtsagent-addresses.h"
#include "uidtsagent-host.h"
#include "uidtsagent-log.h"
#include "uidtsagent-options.h"
#include "uidtsagent-report.h"
#include "uidtsagent-rules.h"
#include "uidtsagent-simulated.h"
#include "uidtsagent-traffic.h"

/* So long firewalls may take to acknowledge the end. */
#define FAREWELL_US UINT64_C(5000000)
/* One part in so many of the time goes into looking. */
#define LOOK_SHARE 20
/* So often the kernel follows before others are looked at again. */
#define ROUNDS_MAX 4
/* A look may fail again and again: it is told so often. */
#define COMPLAIN_US UINT64_C(10000000)

struct program {
	struct ts_command command;
	struct ts_share share;
	struct ts_rules rules;
	struct ts_traffic traffic;
	struct ts_users users;
	struct ts_simulated simulated;
	struct ts_firewalls firewalls;
	struct ts_report report;
	struct output output;
	int signal_fd;
	uint64_t look_us; /* when it is time */
	uint64_t complained_us;
	uint64_t stop_us; /* when it ends at the latest; 0: it goes on */
	bool must_look;
	bool is_serving;
};

static struct program program = {.rules.events_fd = -1};

/* A start that fails leaves nothing behind. */
static void undo_start(void)
{
	if (program.rules.is_up && !program.is_serving)
		ts_rules_remove(&program.rules);
}

static void complain(const char *what, const char *why, uint64_t now_us)
{
	if (now_us - program.complained_us < COMPLAIN_US)
		return;
	program.complained_us = now_us;
	ts_log(UIDRECV_LOG_ERROR, "%s: %s", what, why);
}

static void catch_signals(void)
{
	sigset_t signals;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGUSR1);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	program.signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
	if (program.signal_fd < 0)
		cli_die(CLI_FAILED, "signalfd: %s", strerror(errno));
}

static void open_rules(void)
{
	if (ts_rules_open(&program.rules) < 0)
		cli_die(CLI_FAILED,
			"%s; this needs root, and a kernel with "
			"nftables",
			program.rules.error);
}

static void undo(void)
{
	ts_host_lock(program.command.state_dir);
	open_rules();
	if (ts_rules_remove(&program.rules) < 0)
		cli_die(CLI_FAILED, "nftables: %s; this needs root",
			program.rules.error);
	ts_rules_close(&program.rules);
}

static void find_addresses(void)
{
	struct uidrecv_system system = program.share.system;
	int count;

	if (program.command.has_address)
		return;
	count = ts_addresses_find(&system);
	if (count <= 0 && !program.is_serving)
		cli_die(CLI_FAILED, "no address of this host is found: there "
				    "is no default route; give --address");
	if (count <= 0 ||
	    memcmp(&system, &program.share.system, sizeof(system)) == 0)
		return;
	if (count > 1 + UIDRECV_ALIASES_MAX)
		ts_log(UIDRECV_LOG_WARNING,
		       "this host has %d addresses, of which firewalls are "
		       "told %d; choose with --address and --alias",
		       count, 1 + UIDRECV_ALIASES_MAX);
	program.share.system = system;
	ts_firewalls_set_system(&program.firewalls);
}

static void open_share(uint64_t now_us)
{
	const struct ts_command *command = &program.command;

	program.share = (struct ts_share){
	    .system = command->system,
	    .rest_us = command->rest_s * 1000000,
	    .blocks_max = command->blocks_max,
	};
	if (ts_share_init(&program.share, now_us) < 0)
		cli_die(CLI_FAILED, "out of memory");
	find_addresses();
}

/*
 * The rules come first, without any user: what a former run left is gone, and
 * whoever has a port of the range from now on had it before.
 */
static void open_kernel(uint64_t now_us)
{
	int result;

	ts_host_lock(program.command.state_dir);
	open_rules();
	if (ts_rules_apply(&program.rules, &program.share, now_us) < 0)
		cli_die(CLI_FAILED,
			"nftables: %s; this needs root, and a kernel with "
			"NAT of nftables",
			program.rules.error);
	result = ts_traffic_open(&program.traffic, &program.share);
	if (result < 0)
		cli_die(CLI_FAILED, "connection tracking: %s",
			strerror(-result));
	program.users = program.command.users;
	result = ts_users_open(&program.users);
	if (result < 0)
		cli_die(CLI_FAILED, "%s: %s; or give --uids",
			program.users.utmp_path, strerror(-result));
}

static void start(void)
{
	uint64_t now_us = uidrecv_now_us();
	const struct ts_command *command = &program.command;
	const char *address = command->firewalls.listener.address;

	atexit(undo_start);
	open_share(now_us);
	if (command->simulated == 0)
		open_kernel(now_us);
	else if (ts_simulated_open(&program.simulated, command->simulated,
				   command->seed) < 0)
		cli_die(CLI_FAILED, "out of memory");
	ts_firewalls_open(&program.firewalls, &command->firewalls,
			  &program.share, now_us);
	if (command->simulated == 0)
		ts_host_drop_rights();
	output_line(
	    &program.output, "listening %.*s:%u",
	    (int)(strrchr(address, ':') - address), address,
	    uidrecv_agent_listener_get_port(program.firewalls.listener));
	output_line(&program.output, "ready");
	program.is_serving = true;
}

static void look_at_host(uint64_t now_us)
{
	int result = ts_users_look(&program.users, &program.share, now_us);

	if (result < 0)
		complain("users", strerror(-result), now_us);
	result = ts_traffic_count(&program.traffic, &program.share, now_us);
	if (result < 0)
		complain("connection tracking", strerror(-result), now_us);
	program.report.forwarded = program.traffic.forwarded;
	find_addresses();
}

/* Very many flows take time of the processor: then it looks less often. */
static void look(uint64_t now_us)
{
	clock_t began = clock();
	uint64_t took_us;

	program.must_look = false;
	if (program.command.simulated == 0)
		look_at_host(now_us);
	else if (ts_simulated_look(&program.simulated, &program.share, now_us) <
		 0)
		cli_die(CLI_FAILED, "out of memory");
	if (program.stop_us > 0)
		ts_share_dismiss(&program.share);
	took_us = (uint64_t)(clock() - began) * LOOK_SHARE;
	program.look_us = now_us + (took_us > program.command.interval_us
					? took_us
					: program.command.interval_us);
}

static int apply(uint64_t now_us)
{
	int result;

	if (program.command.simulated > 0)
		return ts_simulated_apply(&program.share, now_us);
	result = ts_rules_apply(&program.rules, &program.share, now_us);
	if (result < 0)
		complain("nftables", program.rules.error, now_us);
	return result;
}

/* The kernel follows the firewalls when a block is given, and they it after. */
static void work(uint64_t now_us)
{
	int rounds = 0;

	ts_firewalls_dispatch(&program.firewalls, &program.share);
	if (program.must_look || now_us >= program.look_us)
		look(now_us);
	do {
		ts_firewalls_judge(&program.firewalls, &program.share, now_us);
		ts_share_step(&program.share, now_us);
	} while (apply(now_us) > 0 && ++rounds < ROUNDS_MAX);
	ts_firewalls_tell(&program.firewalls, &program.share, now_us);
	ts_report_changes(&program.report, &program.share, &program.firewalls,
			  now_us);
	/* What was queued is sent. */
	ts_firewalls_dispatch(&program.firewalls, &program.share);
}

static void stop(uint64_t now_us)
{
	if (program.stop_us > 0)
		return;
	program.stop_us = now_us + FAREWELL_US;
	ts_share_dismiss(&program.share);
}

static bool has_said_blocks(void)
{
	for (size_t i = 0; i < program.share.blocks_count; i++)
		if (ts_block_is_said(&program.share.blocks[i]))
			return true;
	return false;
}

/* Is all taken back, and do all that are there know it? */
static bool is_over(uint64_t now_us)
{
	if (program.stop_us == 0)
		return false;
	if (now_us >= program.stop_us)
		return true;
	return !has_said_blocks() && ts_firewalls_is_done(&program.firewalls);
}

static void handle_signals(uint64_t now_us)
{
	struct signalfd_siginfo info;

	while (read(program.signal_fd, &info, sizeof(info)) ==
	       (ssize_t)sizeof(info)) {
		if (info.ssi_signo != SIGUSR1)
			stop(now_us);
		else if (!output_is_pending(&program.output))
			ts_report_state(&program.report, &program.output,
					&program.share, &program.firewalls);
	}
}

static void wait_for_something(void)
{
	struct pollfd fds[] = {
	    {program.signal_fd, POLLIN, 0},
	    {uidrecv_agent_listener_get_fd(program.firewalls.listener), POLLIN,
	     0},
	    {program.rules.events_fd, POLLIN, 0},
	    {program.users.events_fd, POLLIN, 0},
	    {output_is_pending(&program.output) ? STDOUT_FILENO : -1, POLLOUT,
	     0},
	};
	uint64_t now_us = uidrecv_now_us();
	uint64_t wait_us =
	    program.look_us > now_us ? program.look_us - now_us : 0;

	if (program.command.simulated > 0)
		fds[2].fd = fds[3].fd = -1;
	if (poll(fds, 5, (int)((wait_us + 999) / 1000)) < 0)
		return;
	if (fds[0].revents)
		handle_signals(now_us);
	if (fds[2].revents && ts_rules_check(&program.rules))
		ts_log(UIDRECV_LOG_WARNING,
		       "somebody changed the rules of uidtsagent: they are "
		       "made anew");
	if (fds[3].revents) {
		ts_users_take_events(&program.users);
		program.must_look = true;
	}
}

static void end(void)
{
	ts_firewalls_finish(&program.firewalls, &program.share);
	for (size_t i = 0; i < program.firewalls.count; i++)
		if (!program.firewalls.list[i].is_connected)
			ts_log(UIDRECV_LOG_WARNING,
			       "%s was not told of the end: what it knows ends "
			       "by itself, within %" PRIu32 " seconds",
			       program.firewalls.list[i].name,
			       program.firewalls.lifetime_s);
	if (program.command.simulated == 0) {
		if (ts_rules_remove(&program.rules) < 0)
			cli_die(CLI_FAILED, "nftables: %s",
				program.rules.error);
		ts_rules_close(&program.rules);
		ts_traffic_close(&program.traffic);
		ts_users_close(&program.users);
	}
	ts_simulated_close(&program.simulated);
	ts_firewalls_close(&program.firewalls);
	ts_share_done(&program.share);
	free(program.report.states);
	free(program.output.text);
	close(program.signal_fd);
}

int main(int argc, char *argv[])
{
	ts_command_parse(&program.command, argc, argv);
	ts_log_set_verbose(program.command.verbose);
	if (program.command.must_undo) {
		undo();
		return CLI_OK;
	}
	catch_signals();
	start();
	while (!is_over(uidrecv_now_us())) {
		output_write(&program.output);
		wait_for_something();
		work(uidrecv_now_us());
	}
	end();
	return CLI_OK;
}
