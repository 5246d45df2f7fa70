/* SPDX-License-Identifier: BSD-2-Clause */
#include "uidagent-options.h"

#include <getopt.h>

#include "cli.h"

static const char help[] =
    "Usage: uidagent --connect HOST:PORT --cert F --key F --ca F\n"
    "       uidagent --listen ADDRESS:PORT --firewall NAME --cert F ...\n"
    "\n"
    "Sends the records that it reads from stdin to a receiver, a line each:\n"
    "\n"
    "  map ADDRESS USER [lifetime_s=N|never] [age_ms=N] [token=N] "
    "[source=KIND]\n"
    "  refresh ADDRESS [USER] [lifetime_s=N|never]\n"
    "  logout ADDRESS [USER] [token=N] [age_ms=N]\n"
    "  withdraw ADDRESS\n"
    "  system ADDRESS ports=START+COUNT block=SIZE [alias=ADDRESS,...]\n"
    "         [reserved=START+COUNT,...]\n"
    "               the host is multi-user: the other lines may end with\n"
    "               ports=START+COUNT, and are about that block of it then\n"
    "  snapshot     what is mapped from here to \"end\" is all that it says\n"
    "  end\n"
    "  refresh-all  all that it says is still valid\n"
    "\n"
    "In USER, %20 is a space and %25 a percent sign. age_ms: it "
    "happened so long ago.\n"
    "Prints \"acked SERIAL\" when all up to that message is stored, and\n"
    "\"rejected LINE CODE TEXT\" for a line that the receiver refused. "
    "When a receiver\n"
    "asks for a snapshot it prints \"resync CODE TEXT\", and sends "
    "what was said since\n"
    "its start; what a former run said is dropped then.\n"
    "\n"
    "      --connect HOST:PORT  the receiver; [IPV6]:PORT. Up to 16 "
    "times: each line\n"
    "                           goes to all, and what is printed begins with\n"
    "                           HOST:PORT. One that is away or slow "
    "does not hold up\n"
    "                           the others; if it misses lines it gets "
    "a snapshot\n"
    "      --listen ADDRESS:PORT  waits for receivers instead, such as "
    "*:5009\n"
    "      --firewall NAME      the name in the certificate of one; up "
    "to 16 times\n"
    "      --cert FILE          this agent's certificate (PEM)\n"
    "      --key FILE           its key (PEM)\n"
    "      --ca FILE            who signs receivers (PEM)\n"
    "      --name NAME          the name in the certificate of the "
    "receiver that was\n"
    "                           given last, or of all if it comes first;\n"
    "                           default: HOST\n"
    "      --batch N            records in an UPDATE, to 1024\n"
    "      --queue N            KiB that may wait for a receiver; "
    "default: 65536\n"
    "      --load N             invents N mappings and prints the rate\n"
    "  -v, --verbose            tells of each lost connection; -vv: more\n"
    "  -h, --help               prints this\n"
    "  -V, --version            prints the version\n"
    "\n"
    "Exit: 0 all accepted, 1 some refused, 2 wrong command line or line\n"
    "(records before it are delivered), 3 a receiver refuses us for good.\n";

static const struct option options[] = {
    {"connect", required_argument, NULL, 'c'},
    {"listen", required_argument, NULL, 'L'},
    {"firewall", required_argument, NULL, 'f'},
    {"cert", required_argument, NULL, 'C'},
    {"key", required_argument, NULL, 'K'},
    {"ca", required_argument, NULL, 'A'},
    {"name", required_argument, NULL, 'n'},
    {"batch", required_argument, NULL, 'b'},
    {"queue", required_argument, NULL, 'q'},
    {"load", required_argument, NULL, 'l'},
    {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static void add_receiver(struct agent_command *command, const char *connect)
{
	if (command->receivers_count == RECEIVERS_MAX)
		cli_die(CLI_USAGE, "--connect %s: more than %d receivers",
			connect, RECEIVERS_MAX);
	command->receivers[command->receivers_count++].connect = connect;
}

static void set_name(struct agent_command *command, const char *name)
{
	if (command->receivers_count == 0)
		command->options.receiver_name = name;
	else
		command->receivers[command->receivers_count - 1].name = name;
}

static void take_option(struct agent_command *command, int option, char *argv[])
{
	struct uidrecv_agent_options *agent = &command->options;

	switch (option) {
	case 'c':
		add_receiver(command, optarg);
		command->has_connect = true;
		break;
	case 'L':
		command->listen = optarg;
		break;
	case 'f':
		add_receiver(command, optarg);
		set_name(command, optarg);
		command->has_firewall = true;
		break;
	case 'C':
		agent->cert_path = optarg;
		break;
	case 'K':
		agent->key_path = optarg;
		break;
	case 'A':
		agent->ca_path = optarg;
		break;
	case 'n':
		set_name(command, optarg);
		break;
	case 'b':
		agent->batch_max =
		    (uint32_t)cli_need_number("--batch", optarg, 1, 1024);
		break;
	case 'q':
		agent->queue_max_bytes =
		    cli_need_number("--queue", optarg, 1, 1 << 30) << 10;
		break;
	case 'l':
		command->load =
		    cli_need_number("--load", optarg, 1, UINT64_C(1) << 40);
		break;
	case 'v':
		command->verbose++;
		break;
	case 'h':
		cli_help(help);
	case 'V':
		cli_version("uidagent");
	default:
		cli_die_option(argv, option);
	}
}

void parse_agent_command(struct agent_command *ret_command, int argc,
			 char *argv[])
{
	struct uidrecv_agent_options *agent = &ret_command->options;
	int option;

	*ret_command = (struct agent_command){
	    .options = UIDRECV_AGENT_OPTIONS_INIT,
	};
	agent->queue_max_bytes = 64u << 20;
	while ((option = getopt_long(argc, argv, ":vhV", options, NULL)) != -1)
		take_option(ret_command, option, argv);
	if (optind < argc)
		cli_die(CLI_USAGE, "%s: unexpected; see uidagent --help",
			argv[optind]);
	if (ret_command->listen ? ret_command->has_connect
				: ret_command->has_firewall)
		cli_die(CLI_USAGE, "--firewall goes with --listen, and "
				   "--connect without; see uidagent --help");
	if (ret_command->receivers_count == 0 || agent->cert_path == NULL ||
	    agent->key_path == NULL || agent->ca_path == NULL)
		cli_die(CLI_USAGE,
			"%s, --cert, --key and --ca must be given; see "
			"uidagent --help",
			ret_command->listen ? "--firewall" : "--connect");
	for (size_t i = 0; i < ret_command->receivers_count; i++)
		if (ret_command->receivers[i].name == NULL)
			ret_command->receivers[i].name = agent->receiver_name;
}
