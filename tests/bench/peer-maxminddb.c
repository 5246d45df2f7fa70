/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libmaxminddb, the usual reader of facts about addresses, with a file of its
 * format 2.0 (https://maxmind.github.io/MaxMind-DB/): a tree of bits with
 * records of 28 bits, and behind each address a map with the user's name, each
 * written out, which reads faster than with pointers.
 */
#include <arpa/inet.h>
#include <maxminddb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "peer.h"

#define GROUP 16
#define SEPARATOR_SIZE 16
/* A map of one pair, "user", and a string of BENCH_USER_SIZE bytes. */
#define PAIR "\xe1\x44user\x54"
#define PAIR_SIZE (sizeof(PAIR) - 1 + BENCH_USER_SIZE)
#define IS_DATA 0x80000000u

/* Children: 0 none, a node, or IS_DATA and the number of a mapping. */
struct tree {
	uint32_t (*nodes)[2];
	uint32_t count, room;
};

static MMDB_s database;

static void grow(struct tree *tree)
{
	if (tree->count < tree->room)
		return;
	tree->room = tree->room ? tree->room * 2 : 1 << 20;
	tree->nodes = realloc(tree->nodes, tree->room * sizeof(*tree->nodes));
	bench_must(tree->nodes != NULL, "realloc()");
}

static uint32_t add_node(struct tree *tree)
{
	grow(tree);
	memset(tree->nodes[tree->count], 0, sizeof(*tree->nodes));
	return tree->count++;
}

static void insert(struct tree *tree, uint32_t ipv4, uint32_t mapping)
{
	uint32_t at = 0;

	for (int bit = 31; bit > 0; bit--) {
		uint32_t side = ipv4 >> bit & 1;

		if (tree->nodes[at][side] == 0) {
			uint32_t next = add_node(tree);

			tree->nodes[at][side] = next;
		}
		at = tree->nodes[at][side];
	}
	tree->nodes[at][ipv4 & 1] = IS_DATA | mapping;
}

static uint32_t record_of(const struct tree *tree, uint32_t child)
{
	if (child == 0)
		return tree->count;
	if (child & IS_DATA)
		return tree->count + SEPARATOR_SIZE +
		       (child & ~IS_DATA) * (uint32_t)PAIR_SIZE;
	return child;
}

/* 24 bits, the high 4 of both in one byte, 24 bits. */
static void write_node(FILE *file, uint32_t left, uint32_t right)
{
	uint8_t bytes[7] = {
	    (uint8_t)(left >> 16),  (uint8_t)(left >> 8),
	    (uint8_t)left,	    (uint8_t)(left >> 24 << 4 | right >> 24),
	    (uint8_t)(right >> 16), (uint8_t)(right >> 8),
	    (uint8_t)right,
	};

	fwrite(bytes, sizeof(bytes), 1, file);
}

/* A key of the metadata, and the byte that says what its value is. */
static void write_key(FILE *file, const char *key, uint8_t control)
{
	fputc(0x40 | (int)strlen(key), file);
	fputs(key, file);
	fputc(control, file);
}

static void write_metadata(FILE *file, uint32_t nodes)
{
	uint32_t big_endian = htonl(nodes);

	fputs("\xab\xcd\xef"
	      "MaxMind.com\xe9",
	      file);
	write_key(file, "node_count", 0xc4);
	fwrite(&big_endian, sizeof(big_endian), 1, file);
	write_key(file, "record_size", 0xa1);
	fputc(28, file);
	write_key(file, "ip_version", 0xa1);
	fputc(4, file);
	write_key(file, "database_type", 0x44);
	fputs("User", file);
	write_key(file, "languages", 0x00); /* an array of none */
	fputc(0x04, file);
	write_key(file, "binary_format_major_version", 0xa1);
	fputc(2, file);
	write_key(file, "binary_format_minor_version", 0xa0);
	write_key(file, "build_epoch", 0x01); /* 64 bits, one byte long */
	fputc(0x02, file);
	fputc(1, file);
	write_key(file, "description", 0xe0);
}

static void get_path(const struct peer_site *site, char path[256])
{
	snprintf(path, 256, "%s/users.mmdb", site->dir);
}

static void fill(const struct peer_site *site)
{
	char path[256], user[BENCH_USER_SIZE + 1];
	struct tree tree = {NULL, 0, 0};
	FILE *file;

	get_path(site, path);
	file = fopen(path, "wb");
	bench_must(file != NULL, "users.mmdb");
	add_node(&tree);
	for (uint32_t i = 0; i < site->count; i++)
		insert(&tree, bench_ipv4(i), i);
	for (uint32_t i = 0; i < tree.count; i++)
		write_node(file, record_of(&tree, tree.nodes[i][0]),
			   record_of(&tree, tree.nodes[i][1]));
	for (int i = 0; i < SEPARATOR_SIZE; i++)
		fputc(0, file);
	for (uint32_t i = 0; i < site->count; i++) {
		bench_user(i, user);
		fwrite(PAIR, sizeof(PAIR) - 1, 1, file);
		fwrite(user, BENCH_USER_SIZE, 1, file);
	}
	write_metadata(file, tree.count);
	bench_must(!ferror(file) && fclose(file) == 0, "users.mmdb");
	free(tree.nodes);
}

static void open_maxminddb(const struct peer_site *site)
{
	char path[256];

	get_path(site, path);
	bench_must(MMDB_open(path, MMDB_MODE_MMAP, &database) == MMDB_SUCCESS,
		   "MMDB_open()");
}

static inline bool look(uint32_t ipv4, struct uidrecv_mapping *mapping)
{
	struct sockaddr_in address = {
	    .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(ipv4),
	};
	MMDB_lookup_result_s result;
	MMDB_entry_data_s data;
	int error = MMDB_SUCCESS;

	result = MMDB_lookup_sockaddr(
	    &database, (const struct sockaddr *)(const void *)&address, &error);
	if (error != MMDB_SUCCESS || !result.found_entry ||
	    MMDB_get_value(&result.entry, &data, "user", NULL) !=
		MMDB_SUCCESS ||
	    !data.has_data)
		return false;
	memcpy(mapping->user, data.utf8_string, data.data_size);
	mapping->user_size = (uint8_t)data.data_size;
	return true;
}

static inline size_t bulk(const uint32_t *ipv4, size_t count,
			  struct uidrecv_mapping *mappings, int *results)
{
	return peer_bulk(look, ipv4, count, mappings, results);
}

static size_t run(enum peer_way way, const uint32_t *ipv4, size_t count)
{
	return peer_run(way, look, bulk, GROUP, ipv4, count);
}

static void close_maxminddb(void)
{
	MMDB_close(&database);
}

static void clear(void)
{
}

const struct peer peer_maxminddb = {
    .name = "maxminddb",
    .group = GROUP,
    .slowness = 4,
    .fill = fill,
    .open = open_maxminddb,
    .look = look,
    .bulk = bulk,
    .run = run,
    .close = close_maxminddb,
    .clear = clear,
};
