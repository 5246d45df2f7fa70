/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connects to a host and port again and again: resolves the name, connects to
 * the next of its addresses, and waits between the attempts for a random time
 * below b, which doubles from 0.5 to 60 seconds. The random time keeps apart
 * who lost one peer together.
 *
 * The dialer makes one attempt and leaves the rest to its owner, who takes the
 * socket, and says when to try again, and what was a success.
 */
#ifndef UR_DIALER_H
#define UR_DIALER_H

#include "resolver.h"

#define UR_DIALER_MIN_US UINT64_C(500000)
#define UR_DIALER_MAX_US UINT64_C(60000000)

struct ur_dialer {
	struct ur_resolver *resolver;
	const char *host; /* the owner's; may be changed while it is stopped */
	uint16_t port;	  /* likewise */
	void *owner;
	/* A non-blocking socket that connects; the owner takes it. */
	void (*connecting)(struct ur_dialer *dialer, int fd);
	/* There is no socket; text says in detail why not. */
	void (*failed)(struct ur_dialer *dialer, int error, const char *text);

	uint64_t attempts;
	uint64_t bound_us; /* b */
	struct ur_timer timer;
	struct ur_question question;
	/* Addresses that were tried since the last success. */
	union ur_endpoint tried[UR_ADDRESSES_MAX];
	size_t tried_count;
};

/* 0 or -ENOMEM. The caller sets the fields of the owner after it. */
int ur_dialer_init(struct ur_dialer *dialer, struct ur_resolver *resolver);
/* Nothing if it was not initialised, and is zero. */
void ur_dialer_done(struct ur_dialer *dialer);

/* Makes the first attempt; at a time that has come: when timers run. */
void ur_dialer_start(struct ur_dialer *dialer, uint64_t at_us);

/* Makes the first attempt before it returns. */
void ur_dialer_begin(struct ur_dialer *dialer);

/* After a failure or the end of a connection: waits for a random time. */
void ur_dialer_retry(struct ur_dialer *dialer);

/* The same, when the peer or we refused: an operator is needed. A minute. */
void ur_dialer_retry_refused(struct ur_dialer *dialer);

/* No attempt is made any more, and no failure told. */
void ur_dialer_stop(struct ur_dialer *dialer);

/* b and the addresses begin anew. */
void ur_dialer_succeeded(struct ur_dialer *dialer);

/* Waits for its time, or for the addresses. */
bool ur_dialer_is_busy(const struct ur_dialer *dialer);

/* Until the next attempt; 0: it does not wait. */
uint64_t ur_dialer_get_wait_us(const struct ur_dialer *dialer, uint64_t now_us);

/* What the end of a connection means: error and the BYE that was its reason. */
bool ur_dialer_is_refusal(int error, uint16_t bye);

/* Pure: the wait of one attempt by a random number, and b for the next one. */
uint64_t ur_dialer_next_wait(uint64_t *bound_us, uint64_t random);

/*
 * Pure: the first address that was not tried; all are as untried if there is
 * none. Marks it.
 */
const union ur_endpoint *ur_dialer_choose(struct ur_dialer *dialer,
					  const struct ur_addresses *found);

#endif
