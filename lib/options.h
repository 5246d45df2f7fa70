/* SPDX-License-Identifier: BSD-2-Clause */
/* Loads a caller's options, whose struct may be older or newer than ours. */
#ifndef UR_OPTIONS_H
#define UR_OPTIONS_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <uidrecv/types.h>

#define UR_OPTIONS_SIZE_MAX 4096

/*
 * Fills dst, a struct of dst_size bytes whose first field is size_t size, from
 * src, which may be NULL. What the caller does not have becomes zero, the
 * default. smallest is the size of the struct in the first release that had
 * it. 0, -EINVAL if the size is impossible, or UIDRECV_E_ABI if a field that
 * we do not know is set.
 */
static inline int ur_options_load(void *dst, size_t dst_size, size_t smallest,
				  const void *src)
{
	const uint8_t *bytes = src;
	size_t size;

	memset(dst, 0, dst_size);
	memcpy(dst, &dst_size, sizeof(dst_size));
	if (src == NULL)
		return 0;
	memcpy(&size, src, sizeof(size));
	if (size < smallest || size > UR_OPTIONS_SIZE_MAX)
		return -EINVAL;
	for (size_t i = dst_size; i < size; i++) {
		if (bytes[i] != 0)
			return UIDRECV_E_ABI;
	}
	memcpy(dst, src, size < dst_size ? size : dst_size);
	memcpy(dst, &dst_size, sizeof(dst_size));
	return 0;
}

/*
 * The other way: gives a caller, whose struct says its size, as much of ours as
 * it has room for, with the size that was written.
 */
static inline void ur_options_give(void *dst, void *ours, size_t ours_size)
{
	size_t size;

	memcpy(&size, dst, sizeof(size));
	if (size > ours_size)
		size = ours_size;
	memcpy(ours, &size, sizeof(size));
	memcpy(dst, ours, size);
}

#endif
