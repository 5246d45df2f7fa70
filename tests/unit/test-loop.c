/* SPDX-License-Identifier: BSD-2-Clause */
#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "loop.h"

static bool is_readable(const struct ur_loop *loop, int ms)
{
	struct pollfd pollfd = {.fd = loop->epoll_fd, .events = POLLIN};

	return poll(&pollfd, 1, ms) == 1;
}

struct piece {
	struct ur_watch watch;
	struct ur_timer timer;
	struct ur_loop *loop;
	unsigned int calls;
	uint32_t events;
	struct ur_watch *removes; /* when it is called */
	uint64_t again_us;	  /* sets its timer so */
};

static unsigned int fired;
static uint64_t fired_at[1000];

static void on_ready(struct ur_watch *watch, uint32_t events)
{
	struct piece *piece = (struct piece *)watch;

	piece->calls++;
	piece->events = events;
	if (piece->removes) {
		ur_loop_remove(piece->loop, piece->removes);
		piece->removes = NULL;
	}
}

static void on_timer(struct ur_timer *timer)
{
	struct piece *piece =
	    (struct piece *)((char *)timer - offsetof(struct piece, timer));

	piece->calls++;
	fired_at[fired++] = timer->at_us;
	if (piece->again_us)
		ur_loop_set_timer(piece->loop, timer, piece->again_us);
}

static void set_up(struct ur_loop *loop, struct piece *piece, int fd)
{
	memset(piece, 0, sizeof(*piece));
	piece->loop = loop;
	piece->watch = (struct ur_watch){.fd = fd, .ready = on_ready};
	piece->timer.expired = on_timer;
}

Test(loop, watch_read_write_and_hang_up)
{
	struct ur_loop loop;
	struct piece piece;
	int fds[2];

	cr_assert_eq(ur_loop_init(&loop), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	set_up(&loop, &piece, fds[0]);
	cr_assert_eq(ur_loop_add(&loop, &piece.watch, UR_LOOP_READ), 0);
	cr_assert_not(is_readable(&loop, 0));
	ur_loop_poll(&loop);
	cr_assert_eq(piece.calls, 0);
	cr_assert_eq(write(fds[1], "x", 1), 1);
	cr_assert(is_readable(&loop, 0));
	ur_loop_poll(&loop);
	cr_assert_eq(piece.events, UR_LOOP_READ);
	ur_loop_change(&loop, &piece.watch, UR_LOOP_WRITE);
	ur_loop_poll(&loop);
	cr_assert_eq(piece.events, UR_LOOP_WRITE);
	ur_loop_change(&loop, &piece.watch, 0);
	ur_loop_poll(&loop);
	cr_assert_eq(piece.calls, 2);
	close(fds[1]);
	ur_loop_poll(&loop);
	cr_assert_eq(piece.calls, 3);
	cr_assert_eq(piece.events, UR_LOOP_READ | UR_LOOP_WRITE);
	ur_loop_remove(&loop, &piece.watch);
	ur_loop_poll(&loop);
	cr_assert_eq(piece.calls, 3);
	close(fds[0]);
	ur_loop_done(&loop);
}

/* What one removes, and frees, is not called in the same round. */
Test(loop, removed_within_the_round)
{
	struct ur_loop loop;
	struct piece pieces[10];
	int fds[10][2];
	unsigned int calls = 0;

	cr_assert_eq(ur_loop_init(&loop), 0);
	for (int i = 0; i < 10; i++) {
		cr_assert_eq(pipe(fds[i]), 0);
		cr_assert_eq(write(fds[i][1], "x", 1), 1);
		set_up(&loop, &pieces[i], fds[i][0]);
		/* Each removes its neighbour, whoever comes first. */
		pieces[i].removes = &pieces[i ^ 1].watch;
		cr_assert_eq(ur_loop_add(&loop, &pieces[i].watch, UR_LOOP_READ),
			     0);
	}
	ur_loop_poll(&loop);
	for (int i = 0; i < 10; i++)
		calls += pieces[i].calls;
	cr_expect_eq(calls, 5);
	for (int i = 0; i < 10; i += 2)
		cr_expect_eq(pieces[i].calls + pieces[i + 1].calls, 1);
	ur_loop_done(&loop);
}

static unsigned int sum_calls(const struct piece *pieces, unsigned int count)
{
	unsigned int calls = 0;

	for (unsigned int i = 0; i < count; i++)
		calls += pieces[i].calls;
	return calls;
}

/* A loop with count that are patient and readable, and one that is neither. */
static void set_up_patient(struct ur_loop *loop, struct piece *pieces,
			   unsigned int count, int fds[][2])
{
	cr_assert_eq(ur_loop_init(loop), 0);
	cr_assert_eq(ur_loop_part(loop), 0);
	for (unsigned int i = 0; i <= count; i++) {
		cr_assert_eq(pipe(fds[i]), 0);
		set_up(loop, &pieces[i], fds[i][0]);
		pieces[i].watch.is_patient = i < count;
		if (i < count)
			cr_assert_eq(write(fds[i][1], "x", 1), 1);
		cr_assert_eq(ur_loop_add(loop, &pieces[i].watch, UR_LOOP_READ),
			     0);
	}
}

#define PATIENT (3 * UR_LOOP_PATIENT_MAX)

/* They are called apart, so many at once, and none twice before all. */
Test(loop, patient_have_their_turns)
{
	static struct piece pieces[PATIENT + 1];
	static int fds[PATIENT + 1][2];
	struct ur_loop loop;

	set_up_patient(&loop, pieces, PATIENT, fds);
	for (unsigned int turn = 1; turn <= 6; turn++) {
		cr_assert(is_readable(&loop, 0));
		cr_assert_eq(write(fds[PATIENT][1], "x", 1), 1);
		ur_loop_poll(&loop);
		cr_assert_eq(pieces[PATIENT].calls, turn);
		cr_assert_eq(sum_calls(pieces, PATIENT),
			     (turn - 1) * UR_LOOP_PATIENT_MAX);
		ur_loop_poll_patient(&loop);
		cr_assert_eq(pieces[PATIENT].calls, turn);
		cr_assert_eq(sum_calls(pieces, PATIENT),
			     turn * UR_LOOP_PATIENT_MAX);
		for (unsigned int i = 0; i < PATIENT; i++)
			cr_assert_leq(pieces[i].calls, (turn + 2) / 3);
	}
	ur_loop_done(&loop);
}

Test(loop, patient_are_changed_removed_and_hurried)
{
	struct piece pieces[4];
	int fds[4][2];
	struct ur_loop loop;

	set_up_patient(&loop, pieces, 3, fds);
	ur_loop_change(&loop, &pieces[0].watch, 0);
	/* Whoever comes first removes the other one. */
	pieces[1].removes = &pieces[2].watch;
	pieces[2].removes = &pieces[1].watch;
	ur_loop_poll_patient(&loop);
	cr_expect_eq(pieces[0].calls, 0);
	cr_expect_eq(pieces[1].calls + pieces[2].calls, 1);
	ur_loop_change(&loop, &pieces[0].watch, UR_LOOP_READ);
	cr_assert_eq(ur_loop_hurry(&loop, &pieces[0].watch), 0);
	ur_loop_poll(&loop);
	cr_expect_eq(pieces[0].calls, 1);
	ur_loop_change(&loop, &pieces[0].watch, 0);
	ur_loop_poll(&loop);
	ur_loop_poll_patient(&loop);
	cr_expect_eq(pieces[0].calls, 1);
	ur_loop_remove(&loop, &pieces[0].watch);
	ur_loop_done(&loop);
}

/* In a loop that is not parted they are as all others. */
Test(loop, patient_in_a_simple_loop)
{
	struct piece piece;
	int fds[2];
	struct ur_loop loop;

	cr_assert_eq(ur_loop_init(&loop), 0);
	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(write(fds[1], "x", 1), 1);
	set_up(&loop, &piece, fds[0]);
	piece.watch.is_patient = true;
	cr_assert_eq(ur_loop_add(&loop, &piece.watch, UR_LOOP_READ), 0);
	ur_loop_poll(&loop);
	cr_expect_eq(piece.calls, 1);
	cr_assert_eq(ur_loop_hurry(&loop, &piece.watch), 0);
	ur_loop_poll(&loop);
	cr_expect_eq(piece.calls, 2);
	ur_loop_done(&loop);
}

Test(loop, timers_in_order_of_time)
{
	static struct piece pieces[500];
	struct ur_loop loop;
	uint64_t now_us;
	unsigned int set = 0;

	cr_assert_eq(ur_loop_init(&loop), 0);
	now_us = loop.now_us;
	srandom(7);
	for (int i = 0; i < 500; i++) {
		set_up(&loop, &pieces[i], -1);
		cr_assert_eq(ur_loop_reserve_timer(&loop), 0);
	}
	for (int i = 0; i < 5000; i++) {
		struct ur_timer *timer = &pieces[random() % 500].timer;

		ur_loop_set_timer(&loop, timer,
				  random() % 5 ? now_us + random() % 2000
					       : UINT64_MAX);
	}
	for (int i = 0; i < 500; i++)
		set += pieces[i].timer.index != 0;
	cr_assert_eq(loop.timers_count, set);
	ur_loop_run_timers(&loop);
	cr_assert_leq(fired, 20);
	loop.now_us = now_us + 1000;
	ur_loop_run_timers(&loop);
	cr_assert_lt(fired, set);
	loop.now_us = now_us + 2000;
	ur_loop_run_timers(&loop);
	cr_assert_eq(fired, set);
	for (unsigned int i = 1; i < fired; i++)
		cr_assert_leq(fired_at[i - 1], fired_at[i]);
	cr_assert_eq(loop.timers_count, 0);
	for (int i = 0; i < 500; i++)
		ur_loop_release_timer(&loop);
	ur_loop_done(&loop);
}

/* The outer descriptor tells of the next deadline, and only then. */
Test(loop, armed_descriptor)
{
	struct ur_loop loop;
	struct piece piece;
	uint64_t begun_us;

	cr_assert_eq(ur_loop_init(&loop), 0);
	set_up(&loop, &piece, -1);
	cr_assert_eq(ur_loop_reserve_timer(&loop), 0);
	ur_loop_arm(&loop);
	cr_assert_not(is_readable(&loop, 0));
	begun_us = ur_clock_boot_us();
	ur_loop_set_timer(&loop, &piece.timer, begun_us + 50000);
	ur_loop_arm(&loop);
	cr_assert_not(is_readable(&loop, 0));
	cr_assert(is_readable(&loop, 5000));
	cr_assert_geq(ur_clock_boot_us() - begun_us, 50000);
	ur_loop_poll(&loop);
	ur_loop_run_timers(&loop);
	cr_assert_eq(piece.calls, 1);
	ur_loop_arm(&loop);
	cr_assert_not(is_readable(&loop, 0));
	/* One of the past is due at once; unset it is not. */
	ur_loop_set_timer(&loop, &piece.timer, 1);
	ur_loop_arm(&loop);
	cr_assert(is_readable(&loop, 1000));
	ur_loop_set_timer(&loop, &piece.timer, UINT64_MAX);
	ur_loop_poll(&loop);
	ur_loop_run_timers(&loop);
	ur_loop_arm(&loop);
	cr_assert_not(is_readable(&loop, 0));
	cr_assert_eq(piece.calls, 1);
	ur_loop_done(&loop);
}

/* A timer that is due again when it has run does not hold up the rest. */
Test(loop, timer_that_sets_itself_to_now)
{
	struct ur_loop loop;
	struct piece piece;

	cr_assert_eq(ur_loop_init(&loop), 0);
	set_up(&loop, &piece, -1);
	cr_assert_eq(ur_loop_reserve_timer(&loop), 0);
	piece.again_us = 1;
	ur_loop_set_timer(&loop, &piece.timer, 1);
	ur_loop_run_timers(&loop);
	cr_assert_eq(piece.calls, 1);
	ur_loop_arm(&loop);
	cr_assert(is_readable(&loop, 1000));
	ur_loop_poll(&loop);
	ur_loop_run_timers(&loop);
	cr_assert_eq(piece.calls, 2);
	ur_loop_done(&loop);
}

static void *wake(void *user)
{
	usleep(20000);
	ur_loop_wake(user);
	return NULL;
}

Test(loop, wake_from_another_thread)
{
	struct ur_loop loop;
	pthread_t thread;

	cr_assert_eq(ur_loop_init(&loop), 0);
	cr_assert_eq(pthread_create(&thread, NULL, wake, &loop), 0);
	cr_assert_eq(ur_loop_wait(&loop), 0);
	pthread_join(thread, NULL);
	ur_loop_poll(&loop);
	cr_assert_not(is_readable(&loop, 0));
	for (int i = 0; i < 1000; i++)
		ur_loop_wake(&loop);
	ur_loop_poll(&loop);
	cr_assert_not(is_readable(&loop, 0));
	ur_loop_done(&loop);
}
