/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include <uidrecv/types.h>

int uidrecv_address_parse(const char *text, struct uidrecv_address *ret_address)
{
	struct in6_addr ipv6;
	struct in_addr ipv4;

	if (text == NULL || ret_address == NULL)
		return -EINVAL;
	if (inet_pton(AF_INET, text, &ipv4) == 1)
		*ret_address = uidrecv_address_from_ipv4(ntohl(ipv4.s_addr));
	else if (inet_pton(AF_INET6, text, &ipv6) == 1)
		*ret_address = uidrecv_address_from_ipv6(ipv6.s6_addr);
	else
		return -EINVAL;
	return 0;
}

char *uidrecv_address_format(struct uidrecv_address address,
			     char text[UIDRECV_ADDRESS_TEXT_MAX])
{
	struct in6_addr ipv6;
	struct in_addr ipv4;

	if (uidrecv_address_is_ipv4(address)) {
		ipv4.s_addr = htonl((uint32_t)address.lo);
		(void)inet_ntop(AF_INET, &ipv4, text, UIDRECV_ADDRESS_TEXT_MAX);
		return text;
	}
	for (int i = 0; i < 8; i++) {
		ipv6.s6_addr[i] = (uint8_t)(address.hi >> (56 - 8 * i));
		ipv6.s6_addr[8 + i] = (uint8_t)(address.lo >> (56 - 8 * i));
	}
	(void)inet_ntop(AF_INET6, &ipv6, text, UIDRECV_ADDRESS_TEXT_MAX);
	return text;
}
