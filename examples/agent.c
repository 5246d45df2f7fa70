/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The agent of a gateway: agent HOST:PORT NAME CERT KEY CA LIFETIME_S. Lines of
 * its input say who comes to 10.9.0.N ("N USER") and goes ("N"). Those before
 * the first empty line are who is there at the start.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uidrecv/agent.h>

static struct uidrecv_agent *agent;
static struct uidrecv_record said[256]; /* a MAP where somebody is */
static uint64_t tickets[256];
static uint32_t lifetime_s;
static uint64_t vouched_us; /* for all of them */
static bool must_tell_all = true;

/* What finds no room (UIDRECV_E_FULL) is told later, with all the rest. */
static void say(unsigned int n)
{
	if (!must_tell_all &&
	    uidrecv_agent_queue(agent, &said[n], &tickets[n]) < 0)
		must_tell_all = true;
}

/* A former mapping would outlive a refused one: it is withdrawn, too. */
static void withdraw(unsigned int n)
{
	said[n] = (struct uidrecv_record){.op = UIDRECV_OP_WITHDRAW,
					  .address = said[n].address};
	say(n);
}

/*
 * At the start, when the receiver asks, and instead of what found no room. The
 * queue must have room for all of it, as its 64 MiB have.
 */
static void tell_all(void)
{
	int r = uidrecv_agent_snapshot_begin(agent, true);

	/* Where nobody takes snapshots, who is gone goes by his lifetime. */
	must_tell_all = r < 0 && r != -EOPNOTSUPP;
	vouched_us = uidrecv_agent_now_us(agent);
	for (unsigned int n = 0; n < 256; n++)
		if (said[n].op == UIDRECV_OP_MAP)
			say(n);
	if (r == 0 && !must_tell_all)
		must_tell_all = uidrecv_agent_snapshot_end(agent) < 0;
}

/* When all is acknowledged: a refusal under way would spoil the count. */
static void refresh(void)
{
	struct uidrecv_agent_counters counters = {.size = sizeof(counters)};
	uint64_t now_us = uidrecv_agent_now_us(agent), count = 0;

	if (now_us - vouched_us < lifetime_s * UINT64_C(1000000) / 3 ||
	    uidrecv_agent_get_counters(agent, &counters) < 0 ||
	    counters.queued_bytes > 0)
		return;
	for (unsigned int n = 0; n < 256; n++)
		count += said[n].op == UIDRECV_OP_MAP;
	/* Where it is not taken all is said again, which renews it as well. */
	must_tell_all = uidrecv_agent_refresh_all(agent, count) < 0;
	vouched_us = now_us;
}

static void take_events(void)
{
	struct uidrecv_agent_event event;

	while (uidrecv_agent_next_event(agent, &event) == 1) {
		fprintf(stderr, "event %d %s\n", event.type, event.text);
		if (event.type == UIDRECV_AGENT_RESYNC)
			must_tell_all = true;
		for (unsigned int n = 0; n < 256; n++)
			if (event.type == UIDRECV_AGENT_REJECTED &&
			    said[n].op == UIDRECV_OP_MAP &&
			    tickets[n] == event.ticket)
				withdraw(n);
	}
}

/* Lifetimes and event times are said: with those both sides count alike. */
static void take_line(const char *line)
{
	struct uidrecv_record map = {.op = UIDRECV_OP_MAP,
				     .source = UIDRECV_SOURCE_VPN,
				     .lifetime_s = lifetime_s,
				     .has_event_time = true};
	unsigned int n;
	int words = sscanf(line, "%u %255s", &n, map.user);

	if (words < 1 || n > 255)
		return;
	map.event_time_us = uidrecv_agent_now_us(agent);
	map.address = uidrecv_address_from_ipv4(0x0a090000 + n);
	map.user_size = (uint8_t)strlen(map.user);
	said[n] = map;
	words == 2 ? say(n) : withdraw(n);
}

int main(int argc, char **argv)
{
	struct uidrecv_agent_options options = UIDRECV_AGENT_OPTIONS_INIT;
	struct pollfd fds[2] = {{.events = POLLIN}, {.events = POLLIN}};
	bool knows_all = false;
	char line[512];
	int r;

	if (argc != 7)
		return fprintf(stderr, "usage: see the head of agent.c\n"), 2;
	options.receiver = argv[1];
	options.receiver_name = argv[2];
	options.cert_path = argv[3];
	options.key_path = argv[4];
	options.ca_path = argv[5];
	lifetime_s = (uint32_t)strtoul(argv[6], NULL, 10);
	r = uidrecv_agent_new(&agent, &options, line, sizeof(line));
	if (r < 0)
		return fprintf(stderr, "%s\n", line), 2;
	fds[1].fd = uidrecv_agent_get_fd(agent);
	setvbuf(stdin, NULL, _IONBF, 0); /* poll() sees no buffer */
	while (r == 0) {
		poll(fds, 2, must_tell_all ? 10 : 1000);
		if (fds[0].revents && fgets(line, sizeof(line), stdin)) {
			knows_all |= *line == '\n';
			take_line(line);
		} else if (fds[0].revents) {
			fds[0].fd = -1;
			uidrecv_agent_finish(agent);
		}
		/* Earlier, a snapshot would drop who is not known yet. */
		if (knows_all)
			must_tell_all ? tell_all() : refresh();
		r = uidrecv_agent_dispatch(agent);
		take_events();
	}
	uidrecv_agent_free(agent);
	return r != -ESHUTDOWN;
}
