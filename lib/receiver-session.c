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

/*
 * Nobody else than the one that we meant to find there, and by a name alone: an
 * address is no identity.
 */
static int identify_dialled(struct ur_conn *conn)
{
	struct uidrecv_receiver *receiver = get_receiver(conn);
	const struct ur_dial *dial = conn->dial;

	for (size_t i = 0; i < ur_tls_get_names_count(conn->tls); i++) {
		if (strcmp(ur_tls_get_name(conn->tls, i), dial->name) != 0)
			continue;
		conn->agent = ur_receiver_find_peer(receiver, dial->name,
						    strlen(dial->name));
		return 0;
	}
	receiver->stats.refused_identity++;
	return UIDRECV_E_IDENTITY;
}

static int on_authenticated(struct ur_conn *conn)
{
	struct uidrecv_receiver *receiver = get_receiver(conn);
	struct ur_tls_context *context = ur_receiver_get_tls(receiver, conn);
	size_t count = ur_tls_get_names_count(conn->tls);

	/* The files were read again while it shook hands. */
	if (conn->options.context != context &&
	    ur_tls_reverify(conn->tls, context) < 0)
		return UIDRECV_E_CERTIFICATE;
	if (ur_receiver_has_dialled(conn))
		return identify_dialled(conn);
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

/* UPDATE, SNAPSHOT BEGIN and END, REFRESH ALL, TS CONFIG. */
static void on_statement(struct ur_conn *conn, const struct ur_message *message)
{
	struct uidrecv_receiver *receiver = get_receiver(conn);
	const struct ur_session *session = &conn->session;
	struct ur_peer *peer = conn->agent;
	struct ur_batch batch = {
	    .peer = peer,
	    .conn = conn,
	    .type = message->type,
	    .serial = message->serial,
	    .count = message->update.count,
	    .as_of_us = message->update.as_of_us,
	    /* It cannot have heard of this one, whatever it says. */
	    .acked = session->acked < message->serial ? session->acked
						      : message->serial - 1,
	    .offset_us = peer->offset_us,
	    .records_count = message->update.records_count,
	    .maps_count = message->update.maps_count,
	    .follows_gap = message->serial > session->durable + 1 &&
			   message->serial == session->peer_replay_first,
	};

	if (message->serial <= session->durable) {
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
		ur_receiver_on_hello(conn, &message->hello);
		break;
	case UR_UPDATE:
	case UR_SNAPSHOT_BEGIN:
	case UR_SNAPSHOT_END:
	case UR_REFRESH_ALL:
	case UR_TS_CONFIG:
		on_statement(conn, message);
		break;
	case UR_KEEPALIVE:
		ur_receiver_on_clock(conn, &message->keepalive.clock);
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
	ur_receiver_snapshot_completed(receiver, batch);
	if (batch->type == UR_TS_CONFIG && batch->refusals_count)
		ur_log_peer(
		    &receiver->log, UIDRECV_LOG_WARNING, receiver->loop.now_us,
		    "%s: its multi-user system is refused: %s",
		    peer->right->name, uidrecv_reject_text(refusals[0].code));
	if (!conn || !batch->serial)
		return;
	conn->pending_bytes -= batch->body_size;
	ur_session_reject(&conn->session, batch->serial, refusals,
			  batch->refusals_count, receiver->loop.now_us);
	/* One ACK covers all that the round has of this connection. */
	if (peer->newest == batch) {
		ur_session_ack(&conn->session, batch->serial,
			       receiver->loop.now_us);
		ur_receiver_ask(receiver, peer);
	}
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

	/* Said already, in on_authenticated(); or told of the dial. */
	if (conn->session.bye_sent == UIDRECV_BYE_NOT_AUTHORIZED && !peer)
		return;
	if (ur_receiver_has_dialled(conn) && !was_open)
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
	ur_receiver_forget_hello(receiver, conn);
	count_end(receiver, conn, error);
	if (was_open) {
		peer->conn = NULL;
		receiver->stats.sessions--;
	} else if (!ur_receiver_has_dialled(conn)) {
		receiver->handshakes--;
	}
	log_end(receiver, conn, error, was_open);
	if (conn->dial)
		ur_receiver_dial_ended(conn, error);
}

static void on_gone(struct ur_conn *conn)
{
	struct uidrecv_receiver *receiver = get_receiver(conn);

	receiver->stats.connections--;
	receiver->dialled -= ur_receiver_has_dialled(conn);
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
