/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>

#include "line.h"

#define AGENT_ID_MAX (1u << 24)
#define IDS_MIN 64

int ur_lines_init(struct ur_lines *lines)
{
	memset(lines, 0, sizeof(*lines));
	/* All there can be, so that making one never fails. */
	lines->of_index = calloc(UR_TABLE_LINES_MAX, sizeof(*lines->of_index));
	return lines->of_index != NULL ? 0 : -ENOMEM;
}

void ur_lines_done(struct ur_lines *lines)
{
	for (uint32_t id = 0; id < lines->ids; id++)
		free(lines->of_id[id].name);
	free(lines->of_id);
	free(lines->of_index);
}

static int reserve_id(struct ur_lines *lines, uint32_t id)
{
	uint32_t ids = id + 1 > IDS_MIN ? (id + 1) * 2 : IDS_MIN;
	struct ur_line_agent *of_id;

	if (id < lines->ids)
		return 0;
	of_id = realloc(lines->of_id, ids * sizeof(*of_id));
	if (of_id == NULL)
		return -ENOMEM;
	memset(of_id + lines->ids, 0, (ids - lines->ids) * sizeof(*of_id));
	lines->of_id = of_id;
	lines->ids = ids;
	return 0;
}

int ur_lines_add_agent(struct ur_lines *lines, uint32_t id, const char *name,
		       size_t name_size)
{
	struct ur_line_agent *agent;
	int r;

	if (name_size == 0 || name_size > UIDRECV_NAME_MAX || id > AGENT_ID_MAX)
		return -EINVAL;
	r = reserve_id(lines, id);
	if (r < 0)
		return r;
	agent = &lines->of_id[id];
	if (agent->name != NULL) {
		if (agent->name_size != name_size ||
		    memcmp(agent->name, name, name_size) != 0)
			return -EEXIST;
		return 0;
	}
	agent->name = malloc(name_size);
	if (agent->name == NULL)
		return -ENOMEM;
	memcpy(agent->name, name, name_size);
	agent->name_size = (uint8_t)name_size;
	return 0;
}

bool ur_lines_has_agent(const struct ur_lines *lines, uint32_t id)
{
	return id < lines->ids && lines->of_id[id].name != NULL;
}

uint32_t ur_lines_find(const struct ur_lines *lines, uint32_t agent,
		       uint32_t epoch)
{
	uint32_t next = lines->of_id[agent].newest;

	while (next != 0 && lines->of_index[next - 1].epoch != epoch)
		next = lines->of_index[next - 1].former;
	return next != 0 ? next - 1 : UR_LINE_NONE;
}

static void store_state(const struct ur_generation *generation, uint32_t index,
			uint64_t refreshed_ms)
{
	ur_store(
	    &generation->lines[index].state,
	    ur_line_word(generation->layout.generation, index, refreshed_ms));
}

uint32_t ur_lines_make(struct ur_lines *lines, struct ur_generation *generation,
		       uint32_t agent, uint32_t epoch)
{
	struct ur_line_agent *of = &lines->of_id[agent];
	uint32_t index = generation->lines_used++;
	struct ur_table_line *line = &generation->lines[index];

	memcpy(line->name, of->name, of->name_size);
	line->check = ur_line_check(generation->layout.generation, of->name,
				    of->name_size);
	store_state(generation, index, 0);
	lines->of_index[index] = (struct ur_line){
	    .agent = agent, .epoch = epoch, .former = of->newest};
	of->newest = index + 1;
	return index;
}

void ur_lines_refresh(struct ur_lines *lines, struct ur_generation *generation,
		      uint32_t agent, uint32_t epoch, uint64_t refreshed_us)
{
	uint64_t refreshed_ms = refreshed_us / 1000;
	uint32_t index;

	if (!ur_lines_has_agent(lines, agent))
		return;
	index = ur_lines_find(lines, agent, epoch);
	if (index == UR_LINE_NONE)
		return;
	if (refreshed_ms >= UR_LINE_DROPPED)
		refreshed_ms = UR_LINE_DROPPED - 1;
	if (refreshed_ms <= lines->of_index[index].refreshed_ms)
		return;
	lines->of_index[index].refreshed_ms = refreshed_ms;
	store_state(generation, index, refreshed_ms);
}

bool ur_lines_drop(struct ur_lines *lines, struct ur_generation *generation,
		   uint32_t agent, uint32_t floor)
{
	bool has_dropped = false;
	uint32_t *link;

	if (!ur_lines_has_agent(lines, agent))
		return false;
	link = &lines->of_id[agent].newest;
	while (*link != 0) {
		struct ur_line *line = &lines->of_index[*link - 1];

		if (line->epoch >= floor) {
			link = &line->former;
			continue;
		}
		/* Slots lead to it until the next generation, unlike us. */
		store_state(generation, *link - 1, UR_LINE_DROPPED);
		*link = line->former;
		has_dropped = true;
	}
	return has_dropped;
}

void ur_lines_renumber(struct ur_lines *lines, const uint32_t *number,
		       uint32_t count)
{
	for (uint32_t id = 0; id < lines->ids; id++)
		lines->of_id[id].newest = 0;
	for (uint32_t i = 0; i < count; i++) {
		struct ur_line *line;

		if (number[i] == 0)
			continue;
		line = &lines->of_index[number[i] - 1];
		*line = lines->of_index[i];
		line->former = lines->of_id[line->agent].newest;
		lines->of_id[line->agent].newest = number[i];
	}
}
