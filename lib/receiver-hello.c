/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Agents introduce themselves: their sessions, and the offsets of their clocks.
 * Those that come in one dispatch are stored in one commit, so that a crowd
 * that comes back does not hold up the others, however slow the disk is.
 */
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "receiver-private.h"

/* The offset of a clock may follow it by one part in so many. */
#define DRIFT_SHARE 1000

static bool is_superseded(const struct ur_agent_row *row, uint64_t session_id)
{
	for (int i = 0; i < UR_SUPERSEDED_MAX; i++)
		if (row->superseded[i] == session_id)
			return true;
	return false;
}

static uint64_t distance(int64_t a, int64_t b)
{
	return a > b ? (uint64_t)a - (uint64_t)b : (uint64_t)b - (uint64_t)a;
}

/* A measured offset within both errors of the stored one is the stored one. */
static bool agrees(const struct ur_agent_row *row, int64_t offset_us,
		   uint64_t error_us)
{
	return distance(offset_us, row->offset_us) <=
	       row->offset_error_us + error_us;
}

/* The offset follows the drift, but no faster than clocks do. */
void ur_receiver_on_clock(struct ur_conn *conn,
			  const struct ur_clock_echo *clock)
{
	const struct uidrecv_receiver *receiver = conn->options.owner;
	struct ur_peer *peer = conn->agent;
	const struct ur_agent_row *row =
	    ur_store_get_agent_by_id(receiver->store, peer->id);
	uint64_t now_us = receiver->loop.now_us;
	uint64_t error_us, beyond_us, step_us;
	int64_t offset_us;

	if (!clock->echo_us)
		return;
	ur_session_measure(&conn->session, clock, now_us, &offset_us,
			   &error_us);
	step_us = (now_us - peer->measured_us) / DRIFT_SHARE;
	peer->measured_us = now_us;
	beyond_us = distance(offset_us, peer->offset_us);
	if (beyond_us <= error_us + row->offset_error_us)
		return;
	beyond_us -= error_us + row->offset_error_us;
	if (step_us > beyond_us)
		step_us = beyond_us;
	peer->offset_us +=
	    offset_us > peer->offset_us ? (int64_t)step_us : -(int64_t)step_us;
}

/* A HELLO from its arrival to READY or BYE. */
struct ur_greeting {
	struct ur_greeting *next;
	struct ur_conn *conn; /* NULL: it is gone, or was answered */
	uint64_t session_id, acked;
	int64_t offset_us;
	uint64_t error_us;
	bool is_stored; /* in the running round */
	char software[UR_SOFTWARE_MAX * 3 + 1];
};

static void take_offset(const struct uidrecv_receiver *receiver,
			const struct ur_greeting *greeting,
			struct ur_agent_row *row)
{
	bool is_same_boot = !memcmp(row->offset_boot_id, receiver->boot_id,
				    sizeof(receiver->boot_id));

	if (is_same_boot &&
	    (row->session_id == greeting->session_id ||
	     agrees(row, greeting->offset_us, greeting->error_us)))
		return;
	row->offset_us = greeting->offset_us;
	row->offset_error_us = greeting->error_us;
	memcpy(row->offset_boot_id, receiver->boot_id,
	       sizeof(receiver->boot_id));
}

static void begin_session(struct ur_agent_row *row, uint64_t session_id)
{
	memmove(row->superseded + 1, row->superseded,
		sizeof(row->superseded) - sizeof(row->superseded[0]));
	row->superseded[0] = row->session_id;
	row->session_id = session_id;
	row->durable = 0;
}

/* Puts what HELLO changes of the agent's row into the round. */
static int put_greeting(struct uidrecv_receiver *receiver,
			const struct ur_greeting *greeting)
{
	struct ur_peer *peer = greeting->conn->agent;
	const struct ur_agent_row *former =
	    ur_store_get_agent_by_id(receiver->store, peer->id);
	struct ur_agent_row row = *former;
	bool is_same = row.session_id == greeting->session_id;
	bool has_lost = greeting->acked > (is_same ? row.durable : 0);
	uint64_t forget = is_same ? greeting->acked : UINT64_MAX;
	int error;

	take_offset(receiver, greeting, &row);
	/* A session that is only resumed need not cost an fsync. */
	if (is_same && !has_lost && forget <= peer->dropped &&
	    row.offset_us == former->offset_us &&
	    !memcmp(row.offset_boot_id, former->offset_boot_id,
		    sizeof(row.offset_boot_id)))
		return 0;
	if (!is_same) {
		begin_session(&row, greeting->session_id);
		peer->dropped = 0;
	}
	error = ur_store_put_agent(receiver->store, &row);
	if (!error)
		error =
		    ur_store_drop_rejects(receiver->store, peer->id, forget);
	/* An old backup of the store has forgotten what was said since. */
	if (!error && has_lost)
		error = ur_store_want_snapshot(receiver->store, peer->id,
					       UIDRECV_RESYNC_GAP);
	return error;
}

/* Answers it with BYE. */
static void refuse(struct ur_greeting *greeting, uint16_t bye)
{
	struct ur_conn *conn = greeting->conn;

	greeting->conn = NULL;
	ur_conn_bye(conn, bye, NULL);
}

/* The former connection of this identity makes room. */
static void replace_former(struct ur_peer *peer, const struct ur_conn *conn,
			   bool is_same_session)
{
	struct ur_conn *former = peer->conn;

	if (former && former != conn)
		ur_conn_bye(former,
			    is_same_session ? UIDRECV_BYE_REPLACED
					    : UIDRECV_BYE_SUPERSEDED,
			    NULL);
}

/* Does an earlier one of the same identity come first? */
static bool must_wait(const struct uidrecv_receiver *receiver,
		      const struct ur_greeting *greeting)
{
	for (const struct ur_greeting *earlier = receiver->greetings;
	     earlier != greeting; earlier = earlier->next)
		if (earlier->conn &&
		    earlier->conn->agent == greeting->conn->agent)
			return true;
	return false;
}

/* May it have a session? Otherwise it is refused. */
static bool is_welcome(struct uidrecv_receiver *receiver,
		       struct ur_greeting *greeting)
{
	struct ur_peer *peer = greeting->conn->agent;
	const struct ur_agent_row *row;

	if (ur_receiver_enrol(receiver, peer) < 0) {
		refuse(greeting, UIDRECV_BYE_STORE_FAILED);
		return false;
	}
	row = ur_store_get_agent_by_id(receiver->store, peer->id);
	if (is_superseded(row, greeting->session_id)) {
		refuse(greeting, UIDRECV_BYE_SUPERSEDED);
		return false;
	}
	replace_former(peer, greeting->conn,
		       row->session_id == greeting->session_id);
	/* What was sent to the former may have told of an error here. */
	return greeting->conn != NULL;
}

static void accept_session(struct uidrecv_receiver *receiver,
			   struct ur_greeting *greeting)
{
	struct ur_conn *conn = greeting->conn;
	struct ur_peer *peer = conn->agent;
	const struct ur_agent_row *row =
	    ur_store_get_agent_by_id(receiver->store, peer->id);
	uint64_t now_us = receiver->loop.now_us;

	greeting->conn = NULL;
	peer->conn = conn;
	memcpy(peer->software, greeting->software, sizeof(peer->software));
	peer->heard_us = now_us;
	peer->measured_us = now_us;
	peer->offset_us = row->offset_us;
	ur_session_accept(&conn->session, row->durable, now_us);
	if (conn->dial)
		ur_receiver_dial_opened(conn);
	else
		receiver->handshakes--;
	receiver->stats.sessions++;
	ur_log_peer(&receiver->log, UIDRECV_LOG_INFO, now_us,
		    "%s: session %016llx of %s begins after serial %llu",
		    conn->peer, (unsigned long long)greeting->session_id,
		    peer->right->name, (unsigned long long)row->durable);
	ur_receiver_ask(receiver, peer);
	ur_conn_flush(conn);
}

/* Stores all that are welcome, in one commit. 0 or an error: none is. */
static int store_greetings(struct uidrecv_receiver *receiver)
{
	int error = ur_store_begin(receiver->store);

	if (error)
		return error;
	for (struct ur_greeting *greeting = receiver->greetings; greeting;
	     greeting = greeting->next) {
		if (!greeting->is_stored || !greeting->conn)
			continue;
		error = put_greeting(receiver, greeting);
		if (error) {
			ur_store_abort(receiver->store);
			return error;
		}
	}
	return ur_store_commit(receiver->store,
			       ur_receiver_store_now_us(receiver),
			       ur_clock_wall_us());
}

static void remove_answered(struct uidrecv_receiver *receiver)
{
	struct ur_greeting **link = &receiver->greetings;

	while (*link) {
		struct ur_greeting *greeting = *link;

		if (greeting->conn) {
			link = &greeting->next;
			continue;
		}
		*link = greeting->next;
		free(greeting);
	}
	receiver->greetings_last = link;
}

void ur_receiver_welcome(struct uidrecv_receiver *receiver)
{
	struct ur_greeting *greeting;
	int error;

	if (!receiver->greetings)
		return;
	/* READY waits for what a former connection submitted. */
	error = ur_receiver_run_round(receiver);
	for (greeting = receiver->greetings; greeting;
	     greeting = greeting->next)
		if (greeting->conn && !error)
			greeting->is_stored = !must_wait(receiver, greeting) &&
					      is_welcome(receiver, greeting);
	if (!error)
		error = store_greetings(receiver);
	for (greeting = receiver->greetings; greeting;
	     greeting = greeting->next) {
		if (greeting->conn && error)
			refuse(greeting, UIDRECV_BYE_STORE_FAILED);
		else if (greeting->conn && greeting->is_stored)
			accept_session(receiver, greeting);
	}
	remove_answered(receiver);
	if (receiver->greetings)
		ur_loop_wake(&receiver->loop);
}

void ur_receiver_on_hello(struct ur_conn *conn, const struct ur_hello *hello)
{
	struct uidrecv_receiver *receiver = conn->options.owner;
	struct ur_greeting *greeting = calloc(1, sizeof(*greeting));

	if (!greeting) {
		ur_conn_bye(conn, UIDRECV_BYE_OVERLOADED, NULL);
		return;
	}
	greeting->conn = conn;
	greeting->session_id = hello->session_id;
	greeting->acked = hello->acked;
	ur_session_measure(&conn->session, &hello->clock, receiver->loop.now_us,
			   &greeting->offset_us, &greeting->error_us);
	ur_log_escape(greeting->software, sizeof(greeting->software),
		      hello->software.bytes, hello->software.size);
	*receiver->greetings_last = greeting;
	receiver->greetings_last = &greeting->next;
}

void ur_receiver_forget_hello(struct uidrecv_receiver *receiver,
			      const struct ur_conn *conn)
{
	for (struct ur_greeting *greeting = receiver->greetings; greeting;
	     greeting = greeting->next)
		if (greeting->conn == conn)
			greeting->conn = NULL;
}

void ur_receiver_forget_hellos(struct uidrecv_receiver *receiver)
{
	for (struct ur_greeting *greeting = receiver->greetings; greeting;
	     greeting = greeting->next)
		greeting->conn = NULL;
	remove_answered(receiver);
}
