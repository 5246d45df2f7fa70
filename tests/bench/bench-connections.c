/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench-connections [--quick]: what connections of agents cost a receiver, over
 * TLS 1.3 with certificates of both sides, on loopback, the receiver on a core
 * of its own.
 *
 * connections: "memory of an idle connection", KiB: how much more of the
 *   receiver's process is in memory with 1,000 agents that say nothing, by
 *   agent; and how much more the kernel says it has, for both ends of each.
 *   "handshakes", 1/s: from TCP to the first bytes that the accepting side
 *   says, by its processor time: the receiver's, and that of a server that is
 *   OpenSSL with the same files and ciphers and blocks. "reconnect storm", ms:
 *   10 agents say a claim each every 10 ms; the 99th percentile of the time
 *   from when it is due to its ACK, while all is quiet, and while the 1,000
 *   others, who have lost their connections at once, come back, by handshakes
 *   on the core of the 10, who go first. All claims must be acknowledged on the
 *   connections that were there.
 */
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bare-tls.h"
#include "bench.h"
#include "site.h"

#define STEADY 10
#define CROWD 1000
#define AT_ONCE 8
#define RUNS_MAX 5
#define CLAIM_EVERY_NS UINT64_C(10000000)
#define SETTLE_US 1500000
#define CLAIMS_MAX 100000

/* --- handshakes --- */

/* So many, AT_ONCE of them at once. */
static void visit(struct speakers *speakers, uint16_t port, size_t count)
{
	speakers->port = port;
	speakers->visits = 0;
	while (speakers->visits < count) {
		size_t under_way = 0;

		for (size_t i = 0; i < AT_ONCE; i++)
			under_way += speakers->list[i].state != SPEAKER_AWAY;
		for (size_t i = 0; i < AT_ONCE; i++) {
			struct speaker *speaker = &speakers->list[i];

			if (speaker->state != SPEAKER_AWAY ||
			    speakers->visits + under_way == count)
				continue;
			speaker_connect(speaker);
			under_way++;
		}
		speakers_turn(speakers, 100);
	}
	usleep(20000); /* the other side has seen the end of the last */
}

static void bench_handshakes(struct site *site)
{
	size_t runs = bench_runs(RUNS_MAX, 3);
	size_t count = bench_size(1000, 300);
	double live[RUNS_MAX], plain[RUNS_MAX];
	struct speakers *speakers = &site->speakers;
	uint16_t port;
	pid_t bare = bare_tls_start(site, &port);

	speakers->are_visitors = true;
	visit(speakers, port, 50);
	visit(speakers, site->port, 50);
	for (size_t i = 0; i < runs; i++) {
		double cpu_s = bare_tls_cpu_s(bare);
		uint64_t cpu_ns;

		visit(speakers, port, count);
		plain[i] =
		    (double)speakers->visits / (bare_tls_cpu_s(bare) - cpu_s);
		cpu_ns = site_figures(site).cpu_ns;
		visit(speakers, site->port, count);
		cpu_ns = site_figures(site).cpu_ns - cpu_ns;
		live[i] = (double)speakers->visits / (double)cpu_ns * 1e9;
		bench_say("handshakes: receiver %.0f, bare OpenSSL %.0f",
			  live[i], plain[i]);
	}
	speakers->are_visitors = false;
	bare_tls_end(bare);
	bench_emit("connections", "handshakes", "receiver", "1/s", live, runs);
	bench_emit("connections", "handshakes", "bare openssl", "1/s", plain,
		   runs);
}

/* --- the crowd, a process of its own --- */

/*
 * Connects all anew by each order, 'a' few at once, 's' all, and answers how
 * many connections others have ended meanwhile; 'q' ends it.
 */
_Noreturn static void be_crowd(struct site *site, int orders)
{
	struct speakers *speakers = &site->speakers;
	size_t count = speakers->count - STEADY;
	uint32_t lost;
	char order;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGTERM, SIG_DFL);
	if (setpriority(PRIO_PROCESS, 0, 19))
		bench_say("the crowd is not nice");
	speakers_adopt(speakers);
	while (recv(orders, &order, 1, 0) == 1 && order != 'q') {
		speakers_drop(speakers);
		lost = 0;
		for (size_t i = 0; i < count; i++)
			speakers->list[STEADY + i].lost = 0;
		speakers_connect(speakers, STEADY, count,
				 order == 'a' ? AT_ONCE : count);
		for (size_t i = 0; i < count; i++)
			lost += speakers->list[STEADY + i].lost;
		bench_must(send(orders, &lost, sizeof(lost), 0) == sizeof(lost),
			   "an answer");
	}
	_exit(0);
}

static int start_crowd(struct site *site)
{
	int ends[2];
	pid_t pid;

	bench_must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) ==
		       0,
		   "a pair of sockets");
	pid = fork();
	bench_must(pid >= 0, "fork");
	if (!pid) {
		close(ends[0]);
		be_crowd(site, ends[1]);
	}
	close(ends[1]);
	return ends[0];
}

static void order(int crowd, char what)
{
	bench_must(send(crowd, &what, 1, 0) == 1, "the crowd is there");
}

/* --- memory --- */

static uint64_t kernel_bytes(void)
{
	return bench_read_field("/proc/meminfo", "Slab:") << 10;
}

static void bench_memory(struct site *site, int crowd)
{
	struct site_figures before = site_figures(site), after;
	uint64_t kernel = kernel_bytes();
	size_t others = site->speakers.count - STEADY;
	double kib;
	uint32_t lost;

	order(crowd, 'a');
	bench_must(recv(crowd, &lost, sizeof(lost), 0) == sizeof(lost),
		   "the crowd connects");
	usleep(bench_size(SETTLE_US, SETTLE_US));
	after = site_figures(site);
	bench_must(after.stats.sessions == before.stats.sessions + others,
		   "all have a session");
	kib = bench_per(after.rss_bytes, before.rss_bytes, others) / 1024;
	bench_emit("connections", "memory of an idle connection", "receiver",
		   "KiB", &kib, 1);
	kib = bench_per(kernel_bytes(), kernel, others) / 1024;
	bench_emit("connections", "memory of the kernel, both ends of it",
		   "receiver", "KiB", &kib, 1);
}

/* --- the storm --- */

struct claims {
	uint64_t due_ns[STEADY][CLAIMS_MAX]; /* by serial */
	uint64_t heard[STEADY];		     /* serials that were measured */
	uint64_t next_ns;
	uint32_t user;
	double *ms;
	size_t count;
};

static void take_acks(struct site *site, struct claims *claims)
{
	for (size_t i = 0; i < STEADY; i++) {
		const struct speaker *speaker = &site->speakers.list[i];

		while (claims->heard[i] < speaker->acked) {
			uint64_t due_ns = claims->due_ns[i][++claims->heard[i]];

			bench_must(claims->count < CLAIMS_MAX, "room");
			claims->ms[claims->count++] =
			    (double)(speaker->acked_ns - due_ns) / 1e6;
		}
	}
}

#define CLAIMED 1000 /* addresses */

/* The agents take turns, so that they do not share their commits. */
static void say_what_is_due(struct site *site, struct claims *claims)
{
	while (bench_now_ns() >= claims->next_ns) {
		uint32_t i = claims->user++;
		struct speaker *speaker = &site->speakers.list[i % STEADY];
		struct uidrecv_record record = {
		    .op = UIDRECV_OP_MAP,
		    .address =
			uidrecv_address_from_ipv4(bench_ipv4(i % CLAIMED)),
		};

		record.user_size = (uint8_t)bench_user(i, record.user);
		speaker_say(speaker, &record);
		speaker_say_end(speaker);
		bench_must(speaker->serial < CLAIMS_MAX, "room");
		claims->due_ns[i % STEADY][speaker->serial] = claims->next_ns;
		speaker_go_on(speaker);
		claims->next_ns += CLAIM_EVERY_NS / STEADY;
	}
}

/* What was claimed last is what readers have. */
static void look_at_last(struct site *site, const struct claims *claims)
{
	uint32_t i = claims->user < CLAIMED ? 0 : claims->user - CLAIMED;

	for (; i < claims->user; i++)
		site_look(site, i % CLAIMED, i);
}

/* Until the crowd answers, or for so long if that is given. */
static void say_on(struct site *site, struct claims *claims, int crowd,
		   uint64_t for_ns, const char *column)
{
	uint64_t start_ns = bench_now_ns();
	uint32_t lost = 0;
	double s, p99, p50;

	claims->count = 0;
	claims->next_ns = start_ns;
	do {
		say_what_is_due(site, claims);
		speakers_turn(&site->speakers, 1);
		take_acks(site, claims);
	} while (for_ns ? bench_now_ns() < start_ns + for_ns
			: recv(crowd, &lost, sizeof(lost), MSG_DONTWAIT) < 0);
	s = (double)(bench_now_ns() - start_ns) / 1e9;
	speakers_finish(&site->speakers);
	take_acks(site, claims);
	look_at_last(site, claims);
	for (size_t i = 0; i < STEADY; i++)
		bench_must(!site->speakers.list[i].lost, "they stay connected");
	p50 = bench_percentile(claims->ms, claims->count, 50);
	p99 = bench_percentile(claims->ms, claims->count, 99);
	bench_say("%s: %zu claims in %.1f s, p50 %.2f ms, p99 %.2f ms, most "
		  "%.2f ms",
		  column, claims->count, s, p50, p99,
		  claims->ms[claims->count - 1]);
	bench_emit("connections", "reconnect storm", column, "ms", &p99, 1);
	bench_emit("connections", "reconnect storm, median", column, "ms", &p50,
		   1);
	if (for_ns)
		return;
	bench_emit("connections", "reconnect storm, until all are back",
		   "receiver", "s", &s, 1);
	bench_say("%u connections of the crowd were cut, and made again", lost);
}

static void bench_storm(struct site *site, int crowd)
{
	static struct claims claims;
	struct sched_param first = {.sched_priority = 1}, usual = {0};
	uint64_t quiet_ns = UINT64_C(1000000) * bench_size(10000, 3000);

	claims.ms = calloc(CLAIMS_MAX, sizeof(*claims.ms));
	bench_must(claims.ms != NULL, "memory");
	speakers_connect(&site->speakers, 0, STEADY, STEADY);
	if (sched_setscheduler(0, SCHED_FIFO, &first))
		bench_say("no priority: the crowd holds up the others' agents");
	say_on(site, &claims, crowd, quiet_ns, "quiet");
	order(crowd, 's');
	say_on(site, &claims, crowd, 0, "storm");
	(void)sched_setscheduler(0, SCHED_OTHER, &usual);
	free(claims.ms);
}

int main(int argc, char **argv)
{
	struct site site;
	int crowd;

	(void)bench_main_options(argc, argv);
	site_init(&site, STEADY + bench_size(CROWD, CROWD));
	site_pin(false);
	site_start(&site);
	crowd = start_crowd(&site);
	bench_memory(&site, crowd);
	bench_storm(&site, crowd);
	order(crowd, 'q');
	close(crowd);
	speakers_drop(&site.speakers);
	usleep(100000);
	bench_handshakes(&site);
	site_done(&site);
	return 0;
}
