/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The agent's side: connects to a receiver, sends mappings, knows what is
 * acknowledged and what is refused, and goes on by itself after a lost
 * connection. examples/agent.c shows an agent that keeps what it says, says it
 * again when it has to, and keeps it alive.
 *
 * A Terminal Server agent listens instead, and receivers connect to it: a
 * struct uidrecv_agent_listener takes the connections, and hands each to the
 * struct uidrecv_agent that was made for that receiver.
 *
 * Threads: one thread at a time per agent; different agents are independent,
 * but a listener and all its agents are one: one thread at a time for all of
 * them. After fork() only the parent may use them; a child may free its copies.
 */
#ifndef UIDRECV_AGENT_H
#define UIDRECV_AGENT_H

#include <uidrecv/record.h>

#ifdef __cplusplus
extern "C" {
#endif

struct uidrecv_agent;
struct uidrecv_agent_listener;

/** Options of a listener. Zero is the default. Strings are copied. */
struct uidrecv_agent_listener_options {
	size_t size; /* sizeof(struct uidrecv_agent_listener_options) */

	/* "ADDRESS:PORT", "[IPV6]:PORT" or "*:PORT"; port 0: any. */
	const char *address;
	const char *cert_path; /* PEM: the agent's certificate and chain */
	const char *key_path;  /* PEM: its key */
	const char *ca_path;   /* PEM: the authorities that sign receivers */
	const char *crl_path;  /* NULL: revocation is not checked */

	uidrecv_log_fn log; /* NULL: silent */
	void *log_user;

	/* Connections of which it is not known yet who it is; 0: 64. */
	uint32_t handshakes_max;
	uint32_t connect_ms; /* until READY; 0: 10,000 */
};
#define UIDRECV_AGENT_LISTENER_OPTIONS_INIT                                    \
	{                                                                      \
		.size = sizeof(struct uidrecv_agent_listener_options)          \
	}

/**
 * Listens for receivers. Who connects must have a name that is the
 * receiver_name of an agent made with this listener (the first made, if it has
 * those of several); others are refused. Of more than handshakes_max the oldest
 * gives way, of the latest's own host if there is one. A receiver that connects
 * again is right: its former connection is closed.
 *
 * @param ret_listener  Written only on success; free with
 *                      uidrecv_agent_listener_free().
 * @param options       address, cert_path, key_path and ca_path must be given.
 * @param error         Room for a message that says what, where and what to
 *                      do, or NULL; written only on failure.
 * @param error_size    The room in bytes.
 *
 * @return 0, -EINVAL, -ENOMEM, UIDRECV_E_ABI, UIDRECV_E_CREDENTIALS, or an
 *         errno of socket(), bind() or listen().
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_agent_listener_new(
    struct uidrecv_agent_listener **ret_listener,
    const struct uidrecv_agent_listener_options *options, char *error,
    size_t error_size);

/**
 * Closes the listener. Its agents must have been freed.
 *
 * @param listener  NULL: nothing happens.
 *
 * @since 0.1
 */
UIDRECV_API void uidrecv_agent_listener_free(
    struct uidrecv_agent_listener *listener);

/**
 * Tells on which port it listens.
 *
 * @param listener  Not NULL.
 *
 * @return The port, host byte order; 0 for NULL.
 *
 * @since 0.1
 */
UIDRECV_API uint16_t
uidrecv_agent_listener_get_port(const struct uidrecv_agent_listener *listener);

/**
 * The file descriptor to poll for reading, of the listener and of all its
 * agents: call uidrecv_agent_listener_dispatch() when it is readable, and after
 * queuing. It belongs to the listener.
 *
 * @param listener  Not NULL.
 *
 * @return The descriptor, or -EINVAL.
 *
 * @since 0.1
 */
UIDRECV_API int uidrecv_agent_listener_get_fd(
    const struct uidrecv_agent_listener *listener);

/**
 * Does what is to be done now for the listener and all its agents. Never
 * waits. Then take the events of each agent.
 *
 * @param listener  Not NULL.
 *
 * @return 0; -ESHUTDOWN when all its agents, one at least, have finished
 *         (uidrecv_agent_finish()); UIDRECV_E_FORKED; -EINVAL.
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_agent_listener_dispatch(
    struct uidrecv_agent_listener *listener);

/**
 * Options of an agent. Zero is the default in every field. Strings are copied.
 */
struct uidrecv_agent_options {
	size_t size; /* sizeof(struct uidrecv_agent_options) */

	/*
	 * The receiver: "HOST:PORT" or "[IPV6]:PORT". A host name is resolved
	 * without blocking (hosts file and DNS), at each attempt.
	 */
	const char *receiver;
	/*
	 * The SAN (DNS, URI or IP address) that the receiver's certificate
	 * must have. NULL: the HOST of receiver.
	 */
	const char *receiver_name;
	const char *cert_path; /* PEM: this agent's certificate and chain */
	const char *key_path;  /* PEM: its key */
	const char *ca_path;   /* PEM: the authorities that sign receivers */
	const char *crl_path;  /* NULL: revocation is not checked */

	uidrecv_log_fn log; /* NULL: silent */
	void *log_user;

	const char *software;	  /* for the receiver's status; NULL: ours */
	uint64_t queue_max_bytes; /* unacknowledged records; 0: 64 MiB */
	uint32_t batch_max;	  /* records in an UPDATE, to 1,024; 0: 1,024 */
	uint32_t hold_min_s;	  /* 0: 3 */
	uint32_t hold_max_s;	  /* 0: 300 */
	uint32_t connect_ms;	  /* until READY; 0: 10,000 */
	bool retry_refused; /* go on, once a minute, after a final refusal */
	/*
	 * The agent waits for the receiver to connect to this listener, which
	 * must live longer. receiver and the paths must be NULL then, and
	 * receiver_name must be given, a DNS name or a URI, of which the
	 * listener has no other agent. connect_ms and retry_refused do not
	 * count: a receiver may always connect again.
	 */
	struct uidrecv_agent_listener *listener;
};
#define UIDRECV_AGENT_OPTIONS_INIT                                             \
	{                                                                      \
		.size = sizeof(struct uidrecv_agent_options)                   \
	}

/**
 * Makes an agent; it begins to connect with the first dispatch.
 *
 * @param ret_agent   Written only on success; free with uidrecv_agent_free().
 * @param options     receiver, cert_path, key_path and ca_path must be given,
 *                    or listener and receiver_name.
 * @param error       Room for a message that says what, where and what to do,
 *                    or NULL; written only on failure.
 * @param error_size  The room in bytes.
 *
 * @return 0, -EINVAL, -ENOMEM, UIDRECV_E_ABI, UIDRECV_E_CREDENTIALS, -EEXIST
 *         if the listener has an agent of that receiver_name, or another errno.
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_agent_new(
    struct uidrecv_agent **ret_agent,
    const struct uidrecv_agent_options *options, char *error,
    size_t error_size);

/**
 * Closes the connection and frees the agent with all that is queued.
 *
 * @param agent  NULL: nothing happens.
 *
 * @since 0.1
 */
UIDRECV_API void uidrecv_agent_free(struct uidrecv_agent *agent);

/**
 * The clock of uidrecv_record's event times: microseconds near those since
 * 1970, which never step while the agent lives.
 *
 * @param agent  Not NULL.
 *
 * @return Microseconds.
 *
 * @since 0.1
 */
UIDRECV_API uint64_t uidrecv_agent_now_us(const struct uidrecv_agent *agent);

/**
 * Queues a record. It is vouched for as of now, and is sent with the next
 * dispatch, together with others. It is kept, and sent again on a new
 * connection, until the receiver has acknowledged it.
 *
 * A record with ports that waits when the agent is connected to a receiver
 * that does not take port blocks is left out: UIDRECV_AGENT_REJECTED tells it,
 * with UIDRECV_REJECT_UNSUPPORTED, and the log.
 *
 * @param agent       Not NULL.
 * @param record      Copied.
 * @param ret_ticket  The record's number: 1, 2, 3, ... Written only on
 *                    success. NULL: not wanted.
 *
 * @return 0, or
 *         -EINVAL          op, lifetime, user_size or ports is wrong;
 *         -EOPNOTSUPP      it has ports, and the receiver of the last
 *                          connection does not take port blocks;
 *         UIDRECV_E_FULL   queue_max_bytes are waiting: dispatch until an ACK
 *                          makes room, or say all anew in a snapshot that
 *                          discards;
 *         UIDRECV_E_REFUSED  the receiver refuses this agent for good;
 *         UIDRECV_E_FORKED, -ENOMEM.
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_agent_queue(
    struct uidrecv_agent *agent, const struct uidrecv_record *record,
    uint64_t *ret_ticket);

/**
 * Makes the host that the agent speaks for multi-user: its addresses answer by
 * blocks of source ports alone, from the acknowledgement on and until it is
 * changed here. To be called before the first record with ports. The library
 * sends it again before each snapshot; if that is refused it is told with the
 * ticket of this call, once more. If the range, the size of a block or
 * what is reserved differ from what the receiver has, it ends all blocks.
 *
 * @param agent       Not NULL.
 * @param system      Copied.
 * @param ret_ticket  As of uidrecv_agent_queue(): the receiver may refuse it
 *                    as it may refuse a record. NULL: not wanted.
 *
 * @return 0, or
 *         -EINVAL          a number in it is out of its range, or the agent is
 *                          finishing;
 *         -EOPNOTSUPP      the receiver of the last connection does not take
 *                          port blocks;
 *         UIDRECV_E_REFUSED, UIDRECV_E_FORKED, -ENOMEM.
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_agent_set_system(
    struct uidrecv_agent *agent, const struct uidrecv_system *system,
    uint64_t *ret_ticket);

/**
 * Begins a snapshot: the mappings queued with UIDRECV_OP_MAP until
 * uidrecv_agent_snapshot_end() are all that the agent says, and the receiver
 * drops what the agent said before and does not say again. Until the end is
 * acknowledged nothing is dropped. Other records may be queued in between. A
 * snapshot that is open is given up. Say one after a start, as soon as all is
 * known, and after UIDRECV_AGENT_RESYNC. Say each mapping with the event time
 * of the first time, and with a lifetime: its own if you vouch for it, else
 * what is left of it.
 *
 * Like a record it waits until it is acknowledged, but however much is queued
 * there is room for it, as for the end and for uidrecv_agent_refresh_all(). If
 * the agent is connected to a receiver that does not take snapshots while one
 * waits, the records are sent without it, and the log says so.
 *
 * @param agent    Not NULL.
 * @param discard  What is queued and was never sent is thrown away first: for
 *                 a queue that is full, since the snapshot says it all anew. A
 *                 LOGOUT in it is lost. Its tickets are covered by the
 *                 UIDRECV_AGENT_ACKED of what follows.
 *
 * @return 0, or
 *         -EOPNOTSUPP      the receiver of the last connection does not take
 *                          snapshots;
 *         UIDRECV_E_REFUSED  the receiver refuses this agent for good;
 *         -EINVAL          the agent is finishing;
 *         UIDRECV_E_FORKED, -ENOMEM (nothing was thrown away).
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_agent_snapshot_begin(
    struct uidrecv_agent *agent, bool discard);

/**
 * Ends the snapshot. The library counts its mappings for the receiver, which
 * drops nothing, and asks for another snapshot, if it counts otherwise.
 *
 * @param agent  Not NULL.
 *
 * @return 0, or
 *         -EINVAL          no snapshot is open (a receiver that does not take
 *                          snapshots closes it), or the agent is finishing;
 *         UIDRECV_E_REFUSED, UIDRECV_E_FORKED, -ENOMEM (it is still open).
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_agent_snapshot_end(
    struct uidrecv_agent *agent);

/**
 * Vouches, as of now, for all mappings that the receiver has of the agent's
 * last snapshot and since: each lives for another lifetime. It needs a whole
 * snapshot since uidrecv_agent_new(); if there is none, or if the receiver
 * counts otherwise, it renews nothing and asks for one (UIDRECV_AGENT_RESYNC).
 * So that both count the same: say a lifetime with each mapping, call this when
 * all is acknowledged (queued_bytes of the counters is 0) and all events are
 * taken, and well before the first lifetime is over, such as after a third of
 * it.
 *
 * @param agent  Not NULL.
 * @param count  How many mappings that is: not those that were refused, ended,
 *               or whose lifetime is over. Where one is refused, the one
 *               before it at its address may live on and count, until it is
 *               withdrawn.
 *
 * @return 0, or
 *         -EBUSY           a snapshot is open;
 *         -EOPNOTSUPP      the receiver of the last connection does not take
 *                          this;
 *         -EINVAL          the agent is finishing;
 *         UIDRECV_E_REFUSED, UIDRECV_E_FORKED, -ENOMEM.
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_agent_refresh_all(
    struct uidrecv_agent *agent, uint64_t count);

/**
 * The file descriptor to poll for reading; call uidrecv_agent_dispatch() when
 * it is readable, and after queuing. Timers are inside.
 *
 * @param agent  Not NULL.
 *
 * @return The descriptor, or -EINVAL.
 *
 * @since 0.1
 */
UIDRECV_API int uidrecv_agent_get_fd(const struct uidrecv_agent *agent);

/**
 * Does what is to be done now: connects, reads, writes, tries again. Never
 * waits. Of an agent that has a listener it does what
 * uidrecv_agent_listener_dispatch() does, and returns what that would if there
 * were this agent alone.
 *
 * @param agent  Not NULL.
 *
 * @return 0; -ESHUTDOWN when a finish is complete; UIDRECV_E_REFUSED after a
 *         final refusal, unless retry_refused; UIDRECV_E_FORKED; -EINVAL.
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_agent_dispatch(
    struct uidrecv_agent *agent);

/** What happened. */
enum uidrecv_agent_event_type {
	UIDRECV_AGENT_CONNECTED = 1, /* READY; also after a lost connection */
	UIDRECV_AGENT_LOST,	/* error says why; it tries again by itself */
	UIDRECV_AGENT_REFUSED,	/* for good: error, code, text */
	UIDRECV_AGENT_ACKED,	/* all up to serial and ticket are durable */
	UIDRECV_AGENT_REJECTED, /* one record: ticket, code, text */
	UIDRECV_AGENT_RESYNC,	/* it asks for a snapshot: code, text */
};

struct uidrecv_agent_event {
	uint8_t type;	 /* enum uidrecv_agent_event_type */
	int error;	 /* LOST, REFUSED: a negative error */
	uint16_t code;	 /* REJECTED: enum uidrecv_reject; RESYNC: enum
			    uidrecv_resync; LOST and REFUSED: the enum
			    uidrecv_bye that was received, or 0 */
	uint64_t serial; /* ACKED, REJECTED */
	uint64_t ticket; /* ACKED: the last; REJECTED: the one */
	char text[256];	 /* for a person; escaped */
};

/**
 * Takes the next event. REJECTED events of a serial come before the ACKED that
 * covers it. An ACKED of messages without records (a snapshot's begin and end,
 * a refresh) has the ticket of the last record before them. RESYNC is not told
 * while a snapshot is open or waits to be sent as a whole. Take all after each
 * dispatch: until then they use memory.
 *
 * @param agent      Not NULL.
 * @param ret_event  Written only when 1 is returned.
 *
 * @return 1 or 0, or -EINVAL.
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_agent_next_event(
    struct uidrecv_agent *agent, struct uidrecv_agent_event *ret_event);

/**
 * Asks the agent to end: when all that is queued is acknowledged, it says BYE,
 * closes, and dispatch returns -ESHUTDOWN. Nothing can be queued any more.
 *
 * @param agent  Not NULL.
 *
 * @since 0.1
 */
UIDRECV_API void uidrecv_agent_finish(struct uidrecv_agent *agent);

/** Counters since uidrecv_agent_new(). New fields come at the end. */
struct uidrecv_agent_counters {
	size_t size; /* set by the caller: sizeof *counters */
	bool is_connected;
	uint64_t attempts;	 /* connections tried */
	uint64_t connects;	 /* READYs */
	uint64_t queued_bytes;	 /* not yet acknowledged */
	uint64_t queued_records; /* not yet acknowledged */
	uint64_t last_serial;	 /* sent or ready to be sent */
	uint64_t acked_serial;
	uint64_t retry_ms; /* until the next attempt, if waiting */
	uint64_t resyncs;  /* how often the receiver asked for a snapshot */
	bool is_snapshot_open;
};

/**
 * Reads the counters.
 *
 * @param agent         Not NULL.
 * @param ret_counters  Its size must be set; as much as fits is written.
 *
 * @return 0 or -EINVAL.
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_agent_get_counters(
    const struct uidrecv_agent *agent,
    struct uidrecv_agent_counters *ret_counters);

#ifdef __cplusplus
}
#endif

#endif
