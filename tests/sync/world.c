/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdarg.h>
#include <unistd.h>

#include "world.h"

static const char *const names[ORACLE_AGENTS] = {NULL, "b",   "a", "a.b",
						 "c",  "a.c", "zz"};
static const uint32_t priorities[ORACLE_AGENTS] = {0, 10, 10, 10, 20, 20, 30};

void world_differ(struct world *world, const char *format, ...)
{
	char text[160];
	va_list arguments;

	if (world->difference[0])
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	snprintf(world->difference, sizeof(world->difference),
		 "UIDRECV_TEST_SEED=%ju, operation %ju: %s",
		 (uintmax_t)world->first_seed, (uintmax_t)world->operations,
		 text);
}

__attribute__((format(printf, 2, 3))) static void trace(
    const struct world *world, const char *format, ...)
{
	va_list arguments;

	if (!world->trace)
		return;
	fprintf(stderr, "%ju %12.6f ", (uintmax_t)world->operations,
		(double)(world->now_us - WORLD_START) / 1e6);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

/* An error of the store, which none of the operations here may have. */
static bool failed(struct world *world, const char *what, int rc)
{
	if (rc < 0)
		world_differ(world, "%s: %d", what, rc);
	return rc < 0;
}

struct uidrecv_address world_address(size_t index)
{
	static const uint8_t bytes[16] = {0x20, 1, 0xd, 0xb8};
	struct uidrecv_address address = uidrecv_address_from_ipv6(bytes);

	if (index < ORACLE_ADDRESSES / 2)
		return uidrecv_address_from_ipv4(0x0a000000 + (uint32_t)index);
	address.lo = index;
	return address;
}

size_t world_index(struct uidrecv_address address)
{
	return uidrecv_address_is_ipv4(address) ? address.lo & 0xff
						: address.lo;
}

static void use_ranks(struct world *world)
{
	struct ur_rank *ranks = world->ranks[world->ranks_used ^= 1];

	for (uint32_t id = 1; id < ORACLE_AGENTS; id++) {
		ranks[id].name = world->oracle.agents[id].name;
		ranks[id].priority = world->oracle.agents[id].priority;
	}
	if (world->store)
		ur_store_set_ranks(world->store,
				   (struct ur_ranks){ranks, ORACLE_AGENTS});
}

static int show(void *user, const struct ur_change *answer)
{
	struct world *world = user;
	struct world_shown *shown = &world->shown[world_index(answer->address)];

	memset(shown, 0, sizeof(*shown));
	memcpy(shown->user, answer->user, answer->user_size);
	shown->deadline_us = answer->deadline_us;
	shown->agent = answer->agent;
	shown->epoch = answer->epoch;
	shown->lifetime_s = answer->lifetime_s;
	shown->source = answer->source;
	return 0;
}

/* As a new table is filled. */
static void show_all(struct world *world)
{
	memset(world->shown, 0, sizeof(world->shown));
	memset(world->lines, 0, sizeof(world->lines));
	memset(world->floors, 0, sizeof(world->floors));
	if (world->store)
		failed(world, "scan",
		       ur_store_scan(world->store, world->now_us, show, world));
}

void world_open(struct world *world)
{
	int rc = ur_store_open(&world->store, &world->options);

	if (failed(world, "open", rc)) {
		world->store = NULL;
		return;
	}
	use_ranks(world);
	world->now_us =
	    world->options.boot_us + ur_store_get_base_us(world->store);
	show_all(world);
}

void world_close(struct world *world)
{
	ur_store_close(world->store);
	world->store = NULL;
}

void world_init_alone(struct world *world, uint64_t seed)
{
	memset(world, 0, sizeof(*world));
	world->seed = world->first_seed = seed;
	world->quota = ORACLE_ADDRESSES;
	world->trace = getenv("UIDRECV_TEST_TRACE") != NULL;
	world->now_us = world->wall_us = WORLD_START;
	for (uint32_t id = 1; id < ORACLE_AGENTS; id++) {
		world->oracle.agents[id].name = names[id];
		world->oracle.agents[id].priority = priorities[id];
		world->oracle.agents[id].session_id = 100 * id;
	}
}

static void add_agents(struct world *world)
{
	const struct ur_agent_row *row;

	for (uint32_t id = 1; id < ORACLE_AGENTS && world->store; id++)
		if (ur_store_add_agent(world->store, names[id],
				       strlen(names[id]), world->now_us,
				       &row) < 0 ||
		    row->id != id)
			world_differ(world, "agent %u has another id", id);
	world_begin(world);
	for (uint32_t id = 1; id < ORACLE_AGENTS; id++)
		world_session(world, id, 100 * id);
	world_commit(world);
}

void world_init(struct world *world, uint64_t seed)
{
	world_init_alone(world, seed);
	snprintf(world->directory, sizeof(world->directory),
		 "%s/uidrecv-sync-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(world->directory))
		world_differ(world, "no directory %s", world->directory);
	world->options.directory = world->directory;
	world->options.map_bytes = 64 << 20;
	world->options.boot_us = WORLD_UPTIME;
	world->options.wall_us = WORLD_START;
	world->options.boot_id[0] = 1;
	world_open(world);
	add_agents(world);
}

void world_done(struct world *world)
{
	char command[96];

	world_close(world);
	snprintf(command, sizeof(command), "rm -rf %s", world->directory);
	if (system(command) != 0)
		world_differ(world, "cannot remove %s", world->directory);
}

void world_restart(struct world *world, bool is_boot, uint64_t off_us,
		   int64_t wall_step_us)
{
	uint64_t base = ur_store_get_base_us(world->store);
	uint64_t before_us = world->now_us;

	trace(world, "restart boot %d off %ju step %jd", is_boot,
	      (uintmax_t)off_us, (intmax_t)wall_step_us);
	/* What was not written would be told again after a boot. */
	world->now_us += 10 * SECOND;
	failed(world, "tick",
	       ur_store_tick(world->store, world->now_us, world->wall_us));
	before_us = world->now_us;
	world_close(world);
	world->wall_us += off_us + (uint64_t)wall_step_us;
	world->options.wall_us = world->wall_us;
	world->options.boot_us = before_us + off_us - base;
	if (is_boot) {
		world->options.boot_id[0]++;
		world->options.boot_us = 10 * SECOND;
	}
	world_open(world);
	if (world->now_us < before_us)
		world_differ(world, "time went back by %ju",
			     (uintmax_t)(before_us - world->now_us));
}

void world_begin(struct world *world)
{
	world->committed = world->oracle;
	if (world->store)
		failed(world, "begin", ur_store_begin(world->store));
}

void world_apply(struct world *world, uint32_t agent,
		 const struct ur_statement *statement)
{
	size_t index = world_index(statement->address);
	bool is_map = statement->op == UIDRECV_OP_MAP;
	int expected, rc;

	world->operations++;
	if (is_map)
		oracle_count_maps(&world->oracle, agent, 1);
	expected = oracle_apply(&world->oracle, agent, index, world->quota,
				statement, world->now_us);
	trace(world,
	      "agent %u op %d address %zu user %s event %.6f raw %ju as-of "
	      "%.6f life %u token %d %ju: %d",
	      agent, statement->op, index,
	      statement->user ? statement->user : "-",
	      (double)(int64_t)(statement->event_us - WORLD_START) / 1e6,
	      (uintmax_t)statement->event_raw_us,
	      (double)(int64_t)(statement->as_of_us - WORLD_START) / 1e6,
	      statement->lifetime_s, statement->has_token,
	      (uintmax_t)statement->token, expected);
	if (!world->store)
		return;
	if (is_map)
		failed(world, "count maps",
		       ur_store_count_maps(world->store, agent, 1));
	rc = ur_store_apply(world->store, agent, world->quota, statement,
			    world->now_us);
	if (rc != expected)
		world_differ(world,
			     "operation %d of agent %u for address %zu: %d "
			     "instead of %d",
			     statement->op, agent, index, rc, expected);
}

static void put_row(struct world *world, uint32_t agent)
{
	struct ur_agent_row row;

	if (!world->store)
		return;
	row = *ur_store_get_agent_by_id(world->store, agent);
	row.session_id = world->oracle.agents[agent].session_id;
	row.durable = ++world->serials[agent];
	if (world->is_apart)
		row.offset_error_us = world->rounds;
	failed(world, "put agent", ur_store_put_agent(world->store, &row));
}

void world_mark(struct world *world)
{
	world->rounds++;
	put_row(world, 1);
}

void world_session(struct world *world, uint32_t agent, uint64_t session_id)
{
	world->operations++;
	trace(world, "agent %u session %ju", agent, (uintmax_t)session_id);
	oracle_session(&world->oracle, agent, session_id);
	put_row(world, agent);
}

void world_snapshot(struct world *world, uint32_t agent)
{
	world->operations++;
	oracle_begin(&world->oracle, agent);
	trace(world, "agent %u begin: epoch %u", agent,
	      world->oracle.agents[agent].epoch);
	if (world->store)
		failed(world, "begin snapshot",
		       ur_store_begin_snapshot(world->store, agent));
}

enum ur_ending world_end(struct world *world, uint32_t agent, uint64_t count,
			 unsigned int keep_percent, bool may_count)
{
	struct oracle_agent *it = &world->oracle.agents[agent];
	enum ur_ending ending = UR_ENDING_REFUSED;
	enum oracle_ending expected;
	int rc = 0;

	world->operations++;
	if (world->store)
		rc = ur_store_end_snapshot(world->store, agent, count,
					   keep_percent, may_count,
					   world->now_us, &ending);
	if (failed(world, "end snapshot", rc))
		return ending;
	/* Who may not look may refuse; then it is an END with a wrong count. */
	if (!may_count && ending == UR_ENDING_REFUSED && it->is_open)
		count = it->maps + 1;
	expected = oracle_end(&world->oracle, agent, count, keep_percent,
			      world->now_us);
	trace(world, "agent %u end %ju keep %u may %d: %d", agent,
	      (uintmax_t)count, keep_percent, may_count, (int)expected);
	world->endings[expected]++;
	if (world->store && (int)ending != (int)expected)
		world_differ(world, "END of agent %u: %d instead of %d", agent,
			     (int)ending, (int)expected);
	return (enum ur_ending)expected;
}

/*
 * The library keeps the times of REFRESH ALL of a few epochs that have claims,
 * and may refuse (RESYNC 5) one more; dead claims count until collected.
 */
bool world_is_busy(const struct world *world, uint32_t agent)
{
	const struct oracle_agent *it = &world->oracle.agents[agent];
	size_t older = 0;

	for (size_t i = 0; i < ORACLE_ADDRESSES; i++) {
		bool is_new =
		    it->claims[i].user && it->claims[i].epoch < it->epoch;

		for (size_t j = 0; j < i; j++)
			if (it->claims[j].user &&
			    it->claims[j].epoch == it->claims[i].epoch)
				is_new = false;
		older += is_new;
	}
	return older >= UR_EPOCH_FORMERS;
}

bool world_refresh_all(struct world *world, uint32_t agent, uint64_t as_of_us,
		       uint64_t count, bool may_count)
{
	bool is_early = as_of_us > world->now_us + 10 * SECOND;
	uint64_t at_us = as_of_us < world->now_us ? as_of_us : world->now_us;
	bool is_taken = false, expected;
	int rc = 0;

	world->operations++;
	/* The caller of the store looks at the time. */
	if (world->store && is_early)
		rc = ur_store_want_snapshot(world->store, agent, 4);
	else if (world->store)
		rc = ur_store_refresh_all(world->store, agent, at_us, count,
					  may_count, world->now_us, &is_taken);
	if (failed(world, "refresh all", rc))
		return false;
	if (!is_taken && world->store &&
	    (!may_count || world_is_busy(world, agent)))
		count = UINT64_MAX;
	expected = oracle_refresh_all(&world->oracle, agent, as_of_us, count,
				      world->now_us);
	trace(world, "agent %u refresh all %.6f count %ju may %d: %d", agent,
	      (double)(int64_t)(as_of_us - WORLD_START) / 1e6, (uintmax_t)count,
	      may_count, expected);
	world->taken += expected;
	if (world->store && is_taken != expected)
		world_differ(world,
			     "REFRESH ALL of agent %u: %d instead of %d, "
			     "it has %ju",
			     agent, is_taken, expected,
			     (uintmax_t)oracle_count_stated(
				 &world->oracle, agent, world->now_us));
	return expected;
}

static void note_refresh(struct world *world, const struct ur_change *change)
{
	struct world_line *line =
	    &world->lines[change->agent][change->epoch % WORLD_LINES];

	if (line->epoch != change->epoch)
		*line = (struct world_line){change->epoch, 0};
	if (line->refreshed_us < change->deadline_us)
		line->refreshed_us = change->deadline_us;
}

static void take_changes(struct world *world)
{
	struct ur_change change;

	while (world->store &&
	       ur_store_next_change(world->store, &change) == 1) {
		if (change.kind == UR_CHANGE_ANSWER)
			show(world, &change);
		else if (change.kind == UR_CHANGE_REFRESHED)
			note_refresh(world, &change);
		else if (change.epoch > world->floors[change.agent])
			world->floors[change.agent] = change.epoch;
	}
}

void world_commit(struct world *world)
{
	trace(world, "commit");
	if (!world->store)
		return;
	failed(world, "commit",
	       ur_store_commit(world->store, world->now_us, world->wall_us));
	take_changes(world);
}

void world_abort(struct world *world)
{
	trace(world, "abort");
	world->oracle = world->committed;
	if (!world->store)
		return;
	ur_store_abort(world->store);
	take_changes(world);
}

void world_accept(struct world *world, uint32_t agent)
{
	bool has_old =
	    oracle_count(&world->oracle, agent, world->now_us) >
	    oracle_count_stated(&world->oracle, agent, world->now_us);
	bool expected = oracle_accept(&world->oracle, agent);
	int rc = expected;

	world->operations++;
	trace(world, "agent %u accept: %d", agent, expected);
	if (world->store)
		rc = ur_store_accept_drops(world->store, agent, world->now_us,
					   world->wall_us);
	if (failed(world, "accept", rc))
		return;
	/* Where nothing of it lives any more, either word is right. */
	if (rc != expected && has_old)
		world_differ(world, "accepting of agent %u: %d instead of %d",
			     agent, rc, expected);
	take_changes(world);
}

void world_collect(struct world *world, size_t rows)
{
	world->operations++;
	trace(world, "collect %zu", rows);
	if (!world->store)
		return;
	failed(world, "collect",
	       ur_store_collect(world->store, rows, world->now_us,
				world->wall_us));
	take_changes(world);
}

void world_settle(struct world *world, uint64_t at_us)
{
	int rc;

	if (!world->store)
		return;
	/* A slice at a time, as a receiver does. */
	while ((rc = ur_store_settle(world->store, 2, at_us)) == 1)
		continue;
	failed(world, "settle", rc);
	take_changes(world);
}

void world_collect_all(struct world *world)
{
	/* A way through may begin in the middle. */
	for (int i = 0; i < 3; i++)
		world_collect(world, 10 * ORACLE_ADDRESSES);
	oracle_collect(&world->oracle, world->now_us);
}

struct keeping {
	const struct world *world;
	uint32_t agent; /* that loses some addresses */
	size_t first;
};

static bool keep(void *user, uint32_t agent, struct uidrecv_address address,
		 const struct ur_claim *claim)
{
	const struct keeping *keeping = user;

	(void)claim;
	return keeping->world->oracle.agents[agent].name &&
	       (agent != keeping->agent ||
		world_index(address) < keeping->first);
}

void world_reload(struct world *world)
{
	struct keeping keeping = {world, 0, 0};

	/* Markers that a new order would give a meaning again go before. */
	world->now_us = world->now_us / SECOND * SECOND + SECOND + 1;
	world_collect_all(world);
	keeping.agent = (uint32_t)world_draw(world, ORACLE_AGENTS);
	keeping.first = world_draw(world, ORACLE_ADDRESSES);
	for (uint32_t id = 1; id < ORACLE_AGENTS; id++) {
		struct oracle_agent *it = &world->oracle.agents[id];

		it->name = world_draw(world, 10) ? names[id] : NULL;
		it->priority = 10 * (uint32_t)world_draw(world, 3);
		for (size_t i = 0; i < ORACLE_ADDRESSES; i++)
			if (!keep(&keeping, id, world_address(i), NULL))
				oracle_forget(&world->oracle, id, i);
		trace(world, "agent %u: %s %u", id,
		      it->name ? it->name : "none", it->priority);
	}
	trace(world, "agent %u loses addresses from %zu on", keeping.agent,
	      keeping.first);
	if (world->store)
		failed(world, "restrict",
		       ur_store_restrict(world->store, world->now_us,
					 world->wall_us, keep, &keeping));
	take_changes(world);
	use_ranks(world);
	show_all(world);
}
