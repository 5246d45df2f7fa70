/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of agents of a receiver: replacing it, and certificates. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "receiver-private.h"

static int compare_names(const char *a, size_t a_size, const char *b,
			 size_t b_size)
{
	int order = memcmp(a, b, a_size < b_size ? a_size : b_size);

	return order ? order : (a_size > b_size) - (a_size < b_size);
}

static struct ur_peer *find(struct ur_peer *peers, size_t count,
			    const char *name, size_t name_size)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct ur_right *right = peers[middle].right;
		int order = compare_names(name, name_size, right->name,
					  right->name_size);

		if (!order)
			return &peers[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

struct ur_peer *ur_receiver_find_peer(struct uidrecv_receiver *receiver,
				      const char *name, size_t name_size)
{
	return find(receiver->peers, receiver->peers_count, name, name_size);
}

/* Ranks by id, of the agents that the store knows and the list names. */
static int make_ranks(const struct uidrecv_receiver *receiver,
		      const struct ur_peer *peers, size_t peers_count,
		      struct ur_rank **ret_ranks, size_t *ret_count)
{
	size_t count = (size_t)ur_store_get_agent_id_max(receiver->store) + 1;
	struct ur_rank *ranks = calloc(count, sizeof(*ranks));

	if (!ranks)
		return -ENOMEM;
	for (size_t i = 0; i < peers_count; i++) {
		if (!peers[i].id)
			continue;
		ranks[peers[i].id] =
		    (struct ur_rank){.name = peers[i].right->name,
				     .priority = peers[i].right->priority};
	}
	*ret_ranks = ranks;
	*ret_count = count;
	return 0;
}

static void use_ranks(struct uidrecv_receiver *receiver, struct ur_rank *ranks,
		      size_t count)
{
	struct ur_ranks used = {.by_id = ranks, .count = count};

	ur_store_set_ranks(receiver->store, used);
	free(receiver->ranks);
	receiver->ranks = ranks;
	receiver->ranks_count = count;
}

int ur_receiver_enrol(struct uidrecv_receiver *receiver, struct ur_peer *peer)
{
	const struct ur_agent_row *row;
	struct ur_rank *ranks;
	size_t count;
	int error;

	if (peer->id)
		return 0;
	error = ur_store_add_agent(receiver->store, peer->right->name,
				   peer->right->name_size,
				   ur_receiver_store_now_us(receiver), &row);
	if (error)
		return error;
	error = ur_table_add_agent(receiver->table, row->id, peer->right->name,
				   peer->right->name_size);
	if (error)
		return error;
	peer->id = row->id;
	error = make_ranks(receiver, receiver->peers, receiver->peers_count,
			   &ranks, &count);
	if (error) {
		peer->id = 0;
		return error;
	}
	use_ranks(receiver, ranks, count);
	return 0;
}

/* Carries over what is known of the agents that stay. */
static struct ur_peer *make_peers(struct uidrecv_receiver *receiver,
				  const struct uidrecv_rights *rights)
{
	size_t count = uidrecv_rights_count(rights);
	struct ur_peer *peers = calloc(count ? count : 1, sizeof(*peers));

	for (size_t i = 0; peers && i < count; i++) {
		const struct ur_right *right = ur_rights_at(rights, i);
		const struct ur_peer *former = ur_receiver_find_peer(
		    receiver, right->name, right->name_size);
		const struct ur_agent_row *row = ur_store_get_agent(
		    receiver->store, right->name, right->name_size);

		if (former)
			peers[i] = *former;
		peers[i].right = right;
		peers[i].id = row ? row->id : 0;
		peers[i].newest = NULL;
	}
	return peers;
}

/* Sessions go over to the new list, or end. */
static void move_sessions(struct uidrecv_receiver *receiver,
			  struct ur_peer *peers, size_t count)
{
	for (struct ur_conn *conn = receiver->conns; conn; conn = conn->next) {
		struct ur_peer *former = conn->agent;
		struct ur_peer *peer;

		if (!former)
			continue;
		peer = find(peers, count, former->right->name,
			    former->right->name_size);
		if (!peer)
			ur_conn_bye(conn, UIDRECV_BYE_NOT_AUTHORIZED, NULL);
		conn->agent = peer;
	}
}

struct keeping {
	const struct ur_peer **by_id;
	size_t count;
	struct ur_filling *filling;
};

static bool keep_claim(void *user, uint32_t agent,
		       struct uidrecv_address address,
		       const struct ur_claim *claim)
{
	const struct keeping *keeping = user;

	return agent < keeping->count && keeping->by_id[agent] &&
	       ur_admit_claim(keeping->by_id[agent]->right, address, claim);
}

static bool keep_system(void *user, uint32_t agent,
			const struct uidrecv_system *system)
{
	const struct keeping *keeping = user;

	return agent < keeping->count && keeping->by_id[agent] &&
	       !ur_admit_system(keeping->by_id[agent]->right, system);
}

static int fill(void *user, const struct ur_change *answer)
{
	const struct keeping *keeping = user;

	return ur_filling_add(keeping->filling, answer);
}

/*
 * Drops the systems and claims that the list does not allow any more, and fills
 * the table with what is left, in one walk.
 */
static int restrict_store(struct uidrecv_receiver *receiver,
			  const struct ur_peer *peers, size_t count,
			  struct ur_ranks ranks, struct ur_filling *filling)
{
	struct keeping keeping = {
	    .count = (size_t)ur_store_get_agent_id_max(receiver->store) + 1,
	    .filling = filling,
	};
	struct ur_store_list list = {ranks, keep_claim, fill, &keeping};
	uint64_t now_us = filling->now_us, wall_us;
	int error;

	keeping.by_id = calloc(keeping.count, sizeof(*keeping.by_id));
	if (!keeping.by_id)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		if (peers[i].id)
			keeping.by_id[peers[i].id] = &peers[i];
	wall_us = ur_clock_wall_us();
	error = ur_store_restrict_systems(receiver->store, now_us, wall_us,
					  keep_system, &keeping);
	if (!error)
		error =
		    ur_store_restrict(receiver->store, now_us, wall_us, &list);
	free(keeping.by_id);
	return error;
}

static bool has_dial(const struct uidrecv_rights *rights)
{
	for (size_t i = 0; i < uidrecv_rights_count(rights); i++)
		if (ur_rights_at(rights, i)->dial)
			return true;
	return false;
}

/* The table is yet to be put in place, if this succeeds. */
static int replace_agents(struct uidrecv_receiver *receiver,
			  struct uidrecv_rights *rights,
			  struct ur_filling *filling)
{
	size_t count = uidrecv_rights_count(rights), ranks_count;
	struct ur_peer *peers = make_peers(receiver, rights);
	struct ur_rank *ranks;
	int error;

	if (!peers)
		return -ENOMEM;
	error = ur_receiver_make_dials(receiver, rights);
	if (!error)
		error =
		    make_ranks(receiver, peers, count, &ranks, &ranks_count);
	if (!error) {
		struct ur_ranks others = {ranks, ranks_count};

		ur_receiver_begin_table(receiver, filling);
		error = restrict_store(receiver, peers, count, others, filling);
		if (error) {
			ur_receiver_drop_table(filling);
			free(ranks);
		}
	}
	if (error) {
		ur_receiver_use_dials(receiver); /* the former ones */
		free(peers);
		return error;
	}
	move_sessions(receiver, peers, count);
	use_ranks(receiver, ranks, ranks_count);
	free(receiver->peers);
	uidrecv_rights_free(receiver->rights);
	receiver->peers = peers;
	receiver->peers_count = count;
	receiver->rights = rights;
	ur_receiver_use_dials(receiver);
	return 0;
}

int uidrecv_receiver_set_agents(struct uidrecv_receiver *receiver,
				const struct uidrecv_rights *rights)
{
	struct ur_filling filling;
	struct uidrecv_rights *copy;
	int error;

	if (!receiver)
		return -EINVAL;
	if (!receiver->tls_client && has_dial(rights))
		return UIDRECV_E_CREDENTIALS;
	/*
	 * Batches point to peers: none may be left. That the table cannot be
	 * made keeps no right from being taken away.
	 */
	if (ur_receiver_run_round(receiver) && receiver->round.first)
		return -EAGAIN;
	if (rights)
		copy = ur_rights_copy(rights);
	else if (uidrecv_rights_new(&copy) < 0)
		copy = NULL;
	if (!copy)
		return -ENOMEM;
	error = replace_agents(receiver, copy, &filling);
	if (error) {
		uidrecv_rights_free(copy);
		return error;
	}
	ur_log(&receiver->log, UIDRECV_LOG_INFO,
	       "%zu agents are on the list now", receiver->peers_count);
	/* Priorities may have changed any answer. */
	return ur_receiver_publish(receiver, &filling);
}

int ur_receiver_load_certificates(struct uidrecv_receiver *receiver,
				  char *error, size_t error_size)
{
	struct ur_tls_files files = {
	    .cert = receiver->cert_path,
	    .key = receiver->key_path,
	    .ca = receiver->ca_path,
	    .crl = receiver->crl_path,
	};
	struct ur_tls_context *server, *client;
	int ret;

	ret = ur_tls_context_new(&server, UR_TLS_SERVER, &files, error,
				 error_size);
	if (ret)
		return ret;
	ret = ur_tls_context_new(&client, UR_TLS_CLIENT, &files, error,
				 error_size);
	if (ret) {
		ur_tls_context_unref(server);
		return ret;
	}
	ur_tls_context_unref(receiver->tls);
	ur_tls_context_unref(receiver->tls_client);
	receiver->tls = server;
	receiver->tls_client = client;
	return 0;
}

int uidrecv_receiver_reload_certificates(struct uidrecv_receiver *receiver,
					 char *error, size_t error_size)
{
	int ret;

	if (!receiver || !receiver->cert_path)
		return -EINVAL;
	ret = ur_receiver_load_certificates(receiver, error, error_size);
	if (ret)
		return ret;
	for (struct ur_conn *conn = receiver->conns; conn; conn = conn->next)
		if (conn->state == UR_CONN_SESSION &&
		    ur_tls_reverify(conn->tls,
				    ur_receiver_get_tls(receiver, conn)) < 0)
			ur_conn_bye(conn, UIDRECV_BYE_CERTIFICATE, NULL);
	ur_log(&receiver->log, UIDRECV_LOG_INFO,
	       "certificates were read again");
	return 0;
}

void ur_receiver_check_certificates(struct uidrecv_receiver *receiver)
{
	int64_t now_s = (int64_t)(ur_clock_wall_us() / 1000000);
	bool is_old = receiver->tls &&
		      ur_tls_context_get_crl_next_update(receiver->tls) < now_s;

	if (is_old && !receiver->crl_is_old)
		ur_log(&receiver->log, UIDRECV_LOG_ERROR,
		       "%s: a revocation list has expired: no agent of its "
		       "authority is let in until there is a new one and the "
		       "certificates are read again",
		       receiver->crl_path);
	receiver->crl_is_old = is_old;
	for (struct ur_conn *conn = receiver->conns; conn; conn = conn->next)
		if (conn->state == UR_CONN_SESSION &&
		    ur_tls_get_not_after(conn->tls) < now_s)
			ur_conn_bye(conn, UIDRECV_BYE_CERTIFICATE, NULL);
}
