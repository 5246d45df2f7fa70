/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One outer descriptor over many inner ones, with timers. The only file with
 * epoll, timerfd and eventfd.
 *
 * Work that is dear and can wait is that of patient watches: in a loop that was
 * made so they are called apart from the others, a few in a dispatch, and each
 * in its turn.
 */
#ifndef UR_LOOP_H
#define UR_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UR_LOOP_READ 1u
#define UR_LOOP_WRITE 2u

/* A descriptor that is watched; part of its owner. */
struct ur_watch {
	int fd;
	uint32_t events; /* UR_LOOP_ bits that are asked for */
	void (*ready)(struct ur_watch *watch, uint32_t events);
	bool is_patient;
};

/* A point in time; part of its owner. */
struct ur_timer {
	uint64_t at_us;
	size_t index; /* in the heap, from 1; 0: not set */
	void (*expired)(struct ur_timer *timer);
};

struct ur_loop {
	int epoll_fd;
	int patient_fd; /* in epoll_fd; the patient's own, or -1 */
	int timer_fd;
	int wake_fd;
	uint64_t now_us;	  /* CLOCK_BOOTTIME of the last poll */
	uint64_t armed_us;	  /* what timer_fd is set to; 0: not set */
	struct ur_timer **timers; /* a heap from index 1 */
	size_t timers_count, timers_room, timers_reserved;
	void *batch; /* events being handed out */
	int batch_count;
};

/* What ur_loop_done() may be given without ur_loop_init(). */
#define UR_LOOP_NONE                                                           \
	{                                                                      \
		.epoll_fd = -1, .patient_fd = -1, .timer_fd = -1,              \
		.wake_fd = -1                                                  \
	}

/* 0 or -errno. */
int ur_loop_init(struct ur_loop *loop);
/* From now on ur_loop_poll_patient() calls the patient. 0 or -errno. */
int ur_loop_part(struct ur_loop *loop);
void ur_loop_done(struct ur_loop *loop);

/*
 * In a child after fork() the set of descriptors is the parent's: ends the
 * child's part in it, so that removing takes nothing from the parent.
 */
void ur_loop_disown(struct ur_loop *loop);

/* Begins to watch; 0 or -errno. Errors and hang-ups count as readable. */
int ur_loop_add(struct ur_loop *loop, struct ur_watch *watch, uint32_t events);
void ur_loop_change(struct ur_loop *loop, struct ur_watch *watch,
		    uint32_t events);
/* Ends it; the watch is not called any more. Does not close the fd. */
void ur_loop_remove(struct ur_loop *loop, struct ur_watch *watch);
/* It is patient no longer. 0, or -errno: it still is. */
int ur_loop_hurry(struct ur_loop *loop, struct ur_watch *watch);

/*
 * Reserves room, so that setting never fails: once per timer that may be set
 * at the same time. 0 or -ENOMEM.
 */
int ur_loop_reserve_timer(struct ur_loop *loop);
void ur_loop_release_timer(struct ur_loop *loop);

/* Sets, moves, or (UINT64_MAX) unsets a timer. */
void ur_loop_set_timer(struct ur_loop *loop, struct ur_timer *timer,
		       uint64_t at_us);

/*
 * Calls what is ready, without waiting. The caller runs the timers after it
 * has done what the descriptors brought.
 */
void ur_loop_poll(struct ur_loop *loop);
/* The same for as many of the patient, who waited longest. */
#define UR_LOOP_PATIENT_MAX 16
void ur_loop_poll_patient(struct ur_loop *loop);
void ur_loop_run_timers(struct ur_loop *loop);

/* Makes the outer descriptor readable at the next deadline; call it last. */
void ur_loop_arm(struct ur_loop *loop);

/* Makes it readable now. Any thread, and signal handlers. */
void ur_loop_wake(struct ur_loop *loop);

/* Waits until the outer descriptor is readable. 0 or -errno (-EINTR). */
int ur_loop_wait(struct ur_loop *loop);

#endif
