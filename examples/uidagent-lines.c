/* SPDX-License-Identifier: BSD-2-Clause */
#include "uidagent-lines.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

#define WHITE " \t\r"

/* What an operation takes after its address. */
enum takes {
	TAKES_USER = 1 << 0,
	NEEDS_USER = 1 << 1,
	TAKES_LIFETIME = 1 << 2,
	TAKES_TIME = 1 << 3, /* age_ms and token */
	TAKES_SOURCE = 1 << 4,
	TAKES_PORTS = 1 << 5, /* all */
	TAKES_SYSTEM = 1 << 6,
};

static const struct {
	const char *word;
	uint16_t op;
	unsigned int takes;
} operations[] = {
    {"map", UIDRECV_OP_MAP,
     TAKES_USER | NEEDS_USER | TAKES_LIFETIME | TAKES_TIME | TAKES_SOURCE |
	 TAKES_PORTS},
    {"refresh", UIDRECV_OP_REFRESH, TAKES_USER | TAKES_LIFETIME | TAKES_PORTS},
    {"logout", UIDRECV_OP_LOGOUT, TAKES_USER | TAKES_TIME | TAKES_PORTS},
    {"withdraw", UIDRECV_OP_WITHDRAW, TAKES_PORTS},
    {"system", 0, TAKES_SYSTEM | TAKES_PORTS},
};

/* A line that is being read. */
struct parse {
	struct uidrecv_record *record;
	struct uidrecv_system *system;
	uint64_t now_us;
	unsigned int takes;
	char *error;
	size_t error_size;
};

static int refuse(const struct parse *parse, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int refuse(const struct parse *parse, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(parse->error, parse->error_size, format, arguments);
	va_end(arguments);
	return -1;
}

static int parse_lifetime(struct parse *parse, const char *value)
{
	uint64_t seconds;

	if (strcmp(value, "never") == 0) {
		parse->record->lifetime_s = UIDRECV_LIFETIME_NEVER;
		return 0;
	}
	if (!cli_number(value, 10, 1, UIDRECV_LIFETIME_NEVER, &seconds))
		return refuse(parse,
			      "lifetime_s=%s: give seconds from 1, or "
			      "\"never\"",
			      value);
	parse->record->lifetime_s = (uint32_t)seconds;
	return 0;
}

static int parse_age(struct parse *parse, const char *value)
{
	uint64_t now_ms = parse->now_us / 1000;
	bool is_ahead = *value == '-';
	uint64_t age_ms;

	if (!cli_number(value + is_ahead, 10, 0, now_ms, &age_ms))
		return refuse(
		    parse, "age_ms=%s: give milliseconds back from now", value);
	parse->record->event_time_us = is_ahead ? parse->now_us + age_ms * 1000
						: parse->now_us - age_ms * 1000;
	parse->record->has_event_time = true;
	return 0;
}

static int parse_token(struct parse *parse, const char *value)
{
	if (!cli_number(value, 0, 0, UINT64_MAX, &parse->record->token))
		return refuse(parse, "token=%s: give a number below 2^64",
			      value);
	parse->record->has_token = true;
	return 0;
}

static int parse_source(struct parse *parse, const char *value)
{
	uint64_t number;

	for (unsigned int i = 0; i <= UINT8_MAX; i++) {
		if (strcmp(value, uidrecv_source_name(i)) == 0) {
			parse->record->source = (uint8_t)i;
			return 0;
		}
	}
	if (!cli_number(value, 10, 0, UINT8_MAX, &number))
		return refuse(parse,
			      "source=%s: give a kind such as "
			      "\"directory\" or \"vpn\"",
			      value);
	parse->record->source = (uint8_t)number;
	return 0;
}

/* START+COUNT, all of it; changes the text. */
static bool read_ports(char *text, struct uidrecv_ports *ret_ports)
{
	char *plus = strchr(text, '+');
	uint64_t start, count;

	if (!plus)
		return false;
	*plus = '\0';
	if (!cli_number(text, 10, 0, UINT16_MAX, &start) ||
	    !cli_number(plus + 1, 10, 1, UINT16_MAX + 1 - start, &count))
		return false;
	ret_ports->start = (uint16_t)start;
	ret_ports->count = (uint32_t)count;
	return true;
}

static int parse_ports(struct parse *parse, const char *value)
{
	struct uidrecv_ports *ports = parse->takes & TAKES_SYSTEM
					  ? &parse->system->ports
					  : &parse->record->ports;
	char text[32];

	if (snprintf(text, sizeof(text), "%s", value) < (int)sizeof(text) &&
	    read_ports(text, ports))
		return 0;
	return refuse(parse, "ports=%s: give START+COUNT up to port 65535",
		      value);
}

static int parse_block(struct parse *parse, const char *value)
{
	uint64_t size;

	if (!cli_number(value, 10, 1, UINT16_MAX + 1, &size))
		return refuse(parse, "block=%s: give the ports in a block",
			      value);
	parse->system->block_size = (uint32_t)size;
	return 0;
}

static int parse_alias(struct parse *parse, const char *value)
{
	struct uidrecv_system *system = parse->system;
	char text[UIDRECV_ADDRESS_TEXT_MAX];
	size_t size;

	for (;; value += size + 1) {
		size = strcspn(value, ",");
		if (system->aliases_count == UIDRECV_ALIASES_MAX)
			return refuse(parse, "%s: more than %d aliases", value,
				      UIDRECV_ALIASES_MAX);
		if (size >= sizeof(text))
			break;
		memcpy(text, value, size);
		text[size] = '\0';
		if (uidrecv_address_parse(
			text, &system->aliases[system->aliases_count]) < 0)
			break;
		system->aliases_count++;
		if (!value[size])
			return 0;
	}
	return refuse(parse, "alias=%s: give addresses with commas", value);
}

static int parse_reserved(struct parse *parse, const char *value)
{
	struct uidrecv_system *system = parse->system;
	char text[32];
	size_t size;

	for (;; value += size + 1) {
		size = strcspn(value, ",");
		if (system->reserved_count == UIDRECV_RESERVED_MAX)
			return refuse(parse, "%s: more than %d ranges", value,
				      UIDRECV_RESERVED_MAX);
		if (size >= sizeof(text))
			break;
		memcpy(text, value, size);
		text[size] = '\0';
		if (!read_ports(text,
				&system->reserved[system->reserved_count]))
			break;
		system->reserved_count++;
		if (!value[size])
			return 0;
	}
	return refuse(parse, "reserved=%s: give START+COUNT with commas",
		      value);
}

static const struct {
	const char *key;
	unsigned int takes;
	int (*parse)(struct parse *parse, const char *value);
} keys[] = {
    {"lifetime_s=", TAKES_LIFETIME, parse_lifetime},
    {"age_ms=", TAKES_TIME, parse_age},
    {"token=", TAKES_TIME, parse_token},
    {"source=", TAKES_SOURCE, parse_source},
    {"ports=", TAKES_PORTS, parse_ports},
    {"block=", TAKES_SYSTEM, parse_block},
    {"alias=", TAKES_SYSTEM, parse_alias},
    {"reserved=", TAKES_SYSTEM, parse_reserved},
};

/* Returns 1 if the word was a key of this operation, 0 if not, or -1. */
static int parse_key(struct parse *parse, const char *word)
{
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		size_t size = strlen(keys[i].key);

		if (strncmp(word, keys[i].key, size) != 0)
			continue;
		if (!(parse->takes & keys[i].takes))
			return refuse(parse, "%s: not allowed in this line",
				      word);
		return keys[i].parse(parse, word + size) < 0 ? -1 : 1;
	}
	return 0;
}

static int parse_user(struct parse *parse, const char *word)
{
	size_t size;
	int error = uidrecv_user_parse(word, parse->record->user, &size);

	if (error == -ENAMETOOLONG)
		return refuse(parse, "user %s: longer than %d bytes", word,
			      UIDRECV_NAME_MAX);
	if (error < 0 || size == 0)
		return refuse(parse,
			      "user %s: write %%25 for a percent sign, "
			      "%%20 for a space",
			      word);
	parse->record->user_size = (uint8_t)size;
	return 0;
}

static int parse_words(struct parse *parse, char **rest)
{
	bool may_user = parse->takes & TAKES_USER;
	char *word;

	while ((word = strtok_r(NULL, WHITE, rest)) != NULL) {
		bool is_user = may_user;
		int is_key = is_user && parse->takes & NEEDS_USER
				 ? 0
				 : parse_key(parse, word);

		may_user = false;
		if (is_key < 0)
			return -1;
		if (is_key)
			continue;
		if (!is_user)
			return refuse(parse, "%s: not understood here", word);
		if (parse_user(parse, word) < 0)
			return -1;
	}
	if (parse->takes & NEEDS_USER && parse->record->user_size == 0)
		return refuse(parse, "a user must follow the address");
	return 1;
}

static int find_operation(struct parse *parse, const char *word)
{
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]);
	     i++) {
		if (strcmp(word, operations[i].word) != 0)
			continue;
		parse->record->op = operations[i].op;
		parse->takes = operations[i].takes;
		return 0;
	}
	return refuse(parse,
		      "%s: unknown; write map, refresh, logout, withdraw, "
		      "system, snapshot, end or refresh-all",
		      word);
}

static const struct {
	const char *word;
	enum line_kind kind;
} commands[] = {
    {"snapshot", LINE_SNAPSHOT},
    {"end", LINE_END},
    {"refresh-all", LINE_REFRESH_ALL},
};

/* LINE_EMPTY: it is none. */
static enum line_kind parse_command(struct parse *parse, const char *word,
				    char **rest)
{
	const char *more;

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(word, commands[i].word) != 0)
			continue;
		more = strtok_r(NULL, WHITE, rest);
		if (more == NULL)
			return commands[i].kind;
		refuse(parse, "%s: nothing may follow \"%s\"", more, word);
		return LINE_BAD;
	}
	return LINE_EMPTY;
}

/* Explicit, so that the event is the same when it is said again. */
static void set_event_time(const struct parse *parse)
{
	struct uidrecv_record *record = parse->record;

	if (!(parse->takes & TAKES_TIME) || record->has_event_time)
		return;
	record->event_time_us = parse->now_us;
	record->has_event_time = true;
}

static enum line_kind end_system(const struct parse *parse)
{
	struct uidrecv_system *system = parse->system;

	system->address = parse->record->address;
	if (system->block_size && system->block_size <= system->ports.count)
		return LINE_SYSTEM;
	refuse(parse, "ports= and block= must be given, and a block must fit");
	return LINE_BAD;
}

enum line_kind uidagent_parse_line(char *line, uint64_t now_us,
				   struct uidrecv_record *ret_record,
				   struct uidrecv_system *ret_system,
				   char *error, size_t error_size)
{
	struct parse parse = {ret_record, ret_system, now_us,
			      0,	  error,      error_size};
	char *rest;
	char *word = strtok_r(line, WHITE, &rest);
	enum line_kind kind;

	if (word == NULL || *word == '#')
		return LINE_EMPTY;
	kind = parse_command(&parse, word, &rest);
	if (kind != LINE_EMPTY)
		return kind;
	memset(ret_record, 0, sizeof(*ret_record));
	memset(ret_system, 0, sizeof(*ret_system));
	if (find_operation(&parse, word) < 0)
		return LINE_BAD;
	word = strtok_r(NULL, WHITE, &rest);
	if (word == NULL) {
		refuse(&parse, "an address must follow");
		return LINE_BAD;
	}
	if (uidrecv_address_parse(word, &ret_record->address) < 0) {
		refuse(&parse, "%s: not an IPv4 or IPv6 address", word);
		return LINE_BAD;
	}
	if (parse_words(&parse, &rest) < 0)
		return LINE_BAD;
	if (parse.takes & TAKES_SYSTEM)
		return end_system(&parse);
	set_event_time(&parse);
	return LINE_RECORD;
}
