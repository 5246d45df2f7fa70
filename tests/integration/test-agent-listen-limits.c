/* SPDX-License-Identifier: BSD-2-Clause */
/* Agents that listen: who is not let in, and does not disturb. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "scene.h"
#include "wire.h"

/* Many that never get further do not pile up. */
Test(agent_listen_limits, who_comes_ever_again_leaves_little_behind)
{
	static struct scene scene;
	struct live_agent *agent;
	struct wire wires[20];

	open_scene(&scene, 0, 0);
	agent = scene.agents[0];
	for (size_t i = 0; i < 20; i++) {
		wire_new(&wires[i], &scene.live, names[0]);
		cr_assert(wire_shake(&wires[i]));
		live_await(&scene.live, agent->agent->dialer.attempts == i + 1);
		cr_assert_not_null(agent->agent->conns);
		if (agent->agent->conns->next)
			cr_expect_null(agent->agent->conns->next->next);
	}
	cr_expect_eq(agent->events[UIDRECV_AGENT_LOST], 19);
	for (size_t i = 0; i < 20; i++)
		wire_free(&wires[i]);
	close_scene(&scene);
}

Test(agent_listen_limits, I04_nobodys_receiver_sees_nothing_of_a_session)
{
	static struct scene scene;
	struct wire wire;
	struct ur_hello hello = wire_hello(0);
	struct ur_message message;

	open_scene(&scene, 0, 0);
	wire_new(&wire, &scene.live, "other.example");
	cr_assert(wire_shake(&wire));
	hello.role = UR_SINK;
	wire_send_hello(&wire, &hello);
	cr_expect_not(wire_read(&wire, &message));
	cr_expect(
	    live_log_has(&scene.live.log, "not let in as other.example: "));
	for (size_t i = 0; i < SINKS_MAX; i++)
		cr_expect_eq(live_counters(scene.agents[i]).attempts, 0);
	wire_free(&wire);
	/* Nor who has none at all. */
	wire_new(&wire, &scene.live, NULL);
	if (wire_shake(&wire))
		cr_expect_not(wire_read(&wire, &message));
	wire_free(&wire);
	connect_both(&scene);
	cr_expect_eq(scene.live.log.unclean, 0);
	close_scene(&scene);
}

/* Idle ones, and some that are no TLS; who is open stays open. */
Test(agent_listen_limits, N04_crowd_does_not_disturb)
{
	static struct scene scene;
	struct live *live = &scene.live;
	unsigned int before;
	uint64_t ticket;
	int fds[100];

	open_scene(&scene, 8, 0);
	sink_dial(&scene.sinks[0]);
	live_await(live, is_connected(scene.agents[0]));
	before = live_count_fds();
	for (size_t i = 0; i < 100; i++) {
		fds[i] = wire_connect(live);
		live_turn(live);
		if (i % 2)
			cr_assert_eq(write(fds[i], "no TLS at all\r\n\r\n", 17),
				     17);
		live_turn(live);
	}
	live_turns(live, 50);
	cr_expect_leq(live_count_fds(), before + 100 + 8);
	/* All but the latest were closed. */
	sink_dial(&scene.sinks[1]);
	live_await(live, is_connected(scene.agents[1]));
	ticket = live_map(scene.agents[1], "10.0.0.1", "alice");
	live_await(live, scene.agents[1]->acked == ticket);
	ticket = live_map(scene.agents[0], "10.0.0.1", "alice");
	live_await(live, scene.agents[0]->acked == ticket);
	cr_expect_eq(scene.agents[0]->events[UIDRECV_AGENT_LOST], 0);
	cr_expect(live_log_has(&live->log, "too many handshakes at once"));
	cr_expect_eq(live->log.unclean, 0);
	for (size_t i = 0; i < 100; i++)
		close(fds[i]);
	close_scene(&scene);
}

/* A crowd of what is no TLS does not push out who is slow. */
Test(agent_listen_limits, N04_who_is_over_gives_way_first)
{
	static struct scene scene;
	struct live *live = &scene.live;
	struct wire slow;
	int fds[50];

	open_scene(&scene, 8, 0);
	wire_new(&slow, live, names[0]);
	live_await(live, scene.listener->conns);
	for (size_t i = 0; i < 50; i++) {
		fds[i] = wire_connect(live);
		live_turn(live);
		cr_assert_eq(write(fds[i], "no TLS at all\r\n\r\n", 17), 17);
		live_turns(live, 2);
	}
	cr_assert(wire_shake(&slow));
	live_await(live, scene.agents[0]->agent->conn);
	for (size_t i = 0; i < 50; i++)
		close(fds[i]);
	wire_free(&slow);
	close_scene(&scene);
}

/* Nor does one host that says nothing, however often it connects. */
Test(agent_listen_limits, N04_one_host_does_not_push_out_others)
{
	static struct scene scene;
	struct live *live = &scene.live;
	struct wire slow;
	int fds[50];

	open_scene(&scene, 8, 0);
	wire_new(&slow, live, names[0]);
	live_await(live, scene.listener->conns);
	for (size_t i = 0; i < 50; i++) {
		fds[i] = wire_connect_from(live, INADDR_LOOPBACK + 1);
		live_turns(live, 2);
	}
	cr_assert(wire_shake(&slow));
	live_await(live, scene.agents[0]->agent->conn);
	for (size_t i = 0; i < 50; i++)
		close(fds[i]);
	wire_free(&slow);
	close_scene(&scene);
}

/* Before the handshake, after it, and after HELLO. */
Test(agent_listen_limits, N04_silence_ends_in_time)
{
	static struct scene scene;
	struct live *live = &scene.live;
	struct wire silent, shaken, greeting;
	struct ur_hello hello = wire_hello(0);
	struct ur_message message;

	open_scene(&scene, 0, 300);
	wire_new(&silent, live, NULL);
	wire_new(&shaken, live, names[0]);
	wire_new(&greeting, live, names[1]);
	cr_assert(wire_shake(&shaken));
	cr_assert(wire_shake(&greeting));
	hello.role = UR_SINK;
	wire_send_hello(&greeting, &hello);
	cr_assert(wire_read(&greeting, &message));
	cr_assert_eq(message.type, UR_HELLO);
	cr_assert_eq(message.hello.role, UR_SOURCE);
	live_await(live, !scene.listener->conns &&
			     scene.agents[0]->events[UIDRECV_AGENT_LOST] &&
			     scene.agents[1]->events[UIDRECV_AGENT_LOST]);
	wire_free(&silent);
	wire_free(&shaken);
	wire_free(&greeting);
	connect_both(&scene);
	close_scene(&scene);
}

static int try_agent(const struct uidrecv_agent_options *options)
{
	struct uidrecv_agent *agent = NULL;
	char error[300] = "";
	int ret = uidrecv_agent_new(&agent, options, error, sizeof(error));

	cr_expect_eq(!ret, !*error);
	uidrecv_agent_free(agent);
	return ret;
}

Test(agent_listen_limits, A03_agents_options)
{
	static struct scene scene;
	struct uidrecv_agent_options options;

	open_scene(&scene, 0, 0);
	options = agent_options(&scene, "FW1.example");
	cr_expect_eq(try_agent(&options), -EEXIST);
	options.receiver_name = "fw3.example";
	cr_expect_eq(try_agent(&options), 0);
	options.receiver = "127.0.0.1:5007";
	cr_expect_eq(try_agent(&options), -EINVAL);
	options.receiver = NULL;
	options.cert_path = "x";
	cr_expect_eq(try_agent(&options), -EINVAL);
	options.cert_path = NULL;
	options.receiver_name = "127.0.0.1";
	cr_expect_eq(try_agent(&options), -EINVAL);
	options.receiver_name = "::1";
	cr_expect_eq(try_agent(&options), -EINVAL);
	options.receiver_name = "";
	cr_expect_eq(try_agent(&options), -EINVAL);
	options.receiver_name = NULL;
	cr_expect_eq(try_agent(&options), -EINVAL);
	options.receiver_name = "urn:Fw:1";
	cr_expect_eq(try_agent(&options), 0);
	cr_expect_eq(uidrecv_agent_get_fd(scene.agents[0]->agent),
		     uidrecv_agent_listener_get_fd(scene.listener));
	close_scene(&scene);
}

static int try_listener(const struct uidrecv_agent_listener_options *options,
			const char *text)
{
	struct uidrecv_agent_listener *listener = NULL;
	char error[600] = "";
	int ret = uidrecv_agent_listener_new(&listener, options, error,
					     sizeof(error));

	cr_expect(strstr(error, text), "%s", error);
	uidrecv_agent_listener_free(listener);
	return ret;
}

Test(agent_listen_limits, A03_listeners_options)
{
	static struct scene scene;
	struct uidrecv_agent_listener_options options;
	struct uidrecv_agent_listener *listener;
	char address[32];

	open_scene(&scene, 0, 0);
	options = listener_options(&scene.live);
	cr_expect_eq(uidrecv_agent_listener_new(NULL, &options, NULL, 0),
		     -EINVAL);
	cr_expect_eq(uidrecv_agent_listener_new(&listener, NULL, NULL, 0),
		     -EINVAL);
	uidrecv_agent_listener_free(NULL);
	cr_expect_eq(uidrecv_agent_listener_dispatch(NULL), -EINVAL);
	cr_expect_eq(uidrecv_agent_listener_get_fd(NULL), -EINVAL);
	cr_expect_eq(uidrecv_agent_listener_get_port(NULL), 0);
	options.address = "*:0";
	cr_expect_eq(try_listener(&options, ""), 0);
	options.address = "nonsense";
	cr_expect_eq(try_listener(&options, "\"nonsense\": it is not"),
		     -EINVAL);
	snprintf(address, sizeof(address), "127.0.0.1:%u", scene.live.port);
	options.address = address;
	cr_expect_eq(try_listener(&options, address), -EADDRINUSE);
	options.key_path = "/nowhere";
	cr_expect_eq(try_listener(&options, "/nowhere"), UIDRECV_E_CREDENTIALS);
	options.key_path = NULL;
	cr_expect_eq(try_listener(&options, ""), -EINVAL);
	close_scene(&scene);
}
