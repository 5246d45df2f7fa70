/* SPDX-License-Identifier: BSD-2-Clause */
#include "system.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block.h"
#include "bytes.h"
#include "network.h"

#define VERSION 1

/* An array of element_size with room for count; doubled as it grows. */
static int reserve(void **array, size_t *room, size_t count,
		   size_t element_size)
{
	size_t more = *room ? *room : 16;
	void *grown;

	if (count <= *room)
		return 0;
	while (more < count)
		more *= 2;
	grown = realloc(*array, more * element_size);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	*room = more;
	return 0;
}

static int reserve_all(struct ur_systems *systems, size_t count,
		       size_t places_count)
{
	void *array = systems->list;
	int rc = reserve(&array, &systems->room, count, sizeof(*systems->list));

	systems->list = array;
	if (rc < 0)
		return rc;
	array = systems->places;
	rc = reserve(&array, &systems->places_room, places_count,
		     sizeof(*systems->places));
	systems->places = array;
	return rc;
}

void ur_systems_done(struct ur_systems *systems)
{
	free(systems->list);
	free(systems->places);
	memset(systems, 0, sizeof(*systems));
}

int ur_systems_copy(struct ur_systems *to, const struct ur_systems *from)
{
	int rc = reserve_all(to, from->count, from->places_count);

	if (rc < 0)
		return rc;
	to->count = from->count;
	to->places_count = from->places_count;
	if (from->count > 0)
		memcpy(to->list, from->list, from->count * sizeof(*to->list));
	if (from->places_count > 0)
		memcpy(to->places, from->places,
		       from->places_count * sizeof(*to->places));
	return 0;
}

static bool is_valid(struct uidrecv_ports ports)
{
	return ports.count > 0 && ports.count <= 65536u - ports.start;
}

int ur_system_check(const struct uidrecv_system *config)
{
	if (!is_valid(config->ports) || config->block_size == 0 ||
	    config->block_size > config->ports.count ||
	    config->aliases_count > UIDRECV_ALIASES_MAX ||
	    config->reserved_count > UIDRECV_RESERVED_MAX)
		return UIDRECV_REJECT_PORTS_INVALID;
	for (uint32_t i = 0; i < config->reserved_count; i++)
		if (!is_valid(config->reserved[i]))
			return UIDRECV_REJECT_PORTS_INVALID;
	return 0;
}

static int compare_ports(struct uidrecv_ports a, struct uidrecv_ports b)
{
	if (a.start != b.start)
		return a.start < b.start ? -1 : 1;
	return a.count == b.count ? 0 : a.count < b.count ? -1 : 1;
}

static void add_alias(struct uidrecv_system *clean,
		      struct uidrecv_address alias)
{
	uint32_t place = 0;

	while (place < clean->aliases_count &&
	       ur_address_compare(clean->aliases[place], alias) < 0)
		place++;
	if (ur_address_compare(alias, clean->address) == 0 ||
	    (place < clean->aliases_count &&
	     ur_address_compare(clean->aliases[place], alias) == 0))
		return;
	memmove(&clean->aliases[place + 1], &clean->aliases[place],
		(clean->aliases_count - place) * sizeof(alias));
	clean->aliases[place] = alias;
	clean->aliases_count++;
}

static void add_reserved(struct uidrecv_system *clean,
			 struct uidrecv_ports reserved)
{
	uint32_t place = 0;

	while (place < clean->reserved_count &&
	       compare_ports(clean->reserved[place], reserved) < 0)
		place++;
	if (place < clean->reserved_count &&
	    compare_ports(clean->reserved[place], reserved) == 0)
		return;
	memmove(&clean->reserved[place + 1], &clean->reserved[place],
		(clean->reserved_count - place) * sizeof(reserved));
	clean->reserved[place] = reserved;
	clean->reserved_count++;
}

struct uidrecv_system ur_system_clean(const struct uidrecv_system *config)
{
	struct uidrecv_system clean;

	memset(&clean, 0, sizeof(clean));
	clean.address = config->address;
	clean.ports = config->ports;
	clean.block_size = config->block_size;
	for (uint32_t i = 0; i < config->aliases_count; i++)
		add_alias(&clean, config->aliases[i]);
	for (uint32_t i = 0; i < config->reserved_count; i++)
		add_reserved(&clean, config->reserved[i]);
	return clean;
}

bool ur_system_has_same_blocks(const struct uidrecv_system *a,
			       const struct uidrecv_system *b)
{
	if (compare_ports(a->ports, b->ports) != 0 ||
	    a->block_size != b->block_size ||
	    a->reserved_count != b->reserved_count)
		return false;
	for (uint32_t i = 0; i < a->reserved_count; i++)
		if (compare_ports(a->reserved[i], b->reserved[i]) != 0)
			return false;
	return true;
}

bool ur_system_is_same(const struct uidrecv_system *a,
		       const struct uidrecv_system *b)
{
	if (!ur_system_has_same_blocks(a, b) ||
	    a->aliases_count != b->aliases_count)
		return false;
	for (uint32_t i = 0; i <= a->aliases_count; i++)
		if (ur_address_compare(ur_system_address(a, i),
				       ur_system_address(b, i)) != 0)
			return false;
	return true;
}

bool ur_system_has_address(const struct uidrecv_system *config,
			   struct uidrecv_address address)
{
	for (uint32_t i = 0; i <= config->aliases_count; i++)
		if (ur_address_compare(ur_system_address(config, i), address) ==
		    0)
			return true;
	return false;
}

int ur_system_check_block(const struct uidrecv_system *config,
			  struct uidrecv_ports ports)
{
	uint32_t end = ports.start + config->block_size;
	uint16_t start;

	if (ports.count != config->block_size ||
	    !ur_block_find(config->ports, config->block_size, ports.start,
			   &start) ||
	    start != ports.start)
		return UIDRECV_REJECT_PORTS_INVALID;
	for (uint32_t i = 0; i < config->reserved_count; i++) {
		const struct uidrecv_ports *reserved = &config->reserved[i];

		if (reserved->start < end &&
		    ports.start < reserved->start + reserved->count)
			return UIDRECV_REJECT_PORTS_INVALID;
	}
	return 0;
}

/* The place of an agent in the list, or where it would be. */
static size_t system_place(const struct ur_systems *systems, uint32_t agent)
{
	size_t low = 0, high = systems->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (systems->list[middle].agent < agent)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The place of an address, or where it would be. */
static size_t address_place(const struct ur_systems *systems,
			    struct uidrecv_address address)
{
	size_t low = 0, high = systems->places_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ur_address_compare(systems->places[middle].address,
				       address) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct ur_system *ur_systems_of(const struct ur_systems *systems,
				      uint32_t agent)
{
	size_t place = system_place(systems, agent);

	if (place == systems->count || systems->list[place].agent != agent)
		return NULL;
	return &systems->list[place];
}

const struct ur_system *ur_systems_at(const struct ur_systems *systems,
				      struct uidrecv_address address)
{
	size_t place = address_place(systems, address);

	if (place == systems->places_count ||
	    ur_address_compare(systems->places[place].address, address) != 0)
		return NULL;
	return ur_systems_of(systems, systems->places[place].agent);
}

static void add_place(struct ur_systems *systems,
		      struct uidrecv_address address, uint32_t agent)
{
	size_t place = address_place(systems, address);

	memmove(&systems->places[place + 1], &systems->places[place],
		(systems->places_count - place) * sizeof(*systems->places));
	systems->places[place] = (struct ur_system_place){address, agent};
	systems->places_count++;
}

int ur_systems_put(struct ur_systems *systems, uint32_t agent,
		   const struct uidrecv_system *config)
{
	size_t place;
	int rc = reserve_all(systems, systems->count + 1,
			     systems->places_count + 1 + config->aliases_count);

	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i <= config->aliases_count; i++) {
		const struct ur_system *at =
		    ur_systems_at(systems, ur_system_address(config, i));

		if (at && at->agent != agent)
			return UIDRECV_REJECT_ADDRESS_TAKEN;
	}
	ur_systems_remove(systems, agent);
	place = system_place(systems, agent);
	memmove(&systems->list[place + 1], &systems->list[place],
		(systems->count - place) * sizeof(*systems->list));
	systems->list[place] = (struct ur_system){agent, *config};
	systems->count++;
	for (uint32_t i = 0; i <= config->aliases_count; i++)
		add_place(systems, ur_system_address(config, i), agent);
	return 0;
}

void ur_systems_remove(struct ur_systems *systems, uint32_t agent)
{
	size_t place = system_place(systems, agent), kept = 0;

	if (!ur_systems_of(systems, agent))
		return;
	systems->count--;
	memmove(&systems->list[place], &systems->list[place + 1],
		(systems->count - place) * sizeof(*systems->list));
	for (size_t i = 0; i < systems->places_count; i++)
		if (systems->places[i].agent != agent)
			systems->places[kept++] = systems->places[i];
	systems->places_count = kept;
}

static uint32_t check_of(uint32_t agent, const uint8_t *bytes, size_t size)
{
	return ur_checksum((struct uidrecv_address){0, agent}, bytes, size);
}

static uint8_t *put_ports(uint8_t *to, struct uidrecv_ports ports)
{
	return ur_bytes_put_u32(ur_bytes_put_u32(to, ports.start), ports.count);
}

static uint8_t *put_address(uint8_t *to, struct uidrecv_address address)
{
	return ur_bytes_put_u64(ur_bytes_put_u64(to, address.hi), address.lo);
}

size_t ur_system_encode(const struct ur_system *system,
			uint8_t bytes[UR_SYSTEM_SIZE_MAX])
{
	const struct uidrecv_system *config = &system->config;
	uint8_t *checked = bytes + 4;
	uint8_t *to = ur_bytes_put_u8(checked, VERSION);

	to = put_address(to, config->address);
	to = put_ports(to, config->ports);
	to = ur_bytes_put_u32(to, config->block_size);
	to = ur_bytes_put_u32(to, config->aliases_count);
	to = ur_bytes_put_u32(to, config->reserved_count);
	for (uint32_t i = 0; i < config->aliases_count; i++)
		to = put_address(to, config->aliases[i]);
	for (uint32_t i = 0; i < config->reserved_count; i++)
		to = put_ports(to, config->reserved[i]);
	ur_bytes_put_u32(
	    bytes, check_of(system->agent, checked, (size_t)(to - checked)));
	return (size_t)(to - bytes);
}

static struct uidrecv_address get_address(struct ur_bytes *from)
{
	uint64_t hi = ur_bytes_u64(from);

	return (struct uidrecv_address){hi, ur_bytes_u64(from)};
}

static bool get_ports(struct ur_bytes *from, struct uidrecv_ports *ret_ports)
{
	uint32_t start = ur_bytes_u32(from);

	*ret_ports =
	    (struct uidrecv_ports){(uint16_t)start, ur_bytes_u32(from)};
	return start <= UINT16_MAX;
}

bool ur_system_decode(struct ur_system *system, uint32_t agent,
		      const uint8_t *bytes, size_t size)
{
	struct ur_bytes from = ur_bytes_of(bytes, size);
	uint32_t check = ur_bytes_u32(&from);
	struct uidrecv_system read, clean;
	bool is_good;

	if (from.is_short || check != check_of(agent, from.at, from.left) ||
	    ur_bytes_u8(&from) != VERSION)
		return false;
	memset(&read, 0, sizeof(read));
	read.address = get_address(&from);
	is_good = get_ports(&from, &read.ports);
	read.block_size = ur_bytes_u32(&from);
	read.aliases_count = ur_bytes_u32(&from);
	read.reserved_count = ur_bytes_u32(&from);
	if (read.aliases_count > UIDRECV_ALIASES_MAX ||
	    read.reserved_count > UIDRECV_RESERVED_MAX)
		return false;
	for (uint32_t i = 0; i < read.aliases_count; i++)
		read.aliases[i] = get_address(&from);
	for (uint32_t i = 0; i < read.reserved_count; i++)
		is_good = get_ports(&from, &read.reserved[i]) && is_good;
	clean = ur_system_clean(&read);
	if (!is_good || from.is_short || from.left > 0 ||
	    ur_system_check(&read) != 0 || !ur_system_is_same(&read, &clean))
		return false;
	*system = (struct ur_system){agent, clean};
	return true;
}
