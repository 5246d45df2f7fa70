/* SPDX-License-Identifier: BSD-2-Clause */
/* What uidtsagent tells whoever runs it, on stderr. */
#ifndef UIDTSAGENT_LOG_H
#define UIDTSAGENT_LOG_H

#include <uidrecv/types.h>

/* 0: errors and warnings; 1: who comes and goes; 2: all. */
void ts_log_set_verbose(int verbose);

/* What comes from others must have been escaped. */
void ts_log(enum uidrecv_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* For the library. */
void ts_log_library(void *user, enum uidrecv_log_level level,
		    const char *message);

#endif
