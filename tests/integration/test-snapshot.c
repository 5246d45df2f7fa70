/* SPDX-License-Identifier: BSD-2-Clause */
/* Snapshots and REFRESH ALL at a receiver, by an agent by hand. */
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "live.h"
#include "receiver-private.h"
#include "wire.h"

#define SESSION_A 1001
#define SESSION_B 1002

struct scene {
	struct live live;
	struct wire wire;
	struct ur_message message;
	uint64_t serial;
};

static void send_begin(struct scene *scene)
{
	struct ur_buf buf;

	ur_buf_init(&buf, 4096);
	ur_snapshot_begin_encode(&buf, ++scene->serial);
	wire_send(&scene->wire, &buf);
	ur_buf_done(&buf);
}

static void send_end(struct scene *scene, uint64_t count)
{
	struct ur_buf buf;

	ur_buf_init(&buf, 4096);
	ur_snapshot_end_encode(&buf, ++scene->serial, count);
	wire_send(&scene->wire, &buf);
	ur_buf_done(&buf);
}

static void send_refresh_all_at(struct scene *scene, uint64_t as_of_us,
				uint64_t count)
{
	struct ur_buf buf;

	ur_buf_init(&buf, 4096);
	ur_refresh_all_encode(&buf, ++scene->serial, as_of_us, count);
	wire_send(&scene->wire, &buf);
	ur_buf_done(&buf);
}

static void send_refresh_all(struct scene *scene, uint64_t count)
{
	send_refresh_all_at(scene, ur_clock_wall_us(), count);
}

static void say(struct scene *scene, const char *address, const char *user,
		uint32_t count)
{
	wire_update(&scene->wire, ++scene->serial, address, user, count);
}

static void say_for(struct scene *scene, const char *address, const char *user,
		    uint32_t lifetime_s)
{
	struct uidrecv_record record =
	    live_record(UIDRECV_OP_MAP, address, user);
	struct ur_update_writer writer;
	struct ur_buf buf;

	record.lifetime_s = lifetime_s;
	ur_buf_init(&buf, 4096);
	ur_update_begin(&writer, &buf, ++scene->serial, ur_clock_wall_us(),
			false, 0, UR_FRAME_BODY_MIN);
	cr_assert(ur_update_add(&writer, &record));
	ur_update_end(&writer);
	wire_send(&scene->wire, &buf);
	ur_buf_done(&buf);
}

static void await_ack(struct scene *scene)
{
	do
		cr_assert(wire_await(&scene->wire, UR_ACK, &scene->message));
	while (scene->message.serial < scene->serial);
}

static uint64_t begin_session_with(struct scene *scene, uint64_t session_id,
				   uint64_t capabilities)
{
	struct ur_hello hello = wire_hello(session_id);

	hello.capabilities = capabilities;
	hello.acked = scene->serial;
	hello.replay_first = scene->serial + 1;
	hello.replay_last = scene->serial;
	wire_new(&scene->wire, &scene->live, "a.example");
	cr_assert(wire_shake(&scene->wire));
	cr_assert(wire_read(&scene->wire, &scene->message));
	cr_assert_eq(scene->message.hello.capabilities,
		     UR_CAPABILITY_SNAPSHOT | UR_CAPABILITY_REFRESH_ALL |
			 UR_CAPABILITY_PORTS);
	wire_send_hello(&scene->wire, &hello);
	cr_assert(wire_await(&scene->wire, UR_READY, &scene->message));
	return scene->message.ready.durable;
}

/* Connects with all that a source may announce. */
static uint64_t begin_session(struct scene *scene, uint64_t session_id)
{
	return begin_session_with(scene, session_id, UR_CAPABILITY_SNAPSHOT);
}

static void begin_scene(struct scene *scene)
{
	memset(scene, 0, sizeof(*scene));
	live_init(&scene->live, "a.example", "b.example", NULL);
	live_start(&scene->live);
	begin_session(scene, SESSION_A);
}

static void end_scene(struct scene *scene)
{
	wire_free(&scene->wire);
	live_done(&scene->live);
}

static struct uidrecv_agent_stats stats_of(const struct scene *scene)
{
	struct uidrecv_agent_stats stats = {.size = sizeof(stats)};

	cr_assert_eq(
	    uidrecv_receiver_get_agent_stats(scene->live.receiver, 0, &stats),
	    1);
	return stats;
}

#define expect_user(scene, address, user)                                      \
	cr_expect_str_eq(live_user(&(scene)->live, address), user)

Test(snapshot, what_is_not_said_again_is_dropped_with_the_ack)
{
	struct scene scene;

	begin_scene(&scene);
	say(&scene, "10.0.0.1", "alice", 1);
	say(&scene, "10.0.0.2", "bob", 1);
	send_begin(&scene);
	say(&scene, "10.0.0.1", "alice", 1);
	await_ack(&scene);
	expect_user(&scene, "10.0.0.2", "bob");
	cr_expect(stats_of(&scene).is_in_snapshot);
	send_end(&scene, 1);
	await_ack(&scene);
	expect_user(&scene, "10.0.0.1", "alice");
	expect_user(&scene, "10.0.0.2", "");
	cr_expect_eq(stats_of(&scene).claims, 1);
	cr_expect_not(stats_of(&scene).is_in_snapshot);
	cr_expect_eq(live_stats(&scene.live).snapshots, 1);
	end_scene(&scene);
}

Test(snapshot, what_another_says_of_the_dropped_answers_soon)
{
	struct scene scene;
	struct live_agent *other;

	begin_scene(&scene);
	say(&scene, "10.0.0.1", "alice", 1);
	await_ack(&scene);
	other = live_agent(&scene.live, "b.example", NULL);
	live_map(other, "10.0.0.1", "bob");
	live_await(&scene.live, other->acked == 1);
	/* The later event is bob's; alice is restated later still. */
	say(&scene, "10.0.0.1", "alice", 1);
	say(&scene, "10.0.0.2", "carol", 1);
	await_ack(&scene);
	expect_user(&scene, "10.0.0.1", "alice");
	send_begin(&scene);
	say(&scene, "10.0.0.2", "carol", 1);
	send_end(&scene, 1);
	await_ack(&scene);
	live_await(&scene.live,
		   !strcmp(live_user(&scene.live, "10.0.0.1"), "bob"));
	expect_user(&scene, "10.0.0.2", "carol");
	end_scene(&scene);
}

Test(snapshot, a_wrong_count_drops_nothing_and_is_told_once_a_minute)
{
	struct scene scene;

	begin_scene(&scene);
	say(&scene, "10.0.0.1", "alice", 1);
	send_begin(&scene);
	say(&scene, "10.0.0.2", "bob", 1);
	send_end(&scene, 2);
	cr_assert(wire_await(&scene.wire, UR_RESYNC, &scene.message));
	cr_expect_eq(scene.message.bye.code, UIDRECV_RESYNC_COUNT);
	expect_user(&scene, "10.0.0.1", "alice");
	expect_user(&scene, "10.0.0.2", "bob");
	cr_expect_eq(stats_of(&scene).resync_code, UIDRECV_RESYNC_COUNT);
	/* An END without BEGIN is no better, but is not told so soon. */
	send_end(&scene, 0);
	await_ack(&scene);
	cr_expect_eq(stats_of(&scene).resync_code, UIDRECV_RESYNC_NO_SNAPSHOT);
	cr_expect_eq(live_stats(&scene.live).resyncs, 1);
	cr_expect_eq(live_stats(&scene.live).snapshots_refused, 2);
	/* A whole one is what was wanted. */
	send_begin(&scene);
	say(&scene, "10.0.0.2", "bob", 1);
	send_end(&scene, 1);
	await_ack(&scene);
	expect_user(&scene, "10.0.0.1", "");
	cr_expect_eq(stats_of(&scene).resync_code, 0);
	end_scene(&scene);
}

Test(snapshot, refused_mappings_are_counted)
{
	struct scene scene;

	begin_scene(&scene);
	say(&scene, "10.0.0.1", "alice", 1);
	send_begin(&scene);
	say(&scene, "10.0.0.2", "bob", 1);
	say(&scene, "192.0.2.1", "nobody", 3);
	send_end(&scene, 4);
	await_ack(&scene);
	expect_user(&scene, "10.0.0.1", "");
	expect_user(&scene, "10.0.0.2", "bob");
	end_scene(&scene);
}

Test(snapshot, one_that_lacks_too_much_is_held_until_it_is_accepted)
{
	struct scene scene;

	begin_scene(&scene);
	say(&scene, "10.0.0.1", "alice", 5);
	send_begin(&scene);
	say(&scene, "10.0.0.1", "alice", 2);
	send_end(&scene, 2);
	await_ack(&scene);
	expect_user(&scene, "10.0.0.1", "alice");
	expect_user(&scene, "10.0.0.5", "alice");
	cr_expect_eq(stats_of(&scene).held_claims, 3);
	cr_expect_eq(stats_of(&scene).claims, 5);
	cr_expect_eq(live_stats(&scene.live).snapshots_held, 1);
	cr_expect(live_log_has(&scene.live.log, "lacks 3"));
	/* One of them is said after all. */
	say(&scene, "10.0.0.3", "alice", 1);
	await_ack(&scene);
	cr_expect_eq(stats_of(&scene).held_claims, 2);
	cr_assert_eq(uidrecv_receiver_accept_drops(scene.live.receiver,
						   "nobody.example"),
		     UIDRECV_E_UNKNOWN_AGENT);
	cr_assert_eq(
	    uidrecv_receiver_accept_drops(scene.live.receiver, "b.example"), 0);
	expect_user(&scene, "10.0.0.5", "alice");
	cr_assert_eq(
	    uidrecv_receiver_accept_drops(scene.live.receiver, "a.example"), 1);
	expect_user(&scene, "10.0.0.3", "alice");
	expect_user(&scene, "10.0.0.4", "");
	expect_user(&scene, "10.0.0.5", "");
	cr_expect_eq(stats_of(&scene).held_claims, 0);
	cr_expect_eq(stats_of(&scene).claims, 3);
	cr_assert_eq(uidrecv_receiver_accept_drops(scene.live.receiver, NULL),
		     0);
	end_scene(&scene);
}

Test(snapshot, goes_on_after_a_lost_connection_and_a_restart)
{
	struct scene scene;

	begin_scene(&scene);
	say(&scene, "10.0.0.1", "alice", 2);
	send_begin(&scene);
	say(&scene, "10.0.0.1", "alice", 1);
	await_ack(&scene);
	wire_reset(&scene.wire);
	cr_assert_eq(begin_session(&scene, SESSION_A), scene.serial);
	say(&scene, "10.0.0.3", "carol", 1);
	await_ack(&scene);
	wire_free(&scene.wire);
	live_stop(&scene.live);
	live_start(&scene.live);
	cr_assert_eq(begin_session(&scene, SESSION_A), scene.serial);
	expect_user(&scene, "10.0.0.2", "alice");
	send_end(&scene, 2);
	await_ack(&scene);
	expect_user(&scene, "10.0.0.1", "alice");
	expect_user(&scene, "10.0.0.2", "");
	expect_user(&scene, "10.0.0.3", "carol");
	end_scene(&scene);
}

Test(snapshot, another_session_gives_up_what_is_open)
{
	struct scene scene;

	begin_scene(&scene);
	say(&scene, "10.0.0.1", "alice", 2);
	send_begin(&scene);
	await_ack(&scene);
	wire_free(&scene.wire);
	scene.serial = 0;
	cr_assert_eq(begin_session(&scene, SESSION_B), 0);
	send_end(&scene, 0);
	cr_assert(wire_await(&scene.wire, UR_RESYNC, &scene.message));
	cr_expect_eq(scene.message.bye.code, UIDRECV_RESYNC_NO_SNAPSHOT);
	expect_user(&scene, "10.0.0.1", "alice");
	expect_user(&scene, "10.0.0.2", "alice");
	end_scene(&scene);
}

Test(snapshot, a_gap_in_the_serials_is_asked_about)
{
	struct scene scene;

	begin_scene(&scene);
	say(&scene, "10.0.0.1", "alice", 1);
	await_ack(&scene);
	wire_free(&scene.wire);
	/* The agent has thrown 2 to 4 away. */
	scene.serial = 4;
	cr_assert_eq(begin_session(&scene, SESSION_A), 1);
	cr_assert(wire_await(&scene.wire, UR_RESYNC, &scene.message));
	cr_expect_eq(scene.message.bye.code, UIDRECV_RESYNC_GAP);
	send_begin(&scene);
	send_end(&scene, 0);
	await_ack(&scene);
	cr_expect_eq(stats_of(&scene).resync_code, 0);
	end_scene(&scene);
}

/* What was thrown away may have been a WITHDRAW, which no count shows. */
Test(snapshot, a_gap_within_a_snapshot_spoils_it)
{
	struct scene scene;

	begin_scene(&scene);
	say(&scene, "10.0.0.1", "alice", 1);
	send_begin(&scene);
	say(&scene, "10.0.0.2", "bob", 1);
	await_ack(&scene);
	wire_free(&scene.wire);
	scene.serial++;
	begin_session(&scene, SESSION_A);
	send_end(&scene, 1);
	cr_assert(wire_await(&scene.wire, UR_RESYNC, &scene.message));
	await_ack(&scene);
	expect_user(&scene, "10.0.0.1", "alice");
	cr_expect_eq(live_stats(&scene.live).snapshots_refused, 1);
	end_scene(&scene);
}

static uint64_t life_of(struct scene *scene, const char *address)
{
	struct uidrecv_query query = {.has_port = false};
	struct uidrecv_mapping mapping = {0};

	live_user(&scene->live, address);
	cr_assert_eq(uidrecv_address_parse(address, &query.address), 0);
	cr_assert_eq(
	    uidrecv_reader_lookup(scene->live.reader, &query, 0, &mapping), 1);
	return mapping.expires_in_ms;
}

Test(snapshot, refresh_all_renews_what_the_snapshot_said)
{
	struct scene scene;
	uint64_t life_ms;

	begin_scene(&scene);
	say(&scene, "10.0.0.9", "held", 4);
	send_begin(&scene);
	say(&scene, "10.0.0.1", "alice", 2);
	send_end(&scene, 2);
	await_ack(&scene);
	cr_assert_eq(stats_of(&scene).held_claims, 4);
	live_turns(&scene.live, 300);
	life_ms = life_of(&scene, "10.0.0.9");
	send_refresh_all(&scene, 2);
	await_ack(&scene);
	cr_expect_eq(live_stats(&scene.live).refresh_alls, 1);
	cr_expect_geq(life_of(&scene, "10.0.0.1"), life_ms + 200);
	cr_expect_geq(life_of(&scene, "10.0.0.2"), life_ms + 200);
	cr_expect_leq(life_of(&scene, "10.0.0.9"), life_ms);
	/* The same after a restart. */
	wire_free(&scene.wire);
	life_ms = life_of(&scene, "10.0.0.9");
	live_stop(&scene.live);
	live_start(&scene.live);
	cr_expect_geq(life_of(&scene, "10.0.0.1"), life_ms + 200);
	cr_expect_leq(life_of(&scene, "10.0.0.9"), life_ms);
	begin_session(&scene, SESSION_A);
	end_scene(&scene);
}

/* Neither what is swept already nor what is not. */
Test(snapshot, refresh_all_revives_nothing)
{
	struct scene scene;

	begin_scene(&scene);
	send_begin(&scene);
	say(&scene, "10.0.0.1", "alice", 1);
	say_for(&scene, "10.0.0.2", "bob", 1);
	say_for(&scene, "10.0.0.3", "carol", 3);
	send_end(&scene, 3);
	await_ack(&scene);
	live_await(&scene.live, live_stats(&scene.live).claims == 2);
	expect_user(&scene, "10.0.0.2", "");
	live_await(&scene.live, !*live_user(&scene.live, "10.0.0.3"));
	/* The receiver's now is that of its last turn. */
	live_turns(&scene.live, 3);
	send_refresh_all(&scene, 1);
	await_ack(&scene);
	cr_expect_eq(live_stats(&scene.live).refresh_alls, 1);
	expect_user(&scene, "10.0.0.1", "alice");
	expect_user(&scene, "10.0.0.2", "");
	expect_user(&scene, "10.0.0.3", "");
	end_scene(&scene);
}

Test(snapshot, refresh_all_of_another_number_is_not_taken)
{
	struct scene scene;
	uint64_t life_ms;

	begin_scene(&scene);
	send_begin(&scene);
	say(&scene, "10.0.0.1", "alice", 2);
	send_end(&scene, 2);
	await_ack(&scene);
	live_turns(&scene.live, 200);
	life_ms = life_of(&scene, "10.0.0.1");
	send_refresh_all(&scene, 3);
	cr_assert(wire_await(&scene.wire, UR_RESYNC, &scene.message));
	cr_expect_eq(scene.message.bye.code, UIDRECV_RESYNC_COUNT);
	cr_expect_leq(life_of(&scene, "10.0.0.1"), life_ms);
	cr_expect_eq(live_stats(&scene.live).refresh_alls, 0);
	end_scene(&scene);
}

static bool is_asked(struct scene *scene, uint16_t code)
{
	return wire_await(&scene->wire, UR_RESYNC, &scene->message) &&
	       scene->message.bye.code == code;
}

/* As if a minute had passed since it was asked. */
static void forget_asking(struct scene *scene)
{
	scene->live.receiver->peers[0].asked_us = 0;
}

static uint64_t asked_again(struct scene *scene)
{
	uint64_t resyncs = live_stats(&scene->live).resyncs;

	ur_receiver_ask_all(scene->live.receiver);
	return live_stats(&scene->live).resyncs - resyncs;
}

Test(snapshot, only_those_who_announce_it_are_asked)
{
	struct scene scene;

	begin_scene(&scene);
	wire_free(&scene.wire);
	begin_session_with(&scene, SESSION_A, 0);
	send_end(&scene, 0);
	await_ack(&scene);
	cr_expect_eq(stats_of(&scene).resync_code, UIDRECV_RESYNC_NO_SNAPSHOT);
	cr_expect_eq(asked_again(&scene), 0);
	cr_expect_eq(live_stats(&scene.live).resyncs, 0);
	/* It remembers that until it can ask, even over a restart. */
	wire_free(&scene.wire);
	live_stop(&scene.live);
	live_start(&scene.live);
	begin_session(&scene, SESSION_A);
	cr_expect(is_asked(&scene, UIDRECV_RESYNC_NO_SNAPSHOT));
	end_scene(&scene);
}

Test(snapshot, nobody_is_asked_while_one_is_open_nor_within_a_minute)
{
	struct scene scene;

	begin_scene(&scene);
	cr_expect_eq(asked_again(&scene), 0);
	send_end(&scene, 0);
	cr_expect(is_asked(&scene, UIDRECV_RESYNC_NO_SNAPSHOT));
	cr_expect_eq(asked_again(&scene), 0);
	/* A new connection is not another source. */
	wire_free(&scene.wire);
	begin_session(&scene, SESSION_A);
	cr_expect_eq(asked_again(&scene), 0);
	forget_asking(&scene);
	cr_expect_eq(asked_again(&scene), 1);
	cr_expect_eq(asked_again(&scene), 0);
	cr_expect(is_asked(&scene, UIDRECV_RESYNC_NO_SNAPSHOT));
	forget_asking(&scene);
	send_begin(&scene);
	say(&scene, "10.0.0.1", "alice", 1);
	await_ack(&scene);
	cr_expect_eq(asked_again(&scene), 0);
	send_end(&scene, 7);
	cr_expect(is_asked(&scene, UIDRECV_RESYNC_COUNT));
	/* Without a connection there is nobody to ask. */
	forget_asking(&scene);
	wire_free(&scene.wire);
	live_await(&scene.live, live_stats(&scene.live).sessions == 0);
	cr_expect_eq(asked_again(&scene), 0);
	begin_session(&scene, SESSION_A);
	cr_expect(is_asked(&scene, UIDRECV_RESYNC_COUNT));
	/* What was wanted has come. */
	send_begin(&scene);
	send_end(&scene, 0);
	await_ack(&scene);
	forget_asking(&scene);
	cr_expect_eq(asked_again(&scene), 0);
	end_scene(&scene);
}

Test(snapshot, nobody_is_asked_on_a_connection_that_ends)
{
	struct scene scene;

	begin_scene(&scene);
	send_end(&scene, 0);
	cr_expect(is_asked(&scene, UIDRECV_RESYNC_NO_SNAPSHOT));
	forget_asking(&scene);
	ur_conn_bye(scene.live.receiver->peers[0].conn, UIDRECV_BYE_OVERLOADED,
		    NULL);
	cr_expect_eq(asked_again(&scene), 0);
	cr_expect_not(wire_await(&scene.wire, UR_RESYNC, &scene.message));
	end_scene(&scene);
}

Test(snapshot, P16_refresh_all_ahead_of_now_is_not_taken)
{
	struct scene scene;

	begin_scene(&scene);
	send_begin(&scene);
	say(&scene, "10.0.0.1", "alice", 1);
	send_end(&scene, 1);
	send_refresh_all_at(&scene, ur_clock_wall_us() + 60000000, 1);
	cr_expect(is_asked(&scene, UIDRECV_RESYNC_TIME));
	send_refresh_all_at(&scene, UINT64_MAX, 1);
	await_ack(&scene);
	cr_expect_eq(stats_of(&scene).resync_code, UIDRECV_RESYNC_TIME);
	cr_expect_eq(live_stats(&scene.live).refresh_alls, 0);
	/* A little ahead is now. */
	send_refresh_all_at(&scene, ur_clock_wall_us() + 5000000, 1);
	await_ack(&scene);
	cr_expect_eq(live_stats(&scene.live).refresh_alls, 1);
	cr_expect_leq(life_of(&scene, "10.0.0.1"), 3600000);
	/* Only an END that is taken is what is wanted. */
	cr_expect_eq(stats_of(&scene).resync_code, UIDRECV_RESYNC_TIME);
	/* Long ago is taken, and renews nothing. */
	send_refresh_all_at(&scene, 0, 1);
	await_ack(&scene);
	cr_expect_eq(live_stats(&scene.live).refresh_alls, 2);
	expect_user(&scene, "10.0.0.1", "alice");
	end_scene(&scene);
}

Test(snapshot, refresh_all_needs_a_whole_snapshot_of_its_session)
{
	struct scene scene;

	begin_scene(&scene);
	say(&scene, "10.0.0.1", "alice", 1);
	send_refresh_all(&scene, 0);
	cr_expect(is_asked(&scene, UIDRECV_RESYNC_NO_SNAPSHOT));
	send_begin(&scene);
	say(&scene, "10.0.0.1", "alice", 1);
	forget_asking(&scene);
	send_refresh_all(&scene, 1);
	await_ack(&scene);
	cr_expect_eq(live_stats(&scene.live).refresh_alls, 0);
	send_end(&scene, 1);
	send_refresh_all(&scene, 1);
	await_ack(&scene);
	cr_expect_eq(live_stats(&scene.live).refresh_alls, 1);
	wire_free(&scene.wire);
	scene.serial = 0;
	begin_session(&scene, SESSION_B);
	send_refresh_all(&scene, 1);
	cr_expect(is_asked(&scene, UIDRECV_RESYNC_NO_SNAPSHOT));
	cr_expect_eq(live_stats(&scene.live).refresh_alls, 1);
	expect_user(&scene, "10.0.0.1", "alice");
	end_scene(&scene);
}

static void say_short(struct scene *scene, const char *address)
{
	struct uidrecv_record record =
	    live_record(UIDRECV_OP_MAP, address, "short");
	struct ur_update_writer writer;
	struct ur_buf buf;

	record.lifetime_s = 1;
	ur_buf_init(&buf, 65536);
	ur_update_begin(&writer, &buf, ++scene->serial, ur_clock_wall_us(),
			false, 0, 65536);
	cr_assert(ur_update_add(&writer, &record));
	ur_update_end(&writer);
	wire_send(&scene->wire, &buf);
	ur_buf_done(&buf);
}

Test(snapshot, refresh_all_comes_too_late_for_what_has_ended)
{
	struct scene scene;

	begin_scene(&scene);
	send_begin(&scene);
	say(&scene, "10.0.0.1", "alice", 2);
	say_short(&scene, "10.0.0.9");
	send_end(&scene, 3);
	await_ack(&scene);
	live_await(&scene.live, !*live_user(&scene.live, "10.0.0.9"));
	/* The receiver's now is that of its last turn. */
	live_turns(&scene.live, 3);
	send_refresh_all(&scene, 3);
	cr_expect(is_asked(&scene, UIDRECV_RESYNC_COUNT));
	expect_user(&scene, "10.0.0.9", "");
	send_refresh_all(&scene, 2);
	await_ack(&scene);
	cr_expect_eq(live_stats(&scene.live).refresh_alls, 1);
	expect_user(&scene, "10.0.0.1", "alice");
	expect_user(&scene, "10.0.0.9", "");
	end_scene(&scene);
}

static void run_in_store(const struct scene *scene, const char *text)
{
	char command[1000];

	snprintf(command, sizeof(command), "s=%s; %s", scene->live.store, text);
	cr_assert_eq(system(command), 0);
}

/* The agent has forgotten what it was told is safe. */
Test(snapshot, an_older_backup_of_the_store_asks)
{
	struct scene scene;

	begin_scene(&scene);
	say(&scene, "10.0.0.1", "alice", 1);
	await_ack(&scene);
	live_stop(&scene.live);
	wire_free(&scene.wire);
	run_in_store(&scene, "cp -a $s $s.old");
	live_start(&scene.live);
	begin_session(&scene, SESSION_A);
	say(&scene, "10.0.0.2", "bob", 1);
	say(&scene, "10.0.0.3", "carol", 1);
	await_ack(&scene);
	cr_expect_eq(stats_of(&scene).resync_code, 0);
	live_stop(&scene.live);
	wire_free(&scene.wire);
	run_in_store(&scene, "rm -rf $s && mv $s.old $s");
	live_start(&scene.live);
	cr_expect_eq(begin_session(&scene, SESSION_A), 1);
	cr_expect(is_asked(&scene, UIDRECV_RESYNC_GAP));
	expect_user(&scene, "10.0.0.2", "");
	send_begin(&scene);
	say(&scene, "10.0.0.1", "alice", 3);
	send_end(&scene, 3);
	await_ack(&scene);
	cr_expect_eq(stats_of(&scene).resync_code, 0);
	expect_user(&scene, "10.0.0.3", "alice");
	end_scene(&scene);
}

/* The same with one that has never heard of the agent. */
Test(snapshot, an_empty_store_asks)
{
	struct scene scene;

	begin_scene(&scene);
	say(&scene, "10.0.0.1", "alice", 1);
	await_ack(&scene);
	live_stop(&scene.live);
	wire_free(&scene.wire);
	run_in_store(&scene, "rm -rf $s");
	live_start(&scene.live);
	cr_expect_eq(begin_session(&scene, SESSION_A), 0);
	cr_expect(is_asked(&scene, UIDRECV_RESYNC_GAP));
	end_scene(&scene);
}
