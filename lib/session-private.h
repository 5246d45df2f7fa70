/* SPDX-License-Identifier: BSD-2-Clause */
/* A session's inside, shared by the session*.c files. */
#ifndef UR_SESSION_PRIVATE_H
#define UR_SESSION_PRIVATE_H

#include "session.h"

/* session.c */

void ur_session_queue_hello(struct ur_session *session, uint64_t now_us);

/* From now on the limits of an open session hold. */
void ur_session_open(struct ur_session *session);

/* Queues a BYE that quotes the frame, closes, and returns the sticky error. */
int ur_session_refuse(struct ur_session *session, const struct ur_frame *frame,
		      int error, uint16_t code, uint64_t now_us);

/* session-fsm.c */

/*
 * Acts on a message. Returns 1 if the owner is to see it, 0 if not, or the
 * sticky error.
 */
int ur_session_run_fsm(struct ur_session *session, const struct ur_frame *frame,
		       const struct ur_message *message, uint64_t now_us);

#endif
