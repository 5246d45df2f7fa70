/* SPDX-License-Identifier: BSD-2-Clause */
/* Agents that listen: the receiver connects to them, and again. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "receiver-private.h"
#include "words.h"

/* After a start or a list the first attempts begin so far apart. */
#define SPREAD_US 2000

static struct ur_dial *get_dial(struct ur_dialer *dialer)
{
	return dialer->owner;
}

/* Keeps why it failed; says so in the log if that is news. */
static void note_failure(struct ur_dial *dial, const char *text, bool is_news)
{
	struct uidrecv_receiver *receiver = dial->receiver;
	char error[sizeof(dial->error)];

	ur_log_escape(error, sizeof(error), text, strlen(text));
	is_news &= !dial->is_failing || strcmp(error, dial->error);
	memcpy(dial->error, error, sizeof(error));
	dial->is_failing |= is_news;
	if (is_news)
		ur_log_peer(&receiver->log, UIDRECV_LOG_WARNING,
			    receiver->loop.now_us,
			    "%s at %s: no session, and it is tried again: %s",
			    dial->name, dial->target, error);
}

static void on_failed(struct ur_dialer *dialer, int error, const char *text)
{
	(void)error;
	note_failure(get_dial(dialer), text, true);
	ur_dialer_retry(dialer);
}

static void on_connecting(struct ur_dialer *dialer, int fd)
{
	struct ur_dial *dial = get_dial(dialer);
	struct uidrecv_receiver *receiver = dial->receiver;
	struct ur_conn_options options = ur_receiver_conn_options(receiver);
	int error;

	options.context = receiver->tls_client;
	options.is_connecting = true;
	error = ur_conn_new(&dial->conn, fd, &receiver->conns, &options);
	if (error) {
		on_failed(dialer, error, uidrecv_strerror(error));
		return;
	}
	dial->conn->dial = dial;
	dial->opened_us = 0;
	receiver->stats.connections++;
	receiver->dialled++;
	if (receiver->is_blocked)
		ur_conn_pause(dial->conn);
}

void ur_receiver_dial_opened(struct ur_conn *conn)
{
	struct ur_dial *dial = conn->dial;

	dial->opened_us = dial->receiver->loop.now_us;
	dial->is_failing = false;
}

/*
 * Who completes the handshake and then misbehaves has achieved nothing: only a
 * session that held for b makes b small again.
 */
static bool was_success(const struct ur_dial *dial)
{
	return dial->opened_us &&
	       dial->receiver->loop.now_us - dial->opened_us >=
		   dial->dialer.bound_us;
}

void ur_receiver_dial_ended(struct ur_conn *conn, int error)
{
	struct ur_dial *dial = conn->dial;
	uint16_t received = conn->session.bye_received;
	uint16_t bye = received ? received : conn->session.bye_sent;

	conn->dial = NULL;
	dial->conn = NULL;
	if (dial->receiver->stop_at_us)
		return;
	note_failure(dial, ur_conn_get_error(conn), !dial->opened_us);
	if (was_success(dial))
		ur_dialer_succeeded(&dial->dialer);
	if (ur_dialer_is_refusal(error, bye))
		ur_dialer_retry_refused(&dial->dialer);
	else
		ur_dialer_retry(&dial->dialer);
}

/* The connection goes its own way to its end. */
static void let_go(struct ur_dial *dial)
{
	struct ur_conn *conn = dial->conn;

	if (!conn)
		return;
	conn->dial = NULL;
	dial->conn = NULL;
	/* Nobody is there yet to be told. */
	if (conn->state == UR_CONN_CONNECTING)
		ur_conn_free(conn);
	else
		ur_conn_bye(conn, UIDRECV_BYE_SHUTDOWN, NULL);
}

void ur_receiver_stop_dials(struct uidrecv_receiver *receiver)
{
	for (struct ur_dial *dial = receiver->dials; dial; dial = dial->next) {
		ur_dialer_stop(&dial->dialer);
		if (dial->conn && dial->conn->state == UR_CONN_CONNECTING)
			let_go(dial);
	}
}

/* Goes over to another address, or (NULL) to none. */
static void set_target(struct ur_dial *dial, const char *target)
{
	struct uidrecv_receiver *receiver = dial->receiver;

	if (!strcmp(dial->target, target ? target : ""))
		return;
	ur_dialer_stop(&dial->dialer);
	let_go(dial);
	dial->is_failing = false;
	*dial->target = '\0';
	if (!target ||
	    !ur_words_endpoint(target, dial->host, sizeof(dial->host),
			       &dial->dialer.port))
		return;
	snprintf(dial->target, sizeof(dial->target), "%s", target);
	receiver->loop.now_us = ur_clock_boot_us();
	if (receiver->dial_next_us < receiver->loop.now_us)
		receiver->dial_next_us = receiver->loop.now_us;
	if (!receiver->stop_at_us)
		ur_dialer_start(&dial->dialer, receiver->dial_next_us);
	receiver->dial_next_us += SPREAD_US;
	ur_loop_wake(&receiver->loop);
}

static void free_dial(struct ur_dial *dial)
{
	set_target(dial, NULL);
	ur_dialer_done(&dial->dialer);
	free(dial->name);
	free(dial->added);
	free(dial);
}

static struct ur_dial *new_dial(struct uidrecv_receiver *receiver,
				const char *name)
{
	struct ur_dial *dial = calloc(1, sizeof(*dial));

	if (!dial)
		return NULL;
	dial->receiver = receiver;
	dial->name = strdup(name);
	if (!dial->name ||
	    ur_dialer_init(&dial->dialer, &receiver->resolver) < 0) {
		free(dial->name);
		free(dial);
		return NULL;
	}
	dial->dialer.host = dial->host;
	dial->dialer.owner = dial;
	dial->dialer.connecting = on_connecting;
	dial->dialer.failed = on_failed;
	dial->next = receiver->dials;
	receiver->dials = dial;
	return dial;
}

void ur_receiver_free_dials(struct uidrecv_receiver *receiver)
{
	while (receiver->dials) {
		struct ur_dial *dial = receiver->dials;

		receiver->dials = dial->next;
		free_dial(dial);
	}
}

static struct ur_dial *find_dial(struct ur_dial *dials, const char *name)
{
	while (dials && strcmp(dials->name, name))
		dials = dials->next;
	return dials;
}

int ur_receiver_make_dials(struct uidrecv_receiver *receiver,
			   const struct uidrecv_rights *rights)
{
	struct ur_dial *former = receiver->dials;
	size_t count = uidrecv_rights_count(rights);

	for (size_t i = 0; i < count; i++) {
		const struct ur_right *right = ur_rights_at(rights, i);
		const struct ur_peer *peer = ur_receiver_find_peer(
		    receiver, right->name, right->name_size);

		if (!right->dial || (peer && peer->dial) ||
		    find_dial(former, right->name))
			continue;
		if (!new_dial(receiver, right->name))
			return -ENOMEM;
	}
	return 0;
}

void ur_receiver_use_dials(struct uidrecv_receiver *receiver)
{
	struct ur_dial **link = &receiver->dials;

	for (size_t i = 0; i < receiver->peers_count; i++)
		receiver->peers[i].dial = NULL;
	while (*link) {
		struct ur_dial *dial = *link;
		struct ur_peer *peer = ur_receiver_find_peer(
		    receiver, dial->name, strlen(dial->name));
		const char *target = NULL;

		if (peer)
			target =
			    peer->right->dial ? peer->right->dial : dial->added;
		if (!target && !dial->added) {
			*link = dial->next;
			free_dial(dial);
			continue;
		}
		set_target(dial, target);
		if (target)
			peer->dial = dial;
		link = &dial->next;
	}
}

static bool make_target(char *target, size_t room, const char *host,
			uint16_t port)
{
	bool is_v6 = strchr(host, ':');
	int size =
	    snprintf(target, room, is_v6 ? "[%s]:%u" : "%s:%u", host, port);

	return size > 0 && (size_t)size < room &&
	       ur_right_dial_is_valid(target);
}

int uidrecv_receiver_add_agent(struct uidrecv_receiver *receiver,
			       const char *name, const char *host,
			       uint16_t port)
{
	char target[UIDRECV_NAME_MAX + 1];
	struct ur_peer *peer;
	struct ur_dial *dial;

	if (!receiver || !name || !host || !port ||
	    !make_target(target, sizeof(target), host, port))
		return -EINVAL;
	if (receiver->pid != getpid())
		return UIDRECV_E_FORKED;
	if (!receiver->tls_client)
		return UIDRECV_E_CREDENTIALS;
	peer = ur_receiver_find_peer(receiver, name, strlen(name));
	if (!peer)
		return UIDRECV_E_UNKNOWN_AGENT;
	if (peer->dial)
		return -EEXIST;
	dial = new_dial(receiver, peer->right->name);
	if (!dial)
		return -ENOMEM;
	dial->added = strdup(target);
	ur_receiver_use_dials(receiver);
	return peer->dial ? 0 : -ENOMEM;
}

int uidrecv_receiver_remove_agent(struct uidrecv_receiver *receiver,
				  const char *name)
{
	struct ur_dial *dial;

	if (!receiver || !name)
		return -EINVAL;
	if (receiver->pid != getpid())
		return UIDRECV_E_FORKED;
	dial = find_dial(receiver->dials, name);
	if (!dial || !dial->added)
		return UIDRECV_E_UNKNOWN_AGENT;
	free(dial->added);
	dial->added = NULL;
	ur_receiver_use_dials(receiver);
	return 0;
}
