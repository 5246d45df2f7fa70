/* SPDX-License-Identifier: BSD-2-Clause */
/* O01, P11, P14: the list of agents and its file. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../sanitized.h"
#include "rights.h"

static struct uidrecv_rights *rights;
static char error[512];

static void setup(void)
{
	cr_assert_eq(uidrecv_rights_new(&rights), 0);
}

static void done(void)
{
	uidrecv_rights_free(rights);
}

TestSuite(rights, .init = setup, .fini = done);

static int parse(const char *text)
{
	return uidrecv_rights_parse(rights, text, strlen(text), error,
				    sizeof(error));
}

static const struct ur_right *find(const char *name)
{
	return ur_rights_find(rights, name, strlen(name));
}

static const struct uidrecv_network everywhere[] = {
    {{0, UINT64_C(0xffff00000000)}, 96}, {{0, 0}, 0}};

static struct uidrecv_agent_rights agent(const char *name)
{
	struct uidrecv_agent_rights made = {.size = sizeof(made)};

	made.name = name;
	made.networks = everywhere;
	made.networks_count = 2;
	return made;
}

Test(rights, a_line_says_all_that_an_agent_may)
{
	const struct ur_right *right;

	cr_assert_eq(parse("spiffe://Corp/A 10.0.0.0/8 2001:db8::/32 10.1.2.3 "
			   "priority=7 lifetime_s=60 lifetime_max_s=120 "
			   "mappings_max=18446744073709551615 "
			   "domains=CORP,example.com "
			   "keep_percent=75 dial=ts1.Example:5009 "
			   "allow=loopback,link-local,never,multi-user\n"),
		     0, "%s", error);
	right = find("spiffe://Corp/A");
	cr_assert_not_null(right);
	cr_expect_eq(right->priority, 7);
	cr_expect_eq(right->lifetime_s, 60);
	cr_expect_eq(right->lifetime_max_s, 120);
	cr_expect_eq(right->mappings_max, UINT64_MAX);
	cr_expect_eq(right->keep_percent, 75);
	cr_expect_str_eq(right->dial, "ts1.Example:5009");
	cr_expect_eq(right->domains_count, 2);
	cr_expect_eq(right->allow, 15);
	cr_expect_eq(right->networks_count, 2, "10.1.2.3 is in 10.0.0.0/8");
	cr_expect_eq(right->ipv4_count, 1);
	cr_expect_eq(right->networks[0].prefix_bits, 104);
	cr_expect_eq(right->networks[1].prefix_bits, 32);
}

Test(rights, what_is_left_out_has_its_default)
{
	const struct ur_right *right;

	cr_assert_eq(parse("a 10.0.0.1\nb ::1 lifetime_s=90000\n"
			   "c ::1 lifetime_max_s=60"),
		     0, "%s", error);
	right = find("a");
	cr_expect_eq(right->priority, 0);
	cr_expect_eq(right->lifetime_s, 2700);
	cr_expect_eq(right->lifetime_max_s, 86400);
	cr_expect_eq(right->mappings_max, 1000000);
	cr_expect_eq(right->keep_percent, 50);
	cr_expect_eq(right->allow, 0);
	cr_expect_eq(right->domains_count, 0);
	cr_expect_eq(find("b")->lifetime_max_s, 90000);
	cr_expect_eq(find("c")->lifetime_s, 60);
}

Test(rights, an_agent_may_be_allowed_to_drop_all)
{
	cr_assert_eq(parse("a ::1 allow=drops\nb ::1 keep_percent=7"), 0, "%s",
		     error);
	cr_expect_eq(find("a")->keep_percent, 0);
	cr_expect_eq(find("b")->keep_percent, 7);
}

Test(rights, comments_blanks_and_line_ends_are_skipped)
{
	cr_assert_eq(parse("# a comment\r\n\n \t \n\r\n"
			   "\ta\t10.0.0.1 # b 10.0.0.2\r\n"
			   "urn:x#1 ::1 #comment \xff\n"
			   "  #c 10.0.0.3\n"
			   "d 10.0.0.4\r"),
		     0, "%s", error);
	cr_expect_eq(uidrecv_rights_count(rights), 3);
	cr_expect_not_null(find("a"));
	cr_expect_not_null(find("urn:x#1"));
	cr_expect_not_null(find("d"));
	cr_expect_eq(parse(""), 0);
	cr_expect_eq(uidrecv_rights_parse(rights, NULL, 0, NULL, 0), 0);
	cr_expect_eq(uidrecv_rights_count(rights), 3);
}

Test(rights, dns_names_are_in_lower_case_and_uris_are_not)
{
	cr_assert_eq(parse("DC1.Example.COM 10.0.0.1\nURN:Agent 10.0.0.1"), 0);
	cr_expect_not_null(find("dc1.example.com"));
	cr_expect_null(find("DC1.Example.COM"));
	cr_expect_not_null(find("URN:Agent"));
	cr_expect_null(find("urn:agent"));
	cr_expect_null(find("dc1.example.co"));
	cr_expect_null(find("dc1.example.com."));
	cr_expect_null(find(""));
	cr_expect_eq(parse("dc1.EXAMPLE.com ::1"), UIDRECV_E_RIGHTS);
	cr_expect_eq(parse("URN:agent ::1"), 0);
}

/* The fault, where it is, and a word of the remedy. */
static const struct {
	const char *text;
	unsigned int line;
	const char *says;
} faults[] = {
    {"a 10.0.0.1\na 10.0.0.2", 2, "is on line 1 already"},
    {"A.b 10.0.0.1\n#\n\na.B 10.0.0.2\n", 4, "is on line 1 already"},
    {"a ::1\na ::1\na ::1", 2, "is on line 1 already"},
    {"\nold 10.0.0.1", 2, "is on the list already"},
    {"a", 1, "has no network"},
    {"\na priority=1", 2, "has no network"},
    {"a # 10.0.0.0/8", 1, "has no network"},
    {"10.0.0.0/8 10.0.0.0/8", 1, "but a network; write the name"},
    {"::1", 1, "but a network; write the name"},
    {"*.example.com 10.0.0.1", 1, "is no name"},
    {"a,b 10.0.0.1", 1, "is no name"},
    {"priority=1 10.0.0.1", 1, "is no name"},
    {"m\xc3\xbcnchen 10.0.0.1", 1, "m\\xc3\\xbcnchen is no name"},
    {"\xef\xbb\xbfz 10.0.0.1", 1, "\\xef\\xbb\\xbf"},
    {"a\x1b[31m 10.0.0.1", 1, "a\\x1b[31m is no name"},
    {"a 10.0.0", 1, "10.0.0 is no network"},
    {"a 10.0.0.256", 1, "is no network"},
    {"a 010.0.0.1", 1, "is no network"},
    {"a 10.0.0.0/33", 1, "is no network"},
    {"a 10.0.0.0/", 1, "is no network"},
    {"a 10.0.0.0/08", 1, "is no network"},
    {"a 10.0.0.0/-1", 1, "is no network"},
    {"a 10.0.0.0/+8", 1, "is no network"},
    {"a 10.0.0.0/8/8", 1, "is no network"},
    {"a 10.0.0.0/255.0.0.0", 1, "is no network"},
    {"a 10.0.0.0/4294967304", 1, "is no network"},
    {"a ::/129", 1, "is no network"},
    {"a fe80::1%eth0", 1, "is no network"},
    {"a [::1]", 1, "is no network"},
    {"a 10.0.0.1,10.0.0.2", 1, "is no network"},
    {"a /8", 1, "is no network"},
    {"a example.com", 1, "such as 10.0.0.0/8"},
    {"a 10.0.0.1#comment", 1, "is no network"},
    {"a 10.0.0.1\rb 10.0.0.2", 1, "\\x0d"},
    {"a 10.1.2.3/8", 1, "write 10.0.0.0/8 "},
    {"a 10.0.0.1/31", 1, "write 10.0.0.0/31 "},
    {"a 0.0.0.1/0", 1, "write 0.0.0.0/0 "},
    {"a 2001:db8::1/32", 1, "write 2001:db8::/32 "},
    {"a ::1/0", 1, "write ::/0 "},
    {"a ::ffff:10.0.0.1/104", 1, "write 10.0.0.0/8 "},
    {"a ::ffff:10.0.0.0/8", 1, "write ::/8 "},
    {"a ::1 size=1", 1, "key size= is unknown"},
    {"a ::1 =1", 1, "key = is unknown"},
    {"a ::1 Priority=1", 1, "key Priority= is unknown"},
    {"a ::1 lifetime=1", 1, "write priority=, lifetime_s="},
    {"a ::1 priority=1 priority=1", 1, "priority= stands twice"},
    {"a ::1 domains=x allow=never domains=y", 1, "domains= stands twice"},
    {"a ::1 priority=", 1, "from 0 to 4294967295"},
    {"a ::1 priority=4294967296", 1, "from 0 to 4294967295"},
    {"a ::1 priority=18446744073709551616", 1, "from 0 to 4294967295"},
    {"a ::1 priority=-1", 1, "from 0 to 4294967295"},
    {"a ::1 priority=+1", 1, "from 0 to 4294967295"},
    {"a ::1 priority=0x10", 1, "from 0 to 4294967295"},
    {"a ::1 priority=010", 1, "from 0 to 4294967295"},
    {"a ::1 priority=1.5", 1, "from 0 to 4294967295"},
    {"a ::1 priority=1k", 1, "from 0 to 4294967295"},
    {"a ::1 priority==1", 1, "priority==1 is out of range"},
    {"a ::1 lifetime_s=0", 1, "from 1 to 4294967294"},
    {"a ::1 lifetime_s=4294967295", 1, "from 1 to 4294967294"},
    {"a ::1 lifetime_max_s=0", 1, "from 1 to 4294967294"},
    {"a ::1 lifetime_max_s=never", 1, "from 1 to 4294967294"},
    {"a ::1 mappings_max=0", 1, "from 1 to 18446744073709551615"},
    {"a ::1 mappings_max=18446744073709551616", 1,
     "from 1 to 18446744073709551615"},
    {"a ::1 mappings_max=99999999999999999999999999", 1,
     "from 1 to 18446744073709551615"},
    {"a ::1 lifetime_s=61 lifetime_max_s=60", 1,
     "lifetime_s=61 is more than lifetime_max_s=60"},
    {"a ::1 lifetime_max_s=60 lifetime_s=61", 1, "is more than"},
    {"a ::1 domains=", 1, "\"\" in domains="},
    {"a ::1 domains=x,", 1, "\"\" in domains="},
    {"a ::1 domains=,x", 1, "\"\" in domains="},
    {"a ::1 domains=x,,y", 1, "\"\" in domains="},
    {"a ::1 domains=CORP\\", 1, "is no domain"},
    {"a ::1 domains=@example.com", 1, "without \\ and @"},
    {"a ::1 domains=\xff", 1, "is no domain"},
    {"a ::1 domains=a\x7f", 1, "is no domain"},
    {"a ::1 domains=x, y", 1, "\"\" in domains="},
    {"a ::1 allow=", 1, "\"\" in allow="},
    {"a ::1 allow=never,", 1, "\"\" in allow="},
    {"a ::1 allow=Never", 1, "\"Never\" in allow="},
    {"a ::1 allow=all", 1, "link-local, never, multi-user and drops"},
    {"a ::1 keep_percent=0", 1, "from 1 to 100"},
    {"a ::1 keep_percent=101", 1, "from 1 to 100"},
    {"a ::1 dial=", 1, "dial= is no host and port"},
    {"a ::1 dial=ts1", 1, "dial=ts1 is no host and port"},
    {"a ::1 dial=ts1:0", 1, "such as ts1.example.com:5009"},
    {"a ::1 dial=ts1:65536", 1, "is no host and port"},
    {"a ::1 dial=::1:5009", 1, "[2001:db8::1]:5009"},
    {"a ::1 dial=ts\x1b:1", 1, "dial=ts\\x1b:1"},
    {"a ::1 dial=a=b:1", 1, "dial=a=b:1 is no"},
    {"a ::1 dial=a:1 dial=a:1", 1, "dial= stands twice"},
    {"a ::1\nb ::1\n\nc", 4, "has no network"},
    {"a ::1\r\nb", 2, "has no network"},
};

Test(rights, O01_P14_a_fault_is_named_and_changes_nothing)
{
	cr_assert_eq(parse("old 10.0.0.0/8"), 0);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		char start[32];

		cr_expect_eq(parse(faults[i].text), UIDRECV_E_RIGHTS, "%s",
			     faults[i].text);
		snprintf(start, sizeof(start), "line %u: ", faults[i].line);
		cr_expect_eq(strncmp(error, start, strlen(start)), 0, "%s: %s",
			     faults[i].text, error);
		cr_expect_not_null(strstr(error, faults[i].says), "%s: %s",
				   faults[i].text, error);
		cr_expect_eq(uidrecv_rights_count(rights), 1);
		cr_expect_not_null(find("old"));
	}
}

Test(rights, O01_a_nul_byte_is_a_fault)
{
	static const char text[] = "a ::1\nb ::1\0\n";

	cr_expect_eq(uidrecv_rights_parse(rights, text, sizeof(text) - 1, error,
					  sizeof(error)),
		     UIDRECV_E_RIGHTS);
	cr_expect_not_null(strstr(error, "line 2: "));
	cr_expect_not_null(strstr(error, "NUL"));
	cr_expect_eq(uidrecv_rights_count(rights), 0);
}

/* "a ::1" and blanks, so that the line has size bytes. */
static int parse_long_line(size_t size, const char *end)
{
	char *text = malloc(size + 3);
	int r;

	memset(text, ' ', size);
	memcpy(text, "a ::1", 5);
	memcpy(text + size, end, strlen(end));
	r = uidrecv_rights_parse(rights, text, size + strlen(end), error,
				 sizeof(error));
	free(text);
	return r;
}

Test(rights, O01_lines_have_at_most_64_kib)
{
	cr_expect_eq(parse_long_line(65537, ""), UIDRECV_E_RIGHTS);
	cr_expect_not_null(strstr(error, "line 1: "));
	cr_expect_not_null(strstr(error, "65536"));
	cr_expect_eq(parse_long_line(65537, "\n"), UIDRECV_E_RIGHTS);
	cr_expect_eq(uidrecv_rights_count(rights), 0);
	cr_expect_eq(parse_long_line(65536, "\r\n"), 0, "%s", error);
}

Test(rights, P11_names_and_domains_have_at_most_255_bytes)
{
	char name[257], text[1024];

	memset(name, 'a', sizeof(name));
	name[256] = '\0';
	snprintf(text, sizeof(text), "%s ::1", name);
	cr_expect_eq(parse(text), UIDRECV_E_RIGHTS);
	cr_expect_not_null(strstr(error, "... is no name"));
	snprintf(text, sizeof(text), "a ::1 domains=%s", name);
	cr_expect_eq(parse(text), UIDRECV_E_RIGHTS);
	name[255] = '\0';
	snprintf(text, sizeof(text), "%s ::1 domains=%s", name, name);
	cr_expect_eq(parse(text), 0, "%s", error);
	cr_expect_not_null(find(name));
}

Test(rights, a_message_is_cut_to_its_room)
{
	char room[16];

	for (size_t size = 0; size <= sizeof(room); size++) {
		memset(room, 'x', sizeof(room));
		cr_expect_eq(uidrecv_rights_parse(rights, "a", 1, room, size),
			     UIDRECV_E_RIGHTS);
		if (size > 0)
			cr_expect_eq(strlen(room), size - 1);
		if (size < sizeof(room))
			cr_expect_eq(room[size], 'x');
	}
	cr_expect_eq(uidrecv_rights_parse(rights, "a", 1, NULL, 100),
		     UIDRECV_E_RIGHTS);
}

Test(rights, a_message_is_written_only_on_failure)
{
	strcpy(error, "untouched");
	cr_expect_eq(parse("a ::1"), 0);
	cr_expect_str_eq(error, "untouched");
}

static int load(const char *text, size_t size)
{
	char path[] = "/tmp/uidrecv-test-XXXXXX";
	int fd = mkstemp(path), r;

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, size), (ssize_t)size);
	close(fd);
	r = uidrecv_rights_load(rights, path, error, sizeof(error));
	unlink(path);
	return r;
}

Test(rights, a_file_is_loaded_or_named_with_its_fault)
{
	cr_expect_eq(load("a ::1\nb ::1\n", 12), 0);
	cr_expect_eq(uidrecv_rights_count(rights), 2);
	cr_expect_eq(load("", 0), 0);
	cr_expect_eq(load("c ::1\nd", 7), UIDRECV_E_RIGHTS);
	cr_expect_eq(strncmp(error, "/tmp/uidrecv-test-", 18), 0);
	cr_expect_not_null(strstr(error, ", line 2: "), "%s", error);
	cr_expect_eq(uidrecv_rights_count(rights), 2);
}

Test(rights, a_file_that_cannot_be_read_is_named)
{
	cr_expect_eq(uidrecv_rights_load(rights, "/nonexistent/agents", error,
					 sizeof(error)),
		     -ENOENT);
	cr_expect_eq(strncmp(error, "/nonexistent/agents: ", 21), 0);
	cr_expect_eq(uidrecv_rights_load(rights, "/", error, sizeof(error)),
		     -EISDIR);
	cr_expect_eq(uidrecv_rights_load(rights, "/dev/zero", NULL, 0), -EFBIG);
}

Test(rights, arguments_that_are_missing_are_invalid)
{
	struct uidrecv_agent_rights made = agent("a");

	cr_expect_eq(uidrecv_rights_new(NULL), -EINVAL);
	cr_expect_eq(uidrecv_rights_add(NULL, &made), -EINVAL);
	cr_expect_eq(uidrecv_rights_add(rights, NULL), -EINVAL);
	cr_expect_eq(uidrecv_rights_parse(NULL, "", 0, NULL, 0), -EINVAL);
	cr_expect_eq(uidrecv_rights_parse(rights, NULL, 1, NULL, 0), -EINVAL);
	cr_expect_eq(uidrecv_rights_load(NULL, "/", NULL, 0), -EINVAL);
	cr_expect_eq(uidrecv_rights_load(rights, NULL, NULL, 0), -EINVAL);
	cr_expect_eq(uidrecv_rights_count(NULL), 0);
	uidrecv_rights_free(NULL);
}

#define EXPECT_ADD(field, value, result)                                       \
	do {                                                                   \
		struct uidrecv_agent_rights made = agent("a");                 \
		made.field = value;                                            \
		cr_expect_eq(uidrecv_rights_add(rights, &made), result);       \
	} while (0)

Test(rights, an_agent_that_cannot_be_is_not_added)
{
	static const struct uidrecv_network bad[] = {
	    {{0, 1}, 127}, {{0, 0}, 129}, {{1, 0}, 0}, {{0, 0}, 255}};
	static const char *const domains[] = {"", "a\\b", "a@b", "\xff", NULL};

	EXPECT_ADD(name, NULL, -EINVAL);
	EXPECT_ADD(name, "", -EINVAL);
	EXPECT_ADD(name, "a b", -EINVAL);
	EXPECT_ADD(name, "urn:a\tb", -EINVAL);
	EXPECT_ADD(name, "urn:\xc3\xa4", -EINVAL);
	EXPECT_ADD(networks, NULL, -EINVAL);
	EXPECT_ADD(networks_count, 0, -EINVAL);
	EXPECT_ADD(domains_count, 1, -EINVAL);
	EXPECT_ADD(lifetime_s, UIDRECV_LIFETIME_NEVER, -EINVAL);
	EXPECT_ADD(lifetime_max_s, UIDRECV_LIFETIME_NEVER, -EINVAL);
	EXPECT_ADD(keep_percent, 101, -EINVAL);
	EXPECT_ADD(dial, "", -EINVAL);
	EXPECT_ADD(dial, "a", -EINVAL);
	EXPECT_ADD(dial, "a:0", -EINVAL);
	EXPECT_ADD(dial, "a b:1", -EINVAL);
	EXPECT_ADD(dial, "\xff:1", -EINVAL);
	EXPECT_ADD(allow, 32, -EINVAL);
	EXPECT_ADD(allow, 0x80000001, -EINVAL);
	for (size_t i = 0; i < 4; i++) {
		struct uidrecv_agent_rights made = agent("a");

		made.networks = &bad[i];
		made.networks_count = 1;
		cr_expect_eq(uidrecv_rights_add(rights, &made), -EINVAL);
	}
	for (size_t i = 0; i < 5; i++) {
		struct uidrecv_agent_rights made = agent("a");

		made.domains = &domains[i];
		made.domains_count = 1;
		cr_expect_eq(uidrecv_rights_add(rights, &made), -EINVAL);
	}
	cr_expect_eq(uidrecv_rights_count(rights), 0);
	EXPECT_ADD(lifetime_max_s, UIDRECV_LIFETIME_NEVER - 1, 0);
	EXPECT_ADD(name, "A", -EEXIST);
	cr_expect_eq(uidrecv_rights_count(rights), 1);
}

Test(rights, structs_of_other_versions_are_accepted_if_understood)
{
	struct {
		struct uidrecv_agent_rights known;
		char unknown[8192];
	} later = {.known = agent("a")};

	later.known.size = 0;
	cr_expect_eq(uidrecv_rights_add(rights, &later.known), -EINVAL);
	later.known.size = sizeof(later.known) - 1;
	cr_expect_eq(uidrecv_rights_add(rights, &later.known), -EINVAL);
	later.known.size = 4097;
	cr_expect_eq(uidrecv_rights_add(rights, &later.known), -EINVAL);
	later.known.size = 4096;
	later.unknown[0] = 1;
	cr_expect_eq(uidrecv_rights_add(rights, &later.known), UIDRECV_E_ABI);
	later.unknown[0] = 0;
	cr_expect_eq(uidrecv_rights_add(rights, &later.known), 0);
}

static void expect_sorted(const struct uidrecv_rights *list)
{
	for (size_t i = 1; i < uidrecv_rights_count(list); i++)
		cr_assert_lt(ur_right_compare(ur_rights_at(list, i - 1),
					      ur_rights_at(list, i)),
			     0);
}

Test(rights, ten_thousand_agents_are_loaded_added_and_found)
{
	char *text = malloc(10000 * 64), *to = text, name[32];
	struct uidrecv_rights *copy;

	for (unsigned int i = 0; i < 10000; i++)
		to += sprintf(to, "agent-%u 10.%u.%u.0/24 ::/0\n",
			      i * 7919u % 10000u, i >> 8, i & 0xff);
	cr_assert_eq(uidrecv_rights_parse(rights, text, (size_t)(to - text),
					  error, sizeof(error)),
		     0, "%s", error);
	free(text);
	for (unsigned int i = 10000; i < 20000; i++) {
		struct uidrecv_agent_rights made = agent(name);

		sprintf(name, "agent-%u", 29999 - i);
		cr_assert_eq(uidrecv_rights_add(rights, &made), 0);
		cr_assert_eq(uidrecv_rights_add(rights, &made), -EEXIST);
	}
	copy = ur_rights_copy(rights);
	cr_assert_not_null(copy);
	uidrecv_rights_free(rights);
	rights = copy;
	cr_assert_eq(uidrecv_rights_count(rights), 20000);
	expect_sorted(rights);
	for (unsigned int i = 0; i < 20000; i++) {
		const struct ur_right *right;

		sprintf(name, "agent-%u", i);
		right = find(name);
		cr_assert(right && strcmp(right->name, name) == 0);
	}
	cr_expect_null(find("agent-20000"));
}

Test(rights, a_copy_is_equal_and_stands_alone)
{
	struct uidrecv_rights *copy;
	const struct ur_right *right;

	cr_assert_eq(parse("b 10.0.0.0/8 ::1 priority=3 lifetime_s=60 "
			   "lifetime_max_s=70 mappings_max=5 keep_percent=7 "
			   "domains=x,Y allow=never dial=[::1]:9\na ::/0"),
		     0);
	copy = ur_rights_copy(rights);
	uidrecv_rights_free(rights);
	rights = copy;
	cr_assert_eq(uidrecv_rights_count(rights), 2);
	right = find("b");
	cr_expect_eq(right->priority, 3);
	cr_expect_eq(right->lifetime_s, 60);
	cr_expect_eq(right->lifetime_max_s, 70);
	cr_expect_eq(right->mappings_max, 5);
	cr_expect_eq(right->keep_percent, 7);
	cr_expect_str_eq(right->dial, "[::1]:9");
	cr_expect_null(find("a")->dial);
	cr_expect_eq(right->allow, UIDRECV_ALLOW_NEVER);
	cr_expect_eq(right->networks_count, 2);
	cr_assert_eq(right->domains_count, 2);
	cr_expect_str_eq(right->domains[1], "y");
	cr_expect_eq(parse("c ::/0"), 0);
}

/*
 * Sanitizers have their own malloc(), and the others of the library go through
 * these alone.
 */
#ifndef IS_SANITIZED
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void __libc_free(void *old);

static bool is_counting;
static long until_failure, live;

/* Is it the turn of this allocation to fail? */
static bool fails(void)
{
	return is_counting && until_failure-- == 0;
}

void *malloc(size_t size)
{
	if (fails())
		return NULL;
	live += is_counting;
	return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	if (fails())
		return NULL;
	live += is_counting;
	return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
	if (fails())
		return NULL;
	live += is_counting && !old;
	return __libc_realloc(old, size);
}

void *reallocarray(void *old, size_t count, size_t size)
{
	return realloc(old, count * size);
}

void free(void *old)
{
	live -= is_counting && old;
	__libc_free(old);
}

static const char many[] =
    "a 1.0.0.1 1.0.0.2 1.0.0.3 1.0.0.4 1.0.0.5 1.0.0.6 1.0.0.7 1.0.0.8 "
    "1.0.0.9 1.0.1.0 1.0.1.1 1.0.1.2 1.0.1.3 1.0.1.4 1.0.1.5 1.0.1.6 "
    "1.0.1.7 domains=a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q\n"
    "b ::1\nc ::1\nd ::1\ne ::1\nf ::1\ng ::1\nh ::1\ni ::1\nj ::1\n"
    "k ::1\nl ::1\nm ::1\nn ::1\no ::1\np ::1\nq ::1\nr ::1";

/* Does all there is; 0 or -ENOMEM. */
static int work(void)
{
	struct uidrecv_agent_rights made = agent("z");
	struct uidrecv_rights *list, *copy = NULL;
	int r = uidrecv_rights_new(&list);

	if (r < 0)
		return r;
	r = uidrecv_rights_add(list, &made);
	if (r == 0) {
		r = uidrecv_rights_parse(list, many, sizeof(many) - 1, error,
					 sizeof(error));
		if (uidrecv_rights_count(list) != (r == 0 ? 19 : 1))
			r = -EIO;
	}
	if (r == 0) {
		copy = ur_rights_copy(list);
		r = copy ? 0 : -ENOMEM;
	}
	uidrecv_rights_free(copy);
	uidrecv_rights_free(list);
	return r;
}

Test(rights, S10_each_allocation_may_fail)
{
	int r = -ENOMEM, failures = -1;

	while (r == -ENOMEM) {
		live = 0;
		until_failure = ++failures;
		is_counting = true;
		r = work();
		is_counting = false;
		cr_assert_eq(live, 0, "%ld blocks leak", live);
	}
	cr_expect_eq(r, 0);
	cr_expect_gt(failures, 40);
}
#endif
