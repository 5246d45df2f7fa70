/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A receiver with its agents, over real sockets, TLS and stores, all in the one
 * thread of the test: live_turn() lets each do what it has to do. What goes
 * wrong here aborts the test.
 */
#ifndef TESTS_LIVE_H
#define TESTS_LIVE_H

#include <criterion/criterion.h>

#include <uidrecv/uidrecv.h>

#include "certs.h"

#define LIVE_AGENTS_MAX 64
#define LIVE_TICKETS_MAX 16384

/* How long a test waits for what must come. */
#define LIVE_PATIENCE_MS 20000

struct live_log {
	char *text; /* all lines, with newlines; NULL: none yet */
	size_t size;
	unsigned int lines[UIDRECV_LOG_DEBUG + 1]; /* by level */
	unsigned int unclean; /* with a byte that is not printable ASCII */
};

struct live_agent {
	struct uidrecv_agent *agent;
	int result; /* of the last dispatch */
	/* Events, by type; those of REJECTED also by ticket. */
	unsigned int events[UIDRECV_AGENT_RESYNC + 1];
	uint16_t codes[LIVE_TICKETS_MAX];
	uint8_t told[LIVE_TICKETS_MAX];
	uint64_t system_ticket; /* that may be refused again */
	uint64_t acked;		/* ticket */
	uint64_t acked_serial;
	struct uidrecv_agent_event last; /* LOST or REFUSED */
	struct uidrecv_agent_event resync;
};

struct live {
	char directory[256];
	char store[300], table[300];
	struct certs *certs;
	struct uidrecv_receiver_options options; /* for live_start() */
	char rights[8192];			 /* likewise */
	struct uidrecv_receiver *receiver;	 /* NULL: there is none */
	bool is_frozen;				 /* does not dispatch */
	int result;				 /* of the last dispatch */
	uint16_t port; /* of 127.0.0.1; kept by a later start */
	char address[32];
	struct live_log log;
	struct live_agent *agents[LIVE_AGENTS_MAX];
	size_t agents_count;
	struct uidrecv_reader *reader;
	void (*hook)(void *user); /* in each turn, or NULL */
	void *hook_user;
};

/*
 * A directory, certificates, and options; no receiver yet. The agents, up to a
 * NULL, may speak for 10.0.0.0/8 and 2001:db8::/32.
 */
void live_init(struct live *live, const char *agent, ...)
    __attribute__((sentinel));
/* Frees all, and removes the directory. */
void live_done(struct live *live);

/* Another agent's certificate and line in the rights. */
void live_add_name(struct live *live, const char *name);

/* A receiver by live->options that has the list live->rights and listens. */
void live_start(struct live *live);
void live_stop(struct live *live);
/* The same without listening. */
void live_open(struct live *live);
int live_set_agents(struct live *live, const char *rights);

struct uidrecv_agent_options live_agent_options(struct live *live,
						const char *name);
/* NULL options: those above. */
struct live_agent *live_agent(struct live *live, const char *name,
			      const struct uidrecv_agent_options *options);
void live_agent_end(struct live *live, struct live_agent *agent);

/* All do what they have to do; waits a little if that is nothing. */
void live_turn(struct live *live);
void live_turns(struct live *live, uint64_t ms);
uint64_t live_now_ms(void);

#define live_await(live, condition)                                            \
	do {                                                                   \
		uint64_t live_end_ = live_now_ms() + LIVE_PATIENCE_MS;         \
		while (!(condition)) {                                         \
			cr_assert(live_now_ms() < live_end_,                   \
				  "in vain for " #condition "; log:\n%s",      \
				  (live)->log.text ? (live)->log.text : "");   \
			live_turn(live);                                       \
		}                                                              \
	} while (0)

struct uidrecv_record live_record(uint16_t op, const char *address,
				  const char *user);
/* Returns the ticket. */
uint64_t live_say(struct live_agent *agent, uint16_t op, const char *address,
		  const char *user);
#define live_map(agent, address, user)                                         \
	live_say(agent, UIDRECV_OP_MAP, address, user)

/* Asks the table; writes the mapping only if there is one. */
bool live_lookup(struct live *live, const struct uidrecv_query *query,
		 struct uidrecv_mapping *ret_mapping);
/* The user that it says, "" for nobody; valid until the next call. */
const char *live_user(struct live *live, const char *address);

struct uidrecv_receiver_stats live_stats(const struct live *live);
struct uidrecv_agent_counters live_counters(const struct live_agent *agent);

/* The callback of a live_log. */
void live_log(void *user, enum uidrecv_log_level level, const char *message);
bool live_log_has(const struct live_log *log, const char *text);

/* How many descriptors this process has. */
unsigned int live_count_fds(void);
/* Removes a directory and all in it. */
void live_remove(const char *directory);

#endif
