/* SPDX-License-Identifier: BSD-2-Clause */
/* A connection's inside, shared by the conn*.c files. */
#ifndef UR_CONN_PRIVATE_H
#define UR_CONN_PRIVATE_H

#include "conn.h"

static inline uint64_t ur_conn_now_us(const struct ur_conn *conn)
{
	return conn->options.loop->now_us;
}

/* conn.c */

/* The session's or the handshake's deadline, or the end of lingering. */
void ur_conn_set_timer(struct ur_conn *conn);
void ur_conn_set_events(struct ur_conn *conn, bool wants_write);

/* Ends it; what is queued still goes out. */
void ur_conn_finish(struct ur_conn *conn, int error);

/* The socket is dead: nothing can be sent any more. */
void ur_conn_drop(struct ur_conn *conn, int error);

/* conn-io.c */

/* Reads, decrypts, hands out, until there is no more or it is enough. */
void ur_conn_pump(struct ur_conn *conn);

#endif
