/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <uidrecv/reader.h>

#include "clock.h"

static uint64_t read_us(clockid_t clock)
{
	struct timespec now = {0, 0};

	/* It cannot fail: both clocks are older than the kernels we run on. */
	(void)clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t ur_clock_boot_us(void)
{
	uint64_t now_us = read_us(CLOCK_BOOTTIME);

	return now_us != 0 ? now_us : 1;
}

uint64_t uidrecv_now_us(void)
{
	return ur_clock_boot_us();
}

uint64_t ur_clock_wall_us(void)
{
	return read_us(CLOCK_REALTIME);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* Reads 32 hexadecimal digits with dashes among them. */
static bool parse_uuid(const char *text, uint8_t bytes[16])
{
	for (int i = 0; i < 16; i++) {
		int high, low;

		if (*text == '-')
			text++;
		high = hex_digit(text[0]);
		low = high < 0 ? -1 : hex_digit(text[1]);
		if (low < 0)
			return false;
		bytes[i] = (uint8_t)(high << 4 | low);
		text += 2;
	}
	return true;
}

int ur_clock_boot_id(uint8_t ret_boot_id[16])
{
	char text[40] = "";
	uint8_t boot_id[16];
	ssize_t size;
	int fd;

	fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	size = read(fd, text, sizeof(text) - 1);
	if (size < 0)
		size = -errno;
	close(fd);
	if (size < 0)
		return (int)size;
	if (!parse_uuid(text, boot_id))
		return -EIO;
	for (int i = 0; i < 16; i++)
		ret_boot_id[i] = boot_id[i];
	return 0;
}

int ur_clock_namespace(uint64_t *ret_inode)
{
	struct stat status;

	if (stat("/proc/self/ns/time", &status) == 0) {
		*ret_inode = status.st_ino;
		return 0;
	}
	if (errno != ENOENT)
		return -errno;
	/* Kernels before 5.6 have no time namespaces: all share one. */
	*ret_inode = 0;
	return 0;
}
