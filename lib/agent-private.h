/* SPDX-License-Identifier: BSD-2-Clause */
/* The agent's inside, shared by the agent*.c files. */
#ifndef UR_AGENT_PRIVATE_H
#define UR_AGENT_PRIVATE_H

#include <sys/types.h>

#include <uidrecv/agent.h>

#include "conn.h"
#include "dialer.h"
#include "listener.h"

/* A system as it was set, with the ticket of that; 0: none was. */
struct ur_set_system {
	struct uidrecv_system config;
	uint64_t ticket;
};

/* One message with a serial, from its first record to its ACK. */
struct ur_outgoing {
	struct ur_outgoing *next;
	uint8_t type; /* enum ur_message_type; only UPDATE has records */
	uint64_t serial;
	uint64_t first_ticket;
	uint64_t as_of_us;	/* of the agent's clock */
	uint64_t maps_count;	/* COUNT of SNAPSHOT END and REFRESH ALL */
	uint64_t system_ticket; /* of TS CONFIG, though it is said again */
	uint32_t count;		/* records; TS CONFIG is one, the first time */
	bool has_ports;		/* one of the records is about a block */
	bool is_closed;		/* takes no more records; the frame is whole */
	struct ur_buf frame;
	struct ur_update_writer writer;
	uint8_t refused[UR_RECORDS_MAX / 8]; /* told already, a bit each */
};

/* Was it told that the record of this index was refused? */
static inline bool ur_outgoing_is_told(const struct ur_outgoing *item,
				       uint32_t index)
{
	return item->refused[index / 8] & 1u << (index % 8);
}

static inline void ur_outgoing_set_told(struct ur_outgoing *item,
					uint32_t index)
{
	item->refused[index / 8] |= (uint8_t)(1u << (index % 8));
}

/* What waits for ACKs, in the order of serials. */
struct ur_outbox {
	struct ur_outgoing *first, *last;
	struct ur_outgoing *unsent; /* on this connection; NULL: all is sent */
	uint64_t serial;	    /* of the newest */
	uint64_t ticket;	    /* of the newest record */
	uint64_t sent;		    /* serial; the highest, on any connection */
	uint64_t acked;		    /* serial */
	uint64_t acked_ticket;
	uint64_t bytes;
	uint64_t records;
	uint32_t batch_max;
	uint32_t body_max;
	bool is_snapshot_open;	     /* begun and not ended */
	uint64_t begin_serial;	     /* of the newest SNAPSHOT BEGIN, or 0 */
	uint64_t maps_count;	     /* MAP records since that */
	struct ur_set_system system; /* the newest */
	struct ur_set_system taken;  /* the newest acknowledged, not refused */
};

struct ur_agent_event {
	struct ur_agent_event *next;
	struct uidrecv_agent_event event;
};

struct uidrecv_agent_listener {
	pid_t pid;
	uint32_t handshakes_max, connect_ms;
	struct ur_log log;
	struct ur_loop loop;
	struct ur_tls_context *tls;
	struct ur_listener *sockets;  /* one, or one for each family */
	struct ur_conn *conns;	      /* not yet known to be an agent's */
	struct uidrecv_agent *agents; /* in the order of being made */
};

struct uidrecv_agent {
	struct uidrecv_agent *next;	      /* of its listener's */
	struct uidrecv_agent_options options; /* defaults filled in */
	char *receiver, *host, *receiver_name, *software;
	uint16_t port;
	pid_t pid;

	struct ur_log log;
	struct ur_loop *loop; /* its own, or its listener's */
	struct ur_loop own_loop;
	struct ur_tls_context *tls;
	struct ur_conn *conns; /* one, and those that linger */
	struct ur_conn *conn;  /* the one that counts, or NULL */
	struct ur_resolver resolver;
	struct ur_dialer dialer;
	bool is_open; /* READY came */
	int refused;  /* final: the error, or 0 */
	bool is_finishing;

	uint64_t session_id;
	uint64_t clock_base_us;
	struct ur_outbox outbox;
	struct ur_agent_event *events, **events_last;
	uint64_t capabilities; /* of the last receiver; all before the first */
	uint64_t connects, resyncs;
};

/* agent-outbox.c */

/* 0, -EINVAL, -ENOMEM. */
int ur_outbox_add(struct ur_outbox *outbox, const struct uidrecv_record *record,
		  uint64_t clock_us);
/* Makes what is queued ready to be sent. */
void ur_outbox_close(struct ur_outbox *outbox);
/* Forgets up to the serial; false if there was nothing to forget. */
bool ur_outbox_ack(struct ur_outbox *outbox, uint64_t serial);
/* The ticket of a refused record or system, once; 0 if told before or unknown.
 */
uint64_t ur_outbox_refuse(struct ur_outbox *outbox, uint64_t serial,
			  uint32_t index);
/* Sends all again that is not acknowledged. */
void ur_outbox_rewind(struct ur_outbox *outbox);
void ur_outbox_done(struct ur_outbox *outbox);

/*
 * Queues SNAPSHOT BEGIN, after throwing away what was never sent if discard is
 * set, and, with_system, saying the system again if there is one. 0 or -ENOMEM
 * (nothing changed).
 */
int ur_outbox_begin_snapshot(struct ur_outbox *outbox, bool discard,
			     bool with_system);
/* Queues TS CONFIG; is_first: it has the next ticket. 0 or -ENOMEM. */
int ur_outbox_add_system(struct ur_outbox *outbox,
			 const struct ur_set_system *system, bool is_first);
/* Queue SNAPSHOT END, which must be open, and REFRESH ALL. 0 or -ENOMEM. */
int ur_outbox_end_snapshot(struct ur_outbox *outbox);
int ur_outbox_refresh_all(struct ur_outbox *outbox, uint64_t clock_us,
			  uint64_t count);

/* agent-renumber.c */

/* Does a receiver with these limits take all that waits? */
bool ur_outbox_suits(const struct ur_outbox *outbox, uint32_t body_max,
		     uint64_t capabilities);
/*
 * Cuts what is not acknowledged anew into bodies of at most body_max bytes,
 * with serials from 1, for a new session, after the system that the receiver
 * took. Messages and records that need a capability that is not there are left
 * out; of what has a ticket left_out() is told, once, as of a refusal. How many
 * these are, or -ENOMEM (nothing changed).
 */
int ur_outbox_renumber(
    struct ur_outbox *outbox, uint32_t body_max, uint64_t capabilities,
    void (*left_out)(void *user, uint64_t serial, uint64_t ticket), void *user);

/* agent-connect.c */

/* 0 or -ENOMEM. */
int ur_agent_init_dialer(struct uidrecv_agent *agent);
/*
 * Goes on as an agent of its listener with a connection of its receiver, which
 * is authenticated. 0, or the error that ends it.
 */
int ur_agent_take(struct uidrecv_agent *agent, struct ur_conn *conn);
/* Moves from the outbox to the session what the window allows. */
void ur_agent_push(struct uidrecv_agent *agent);

/* agent-listener.c */

/* 0; -EINVAL: it cannot wait for this name; -EEXIST, UIDRECV_E_FORKED. */
int ur_agent_listener_check(const struct uidrecv_agent_listener *listener,
			    const char *receiver_name);
void ur_agent_listener_add(struct uidrecv_agent_listener *listener,
			   struct uidrecv_agent *agent);
void ur_agent_listener_remove(struct uidrecv_agent_listener *listener,
			      const struct uidrecv_agent *agent);

/* agent-system.c */

/* Are these ports that there are? */
bool ur_agent_check_ports(struct uidrecv_ports ports);

/* agent-snapshot.c */

/* RESYNC came. */
void ur_agent_on_resync(struct uidrecv_agent *agent, const struct ur_conn *conn,
			const struct ur_bye *why);

/* agent.c */

/*
 * May something be queued now, of which the receiver must take these
 * UR_CAPABILITY_ bits? 0 or the error.
 */
int ur_agent_may_queue(const struct uidrecv_agent *agent,
		       uint64_t capabilities);
/* Is it over, after uidrecv_agent_finish()? */
static inline bool ur_agent_has_finished(const struct uidrecv_agent *agent)
{
	return agent->is_finishing && !agent->outbox.first && !agent->conns;
}
/* What an agent does in each turn of its loop; as uidrecv_agent_dispatch(). */
int ur_agent_turn(struct uidrecv_agent *agent);
/* Queues an event; without memory it is lost, and logged. */
void ur_agent_tell(struct uidrecv_agent *agent,
		   const struct uidrecv_agent_event *event);

#endif
