/* SPDX-License-Identifier: BSD-2-Clause */
#include <dirent.h>
#include <ftw.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "live.h"

#define TURN_MS 5

static void insist(bool is_ok, const char *what)
{
	if (is_ok)
		return;
	fprintf(stderr, "live: %s\n", what);
	abort();
}

uint64_t live_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void live_log(void *user, enum uidrecv_log_level level, const char *message)
{
	struct live_log *log = user;
	size_t size = strlen(message);

	log->text = realloc(log->text, log->size + size + 2);
	insist(log->text != NULL, "memory");
	memcpy(log->text + log->size, message, size);
	log->size += size;
	memcpy(log->text + log->size++, "\n", 2);
	log->lines[level]++;
	for (size_t i = 0; i < size; i++)
		if (message[i] < 0x20 || message[i] > 0x7e) {
			log->unclean++;
			break;
		}
}

bool live_log_has(const struct live_log *log, const char *text)
{
	return log->text && strstr(log->text, text);
}

void live_add_name(struct live *live, const char *name)
{
	size_t size = strlen(live->rights);
	char san[300];

	snprintf(san, sizeof(san), "DNS:%s", name);
	certs_make(live->certs, &(struct certs_spec){
				    .name = name, .issuer = "ca", .san = san});
	snprintf(live->rights + size, sizeof(live->rights) - size,
		 "%s 10.0.0.0/8 2001:db8::/32\n", name);
}

void live_init(struct live *live, const char *agent, ...)
{
	const char *tmp = getenv("TMPDIR");
	va_list agents;

	*live = (struct live){
	    .options = UIDRECV_RECEIVER_OPTIONS_INIT,
	};
	snprintf(live->directory, sizeof(live->directory),
		 "%s/uidrecv-live-XXXXXX", tmp ? tmp : "/tmp");
	insist(mkdtemp(live->directory) != NULL, "temporary directory");
	snprintf(live->store, sizeof(live->store), "%s/db", live->directory);
	snprintf(live->table, sizeof(live->table), "%s/db/table",
		 live->directory);
	live->certs = certs_new_basic(NULL, NULL);
	va_start(agents, agent);
	for (; agent; agent = va_arg(agents, const char *))
		live_add_name(live, agent);
	va_end(agents);
	live->options.store_path = live->store;
	live->options.cert_path = certs_path(live->certs, "receiver.pem");
	live->options.key_path = certs_path(live->certs, "receiver-key.pem");
	live->options.ca_path = certs_path(live->certs, "ca.pem");
	live->options.log = live_log;
	live->options.log_user = &live->log;
	live->options.store_max_bytes = 64u << 20;
}

static int remove_one(const char *path, const struct stat *stat, int flag,
		      struct FTW *place)
{
	(void)stat;
	(void)flag;
	(void)place;
	return remove(path);
}

void live_remove(const char *directory)
{
	nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void live_done(struct live *live)
{
	while (live->agents_count)
		live_agent_end(live, live->agents[0]);
	uidrecv_reader_close(live->reader);
	live_stop(live);
	certs_free(live->certs);
	live_remove(live->directory);
	free(live->log.text);
}

int live_set_agents(struct live *live, const char *text)
{
	struct uidrecv_rights *rights;
	char error[300] = "";
	int ret;

	insist(uidrecv_rights_new(&rights) == 0, "rights");
	insist(uidrecv_rights_parse(rights, text, strlen(text), error,
				    sizeof(error)) == 0,
	       error);
	ret = uidrecv_receiver_set_agents(live->receiver, rights);
	uidrecv_rights_free(rights);
	return ret;
}

void live_open(struct live *live)
{
	char error[600] = "";

	insist(!live->receiver, "two receivers");
	insist(uidrecv_receiver_new(&live->receiver, &live->options, error,
				    sizeof(error)) == 0,
	       error);
	insist(live_set_agents(live, live->rights) == 0, "set_agents");
	live->result = 0;
}

void live_start(struct live *live)
{
	live_open(live);
	snprintf(live->address, sizeof(live->address), "127.0.0.1:%u",
		 live->port);
	insist(uidrecv_receiver_listen(live->receiver, live->address,
				       &live->port) == 0,
	       "listen");
	snprintf(live->address, sizeof(live->address), "127.0.0.1:%u",
		 live->port);
}

void live_stop(struct live *live)
{
	uidrecv_receiver_free(live->receiver);
	live->receiver = NULL;
}

struct uidrecv_agent_options live_agent_options(struct live *live,
						const char *name)
{
	struct uidrecv_agent_options options = UIDRECV_AGENT_OPTIONS_INIT;
	char file[300];

	options.receiver = live->address;
	snprintf(file, sizeof(file), "%s.pem", name);
	options.cert_path = certs_path(live->certs, file);
	snprintf(file, sizeof(file), "%s-key.pem", name);
	options.key_path = certs_path(live->certs, file);
	options.ca_path = certs_path(live->certs, "ca.pem");
	return options;
}

struct live_agent *live_agent(struct live *live, const char *name,
			      const struct uidrecv_agent_options *options)
{
	struct uidrecv_agent_options usual = live_agent_options(live, name);
	struct live_agent *agent = calloc(1, sizeof(*agent));
	char error[600] = "";

	insist(agent && live->agents_count < LIVE_AGENTS_MAX, "agents");
	insist(uidrecv_agent_new(&agent->agent, options ? options : &usual,
				 error, sizeof(error)) == 0,
	       error);
	live->agents[live->agents_count++] = agent;
	return agent;
}

void live_agent_end(struct live *live, struct live_agent *agent)
{
	size_t at = 0;

	while (live->agents[at] != agent)
		at++;
	live->agents[at] = live->agents[--live->agents_count];
	uidrecv_agent_free(agent->agent);
	free(agent);
}

static void take_event(struct live_agent *agent,
		       const struct uidrecv_agent_event *event)
{
	agent->events[event->type]++;
	switch (event->type) {
	case UIDRECV_AGENT_ACKED:
		insist(event->ticket >= agent->acked, "ACK goes back");
		agent->acked = event->ticket;
		agent->acked_serial = event->serial;
		break;
	case UIDRECV_AGENT_REJECTED:
		insist(event->ticket > agent->acked ||
			   event->ticket == agent->system_ticket,
		       "REJECT after its ACK");
		if (event->ticket >= LIVE_TICKETS_MAX)
			break;
		agent->codes[event->ticket] = event->code;
		agent->told[event->ticket]++;
		insist(agent->told[event->ticket] == 1 ||
			   event->ticket == agent->system_ticket,
		       "REJECT told twice");
		break;
	case UIDRECV_AGENT_LOST:
	case UIDRECV_AGENT_REFUSED:
		agent->last = *event;
		break;
	case UIDRECV_AGENT_RESYNC:
		agent->resync = *event;
		break;
	default:
		break;
	}
}

static void turn_agent(struct live_agent *agent)
{
	struct uidrecv_agent_event event;

	agent->result = uidrecv_agent_dispatch(agent->agent);
	while (uidrecv_agent_next_event(agent->agent, &event) == 1)
		take_event(agent, &event);
}

/* Only what its descriptor asks for: a wake-up that is lost must be seen. */
static bool is_readable(int fd)
{
	struct pollfd pollfd = {.fd = fd, .events = POLLIN};

	return poll(&pollfd, 1, 0) == 1;
}

void live_turn(struct live *live)
{
	struct pollfd fds[LIVE_AGENTS_MAX + 1];
	nfds_t count = 0;

	if (live->receiver && !live->is_frozen) {
		fds[count].fd = uidrecv_receiver_get_fd(live->receiver);
		if (is_readable(fds[count++].fd))
			live->result =
			    uidrecv_receiver_dispatch(live->receiver);
	}
	if (live->hook)
		live->hook(live->hook_user);
	for (size_t i = 0; i < live->agents_count; i++) {
		turn_agent(live->agents[i]);
		fds[count++].fd = uidrecv_agent_get_fd(live->agents[i]->agent);
	}
	for (nfds_t i = 0; i < count; i++)
		fds[i].events = POLLIN;
	poll(fds, count, live->hook ? 1 : TURN_MS);
}

void live_turns(struct live *live, uint64_t ms)
{
	uint64_t end_ms = live_now_ms() + ms;

	while (live_now_ms() < end_ms)
		live_turn(live);
}

struct uidrecv_record live_record(uint16_t op, const char *address,
				  const char *user)
{
	struct uidrecv_record record = {.op = op};

	insist(uidrecv_address_parse(address, &record.address) == 0, address);
	if (user) {
		record.user_size = (uint8_t)strlen(user);
		memcpy(record.user, user, strlen(user) + 1);
	}
	return record;
}

uint64_t live_say(struct live_agent *agent, uint16_t op, const char *address,
		  const char *user)
{
	struct uidrecv_record record = live_record(op, address, user);
	uint64_t ticket = 0;

	insist(uidrecv_agent_queue(agent->agent, &record, &ticket) == 0,
	       "queue");
	return ticket;
}

bool live_lookup(struct live *live, const struct uidrecv_query *query,
		 struct uidrecv_mapping *ret_mapping)
{
	int ret;

	if (!live->reader)
		insist(uidrecv_reader_open(&live->reader, live->table, NULL) ==
			   0,
		       "reader");
	ret = uidrecv_reader_lookup(live->reader, query, 0, ret_mapping);
	insist(ret >= 0, "lookup");
	return ret == 1;
}

const char *live_user(struct live *live, const char *address)
{
	static struct uidrecv_mapping mapping;
	struct uidrecv_query query = {.has_port = false};

	insist(uidrecv_address_parse(address, &query.address) == 0, address);
	return live_lookup(live, &query, &mapping) ? mapping.user : "";
}

struct uidrecv_receiver_stats live_stats(const struct live *live)
{
	struct uidrecv_receiver_stats stats = {.size = sizeof(stats)};

	insist(uidrecv_receiver_get_stats(live->receiver, &stats) == 0,
	       "stats");
	return stats;
}

struct uidrecv_agent_counters live_counters(const struct live_agent *agent)
{
	struct uidrecv_agent_counters counters = {.size = sizeof(counters)};

	insist(uidrecv_agent_get_counters(agent->agent, &counters) == 0,
	       "counters");
	return counters;
}

unsigned int live_count_fds(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned int count = 0;

	insist(directory != NULL, "/proc/self/fd");
	while (readdir(directory))
		count++;
	closedir(directory);
	return count - 3; /* . and .. and its own */
}
