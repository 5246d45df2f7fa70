/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One connection: a socket, TLS on it, and a session in that. Only conn*.c
 * call recv and send.
 *
 * The owner hears of it through its ops, from within the loop. A connection
 * that has ended lingers until its last words are with the peer, and then frees
 * itself.
 */
#ifndef UR_CONN_H
#define UR_CONN_H

#include <sys/types.h>

#include "log.h"
#include "loop.h"
#include "session.h"
#include "tls.h"

struct ur_conn;

struct ur_conn_ops {
	/*
	 * TLS is up and the peer's certificate is verified. Returns 0; or the
	 * enum uidrecv_bye with which it is refused, after our HELLO if we are
	 * a sink; or a negative error: it is closed without a word.
	 */
	int (*authenticated)(struct ur_conn *conn);
	/* A message of the session; see ur_session_next(). */
	void (*message)(struct ur_conn *conn, const struct ur_message *message);
	/*
	 * The session is over, or never began; called once. error says why.
	 * The owner must not touch the connection after it returned, but for
	 * ur_conn_free().
	 */
	void (*ended)(struct ur_conn *conn, int error);
	/* The connection is about to be freed. */
	void (*gone)(struct ur_conn *conn);
};

enum ur_conn_state {
	UR_CONN_CONNECTING = 1,
	UR_CONN_HANDSHAKE,
	UR_CONN_SESSION,
	UR_CONN_FLUSHING,  /* over; what is queued goes out */
	UR_CONN_LINGERING, /* all is out; waits for the peer to close */
};

struct ur_conn_options {
	struct ur_loop *loop;
	struct ur_tls_context *context;
	const struct ur_conn_ops *ops;
	void *owner;
	struct ur_session_options session;
	uint64_t handshake_us;
	bool is_connecting; /* connect() is in progress */
};

struct ur_conn {
	struct ur_conn *next, **link; /* the owner's list */
	struct ur_conn_options options;
	enum ur_conn_state state;
	struct ur_watch watch;
	struct ur_timer timer;
	struct ur_tls *tls;
	struct ur_session session; /* from UR_CONN_SESSION on */
	uint64_t begun_us;
	int error;
	int send_error;	   /* what is queued can never be sent */
	uint64_t moved_us; /* when the peer last took bytes, or all of them */
	bool is_paused;
	bool is_at_end;	      /* the peer sends nothing more */
	bool is_told;	      /* ended() was called */
	bool is_pumping;      /* below pump(): do not free */
	void *agent;	      /* the owner's: whose session it is */
	void *dial;	      /* the owner's: why it was made, or NULL */
	size_t pending_bytes; /* the owner's */
	char peer[64];	      /* "ADDRESS:PORT" */
	struct uidrecv_address peer_address;
};

/*
 * Takes over the non-blocking socket, also on failure. 0, -ENOMEM or -errno.
 */
int ur_conn_new(struct ur_conn **ret_conn, int fd, struct ur_conn **list,
		const struct ur_conn_options *options);

/* Closes at once, without a word; ended() and gone() are called. */
void ur_conn_free(struct ur_conn *conn);

/* Moves it into another owner's list. */
void ur_conn_move(struct ur_conn *conn, struct ur_conn **list);

/* Ends the session with a BYE; text NULL: the code's. */
void ur_conn_bye(struct ur_conn *conn, uint16_t code, const char *text);

/* Sends what the session has queued. */
void ur_conn_flush(struct ur_conn *conn);

/* Reads nothing until resumed; the peer's silence does not count. */
void ur_conn_pause(struct ur_conn *conn);
void ur_conn_resume(struct ur_conn *conn);

/* What is queued and not yet taken by the kernel. */
size_t ur_conn_queued(const struct ur_conn *conn);

static inline bool ur_conn_is_same_host(const struct ur_conn *a,
					const struct ur_conn *b)
{
	return a->peer_address.hi == b->peer_address.hi &&
	       a->peer_address.lo == b->peer_address.lo;
}

/* Says in detail why it ended, for a log line. Never NULL. */
const char *ur_conn_get_error(const struct ur_conn *conn);

#endif
