/* SPDX-License-Identifier: BSD-2-Clause */
#include <unistd.h>

#include "world.h"

static const char *const names[ORACLE_AGENTS] = {NULL, "b",   "a", "a.b",
						 "c",  "a.c", "zz"};
static const uint32_t priorities[ORACLE_AGENTS] = {0, 10, 10, 10, 20, 20, 30};

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

/* Those of the oracle's agents; the store may have the former ones still. */
static struct ur_ranks make_ranks(struct world *world)
{
	struct ur_rank *ranks = world->ranks[world->ranks_used ^= 1];

	for (uint32_t id = 1; id < ORACLE_AGENTS; id++) {
		ranks[id].name = world->oracle.agents[id].name;
		ranks[id].priority = world->oracle.agents[id].priority;
	}
	return (struct ur_ranks){ranks, ORACLE_AGENTS};
}

int world_show(void *user, const struct ur_change *answer)
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

static void show_nothing(struct world *world)
{
	memset(world->shown, 0, sizeof(world->shown));
	memset(world->lines, 0, sizeof(world->lines));
	memset(world->floors, 0, sizeof(world->floors));
}

/* As a new table is filled. */
static void show_all(struct world *world)
{
	show_nothing(world);
	if (world->store)
		world_failed(world, "scan",
			     ur_store_scan(world->store, world->now_us,
					   world_show, world));
	if (world->store)
		world_table_make(world);
}

void world_open(struct world *world)
{
	int rc = ur_store_open(&world->store, &world->options);

	if (world_failed(world, "open", rc)) {
		world->store = NULL;
		return;
	}
	ur_store_set_ranks(world->store, make_ranks(world));
	world->now_us =
	    world->options.boot_us + ur_store_get_base_us(world->store);
	world_table_find_former(world);
	if (world->is_boot)
		world_table_lose(world);
	/* A receiver without a list of agents collects, and has no table. */
	if (world->lends && world_draw(world, 2))
		world_collect(world, 2 * ORACLE_ADDRESSES);
	show_all(world);
}

void world_close(struct world *world)
{
	ur_store_close(world->store);
	world->store = NULL;
	world_table_close(world, world->is_boot);
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
	world_table_make(world);
	world_begin(world);
	for (uint32_t id = 1; id < ORACLE_AGENTS; id++)
		world_session(world, id, 100 * id);
	world_commit(world);
}

static void start(struct world *world)
{
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

void world_init(struct world *world, uint64_t seed)
{
	world_init_alone(world, seed);
	start(world);
}

void world_init_lending(struct world *world, uint64_t seed)
{
	world_init_alone(world, seed);
	world->lends = true;
	start(world);
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

	world_trace(world, "restart boot %d off %ju step %jd", is_boot,
		    (uintmax_t)off_us, (intmax_t)wall_step_us);
	/* What was not written would be told again after a boot. */
	world->now_us += 10 * SECOND;
	world_failed(
	    world, "tick",
	    ur_store_tick(world->store, world->now_us, world->wall_us));
	before_us = world->now_us;
	world->is_boot = is_boot;
	world_close(world);
	world->wall_us += off_us + (uint64_t)wall_step_us;
	world->options.wall_us = world->wall_us;
	world->options.boot_us = before_us + off_us - base;
	if (is_boot) {
		world->options.boot_id[0]++;
		world->options.boot_us = 10 * SECOND;
	}
	world_open(world);
	world->is_boot = false;
	if (world->now_us < before_us)
		world_differ(world, "time went back by %ju",
			     (uintmax_t)(before_us - world->now_us));
}

struct keeping {
	struct world *world;
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

static int show_and_put(void *user, const struct ur_change *answer)
{
	const struct keeping *keeping = user;

	(void)world_show(keeping->world, answer);
	return world_table_put(keeping->world, answer);
}

/* The table is filled by the walk that drops. */
static void restrict_store(struct world *world, struct keeping *keeping)
{
	struct ur_change stale;
	struct ur_store_list list = {make_ranks(world), keep, show_and_put,
				     keeping};

	world_table_begin(world);
	world_failed(world, "restrict",
		     ur_store_restrict(world->store, world->now_us,
				       world->wall_us, &list));
	while (ur_store_next_change(world->store, &stale) == 1)
		;
	ur_store_set_ranks(world->store, list.ranks);
	world_table_end(world);
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
		world_trace(world, "agent %u: %s %u", id,
			    it->name ? it->name : "none", it->priority);
	}
	world_trace(world, "agent %u loses addresses from %zu on",
		    keeping.agent, keeping.first);
	world_take_changes(world);
	show_nothing(world);
	if (world->store)
		restrict_store(world, &keeping);
}
