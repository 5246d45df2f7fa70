/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who gets which block of ports. Pure: what firewalls, kernel and users do is
 * written into these structures, and ts_share_step() says what follows.
 *
 * The life of a block: FREE, ASKED (firewalls are told whose it is), USED (they
 * know; the kernel gives him its ports), DRAINING (he needs it no more: no new
 * flow gets a port of it, those that there are go on) or LEAVING (he is gone),
 * RESTING, FREE.
 */
#ifndef UIDTSAGENT_BLOCKS_H
#define UIDTSAGENT_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <uidrecv/record.h>

/* Who was not seen in so many looks is gone: a single one may miss him. */
#define TS_GONE_LOOKS 10
/* In so many he must have needed less before he loses a block. */
#define TS_CALM_LOOKS 60

enum ts_state {
	TS_RESERVED, /* no user's */
	TS_FREE,
	TS_ASKED,
	TS_USED,
	TS_DRAINING,
	TS_LEAVING,
	TS_RESTING,
};

struct ts_block {
	uint16_t start;
	uint8_t state;	     /* enum ts_state */
	uid_t uid;	     /* of ASKED to LEAVING */
	uint64_t since_us;   /* in this state; FREE: since it came to rest */
	uint64_t said_us;    /* when he got it */
	uint64_t unsaid_us;  /* since when nobody is said to have it */
	uint64_t unruled_us; /* since when the kernel gives no port of it */
	uint64_t busy_us;    /* when it last had flows */
	uint32_t flows;	     /* that have a port of it */
	bool is_ruled;	     /* the kernel gives its ports to the user */
	bool is_guarded;     /* the kernel takes no strange packet from it */
	bool is_known;	     /* ASKED: the firewalls know whose it is */
	bool is_forgotten;   /* RESTING: no firewall says that it is anyone's */
	bool must_say;	     /* the firewalls are to be told */
};

struct ts_user {
	uid_t uid;
	uint8_t name_size;
	char name[UIDRECV_NAME_MAX + 1];
	uint64_t seen;	 /* the look in which he was there last; 0: dismissed */
	uint64_t calm;	 /* that since which he needs less; 0: he does not */
	uint32_t load;	 /* flows to the destination to which he has most */
	bool is_waiting; /* there was no block for him */
	bool is_changed; /* his blocks are not those of the kernel */
};

struct ts_share {
	struct uidrecv_system system; /* range, size of a block, reserved */
	uint64_t rest_us;
	uint32_t blocks_max; /* of a user */
	uint64_t looks;	     /* at who is there */
	uint64_t counted_us; /* when flows were last counted */
	struct ts_block *blocks;
	size_t blocks_count;
	struct ts_user *users; /* by uid */
	size_t users_count, users_room;
};

/*
 * Cuts the range into blocks, which are RESTING until flows were counted and
 * the firewalls have forgotten who had them before. 0 or -ENOMEM.
 */
int ts_share_init(struct ts_share *share, uint64_t now_us);
void ts_share_done(struct ts_share *share);

/* NULL: not there. */
struct ts_user *ts_share_find_user(const struct ts_share *share, uid_t uid);
struct ts_block *ts_share_find_block(const struct ts_share *share,
				     uint16_t port);

/* Says that there is another look, and who is there. 0 or -ENOMEM. */
void ts_share_look(struct ts_share *share);
int ts_share_see(struct ts_share *share, uid_t uid, const char *name);
/* All are gone, at once. */
void ts_share_dismiss(struct ts_share *share);

/* Do firewalls hear that it is somebody's? */
static inline bool ts_block_is_said(const struct ts_block *block)
{
	return block->state >= TS_ASKED && block->state <= TS_LEAVING;
}

/*
 * Does what is to be done: gives and takes blocks. To be called again when the
 * kernel has followed, for a block leaves the kernel before firewalls hear.
 */
void ts_share_step(struct ts_share *share, uint64_t now_us);

/*
 * Notes what was counted at a time: each block's flows are in it, and each
 * user's load. What has flows at the first time rests as if it came back now.
 */
void ts_share_count(struct ts_share *share, uint64_t now_us);

#endif
