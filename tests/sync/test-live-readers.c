/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Processes that look up all the time, while an agent says one snapshot after
 * the other, each of which changes half of the users: at each address they see
 * the former user or the new one, never nobody, and never the former again.
 * The name of a user is the snapshot in which it came, and its place.
 */
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "live.h"
#include "luck.h"

#define READERS 4
/* Half of the lookups are for what a snapshot says last, which the round of
 * its end has too. */
#define TAIL 1024

struct reader {
	_Atomic uint64_t lookups;
	/* What was wrong, once. */
	_Atomic bool has_failed;
	int result;
	uint32_t place, former;
	char user[UIDRECV_NAME_MAX + 1];
};

/* What the processes share. */
struct board {
	_Atomic uint32_t said, acked; /* snapshots, from 1 */
	_Atomic bool is_over;
	struct reader readers[READERS];
};

struct scene {
	struct live live;
	struct live_agent *agent;
	struct board *board;
	uint32_t places; /* always known */
	uint32_t extra;	 /* more of them, known after odd snapshots alone */
	pid_t pids[READERS];
};

/* The snapshot that last changed a place. */
static uint32_t snapshot_of(uint32_t place, uint32_t snapshot)
{
	return snapshot - ((place ^ snapshot) & 1);
}

static struct uidrecv_address address_of(uint32_t place)
{
	return uidrecv_address_from_ipv4(0x0a000000 + place);
}

/* Every eighth name is too long for a slot. */
static uint8_t name_user(char *user, uint32_t place, uint32_t snapshot)
{
	return (uint8_t)sprintf(user, "%u-%u%s", snapshot, place,
				place % 8 ? "" : "-with-a-long-name@example");
}

/* False: that may not be, and is noted. */
static bool look(const struct board *board, struct reader *reader,
		 struct uidrecv_reader *table, uint32_t place, uint32_t *newest)
{
	struct uidrecv_query query = {.address = address_of(place)};
	struct uidrecv_mapping mapping = {.user = ""};
	uint32_t least = snapshot_of(place, atomic_load(&board->acked));
	int ret = uidrecv_reader_lookup(table, &query, 0, &mapping);
	uint32_t most = snapshot_of(place, atomic_load(&board->said));
	char expected[UIDRECV_NAME_MAX + 1];
	uint32_t seen = (uint32_t)strtoul(mapping.user, NULL, 10);

	if (least < *newest)
		least = *newest;
	if (ret == 1) {
		name_user(expected, place, seen);
		if (seen >= least && seen <= most &&
		    seen == snapshot_of(place, seen) &&
		    !strcmp(expected, mapping.user)) {
			*newest = seen;
			return true;
		}
	}
	reader->result = ret;
	reader->place = place;
	reader->former = least;
	strcpy(reader->user, mapping.user);
	atomic_store(&reader->has_failed, true);
	return false;
}

static void read_on(const struct scene *scene, struct reader *reader)
{
	struct uidrecv_reader *table;
	uint32_t *newest = calloc(scene->places, sizeof(*newest));
	uint32_t tail = scene->places < TAIL ? scene->places : TAIL;
	uint64_t lookups = 0;

	if (!newest || uidrecv_reader_open(&table, scene->live.table, NULL) < 0)
		_exit(1);
	while (!atomic_load(&scene->board->is_over)) {
		uint32_t place =
		    lookups & 1
			? (uint32_t)luck_below(scene->places)
			: scene->places - 1 - (uint32_t)luck_below(tail);

		if (!look(scene->board, reader, table, place, &newest[place]))
			break;
		atomic_store(&reader->lookups, ++lookups);
	}
	_exit(0);
}

static void begin_scene(struct scene *scene, uint32_t places)
{
	struct uidrecv_agent_options options;

	memset(scene, 0, sizeof(*scene));
	scene->places = places;
	scene->extra = places / 50;
	live_init(&scene->live, "a.example", NULL);
	scene->live.options.store_max_bytes = 512u << 20;
	live_start(&scene->live);
	options = live_agent_options(&scene->live, "a.example");
	scene->agent = live_agent(&scene->live, "a.example", &options);
	scene->board = mmap(NULL, sizeof(*scene->board), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(scene->board, MAP_FAILED);
}

static void start_readers(struct scene *scene)
{
	for (int i = 0; i < READERS; i++) {
		struct reader *reader = &scene->board->readers[i];

		/* So that each has luck of its own. */
		luck_below(7);
		scene->pids[i] = fork();
		cr_assert_geq(scene->pids[i], 0);
		if (scene->pids[i] == 0)
			read_on(scene, reader);
		while (!atomic_load(&reader->lookups))
			sched_yield();
	}
}

static void say(struct scene *scene, uint32_t place, uint32_t snapshot)
{
	struct uidrecv_record record = {.op = UIDRECV_OP_MAP,
					.address = address_of(place)};

	record.user_size =
	    name_user(record.user, place, snapshot_of(place, snapshot));
	cr_assert_eq(uidrecv_agent_queue(scene->agent->agent, &record, NULL),
		     0);
	if (place % 1024 == 1023)
		live_turn(&scene->live);
}

static void say_snapshot(struct scene *scene, uint32_t snapshot)
{
	struct uidrecv_agent *agent = scene->agent->agent;
	uint32_t last = scene->places + scene->extra - 1;
	struct uidrecv_query query = {.address = address_of(last)};
	struct uidrecv_mapping mapping;
	char user[UIDRECV_NAME_MAX + 1];

	atomic_store(&scene->board->said, snapshot);
	cr_assert_eq(uidrecv_agent_snapshot_begin(agent, false), 0);
	for (uint32_t i = 0; snapshot % 2 && i < scene->extra; i++)
		say(scene, scene->places + i, snapshot);
	for (uint32_t i = 0; i < scene->places; i++)
		say(scene, i, snapshot);
	cr_assert_eq(uidrecv_agent_snapshot_end(agent), 0);
	live_await(&scene->live, scene->agent->acked_serial ==
				     live_counters(scene->agent).last_serial);
	atomic_store(&scene->board->acked, snapshot);
	name_user(user, last, snapshot_of(last, snapshot));
	cr_assert_eq(live_lookup(&scene->live, &query, &mapping), snapshot % 2);
	if (snapshot % 2)
		cr_assert_str_eq(mapping.user, user);
}

static void end_scene(struct scene *scene)
{
	uint64_t lookups = 0;

	atomic_store(&scene->board->is_over, true);
	for (int i = 0; i < READERS; i++) {
		struct reader *reader = &scene->board->readers[i];
		int status;

		cr_assert_eq(waitpid(scene->pids[i], &status, 0),
			     scene->pids[i]);
		cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		cr_expect_not(atomic_load(&reader->has_failed),
			      "place %u: result %d, user '%s', and not older "
			      "than %u",
			      reader->place, reader->result, reader->user,
			      reader->former);
		lookups += atomic_load(&reader->lookups);
	}
	printf("%lu lookups\n", (unsigned long)lookups);
	munmap(scene->board, sizeof(*scene->board));
	live_done(&scene->live);
}

static void read_meanwhile(uint32_t places, uint32_t snapshots)
{
	struct scene scene;
	struct uidrecv_receiver_stats stats;

	begin_scene(&scene, places);
	/* The places with even numbers have their first users from here. */
	say_snapshot(&scene, 1);
	start_readers(&scene);
	for (uint32_t i = 2; i < snapshots + 2; i++)
		say_snapshot(&scene, i);
	stats = live_stats(&scene.live);
	cr_expect_eq(stats.snapshots, snapshots + 1);
	cr_expect_eq(stats.snapshots_held, 0);
	cr_expect_eq(stats.resyncs, 0);
	cr_expect_eq(live_counters(scene.agent).resyncs, 0);
	cr_expect_eq(scene.agent->events[UIDRECV_AGENT_REJECTED], 0);
	end_scene(&scene);
}

Test(live_readers, P19_large_snapshots)
{
	if (luck_is_long())
		read_meanwhile(100000, 100);
	else
		read_meanwhile(20000, 10);
}

/* All of it in the round of its end. */
Test(live_readers, P19_small_snapshots_in_a_row)
{
	read_meanwhile(500, luck_is_long() ? 5000 : 300);
}
