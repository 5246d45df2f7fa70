/* SPDX-License-Identifier: BSD-2-Clause */
/* Agents that listen: whose receiver connects, again, or beside itself. */
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scene.h"

Test(agent_listen, each_receiver_has_its_own_progress)
{
	static struct scene scene;
	struct live_agent **agents = scene.agents;
	uint64_t tickets[SINKS_MAX];

	open_scene(&scene, 0, 0);
	scene.sinks[1].is_silent = true;
	connect_both(&scene);
	for (size_t i = 0; i < SINKS_MAX; i++) {
		live_map(agents[i], "10.0.0.1", "alice");
		tickets[i] = live_map(agents[i], "10.0.0.2", "bob");
	}
	live_await(&scene.live,
		   agents[0]->acked == tickets[0] && scene.sinks[1].last == 1);
	cr_expect_eq(agents[1]->acked, 0);
	cr_expect_eq(live_counters(agents[0]).queued_records, 0);
	cr_expect_eq(live_counters(agents[1]).queued_records, 2);
	sink_ack(&scene.sinks[1], 1);
	live_await(&scene.live, agents[1]->acked == tickets[1]);
	cr_expect_neq(scene.sinks[0].session_id, scene.sinks[1].session_id);
	cr_expect_eq(scene.sinks[0].peer_capabilities, UR_CAPABILITY_SNAPSHOT);
	close_scene(&scene);
}

/* What is queued before anybody has come waits. */
Test(agent_listen, sends_again_what_was_not_acknowledged)
{
	static struct scene scene;
	struct live_agent **agents = scene.agents;
	struct sink *sink = &scene.sinks[0];
	uint64_t ticket = 0;

	open_scene(&scene, 0, 0);
	live_map(agents[0], "10.0.0.1", "alice");
	live_turns(&scene.live, 20);
	sink->is_silent = true;
	sink_dial(sink);
	live_await(&scene.live, sink->last == 1);
	sink_cut(sink);
	live_await(&scene.live, agents[0]->events[UIDRECV_AGENT_LOST] == 1);
	cr_expect_not(is_connected(agents[0]));
	cr_expect_eq(live_counters(agents[0]).retry_ms, 0);
	for (int i = 0; i < 3; i++)
		ticket = live_map(agents[0], "10.0.0.2", "bob");
	sink->is_silent = false;
	sink_dial(sink);
	live_await(&scene.live, agents[0]->acked == ticket);
	cr_expect_eq(sink->sessions, 1);
	cr_expect_eq(count_records(sink), 4);
	cr_expect_eq(live_counters(agents[0]).attempts, 2);
	cr_expect_eq(live_counters(agents[0]).connects, 2);
	cr_expect_eq(agents[0]->result, 0);
	close_scene(&scene);
}

/* The firewall comes again before we know that its connection is broken. */
Test(agent_listen, later_connection_counts)
{
	static struct scene scene;
	struct live_agent *agent = scene.agents[0];
	struct uidrecv_agent_event event;
	struct sink *sink = &scene.sinks[0];
	struct ur_conn *former;
	uint64_t ticket;

	open_scene(&scene, 0, 0);
	agent = scene.agents[0];
	sink->is_silent = true;
	sink_dial(sink);
	live_await(&scene.live, is_connected(agent));
	ticket = live_map(agent, "10.0.0.1", "alice");
	live_await(&scene.live, sink->last == 1);
	former = sink->conn;
	sink_dial(sink);
	/* Events as they come, one by one. */
	while (agent->agent->connects == 1) {
		sink_turn(sink);
		cr_assert_eq(uidrecv_agent_listener_dispatch(scene.listener),
			     0);
	}
	cr_assert_eq(uidrecv_agent_next_event(agent->agent, &event), 1);
	cr_expect_eq(event.type, UIDRECV_AGENT_LOST);
	cr_expect_eq(event.code, 0);
	cr_assert_eq(uidrecv_agent_next_event(agent->agent, &event), 1);
	cr_expect_eq(event.type, UIDRECV_AGENT_CONNECTED);
	cr_expect_eq(uidrecv_agent_next_event(agent->agent, &event), 0);
	cr_expect_eq(former->session.bye_received, UIDRECV_BYE_REPLACED);
	sink->is_silent = false;
	live_await(&scene.live, sink->hellos == 2 && sink->conn != former);
	ur_session_ack(&sink->conn->session, 1, sink->loop.now_us);
	live_await(&scene.live, agent->acked == ticket);
	cr_expect(is_connected(agent));
	close_scene(&scene);
}

/* A BYE that is final for who connects is not for who is waited for. */
Test(agent_listen, receiver_may_always_come_again)
{
	static struct scene scene;
	struct live_agent *agent;
	struct sink *sink = &scene.sinks[0];
	uint64_t ticket;

	open_scene(&scene, 0, 0);
	agent = scene.agents[0];
	sink_dial(sink);
	live_await(&scene.live, is_connected(agent));
	ur_conn_bye(sink->conn, UIDRECV_BYE_NOT_AUTHORIZED, NULL);
	live_await(&scene.live, agent->events[UIDRECV_AGENT_LOST]);
	cr_expect_eq(agent->last.code, UIDRECV_BYE_NOT_AUTHORIZED);
	cr_expect_eq(agent->events[UIDRECV_AGENT_REFUSED], 0);
	cr_expect_eq(agent->result, 0);
	ticket = live_map(agent, "10.0.0.1", "alice");
	sink_dial(sink);
	live_await(&scene.live, agent->acked == ticket);
	close_scene(&scene);
}

Test(agent_listen, finishes_for_each)
{
	static struct scene scene;
	struct live *live = &scene.live;
	struct live_agent **agents = scene.agents;
	struct uidrecv_record record =
	    live_record(UIDRECV_OP_MAP, "10.0.0.1", "alice");

	open_scene(&scene, 0, 0);
	cr_expect_eq(uidrecv_agent_listener_dispatch(scene.listener), 0);
	scene.sinks[1].is_silent = true;
	connect_both(&scene);
	for (size_t i = 0; i < SINKS_MAX; i++) {
		live_map(agents[i], "10.0.0.1", "alice");
		uidrecv_agent_finish(agents[i]->agent);
		cr_expect_eq(
		    uidrecv_agent_queue(agents[i]->agent, &record, NULL),
		    -EINVAL);
	}
	live_await(live, agents[0]->result == -ESHUTDOWN);
	cr_expect_eq(agents[0]->acked, 1);
	cr_expect_eq(agents[1]->result, 0);
	cr_expect_eq(uidrecv_agent_listener_dispatch(scene.listener), 0);
	/* It has nothing more to say. */
	sink_dial(&scene.sinks[0]);
	live_await(live, scene.sinks[0].error == UIDRECV_E_CLOSED &&
			     !scene.sinks[0].conns);
	cr_expect_eq(scene.sinks[0].hellos, 1);
	/* The other one may come again for what is left. */
	sink_cut(&scene.sinks[1]);
	live_await(live, !is_connected(agents[1]));
	scene.sinks[1].is_silent = false;
	sink_dial(&scene.sinks[1]);
	live_await(live, agents[1]->result == -ESHUTDOWN);
	cr_expect_eq(agents[1]->acked, 1);
	live_await(live, uidrecv_agent_listener_dispatch(scene.listener) ==
			     -ESHUTDOWN);
	close_scene(&scene);
}

Test(agent_listen, fifty_reconnections_lose_nothing)
{
	static struct scene scene;
	struct live *live = &scene.live;
	struct uidrecv_record record =
	    live_record(UIDRECV_OP_MAP, "10.0.0.1", "alice");
	struct live_agent *agent;
	struct sink *sink = &scene.sinks[0];
	uint64_t ticket = 0;

	open_scene(&scene, 0, 0);
	agent = scene.agents[0];
	sink_dial(&scene.sinks[1]);
	for (unsigned int i = 1; i <= 50; i++) {
		/* Some are cut at a serial, some come beside the former. */
		sink->cut_at = i % 3 ? sink->last + 1 + i % 2 : 0;
		sink->is_cut_late = i % 2;
		sink_dial(sink);
		live_await(live, sink->hellos >= i);
		for (int k = 0; k < 4; k++, record.address.lo++) {
			cr_assert_eq(
			    uidrecv_agent_queue(agent->agent, &record, &ticket),
			    0);
			live_turn(live);
		}
		if (i % 3 == 1)
			live_await(live, !sink->cut_at);
	}
	sink->cut_at = 0;
	sink_dial(sink);
	live_await(live, agent->acked == ticket);
	cr_expect_eq(ticket, 200);
	cr_expect_eq(count_records(sink), ticket);
	cr_expect_eq(sink->sessions, 1);
	cr_expect_geq(agent->events[UIDRECV_AGENT_CONNECTED], 50);
	cr_expect_eq(scene.agents[1]->events[UIDRECV_AGENT_LOST], 0);
	close_scene(&scene);
}

Test(agent_listen, S25_child_of_a_fork_is_refused)
{
	static struct scene scene;
	struct uidrecv_agent_options options;
	struct uidrecv_agent *agent;
	uint64_t ticket;
	int status = 0;
	pid_t child;

	open_scene(&scene, 0, 0);
	connect_both(&scene);
	child = fork();
	if (!child) {
		options = agent_options(&scene, "third.example");
		status = uidrecv_agent_listener_dispatch(scene.listener) !=
			     UIDRECV_E_FORKED ||
			 uidrecv_agent_dispatch(scene.agents[0]->agent) !=
			     UIDRECV_E_FORKED ||
			 uidrecv_agent_new(&agent, &options, NULL, 0) !=
			     UIDRECV_E_FORKED;
		uidrecv_agent_free(scene.agents[0]->agent);
		uidrecv_agent_free(scene.agents[1]->agent);
		uidrecv_agent_listener_free(scene.listener);
		_exit(status);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	ticket = live_map(scene.agents[0], "10.0.0.1", "alice");
	live_await(&scene.live, scene.agents[0]->acked == ticket);
	sink_cut(&scene.sinks[1]);
	live_await(&scene.live, !is_connected(scene.agents[1]));
	sink_dial(&scene.sinks[1]);
	live_await(&scene.live, is_connected(scene.agents[1]));
	close_scene(&scene);
}

/* Its part in the listening socket ends, and nothing of the parent's. */
Test(agent_listen, S25_child_frees_a_listener_without_agents)
{
	static struct scene scene;
	struct uidrecv_agent_options options;
	pid_t child;

	open_scene(&scene, 0, 0);
	while (scene.live.agents_count)
		live_agent_end(&scene.live, scene.live.agents[0]);
	cr_expect_eq(uidrecv_agent_listener_dispatch(scene.listener), 0);
	child = fork();
	if (!child) {
		uidrecv_agent_listener_free(scene.listener);
		_exit(0);
	}
	cr_assert_eq(waitpid(child, NULL, 0), child);
	options = agent_options(&scene, names[0]);
	scene.agents[0] = live_agent(&scene.live, names[0], &options);
	sink_dial(&scene.sinks[0]);
	live_await(&scene.live, is_connected(scene.agents[0]));
	close_scene(&scene);
}
