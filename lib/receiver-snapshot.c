/* SPDX-License-Identifier: BSD-2-Clause */
/* Snapshots of agents: asking for one, and what one drops. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "receiver-private.h"

/* An agent is asked for a snapshot at most once in this time. */
#define ASK_US UINT64_C(60000000)

/* Runners-up that a dispatch looks at, beside what agents send. */
#define SLICE_ROWS 8192

void ur_receiver_ask(struct uidrecv_receiver *receiver, struct ur_peer *peer)
{
	struct ur_conn *conn = peer->conn;
	uint64_t now_us = receiver->loop.now_us;
	const struct ur_agent_row *row;

	if (!conn || conn->session.state != UR_SESSION_OPEN ||
	    !(conn->session.peer_capabilities & UR_CAPABILITY_SNAPSHOT))
		return;
	row = ur_store_get_agent_by_id(receiver->store, peer->id);
	if (!row->epochs.wanted || row->epochs.is_open ||
	    (peer->asked_us && now_us - peer->asked_us < ASK_US))
		return;
	peer->asked_us = now_us;
	receiver->stats.resyncs++;
	ur_log_peer(&receiver->log, UIDRECV_LOG_WARNING, now_us,
		    "%s: %s is asked for a snapshot: %s", conn->peer,
		    peer->right->name, uidrecv_resync_text(row->epochs.wanted));
	ur_session_resync(&conn->session, row->epochs.wanted, now_us);
}

void ur_receiver_ask_all(struct uidrecv_receiver *receiver)
{
	for (size_t i = 0; i < receiver->peers_count; i++) {
		struct ur_peer *peer = &receiver->peers[i];
		uint64_t resyncs = receiver->stats.resyncs;

		ur_receiver_ask(receiver, peer);
		if (receiver->stats.resyncs != resyncs)
			ur_conn_flush(peer->conn);
	}
}

static void on_ending(struct uidrecv_receiver *receiver,
		      const struct ur_batch *batch)
{
	const char *name = batch->peer->right->name;
	const struct ur_agent_row *row;

	switch (batch->ending) {
	case UR_ENDING_DROPPED:
		receiver->stats.snapshots++;
		break;
	case UR_ENDING_HELD:
		receiver->stats.snapshots++;
		receiver->stats.snapshots_held++;
		row =
		    ur_store_get_agent_by_id(receiver->store, batch->peer->id);
		ur_log_peer(&receiver->log, UIDRECV_LOG_ERROR,
			    receiver->loop.now_us,
			    "%s: its snapshot has %llu mappings and lacks %llu "
			    "that it had; these are kept until their lives "
			    "end, or the drop is accepted",
			    name, (unsigned long long)row->epochs.stated,
			    (unsigned long long)row->epochs.held_claims);
		break;
	default:
		receiver->stats.snapshots_refused++;
	}
}

void ur_receiver_snapshot_completed(struct uidrecv_receiver *receiver,
				    const struct ur_batch *batch)
{
	if (batch->type == UR_SNAPSHOT_END)
		on_ending(receiver, batch);
	else if (batch->type == UR_REFRESH_ALL && batch->is_taken)
		receiver->stats.refresh_alls++;
}

static bool can_publish(const struct uidrecv_receiver *receiver)
{
	return receiver->table && !receiver->round.publish_failed;
}

/* This needs no disk, so it goes on while nothing can be stored. */
void ur_receiver_settle(struct uidrecv_receiver *receiver)
{
	receiver->is_settling = false;
	if (!can_publish(receiver))
		return;
	receiver->is_settling =
	    ur_store_settle(receiver->store, SLICE_ROWS,
			    ur_receiver_store_now_us(receiver)) == 1;
	ur_receiver_publish_changes(receiver);
	if (receiver->is_settling)
		ur_loop_wake(&receiver->loop);
}

void ur_receiver_sweep(struct uidrecv_receiver *receiver)
{
	size_t due = ur_store_get_due(receiver->store);
	int ret;

	if (!due || receiver->is_blocked || !can_publish(receiver))
		return;
	ret = ur_store_collect(receiver->store, due,
			       ur_receiver_store_now_us(receiver),
			       ur_clock_wall_us());
	/* If it fails, the housekeeping of the next second goes on with it. */
	if (ret < 0)
		return;
	ur_receiver_publish_changes(receiver);
	if (ur_store_get_due(receiver->store))
		ur_loop_wake(&receiver->loop);
}

/* 1, 0 if nothing is held, or an error. */
static int accept_drops(struct uidrecv_receiver *receiver,
			const struct ur_peer *peer)
{
	int ret;

	if (!peer->id)
		return 0;
	ret = ur_store_accept_drops(receiver->store, peer->id,
				    ur_receiver_store_now_us(receiver),
				    ur_clock_wall_us());
	if (ret > 0)
		ur_log(&receiver->log, UIDRECV_LOG_WARNING,
		       "%s: what its snapshot lacked is dropped, as accepted",
		       peer->right->name);
	return ret;
}

int uidrecv_receiver_accept_drops(struct uidrecv_receiver *receiver,
				  const char *agent)
{
	struct ur_peer *one = NULL;
	int ret = 0, count = 0;

	if (!receiver)
		return -EINVAL;
	if (receiver->pid != getpid())
		return UIDRECV_E_FORKED;
	if (agent) {
		one = ur_receiver_find_peer(receiver, agent, strlen(agent));
		if (!one)
			return UIDRECV_E_UNKNOWN_AGENT;
	}
	receiver->loop.now_us = ur_clock_boot_us();
	for (size_t i = 0; i < receiver->peers_count && ret >= 0; i++) {
		if (one && one != &receiver->peers[i])
			continue;
		ret = accept_drops(receiver, &receiver->peers[i]);
		count += ret > 0;
	}
	if (can_publish(receiver))
		ur_receiver_publish_changes(receiver);
	ur_loop_wake(&receiver->loop);
	return ret < 0 ? ret : count;
}
