/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A real uidrecvd that is killed at random in sessions with snapshots, and one
 * that holds a snapshot's drops until they are accepted.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "daemon.h"
#include "luck.h"
#include "said.h"

#define SESSIONS 10
#define KILLS 25 /* in a session */

struct scene {
	struct live live;
	struct daemon daemon;
	struct said said;
};

static struct scene *begin_scene(const char *more)
{
	struct scene *scene;

	if (!daemon_exists())
		cr_skip_test("this build has no uidrecvd");
	scene = calloc(1, sizeof(*scene));
	live_init(&scene->live, NULL, NULL);
	live_add_name(&scene->live, "a.example");
	snprintf(scene->live.rights, sizeof(scene->live.rights),
		 "a.example 10.0.0.0/8 2001:db8::/32 %s\n", more);
	daemon_start(&scene->daemon, &scene->live);
	return scene;
}

static void end_scene(struct scene *scene)
{
	int status = daemon_end(&scene->daemon, SIGTERM);

	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	live_done(&scene->live);
	free(scene);
}

static struct live_agent *new_agent(struct scene *scene, uint32_t batch_max)
{
	struct uidrecv_agent_options options =
	    live_agent_options(&scene->live, "a.example");

	options.batch_max = batch_max;
	return live_agent(&scene->live, "a.example", &options);
}

static void kill_once(struct scene *scene)
{
	struct said *said = &scene->said;
	uint64_t turns = luck_below(60), serial;
	int status;

	live_await(&scene->live, (said_hurry(said), said_is_over(said)));
	while (turns--) {
		for (uint64_t i = luck_below(8); i; i--)
			said_anything(said);
		live_turn(&scene->live);
	}
	status = daemon_end(&scene->daemon, SIGKILL);
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	daemon_start(&scene->daemon, &scene->live);
	/* The agent has not yet been back. */
	serial = said_check_table(said, "after a kill");
	cr_assert_geq(serial, said->agent->acked_serial);
}

static void kill_at_random(struct scene *scene)
{
	struct said *said = &scene->said;

	said_init(said, &scene->live, new_agent(scene, 3));
	for (int i = 0; i < KILLS; i++)
		kill_once(scene);
	if (said->now.is_open)
		said_end(said);
	uidrecv_agent_finish(said->agent->agent);
	live_await(&scene->live,
		   (said_hurry(said), said->agent->result == -ESHUTDOWN));
	said_check_end(said, "after the kills");
	cr_assert_gt(said->ends, KILLS);
	live_agent_end(&scene->live, said->agent);
}

Test(live_kills, S01_P19_killed_at_random)
{
	struct scene *scene = begin_scene("allow=drops");

	for (int i = 0; i < (luck_is_long() ? SESSIONS : 1); i++)
		kill_at_random(scene);
	end_scene(scene);
}

static void say_some(struct live_agent *agent, int count)
{
	char address[32];

	for (int i = 0; i < count; i++) {
		snprintf(address, sizeof(address), "10.0.0.%d", i + 1);
		live_map(agent, address, "alice");
	}
}

/* Waits for the line of the agent's state, and returns it. */
static const char *status_of(struct scene *scene)
{
	daemon_signal(&scene->daemon, SIGUSR1);
	return daemon_line(&scene->daemon, "agent a.example ");
}

#define await_acked(scene, agent)                                              \
	live_await(&(scene)->live,                                             \
		   (agent)->acked_serial == live_counters(agent).last_serial)

/*
 * An agent that has lost its memory says a snapshot of nothing: an operator
 * sees it and lets it drop.
 */
Test(live_kills, P20_held_until_an_operator_accepts)
{
	struct scene *scene = begin_scene("");
	struct live_agent *agent = new_agent(scene, 0);

	say_some(agent, 10);
	await_acked(scene, agent);
	cr_expect(strstr(status_of(scene), "held_claims=0 snapshot=- "));
	live_agent_end(&scene->live, agent);
	agent = new_agent(scene, 0);
	cr_assert_eq(uidrecv_agent_snapshot_begin(agent->agent, false), 0);
	say_some(agent, 4);
	await_acked(scene, agent);
	cr_expect(strstr(status_of(scene), "held_claims=0 snapshot=open "));
	cr_assert_eq(uidrecv_agent_snapshot_end(agent->agent), 0);
	await_acked(scene, agent);
	cr_expect(strstr(status_of(scene), "claims=10 "));
	cr_expect(strstr(status_of(scene), "held_claims=6 "));
	cr_expect_str_eq(live_user(&scene->live, "10.0.0.10"), "alice");
	/* It is held by the store, and acceptance outlives a kill too. */
	daemon_end(&scene->daemon, SIGKILL);
	daemon_start(&scene->daemon, &scene->live);
	cr_expect(strstr(status_of(scene), "held_claims=6 "));
	cr_expect_str_eq(live_user(&scene->live, "10.0.0.10"), "alice");
	daemon_signal(&scene->daemon, SIGUSR2);
	cr_expect_str_eq(daemon_line(&scene->daemon, "accepted"), "accepted 1");
	cr_expect_str_eq(live_user(&scene->live, "10.0.0.10"), "");
	cr_expect_str_eq(live_user(&scene->live, "10.0.0.4"), "alice");
	cr_expect(strstr(status_of(scene), "held_claims=0 "));
	cr_expect(strstr(status_of(scene), " claims=4 "));
	daemon_signal(&scene->daemon, SIGUSR2);
	cr_expect_str_eq(daemon_line(&scene->daemon, "accepted"), "accepted 0");
	daemon_end(&scene->daemon, SIGKILL);
	daemon_start(&scene->daemon, &scene->live);
	cr_expect_str_eq(live_user(&scene->live, "10.0.0.10"), "");
	cr_expect_str_eq(live_user(&scene->live, "10.0.0.4"), "alice");
	cr_expect_eq(live_counters(agent).resyncs, 0);
	end_scene(scene);
}
