/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "clock.h"
#include "loop.h"

#define BATCH_MAX 128

static int add_inner(struct ur_loop *loop, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};

	if (fd < 0 || epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	return 0;
}

int ur_loop_init(struct ur_loop *loop)
{
	int error;

	*loop = (struct ur_loop)UR_LOOP_NONE;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		return -errno;
	loop->timer_fd =
	    timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	error = add_inner(loop, loop->timer_fd);
	if (!error) {
		loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		error = add_inner(loop, loop->wake_fd);
	}
	if (error)
		ur_loop_done(loop);
	else
		loop->now_us = ur_clock_boot_us();
	return error;
}

int ur_loop_part(struct ur_loop *loop)
{
	loop->patient_fd = epoll_create1(EPOLL_CLOEXEC);
	return add_inner(loop, loop->patient_fd);
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void ur_loop_done(struct ur_loop *loop)
{
	close_fd(loop->wake_fd);
	close_fd(loop->timer_fd);
	close_fd(loop->patient_fd);
	close_fd(loop->epoll_fd);
	free(loop->timers);
	*loop = (struct ur_loop)UR_LOOP_NONE;
}

void ur_loop_disown(struct ur_loop *loop)
{
	close_fd(loop->patient_fd);
	close_fd(loop->epoll_fd);
	loop->patient_fd = -1;
	loop->epoll_fd = -1;
}

/* The set that it is in. */
static int get_set(const struct ur_loop *loop, const struct ur_watch *watch)
{
	return watch->is_patient && loop->patient_fd >= 0 ? loop->patient_fd
							  : loop->epoll_fd;
}

static struct epoll_event make_event(struct ur_watch *watch)
{
	struct epoll_event event = {.data.ptr = watch};

	if (watch->events & UR_LOOP_READ)
		event.events |= EPOLLIN;
	if (watch->events & UR_LOOP_WRITE)
		event.events |= EPOLLOUT;
	return event;
}

int ur_loop_add(struct ur_loop *loop, struct ur_watch *watch, uint32_t events)
{
	struct epoll_event event;

	watch->events = events;
	event = make_event(watch);
	if (epoll_ctl(get_set(loop, watch), EPOLL_CTL_ADD, watch->fd, &event) <
	    0)
		return -errno;
	return 0;
}

void ur_loop_change(struct ur_loop *loop, struct ur_watch *watch,
		    uint32_t events)
{
	struct epoll_event event;

	if (watch->events == events)
		return;
	watch->events = events;
	event = make_event(watch);
	/* Cannot fail: the descriptor is in the set and nothing is allocated.
	 */
	epoll_ctl(get_set(loop, watch), EPOLL_CTL_MOD, watch->fd, &event);
}

void ur_loop_remove(struct ur_loop *loop, struct ur_watch *watch)
{
	struct epoll_event *batch = loop->batch;

	epoll_ctl(get_set(loop, watch), EPOLL_CTL_DEL, watch->fd, NULL);
	for (int i = 0; i < loop->batch_count; i++)
		if (batch[i].data.ptr == watch)
			batch[i].data.ptr = NULL;
}

int ur_loop_hurry(struct ur_loop *loop, struct ur_watch *watch)
{
	struct epoll_event event = make_event(watch);
	int former = get_set(loop, watch);

	if (former == loop->epoll_fd)
		return 0;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, watch->fd, &event) < 0)
		return -errno;
	epoll_ctl(former, EPOLL_CTL_DEL, watch->fd, NULL);
	watch->is_patient = false;
	return 0;
}

int ur_loop_reserve_timer(struct ur_loop *loop)
{
	if (loop->timers_reserved + 1 >= loop->timers_room) {
		size_t room = loop->timers_room ? 2 * loop->timers_room : 64;
		void *timers =
		    realloc(loop->timers, room * sizeof(*loop->timers));

		if (!timers)
			return -ENOMEM;
		loop->timers = timers;
		loop->timers_room = room;
	}
	loop->timers_reserved++;
	return 0;
}

void ur_loop_release_timer(struct ur_loop *loop)
{
	loop->timers_reserved--;
}

static void place(struct ur_loop *loop, struct ur_timer *timer, size_t index)
{
	loop->timers[index] = timer;
	timer->index = index;
}

static void sift_up(struct ur_loop *loop, struct ur_timer *timer, size_t index)
{
	while (index > 1 && loop->timers[index / 2]->at_us > timer->at_us) {
		place(loop, loop->timers[index / 2], index);
		index /= 2;
	}
	place(loop, timer, index);
}

static void sift_down(struct ur_loop *loop, struct ur_timer *timer,
		      size_t index)
{
	size_t child;

	while ((child = 2 * index) <= loop->timers_count) {
		if (child < loop->timers_count &&
		    loop->timers[child + 1]->at_us < loop->timers[child]->at_us)
			child++;
		if (loop->timers[child]->at_us >= timer->at_us)
			break;
		place(loop, loop->timers[child], index);
		index = child;
	}
	place(loop, timer, index);
}

static void unset_timer(struct ur_loop *loop, struct ur_timer *timer)
{
	size_t index = timer->index;
	struct ur_timer *last;

	if (!index)
		return;
	timer->index = 0;
	last = loop->timers[loop->timers_count--];
	if (last == timer)
		return;
	sift_up(loop, last, index);
	sift_down(loop, last, last->index);
}

void ur_loop_set_timer(struct ur_loop *loop, struct ur_timer *timer,
		       uint64_t at_us)
{
	if (timer->index && timer->at_us == at_us)
		return;
	unset_timer(loop, timer);
	timer->at_us = at_us;
	if (at_us != UINT64_MAX)
		sift_up(loop, timer, ++loop->timers_count);
}

static void drain(struct ur_loop *loop)
{
	uint64_t count;

	if (read(loop->timer_fd, &count, sizeof(count)) > 0)
		loop->armed_us = 0;
	(void)!read(loop->wake_fd, &count, sizeof(count));
}

static void poll_set(struct ur_loop *loop, int set, int count_max)
{
	struct epoll_event batch[BATCH_MAX];
	int count = epoll_wait(set, batch, count_max, 0);

	loop->now_us = ur_clock_boot_us();
	loop->batch = batch;
	loop->batch_count = count > 0 ? count : 0;
	for (int i = 0; i < count; i++) {
		struct ur_watch *watch = batch[i].data.ptr;
		uint32_t events = 0;

		if (!watch) {
			drain(loop);
			continue;
		}
		if (batch[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
			events |= UR_LOOP_READ;
		if (batch[i].events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
			events |= UR_LOOP_WRITE;
		batch[i].data.ptr = NULL;
		watch->ready(watch, events);
	}
	loop->batch = NULL;
	loop->batch_count = 0;
}

void ur_loop_poll(struct ur_loop *loop)
{
	poll_set(loop, loop->epoll_fd, BATCH_MAX);
}

void ur_loop_poll_patient(struct ur_loop *loop)
{
	poll_set(loop, loop->patient_fd, UR_LOOP_PATIENT_MAX);
}

void ur_loop_run_timers(struct ur_loop *loop)
{
	/* A timer that sets itself to now again waits for the next dispatch. */
	size_t bound = loop->timers_count;

	while (bound-- && loop->timers_count &&
	       loop->timers[1]->at_us <= loop->now_us) {
		struct ur_timer *timer = loop->timers[1];

		unset_timer(loop, timer);
		timer->expired(timer);
	}
}

void ur_loop_arm(struct ur_loop *loop)
{
	uint64_t at_us = loop->timers_count ? loop->timers[1]->at_us : 0;
	struct itimerspec spec = {
	    .it_value = {.tv_sec = (time_t)(at_us / 1000000),
			 .tv_nsec = (long)(at_us % 1000000) * 1000}};

	if (at_us == loop->armed_us)
		return;
	loop->armed_us = at_us;
	timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

void ur_loop_wake(struct ur_loop *loop)
{
	uint64_t one = 1;
	int saved = errno;

	(void)!write(loop->wake_fd, &one, sizeof(one));
	errno = saved;
}

int ur_loop_wait(struct ur_loop *loop)
{
	struct pollfd pollfd = {.fd = loop->epoll_fd, .events = POLLIN};

	return poll(&pollfd, 1, -1) < 0 ? -errno : 0;
}
