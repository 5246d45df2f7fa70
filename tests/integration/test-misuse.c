/* SPDX-License-Identifier: BSD-2-Clause */
/* A03: wrong arguments, and callers with an older or newer header. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "live.h"

#define UNTOUCHED ((void *)-1)

Test(misuse, A03_receiver_null)
{
	struct uidrecv_receiver_options options = UIDRECV_RECEIVER_OPTIONS_INIT;
	struct uidrecv_receiver *receiver = UNTOUCHED;
	struct uidrecv_receiver_stats stats = {.size = sizeof(stats)};
	struct uidrecv_agent_stats agent = {.size = sizeof(agent)};
	struct uidrecv_record record = {0};
	uint16_t port, code;

	cr_expect_eq(uidrecv_receiver_new(NULL, &options, NULL, 0), -EINVAL);
	cr_expect_eq(uidrecv_receiver_new(&receiver, NULL, NULL, 0), -EINVAL);
	/* No store_path. */
	cr_expect_eq(uidrecv_receiver_new(&receiver, &options, NULL, 0),
		     -EINVAL);
	cr_expect_eq(receiver, UNTOUCHED);
	uidrecv_receiver_free(NULL);
	uidrecv_receiver_stop(NULL);
	cr_expect_eq(uidrecv_receiver_listen(NULL, "*:0", &port), -EINVAL);
	cr_expect_eq(uidrecv_receiver_listen_fd(NULL, 0), -EINVAL);
	cr_expect_eq(uidrecv_receiver_set_agents(NULL, NULL), -EINVAL);
	cr_expect_eq(uidrecv_receiver_reload_certificates(NULL, NULL, 0),
		     -EINVAL);
	cr_expect_eq(uidrecv_receiver_get_fd(NULL), -EINVAL);
	cr_expect_eq(uidrecv_receiver_dispatch(NULL), -EINVAL);
	cr_expect_eq(uidrecv_receiver_run(NULL), -EINVAL);
	cr_expect_eq(uidrecv_receiver_submit(NULL, "a", &record, 1, &code),
		     -EINVAL);
	cr_expect_eq(uidrecv_receiver_get_stats(NULL, &stats), -EINVAL);
	cr_expect_eq(uidrecv_receiver_get_agent_stats(NULL, 0, &agent),
		     -EINVAL);
}

Test(misuse, A03_receiver_arguments)
{
	struct live live;
	struct uidrecv_receiver_stats stats = {.size = 0};
	struct uidrecv_agent_stats agent = {.size = sizeof(size_t) - 1};

	live_init(&live, "a.example", NULL);
	live_start(&live);
	cr_expect_eq(uidrecv_receiver_listen(live.receiver, NULL, NULL),
		     -EINVAL);
	cr_expect_eq(
	    uidrecv_receiver_listen(live.receiver, "127.0.0.1:0", NULL), 0);
	cr_expect_eq(uidrecv_receiver_get_stats(live.receiver, NULL), -EINVAL);
	cr_expect_eq(uidrecv_receiver_get_stats(live.receiver, &stats),
		     -EINVAL);
	cr_expect_eq(uidrecv_receiver_get_agent_stats(live.receiver, 0, NULL),
		     -EINVAL);
	cr_expect_eq(uidrecv_receiver_get_agent_stats(live.receiver, 0, &agent),
		     -EINVAL);
	agent.size = sizeof(agent);
	cr_expect_eq(uidrecv_receiver_get_agent_stats(live.receiver, 0, &agent),
		     1);
	cr_expect_str_eq(agent.name, "a.example");
	cr_expect_eq(agent.last_heard_ms, UINT64_MAX);
	cr_expect_not(agent.is_connected);
	cr_expect_eq(uidrecv_receiver_get_agent_stats(live.receiver, 1, &agent),
		     0);
	cr_expect_eq(
	    uidrecv_receiver_get_agent_stats(live.receiver, SIZE_MAX, &agent),
	    0);
	live_done(&live);
}

static int try_receiver(struct live *live,
			const struct uidrecv_receiver_options *options)
{
	char error[300] = "untouched";
	int ret = uidrecv_receiver_new(&live->receiver, options, error,
				       sizeof(error));

	cr_expect_eq(!ret, live->receiver != NULL);
	if (ret)
		cr_expect_neq(error[0], '\0');
	live_stop(live);
	return ret;
}

/* Each value that is out of its range. */
Test(misuse, receiver_options)
{
	struct live live;
	struct uidrecv_receiver_options options;

	live_init(&live, NULL, NULL);
	options = live.options;
	options.frame_max = 4095;
	cr_expect_eq(try_receiver(&live, &options), -EINVAL);
	options.frame_max = 1048577;
	cr_expect_eq(try_receiver(&live, &options), -EINVAL);
	options = live.options;
	options.hold_min_s = 91;
	cr_expect_eq(try_receiver(&live, &options), -EINVAL);
	options.hold_max_s = 65536;
	cr_expect_eq(try_receiver(&live, &options), -EINVAL);
	options = live.options;
	options.table_mode = 01777;
	cr_expect_eq(try_receiver(&live, &options), -EINVAL);
	options = live.options;
	options.key_path = NULL;
	cr_expect_eq(try_receiver(&live, &options), -EINVAL);
	options = live.options;
	options.ca_path = NULL;
	cr_expect_eq(try_receiver(&live, &options), -EINVAL);
	options = live.options;
	options.cert_path = "/nowhere";
	cr_expect_eq(try_receiver(&live, &options), UIDRECV_E_CREDENTIALS);
	options = live.options;
	options.store_path = "/nowhere/at/all";
	cr_expect_eq(try_receiver(&live, &options), -ENOENT);
	cr_expect_eq(try_receiver(&live, &live.options), 0);
	live_done(&live);
}

/* A struct of a newer header, whose further fields are not set, or one is. */
Test(misuse, A03_receiver_options_sizes)
{
	struct {
		struct uidrecv_receiver_options known;
		uint64_t unknown[4];
	} options = {0};
	struct live live;

	live_init(&live, NULL, NULL);
	options.known = live.options;
	options.known.size = sizeof(options);
	cr_expect_eq(try_receiver(&live, &options.known), 0);
	options.unknown[3] = 1;
	cr_expect_eq(try_receiver(&live, &options.known), UIDRECV_E_ABI);
	options.known.size = sizeof(options) - 8;
	cr_expect_eq(try_receiver(&live, &options.known), 0);
	options.known.size = sizeof(options.known) - 1;
	cr_expect_eq(try_receiver(&live, &options.known), -EINVAL);
	options.known.size = 0;
	cr_expect_eq(try_receiver(&live, &options.known), -EINVAL);
	options.known.size = SIZE_MAX;
	cr_expect_eq(try_receiver(&live, &options.known), -EINVAL);
	live_done(&live);
}

/* The first size bytes are written and no more. */
static void check_tail(const void *bytes, size_t size, size_t room)
{
	const unsigned char *at = bytes;

	for (size_t i = size; i < room; i++)
		cr_assert_eq(at[i], 0xa5);
}

Test(misuse, A03_statistics_sizes)
{
	unsigned char room[2048];
	struct uidrecv_receiver_stats *stats = (void *)room;
	struct uidrecv_agent_stats *agent = (void *)room;
	struct live live;

	live_init(&live, "a.example", NULL);
	live_start(&live);
	for (size_t size = sizeof(size_t); size < sizeof(room); size += 8) {
		memset(room, 0xa5, sizeof(room));
		stats->size = size;
		cr_assert_eq(uidrecv_receiver_get_stats(live.receiver, stats),
			     0);
		cr_assert_leq(stats->size, size);
		check_tail(room, stats->size, sizeof(room));
		memset(room, 0xa5, sizeof(room));
		agent->size = size;
		cr_assert_eq(
		    uidrecv_receiver_get_agent_stats(live.receiver, 0, agent),
		    1);
		cr_assert_leq(agent->size, size);
		check_tail(room, agent->size, sizeof(room));
	}
	cr_expect_eq(agent->size, sizeof(*agent));
	live_done(&live);
}

Test(misuse, A03_agent_null)
{
	struct uidrecv_agent_options options = UIDRECV_AGENT_OPTIONS_INIT;
	struct uidrecv_agent *agent = UNTOUCHED;
	struct uidrecv_agent_event event;
	struct uidrecv_agent_counters counters = {.size = sizeof(counters)};
	struct uidrecv_record record = {0};

	cr_expect_eq(uidrecv_agent_new(NULL, &options, NULL, 0), -EINVAL);
	cr_expect_eq(uidrecv_agent_new(&agent, NULL, NULL, 0), -EINVAL);
	cr_expect_eq(uidrecv_agent_new(&agent, &options, NULL, 0), -EINVAL);
	cr_expect_eq(agent, UNTOUCHED);
	uidrecv_agent_free(NULL);
	uidrecv_agent_finish(NULL);
	cr_expect_eq(uidrecv_agent_queue(NULL, &record, NULL), -EINVAL);
	cr_expect_eq(uidrecv_agent_snapshot_begin(NULL, true), -EINVAL);
	cr_expect_eq(uidrecv_agent_snapshot_end(NULL), -EINVAL);
	cr_expect_eq(uidrecv_agent_refresh_all(NULL, 1), -EINVAL);
	cr_expect_eq(uidrecv_agent_get_fd(NULL), -EINVAL);
	cr_expect_eq(uidrecv_agent_dispatch(NULL), -EINVAL);
	cr_expect_eq(uidrecv_agent_next_event(NULL, &event), -EINVAL);
	cr_expect_eq(uidrecv_agent_get_counters(NULL, &counters), -EINVAL);
}

static int try_agent(const struct uidrecv_agent_options *options)
{
	struct uidrecv_agent *agent = NULL;
	char error[300] = "untouched";
	int ret = uidrecv_agent_new(&agent, options, error, sizeof(error));

	cr_expect_eq(!ret, agent != NULL);
	if (ret)
		cr_expect_neq(error[0], '\0');
	uidrecv_agent_free(agent);
	return ret;
}

Test(misuse, agent_options)
{
	static const char *const bad[] = {
	    "", "localhost", ":5007", "localhost:", "::1:5007", "a:65536",
	};
	struct live live;
	struct uidrecv_agent_options good, options;

	live_init(&live, "a.example", NULL);
	strcpy(live.address, "localhost:5007");
	good = live_agent_options(&live, "a.example");
	cr_expect_eq(try_agent(&good), 0);
	for (int i = 0; i < 6; i++) {
		options = good;
		options.receiver = bad[i];
		cr_expect_eq(try_agent(&options), -EINVAL, "%s", bad[i]);
	}
	options = good;
	options.batch_max = 1025;
	cr_expect_eq(try_agent(&options), -EINVAL);
	options = good;
	options.hold_min_s = 301;
	cr_expect_eq(try_agent(&options), -EINVAL);
	options.hold_max_s = 65536;
	cr_expect_eq(try_agent(&options), -EINVAL);
	options = good;
	options.ca_path = NULL;
	cr_expect_eq(try_agent(&options), -EINVAL);
	options = good;
	options.key_path = options.ca_path;
	cr_expect_eq(try_agent(&options), UIDRECV_E_CREDENTIALS);
	live_done(&live);
}

Test(misuse, A03_agent_options_sizes)
{
	struct {
		struct uidrecv_agent_options known;
		uint64_t unknown[4];
	} options = {0};
	struct live live;

	live_init(&live, "a.example", NULL);
	strcpy(live.address, "localhost:5007");
	options.known = live_agent_options(&live, "a.example");
	options.known.size = sizeof(options);
	cr_expect_eq(try_agent(&options.known), 0);
	options.unknown[3] = 1;
	cr_expect_eq(try_agent(&options.known), UIDRECV_E_ABI);
	options.known.size = sizeof(options) - 8;
	cr_expect_eq(try_agent(&options.known), 0);
	options.known.size = sizeof(options.known) - 1;
	cr_expect_eq(try_agent(&options.known), -EINVAL);
	options.known.size = 0;
	cr_expect_eq(try_agent(&options.known), -EINVAL);
	live_done(&live);
}

static int try_record(struct live_agent *agent, uint16_t op, const char *user,
		      bool has_more)
{
	struct uidrecv_record record = live_record(op, "10.0.0.1", user);
	uint64_t ticket = 77;
	int ret;

	record.lifetime_s = has_more ? 5 : 0;
	ret = uidrecv_agent_queue(agent->agent, &record, &ticket);
	cr_expect(ret == 0 || ticket == 77);
	return ret;
}

Test(misuse, A03_agent_arguments)
{
	struct uidrecv_agent_counters counters;
	struct live_agent *agent;
	struct live live;

	live_init(&live, "a.example", NULL);
	strcpy(live.address, "127.0.0.1:9");
	agent = live_agent(&live, "a.example", NULL);
	cr_expect_eq(uidrecv_agent_queue(agent->agent, NULL, NULL), -EINVAL);
	cr_expect_eq(uidrecv_agent_next_event(agent->agent, NULL), -EINVAL);
	cr_expect_eq(uidrecv_agent_get_counters(agent->agent, NULL), -EINVAL);
	cr_expect_eq(try_record(agent, 0, "alice", false), -EINVAL);
	cr_expect_eq(try_record(agent, 0x8024, "alice", false), -EINVAL);
	cr_expect_eq(try_record(agent, UIDRECV_OP_MAP, NULL, false), -EINVAL);
	cr_expect_eq(try_record(agent, UIDRECV_OP_LOGOUT, "alice", true),
		     -EINVAL);
	cr_expect_eq(try_record(agent, UIDRECV_OP_WITHDRAW, "alice", false),
		     -EINVAL);
	cr_expect_eq(try_record(agent, UIDRECV_OP_WITHDRAW, NULL, true),
		     -EINVAL);
	cr_expect_eq(try_record(agent, UIDRECV_OP_MAP, "alice", true), 0);
	for (size_t size = sizeof(size_t); size <= sizeof(counters); size++) {
		memset(&counters, 0xa5, sizeof(counters));
		counters.size = size;
		cr_assert_eq(
		    uidrecv_agent_get_counters(agent->agent, &counters), 0);
		check_tail(&counters, size, sizeof(counters));
	}
	cr_expect_eq(counters.queued_records, 1);
	counters.size = sizeof(size_t) - 1;
	cr_expect_eq(uidrecv_agent_get_counters(agent->agent, &counters),
		     -EINVAL);
	live_done(&live);
}
