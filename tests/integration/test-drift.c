/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clocks of agents that drift or step. Hours have to pass for that, so what
 * KEEPALIVE leads to is called with a time that the test makes; one test sees
 * over the wire that KEEPALIVE leads to it.
 */
#include <stdlib.h>

#include "clock.h"
#include "live.h"
#include "receiver-private.h"
#include "wire.h"

#define SECOND INT64_C(1000000)
#define HOUR (3600 * SECOND)
#define KEEPALIVE_S 30
#define DRIFT_SHARE 1000

/* A receiver in a time of its own, and an agent whose clock is what it says. */
struct scene {
	struct live live;
	struct wire wire;
	struct ur_conn *conn;
	uint64_t now_us;
	int64_t behind_us; /* the agent's clock, in truth */
	uint64_t there_us; /* what the way of KEEPALIVE to the receiver takes */
	uint64_t back_us;  /* and what that of the receiver's took */
	int64_t first_us;  /* the offset that was measured by HELLO */
	uint64_t serial;
};

static int64_t offset_us(const struct scene *scene)
{
	struct uidrecv_agent_stats stats = {.size = sizeof(stats)};

	cr_assert_eq(
	    uidrecv_receiver_get_agent_stats(scene->live.receiver, 0, &stats),
	    1);
	return stats.clock_offset_us;
}

/* By how much the offset has followed the agent's clock since HELLO. */
static int64_t followed_us(const struct scene *scene)
{
	return offset_us(scene) - scene->first_us;
}

static void begin_scene(struct scene *scene)
{
	*scene = (struct scene){.serial = 0};
	live_init(&scene->live, "a.example", NULL);
	live_start(&scene->live);
	wire_new(&scene->wire, &scene->live, "a.example");
	wire_open(&scene->wire, 77);
	scene->conn = scene->live.receiver->conns;
	scene->now_us = scene->live.receiver->loop.now_us;
	scene->first_us = offset_us(scene);
	scene->behind_us = scene->first_us;
}

static void end_scene(struct scene *scene)
{
	wire_free(&scene->wire);
	live_done(&scene->live);
}

/* A KEEPALIVE after a time of silence. */
static void keepalive(struct scene *scene, int64_t after_us, bool has_echo)
{
	struct uidrecv_receiver *receiver = scene->live.receiver;
	uint64_t base_us = ur_store_get_base_us(receiver->store), sent_us;
	struct ur_clock_echo clock = {.held_us = 1000000};

	scene->now_us += (uint64_t)after_us;
	sent_us = scene->now_us + base_us - scene->there_us;
	clock.now_us = sent_us - (uint64_t)scene->behind_us;
	if (has_echo)
		clock.echo_us = sent_us - clock.held_us - scene->back_us;
	receiver->loop.now_us = scene->now_us;
	ur_receiver_on_clock(scene->conn, &clock);
}

/* KEEPALIVEs for some hours of a clock that runs fast by parts per million. */
static void drift(struct scene *scene, int hours, int64_t ppm)
{
	const int64_t limit_us = KEEPALIVE_S * SECOND / DRIFT_SHARE;

	for (int i = 0; i < hours * 3600 / KEEPALIVE_S; i++) {
		int64_t former_us = offset_us(scene);

		scene->behind_us -= KEEPALIVE_S * ppm;
		keepalive(scene, KEEPALIVE_S * SECOND, true);
		cr_assert_leq(llabs(offset_us(scene) - former_us), limit_us);
	}
}

Test(drift, a_clock_that_runs_fast_is_followed)
{
	struct scene scene;

	begin_scene(&scene);
	drift(&scene, 10, 300);
	/* 10.8 seconds by now. */
	cr_expect_eq(scene.behind_us,
		     scene.first_us - 10 * HOUR * 300 / SECOND);
	cr_expect_eq(offset_us(&scene), scene.behind_us);
	/* And back, as temperatures have it. */
	drift(&scene, 20, -300);
	cr_expect_eq(offset_us(&scene), scene.behind_us);
	end_scene(&scene);
}

/* What the way may have taken is no drift. */
Test(drift, within_the_error_nothing_is_followed)
{
	struct scene scene;

	begin_scene(&scene);
	/* Measured 100 ms off, with an error of 200. */
	scene.there_us = 300000;
	scene.back_us = 100000;
	for (int i = 0; i < 100; i++)
		keepalive(&scene, KEEPALIVE_S * SECOND, true);
	cr_expect_eq(followed_us(&scene), 0);
	/* Beyond it, by what is beyond, to the edge of the error. */
	scene.behind_us -= 3010000;
	for (int i = 0; i < 1000; i++)
		keepalive(&scene, KEEPALIVE_S * SECOND, true);
	cr_expect_eq(offset_us(&scene), scene.behind_us + 300000);
	end_scene(&scene);
}

Test(drift, a_clock_that_runs_faster_than_clocks_do_is_left_behind)
{
	struct scene scene;

	begin_scene(&scene);
	drift(&scene, 10, 5000);
	cr_expect_eq(followed_us(&scene), -10 * HOUR / DRIFT_SHARE);
	end_scene(&scene);
}

Test(drift, C01_a_clock_that_steps_is_not_followed)
{
	struct scene scene;

	begin_scene(&scene);
	scene.behind_us += HOUR;
	for (int i = 0; i < 10; i++)
		keepalive(&scene, KEEPALIVE_S * SECOND, true);
	/* A thousandth of five minutes. */
	cr_expect_eq(followed_us(&scene), 300 * SECOND / DRIFT_SHARE);
	/* It is set right: what was followed is taken back as slowly. */
	scene.behind_us -= HOUR;
	keepalive(&scene, KEEPALIVE_S * SECOND, true);
	cr_expect_eq(followed_us(&scene), 270 * SECOND / DRIFT_SHARE);
	for (int i = 0; i < 10; i++)
		keepalive(&scene, KEEPALIVE_S * SECOND, true);
	cr_expect_eq(followed_us(&scene), 0);
	end_scene(&scene);
}

/* Nor does what came first allow more to what comes next. */
Test(drift, an_echo_of_0_measures_nothing)
{
	struct scene scene;

	begin_scene(&scene);
	scene.behind_us += HOUR;
	for (int i = 0; i < 10; i++)
		keepalive(&scene, KEEPALIVE_S * SECOND, false);
	cr_expect_eq(followed_us(&scene), 0);
	end_scene(&scene);
}

/* Many KEEPALIVEs follow no faster than few. */
Test(drift, a_flood_of_keepalives_gains_nothing)
{
	struct scene scene;

	begin_scene(&scene);
	scene.behind_us -= HOUR;
	for (int i = 0; i < 100000; i++)
		keepalive(&scene, SECOND / 1000, true);
	cr_expect_eq(followed_us(&scene), -100 * SECOND / DRIFT_SHARE);
	end_scene(&scene);
}

static void say_keepalive(struct scene *scene, uint64_t echo_us,
			  uint64_t held_us)
{
	struct ur_keepalive keepalive = {
	    .has_acked = true,
	    .clock = {.now_us = ur_clock_wall_us() + (uint64_t)HOUR,
		      .echo_us = echo_us,
		      .held_us = held_us}};
	struct ur_message message;
	struct ur_buf buf;

	ur_buf_init(&buf, 4096);
	ur_keepalive_encode(&buf, &keepalive);
	wire_send(&scene->wire, &buf);
	ur_buf_done(&buf);
	/* It has been taken when what follows it is acknowledged. */
	wire_update(&scene->wire, ++scene->serial, "10.0.0.1", "alice", 1);
	cr_assert(wire_await(&scene->wire, UR_ACK, &message));
}

/* In real time, over the wire. */
Test(drift, C01_keepalive_tells_of_a_step)
{
	struct scene scene = {.serial = 0};
	struct ur_message message;
	uint64_t begun_us = ur_clock_boot_us(), heard_us, echo_us, spent_us;
	struct ur_hello hello = wire_hello(77);

	live_init(&scene.live, "a.example", NULL);
	live_start(&scene.live);
	wire_new(&scene.wire, &scene.live, "a.example");
	cr_assert(wire_shake(&scene.wire));
	cr_assert(wire_read(&scene.wire, &message));
	echo_us = message.hello.clock.now_us;
	heard_us = ur_clock_boot_us();
	wire_send_hello(&scene.wire, &hello);
	cr_assert(wire_await(&scene.wire, UR_READY, &message));
	scene.first_us = offset_us(&scene);
	live_turns(&scene.live, 300);
	say_keepalive(&scene, 0, 0);
	cr_expect_eq(followed_us(&scene), 0);
	say_keepalive(&scene, echo_us, ur_clock_boot_us() - heard_us);
	spent_us = ur_clock_boot_us() - begun_us;
	cr_expect_leq(followed_us(&scene), -300);
	cr_expect_geq(followed_us(&scene), -(int64_t)spent_us / DRIFT_SHARE);
	end_scene(&scene);
}
