/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An agent that sends what it reads from stdin, a record a line, to one or more
 * receivers.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "uidagent-input.h"
#include "uidagent-options.h"
#include "uidagent-receiver.h"

/* Exit codes beside those of cli.h; CLI_FAILED is "some were refused". */
#define EXIT_REFUSED 3

/* So many lines are read before the connections are looked at again. */
#define ROUND_MAX 16384

struct program {
	struct agent_command command;
	struct uidrecv_agent_listener *listener;
	struct receiver receivers[RECEIVERS_MAX];
	size_t count; /* of receivers */
	char labels[RECEIVERS_MAX][300];
	struct input input;
	struct said said;
	struct uidrecv_record pending; /* did not fit into all queues */
	uint16_t pending_for;	       /* a bit for each receiver */
	uint64_t snapshot_line;	       /* where one was begun; 0: none is */
	bool is_finishing;
	bool has_bad_line;
};

static uint64_t now_us(const struct program *program)
{
	return uidrecv_agent_now_us(program->receivers[0].agent);
}

static void refuse_line(struct program *program, const char *error)
{
	program->has_bad_line = true;
	program->is_finishing = true;
	cli_warn("standard input, line %" PRIu64 ": %s", program->input.number,
		 error);
}

/*
 * Is it slower than the others? A full queue alone does not tell: lines may
 * come faster than anybody takes them.
 */
static bool is_behind(const struct program *program, size_t which)
{
	for (size_t i = 0; i < program->count; i++)
		if (i != which && program->receivers[i].state == RECEIVER_UP &&
		    receiver_has_room(&program->receivers[i]))
			return !program->input.load;
	return false;
}

/* Those to whom it is said are taken off pending_for. */
static void say_pending(struct program *program)
{
	for (size_t i = 0; i < program->count; i++) {
		struct receiver *receiver = &program->receivers[i];
		int error;

		if (!(program->pending_for & 1u << i))
			continue;
		error = receiver_say(receiver, &program->pending,
				     program->input.number);
		if (error == UIDRECV_E_FULL && !is_behind(program, i))
			continue;
		program->pending_for &= (uint16_t) ~(1u << i);
		if (error == UIDRECV_E_FULL) {
			receiver_start_walk(receiver, RECEIVER_BEHIND);
		} else if (error < 0) {
			program->pending_for = 0;
			refuse_line(program, uidrecv_strerror(error));
		}
	}
}

static void say(struct program *program)
{
	program->pending_for = program->said.receivers;
	program->said.has_spoken = true;
	if (!program->input.load)
		said_note(&program->said, &program->pending,
			  program->input.number, now_us(program));
	say_pending(program);
}

static void begin_snapshot(struct program *program)
{
	if (program->snapshot_line) {
		refuse_line(program, "a snapshot is open; write \"end\" first");
		return;
	}
	program->snapshot_line = program->input.number;
	program->said.has_spoken = true;
	said_begin_snapshot(&program->said);
	for (size_t i = 0; i < program->count; i++)
		receiver_begin_snapshot(&program->receivers[i]);
}

static void end_snapshot(struct program *program)
{
	if (!program->snapshot_line) {
		refuse_line(program, "no snapshot is open; write \"snapshot\" "
				     "first");
		return;
	}
	program->snapshot_line = 0;
	said_end_snapshot(&program->said);
	for (size_t i = 0; i < program->count; i++)
		receiver_end_snapshot(&program->receivers[i]);
}

static void set_system(struct program *program)
{
	const struct uidrecv_system *system = &program->input.system;

	program->said.has_spoken = true;
	said_set_system(&program->said, system);
	for (size_t i = 0; i < program->count; i++)
		receiver_set_system(&program->receivers[i], system,
				    program->input.number);
}

static void refresh_all(struct program *program)
{
	if (program->snapshot_line) {
		refuse_line(program, "a snapshot is open; write \"end\" first");
		return;
	}
	program->said.has_spoken = true;
	said_refresh_all(&program->said, now_us(program));
	for (size_t i = 0; i < program->count; i++)
		receiver_refresh_all(&program->receivers[i]);
}

static void end_input(struct program *program)
{
	program->is_finishing = true;
	if (!program->snapshot_line)
		return;
	program->has_bad_line = true;
	cli_warn("standard input ends in the snapshot of line %" PRIu64
		 ", without \"end\": it ends nothing",
		 program->snapshot_line);
}

/* Says what is there. Returns true if stdin is to be read for more. */
static bool say_lines(struct program *program)
{
	char error[1024];

	for (int i = 0; i < ROUND_MAX && !program->is_finishing; i++) {
		if (program->pending_for)
			say_pending(program);
		if (program->pending_for || program->is_finishing)
			return false;
		switch (input_next(&program->input, now_us(program),
				   &program->pending, error, sizeof(error))) {
		case INPUT_WAIT:
			return true;
		case INPUT_END:
			end_input(program);
			break;
		case INPUT_BAD:
			refuse_line(program, error);
			break;
		case INPUT_RECORD:
			say(program);
			break;
		case INPUT_SNAPSHOT:
			begin_snapshot(program);
			break;
		case INPUT_SNAPSHOT_END:
			end_snapshot(program);
			break;
		case INPUT_REFRESH_ALL:
			refresh_all(program);
			break;
		case INPUT_SYSTEM:
			set_system(program);
		}
	}
	return false;
}

/* Returns false when all are done. */
static bool serve(struct program *program, bool *ret_busy)
{
	bool is_alive = false;

	*ret_busy = false;
	for (size_t i = 0; i < program->count; i++) {
		struct receiver *receiver = &program->receivers[i];

		receiver_walk(receiver);
		receiver_dispatch(receiver);
		*ret_busy |= receiver_can_walk(receiver);
		if (program->is_finishing && !program->pending_for)
			receiver_finish(receiver);
		if (receiver->state == RECEIVER_DONE)
			program->pending_for &= (uint16_t) ~(1u << i);
		else
			is_alive = true;
	}
	cli_flush_stdout();
	return is_alive;
}

static void read_input(struct program *program)
{
	int error = input_read(&program->input, STDIN_FILENO);

	if (error < 0)
		cli_die(CLI_FAILED, "standard input: %s", strerror(-error));
}

static void run(struct program *program)
{
	struct pollfd fds[RECEIVERS_MAX + 1];
	size_t count = program->count;
	bool is_busy;

	for (;;) {
		bool is_reading = say_lines(program);

		if (!serve(program, &is_busy))
			return;
		/* ACKs that came may have been the last for long. */
		if (program->pending_for)
			say_pending(program);
		/* A full round ends with room for more: do not wait. */
		is_busy |= !is_reading && !program->pending_for &&
			   !program->is_finishing;
		for (size_t i = 0; i < count; i++) {
			struct receiver *receiver = &program->receivers[i];
			int fd = uidrecv_agent_get_fd(receiver->agent);

			fds[i] = (struct pollfd){.fd = fd, .events = POLLIN};
			if (receiver->state == RECEIVER_DONE)
				fds[i].fd = -1;
		}
		fds[count] = (struct pollfd){
		    .fd = is_reading ? STDIN_FILENO : -1, .events = POLLIN};
		if (poll(fds, count + 1, is_busy ? 0 : -1) < 0) {
			if (errno != EINTR)
				cli_die(CLI_FAILED, "poll: %s",
					strerror(errno));
			continue;
		}
		if (fds[count].revents)
			read_input(program);
	}
}

static void print_rate(const struct program *program,
		       const struct receiver *receiver)
{
	double seconds =
	    (double)(receiver->acked_us - receiver->connected_us) / 1e6;

	printf("%sloaded %" PRIu64 " mappings in %.3f s: %.0f mappings/s\n",
	       receiver->label, program->input.load, seconds,
	       seconds > 0 ? (double)program->input.load / seconds : 0);
	cli_flush_stdout();
}

static void write_log(void *user, enum uidrecv_log_level level,
		      const char *message)
{
	const struct agent_command *command = user;

	if (command->verbose || level <= UIDRECV_LOG_WARNING)
		cli_warn("%s", message);
}

/* The agents have no paths of their own then. */
static void open_listener(struct program *program)
{
	struct agent_command *command = &program->command;
	struct uidrecv_agent_options *agent = &command->options;
	struct uidrecv_agent_listener_options options =
	    UIDRECV_AGENT_LISTENER_OPTIONS_INIT;
	char error[1024];

	options.address = command->listen;
	options.cert_path = agent->cert_path;
	options.key_path = agent->key_path;
	options.ca_path = agent->ca_path;
	options.log = write_log;
	options.log_user = command;
	if (uidrecv_agent_listener_new(&program->listener, &options, error,
				       sizeof(error)) < 0)
		cli_die(CLI_USAGE, "%s", error);
	agent->listener = program->listener;
	agent->cert_path = agent->key_path = agent->ca_path = NULL;
	cli_warn("listening on port %u",
		 uidrecv_agent_listener_get_port(program->listener));
}

static void open_receivers(struct program *program)
{
	struct agent_command *command = &program->command;

	if (command->listen)
		open_listener(program);
	program->count = command->receivers_count;
	for (size_t i = 0; i < program->count; i++) {
		struct receiver *receiver = &program->receivers[i];
		struct uidrecv_agent_options options = command->options;

		options.receiver_name = command->receivers[i].name;
		snprintf(program->labels[i], sizeof(program->labels[i]), "%s ",
			 command->receivers[i].connect);
		*receiver = (struct receiver){
		    .said = command->load ? NULL : &program->said,
		    .number = (unsigned int)i,
		    .connect = command->receivers[i].connect,
		    .label = program->count > 1 ? program->labels[i] : "",
		    .verbose = command->verbose,
		};
		program->said.receivers |= (uint16_t)(1u << i);
		receiver_open(receiver, &options);
	}
}

int main(int argc, char *argv[])
{
	static struct program program;
	bool is_refused = false, has_rejected = false;

	signal(SIGPIPE, SIG_IGN);
	parse_agent_command(&program.command, argc, argv);
	program.input.load = program.command.load;
	open_receivers(&program);
	run(&program);
	for (size_t i = 0; i < program.count; i++) {
		struct receiver *receiver = &program.receivers[i];

		if (program.input.load && !receiver->is_refused)
			print_rate(&program, receiver);
		is_refused |= receiver->is_refused;
		has_rejected |= receiver->has_rejected;
		receiver_close(receiver);
	}
	uidrecv_agent_listener_free(program.listener);
	said_free(&program.said);
	if (is_refused)
		return EXIT_REFUSED;
	if (program.has_bad_line)
		return CLI_USAGE;
	return has_rejected ? CLI_FAILED : CLI_OK;
}
