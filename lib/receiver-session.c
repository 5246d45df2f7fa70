/* SPDX-License-Identifier: BSD-2-Clause */
/* What a connection of an agent leads to. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "receiver-private.h"

/* What one agent may have submitted and not yet acknowledged. */
#define PENDING_MAX (256u << 10)

/* Answers that a peer does not read. */
#define UNREAD_MAX (1u << 20)

static struct uidrecv_receiver *get_receiver(const struct ur_conn *conn)
{
	return conn->options.owner;
}

static int on_authenticated(struct ur_conn *conn)
{
	struct uidrecv_receiver *receiver = get_receiver(conn);
	size_t count = ur_tls_get_names_count(conn->tls);

	/* The files were read again while it shook hands. */
	if (conn->options.context != receiver->tls &&
	    ur_tls_reverify(conn->tls, receiver->tls) < 0)
		return UIDRECV_E_CERTIFICATE;
	/* Before the first list nobody can be told that he is not on it. */
	if (!receiver->rights)
		return UIDRECV_BYE_OVERLOADED;
	for (size_t i = 0; i < count; i++) {
		const char *name = ur_tls_get_name(conn->tls, i);

		conn->agent =
		    ur_receiver_find_peer(receiver, name, strlen(name));
		if (conn->agent)
			return 0;
	}
	receiver->stats.refused_identity++;
	ur_log_peer(&receiver->log, UIDRECV_LOG_WARNING, receiver->loop.now_us,
		    "%s: refused, no name of its certificate is on the list "
		    "of agents (first: %s)",
		    conn->peer, count ? ur_tls_get_name(conn->tls, 0) : "none");
	return UIDRECV_BYE_NOT_AUTHORIZED;
}

static bool is_superseded(const struct ur_agent_row *row, uint64_t session_id)
{
	for (int i = 0; i < UR_SUPERSEDED_MAX; i++)
		if (row->superseded[i] == session_id)
			return true;
	return false;
}

/* A measured offset within both errors of the stored one is the stored one. */
static bool agrees(const struct ur_agent_row *row, int64_t offset_us,
		   uint64_t error_us)
{
	uint64_t a = (uint64_t)offset_us, b = (uint64_t)row->offset_us;
	uint64_t apart = offset_us > row->offset_us ? a - b : b - a;

	return apart <= row->offset_error_us + error_us;
}

static void take_offset(struct uidrecv_receiver *receiver, struct ur_conn *conn,
			const struct ur_hello *hello, struct ur_agent_row *row)
{
	bool is_same_boot = !memcmp(row->offset_boot_id, receiver->boot_id,
				    sizeof(receiver->boot_id));
	int64_t offset_us;
	uint64_t error_us;

	ur_session_measure(&conn->session, &hello->clock, receiver->loop.now_us,
			   &offset_us, &error_us);
	if (is_same_boot && (row->session_id == hello->session_id ||
			     agrees(row, offset_us, error_us)))
		return;
	row->offset_us = offset_us;
	row->offset_error_us = error_us;
	memcpy(row->offset_boot_id, receiver->boot_id,
	       sizeof(receiver->boot_id));
}

/* Stores what HELLO changes of the agent's row. */
static int store_hello(struct uidrecv_receiver *receiver, struct ur_conn *conn,
		       const struct ur_hello *hello, struct ur_peer *peer)
{
	const struct ur_agent_row *former =
	    ur_store_get_agent_by_id(receiver->store, peer->id);
	struct ur_agent_row row = *former;
	uint64_t forget = hello->acked;
	int error;

	take_offset(receiver, conn, hello, &row);
	/* A session that is only resumed need not cost an fsync. */
	if (row.session_id == hello->session_id && forget <= peer->dropped &&
	    row.offset_us == former->offset_us &&
	    !memcmp(row.offset_boot_id, former->offset_boot_id,
		    sizeof(row.offset_boot_id)))
		return 0;
	if (row.session_id != hello->session_id) {
		memmove(row.superseded + 1, row.superseded,
			sizeof(row.superseded) - sizeof(row.superseded[0]));
		row.superseded[0] = row.session_id;
		row.session_id = hello->session_id;
		row.durable = 0;
		peer->dropped = 0;
		forget = UINT64_MAX;
	}
	error = ur_store_begin(receiver->store);
	if (error)
		return error;
	error = ur_store_put_agent(receiver->store, &row);
	if (!error)
		error =
		    ur_store_drop_rejects(receiver->store, peer->id, forget);
	if (error) {
		ur_store_abort(receiver->store);
		return error;
	}
	return ur_store_commit(receiver->store,
			       ur_receiver_store_now_us(receiver),
			       ur_clock_wall_us());
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

static void on_hello(struct ur_conn *conn, const struct ur_hello *hello)
{
	struct uidrecv_receiver *receiver = get_receiver(conn);
	struct ur_peer *peer = conn->agent;
	const struct ur_agent_row *row;
	char software[UR_SOFTWARE_MAX * 3 + 1];
	/* READY waits for what a former connection submitted. */
	int error = ur_receiver_run_round(receiver);

	/* The round sends, and may find that this peer is gone already. */
	if (conn->state != UR_CONN_SESSION)
		return;
	ur_log_escape(software, sizeof(software), hello->software.bytes,
		      hello->software.size);
	if (!error)
		error = ur_receiver_enrol(receiver, peer);
	if (error) {
		ur_conn_bye(conn, UIDRECV_BYE_STORE_FAILED, NULL);
		return;
	}
	row = ur_store_get_agent_by_id(receiver->store, peer->id);
	if (is_superseded(row, hello->session_id)) {
		ur_conn_bye(conn, UIDRECV_BYE_SUPERSEDED, NULL);
		return;
	}
	replace_former(peer, conn, row->session_id == hello->session_id);
	if (store_hello(receiver, conn, hello, peer) < 0) {
		ur_conn_bye(conn, UIDRECV_BYE_STORE_FAILED, NULL);
		return;
	}
	row = ur_store_get_agent_by_id(receiver->store, peer->id);
	peer->conn = conn;
	memcpy(peer->software, software, sizeof(software));
	peer->heard_us = receiver->loop.now_us;
	ur_session_accept(&conn->session, row->durable, receiver->loop.now_us);
	receiver->handshakes--;
	receiver->stats.sessions++;
	ur_log_peer(&receiver->log, UIDRECV_LOG_INFO, receiver->loop.now_us,
		    "%s: session %016llx of %s begins after serial %llu",
		    conn->peer, (unsigned long long)hello->session_id,
		    peer->right->name, (unsigned long long)row->durable);
}

/* The agent has not heard what became of a serial that is durable. */
static void answer_again(struct ur_conn *conn, uint64_t serial)
{
	struct uidrecv_receiver *receiver = get_receiver(conn);
	const struct ur_peer *peer = conn->agent;
	struct ur_refusal refusals[UR_REFUSALS_MAX];
	size_t count;

	receiver->stats.duplicates++;
	if (ur_store_get_rejects(receiver->store, peer->id, serial, refusals,
				 &count) < 0) {
		ur_conn_bye(conn, UIDRECV_BYE_STORE_FAILED, NULL);
		return;
	}
	ur_session_reject(&conn->session, serial, refusals, count,
			  receiver->loop.now_us);
	ur_session_ack(&conn->session, serial, receiver->loop.now_us);
}

static void on_update(struct ur_conn *conn, const struct ur_message *message)
{
	struct uidrecv_receiver *receiver = get_receiver(conn);
	struct ur_peer *peer = conn->agent;
	const struct ur_agent_row *row =
	    ur_store_get_agent_by_id(receiver->store, peer->id);
	struct ur_batch batch = {
	    .peer = peer,
	    .conn = conn,
	    .serial = message->serial,
	    .as_of_us = message->update.as_of_us,
	    /* It cannot have heard of this one, whatever it says. */
	    .acked = conn->session.acked < message->serial
			 ? conn->session.acked
			 : message->serial - 1,
	    .offset_us = row->offset_us,
	    .records_count = message->update.records_count,
	};

	if (message->serial <= conn->session.durable) {
		answer_again(conn, message->serial);
	} else if (ur_round_submit(&receiver->round, &batch,
				   message->update.body,
				   message->update.body_size) < 0) {
		ur_conn_bye(conn, UIDRECV_BYE_OVERLOADED, NULL);
		return;
	} else {
		conn->pending_bytes += message->update.body_size;
	}
	if (conn->pending_bytes > PENDING_MAX ||
	    ur_conn_queued(conn) > UNREAD_MAX ||
	    receiver->round.records >= receiver->options.round_records_max) {
		ur_conn_pause(conn);
		receiver->has_paused = true;
	}
}

static void on_message(struct ur_conn *conn, const struct ur_message *message)
{
	struct ur_peer *peer = conn->agent;

	switch (message->type) {
	case UR_HELLO:
		on_hello(conn, &message->hello);
		break;
	case UR_UPDATE:
		on_update(conn, message);
		break;
	default:
		break;
	}
	if (peer->conn == conn)
		peer->heard_us = get_receiver(conn)->loop.now_us;
}

void ur_receiver_completed(void *owner, const struct ur_batch *batch,
			   const struct ur_refusal *refusals)
{
	struct uidrecv_receiver *receiver = owner;
	struct ur_conn *conn = batch->conn;
	struct ur_peer *peer = batch->peer;

	peer->records += batch->records_count - batch->refusals_count;
	peer->records_rejected += batch->refusals_count;
	if (!conn || !batch->serial)
		return;
	conn->pending_bytes -= batch->body_size;
	ur_session_reject(&conn->session, batch->serial, refusals,
			  batch->refusals_count, receiver->loop.now_us);
	/* One ACK covers all that the round has of this connection. */
	if (peer->newest == batch)
		ur_session_ack(&conn->session, batch->serial,
			       receiver->loop.now_us);
	/* Sent by ur_receiver_run_round(), once for all batches. */
}

static void count_end(struct uidrecv_receiver *receiver,
		      const struct ur_conn *conn, int error)
{
	struct uidrecv_receiver_stats *stats = &receiver->stats;

	switch (error) {
	case UIDRECV_E_CERTIFICATE:
		stats->refused_certificate++;
		break;
	case UIDRECV_E_TLS:
	case UIDRECV_E_ALPN:
		stats->refused_tls++;
		break;
	case UIDRECV_E_HOLD:
		if (conn->session.hold_us && conn->agent &&
		    ((struct ur_peer *)conn->agent)->conn == conn)
			stats->hold_expired++;
		else
			stats->refused_timeout++;
		break;
	case -ETIMEDOUT:
		stats->refused_timeout++;
		break;
	default:
		if (conn->session.bye_sent >= UIDRECV_BYE_BAD_VERSION &&
		    conn->session.bye_sent < UIDRECV_BYE_NOT_AUTHORIZED)
			stats->protocol_errors++;
	}
}

static void log_end(struct uidrecv_receiver *receiver,
		    const struct ur_conn *conn, int error, bool was_open)
{
	const struct ur_peer *peer = conn->agent;
	const char *name = peer ? peer->right->name : "nobody";

	/* Said already, in on_authenticated(). */
	if (conn->session.bye_sent == UIDRECV_BYE_NOT_AUTHORIZED && !peer)
		return;
	if (was_open && (error == UIDRECV_E_CLOSED || error == UIDRECV_E_BYE))
		ur_log_peer(&receiver->log, UIDRECV_LOG_INFO,
			    receiver->loop.now_us,
			    "%s: session of %s ended: %s", conn->peer, name,
			    ur_conn_get_error(conn));
	else
		ur_log_peer(&receiver->log, UIDRECV_LOG_WARNING,
			    receiver->loop.now_us, "%s: %s of %s: %s",
			    conn->peer, was_open ? "session ended" : "refused",
			    name, ur_conn_get_error(conn));
}

static void on_ended(struct ur_conn *conn, int error)
{
	struct uidrecv_receiver *receiver = get_receiver(conn);
	struct ur_peer *peer = conn->agent;
	bool was_open = peer && peer->conn == conn;

	ur_round_forget(&receiver->round, conn);
	count_end(receiver, conn, error);
	if (was_open) {
		peer->conn = NULL;
		receiver->stats.sessions--;
	} else {
		receiver->handshakes--;
	}
	log_end(receiver, conn, error, was_open);
}

static void on_gone(struct ur_conn *conn)
{
	get_receiver(conn)->stats.connections--;
}

void ur_receiver_pause_all(struct uidrecv_receiver *receiver)
{
	for (struct ur_conn *conn = receiver->conns; conn; conn = conn->next)
		ur_conn_pause(conn);
	receiver->has_paused = true;
}

void ur_receiver_resume_all(struct uidrecv_receiver *receiver)
{
	struct ur_conn *next;

	receiver->has_paused = false;
	for (struct ur_conn *conn = receiver->conns; conn; conn = next) {
		next = conn->next;
		if (ur_conn_queued(conn) > UNREAD_MAX) {
			receiver->has_paused = true;
			continue;
		}
		ur_conn_resume(conn);
		/* All is out again, so no event would tell of its turn. */
		if (conn->is_paused && ur_conn_queued(conn) <= UNREAD_MAX)
			ur_loop_wake(&receiver->loop);
	}
}

const struct ur_conn_ops ur_receiver_conn_ops = {
    .authenticated = on_authenticated,
    .message = on_message,
    .ended = on_ended,
    .gone = on_gone,
};
