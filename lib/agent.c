/* SPDX-License-Identifier: BSD-2-Clause */
/* The agent's public side. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "agent-private.h"
#include "clock.h"
#include "options.h"
#include "words.h"

/* The first release had all fields up to the last one of today. */
#define OPTIONS_SMALLEST sizeof(struct uidrecv_agent_options)

#define HOST_MAX 256

static void set_default(uint32_t *field, uint32_t value)
{
	if (!*field)
		*field = value;
}

/* Does it say where the receiver is, or who comes? */
static int check_where(const struct uidrecv_agent_options *options)
{
	if (!options->listener)
		return options->receiver && options->cert_path &&
			       options->key_path && options->ca_path
			   ? 0
			   : -EINVAL;
	if (options->receiver || options->cert_path || options->key_path ||
	    options->ca_path || options->crl_path || !options->receiver_name)
		return -EINVAL;
	return ur_agent_listener_check(options->listener,
				       options->receiver_name);
}

static int load_options(struct uidrecv_agent *agent,
			const struct uidrecv_agent_options *given)
{
	struct uidrecv_agent_options *options = &agent->options;
	int error =
	    ur_options_load(options, sizeof(*options), OPTIONS_SMALLEST, given);

	if (error)
		return error;
	if (!options->queue_max_bytes)
		options->queue_max_bytes = 64u << 20;
	set_default(&options->batch_max, UR_RECORDS_MAX);
	set_default(&options->hold_min_s, 3);
	set_default(&options->hold_max_s, 300);
	set_default(&options->connect_ms, 10000);
	if (options->batch_max > UR_RECORDS_MAX ||
	    options->hold_min_s > options->hold_max_s ||
	    options->hold_max_s > UINT16_MAX)
		return -EINVAL;
	return check_where(options);
}

static int copy_texts(struct uidrecv_agent *agent)
{
	struct uidrecv_agent_options *options = &agent->options;
	const char *name = options->receiver_name;
	const char *software = options->software;
	char host[HOST_MAX] = "";

	if (options->receiver && !ur_words_endpoint(options->receiver, host,
						    sizeof(host), &agent->port))
		return -EINVAL;
	agent->receiver = strdup(options->receiver ? options->receiver : name);
	agent->host = strdup(host);
	agent->receiver_name = strdup(name ? name : host);
	agent->software = strdup(software ? software : "libuidrecv");
	if (!agent->receiver || !agent->host || !agent->receiver_name ||
	    !agent->software)
		return -ENOMEM;
	return 0;
}

static int open_connecting(struct uidrecv_agent *agent, char *error,
			   size_t error_size)
{
	struct ur_tls_files files = {
	    .cert = agent->options.cert_path,
	    .key = agent->options.key_path,
	    .ca = agent->options.ca_path,
	    .crl = agent->options.crl_path,
	};
	int ret = ur_loop_init(agent->loop);

	if (!ret)
		ret = ur_agent_init_dialer(agent);
	if (!ret)
		ret = ur_tls_context_new(&agent->tls, UR_TLS_CLIENT, &files,
					 error, error_size);
	/* The first dispatch connects. */
	if (!ret)
		ur_loop_wake(agent->loop);
	return ret;
}

static int open_all(struct uidrecv_agent *agent, char *error, size_t error_size)
{
	struct uidrecv_agent_listener *listener = agent->options.listener;
	int ret = listener ? 0 : open_connecting(agent, error, error_size);

	if (ret)
		return ret;
	agent->clock_base_us = ur_clock_wall_us() - ur_clock_boot_us();
	while (!agent->session_id)
		if (getrandom(&agent->session_id, sizeof(agent->session_id),
			      0) < 0)
			return -errno;
	if (listener)
		ur_agent_listener_add(listener, agent);
	return 0;
}

int uidrecv_agent_new(struct uidrecv_agent **ret_agent,
		      const struct uidrecv_agent_options *options, char *error,
		      size_t error_size)
{
	struct uidrecv_agent *agent;
	int ret;

	if (error && error_size)
		*error = '\0';
	if (!ret_agent || !options)
		return -EINVAL;
	agent = calloc(1, sizeof(*agent));
	if (!agent)
		return -ENOMEM;
	agent->loop = &agent->own_loop;
	agent->own_loop = (struct ur_loop)UR_LOOP_NONE;
	agent->pid = getpid();
	agent->events_last = &agent->events;
	ret = load_options(agent, options);
	if (!ret) {
		ret = copy_texts(agent);
		if (ret == -EINVAL && error && error_size)
			snprintf(error, error_size,
				 "the receiver \"%s\" is not HOST:PORT or "
				 "[IPV6]:PORT",
				 options->receiver);
	}
	agent->log = (struct ur_log){.fn = agent->options.log,
				     .user = agent->options.log_user};
	agent->capabilities = UINT64_MAX;
	agent->outbox.batch_max = agent->options.batch_max;
	agent->outbox.body_max = 65536 - UR_UPDATE_SPARE;
	if (!ret)
		ret = open_all(agent, error, error_size);
	if (ret) {
		if (error && error_size && !*error)
			snprintf(error, error_size, "%s",
				 uidrecv_strerror(ret));
		uidrecv_agent_free(agent);
		return ret;
	}
	*ret_agent = agent;
	return 0;
}

static void free_events(struct uidrecv_agent *agent)
{
	struct ur_agent_event *next;

	for (struct ur_agent_event *event = agent->events; event;
	     event = next) {
		next = event->next;
		free(event);
	}
}

void uidrecv_agent_free(struct uidrecv_agent *agent)
{
	if (!agent)
		return;
	if (agent->pid != getpid())
		ur_loop_disown(agent->loop);
	agent->conn = NULL;
	while (agent->conns)
		ur_conn_free(agent->conns);
	if (agent->options.listener)
		ur_agent_listener_remove(agent->options.listener, agent);
	ur_outbox_done(&agent->outbox);
	ur_tls_context_unref(agent->tls);
	ur_dialer_done(&agent->dialer);
	ur_resolver_done(&agent->resolver);
	ur_loop_done(&agent->own_loop);
	free_events(agent);
	free(agent->host);
	free(agent->receiver_name);
	free(agent->software);
	free(agent->receiver);
	free(agent);
}

uint64_t uidrecv_agent_now_us(const struct uidrecv_agent *agent)
{
	return ur_clock_boot_us() + agent->clock_base_us;
}

static bool record_is_sound(const struct uidrecv_record *record)
{
	if (record->ports.count && !ur_agent_check_ports(record->ports))
		return false;
	switch (record->op) {
	case UIDRECV_OP_MAP:
		return record->user_size > 0;
	case UIDRECV_OP_REFRESH:
		return !record->has_event_time && !record->has_token;
	case UIDRECV_OP_LOGOUT:
		return !record->lifetime_s;
	case UIDRECV_OP_WITHDRAW:
		return !record->user_size && !record->has_event_time &&
		       !record->has_token && !record->lifetime_s;
	default:
		return false;
	}
}

int ur_agent_may_queue(const struct uidrecv_agent *agent, uint64_t capabilities)
{
	if (!agent || agent->is_finishing)
		return -EINVAL;
	if (agent->pid != getpid())
		return UIDRECV_E_FORKED;
	if (agent->refused)
		return agent->refused;
	return capabilities & ~agent->capabilities ? -EOPNOTSUPP : 0;
}

int uidrecv_agent_queue(struct uidrecv_agent *agent,
			const struct uidrecv_record *record,
			uint64_t *ret_ticket)
{
	int error;

	if (!agent || !record || !record_is_sound(record))
		return -EINVAL;
	error = ur_agent_may_queue(
	    agent, record->ports.count ? UR_CAPABILITY_PORTS : 0);
	if (error)
		return error;
	if (agent->outbox.bytes >= agent->options.queue_max_bytes)
		return UIDRECV_E_FULL;
	error =
	    ur_outbox_add(&agent->outbox, record, uidrecv_agent_now_us(agent));
	if (!error && ret_ticket)
		*ret_ticket = agent->outbox.ticket;
	return error;
}

int uidrecv_agent_get_fd(const struct uidrecv_agent *agent)
{
	return agent ? agent->loop->epoll_fd : -EINVAL;
}

int ur_agent_turn(struct uidrecv_agent *agent)
{
	if (agent->is_finishing && !agent->outbox.first) {
		if (agent->conn)
			ur_conn_bye(agent->conn, UIDRECV_BYE_SHUTDOWN, NULL);
		if (ur_agent_has_finished(agent))
			return -ESHUTDOWN;
	} else if (!agent->options.listener && !agent->conn &&
		   !agent->refused && !ur_dialer_is_busy(&agent->dialer)) {
		ur_dialer_begin(&agent->dialer);
	}
	ur_agent_push(agent);
	return agent->refused;
}

int uidrecv_agent_dispatch(struct uidrecv_agent *agent)
{
	int ret;

	if (!agent)
		return -EINVAL;
	if (agent->pid != getpid())
		return UIDRECV_E_FORKED;
	if (agent->options.listener) {
		(void)!uidrecv_agent_listener_dispatch(agent->options.listener);
		return ur_agent_has_finished(agent) ? -ESHUTDOWN : 0;
	}
	ur_loop_poll(agent->loop);
	ur_loop_run_timers(agent->loop);
	ret = ur_agent_turn(agent);
	ur_loop_arm(agent->loop);
	return ret;
}

void ur_agent_tell(struct uidrecv_agent *agent,
		   const struct uidrecv_agent_event *event)
{
	struct ur_agent_event *copy = malloc(sizeof(*copy));

	if (!copy) {
		ur_log(&agent->log, UIDRECV_LOG_ERROR,
		       "no memory: an event of type %u was lost", event->type);
		return;
	}
	copy->next = NULL;
	copy->event = *event;
	*agent->events_last = copy;
	agent->events_last = &copy->next;
}

int uidrecv_agent_next_event(struct uidrecv_agent *agent,
			     struct uidrecv_agent_event *ret_event)
{
	struct ur_agent_event *event;

	if (!agent || !ret_event)
		return -EINVAL;
	event = agent->events;
	if (!event)
		return 0;
	*ret_event = event->event;
	agent->events = event->next;
	if (!agent->events)
		agent->events_last = &agent->events;
	free(event);
	return 1;
}

void uidrecv_agent_finish(struct uidrecv_agent *agent)
{
	if (!agent)
		return;
	agent->is_finishing = true;
	ur_loop_wake(agent->loop);
}

int uidrecv_agent_get_counters(const struct uidrecv_agent *agent,
			       struct uidrecv_agent_counters *ret_counters)
{
	struct uidrecv_agent_counters counters;

	if (!agent || !ret_counters || ret_counters->size < sizeof(size_t))
		return -EINVAL;
	counters = (struct uidrecv_agent_counters){
	    .is_connected = agent->is_open,
	    .attempts = agent->dialer.attempts,
	    .retry_ms =
		ur_dialer_get_wait_us(&agent->dialer, ur_clock_boot_us()) /
		1000,
	    .connects = agent->connects,
	    .queued_bytes = agent->outbox.bytes,
	    .queued_records = agent->outbox.records,
	    .last_serial = agent->outbox.serial,
	    .acked_serial = agent->outbox.acked,
	    .resyncs = agent->resyncs,
	    .is_snapshot_open = agent->outbox.is_snapshot_open,
	};
	ur_options_give(ret_counters, &counters, sizeof(counters));
	return 0;
}
