/* SPDX-License-Identifier: BSD-2-Clause */
/* Files that are no table, or no longer: an error or unknown, never a crash. */
#include <criterion/criterion.h>

#include "../table-helper.h"

#define ADDRESSES 300
#define EPOCHS 3
#define LINE_BYTES sizeof(struct ur_table_line)
#define NOW_US UINT64_C(1000000000000)

static struct scratch scratch;
static char *bytes;
static size_t size;

static void user_of(uint32_t i, char user[64])
{
	snprintf(user, 64, i % 3 ? "user-%u" : "someone-with-a-long-name-%u",
		 i);
}

/* Those of the first epoch were dropped; nobody must ever see them. */
static bool is_dropped(uint32_t i)
{
	return i % EPOCHS == 0;
}

/*
 * A good table, whole in memory: of three epochs the first was dropped, and
 * what the last one says lives by REFRESH ALL alone.
 */
static void setup(void)
{
	struct ur_table *table;
	struct stat status;
	char user[64];
	int fd;

	scratch_init(&scratch);
	table = make_published(scratch.path);
	for (uint32_t i = 0; i < ADDRESSES; i++) {
		struct epoch_put of = {
		    .epoch = i % EPOCHS, .lifetime_s = 3600, .user = user};

		user_of(i, user);
		of.deadline_us = of.epoch == 2 ? NOW_US - 1000000 : 0;
		if (put_of(table, i, of) < 0)
			abort();
	}
	ur_table_drop(table, 1, 1);
	ur_table_refresh(table, 1, 2, NOW_US);
	ur_table_close(table);
	fd = open(scratch.path, O_RDONLY);
	fstat(fd, &status);
	size = (size_t)status.st_size;
	bytes = malloc(size);
	if (read(fd, bytes, size) != (ssize_t)size)
		abort();
	close(fd);
}

static void teardown(void)
{
	free(bytes);
	scratch_done(&scratch);
}

TestSuite(damage, .init = setup, .fini = teardown);

static int look_now(struct uidrecv_reader *reader, uint32_t ipv4,
		    struct uidrecv_mapping *ret_mapping)
{
	return look_at(reader, uidrecv_address_from_ipv4(ipv4), NOW_US,
		       ret_mapping);
}

static int try_open(struct uidrecv_reader **ret_reader)
{
	return uidrecv_reader_open(ret_reader, scratch.path, NULL);
}

static void write_file(size_t count)
{
	int fd = open(scratch.path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (write(fd, bytes, count) != (ssize_t)count)
		abort();
	close(fd);
}

/* Lets a test change the layout as if it had been written so. */
static int open_with(const struct ur_table_layout *layout)
{
	struct ur_table_layout *header = (void *)bytes;
	struct ur_table_layout former = *header;
	struct uidrecv_reader *reader;
	int r;

	*header = *layout;
	header->header_check = ur_layout_check(header);
	write_file(size);
	*header = former;
	r = try_open(&reader);
	if (r == 0)
		uidrecv_reader_close(reader);
	return r;
}

Test(damage, what_is_no_file_is_refused)
{
	struct uidrecv_reader *reader;
	char other[128];

	cr_assert_eq(unlink(scratch.path), 0);
	cr_assert_eq(try_open(&reader), -ENOENT);
	cr_assert_eq(mkdir(scratch.path, 0700), 0);
	cr_assert_eq(try_open(&reader), UIDRECV_E_TABLE);
	cr_assert_eq(rmdir(scratch.path), 0);
	cr_assert_eq(mkfifo(scratch.path, 0600), 0);
	cr_assert_eq(try_open(&reader), UIDRECV_E_TABLE);
	cr_assert_eq(unlink(scratch.path), 0);
	snprintf(other, sizeof(other), "%s.other", scratch.path);
	cr_assert_eq(symlink(other, scratch.path), 0);
	cr_assert_eq(try_open(&reader), -ELOOP);
	cr_assert_eq(uidrecv_reader_open(&reader, "/dev/null", NULL) < 0, true);
}

Test(damage, S13_truncated_at_every_64_bytes_is_refused)
{
	unsigned int fds = count_fds();
	struct uidrecv_reader *reader;

	for (size_t count = 0; count < size; count += 64) {
		cr_assert_eq(truncate(scratch.path, 0), 0);
		write_file(count);
		cr_assert_eq(try_open(&reader), UIDRECV_E_TABLE);
	}
	cr_assert_eq(count_fds(), fds);
}

Test(damage, every_flipped_bit_of_the_layout_is_refused)
{
	for (size_t bit = 0; bit < sizeof(struct ur_table_layout) * 8; bit++) {
		struct uidrecv_reader *reader;
		int r;

		bytes[bit / 8] ^= (char)(1 << bit % 8);
		write_file(size);
		bytes[bit / 8] ^= (char)(1 << bit % 8);
		r = try_open(&reader);
		cr_assert(r == UIDRECV_E_TABLE || r == UIDRECV_E_TABLE_VERSION,
			  "bit %zu: %d", bit, r);
	}
}

Test(damage, every_flipped_byte_of_the_rest_of_the_header_is_survived)
{
	struct uidrecv_reader_status status;
	struct uidrecv_mapping mapping;
	struct uidrecv_reader *reader;

	for (size_t i = sizeof(struct ur_table_layout); i < 4096; i++) {
		bytes[i] ^= (char)0xff;
		write_file(size);
		bytes[i] ^= (char)0xff;
		cr_assert_eq(try_open(&reader), 0);
		cr_assert_eq(look(reader, 1, &mapping), 1);
		cr_assert_str_eq(mapping.user, "user-1");
		cr_assert_eq(uidrecv_reader_get_status(reader, 0, &status), 0);
		uidrecv_reader_close(reader);
	}
}

Test(damage, layouts_that_lie_are_refused)
{
	struct ur_table_layout good = *(struct ur_table_layout *)(void *)bytes;
	struct ur_table_layout layout;

	cr_assert_eq(open_with(&good), 0);
#define CHECK_LIE(field, value, error)                                         \
	layout = good;                                                         \
	layout.field = (value);                                                \
	cr_assert_eq(open_with(&layout), (error))
	CHECK_LIE(version, 1, UIDRECV_E_TABLE_VERSION);
	CHECK_LIE(magic, 1, UIDRECV_E_TABLE);
	CHECK_LIE(generation, 0, UIDRECV_E_TABLE);
	CHECK_LIE(boot_id[5], good.boot_id[5] ^ 1, UIDRECV_E_TABLE_BOOT);
	CHECK_LIE(time_namespace, 1, UIDRECV_E_TABLE_BOOT);
	CHECK_LIE(header_bytes, 4096, UIDRECV_E_TABLE);
	CHECK_LIE(file_bytes, good.file_bytes + 4096, UIDRECV_E_TABLE);
	CHECK_LIE(lines_offset, 0, UIDRECV_E_TABLE);
	CHECK_LIE(lines_max, 0, UIDRECV_E_TABLE);
	CHECK_LIE(lines_max, UINT64_MAX, UIDRECV_E_TABLE);
	CHECK_LIE(lines_max, UR_TABLE_LINES_MAX + 1, UIDRECV_E_TABLE);
	CHECK_LIE(slots_offset, UINT64_MAX - 63, UIDRECV_E_TABLE);
	CHECK_LIE(slots_count, 0, UIDRECV_E_TABLE);
	CHECK_LIE(slots_count, 1000, UIDRECV_E_TABLE);
	CHECK_LIE(slots_count, UINT64_C(1) << 58, UIDRECV_E_TABLE);
	CHECK_LIE(names_offset, good.names_offset - 64, UIDRECV_E_TABLE);
	CHECK_LIE(names_bytes, UINT64_MAX, UIDRECV_E_TABLE);
#undef CHECK_LIE
}

Test(damage, wrong_owner_or_mode_is_refused)
{
	struct uidrecv_reader_options options = UIDRECV_READER_OPTIONS_INIT;
	static const mode_t bad[] = {0620, 0602, 0666, 0664};
	struct uidrecv_reader *reader;

	for (size_t i = 0; i < 4; i++) {
		cr_assert_eq(chmod(scratch.path, bad[i]), 0);
		cr_assert_eq(try_open(&reader), UIDRECV_E_TABLE_OWNER);
	}
	cr_assert_eq(chmod(scratch.path, 0444), 0);
	cr_assert_eq(try_open(&reader), 0);
	uidrecv_reader_close(reader);
	options.owner_uid_plus_1 = (uint64_t)geteuid() + 1;
	cr_assert_eq(uidrecv_reader_open(&reader, scratch.path, &options), 0);
	uidrecv_reader_close(reader);
	options.owner_uid_plus_1 = (uint64_t)geteuid() + 2;
	cr_assert_eq(uidrecv_reader_open(&reader, scratch.path, &options),
		     UIDRECV_E_TABLE_OWNER);
	if (geteuid() != 0)
		cr_skip_test("the rest needs root");
	cr_assert_eq(chown(scratch.path, 12345, (gid_t)-1), 0);
	cr_assert_eq(try_open(&reader), UIDRECV_E_TABLE_OWNER);
	options.owner_uid_plus_1 = 12346;
	cr_assert_eq(uidrecv_reader_open(&reader, scratch.path, &options), 0);
	uidrecv_reader_close(reader);
}

static void check_no_wrong_user(struct uidrecv_reader *reader)
{
	struct uidrecv_cursor cursor = {0, 0};
	struct uidrecv_mapping mapping;
	char user[64];
	int r;

	for (uint32_t i = 0; i < ADDRESSES; i++) {
		r = look_now(reader, i, &mapping);
		cr_assert(r == 1 || r == 0 || r == UIDRECV_E_TABLE, "%d", r);
		user_of(i, user);
		if (r == 1) {
			cr_assert_not(is_dropped(i));
			cr_assert_str_eq(mapping.user, user);
			cr_assert_str_eq(mapping.agent, "dc1");
		}
	}
	do {
		r = uidrecv_reader_next(reader, &cursor, NOW_US, &mapping);
		if (r == 1) {
			cr_assert_not(is_dropped((uint32_t)mapping.address.lo));
			user_of((uint32_t)mapping.address.lo, user);
			cr_assert_str_eq(mapping.user, user);
		}
	} while (r == 1 || r == UIDRECV_E_TABLE);
	cr_assert_eq(r, 0);
}

Test(damage, S15_random_flipped_bits_never_give_a_wrong_user)
{
	struct ur_table_layout *layout = (void *)bytes;
	uint64_t seed = 20261122;
	struct uidrecv_reader *reader;
	int fd;

	write_file(size);
	cr_assert_eq(try_open(&reader), 0);
	fd = open(scratch.path, O_RDWR);
	for (int round = 0; round < 2000; round++) {
		uint64_t from = round % 4 == 0	 ? layout->names_offset
				: round % 4 == 1 ? layout->lines_offset
						 : layout->slots_offset;
		uint64_t room = round % 4 == 0	 ? 8192
				: round % 4 == 1 ? EPOCHS * LINE_BYTES
						 : layout->slots_count * 64;
		off_t at = (off_t)(from + next_random(&seed) % room);
		char flipped = bytes[at] ^ (char)(1 << next_random(&seed) % 8);

		cr_assert_eq(pwrite(fd, &flipped, 1, at), 1);
		check_no_wrong_user(reader);
		cr_assert_eq(pwrite(fd, &bytes[at], 1, at), 1);
	}
	/* And all of them at once, as they come. */
	for (int round = 0; round < 2000; round++) {
		off_t at =
		    (off_t)(layout->slots_offset +
			    next_random(&seed) % (layout->slots_count * 64));
		char flipped;

		cr_assert_eq(pread(fd, &flipped, 1, at), 1);
		flipped ^= (char)(1 << next_random(&seed) % 8);
		cr_assert_eq(pwrite(fd, &flipped, 1, at), 1);
		if (round % 20 == 0)
			check_no_wrong_user(reader);
	}
	close(fd);
	uidrecv_reader_close(reader);
}

static struct ur_table_layout *get_layout(void)
{
	return (void *)bytes;
}

/* Looks all addresses up in what the test made of the bytes. */
static void check_each(int (*expect)(uint32_t i))
{
	struct uidrecv_mapping mapping;
	struct uidrecv_reader *reader;

	write_file(size);
	cr_assert_eq(try_open(&reader), 0);
	for (uint32_t i = 0; i < ADDRESSES; i++)
		cr_assert_eq(look_now(reader, i, &mapping), expect(i), "%u", i);
	uidrecv_reader_close(reader);
}

static int expect_good(uint32_t i)
{
	return !is_dropped(i);
}

static int expect_error(uint32_t i)
{
	(void)i;
	return UIDRECV_E_TABLE;
}

Test(damage, every_flipped_bit_of_a_lines_state_is_an_error)
{
	char *lines = bytes + get_layout()->lines_offset;

	check_each(expect_good);
	for (size_t bit = 0; bit < 64; bit++) {
		for (size_t i = 0; i < EPOCHS; i++)
			lines[i * LINE_BYTES + bit / 8] ^= (char)(1 << bit % 8);
		check_each(expect_error);
		for (size_t i = 0; i < EPOCHS; i++)
			lines[i * LINE_BYTES + bit / 8] ^= (char)(1 << bit % 8);
	}
}

/* The same under a reader that has found it whole before. */
Test(damage, every_flipped_bit_of_a_known_lines_state_is_an_error)
{
	const off_t line = (off_t)(get_layout()->lines_offset + LINE_BYTES);
	struct uidrecv_mapping mapping;
	struct uidrecv_reader *reader;
	int fd;

	write_file(size);
	cr_assert_eq(try_open(&reader), 0);
	fd = open(scratch.path, O_RDWR);
	for (off_t bit = 0; bit < 64; bit++) {
		char flipped = bytes[line + bit / 8] ^ (char)(1 << bit % 8);

		cr_assert_eq(look_now(reader, 1, &mapping), 1);
		cr_assert_eq(pwrite(fd, &flipped, 1, line + bit / 8), 1);
		cr_assert_eq(look_now(reader, 1, &mapping), UIDRECV_E_TABLE);
		cr_assert_eq(
		    pwrite(fd, &bytes[line + bit / 8], 1, line + bit / 8), 1);
	}
	close(fd);
	uidrecv_reader_close(reader);
}

static int expect_nobody(uint32_t i)
{
	(void)i;
	return 0;
}

/* Taking back is one store of the deadline, and must be enough. */
Test(damage, what_was_taken_back_is_gone_even_if_its_rest_is_damaged)
{
	const struct ur_table_layout *layout = get_layout();
	struct ur_slot *slots = (void *)(bytes + layout->slots_offset);

	for (uint64_t n = 0; n < layout->slots_count; n++) {
		uint64_t word[UR_SLOT_WORDS];

		for (int i = 0; i < UR_SLOT_WORDS; i++)
			word[i] = ur_load(&slots[n].word[i]);
		if (ur_meta_seq(word[0]) == 0)
			continue;
		ur_store(&slots[n].word[3],
			 ur_deadline_word(layout->generation, word, 0));
		ur_store(&slots[n].word[4], ~word[4]);
	}
	check_each(expect_nobody);
}

Test(damage, states_of_other_lines_are_errors)
{
	struct ur_table_line *lines =
	    (void *)(bytes + get_layout()->lines_offset);
	uint64_t first = ur_load(&lines[0].state);

	for (size_t i = 0; i + 1 < EPOCHS; i++)
		ur_store(&lines[i].state, ur_load(&lines[i + 1].state));
	ur_store(&lines[EPOCHS - 1].state, first);
	check_each(expect_error);
}

/* Lets all slots name a line, with checks that are right. */
static void set_lines(uint16_t index)
{
	const struct ur_table_layout *layout = get_layout();
	struct ur_slot *slots = (void *)(bytes + layout->slots_offset);

	for (uint64_t n = 0; n < layout->slots_count; n++) {
		uint64_t word[UR_SLOT_WORDS];

		for (int i = 0; i < UR_SLOT_WORDS; i++)
			word[i] = ur_load(&slots[n].word[i]);
		if (ur_meta_seq(word[0]) == 0)
			continue;
		word[0] &= ~(UINT64_C(0xffff) << 32);
		word[0] |= (uint64_t)index << 32;
		word[5] &= ~(uint64_t)UINT32_MAX;
		word[5] |= ur_check_rest(layout->generation, word);
		ur_store(&slots[n].word[0], word[0]);
		ur_store(&slots[n].word[5], word[5]);
	}
}

Test(damage, line_indexes_that_lead_nowhere_are_errors)
{
	uint64_t lines_max = get_layout()->lines_max;

	/* Unused, outside (in the slots and beyond), and the last there is. */
	set_lines(EPOCHS);
	check_each(expect_error);
	set_lines((uint16_t)(lines_max - 1));
	check_each(expect_error);
	set_lines((uint16_t)lines_max);
	check_each(expect_error);
	set_lines(UINT16_MAX);
	check_each(expect_error);
}

/* A state that is right, where there is no line of this table any more. */
Test(damage, line_indexes_outside_are_errors_whatever_lies_there)
{
	const struct ur_table_layout *layout = get_layout();
	struct ur_table_line *lines = (void *)(bytes + layout->lines_offset);
	uint16_t index = (uint16_t)layout->lines_max;
	struct uidrecv_mapping mapping;
	struct uidrecv_reader *reader;

	cr_assert_leq((index + 1) * LINE_BYTES,
		      layout->names_offset - layout->lines_offset);
	memset(&lines[index], 0, LINE_BYTES);
	memcpy(lines[index].name, "dc1", 3);
	lines[index].check = ur_line_check(layout->generation, "dc1", 3);
	ur_store(&lines[index].state,
		 ur_line_word(layout->generation, index, NOW_US / 1000));
	set_lines(index);
	write_file(size);
	cr_assert_eq(try_open(&reader), 0);
	for (uint32_t i = 0; i < ADDRESSES; i++)
		cr_assert_neq(look_now(reader, i, &mapping), 1);
	uidrecv_reader_close(reader);
}

Test(damage, a_full_table_does_not_hold_a_reader)
{
	struct ur_table_layout *layout = (void *)bytes;
	struct uidrecv_reader *reader;
	struct uidrecv_mapping mapping;

	for (uint64_t i = 0; i < layout->slots_count; i++)
		memset(bytes + layout->slots_offset + i * 64, 0xaa, 64);
	write_file(size);
	cr_assert_eq(try_open(&reader), 0);
	/* No address lies as far from its home as this was searched. */
	cr_assert_eq(look(reader, 1, &mapping), 0);
	uidrecv_reader_close(reader);
}
