/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The agents file: whatever it holds, it is taken as a whole or not at all,
 * and a refusal has a message of one printable line.
 */
#include <stdlib.h>
#include <string.h>

#include "network.h"
#include "rights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool is_so)
{
	if (!is_so)
		abort();
}

static void check_message(const char *message, size_t room)
{
	size_t size = strnlen(message, room);

	require(size < room && strncmp(message, "line ", 5) == 0);
	for (size_t i = 0; i < size; i++)
		require(message[i] >= 0x20 && message[i] < 0x7f);
}

static void check_right(const struct uidrecv_rights *rights, size_t index)
{
	const struct ur_right *right = ur_rights_at(rights, index);

	require(ur_rights_find(rights, right->name, right->name_size) == right);
	require(ur_right_name_is_valid(right->name));
	require(right->networks_count > 0);
	require(right->lifetime_s > 0 && right->mappings_max > 0);
	require(right->lifetime_s <= right->lifetime_max_s);
	for (size_t i = 0; i < right->networks_count; i++) {
		const struct uidrecv_network *network = &right->networks[i];

		require(ur_network_is_valid(network));
		require(ur_network_is_ipv4(network) == (i < right->ipv4_count));
		require(i == 0 || ur_network_compare(network - 1, network) < 0);
	}
	for (size_t i = 0; i < right->domains_count; i++)
		require(ur_right_domain_is_valid(right->domains[i]));
}

static void check_list(const struct uidrecv_rights *rights)
{
	struct uidrecv_rights *copy = ur_rights_copy(rights);

	for (size_t i = 0; i < uidrecv_rights_count(rights); i++)
		check_right(rights, i);
	if (!copy)
		return;
	require(uidrecv_rights_count(copy) == uidrecv_rights_count(rights));
	for (size_t i = 0; i < uidrecv_rights_count(copy); i++)
		check_right(copy, i);
	uidrecv_rights_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct uidrecv_rights *rights;
	char message[1024];
	int r;

	if (uidrecv_rights_new(&rights) < 0)
		return 0;
	r = uidrecv_rights_parse(rights, "old 10.0.0.0/8", 14, NULL, 0);
	require(r == 0);
	memset(message, 'x', sizeof(message));
	r = uidrecv_rights_parse(rights, (const char *)data, size, message,
				 sizeof(message));
	if (r < 0) {
		require(r == UIDRECV_E_RIGHTS);
		check_message(message, sizeof(message));
		require(uidrecv_rights_count(rights) == 1);
	}
	check_list(rights);
	uidrecv_rights_free(rights);
	return 0;
}
