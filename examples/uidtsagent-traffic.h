/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which ports are in use: the kernel's table of connections, as the world
 * outside sees them, and the sockets that were there before us.
 */
#ifndef UIDTSAGENT_TRAFFIC_H
#define UIDTSAGENT_TRAFFIC_H

#include "uidtsagent-blocks.h"

struct nfct_handle;

/* A socket that is older than the rules: its port is its own. */
struct ts_socket {
	uint16_t port;
	uint64_t inode;
};

/* A flow of a user, by a hash of where it goes. */
struct ts_flow {
	uid_t uid;
	uint64_t destination;
};

struct ts_traffic {
	struct nfct_handle *conntrack;
	struct ts_socket *sockets;
	size_t sockets_count, sockets_room;
	struct ts_flow *flows;
	size_t flows_count, flows_room;
	struct uidrecv_address *locals; /* addresses of this host, sorted */
	size_t locals_count, locals_room;
	uint64_t seed;
	uint64_t forwarded; /* flows of others that have ports of the range */
	struct ts_share *share; /* that is being counted */
	int error;
};

/* Notes the sockets of now. 0 or a negative error. */
int ts_traffic_open(struct ts_traffic *traffic, const struct ts_share *share);
void ts_traffic_close(struct ts_traffic *traffic);

/*
 * Writes into blocks and users of the share what they use, and calls
 * ts_share_count(). 0 or a negative error: then all blocks count as used.
 */
int ts_traffic_count(struct ts_traffic *traffic, struct ts_share *share,
		     uint64_t now_us);

#endif
