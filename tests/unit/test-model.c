/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random operations on a table and on an array that says what must come out.
 * MODEL_SEEDS says how many seeds, MODEL_SEED which one first.
 */
#include <criterion/criterion.h>

#include "../table-helper.h"

#define FEW 24
#define MANY 2000

static const char *const users[] = {
    "a",
    "bob",
    "CORP\\alice",
    "twenty-bytes-exactly",
    "one-and-twenty-bytes!",
    "someone-with-a-rather-long-name-and-a-domain@corp.example"};

struct oracle {
	uint64_t deadline_us; /* 0: nobody */
	uint64_t change;
	unsigned int user;
	uint8_t agent;
	uint8_t source;
};

struct model {
	uint64_t seed;
	uint64_t base_us;
	uint64_t now_us; /* of the boot clock */
	uint64_t change; /* the last seen in the status */
	struct ur_table *table;
	struct uidrecv_reader *reader;
	size_t count;
	struct oracle oracle[MANY];
};

static struct scratch scratch;
static uint64_t last_seed;

static void setup(void)
{
	scratch_init(&scratch);
}

static void teardown(void)
{
	/* The one that failed, if one did. */
	fprintf(stderr, "model: last seed %llu\n",
		(unsigned long long)last_seed);
	scratch_done(&scratch);
}

TestSuite(model, .init = setup, .fini = teardown, .timeout = 280);

static uint64_t draw(struct model *model, uint64_t below)
{
	return next_random(&model->seed) % below;
}

static struct uidrecv_address address_of(size_t i)
{
	if (i % 2)
		return (struct uidrecv_address){UINT64_C(0x20010db8) << 32, i};
	return uidrecv_address_from_ipv4((uint32_t)(0x0a000000 + i));
}

static bool is_alive(const struct model *model, size_t i)
{
	uint64_t deadline_us = model->oracle[i].deadline_us;

	if (deadline_us == UINT64_MAX)
		return true;
	return model->now_us + model->base_us < deadline_us / 1000 * 1000;
}

static void publish(struct model *model, size_t i)
{
	struct oracle *oracle = &model->oracle[i];
	struct ur_table_answer answer = {
	    .address = address_of(i),
	    .deadline_us = oracle->deadline_us,
	    .agent = oracle->agent,
	    .source = oracle->source,
	    .user_size = (uint8_t)strlen(users[oracle->user]),
	    .user = users[oracle->user],
	};

	cr_assert_eq(
	    ur_table_put(model->table, &answer, model->now_us + model->base_us),
	    0);
}

static void start(struct model *model)
{
	struct ur_table_options options = {.path = scratch.path,
					   .group = (gid_t)-1,
					   .base_us = model->base_us};

	cr_assert_eq(ur_table_create(&model->table, &options), 0);
	cr_assert_eq(ur_table_add_agent(model->table, 1, "dc1", 3), 0);
	cr_assert_eq(ur_table_add_agent(model->table, 2, "vpn-gate", 8), 0);
	for (size_t i = 0; i < model->count; i++) {
		if (is_alive(model, i))
			publish(model, i);
		model->oracle[i].change = 0;
	}
	cr_assert_eq(ur_table_publish(model->table), 0);
}

static void put_any(struct model *model, size_t i)
{
	struct oracle *oracle = &model->oracle[i];
	struct oracle former = *oracle;
	bool was_alive = is_alive(model, i);

	oracle->deadline_us =
	    draw(model, 4) == 0
		? UINT64_MAX
		: model->now_us + model->base_us + draw(model, 5000000);
	if (draw(model, 3) > 0) {
		oracle->user = (unsigned int)draw(model, 6);
		oracle->agent = (uint8_t)(1 + draw(model, 2));
		oracle->source = (uint8_t)draw(model, 11);
	}
	if (oracle->agent == 0)
		oracle->agent = 1;
	publish(model, i);
	if (!was_alive || former.user != oracle->user ||
	    former.agent != oracle->agent || former.source != oracle->source)
		oracle->change = 0;
}

static void check(struct model *model, size_t i)
{
	struct oracle *oracle = &model->oracle[i];
	struct uidrecv_mapping mapping;
	int r = look_at(model->reader, address_of(i), model->now_us, &mapping);

	cr_assert_eq(r, is_alive(model, i));
	if (r == 0)
		return;
	cr_assert_str_eq(mapping.user, users[oracle->user]);
	cr_assert_str_eq(mapping.agent,
			 oracle->agent == 1 ? "dc1" : "vpn-gate");
	cr_assert_eq(mapping.source, oracle->source);
	if (oracle->deadline_us == UINT64_MAX)
		cr_assert_eq(mapping.expires_in_ms, UINT64_MAX);
	else
		cr_assert_leq(
		    mapping.expires_in_ms,
		    (oracle->deadline_us - model->base_us - model->now_us) /
			1000);
	/* 0: a new number is due, higher than all that were seen. */
	if (oracle->change == 0)
		cr_assert_gt(mapping.change, model->change);
	else
		cr_assert_eq(mapping.change, oracle->change);
	oracle->change = mapping.change;
}

static void check_all(struct model *model)
{
	struct uidrecv_cursor cursor = {0, 0};
	struct uidrecv_reader_status status;
	struct uidrecv_mapping mapping;
	size_t living = 0;
	int r;

	for (size_t i = 0; i < model->count; i++) {
		check(model, i);
		living += is_alive(model, i);
	}
	while ((r = uidrecv_reader_next(model->reader, &cursor, model->now_us,
					&mapping)) == 1)
		living--;
	cr_assert_eq(r, 0);
	cr_assert_eq(living, 0);
	cr_assert_eq(
	    uidrecv_reader_get_status(model->reader, model->now_us, &status),
	    0);
	cr_assert_geq(status.change, model->change);
	model->change = status.change;
}

static void operate(struct model *model)
{
	size_t i = (size_t)draw(model, model->count);
	uint64_t what = draw(model, 100);

	if (what < 60) {
		put_any(model, i);
		check(model, i);
	} else if (what < 70) {
		model->oracle[i].deadline_us = 0;
		publish(model, i);
		check(model, i);
	} else if (what < 80) {
		model->now_us += draw(model, 500000);
	} else if (what < 99) {
		check(model, i);
	} else {
		check_all(model);
		ur_table_close(model->table);
		start(model);
		check_all(model);
	}
	/* A change that nobody looked at must still be newer than this. */
	if (draw(model, 40) == 0)
		check_all(model);
}

static void run(struct model *model, uint64_t seed, size_t count,
		unsigned int operations)
{
	memset(model, 0, sizeof(*model));
	model->seed = seed;
	model->count = count;
	model->base_us = draw(model, 2) ? 0 : draw(model, UINT64_C(1) << 51);
	model->now_us = ur_clock_boot_us();
	unlink(scratch.path);
	start(model);
	model->reader = open_reader(scratch.path);
	for (unsigned int i = 0; i < operations; i++)
		operate(model);
	check_all(model);
	uidrecv_reader_close(model->reader);
	ur_table_close(model->table);
}

static uint64_t get_number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

Test(model, P25_table_and_array_agree)
{
	uint64_t first = get_number("MODEL_SEED", 1);
	uint64_t seeds = get_number("MODEL_SEEDS",
				    getenv("UIDRECV_TEST_LONG") ? 20000 : 2000);
	static struct model model;

	for (uint64_t seed = first; seed < first + seeds; seed++) {
		bool is_large = seed % 100 == 0;

		last_seed = seed;
		run(&model, seed, is_large ? MANY : FEW, is_large ? 5000 : 300);
	}
}
