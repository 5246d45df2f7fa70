/* SPDX-License-Identifier: BSD-2-Clause */
#include "admit.h"

#include <string.h>

#include "block.h"
#include "network.h"
#include "utf8.h"

bool ur_right_has_address(const struct ur_right *right,
			  struct uidrecv_address address)
{
	bool is_ipv4 = uidrecv_address_is_ipv4(address);
	size_t first = is_ipv4 ? 0 : right->ipv4_count, low = first;
	size_t high = is_ipv4 ? right->ipv4_count : right->networks_count;

	if ((ur_address_is_loopback(address) &&
	     !(right->allow & UIDRECV_ALLOW_LOOPBACK)) ||
	    (ur_address_is_link_local(address) &&
	     !(right->allow & UIDRECV_ALLOW_LINK_LOCAL)))
		return false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ur_address_compare(right->networks[middle].address,
				       address) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low > first &&
	       ur_network_holds(&right->networks[low - 1], address);
}

/* The rights have their domains in lower case. */
static bool is_domain(const char *text, size_t size, const char *domain)
{
	for (size_t i = 0; i < size; i++)
		if (domain[i] == '\0' || ur_ascii_lower(text[i]) != domain[i])
			return false;
	return domain[size] == '\0';
}

bool ur_right_has_user(const struct ur_right *right, const char *user,
		       size_t user_size)
{
	const char *backslash, *at, *text, *end;

	if (right->domains_count == 0)
		return true;
	backslash = memchr(user, '\\', user_size);
	at = memrchr(user, '@', user_size);
	text = backslash ? user : at ? at + 1 : NULL;
	end = backslash ? backslash : user + user_size;
	if (!text)
		return false;
	for (size_t i = 0; i < right->domains_count; i++)
		if (is_domain(text, (size_t)(end - text), right->domains[i]))
			return true;
	return false;
}

static int check_address(const struct ur_right *right,
			 struct uidrecv_address address)
{
	if (!ur_address_is_usable(address))
		return UIDRECV_REJECT_ADDRESS_INVALID;
	if (!ur_right_has_address(right, address))
		return UIDRECV_REJECT_ADDRESS_NOT_ALLOWED;
	return 0;
}

static int check_multi_user(const struct ur_right *right)
{
	return right->allow & UIDRECV_ALLOW_MULTI_USER
		   ? 0
		   : UIDRECV_REJECT_MULTI_USER_NOT_ALLOWED;
}

static int check_place(const struct ur_right *right,
		       const struct uidrecv_record *record)
{
	int code = check_address(right, record->address);

	if (!code && record->ports.count > 0)
		code = check_multi_user(right);
	return code;
}

static int check_user(const struct ur_right *right,
		      const struct uidrecv_record *record)
{
	if (record->op == UIDRECV_OP_WITHDRAW)
		return 0;
	if (record->user_size == 0)
		return record->op == UIDRECV_OP_MAP
			   ? UIDRECV_REJECT_USER_INVALID
			   : 0;
	if (!ur_utf8_is_clean(record->user, record->user_size))
		return UIDRECV_REJECT_USER_INVALID;
	/* Also of a LOGOUT: its marker suppresses what other agents say. */
	if (!ur_right_has_user(right, record->user, record->user_size))
		return UIDRECV_REJECT_DOMAIN_NOT_ALLOWED;
	return 0;
}

static bool has_lifetime(const struct ur_right *right, uint32_t lifetime_s)
{
	if (lifetime_s == UIDRECV_LIFETIME_NEVER)
		return right->allow & UIDRECV_ALLOW_NEVER;
	return lifetime_s <= right->lifetime_max_s;
}

static int check_lifetime(const struct ur_right *right,
			  const struct uidrecv_record *record,
			  struct ur_statement *statement)
{
	switch (record->op) {
	case UIDRECV_OP_MAP:
		statement->lifetime_s =
		    record->lifetime_s ? record->lifetime_s : right->lifetime_s;
		break;
	case UIDRECV_OP_REFRESH:
		statement->lifetime_s = record->lifetime_s;
		break;
	default:
		return 0;
	}
	if (!has_lifetime(right, statement->lifetime_s))
		return UIDRECV_REJECT_LIFETIME_NOT_ALLOWED;
	return 0;
}

/* time_us is at most UR_TIME_MAX, so that no offset can overflow the sum. */
static uint64_t add_offset(uint64_t time_us, int64_t offset_us)
{
	uint64_t behind;

	if (offset_us >= 0)
		return time_us + (uint64_t)offset_us;
	behind = 0 - (uint64_t)offset_us;
	return time_us > behind ? time_us - behind : 0;
}

/* Converts a time of the agent; false if it lies in the future. */
static bool convert_time(uint64_t time_us, int64_t offset_us, uint64_t now_us,
			 uint64_t *ret_time_us)
{
	uint64_t latest_us = now_us <= UINT64_MAX - UR_TOLERANCE_US
				 ? now_us + UR_TOLERANCE_US
				 : UINT64_MAX;

	if (time_us > UR_TIME_MAX)
		return false;
	*ret_time_us = add_offset(time_us, offset_us);
	return *ret_time_us <= latest_us;
}

bool ur_admit_time(uint64_t time_us, int64_t offset_us, uint64_t now_us,
		   uint64_t *ret_time_us)
{
	if (!convert_time(time_us, offset_us, now_us, ret_time_us))
		return false;
	if (*ret_time_us > now_us)
		*ret_time_us = now_us;
	return true;
}

static int check_times(const struct uidrecv_record *record, uint64_t as_of_us,
		       int64_t offset_us, uint64_t now_us,
		       struct ur_statement *statement)
{
	bool has_event_time =
	    record->has_event_time &&
	    (record->op == UIDRECV_OP_MAP || record->op == UIDRECV_OP_LOGOUT);
	uint64_t event_us = has_event_time ? record->event_time_us : as_of_us;

	statement->event_raw_us = event_us;
	if (!convert_time(event_us, offset_us, now_us, &statement->event_us) ||
	    !ur_admit_time(as_of_us, offset_us, now_us, &statement->as_of_us))
		return UIDRECV_REJECT_TIME_IN_FUTURE;
	return 0;
}

/* Leaves out what the operation does not have. */
static void fill_statement(const struct uidrecv_record *record,
			   struct ur_statement *statement)
{
	bool has_user = record->op != UIDRECV_OP_WITHDRAW;
	bool has_token = record->has_token && (record->op == UIDRECV_OP_MAP ||
					       record->op == UIDRECV_OP_LOGOUT);

	statement->address = record->address;
	statement->op = record->op;
	statement->source = record->op == UIDRECV_OP_MAP ? record->source : 0;
	statement->has_token = has_token;
	statement->token = has_token ? record->token : 0;
	statement->user_size = has_user ? record->user_size : 0;
	statement->user = record->user;
}

static bool is_known(uint16_t op)
{
	return op == UIDRECV_OP_MAP || op == UIDRECV_OP_REFRESH ||
	       op == UIDRECV_OP_LOGOUT || op == UIDRECV_OP_WITHDRAW;
}

int ur_admit(const struct ur_right *right, const struct uidrecv_record *record,
	     uint64_t as_of_us, int64_t offset_us, uint64_t now_us,
	     struct ur_statement *ret_statement)
{
	struct ur_statement statement = {0};
	int code;

	if (!is_known(record->op))
		return UIDRECV_REJECT_UNSUPPORTED;
	code = check_place(right, record);
	if (code)
		return code;
	code = check_user(right, record);
	if (code)
		return code;
	code = check_lifetime(right, record, &statement);
	if (code)
		return code;
	code = check_times(record, as_of_us, offset_us, now_us, &statement);
	if (code)
		return code;
	fill_statement(record, &statement);
	*ret_statement = statement;
	return 0;
}

bool ur_admit_claim(const struct ur_right *right,
		    struct uidrecv_address address,
		    const struct ur_claim *claim)
{
	int code = ur_block_is_key(address) ? check_multi_user(right)
					    : check_address(right, address);

	return code == 0 &&
	       ur_right_has_user(right, claim->user, claim->user_size) &&
	       has_lifetime(right, claim->lifetime_s);
}

int ur_admit_system(const struct ur_right *right,
		    const struct uidrecv_system *system)
{
	int code = check_multi_user(right);

	if (!code)
		code = check_address(right, system->address);
	for (uint32_t i = 0; !code && i < system->aliases_count; i++)
		code = check_address(right, system->aliases[i]);
	return code;
}
