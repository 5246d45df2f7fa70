/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crowd.h"
#include "live.h"

#define TURN_MS 5
#define LOOKUPS_IN_A_TURN 64

static pid_t receiver_pid; /* to end it with this process */

void crowd_insist(bool is_ok, const char *what)
{
	if (is_ok)
		return;
	fprintf(stderr, "crowd: %s: %s\n", what, strerror(errno));
	if (receiver_pid)
		kill(receiver_pid, SIGKILL);
	abort();
}

uint64_t crowd_now_ms(void)
{
	return live_now_ms();
}

static uint32_t index_of(const struct crowd *crowd,
			 const struct crowd_agent *agent)
{
	return (uint32_t)(agent - crowd->agents);
}

static struct uidrecv_system make_system(const struct crowd *crowd,
					 uint32_t index)
{
	struct uidrecv_system system = {
	    .address = uidrecv_address_from_ipv4(0x0a000000 + index),
	    .aliases = {{UINT64_C(0x20010db8) << 32, index + 1}},
	    .aliases_count = 1,
	    .ports = {CROWD_PORT_FIRST, crowd->blocks_count * CROWD_BLOCK_SIZE},
	    .block_size = CROWD_BLOCK_SIZE,
	};

	return system;
}

static struct uidrecv_ports make_ports(uint32_t block)
{
	return (struct uidrecv_ports){
	    (uint16_t)(CROWD_PORT_FIRST + block * CROWD_BLOCK_SIZE),
	    CROWD_BLOCK_SIZE};
}

static uint8_t name_user(char *text, uint32_t index, uint32_t user)
{
	return (uint8_t)sprintf(text, "TS%u\\user%u", index, user);
}

/* --- the receiver --- */

static struct crowd_figures order(struct crowd *crowd, char what)
{
	struct crowd_figures figures = {0};

	crowd_insist(send(crowd->orders, &what, 1, MSG_NOSIGNAL) == 1 &&
			 recv(crowd->orders, &figures, sizeof(figures), 0) ==
			     sizeof(figures),
		     "the receiver does not answer");
	return figures;
}

struct crowd_figures crowd_figures(struct crowd *crowd)
{
	return order(crowd, 'f');
}

void crowd_start(struct crowd *crowd)
{
	int sockets[2];

	crowd_insist(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0,
	    "socketpair");
	fflush(NULL);
	crowd->receiver = fork();
	crowd_insist(crowd->receiver >= 0, "fork");
	if (crowd->receiver == 0) {
		receiver_pid = 0;
		close(sockets[0]);
		crowd_receive(crowd, sockets[1]);
	}
	receiver_pid = crowd->receiver;
	close(sockets[1]);
	crowd->orders = sockets[0];
	(void)crowd_figures(crowd);
}

static void end_receiver(struct crowd *crowd)
{
	close(crowd->orders);
	waitpid(crowd->receiver, NULL, 0);
	crowd->receiver = receiver_pid = 0;
}

void crowd_kill(struct crowd *crowd)
{
	kill(crowd->receiver, SIGKILL);
	end_receiver(crowd);
}

struct crowd_figures crowd_list(struct crowd *crowd, bool has_agents,
				bool has_villains)
{
	FILE *file = fopen(crowd->list, "we");

	crowd_insist(file != NULL, crowd->list);
	for (uint32_t i = 0; has_villains && i < crowd->villains_count; i++)
		fprintf(file, "villain%u.example ::/0 dial=127.0.0.1:%u\n", i,
			crowd->villains[i].port);
	for (uint32_t i = 0; has_agents && i < crowd->agents_count; i++)
		fprintf(
		    file,
		    "ts%u.example 10.0.0.0/8 2001:db8::/32 "
		    "allow=multi-user dial=127.1.%u.%u:%u\n",
		    i, i >> 8, i & 0xff,
		    uidrecv_agent_listener_get_port(crowd->agents[i].listener));
	crowd_insist(fclose(file) == 0, crowd->list);
	return order(crowd, 'l');
}

/* --- lookups --- */

static void tell_wrong(struct crowd *crowd, uint32_t index,
		       const struct uidrecv_query *query, int ret,
		       const struct uidrecv_mapping *mapping)
{
	if (crowd->wrong++ > 10)
		return;
	fprintf(stderr, "crowd: port %u of agent %u: %d, answer %u, user %s\n",
		query->has_port ? query->port : 0, index, ret,
		ret == 1 ? mapping->answer : 0, ret == 1 ? mapping->user : "");
}

static bool is_user(uint32_t index, uint32_t user,
		    const struct uidrecv_mapping *mapping)
{
	char text[UIDRECV_NAME_MAX + 1];

	return user && name_user(text, index, user) == mapping->user_size &&
	       strcmp(text, mapping->user) == 0;
}

static bool is_right(const struct crowd_agent *agent, uint32_t index,
		     const struct crowd_block *block,
		     const struct uidrecv_mapping *mapping)
{
	struct uidrecv_ports ports;

	if (mapping->answer == UIDRECV_ANSWER_UNKNOWN_PORT)
		return agent->system_ticket &&
		       (!block || !block->user || !block->said);
	if (mapping->answer != UIDRECV_ANSWER_USER || !block)
		return false;
	ports = make_ports((uint32_t)(block - agent->blocks));
	return ports.start == mapping->ports.start &&
	       ports.count == mapping->ports.count &&
	       (is_user(index, block->user, mapping) ||
		is_user(index, block->said, mapping));
}

/* A port of the block; of NULL, none of the system's. */
static void look(struct crowd *crowd, const struct crowd_agent *agent,
		 bool is_alias, const struct crowd_block *block, uint16_t port)
{
	uint32_t index = index_of(crowd, agent);
	struct uidrecv_system system = make_system(crowd, index);
	struct uidrecv_query query = {.address = is_alias ? system.aliases[0]
							  : system.address,
				      .has_port = true,
				      .port = port};
	bool is_multi =
	    agent->system_ticket && agent->acked >= agent->system_ticket;
	struct uidrecv_mapping mapping;
	int ret = uidrecv_reader_lookup(crowd->reader, &query, 0, &mapping);

	crowd->lookups++;
	if (ret == 1 ? !is_right(agent, index, block, &mapping)
		     : ret < 0 || is_multi)
		tell_wrong(crowd, index, &query, ret, &mapping);
	query.has_port = false;
	ret = uidrecv_reader_lookup(crowd->reader, &query, 0, &mapping);
	if (ret == 1 ? mapping.answer != UIDRECV_ANSWER_NO_PORT ||
			   !agent->system_ticket
		     : ret < 0 || is_multi)
		tell_wrong(crowd, index, &query, ret, &mapping);
}

static void look_at_block(struct crowd *crowd, const struct crowd_agent *agent,
			  const struct crowd_block *block)
{
	uint16_t first = make_ports((uint32_t)(block - agent->blocks)).start;

	for (int i = 0; i < 2; i++) {
		look(crowd, agent, i, block, first);
		look(crowd, agent, i, block,
		     (uint16_t)(first + CROWD_BLOCK_SIZE - 1));
	}
}

void crowd_look_at_all(struct crowd *crowd)
{
	uint16_t last = make_ports(crowd->blocks_count).start;

	for (uint32_t i = 0; i < crowd->agents_count; i++) {
		const struct crowd_agent *agent = &crowd->agents[i];

		for (uint32_t j = 0; j < crowd->blocks_count; j++)
			look_at_block(crowd, agent, &agent->blocks[j]);
		look(crowd, agent, false, NULL, CROWD_PORT_FIRST - 1);
		look(crowd, agent, true, NULL, last);
	}
}

static uint32_t draw(struct crowd *crowd, uint32_t below)
{
	crowd->seed ^= crowd->seed << 13;
	crowd->seed ^= crowd->seed >> 7;
	crowd->seed ^= crowd->seed << 17;
	return (uint32_t)(crowd->seed >> 20) % below;
}

static void look_at_some(struct crowd *crowd)
{
	for (int i = 0; i < LOOKUPS_IN_A_TURN; i++) {
		const struct crowd_agent *agent =
		    &crowd->agents[draw(crowd, crowd->agents_count)];
		uint32_t block = draw(crowd, crowd->blocks_count);
		uint32_t port =
		    make_ports(block).start + draw(crowd, CROWD_BLOCK_SIZE);

		look(crowd, agent, port & 1, &agent->blocks[block],
		     (uint16_t)port);
	}
}

/* --- the agents --- */

static void open_agent(struct crowd *crowd, struct crowd_agent *agent)
{
	struct uidrecv_agent_listener_options options =
	    UIDRECV_AGENT_LISTENER_OPTIONS_INIT;
	struct uidrecv_agent_options own = UIDRECV_AGENT_OPTIONS_INIT;
	uint32_t index = index_of(crowd, agent);
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = agent};
	char name[32], san[64], file[64], address[32], error[600] = "";

	snprintf(name, sizeof(name), "ts%u.example", index);
	snprintf(san, sizeof(san), "DNS:%s", name);
	certs_make(crowd->certs, &(struct certs_spec){.name = name,
						      .issuer = "ca",
						      .key = "receiver",
						      .san = san});
	snprintf(file, sizeof(file), "%s.pem", name);
	snprintf(address, sizeof(address), "127.1.%u.%u:0", index >> 8,
		 index & 0xff);
	options.address = address;
	options.cert_path = certs_path(crowd->certs, file);
	options.key_path = certs_path(crowd->certs, "receiver-key.pem");
	options.ca_path = certs_path(crowd->certs, "ca.pem");
	crowd_insist(uidrecv_agent_listener_new(&agent->listener, &options,
						error, sizeof(error)) == 0,
		     error);
	own.listener = agent->listener;
	own.receiver_name = "receiver";
	crowd_insist(
	    uidrecv_agent_new(&agent->agent, &own, error, sizeof(error)) == 0,
	    error);
	agent->blocks = calloc(crowd->blocks_count, sizeof(*agent->blocks));
	crowd_insist(agent->blocks && epoll_ctl(crowd->epoll_fd, EPOLL_CTL_ADD,
						uidrecv_agent_listener_get_fd(
						    agent->listener),
						&event) == 0,
		     "epoll");
}

static void take_ack(struct crowd *crowd, struct crowd_agent *agent,
		     uint64_t ticket)
{
	agent->acked = ticket;
	for (uint32_t i = 0; i < crowd->blocks_count; i++) {
		struct crowd_block *block = &agent->blocks[i];

		if (block->user == block->said || block->ticket > ticket)
			continue;
		block->user = block->said;
		crowd->waiting--;
		look_at_block(crowd, agent, block);
	}
}

static void turn_agent(struct crowd *crowd, struct crowd_agent *agent)
{
	struct uidrecv_agent_event event;

	crowd_insist(uidrecv_agent_listener_dispatch(agent->listener) == 0,
		     "dispatch of an agent");
	while (uidrecv_agent_next_event(agent->agent, &event) == 1) {
		switch (event.type) {
		case UIDRECV_AGENT_ACKED:
			take_ack(crowd, agent, event.ticket);
			break;
		case UIDRECV_AGENT_CONNECTED:
			agent->is_connected = true;
			agent->connects++;
			crowd->connected++;
			break;
		case UIDRECV_AGENT_LOST:
			/* Also of a connection that did not come to READY. */
			crowd->connected -= agent->is_connected;
			agent->is_connected = false;
			agent->losts++;
			break;
		default:
			fprintf(stderr, "crowd: agent %u: %s\n",
				index_of(crowd, agent), event.text);
			crowd->rejected++;
		}
	}
}

void crowd_say(struct crowd *crowd, struct crowd_agent *agent, uint32_t block,
	       uint32_t user)
{
	struct crowd_block *said = &agent->blocks[block];
	uint32_t index = index_of(crowd, agent);
	struct uidrecv_record record = {
	    .op = user ? UIDRECV_OP_MAP : UIDRECV_OP_WITHDRAW,
	    .address = make_system(crowd, index).address,
	    .ports = make_ports(block)};

	/* One change at a time, or more answers would be right. */
	crowd_insist(said->user == said->said, "a block that waits");
	if (user)
		record.user_size = name_user(record.user, index, user);
	crowd_insist(
	    uidrecv_agent_queue(agent->agent, &record, &said->ticket) == 0,
	    "queuing");
	agent->last_ticket = said->ticket;
	said->said = user;
	crowd->waiting += said->said != said->user;
}

void crowd_say_all(struct crowd *crowd, struct crowd_agent *agent)
{
	struct uidrecv_system system =
	    make_system(crowd, index_of(crowd, agent));

	crowd_insist(uidrecv_agent_set_system(agent->agent, &system,
					      &agent->system_ticket) == 0 &&
			 uidrecv_agent_snapshot_begin(agent->agent, false) == 0,
		     "a snapshot");
	for (uint32_t i = 0; i < crowd->blocks_count; i++)
		crowd_say(crowd, agent, i, i + 1);
	crowd_insist(uidrecv_agent_snapshot_end(agent->agent) == 0,
		     "a snapshot");
	turn_agent(crowd, agent);
}

void crowd_turn(struct crowd *crowd)
{
	struct epoll_event events[64];
	int count = epoll_wait(crowd->epoll_fd, events, 64, TURN_MS);

	for (int i = 0; i < count; i++)
		turn_agent(crowd, events[i].data.ptr);
	crowd_turn_villains(crowd);
	look_at_some(crowd);
}

/* --- all of it --- */

static void write_names(struct crowd *crowd)
{
	const char *tmp = getenv("TMPDIR");
	FILE *file;

	snprintf(crowd->directory, sizeof(crowd->directory),
		 "%s/uidrecv-crowd-XXXXXX",
		 tmp && strlen(tmp) < 40 ? tmp : "/tmp");
	crowd_insist(mkdtemp(crowd->directory) != NULL, crowd->directory);
	snprintf(crowd->store, sizeof(crowd->store), "%s/db", crowd->directory);
	snprintf(crowd->table, sizeof(crowd->table), "%s/db/table",
		 crowd->directory);
	snprintf(crowd->list, sizeof(crowd->list), "%s/agents",
		 crowd->directory);
	file = fopen(crowd->list, "we");
	crowd_insist(file && fclose(file) == 0, crowd->list);
}

void crowd_init(struct crowd *crowd, uint32_t agents, uint32_t blocks,
		uint32_t villains)
{
	struct rlimit limit;

	*crowd = (struct crowd){.agents_count = agents,
				.blocks_count = blocks,
				.villains_count = villains,
				.seed = 88172645463325252};
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	write_names(crowd);
	crowd->certs = certs_new_basic(NULL, NULL);
	/* Before there is more memory here than the receiver's own. */
	crowd_start(crowd);
	crowd->agents = calloc(agents, sizeof(*crowd->agents));
	crowd->villains = calloc(villains + 1, sizeof(*crowd->villains));
	crowd->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	crowd_insist(crowd->agents && crowd->villains && crowd->epoll_fd >= 0,
		     "memory");
	crowd_open_villains(crowd);
	for (uint32_t i = 0; i < agents; i++)
		open_agent(crowd, &crowd->agents[i]);
	crowd_insist(uidrecv_reader_open(&crowd->reader, crowd->table, NULL) ==
			 0,
		     "the table");
}

void crowd_done(struct crowd *crowd)
{
	end_receiver(crowd);
	uidrecv_reader_close(crowd->reader);
	for (uint32_t i = 0; i < crowd->agents_count; i++) {
		uidrecv_agent_free(crowd->agents[i].agent);
		uidrecv_agent_listener_free(crowd->agents[i].listener);
		free(crowd->agents[i].blocks);
	}
	crowd_close_villains(crowd);
	close(crowd->epoll_fd);
	certs_free(crowd->certs);
	live_remove(crowd->directory);
	free(crowd->agents);
}
