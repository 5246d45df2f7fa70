/* SPDX-License-Identifier: BSD-2-Clause */
/* Tells who is behind addresses, out of the receiver's table. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uidrecv/reader.h>

#include "uidlookup-output.h"

#define ALL_TRIES 10

enum {
	EXIT_KNOWN = 0,
	EXIT_UNKNOWN = 1,
	EXIT_ERROR = 2,
};

struct program {
	struct uidrecv_reader *reader;
	char path[PATH_MAX];
	bool is_json;
	bool is_all;
	int exit_status; /* the worst so far */
};

static const char usage[] =
    "Usage: uidlookup --store DIR | --table FILE [--json] ADDRESS[:PORT]...\n"
    "       uidlookup --store DIR | --table FILE [--json] --all\n"
    "\n"
    "Tells who is behind an address, out of the table of a receiver.\n"
    "\n"
    "  -s, --store DIR   the receiver's store directory: its table is\n"
    "                    DIR/table\n"
    "  -t, --table FILE  the table, if it is elsewhere\n"
    "  -a, --all         lists every address that is known\n"
    "  -j, --json        prints one JSON object a line\n"
    "  -h, --help        prints this\n"
    "  -V, --version     prints the version\n"
    "\n"
    "ADDRESS is IPv4 or IPv6; with a port [IPv6]:PORT. As - addresses are\n"
    "read from standard input, one a line.\n"
    "\n"
    "Prints for each address one line,\n"
    "  ADDRESS user=USER agent=NAME source=KIND expires_in_s=N|never\n"
    "  ADDRESS unknown\n"
    "and where users share an address, and a port tells who it is,\n"
    "  ADDRESS:PORT user=USER agent=NAME source=KIND block=START-END\n"
    "               expires_in_s=N|never\n"
    "  ADDRESS:PORT unknown-port\n"
    "  ADDRESS no-port\n"
    "START-END are the first and the last port that USER has there. --all\n"
    "lists such an address as ADDRESS no-port and with each block.\n"
    "USER and NAME have white space, %, control characters and what is not\n"
    "UTF-8 as %XX.\n"
    "\n"
    "Exit: 0 all known, 1 some unknown, 2 an error.\n";

static void worsen(struct program *program, int exit_status)
{
	if (exit_status > program->exit_status)
		program->exit_status = exit_status;
}

/* What somebody can do about an error of the table. */
static const char *advise(int error)
{
	switch (error) {
	case -ENOENT:
		return "is the receiver running, and is this its table?";
	case -EACCES:
		return "run as a user or in a group that may read it";
	case -ELOOP:
		return "give the file itself, not a symbolic link";
	case UIDRECV_E_TABLE:
		return "give the receiver's table; if this is it, restart the "
		       "receiver, which makes a new one";
	case UIDRECV_E_TABLE_VERSION:
	case UIDRECV_E_TABLE_BOOT:
		return "restart the receiver, which makes a new one";
	case UIDRECV_E_TABLE_OWNER:
		return "it must belong to root or to you, and only its owner "
		       "may write it; try as root or as the receiver's user";
	default:
		return "see the system's log";
	}
}

static void complain(struct program *program, const char *what, int error)
{
	fprintf(stderr, "uidlookup: %s: %s: %s; %s\n", program->path, what,
		uidrecv_strerror(error), advise(error));
	worsen(program, EXIT_ERROR);
}

/* Reads 0 to 65535 in decimal digits and nothing else. */
static bool parse_port(const char *text, uint16_t *ret_port)
{
	unsigned long port;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	port = strtoul(text, &end, 10);
	if (*end != '\0' || port > UINT16_MAX)
		return false;
	*ret_port = (uint16_t)port;
	return true;
}

/* Reads ADDRESS, IPv4:PORT, [ADDRESS] or [ADDRESS]:PORT. */
static bool parse_query(const char *text, struct uidrecv_query *ret_query)
{
	struct uidrecv_query query = {.has_port = false};
	const char *port = NULL;
	char address[64];
	size_t size;

	if (*text == '[') {
		text++;
		size = strcspn(text, "]");
		if (text[size] != ']')
			return false;
		if (text[size + 1] == ':')
			port = text + size + 2;
		else if (text[size + 1] != '\0')
			return false;
	} else {
		const char *colon = strchr(text, ':');

		size = strlen(text);
		if (colon != NULL && strchr(colon + 1, ':') == NULL) {
			size = (size_t)(colon - text);
			port = colon + 1;
		}
	}
	if (size >= sizeof(address))
		return false;
	memcpy(address, text, size);
	address[size] = '\0';
	query.has_port = port != NULL;
	if (uidrecv_address_parse(address, &query.address) < 0 ||
	    (port != NULL && !parse_port(port, &query.port)))
		return false;
	*ret_query = query;
	return true;
}

static void look_up(struct program *program, const char *text)
{
	struct uidrecv_query query;
	struct uidrecv_mapping mapping;
	int r;

	if (!parse_query(text, &query)) {
		fprintf(stderr,
			"uidlookup: \"%s\" is no address; write 10.1.2.3, "
			"10.1.2.3:80, 2001:db8::1 or [2001:db8::1]:80\n",
			text);
		worsen(program, EXIT_ERROR);
		return;
	}
	do
		r = uidrecv_reader_lookup(program->reader, &query, 0, &mapping);
	while (r == -EAGAIN);
	if (r < 0) {
		complain(program, text, r);
		return;
	}
	if (r == 0 || mapping.answer != UIDRECV_ANSWER_USER)
		worsen(program, EXIT_UNKNOWN);
	print_answer(stdout, program->is_json, &query,
		     r == 1 ? &mapping : NULL);
}

static void look_up_lines(struct program *program)
{
	size_t room = 0;
	char *line = NULL;

	while (getline(&line, &room, stdin) >= 0) {
		line[strcspn(line, "\r\n")] = '\0';
		if (*line == '\0')
			continue;
		look_up(program, line);
		/* Who talks to us over pipes waits for each answer. */
		fflush(stdout);
	}
	if (ferror(stdin)) {
		fprintf(stderr, "uidlookup: standard input: %s\n",
			uidrecv_strerror(-errno));
		worsen(program, EXIT_ERROR);
	}
	free(line);
}

/* Prints everybody; returns UIDRECV_E_TABLE_CHANGED if it must start again. */
static int list(struct program *program, FILE *out)
{
	struct uidrecv_cursor cursor = {0, 0};
	struct uidrecv_mapping mapping;
	int r;

	do {
		r = uidrecv_reader_next(program->reader, &cursor, 0, &mapping);
		if (r == 1) {
			struct uidrecv_query query = {.address =
							  mapping.address};

			print_answer(out, program->is_json, &query, &mapping);
		} else if (r == UIDRECV_E_TABLE) {
			complain(program, "an entry is skipped", r);
		}
	} while (r == 1 || r == UIDRECV_E_TABLE || r == -EAGAIN);
	return r;
}

/* Nobody is printed twice when the table is replaced in the middle. */
static void list_whole(struct program *program)
{
	int r = UIDRECV_E_TABLE_CHANGED;

	for (int i = 0; i < ALL_TRIES && r == UIDRECV_E_TABLE_CHANGED; i++) {
		char *text = NULL;
		size_t size = 0;
		FILE *out = open_memstream(&text, &size);

		if (out == NULL) {
			complain(program, "list", -ENOMEM);
			return;
		}
		r = list(program, out);
		if (fclose(out) != 0)
			r = -ENOMEM;
		if (r == 0)
			fwrite(text, 1, size, stdout);
		free(text);
	}
	if (r < 0)
		complain(program, "list", r);
}

static void set_path(struct program *program, const char *dir, const char *name)
{
	int size =
	    snprintf(program->path, sizeof(program->path), "%s%s", dir, name);

	if (size >= (int)sizeof(program->path)) {
		fputs("uidlookup: the path is too long\n", stderr);
		exit(EXIT_ERROR);
	}
}

static void parse_options(struct program *program, int argc, char **argv)
{
	static const struct option options[] = {
	    {"store", required_argument, NULL, 's'},
	    {"table", required_argument, NULL, 't'},
	    {"all", no_argument, NULL, 'a'},
	    {"json", no_argument, NULL, 'j'},
	    {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'},
	    {NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, ":s:t:ajhV", options, NULL)) !=
	       -1) {
		if (c == 's') {
			set_path(program, optarg, "/table");
		} else if (c == 't') {
			set_path(program, optarg, "");
		} else if (c == 'a') {
			program->is_all = true;
		} else if (c == 'j') {
			program->is_json = true;
		} else if (c == 'h') {
			fputs(usage, stdout);
			exit(EXIT_KNOWN);
		} else if (c == 'V') {
			unsigned int version = uidrecv_version();

			printf("uidlookup %u.%u.%u\n", version >> 16,
			       version >> 8 & 0xff, version & 0xff);
			exit(EXIT_KNOWN);
		} else {
			fprintf(stderr,
				"uidlookup: %s: %s; see uidlookup --help\n",
				argv[optind - 1],
				c == ':' ? "needs a value" : "unknown option");
			exit(EXIT_ERROR);
		}
	}
	if (program->path[0] == '\0' || program->is_all == (optind < argc)) {
		fputs("uidlookup: give --store or --table, and addresses or "
		      "--all; see uidlookup --help\n",
		      stderr);
		exit(EXIT_ERROR);
	}
}

int main(int argc, char **argv)
{
	static struct program program;
	int r;

	parse_options(&program, argc, argv);
	r = uidrecv_reader_open(&program.reader, program.path, NULL);
	if (r < 0) {
		complain(&program, "open", r);
		return EXIT_ERROR;
	}
	if (program.is_all)
		list_whole(&program);
	for (int i = optind; i < argc; i++) {
		if (strcmp(argv[i], "-") == 0)
			look_up_lines(&program);
		else
			look_up(&program, argv[i]);
	}
	uidrecv_reader_close(program.reader);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "uidlookup: standard output: %s\n",
			uidrecv_strerror(-errno));
		worsen(&program, EXIT_ERROR);
	}
	return program.exit_status;
}
