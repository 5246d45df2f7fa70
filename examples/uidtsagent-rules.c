/* SPDX-License-Identifier: BSD-2-Clause */
#include "uidtsagent-rules.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TABLE "uidtsagent"
/* nft wants to see the protocol in the rule that translates a port. */
#define PROTOCOLS "meta l4proto { tcp, udp, udplite, sctp, dccp }"
#define FIRST_PORT 1024
#define LAST_PORT 65535

int ts_rules_open(struct ts_rules *rules)
{
	struct sockaddr_nl address = {
	    .nl_family = AF_NETLINK,
	    .nl_groups = 1u << (NFNLGRP_NFTABLES - 1),
	};

	*rules = (struct ts_rules){.is_lost = true};
	rules->events_fd =
	    socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
		   NETLINK_NETFILTER);
	if (rules->events_fd < 0 ||
	    bind(rules->events_fd, (struct sockaddr *)&address,
		 sizeof(address)) < 0) {
		int error = -errno;

		snprintf(rules->error, sizeof(rules->error), "nftables: %s",
			 strerror(-error));
		return error;
	}
	rules->nft = nft_ctx_new(NFT_CTX_DEFAULT);
	if (rules->nft == NULL)
		return -ENOMEM;
	nft_ctx_buffer_error(rules->nft);
	nft_ctx_buffer_output(rules->nft);
	return 0;
}

void ts_rules_close(struct ts_rules *rules)
{
	if (rules->nft != NULL)
		nft_ctx_free(rules->nft);
	if (rules->events_fd >= 0)
		close(rules->events_fd);
	*rules = (struct ts_rules){.events_fd = -1};
}

/* Is a message about our table? Its name is the first attribute of all. */
static bool is_ours(const struct nlmsghdr *header)
{
	const struct nfgenmsg *generic =
	    (const void *)((const char *)header + NLMSG_HDRLEN);
	const struct nlattr *attribute = (const void *)(generic + 1);
	size_t head = NLMSG_LENGTH(sizeof(*generic) + NLA_HDRLEN);

	return header->nlmsg_len >= head + sizeof(TABLE) &&
	       generic->nfgen_family == NFPROTO_INET &&
	       (attribute->nla_type & NLA_TYPE_MASK) == NFTA_TABLE_NAME &&
	       attribute->nla_len == NLA_HDRLEN + sizeof(TABLE) &&
	       memcmp(attribute + 1, TABLE, sizeof(TABLE)) == 0;
}

/*
 * Reads what there is. Counts transactions, and tells whether a message was
 * about our table, or could not be read.
 */
static bool read_events(struct ts_rules *rules, unsigned int *ret_transactions)
{
	_Alignas(struct nlmsghdr) char buffer[16384];
	bool is_touched = false;

	*ret_transactions = 0;
	for (;;) {
		struct nlmsghdr *header = (struct nlmsghdr *)buffer;
		ssize_t got = recv(rules->events_fd, buffer, sizeof(buffer), 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			return is_touched;
		if (got <= 0) {
			is_touched = true;
			if (errno == ENOBUFS)
				continue;
			return true;
		}
		for (int left = (int)got; NLMSG_OK(header, (unsigned int)left);
		     header = NLMSG_NEXT(header, left)) {
			if ((header->nlmsg_type & 0xff) == NFT_MSG_NEWGEN)
				(*ret_transactions)++;
			else
				is_touched |= is_ours(header);
		}
	}
}

bool ts_rules_check(struct ts_rules *rules)
{
	unsigned int transactions;
	bool is_touched = read_events(rules, &transactions);

	rules->is_lost |= is_touched;
	return is_touched;
}

static void note_error(struct ts_rules *rules)
{
	const char *text = nft_ctx_get_error_buffer(rules->nft);

	snprintf(rules->error, sizeof(rules->error), "%.*s",
		 (int)strcspn(text, "\n"), text);
}

static int run(struct ts_rules *rules, const char *text)
{
	unsigned int transactions;
	bool is_touched = read_events(rules, &transactions);

	if (nft_run_cmd_from_buffer(rules->nft, text) != 0) {
		note_error(rules);
		return -EIO;
	}
	/* One transaction is ours; another may have been about our table. */
	read_events(rules, &transactions);
	rules->is_lost = is_touched || transactions > 1;
	return 0;
}

/* Where flows go that are in nobody's block. */
static void write_outside(FILE *file, const struct uidrecv_system *system)
{
	uint32_t start = system->ports.start;
	uint32_t end = start + system->ports.count - 1;
	bool is_above = LAST_PORT - end >= start - FIRST_PORT;
	uint32_t low = is_above ? end + 1 : FIRST_PORT;
	uint32_t high = is_above ? LAST_PORT : start - 1;

	fputs("chain outside {\n", file);
	/* Where two flows meet the kernel chooses: never out of here. */
	for (uint32_t i = 0; i < system->reserved_count; i++)
		fprintf(
		    file,
		    PROTOCOLS " th sport %" PRIu32 "-%" PRIu32
			      " snat to :%" PRIu32 "-%" PRIu32 "\n",
		    system->reserved[i].start,
		    system->reserved[i].start + system->reserved[i].count - 1,
		    system->reserved[i].start,
		    system->reserved[i].start + system->reserved[i].count - 1);
	fprintf(file,
		PROTOCOLS " th sport %" PRIu32 "-%" PRIu32 " snat to :%" PRIu32
			  "-%" PRIu32 "\n",
		start, end, low, high);
	if (end < LAST_PORT)
		fprintf(file,
			PROTOCOLS " th sport %" PRIu32 "-%d snat to :%" PRIu32
				  "-%d\n",
			end + 1, LAST_PORT, end + 1, LAST_PORT);
	if (start > FIRST_PORT)
		fprintf(file,
			PROTOCOLS " th sport %d-%" PRIu32
				  " snat to :%d-%" PRIu32 "\n",
			FIRST_PORT, start - 1, FIRST_PORT, start - 1);
	fputs("}\n", file);
}

/*
 * A flow that does not begin with SYN began before the rules: it must keep its
 * port, and cannot have one of a block. Multicast and broadcast keep theirs,
 * for its number says what it is.
 *
 * A datagram belongs to the flow that the kernel knows with its addresses and
 * ports, though another user may have sent that: it would go on from his block.
 */
static void write_base(FILE *file, const struct uidrecv_system *system)
{
	fputs("add table inet " TABLE "\ndelete table inet " TABLE
	      "\ntable inet " TABLE " {\n"
	      "set taken { type inet_service; flags interval; }\n"
	      "set owned { type uid . inet_service; flags interval; }\n"
	      "map users { type uid : verdict; }\n",
	      file);
	write_outside(file, system);
	fputs("chain post {\n"
	      "type nat hook postrouting priority srcnat - 10; policy accept;\n"
	      "oif \"lo\" return\n"
	      "meta l4proto != { tcp, udp, udplite, sctp, dccp } return\n"
	      "fib saddr type != local return\n"
	      "tcp flags & (fin|syn|rst|ack) != syn tcp sport @taken drop\n"
	      "tcp flags & (fin|syn|rst|ack) != syn return\n"
	      "fib daddr type { multicast, broadcast } goto outside\n"
	      "meta skuid vmap @users\n"
	      "goto outside\n"
	      "}\n"
	      "chain own {\n"
	      "type filter hook postrouting priority srcnat + 10; "
	      "policy accept;\n"
	      "oif \"lo\" accept\n"
	      "ct direction original " PROTOCOLS " th sport @taken "
	      "meta skuid . th sport != @owned drop\n"
	      "}\n}\n",
	      file);
}

/*
 * A port that he chose himself stays if it is his. Else each of his blocks gets
 * an equal part: the last all that is left, the one before it a half of it, ...
 */
static void write_user(FILE *file, const struct ts_share *share, uid_t uid)
{
	uint32_t size = share->system.block_size, left = 0;

	for (size_t i = 0; i < share->blocks_count; i++)
		left += share->blocks[i].state == TS_USED &&
			share->blocks[i].uid == uid;
	if (left == 0)
		return;
	fprintf(file,
		"add chain inet " TABLE " u%u\nflush chain inet " TABLE
		" u%u\n",
		uid, uid);
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < share->blocks_count; i++) {
			const struct ts_block *block = &share->blocks[i];
			uint32_t last = block->start + size - 1;

			if (block->state != TS_USED || block->uid != uid)
				continue;
			fprintf(file,
				"add rule inet " TABLE " u%u " PROTOCOLS " ",
				uid);
			if (pass == 0)
				fprintf(file, "th sport %u-%" PRIu32 " ",
					block->start, last);
			else if (left > 1)
				fprintf(file,
					"numgen random mod %" PRIu32 " 0 ",
					left--);
			fprintf(file, "snat to :%u-%" PRIu32 "\n", block->start,
				last);
		}
	}
	fprintf(file, "add element inet " TABLE " users { %u : goto u%u }\n",
		uid, uid);
}

static bool has_block(const struct ts_share *share, uid_t uid, bool is_ruled)
{
	for (size_t i = 0; i < share->blocks_count; i++) {
		const struct ts_block *block = &share->blocks[i];

		if (block->uid == uid && ts_block_is_said(block) &&
		    (is_ruled ? block->is_ruled : block->state == TS_USED))
			return true;
	}
	return false;
}

static void remove_user(FILE *file, uid_t uid)
{
	fprintf(file,
		"delete element inet " TABLE " users { %u }\n"
		"delete chain inet " TABLE " u%u\n",
		uid, uid);
}

static bool must_guard(const struct ts_block *block)
{
	return block->state == TS_USED || block->state == TS_DRAINING;
}

static void write_guards(FILE *file, const struct ts_share *share, bool is_all)
{
	for (size_t i = 0; i < share->blocks_count; i++) {
		const struct ts_block *block = &share->blocks[i];
		bool is_there = !is_all && block->is_guarded;
		const char *verb = is_there ? "delete" : "add";
		uint32_t last = block->start + share->system.block_size - 1;

		if (must_guard(block) == is_there)
			continue;
		fprintf(file,
			"%s element inet " TABLE " taken { %u-%" PRIu32 " }\n",
			verb, block->start, last);
		fprintf(file,
			"%s element inet " TABLE " owned { %u . %u-%" PRIu32
			" }\n",
			verb, block->uid, block->start, last);
	}
}

static char *write_all(const struct ts_rules *rules,
		       const struct ts_share *share)
{
	bool is_all = rules->is_lost;
	char *text = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&text, &size);

	if (file == NULL)
		return NULL;
	if (is_all)
		write_base(file, &share->system);
	write_guards(file, share, is_all);
	for (size_t i = 0; i < share->users_count; i++) {
		const struct ts_user *user = &share->users[i];

		if (!is_all && !user->is_changed)
			continue;
		if (has_block(share, user->uid, false))
			write_user(file, share, user->uid);
		else if (!is_all && has_block(share, user->uid, true))
			remove_user(file, user->uid);
	}
	if (fclose(file) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

int ts_rules_apply(struct ts_rules *rules, struct ts_share *share,
		   uint64_t now_us)
{
	bool must_do;
	char *text;
	int result;

	must_do = rules->is_lost;
	for (size_t i = 0; i < share->users_count; i++)
		must_do |= share->users[i].is_changed;
	for (size_t i = 0; i < share->blocks_count; i++)
		must_do |= must_guard(&share->blocks[i]) !=
			   share->blocks[i].is_guarded;
	if (!must_do)
		return 0;
	text = write_all(rules, share);
	if (text == NULL)
		return -ENOMEM;
	result = run(rules, text);
	free(text);
	if (result < 0) {
		/* Whatever it is: next time all of it. */
		rules->is_lost = true;
		return result;
	}
	rules->is_up = true;
	for (size_t i = 0; i < share->users_count; i++)
		share->users[i].is_changed = false;
	for (size_t i = 0; i < share->blocks_count; i++) {
		struct ts_block *block = &share->blocks[i];

		if (block->state != TS_USED && block->unruled_us == UINT64_MAX)
			block->unruled_us = now_us;
		block->is_ruled = block->state == TS_USED;
		block->is_guarded = must_guard(block);
	}
	return 1;
}

int ts_rules_remove(struct ts_rules *rules)
{
	rules->is_up = false;
	return run(rules,
		   "add table inet " TABLE "\ndelete table inet " TABLE "\n");
}
