/* SPDX-License-Identifier: BSD-2-Clause */
/* A store in a directory that goes with it. */
#ifndef TEST_STORES_H
#define TEST_STORES_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cells.h"
#include "store.h"

/* The machine was booted this long before START. */
#define UPTIME (1000 * SECOND)

struct box {
	char directory[64];
	char data[96];
	struct ur_store_options options;
	struct ur_store *store;
};

static inline void box_init(struct box *box)
{
	memset(box, 0, sizeof(*box));
	/* Without a disk, if possible: what a crash leaves is tested elsewhere.
	 */
	snprintf(box->directory, sizeof(box->directory),
		 "%s/uidrecv-store-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	cr_assert_not_null(mkdtemp(box->directory));
	snprintf(box->data, sizeof(box->data), "%s/store/data.mdb",
		 box->directory);
	box->options.directory = box->directory;
	box->options.map_bytes = 64 << 20;
	box->options.boot_us = UPTIME;
	box->options.wall_us = START;
	box->options.boot_id[0] = 1;
}

static inline int box_open(struct box *box)
{
	int rc = ur_store_open(&box->store, &box->options);

	if (rc == 0)
		ur_store_set_ranks(box->store, ranks);
	return rc;
}

static inline void box_close(struct box *box)
{
	ur_store_close(box->store);
	box->store = NULL;
}

static inline void box_done(struct box *box)
{
	char command[128];

	if (box->directory[0] == '\0')
		return;
	box_close(box);
	snprintf(command, sizeof(command), "rm -rf %s", box->directory);
	cr_assert_eq(system(command), 0);
	box->directory[0] = '\0';
}

/* Opens it with the agents of the ranks, 1 to 4, and 5. */
static inline void box_start(struct box *box)
{
	const struct ur_agent_row *row;

	box_init(box);
	cr_assert_eq(box_open(box), 0);
	for (uint32_t id = 1; id <= 5; id++) {
		const char *name = id < 5 ? ranks_by_id[id].name : "unlisted";

		cr_assert_eq(ur_store_add_agent(box->store, name, strlen(name),
						START, &row),
			     0);
		cr_assert_eq(row->id, id);
	}
}

/* Puts a full device in the place of LMDB's descriptor of the file. */
static inline void box_break(struct box *box, bool of_meta)
{
	int full = open("/dev/full", O_RDWR | O_CLOEXEC);
	bool found = false;

	cr_assert_geq(full, 0);
	for (int fd = 3; fd < 256; fd++) {
		char link[64], name[256] = "";
		bool is_meta = fcntl(fd, F_GETFL) & O_DSYNC;

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		if (readlink(link, name, sizeof(name) - 1) > 0 &&
		    !strcmp(name, box->data) && is_meta == of_meta) {
			cr_assert_eq(dup3(full, fd, O_CLOEXEC), fd);
			found = true;
		}
	}
	close(full);
	cr_assert(found);
}

/* One statement in a round of its own; now in seconds after START. */
static inline int box_tell(struct box *box, struct ur_statement statement,
			   uint32_t agent, uint64_t now)
{
	uint64_t now_us = START + now * SECOND;
	int rc, commit;

	cr_assert_eq(ur_store_begin(box->store), 0);
	rc = ur_store_apply(box->store, agent, 1000, &statement, now_us);
	commit = ur_store_commit(box->store, now_us, now_us);
	return commit < 0 ? commit : rc;
}

static inline struct ur_statement at(struct ur_statement statement,
				     uint32_t ipv4)
{
	statement.address = uidrecv_address_from_ipv4(ipv4);
	return statement;
}

/* Finds an answer by scanning: NULL, or the user until the next call. */
struct box_find {
	struct uidrecv_address address;
	char user[UIDRECV_NAME_MAX + 1];
	uint64_t deadline_us;
	size_t count;
	bool found;
};

static inline int box_find_each(void *user, const struct ur_change *answer)
{
	struct box_find *find = user;

	find->count++;
	if (answer->address.lo != find->address.lo ||
	    answer->address.hi != find->address.hi)
		return 0;
	find->found = true;
	find->deadline_us = answer->deadline_us;
	memcpy(find->user, answer->user, answer->user_size);
	find->user[answer->user_size] = '\0';
	return 0;
}

static inline struct box_find box_answer(struct box *box, uint32_t ipv4,
					 uint64_t now)
{
	struct box_find find = {0};

	find.address = uidrecv_address_from_ipv4(ipv4);
	cr_assert_eq(ur_store_scan(box->store, START + now * SECOND,
				   box_find_each, &find),
		     0);
	return find;
}

/* What a restriction tells, in its order. */
struct box_list {
	bool (*keep)(void *user, uint32_t agent, struct uidrecv_address address,
		     const struct ur_claim *claim);
	void *user;
	struct box_answer {
		struct ur_change change;
		char user[UIDRECV_NAME_MAX];
	} * answers;
	size_t count, compared;
};

static inline bool box_list_keep(void *user, uint32_t agent,
				 struct uidrecv_address address,
				 const struct ur_claim *claim)
{
	struct box_list *list = user;

	return list->keep(list->user, agent, address, claim);
}

static inline struct box_answer box_list_copy(const struct ur_change *answer)
{
	struct box_answer copy;

	/* With what is between its members, to be compared. */
	memset(&copy, 0, sizeof(copy));
	memcpy(&copy.change, answer, sizeof(*answer));
	if (answer->user_size > 0)
		memcpy(copy.user, answer->user, answer->user_size);
	copy.change.user = NULL;
	return copy;
}

static inline int box_list_note(void *user, const struct ur_change *answer)
{
	struct box_list *list = user;
	void *answers =
	    realloc(list->answers, (list->count + 1) * sizeof(*list->answers));

	cr_assert_not_null(answers);
	list->answers = answers;
	list->answers[list->count++] = box_list_copy(answer);
	return 0;
}

static inline int box_list_compare(void *user, const struct ur_change *answer)
{
	struct box_list *list = user;
	struct box_answer copy = box_list_copy(answer);

	cr_assert_lt(list->compared, list->count, "too few were told of");
	cr_assert_arr_eq(&copy, &list->answers[list->compared], sizeof(copy),
			 "answer %zu is another", list->compared);
	list->compared++;
	return 0;
}

/*
 * Restricts the store, and holds what that tells against a walk after it, by
 * the ranks of the list, which are in force then.
 */
static inline void box_restrict(struct box *box, uint64_t now_us,
				struct ur_ranks of_list,
				bool (*keep)(void *user, uint32_t agent,
					     struct uidrecv_address address,
					     const struct ur_claim *claim),
				void *user)
{
	struct box_list noted = {.keep = keep, .user = user};
	struct ur_store_list list = {of_list, box_list_keep, box_list_note,
				     &noted};

	cr_assert_eq(ur_store_restrict(box->store, now_us, now_us, &list), 0);
	ur_store_set_ranks(box->store, of_list);
	cr_assert_eq(
	    ur_store_scan(box->store, now_us, box_list_compare, &noted), 0);
	cr_assert_eq(noted.compared, noted.count, "too many were told of");
	free(noted.answers);
}

static inline struct ur_statement map_of(uint32_t ipv4)
{
	return at(say(UIDRECV_OP_MAP, "DOMAIN\\some.user", 1, 1, 3600), ipv4);
}

/* A round of many records. */
static inline int box_fill(struct box *box, uint32_t first, uint32_t count,
			   int *ret_rejects)
{
	int rc = ur_store_begin(box->store);

	if (ret_rejects)
		*ret_rejects = 0;
	for (uint32_t i = first; rc == 0 && i < first + count; i++) {
		struct ur_statement map = map_of(i * 2654435761u);

		rc = ur_store_apply(box->store, 1, UINT64_MAX, &map,
				    START + SECOND);
		if (rc > 0 && ret_rejects) {
			cr_assert_eq(rc, UIDRECV_REJECT_STORE_FULL);
			++*ret_rejects;
			rc = 0;
		}
	}
	if (rc < 0 && rc != UIDRECV_E_STORE_FULL)
		fprintf(stderr, "a record: %d\n", rc);
	return ur_store_commit(box->store, START + SECOND, START + SECOND);
}

static inline uint64_t box_count(struct box *box, uint64_t now)
{
	return box_answer(box, 0, now).count;
}

#endif
