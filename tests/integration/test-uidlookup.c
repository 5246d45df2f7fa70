/* SPDX-License-Identifier: BSD-2-Clause */
/* What uidlookup prints of a table with a multi-user system, byte by byte. */
#include <criterion/criterion.h>
#include <sys/wait.h>

#include "../unit/tables.h"

TestSuite(uidlookup, .init = setup, .fini = teardown);

/* Runs it; its output is in text, and its exit status is returned. */
static int run(char text[2048], const char *arguments)
{
	const char *root = getenv("BUILD_ROOT");
	char command[512];
	size_t size;
	int status;
	FILE *pipe;

	snprintf(command, sizeof(command), "%s/examples/uidlookup",
		 root != NULL ? root : ".");
	if (access(command, X_OK) < 0)
		cr_skip_test("built without examples");
	snprintf(command, sizeof(command),
		 "'%s/examples/uidlookup' --table '%s' %s",
		 root != NULL ? root : ".", scratch.path, arguments);
	pipe = popen(command, "r");
	cr_assert_not_null(pipe);
	size = fread(text, 1, 2047, pipe);
	text[size] = '\0';
	status = pclose(pipe);
	cr_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void check_run(const char *arguments, int status, const char *expected)
{
	char text[2048];

	cr_assert_eq(run(text, arguments), status, "%s", arguments);
	cr_assert_str_eq(text, expected, "%s", arguments);
}

/* A host with two addresses and a user, and another user elsewhere. */
static struct ur_table *start(void)
{
	struct ur_table *table = make_published(scratch.path);
	struct uidrecv_address alias;

	cr_assert_eq(put_system(table, 0x0a010203, 20000, 2000, 200), 0);
	cr_assert_eq(uidrecv_address_parse("2001:db8::1", &alias), 0);
	cr_assert_eq(ur_table_put(table,
				  &(struct ur_table_answer){
				      .address = alias,
				      .agent = 2,
				      .system = {2, 200, {20000, 2000}}},
				  1),
		     0);
	cr_assert_eq(put_block(table, 20200, "CORP\\alice b"), 0);
	cr_assert_eq(put(table, 0x0a010204, "carol"), 0);
	return table;
}

#define ALICE "user=CORP\\alice%20b agent=vpn-gate source=terminal "
#define ALICE_JSON                                                             \
	"\"user\":\"CORP\\\\alice b\",\"agent\":\"vpn-gate\","                 \
	"\"source\":\"terminal\",\"ports\":{\"start\":20200,\"count\":200},"   \
	"\"expires_in_s\":\"never\"}\n"

Test(uidlookup, text_of_ports)
{
	struct ur_table *table = start();

	check_run("10.1.2.3:20200", 0,
		  "10.1.2.3:20200 " ALICE
		  "block=20200-20399 expires_in_s=never\n");
	check_run("[2001:db8::1]:20399", 0,
		  "[2001:db8::1]:20399 " ALICE
		  "block=20200-20399 expires_in_s=never\n");
	check_run("10.1.2.3:20400", 1, "10.1.2.3:20400 unknown-port\n");
	check_run("10.1.2.3", 1, "10.1.2.3 no-port\n");
	check_run("2001:db8::1", 1, "2001:db8::1 no-port\n");
	check_run("10.1.2.4:20200", 0,
		  "10.1.2.4:20200 user=carol agent=dc1 source=directory "
		  "expires_in_s=never\n");
	check_run("10.1.2.5:20200", 1, "10.1.2.5:20200 unknown\n");
	ur_table_close(table);
}

Test(uidlookup, json_of_ports)
{
	struct ur_table *table = start();

	check_run("--json 10.1.2.3:20200", 0,
		  "{\"address\":\"10.1.2.3\",\"port\":20200," ALICE_JSON);
	check_run("--json 10.1.2.3:20400", 1,
		  "{\"address\":\"10.1.2.3\",\"port\":20400,\"user\":null,"
		  "\"answer\":\"unknown-port\"}\n");
	check_run("--json 10.1.2.3", 1,
		  "{\"address\":\"10.1.2.3\",\"user\":null,"
		  "\"answer\":\"no-port\"}\n");
	check_run("--json 10.1.2.5", 1,
		  "{\"address\":\"10.1.2.5\",\"user\":null}\n");
	check_run("--json 10.1.2.4", 0,
		  "{\"address\":\"10.1.2.4\",\"user\":\"carol\","
		  "\"agent\":\"dc1\",\"source\":\"directory\","
		  "\"expires_in_s\":\"never\"}\n");
	ur_table_close(table);
}

Test(uidlookup, lists_of_ports)
{
	struct ur_table *table = start();

	check_run("--all | LC_ALL=C sort", 0,
		  "10.1.2.3 no-port\n"
		  "10.1.2.3 " ALICE "block=20200-20399 expires_in_s=never\n"
		  "10.1.2.4 user=carol agent=dc1 source=directory "
		  "expires_in_s=never\n"
		  "2001:db8::1 no-port\n"
		  "2001:db8::1 " ALICE
		  "block=20200-20399 expires_in_s=never\n");
	check_run("--all --json | LC_ALL=C sort", 0,
		  "{\"address\":\"10.1.2.3\",\"user\":\"CORP\\\\alice b\","
		  "\"agent\":\"vpn-gate\",\"source\":\"terminal\","
		  "\"ports\":{\"start\":20200,\"count\":200},"
		  "\"expires_in_s\":\"never\"}\n"
		  "{\"address\":\"10.1.2.3\",\"user\":null,"
		  "\"answer\":\"no-port\"}\n"
		  "{\"address\":\"10.1.2.4\",\"user\":\"carol\","
		  "\"agent\":\"dc1\",\"source\":\"directory\","
		  "\"expires_in_s\":\"never\"}\n"
		  "{\"address\":\"2001:db8::1\",\"user\":\"CORP\\\\alice b\","
		  "\"agent\":\"vpn-gate\",\"source\":\"terminal\","
		  "\"ports\":{\"start\":20200,\"count\":200},"
		  "\"expires_in_s\":\"never\"}\n"
		  "{\"address\":\"2001:db8::1\",\"user\":null,"
		  "\"answer\":\"no-port\"}\n");
	/* Not known is no failure of a list. */
	check_run("--all > /dev/null", 0, "");
	ur_table_close(table);
}
