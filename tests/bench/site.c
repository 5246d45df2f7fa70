/* SPDX-License-Identifier: BSD-2-Clause */
#include "site.h"

#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define RECEIVER_CORE 0

void site_pin(bool is_receiver)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t set;

	if (cores < 2)
		return;
	CPU_ZERO(&set);
	for (int i = 0; i < cores; i++)
		if ((i == RECEIVER_CORE) == is_receiver)
			CPU_SET((size_t)i, &set);
	/* Without it the figures are less steady, and right. */
	(void)sched_setaffinity(0, sizeof(set), &set);
}

static uint64_t read_proc(pid_t pid, const char *file, const char *field)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	return bench_read_field(path, field);
}

static uint64_t read_anon(pid_t pid)
{
	return read_proc(pid, "status", "RssAnon:") << 10;
}

static struct certs *living; /* files that are to be removed, and */
static pid_t owner;	     /* by whom */

static void free_certs(void)
{
	if (getpid() == owner)
		certs_free(living);
	living = NULL;
}

static void make_directories(struct site *site)
{
	struct statfs stat;

	site->directory = bench_scratch(NULL);
	site->table_directory = bench_scratch(BENCH_MEMORY);
	bench_must(!statfs(site->directory, &stat), site->directory);
	bench_say("the store is in %s, a file system of type %#lx%s",
		  site->directory, (unsigned long)stat.f_type,
		  stat.f_type == 0xef53	      ? " (ext4)"
		  : stat.f_type == 0x58465342 ? " (xfs)"
		  : stat.f_type == 0x01021994 ? " (tmpfs: no disk!)"
					      : "");
	snprintf(site->store, sizeof(site->store), "%s/db", site->directory);
	snprintf(site->table, sizeof(site->table), "%s/table",
		 site->table_directory);
}

void site_init(struct site *site, size_t speakers)
{
	struct rlimit files;

	*site = (struct site){.options = UIDRECV_RECEIVER_OPTIONS_INIT};
	signal(SIGPIPE, SIG_IGN);
	if (!owner)
		atexit(free_certs);
	owner = getpid();
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	make_directories(site);
	living = site->certs = certs_new_basic(NULL, NULL);
	site->list = speakers_make_list(speakers);
	site->options.store_path = site->store;
	site->options.table_path = site->table;
	site->options.cert_path = certs_path(site->certs, "receiver.pem");
	site->options.key_path = certs_path(site->certs, "receiver-key.pem");
	site->options.ca_path = certs_path(site->certs, "ca.pem");
	site->options.store_max_bytes = UINT64_C(16) << 30;
	/* All come from one host. */
	site->options.connections_max = 20000;
	site->options.per_source_max = 20000;
	site->shared = mmap(NULL, sizeof(*site->shared), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	bench_must(site->shared != MAP_FAILED, "memory");
	speakers_init(&site->speakers, site->certs, speakers);
}

void site_done(struct site *site)
{
	uidrecv_reader_close(site->reader);
	speakers_done(&site->speakers);
	site_stop(site);
	bench_remove(site->directory);
	bench_remove(site->table_directory);
	free_certs();
	free(site->list);
	munmap(site->shared, sizeof(*site->shared));
}

static void print_log(void *user, enum uidrecv_log_level level,
		      const char *message)
{
	(void)user;
	if (level <= UIDRECV_LOG_ERROR)
		bench_say("receiver: %s", message);
}

static struct uidrecv_receiver *open_receiver(struct site *site)
{
	uint64_t start_ns = bench_now_ns();
	struct uidrecv_receiver *receiver;
	struct uidrecv_rights *rights;
	char error[600] = "";

	site->options.log = print_log;
	bench_must(uidrecv_rights_new(&rights) == 0 &&
		       uidrecv_rights_parse(rights, site->list,
					    strlen(site->list), error,
					    sizeof(error)) == 0,
		   "the list");
	start_ns = bench_now_ns();
	if (uidrecv_receiver_new(&receiver, &site->options, error,
				 sizeof(error)) < 0)
		bench_must(false, error);
	site->shared->new_ns = bench_now_ns() - start_ns;
	bench_must(uidrecv_receiver_set_agents(receiver, rights) == 0,
		   "the table is published");
	site->shared->list_ns = bench_now_ns() - start_ns;
	uidrecv_rights_free(rights);
	return receiver;
}

/* As a host program does; what this notes is not within the receiver's time. */
static void turn(struct site_shared *shared, struct uidrecv_receiver *receiver,
		 struct pollfd *fds)
{
	uint64_t start_ns = bench_cpu_ns();
	uint64_t commits = shared->stats.commits;
	uint64_t records = shared->stats.records;

	poll(fds, 2, -1);
	if (fds[0].revents)
		bench_must(uidrecv_receiver_dispatch(receiver) == 0,
			   "dispatch");
	shared->cpu_ns += bench_cpu_ns() - start_ns;
	bench_must(uidrecv_receiver_get_stats(receiver, &shared->stats) == 0,
		   "statistics");
	commits = shared->stats.commits - commits;
	records = shared->stats.records - records;
	for (uint64_t i = 0; i < commits; i++)
		if (shared->rounds_count < SITE_ROUNDS_MAX)
			shared->rounds[shared->rounds_count++] =
			    (uint32_t)((i + 1) * records / commits -
				       i * records / commits);
}

_Noreturn static void receive(struct site *site, int orders)
{
	struct uidrecv_receiver *receiver;
	struct pollfd fds[2] = {{.events = POLLIN},
				{.fd = orders, .events = POLLIN}};
	char order;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	site_pin(true);
	site->shared->anon_bytes = read_anon(getpid());
	site->shared->cpu_ns = 0;
	site->shared->rounds_count = 0;
	site->shared->stats.size = sizeof(site->shared->stats);
	receiver = open_receiver(site);
	bench_must(
	    uidrecv_receiver_listen(receiver, "127.0.0.1:0", &site->port) == 0,
	    "to listen");
	bench_must(send(orders, &site->port, sizeof(site->port), 0) > 0,
		   "an answer");
	fds[0].fd = uidrecv_receiver_get_fd(receiver);
	for (;;) {
		turn(site->shared, receiver, fds);
		/* An answer says that there was nothing else to do. */
		if (fds[0].revents || !fds[1].revents)
			continue;
		if (recv(orders, &order, 1, 0) != 1)
			break;
		bench_must(send(orders, &order, 1, 0) == 1, "an answer");
	}
	uidrecv_receiver_free(receiver);
	_exit(0);
}

void site_start(struct site *site)
{
	int ends[2];

	fflush(stdout);
	malloc_trim(0); /* what it takes is to be its own */
	bench_must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) ==
		       0,
		   "a pair of sockets");
	memset(&site->shared->stats, 0, sizeof(site->shared->stats));
	site->pid = fork();
	bench_must(site->pid >= 0, "fork");
	if (!site->pid) {
		close(ends[0]);
		receive(site, ends[1]);
	}
	close(ends[1]);
	site->orders = ends[0];
	bench_must(recv(site->orders, &site->port, sizeof(site->port), 0) ==
		       sizeof(site->port),
		   "the receiver starts");
	site->speakers.port = site->port;
}

static void end(struct site *site)
{
	int status;

	close(site->orders);
	waitpid(site->pid, &status, 0);
	site->pid = 0;
}

void site_stop(struct site *site)
{
	if (site->pid)
		end(site);
}

void site_kill(struct site *site)
{
	kill(site->pid, SIGKILL);
	end(site);
}

void site_open(struct site *site)
{
	site_start(site);
	site_pin(false);
	speakers_connect(&site->speakers, 0, site->speakers.count, 64);
}

static uint64_t read_disk(const struct site *site)
{
	unsigned long long sectors = 0;
	struct stat stat_of;
	char path[64];
	FILE *file;

	bench_must(stat(site->directory, &stat_of) == 0, site->directory);
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/stat",
		 major(stat_of.st_dev), minor(stat_of.st_dev));
	file = fopen(path, "re");
	if (file) {
		(void)!fscanf(file, "%*u %*u %*u %*u %*u %*u %llu", &sectors);
		fclose(file);
	}
	return sectors * 512;
}

struct site_figures site_figures(struct site *site)
{
	char order = 'f', path[320];
	struct site_figures figures;
	struct stat store, table;

	bench_must(send(site->orders, &order, 1, MSG_NOSIGNAL) == 1 &&
		       recv(site->orders, &order, 1, 0) == 1,
		   "the receiver is there");
	snprintf(path, sizeof(path), "%s/store/data.mdb", site->store);
	bench_must(!stat(path, &store) && !stat(site->table, &table), path);
	figures = (struct site_figures){
	    .stats = site->shared->stats,
	    .cpu_ns = site->shared->cpu_ns,
	    .rounds_count = site->shared->rounds_count,
	    .write_bytes = read_proc(site->pid, "io", "wchar:"),
	    .disk_bytes = read_disk(site),
	    .rss_bytes = read_proc(site->pid, "status", "VmRSS:") << 10,
	    .anon_bytes = read_anon(site->pid) - site->shared->anon_bytes,
	    .store_bytes = (uint64_t)store.st_blocks * 512,
	    .table_bytes = (uint64_t)table.st_blocks * 512,
	};
	bench_must(!figures.stats.records_rejected && !figures.stats.resyncs,
		   "nothing is refused");
	return figures;
}

uint32_t site_first(const struct site *site, uint32_t count, size_t speaker)
{
	return (uint32_t)((uint64_t)count * speaker / site->speakers.count);
}

struct speaker *site_speaker(struct site *site, uint32_t count, uint32_t i)
{
	size_t s = (size_t)((uint64_t)i * site->speakers.count / count);

	while (i < site_first(site, count, s))
		s--;
	while (i >= site_first(site, count, s + 1))
		s++;
	return &site->speakers.list[s];
}

void site_load(struct site *site, uint32_t count)
{
	struct uidrecv_record record = {.op = UIDRECV_OP_MAP};
	uint64_t start_ns = bench_now_ns();

	for (size_t p = 0; p < site->speakers.count; p++) {
		struct speaker *speaker = &site->speakers.list[p];
		uint32_t first = site_first(site, count, p);
		uint32_t end = site_first(site, count, p + 1);

		speaker_begin_snapshot(speaker);
		for (uint32_t i = first; i < end; i++) {
			record.address =
			    uidrecv_address_from_ipv4(bench_ipv4(i));
			record.user_size = (uint8_t)bench_user(i, record.user);
			speaker_say(speaker, &record);
		}
		speaker_end_snapshot(speaker, end - first);
	}
	speakers_finish(&site->speakers);
	bench_must(site_figures(site).stats.addresses == count,
		   "all mappings are there");
	bench_say("%u mappings loaded by %zu agents in %.1f s", count,
		  site->speakers.count,
		  (double)(bench_now_ns() - start_ns) / 1e9);
}

void site_look(struct site *site, uint32_t i, uint32_t user)
{
	struct uidrecv_query query = {
	    .address = uidrecv_address_from_ipv4(bench_ipv4(i))};
	struct uidrecv_mapping mapping;
	char name[BENCH_USER_SIZE + 1];

	(void)bench_user(user, name);
	if (!site->reader)
		bench_must(
		    uidrecv_reader_open(&site->reader, site->table, NULL) == 0,
		    "the table");
	bench_must(uidrecv_reader_lookup(site->reader, &query, 0, &mapping) ==
			   1 &&
		       !strcmp(mapping.user, name),
		   "an answer of the table");
}

void site_look_at_some(struct site *site, uint32_t count, const uint32_t *users)
{
	for (uint32_t i = 0; i < count; i += 997)
		site_look(site, i, users ? users[i] : i);
}
