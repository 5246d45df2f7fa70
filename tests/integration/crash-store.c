/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kills a writer of the store at random moments and checks that every round
 * it reported as committed is there, whole.
 *
 * A round maps all of a range of addresses to a user that is the number of
 * the round, and puts that number into the agent's row. So it does with a block
 * of ports; and now and then one cuts the ports otherwise, which ends all
 * blocks.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "block.h"
#include "store.h"

#define ADDRESSES 400
#define EACH 7 /* of a round */
#define BLOCKS 4
#define ERA 16 /* rounds with one cut */
#define SECOND UINT64_C(1000000)
#define START (UINT64_C(1700000000) * SECOND)

static char directory[] = "/tmp/uidrecv-crash-XXXXXX";
static const struct ur_rank by_id[] = {{NULL, 0}, {"agent", 1}};

static void die(const char *what, int rc)
{
	fprintf(stderr, "crash-store: %s: %d (kept: %s)\n", what, rc,
		directory);
	exit(1);
}

static struct ur_store *open_store(void)
{
	struct ur_store_options options = {.directory = directory,
					   .map_bytes = 64 << 20,
					   .boot_us = SECOND,
					   .wall_us = START};
	const struct ur_agent_row *row;
	struct ur_store *store = NULL;
	int rc = ur_store_open(&store, &options);

	if (rc == 0)
		rc = ur_store_add_agent(store, "agent", 5, START, &row);
	if (rc < 0)
		die("opening", rc);
	ur_store_set_ranks(store, (struct ur_ranks){by_id, 2});
	return store;
}

static uint32_t address_of(uint64_t round, uint32_t i)
{
	return 0x0a000000 + (uint32_t)((round * EACH + i) % ADDRESSES);
}

/* The host has two addresses behind those above. */
static struct uidrecv_system system_of(uint64_t round)
{
	return (struct uidrecv_system){
	    .address = uidrecv_address_from_ipv4(0x0a010000),
	    .aliases[0] = uidrecv_address_from_ipv4(0x0a010001),
	    .aliases_count = 1,
	    .ports = {20000, 1000},
	    .block_size = 100 + (uint32_t)(round / ERA % 5)};
}

static uint16_t block_of(uint64_t round)
{
	return (uint16_t)(20000 + round % BLOCKS * system_of(round).block_size);
}

static int apply_round(struct ur_store *store, uint64_t round)
{
	struct ur_agent_row row = *ur_store_get_agent_by_id(store, 1);
	struct uidrecv_system system = system_of(round);
	uint64_t now_us = START + round;
	char user[24];
	int rc = ur_store_begin(store);

	if (rc < 0)
		return rc;
	rc = ur_store_put_system(store, 1, &system, now_us);
	snprintf(user, sizeof(user), "%ju", (uintmax_t)round);
	for (uint32_t i = 0; rc == 0 && i <= EACH; i++) {
		struct ur_statement map = {0};

		map.op = UIDRECV_OP_MAP;
		map.address =
		    i < EACH ? uidrecv_address_from_ipv4(address_of(round, i))
			     : ur_block_key(1, block_of(round));
		map.event_us = map.event_raw_us = map.as_of_us = now_us;
		map.lifetime_s = 86400;
		map.user = user;
		map.user_size = (uint8_t)strlen(user);
		rc = ur_store_apply(store, 1, ADDRESSES + BLOCKS, &map, now_us);
	}
	row.durable = round;
	if (rc == 0)
		rc = ur_store_put_agent(store, &row);
	if (rc == 0)
		rc = ur_store_put_rejects(store, 1, round,
					  &(struct ur_refusal){0, 1}, 1);
	if (rc == 0 && round > 5)
		rc = ur_store_drop_rejects(store, 1, round - 5);
	if (rc != 0) {
		ur_store_abort(store);
		return rc;
	}
	return ur_store_commit(store, now_us, now_us);
}

static void write_rounds(int pipe_fd)
{
	struct ur_store *store = open_store();
	uint64_t round = ur_store_get_agent_by_id(store, 1)->durable;

	for (;;) {
		int rc = apply_round(store, ++round);

		if (rc != 0)
			die("a round", rc);
		if (write(pipe_fd, &round, sizeof(round)) != sizeof(round))
			_exit(0);
	}
}

static uint64_t seen[ADDRESSES];
static uint64_t seen_blocks[1000]; /* by port from 20000 on */
static uint32_t seen_cuts[2];
static uint64_t seen_count;

static int see(void *user, const struct ur_change *answer)
{
	char text[24] = "";

	(void)user;
	if (answer->block_size) {
		seen_cuts[answer->address.lo & 1] = answer->block_size;
		return 0;
	}
	seen_count++;
	memcpy(text, answer->user, answer->user_size);
	if (ur_block_is_key(answer->address))
		seen_blocks[ur_block_start(answer->address) - 20000] =
		    strtoull(text, NULL, 10);
	else
		seen[answer->address.lo & 0xffffff] = strtoull(text, NULL, 10);
	return 0;
}

/*
 * Blocks are of the rounds since the ports were cut as they are, and of none
 * before, and all that is seen is counted.
 */
static void verify_blocks(struct ur_store *store, uint64_t durable)
{
	uint64_t last[1000] = {0};

	for (uint64_t round = durable - durable % ERA; round <= durable;
	     round++)
		if (round > 0)
			last[block_of(round) - 20000] = round;
	if (memcmp(last, seen_blocks, sizeof(last)) != 0)
		die("lost or kept a block of round", (int)durable);
	for (int i = 0; durable > 0 && i < 2; i++)
		if (seen_cuts[i] != system_of(durable).block_size)
			die("lost a system of round", (int)durable);
	if (ur_store_get_agent_by_id(store, 1)->claims != seen_count)
		die("counted otherwise in round", (int)durable);
}

/* Returns the last round in the store. */
static uint64_t verify(uint64_t acknowledged)
{
	struct ur_store *store = open_store();
	uint64_t durable = ur_store_get_agent_by_id(store, 1)->durable;
	uint64_t first =
	    durable * EACH > ADDRESSES ? durable - ADDRESSES / EACH + 1 : 1;
	struct ur_refusal refusals[UR_REFUSALS_MAX];
	size_t rejects = 0;
	int rc;

	memset(seen, 0, sizeof(seen));
	memset(seen_blocks, 0, sizeof(seen_blocks));
	memset(seen_cuts, 0, sizeof(seen_cuts));
	seen_count = 0;
	rc = ur_store_scan(store, START + durable, see, NULL);
	if (rc < 0)
		die("scanning", rc);
	verify_blocks(store, durable);
	if (durable < acknowledged)
		die("lost an acknowledged round", (int)durable);
	/* What a later round did not write again is of this one. */
	for (uint64_t round = first; round <= durable; round++)
		for (uint32_t i = 0; i < EACH; i++)
			if (seen[address_of(round, i) & 0xffffff] < round)
				die("lost a claim of round", (int)round);
	for (size_t i = 0; i < ADDRESSES; i++)
		if (seen[i] > durable)
			die("half a round", (int)seen[i]);
	if (ur_store_get_rejects(store, 1, durable, refusals, &rejects) < 0 ||
	    (durable > 0 && (rejects != 1 || refusals[0].code != 1)))
		die("lost a refusal", (int)durable);
	ur_store_close(store);
	return durable;
}

/* Returns the last acknowledged round of a writer that was killed. */
static uint64_t kill_one(long wait_us)
{
	struct timespec wait = {wait_us / 1000000, wait_us % 1000000 * 1000};
	uint64_t round, last = 0;
	int pipes[2], status;
	pid_t child;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		die("pipe", -errno);
	child = fork();
	if (child < 0)
		die("fork", -errno);
	if (child == 0) {
		close(pipes[0]);
		write_rounds(pipes[1]);
	}
	close(pipes[1]);
	nanosleep(&wait, NULL);
	kill(child, SIGKILL);
	/* The pipe holds less than it takes to block the writer for long. */
	while (read(pipes[0], &round, sizeof(round)) == sizeof(round))
		last = round;
	close(pipes[0]);
	waitpid(child, &status, 0);
	if (!WIFSIGNALED(status))
		die("the writer ended by itself", status);
	return last;
}

int main(int argc, char **argv)
{
	unsigned int seed = (unsigned int)time(NULL);
	uint64_t acknowledged = 0, ahead = 0;
	char command[64];
	long kills = 50;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--kills"))
			kills = strtol(argv[i + 1], NULL, 10);
		else if (!strcmp(argv[i], "--seed"))
			seed = (unsigned int)strtoul(argv[i + 1], NULL, 10);
		else
			die("usage: --kills N --seed N", 0);
	}
	if (getenv("UIDRECV_TEST_LONG"))
		kills *= 10;
	srandom(seed);
	if (!mkdtemp(directory))
		die("mkdtemp", -errno);
	for (long i = 0; i < kills; i++) {
		uint64_t last = kill_one(random() % 90000);
		uint64_t durable;

		if (last > acknowledged)
			acknowledged = last;
		durable = verify(acknowledged);
		ahead += durable > acknowledged;
		acknowledged = durable;
	}
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	if (system(command) != 0)
		die("cleaning up", 0);
	printf("crash-store: seed %u, %ld kills, %ju rounds, 0 lost, "
	       "%ju times one was committed and not yet reported\n",
	       seed, kills, (uintmax_t)acknowledged, (uintmax_t)ahead);
	return 0;
}
