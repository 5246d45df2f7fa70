/* SPDX-License-Identifier: BSD-2-Clause */
#include "uidrecvd-options.h"

#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "cli.h"

static const char help[] =
    "Usage: uidrecvd --store DIR --cert F --key F --ca F --agents FILE "
    "[option...]\n"
    "\n"
    "Receives mappings from agents, stores them, and publishes who is "
    "where in a\n"
    "table. Runs in the foreground and logs to stderr.\n"
    "\n"
    "      --store DIR            the store's directory; made if missing\n"
    "      --store-max-bytes N    the most that a new store may hold; default: "
    "8 GiB\n"
    "      --table FILE           the table; default: DIR/table\n"
    "      --table-mode MODE      its permissions, octal; default: 0640\n"
    "      --table-group GROUP    its group\n"
    "      --listen ADDRESS:PORT  where agents connect, or [IPV6]:PORT, or "
    "*:PORT;\n"
    "                             may be repeated; port 0: any. Needed "
    "unless the\n"
    "                             receiver connects to an agent\n"
    "      --ts-agent NAME=HOST:PORT  where an agent of the list listens, such "
    "as a\n"
    "                             Terminal Server agent on port 5009; may be "
    "repeated\n"
    "      --cert FILE            the receiver's certificate and chain "
    "(PEM)\n"
    "      --key FILE             its key (PEM)\n"
    "      --ca FILE              who signs agents (PEM)\n"
    "      --crl FILE             who is revoked (PEM)\n"
    "      --agents FILE          who may say what, a line each:\n"
    "                             NAME NETWORK... [key=value...], with the "
    "keys\n"
    "                             domains, priority, lifetime_s, "
    "lifetime_max_s,\n"
    "                             mappings_max, keep_percent, allow, dial\n"
    "  -v, --verbose              logs sessions; -vv: more\n"
    "  -h, --help                 prints this\n"
    "  -V, --version              prints the version\n"
    "\n"
    "Prints \"listening ADDRESS:PORT\" for each listener, then \"ready\".\n"
    "SIGHUP reads certificates and agents again and prints \"reloaded\" or\n"
    "\"reload failed\"; what cannot be used changes nothing. SIGUSR1 prints "
    "the\n"
    "state of each agent and the receiver. SIGUSR2 accepts the drops that "
    "are\n"
    "held because a snapshot lacked too much (held_claims= in the state), "
    "and\n"
    "prints \"accepted N\". SIGTERM and SIGINT: stores what arrived, says "
    "goodbye,\n"
    "and ends.\n"
    "\n"
    "Exit: 0 stopped, 1 failure, 2 wrong command line or file.\n";

static void parse_table_mode(struct config *config, const char *text)
{
	uint64_t mode;

	/* Readers refuse a table that others than its owner may write. */
	if (!cli_number(text, 8, 0400, 0777, &mode) || mode & ~0644 ||
	    !(mode & 0400))
		cli_die(CLI_USAGE,
			"--table-mode %s: give octal permissions that let "
			"only the owner write, such as 0640 or 0644",
			text);
	config->receiver.table_mode = (uint32_t)mode;
}

static void parse_table_group(struct config *config, const char *name)
{
	const struct group *group = getgrnam(name);

	if (group == NULL)
		cli_die(CLI_USAGE,
			"--table-group %s: there is no such group; see "
			"\"getent group\"",
			name);
	config->receiver.table_group_plus_1 = (uint32_t)group->gr_gid + 1;
}

static void add_listener(struct config *config, const char *address)
{
	if (config->listeners_count == LISTENERS_MAX)
		cli_die(CLI_USAGE, "--listen %s: at most %d are possible",
			address, LISTENERS_MAX);
	config->listeners[config->listeners_count++] = address;
}

/* A name may have = in it, being a URI; a host has none. */
static bool split_ts_agent(struct ts_agent *agent, const char *text)
{
	char *equals, *colon;
	uint64_t port;

	agent->option = text;
	agent->name = strdup(text);
	if (agent->name == NULL)
		cli_die(CLI_FAILED, "%s", strerror(errno));
	equals = strrchr(agent->name, '=');
	colon = equals ? strrchr(equals, ':') : NULL;
	if (colon == NULL || equals == agent->name ||
	    !cli_number(colon + 1, 10, 1, UINT16_MAX, &port))
		return false;
	*equals = '\0';
	*colon = '\0';
	agent->host = equals + 1;
	agent->port = (uint16_t)port;
	if (agent->host[0] == '[' && colon[-1] == ']') {
		agent->host++;
		colon[-1] = '\0';
	} else if (strchr(agent->host, ':')) {
		return false;
	}
	return *agent->host != '\0';
}

static void add_ts_agent(struct config *config, const char *text)
{
	if (config->ts_agents_count == TS_AGENTS_MAX)
		cli_die(CLI_USAGE,
			"--ts-agent %s: at most %d are possible; write dial= "
			"into the list of agents",
			text, TS_AGENTS_MAX);
	if (!split_ts_agent(&config->ts_agents[config->ts_agents_count++],
			    text))
		cli_die(CLI_USAGE,
			"--ts-agent %s: not NAME=HOST:PORT; write "
			"ts1.example.com=10.0.0.7:5009 or "
			"ts1.example.com=[2001:db8::7]:5009",
			text);
}

static const struct option options[] = {
    {"store", required_argument, NULL, 's'},
    {"store-max-bytes", required_argument, NULL, 'S'},
    {"table", required_argument, NULL, 't'},
    {"table-mode", required_argument, NULL, 'm'},
    {"table-group", required_argument, NULL, 'g'},
    {"listen", required_argument, NULL, 'l'},
    {"ts-agent", required_argument, NULL, 'T'},
    {"cert", required_argument, NULL, 'C'},
    {"key", required_argument, NULL, 'K'},
    {"ca", required_argument, NULL, 'A'},
    {"crl", required_argument, NULL, 'R'},
    {"agents", required_argument, NULL, 'a'},
    {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static void parse_options(struct config *config, int argc, char *argv[])
{
	struct uidrecv_receiver_options *receiver = &config->receiver;
	int option;

	while ((option = getopt_long(argc, argv, ":vhV", options, NULL)) !=
	       -1) {
		switch (option) {
		case 's':
			receiver->store_path = optarg;
			break;
		case 'S':
			receiver->store_max_bytes =
			    cli_need_number("--store-max-bytes", optarg,
					    1 << 20, UINT64_C(1) << 46);
			break;
		case 't':
			receiver->table_path = optarg;
			break;
		case 'm':
			parse_table_mode(config, optarg);
			break;
		case 'g':
			parse_table_group(config, optarg);
			break;
		case 'l':
			add_listener(config, optarg);
			break;
		case 'T':
			add_ts_agent(config, optarg);
			break;
		case 'C':
			receiver->cert_path = optarg;
			break;
		case 'K':
			receiver->key_path = optarg;
			break;
		case 'A':
			receiver->ca_path = optarg;
			break;
		case 'R':
			receiver->crl_path = optarg;
			break;
		case 'a':
			config->agents_path = optarg;
			break;
		case 'v':
			config->verbose++;
			break;
		case 'h':
			cli_help(help);
		case 'V':
			cli_version("uidrecvd");
		default:
			cli_die_option(argv, option);
		}
	}
	if (optind < argc)
		cli_die(CLI_USAGE, "%s: unexpected; see uidrecvd --help",
			argv[optind]);
}

static void need_options(const struct config *config)
{
	const struct uidrecv_receiver_options *receiver = &config->receiver;
	const struct {
		const char *name;
		bool is_given;
	} needed[] = {
	    {"--store", receiver->store_path != NULL},
	    {"--cert", receiver->cert_path != NULL},
	    {"--key", receiver->key_path != NULL},
	    {"--ca", receiver->ca_path != NULL},
	    {"--agents", config->agents_path != NULL},
	};

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		if (!needed[i].is_given)
			cli_die(CLI_USAGE,
				"%s must be given; see uidrecvd --help",
				needed[i].name);
	}
}

void config_parse(struct config *config, int argc, char *argv[])
{
	parse_options(config, argc, argv);
	need_options(config);
}
