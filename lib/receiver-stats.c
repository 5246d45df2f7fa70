/* SPDX-License-Identifier: BSD-2-Clause */
/* What a receiver tells of itself and of its agents. */
#include <errno.h>
#include <string.h>

#include "clock.h"
#include "options.h"
#include "receiver-private.h"

#define DAY_S 86400

static int64_t days_until(int64_t not_after_s)
{
	return (not_after_s - (int64_t)(ur_clock_wall_us() / 1000000)) / DAY_S;
}

int uidrecv_receiver_get_stats(const struct uidrecv_receiver *receiver,
			       struct uidrecv_receiver_stats *ret_stats)
{
	struct uidrecv_receiver_stats stats;
	struct ur_store_stats store;

	if (!receiver || !ret_stats || ret_stats->size < sizeof(size_t))
		return -EINVAL;
	ur_store_get_stats(receiver->store, &store);
	stats = receiver->stats;
	stats.updates = receiver->round.updates;
	stats.records = receiver->round.total;
	stats.records_rejected = receiver->round.total_rejected;
	stats.commits = store.commits;
	stats.commit_errors = receiver->round.commit_errors;
	stats.claims = store.claims;
	stats.addresses = store.addresses;
	stats.store_used_bytes = store.used_bytes;
	stats.store_max_bytes = store.map_bytes;
	if (receiver->table) {
		stats.table_entries = ur_table_get_entries(receiver->table);
		stats.change = ur_table_get_change(receiver->table);
	}
	if (receiver->tls)
		stats.certificate_days =
		    days_until(ur_tls_context_get_not_after(receiver->tls));
	ur_options_give(ret_stats, &stats, sizeof(stats));
	return 0;
}

static void fill_connection(const struct ur_peer *peer,
			    struct uidrecv_agent_stats *stats)
{
	const struct ur_conn *conn = peer->conn;

	stats->last_heard_ms = UINT64_MAX;
	if (peer->heard_us)
		stats->last_heard_ms =
		    (ur_clock_boot_us() - peer->heard_us) / 1000;
	memcpy(stats->software, peer->software, sizeof(peer->software));
	if (!conn)
		return;
	stats->is_connected = true;
	memcpy(stats->peer, conn->peer, sizeof(conn->peer));
	stats->certificate_days = days_until(ur_tls_get_not_after(conn->tls));
}

static void fill_dial(const struct ur_peer *peer,
		      struct uidrecv_agent_stats *stats)
{
	const struct ur_dial *dial = peer->dial;

	if (!dial)
		return;
	stats->is_dialled = true;
	stats->dial_attempts = dial->dialer.attempts;
	stats->dial_retry_ms =
	    ur_dialer_get_wait_us(&dial->dialer, ur_clock_boot_us()) / 1000;
	memcpy(stats->dial, dial->target, sizeof(dial->target));
	memcpy(stats->dial_error, dial->error, sizeof(dial->error));
}

static void fill_oldest(const struct uidrecv_receiver *receiver,
			const struct ur_peer *peer,
			struct uidrecv_agent_stats *stats)
{
	uint64_t now_us =
	    ur_clock_boot_us() + ur_store_get_base_us(receiver->store);
	uint64_t oldest_us = ur_store_get_oldest_us(receiver->store, peer->id);

	stats->oldest_ms = UINT64_MAX;
	if (oldest_us != UR_TIME_NEVER)
		stats->oldest_ms =
		    now_us > oldest_us ? (now_us - oldest_us) / 1000 : 0;
}

int uidrecv_receiver_get_agent_stats(const struct uidrecv_receiver *receiver,
				     size_t index,
				     struct uidrecv_agent_stats *ret_stats)
{
	struct uidrecv_agent_stats stats = {0};
	const struct ur_agent_row *row;
	const struct ur_peer *peer;

	if (!receiver || !ret_stats || ret_stats->size < sizeof(size_t))
		return -EINVAL;
	if (index >= receiver->peers_count)
		return 0;
	peer = &receiver->peers[index];
	memcpy(stats.name, peer->right->name, peer->right->name_size);
	stats.priority = peer->right->priority;
	stats.records = peer->records;
	stats.records_rejected = peer->records_rejected;
	fill_connection(peer, &stats);
	fill_dial(peer, &stats);
	row = peer->id ? ur_store_get_agent_by_id(receiver->store, peer->id)
		       : NULL;
	if (row) {
		stats.claims = row->claims;
		stats.session_id = row->session_id;
		stats.durable = row->durable;
		stats.clock_offset_us =
		    peer->conn ? peer->offset_us : row->offset_us;
		stats.held_claims = row->epochs.held_claims;
		stats.is_in_snapshot = row->epochs.is_open;
		stats.resync_code = row->epochs.wanted;
		stats.blocks_taken = row->blocks_taken;
		stats.is_multi_user =
		    ur_store_get_system(receiver->store, row->id);
	}
	fill_oldest(receiver, peer, &stats);
	ur_options_give(ret_stats, &stats, sizeof(stats));
	return 1;
}
