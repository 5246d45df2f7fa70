/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The firewall's side: accepts agents, stores what they say, publishes the
 * answers in a table that readers of any process map.
 *
 * A receiver is one object with one file descriptor. It starts no thread,
 * installs no signal handler, writes nothing but its store, its table and what
 * it logs through the callback.
 *
 * Threads: all functions of one receiver in one thread at a time, but for
 * uidrecv_receiver_stop(). After fork() only the parent may use it; a child may
 * free its copy.
 */
#ifndef UIDRECV_RECEIVER_H
#define UIDRECV_RECEIVER_H

#include <uidrecv/record.h>
#include <uidrecv/rights.h>

#ifdef __cplusplus
extern "C" {
#endif

struct uidrecv_receiver;

/**
 * Options of a receiver. Zero is the default in every field. Strings are
 * copied.
 */
struct uidrecv_receiver_options {
	size_t size; /* sizeof(struct uidrecv_receiver_options) */

	/*
	 * The store's directory; made if its parent exists. The store proper
	 * is in DIR/store. Must be given.
	 */
	const char *store_path;
	const char *table_path; /* NULL: DIR/table; better on a tmpfs */

	/*
	 * PEM files: the receiver's certificate with its chain, its key, the
	 * authorities that sign agents, and revocation lists. The first three
	 * must be given, unless the receiver never listens.
	 */
	const char *cert_path;
	const char *key_path;
	const char *ca_path;
	/* NULL: revocation is not checked. Expired: nobody is let in. */
	const char *crl_path;

	uidrecv_log_fn log; /* NULL: silent */
	void *log_user;

	uint64_t store_max_bytes;    /* of a new store; 0: 8 GiB, sparse */
	uint32_t table_mode;	     /* permission bits of the table; 0: 0640 */
	uint32_t table_group_plus_1; /* its group + 1; 0: as created */

	uint32_t connections_max; /* 0: 10,000 */
	/*
	 * Connections that came, before READY; 0: 500. Of more the oldest gives
	 * way, one of the same host as the latest if there is one.
	 */
	uint32_t handshakes_max;
	uint32_t per_source_max; /* connections of one address; 0: 1,000 */
	uint32_t handshake_ms;	 /* until READY; 0: 10,000 */
	uint32_t hold_min_s;	 /* 0: 10 */
	uint32_t hold_max_s;	 /* 0: 90 */
	uint32_t frame_max;	 /* longest body, bytes; 0: 65,536 */
	/*
	 * Records in one commit; 0: 65,536. A connection whose UPDATE goes
	 * beyond it is read on after the commit.
	 */
	uint32_t round_records_max;
};
#define UIDRECV_RECEIVER_OPTIONS_INIT                                          \
	{                                                                      \
		.size = sizeof(struct uidrecv_receiver_options)                \
	}

/**
 * Opens the store and makes a receiver that listens nowhere yet. Give it the
 * list of agents next: the table is published with the first list, so that
 * after a restart readers move from the former receiver's answers to the same
 * answers, and never see an empty table in between.
 *
 * @param ret_receiver  Written only on success; free with
 *                      uidrecv_receiver_free().
 * @param options       Not NULL.
 * @param error         Room for a message that says what, where and what to
 *                      do, or NULL; written only on failure.
 * @param error_size    The room in bytes.
 *
 * @return 0, or
 *         -EINVAL                an argument or option is wrong;
 *         -ENOMEM                no memory;
 *         UIDRECV_E_ABI          see there;
 *         UIDRECV_E_CREDENTIALS  a certificate file cannot be used;
 *         UIDRECV_E_STORE, _STORE_DAMAGED, _STORE_SCHEMA, _STORE_BUSY,
 *         _STORE_OWNER           the store cannot be used; it is unchanged;
 *         another errno          of the store's files.
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_receiver_new(
    struct uidrecv_receiver **ret_receiver,
    const struct uidrecv_receiver_options *options, char *error,
    size_t error_size);

/**
 * Closes all connections at once and frees the receiver. What was not yet
 * acknowledged is not stored; agents send it again. The table stays, so that
 * lookups go on. To say goodbye first, use uidrecv_receiver_stop().
 *
 * @param receiver  NULL: nothing happens.
 *
 * @since 0.1
 */
UIDRECV_API void uidrecv_receiver_free(struct uidrecv_receiver *receiver);

/**
 * Listens for agents on an address. May be called several times.
 *
 * @param receiver  Not NULL.
 * @param address   "ADDRESS:PORT", "[IPV6]:PORT" or "*:PORT" (all IPv4 and
 *                  IPv6 addresses). An IPv6 listener takes IPv6 only. Port 0:
 *                  the kernel chooses.
 * @param ret_port  The port, host byte order; NULL: not wanted. Written only
 *                  on success.
 *
 * @return 0, -EINVAL if address is none, UIDRECV_E_CREDENTIALS if the receiver
 *         has no certificate, or an errno of socket(), bind() or listen(), such
 *         as -EADDRINUSE.
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_receiver_listen(
    struct uidrecv_receiver *receiver, const char *address, uint16_t *ret_port);

/**
 * Listens for agents on a socket that is bound and listening already, such as
 * one handed over by systemd.
 *
 * @param receiver  Not NULL.
 * @param fd        A listening stream socket. On success the receiver owns it;
 *                  it becomes non-blocking and close-on-exec.
 *
 * @return 0, -EINVAL if it is no listening stream socket,
 *         UIDRECV_E_CREDENTIALS if the receiver has no certificate, or an
 *         errno.
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_receiver_listen_fd(
    struct uidrecv_receiver *receiver, int fd);

/**
 * Gives, or replaces, the list of agents, and publishes the table. Sessions of
 * agents that are gone are ended, and claims that are no longer allowed are
 * dropped, before it returns; this walks the whole store.
 *
 * @param receiver  Not NULL.
 * @param rights    Copied. NULL: the empty list.
 *
 * @return 0; -EINVAL, -ENOMEM, UIDRECV_E_CREDENTIALS if an agent on it has a
 *         dial and the receiver no certificate, or an error of the store: the
 *         old list is in force; -EAGAIN: likewise, for what agents have said
 *         can be neither stored nor published at the moment, try again later;
 *         or an error of the table's file (-ENOSPC, -EACCES, ...): the new list
 *         is in force, the old table stays in place, and dispatch goes on
 *         trying.
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_receiver_set_agents(
    struct uidrecv_receiver *receiver, const struct uidrecv_rights *rights);

/**
 * Connects to an agent that listens, such as a Terminal Server agent on port
 * 5009, and again whenever the connection ends or fails, after a random time
 * below one that doubles from 0.5 to 60 seconds; once a minute if the agent's
 * certificate is refused. What struct uidrecv_agent_rights has as dial is
 * connected to without this call. The receiver's certificate needs the extended
 * key usage clientAuth for it. Addresses are only ever those of host.
 *
 * @param receiver  Not NULL.
 * @param name      The name of an agent on the list (a DNS name in lower case),
 *                  which must be in the certificate that it shows. While a
 *                  later list lacks it, or has a dial for it, this call is
 *                  without effect.
 * @param host      A host name, which is resolved without blocking at each
 *                  attempt (hosts file and DNS; IPv4 and IPv6 addresses are
 *                  tried in turn), or an address.
 * @param port      1 to 65535, host byte order.
 *
 * @return 0, or
 *         -EINVAL                  an argument is wrong;
 *         UIDRECV_E_UNKNOWN_AGENT  the name is not on the list;
 *         -EEXIST                  the agent is connected to already, by this
 *                                  call or by the list;
 *         UIDRECV_E_CREDENTIALS    the receiver has no certificate;
 *         UIDRECV_E_FORKED, -ENOMEM.
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_receiver_add_agent(
    struct uidrecv_receiver *receiver, const char *name, const char *host,
    uint16_t port);

/**
 * Ends what uidrecv_receiver_add_agent() began: the connection is closed with
 * a goodbye, and not made again. What the agent said stays as it is.
 *
 * @param receiver  Not NULL.
 * @param name      As given there.
 *
 * @return 0, -EINVAL, UIDRECV_E_FORKED, or UIDRECV_E_UNKNOWN_AGENT if that call
 *         was not made for it.
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_receiver_remove_agent(
    struct uidrecv_receiver *receiver, const char *name);

/**
 * Reads the certificate, key, authority and revocation files again. Sessions
 * go on, but for those whose certificate the new files do not accept.
 *
 * @param receiver    Not NULL.
 * @param error       Room for a message, or NULL; written only on failure.
 * @param error_size  The room in bytes.
 *
 * @return 0, -EINVAL, -ENOMEM or UIDRECV_E_CREDENTIALS; then the old files are
 *         in force.
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_receiver_reload_certificates(
    struct uidrecv_receiver *receiver, char *error, size_t error_size);

/**
 * The file descriptor to poll for reading; call uidrecv_receiver_dispatch()
 * when it is readable. Timers are inside. It belongs to the receiver.
 *
 * @param receiver  Not NULL.
 *
 * @return The descriptor, or -EINVAL.
 *
 * @since 0.1
 */
UIDRECV_API int uidrecv_receiver_get_fd(
    const struct uidrecv_receiver *receiver);

/**
 * Does what is to be done now: accepts, reads, stores, publishes, answers.
 * Never waits for a peer, but may block for one commit to the disk (one
 * fsync), and for the copying of the table when that grows.
 *
 * @param receiver  Not NULL.
 *
 * @return 0; -ESHUTDOWN when a stop is complete; UIDRECV_E_FORKED; -EINVAL.
 *         Errors of peers and of the disk are logged and counted, and end only
 *         the sessions that they concern.
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_receiver_dispatch(
    struct uidrecv_receiver *receiver);

/**
 * Dispatches until uidrecv_receiver_stop() is complete.
 *
 * @param receiver  Not NULL.
 *
 * @return 0 after a stop, -EINTR if a signal handler ran, or another errno.
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_receiver_run(
    struct uidrecv_receiver *receiver);

/**
 * Drains: no new connection is accepted, what has arrived is stored and
 * acknowledged, each agent is told to come back later, and all is closed
 * within two seconds, through dispatch.
 *
 * @param receiver  NULL: nothing happens.
 *
 * Any thread, and signal handlers.
 *
 * @since 0.1
 */
UIDRECV_API void uidrecv_receiver_stop(struct uidrecv_receiver *receiver);

/**
 * Stores records of the host program itself, which is an agent without a
 * socket: a captive portal or a VPN gateway in the same process. Blocks for
 * one commit; when it returns 0, the records are durable and published. (A
 * REFRESH that changes nothing but the end of a life is published; it is stored
 * when that is an eighth of the lifetime behind.)
 *
 * @param receiver    Not NULL.
 * @param agent       The name of an agent on the list, whose rights apply.
 *                    Zero-terminated. Must not also connect.
 * @param records     count records; times are of uidrecv_now_us(), absent
 *                    times are now.
 * @param count       At most 1,024.
 * @param ret_codes   Room for count codes: 0 for an accepted record, else enum
 *                    uidrecv_reject. Written only when 0 is returned.
 *
 * @return 0, or
 *         -EINVAL                 an argument is wrong;
 *         UIDRECV_E_UNKNOWN_AGENT  the name is not on the list;
 *         UIDRECV_E_FORKED, -ENOMEM, or an error of the store: nothing was
 *         stored, but such a REFRESH may have been published;
 *         or an error of the table's file: the records may be durable already,
 *         and are published as soon as that is possible. To submit them again
 *         does no harm.
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_receiver_submit(
    struct uidrecv_receiver *receiver, const char *agent,
    const struct uidrecv_record *records, size_t count, uint16_t *ret_codes);

/**
 * Lets snapshots drop what was held back: when a snapshot of an agent leaves a
 * smaller share of its living mappings than struct uidrecv_agent_rights wants
 * kept, the others stay until their lifetimes end, and the statistics say so.
 * This drops them. Blocks for one commit an agent.
 *
 * @param receiver  Not NULL.
 * @param agent     The name of an agent on the list; NULL: all of them.
 *
 * @return The number of agents for which something was dropped; or
 *         -EINVAL;
 *         UIDRECV_E_UNKNOWN_AGENT  the name is not on the list;
 *         UIDRECV_E_FORKED, -ENOMEM, or an error of the store: of the agents
 *         behind the one that failed nothing was dropped.
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_receiver_accept_drops(
    struct uidrecv_receiver *receiver, const char *agent);

/** Counters since uidrecv_receiver_new(). New fields come at the end. */
struct uidrecv_receiver_stats {
	size_t size;		      /* set by the caller: sizeof *stats */
	uint64_t connections;	      /* now */
	uint64_t sessions;	      /* now, after READY */
	uint64_t accepted;	      /* TCP connections */
	uint64_t refused_limit;	      /* over one of the limits */
	uint64_t refused_tls;	      /* handshake failed, not TLS, no ALPN */
	uint64_t refused_certificate; /* none, expired, wrong CA, revoked */
	uint64_t refused_identity;    /* not on the list */
	uint64_t refused_timeout;     /* no READY in time */
	uint64_t protocol_errors;     /* sessions ended by a bad peer */
	uint64_t hold_expired;	      /* sessions ended by silence */
	uint64_t updates;	      /* UPDATE messages stored */
	uint64_t records;	      /* records accepted */
	uint64_t records_rejected;
	uint64_t duplicates; /* UPDATE messages that were durable before */
	uint64_t commits;
	uint64_t commit_errors; /* rounds that failed and were tried again */
	uint64_t claims;	/* in the store */
	uint64_t addresses;	/* in the store */
	uint64_t store_used_bytes;
	uint64_t store_max_bytes;
	uint64_t table_entries;
	uint64_t change;	    /* the table's change counter */
	int64_t certificate_days;   /* until our certificate ends */
	uint64_t snapshots;	    /* ended by agents, held ones included */
	uint64_t snapshots_held;    /* they would have dropped too much */
	uint64_t snapshots_refused; /* not taken: they dropped nothing */
	uint64_t refresh_alls;	    /* REFRESH ALL messages taken */
	uint64_t resyncs;	    /* agents were asked for a snapshot */
};

/**
 * Reads the counters.
 *
 * @param receiver   Not NULL.
 * @param ret_stats  Its size must be set; as much as fits is written.
 *
 * @return 0 or -EINVAL.
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_receiver_get_stats(
    const struct uidrecv_receiver *receiver,
    struct uidrecv_receiver_stats *ret_stats);

/** The state of one agent on the list. New fields come at the end. */
struct uidrecv_agent_stats {
	size_t size; /* set by the caller: sizeof *stats */
	char name[UIDRECV_NAME_MAX + 1];
	char peer[64];		   /* "ADDRESS:PORT", empty if not connected */
	char software[3 * 64 + 1]; /* of its HELLO, escaped */
	bool is_connected;	   /* READY was sent */
	uint32_t priority;
	uint64_t last_heard_ms; /* ago; UINT64_MAX: never */
	uint64_t claims; /* in the store, those not yet collected included */
	uint64_t session_id;
	uint64_t durable; /* last serial */
	uint64_t records; /* accepted since start */
	uint64_t records_rejected;
	int64_t clock_offset_us; /* its clock to the store's */
	int64_t
	    certificate_days; /* until its certificate ends; connected only */
	/*
	 * How long ago it vouched for the mapping that it has not vouched for
	 * for the longest time; UINT64_MAX: it has none that ends, or none was
	 * seen yet. As the receiver saw it on its last walk through the store,
	 * 20,000 addresses a second.
	 */
	uint64_t oldest_ms;
	/*
	 * Claims that its last snapshot lacked and that wait for
	 * uidrecv_receiver_accept_drops().
	 */
	uint64_t held_claims;
	bool is_in_snapshot;  /* that has begun and not ended, be it away */
	uint16_t resync_code; /* a snapshot is wanted: enum uidrecv_resync */
	bool is_multi_user;   /* it speaks for a multi-user system */
	bool is_dialled;      /* the receiver connects to it */
	/* Since the start: a user still had the block that another one got. */
	uint64_t blocks_taken;
	uint64_t dial_attempts; /* connections tried */
	uint64_t dial_retry_ms; /* until the next attempt, if waiting */
	char dial[UIDRECV_NAME_MAX + 1]; /* "HOST:PORT", escaped */
	/* Why the last attempt or session ended; escaped. Has peers' words. */
	char dial_error[256];
};

/**
 * Reads the state of the agents on the list, in the order of their names.
 *
 * @param receiver   Not NULL.
 * @param index      From 0.
 * @param ret_stats  Its size must be set; as much as fits is written.
 *
 * @return 1; 0 if index is behind the last; -EINVAL.
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_receiver_get_agent_stats(
    const struct uidrecv_receiver *receiver, size_t index,
    struct uidrecv_agent_stats *ret_stats);

#ifdef __cplusplus
}
#endif

#endif
