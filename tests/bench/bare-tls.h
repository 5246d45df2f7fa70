/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A server that is OpenSSL alone, with a receiver's files, ciphers and groups,
 * on its core: it says as many bytes as a receiver greets with, and waits for
 * the end, one visitor after the other.
 */
#ifndef BENCH_BARE_TLS_H
#define BENCH_BARE_TLS_H

#include "site.h"

/* In a process of its own; the port is of 127.0.0.1. */
pid_t bare_tls_start(const struct site *site, uint16_t *ret_port);
void bare_tls_end(pid_t pid);

/* The processor time that it has had. */
double bare_tls_cpu_s(pid_t pid);

#endif
