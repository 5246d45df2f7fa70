/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The words of a line of configuration, or of an option: cutting, reading,
 * collecting, and showing them in a message. Pure.
 */
#ifndef UR_WORDS_H
#define UR_WORDS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How many bytes of a word a message shows. */
#define UR_SHOWN_MAX 64

struct ur_shown {
	char text[4 * UR_SHOWN_MAX + sizeof("...")];
};

/* Writes a word in printable ASCII, cut if long; returns the text. */
static inline const char *ur_words_show(struct ur_shown *shown,
					const char *word)
{
	char *to = shown->text, *end = to + sizeof(shown->text);
	size_t i;

	for (i = 0; word[i] && i < UR_SHOWN_MAX; i++) {
		if (word[i] > 0x20 && word[i] < 0x7f)
			*to++ = word[i];
		else
			to += snprintf(to, (size_t)(end - to), "\\x%02x",
				       (unsigned char)word[i]);
	}
	snprintf(to, (size_t)(end - to), "%s", word[i] ? "..." : "");
	return shown->text;
}

/*
 * Cuts the next word off a line, at spaces and tabs; NULL at its end or at a
 * word that begins a comment.
 */
static inline char *ur_words_next(char **rest)
{
	char *word = *rest + strspn(*rest, " \t");

	if (*word == '\0' || *word == '#')
		return NULL;
	*rest = word + strcspn(word, " \t");
	if (**rest)
		*(*rest)++ = '\0';
	return word;
}

/*
 * Reads a number of at most max: digits alone, and no leading zeros, which
 * elsewhere mean octal. False if it is none.
 */
static inline bool ur_words_number(const char *word, uint64_t max,
				   uint64_t *ret_number)
{
	uint64_t number = 0;

	if (*word == '\0' || (word[0] == '0' && word[1] != '\0'))
		return false;
	for (; *word; word++) {
		unsigned int digit = (unsigned int)(*word - '0');

		if (digit > 9 || digit > max || number > (max - digit) / 10)
			return false;
		number = number * 10 + digit;
	}
	*ret_number = number;
	return true;
}

/*
 * Cuts "HOST:PORT" or "[IPV6]:PORT" in two. host has room for host_room bytes.
 * False if it is neither.
 */
static inline bool ur_words_endpoint(const char *text, char *host,
				     size_t host_room, uint16_t *ret_port)
{
	const char *colon = strrchr(text, ':');
	const char *start = text;
	unsigned long port;
	size_t size;
	char *end;

	if (!colon || colon[1] < '0' || colon[1] > '9')
		return false;
	port = strtoul(colon + 1, &end, 10);
	if (*end || port > UINT16_MAX)
		return false;
	size = (size_t)(colon - text);
	if (size >= 2 && text[0] == '[' && colon[-1] == ']') {
		start++;
		size -= 2;
	} else if (memchr(text, ':', size)) {
		return false; /* an IPv6 address without brackets */
	}
	if (!size || size >= host_room)
		return false;
	memcpy(host, start, size);
	host[size] = '\0';
	*ret_port = (uint16_t)port;
	return true;
}

/* Makes room for one more; NULL without memory, and the array is as it was. */
static inline void *ur_words_grow(void *array, size_t count, size_t *room,
				  size_t item_size)
{
	size_t wanted = *room ? 2 * *room : 16;
	void *grown;

	if (count < *room)
		return array;
	grown = reallocarray(array, wanted, item_size);
	if (grown)
		*room = wanted;
	return grown;
}

#endif
