/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A receiver in a process of its own whose disk is slow, and an agent that says
 * as much as the line takes: memory is bounded, the others are heard, and
 * nobody loses the session.
 */
#include <dlfcn.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../sanitized.h"
#include "live.h"
#include "luck.h"
#include "wire.h"

#define HOLD_S 3
#define SLOW_US (HOLD_S * 1000000 / 3)
#define HEALTHY 3

/* What the processes share. */
struct board {
	_Atomic uint32_t delay_us; /* of each fdatasync() */
	_Atomic bool is_over, is_ready;
	_Atomic uint64_t commits, updates, snapshots, hold_expired, sessions;
	uint16_t port;
};

static struct board *board;

/* LMDB calls this one. Only the receiver has a disk. */
int fdatasync(int fd)
{
	static int (*next)(int);

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "fdatasync");
	if (board) {
		usleep(atomic_load(&board->delay_us));
		atomic_fetch_add(&board->commits, 1);
	}
	return next(fd);
}

static void show_stats(const struct live *live)
{
	struct uidrecv_receiver_stats stats = live_stats(live);

	atomic_store(&board->updates, stats.updates);
	atomic_store(&board->snapshots, stats.snapshots);
	atomic_store(&board->hold_expired, stats.hold_expired);
	atomic_store(&board->sessions, stats.sessions);
}

static void receive(struct live *live)
{
	live_start(live);
	board->port = live->port;
	atomic_store(&board->is_ready, true);
	while (!atomic_load(&board->is_over)) {
		struct pollfd pollfd = {
		    .fd = uidrecv_receiver_get_fd(live->receiver),
		    .events = POLLIN};

		poll(&pollfd, 1, 50);
		if (uidrecv_receiver_dispatch(live->receiver) < 0)
			_exit(1);
		show_stats(live);
	}
	live_stop(live);
	_exit(0);
}

static pid_t start_receiver(struct live *live)
{
	pid_t pid;

	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(board, MAP_FAILED);
	live->options.hold_min_s = 1;
	live->options.hold_max_s = HOLD_S;
	pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		/* A test that fails leaves nothing behind. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		receive(live);
	}
	while (!atomic_load(&board->is_ready))
		usleep(1000);
	live->port = board->port;
	snprintf(live->address, sizeof(live->address), "127.0.0.1:%u",
		 live->port);
	return pid;
}

static void end_receiver(pid_t pid)
{
	int status;

	atomic_store(&board->delay_us, 0);
	atomic_store(&board->is_over, true);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	munmap(board, sizeof(*board));
	board = NULL;
}

/* KiB of a process that are no file's. */
static unsigned long memory_of(pid_t pid)
{
	unsigned long kib = 0;
	char path[64], line[200];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "r");
	cr_assert_not_null(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "RssAnon: %lu", &kib) == 1)
			break;
	fclose(file);
	cr_assert_gt(kib, 0);
	return kib;
}

/* An agent that lies about what it has heard, so that no window stops it. */
struct flood {
	struct wire wire;
	struct ur_buf frame;
	size_t sent; /* of it */
	uint64_t serial, acked;
};

static void begin_flood(struct flood *flood, struct live *live)
{
	memset(flood, 0, sizeof(*flood));
	wire_new(&flood->wire, live, "flood.example");
	wire_open(&flood->wire, 77);
	SSL_set_mode(flood->wire.ssl, SSL_MODE_ENABLE_PARTIAL_WRITE |
					  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	ur_buf_init(&flood->frame, UR_FRAME_HEADER + UR_FRAME_BODY_MAX);
}

static void end_flood(struct flood *flood)
{
	ur_buf_done(&flood->frame);
	wire_free(&flood->wire);
}

static void make_frame(struct flood *flood)
{
	struct uidrecv_record record = live_record(
	    UIDRECV_OP_MAP, "10.1.0.0", "flood-of-names@example.com");
	struct ur_update_writer writer;

	flood->serial++;
	flood->sent = 0;
	record.address.lo += flood->serial % 64 * 1024;
	ur_buf_done(&flood->frame);
	ur_buf_init(&flood->frame, UR_FRAME_HEADER + UR_FRAME_BODY_MAX);
	ur_update_begin(&writer, &flood->frame, flood->serial, 1, true,
			flood->serial - 1, 65536);
	for (int i = 0; i < 1024; i++, record.address.lo++)
		cr_assert(ur_update_add(&writer, &record));
	ur_update_end(&writer);
}

static void hear(struct flood *flood)
{
	struct ur_message message;
	struct ur_frame frame;
	uint8_t block[16384];
	uint16_t bye;
	int size;

	while ((size = SSL_read(flood->wire.ssl, block, sizeof(block))) > 0)
		cr_assert_eq(
		    ur_framer_feed(&flood->wire.framer, block, (size_t)size),
		    0);
	cr_assert_eq(SSL_get_error(flood->wire.ssl, size), SSL_ERROR_WANT_READ,
		     "the flooder was dropped");
	while (ur_framer_next(&flood->wire.framer, &frame) == 1) {
		cr_assert_eq(ur_message_decode(&frame, &message, &bye), 0);
		cr_assert_neq(message.type, UR_BYE, "code %u",
			      message.bye.code);
		if (message.type == UR_ACK)
			flood->acked = message.serial;
	}
}

/* As much as the line takes. */
static void pour(struct flood *flood)
{
	int size;

	do {
		if (flood->sent == flood->frame.size)
			make_frame(flood);
		size = SSL_write(flood->wire.ssl,
				 ur_buf_front(&flood->frame) + flood->sent,
				 (int)(flood->frame.size - flood->sent));
		if (size > 0)
			flood->sent += (size_t)size;
	} while (size > 0);
	hear(flood);
}

/* An agent that says one snapshot after the other, as soon as it may. */
struct speaker {
	struct live_agent *agent;
	uint64_t said_at; /* in commits */
	unsigned int said;
};

/* Each drops a mapping of the one before. */
static void say_snapshot(const struct speaker *speaker, unsigned int number)
{
	struct live_agent *agent = speaker->agent;
	char address[32];

	cr_assert_eq(uidrecv_agent_snapshot_begin(agent->agent, false), 0);
	for (unsigned int i = 0; i < 2; i++) {
		snprintf(address, sizeof(address), "10.0.%u.%u", number,
			 (speaker->said + i) % 3);
		live_map(agent, address, "alice");
	}
	cr_assert_eq(uidrecv_agent_snapshot_end(agent->agent), 0);
}

/* Time is counted in commits. */
static void speak(struct speaker *speaker, unsigned int number)
{
	uint64_t commits = atomic_load(&board->commits);

	if (speaker->agent->acked_serial <
	    live_counters(speaker->agent).last_serial) {
		/*
		 * What runs, its own, and what a dispatch does beside the
		 * round: a slice of the sweep and the housekeeping.
		 */
		cr_assert_leq(commits, speaker->said_at + 6);
		return;
	}
	say_snapshot(speaker, number);
	speaker->said++;
	speaker->said_at = commits;
}

static void check_agent(const struct live_agent *agent)
{
	cr_expect_eq(agent->events[UIDRECV_AGENT_CONNECTED], 1);
	cr_expect_eq(agent->events[UIDRECV_AGENT_LOST], 0, "%s, code %u",
		     uidrecv_strerror(agent->last.error), agent->last.code);
	cr_expect_eq(agent->events[UIDRECV_AGENT_REJECTED], 0);
	cr_expect_eq(agent->events[UIDRECV_AGENT_RESYNC], 0);
}

static void add_speakers(struct live *live)
{
	char name[32];

	for (int i = 0; i < HEALTHY; i++) {
		snprintf(name, sizeof(name), "a%d.example", i);
		live_add_name(live, name);
	}
}

static void connect_speakers(struct live *live, struct speaker *speakers)
{
	char name[32];

	for (int i = 0; i < HEALTHY; i++) {
		snprintf(name, sizeof(name), "a%d.example", i);
		speakers[i] =
		    (struct speaker){.agent = live_agent(live, name, NULL)};
		live_await(live,
			   speakers[i].agent->events[UIDRECV_AGENT_CONNECTED]);
	}
}

struct scene {
	struct live live;
	pid_t receiver;
	struct speaker speakers[HEALTHY];
	struct flood flood;
	unsigned long before, most; /* KiB */
};

static void begin_scene(struct scene *scene)
{
	live_init(&scene->live, "flood.example", "late.example", NULL);
	add_speakers(&scene->live);
	scene->receiver = start_receiver(&scene->live);
	connect_speakers(&scene->live, scene->speakers);
	begin_flood(&scene->flood, &scene->live);
	scene->before = memory_of(scene->receiver);
	scene->most = 0;
}

static void turn(struct scene *scene)
{
	unsigned long now = memory_of(scene->receiver);

	pour(&scene->flood);
	for (unsigned int i = 0; i < HEALTHY; i++)
		speak(&scene->speakers[i], i + 1);
	live_turn(&scene->live);
	if (now > scene->most)
		scene->most = now;
}

static void end_scene(struct scene *scene, uint64_t sessions)
{
	printf("%lu KiB, %lu more under the flood; %lu UPDATEs of it "
	       "acknowledged\n",
	       scene->before, scene->most - scene->before,
	       (unsigned long)scene->flood.acked);
#ifndef IS_SANITIZED
	cr_expect_leq(scene->most, scene->before + (4u << 10));
#endif
	/* It is heard, too. */
	cr_expect_gt(scene->flood.acked, 8);
	for (int i = 0; i < HEALTHY; i++) {
		cr_expect_geq(scene->speakers[i].said, 2);
		check_agent(scene->speakers[i].agent);
	}
	cr_expect_eq(atomic_load(&board->hold_expired), 0);
	cr_expect_eq(atomic_load(&board->sessions), sessions);
	end_flood(&scene->flood);
	end_receiver(scene->receiver);
	live_done(&scene->live);
}

/* A commit takes a third of the hold time. */
Test(live_flow, S39_P21_slow_disk_under_a_flood)
{
	struct scene scene;
	uint64_t last;

	begin_scene(&scene);
	atomic_store(&board->delay_us, SLOW_US);
	last = atomic_load(&board->commits) + (luck_is_long() ? 60 : 12);
	while (atomic_load(&board->commits) < last)
		turn(&scene);
	end_scene(&scene, HEALTHY + 1);
}

/*
 * Who comes late has a session after a few commits. What a new session stores
 * takes up to three; with the round, the sweep and the housekeeping six may be
 * made before anybody hears anything. Here these take half of the hold time.
 */
Test(live_flow, S39_new_sessions_on_a_slow_disk)
{
	struct scene scene;
	struct live_agent *late;
	uint64_t begun;

	begin_scene(&scene);
	atomic_store(&board->delay_us, SLOW_US / 4);
	for (int i = 0; i < (luck_is_long() ? 20 : 3); i++) {
		begun = atomic_load(&board->commits);
		late = live_agent(&scene.live, "late.example", NULL);
		while (!late->events[UIDRECV_AGENT_CONNECTED]) {
			turn(&scene);
			cr_assert_leq(atomic_load(&board->commits), begun + 16);
		}
		printf("a session after %lu commits\n",
		       (unsigned long)(atomic_load(&board->commits) - begun));
		for (begun += 4; atomic_load(&board->commits) < begun;)
			turn(&scene);
		check_agent(late);
		live_agent_end(&scene.live, late);
	}
	end_scene(&scene, HEALTHY + 1);
}
