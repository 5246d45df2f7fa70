/* SPDX-License-Identifier: BSD-2-Clause */
#include "store-private.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * The layout of LMDB 0.9's file on a 64-bit machine, in its byte order. LMDB
 * believes what it reads: a file that is too short ends in SIGBUS, and a bad
 * number in a crash. So the file is read before LMDB sees it.
 */
#define LMDB_MAGIC 0xBEEFC0DEu
#define LMDB_VERSION 1u
#define PAGE_META 0x08u
#define META_END 152
#define AT_FLAGS 10
#define AT_MAGIC 16
#define AT_VERSION 20
#define AT_PAGE_BYTES 40
#define AT_LAST_PAGE 136
#define AT_TXNID 144

struct meta_page {
	uint32_t page_bytes;
	uint64_t last_page;
	uint64_t txnid;
};

static int read_at(int fd, void *to, size_t size, uint64_t offset)
{
	uint8_t *at = to;

	while (size > 0) {
		ssize_t got = pread(fd, at, size, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			return UIDRECV_E_STORE_DAMAGED;
		at += got;
		size -= (size_t)got;
		offset += (uint64_t)got;
	}
	return 0;
}

static int read_meta(int fd, uint64_t offset, struct meta_page *ret_meta)
{
	uint8_t bytes[META_END];
	uint32_t magic, version;
	uint16_t flags;
	int rc = read_at(fd, bytes, sizeof(bytes), offset);

	if (rc < 0)
		return rc;
	memcpy(&flags, bytes + AT_FLAGS, sizeof(flags));
	memcpy(&magic, bytes + AT_MAGIC, sizeof(magic));
	memcpy(&version, bytes + AT_VERSION, sizeof(version));
	if (magic != LMDB_MAGIC || version != LMDB_VERSION)
		return UIDRECV_E_STORE;
	memcpy(&ret_meta->page_bytes, bytes + AT_PAGE_BYTES,
	       sizeof(ret_meta->page_bytes));
	memcpy(&ret_meta->last_page, bytes + AT_LAST_PAGE,
	       sizeof(ret_meta->last_page));
	memcpy(&ret_meta->txnid, bytes + AT_TXNID, sizeof(ret_meta->txnid));
	if (flags != PAGE_META || ret_meta->page_bytes < 512 ||
	    ret_meta->page_bytes > 65536 ||
	    (ret_meta->page_bytes & (ret_meta->page_bytes - 1)) != 0)
		return UIDRECV_E_STORE_DAMAGED;
	return 0;
}

int ur_store_check_file(int fd)
{
	struct meta_page first, second;
	struct stat stat;
	uint64_t pages;
	int rc;

	if (fstat(fd, &stat) < 0)
		return -errno;
	if (!S_ISREG(stat.st_mode))
		return UIDRECV_E_STORE;
	rc = read_meta(fd, 0, &first);
	if (rc == 0)
		rc = read_meta(fd, first.page_bytes, &second);
	if (rc < 0)
		return rc;
	if (second.page_bytes != first.page_bytes)
		return UIDRECV_E_STORE_DAMAGED;
	if (second.txnid > first.txnid)
		first = second;
	pages = (uint64_t)stat.st_size / first.page_bytes;
	if (pages < 2 || first.last_page >= pages)
		return UIDRECV_E_STORE_DAMAGED;
	return 0;
}
