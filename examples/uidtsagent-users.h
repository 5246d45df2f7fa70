/* SPDX-License-Identifier: BSD-2-Clause */
/* Who is there: users with a session (utmp), or with processes. */
#ifndef UIDTSAGENT_USERS_H
#define UIDTSAGENT_USERS_H

#include "uidtsagent-blocks.h"

/* What is known of a uid, so that nobody is asked twice. */
struct ts_name {
	uid_t uid;
	uint64_t seen_us;
	char name[UIDRECV_NAME_MAX + 1]; /* empty: it has none that is usable */
};

struct ts_users {
	const char *utmp_path; /* NULL: processes of uids from first to last */
	uid_t uid_first, uid_last;
	const char *domain; /* NULL: none */
	struct ts_name *names;
	size_t names_count, names_room;
	int events_fd; /* readable when utmp changes; -1: none */
};

/* 0 or a negative error. */
int ts_users_open(struct ts_users *users);
void ts_users_close(struct ts_users *users);

/* Tells the share who is there. 0 or a negative error. */
int ts_users_look(struct ts_users *users, struct ts_share *share,
		  uint64_t now_us);

/* Takes the events, which say no more than that it is time to look. */
void ts_users_take_events(struct ts_users *users);

#endif
