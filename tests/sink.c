/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "pair.h"
#include "sink.h"
#include "wire.h"

static int on_authenticated(struct ur_conn *conn)
{
	(void)conn;
	return 0;
}

static void on_hello(struct sink *sink, struct ur_conn *conn,
		     const struct ur_hello *hello)
{
	if (hello->session_id != sink->session_id) {
		sink->session_id = hello->session_id;
		sink->sessions++;
		sink->durable = 0;
		sink->last = 0;
		memset(sink->said, 0, sizeof(sink->said));
	}
	sink->hellos++;
	sink->conn = conn;
	sink->peer_capabilities = hello->capabilities;
	ur_session_accept(&conn->session, sink->durable, sink->loop.now_us);
	if (sink->resync)
		sink_resync(sink, sink->resync);
}

/* What is sent again must be what it was. */
static void note(struct sink *sink, const struct ur_message *message)
{
	const struct ur_update *update = &message->update;
	uint64_t serial = message->serial;

	cr_assert_leq(serial, SINK_SAID_MAX);
	if (sink->said[serial].type && serial <= sink->durable) {
		cr_assert_eq(sink->said[serial].type, message->type);
		cr_assert_eq(sink->said[serial].records, update->records_count);
		cr_assert_eq(sink->said[serial].count, update->count);
		cr_assert_eq(sink->said[serial].as_of_us, update->as_of_us);
		return;
	}
	sink->said[serial].type = message->type;
	sink->said[serial].records = update->records_count;
	sink->said[serial].maps = update->maps_count;
	sink->said[serial].count = update->count;
	sink->said[serial].as_of_us = update->as_of_us;
	sink->last = serial;
}

static void on_message(struct ur_conn *conn, const struct ur_message *message)
{
	struct sink *sink = conn->options.owner;
	bool is_cut = sink->cut_at && message->serial == sink->cut_at;

	if (message->type == UR_HELLO)
		on_hello(sink, conn, &message->hello);
	if (!message->serial || sink->must_cut)
		return;
	if (!is_cut || sink->is_cut_late) {
		note(sink, message);
		if (sink->durable < message->serial)
			sink->durable = message->serial;
	}
	if (is_cut) {
		sink->cut_at = 0;
		sink->must_cut = true;
	} else if (!sink->is_silent) {
		ur_session_ack(&conn->session, message->serial,
			       sink->loop.now_us);
	}
}

static void on_ended(struct ur_conn *conn, int error)
{
	struct sink *sink = conn->options.owner;

	sink->error = error;
	if (sink->conn == conn)
		sink->conn = NULL;
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

static void take(struct sink *sink, int fd, bool is_connecting)
{
	struct ur_conn *conn;
	struct ur_conn_options options = {
	    .loop = &sink->loop,
	    .context = sink->context,
	    .ops = &ops,
	    .owner = sink,
	    .handshake_us = 10000000,
	    .is_connecting = is_connecting,
	    .session = {.role = UR_SINK,
			.hold_min_s = 10,
			.hold_max_s = 90,
			.frame_max = sink->frame_max,
			.window = sink->window,
			.capabilities = sink->capabilities,
			.handshake_us = 10000000},
	};

	cr_assert_eq(ur_conn_new(&conn, fd, &sink->conns, &options), 0);
}

static void on_accepted(struct ur_listener *listener, int fd)
{
	take(listener->owner, fd, false);
}

void sink_dial(struct sink *sink)
{
	take(sink, wire_connect(sink->live), true);
}

void sink_turn(struct sink *sink)
{
	ur_loop_poll(&sink->loop);
	ur_loop_run_timers(&sink->loop);
	if (sink->must_cut)
		sink_cut(sink);
	if (sink->conn)
		ur_conn_flush(sink->conn);
}

static void turn(void *user)
{
	sink_turn(user);
}

static void init(struct sink *sink, struct live *live)
{
	memset(sink, 0, sizeof(*sink));
	sink->live = live;
	sink->frame_max = 65536;
	sink->window = 256;
	sink->capabilities = UR_CAPABILITY_SNAPSHOT | UR_CAPABILITY_REFRESH_ALL;
	cr_assert_eq(ur_loop_init(&sink->loop), 0);
}

void sink_init_dialling(struct sink *sink, struct live *live, const char *name)
{
	init(sink, live);
	sink->context =
	    pair_context(live->certs, UR_TLS_CLIENT, name, NULL, NULL);
}

void sink_init(struct sink *sink, struct live *live)
{
	int fds[2];

	init(sink, live);
	sink->context =
	    pair_context(live->certs, UR_TLS_SERVER, "receiver", NULL, NULL);
	cr_assert_eq(ur_listener_bind("127.0.0.1:0", fds), 1);
	cr_assert_eq(ur_listener_new(&sink->listener, &sink->loop, fds[0]), 0);
	sink->listener->owner = sink;
	sink->listener->accepted = on_accepted;
	snprintf(live->address, sizeof(live->address), "127.0.0.1:%u",
		 sink->listener->port);
	live->hook = turn;
	live->hook_user = sink;
}

void sink_done(struct sink *sink)
{
	if (sink->listener)
		sink->live->hook = NULL;
	while (sink->conns)
		ur_conn_free(sink->conns);
	ur_listener_free(sink->listener);
	ur_tls_context_unref(sink->context);
	ur_loop_done(&sink->loop);
}

void sink_cut(struct sink *sink)
{
	sink->must_cut = false;
	if (sink->conn)
		ur_conn_free(sink->conn);
}

void sink_ack(struct sink *sink, uint64_t serial)
{
	ur_session_ack(&sink->conn->session, serial, sink->loop.now_us);
}

void sink_refuse(struct sink *sink, uint64_t serial, uint32_t index)
{
	struct ur_refusal refusal = {.index = index,
				     .code = UIDRECV_REJECT_QUOTA};

	ur_session_reject(&sink->conn->session, serial, &refusal, 1,
			  sink->loop.now_us);
}

void sink_resync(struct sink *sink, uint16_t code)
{
	ur_session_resync(&sink->conn->session, code, sink->loop.now_us);
}

const char *sink_types(const struct sink *sink)
{
	static char types[SINK_SAID_MAX + 1];
	size_t size = 0;

	for (uint64_t serial = 1; serial <= sink->last; serial++) {
		switch (sink->said[serial].type) {
		case UR_UPDATE:
			types[size++] = 'U';
			break;
		case UR_SNAPSHOT_BEGIN:
			types[size++] = 'B';
			break;
		case UR_SNAPSHOT_END:
			types[size++] = 'E';
			break;
		case UR_TS_CONFIG:
			types[size++] = 'C';
			break;
		case UR_REFRESH_ALL:
			types[size++] = 'R';
			break;
		default:
			types[size++] = '-';
		}
	}
	types[size] = '\0';
	return types;
}
