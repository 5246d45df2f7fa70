/* SPDX-License-Identifier: BSD-2-Clause */
#include <lmdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "live.h"
#include "writer.h"

#define LMDB_MAP_BYTES (UINT64_C(1) << 32)
#define LMDB_BATCH 10000
#define TOLD_MAX 100000 /* records that an agent has on their way */

enum { FILLING, IDLE, BUSY, ENDING };

/* In memory that both have. */
struct writer {
	pid_t pid;
	_Atomic int wanted;
	_Atomic int state;
	_Atomic uint64_t changes; /* that are stored */
	uint64_t said;		  /* to the receiver; tickets count from 1 */
	struct live *live;	  /* of the child alone */
	uint32_t count;
	char dir[256];
};

/* What the child changes next: any mapping, to a user that is new there. */
struct change {
	uint64_t seed;
	uint32_t step, index;
	char user[BENCH_USER_SIZE + 1];
};

static void draw(struct change *change, uint32_t count)
{
	change->index = (uint32_t)(bench_random(&change->seed) % count);
	change->step = change->step % 400 + 1;
	bench_user(change->index + change->step * WRITER_STEP, change->user);
}

/* The agent does what it has to do, or waits a little. */
static void turn(struct writer *writer, struct uidrecv_agent *agent)
{
	struct pollfd pollfd = {uidrecv_agent_get_fd(agent), POLLIN, 0};
	struct uidrecv_agent_event event;

	bench_must(uidrecv_agent_dispatch(agent) == 0, "the agent");
	while (uidrecv_agent_next_event(agent, &event) == 1) {
		bench_must(event.type == UIDRECV_AGENT_ACKED ||
			       event.type == UIDRECV_AGENT_CONNECTED,
			   event.text);
		if (event.type == UIDRECV_AGENT_ACKED)
			writer->changes = event.ticket;
	}
	poll(&pollfd, 1, writer->said == writer->changes ? 10 : 1);
}

/* Waits until no more than so many records are on their way. */
static void settle(struct writer *writer, struct uidrecv_agent *agent,
		   uint64_t left)
{
	while (writer->said > writer->changes + left)
		turn(writer, agent);
}

static void say(struct writer *writer, struct uidrecv_agent *agent,
		uint32_t index, const char *user)
{
	struct uidrecv_record record = {
	    .op = UIDRECV_OP_MAP,
	    .address = uidrecv_address_from_ipv4(bench_ipv4(index)),
	    .user_size = BENCH_USER_SIZE,
	};

	memcpy(record.user, user, BENCH_USER_SIZE + 1);
	bench_must(uidrecv_agent_queue(agent, &record, &writer->said) == 0,
		   "uidrecv_agent_queue()");
}

static void *run_agent(void *argument)
{
	struct writer *writer = argument;
	struct change change = {.seed = 3};
	struct uidrecv_agent *agent = writer->live->agents[0]->agent;

	for (uint32_t i = 0; i < writer->count; i++) {
		bench_user(i, change.user);
		say(writer, agent, i, change.user);
		if (i % 1024 == 1023)
			settle(writer, agent, TOLD_MAX);
	}
	settle(writer, agent, 0);
	while (writer->wanted != ENDING) {
		if (writer->wanted == IDLE)
			settle(writer, agent, 0);
		writer->state = writer->wanted;
		for (int i = 0; i < 1024 && writer->state == BUSY; i++) {
			draw(&change, writer->count);
			say(writer, agent, change.index, change.user);
		}
		turn(writer, agent);
		settle(writer, agent, TOLD_MAX);
	}
	writer->state = ENDING;
	return NULL;
}

static void start_receiver(struct writer *writer, struct live *live,
			   char table[300])
{
	struct uidrecv_agent_options options;

	live_init(live, NULL, NULL);
	live_add_name(live, "a.example");
	snprintf(live->rights, sizeof(live->rights),
		 "a.example 10.0.0.0/8 mappings_max=%u\n", writer->count);
	snprintf(table, 300, "%s/table", writer->dir);
	live->options.table_path = table;
	live->options.store_max_bytes = UINT64_C(1) << 32;
	live_start(live);
	options = live_agent_options(live, "a.example");
	options.queue_max_bytes = UINT64_C(1) << 32;
	live_agent(live, "a.example", &options);
	writer->live = live;
}

/* The receiver in this thread, its agent in another one. */
static void run_receiver(struct writer *writer)
{
	static struct live live;
	char table[300];
	pthread_t agent;
	struct pollfd pollfd = {.events = POLLIN};

	start_receiver(writer, &live, table);
	bench_must(pthread_create(&agent, NULL, run_agent, writer) == 0,
		   "pthread_create()");
	pollfd.fd = uidrecv_receiver_get_fd(live.receiver);
	while (writer->state != ENDING) {
		poll(&pollfd, 1, 10);
		bench_must(uidrecv_receiver_dispatch(live.receiver) == 0,
			   "the receiver");
	}
	pthread_join(agent, NULL);
	live_done(&live);
}

static MDB_txn *begin(MDB_env *env, MDB_dbi *dbi)
{
	MDB_txn *txn;

	bench_must(mdb_txn_begin(env, NULL, 0, &txn) == 0, "mdb_txn_begin()");
	bench_must(mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, dbi) == 0,
		   "mdb_dbi_open()");
	return txn;
}

static void change_lmdb(struct writer *writer, MDB_env *env,
			struct change *change)
{
	MDB_dbi dbi;
	MDB_txn *txn = begin(env, &dbi);

	for (int i = 0; i < LMDB_BATCH; i++) {
		uint32_t ipv4;
		MDB_val key = {sizeof(ipv4), &ipv4};
		struct peer_value mapping = {.deadline_us = UINT64_MAX,
					     .user_size = BENCH_USER_SIZE};
		MDB_val value = {sizeof(mapping), &mapping};

		draw(change, writer->count);
		memcpy(mapping.user, change->user, BENCH_USER_SIZE);
		ipv4 = bench_ipv4(change->index);
		bench_must(mdb_put(txn, dbi, &key, &value, 0) == 0,
			   "mdb_put()");
	}
	bench_must(mdb_txn_commit(txn) == 0, "mdb_txn_commit()");
	writer->changes += LMDB_BATCH;
}

static void run_lmdb(struct writer *writer)
{
	struct change change = {.seed = 3};
	MDB_env *env;

	peer_lmdb.fill(
	    &(struct peer_site){.dir = writer->dir, .count = writer->count});
	bench_must(mdb_env_create(&env) == 0, "mdb_env_create()");
	bench_must(mdb_env_set_mapsize(env, LMDB_MAP_BYTES) == 0,
		   "mdb_env_set_mapsize()");
	bench_must(mdb_env_open(env, writer->dir, 0, 0600) == 0,
		   "mdb_env_open()");
	while (writer->wanted != ENDING) {
		writer->state = writer->wanted;
		if (writer->state == BUSY)
			change_lmdb(writer, env, &change);
		else
			poll(NULL, 0, 10);
	}
	mdb_env_close(env);
}

static void await(const struct writer *writer, int state)
{
	while (writer->state != state) {
		bench_must(waitpid(writer->pid, NULL, WNOHANG) == 0,
			   "the writer ended");
		poll(NULL, 0, 1);
	}
}

struct writer *writer_start(enum writer_kind kind, const struct peer_site *site,
			    int cpu)
{
	struct writer *writer =
	    mmap(NULL, sizeof(*writer), PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	bench_must(writer != MAP_FAILED, "mmap()");
	writer->wanted = IDLE;
	writer->state = FILLING;
	writer->count = site->count;
	snprintf(writer->dir, sizeof(writer->dir), "%s", site->dir);
	pid = fork();
	bench_must(pid >= 0, "fork()");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		bench_pin(cpu);
		if (kind == WRITER_RECEIVER)
			run_receiver(writer);
		else
			run_lmdb(writer);
		_exit(0);
	}
	writer->pid = pid;
	await(writer, IDLE);
	return writer;
}

void writer_set_busy(struct writer *writer, bool is_busy)
{
	writer->wanted = is_busy ? BUSY : IDLE;
	await(writer, writer->wanted);
}

uint64_t writer_get_changes(const struct writer *writer)
{
	return writer->changes;
}

void writer_end(struct writer *writer)
{
	int status;

	writer->wanted = ENDING;
	bench_must(waitpid(writer->pid, &status, 0) == writer->pid &&
		       status == 0,
		   "the writer's end");
	munmap(writer, sizeof(*writer));
}
