/* SPDX-License-Identifier: BSD-2-Clause */
#include "store-check.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <uidrecv/types.h>

#include "bytes.h"

/*
 * The layout of LMDB 0.9's file on a 64-bit machine, in its byte order. LMDB
 * believes what it reads: a file that is too short ends in SIGBUS, a bad
 * number in a crash or an assertion. So every page that it could follow is
 * read before LMDB sees the file.
 */
#define LMDB_MAGIC 0xBEEFC0DEu
#define LMDB_VERSION 1u
#define NO_PAGE UINT64_MAX
#define PAGE_BRANCH 0x01u
#define PAGE_LEAF 0x02u
#define PAGE_OVERFLOW 0x04u
#define PAGE_META 0x08u
#define HEADER_BYTES 16u
#define META_BYTES 152u
#define AT_FLAGS 10
#define AT_LOWER 12 /* or the number of pages of an overflow */
#define AT_UPPER 14
#define NODE_BYTES 8u
#define NODE_BIG 0x01u
#define NODE_TABLE 0x02u
#define TABLE_BYTES 48u
#define TABLE_INTEGER_KEYS 0x08u
#define KEY_MAX 511u
#define DEPTH_MAX 32

/* A table: a tree of pages. */
struct table {
	uint16_t flags, depth;
	uint64_t entries, root;
	bool is_main, is_free_list;
	/* Of the walk through it, in the order of keys. */
	uint64_t seen;
	uint8_t last[KEY_MAX];
	uint16_t last_size;
	bool has_last, is_separator;
};

struct check {
	int fd;
	uint32_t page_bytes;
	uint64_t file_pages, last_page;
	struct table tables[2]; /* free pages, and all others by name */
	uint64_t txnid;
	uint8_t *used; /* a bit for each page: one owner */
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

static struct table table_at(const uint8_t *at)
{
	struct table table = {0};

	table.flags = ur_bytes_host_u16(at + 4);
	table.depth = ur_bytes_host_u16(at + 6);
	table.entries = ur_bytes_host_u64(at + 32);
	table.root = ur_bytes_host_u64(at + 40);
	return table;
}

static int read_meta(struct check *check, uint64_t offset)
{
	uint8_t bytes[META_BYTES];
	uint32_t page_bytes;
	uint64_t txnid;
	int rc = read_at(check->fd, bytes, sizeof(bytes), offset);

	if (rc < 0)
		return rc;
	if (ur_bytes_host_u32(bytes + 16) != LMDB_MAGIC ||
	    ur_bytes_host_u32(bytes + 20) != LMDB_VERSION)
		return UIDRECV_E_STORE;
	page_bytes = ur_bytes_host_u32(bytes + 40);
	if (ur_bytes_host_u16(bytes + AT_FLAGS) != PAGE_META ||
	    page_bytes < 512 || page_bytes > 32768 ||
	    (page_bytes & (page_bytes - 1)) != 0 ||
	    (offset > 0 && page_bytes != check->page_bytes))
		return UIDRECV_E_STORE_DAMAGED;
	txnid = ur_bytes_host_u64(bytes + 144);
	/* LMDB takes the second only if it is newer. */
	if (offset > 0 && txnid <= check->txnid)
		return 0;
	check->page_bytes = page_bytes;
	check->txnid = txnid;
	check->last_page = ur_bytes_host_u64(bytes + 136);
	check->tables[0] = table_at(bytes + 40);
	check->tables[1] = table_at(bytes + 88);
	check->tables[0].is_free_list = true;
	check->tables[0].flags = TABLE_INTEGER_KEYS;
	check->tables[1].is_main = true;
	return 0;
}

/* Takes pages for one owner. */
static bool take(struct check *check, uint64_t page, uint64_t count)
{
	if (page < 2 || page > check->last_page ||
	    count > check->last_page - page + 1)
		return false;
	for (; count > 0; count--, page++) {
		uint8_t bit = (uint8_t)(1u << page % 8);

		if (check->used[page / 8] & bit)
			return false;
		check->used[page / 8] |= bit;
	}
	return true;
}

static int compare_keys(const struct table *table, const uint8_t *key,
			uint16_t size)
{
	uint16_t common = size < table->last_size ? size : table->last_size;
	int order;

	if (table->flags & TABLE_INTEGER_KEYS) {
		uint64_t a =
		    size == 4 ? ur_bytes_host_u32(key) : ur_bytes_host_u64(key);
		uint64_t b = size == 4 ? ur_bytes_host_u32(table->last)
				       : ur_bytes_host_u64(table->last);

		return a < b ? -1 : a > b;
	}
	order = memcmp(key, table->last, common);
	return order ? order : (int)size - (int)table->last_size;
}

/*
 * Separators of branches count as keys that may equal the next one, so the
 * keys of all pages are in one order.
 */
static bool step(struct table *table, const uint8_t *key, uint16_t size,
		 bool is_separator)
{
	int order;

	if (size == 0 || size > KEY_MAX ||
	    ((table->flags & TABLE_INTEGER_KEYS) &&
	     ((size != 4 && size != 8) ||
	      (table->has_last && size != table->last_size))))
		return false;
	order = table->has_last ? compare_keys(table, key, size) : 1;
	if (order < 0 || (order == 0 && !table->is_separator))
		return false;
	memcpy(table->last, key, size);
	table->last_size = size;
	table->has_last = true;
	table->is_separator = is_separator;
	return true;
}

/* A list of free pages: their number, then the pages, the last one first. */
static int check_free_pages(struct check *check, const uint8_t *bytes,
			    size_t size)
{
	uint64_t before = NO_PAGE;
	uint64_t count = size >= 8 ? ur_bytes_host_u64(bytes) : NO_PAGE;

	if (count > size / 8 - 1)
		return UIDRECV_E_STORE_DAMAGED;
	for (uint64_t i = 1; i <= count; i++) {
		uint64_t page = ur_bytes_host_u64(bytes + 8 * i);

		if (page >= before || !take(check, page, 1))
			return UIDRECV_E_STORE_DAMAGED;
		before = page;
	}
	return 0;
}

static int check_overflow(struct check *check, const struct table *table,
			  uint64_t page, uint32_t size)
{
	uint64_t pages =
	    ((uint64_t)size + HEADER_BYTES + check->page_bytes - 1) /
	    check->page_bytes;
	uint64_t offset = page * check->page_bytes;
	uint8_t header[HEADER_BYTES];
	uint8_t *bytes;
	int rc;

	if (!take(check, page, pages) || page + pages > check->file_pages)
		return UIDRECV_E_STORE_DAMAGED;
	rc = read_at(check->fd, header, sizeof(header), offset);
	if (rc < 0)
		return rc;
	if (ur_bytes_host_u64(header) != page ||
	    ur_bytes_host_u16(header + AT_FLAGS) != PAGE_OVERFLOW ||
	    ur_bytes_host_u32(header + AT_LOWER) != pages)
		return UIDRECV_E_STORE_DAMAGED;
	if (!table->is_free_list)
		return 0;
	bytes = malloc(size);
	if (!bytes)
		return -ENOMEM;
	rc = read_at(check->fd, bytes, size, offset + HEADER_BYTES);
	if (rc == 0)
		rc = check_free_pages(check, bytes, size);
	free(bytes);
	return rc;
}

static int check_table(struct check *check, struct table *table);

/* A node of a leaf; room is what is left of the page behind it. */
static int check_leaf_node(struct check *check, struct table *table,
			   const uint8_t *node, size_t room)
{
	uint16_t flags = ur_bytes_host_u16(node + 4),
		 key_size = ur_bytes_host_u16(node + 6);
	uint32_t size = ur_bytes_host_u32(node);
	const uint8_t *data = node + NODE_BYTES + key_size;
	size_t inside = flags & NODE_BIG ? 8 : size;
	struct table inner;

	if (room < NODE_BYTES + (size_t)key_size + inside ||
	    !step(table, node + NODE_BYTES, key_size, false))
		return UIDRECV_E_STORE_DAMAGED;
	table->seen++;
	if (flags == NODE_BIG && !table->is_main)
		return check_overflow(check, table, ur_bytes_host_u64(data),
				      size);
	if (flags == 0 && table->is_free_list)
		return check_free_pages(check, data, size);
	if (flags == 0 && !table->is_main)
		return 0;
	if (flags != NODE_TABLE || !table->is_main || size != TABLE_BYTES)
		return UIDRECV_E_STORE_DAMAGED;
	inner = table_at(data);
	if (inner.flags & (uint16_t)~TABLE_INTEGER_KEYS)
		return UIDRECV_E_STORE_DAMAGED;
	return check_table(check, &inner);
}

static int check_page(struct check *check, struct table *table, uint64_t page,
		      unsigned int depth);

static int check_branch_node(struct check *check, struct table *table,
			     const uint8_t *node, size_t room, bool is_first,
			     unsigned int depth)
{
	uint16_t key_size = ur_bytes_host_u16(node + 6);
	uint64_t child = ur_bytes_host_u32(node) |
			 (uint64_t)ur_bytes_host_u16(node + 4) << 32;

	if (room < NODE_BYTES + (size_t)key_size)
		return UIDRECV_E_STORE_DAMAGED;
	/* The first key of a branch means: whatever is less. */
	if (!is_first && !step(table, node + NODE_BYTES, key_size, true))
		return UIDRECV_E_STORE_DAMAGED;
	return check_page(check, table, child, depth + 1);
}

static int check_nodes(struct check *check, struct table *table,
		       const uint8_t *bytes, unsigned int depth)
{
	bool is_leaf = depth == table->depth;
	size_t lower = ur_bytes_host_u16(bytes + AT_LOWER),
	       upper = ur_bytes_host_u16(bytes + AT_UPPER);
	size_t count = (lower - HEADER_BYTES) / 2;
	int rc = 0;

	if (ur_bytes_host_u16(bytes + AT_FLAGS) !=
		(is_leaf ? PAGE_LEAF : PAGE_BRANCH) ||
	    lower < HEADER_BYTES || lower > upper ||
	    upper > check->page_bytes || lower % 2 != 0)
		return UIDRECV_E_STORE_DAMAGED;
	/* LMDB keeps two in a branch, but for its list of free pages. */
	if (count < (is_leaf || table->is_free_list ? 1u : 2u))
		return UIDRECV_E_STORE_DAMAGED;
	for (size_t i = 0; rc == 0 && i < count; i++) {
		size_t at = ur_bytes_host_u16(bytes + HEADER_BYTES + 2 * i);
		size_t room = check->page_bytes - at;

		if (at < upper || at % 2 != 0 ||
		    at + NODE_BYTES > check->page_bytes)
			return UIDRECV_E_STORE_DAMAGED;
		rc = is_leaf ? check_leaf_node(check, table, bytes + at, room)
			     : check_branch_node(check, table, bytes + at, room,
						 i == 0, depth);
	}
	return rc;
}

static int check_page(struct check *check, struct table *table, uint64_t page,
		      unsigned int depth)
{
	uint8_t *bytes;
	int rc;

	if (page >= check->file_pages || !take(check, page, 1))
		return UIDRECV_E_STORE_DAMAGED;
	bytes = malloc(check->page_bytes);
	if (!bytes)
		return -ENOMEM;
	rc = read_at(check->fd, bytes, check->page_bytes,
		     page * check->page_bytes);
	if (rc == 0 && ur_bytes_host_u64(bytes) != page)
		rc = UIDRECV_E_STORE_DAMAGED;
	if (rc == 0)
		rc = check_nodes(check, table, bytes, depth);
	free(bytes);
	return rc;
}

static int check_table(struct check *check, struct table *table)
{
	int rc;

	if (table->root == NO_PAGE)
		return table->entries == 0 ? 0 : UIDRECV_E_STORE_DAMAGED;
	if (table->depth == 0 || table->depth > DEPTH_MAX)
		return UIDRECV_E_STORE_DAMAGED;
	rc = check_page(check, table, table->root, 1);
	if (rc == 0 && table->seen != table->entries)
		rc = UIDRECV_E_STORE_DAMAGED;
	return rc;
}

static int check_trees(struct check *check)
{
	int rc;

	/*
	 * A page at the end that was used and freed in one transaction was
	 * never written, but more than a few cannot be missing so.
	 */
	if (check->file_pages < 2 || check->last_page < 1 ||
	    check->last_page / 2 > check->file_pages + 1024)
		return UIDRECV_E_STORE_DAMAGED;
	check->used = calloc(1, check->last_page / 8 + 1);
	if (!check->used)
		return -ENOMEM;
	rc = check_table(check, &check->tables[0]);
	if (rc == 0)
		rc = check_table(check, &check->tables[1]);
	free(check->used);
	return rc;
}

int ur_store_check_file(int fd)
{
	struct check check = {.fd = fd};
	struct stat stat;
	int rc;

	if (fstat(fd, &stat) < 0)
		return -errno;
	if (!S_ISREG(stat.st_mode))
		return UIDRECV_E_STORE;
	rc = read_meta(&check, 0);
	if (rc == 0)
		rc = read_meta(&check, check.page_bytes);
	if (rc < 0)
		return rc;
	check.file_pages = (uint64_t)stat.st_size / check.page_bytes;
	return check_trees(&check);
}
