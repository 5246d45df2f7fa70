/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench-refresh [MAPPINGS]: an agent says MAPPINGS (1,000,000) in a snapshot,
 * and renews them by a REFRESH record each and by one REFRESH ALL, over TLS and
 * with fsync. Prints side by side what went over the wire, what was written,
 * and the time that the receiver took.
 */
#include <dlfcn.h>
#include <inttypes.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include <lmdb.h>

#include "agent-private.h"
#include "live.h"

struct figures {
	uint64_t bytes_up, bytes_down; /* of TCP, both without its headers */
	uint64_t puts;		       /* rows written or removed */
	uint64_t commits;
	uint64_t disk_bytes;	  /* that were written */
	uint64_t cpu_us, wall_us; /* of the receiver */
	uint64_t all_us;	  /* until the ACK of the last */
};

static uint64_t puts_count, cpu_us, wall_us, acked;

static void *next_of(const char *name)
{
	void *found = dlsym(RTLD_NEXT, name);

	if (!found)
		abort();
	return found;
}

/* The library calls these instead of LMDB's. */
int mdb_put(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data,
	    unsigned int flags)
{
	static int (*next)(MDB_txn *, MDB_dbi, MDB_val *, MDB_val *,
			   unsigned int);

	if (!next)
		*(void **)&next = next_of("mdb_put");
	puts_count++;
	return next(txn, dbi, key, data, flags);
}

int mdb_del(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data)
{
	static int (*next)(MDB_txn *, MDB_dbi, MDB_val *, MDB_val *);

	if (!next)
		*(void **)&next = next_of("mdb_del");
	puts_count++;
	return next(txn, dbi, key, data);
}

static uint64_t read_clock_us(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t written_to_disk(void)
{
	FILE *file = fopen("/proc/self/io", "r");
	unsigned long long bytes = 0;
	char line[100];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "write_bytes: %llu", &bytes) == 1)
			break;
	if (file)
		fclose(file);
	return bytes;
}

static struct figures read_figures(const struct live *live)
{
	struct ur_conn *conn = live->agents[0]->agent->conn;
	struct tcp_info info = {0};
	socklen_t size = sizeof(info);

	if (!conn || getsockopt(conn->watch.fd, IPPROTO_TCP, TCP_INFO, &info,
				&size) < 0) {
		fprintf(stderr, "the connection was lost\n");
		exit(1);
	}
	return (struct figures){
	    .bytes_up = info.tcpi_bytes_acked,
	    .bytes_down = info.tcpi_bytes_received,
	    .puts = puts_count,
	    .commits = live_stats(live).commits,
	    .disk_bytes = written_to_disk(),
	    .cpu_us = cpu_us,
	    .wall_us = wall_us,
	    .all_us = read_clock_us(CLOCK_MONOTONIC),
	};
}

static struct figures subtract(struct figures a, struct figures b)
{
	return (struct figures){
	    .bytes_up = a.bytes_up - b.bytes_up,
	    .bytes_down = a.bytes_down - b.bytes_down,
	    .puts = a.puts - b.puts,
	    .commits = a.commits - b.commits,
	    .disk_bytes = a.disk_bytes - b.disk_bytes,
	    .cpu_us = a.cpu_us - b.cpu_us,
	    .wall_us = a.wall_us - b.wall_us,
	    .all_us = a.all_us - b.all_us,
	};
}

static void dispatch_receiver(struct live *live)
{
	uint64_t cpu = read_clock_us(CLOCK_THREAD_CPUTIME_ID);
	uint64_t wall = read_clock_us(CLOCK_MONOTONIC);

	if (uidrecv_receiver_dispatch(live->receiver) < 0)
		abort();
	cpu_us += read_clock_us(CLOCK_THREAD_CPUTIME_ID) - cpu;
	wall_us += read_clock_us(CLOCK_MONOTONIC) - wall;
}

static void dispatch_agent(struct uidrecv_agent *agent)
{
	struct uidrecv_agent_event event;

	if (uidrecv_agent_dispatch(agent) < 0)
		abort();
	while (uidrecv_agent_next_event(agent, &event) == 1) {
		if (event.type == UIDRECV_AGENT_ACKED) {
			acked = event.serial;
		} else if (event.type != UIDRECV_AGENT_CONNECTED) {
			fprintf(stderr, "%s\n", event.text);
			exit(1);
		}
	}
}

/* What is queued goes out at once; else whoever has something to do. */
static void turn(struct live *live)
{
	struct uidrecv_agent *agent = live->agents[0]->agent;
	struct pollfd fds[] = {
	    {uidrecv_receiver_get_fd(live->receiver), POLLIN, 0},
	    {uidrecv_agent_get_fd(agent), POLLIN, 0},
	};

	dispatch_agent(agent);
	poll(fds, 2, 100);
	if (fds[0].revents)
		dispatch_receiver(live);
}

/* Until all is acknowledged, and what it took since then. */
static struct figures finish(struct live *live, struct figures before)
{
	const struct live_agent *agent = live->agents[0];

	while (acked < live_counters(agent).last_serial)
		turn(live);
	return subtract(read_figures(live), before);
}

static void say_each(struct live *live, uint16_t op, uint64_t count)
{
	struct uidrecv_record record = {.op = op};
	uint64_t ticket;

	for (uint64_t i = 0; i < count; i++) {
		record.address =
		    uidrecv_address_from_ipv4((uint32_t)(0x0a000000 + i));
		if (op == UIDRECV_OP_MAP)
			record.user_size = (uint8_t)sprintf(
			    record.user, "CORP\\user%" PRIu64, i);
		if (uidrecv_agent_queue(live->agents[0]->agent, &record,
					&ticket) < 0)
			abort();
		/* As an agent does: it does not queue all before it sends. */
		if (i % 1024 == 1023)
			turn(live);
	}
}

static void print_row(const char *what, uint64_t each, uint64_t all)
{
	printf("%-28s %14" PRIu64 " %14" PRIu64, what, each, all);
	if (all)
		printf(" %11.0f : 1\n", (double)each / (double)all);
	else
		printf(" %15s\n", "-");
}

static void print_figures(uint64_t count, struct figures each,
			  struct figures all)
{
	printf("%-28s %14s %14s\n", "", "REFRESH each", "REFRESH ALL");
	print_row("mappings renewed", count, count);
	print_row("bytes to the receiver", each.bytes_up, all.bytes_up);
	print_row("bytes from the receiver", each.bytes_down, all.bytes_down);
	print_row("rows written", each.puts, all.puts);
	print_row("commits", each.commits, all.commits);
	print_row("bytes written to the disk", each.disk_bytes, all.disk_bytes);
	print_row("receiver's CPU, us", each.cpu_us, all.cpu_us);
	print_row("receiver's time, us", each.wall_us, all.wall_us);
	print_row("until the last ACK, us", each.all_us, all.all_us);
}

static void connect_agent(struct live *live, uint64_t count)
{
	struct uidrecv_agent_options options;

	live_init(live, NULL, NULL);
	live_add_name(live, "a.example");
	snprintf(live->rights, sizeof(live->rights),
		 "a.example 10.0.0.0/8 mappings_max=%" PRIu64 "\n", count);
	live->options.store_max_bytes = UINT64_C(1) << 32;
	live_start(live);
	options = live_agent_options(live, "a.example");
	options.queue_max_bytes = UINT64_C(1) << 32;
	live_agent(live, "a.example", &options);
	while (!live_counters(live->agents[0]).is_connected)
		turn(live);
}

int main(int argc, char **argv)
{
	static struct live live;
	uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
	struct figures before, loaded, each, all, again;

	if (!count || count > 1 << 24)
		return 2;
	connect_agent(&live, count);
	before = read_figures(&live);
	if (uidrecv_agent_snapshot_begin(live.agents[0]->agent, false) < 0)
		return 1;
	say_each(&live, UIDRECV_OP_MAP, count);
	if (uidrecv_agent_snapshot_end(live.agents[0]->agent) < 0)
		return 1;
	loaded = finish(&live, before);
	before = read_figures(&live);
	say_each(&live, UIDRECV_OP_REFRESH, count);
	each = finish(&live, before);
	before = read_figures(&live);
	if (uidrecv_agent_refresh_all(live.agents[0]->agent, count) < 0)
		return 1;
	all = finish(&live, before);
	before = read_figures(&live);
	if (uidrecv_agent_refresh_all(live.agents[0]->agent, count) < 0)
		return 1;
	again = finish(&live, before);
	if (live_stats(&live).refresh_alls != 2)
		return 1;
	print_figures(count, each, all);
	printf("another REFRESH ALL: %" PRIu64 " us of the receiver's CPU\n",
	       again.cpu_us);
	printf("the snapshot before: %" PRIu64
	       " bytes to the receiver, %" PRIu64 " rows, %" PRIu64
	       " commits, %" PRIu64 " us until its ACK\n",
	       loaded.bytes_up, loaded.puts, loaded.commits, loaded.all_us);
	live_done(&live);
	return 0;
}
