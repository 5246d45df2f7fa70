/* SPDX-License-Identifier: BSD-2-Clause */
#include "store-check.h"

#include <fcntl.h>

#include "stores.h"

#define COUNT 4000

static struct box box;
static uint8_t whole[8 << 20], damaged[8 << 20];
static size_t size;

static void read_whole(void)
{
	int fd = open(box.data, O_RDONLY);
	ssize_t got = read(fd, whole, sizeof(whole));

	close(fd);
	cr_assert_gt(got, 0);
	cr_assert_lt((size_t)got, sizeof(whole));
	size = (size_t)got;
}

static void write_file(const uint8_t *bytes, size_t count)
{
	int fd = open(box.data, O_WRONLY | O_TRUNC);

	cr_assert_eq(write(fd, bytes, count), (ssize_t)count);
	close(fd);
}

static int apply(uint32_t i, enum uidrecv_op op)
{
	struct ur_statement it;
	char user[200];

	/* Some do not fit into a page with others. */
	snprintf(user, sizeof(user), "%u-%0*u", i, i % 7 == 0 ? 180 : 1, 7u);
	it = at(say(op, op == UIDRECV_OP_MAP ? user : NULL, 1, 1, 3600),
		i * 2654435761u);
	if (i % 3 == 0)
		it.address.hi = 1;
	return ur_store_apply(box.store, 1 + i % 3, COUNT, &it, START + SECOND);
}

static void commit(void)
{
	cr_assert_eq(ur_store_commit(box.store, START + SECOND, START), 0);
}

/* Of so many codes that they need overflow pages. */
static void put_refusals(uint64_t serial)
{
	struct ur_refusal list[700];

	for (uint32_t i = 0; i < 700; i++)
		list[i] = (struct ur_refusal){i, (uint16_t)(i % 60 + 1)};
	cr_assert_eq(ur_store_put_rejects(box.store, 1, serial, list, 700), 0);
}

static void start(void)
{
	box_start(&box);
	for (uint32_t i = 0; i < COUNT; i += 500) {
		cr_assert_eq(ur_store_begin(box.store), 0);
		for (uint32_t j = i; j < i + 500; j++)
			cr_assert_eq(apply(j, UIDRECV_OP_MAP), 0);
		put_refusals(i + 1);
		for (uint32_t j = i; j < i + 500; j += 9)
			cr_assert_eq(apply(j, UIDRECV_OP_WITHDRAW), 0);
		commit();
	}
	box_close(&box);
	read_whole();
}

static void done(void)
{
	box_done(&box);
}

TestSuite(store_check, .init = start, .fini = done, .timeout = 250);

static int see(void *user, const struct ur_change *answer)
{
	size_t *count = user;
	char text[256] = "";
	uint32_t i;

	memcpy(text, answer->user, answer->user_size);
	i = (uint32_t)strtoul(text, NULL, 10);
	cr_assert_eq((uint32_t)answer->address.lo, i * 2654435761u);
	++*count;
	return 0;
}

/* Opens what is there and uses it. Returns what opening did. */
static int use(size_t *ret_count)
{
	int rc = box_open(&box);

	*ret_count = 0;
	if (rc < 0)
		return rc;
	if (ur_store_scan(box.store, START + SECOND, see, ret_count) < 0)
		*ret_count = 0;
	if (ur_store_begin(box.store) == 0) {
		for (uint32_t i = 0; i < 100; i++)
			if (apply(i, UIDRECV_OP_MAP) < 0)
				break;
		(void)ur_store_drop_rejects(box.store, 1, COUNT);
		(void)!ur_store_commit(box.store, START + SECOND, START);
	}
	box_close(&box);
	return 0;
}

Test(store_check, a_healthy_store_passes)
{
	size_t count;

	cr_assert_eq(use(&count), 0);
	cr_assert_eq(count, COUNT - COUNT / 500 * 56);
}

Test(store_check, S13_every_truncation_is_refused_or_harmless)
{
	size_t expected = COUNT - COUNT / 500 * 56, count;

	for (size_t cut = 0; cut < size; cut += 4096) {
		int rc;

		write_file(whole, cut);
		rc = use(&count);
		/* Only pages that hold nothing may be missing. */
		cr_assert(rc == UIDRECV_E_STORE_DAMAGED ||
			      (rc == 0 && count == expected),
			  "%zu: %d", cut, rc);
	}
}

static void damage_randomly(uint64_t run, uint64_t flips, size_t below)
{
	uint64_t seed = run;
	size_t count;

	memcpy(damaged, whole, size);
	for (uint64_t i = 0; i < flips; i++)
		damaged[draw(&seed, below)] ^= (uint8_t)(1 << draw(&seed, 8));
	write_file(damaged, size);
	(void)use(&count);
}

Test(store_check, S15_flipped_bits_give_no_crash_and_no_wrong_user)
{
	for (uint64_t run = 0; run < 400; run++)
		damage_randomly(run, 8, size);
}

Test(store_check, S15_flipped_bits_at_the_start_of_pages)
{
	for (uint64_t run = 0; run < 400; run++) {
		uint64_t seed = run;
		size_t page = draw(&seed, size / 4096) * 4096;
		size_t count;

		memcpy(damaged, whole, size);
		for (int i = 0; i < 2; i++)
			damaged[page + draw(&seed, 160)] ^=
			    (uint8_t)(1 << draw(&seed, 8));
		write_file(damaged, size);
		(void)use(&count);
	}
}

Test(store_check, S15_a_page_of_another_place_is_found)
{
	size_t count;

	for (uint64_t run = 0; run < 200; run++) {
		uint64_t seed = run;
		size_t from = draw(&seed, size / 4096) * 4096;
		size_t to = draw(&seed, size / 4096) * 4096;

		memcpy(damaged, whole, size);
		memcpy(damaged + to, whole + from, 4096);
		write_file(damaged, size);
		(void)use(&count);
	}
}
