/* SPDX-License-Identifier: BSD-2-Clause */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <uidrecv/types.h>

#include "dns.h"

#define HEADER 12
#define TYPE_A 1
#define TYPE_AAAA 28

static void insist(bool is_ok, const char *what)
{
	if (is_ok)
		return;
	fprintf(stderr, "dns: %s\n", what);
	abort();
}

void dns_open(struct dns *dns)
{
	struct sockaddr_in name = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(name);

	memset(dns, 0, sizeof(*dns));
	dns->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	insist(dns->fd >= 0, "socket");
	insist(!bind(dns->fd, (struct sockaddr *)&name, size), "bind");
	insist(!getsockname(dns->fd, (struct sockaddr *)&name, &size), "name");
	snprintf(dns->servers, sizeof(dns->servers), "127.0.0.1:%u",
		 ntohs(name.sin_port));
}

void dns_close(struct dns *dns)
{
	close(dns->fd);
}

void dns_set(struct dns *dns, const char *name, const char *addresses)
{
	size_t i = 0;

	while (i < DNS_NAMES_MAX && dns->names[i].name &&
	       strcmp(dns->names[i].name, name) != 0)
		i++;
	insist(i < DNS_NAMES_MAX, "names");
	dns->names[i].name = name;
	dns->names[i].addresses = addresses;
}

static const char *find(const struct dns *dns, const char *name)
{
	for (size_t i = 0; i < DNS_NAMES_MAX && dns->names[i].name; i++)
		if (strcmp(dns->names[i].name, name) == 0)
			return dns->names[i].addresses;
	return dns->any;
}

/* The name with dots; returns where it ends in the question. */
static size_t read_name(const uint8_t *bytes, size_t size, char *name)
{
	size_t at = HEADER, length = 0;

	while (at < size && bytes[at]) {
		uint8_t label = bytes[at++];

		insist(at + label < size && length + label < 250, "name");
		if (length)
			name[length++] = '.';
		memcpy(name + length, bytes + at, label);
		length += label;
		at += label;
	}
	name[length] = '\0';
	return at + 1;
}

static size_t add_record(uint8_t *bytes, uint16_t type,
			 struct uidrecv_address address)
{
	size_t size = type == TYPE_A ? 4 : 16;
	uint8_t head[] = {0xc0, HEADER, 0, (uint8_t)type, 0, 1, 0, 0,
			  0,	0,	0, (uint8_t)size};

	memcpy(bytes, head, sizeof(head));
	for (size_t i = 0; i < size; i++) {
		size_t at = 16 - size + i;
		uint64_t half = at < 8 ? address.hi : address.lo;

		bytes[sizeof(head) + i] = (uint8_t)(half >> (56 - at % 8 * 8));
	}
	return sizeof(head) + size;
}

static size_t add_records(uint8_t *bytes, uint16_t type, const char *addresses,
			  uint8_t *ret_count)
{
	char copy[256], *rest = copy, *text;
	size_t size = 0;

	snprintf(copy, sizeof(copy), "%s", addresses);
	while ((text = strsep(&rest, ","))) {
		struct uidrecv_address address;

		insist(!uidrecv_address_parse(text, &address), text);
		if (uidrecv_address_is_ipv4(address) != (type == TYPE_A))
			continue;
		size += add_record(bytes + size, type, address);
		++*ret_count;
	}
	return size;
}

static size_t answer(const struct dns *dns, uint8_t *bytes, size_t size)
{
	char name[256];
	size_t end = read_name(bytes, size, name) + 4;
	const char *addresses = find(dns, name);
	uint16_t type = bytes[end - 3];

	insist(end <= size, "question");
	bytes[2] = dns->is_truncated ? 0x83 : 0x81;
	bytes[3] = addresses ? 0x80 : 0x83;
	memset(bytes + 6, 0, 6);
	if (addresses && !dns->is_truncated)
		end += add_records(bytes + end, type, addresses, &bytes[7]);
	return end;
}

void dns_turn(void *user)
{
	struct dns *dns = user;
	struct sockaddr_in from;
	socklen_t from_size = sizeof(from);
	uint8_t bytes[4096];
	ssize_t size;

	while ((size = recvfrom(dns->fd, bytes, 512, 0,
				(struct sockaddr *)&from, &from_size)) > 0) {
		dns->asked++;
		if (dns->is_silent)
			continue;
		size = (ssize_t)answer(dns, bytes, (size_t)size);
		sendto(dns->fd, bytes, (size_t)size, MSG_NOSIGNAL,
		       (struct sockaddr *)&from, from_size);
	}
}
