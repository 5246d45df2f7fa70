/* SPDX-License-Identifier: BSD-2-Clause */
#include "uidtsagent-options.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "uidtsagent-log.h"

/* Root, services and users who wait need ports, too. */
#define OTHERS_MIN 4096
#define FIRST_PORT 1024
#define LAST_PORT 65535

static const char help[] =
    "Usage: uidtsagent --listen ADDRESS:PORT --cert F --key F --ca F\n"
    "                  --firewall NAME... [option...]\n"
    "       uidtsagent --undo\n"
    "\n"
    "Gives each user of this host blocks of source ports, makes the kernel "
    "use them,\n"
    "and tells the firewalls that connect whose they are. Runs in the "
    "foreground, as\n"
    "root, and logs to stderr. doc/uidtsagent.md is the manual.\n"
    "\n"
    "      --listen ADDRESS:PORT  where firewalls connect, or [IPV6]:PORT, "
    "or *:PORT\n"
    "      --cert FILE            this agent's certificate and chain (PEM)\n"
    "      --key FILE             its key (PEM)\n"
    "      --ca FILE              who signs firewalls (PEM)\n"
    "      --crl FILE             who is revoked (PEM)\n"
    "      --firewall NAME        the name in a firewall's certificate; may "
    "be repeated\n"
    "      --address ADDRESS      this host's; default: those of the "
    "interfaces that\n"
    "                             have a default route, now and later\n"
    "      --alias ADDRESS        another one of it; may be repeated\n"
    "      --range FIRST-LAST     the ports that are given out; default: "
    "20000-39999\n"
    "      --block N              ports in a block; default: 200\n"
    "      --reserve FIRST-LAST   ports in it that no user gets; may be "
    "repeated\n"
    "      --rest SECONDS         how long a block rests before another "
    "user gets it;\n"
    "                             default: 240\n"
    "      --blocks-max N         blocks of a user; default: 10\n"
    "      --uids FIRST-LAST      users are those of these uids that have "
    "processes;\n"
    "                             default: those that have a session in "
    "utmp\n"
    "      --utmp FILE            default: /run/utmp\n"
    "      --domain DOMAIN        makes DOMAIN\\user of user\n"
    "      --lifetime SECONDS     of what firewalls are told; default: 300\n"
    "      --interval-ms N        how often it looks; default: 1000\n"
    "      --state-dir DIR        for its lock; default: /run/uidtsagent\n"
    "      --simulate USERS       makes up users and their flows, and leaves "
    "the host\n"
    "                             alone; needs no root, but --address\n"
    "      --seed N               the same users do the same; default: 1\n"
    "      --undo                 takes away what a run that was killed "
    "left behind\n"
    "  -v, --verbose              logs who comes and goes; -vv: more\n"
    "  -h, --help                 prints this\n"
    "  -V, --version              prints the version\n"
    "\n"
    "Prints \"listening ADDRESS:PORT\", then \"ready\". SIGUSR1 prints the "
    "state.\n"
    "SIGTERM and SIGINT: takes all blocks back, tells the firewalls, takes "
    "its rules\n"
    "out of the kernel, and ends.\n"
    "\n"
    "Exit: 0 stopped, 1 failure, 2 wrong command line or file.\n";

static const struct option options[] = {
    {"listen", required_argument, NULL, 'l'},
    {"cert", required_argument, NULL, 'C'},
    {"key", required_argument, NULL, 'K'},
    {"ca", required_argument, NULL, 'A'},
    {"crl", required_argument, NULL, 'R'},
    {"firewall", required_argument, NULL, 'f'},
    {"address", required_argument, NULL, 'a'},
    {"alias", required_argument, NULL, 'i'},
    {"range", required_argument, NULL, 'r'},
    {"block", required_argument, NULL, 'b'},
    {"reserve", required_argument, NULL, 'e'},
    {"rest", required_argument, NULL, 't'},
    {"blocks-max", required_argument, NULL, 'm'},
    {"uids", required_argument, NULL, 'u'},
    {"utmp", required_argument, NULL, 'w'},
    {"domain", required_argument, NULL, 'd'},
    {"lifetime", required_argument, NULL, 'L'},
    {"interval-ms", required_argument, NULL, 'n'},
    {"state-dir", required_argument, NULL, 'S'},
    {"simulate", required_argument, NULL, 's'},
    {"seed", required_argument, NULL, 'x'},
    {"undo", no_argument, NULL, 'U'},
    {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

/* FIRST-LAST */
static void parse_range(const char *option, const char *text, uint64_t max,
			const char *example, uint64_t *ret_first,
			uint64_t *ret_last)
{
	const char *dash = strchr(text, '-');
	char first[24];

	if (dash == NULL || dash - text >= (int)sizeof(first))
		goto wrong;
	snprintf(first, sizeof(first), "%.*s", (int)(dash - text), text);
	if (cli_number(first, 10, 0, max, ret_first) &&
	    cli_number(dash + 1, 10, *ret_first, max, ret_last))
		return;
wrong:
	cli_die(CLI_USAGE,
		"%s %s: give FIRST-LAST, such as %s; the last may be %" PRIu64,
		option, text, example, max);
}

static struct uidrecv_ports parse_ports(const char *option, const char *text)
{
	uint64_t first = 0, last = 0;

	parse_range(option, text, LAST_PORT, "20000-39999", &first, &last);
	return (struct uidrecv_ports){(uint16_t)first,
				      (uint32_t)(last - first + 1)};
}

static void parse_uids(struct ts_users *users, const char *text)
{
	uint64_t first = 0, last = 0;

	parse_range("--uids", text, UINT32_MAX - 1, "1000-60000", &first,
		    &last);
	users->uid_first = (uid_t)first;
	users->uid_last = (uid_t)last;
	users->utmp_path = NULL;
}

static struct uidrecv_address parse_address(const char *option,
					    const char *text)
{
	struct uidrecv_address address;

	if (uidrecv_address_parse(text, &address) < 0)
		cli_die(CLI_USAGE,
			"%s %s: give an address, such as 10.1.2.3 or "
			"2001:db8::1",
			option, text);
	return address;
}

static void add_alias(struct uidrecv_system *system, const char *text)
{
	if (system->aliases_count == UIDRECV_ALIASES_MAX)
		cli_die(CLI_USAGE, "--alias %s: at most %d are possible", text,
			UIDRECV_ALIASES_MAX);
	system->aliases[system->aliases_count++] =
	    parse_address("--alias", text);
}

static void add_reserved(struct uidrecv_system *system, const char *text)
{
	if (system->reserved_count == UIDRECV_RESERVED_MAX)
		cli_die(CLI_USAGE, "--reserve %s: at most %d are possible",
			text, UIDRECV_RESERVED_MAX);
	system->reserved[system->reserved_count++] =
	    parse_ports("--reserve", text);
}

static void add_firewall(struct ts_firewalls_options *firewalls,
			 const char *name)
{
	if (firewalls->count == TS_FIREWALLS_MAX)
		cli_die(CLI_USAGE, "--firewall %s: at most %d are possible",
			name, TS_FIREWALLS_MAX);
	firewalls->names[firewalls->count++] = name;
}

static void take_connection_option(struct ts_command *command, int option,
				   char *argv[])
{
	struct uidrecv_agent_listener_options *listener =
	    &command->firewalls.listener;

	switch (option) {
	case 'l':
		listener->address = optarg;
		break;
	case 'C':
		listener->cert_path = optarg;
		break;
	case 'K':
		listener->key_path = optarg;
		break;
	case 'A':
		listener->ca_path = optarg;
		break;
	case 'R':
		listener->crl_path = optarg;
		break;
	case 'f':
		add_firewall(&command->firewalls, optarg);
		break;
	case 'L':
		/* Shorter would end before it is renewed. */
		command->firewalls.lifetime_s =
		    (uint32_t)cli_need_number("--lifetime", optarg, 6, 86400);
		break;
	default:
		cli_die_option(argv, option);
	}
}

static void take_users_option(struct ts_command *command, int option,
			      char *argv[])
{
	switch (option) {
	case 'u':
		parse_uids(&command->users, optarg);
		break;
	case 'w':
		command->users.utmp_path = optarg;
		break;
	case 'd':
		command->users.domain = optarg;
		break;
	case 'n':
		command->interval_us =
		    cli_need_number("--interval-ms", optarg, 10, 5000) * 1000;
		break;
	case 'S':
		command->state_dir = optarg;
		break;
	case 's':
		command->simulated =
		    (uint32_t)cli_need_number("--simulate", optarg, 1, 10000);
		break;
	case 'x':
		command->seed =
		    cli_need_number("--seed", optarg, 0, UINT64_MAX);
		break;
	default:
		take_connection_option(command, option, argv);
	}
}

static void take_option(struct ts_command *command, int option, char *argv[])
{
	struct uidrecv_system *system = &command->system;

	switch (option) {
	case 'a':
		system->address = parse_address("--address", optarg);
		command->has_address = true;
		break;
	case 'i':
		add_alias(system, optarg);
		break;
	case 'r':
		system->ports = parse_ports("--range", optarg);
		break;
	case 'b':
		system->block_size =
		    (uint32_t)cli_need_number("--block", optarg, 16, 65536);
		break;
	case 'e':
		add_reserved(system, optarg);
		break;
	case 't':
		command->rest_s = cli_need_number("--rest", optarg, 0, 86400);
		break;
	case 'm':
		command->blocks_max =
		    (uint32_t)cli_need_number("--blocks-max", optarg, 1, 1000);
		break;
	case 'U':
		command->must_undo = true;
		break;
	case 'v':
		command->verbose++;
		break;
	case 'h':
		cli_help(help);
	case 'V':
		cli_version("uidtsagent");
	default:
		take_users_option(command, option, argv);
	}
}

static void check_ports(const struct uidrecv_system *system)
{
	uint32_t start = system->ports.start, count = system->ports.count;
	uint32_t below = start - FIRST_PORT;
	uint32_t above = LAST_PORT + 1 - start - count;

	if (start < FIRST_PORT)
		cli_die(CLI_USAGE, "--range: it must begin at %d or above",
			FIRST_PORT);
	if (below < OTHERS_MIN && above < OTHERS_MIN)
		cli_die(CLI_USAGE,
			"--range: leave %d ports below or above it, for flows "
			"that are no user's",
			OTHERS_MIN);
	if (system->block_size > count)
		cli_die(CLI_USAGE, "--block: it is more than the --range has");
	for (uint32_t i = 0; i < system->reserved_count; i++) {
		const struct uidrecv_ports *one = &system->reserved[i];

		if (one->start < start ||
		    one->start + one->count > start + count)
			cli_die(CLI_USAGE,
				"--reserve %u-%u: it is not in the --range",
				one->start, one->start + one->count - 1);
	}
}

static void check_command(const struct ts_command *command)
{
	const struct uidrecv_agent_listener_options *listener =
	    &command->firewalls.listener;

	check_ports(&command->system);
	if (listener->address == NULL || listener->cert_path == NULL ||
	    listener->key_path == NULL || listener->ca_path == NULL ||
	    command->firewalls.count == 0)
		cli_die(CLI_USAGE,
			"--listen, --cert, --key, --ca and --firewall must be "
			"given; see uidtsagent --help");
	if (!command->has_address &&
	    (command->system.aliases_count > 0 || command->simulated > 0))
		cli_die(CLI_USAGE, "--address must be given with %s",
			command->simulated ? "--simulate" : "--alias");
}

void ts_command_parse(struct ts_command *ret_command, int argc, char *argv[])
{
	int option;

	*ret_command = (struct ts_command){
	    .firewalls.listener = UIDRECV_AGENT_LISTENER_OPTIONS_INIT,
	    .firewalls.lifetime_s = 300,
	    .system.ports = {20000, 20000},
	    .system.block_size = 200,
	    .users = {.utmp_path = "/run/utmp",
		      .uid_first = 1,
		      .uid_last = UINT32_MAX - 1,
		      .events_fd = -1},
	    .rest_s = 240,
	    .blocks_max = 10,
	    .interval_us = 1000000,
	    .state_dir = "/run/uidtsagent",
	    .seed = 1,
	};
	ret_command->firewalls.listener.log = ts_log_library;
	while ((option = getopt_long(argc, argv, ":vhV", options, NULL)) != -1)
		take_option(ret_command, option, argv);
	if (optind < argc)
		cli_die(CLI_USAGE, "%s: unexpected; see uidtsagent --help",
			argv[optind]);
	if (!ret_command->must_undo)
		check_command(ret_command);
}
