/* SPDX-License-Identifier: BSD-2-Clause */
#include "uidtsagent-addresses.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So many interfaces and addresses are looked at. */
#define INTERFACES_MAX 64
#define ADDRESSES_MAX 256

struct interfaces {
	char names[INTERFACES_MAX][IF_NAMESIZE];
	size_t count;
};

static void add_interface(struct interfaces *found, const char *name)
{
	if (found->count < INTERFACES_MAX && strcmp(name, "lo") != 0)
		snprintf(found->names[found->count++], IF_NAMESIZE, "%s", name);
}

/* The interfaces of default routes. */
static void find_interfaces(struct interfaces *found)
{
	char line[512], name[IF_NAMESIZE];
	FILE *file = fopen("/proc/net/route", "re");
	unsigned int target, mask, size;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "%15s %x %*x %*x %*u %*u %*u %x", name,
			   &target, &mask) == 3 &&
		    target == 0 && mask == 0)
			add_interface(found, name);
	if (file)
		fclose(file);
	file = fopen("/proc/net/ipv6_route", "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line,
			   "%*32s %x %*32s %*x %*32s %*x %*x %*x %*x %15s",
			   &size, name) == 2 &&
		    size == 0)
			add_interface(found, name);
	if (file)
		fclose(file);
}

static bool has_interface(const struct interfaces *found, const char *name)
{
	for (size_t i = 0; i < found->count; i++)
		if (strcmp(found->names[i], name) == 0)
			return true;
	return false;
}

/* False for what is no address for others. */
static bool read_address(const struct sockaddr *from,
			 struct uidrecv_address *ret_address)
{
	if (from == NULL)
		return false;
	if (from->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)from;
		uint32_t number = ntohl(in->sin_addr.s_addr);

		*ret_address = uidrecv_address_from_ipv4(number);
		return number >> 24 != 127 && number >> 16 != 0xa9fe;
	}
	if (from->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)from;

		*ret_address =
		    uidrecv_address_from_ipv6(in6->sin6_addr.s6_addr);
		return !IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr) &&
		       !IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
	}
	return false;
}

static int compare(const void *a, const void *b)
{
	const struct uidrecv_address *one = a, *other = b;
	bool is_ipv4 = uidrecv_address_is_ipv4(*one);

	if (is_ipv4 != uidrecv_address_is_ipv4(*other))
		return is_ipv4 ? -1 : 1;
	if (one->hi != other->hi)
		return one->hi < other->hi ? -1 : 1;
	return one->lo < other->lo ? -1 : one->lo > other->lo;
}

int ts_addresses_find(struct uidrecv_system *system)
{
	static struct interfaces interfaces;
	static struct uidrecv_address found[ADDRESSES_MAX];
	struct ifaddrs *list;
	uint32_t count = 0;

	interfaces.count = 0;
	find_interfaces(&interfaces);
	if (getifaddrs(&list) < 0)
		return -errno;
	for (const struct ifaddrs *one = list; one; one = one->ifa_next)
		if (count < ADDRESSES_MAX &&
		    has_interface(&interfaces, one->ifa_name) &&
		    read_address(one->ifa_addr, &found[count]))
			count++;
	freeifaddrs(list);
	if (count == 0)
		return 0;
	qsort(found, count, sizeof(*found), compare);
	memset(system->aliases, 0, sizeof(system->aliases));
	system->address = found[0];
	system->aliases_count =
	    count - 1 < UIDRECV_ALIASES_MAX ? count - 1 : UIDRECV_ALIASES_MAX;
	memcpy(system->aliases, &found[1],
	       system->aliases_count * sizeof(*found));
	return (int)count;
}
