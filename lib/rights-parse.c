/* SPDX-License-Identifier: BSD-2-Clause */
#include "rights.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "network.h"
#include "words.h"

#define LINE_SIZE_MAX 65536
#define FILE_SIZE_MAX ((size_t)64 << 20)

struct parser {
	struct uidrecv_rights *rights;
	const char *path; /* NULL: a text */
	char *error;
	size_t error_size;
	size_t line;
	char *text; /* the line, cut into words; LINE_SIZE_MAX + 1 bytes */
	struct uidrecv_agent_rights agent;
	unsigned int keys; /* seen in the line; bits by the index of a key */
	struct uidrecv_network *networks;
	const char **domains;
	size_t networks_room, domains_room;
	struct ur_right **found;
	size_t found_count, found_room;
};

__attribute__((format(printf, 2, 3))) static int fail(struct parser *parser,
						      const char *format, ...)
{
	char message[2 * sizeof(struct ur_shown) + 256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	snprintf(parser->error, parser->error_size, "%s%sline %zu: %s",
		 parser->path ? parser->path : "", parser->path ? ", " : "",
		 parser->line, message);
	return UIDRECV_E_RIGHTS;
}

/* Says which network was meant by one with bits behind its prefix. */
static int fail_host_bits(struct parser *parser, const char *word,
			  struct uidrecv_network network)
{
	char text[UIDRECV_ADDRESS_TEXT_MAX];
	struct ur_shown shown;

	network.address = ur_address_mask(network.address, network.prefix_bits);
	return fail(parser,
		    "%s has bits behind its prefix; write %s/%d for the "
		    "network, or the address alone",
		    ur_words_show(&shown, word),
		    uidrecv_address_format(network.address, text),
		    network.prefix_bits -
			(ur_network_is_ipv4(&network) ? 96 : 0));
}

static int parse_network(struct parser *parser, const char *word)
{
	struct uidrecv_network network, *networks;
	struct ur_shown shown;

	if (!ur_network_read(word, &network))
		return fail(parser,
			    "%s is no network; write an address or a prefix, "
			    "such as 10.0.0.0/8 or 2001:db8::/32",
			    ur_words_show(&shown, word));
	if (!ur_network_is_valid(&network))
		return fail_host_bits(parser, word, network);
	networks = ur_words_grow(parser->networks, parser->agent.networks_count,
				 &parser->networks_room, sizeof(network));
	if (!networks)
		return -ENOMEM;
	parser->networks = networks;
	networks[parser->agent.networks_count++] = network;
	return 0;
}

static int parse_domains(struct parser *parser, char *list)
{
	const char **domains, *domain;
	struct ur_shown shown;

	while ((domain = strsep(&list, ","))) {
		if (!ur_right_domain_is_valid(domain))
			return fail(parser,
				    "\"%s\" in domains= is no domain; write "
				    "names of 1 to 255 bytes of UTF-8 without "
				    "\\ and @, with commas between",
				    ur_words_show(&shown, domain));
		domains =
		    ur_words_grow(parser->domains, parser->agent.domains_count,
				  &parser->domains_room, sizeof(*domains));
		if (!domains)
			return -ENOMEM;
		parser->domains = domains;
		domains[parser->agent.domains_count++] = domain;
	}
	return 0;
}

static int parse_allow(struct parser *parser, char *list)
{
	/* In the order of the bits of enum uidrecv_allow. */
	static const char *const words[] = {"loopback", "link-local", "never",
					    "multi-user", "drops"};
	const char *word;
	struct ur_shown shown;

	while ((word = strsep(&list, ","))) {
		uint32_t bit = 0;

		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (strcmp(words[i], word) == 0)
				bit = 1u << i;
		if (!bit)
			return fail(parser,
				    "\"%s\" in allow= is unknown; write some "
				    "of loopback, link-local, never, "
				    "multi-user and drops, with commas between",
				    ur_words_show(&shown, word));
		parser->agent.allow |= bit;
	}
	return 0;
}

static int parse_dial(struct parser *parser, const char *value)
{
	struct ur_shown shown;

	if (!ur_right_dial_is_valid(value))
		return fail(parser,
			    "dial=%s is no host and port; write where the "
			    "agent listens, such as ts1.example.com:5009 or "
			    "[2001:db8::1]:5009",
			    ur_words_show(&shown, value));
	parser->agent.dial = value;
	return 0;
}

enum key {
	KEY_PRIORITY,
	KEY_LIFETIME,
	KEY_LIFETIME_MAX,
	KEY_MAPPINGS_MAX,
	KEY_KEEP_PERCENT,
	KEY_DOMAINS,
	KEY_ALLOW,
	KEY_DIAL,
	KEYS_COUNT,
};

static const struct {
	const char *name;
	uint64_t min, max; /* of a number */
} keys[KEYS_COUNT] = {
    [KEY_PRIORITY] = {"priority", 0, UINT32_MAX},
    [KEY_LIFETIME] = {"lifetime_s", 1, UIDRECV_LIFETIME_NEVER - 1},
    [KEY_LIFETIME_MAX] = {"lifetime_max_s", 1, UIDRECV_LIFETIME_NEVER - 1},
    [KEY_MAPPINGS_MAX] = {"mappings_max", 1, UINT64_MAX},
    [KEY_KEEP_PERCENT] = {"keep_percent", 1, 100},
    [KEY_DOMAINS] = {"domains", 0, 0},
    [KEY_ALLOW] = {"allow", 0, 0},
    [KEY_DIAL] = {"dial", 0, 0},
};

static int parse_number(struct parser *parser, enum key key, const char *value)
{
	struct uidrecv_agent_rights *agent = &parser->agent;
	uint32_t *const fields[KEYS_COUNT] = {
	    [KEY_PRIORITY] = &agent->priority,
	    [KEY_LIFETIME] = &agent->lifetime_s,
	    [KEY_LIFETIME_MAX] = &agent->lifetime_max_s,
	    [KEY_KEEP_PERCENT] = &agent->keep_percent,
	};
	struct ur_shown shown;
	uint64_t number;

	if (!ur_words_number(value, keys[key].max, &number) ||
	    number < keys[key].min)
		return fail(parser,
			    "%s=%s is out of range; write a number from "
			    "%" PRIu64 " to %" PRIu64,
			    keys[key].name, ur_words_show(&shown, value),
			    keys[key].min, keys[key].max);
	if (key == KEY_MAPPINGS_MAX)
		agent->mappings_max = number;
	else
		*fields[key] = (uint32_t)number;
	return 0;
}

static int parse_pair(struct parser *parser, char *word, char *equals)
{
	struct ur_shown shown;
	unsigned int key = 0;

	*equals = '\0';
	while (key < KEYS_COUNT && strcmp(keys[key].name, word) != 0)
		key++;
	if (key == KEYS_COUNT)
		return fail(parser,
			    "the key %s= is unknown; write priority=, "
			    "lifetime_s=, lifetime_max_s=, mappings_max=, "
			    "keep_percent=, domains=, allow= or dial=",
			    ur_words_show(&shown, word));
	if (parser->keys & 1u << key)
		return fail(parser, "%s= stands twice; write it once", word);
	parser->keys |= 1u << key;
	if (key == KEY_DOMAINS)
		return parse_domains(parser, equals + 1);
	if (key == KEY_ALLOW)
		return parse_allow(parser, equals + 1);
	if (key == KEY_DIAL)
		return parse_dial(parser, equals + 1);
	return parse_number(parser, key, equals + 1);
}

static int parse_name(struct parser *parser, const char *name)
{
	struct uidrecv_network network;
	struct ur_shown shown;

	if (ur_network_read(name, &network))
		return fail(parser,
			    "%s is no name of an agent, but a network; write "
			    "the name before it",
			    ur_words_show(&shown, name));
	if (!ur_right_name_is_valid(name))
		return fail(parser,
			    "%s is no name of an agent; write a URI or DNS "
			    "name of its certificate, at most 255 bytes of "
			    "ASCII and no wildcard",
			    ur_words_show(&shown, name));
	parser->agent.name = name;
	return 0;
}

/* Adds what the words of a line said. */
static int finish_line(struct parser *parser)
{
	struct uidrecv_agent_rights *agent = &parser->agent;
	struct ur_right **found;
	int r;

	agent->networks = parser->networks;
	agent->domains = parser->domains;
	if (agent->networks_count == 0)
		return fail(parser, "the line has no network; write where the "
				    "users may be, such as 10.0.0.0/8");
	if (agent->lifetime_max_s && agent->lifetime_s > agent->lifetime_max_s)
		return fail(parser,
			    "lifetime_s=%" PRIu32 " is more than lifetime_max_s"
			    "=%" PRIu32 "; lower the one or raise the other",
			    agent->lifetime_s, agent->lifetime_max_s);
	found = ur_words_grow(parser->found, parser->found_count,
			      &parser->found_room, sizeof(*found));
	if (!found)
		return -ENOMEM;
	parser->found = found;
	r = ur_right_new(&found[parser->found_count], agent);
	if (r == 0)
		found[parser->found_count++]->line = parser->line;
	return r;
}

static int parse_line(struct parser *parser)
{
	char *rest = parser->text, *word = ur_words_next(&rest), *equals;
	int r;

	parser->agent =
	    (struct uidrecv_agent_rights){.size = sizeof(parser->agent)};
	parser->keys = 0;
	if (!word)
		return 0;
	r = parse_name(parser, word);
	while (r == 0 && (word = ur_words_next(&rest))) {
		equals = strchr(word, '=');
		r = equals ? parse_pair(parser, word, equals)
			   : parse_network(parser, word);
	}
	return r < 0 ? r : finish_line(parser);
}

/* Copies the line, to be cut; whatever follows it is not its text. */
static int take_line(struct parser *parser, const char *line, size_t size)
{
	if (size > 0 && line[size - 1] == '\r')
		size--;
	if (size > LINE_SIZE_MAX)
		return fail(parser,
			    "the line has more than %d bytes; write fewer and "
			    "wider networks",
			    LINE_SIZE_MAX);
	if (memchr(line, '\0', size))
		return fail(parser, "the line has a NUL byte; save the file "
				    "as ASCII or UTF-8");
	memcpy(parser->text, line, size);
	parser->text[size] = '\0';
	return parse_line(parser);
}

static int parse_lines(struct parser *parser, const char *text, size_t size)
{
	int r = 0;

	while (r == 0 && size > 0) {
		const char *newline = memchr(text, '\n', size);
		size_t line_size = newline ? (size_t)(newline - text) : size;

		parser->line++;
		r = take_line(parser, text, line_size);
		line_size += newline != NULL;
		text += line_size;
		size -= line_size;
	}
	return r;
}

static int compare_found(const void *left, const void *right)
{
	const struct ur_right *a = *(struct ur_right *const *)left;
	const struct ur_right *b = *(struct ur_right *const *)right;
	int order = ur_right_compare(a, b);

	return order ? order : (a->line > b->line) - (a->line < b->line);
}

/* Sorts what was found, and sees to it that each name is new. */
static int check_names(struct parser *parser)
{
	struct ur_right **found = parser->found;
	struct ur_shown shown;

	if (parser->found_count > 0)
		qsort(found, parser->found_count, sizeof(*found),
		      compare_found);
	for (size_t i = 0; i < parser->found_count; i++) {
		parser->line = found[i]->line;
		if (i > 0 && strcmp(found[i - 1]->name, found[i]->name) == 0)
			return fail(parser,
				    "the agent %s is on line %zu already; "
				    "make one line of the two",
				    ur_words_show(&shown, found[i]->name),
				    found[i - 1]->line);
		if (ur_rights_find(parser->rights, found[i]->name,
				   found[i]->name_size))
			return fail(parser,
				    "the agent %s is on the list already; "
				    "take the line out",
				    ur_words_show(&shown, found[i]->name));
	}
	return 0;
}

static int parse(struct parser *parser, const char *text, size_t text_size)
{
	int r = -ENOMEM;

	parser->text = malloc(LINE_SIZE_MAX + 1);
	if (parser->text)
		r = parse_lines(parser, text, text_size);
	if (r == 0)
		r = check_names(parser);
	if (r == 0)
		r = ur_rights_merge(parser->rights, parser->found,
				    parser->found_count);
	if (r == 0)
		parser->found_count = 0;
	for (size_t i = 0; i < parser->found_count; i++)
		ur_right_free(parser->found[i]);
	free(parser->found);
	free(parser->domains);
	free(parser->networks);
	free(parser->text);
	if (r == -ENOMEM)
		fail(parser, "%s", uidrecv_strerror(r));
	return r;
}

int uidrecv_rights_parse(struct uidrecv_rights *rights, const char *text,
			 size_t text_size, char *error, size_t error_size)
{
	struct parser parser = {.rights = rights, .error = error};

	if (!rights || (!text && text_size > 0))
		return -EINVAL;
	parser.error_size = error ? error_size : 0;
	return parse(&parser, text, text_size);
}

int uidrecv_rights_load(struct uidrecv_rights *rights, const char *path,
			char *error, size_t error_size)
{
	struct parser parser = {.path = path, .rights = rights};
	char *text = NULL;
	size_t size = 0;
	int r;

	if (!rights || !path)
		return -EINVAL;
	parser.error = error;
	parser.error_size = error ? error_size : 0;
	r = ur_file_read(path, FILE_SIZE_MAX, &text, &size);
	if (r < 0) {
		snprintf(parser.error, parser.error_size,
			 "%s: %s; check the path and who may read it", path,
			 uidrecv_strerror(r));
		return r;
	}
	r = parse(&parser, text, size);
	free(text);
	return r;
}
