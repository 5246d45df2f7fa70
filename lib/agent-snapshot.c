/* SPDX-License-Identifier: BSD-2-Clause */
/* The agent's snapshots, REFRESH ALL, and how a receiver asks for them. */
#include <errno.h>

#include "agent-private.h"

int uidrecv_agent_snapshot_begin(struct uidrecv_agent *agent, bool discard)
{
	int error = ur_agent_may_queue(agent, UR_CAPABILITY_SNAPSHOT);

	if (error)
		return error;
	return ur_outbox_begin_snapshot(
	    &agent->outbox, discard, agent->capabilities & UR_CAPABILITY_PORTS);
}

int uidrecv_agent_snapshot_end(struct uidrecv_agent *agent)
{
	int error = ur_agent_may_queue(agent, 0);

	if (error)
		return error;
	if (!agent->outbox.is_snapshot_open)
		return -EINVAL;
	return ur_outbox_end_snapshot(&agent->outbox);
}

int uidrecv_agent_refresh_all(struct uidrecv_agent *agent, uint64_t count)
{
	int error = ur_agent_may_queue(agent, UR_CAPABILITY_REFRESH_ALL);

	if (error)
		return error;
	if (agent->outbox.is_snapshot_open)
		return -EBUSY;
	return ur_outbox_refresh_all(&agent->outbox,
				     uidrecv_agent_now_us(agent), count);
}

/* Will the receiver see a BEGIN that it cannot know of? */
static bool is_one_coming(const struct uidrecv_agent *agent,
			  const struct ur_conn *conn)
{
	const struct ur_outbox *outbox = &agent->outbox;

	return outbox->unsent &&
	       outbox->begin_serial >= outbox->unsent->serial &&
	       outbox->begin_serial > conn->session.durable;
}

void ur_agent_on_resync(struct uidrecv_agent *agent, const struct ur_conn *conn,
			const struct ur_bye *why)
{
	struct uidrecv_agent_event event = {.type = UIDRECV_AGENT_RESYNC,
					    .code = why->code};

	agent->resyncs++;
	if (agent->outbox.is_snapshot_open || is_one_coming(agent, conn))
		return;
	ur_log_escape(event.text, sizeof(event.text), why->text.bytes,
		      why->text.size);
	ur_agent_tell(agent, &event);
}
