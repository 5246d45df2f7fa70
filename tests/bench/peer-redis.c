/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Redis in RAM only, over a unix socket: a GET, and in bulk a pipeline of 100
 * of them, or one MGET of 100; 100 are faster than 16. The server is ours
 * alone, and dies with us.
 */
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "peer.h"

#define GROUP 100
#define PATIENCE_MS 10000

static redisContext *redis;
static pid_t server;

static void get_path(const struct peer_site *site, char path[256])
{
	snprintf(path, 256, "%s/redis", site->dir);
}

static void start(const struct peer_site *site)
{
	char path[256];

	get_path(site, path);
	server = fork();
	bench_must(server >= 0, "fork()");
	if (server > 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	execlp("redis-server", "redis-server", "--port", "0", "--unixsocket",
	       path, "--dir", site->dir, "--save", "", "--appendonly", "no",
	       "--logfile", "/dev/null", (char *)NULL);
	_exit(127);
}

/* The server may not listen yet. */
static void open_redis(const struct peer_site *site)
{
	char path[256];

	get_path(site, path);
	for (int ms = 0; ms < PATIENCE_MS; ms += 10) {
		struct timespec wait = {0, 10000000};

		redis = redisConnectUnix(path);
		if (redis && !redis->err)
			return;
		redisFree(redis);
		nanosleep(&wait, NULL);
	}
	bench_must(false, "redis-server does not answer");
}

static redisReply *receive(void)
{
	void *reply;

	bench_must(redisGetReply(redis, &reply) == REDIS_OK &&
		       ((redisReply *)reply)->type != REDIS_REPLY_ERROR,
		   "redis");
	return reply;
}

static void fill(const struct peer_site *site)
{
	char user[BENCH_USER_SIZE + 1];

	start(site);
	open_redis(site);
	for (uint32_t i = 0; i < site->count; i++) {
		uint32_t ipv4 = bench_ipv4(i);

		redisAppendCommand(redis, "SET %b %b", &ipv4, sizeof(ipv4),
				   user, bench_user(i, user));
		if (i % GROUP != GROUP - 1 && i + 1 < site->count)
			continue;
		for (uint32_t n = 0; n <= i % GROUP; n++)
			freeReplyObject(receive());
	}
	redisFree(redis);
}

static int take(const redisReply *reply, struct uidrecv_mapping *mapping)
{
	if (reply->type != REDIS_REPLY_STRING)
		return 0;
	memcpy(mapping->user, reply->str, reply->len);
	mapping->user_size = (uint8_t)reply->len;
	return 1;
}

static void ask(const uint32_t *ipv4)
{
	static const size_t sizes[] = {3, sizeof(*ipv4)};
	const char *arguments[] = {"GET", (const char *)ipv4};

	redisAppendCommandArgv(redis, 2, arguments, sizes);
}

static int take_next(struct uidrecv_mapping *mapping)
{
	redisReply *reply = receive();
	int is_known = take(reply, mapping);

	freeReplyObject(reply);
	return is_known;
}

static inline bool look(uint32_t ipv4, struct uidrecv_mapping *mapping)
{
	ask(&ipv4);
	return take_next(mapping) == 1;
}

static inline size_t bulk(const uint32_t *ipv4, size_t count,
			  struct uidrecv_mapping *mappings, int *results)
{
	size_t found = 0;

	for (size_t i = 0; i < count; i++)
		ask(&ipv4[i]);
	for (size_t i = 0; i < count; i++) {
		results[i] = take_next(&mappings[i]);
		found += (size_t)results[i];
	}
	return found;
}

static inline size_t bulk_mget(const uint32_t *ipv4, size_t count,
			       struct uidrecv_mapping *mappings, int *results)
{
	const char *arguments[1 + GROUP] = {"MGET"};
	size_t sizes[1 + GROUP] = {4}, found = 0;
	redisReply *reply;

	for (size_t i = 0; i < count; i++) {
		arguments[1 + i] = (const char *)&ipv4[i];
		sizes[1 + i] = sizeof(ipv4[i]);
	}
	redisAppendCommandArgv(redis, (int)count + 1, arguments, sizes);
	reply = receive();
	bench_must(reply->elements == count, "MGET");
	for (size_t i = 0; i < count; i++) {
		results[i] = take(reply->element[i], &mappings[i]);
		found += (size_t)results[i];
	}
	freeReplyObject(reply);
	return found;
}

static size_t run_mget(enum peer_way way, const uint32_t *ipv4, size_t count)
{
	return peer_run(way, look, bulk_mget, GROUP, ipv4, count);
}

static size_t run(enum peer_way way, const uint32_t *ipv4, size_t count)
{
	return peer_run(way, look, bulk, GROUP, ipv4, count);
}

static void close_redis(void)
{
	redisFree(redis);
}

static void clear(void)
{
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
}

const struct peer peer_redis = {
    .name = "redis",
    .group = GROUP,
    .slowness = 50,
    .fill = fill,
    .open = open_redis,
    .look = look,
    .bulk = bulk,
    .run = run,
    .close = close_redis,
    .clear = clear,
};

/* The same connection, if peer_redis is open. */
const struct peer peer_redis_mget = {
    .name = "redis",
    .group = GROUP,
    .slowness = 50,
    .look = look,
    .bulk = bulk_mget,
    .run = run_mget,
};
