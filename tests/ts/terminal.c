/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>

#include "terminal.h"

static struct uidrecv_address address_of(const char *text)
{
	struct uidrecv_address address;

	cr_assert_eq(uidrecv_address_parse(text, &address), 0, "%s", text);
	return address;
}

static void listen_as(struct terminal *terminal, const char *name)
{
	struct uidrecv_agent_listener_options options =
	    UIDRECV_AGENT_LISTENER_OPTIONS_INIT;
	struct live *live = terminal->live;
	char file[300], error[600] = "";

	options.address = "127.0.0.1:0";
	snprintf(file, sizeof(file), "%s.pem", name);
	options.cert_path = certs_path(live->certs, file);
	snprintf(file, sizeof(file), "%s-key.pem", name);
	options.key_path = certs_path(live->certs, file);
	options.ca_path = certs_path(live->certs, "ca.pem");
	cr_assert_eq(uidrecv_agent_listener_new(&terminal->listener, &options,
						error, sizeof(error)),
		     0, "%s", error);
}

void terminal_open(struct terminal *terminal, struct live *live,
		   const char *name)
{
	struct uidrecv_agent_options options = UIDRECV_AGENT_OPTIONS_INIT;

	*terminal = (struct terminal){
	    .live = live,
	    .system = {.address = address_of("10.0.0.1"),
		       .aliases = {address_of("10.0.0.2")},
		       .aliases_count = 1,
		       .ports = {20000, 40000},
		       .block_size = 500},
	};
	listen_as(terminal, name);
	options.listener = terminal->listener;
	options.receiver_name = "receiver";
	terminal->agent = live_agent(live, name, &options);
}

void terminal_close(struct terminal *terminal)
{
	live_agent_end(terminal->live, terminal->agent);
	uidrecv_agent_listener_free(terminal->listener);
}

void terminal_allow(const struct terminal *terminal, const char *name,
		    const char *more, char *line, size_t size)
{
	snprintf(line, size,
		 "%s 10.0.0.0/8 2001:db8::/32 dial=127.0.0.1:%u %s\n", name,
		 uidrecv_agent_listener_get_port(terminal->listener), more);
}

uint64_t terminal_set_system(struct terminal *terminal)
{
	struct live_agent *agent = terminal->agent;

	cr_assert_eq(uidrecv_agent_set_system(agent->agent, &terminal->system,
					      &agent->system_ticket),
		     0);
	return agent->system_ticket;
}

struct uidrecv_record terminal_record(const struct terminal *terminal,
				      uint16_t op, const char *user,
				      uint32_t start)
{
	struct uidrecv_record record = live_record(op, "10.0.0.1", user);

	record.address = terminal->system.address;
	record.ports = (struct uidrecv_ports){(uint16_t)start,
					      terminal->system.block_size};
	return record;
}

uint64_t terminal_queue(struct terminal *terminal,
			const struct uidrecv_record *record)
{
	uint64_t ticket = 0;

	cr_assert_eq(
	    uidrecv_agent_queue(terminal->agent->agent, record, &ticket), 0);
	return ticket;
}

uint64_t terminal_map(struct terminal *terminal, const char *user,
		      uint32_t start)
{
	struct uidrecv_record record =
	    terminal_record(terminal, UIDRECV_OP_MAP, user, start);

	return terminal_queue(terminal, &record);
}

bool terminal_is_heard(const struct terminal *terminal)
{
	struct uidrecv_agent_counters counters = live_counters(terminal->agent);

	return counters.queued_bytes == 0 && counters.last_serial > 0;
}

const char *terminal_asked(struct live *live, const char *address, int port,
			   struct uidrecv_mapping *ret_mapping)
{
	static struct uidrecv_mapping mapping;
	struct uidrecv_query query = {.address = address_of(address),
				      .has_port = port >= 0,
				      .port = (uint16_t)port};

	if (!live_lookup(live, &query, &mapping))
		return "";
	if (ret_mapping)
		*ret_mapping = mapping;
	if (mapping.answer == UIDRECV_ANSWER_NO_PORT)
		return "no port";
	if (mapping.answer == UIDRECV_ANSWER_UNKNOWN_PORT)
		return "unknown port";
	return mapping.user;
}
