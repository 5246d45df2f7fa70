/* SPDX-License-Identifier: BSD-2-Clause */
/* What whoever runs uidtsagent gets to see of it. */
#ifndef UIDTSAGENT_REPORT_H
#define UIDTSAGENT_REPORT_H

#include "uidrecvd-output.h"
#include "uidtsagent-firewalls.h"

struct ts_report {
	uint8_t *states; /* of each block, as it was logged */
	uint64_t complained_us;
	uint64_t forwarded; /* flows of others in the range, at the last look */
};

/* Logs what became of blocks, and once a minute what is wrong. */
void ts_report_changes(struct ts_report *report, const struct ts_share *share,
		       const struct ts_firewalls *firewalls, uint64_t now_us);

/*
 * A firewall that is connected and has not acknowledged for a minute whose a
 * block is, nor refused it; NULL: there is none.
 */
const char *ts_report_find_slow(const struct ts_share *share,
				const struct ts_firewalls *firewalls,
				uint64_t now_us);

/* Prints the state. */
void ts_report_state(const struct ts_report *report, struct output *output,
		     const struct ts_share *share,
		     const struct ts_firewalls *firewalls);

#endif
