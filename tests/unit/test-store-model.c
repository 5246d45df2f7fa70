/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The store against an oracle that keeps every statement and thinks it all
 * through again for each question, by the words of doc/protocol.md section 8.
 */
#include "stores.h"

#define AGENTS 4
#define ADDRESSES 6
#define SAID_MAX 4000
#define QUOTA 4
/* Delays stay below the horizon of the markers. */
#define DELAY 1500

struct said {
	struct ur_statement statement;
	uint32_t agent, epoch;
	uint64_t now_us;
};

struct oracle {
	struct said said[SAID_MAX];
	size_t count;
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
} shown[ADDRESSES];

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

		if (said->agent == agent &&
		    index_of(said->statement.address) == index)
			*ret_last = judge(&stance, said);
	}
	return stance;
}

static uint64_t living_of(uint32_t agent, uint64_t now_us)
{
	uint64_t count = 0;
	int last;

	for (size_t index = 0; index < ADDRESSES; index++) {
		struct stance stance = stance_of(agent, index, &last);

		count += stance.has_claim && now_us < stance.deadline_us;
	}
	return count;
}

static bool is_suppressed(const struct stance *claim, uint32_t agent,
			  size_t index)
{
	for (size_t i = 0; i < oracle.count; i++) {
		const struct said *said = &oracle.said[i];

		if (said->statement.op == UIDRECV_OP_LOGOUT &&
		    index_of(said->statement.address) == index &&
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

static void take_changes(void)
{
	struct ur_change change;

	while (ur_store_next_change(box.store, &change) > 0) {
		size_t index = index_of(change.address);

		memcpy(shown[index].user, change.user, change.user_size);
		shown[index].user[change.user_size] = '\0';
		shown[index].deadline_us =
		    change.user_size ? change.deadline_us : 0;
	}
}

static int show(void *user, const struct ur_change *change)
{
	size_t index = index_of(change->address);

	(void)user;
	memcpy(shown[index].user, change->user, change->user_size);
	shown[index].user[change->user_size] = '\0';
	shown[index].deadline_us = change->deadline_us;
	return 0;
}

static void check_shown(uint64_t now_us, uint64_t run)
{
	for (size_t index = 0; index < ADDRESSES; index++) {
		const char *user;
		uint64_t deadline_us = answer_of(index, now_us, &user);

		if (deadline_us == 0) {
			cr_assert(shown[index].deadline_us <= now_us,
				  "seed %ju: %s instead of nobody",
				  (uintmax_t)run, shown[index].user);
			continue;
		}
		cr_assert_eq(shown[index].deadline_us, deadline_us,
			     "seed %ju: address %zu ends at %ju, not %ju",
			     (uintmax_t)run, index,
			     (uintmax_t)shown[index].deadline_us,
			     (uintmax_t)deadline_us);
		cr_assert_str_eq(shown[index].user, user, "seed %ju",
				 (uintmax_t)run);
	}
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
	struct stance before;

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
	before = stance_of(agent, index_of(said.statement.address), &last);
	if (said.statement.op == UIDRECV_OP_MAP &&
	    !(before.has_claim && now_us < before.deadline_us) &&
	    ur_deadline_us(said.statement.as_of_us, said.statement.lifetime_s) >
		now_us &&
	    living_of(agent, now_us) >= QUOTA)
		expected = UIDRECV_REJECT_QUOTA;
	else
		expected = judge(&before, &said);
	cr_assert_eq(
	    ur_store_apply(box.store, agent, QUOTA, &said.statement, now_us),
	    expected);
	if (expected == 0)
		oracle.said[oracle.count++] = said;
}

static void round_of(uint64_t *seed, uint64_t now_us, uint64_t *offsets_us,
		     uint32_t *epochs)
{
	size_t count = oracle.count;

	cr_assert_eq(ur_store_begin(box.store), 0);
	for (uint64_t i = draw(seed, 6); i > 0 && oracle.count < SAID_MAX; i--)
		say_one(seed, now_us, offsets_us, epochs);
	if (draw(seed, 8) == 0) {
		ur_store_abort(box.store);
		oracle.count = count;
		return;
	}
	cr_assert_eq(ur_store_commit(box.store, now_us, now_us), 0);
	take_changes();
}

static void reopen(uint64_t *seed, uint64_t *now_us)
{
	uint64_t base = ur_store_get_base_us(box.store);

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
	memset(shown, 0, sizeof(shown));
	cr_assert_eq(ur_store_scan(box.store, *now_us, show, NULL), 0);
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
