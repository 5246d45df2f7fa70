/* SPDX-License-Identifier: BSD-2-Clause */
/* An agent introduces itself: its session, and the offset of its clock. */
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
	bool is_same = row.session_id == hello->session_id, has_lost;
	uint64_t forget = hello->acked;
	int error;

	take_offset(receiver, conn, hello, &row);
	has_lost = hello->acked > (is_same ? row.durable : 0);
	/* A session that is only resumed need not cost an fsync. */
	if (is_same && !has_lost && forget <= peer->dropped &&
	    row.offset_us == former->offset_us &&
	    !memcmp(row.offset_boot_id, former->offset_boot_id,
		    sizeof(row.offset_boot_id)))
		return 0;
	if (!is_same) {
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
	/* An old backup of the store, say, has forgotten what was said since.
	 */
	if (!error && has_lost)
		error = ur_store_want_snapshot(receiver->store, peer->id,
					       UIDRECV_RESYNC_GAP);
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

void ur_receiver_on_hello(struct ur_conn *conn, const struct ur_hello *hello)
{
	struct uidrecv_receiver *receiver = conn->options.owner;
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
	peer->measured_us = receiver->loop.now_us;
	peer->offset_us = row->offset_us;
	ur_session_accept(&conn->session, row->durable, receiver->loop.now_us);
	receiver->handshakes--;
	receiver->stats.sessions++;
	ur_log_peer(&receiver->log, UIDRECV_LOG_INFO, receiver->loop.now_us,
		    "%s: session %016llx of %s begins after serial %llu",
		    conn->peer, (unsigned long long)hello->session_id,
		    peer->right->name, (unsigned long long)row->durable);
	ur_receiver_ask(receiver, peer);
}
