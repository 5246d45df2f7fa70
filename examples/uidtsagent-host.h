/* SPDX-License-Identifier: BSD-2-Clause */
/* What the process is on its host: alone, and with few rights. */
#ifndef UIDTSAGENT_HOST_H
#define UIDTSAGENT_HOST_H

/* Dies if another one runs with the same directory. */
void ts_host_lock(const char *state_dir);

/* Gives up all rights of root but to change the network. Dies on failure. */
void ts_host_drop_rights(void);

#endif
