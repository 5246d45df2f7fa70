/* SPDX-License-Identifier: BSD-2-Clause */
/* New connections, and the limits on them. */
#include <unistd.h>

#include "receiver-private.h"

/* Serials that an agent may have unacknowledged. */
#define WINDOW 256

static uint64_t count_same_source(const struct uidrecv_receiver *receiver,
				  const struct ur_conn *latest)
{
	uint64_t count = 0;

	for (const struct ur_conn *conn = receiver->conns; conn;
	     conn = conn->next)
		count += !ur_receiver_has_dialled(conn) &&
			 ur_conn_is_same_host(conn, latest);
	return count;
}

static bool is_in_handshake(const struct ur_conn *conn)
{
	return !ur_receiver_has_dialled(conn) &&
	       conn->state < UR_CONN_FLUSHING &&
	       (conn->state != UR_CONN_SESSION ||
		conn->session.state < UR_SESSION_OPEN);
}

/*
 * The oldest that is not open yet gives way to the latest, for most likely it
 * never will be: one of the same host if there is one, so that no host pushes
 * out all others.
 */
static void drop_oldest_handshake(struct uidrecv_receiver *receiver,
				  const struct ur_conn *latest)
{
	struct ur_conn *oldest = NULL, *own = NULL;

	for (struct ur_conn *conn = receiver->conns; conn; conn = conn->next) {
		if (conn == latest || !is_in_handshake(conn))
			continue;
		oldest = conn;
		if (ur_conn_is_same_host(conn, latest))
			own = conn;
	}
	if (own)
		oldest = own;
	if (!oldest)
		return;
	receiver->stats.refused_limit++;
	ur_log_peer(&receiver->log, UIDRECV_LOG_WARNING, receiver->loop.now_us,
		    "%s: dropped, too many handshakes at once", oldest->peer);
	ur_conn_free(oldest);
}

static struct ur_session_options make_session_options(
    const struct uidrecv_receiver *receiver)
{
	const struct uidrecv_receiver_options *options = &receiver->options;

	return (struct ur_session_options){
	    .role = UR_SINK,
	    .capabilities = UR_RECEIVER_CAPABILITIES,
	    .hold_min_s = (uint16_t)options->hold_min_s,
	    .hold_max_s = (uint16_t)options->hold_max_s,
	    .frame_max = options->frame_max,
	    .clock_base_us = ur_store_get_base_us(receiver->store),
	    .software = "libuidrecv",
	    .window = WINDOW,
	};
}

struct ur_conn_options ur_receiver_conn_options(
    struct uidrecv_receiver *receiver)
{
	return (struct ur_conn_options){
	    .loop = &receiver->loop,
	    .context = receiver->tls,
	    .ops = &ur_receiver_conn_ops,
	    .owner = receiver,
	    .session = make_session_options(receiver),
	    .handshake_us = receiver->options.handshake_ms * UINT64_C(1000),
	};
}

void ur_receiver_accepted(struct ur_listener *listener, int fd)
{
	struct uidrecv_receiver *receiver = listener->owner;
	struct ur_conn_options options = ur_receiver_conn_options(receiver);
	struct ur_conn *conn;
	int error;

	receiver->stats.accepted++;
	if (receiver->stats.connections - receiver->dialled >=
	    receiver->options.connections_max) {
		receiver->stats.refused_limit++;
		close(fd);
		return;
	}
	error = ur_conn_new(&conn, fd, &receiver->conns, &options);
	if (error) {
		ur_log(&receiver->log, UIDRECV_LOG_ERROR,
		       "a connection was not taken: %s",
		       uidrecv_strerror(error));
		return;
	}
	receiver->stats.connections++;
	receiver->handshakes++;
	if (count_same_source(receiver, conn) >
	    receiver->options.per_source_max) {
		receiver->stats.refused_limit++;
		ur_log_peer(&receiver->log, UIDRECV_LOG_WARNING,
			    receiver->loop.now_us,
			    "%s: refused, too many connections of one address",
			    conn->peer);
		ur_conn_free(conn);
		return;
	}
	if (receiver->handshakes > receiver->options.handshakes_max)
		drop_oldest_handshake(receiver, conn);
	if (receiver->is_blocked)
		ur_conn_pause(conn);
}

void ur_receiver_accept_failed(struct ur_listener *listener, int error)
{
	struct uidrecv_receiver *receiver = listener->owner;

	ur_log_peer(&receiver->log, UIDRECV_LOG_ERROR, receiver->loop.now_us,
		    "no connection can be accepted for the moment: %s",
		    uidrecv_strerror(error));
}
