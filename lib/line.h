/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lines of a generation, as its writer knows them: which line is that of
 * an agent's epoch. Nothing here is read from the file, so damage there cannot
 * lead the writer astray.
 */
#ifndef UR_LINE_H
#define UR_LINE_H

#include "generation.h"

#define UR_LINE_NONE UINT32_MAX

/* A line that was not dropped. */
struct ur_line {
	uint64_t refreshed_ms;
	uint32_t agent;
	uint32_t epoch;
	uint32_t former; /* the agent's line before this one, + 1; or 0 */
};

struct ur_line_agent {
	char *name;	 /* NULL: unknown */
	uint32_t newest; /* the agent's newest line, + 1; or 0 */
	uint8_t name_size;
};

struct ur_lines {
	struct ur_line *of_index;
	struct ur_line_agent *of_id;
	uint32_t ids;
};

/* 0 or -ENOMEM. */
int ur_lines_init(struct ur_lines *lines);

void ur_lines_done(struct ur_lines *lines);

/* As ur_table_add_agent(). */
int ur_lines_add_agent(struct ur_lines *lines, uint32_t id, const char *name,
		       size_t name_size);

bool ur_lines_has_agent(const struct ur_lines *lines, uint32_t id);

/* The index of the line of an agent that was added, or UR_LINE_NONE. */
uint32_t ur_lines_find(const struct ur_lines *lines, uint32_t agent,
		       uint32_t epoch);

/*
 * Makes a line for an agent that was added, and gives its index. The
 * generation must have room for one more.
 */
uint32_t ur_lines_make(struct ur_lines *lines, struct ur_generation *generation,
		       uint32_t agent, uint32_t epoch);

/* As ur_table_refresh(). */
void ur_lines_refresh(struct ur_lines *lines, struct ur_generation *generation,
		      uint32_t agent, uint32_t epoch, uint64_t refreshed_us);

/* As ur_table_drop(), but for the change number; whether there were any. */
bool ur_lines_drop(struct ur_lines *lines, struct ur_generation *generation,
		   uint32_t agent, uint32_t floor);

/*
 * Follows the lines into the next generation: number is the new index + 1 for
 * each of the count old ones, in the same order, or 0 if it was left behind.
 */
void ur_lines_renumber(struct ur_lines *lines, const uint32_t *number,
		       uint32_t count);

#endif
