/* SPDX-License-Identifier: BSD-2-Clause */
#include "uidrecvd-output.h"

#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A line of an agent: names, texts and a dozen numbers. */
#define LINE_MAX_BYTES 3072

void output_line(struct output *output, const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	va_list arguments;
	size_t size;
	char *text;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line) - 1, format, arguments);
	va_end(arguments);
	size = strlen(line);
	line[size++] = '\n';
	text = realloc(output->text, output->size + size);
	if (text == NULL)
		return;
	memcpy(text + output->size, line, size);
	output->text = text;
	output->size += size;
}

static const char *snapshot_state(const struct uidrecv_agent_stats *agent)
{
	if (agent->is_in_snapshot)
		return "open";
	return agent->resync_code ? "wanted" : "-";
}

static void add_agent(struct output *output,
		      const struct uidrecv_agent_stats *agent)
{
	char days[24] = "-";
	char heard[24] = "-";
	char oldest[24] = "-";
	/* Has words of whoever was found there, which must not be fields. */
	char failure[UIDRECV_USER_TEXT_MAX] = "-";

	if (agent->is_connected)
		snprintf(days, sizeof(days), "%" PRId64,
			 agent->certificate_days);
	if (agent->last_heard_ms != UINT64_MAX)
		snprintf(heard, sizeof(heard), "%" PRIu64,
			 agent->last_heard_ms);
	if (agent->oldest_ms != UINT64_MAX)
		snprintf(oldest, sizeof(oldest), "%" PRIu64, agent->oldest_ms);
	if (*agent->dial_error)
		uidrecv_user_format(agent->dial_error,
				    strlen(agent->dial_error), failure);
	output_line(output,
		    "agent %s connected=%s peer=%s last_heard_ms=%s "
		    "claims=%" PRIu64 " oldest_ms=%s held_claims=%" PRIu64
		    " snapshot=%s records=%" PRIu64 " rejected=%" PRIu64
		    " serial=%" PRIu64 " priority=%" PRIu32
		    " certificate_days=%s multi_user=%s blocks_taken=%" PRIu64
		    " dial=%s dial_attempts=%" PRIu64 " dial_retry_ms=%" PRIu64
		    " dial_error=%s software=%s",
		    agent->name, agent->is_connected ? "yes" : "no",
		    *agent->peer ? agent->peer : "-", heard, agent->claims,
		    oldest, agent->held_claims, snapshot_state(agent),
		    agent->records, agent->records_rejected, agent->durable,
		    agent->priority, days, agent->is_multi_user ? "yes" : "no",
		    agent->blocks_taken, agent->is_dialled ? agent->dial : "-",
		    agent->dial_attempts, agent->dial_retry_ms, failure,
		    *agent->software ? agent->software : "-");
}

static void add_receiver(struct output *output,
			 const struct uidrecv_receiver_stats *stats)
{
	output_line(
	    output,
	    "receiver connections=%" PRIu64 " sessions=%" PRIu64
	    " accepted=%" PRIu64 " refused_limit=%" PRIu64
	    " refused_tls=%" PRIu64 " refused_certificate=%" PRIu64
	    " refused_identity=%" PRIu64 " refused_timeout=%" PRIu64
	    " protocol_errors=%" PRIu64 " hold_expired=%" PRIu64
	    " updates=%" PRIu64 " records=%" PRIu64 " rejected=%" PRIu64
	    " duplicates=%" PRIu64 " commits=%" PRIu64 " commit_errors=%" PRIu64
	    " claims=%" PRIu64 " addresses=%" PRIu64
	    " store_used_bytes=%" PRIu64 " store_max_bytes=%" PRIu64
	    " table_entries=%" PRIu64 " change=%" PRIu64
	    " certificate_days=%" PRId64 " snapshots=%" PRIu64
	    " snapshots_held=%" PRIu64 " snapshots_refused=%" PRIu64
	    " refresh_alls=%" PRIu64 " resyncs=%" PRIu64,
	    stats->connections, stats->sessions, stats->accepted,
	    stats->refused_limit, stats->refused_tls,
	    stats->refused_certificate, stats->refused_identity,
	    stats->refused_timeout, stats->protocol_errors, stats->hold_expired,
	    stats->updates, stats->records, stats->records_rejected,
	    stats->duplicates, stats->commits, stats->commit_errors,
	    stats->claims, stats->addresses, stats->store_used_bytes,
	    stats->store_max_bytes, stats->table_entries, stats->change,
	    stats->certificate_days, stats->snapshots, stats->snapshots_held,
	    stats->snapshots_refused, stats->refresh_alls, stats->resyncs);
}

void output_status(struct output *output,
		   const struct uidrecv_receiver *receiver)
{
	struct uidrecv_agent_stats agent = {.size = sizeof(agent)};
	struct uidrecv_receiver_stats stats = {.size = sizeof(stats)};

	for (size_t i = 0;
	     uidrecv_receiver_get_agent_stats(receiver, i, &agent) == 1; i++)
		add_agent(output, &agent);
	if (uidrecv_receiver_get_stats(receiver, &stats) == 0)
		add_receiver(output, &stats);
}

/* A write of at most PIPE_BUF does not wait after poll() said so. */
static bool is_writable(int fd)
{
	struct pollfd pollfd = {fd, POLLOUT, 0};

	return poll(&pollfd, 1, 0) == 1;
}

void output_write(struct output *output)
{
	while (output_is_pending(output) && is_writable(STDOUT_FILENO)) {
		size_t size = output->size - output->written;
		ssize_t written;

		written = write(STDOUT_FILENO, output->text + output->written,
				size < PIPE_BUF ? size : PIPE_BUF);
		/* Nobody reads any more: there is nobody to tell. */
		if (written < 0)
			written = (ssize_t)size;
		output->written += (size_t)written;
	}
	if (!output_is_pending(output)) {
		free(output->text);
		memset(output, 0, sizeof(*output));
	}
}

bool output_is_pending(const struct output *output)
{
	return output->written < output->size;
}

void output_log(enum uidrecv_log_level level, const char *message)
{
	static const char *const names[] = {
	    [UIDRECV_LOG_ERROR] = "ERROR",
	    [UIDRECV_LOG_WARNING] = "WARNING",
	    [UIDRECV_LOG_INFO] = "INFO",
	    [UIDRECV_LOG_DEBUG] = "DEBUG",
	};
	static unsigned long dropped;
	struct timespec now;
	struct tm utc;
	char line[PIPE_BUF];
	char date[32];
	size_t size;

	if (!is_writable(STDERR_FILENO)) {
		dropped++;
		return;
	}
	if (dropped > 0) {
		dropped = 0;
		output_log(UIDRECV_LOG_WARNING,
			   "some log lines were lost: nobody read them");
	}
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(line, sizeof(line) - 1, "%s.%03ldZ %s %s", date,
		 now.tv_nsec / 1000000, names[level], message);
	size = strlen(line);
	line[size++] = '\n';
	if (write(STDERR_FILENO, line, size) < 0)
		dropped++;
}
