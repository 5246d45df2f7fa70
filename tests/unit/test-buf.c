/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "buf.h"

Test(buf, writes_big_endian)
{
	static const uint8_t expected[] = {1, 2,  3,  4,  5,  6,  7,  8,
					   9, 10, 11, 12, 13, 14, 15, 'x'};
	struct ur_buf buf;

	ur_buf_init(&buf, 64);
	ur_buf_u8(&buf, 1);
	ur_buf_u16(&buf, 0x0203);
	ur_buf_u32(&buf, 0x04050607);
	ur_buf_u64(&buf, 0x08090a0b0c0d0e0f);
	ur_buf_bytes(&buf, "x", 1);
	ur_buf_bytes(&buf, NULL, 0);
	cr_assert(!buf.failed);
	cr_assert_eq(buf.size, sizeof(expected));
	cr_assert_arr_eq(ur_buf_front(&buf), expected, sizeof(expected));
	ur_buf_done(&buf);
	cr_assert_null(ur_buf_front(&buf));
}

/* Against a flat array: what was written at `end`, what is left from `front`.
 */
Test(buf, is_a_queue_whatever_is_written_and_consumed)
{
	enum { TOTAL = 300000, LIMIT = 5000 };
	uint8_t *model = malloc(TOTAL);
	size_t front = 0, end = 0, step;
	unsigned int seed = 1;
	struct ur_buf buf;

	for (size_t i = 0; i < TOTAL; i++)
		model[i] = (uint8_t)rand_r(&seed);
	ur_buf_init(&buf, LIMIT);
	while (end < TOTAL) {
		step = (size_t)rand_r(&seed) % 900;
		if (step > TOTAL - end)
			step = TOTAL - end;
		ur_buf_bytes(&buf, model + end, step);
		if (end - front + step > LIMIT) {
			cr_assert(buf.failed);
			ur_buf_truncate(&buf, SIZE_MAX);
		} else {
			end += step;
		}
		cr_assert(!buf.failed);
		cr_assert_eq(buf.size, end - front);
		cr_assert(buf.room <= LIMIT);
		cr_assert_arr_eq(ur_buf_front(&buf), model + front, buf.size);
		step = (size_t)rand_r(&seed) % 1000;
		if (step > buf.size)
			step = buf.size;
		ur_buf_consume(&buf, step);
		front += step;
	}
	ur_buf_done(&buf);
	free(model);
}

Test(buf, a_write_beyond_the_limit_changes_nothing)
{
	struct ur_buf buf;

	ur_buf_init(&buf, 7);
	ur_buf_u32(&buf, 0x01020304);
	ur_buf_u32(&buf, 0x05060708);
	cr_assert(buf.failed);
	cr_assert_eq(buf.size, 4);
	cr_assert_arr_eq(ur_buf_front(&buf), "\1\2\3\4", 4);
	ur_buf_u8(&buf, 9);
	cr_assert_eq(buf.size, 4, "a failed queue takes nothing more");
	ur_buf_truncate(&buf, 2);
	cr_assert(!buf.failed);
	ur_buf_u32(&buf, 0x0a0b0c0d);
	ur_buf_u8(&buf, 0x0e);
	cr_assert_arr_eq(ur_buf_front(&buf), "\1\2\n\v\f\r\16", 7);
	ur_buf_bytes(&buf, "", SIZE_MAX);
	cr_assert(buf.failed);
	cr_assert_eq(buf.size, 7);
	ur_buf_done(&buf);
}

Test(buf, gives_back_its_memory_when_empty)
{
	uint8_t *bytes = calloc(1, 100000);
	struct ur_buf buf;

	ur_buf_init(&buf, 100000);
	ur_buf_u8(&buf, 5);
	ur_buf_consume(&buf, 1);
	cr_assert_null(buf.bytes);
	ur_buf_bytes(&buf, bytes, 100000);
	ur_buf_consume(&buf, 99999);
	cr_assert_not_null(buf.bytes);
	ur_buf_consume(&buf, 1);
	cr_assert_null(buf.bytes);
	ur_buf_u8(&buf, 5);
	cr_assert_eq(*ur_buf_front(&buf), 5);
	ur_buf_done(&buf);
	free(bytes);
}

Test(buf, patches_inside_only)
{
	struct ur_buf buf;

	ur_buf_init(&buf, 64);
	ur_buf_u8(&buf, 0xee);
	ur_buf_u64(&buf, 0);
	ur_buf_consume(&buf, 1);
	ur_buf_patch_u16(&buf, 6, 0x0708);
	ur_buf_patch_u32(&buf, 0, 0x01020304);
	cr_assert(!buf.failed);
	cr_assert_arr_eq(ur_buf_front(&buf), "\1\2\3\4\0\0\7\10", 8);
	ur_buf_patch_u16(&buf, 7, 0xffff);
	cr_assert(buf.failed);
	ur_buf_truncate(&buf, 8);
	ur_buf_patch_u32(&buf, SIZE_MAX, 0xffffffff);
	cr_assert(buf.failed);
	cr_assert_arr_eq(ur_buf_front(&buf), "\1\2\3\4\0\0\7\10", 8);
	ur_buf_done(&buf);
}
