/* SPDX-License-Identifier: BSD-2-Clause */
/* New connections, and the limits on them. */
#include <unistd.h>

#include "receiver-private.h"

/* Serials that an agent may have unacknowledged. */
#define WINDOW 256

static uint64_t count_same_source(const struct uidrecv_receiver *receiver,
				  struct uidrecv_address address)
{
	uint64_t count = 0;

	for (const struct ur_conn *conn = receiver->conns; conn;
	     conn = conn->next)
		count += !ur_receiver_has_dialled(conn) &&
			 conn->peer_address.hi == address.hi &&
			 conn->peer_address.lo == address.lo;
	return count;
}

static bool is_in_handshake(const struct ur_conn *conn)
{
	return !ur_receiver_has_dialled(conn) &&
	       conn->state < UR_CONN_FLUSHING &&
	       (conn->state != UR_CONN_SESSION ||
		conn->session.state < UR_SESSION_OPEN);
}

/* The oldest that is not open yet gives way: most likely it never will be. */
static void drop_oldest_handshake(struct uidrecv_receiver *receiver)
{
	struct ur_conn *oldest = NULL;

	for (struct ur_conn *conn = receiver->conns; conn; conn = conn->next)
		if (is_in_handshake(conn))
			oldest = conn;
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
	if (receiver->handshakes >= receiver->options.handshakes_max)
		drop_oldest_handshake(receiver);
	error = ur_conn_new(&conn, fd, &receiver->conns, &options);
	if (error) {
		ur_log(&receiver->log, UIDRECV_LOG_ERROR,
		       "a connection was not taken: %s",
		       uidrecv_strerror(error));
		return;
	}
	receiver->stats.connections++;
	receiver->handshakes++;
	if (count_same_source(receiver, conn->peer_address) >
	    receiver->options.per_source_max) {
		receiver->stats.refused_limit++;
		ur_log_peer(&receiver->log, UIDRECV_LOG_WARNING,
			    receiver->loop.now_us,
			    "%s: refused, too many connections of one address",
			    conn->peer);
		ur_conn_free(conn);
		return;
	}
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
