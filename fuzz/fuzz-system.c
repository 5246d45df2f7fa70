/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A multi-user system of the store. The first byte says whether the checksum is
 * made right (odd), so that what is behind it is reached, too.
 */
#include <stdlib.h>

#include "block.h"
#include "bytes.h"
#include "system.h"

#define AGENT 7

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool is_true)
{
	if (!is_true)
		abort();
}

/* Blocks lie in the range, do not overlap, and a port finds its own. */
static void walk_blocks(const struct uidrecv_system *config)
{
	uint32_t end = config->ports.start + config->ports.count;
	uint32_t blocks = 0, covered = config->ports.start;

	for (uint32_t port = 0; port <= UINT16_MAX; port++) {
		struct uidrecv_ports block = {(uint16_t)port,
					      config->block_size};
		uint16_t start;

		if (ur_system_check_block(config, block) == 0) {
			expect(port >= covered);
			covered = port + config->block_size;
			blocks++;
		}
		if (!ur_block_find(config->ports, config->block_size,
				   (uint16_t)port, &start))
			continue;
		expect(start <= port && port < start + config->block_size);
	}
	expect(covered <= end);
	expect(blocks <= config->ports.count / config->block_size);
}

static void live_on(const struct ur_system *system)
{
	struct uidrecv_system clean = ur_system_clean(&system->config);
	struct ur_systems systems = {0}, copy = {0};

	expect(ur_system_check(&system->config) == 0);
	expect(ur_system_is_same(&clean, &system->config));
	walk_blocks(&clean);
	expect(ur_systems_put(&systems, AGENT, &clean) == 0);
	expect(ur_systems_put(&systems, AGENT, &clean) == 0);
	expect(systems.places_count == 1 + clean.aliases_count);
	expect(ur_systems_put(&systems, 1, &clean) ==
	       UIDRECV_REJECT_ADDRESS_TAKEN);
	expect(ur_systems_copy(&copy, &systems) == 0);
	for (uint32_t i = 0; i <= clean.aliases_count; i++)
		expect(
		    ur_systems_at(&copy, ur_system_address(&clean, i))->agent ==
		    AGENT);
	ur_systems_remove(&systems, AGENT);
	expect(systems.places_count == 0);
	ur_systems_done(&systems);
	ur_systems_done(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t bytes[UR_SYSTEM_SIZE_MAX + 1], again[UR_SYSTEM_SIZE_MAX];
	struct ur_system system;

	if (size < 5 || size - 1 > sizeof(bytes))
		return 0;
	size--;
	memcpy(bytes, data + 1, size);
	if (data[0] & 1)
		ur_bytes_put_u32(bytes,
				 ur_checksum((struct uidrecv_address){0, AGENT},
					     bytes + 4, size - 4));
	if (!ur_system_decode(&system, AGENT, bytes, size))
		return 0;
	expect(ur_system_encode(&system, again) == size);
	expect(memcmp(bytes, again, size) == 0);
	live_on(&system);
	return 0;
}
