/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libuidrecv: who is behind an address. This header includes all others.
 *
 * A policy engine that only looks up needs <uidrecv/reader.h> and libuidlookup.
 */
#ifndef UIDRECV_UIDRECV_H
#define UIDRECV_UIDRECV_H

#include <uidrecv/agent.h>
#include <uidrecv/reader.h>
#include <uidrecv/receiver.h>
#include <uidrecv/record.h>
#include <uidrecv/rights.h>
#include <uidrecv/types.h>

#endif
