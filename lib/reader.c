/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include <uidrecv/reader.h>

#include "clock.h"
#include "mapped.h"
#include "options.h"

#define HEARTBEAT_STALE_US 3000000
#define LOOK_INTERVAL_US 1000000
#define MOVES_AT_ONCE_MAX 4

struct uidrecv_reader {
	struct ur_mapped mapped;
	struct ur_place place;
	struct ur_trust trust;
	char *path; /* NULL if relative: it means nothing after chdir() */
	uint64_t looked_us;
	uint64_t moves;
	bool has_looked;     /* looked_us is set, for the table of now */
	bool has_superseded; /* ... because it is superseded */
};

static_assert(sizeof(struct uidrecv_reader_options) ==
		  offsetof(struct uidrecv_reader_options, owner_uid_plus_1) +
		      sizeof(uint64_t),
	      "no tail padding");

static int init(struct uidrecv_reader *reader, const char *path,
		const struct uidrecv_reader_options *options)
{
	int r;

	r = ur_trust_init(&reader->trust);
	if (r < 0)
		return r;
	if (options->owner_uid_plus_1 > 0) {
		reader->trust.owner = (uid_t)(options->owner_uid_plus_1 - 1);
		reader->trust.has_owner = true;
	}
	if (*path == '/') {
		reader->path = strdup(path);
		if (reader->path == NULL)
			return -ENOMEM;
	}
	r = ur_place_open(&reader->place, path);
	if (r < 0)
		return r;
	return ur_mapped_open(&reader->mapped, &reader->place, &reader->trust);
}

int uidrecv_reader_open(struct uidrecv_reader **ret_reader, const char *path,
			const struct uidrecv_reader_options *options)
{
	struct uidrecv_reader_options loaded;
	struct uidrecv_reader *reader;
	int r;

	if (ret_reader == NULL || path == NULL)
		return -EINVAL;
	r = ur_options_load(&loaded, sizeof(loaded), sizeof(loaded), options);
	if (r < 0)
		return r;
	if (loaded.owner_uid_plus_1 > (uint64_t)UINT32_MAX)
		return -EINVAL;
	reader = calloc(1, sizeof(*reader));
	if (reader == NULL)
		return -ENOMEM;
	reader->place.dir_fd = -1;
	r = init(reader, path, &loaded);
	if (r < 0) {
		uidrecv_reader_close(reader);
		return r;
	}
	*ret_reader = reader;
	return 0;
}

void uidrecv_reader_close(struct uidrecv_reader *reader)
{
	if (reader == NULL)
		return;
	ur_mapped_close(&reader->mapped);
	ur_place_close(&reader->place);
	free(reader->path);
	free(reader);
}

/* Moves to the table at a place, if there is another than ours. */
static bool move(struct uidrecv_reader *reader, const struct ur_place *place)
{
	struct ur_mapped mapped;
	struct stat status;

	if (fstatat(place->dir_fd, place->name, &status, AT_SYMLINK_NOFOLLOW) <
	    0)
		return false;
	if (status.st_dev == reader->mapped.device &&
	    status.st_ino == reader->mapped.inode)
		return false;
	if (ur_mapped_open(&mapped, place, &reader->trust) < 0)
		return false;
	ur_mapped_close(&reader->mapped);
	reader->mapped = mapped;
	reader->moves++;
	reader->has_looked = false;
	reader->has_superseded = false;
	return true;
}

/*
 * The directory itself may have been replaced, as a service manager does with
 * one under /run when the receiver is restarted.
 */
static bool move_by_path(struct uidrecv_reader *reader)
{
	struct ur_place place;

	if (reader->path == NULL || ur_place_open(&place, reader->path) < 0)
		return false;
	if (!move(reader, &place)) {
		ur_place_close(&place);
		return false;
	}
	ur_place_close(&reader->place);
	reader->place = place;
	return true;
}

static uint64_t heartbeat_age_us(const struct uidrecv_reader *reader,
				 uint64_t now_us)
{
	const struct ur_table_header *header = reader->mapped.view.header;
	uint64_t heartbeat_us = ur_load(&header->heartbeat_us);

	return now_us > heartbeat_us ? now_us - heartbeat_us : 0;
}

/* Whether it is time to look where the path leads, if there is reason to. */
static bool must_look(struct uidrecv_reader *reader, uint64_t now_us)
{
	const struct ur_table_header *header = reader->mapped.view.header;
	bool is_superseded = ur_load(&header->superseded) != 0;

	if (!is_superseded &&
	    heartbeat_age_us(reader, now_us) <= HEARTBEAT_STALE_US)
		return false;
	if (is_superseded && !reader->has_superseded) {
		reader->has_superseded = true;
		return true;
	}
	/* Unsigned: a now before the last look counts as long after it. */
	return !reader->has_looked ||
	       now_us - reader->looked_us >= LOOK_INTERVAL_US;
}

static __attribute__((noinline, cold)) void follow(
    struct uidrecv_reader *reader, uint64_t now_us)
{
	for (int i = 0; i < MOVES_AT_ONCE_MAX; i++) {
		if (!must_look(reader, now_us))
			return;
		reader->looked_us = now_us;
		reader->has_looked = true;
		if (!move(reader, &reader->place) && !move_by_path(reader))
			return;
	}
}

/* Whether the table has been replaced, or the receiver is silent. */
static inline bool must_follow(const struct uidrecv_reader *reader,
			       uint64_t now_us)
{
	const struct ur_table_header *header = reader->mapped.view.header;

	return ur_load(&header->superseded) != 0 ||
	       now_us > ur_load(&header->heartbeat_us) + HEARTBEAT_STALE_US;
}

/* What every public function begins with; gives the view and now. */
static struct ur_view *begin(struct uidrecv_reader *reader, uint64_t *now_us)
{
	if (*now_us == 0)
		*now_us = ur_clock_boot_us();
	if (must_follow(reader, *now_us))
		follow(reader, *now_us);
	return &reader->mapped.view;
}

static __attribute__((noinline)) int begin_and_lookup(
    struct uidrecv_reader *reader, const struct uidrecv_query *query,
    uint64_t now_us, struct uidrecv_mapping *ret_mapping)
{
	struct ur_view *view = begin(reader, &now_us);

	return ur_view_find(view, query, now_us + view->layout.base_us,
			    ret_mapping);
}

int uidrecv_reader_lookup(struct uidrecv_reader *reader,
			  const struct uidrecv_query *query, uint64_t now_us,
			  struct uidrecv_mapping *ret_mapping)
{
	struct ur_view *view;
	uint64_t store_now_us;

	if (reader == NULL || query == NULL || ret_mapping == NULL)
		return -EINVAL;
	view = &reader->mapped.view;
	store_now_us = now_us + view->layout.base_us;
	/* Who asked at this moment before has looked at the heartbeat. */
	if (now_us == 0 || store_now_us != view->now.store_us ||
	    ur_load(&view->header->superseded) != 0)
		return begin_and_lookup(reader, query, now_us, ret_mapping);
	return ur_view_find(view, query, store_now_us, ret_mapping);
}

int uidrecv_reader_lookup_bulk(struct uidrecv_reader *reader,
			       const struct uidrecv_query *queries,
			       size_t count, uint64_t now_us,
			       struct uidrecv_mapping *ret_mappings,
			       int *ret_results)
{
	struct ur_view *view;
	int found = 0;

	if (reader == NULL || count > INT_MAX ||
	    (count > 0 &&
	     (queries == NULL || ret_mappings == NULL || ret_results == NULL)))
		return -EINVAL;
	view = begin(reader, &now_us);
	while (count > 0) {
		size_t step = count < UR_VIEW_GROUP ? count : UR_VIEW_GROUP;

		found += ur_view_find_group(view, queries, step,
					    now_us + view->layout.base_us,
					    ret_mappings, ret_results);
		queries += step;
		ret_mappings += step;
		ret_results += step;
		count -= step;
		view = begin(reader, &now_us);
	}
	return found;
}

int uidrecv_reader_next(struct uidrecv_reader *reader,
			struct uidrecv_cursor *cursor, uint64_t now_us,
			struct uidrecv_mapping *ret_mapping)
{
	struct ur_view *view;

	if (reader == NULL || cursor == NULL || ret_mapping == NULL)
		return -EINVAL;
	view = begin(reader, &now_us);
	if (cursor->generation == 0 && cursor->position == 0)
		cursor->generation = view->layout.generation;
	if (cursor->generation != view->layout.generation)
		return UIDRECV_E_TABLE_CHANGED;
	return ur_view_next(view, &cursor->position,
			    now_us + view->layout.base_us, ret_mapping);
}

int uidrecv_reader_get_status(struct uidrecv_reader *reader, uint64_t now_us,
			      struct uidrecv_reader_status *ret_status)
{
	const struct ur_table_header *header;

	if (reader == NULL || ret_status == NULL)
		return -EINVAL;
	header = begin(reader, &now_us)->header;
	ret_status->change = ur_load(&header->change);
	ret_status->heartbeat_age_ms = heartbeat_age_us(reader, now_us) / 1000;
	ret_status->entries = ur_load(&header->entries);
	ret_status->moves = reader->moves;
	return 0;
}
