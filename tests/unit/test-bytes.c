/* SPDX-License-Identifier: BSD-2-Clause */
#include <criterion/criterion.h>

#include "bytes.h"

Test(bytes, reads_big_endian)
{
	static const uint8_t bytes[] = {1, 2,  3,  4,  5,  6,  7,  8,
					9, 10, 11, 12, 13, 14, 15, 0xff};
	struct ur_bytes reading = ur_bytes_of(bytes, sizeof(bytes));

	cr_assert_eq(ur_bytes_u8(&reading), 1);
	cr_assert_eq(ur_bytes_u16(&reading), 0x0203);
	cr_assert_eq(ur_bytes_u32(&reading), 0x04050607);
	cr_assert_eq(ur_bytes_u64(&reading), 0x08090a0b0c0d0e0f);
	cr_assert_eq(ur_bytes_raw(&reading, 1), bytes + 15);
	cr_assert(!reading.is_short);
	cr_assert_eq(reading.left, 0);
}

Test(bytes, an_overrun_sticks_and_gives_nothing)
{
	static const uint8_t bytes[] = {1, 2, 3};
	struct ur_bytes reading = ur_bytes_of(bytes, sizeof(bytes));

	cr_assert_eq(ur_bytes_u32(&reading), 0);
	cr_assert(reading.is_short);
	cr_assert_eq(ur_bytes_u8(&reading), 0);
	cr_assert_null(ur_bytes_raw(&reading, 1));
	cr_assert_null(ur_bytes_raw(&reading, 0));
	cr_assert_eq(reading.left, 0);
}

Test(bytes, nothing_can_be_read_from_null)
{
	struct ur_bytes reading = ur_bytes_of(NULL, 0);

	cr_assert_not_null(ur_bytes_raw(&reading, 0));
	cr_assert(!reading.is_short);
	cr_assert_null(ur_bytes_raw(&reading, SIZE_MAX));
	cr_assert(reading.is_short);
}
