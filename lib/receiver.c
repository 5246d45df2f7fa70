/* SPDX-License-Identifier: BSD-2-Clause */
/* The receiver: owns all, and turns the crank. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "receiver-private.h"

#define SECOND_US UINT64_C(1000000)
#define RETRY_MIN_US UINT64_C(100000)
#define RETRY_MAX_US (5 * SECOND_US)
#define STOP_US (2 * SECOND_US)

/* Addresses that the collector looks at in a second. */
#define COLLECT_ROWS 20000

/* Sends what completions queued, and lets those that wait go on. */
static void after_round(struct uidrecv_receiver *receiver)
{
	for (struct ur_conn *conn = receiver->conns; conn; conn = conn->next)
		/* An answer that found no memory is noticed there, too. */
		if (conn->state == UR_CONN_SESSION &&
		    (conn->session.out.size || conn->session.out.failed))
			ur_conn_flush(conn);
	receiver->is_blocked = false;
	receiver->retry_us = RETRY_MIN_US;
}

static void block(struct uidrecv_receiver *receiver, int error)
{
	if (!receiver->is_blocked)
		ur_log(&receiver->log, UIDRECV_LOG_ERROR,
		       "nothing can be stored or published, agents wait, "
		       "lookups go on: %s",
		       uidrecv_strerror(error));
	receiver->is_blocked = true;
	ur_receiver_pause_all(receiver);
	ur_loop_set_timer(&receiver->loop, &receiver->retry_timer,
			  receiver->loop.now_us + receiver->retry_us);
	receiver->retry_us *= 2;
	if (receiver->retry_us > RETRY_MAX_US)
		receiver->retry_us = RETRY_MAX_US;
}

int ur_receiver_publish(struct uidrecv_receiver *receiver,
			struct ur_filling *filling)
{
	int error = ur_receiver_end_table(receiver, filling);

	if (error) {
		receiver->round.publish_failed = true;
		block(receiver, error);
	}
	return error;
}

/* A table that is full of what one agent says is made anew, and none waits. */
static int run_round(struct uidrecv_receiver *receiver)
{
	uint64_t now_us = ur_receiver_store_now_us(receiver);
	uint64_t wall_us = ur_clock_wall_us();
	int error = ur_round_run(&receiver->round, now_us, wall_us);

	if (!error || !receiver->round.publish_failed)
		return error;
	error = ur_receiver_rebuild_table(receiver);
	return error ? error : ur_round_run(&receiver->round, now_us, wall_us);
}

int ur_receiver_run_round(struct uidrecv_receiver *receiver)
{
	bool was_blocked = receiver->is_blocked;
	int error = 0;

	receiver->retry_is_due = false;
	if (receiver->round.publish_failed)
		error = ur_receiver_rebuild_table(receiver);
	if (!error && !was_blocked && !receiver->round.first)
		return 0;
	if (!error)
		error = run_round(receiver);
	if (error) {
		block(receiver, error);
		return error;
	}
	if (was_blocked)
		ur_log(&receiver->log, UIDRECV_LOG_WARNING,
		       "storing and publishing works again");
	after_round(receiver);
	return 0;
}

void ur_receiver_on_retry(struct ur_timer *timer)
{
	struct uidrecv_receiver *receiver =
	    (struct uidrecv_receiver *)((char *)timer -
					offsetof(struct uidrecv_receiver,
						 retry_timer));

	receiver->retry_is_due = true;
	ur_loop_wake(&receiver->loop);
}

static void keep_store(struct uidrecv_receiver *receiver, uint64_t now_us)
{
	uint64_t wall_us = ur_clock_wall_us();
	int error;

	error = ur_store_tick(receiver->store, now_us, wall_us);
	if (error >= 0)
		error = ur_store_collect(receiver->store, COLLECT_ROWS, now_us,
					 wall_us);
	if (error < 0)
		ur_log_peer(&receiver->log, UIDRECV_LOG_ERROR,
			    receiver->loop.now_us, "the store: %s",
			    uidrecv_strerror(error));
}

void ur_receiver_publish_changes(struct uidrecv_receiver *receiver)
{
	int error = ur_round_publish(&receiver->round,
				     ur_receiver_store_now_us(receiver));

	if (error)
		error = ur_receiver_rebuild_table(receiver);
	if (error)
		block(receiver, error);
}

static void keep_house(struct uidrecv_receiver *receiver)
{
	uint64_t now_us = ur_receiver_store_now_us(receiver);

	if (receiver->table)
		ur_table_beat(receiver->table);
	ur_receiver_check_certificates(receiver);
	if (!receiver->is_blocked)
		keep_store(receiver, now_us);
	/* Without a list, or after a failure, it will be made of the store. */
	if (!receiver->table || receiver->round.publish_failed)
		return;
	ur_receiver_settle(receiver);
	ur_receiver_ask_all(receiver);
}

void ur_receiver_on_second(struct ur_timer *timer)
{
	struct uidrecv_receiver *receiver =
	    (struct uidrecv_receiver *)((char *)timer -
					offsetof(struct uidrecv_receiver,
						 second_timer));

	keep_house(receiver);
	ur_loop_set_timer(&receiver->loop, timer,
			  receiver->loop.now_us + SECOND_US);
}

void ur_receiver_close_listeners(struct uidrecv_receiver *receiver)
{
	while (receiver->listeners) {
		struct ur_listener *listener = receiver->listeners;

		receiver->listeners = listener->next;
		ur_listener_free(listener);
	}
}

/*
 * What has arrived is stored and acknowledged before the goodbye, and one
 * dispatch need not have got round to all of it. Those that go on speaking are
 * not listened to beyond half of the time.
 */
static bool has_drained(struct uidrecv_receiver *receiver, uint64_t updates)
{
	if (!receiver->stop_at_us) {
		receiver->stop_at_us = receiver->loop.now_us + STOP_US;
		ur_receiver_close_listeners(receiver);
		ur_receiver_stop_dials(receiver);
	}
	if (receiver->is_blocked ||
	    receiver->loop.now_us + STOP_US / 2 >= receiver->stop_at_us)
		return true;
	return !receiver->round.first && receiver->round.updates == updates;
}

static void say_goodbye(struct uidrecv_receiver *receiver)
{
	receiver->is_stopping = true;
	(void)ur_receiver_run_round(receiver);
	for (struct ur_conn *conn = receiver->conns; conn; conn = conn->next)
		ur_conn_bye(conn, UIDRECV_BYE_SHUTDOWN, NULL);
	ur_loop_set_timer(&receiver->loop, &receiver->retry_timer,
			  receiver->stop_at_us);
}

int uidrecv_receiver_dispatch(struct uidrecv_receiver *receiver)
{
	uint64_t updates;

	if (!receiver)
		return -EINVAL;
	if (receiver->pid != getpid())
		return UIDRECV_E_FORKED;
	updates = receiver->round.updates;
	ur_loop_poll(&receiver->loop);
	if (!receiver->is_blocked || receiver->retry_is_due)
		(void)ur_receiver_run_round(receiver);
	/* Sessions have what they waited for: now those that come. */
	ur_loop_poll_patient(&receiver->loop);
	ur_receiver_welcome(receiver);
	if (receiver->is_settling)
		ur_receiver_settle(receiver);
	ur_receiver_sweep(receiver);
	if (receiver->has_paused && !receiver->is_blocked)
		ur_receiver_resume_all(receiver);
	ur_loop_run_timers(&receiver->loop);
	if (receiver->stop_asked && !receiver->is_stopping) {
		if (has_drained(receiver, updates))
			say_goodbye(receiver);
		else
			ur_loop_wake(&receiver->loop);
	}
	if (receiver->is_stopping &&
	    (!receiver->conns ||
	     receiver->loop.now_us >= receiver->stop_at_us)) {
		while (receiver->conns)
			ur_conn_free(receiver->conns);
		return -ESHUTDOWN;
	}
	/* Resuming may have submitted: do not wait for another event. */
	if ((receiver->round.first && !receiver->is_blocked) ||
	    receiver->greetings)
		ur_loop_wake(&receiver->loop);
	ur_loop_arm(&receiver->loop);
	return 0;
}

int uidrecv_receiver_run(struct uidrecv_receiver *receiver)
{
	int ret;

	if (!receiver)
		return -EINVAL;
	for (;;) {
		ret = uidrecv_receiver_dispatch(receiver);
		if (ret == -ESHUTDOWN)
			return 0;
		if (!ret)
			ret = ur_loop_wait(&receiver->loop);
		if (ret)
			return ret;
	}
}

void uidrecv_receiver_stop(struct uidrecv_receiver *receiver)
{
	if (!receiver)
		return;
	receiver->stop_asked = true;
	ur_loop_wake(&receiver->loop);
}

int uidrecv_receiver_get_fd(const struct uidrecv_receiver *receiver)
{
	return receiver ? receiver->loop.epoll_fd : -EINVAL;
}

int uidrecv_receiver_listen_fd(struct uidrecv_receiver *receiver, int fd)
{
	struct ur_listener *listener;
	int error;

	if (!receiver)
		return -EINVAL;
	if (!receiver->tls)
		return UIDRECV_E_CREDENTIALS;
	error = ur_listener_new(&listener, &receiver->loop, fd);
	if (error)
		return error;
	listener->owner = receiver;
	listener->accepted = ur_receiver_accepted;
	listener->failed = ur_receiver_accept_failed;
	listener->next = receiver->listeners;
	receiver->listeners = listener;
	return 0;
}

int uidrecv_receiver_listen(struct uidrecv_receiver *receiver,
			    const char *address, uint16_t *ret_port)
{
	int fds[2], count, error = 0;

	if (!receiver || !address)
		return -EINVAL;
	if (!receiver->tls)
		return UIDRECV_E_CREDENTIALS;
	count = ur_listener_bind(address, fds);
	if (count < 0)
		return count;
	for (int i = 0; i < count; i++) {
		if (!error)
			error = uidrecv_receiver_listen_fd(receiver, fds[i]);
		if (error)
			close(fds[i]);
	}
	if (!error && ret_port)
		*ret_port = receiver->listeners->port;
	return error;
}
