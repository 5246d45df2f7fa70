/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The store against an oracle that keeps every statement and thinks it all
 * through again for each question, by the words of doc/protocol.md section 8.
 */
#include "systems.h"

#define AGENTS 4
#define ADDRESSES 6
/* Blocks that an agent's system has here; each is a place, as addresses are. */
#define BLOCKS 2
#define PLACES (ADDRESSES + AGENTS * BLOCKS)
#define SAID_MAX 4000
#define QUOTA 5
/* Delays stay below the horizon of the markers. */
#define DELAY 1500

struct said {
	struct ur_statement statement;
	size_t index;
	uint32_t agent, epoch;
	uint64_t now_us;
	uint64_t ended_by; /* the round that ended its block; 0: none */
};

/* What an agent's system is, and how many blocks changed hands. */
struct host {
	bool exists;
	bool has[ADDRESSES];
	int cut;
	uint64_t taken;
};

struct oracle {
	struct said said[SAID_MAX];
	size_t count;
	struct host hosts[AGENTS + 1];
	uint64_t round;
};

/* The first block is everywhere the same key; the last cut has no other one. */
#define CUTS 3
static const struct {
	uint32_t block_size;
	uint16_t starts[BLOCKS];
	bool is_reserved;
} cuts[CUTS] = {
    {200, {20000, 20200}, false},
    {400, {20000, 20400}, false},
    {200, {20000, 20200}, true},
};

/* What one agent says of one address in the end, and its markers. */
struct stance {
	bool has_claim;
	const char *user;
	uint64_t event_us, raw_us, deadline_us, token;
	uint32_t lifetime_s, epoch;
	bool has_token;
};

static struct box box;
static struct oracle oracle;
static const char *const users[] = {"ada", "bob", "eve"};

/* What lookups would see: what the changes said. */
static struct {
	char user[8];
	uint64_t deadline_us;
	uint32_t system; /* its agent; 0: none */
	uint32_t block_size;
} shown[PLACES];

static struct uidrecv_address address_of(size_t index)
{
	static const uint8_t bytes[16] = {0x20, 1, 0xd, 0xb8};
	struct uidrecv_address address = uidrecv_address_from_ipv6(bytes);

	if (index < ADDRESSES / 2)
		return uidrecv_address_from_ipv4(0x0a000000 + (uint32_t)index);
	address.lo = index;
	return address;
}

static size_t index_of(struct uidrecv_address address)
{
	if (ur_block_is_key(address))
		return ADDRESSES + (ur_block_agent(address) - 1) * BLOCKS +
		       (ur_block_start(address) != 20000);
	return uidrecv_address_is_ipv4(address) ? address.lo & 0xff
						: address.lo;
}

static bool logout_ends(const struct ur_statement *logout,
			const struct stance *claim)
{
	if (logout->user && strcmp(logout->user, claim->user) != 0)
		return false;
	if (logout->has_token &&
	    (!claim->has_token || claim->token != logout->token))
		return false;
	if (logout->user || logout->has_token)
		return claim->event_us <= logout->event_us;
	return claim->event_us < logout->event_us;
}

/* Lives end with a millisecond. */
static uint64_t whole_ms(uint64_t time_us)
{
	return time_us / 1000 * 1000;
}

static void judge_map(struct stance *claim, const struct said *said)
{
	const struct ur_statement *map = &said->statement;
	uint64_t deadline_us =
	    map->lifetime_s == UIDRECV_LIFETIME_NEVER
		? UR_TIME_NEVER
		: whole_ms(map->as_of_us + map->lifetime_s * SECOND);
	bool lives = claim->has_claim && said->now_us < claim->deadline_us;
	bool keeps_token = false;

	if (lives && strcmp(claim->user, map->user) == 0 &&
	    (claim->event_us == map->event_us ||
	     claim->raw_us == map->event_raw_us)) {
		if (deadline_us > claim->deadline_us)
			claim->deadline_us = deadline_us;
		keeps_token = !map->has_token;
	} else if (lives && claim->epoch == said->epoch &&
		   claim->event_us > map->event_us) {
		return;
	} else {
		claim->event_us = map->event_us;
		claim->raw_us = map->event_raw_us;
		claim->deadline_us = deadline_us;
	}
	claim->has_claim = true;
	claim->user = map->user;
	claim->lifetime_s = map->lifetime_s;
	if (!keeps_token) {
		claim->has_token = map->has_token;
		claim->token = map->token;
	}
	claim->epoch = said->epoch;
}

/* Returns what the store should have said to the last statement. */
static int judge(struct stance *claim, const struct said *said)
{
	const struct ur_statement *it = &said->statement;
	uint64_t deadline_us;

	switch (it->op) {
	case UIDRECV_OP_MAP:
		judge_map(claim, said);
		return 0;
	case UIDRECV_OP_REFRESH:
		if (!claim->has_claim || said->now_us >= claim->deadline_us ||
		    (it->user && strcmp(it->user, claim->user) != 0))
			return UIDRECV_REJECT_NOT_FOUND;
		if (it->lifetime_s)
			claim->lifetime_s = it->lifetime_s;
		deadline_us =
		    whole_ms(it->as_of_us + claim->lifetime_s * SECOND);
		if (claim->lifetime_s == UIDRECV_LIFETIME_NEVER)
			deadline_us = UR_TIME_NEVER;
		if (deadline_us > claim->deadline_us)
			claim->deadline_us = deadline_us;
		claim->epoch = said->epoch;
		return 0;
	case UIDRECV_OP_LOGOUT:
		if (claim->has_claim && logout_ends(it, claim))
			claim->has_claim = false;
		return 0;
	default:
		claim->has_claim = false;
		return 0;
	}
}

static struct stance stance_of(uint32_t agent, size_t index, int *ret_last)
{
	struct stance stance = {0};

	for (size_t i = 0; i < oracle.count; i++) {
		const struct said *said = &oracle.said[i];

		if (said->agent == agent && said->index == index &&
		    !said->ended_by)
			*ret_last = judge(&stance, said);
	}
	return stance;
}

static uint64_t living_of(uint32_t agent, uint32_t epoch, uint64_t now_us,
			  uint64_t *ret_stated)
{
	uint64_t count = 0;
	int last;

	*ret_stated = 0;
	for (size_t index = 0; index < PLACES; index++) {
		struct stance stance = stance_of(agent, index, &last);
		bool lives = stance.has_claim && now_us < stance.deadline_us;

		count += lives;
		*ret_stated += lives && stance.epoch == epoch;
	}
	return count;
}

static bool is_suppressed(const struct stance *claim, uint32_t agent,
			  size_t index)
{
	for (size_t i = 0; i < oracle.count; i++) {
		const struct said *said = &oracle.said[i];

		if (said->statement.op == UIDRECV_OP_LOGOUT &&
		    said->index == index && !said->ended_by &&
		    ranks_by_id[said->agent].priority >=
			ranks_by_id[agent].priority &&
		    logout_ends(&said->statement, claim))
			return true;
	}
	return false;
}

/* The user and the end of its life; 0: nobody. */
static uint64_t answer_of(size_t index, uint64_t now_us, const char **ret_user)
{
	struct stance best = {0};
	uint32_t best_agent = 0;
	int last;

	for (uint32_t agent = 1; agent <= AGENTS; agent++) {
		struct stance stance = stance_of(agent, index, &last);
		uint32_t mine = ranks_by_id[agent].priority;
		uint32_t its = ranks_by_id[best_agent].priority;

		if (!stance.has_claim || now_us >= stance.deadline_us ||
		    is_suppressed(&stance, agent, index))
			continue;
		/* Agents of one priority are here in the order of names. */
		if (best_agent &&
		    (its > mine ||
		     (its == mine && best.event_us > stance.event_us)))
			continue;
		best = stance;
		best_agent = agent;
	}
	*ret_user = best.user;
	return best.deadline_us;
}

/* Whose system has the address; 0: none. */
static uint32_t system_of(size_t index)
{
	for (uint32_t agent = 1; index < ADDRESSES && agent <= AGENTS; agent++)
		if (oracle.hosts[agent].has[index])
			return agent;
	return 0;
}

/* Who reads of another cut must not find a block of the former. */
static void check_order(uint32_t agent, uint32_t block_size)
{
	size_t first = ADDRESSES + (agent - 1) * BLOCKS;
	bool is_other = false;

	for (size_t index = 0; index < ADDRESSES; index++)
		is_other |= shown[index].system == agent &&
			    shown[index].block_size != block_size;
	for (size_t index = first; is_other && index < first + BLOCKS; index++)
		cr_assert_eq(shown[index].deadline_us, 0);
}

static int show(void *user, const struct ur_change *change)
{
	size_t index = index_of(change->address);
	bool *told = user; /* of a scan, which tells of each once */

	if (told)
		cr_assert_not(told[index]);
	if (told)
		told[index] = true;
	memset(&shown[index], 0, sizeof(shown[index]));
	if (change->user_size > 0)
		memcpy(shown[index].user, change->user, change->user_size);
	shown[index].deadline_us = change->user_size ? change->deadline_us : 0;
	if (change->block_size) {
		cr_assert_eq(change->user_size, 0);
		cr_assert_eq(change->ports.start, 20000);
		cr_assert_eq(change->ports.count, 1000);
		shown[index].system = change->agent;
		shown[index].block_size = change->block_size;
	}
	return 0;
}

static void take_changes(void)
{
	struct ur_change change;

	while (ur_store_next_change(box.store, &change) > 0) {
		if (change.block_size)
			check_order(change.agent, change.block_size);
		show(NULL, &change);
	}
}

static void check_shown(uint64_t now_us, uint64_t run)
{
	for (size_t index = 0; index < PLACES; index++) {
		uint32_t system = system_of(index);
		const char *user;
		uint64_t deadline_us;

		cr_assert_eq(shown[index].system, system, "seed %ju",
			     (uintmax_t)run);
		if (system) {
			cr_assert_eq(shown[index].block_size,
				     cuts[oracle.hosts[system].cut].block_size,
				     "seed %ju", (uintmax_t)run);
			continue;
		}
		deadline_us = answer_of(index, now_us, &user);
		if (deadline_us == 0) {
			cr_assert(shown[index].deadline_us <= now_us,
				  "seed %ju: %s instead of nobody",
				  (uintmax_t)run, shown[index].user);
			continue;
		}
		cr_assert_eq(shown[index].deadline_us, deadline_us,
			     "seed %ju: place %zu ends at %ju, not %ju",
			     (uintmax_t)run, index,
			     (uintmax_t)shown[index].deadline_us,
			     (uintmax_t)deadline_us);
		cr_assert_str_eq(shown[index].user, user, "seed %ju",
				 (uintmax_t)run);
	}
}

/* Are the counts those of what lives, when nothing is left to collect? */
static void check_counts(const uint32_t *epochs, uint64_t now_us, uint64_t run)
{
	for (int i = 0; i < 2; i++)
		cr_assert_geq(ur_store_collect(box.store, 1000, now_us, now_us),
			      0);
	for (uint32_t agent = 1; agent <= AGENTS; agent++) {
		const struct ur_agent_row *row = box_row(&box, agent);
		uint64_t stated;
		uint64_t living =
		    living_of(agent, epochs[agent], now_us, &stated);

		cr_assert_eq(row->claims, living, "seed %ju", (uintmax_t)run);
		cr_assert_eq(row->epochs.stated, stated, "seed %ju",
			     (uintmax_t)run);
		cr_assert_eq(row->blocks_taken, oracle.hosts[agent].taken,
			     "seed %ju", (uintmax_t)run);
	}
}

static void end_blocks_of(uint32_t agent)
{
	for (size_t i = 0; i < oracle.count; i++)
		if (oracle.said[i].agent == agent &&
		    oracle.said[i].index >= ADDRESSES &&
		    !oracle.said[i].ended_by)
			oracle.said[i].ended_by = oracle.round;
}

/* Any addresses, and most times the cut that the agent has. */
static struct host draw_host(uint64_t *seed, uint32_t agent)
{
	struct host host = oracle.hosts[agent];

	memset(host.has, 0, sizeof(host.has));
	for (uint64_t i = draw(seed, 3) + 1; i > 0; i--)
		host.has[draw(seed, ADDRESSES)] = true;
	if (!host.exists || draw(seed, 3) == 0)
		host.cut = (int)draw(seed, CUTS);
	host.exists = true;
	return host;
}

static struct uidrecv_system system_of_host(const struct host *host,
					    uint64_t *seed)
{
	struct uidrecv_system system = {.ports = {20000, 1000}};
	size_t first = draw(seed, ADDRESSES);

	system.block_size = cuts[host->cut].block_size;
	system.reserved[0] = (struct uidrecv_ports){20399, 1};
	system.reserved_count = cuts[host->cut].is_reserved;
	/* The first is anyone of them, and an alias may be it again. */
	while (!host->has[first])
		first = (first + 1) % ADDRESSES;
	system.address = address_of(first);
	for (size_t index = 0; index < ADDRESSES; index++)
		if (host->has[index])
			system.aliases[system.aliases_count++] =
			    address_of(index);
	return system;
}

static void put_host(uint64_t *seed, uint64_t now_us)
{
	uint32_t agent = 1 + (uint32_t)draw(seed, AGENTS);
	struct host host = draw_host(seed, agent);
	struct uidrecv_system system = system_of_host(&host, seed);
	int expected = 0;

	for (size_t index = 0; index < ADDRESSES; index++)
		if (host.has[index] && system_of(index) &&
		    system_of(index) != agent)
			expected = UIDRECV_REJECT_ADDRESS_TAKEN;
	if (draw(seed, 10) == 0) {
		system.block_size = 1001;
		expected = UIDRECV_REJECT_PORTS_INVALID;
	}
	cr_assert_eq(ur_store_put_system(box.store, agent, &system, now_us),
		     expected);
	if (expected)
		return;
	if (oracle.hosts[agent].exists && oracle.hosts[agent].cut != host.cut)
		end_blocks_of(agent);
	oracle.hosts[agent] = host;
}

/* Makes a statement one about a block; false if there is none such. */
static bool move_to_block(struct ur_statement *it, uint32_t agent, size_t index,
			  size_t block, int cut)
{
	const struct host *host = &oracle.hosts[agent];
	struct uidrecv_ports ports = {cuts[cut].starts[block],
				      cuts[cut].block_size};
	int expected = 0;

	if (!host->exists || !host->has[index])
		expected = UIDRECV_REJECT_NOT_MULTI_USER;
	else if (cuts[host->cut].block_size != ports.count ||
		 (block == 1 && cuts[host->cut].is_reserved))
		expected = UIDRECV_REJECT_PORTS_INVALID;
	cr_assert_eq(ur_store_find_block(box.store, agent, address_of(index),
					 ports, &it->address),
		     expected);
	return expected == 0;
}

static struct ur_statement draw_said(uint64_t *seed, uint64_t now_us,
				     const uint64_t *offset_us)
{
	static const enum uidrecv_op ops[] = {
	    UIDRECV_OP_MAP,	UIDRECV_OP_MAP,	    UIDRECV_OP_MAP,
	    UIDRECV_OP_MAP,	UIDRECV_OP_REFRESH, UIDRECV_OP_LOGOUT,
	    UIDRECV_OP_WITHDRAW};
	uint64_t now = (now_us - START) / SECOND;
	enum uidrecv_op op = ops[draw(seed, 7)];
	uint64_t delay = draw(seed, 4) ? draw(seed, 20) : draw(seed, DELAY);
	struct ur_statement it =
	    say(op, users[draw(seed, 3)], now - delay,
		now - draw(seed, delay + 1), (uint32_t)draw(seed, 400) + 1);

	if (draw(seed, 20) == 0)
		it.lifetime_s = UIDRECV_LIFETIME_NEVER;
	if (op == UIDRECV_OP_WITHDRAW ||
	    (op != UIDRECV_OP_MAP && draw(seed, 2)))
		it.user = NULL;
	if (op == UIDRECV_OP_REFRESH && draw(seed, 2))
		it.lifetime_s = 0;
	if ((op == UIDRECV_OP_MAP || op == UIDRECV_OP_LOGOUT) &&
	    draw(seed, 3) == 0)
		it = with_token(it, draw(seed, 2));
	it.user_size = it.user ? (uint8_t)strlen(it.user) : 0;
	it.event_us += *offset_us;
	it.address = address_of(draw(seed, ADDRESSES));
	return it;
}

/* Says one thing, or an earlier one again with a new as-of time. */
static void say_one(uint64_t *seed, uint64_t now_us, uint64_t *offsets_us,
		    const uint32_t *epochs)
{
	uint32_t agent = 1 + (uint32_t)draw(seed, AGENTS);
	struct said said = {.agent = agent, .now_us = now_us};
	int expected = 0, last;
	struct stance before, former;
	uint64_t stated;

	said.epoch = epochs[agent];
	said.statement = draw_said(seed, now_us, &offsets_us[agent]);
	if (oracle.count && draw(seed, 3) == 0) {
		said.statement =
		    oracle.said[draw(seed, oracle.count)].statement;
		if (said.statement.event_us + DELAY * SECOND < now_us)
			return;
		said.statement.as_of_us = now_us;
		said.statement.event_us =
		    said.statement.event_raw_us + START + offsets_us[agent];
	}
	if (draw(seed, 5) < 2) {
		if (!move_to_block(&said.statement, agent,
				   draw(seed, ADDRESSES), draw(seed, BLOCKS),
				   draw(seed, 4) ? oracle.hosts[agent].cut
						 : (int)draw(seed, CUTS)))
			return;
	} else if (ur_block_is_key(said.statement.address)) {
		return;
	}
	said.index = index_of(said.statement.address);
	before = former = stance_of(agent, said.index, &last);
	if (said.statement.op == UIDRECV_OP_MAP &&
	    !(before.has_claim && now_us < before.deadline_us) &&
	    ur_deadline_us(said.statement.as_of_us, said.statement.lifetime_s) >
		now_us &&
	    living_of(agent, said.epoch, now_us, &stated) >= QUOTA)
		expected = UIDRECV_REJECT_QUOTA;
	else
		expected = judge(&before, &said);
	cr_assert_eq(
	    ur_store_apply(box.store, agent, QUOTA, &said.statement, now_us),
	    expected);
	if (expected != 0)
		return;
	oracle.said[oracle.count++] = said;
	oracle.hosts[agent].taken +=
	    said.index >= ADDRESSES && former.has_claim &&
	    now_us < former.deadline_us && before.has_claim &&
	    now_us < before.deadline_us &&
	    strcmp(former.user, before.user) != 0;
}

/* What the round did is taken back. */
static void undo(size_t count, const struct host *hosts)
{
	oracle.count = count;
	memcpy(oracle.hosts, hosts, sizeof(oracle.hosts));
	for (size_t i = 0; i < count; i++)
		if (oracle.said[i].ended_by == oracle.round)
			oracle.said[i].ended_by = 0;
}

static void round_of(uint64_t *seed, uint64_t now_us, uint64_t *offsets_us,
		     uint32_t *epochs)
{
	struct host hosts[AGENTS + 1];
	size_t count = oracle.count;

	oracle.round++;
	memcpy(hosts, oracle.hosts, sizeof(hosts));
	cr_assert_eq(ur_store_begin(box.store), 0);
	for (uint64_t i = draw(seed, 6); i > 0 && oracle.count < SAID_MAX; i--)
		if (draw(seed, 6))
			say_one(seed, now_us, offsets_us, epochs);
		else
			put_host(seed, now_us);
	if (draw(seed, 8) == 0) {
		ur_store_abort(box.store);
		undo(count, hosts);
		return;
	}
	cr_assert_eq(ur_store_commit(box.store, now_us, now_us), 0);
	take_changes();
}

static void reopen(uint64_t *seed, uint64_t *now_us)
{
	uint64_t base = ur_store_get_base_us(box.store);
	bool told[PLACES] = {false};

	/* A boot goes on from what was written last. */
	*now_us += 10 * SECOND;
	cr_assert_eq(ur_store_tick(box.store, *now_us, *now_us), 0);
	box_close(&box);
	box.options.wall_us = *now_us;
	box.options.boot_us = *now_us - base;
	if (draw(seed, 2)) {
		box.options.boot_id[0]++;
		box.options.boot_us = draw(seed, 100) * SECOND;
		box.options.wall_us += draw(seed, 300) * SECOND;
	}
	cr_assert_eq(box_open(&box), 0);
	/* How time goes on over a boot is tested elsewhere. */
	*now_us = box.options.boot_us + ur_store_get_base_us(box.store);
	for (uint32_t agent = 1; agent <= AGENTS; agent++)
		oracle.hosts[agent].taken = 0;
	memset(shown, 0, sizeof(shown));
	cr_assert_eq(ur_store_scan(box.store, *now_us, show, told), 0);
}

static bool keep_host(void *user, uint32_t agent,
		      const struct uidrecv_system *system)
{
	cr_assert(oracle.hosts[agent].has[index_of(system->address)]);
	return !(*(uint64_t *)user >> agent & 1);
}

static void restrict_hosts(uint64_t *seed, uint64_t now_us)
{
	uint64_t refused = draw(seed, 1u << (AGENTS + 1));

	oracle.round++;
	cr_assert_eq(ur_store_restrict_systems(box.store, now_us, now_us,
					       keep_host, &refused),
		     0);
	for (uint32_t agent = 1; agent <= AGENTS; agent++) {
		struct host *host = &oracle.hosts[agent];

		if (!host->exists || !(refused >> agent & 1))
			continue;
		cr_assert_eq(box_row(&box, agent)->epochs.wanted,
			     UIDRECV_RESYNC_GAP);
		end_blocks_of(agent);
		host->exists = false;
		memset(host->has, 0, sizeof(host->has));
	}
}

static void next_epoch(uint64_t *seed, uint32_t *epochs, uint64_t now_us)
{
	uint32_t agent = 1 + (uint32_t)draw(seed, AGENTS);

	epochs[agent]++;
	cr_assert_eq(ur_store_begin(box.store), 0);
	cr_assert_eq(ur_store_begin_snapshot(box.store, agent), 0);
	cr_assert_eq(ur_store_commit(box.store, now_us, now_us), 0);
}

static void run_model(uint64_t run, int steps)
{
	uint64_t seed = run * 1000003, now_us = START + 2000 * SECOND;
	uint64_t offsets_us[AGENTS + 1] = {0};
	uint32_t epochs[AGENTS + 1] = {0};

	oracle.count = 0;
	memset(oracle.hosts, 0, sizeof(oracle.hosts));
	memset(shown, 0, sizeof(shown));
	for (int i = 0; i < steps && oracle.count < SAID_MAX; i++) {
		uint64_t what = draw(&seed, 40);

		now_us += draw(&seed, 3) ? draw(&seed, 20 * SECOND)
					 : draw(&seed, 300 * SECOND);
		if (what == 0)
			reopen(&seed, &now_us);
		else if (what == 1)
			next_epoch(&seed, epochs, now_us);
		else if (what == 2)
			offsets_us[1 + draw(&seed, AGENTS)] =
			    draw(&seed, 5 * SECOND);
		else if (what < 5)
			cr_assert_geq(ur_store_collect(box.store,
						       draw(&seed, 8), now_us,
						       now_us),
				      0);
		else if (what == 5)
			restrict_hosts(&seed, now_us);
		else if (what == 6)
			check_counts(epochs, now_us, run);
		else
			round_of(&seed, now_us, offsets_us, epochs);
		cr_assert_eq(ur_store_settle(box.store, 1000, now_us), 0);
		take_changes();
		check_shown(now_us, run);
	}
}

static void done(void)
{
	box_done(&box);
}

TestSuite(store_model, .fini = done, .timeout = 3000);

/* The two ends of the seeds run side by side. */
static void run_seeds(uint64_t first, uint64_t last)
{
	if (getenv("UIDRECV_TEST_LONG"))
		last = first + 10 * (last - first);
	for (uint64_t run = first; run < last; run++) {
		box_start(&box);
		run_model(run, 50);
		box_done(&box);
	}
}

Test(store_model, P25_many_short_runs_agree)
{
	run_seeds(0, 1500);
}

Test(store_model, P25_as_many_others_agree)
{
	run_seeds(100000, 101500);
}

Test(store_model, P25_long_runs_agree)
{
	uint64_t runs = getenv("UIDRECV_TEST_LONG") ? 60 : 6;

	for (uint64_t run = 1; run < runs; run++) {
		box_start(&box);
		run_model(run << 32, 700);
		box_done(&box);
	}
}
