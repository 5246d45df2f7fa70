/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A real uidrecvd that is killed while an agent renews each mapping again and
 * again. It is stopped before, at whatever instruction: what lookups say then
 * they say after the restart, to the millisecond. Without its table, as after a
 * loss of power, an eighth of a lifetime may be missing, and nothing is added.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon.h"
#include "luck.h"

#define PLACES 40
#define KILLS 12
#define LONG_S 4000u
#define SHORT_S 40u /* of every fourth: most renewals of it are written */

struct scene {
	struct live live;
	struct daemon daemon;
	struct live_agent *agent;
};

struct lives {
	uint64_t now_us;
	uint64_t left_ms[PLACES]; /* 0: nobody */
};

static uint32_t lifetime_of(unsigned int place)
{
	return place % 4 ? LONG_S : SHORT_S;
}

static void say(struct scene *scene, uint16_t op, unsigned int place)
{
	struct uidrecv_record record;
	uint64_t ticket;
	char address[32];

	snprintf(address, sizeof(address), "10.0.0.%u", place + 1);
	record = live_record(op, address, op == UIDRECV_OP_MAP ? "u" : NULL);
	if (op == UIDRECV_OP_MAP)
		record.lifetime_s = lifetime_of(place);
	cr_assert_eq(uidrecv_agent_queue(scene->agent->agent, &record, &ticket),
		     0);
}

static struct lives look(struct scene *scene, uint64_t now_us)
{
	struct lives lives = {.now_us = now_us};
	struct uidrecv_reader *reader;
	struct uidrecv_mapping mapping;

	cr_assert_eq(uidrecv_reader_open(&reader, scene->live.table, NULL), 0);
	for (unsigned int i = 0; i < PLACES; i++) {
		struct uidrecv_query query = {
		    .address = uidrecv_address_from_ipv4(0x0a000001 + i)};
		int r = uidrecv_reader_lookup(reader, &query, now_us, &mapping);

		cr_assert_geq(r, 0);
		if (r == 1)
			lives.left_ms[i] = mapping.expires_in_ms;
	}
	uidrecv_reader_close(reader);
	return lives;
}

static void renew_for_a_while(struct scene *scene)
{
	for (uint64_t turns = 20 + luck_below(80); turns; turns--) {
		for (uint64_t i = luck_below(10); i; i--)
			say(scene,
			    luck_below(12) ? UIDRECV_OP_REFRESH
					   : UIDRECV_OP_MAP,
			    (unsigned int)luck_below(PLACES));
		live_turn(&scene->live);
	}
}

/* It stands still; what it has not published it may have stored. */
static struct lives stop(struct scene *scene)
{
	char path[64], state = 0;
	FILE *file;

	daemon_signal(&scene->daemon, SIGSTOP);
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)scene->daemon.pid);
	while (state != 'T') {
		file = fopen(path, "r");
		cr_assert_not_null(file);
		cr_assert_eq(fscanf(file, "%*d (%*[^)]) %c", &state), 1);
		fclose(file);
	}
	return look(scene, uidrecv_now_us());
}

static void check(const struct lives *before, const struct lives *after,
		  bool is_power_lost)
{
	unsigned int same = 0;

	for (unsigned int i = 0; i < PLACES; i++) {
		uint64_t life_ms = lifetime_of(i) * UINT64_C(1000);
		uint64_t lost_ms = is_power_lost ? life_ms / 8 : 0;

		/* None lives longer than it could have been said to. */
		cr_assert_leq(after->left_ms[i], life_ms);
		if (before->left_ms[i] > lost_ms)
			cr_assert_geq(after->left_ms[i],
				      before->left_ms[i] - lost_ms,
				      "place %u: %ju instead of %ju", i,
				      (uintmax_t)after->left_ms[i],
				      (uintmax_t)before->left_ms[i]);
		same += after->left_ms[i] == before->left_ms[i];
	}
	/* But for the few that were stored in the moment before. */
	if (!is_power_lost)
		cr_assert_gt(same, PLACES / 2);
}

static void kill_once(struct scene *scene, bool is_power_lost)
{
	struct lives before, after;

	live_await(&scene->live,
		   live_counters(scene->agent).is_connected &&
		       scene->agent->acked_serial ==
			   live_counters(scene->agent).last_serial);
	renew_for_a_while(scene);
	before = stop(scene);
	daemon_end(&scene->daemon, SIGKILL);
	if (is_power_lost)
		cr_assert_eq(unlink(scene->live.table), 0);
	daemon_start(&scene->daemon, &scene->live);
	after = look(scene, before.now_us);
	check(&before, &after, is_power_lost);
}

static void run(bool is_power_lost)
{
	struct scene *scene;
	struct uidrecv_agent_options options;
	int status;

	if (!daemon_exists())
		cr_skip_test("this build has no uidrecvd");
	scene = calloc(1, sizeof(*scene));
	live_init(&scene->live, NULL, NULL);
	live_add_name(&scene->live, "a.example");
	snprintf(scene->live.rights, sizeof(scene->live.rights),
		 "a.example 10.0.0.0/8\n");
	daemon_start(&scene->daemon, &scene->live);
	options = live_agent_options(&scene->live, "a.example");
	options.batch_max = 5;
	scene->agent = live_agent(&scene->live, "a.example", &options);
	for (unsigned int i = 0; i < PLACES; i++)
		say(scene, UIDRECV_OP_MAP, i);
	for (int i = 0; i < (luck_is_long() ? 10 * KILLS : KILLS); i++)
		kill_once(scene, is_power_lost);
	status = daemon_end(&scene->daemon, SIGTERM);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	live_done(&scene->live);
	free(scene);
}

Test(live_lives, S01_what_was_renewed_is_so_after_a_kill)
{
	run(false);
}

Test(live_lives, S01_an_eighth_may_be_lost_with_the_power)
{
	run(true);
}
