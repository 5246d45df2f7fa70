/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel does: a table of nftables, "inet uidtsagent", and nothing
 * else. It gives each new flow of a user a source port of his blocks, and keeps
 * all others out of the range. The address of a flow stays.
 */
#ifndef UIDTSAGENT_RULES_H
#define UIDTSAGENT_RULES_H

#include "uidtsagent-blocks.h"

struct nft_ctx;

struct ts_rules {
	struct nft_ctx *nft;
	int events_fd; /* readable when somebody changes rules */
	bool is_lost;  /* somebody changed ours, or they did not go in */
	bool is_up;    /* the table is there */
	char error[512];
};

/* 0 or a negative error, with a text in error. Changes nothing. */
int ts_rules_open(struct ts_rules *rules);
void ts_rules_close(struct ts_rules *rules);

/*
 * Makes the kernel's rules those of the share, in one transaction, and notes it
 * in the blocks. What a former run left is replaced by it. 0, 1 if it did
 * something, or a negative error with a text: then all is as it was.
 */
int ts_rules_apply(struct ts_rules *rules, struct ts_share *share,
		   uint64_t now_us);

/* Reads the events. Returns true if somebody else changed our table. */
bool ts_rules_check(struct ts_rules *rules);

/* Takes the table away; no error if there is none. */
int ts_rules_remove(struct ts_rules *rules);

#endif
