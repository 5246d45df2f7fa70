/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A listener, the agents of two receivers, and these: sinks that dial.
 */
#ifndef INTEGRATION_SCENE_H
#define INTEGRATION_SCENE_H

#include "agent-private.h"
#include "sink.h"

#define SINKS_MAX 2

struct scene {
	struct live live;
	struct uidrecv_agent_listener *listener;
	struct live_agent *agents[SINKS_MAX];
	struct sink sinks[SINKS_MAX];
};

static const char *const names[SINKS_MAX] = {"fw1.example", "fw2.example"};

static inline struct uidrecv_agent_listener_options listener_options(
    struct live *live)
{
	struct uidrecv_agent_listener_options options =
	    UIDRECV_AGENT_LISTENER_OPTIONS_INIT;

	options.address = "127.0.0.1:0";
	options.cert_path = certs_path(live->certs, "ts.example.pem");
	options.key_path = certs_path(live->certs, "ts.example-key.pem");
	options.ca_path = certs_path(live->certs, "ca.pem");
	options.log = live_log;
	options.log_user = &live->log;
	return options;
}

static inline struct uidrecv_agent_options agent_options(struct scene *scene,
							 const char *name)
{
	struct uidrecv_agent_options options = UIDRECV_AGENT_OPTIONS_INIT;

	options.listener = scene->listener;
	options.receiver_name = name;
	options.log = live_log;
	options.log_user = &scene->live.log;
	return options;
}

static inline void turn_sinks(void *user)
{
	struct scene *scene = user;

	for (size_t i = 0; i < SINKS_MAX; i++)
		sink_turn(&scene->sinks[i]);
}

static inline void open_scene(struct scene *scene, uint32_t handshakes_max,
			      uint32_t connect_ms)
{
	struct live *live = &scene->live;
	struct uidrecv_agent_listener_options options;
	char error[600] = "";

	live_init(live, "ts.example", names[0], names[1], "other.example",
		  NULL);
	options = listener_options(live);
	options.handshakes_max = handshakes_max;
	options.connect_ms = connect_ms;
	cr_assert_eq(uidrecv_agent_listener_new(&scene->listener, &options,
						error, sizeof(error)),
		     0, "%s", error);
	live->port = uidrecv_agent_listener_get_port(scene->listener);
	for (size_t i = 0; i < SINKS_MAX; i++) {
		struct uidrecv_agent_options agent =
		    agent_options(scene, names[i]);

		scene->agents[i] = live_agent(live, names[i], &agent);
		sink_init_dialling(&scene->sinks[i], live, names[i]);
	}
	live->hook = turn_sinks;
	live->hook_user = scene;
}

static inline void close_scene(struct scene *scene)
{
	while (scene->live.agents_count)
		live_agent_end(&scene->live, scene->live.agents[0]);
	uidrecv_agent_listener_free(scene->listener);
	for (size_t i = 0; i < SINKS_MAX; i++)
		sink_done(&scene->sinks[i]);
	live_done(&scene->live);
}

static inline bool is_connected(const struct live_agent *agent)
{
	return live_counters(agent).is_connected;
}

static inline void connect_both(struct scene *scene)
{
	for (size_t i = 0; i < SINKS_MAX; i++)
		sink_dial(&scene->sinks[i]);
	live_await(&scene->live, is_connected(scene->agents[0]) &&
				     is_connected(scene->agents[1]));
}

/* The records of the session, in serials that have no gap. */
static inline uint64_t count_records(const struct sink *sink)
{
	uint64_t count = 0;

	for (uint64_t serial = 1; serial <= sink->last; serial++) {
		cr_assert(sink->said[serial].type);
		count += sink->said[serial].records;
	}
	return count;
}

#endif
