/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many Terminal Server agents in this process, each with a listener, a
 * certificate, a system and blocks of its own, and in another process the
 * receiver that dials them. This process reads the table meanwhile, and knows
 * at each lookup which answers are right. What goes wrong here ends the
 * program.
 */
#ifndef TESTS_TS_CROWD_H
#define TESTS_TS_CROWD_H

#include <sys/types.h>

#include <uidrecv/uidrecv.h>

#include "certs.h"

#define CROWD_PATIENCE_MS 60000
#define CROWD_BLOCK_SIZE 200
#define CROWD_PORT_FIRST 20000
#define CROWD_BLOCKS_MAX ((65536 - CROWD_PORT_FIRST) / CROWD_BLOCK_SIZE)

/* Who listens and is no agent; each has another manner, in this order. */
enum crowd_manner {
	CROWD_SILENT,  /* takes the connection, and says nothing */
	CROWD_SLOW,    /* now and then a byte of a handshake */
	CROWD_ENDLESS, /* garbage for ever */
	CROWD_RESETS,  /* at once */
	CROWD_MANNERS,
};

struct crowd_villain {
	int listener;
	uint16_t port;
	int fd; /* the receiver's last connection, or -1 */
	unsigned int taken;
	size_t sent;
	uint64_t sent_ms;
};

/* Users are numbers, 0: nobody. While they differ either may be the answer. */
struct crowd_block {
	uint32_t user, said;
	uint64_t ticket; /* of what was said */
};

struct crowd_agent {
	struct uidrecv_agent_listener *listener;
	struct uidrecv_agent *agent;
	struct crowd_block *blocks;
	uint64_t system_ticket, last_ticket, acked;
	bool is_connected;
	unsigned int connects, losts;
};

/* What is known of the receiver. */
struct crowd_figures {
	struct uidrecv_receiver_stats stats;
	uint64_t cpu_us;
	uint64_t anon_bytes; /* of its memory, all but mapped files */
	uint64_t heap_bytes;
	uint64_t table_bytes; /* that the table's file takes */
	unsigned int fds;
	uint64_t attempts_most; /* of an agent, since it is on the list */
	/* The fewest failures of a villain; UINT64_MAX: there is none. */
	uint64_t failures_least;
	/* Attempts of villains that no wait of its length came before. */
	uint64_t attempts_unbound;
};

struct crowd {
	char directory[64], store[80], table[80], list[80];
	struct certs *certs;
	uint32_t agents_count, blocks_count, villains_count;
	struct crowd_agent *agents;
	struct crowd_villain *villains;
	pid_t receiver; /* 0: none */
	int orders;	/* to it, and its answers */
	int epoll_fd;
	struct uidrecv_reader *reader;
	uint64_t seed, end_ms;
	uint64_t connected, rejected; /* agents now; records */
	uint64_t waiting; /* blocks that have said and user differ */
	uint64_t lookups, wrong;
};

/* Makes the receiver, which has an empty list, and the agents. */
void crowd_init(struct crowd *crowd, uint32_t agents, uint32_t blocks,
		uint32_t villains);
void crowd_done(struct crowd *crowd);

/* The receiver, by itself after a crowd_kill(). */
void crowd_start(struct crowd *crowd);
/* The receiver has these on its list, and dials them. */
struct crowd_figures crowd_list(struct crowd *crowd, bool has_agents,
				bool has_villains);
struct crowd_figures crowd_figures(struct crowd *crowd);
/* SIGKILL. */
void crowd_kill(struct crowd *crowd);

/* A snapshot of its system and all its blocks, each for a user of its own. */
void crowd_say_all(struct crowd *crowd, struct crowd_agent *agent);
/* Gives a block to a user; 0: takes it back. */
void crowd_say(struct crowd *crowd, struct crowd_agent *agent, uint32_t block,
	       uint32_t user);

/* Each does what it has to do, some are looked up; waits a little if idle. */
void crowd_turn(struct crowd *crowd);
uint64_t crowd_now_ms(void);

/* Looks all blocks up, by each address, at both ends. */
void crowd_look_at_all(struct crowd *crowd);

#define crowd_await(crowd, condition)                                          \
	do {                                                                   \
		(crowd)->end_ms = crowd_now_ms() + CROWD_PATIENCE_MS;          \
		while (!(condition)) {                                         \
			crowd_insist(crowd_now_ms() < (crowd)->end_ms,         \
				     "in vain for " #condition);               \
			crowd_turn(crowd);                                     \
		}                                                              \
	} while (0)

/* Ends the program with what. */
void crowd_insist(bool is_ok, const char *what);

/* For crowd.c: what the other process does. Does not return. */
_Noreturn void crowd_receive(const struct crowd *crowd, int orders);
/* For crowd.c: opens their listeners; does what they do. */
void crowd_open_villains(struct crowd *crowd);
void crowd_turn_villains(struct crowd *crowd);
void crowd_close_villains(struct crowd *crowd);

#endif
