/* SPDX-License-Identifier: BSD-2-Clause */
/* How an agent gets to its receiver, and what it hears from it. */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "agent-private.h"

/* What may wait in the connection: more would only age there. */
#define QUEUED_MAX (256u << 10)

static struct uidrecv_agent *get_agent(const struct ur_conn *conn)
{
	return conn->options.owner;
}

/*
 * Made as late as when TLS is up, for records may have been queued while the
 * connection was made.
 */
static struct ur_session_options make_session(struct uidrecv_agent *agent)
{
	const struct uidrecv_agent_options *options = &agent->options;
	struct ur_outbox *outbox = &agent->outbox;

	ur_outbox_close(outbox);
	return (struct ur_session_options){
	    .role = UR_SOURCE,
	    .hold_min_s = (uint16_t)options->hold_min_s,
	    .hold_max_s = (uint16_t)options->hold_max_s,
	    .frame_max = UR_FRAME_BODY_MAX,
	    .clock_base_us = agent->clock_base_us,
	    .software = agent->software,
	    .session_id = agent->session_id,
	    .capabilities = UR_CAPABILITY_SNAPSHOT,
	    .acked = outbox->acked,
	    .replay_first = outbox->acked + 1,
	    .replay_last = outbox->serial,
	};
}

static int on_authenticated(struct ur_conn *conn)
{
	struct uidrecv_agent *agent = get_agent(conn);

	if (!ur_tls_has_name(conn->tls, agent->receiver_name))
		return UIDRECV_E_IDENTITY;
	conn->options.session = make_session(agent);
	return 0;
}

void ur_agent_push(struct uidrecv_agent *agent)
{
	struct ur_outbox *outbox = &agent->outbox;
	struct ur_conn *conn = agent->conn;

	if (!agent->is_open || !conn)
		return;
	ur_outbox_close(outbox);
	while (outbox->unsent && ur_conn_queued(conn) < QUEUED_MAX &&
	       outbox->unsent->serial - outbox->acked <= conn->session.window) {
		const struct ur_buf *frame = &outbox->unsent->frame;

		ur_session_update(&conn->session, ur_buf_front(frame),
				  frame->size, agent->loop->now_us);
		if (outbox->sent < outbox->unsent->serial)
			outbox->sent = outbox->unsent->serial;
		outbox->unsent = outbox->unsent->next;
	}
	ur_conn_flush(conn);
}

static void tell_left_out(void *user, uint64_t serial, uint64_t ticket)
{
	struct uidrecv_agent_event event = {
	    .type = UIDRECV_AGENT_REJECTED,
	    .serial = serial,
	    .ticket = ticket,
	    .code = UIDRECV_REJECT_UNSUPPORTED,
	    .text = "the receiver takes no port blocks",
	};

	ur_agent_tell(user, &event);
}

/* A receiver that takes less than the last one: begin a new session. */
static void renumber(struct uidrecv_agent *agent, struct ur_conn *conn,
		     uint32_t body_max)
{
	uint64_t session_id = 0;
	int left_out = ur_outbox_renumber(&agent->outbox, body_max,
					  conn->session.peer_capabilities,
					  tell_left_out, agent);

	/* Never fails for so few bytes once the kernel is up. */
	while (!session_id)
		(void)!getrandom(&session_id, sizeof(session_id), 0);
	if (left_out < 0)
		ur_log(&agent->log, UIDRECV_LOG_ERROR,
		       "no memory to put what waits into other frames");
	else
		agent->session_id = session_id;
	if (left_out > 0)
		ur_log(&agent->log, UIDRECV_LOG_WARNING,
		       "%s: takes no snapshots, no REFRESH ALL or no port "
		       "blocks; %d messages or records were left out",
		       conn->peer, left_out);
	ur_conn_bye(conn, UIDRECV_BYE_SHUTDOWN, NULL);
}

static void on_ready(struct ur_conn *conn)
{
	struct uidrecv_agent *agent = get_agent(conn);
	uint32_t body_max = conn->session.peer_frame_max - UR_UPDATE_SPARE;
	struct uidrecv_agent_event event = {.type = UIDRECV_AGENT_CONNECTED};

	agent->capabilities = conn->session.peer_capabilities;
	ur_outbox_close(&agent->outbox);
	if (!ur_outbox_suits(&agent->outbox, body_max, agent->capabilities)) {
		renumber(agent, conn, body_max);
		return;
	}
	if (!(agent->capabilities & UR_CAPABILITY_SNAPSHOT))
		agent->outbox.is_snapshot_open = false;
	agent->outbox.body_max = body_max;
	ur_dialer_succeeded(&agent->dialer);
	agent->is_open = true;
	agent->connects++;
	ur_outbox_rewind(&agent->outbox);
	snprintf(event.text, sizeof(event.text), "%s", conn->peer);
	ur_agent_tell(agent, &event);
	ur_log(&agent->log, UIDRECV_LOG_INFO,
	       "%s: connected, serials up to %llu are durable there",
	       conn->peer, (unsigned long long)conn->session.durable);
}

static void on_ack(struct uidrecv_agent *agent, uint64_t serial)
{
	struct uidrecv_agent_event event = {.type = UIDRECV_AGENT_ACKED,
					    .serial = serial};

	if (!ur_outbox_ack(&agent->outbox, serial))
		return;
	event.ticket = agent->outbox.acked_ticket;
	ur_agent_tell(agent, &event);
}

static void on_reject(struct uidrecv_agent *agent,
		      const struct ur_message *message)
{
	struct ur_bytes rejects = message->rejects;
	struct ur_reject reject;

	while (ur_rejects_next(&rejects, &reject)) {
		struct uidrecv_agent_event event = {
		    .type = UIDRECV_AGENT_REJECTED,
		    .serial = message->serial,
		    .code = reject.code,
		};

		event.ticket = ur_outbox_refuse(&agent->outbox, message->serial,
						reject.index);
		ur_log_escape(event.text, sizeof(event.text), reject.text.bytes,
			      reject.text.size);
		if (event.ticket)
			ur_agent_tell(agent, &event);
	}
}

static void on_message(struct ur_conn *conn, const struct ur_message *message)
{
	struct uidrecv_agent *agent = get_agent(conn);

	switch (message->type) {
	case UR_READY:
		on_ready(conn);
		break;
	case UR_ACK:
		on_ack(agent, message->serial);
		break;
	case UR_REJECT:
		on_reject(agent, message);
		break;
	case UR_RESYNC:
		ur_agent_on_resync(agent, conn, &message->bye);
		break;
	default:
		break;
	}
}

static void on_ended(struct ur_conn *conn, int error)
{
	struct uidrecv_agent *agent = get_agent(conn);
	uint16_t received = conn->session.bye_received;
	uint16_t code = received ? received : conn->session.bye_sent;
	/* Who is waited for may always come again. */
	bool is_refusal =
	    !agent->options.listener && ur_dialer_is_refusal(error, code);
	struct uidrecv_agent_event event = {
	    .type = is_refusal ? UIDRECV_AGENT_REFUSED : UIDRECV_AGENT_LOST,
	    .error = error,
	    .code = received,
	};

	if (agent->conn != conn)
		return;
	agent->conn = NULL;
	agent->is_open = false;
	snprintf(event.text, sizeof(event.text), "%s: %s",
		 conn->peer[0] ? conn->peer : agent->receiver,
		 ur_conn_get_error(conn));
	if (agent->is_finishing && !agent->outbox.first)
		return;
	ur_log(&agent->log, UIDRECV_LOG_WARNING, "%s", event.text);
	ur_agent_tell(agent, &event);
	if (agent->options.listener)
		return;
	if (!is_refusal)
		ur_dialer_retry(&agent->dialer);
	else if (agent->options.retry_refused)
		ur_dialer_retry_refused(&agent->dialer);
	else
		agent->refused = UIDRECV_E_REFUSED;
}

static void on_gone(struct ur_conn *conn)
{
	(void)conn;
}

static const struct ur_conn_ops ops = {
    .authenticated = on_authenticated,
    .message = on_message,
    .ended = on_ended,
    .gone = on_gone,
};

/*
 * The receiver knows of a broken connection before we do: its newer one counts.
 * What was said on the former is said again, for that takes no more answers.
 */
int ur_agent_take(struct uidrecv_agent *agent, struct ur_conn *conn)
{
	struct ur_conn *next;

	if (agent->is_finishing && !agent->outbox.first)
		return UIDRECV_E_CLOSED;
	/* Who comes again and again leaves one that lingers, not many. */
	for (struct ur_conn *old = agent->conns; old; old = next) {
		next = old->next;
		if (old != agent->conn)
			ur_conn_free(old);
	}
	if (agent->conn)
		ur_conn_bye(agent->conn, UIDRECV_BYE_REPLACED, NULL);
	ur_conn_move(conn, &agent->conns);
	conn->options.owner = agent;
	conn->options.ops = &ops;
	conn->options.session = make_session(agent);
	agent->conn = conn;
	agent->dialer.attempts++;
	return 0;
}

static void on_failed(struct ur_dialer *dialer, int error, const char *text)
{
	struct uidrecv_agent *agent = dialer->owner;
	struct uidrecv_agent_event event = {.type = UIDRECV_AGENT_LOST,
					    .error = error};

	snprintf(event.text, sizeof(event.text), "%s: %s", agent->receiver,
		 text);
	ur_log(&agent->log, UIDRECV_LOG_WARNING, "%s", event.text);
	ur_agent_tell(agent, &event);
	ur_dialer_retry(dialer);
}

static void on_connecting(struct ur_dialer *dialer, int fd)
{
	struct uidrecv_agent *agent = dialer->owner;
	struct ur_conn_options options = {
	    .loop = agent->loop,
	    .context = agent->tls,
	    .ops = &ops,
	    .owner = agent,
	    .handshake_us = agent->options.connect_ms * UINT64_C(1000),
	    .is_connecting = true,
	};
	int error = ur_conn_new(&agent->conn, fd, &agent->conns, &options);

	if (error)
		on_failed(dialer, error, uidrecv_strerror(error));
}

int ur_agent_init_dialer(struct uidrecv_agent *agent)
{
	int error;

	ur_resolver_init(&agent->resolver, agent->loop);
	error = ur_dialer_init(&agent->dialer, &agent->resolver);
	if (error)
		return error;
	agent->dialer.host = agent->host;
	agent->dialer.port = agent->port;
	agent->dialer.owner = agent;
	agent->dialer.connecting = on_connecting;
	agent->dialer.failed = on_failed;
	return 0;
}
