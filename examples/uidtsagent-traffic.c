/* SPDX-License-Identifier: BSD-2-Clause */
#include "uidtsagent-traffic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Memory has an end; who counts less gives blocks too late, not wrongly. */
#define FLOWS_MAX (1u << 22)

static bool make_room(void **items, size_t *room, size_t count, size_t size)
{
	size_t wanted = *room ? *room * 2 : 256;
	void *more;

	if (count < *room)
		return true;
	more = reallocarray(*items, wanted, size);
	if (more == NULL)
		return false;
	*items = more;
	*room = wanted;
	return true;
}

static int compare_addresses(const void *a, const void *b)
{
	const struct uidrecv_address *one = a, *other = b;

	if (one->hi != other->hi)
		return one->hi < other->hi ? -1 : 1;
	return one->lo < other->lo ? -1 : one->lo > other->lo;
}

static bool read_sockaddr(const struct sockaddr *from,
			  struct uidrecv_address *ret_address)
{
	if (from == NULL)
		return false;
	if (from->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)from;

		*ret_address =
		    uidrecv_address_from_ipv4(ntohl(in->sin_addr.s_addr));
		return true;
	}
	if (from->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)from;

		*ret_address =
		    uidrecv_address_from_ipv6(in6->sin6_addr.s6_addr);
		return true;
	}
	return false;
}

static int find_locals(struct ts_traffic *traffic)
{
	struct ifaddrs *list;
	int result = 0;

	if (getifaddrs(&list) < 0)
		return -errno;
	traffic->locals_count = 0;
	for (const struct ifaddrs *one = list; one; one = one->ifa_next) {
		struct uidrecv_address address;

		if (!read_sockaddr(one->ifa_addr, &address))
			continue;
		if (!make_room((void **)&traffic->locals, &traffic->locals_room,
			       traffic->locals_count,
			       sizeof(*traffic->locals))) {
			result = -ENOMEM;
			break;
		}
		traffic->locals[traffic->locals_count++] = address;
	}
	freeifaddrs(list);
	if (traffic->locals_count > 0)
		qsort(traffic->locals, traffic->locals_count,
		      sizeof(*traffic->locals), compare_addresses);
	return result;
}

static bool is_local(const struct ts_traffic *traffic,
		     struct uidrecv_address address)
{
	return traffic->locals_count > 0 &&
	       bsearch(&address, traffic->locals, traffic->locals_count,
		       sizeof(address), compare_addresses) != NULL;
}

/* Does a flow of this host never leave it? */
static bool stays_here(const struct ts_traffic *traffic,
		       struct uidrecv_address ours,
		       struct uidrecv_address theirs)
{
	bool is_loopback = uidrecv_address_is_ipv4(ours)
			       ? (uint32_t)ours.lo >> 24 == 127
			       : ours.hi == 0 && ours.lo == 1;

	return is_loopback || is_local(traffic, theirs);
}

/* 127.x.y.z, the same as an IPv6 address, or ::1; little-endian words. */
static bool is_loopback(const char *hex)
{
	static const char mapped[] = "0000000000000000FFFF0000";
	size_t size = strlen(hex);

	if (size == 32 && strncmp(hex, mapped, strlen(mapped)) != 0)
		return strcmp(hex, "00000000000000000000000001000000") == 0;
	return size >= 8 && strcmp(hex + size - 2, "7F") == 0;
}

/* A line of /proc/net: "N: LOCAL:PORT REMOTE:PORT STATE ... UID TIMEOUT INODE".
 */
static bool read_socket(const char *line, bool is_tcp,
			struct ts_socket *ret_socket)
{
	char local[33], remote[33];
	unsigned int port, remote_port, state;
	unsigned long long inode;

	if (sscanf(line,
		   " %*u: %32[0-9A-F]:%x %32[0-9A-F]:%x %x %*s %*s %*s %*u "
		   "%*u %llu",
		   local, &port, remote, &remote_port, &state, &inode) != 6)
		return false;
	/* Those in TIME_WAIT and listeners begin no flow. */
	if ((is_tcp && (state == 6 || state == 10)) || is_loopback(local))
		return false;
	*ret_socket = (struct ts_socket){(uint16_t)port, inode};
	return true;
}

static bool has_socket(const struct ts_traffic *traffic, size_t count,
		       const struct ts_socket *wanted)
{
	for (size_t i = 0; i < count; i++)
		if (traffic->sockets[i].port == wanted->port &&
		    traffic->sockets[i].inode == wanted->inode)
			return true;
	return false;
}

/* Keeps, of the first count, those that are still there; count 0: takes all. */
static int read_sockets(struct ts_traffic *traffic,
			const struct ts_share *share, bool is_first)
{
	static const char *const paths[] = {"/proc/net/tcp", "/proc/net/tcp6",
					    "/proc/net/udp", "/proc/net/udp6"};
	size_t before = traffic->sockets_count, kept = before;
	struct ts_socket found;
	char line[512];

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		FILE *file = fopen(paths[i], "re");

		/* Without IPv6 there is no tcp6. */
		if (file == NULL && errno == ENOENT)
			continue;
		if (file == NULL)
			return -errno;
		while (fgets(line, sizeof(line), file)) {
			if (!read_socket(line, i < 2, &found) ||
			    !ts_share_find_block(share, found.port) ||
			    (!is_first && !has_socket(traffic, before, &found)))
				continue;
			if (!make_room((void **)&traffic->sockets,
				       &traffic->sockets_room, kept,
				       sizeof(found))) {
				fclose(file);
				return -ENOMEM;
			}
			traffic->sockets[kept++] = found;
		}
		fclose(file);
	}
	if (kept > before)
		memmove(traffic->sockets, traffic->sockets + before,
			(kept - before) * sizeof(found));
	traffic->sockets_count = kept - before;
	return 0;
}

static void add_flow(struct ts_traffic *traffic, uid_t uid,
		     uint64_t destination)
{
	if (traffic->flows_count == FLOWS_MAX)
		return;
	if (!make_room((void **)&traffic->flows, &traffic->flows_room,
		       traffic->flows_count, sizeof(*traffic->flows))) {
		traffic->error = -ENOMEM;
		return;
	}
	traffic->flows[traffic->flows_count++] =
	    (struct ts_flow){uid, destination};
}

static uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 29;
}

static struct uidrecv_address address_of(const struct nf_conntrack *entry,
					 enum nf_conntrack_attr ipv4,
					 enum nf_conntrack_attr ipv6)
{
	const void *bytes = nfct_get_attr(entry, ipv6);

	if (nfct_attr_is_set(entry, ipv4))
		return uidrecv_address_from_ipv4(
		    ntohl(nfct_get_attr_u32(entry, ipv4)));
	if (bytes != NULL)
		return uidrecv_address_from_ipv6(bytes);
	return (struct uidrecv_address){0, 0};
}

/*
 * The answer to a flow goes to the port that the world sees. Where two flows
 * collide is all of the answer's addresses and ports.
 */
static int count_entry(enum nf_conntrack_msg_type type,
		       struct nf_conntrack *entry, void *user)
{
	struct ts_traffic *traffic = user;
	uint16_t port = ntohs(nfct_get_attr_u16(entry, ATTR_REPL_PORT_DST));
	struct ts_block *block = ts_share_find_block(traffic->share, port);
	struct uidrecv_address ours, theirs, origin;
	uint64_t hash = traffic->seed;

	(void)type;
	if (block == NULL || !nfct_attr_is_set(entry, ATTR_REPL_PORT_DST))
		return NFCT_CB_CONTINUE;
	ours = address_of(entry, ATTR_REPL_IPV4_DST, ATTR_REPL_IPV6_DST);
	if (!is_local(traffic, ours))
		return NFCT_CB_CONTINUE;
	theirs = address_of(entry, ATTR_REPL_IPV4_SRC, ATTR_REPL_IPV6_SRC);
	if (stays_here(traffic, ours, theirs))
		return NFCT_CB_CONTINUE;
	origin = address_of(entry, ATTR_ORIG_IPV4_SRC, ATTR_ORIG_IPV6_SRC);
	traffic->forwarded += !is_local(traffic, origin);
	block->flows++;
	if (!ts_block_is_said(block))
		return NFCT_CB_CONTINUE;
	hash = mix(hash, nfct_get_attr_u8(entry, ATTR_L4PROTO));
	hash = mix(hash, nfct_get_attr_u16(entry, ATTR_REPL_PORT_SRC));
	hash = mix(mix(hash, theirs.hi), theirs.lo);
	hash = mix(mix(hash, ours.hi), ours.lo);
	add_flow(traffic, block->uid, hash);
	return NFCT_CB_CONTINUE;
}

static int compare_flows(const void *a, const void *b)
{
	const struct ts_flow *one = a, *other = b;

	if (one->uid != other->uid)
		return one->uid < other->uid ? -1 : 1;
	if (one->destination != other->destination)
		return one->destination < other->destination ? -1 : 1;
	return 0;
}

static void weigh_flows(struct ts_traffic *traffic, struct ts_share *share)
{
	uint32_t count = 0;

	for (size_t i = 0; i < share->users_count; i++)
		share->users[i].load = 0;
	if (traffic->flows_count > 0)
		qsort(traffic->flows, traffic->flows_count,
		      sizeof(*traffic->flows), compare_flows);
	for (size_t i = 0; i < traffic->flows_count; i++) {
		const struct ts_flow *flow = &traffic->flows[i];
		struct ts_user *user = ts_share_find_user(share, flow->uid);

		count =
		    i > 0 && compare_flows(flow, flow - 1) == 0 ? count + 1 : 1;
		if (user != NULL && user->load < count)
			user->load = count;
	}
}

static int dump(struct ts_traffic *traffic)
{
	static const uint32_t families[] = {AF_INET, AF_INET6};

	for (size_t i = 0; i < 2; i++)
		if (nfct_query(traffic->conntrack, NFCT_Q_DUMP, &families[i]) <
		    0)
			return -errno;
	return traffic->error;
}

static int count_all(struct ts_traffic *traffic, struct ts_share *share)
{
	int result = find_locals(traffic);

	if (result == 0 && traffic->sockets_count > 0)
		result = read_sockets(traffic, share, false);
	if (result < 0)
		return result;
	for (size_t i = 0; i < share->blocks_count; i++)
		share->blocks[i].flows = 0;
	for (size_t i = 0; i < traffic->sockets_count; i++)
		ts_share_find_block(share, traffic->sockets[i].port)->flows++;
	traffic->share = share;
	traffic->flows_count = 0;
	traffic->forwarded = 0;
	traffic->error = 0;
	return dump(traffic);
}

static void close_conntrack(struct ts_traffic *traffic)
{
	if (traffic->conntrack != NULL)
		nfct_close(traffic->conntrack);
	traffic->conntrack = NULL;
}

static int open_conntrack(struct ts_traffic *traffic)
{
	if (traffic->conntrack != NULL)
		return 0;
	traffic->conntrack = nfct_open(CONNTRACK, 0);
	if (traffic->conntrack == NULL)
		return -errno;
	if (nfct_callback_register(traffic->conntrack, NFCT_T_ALL, count_entry,
				   traffic) == 0)
		return 0;
	close_conntrack(traffic);
	return -ENOMEM;
}

int ts_traffic_count(struct ts_traffic *traffic, struct ts_share *share,
		     uint64_t now_us)
{
	int result = open_conntrack(traffic);

	if (result == 0)
		result = count_all(traffic, share);
	if (result == 0) {
		weigh_flows(traffic, share);
		ts_share_count(share, now_us);
		return 0;
	}
	/* What is left of an answer would be taken for the next one. */
	close_conntrack(traffic);
	/* What is not known may be in use. */
	for (size_t i = 0; i < share->blocks_count; i++)
		share->blocks[i].flows++;
	return result;
}

int ts_traffic_open(struct ts_traffic *traffic, const struct ts_share *share)
{
	int result;

	*traffic = (struct ts_traffic){0};
	if (getrandom(&traffic->seed, sizeof(traffic->seed), 0) < 0)
		return -errno;
	result = open_conntrack(traffic);
	if (result < 0)
		return result;
	return read_sockets(traffic, share, true);
}

void ts_traffic_close(struct ts_traffic *traffic)
{
	close_conntrack(traffic);
	free(traffic->sockets);
	free(traffic->flows);
	free(traffic->locals);
	*traffic = (struct ts_traffic){0};
}
