/* SPDX-License-Identifier: BSD-2-Clause */
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crowd.h"
#include "live.h"
#include "receiver-private.h"

/* With villains: it is what the silent ones cost the test. */
#define HANDSHAKE_MS 2500

static uint64_t microseconds(struct timeval time)
{
	return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

static uint64_t anon_bytes(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	unsigned long long kib = 0;
	char line[200];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "RssAnon: %llu", &kib) == 1)
			break;
	if (file)
		fclose(file);
	return kib * 1024;
}

/* b after so many failures, none of which made it small again. */
static uint64_t bound_after(uint64_t failures)
{
	uint64_t bound_us = UR_DIALER_MIN_US;

	while (failures--)
		(void)ur_dialer_next_wait(&bound_us, 0);
	return bound_us;
}

static void look_at_dials(const struct uidrecv_receiver *receiver,
			  struct crowd_figures *figures)
{
	const struct ur_dial *dial;

	figures->failures_least = UINT64_MAX;
	for (dial = receiver->dials; dial; dial = dial->next) {
		const struct ur_dialer *dialer = &dial->dialer;
		uint64_t failures = dialer->attempts - (dial->conn != NULL);

		if (strncmp(dial->name, "villain", 7) != 0) {
			if (dialer->attempts > figures->attempts_most)
				figures->attempts_most = dialer->attempts;
			continue;
		}
		if (failures < figures->failures_least)
			figures->failures_least = failures;
		if (dialer->attempts &&
		    dialer->bound_us != bound_after(failures))
			figures->attempts_unbound++;
	}
}

static struct crowd_figures measure(const struct crowd *crowd,
				    const struct uidrecv_receiver *receiver)
{
	struct crowd_figures figures = {.stats.size = sizeof(figures.stats)};
	struct rusage usage;
	struct stat table;

	crowd_insist(uidrecv_receiver_get_stats(receiver, &figures.stats) == 0,
		     "statistics");
	getrusage(RUSAGE_SELF, &usage);
	figures.cpu_us =
	    microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
	figures.anon_bytes = anon_bytes();
	figures.heap_bytes = mallinfo2().uordblks;
	figures.fds = live_count_fds();
	if (stat(crowd->table, &table) == 0)
		figures.table_bytes = (uint64_t)table.st_blocks * 512;
	look_at_dials(receiver, &figures);
	return figures;
}

static void read_list(const struct crowd *crowd,
		      struct uidrecv_receiver *receiver)
{
	FILE *file = fopen(crowd->list, "re");
	struct uidrecv_rights *rights;
	char *text = NULL, error[300] = "";
	size_t room = 0;
	ssize_t size;

	crowd_insist(file != NULL, crowd->list);
	size = getdelim(&text, &room, '\0', file);
	fclose(file);
	crowd_insist(uidrecv_rights_new(&rights) == 0, "rights");
	crowd_insist(uidrecv_rights_parse(rights, text ? text : "",
					  size < 0 ? 0 : (size_t)size, error,
					  sizeof(error)) == 0,
		     error);
	crowd_insist(uidrecv_receiver_set_agents(receiver, rights) == 0,
		     "set_agents");
	uidrecv_rights_free(rights);
	free(text);
}

static void obey(const struct crowd *crowd, struct uidrecv_receiver *receiver,
		 int orders)
{
	struct crowd_figures figures;
	char order;

	if (recv(orders, &order, 1, 0) != 1) {
		uidrecv_receiver_free(receiver);
		_exit(0);
	}
	if (order == 'l')
		read_list(crowd, receiver);
	figures = measure(crowd, receiver);
	crowd_insist(send(orders, &figures, sizeof(figures), MSG_NOSIGNAL) ==
			 sizeof(figures),
		     "an answer");
}

void crowd_receive(const struct crowd *crowd, int orders)
{
	struct uidrecv_receiver_options options = UIDRECV_RECEIVER_OPTIONS_INIT;
	struct uidrecv_receiver *receiver;
	char error[600] = "";

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	options.store_path = crowd->store;
	options.cert_path = certs_path(crowd->certs, "receiver.pem");
	options.key_path = certs_path(crowd->certs, "receiver-key.pem");
	options.ca_path = certs_path(crowd->certs, "ca.pem");
	options.store_max_bytes = UINT64_C(1) << 30;
	options.handshake_ms = crowd->villains_count ? HANDSHAKE_MS : 0;
	crowd_insist(uidrecv_receiver_new(&receiver, &options, error,
					  sizeof(error)) == 0,
		     error);
	read_list(crowd, receiver);
	for (;;) {
		struct pollfd fds[] = {
		    {uidrecv_receiver_get_fd(receiver), POLLIN, 0},
		    {orders, POLLIN, 0},
		};

		poll(fds, 2, -1);
		if (fds[0].revents)
			crowd_insist(uidrecv_receiver_dispatch(receiver) == 0,
				     "dispatch");
		if (fds[1].revents)
			obey(crowd, receiver, orders);
	}
}
