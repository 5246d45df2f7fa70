/* SPDX-License-Identifier: BSD-2-Clause */
/* The receiver's inside, shared by the receiver*.c files. */
#ifndef UR_RECEIVER_PRIVATE_H
#define UR_RECEIVER_PRIVATE_H

#include <sys/types.h>

#include <uidrecv/receiver.h>

#include "conn.h"
#include "dialer.h"
#include "listener.h"
#include "round.h"

/* An agent that listens, and how the receiver gets to it. */
struct ur_dial {
	struct ur_dial *next;
	struct uidrecv_receiver *receiver;
	char *name;
	char *added; /* by uidrecv_receiver_add_agent(): "HOST:PORT", or NULL */
	/* Where it is sought now: "HOST:PORT"; "": nowhere. */
	char target[UIDRECV_NAME_MAX + 1];
	char host[UIDRECV_NAME_MAX + 1];
	struct ur_dialer dialer;
	struct ur_conn *conn; /* from its beginning to its end, or NULL */
	uint64_t opened_us;   /* its READY; 0: not yet */
	bool is_failing;      /* and that was said */
	char error[256];      /* why the last attempt or session ended */
};

struct uidrecv_receiver {
	struct uidrecv_receiver_options options; /* defaults filled in */
	char *store_path, *table_path;
	char *cert_path, *key_path, *ca_path, *crl_path;
	pid_t pid;

	struct ur_log log;
	struct ur_loop loop;
	/* NULL: no certificate, never listens and never connects. */
	struct ur_tls_context *tls, *tls_client;
	struct ur_store *store;
	struct ur_table *table;
	struct ur_round round;
	uint8_t boot_id[16];

	struct uidrecv_rights *rights;
	struct ur_peer *peers; /* one per agent on the list, by name */
	size_t peers_count;
	struct ur_rank *ranks; /* by agent id */
	size_t ranks_count;

	struct ur_greeting *greetings, **greetings_last; /* HELLOs that wait */
	struct ur_listener *listeners;
	struct ur_conn *conns; /* newest first */
	uint64_t handshakes;   /* that came, before READY */

	struct ur_resolver resolver;
	struct ur_dial *dials;
	uint64_t dialled;      /* of the connections */
	uint64_t dial_next_us; /* when the next may begin */

	struct ur_timer second_timer; /* housekeeping */
	struct ur_timer retry_timer;  /* of a round that failed */
	uint64_t retry_us;
	bool crl_is_old;   /* and that was said */
	bool is_blocked;   /* a round failed: nothing is read */
	bool retry_is_due; /* of that round */
	bool has_paused;   /* connections wait for the round */
	bool is_settling;  /* more runners-up wait for the next dispatch */
	_Atomic bool stop_asked;
	bool is_stopping;
	uint64_t stop_at_us;

	struct uidrecv_receiver_stats stats;
};

/* The sink's: what it takes beside UPDATE. */
#define UR_RECEIVER_CAPABILITIES                                               \
	(UR_CAPABILITY_SNAPSHOT | UR_CAPABILITY_REFRESH_ALL |                  \
	 UR_CAPABILITY_PORTS)

static inline uint64_t ur_receiver_store_now_us(
    const struct uidrecv_receiver *receiver)
{
	return receiver->loop.now_us + ur_store_get_base_us(receiver->store);
}

/* receiver-table.c */

/*
 * How many answers go into a new table together, and of how many the slots are
 * asked for together meanwhile: the ways to small pages overlap within a group,
 * and the memory comes while the next group is read.
 */
#define UR_FILLING_BATCH 32
#define UR_FILLING_GROUP 8

/*
 * A table that is not in place yet, and answers on their way into it. They wait
 * while the memory of their slots comes.
 */
struct ur_filling {
	struct ur_table *table;
	int error; /* sticky: it cannot be made, or not filled */
	uint64_t now_us;
	size_t count;
	struct ur_table_answer answers[UR_FILLING_BATCH];
	char users[UR_FILLING_BATCH][UIDRECV_NAME_MAX];
};

/*
 * Begins a new table, to be filled with all that the store answers. It ends
 * with one of the two below, whatever comes of it.
 */
void ur_receiver_begin_table(struct uidrecv_receiver *receiver,
			     struct ur_filling *filling);

/* For ur_store_scan(), which it never stops. */
int ur_filling_add(void *user, const struct ur_change *change);

/* Puts it in place. On failure the former one stays. */
int ur_receiver_end_table(struct uidrecv_receiver *receiver,
			  struct ur_filling *filling);
void ur_receiver_drop_table(struct ur_filling *filling);

/* Makes a new table of the whole store and puts it in place. */
int ur_receiver_rebuild_table(struct uidrecv_receiver *receiver);

/* receiver.c */

/* Runs the round; on failure it blocks reading and sets the retry timer. */
int ur_receiver_run_round(struct uidrecv_receiver *receiver);

/* Puts a table in place; on failure it blocks reading, and dispatch tries. */
int ur_receiver_publish(struct uidrecv_receiver *receiver,
			struct ur_filling *filling);

/* Publishes what the store has changed by itself; likewise on failure. */
void ur_receiver_publish_changes(struct uidrecv_receiver *receiver);

void ur_receiver_on_second(struct ur_timer *timer);
void ur_receiver_on_retry(struct ur_timer *timer);
void ur_receiver_close_listeners(struct uidrecv_receiver *receiver);

/* receiver-accept.c */

void ur_receiver_accepted(struct ur_listener *listener, int fd);
void ur_receiver_accept_failed(struct ur_listener *listener, int error);

/* What all connections have in common. */
struct ur_conn_options ur_receiver_conn_options(
    struct uidrecv_receiver *receiver);

/* receiver-dial.c */

/* Did we connect? Such a one counts against no limit. */
static inline bool ur_receiver_has_dialled(const struct ur_conn *conn)
{
	return conn->options.is_connecting;
}

/* READY was sent on a connection that has a dial. */
void ur_receiver_dial_opened(struct ur_conn *conn);
void ur_receiver_dial_ended(struct ur_conn *conn, int error);

/* Makes what a list needs; nothing begins yet. 0 or -ENOMEM. */
int ur_receiver_make_dials(struct uidrecv_receiver *receiver,
			   const struct uidrecv_rights *rights);

/* Begins, keeps and ends by the list in force and by what the host added. */
void ur_receiver_use_dials(struct uidrecv_receiver *receiver);

/* No attempt is made any more; sessions go on. */
void ur_receiver_stop_dials(struct uidrecv_receiver *receiver);
void ur_receiver_free_dials(struct uidrecv_receiver *receiver);

/* receiver-session.c */

extern const struct ur_conn_ops ur_receiver_conn_ops;

void ur_receiver_completed(void *owner, const struct ur_batch *batch,
			   const struct ur_refusal *refusals);
void ur_receiver_pause_all(struct uidrecv_receiver *receiver);
void ur_receiver_resume_all(struct uidrecv_receiver *receiver);

/* receiver-hello.c */

/* Keeps it until ur_receiver_welcome(). */
void ur_receiver_on_hello(struct ur_conn *conn, const struct ur_hello *hello);

/* Answers all that came with READY or BYE, after one commit. */
void ur_receiver_welcome(struct uidrecv_receiver *receiver);

/* The connection is gone; all are. */
void ur_receiver_forget_hello(struct uidrecv_receiver *receiver,
			      const struct ur_conn *conn);
void ur_receiver_forget_hellos(struct uidrecv_receiver *receiver);

/* The clock of an agent, as a KEEPALIVE tells it. */
void ur_receiver_on_clock(struct ur_conn *conn,
			  const struct ur_clock_echo *clock);

/* receiver-snapshot.c */

/* Says what became of a snapshot, and asks for one if it is wanted. */
void ur_receiver_snapshot_completed(struct uidrecv_receiver *receiver,
				    const struct ur_batch *batch);

/* Sends RESYNC if a snapshot is wanted and none was asked for lately. */
void ur_receiver_ask(struct uidrecv_receiver *receiver, struct ur_peer *peer);

/* The same for all agents, and sends it at once. */
void ur_receiver_ask_all(struct uidrecv_receiver *receiver);

/* Lets runners-up take over, a slice of them. */
void ur_receiver_settle(struct uidrecv_receiver *receiver);

/* Goes on with taking away what is dead, if there is much of it. */
void ur_receiver_sweep(struct uidrecv_receiver *receiver);

/* receiver-agents.c */

struct ur_peer *ur_receiver_find_peer(struct uidrecv_receiver *receiver,
				      const char *name, size_t name_size);

/* Gives a peer its row and its name in the table. 0 or an error. */
int ur_receiver_enrol(struct uidrecv_receiver *receiver, struct ur_peer *peer);

/* The context of the side that we are on in this connection. */
static inline struct ur_tls_context *ur_receiver_get_tls(
    const struct uidrecv_receiver *receiver, const struct ur_conn *conn)
{
	return ur_receiver_has_dialled(conn) ? receiver->tls_client
					     : receiver->tls;
}

/* Reads the files for both sides; changes nothing on failure. */
int ur_receiver_load_certificates(struct uidrecv_receiver *receiver,
				  char *error, size_t error_size);

/* Ends sessions whose certificate has expired. */
void ur_receiver_check_certificates(struct uidrecv_receiver *receiver);

#endif
