/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections that break at any byte of sessions with snapshots, and receivers
 * that are freed in between: at every moment the table is what was said up to
 * some serial from the last acknowledged on, each refusal is told once, and the
 * receiver never has to ask for anything.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "luck.h"
#include "proxy.h"
#include "said.h"

/* In a long run every byte is cut at; else every so many, from a place that
 * differs by run. */
#define STRIDE 41

#define SESSIONS 10
#define CUTS 100 /* in a session */

struct scene {
	struct live live;
	struct proxy proxy;
	struct said said;
};

static void begin_scene(struct scene *scene, const char *more)
{
	live_init(&scene->live, NULL, NULL);
	live_add_name(&scene->live, "a.example");
	snprintf(scene->live.rights, sizeof(scene->live.rights),
		 "a.example 10.0.0.0/8 2001:db8::/32 %s\n", more);
	live_start(&scene->live);
	proxy_init(&scene->proxy, &scene->live);
}

static void end_scene(struct scene *scene)
{
	proxy_done(&scene->proxy);
	live_done(&scene->live);
	free(scene);
}

static struct live_agent *new_agent(struct scene *scene)
{
	struct uidrecv_agent_options options =
	    live_agent_options(&scene->live, "a.example");

	options.receiver = scene->proxy.address;
	options.batch_max = 3;
	return live_agent(&scene->live, "a.example", &options);
}

/* All that there is; the second snapshot drops half. */
static void say_all(struct said *said)
{
	for (uint32_t i = 0; i < 5; i++)
		said_map(said, i);
	said_map_refused(said);
	said_begin(said);
	for (uint32_t i = 0; i < 10; i++) {
		said_map(said, i);
		if (i % 4 == 1)
			said_map_refused(said);
	}
	said_logout(said, 10);
	said_end(said);
	said_refresh_all(said);
	said_logout(said, 1);
	said_withdraw(said, 2);
	said_map(said, 10);
	said_map(said, 11);
	said_begin(said);
	for (uint32_t i = 3; i < 8; i++)
		said_map(said, i);
	said_map_refused(said);
	said_end(said);
	said_refresh_all(said);
}

/* A whole session with one cut, and whether it was cut. */
static bool cut_once(struct scene *scene, enum proxy_way way, uint64_t at)
{
	struct said *said = &scene->said;
	struct uidrecv_receiver_stats before = live_stats(&scene->live), after;
	unsigned int cuts = scene->proxy.cuts;
	char where[64];

	snprintf(where, sizeof(where), "cut %s at %lu",
		 way == PROXY_UP ? "up" : "down", (unsigned long)at);
	said_init(said, &scene->live, new_agent(scene));
	scene->proxy.moved[way] = 0;
	scene->proxy.cut_at[way] = at;
	say_all(said);
	uidrecv_agent_finish(said->agent->agent);
	live_await(&scene->live,
		   (said_hurry(said), said_check_table(said, where),
		    said->agent->result == -ESHUTDOWN));
	said_check_end(said, where);
	after = live_stats(&scene->live);
	cr_assert_eq(after.snapshots - before.snapshots, 2, "%s", where);
	cr_assert_eq(after.refresh_alls - before.refresh_alls, 2, "%s", where);
	cr_assert_eq(after.snapshots_held, 0, "%s", where);
	cr_assert_eq(after.snapshots_refused, 0, "%s", where);
	cr_assert_eq(after.resyncs, 0, "%s", where);
	cr_assert_eq(after.claims, 5, "%s", where);
	scene->proxy.cut_at[way] = 0;
	live_agent_end(&scene->live, said->agent);
	return scene->proxy.cuts > cuts;
}

static void cut_everywhere(enum proxy_way way)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	uint64_t stride = luck_is_long() ? 1 : STRIDE;
	uint64_t at = 1 + luck_below(stride), whole;

	begin_scene(scene, "");
	/* Little at a time, so that there are many rounds. */
	scene->proxy.step = 300;
	cr_assert_not(cut_once(scene, way, 0));
	whole = scene->proxy.moved[way];
	while (cut_once(scene, way, at))
		at += stride;
	/* Signatures differ in length, and rounds in number. */
	cr_assert_gt(at, whole * 3 / 4);
	printf("%lu of %lu bytes, each %luth\n", (unsigned long)at,
	       (unsigned long)whole, (unsigned long)stride);
	end_scene(scene);
}

Test(live_cuts, P19_cut_at_every_byte_up)
{
	cut_everywhere(PROXY_UP);
}

Test(live_cuts, P19_cut_at_every_byte_down)
{
	cut_everywhere(PROXY_DOWN);
}

/* By bytes of either way, or by freeing the receiver. */
static void break_something(struct scene *scene)
{
	struct proxy *proxy = &scene->proxy;
	enum proxy_way way = luck_below(2) ? PROXY_UP : PROXY_DOWN;

	if (luck_below(4)) {
		proxy->cut_at[way] =
		    proxy->moved[way] + 1 +
		    luck_below(luck_below(2) ? 3000 : 60000 / CUTS);
		return;
	}
	live_stop(&scene->live);
	said_check_table(&scene->said, "receiver freed");
	live_start(&scene->live);
	said_check_table(&scene->said, "receiver made again");
	proxy->cuts++;
}

static void cut_once_at_random(struct scene *scene)
{
	struct said *said = &scene->said;
	unsigned int cuts = scene->proxy.cuts;

	break_something(scene);
	while (scene->proxy.cuts == cuts) {
		uint64_t count = said_is_over(said) ? 1 + luck_below(40) : 0;

		while (count--)
			said_anything(said);
		said_hurry(said);
		live_turn(&scene->live);
		said_check_table(said, "at random");
	}
}

static void cut_at_random(struct scene *scene)
{
	struct said *said = &scene->said;

	said_init(said, &scene->live, new_agent(scene));
	for (int i = 0; i < CUTS; i++)
		cut_once_at_random(scene);
	if (said->now.is_open)
		said_end(said);
	uidrecv_agent_finish(said->agent->agent);
	live_await(&scene->live,
		   (said_hurry(said), said->agent->result == -ESHUTDOWN));
	said_check_end(said, "after the cuts");
	cr_assert_eq(live_stats(&scene->live).resyncs, 0);
	cr_assert_gt(said->ends, 5);
	live_agent_end(&scene->live, said->agent);
}

Test(live_cuts, P19_cuts_at_random_of_long_sessions)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	/* What snapshots hold back has tests of its own. */
	begin_scene(scene, "allow=drops");
	scene->proxy.step = 300;
	for (int i = 0; i < (luck_is_long() ? SESSIONS : 1); i++)
		cut_at_random(scene);
	end_scene(scene);
}
