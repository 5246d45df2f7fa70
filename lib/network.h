/* SPDX-License-Identifier: BSD-2-Clause */
/* The arithmetic of networks and of the addresses that are special. Pure. */
#ifndef UR_NETWORK_H
#define UR_NETWORK_H

#include <string.h>

#include <uidrecv/rights.h>

#include "words.h"

/* The address without the bits behind a prefix; prefix_bits <= 128. */
static inline struct uidrecv_address ur_address_mask(
    struct uidrecv_address address, unsigned int prefix_bits)
{
	if (prefix_bits <= 64) {
		address.hi &=
		    prefix_bits ? UINT64_MAX << (64 - prefix_bits) : 0;
		address.lo = 0;
	} else {
		address.lo &= UINT64_MAX << (128 - prefix_bits);
	}
	return address;
}

static inline int ur_address_compare(struct uidrecv_address a,
				     struct uidrecv_address b)
{
	if (a.hi != b.hi)
		return a.hi < b.hi ? -1 : 1;
	return (a.lo > b.lo) - (a.lo < b.lo);
}

/* By the bits alone: here ::/0 holds IPv4 addresses too. */
static inline bool ur_network_holds(const struct uidrecv_network *network,
				    struct uidrecv_address address)
{
	return ur_address_compare(
		   ur_address_mask(address, network->prefix_bits),
		   network->address) == 0;
}

static inline bool ur_network_is_ipv4(const struct uidrecv_network *network)
{
	return network->prefix_bits >= 96 &&
	       uidrecv_address_is_ipv4(network->address);
}

static inline bool ur_network_is_valid(const struct uidrecv_network *network)
{
	return network->prefix_bits <= 128 &&
	       ur_network_holds(network, network->address);
}

/* For qsort(): IPv4 first, and a network before those within it. */
static inline int ur_network_compare(const void *left, const void *right)
{
	const struct uidrecv_network *a = left, *b = right;
	int order = ur_network_is_ipv4(b) - ur_network_is_ipv4(a);

	if (order == 0)
		order = ur_address_compare(a->address, b->address);
	return order ? order : a->prefix_bits - b->prefix_bits;
}

/* 127.0.0.0/8 and ::1. */
static inline bool ur_address_is_loopback(struct uidrecv_address address)
{
	return (address.hi == 0 && address.lo == 1) ||
	       (uidrecv_address_is_ipv4(address) &&
		(address.lo >> 24 & 0xff) == 127);
}

/* 169.254.0.0/16 and fe80::/10. */
static inline bool ur_address_is_link_local(struct uidrecv_address address)
{
	return address.hi >> 54 == 0xfe80 >> 6 ||
	       (uidrecv_address_is_ipv4(address) &&
		(address.lo >> 16 & 0xffff) == 0xa9fe);
}

/* Can it be a user's at all (doc/protocol.md section 5)? */
static inline bool ur_address_is_usable(struct uidrecv_address address)
{
	if (uidrecv_address_is_ipv4(address)) {
		unsigned int first = address.lo >> 24 & 0xff;

		return first != 0 && first < 224;
	}
	if (address.hi == 0 && address.lo >> 32 == 0)
		return address.lo == 1;
	return address.hi >> 56 != 0xff;
}

/*
 * Reads an address or a prefix, whose host bits stay. False if the word is
 * none.
 */
static inline bool ur_network_read(const char *word,
				   struct uidrecv_network *ret_network)
{
	char address[UIDRECV_ADDRESS_TEXT_MAX];
	const char *slash = strchrnul(word, '/');
	size_t size = (size_t)(slash - word);
	bool is_ipv4 = memchr(word, ':', size) == NULL;
	uint64_t bits = is_ipv4 ? 32 : 128;

	if (size >= sizeof(address))
		return false;
	memcpy(address, word, size);
	address[size] = '\0';
	if (uidrecv_address_parse(address, &ret_network->address) < 0)
		return false;
	if (*slash && !ur_words_number(slash + 1, bits, &bits))
		return false;
	ret_network->prefix_bits = (uint8_t)(is_ipv4 ? bits + 96 : bits);
	return true;
}

#endif
