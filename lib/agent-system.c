/* SPDX-License-Identifier: BSD-2-Clause */
/* The multi-user system that an agent speaks for. */
#include <errno.h>

#include "agent-private.h"
#include "system.h"

bool ur_agent_check_ports(struct uidrecv_ports ports)
{
	return ports.count > 0 && ports.count <= 65536u - ports.start;
}

int uidrecv_agent_set_system(struct uidrecv_agent *agent,
			     const struct uidrecv_system *system,
			     uint64_t *ret_ticket)
{
	struct ur_set_system set;
	int error;

	if (!agent || !system || ur_system_check(system))
		return -EINVAL;
	error = ur_agent_may_queue(agent, UR_CAPABILITY_PORTS);
	if (error)
		return error;
	set.config = *system;
	set.ticket = agent->outbox.ticket + 1;
	error = ur_outbox_add_system(&agent->outbox, &set, true);
	if (error)
		return error;
	agent->outbox.system = set;
	if (ret_ticket)
		*ret_ticket = set.ticket;
	return 0;
}
