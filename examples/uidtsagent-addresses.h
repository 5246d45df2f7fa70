/* SPDX-License-Identifier: BSD-2-Clause */
/* Which addresses this host has for the world. */
#ifndef UIDTSAGENT_ADDRESSES_H
#define UIDTSAGENT_ADDRESSES_H

#include <uidrecv/record.h>

/*
 * Sets address and aliases to the addresses of all interfaces to which a
 * default route leads, but for loopback and link-local ones: the IPv4 addresses
 * first, in the order of their numbers. Returns how many there are, of which at
 * most 1 + UIDRECV_ALIASES_MAX are set, or a negative error.
 */
int ts_addresses_find(struct uidrecv_system *system);

#endif
