/* SPDX-License-Identifier: BSD-2-Clause */
/* I09, P08 to P16, T02: what is admitted, under which rights. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "admit.h"
#include "block.h"
#include "network.h"

#define NOW UINT64_C(1700000000000000)
#define DAY_S 86400u

static struct uidrecv_rights *rights;

static const struct ur_right *add(const char *line)
{
	char error[256] = "";

	uidrecv_rights_free(rights);
	cr_assert_eq(uidrecv_rights_new(&rights), 0);
	cr_assert_eq(uidrecv_rights_parse(rights, line, strlen(line), error,
					  sizeof(error)),
		     0, "%s", error);
	return ur_rights_at(rights, 0);
}

static void done(void)
{
	uidrecv_rights_free(rights);
	rights = NULL;
}

static struct uidrecv_address address(const char *text)
{
	struct uidrecv_address parsed = {0, 0};

	cr_assert_eq(uidrecv_address_parse(text, &parsed), 0, "%s", text);
	return parsed;
}

static struct uidrecv_record record(uint16_t op, const char *where,
				    const char *user)
{
	struct uidrecv_record made = {.op = op, .address = address(where)};

	made.user_size = (uint8_t)strlen(user);
	memcpy(made.user, user, strlen(user));
	return made;
}

static int admit(const struct ur_right *right,
		 const struct uidrecv_record *what)
{
	struct ur_statement statement;

	return ur_admit(right, what, NOW, 0, NOW, &statement);
}

static int admit_address(const struct ur_right *right, const char *where)
{
	struct uidrecv_record what = record(UIDRECV_OP_MAP, where, "alice");

	return admit(right, &what);
}

#define EVERYWHERE "a 0.0.0.0/0 ::/0 "

static const uint16_t ops[] = {UIDRECV_OP_MAP, UIDRECV_OP_REFRESH,
			       UIDRECV_OP_LOGOUT, UIDRECV_OP_WITHDRAW};

Test(admit, operations_that_are_none_are_unsupported, .fini = done)
{
	const struct ur_right *right = add(EVERYWHERE);

	for (unsigned int op = 0; op <= 0xffff; op++) {
		struct uidrecv_record what =
		    record((uint16_t)op, "10.0.0.1", "alice");
		bool is_known = op >= 0x8020 && op <= 0x8023;

		cr_assert_eq(admit(right, &what),
			     is_known ? 0 : UIDRECV_REJECT_UNSUPPORTED);
	}
}

Test(admit, P12_both_spellings_of_an_address_are_one, .fini = done)
{
	const struct ur_right *right = add("a 10.0.0.0/8");
	struct ur_statement dotted, mapped;
	struct uidrecv_record what =
	    record(UIDRECV_OP_MAP, "10.1.2.3", "alice");

	cr_assert_eq(ur_admit(right, &what, NOW, 0, NOW, &dotted), 0);
	what.address = address("::ffff:10.1.2.3");
	cr_assert_eq(ur_admit(right, &what, NOW, 0, NOW, &mapped), 0);
	cr_expect_eq(dotted.address.hi, mapped.address.hi);
	cr_expect_eq(dotted.address.lo, mapped.address.lo);
	cr_expect_eq(admit_address(right, "::10.1.2.3"),
		     UIDRECV_REJECT_ADDRESS_INVALID);
}

Test(admit, P13_addresses_of_nobody_are_invalid, .fini = done)
{
	static const char *const nobody[] = {
	    "0.0.0.0",
	    "0.0.0.1",
	    "0.255.255.255",
	    "224.0.0.0",
	    "224.0.0.1",
	    "239.255.255.255",
	    "240.0.0.0",
	    "255.255.255.254",
	    "255.255.255.255",
	    "::",
	    "::2",
	    "::1.2.3.4",
	    "::255.255.255.255",
	    "::127.0.0.1",
	    "ff00::",
	    "ff02::1",
	    "ffff::1",
	    "::ffff:0.0.0.0",
	    "::ffff:224.0.0.1",
	    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	};
	const struct ur_right *right =
	    add(EVERYWHERE "allow=loopback,link-local,never,multi-user");

	for (size_t i = 0; i < sizeof(nobody) / sizeof(nobody[0]); i++)
		for (size_t op = 0; op < 4; op++) {
			struct uidrecv_record what =
			    record(ops[op], nobody[i], "alice");

			cr_expect_eq(admit(right, &what),
				     UIDRECV_REJECT_ADDRESS_INVALID, "%s",
				     nobody[i]);
		}
}

Test(admit, P13_edges_of_the_invalid_ranges_are_usable, .fini = done)
{
	static const char *const usable[] = {
	    "1.0.0.0",	   "223.255.255.255",  "126.255.255.255",
	    "128.0.0.0",   "169.253.255.255",  "169.255.0.0",
	    "::1:0:0",	   "::fffe:ffff:ffff", "::1:0:0:0",
	    "fe7f::1",	   "fec0::1",	       "feff::1",
	    "2001:db8::1", "fc00::1",	       "100::",
	};
	const struct ur_right *right = add(EVERYWHERE);

	for (size_t i = 0; i < sizeof(usable) / sizeof(usable[0]); i++)
		cr_expect_eq(admit_address(right, usable[i]), 0, "%s",
			     usable[i]);
}

Test(admit, P13_special_addresses_need_their_word, .fini = done)
{
	static const struct {
		const char *word, *addresses[4];
	} special[] = {
	    {"loopback", {"127.0.0.0", "127.0.0.1", "127.255.255.255", "::1"}},
	    {"link-local",
	     {"169.254.0.0", "169.254.255.255", "fe80::", "febf:ffff::1"}},
	};

	for (size_t word = 0; word < 2; word++)
		for (size_t i = 0; i < 4; i++) {
			const char *where = special[word].addresses[i];
			char line[64];

			cr_expect_eq(admit_address(add(EVERYWHERE), where),
				     UIDRECV_REJECT_ADDRESS_NOT_ALLOWED);
			snprintf(line, sizeof(line), EVERYWHERE "allow=%s",
				 special[word].word);
			cr_expect_eq(admit_address(add(line), where), 0);
			snprintf(line, sizeof(line), EVERYWHERE "allow=%s",
				 special[1 - word].word);
			cr_expect_eq(admit_address(add(line), where),
				     UIDRECV_REJECT_ADDRESS_NOT_ALLOWED);
			snprintf(line, sizeof(line), "a 10.0.0.1 allow=%s",
				 special[word].word);
			cr_expect_eq(admit_address(add(line), where),
				     UIDRECV_REJECT_ADDRESS_NOT_ALLOWED);
		}
}

Test(admit, I09_addresses_outside_the_networks_are_refused, .fini = done)
{
	const struct ur_right *right = add("a 10.1.0.0/16 2001:db8::/32");

	for (size_t op = 0; op < 4; op++) {
		struct uidrecv_record what =
		    record(ops[op], "10.2.0.0", "alice");

		cr_expect_eq(admit(right, &what),
			     UIDRECV_REJECT_ADDRESS_NOT_ALLOWED);
	}
	cr_expect_eq(admit_address(right, "10.0.255.255"), 4);
	cr_expect_eq(admit_address(right, "10.1.0.0"), 0);
	cr_expect_eq(admit_address(right, "10.1.255.255"), 0);
	cr_expect_eq(admit_address(right, "2001:db7:ffff::"), 4);
	cr_expect_eq(admit_address(right, "2001:db8:ffff::"), 0);
	cr_expect_eq(admit_address(right, "2001:db9::"), 4);
}

Test(admit, P14_ipv4_and_ipv6_are_apart, .fini = done)
{
#define HAS(name, text)                                                        \
	ur_right_has_address(ur_rights_find(rights, name, strlen(name)),       \
			     address(text))

	add("four 0.0.0.0/0\nsix ::/0\nlow ::/64\nmapped ::ffff:0:0/96\n"
	    "one ::ffff:10.0.0.1\nall 0.0.0.0/0 ::/0");
	cr_expect(HAS("four", "10.0.0.1"));
	cr_expect(HAS("four", "255.255.255.255"));
	cr_expect_not(HAS("four", "2001:db8::1"));
	cr_expect_not(HAS("four", "::fffe:ffff:ffff"));
	cr_expect(HAS("six", "2001:db8::1"));
	cr_expect_not(HAS("six", "10.0.0.1"));
	cr_expect(HAS("low", "::1:0:0:0"));
	cr_expect_not(HAS("low", "10.0.0.1"));
	cr_expect(HAS("mapped", "10.0.0.1"));
	cr_expect(HAS("one", "10.0.0.1"));
	cr_expect_not(HAS("one", "10.0.0.2"));
	cr_expect(HAS("all", "10.0.0.1"));
	cr_expect(HAS("all", "2001:db8::1"));
#undef HAS
}

static uint64_t random64(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Of few distinct bits, so that networks nest and addresses hit their edges. */
static struct uidrecv_address random_address(uint64_t *state, bool is_ipv4)
{
	uint64_t bits = random64(state), few = bits & 0x8181818181818181;

	if (bits >> 32 & 1)
		few |= bits >> 40 & 1 ? 0xffffff : 0;
	if (is_ipv4)
		return uidrecv_address_from_ipv4((uint32_t)few);
	return (struct uidrecv_address){bits >> 33 & 1 ? few : 0,
					random64(state) & 0x8383838383838383};
}

/* As the words of rights.h, bit by bit. */
static bool is_in(const struct uidrecv_network *network,
		  struct uidrecv_address where)
{
	bool is_ipv4 = network->prefix_bits >= 96 &&
		       uidrecv_address_is_ipv4(network->address);

	if (uidrecv_address_is_ipv4(where) != is_ipv4)
		return false;
	for (unsigned int bit = 0; bit < network->prefix_bits; bit++) {
		uint64_t a = bit < 64 ? where.hi : where.lo;
		uint64_t b =
		    bit < 64 ? network->address.hi : network->address.lo;

		if ((a ^ b) >> (63 - bit % 64) & 1)
			return false;
	}
	return true;
}

Test(admit, I09_random_addresses_are_allowed_as_by_brute_force)
{
	uint64_t state = UINT64_C(0x9e3779b97f4a7c15);
	size_t inside = 0;

	for (int round = 0; round < 200; round++) {
		struct uidrecv_network networks[40];
		struct uidrecv_agent_rights made = {.size = sizeof(made)};
		struct ur_right *right;

		made.name = "a";
		made.allow = 15;
		made.networks = networks;
		made.networks_count = 1 + random64(&state) % 40;
		for (size_t i = 0; i < made.networks_count; i++) {
			bool is_ipv4 = random64(&state) & 1;
			unsigned int bits =
			    (unsigned int)(random64(&state) % 129);

			if (is_ipv4)
				bits = 96 + bits % 33;
			else if (random64(&state) % 8)
				bits = 64 + bits / 2;
			networks[i].prefix_bits = (uint8_t)bits;
			networks[i].address = ur_address_mask(
			    random_address(&state, is_ipv4), bits);
		}
		cr_assert_eq(ur_right_new(&right, &made), 0);
		for (int i = 0; i < 1000; i++) {
			struct uidrecv_address where =
			    random_address(&state, random64(&state) & 1);
			bool expected = false;

			for (size_t n = 0; n < made.networks_count; n++)
				expected |= is_in(&networks[n], where);
			inside += expected;
			cr_assert_eq(ur_right_has_address(right, where),
				     expected);
		}
		ur_right_free(right);
	}
	cr_expect_gt(inside, 20000, "%zu", inside);
	cr_expect_lt(inside, 180000, "%zu", inside);
}

Test(admit, only_map_needs_a_user, .fini = done)
{
	const struct ur_right *right = add(EVERYWHERE "domains=corp");

	for (size_t op = 0; op < 4; op++) {
		struct uidrecv_record what = record(ops[op], "10.0.0.1", "");

		cr_expect_eq(admit(right, &what),
			     ops[op] == UIDRECV_OP_MAP
				 ? UIDRECV_REJECT_USER_INVALID
				 : 0);
	}
}

Test(admit, P08_P09_P10_unclean_users_are_invalid, .fini = done)
{
	static const char *const users[] = {
	    "\xc0\x80", "\xed\xa0\x80",	  "\xf4\x90\x80\x80", "a\r\nb",
	    "\x1b[0m",	"a\xe2\x80\xaez", "corp\\\x7f",	      "\xff",
	};
	const struct ur_right *right = add(EVERYWHERE "domains=other");

	for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++)
		for (size_t op = 0; op < 3; op++) {
			struct uidrecv_record what =
			    record(ops[op], "10.0.0.1", users[i]);

			cr_expect_eq(admit(right, &what),
				     UIDRECV_REJECT_USER_INVALID);
		}
}

Test(admit, P09_a_nul_in_a_user_cuts_nothing, .fini = done)
{
	struct uidrecv_record what =
	    record(UIDRECV_OP_MAP, "10.0.0.1", "admin.alice");

	what.user[5] = '\0';
	cr_expect_eq(admit(add(EVERYWHERE), &what),
		     UIDRECV_REJECT_USER_INVALID);
}

Test(admit, P11_users_of_1_and_of_255_bytes_are_admitted, .fini = done)
{
	const struct ur_right *right = add(EVERYWHERE);
	struct uidrecv_record what = record(UIDRECV_OP_MAP, "10.0.0.1", "a");
	struct ur_statement statement;

	cr_expect_eq(admit(right, &what), 0);
	memset(what.user, 'a', 255);
	what.user_size = 255;
	cr_assert_eq(ur_admit(right, &what, NOW, 0, NOW, &statement), 0);
	cr_expect_eq(statement.user_size, 255);
	cr_expect_eq(statement.user, what.user);
	what.user[254] = (char)0xc3;
	cr_expect_eq(admit(right, &what), UIDRECV_REJECT_USER_INVALID);
}

Test(admit, domains_are_compared_as_the_protocol_says, .fini = done)
{
	static const struct {
		const char *user;
		bool is_allowed;
	} users[] = {
	    {"CORP\\alice", true},
	    {"corp\\alice", true},
	    {"alice@example.com", true},
	    {"alice@EXAMPLE.Com", true},
	    {"a@b@example.com", true},
	    {"corp\\a\\b", true},
	    {"corp\\a@evil.com", true},
	    {"corp\\", true},
	    {"@example.com", true},
	    {"alice", false},
	    {"evil\\a@example.com", false},
	    {"evil\\corp\\a", false},
	    {"corpx\\alice", false},
	    {"cor\\alice", false},
	    {"\\alice", false},
	    {"alice@", false},
	    {"alice@example.com.", false},
	    {"alice@xample.com", false},
	    {"alice@sub.example.com", false},
	    {"corp", false},
	    {"example.com", false},
	    {"a@example.com@", false},
	    {"M\xc3\x9cNCHEN\\a", false},
	    {"M\xc3\xbcNCHEN\\a", true},
	    {"corp/alice", false},
	    {" corp\\alice", false},
	};
	const struct ur_right *right =
	    add(EVERYWHERE "domains=Corp,example.com,m\xc3\xbcnchen");

	for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++)
		for (size_t op = 0; op < 3; op++) {
			struct uidrecv_record what =
			    record(ops[op], "10.0.0.1", users[i].user);

			cr_expect_eq(admit(right, &what),
				     users[i].is_allowed
					 ? 0
					 : UIDRECV_REJECT_DOMAIN_NOT_ALLOWED,
				     "%s", users[i].user);
		}
}

Test(admit, without_domains_any_user_goes, .fini = done)
{
	struct uidrecv_record what =
	    record(UIDRECV_OP_MAP, "10.0.0.1", "alice");

	cr_expect_eq(admit(add(EVERYWHERE), &what), 0);
}

static int admit_lifetime(const char *line, uint16_t op, uint32_t lifetime_s,
			  uint32_t *ret_lifetime_s)
{
	struct uidrecv_record what = record(op, "10.0.0.1", "alice");
	struct ur_statement statement = {0};
	int code;

	what.lifetime_s = lifetime_s;
	code = ur_admit(add(line), &what, NOW, 0, NOW, &statement);
	*ret_lifetime_s = statement.lifetime_s;
	return code;
}

Test(admit, P15_no_lifetime_is_over_the_maximum, .fini = done)
{
	static const struct {
		const char *line;
		uint32_t said_s, map_s, refresh_s; /* 1: refused */
	} cases[] = {
	    {EVERYWHERE, 0, 2700, 0},
	    {EVERYWHERE, 2, 2, 2},
	    {EVERYWHERE, DAY_S, DAY_S, DAY_S},
	    {EVERYWHERE, DAY_S + 1, 1, 1},
	    {EVERYWHERE, 0x7fffffff, 1, 1},
	    {EVERYWHERE, 0x80000000, 1, 1},
	    {EVERYWHERE, 0xfffffffe, 1, 1},
	    {EVERYWHERE, 0xffffffff, 1, 1},
	    {EVERYWHERE "allow=never", 0xffffffff, 0xffffffff, 0xffffffff},
	    {EVERYWHERE "allow=never", 0xfffffffe, 1, 1},
	    {EVERYWHERE "allow=never", 0, 2700, 0},
	    {EVERYWHERE "lifetime_s=90", 0, 90, 0},
	    {EVERYWHERE "lifetime_s=100000", 0, 100000, 0},
	    {EVERYWHERE "lifetime_s=100000", 100000, 100000, 100000},
	    {EVERYWHERE "lifetime_s=100000", 100001, 1, 1},
	    {EVERYWHERE "lifetime_max_s=600", 0, 600, 0},
	    {EVERYWHERE "lifetime_max_s=600", 601, 1, 1},
	    {EVERYWHERE "lifetime_max_s=4294967294", 0xfffffffe, 0xfffffffe,
	     0xfffffffe},
	    {EVERYWHERE "lifetime_max_s=4294967294", 0xffffffff, 1, 1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t got_s, map_s = cases[i].map_s;
		uint32_t refresh_s = cases[i].refresh_s;
		int code;

		code = admit_lifetime(cases[i].line, UIDRECV_OP_MAP,
				      cases[i].said_s, &got_s);
		cr_expect_eq(code, map_s == 1 ? 8 : 0, "%zu", i);
		cr_expect_eq(got_s, map_s == 1 ? 0 : map_s, "%zu", i);
		code = admit_lifetime(cases[i].line, UIDRECV_OP_REFRESH,
				      cases[i].said_s, &got_s);
		cr_expect_eq(code, refresh_s == 1 ? 8 : 0, "%zu", i);
		cr_expect_eq(got_s, refresh_s == 1 ? 0 : refresh_s, "%zu", i);
	}
}

#define S UINT64_C(1000000)

Test(admit, P16_times_are_converted_clamped_or_refused, .fini = done)
{
	static const struct {
		uint64_t as_of_us, event_us; /* event 1: none */
		int64_t offset_us;
		uint64_t now_us;
		int code;
		uint64_t got_as_of_us, got_event_us;
	} cases[] = {
	    {NOW, 1, 0, NOW, 0, NOW, NOW},
	    {NOW - S, NOW - 2 * S, 0, NOW, 0, NOW - S, NOW - 2 * S},
	    {NOW, 0, 0, NOW, 0, NOW, 0},
	    /* up to 10 s ahead; as_of counts as now, the event does not */
	    {NOW + 10 * S, 1, 0, NOW, 0, NOW, NOW + 10 * S},
	    {NOW + 10 * S + 1, 1, 0, NOW, 9, 0, 0},
	    {NOW, NOW + 10 * S, 0, NOW, 0, NOW, NOW + 10 * S},
	    {NOW, NOW + 10 * S + 1, 0, NOW, 9, 0, 0},
	    {NOW + 10 * S + 1, NOW, 0, NOW, 9, 0, 0},
	    /* a year ahead and behind */
	    {NOW + 31536000 * S, 1, 0, NOW, 9, 0, 0},
	    {NOW, NOW + 31536000 * S, 0, NOW, 9, 0, 0},
	    {NOW - 31536000 * S, 1, 0, NOW, 0, NOW - 31536000 * S,
	     NOW - 31536000 * S},
	    /* 2038 and 2106 are times like others */
	    {2147483648 * S, 1, 0, 2147483648 * S, 0, 2147483648 * S,
	     2147483648 * S},
	    {4294967296 * S, 1, 0, 4294967296 * S, 0, 4294967296 * S,
	     4294967296 * S},
	    /* the agent's clock is elsewhere */
	    {5 * S, 3 * S, (int64_t)(NOW - 5 * S), NOW, 0, NOW, NOW - 2 * S},
	    {NOW + 7 * S, NOW + 6 * S, -(int64_t)NOW, 9 * S, 0, 7 * S, 6 * S},
	    {5 * S, 3 * S, -(int64_t)(4 * S), 2 * S, 0, S, 0},
	    {0, 1, 0, 0, 0, 0, 0},
	    {0, 1, INT64_MIN, 0, 0, 0, 0},
	    {UR_TIME_MAX, 1, INT64_MIN, 0, 0, 0, 0},
	    {0, 1, INT64_MAX, NOW, 9, 0, 0},
	    {0, 1, INT64_MAX, INT64_MAX, 0, INT64_MAX, INT64_MAX},
	    {UR_TIME_MAX, 1, INT64_MAX, NOW, 9, 0, 0},
	    {UR_TIME_MAX, 1, INT64_MAX, UINT64_MAX, 0, UR_TIME_MAX + INT64_MAX,
	     UR_TIME_MAX + INT64_MAX},
	    {UR_TIME_MAX, 1, 0, UR_TIME_MAX, 0, UR_TIME_MAX, UR_TIME_MAX},
	    /* over the largest time, though the offset would help */
	    {UR_TIME_MAX + 1, 1, 0, UINT64_MAX, 9, 0, 0},
	    {UR_TIME_MAX + 1, 1, INT64_MIN, NOW, 9, 0, 0},
	    {UINT64_MAX, 1, INT64_MIN, NOW, 9, 0, 0},
	    {NOW, UR_TIME_MAX + 1, INT64_MIN, NOW, 9, 0, 0},
	    {NOW, UINT64_MAX, 0, UINT64_MAX, 9, 0, 0},
	    {INT64_MAX, 1, 0, NOW, 9, 0, 0},
	    {(uint64_t)INT64_MAX + 1, 1, 0, NOW, 9, 0, 0},
	};
	const struct ur_right *right = add(EVERYWHERE);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t op = 0; op < 3; op += 2) {
			struct uidrecv_record what =
			    record(ops[op], "10.0.0.1", "alice");
			struct ur_statement got = {0};

			what.has_event_time = cases[i].event_us != 1;
			what.event_time_us = cases[i].event_us;
			cr_expect_eq(ur_admit(right, &what, cases[i].as_of_us,
					      cases[i].offset_us,
					      cases[i].now_us, &got),
				     cases[i].code, "%zu", i);
			cr_expect_eq(got.as_of_us, cases[i].got_as_of_us,
				     "as of %zu", i);
			cr_expect_eq(got.event_us, cases[i].got_event_us,
				     "event %zu", i);
		}
}

Test(admit, P16_as_of_is_checked_for_every_operation, .fini = done)
{
	const struct ur_right *right = add(EVERYWHERE);
	struct ur_statement statement;

	for (size_t op = 0; op < 4; op++) {
		struct uidrecv_record what =
		    record(ops[op], "10.0.0.1", "alice");

		cr_expect_eq(
		    ur_admit(right, &what, NOW + 11 * S, 0, NOW, &statement),
		    UIDRECV_REJECT_TIME_IN_FUTURE);
	}
}

Test(admit, a_statement_has_what_its_operation_has, .fini = done)
{
	const struct ur_right *right = add(EVERYWHERE);

	for (size_t op = 0; op < 4; op++) {
		struct uidrecv_record what =
		    record(ops[op], "10.0.0.1", "alice");
		bool is_map = ops[op] == UIDRECV_OP_MAP;
		bool has_event = is_map || ops[op] == UIDRECV_OP_LOGOUT;
		struct ur_statement got;

		what.has_event_time = what.has_token = true;
		what.event_time_us = NOW - 5;
		what.token = 7;
		what.source = UIDRECV_SOURCE_VPN;
		what.lifetime_s = 60;
		cr_assert_eq(ur_admit(right, &what, NOW - 2, 1, NOW, &got), 0);
		cr_expect_eq(got.op, ops[op]);
		cr_expect_eq(got.as_of_us, NOW - 1);
		cr_expect_eq(got.event_us, has_event ? NOW - 4 : NOW - 1);
		cr_expect_eq(got.event_raw_us, has_event ? NOW - 5 : NOW - 2);
		cr_expect_eq(got.has_token, has_event);
		cr_expect_eq(got.token, has_event ? 7 : 0);
		cr_expect_eq(got.source, is_map ? UIDRECV_SOURCE_VPN : 0);
		cr_expect_eq(got.lifetime_s, op < 2 ? 60 : 0);
		cr_expect_eq(got.user_size, op < 3 ? 5 : 0);
	}
}

Test(admit, the_first_failing_check_gives_the_code, .fini = done)
{
	const struct ur_right *right = add("a 10.0.0.0/8 domains=corp");
	struct uidrecv_record what = record(1, "0.0.0.0", "\xff");
	struct ur_statement statement = {.token = 42};

#define CODE() ur_admit(right, &what, NOW + 11 * S, 0, NOW, &statement)
	what.lifetime_s = UIDRECV_LIFETIME_NEVER;
	cr_expect_eq(CODE(), UIDRECV_REJECT_UNSUPPORTED);
	what.op = UIDRECV_OP_MAP;
	cr_expect_eq(CODE(), UIDRECV_REJECT_ADDRESS_INVALID);
	what.address = address("11.0.0.1");
	cr_expect_eq(CODE(), UIDRECV_REJECT_ADDRESS_NOT_ALLOWED);
	what.address = address("10.0.0.1");
	what.ports.count = 1;
	cr_expect_eq(CODE(), UIDRECV_REJECT_MULTI_USER_NOT_ALLOWED);
	what.ports.count = 0;
	cr_expect_eq(CODE(), UIDRECV_REJECT_USER_INVALID);
	what.user[0] = 'a';
	cr_expect_eq(CODE(), UIDRECV_REJECT_DOMAIN_NOT_ALLOWED);
	memcpy(what.user, "corp\\a", 6);
	what.user_size = 6;
	cr_expect_eq(CODE(), UIDRECV_REJECT_LIFETIME_NOT_ALLOWED);
	what.lifetime_s = 60;
	cr_expect_eq(CODE(), UIDRECV_REJECT_TIME_IN_FUTURE);
	cr_expect_eq(statement.token, 42, "written only on success");
#undef CODE
}

Test(admit, a_claim_stays_while_it_is_allowed, .fini = done)
{
	static const struct {
		const char *line;
		uint32_t lifetime_s;
		bool stays;
	} cases[] = {
	    {"a 10.0.0.0/8", 2700, true},
	    {"a 10.0.0.1", 2700, true},
	    {"a 10.0.0.2", 2700, false},
	    {"a ::/0", 2700, false},
	    {"a 10.0.0.0/8 domains=corp", 2700, true},
	    {"a 10.0.0.0/8 domains=other", 2700, false},
	    {"a 10.0.0.0/8 lifetime_max_s=2700", 2700, true},
	    {"a 10.0.0.0/8 lifetime_max_s=2699", 2700, false},
	    {"a 10.0.0.0/8", UIDRECV_LIFETIME_NEVER, false},
	    {"a 10.0.0.0/8 allow=never", UIDRECV_LIFETIME_NEVER, true},
	};
	struct ur_claim claim = {.user_size = 10, .user = "CORP\\alice"};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		claim.lifetime_s = cases[i].lifetime_s;
		cr_expect_eq(ur_admit_claim(add(cases[i].line),
					    address("10.0.0.1"), &claim),
			     cases[i].stays, "%zu", i);
	}
}

Test(admit, T02_ports_need_the_right_to_speak_for_multi_user_systems,
     .fini = done)
{
	static const struct {
		const char *line, *where;
		uint32_t count;
		int code;
	} cases[] = {
	    {"a 10.0.0.0/8 allow=multi-user", "10.0.0.1", 200, 0},
	    {"a 10.0.0.0/8 allow=multi-user", "10.0.0.1", 0, 0},
	    {"a 10.0.0.0/8", "10.0.0.1", 0, 0},
	    {"a 10.0.0.0/8", "10.0.0.1", 1, 14},
	    {"a 10.0.0.0/8", "10.0.0.1", 65536, 14},
	    {"a 10.0.0.0/8 allow=loopback,link-local,never,drops", "10.0.0.1",
	     200, 14},
	    {"a 10.0.0.0/8 allow=multi-user", "11.0.0.1", 200, 4},
	    {"a 10.0.0.0/8 allow=multi-user", "224.0.0.1", 200, 3},
	    {EVERYWHERE "allow=multi-user", "127.0.0.1", 200, 4},
	};
	struct ur_statement got;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t op = 0; op < 4; op++) {
			struct uidrecv_record what =
			    record(ops[op], cases[i].where, "alice");

			what.ports.start = 20000;
			what.ports.count = cases[i].count;
			cr_expect_eq(ur_admit(add(cases[i].line), &what, NOW, 0,
					      NOW, &got),
				     cases[i].code, "%zu", i);
			if (cases[i].code)
				continue;
			cr_expect_eq(got.address.lo, what.address.lo);
		}
}

/* Its key is no address that anybody could be allowed. */
Test(admit, a_claim_for_a_block_stays_while_it_is_allowed, .fini = done)
{
	static const struct {
		const char *line;
		uint32_t lifetime_s;
		bool stays;
	} cases[] = {
	    {"a 10.0.0.0/8 allow=multi-user", 2700, true},
	    {"a 192.0.2.1 allow=multi-user", 2700, true},
	    {"a 10.0.0.0/8", 2700, false},
	    {"a ::/0 allow=loopback,link-local,never,drops", 2700, false},
	    {"a 10.0.0.0/8 domains=other allow=multi-user", 2700, false},
	    {"a 10.0.0.0/8 domains=corp allow=multi-user", 2700, true},
	    {"a 10.0.0.0/8 lifetime_max_s=2699 allow=multi-user", 2700, false},
	    {"a 10.0.0.0/8 allow=multi-user", UIDRECV_LIFETIME_NEVER, false},
	};
	struct ur_claim claim = {.user_size = 10, .user = "CORP\\alice"};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		claim.lifetime_s = cases[i].lifetime_s;
		cr_expect_eq(ur_admit_claim(add(cases[i].line),
					    ur_block_key(7, 20000), &claim),
			     cases[i].stays, "%zu", i);
	}
}

Test(admit, T02_a_system_needs_the_right_and_every_address, .fini = done)
{
	static const struct {
		const char *line, *where, *aliases[3];
		int code;
	} cases[] = {
	    {"a 10.0.0.0/8 allow=multi-user", "10.0.0.1", {0}, 0},
	    {"a 10.0.0.0/8", "10.0.0.1", {0}, 14},
	    {"a 10.0.0.0/8", "224.0.0.1", {0}, 14},
	    {"a 10.0.0.0/8 allow=never,drops", "10.0.0.1", {0}, 14},
	    {"a 10.0.0.0/8 allow=multi-user", "11.0.0.1", {0}, 4},
	    {"a 10.0.0.0/8 allow=multi-user", "0.0.0.0", {0}, 3},
	    {"a 10.0.0.0/8 allow=multi-user",
	     "10.0.0.1",
	     {"10.0.0.2", "10.0.0.3"},
	     0},
	    {"a 10.0.0.0/8 allow=multi-user",
	     "10.0.0.1",
	     {"10.0.0.2", "11.0.0.1"},
	     4},
	    {"a 10.0.0.0/8 allow=multi-user",
	     "10.0.0.1",
	     {"10.0.0.2", "10.0.0.3", "2001:db8::1"},
	     4},
	    {"a 10.0.0.0/8 2001:db8::/32 allow=multi-user",
	     "10.0.0.1",
	     {"10.0.0.2", "10.0.0.3", "2001:db8::1"},
	     0},
	    {EVERYWHERE "allow=multi-user", "10.0.0.1", {"ff02::1"}, 3},
	    {EVERYWHERE "allow=multi-user", "10.0.0.1", {"fe80::1"}, 4},
	    {EVERYWHERE "allow=multi-user", "127.0.0.1", {"10.0.0.1"}, 4},
	    {EVERYWHERE "allow=multi-user,loopback,link-local",
	     "127.0.0.1",
	     {"fe80::1"},
	     0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct uidrecv_system system = {.address =
						    address(cases[i].where)};
		uint32_t *count = &system.aliases_count;

		while (*count < 3 && cases[i].aliases[*count]) {
			system.aliases[*count] =
			    address(cases[i].aliases[*count]);
			++*count;
		}
		cr_expect_eq(ur_admit_system(add(cases[i].line), &system),
			     cases[i].code, "%zu", i);
	}
}
