/* SPDX-License-Identifier: BSD-2-Clause */
#include "claim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void ur_cell_done(struct ur_cell *cell)
{
	free(cell->claims);
	free(cell->markers);
	memset(cell, 0, sizeof(*cell));
}

void ur_cell_clear(struct ur_cell *cell)
{
	cell->claims_count = 0;
	cell->markers_count = 0;
}

static int reserve(void **array, size_t *room, size_t count, size_t size)
{
	size_t more = *room ? *room : 4;
	void *grown;

	if (count <= *room)
		return 0;
	while (more < count) {
		if (more > SIZE_MAX / 2 / size)
			return -ENOMEM;
		more *= 2;
	}
	grown = realloc(*array, more * size);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	*room = more;
	return 0;
}

int ur_cell_reserve(struct ur_cell *cell, size_t claims, size_t markers)
{
	void *array = cell->claims;
	int rc =
	    reserve(&array, &cell->claims_room, claims, sizeof(*cell->claims));

	cell->claims = array;
	if (rc < 0)
		return rc;
	array = cell->markers;
	rc = reserve(&array, &cell->markers_room, markers,
		     sizeof(*cell->markers));
	cell->markers = array;
	return rc;
}

uint64_t ur_deadline_us(uint64_t as_of_us, uint32_t lifetime_s)
{
	uint64_t lifetime_us = (uint64_t)lifetime_s * 1000000;

	/* NEVER is no number of seconds; saturation stays below it. */
	if (lifetime_s == UIDRECV_LIFETIME_NEVER)
		return UR_TIME_NEVER;
	if (as_of_us >= UR_TIME_NEVER - lifetime_us)
		return UR_TIME_NEVER - 1;
	return (as_of_us + lifetime_us) / 1000 * 1000;
}

/* Claims are in the order of their agents, so a cell has one form. */
static size_t claim_place(const struct ur_cell *cell, uint32_t agent)
{
	size_t low = 0, high = cell->claims_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (cell->claims[middle].agent < agent)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct ur_claim *ur_cell_find(const struct ur_cell *cell, uint32_t agent)
{
	size_t place = claim_place(cell, agent);

	if (place == cell->claims_count || cell->claims[place].agent != agent)
		return NULL;
	return &cell->claims[place];
}

void ur_cell_remove(struct ur_cell *cell, struct ur_claim *claim)
{
	size_t place = (size_t)(claim - cell->claims);

	cell->claims_count--;
	memmove(claim, claim + 1,
		(cell->claims_count - place) * sizeof(*claim));
}

static void set_claim(struct ur_claim *claim,
		      const struct ur_statement *statement, uint32_t agent,
		      uint32_t epoch)
{
	memset(claim, 0, sizeof(*claim));
	claim->event_us = statement->event_us;
	claim->event_raw_us = statement->event_raw_us;
	claim->deadline_us =
	    ur_deadline_us(statement->as_of_us, statement->lifetime_s);
	claim->token = statement->has_token ? statement->token : 0;
	claim->agent = agent;
	claim->epoch = epoch;
	claim->lifetime_s = statement->lifetime_s;
	claim->source = statement->source;
	claim->has_token = statement->has_token;
	claim->user_size = statement->user_size;
	memcpy(claim->user, statement->user, statement->user_size);
}

static bool claims_are_equal(const struct ur_claim *a, const struct ur_claim *b)
{
	return a->event_us == b->event_us &&
	       a->event_raw_us == b->event_raw_us &&
	       a->deadline_us == b->deadline_us && a->token == b->token &&
	       a->agent == b->agent && a->epoch == b->epoch &&
	       a->lifetime_s == b->lifetime_s && a->source == b->source &&
	       a->has_token == b->has_token &&
	       ur_text_is_same(a->user, a->user_size, b->user, b->user_size);
}

/* Is it the login that the claim is about, told again? */
static bool is_restated(const struct ur_claim *claim,
			const struct ur_claim *stated)
{
	if (!ur_text_is_same(claim->user, claim->user_size, stated->user,
			     stated->user_size))
		return false;
	return claim->event_us == stated->event_us ||
	       claim->event_raw_us == stated->event_raw_us;
}

static int add_claim(struct ur_cell *cell, const struct ur_claim *claim)
{
	size_t place = claim_place(cell, claim->agent);
	int rc = ur_cell_reserve(cell, cell->claims_count + 1, 0);

	if (rc < 0)
		return rc;
	memmove(&cell->claims[place + 1], &cell->claims[place],
		(cell->claims_count - place) * sizeof(*claim));
	cell->claims[place] = *claim;
	cell->claims_count++;
	return 0;
}

static int apply_map(struct ur_cell *cell, struct ur_claim *stated,
		     uint64_t now_us, bool *ret_changed, bool *ret_added)
{
	struct ur_claim *former = ur_cell_find(cell, stated->agent);
	bool is_living = former && ur_claim_is_alive(former, now_us);
	int rc;

	if (is_living && is_restated(former, stated)) {
		stated->event_us = former->event_us;
		stated->event_raw_us = former->event_raw_us;
		if (stated->deadline_us < former->deadline_us)
			stated->deadline_us = former->deadline_us;
		if (!stated->has_token) {
			stated->has_token = former->has_token;
			stated->token = former->token;
		}
		if (stated->source == UIDRECV_SOURCE_UNKNOWN)
			stated->source = former->source;
	} else if (is_living && former->epoch == stated->epoch &&
		   former->event_us > stated->event_us) {
		return 0;
	}
	/* Dead on arrival: it ends the former and leaves nothing. */
	if (!ur_claim_is_alive(stated, now_us)) {
		if (former)
			ur_cell_remove(cell, former);
		*ret_changed = former != NULL;
		return 0;
	}
	if (former) {
		*ret_changed = !claims_are_equal(former, stated);
		*former = *stated;
		return 0;
	}
	rc = add_claim(cell, stated);
	*ret_changed = *ret_added = rc == 0;
	return rc;
}

static int apply_refresh(struct ur_cell *cell,
			 const struct ur_statement *statement, uint32_t agent,
			 uint32_t epoch, uint64_t now_us, bool *ret_changed)
{
	struct ur_claim *claim = ur_cell_find(cell, agent);
	struct ur_claim renewed;
	uint64_t deadline_us;

	if (!claim || !ur_claim_is_alive(claim, now_us))
		return UIDRECV_REJECT_NOT_FOUND;
	if (statement->user_size > 0 &&
	    !ur_text_is_same(claim->user, claim->user_size, statement->user,
			     statement->user_size))
		return UIDRECV_REJECT_NOT_FOUND;
	renewed = *claim;
	if (statement->lifetime_s > 0)
		renewed.lifetime_s = statement->lifetime_s;
	deadline_us = ur_deadline_us(statement->as_of_us, renewed.lifetime_s);
	if (deadline_us > renewed.deadline_us)
		renewed.deadline_us = deadline_us;
	renewed.epoch = epoch;
	*ret_changed = !claims_are_equal(claim, &renewed);
	*claim = renewed;
	return 0;
}

static int apply_logout(struct ur_cell *cell,
			const struct ur_statement *statement, uint32_t agent,
			bool *ret_changed)
{
	struct ur_claim *claim = ur_cell_find(cell, agent);
	struct ur_marker marker = {0};
	int rc;

	marker.event_us = statement->event_us;
	marker.token = statement->has_token ? statement->token : 0;
	marker.agent = agent;
	marker.has_token = statement->has_token;
	marker.user_size = statement->user_size;
	if (statement->user_size > 0)
		memcpy(marker.user, statement->user, statement->user_size);
	rc = ur_cell_put_marker(cell, &marker, ret_changed);
	if (rc == 0 && claim && ur_marker_covers(&marker, claim)) {
		ur_cell_remove(cell, claim);
		*ret_changed = true;
	}
	return rc;
}

int ur_cell_apply(struct ur_cell *cell, const struct ur_statement *statement,
		  uint32_t agent, uint32_t epoch, uint64_t now_us,
		  bool *ret_changed, bool *ret_added)
{
	struct ur_claim *claim;
	struct ur_claim stated;

	*ret_changed = false;
	*ret_added = false;
	switch (statement->op) {
	case UIDRECV_OP_MAP:
		if (statement->user_size == 0)
			return UIDRECV_REJECT_MALFORMED;
		set_claim(&stated, statement, agent, epoch);
		return apply_map(cell, &stated, now_us, ret_changed, ret_added);
	case UIDRECV_OP_REFRESH:
		return apply_refresh(cell, statement, agent, epoch, now_us,
				     ret_changed);
	case UIDRECV_OP_LOGOUT:
		return apply_logout(cell, statement, agent, ret_changed);
	case UIDRECV_OP_WITHDRAW:
		claim = ur_cell_find(cell, agent);
		if (claim)
			ur_cell_remove(cell, claim);
		*ret_changed = claim != NULL;
		return 0;
	default:
		return UIDRECV_REJECT_UNSUPPORTED;
	}
}
