/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hostile table: must give an error or unknown, never a crash.
 *
 * The first byte chooses. Odd: the rest are patches onto a valid table, of
 * four bytes each (an offset of three, the byte to put there), so that the
 * fuzzer gets past the checks. Even: the rest is the beginning of the file.
 * Bit 1: the layout's check is made right again. Bit 2: the checks of the
 * slots and of the states of lines, too, so that lines, REFRESH ALL times, and
 * offsets into the names area are the fuzzer's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block.h"
#include "layout.h"
#include "lease.h"
#include "view.h"

#define ADDRESSES 8
#define LINES 4
#define LINES_MAX 16
#define NOW_US 1000000
#define NAMES_BYTES 4096
#define HOST ADDRESSES /* a multi-user one */
#define AGENT 5
#define FIRST_PORT 20000
#define BLOCK_SIZE 10
#define BLOCKS 4
#define DEADLINE_MS 500
#define KEPT_MS 490
#define LIFE_S 3600

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct uidrecv_address address_of(uint32_t i)
{
	return uidrecv_address_from_ipv4(0x0a000000 + i);
}

static void set_checks(uint64_t generation, struct ur_slot *slot)
{
	uint64_t word[UR_SLOT_WORDS];

	for (int i = 0; i < UR_SLOT_WORDS; i++)
		word[i] = ur_load(&slot->word[i]);
	word[3] = ur_deadline_word(generation, word, ur_deadline_ms(word[3]));
	word[5] =
	    (word[5] & ~(uint64_t)UINT32_MAX) | ur_check_rest(generation, word);
	ur_store(&slot->word[3], word[3]);
	ur_store(&slot->word[5], word[5]);
}

/* A line without REFRESH ALL, one dropped, and two with. */
static void fill_lines(uint8_t *bytes, const struct ur_table_layout *layout)
{
	static const uint64_t refreshed_ms[LINES] = {0, UR_LINE_DROPPED, 900,
						     UR_LINE_DROPPED - 1};
	struct ur_table_line *lines = (void *)(bytes + layout->lines_offset);

	for (uint32_t i = 0; i < LINES; i++) {
		lines[i].name_size = 3;
		memcpy(lines[i].name, "dc1", 3);
		lines[i].check =
		    ur_check_bytes(layout->generation, lines[i].name, 3);
		ur_store(&lines[i].state,
			 ur_line_word(layout->generation, i, refreshed_ms[i]));
	}
}

static struct ur_slot *make_slot(uint8_t *bytes,
				 const struct ur_table_layout *layout,
				 struct uidrecv_address address)
{
	struct ur_slot *slots = (void *)(bytes + layout->slots_offset);
	uint64_t home = ur_hash(layout->generation, address);
	struct ur_slot *slot = &slots[home & (layout->slots_count - 1)];

	while (ur_load(&slot->word[0]) != 0)
		slot =
		    slot + 1 < slots + layout->slots_count ? slot + 1 : slots;
	ur_store(&slot->word[1], address.hi);
	ur_store(&slot->word[2], address.lo);
	return slot;
}

/*
 * A user for each address; every second one has a long name, and half of them
 * live by a REFRESH ALL alone, if at all.
 */
static void fill(uint8_t *bytes, const struct ur_table_layout *layout)
{
	uint8_t *names = bytes + layout->names_offset;
	_Atomic uint32_t *kept =
	    (void *)(bytes + ur_layout_kept_offset(layout));
	struct ur_slot *slots = (void *)(bytes + layout->slots_offset);

	memset(names, 'n', NAMES_BYTES);
	for (uint32_t i = 0; i < ADDRESSES; i++) {
		uint8_t user_size = i % 2 ? 30 : 10;
		struct ur_slot *slot = make_slot(bytes, layout, address_of(i));

		ur_store(&slot->word[0],
			 ur_meta((uint16_t)(i % LINES), 1, user_size) | 2);
		ur_store(&slot->word[3],
			 i < ADDRESSES / 2 ? UR_DEADLINE_NEVER : DEADLINE_MS);
		ur_store(&slot->word[4], ur_change_word(i, LIFE_S));
		ur_store_kept(&kept[slot - slots], KEPT_MS);
		ur_store(&slot->word[6], layout->names_offset);
		ur_store(&slot->word[7],
			 ur_check_bytes(layout->generation, names, user_size));
		set_checks(layout->generation, slot);
	}
}

/* A multi-user address, and a user for every second of its blocks. */
static void fill_ports(uint8_t *bytes, const struct ur_table_layout *layout)
{
	static const struct ur_table_system system = {
	    AGENT, BLOCK_SIZE, {FIRST_PORT, BLOCKS * BLOCK_SIZE + 1}};
	struct ur_slot *slot = make_slot(bytes, layout, address_of(HOST));
	uint64_t word[UR_SLOT_WORDS];

	ur_slot_set_system(word, &system);
	ur_store(&slot->word[0], ur_meta(0, 0, 0) | 2);
	ur_store(&slot->word[3], UR_DEADLINE_NEVER);
	ur_store(&slot->word[4], ur_change_word(ADDRESSES, 0));
	for (int i = 5; i < UR_SLOT_WORDS; i++)
		ur_store(&slot->word[i], word[i]);
	set_checks(layout->generation, slot);
	for (uint16_t i = 0; i < BLOCKS; i += 2) {
		slot =
		    make_slot(bytes, layout,
			      ur_block_key(AGENT, (uint16_t)(FIRST_PORT +
							     i * BLOCK_SIZE)));
		ur_store(&slot->word[0], ur_meta(0, 1, 10) | 2);
		ur_store(&slot->word[3], UR_DEADLINE_NEVER);
		ur_store(&slot->word[4], ur_change_word(ADDRESSES + 1 + i, 0));
		set_checks(layout->generation, slot);
	}
}

static uint8_t *make_table(size_t *ret_size)
{
	struct ur_table_layout layout = {
	    .generation = UINT64_C(0x123456789abcdef1),
	    .change_base = 1000,
	    .lines_max = LINES_MAX,
	    .slots_count = UR_TABLE_SLOTS_MIN,
	    .names_bytes = NAMES_BYTES,
	};
	uint8_t *bytes;

	if (ur_layout_set(&layout) < 0)
		abort();
	layout.header_check = ur_layout_check(&layout);
	bytes = aligned_alloc(64, layout.file_bytes);
	if (bytes == NULL)
		abort();
	memset(bytes, 0, layout.file_bytes);
	memcpy(bytes, &layout, sizeof(layout));
	ur_store(&((struct ur_table_header *)(void *)bytes)->lends, 1);
	fill_lines(bytes, &layout);
	fill(bytes, &layout);
	fill_ports(bytes, &layout);
	*ret_size = layout.file_bytes;
	return bytes;
}

static void patch(uint8_t *bytes, size_t bytes_size, const uint8_t *data,
		  size_t size)
{
	for (; size >= 4; size -= 4, data += 4) {
		size_t offset =
		    (size_t)data[0] << 16 | (size_t)data[1] << 8 | data[2];

		bytes[offset % bytes_size] = data[3];
	}
}

static void check_layout_again(uint8_t *bytes)
{
	struct ur_table_layout layout;

	memcpy(&layout, bytes, sizeof(layout));
	layout.header_check = ur_layout_check(&layout);
	memcpy(bytes, &layout, sizeof(layout));
}

static void check_words_again(uint8_t *bytes)
{
	const struct ur_table_header *header = (const void *)bytes;
	struct ur_table_layout layout = header->layout;
	struct ur_table_line *lines = (void *)(bytes + layout.lines_offset);
	struct ur_slot *slots = (void *)(bytes + layout.slots_offset);

	for (uint64_t i = 0; i < layout.slots_count; i++)
		set_checks(layout.generation, &slots[i]);
	for (uint32_t i = 0; i < layout.lines_max; i++)
		ur_store(&lines[i].state,
			 ur_line_word(layout.generation, i,
				      ur_line_ms(ur_load(&lines[i].state))));
}

static void check_found(int r, const struct uidrecv_mapping *mapping)
{
	if (r != 1 && r != 0 && r != UIDRECV_E_TABLE && r != -EAGAIN)
		abort();
	if (r == 1 && ((mapping->answer == UIDRECV_ANSWER_USER) ==
			   (mapping->user_size == 0) ||
		       mapping->user[mapping->user_size] != '\0' ||
		       mapping->agent[mapping->agent_size] != '\0'))
		abort();
}

/* A block that is found has the port. */
static void look_at_ports(const struct ur_view *view,
			  struct uidrecv_address address)
{
	struct uidrecv_query query = {.address = address, .has_port = true};
	struct uidrecv_mapping mapping;
	int r;

	for (int i = -1; i <= BLOCKS; i++) {
		query.port = (uint16_t)(FIRST_PORT + i * BLOCK_SIZE);
		r = ur_view_find(view, &query, ur_view_home(view, address),
				 NOW_US, &mapping);
		check_found(r, &mapping);
		if (r == 1 && (mapping.answer == UIDRECV_ANSWER_NO_PORT ||
			       (mapping.ports.count > 0 &&
				(query.port < mapping.ports.start ||
				 query.port - mapping.ports.start >=
				     (int64_t)mapping.ports.count))))
			abort();
	}
}

/* A claim lives longer by an eighth of its lifetime at the most. */
static void look_at_lives(const struct ur_view *view)
{
	uint8_t *bytes = (uint8_t *)(uintptr_t)view->bytes;
	struct ur_generation generation = {
	    .header = (void *)bytes,
	    .lines = (void *)(bytes + view->layout.lines_offset),
	    .slots = (void *)(bytes + view->layout.slots_offset),
	    .kept = (void *)(bytes + ur_layout_kept_offset(&view->layout)),
	    .bytes = (char *)bytes,
	    .layout = view->layout,
	};

	for (uint32_t i = 0; i < 2 * ADDRESSES; i++) {
		struct ur_lease lease = {
		    .address = address_of(i),
		    .kept_us = KEPT_MS * 1000,
		    .lifetime_s = LIFE_S,
		    .user_size = 30,
		    .user = "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
		    .agent = "dc1",
		};
		uint64_t lent_us = ur_lease_get_us(&generation, &lease);

		if (lent_us != 0 &&
		    (lent_us < KEPT_MS * 1000 ||
		     lent_us > KEPT_MS * 1000 + LIFE_S * UINT64_C(1000000) / 8))
			abort();
	}
}

static void look(const struct ur_view *view)
{
	struct uidrecv_mapping mapping;
	uint64_t position = 0;
	int r;

	for (uint32_t i = 0; i < 2 * ADDRESSES; i++) {
		struct uidrecv_query query = {.address = address_of(i)};

		r = ur_view_find(view, &query,
				 ur_view_home(view, query.address), NOW_US,
				 &mapping);
		check_found(r, &mapping);
		if (r == 1 && (mapping.address.hi != query.address.hi ||
			       mapping.address.lo != query.address.lo))
			abort();
		look_at_ports(view, query.address);
	}
	do {
		r = ur_view_next(view, &position, NOW_US, &mapping);
		check_found(r, &mapping);
	} while (r != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ur_view view;
	size_t bytes_size;
	uint8_t *bytes;
	uint8_t choice;

	if (size == 0)
		return 0;
	choice = *data++;
	size--;
	bytes = make_table(&bytes_size);
	if (choice & 1)
		patch(bytes, bytes_size, data, size);
	else
		memcpy(bytes, data, size < bytes_size ? size : bytes_size);
	if (choice & 2)
		check_layout_again(bytes);
	if (ur_view_init(&view, bytes, bytes_size) == 0) {
		if (choice & 4)
			check_words_again(bytes);
		look(&view);
		look_at_lives(&view);
	}
	free(bytes);
	return 0;
}
