/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads the test vectors of doc/protocol.md section 12. */
#ifndef UR_TEST_VECTOR_H
#define UR_TEST_VECTOR_H

#include <ctype.h>
#include <stdio.h>

#include "codec.h"

#define ITEMS_MAX 16

struct vector {
	char name[128];
	char text[4096];
	uint8_t bytes[4096];
	size_t size;
};

/* All that the text of a vector, or a decoded message, can say. */
struct said {
	uint8_t version, type;
	uint64_t serial, as_of_us, count;
	struct ur_hello hello;
	struct ur_ready ready;
	struct ur_keepalive keepalive;
	struct uidrecv_system system;
	uint16_t bye;
	char text[256]; /* of BYE, RESYNC and SOFTWARE */
	bool has_quote;
	uint8_t quote[UR_FRAME_HEADER];
	struct uidrecv_record records[ITEMS_MAX];
	struct ur_refusal refusals[ITEMS_MAX]; /* told or answered */
	char refusal_texts[ITEMS_MAX][64];
	size_t records_count, refusals_count;
	uint16_t answer;
};

static inline char *read_section(void)
{
	const char *root = getenv("SOURCE_ROOT");
	char path[4096], *page, *section;
	FILE *file;
	size_t size;

	snprintf(path, sizeof(path), "%s/doc/protocol.md", root ? root : ".");
	file = fopen(path, "r");
	cr_assert_not_null(file, "%s", path);
	page = calloc(1, 1 << 20);
	size = fread(page, 1, (1 << 20) - 1, file);
	cr_assert(size > 0 && size < (1 << 20) - 1);
	fclose(file);
	section = strstr(page, "\n## 12. ");
	cr_assert_not_null(section, "the page has no section 12");
	memmove(page, section, strlen(section) + 1);
	return page;
}

/* Copies the block that begins with the fence; returns what comes after it. */
static inline const char *copy_block(const char *at, const char *fence,
				     char *ret, size_t room)
{
	const char *begin = strstr(at, fence), *end;

	cr_assert_not_null(begin, "no %s", fence);
	begin += strlen(fence);
	end = strstr(begin, "\n```");
	cr_assert_not_null(end);
	cr_assert(end + 2 < begin + room);
	memcpy(ret, begin, (size_t)(end + 1 - begin));
	ret[end + 1 - begin] = '\0';
	return end + 4;
}

static inline size_t from_hex(const char *hex, uint8_t *bytes, size_t room)
{
	size_t digits = 0;

	for (; *hex; hex++) {
		if (*hex == '#')
			hex += strcspn(hex, "\n");
		if (!isxdigit((unsigned char)*hex)) {
			cr_assert(isspace((unsigned char)*hex) || !*hex);
			continue;
		}
		cr_assert(digits / 2 < room);
		bytes[digits / 2] = (uint8_t)(bytes[digits / 2] << 4 |
					      (isdigit((unsigned char)*hex)
						   ? *hex - '0'
						   : (*hex | 32) - 'a' + 10));
		digits++;
	}
	cr_assert_eq(digits % 2, 0);
	return digits / 2;
}

/* Gives the vector at the next heading, or NULL at the end. */
static inline const char *next_vector(const char *at, struct vector *ret_vector)
{
	char hex[8192];

	at = strstr(at, "\n### ");
	if (!at)
		return NULL;
	memset(ret_vector, 0, sizeof(*ret_vector));
	at += 5;
	cr_assert_eq(sscanf(at, "%127[^\n]", ret_vector->name), 1);
	at = copy_block(at, "\n```text\n", ret_vector->text,
			sizeof(ret_vector->text));
	at = copy_block(at, "\n```hex\n", hex, sizeof(hex));
	ret_vector->size =
	    from_hex(hex, ret_vector->bytes, sizeof(ret_vector->bytes));
	return at;
}

/* The number after key=, or with no key the number that stands alone. */
static inline uint64_t number(const char *value, const char *key)
{
	const char *at = *key ? strstr(value, key) : value;
	unsigned long long result;
	char *end;

	cr_assert_not_null(at, "%s in %s", key, value);
	result = strtoull(at + strlen(key), &end, 0);
	cr_assert(end > at + strlen(key), "%s in %s", key, value);
	return result;
}

static inline void set_text(char *ret, size_t room, const char *value)
{
	cr_assert(strlen(value) < room);
	memcpy(ret, value, strlen(value) + 1);
}

static inline void add_refusal(struct said *said, uint64_t index, uint64_t code,
			       const char *text, size_t size)
{
	size_t i = said->refusals_count++;

	cr_assert(i < ITEMS_MAX && size < sizeof(said->refusal_texts[0]));
	said->refusals[i].index = (uint32_t)index;
	said->refusals[i].code = (uint16_t)code;
	memcpy(said->refusal_texts[i], text, size);
}

#define IS(tlv) (strcmp(name, tlv) == 0)

static inline void say_in_hello(struct said *said, const char *name,
				const char *value)
{
	struct ur_hello *hello = &said->hello;

	if (IS("VERSIONS")) {
		hello->version_min = (uint8_t)number(value, "lowest=");
		hello->version_max = (uint8_t)number(value, "highest=");
	} else if (IS("ROLE")) {
		hello->role = (uint8_t)number(value, "");
	} else if (IS("SESSION")) {
		hello->session_id = number(value, "");
	} else if (IS("REPLAY")) {
		hello->replay_first = number(value, "first=");
		hello->replay_last = number(value, "last=");
	} else if (IS("HOLD_RANGE")) {
		hello->hold_min_s = (uint16_t)number(value, "lowest=");
		hello->hold_max_s = (uint16_t)number(value, "highest=");
	} else if (IS("FRAME_MAX")) {
		hello->frame_max = (uint32_t)number(value, "");
	} else if (IS("CAPABILITIES")) {
		hello->capabilities = number(value, "");
	} else if (IS("SOFTWARE")) {
		set_text(said->text, sizeof(said->text), value);
	} else {
		cr_assert_fail("what is %s?", name);
	}
}

static inline struct uidrecv_address address_of(const char *value)
{
	struct uidrecv_address address = {0, 0};

	cr_assert_eq(uidrecv_address_parse(value, &address), 0, "%s", value);
	return address;
}

static inline struct uidrecv_ports ports_of(const char *value)
{
	return (struct uidrecv_ports){(uint16_t)number(value, "start="),
				      (uint32_t)number(value, "count=")};
}

/* Of TS CONFIG; false if that has no such TLV. What is too much is left out. */
static inline bool say_in_system(struct uidrecv_system *system,
				 const char *name, const char *value)
{
	if (IS("ADDRESS")) {
		system->address = address_of(value);
	} else if (IS("ALIAS")) {
		if (system->aliases_count < UIDRECV_ALIASES_MAX)
			system->aliases[system->aliases_count++] =
			    address_of(value);
	} else if (IS("PORTS")) {
		system->ports = ports_of(value);
	} else if (IS("BLOCK_SIZE")) {
		system->block_size = (uint32_t)number(value, "");
	} else if (IS("RESERVED")) {
		if (system->reserved_count < UIDRECV_RESERVED_MAX)
			system->reserved[system->reserved_count++] =
			    ports_of(value);
	} else {
		return false;
	}
	return true;
}

static inline void say(struct said *said, const char *name, const char *value)
{
	struct ur_clock_echo *clock = &said->keepalive.clock;

	if (IS("CLOCK")) {
		clock->now_us = number(value, "now=");
		clock->echo_us = number(value, "echo=");
		clock->held_us = number(value, "held=");
	} else if (IS("ACKED")) {
		said->keepalive.has_acked = true;
		said->keepalive.acked = number(value, "");
	} else if (IS("AS_OF")) {
		said->as_of_us = number(value, "");
	} else if (IS("COUNT")) {
		said->count = number(value, "");
	} else if (IS("VERSION")) {
		said->ready.version = (uint8_t)number(value, "");
	} else if (IS("HOLD_TIME")) {
		said->ready.hold_time_s = (uint16_t)number(value, "");
	} else if (IS("DURABLE")) {
		said->ready.durable = number(value, "");
	} else if (IS("WINDOW")) {
		said->ready.window = (uint32_t)number(value, "");
	} else if (IS("REASON")) {
		said->bye = (uint16_t)number(value, "code=");
		set_text(said->text, sizeof(said->text),
			 strstr(value, "text=") + 5);
	} else if (IS("QUOTE")) {
		said->has_quote = true;
		cr_assert_eq(from_hex(value, said->quote, 16), 16);
	} else if (IS("REFUSED")) {
		const char *text = strstr(value, "text=") + 5;

		add_refusal(said, number(value, "index="),
			    number(value, "code="), text, strlen(text));
	} else if (said->type != UR_TS_CONFIG ||
		   !say_in_system(&said->system, name, value)) {
		say_in_hello(said, name, value);
	}
}

static inline void say_in_record(struct uidrecv_record *record,
				 const char *name, const char *value)
{
	if (IS("ADDRESS")) {
		record->address = address_of(value);
	} else if (IS("USER")) {
		record->user_size = (uint8_t)strlen(value);
		set_text(record->user, sizeof(record->user), value);
	} else if (IS("EVENT_TIME")) {
		record->has_event_time = true;
		record->event_time_us = number(value, "");
	} else if (IS("LIFETIME")) {
		record->lifetime_s = (uint32_t)number(value, "");
	} else if (IS("SOURCE")) {
		record->source = (uint8_t)number(value, "");
	} else if (IS("TOKEN")) {
		record->has_token = true;
		record->token = number(value, "");
	} else if (IS("PORTS")) {
		record->ports = ports_of(value);
	} else {
		cr_assert_fail("what is %s?", name);
	}
}

static inline uint16_t op_of(const char *name)
{
	static const char *const names[] = {"MAP", "REFRESH", "LOGOUT",
					    "WITHDRAW"};

	for (size_t i = 0; i < COUNT(names); i++)
		if (IS(names[i]))
			return (uint16_t)(UIDRECV_OP_MAP + i);
	return 0;
}

static inline uint8_t type_of(const char *name)
{
	static const char *const names[] = {
	    "HELLO",	      "READY",	      "UPDATE",	     "ACK",
	    "REJECT",	      "KEEPALIVE",    "BYE",	     "RESYNC",
	    "SNAPSHOT_BEGIN", "SNAPSHOT_END", "REFRESH_ALL", "TS_CONFIG",
	};

	for (size_t i = 0; i < COUNT(names); i++)
		if (strncmp(name, names[i], strlen(names[i])) == 0)
			return (uint8_t)(i + 1);
	return (uint8_t)number(name, "");
}

static inline void say_line(struct said *said, const char *line)
{
	size_t indent = strspn(line, " ");
	const char *value = strchr(line + indent, ' ');
	char name[32] = {0};

	value = value ? value + 1 : line + strlen(line);
	cr_assert_eq(sscanf(line + indent, "%31s", name), 1);
	if (IS("TLV"))
		return;
	if (IS("frame")) {
		said->version = (uint8_t)number(value, "version=");
		said->type = type_of(strstr(value, "type=") + 5);
		said->serial = number(value, "serial=");
	} else if (IS("answer") && strncmp(value, "BYE", 3) == 0) {
		said->answer = (uint16_t)number(value, "code=");
	} else if (IS("answer")) {
		add_refusal(said, number(value, "index="),
			    number(value, "code="), "", 0);
	} else if (op_of(name)) {
		cr_assert(said->records_count < ITEMS_MAX);
		said->records[said->records_count++].op = op_of(name);
	} else if (indent > 0) {
		say_in_record(&said->records[said->records_count - 1], name,
			      value);
	} else {
		say(said, name, value);
	}
}

static inline void said_in_text(const char *text, struct said *ret_said)
{
	char line[512];
	int size;

	memset(ret_said, 0, sizeof(*ret_said));
	for (; sscanf(text, "%511[^\n]%n", line, &size) == 1; text += size + 1)
		say_line(ret_said, line);
}

#endif
