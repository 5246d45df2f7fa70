/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An agent that sends what it reads from stdin, a record a line.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <uidrecv/agent.h>

#include "cli.h"
#include "uidagent-input.h"

/* Exit codes beside those of cli.h; CLI_FAILED is "some were refused". */
#define EXIT_REFUSED 3

/* So many records are queued before the connection is looked at again. */
#define ROUND_MAX 16384

static const char help[] =
    "Usage: uidagent --connect HOST:PORT --cert F --key F --ca F\n"
    "\n"
    "Sends the records that it reads from stdin to a receiver, a line "
    "each:\n"
    "\n"
    "  map ADDRESS USER [lifetime_s=N|never] [age_ms=N] [token=N] "
    "[source=KIND]\n"
    "  refresh ADDRESS [USER] [lifetime_s=N|never]\n"
    "  logout ADDRESS [USER] [token=N] [age_ms=N]\n"
    "  withdraw ADDRESS\n"
    "\n"
    "In USER, %20 is a space and %25 a percent sign. age_ms: it happened "
    "so long ago.\n"
    "Prints \"acked SERIAL\" when all up to that UPDATE is stored, and\n"
    "\"rejected LINE CODE TEXT\" for a line that the receiver refused.\n"
    "\n"
    "      --connect HOST:PORT  the receiver; [IPV6]:PORT\n"
    "      --cert FILE          this agent's certificate (PEM)\n"
    "      --key FILE           its key (PEM)\n"
    "      --ca FILE            who signs receivers (PEM)\n"
    "      --name NAME          the receiver's name in its certificate;\n"
    "                           default: HOST\n"
    "      --batch N            records in an UPDATE, to 1024\n"
    "      --load N             invents N mappings and prints the rate\n"
    "  -v, --verbose            tells of each lost connection; -vv: more\n"
    "  -h, --help               prints this\n"
    "  -V, --version            prints the version\n"
    "\n"
    "Exit: 0 all accepted, 1 some refused, 2 wrong command line or line\n"
    "(records before it are delivered), 3 the receiver refuses us for "
    "good.\n";

/* Which line each outstanding record came from, as a ring. */
struct line_ring {
	uint64_t *lines;
	size_t capacity; /* a power of two */
	uint64_t first;	 /* the oldest outstanding ticket */
	uint64_t next;	 /* the ticket to come */
};

struct program {
	struct uidrecv_agent_options options;
	struct uidrecv_agent *agent;
	struct input input;
	struct line_ring ring;
	struct uidrecv_record pending; /* did not fit into the queue */
	bool has_pending;
	bool is_finishing;
	bool has_rejected;
	bool has_bad_line;
	bool is_refused;
	bool has_lost;
	int verbose;
	uint64_t connected_us;
	uint64_t acked_us;
};

static void remember_line(struct line_ring *ring, uint64_t line)
{
	size_t capacity = ring->capacity ? ring->capacity * 2 : 1024;
	uint64_t *lines;

	if (ring->next - ring->first == ring->capacity) {
		lines = calloc(capacity, sizeof(*lines));
		if (lines == NULL)
			cli_die(CLI_FAILED, "out of memory");
		for (uint64_t i = ring->first; i != ring->next; i++)
			lines[i & (capacity - 1)] =
			    ring->lines[i & (ring->capacity - 1)];
		free(ring->lines);
		ring->lines = lines;
		ring->capacity = capacity;
	}
	ring->lines[ring->next++ & (ring->capacity - 1)] = line;
}

static void write_log(void *user, enum uidrecv_log_level level,
		      const char *message)
{
	const struct program *program = user;

	if (program->verbose > 1 || level <= UIDRECV_LOG_ERROR)
		cli_warn("%s", message);
}

static void report_rejected(struct program *program,
			    const struct uidrecv_agent_event *event)
{
	struct line_ring *ring = &program->ring;
	uint64_t line = 0;

	if (event->ticket >= ring->first && event->ticket < ring->next)
		line = ring->lines[event->ticket & (ring->capacity - 1)];
	program->has_rejected = true;
	printf("rejected %" PRIu64 " %s %s\n", line,
	       uidrecv_reject_name(event->code), event->text);
}

static void report_acked(struct program *program,
			 const struct uidrecv_agent_event *event)
{
	program->acked_us = uidrecv_agent_now_us(program->agent);
	if (program->ring.first <= event->ticket)
		program->ring.first = event->ticket + 1;
	if (!program->input.load)
		printf("acked %" PRIu64 "\n", event->serial);
}

/* The first time also if nobody asked: else it would seem to hang. */
static void report_lost(struct program *program,
			const struct uidrecv_agent_event *event)
{
	if (program->verbose)
		cli_warn("%s; trying again", event->text);
	else if (!program->has_lost)
		cli_warn("%s; trying again, from now on in silence (-v tells)",
			 event->text);
	program->has_lost = true;
}

/* The text has the receiver's address and the reason. */
static void report_refused(struct program *program,
			   const struct uidrecv_agent_event *event)
{
	program->is_refused = true;
	if (event->error == UIDRECV_E_IDENTITY)
		cli_warn("%s; give the name in its certificate with --name; "
			 "not tried again",
			 event->text);
	else if (event->code)
		cli_warn("%s: %s; not tried again",
			 uidrecv_bye_name(event->code), event->text);
	else
		cli_warn("%s; not tried again", event->text);
}

static void report(struct program *program,
		   const struct uidrecv_agent_event *event)
{
	const char *receiver = program->options.receiver;

	switch (event->type) {
	case UIDRECV_AGENT_CONNECTED:
		if (program->connected_us == 0)
			program->connected_us =
			    uidrecv_agent_now_us(program->agent);
		if (program->verbose)
			cli_warn("%s: connected", receiver);
		break;
	case UIDRECV_AGENT_LOST:
		report_lost(program, event);
		break;
	case UIDRECV_AGENT_REFUSED:
		report_refused(program, event);
		break;
	case UIDRECV_AGENT_ACKED:
		report_acked(program, event);
		break;
	case UIDRECV_AGENT_REJECTED:
		report_rejected(program, event);
		break;
	}
}

/* Returns false when there is nothing more to do. */
static bool dispatch(struct program *program)
{
	struct uidrecv_agent_event event;
	int result = uidrecv_agent_dispatch(program->agent);

	while (uidrecv_agent_next_event(program->agent, &event) == 1)
		report(program, &event);
	cli_flush_stdout();
	if (result == 0)
		return true;
	if (result == UIDRECV_E_REFUSED)
		program->is_refused = true;
	else if (result != -ESHUTDOWN)
		cli_die(CLI_FAILED, "%s: %s", program->options.receiver,
			uidrecv_strerror(result));
	return false;
}

static void finish(struct program *program)
{
	program->is_finishing = true;
	uidrecv_agent_finish(program->agent);
}

static void refuse_line(struct program *program, const char *error)
{
	program->has_bad_line = true;
	cli_warn("standard input, line %" PRIu64 ": %s", program->input.number,
		 error);
	finish(program);
}

/* Returns false when the queue takes no more for now. */
static bool queue_pending(struct program *program)
{
	int error =
	    uidrecv_agent_queue(program->agent, &program->pending, NULL);

	if (error == UIDRECV_E_FULL || error == UIDRECV_E_REFUSED)
		return false;
	program->has_pending = false;
	if (error == 0)
		remember_line(&program->ring, program->input.number);
	else if (error == -ENOMEM)
		cli_die(CLI_FAILED, "out of memory");
	else
		refuse_line(program, uidrecv_strerror(error));
	return error == 0;
}

/* Queues what is there. Returns true if stdin is to be read for more. */
static bool queue_records(struct program *program)
{
	char error[1024];

	for (int i = 0; i < ROUND_MAX && !program->is_finishing; i++) {
		if (!program->has_pending) {
			switch (input_next(&program->input,
					   uidrecv_agent_now_us(program->agent),
					   &program->pending, error,
					   sizeof(error))) {
			case INPUT_WAIT:
				return true;
			case INPUT_END:
				finish(program);
				return false;
			case INPUT_BAD:
				refuse_line(program, error);
				return false;
			case INPUT_RECORD:
				program->has_pending = true;
			}
		}
		if (!queue_pending(program))
			return false;
	}
	return false;
}

static void run(struct program *program)
{
	struct pollfd fds[2] = {
	    {uidrecv_agent_get_fd(program->agent), POLLIN, 0},
	    {STDIN_FILENO, POLLIN, 0},
	};
	int error = 0;

	for (;;) {
		bool is_reading = queue_records(program);
		/* A full round ends with room for more: do not wait. */
		bool is_busy = !is_reading && !program->has_pending &&
			       !program->is_finishing;

		if (!dispatch(program))
			return;
		fds[1].fd = is_reading ? STDIN_FILENO : -1;
		fds[1].revents = 0;
		if (poll(fds, 2, is_busy ? 0 : -1) < 0 && errno != EINTR)
			cli_die(CLI_FAILED, "poll: %s", strerror(errno));
		if (fds[1].revents)
			error = input_read(&program->input, STDIN_FILENO);
		if (error < 0)
			cli_die(CLI_FAILED, "standard input: %s",
				strerror(-error));
	}
}

static void print_rate(const struct program *program)
{
	double seconds =
	    (double)(program->acked_us - program->connected_us) / 1e6;

	printf("loaded %" PRIu64 " mappings in %.3f s: %.0f mappings/s\n",
	       program->input.load, seconds,
	       seconds > 0 ? (double)program->input.load / seconds : 0);
	cli_flush_stdout();
}

static const struct option options[] = {
    {"connect", required_argument, NULL, 'c'},
    {"cert", required_argument, NULL, 'C'},
    {"key", required_argument, NULL, 'K'},
    {"ca", required_argument, NULL, 'A'},
    {"name", required_argument, NULL, 'n'},
    {"batch", required_argument, NULL, 'b'},
    {"load", required_argument, NULL, 'l'},
    {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static void parse_options(struct program *program, int argc, char *argv[])
{
	struct uidrecv_agent_options *agent = &program->options;
	int option;

	while ((option = getopt_long(argc, argv, ":vhV", options, NULL)) !=
	       -1) {
		switch (option) {
		case 'c':
			agent->receiver = optarg;
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
			agent->receiver_name = optarg;
			break;
		case 'b':
			agent->batch_max = (uint32_t)cli_need_number(
			    "--batch", optarg, 1, 1024);
			break;
		case 'l':
			program->input.load = cli_need_number(
			    "--load", optarg, 1, UINT64_C(1) << 40);
			break;
		case 'v':
			program->verbose++;
			break;
		case 'h':
			cli_help(help);
		case 'V':
			cli_version("uidagent");
		default:
			cli_die_option(argv, option);
		}
	}
	if (optind < argc)
		cli_die(CLI_USAGE, "%s: unexpected; see uidagent --help",
			argv[optind]);
	if (agent->receiver == NULL || agent->cert_path == NULL ||
	    agent->key_path == NULL || agent->ca_path == NULL)
		cli_die(CLI_USAGE, "--connect, --cert, --key and --ca must be "
				   "given; see uidagent --help");
}

int main(int argc, char *argv[])
{
	static struct program program = {
	    .options = UIDRECV_AGENT_OPTIONS_INIT,
	    .ring = {.first = 1, .next = 1},
	};
	char error[1024] = "";
	int result;

	signal(SIGPIPE, SIG_IGN);
	parse_options(&program, argc, argv);
	program.options.software = "uidagent";
	program.options.log = write_log;
	program.options.log_user = &program;
	result = uidrecv_agent_new(&program.agent, &program.options, error,
				   sizeof(error));
	if (result == -EINVAL)
		cli_die(CLI_USAGE,
			"--connect %s: write HOST:PORT or [IPV6]:PORT, such as "
			"firewall.example:5007",
			program.options.receiver);
	if (result < 0)
		cli_die(result == -ENOMEM ? CLI_FAILED : CLI_USAGE, "%s",
			*error ? error : uidrecv_strerror(result));
	run(&program);
	if (program.input.load && !program.is_refused)
		print_rate(&program);
	uidrecv_agent_free(program.agent);
	free(program.ring.lines);
	if (program.is_refused)
		return EXIT_REFUSED;
	if (program.has_bad_line)
		return CLI_USAGE;
	return program.has_rejected ? CLI_FAILED : CLI_OK;
}
