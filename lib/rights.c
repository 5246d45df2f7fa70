/* SPDX-License-Identifier: BSD-2-Clause */
#include "rights.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "network.h"
#include "options.h"
#include "utf8.h"
#include "words.h"

struct uidrecv_rights {
	struct ur_right **rights; /* sorted by name */
	size_t count, room;
};

/* The struct of the first release; stays when fields are added. */
#define AGENT_SIZE_MIN sizeof(struct uidrecv_agent_rights)

#define ALLOW_ALL                                                              \
	(UIDRECV_ALLOW_LOOPBACK | UIDRECV_ALLOW_LINK_LOCAL |                   \
	 UIDRECV_ALLOW_NEVER | UIDRECV_ALLOW_MULTI_USER | UIDRECV_ALLOW_DROPS)

/*
 * Two networks are apart or one is within the other, so without the inner
 * ones the last that begins at or before an address decides.
 */
static void sort_networks(struct ur_right *right)
{
	struct uidrecv_network *networks = right->networks;
	size_t kept = 0;

	qsort(networks, right->networks_count, sizeof(*networks),
	      ur_network_compare);
	right->ipv4_count = 0;
	for (size_t i = 0; i < right->networks_count; i++) {
		bool is_ipv4 = ur_network_is_ipv4(&networks[i]);

		if (kept > 0 &&
		    is_ipv4 == ur_network_is_ipv4(&networks[kept - 1]) &&
		    ur_network_holds(&networks[kept - 1], networks[i].address))
			continue;
		networks[kept++] = networks[i];
		right->ipv4_count += is_ipv4;
	}
	right->networks_count = kept;
}

/* A name without a colon is a DNS name, and those have no wildcards here. */
bool ur_right_name_is_valid(const char *name)
{
	bool is_uri = strchr(name, ':') != NULL;
	size_t i;

	for (i = 0; name[i]; i++) {
		char c = ur_ascii_lower(name[i]);

		if (i == UIDRECV_NAME_MAX || c <= 0x20 || c >= 0x7f)
			return false;
		if (!is_uri && !(c >= 'a' && c <= 'z') &&
		    !(c >= '0' && c <= '9') && !strchr("-._", c))
			return false;
	}
	return i > 0;
}

bool ur_right_domain_is_valid(const char *domain)
{
	size_t size = strnlen(domain, UIDRECV_NAME_MAX + 1);

	return size > 0 && size <= UIDRECV_NAME_MAX &&
	       ur_utf8_is_clean(domain, size) && !strpbrk(domain, "\\@");
}

/* What a name or an address has, so that it can stand in a log as it is. */
static bool is_host(const char *host)
{
	for (; *host; host++) {
		char c = ur_ascii_lower(*host);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
		    !strchr("-._:%", c))
			return false;
	}
	return true;
}

bool ur_right_dial_is_valid(const char *dial)
{
	char host[UIDRECV_NAME_MAX + 1];
	uint16_t port;

	return strnlen(dial, UIDRECV_NAME_MAX + 1) <= UIDRECV_NAME_MAX &&
	       ur_words_endpoint(dial, host, sizeof(host), &port) && port &&
	       is_host(host);
}

static bool agent_is_valid(const struct uidrecv_agent_rights *agent)
{
	if (!agent->name || !ur_right_name_is_valid(agent->name))
		return false;
	if (!agent->networks || agent->networks_count == 0)
		return false;
	for (size_t i = 0; i < agent->networks_count; i++)
		if (!ur_network_is_valid(&agent->networks[i]))
			return false;
	if (!agent->domains && agent->domains_count > 0)
		return false;
	if (agent->dial && !ur_right_dial_is_valid(agent->dial))
		return false;
	for (size_t i = 0; i < agent->domains_count; i++)
		if (!agent->domains[i] ||
		    !ur_right_domain_is_valid(agent->domains[i]))
			return false;
	return agent->lifetime_max_s != UIDRECV_LIFETIME_NEVER &&
	       agent->lifetime_s <= agent->lifetime_max_s &&
	       agent->keep_percent <= 100 &&
	       (agent->allow & ~(uint32_t)ALLOW_ALL) == 0;
}

static void fill_defaults(struct uidrecv_agent_rights *agent)
{
	if (agent->lifetime_max_s == 0) {
		agent->lifetime_max_s = UR_LIFETIME_MAX_DEFAULT_S;
		if (agent->lifetime_s > agent->lifetime_max_s)
			agent->lifetime_max_s = agent->lifetime_s;
	}
	if (agent->lifetime_s == 0) {
		agent->lifetime_s = UR_LIFETIME_DEFAULT_S;
		if (agent->lifetime_s > agent->lifetime_max_s)
			agent->lifetime_s = agent->lifetime_max_s;
	}
	if (agent->mappings_max == 0)
		agent->mappings_max = UR_MAPPINGS_MAX_DEFAULT;
	if (agent->keep_percent == 0)
		agent->keep_percent = UR_KEEP_PERCENT_DEFAULT;
	if (agent->allow & UIDRECV_ALLOW_DROPS)
		agent->keep_percent = 0;
}

/* What is counted is in memory, so 64 bits cannot overflow. */
static uint64_t agent_size(const struct uidrecv_agent_rights *agent)
{
	uint64_t size = sizeof(struct ur_right) + strlen(agent->name) + 1;

	size += (uint64_t)agent->networks_count * sizeof(*agent->networks);
	size += (uint64_t)agent->domains_count * sizeof(char *);
	for (size_t i = 0; i < agent->domains_count; i++)
		size += strlen(agent->domains[i]) + 1;
	if (agent->dial)
		size += strlen(agent->dial) + 1;
	return size;
}

/* Copies a text to where *bytes is, in lower case if asked. */
static char *place_text(char **bytes, const char *text, bool to_lower)
{
	char *start = *bytes;

	for (; *text; text++)
		*(*bytes)++ = to_lower ? ur_ascii_lower(*text) : *text;
	*(*bytes)++ = '\0';
	return start;
}

/* Everything lies behind the struct: networks, pointers, texts. */
static void place_agent(struct ur_right *right,
			const struct uidrecv_agent_rights *agent)
{
	char *bytes;

	right->networks = (struct uidrecv_network *)(right + 1);
	right->networks_count = agent->networks_count;
	memcpy(right->networks, agent->networks,
	       agent->networks_count * sizeof(*agent->networks));
	right->domains = (char **)(right->networks + agent->networks_count);
	right->domains_count = agent->domains_count;
	bytes = (char *)(right->domains + agent->domains_count);
	for (size_t i = 0; i < agent->domains_count; i++)
		right->domains[i] = place_text(&bytes, agent->domains[i], true);
	right->name =
	    place_text(&bytes, agent->name, strchr(agent->name, ':') == NULL);
	right->name_size = strlen(right->name);
	right->dial =
	    agent->dial ? place_text(&bytes, agent->dial, false) : NULL;
	sort_networks(right);
}

int ur_right_new(struct ur_right **ret_right,
		 const struct uidrecv_agent_rights *agent)
{
	struct uidrecv_agent_rights known;
	struct ur_right *right;
	uint64_t size;
	int r = ur_options_load(&known, sizeof(known), AGENT_SIZE_MIN, agent);

	if (r < 0)
		return r;
	fill_defaults(&known);
	if (!agent_is_valid(&known))
		return -EINVAL;
	size = agent_size(&known);
	right = size <= SIZE_MAX ? malloc((size_t)size) : NULL;
	if (!right)
		return -ENOMEM;
	place_agent(right, &known);
	right->priority = known.priority;
	right->lifetime_s = known.lifetime_s;
	right->lifetime_max_s = known.lifetime_max_s;
	right->allow = known.allow;
	right->mappings_max = known.mappings_max;
	right->keep_percent = known.keep_percent;
	right->line = 0;
	*ret_right = right;
	return 0;
}

void ur_right_free(struct ur_right *right)
{
	free(right);
}

static int compare_names(const char *a, size_t a_size, const char *b,
			 size_t b_size)
{
	int order = memcmp(a, b, a_size < b_size ? a_size : b_size);

	return order ? order : (a_size > b_size) - (a_size < b_size);
}

int ur_right_compare(const struct ur_right *a, const struct ur_right *b)
{
	return compare_names(a->name, a->name_size, b->name, b->name_size);
}

/* The first whose name is not before this one. */
static size_t find_place(const struct uidrecv_rights *rights, const char *name,
			 size_t name_size)
{
	size_t low = 0, high = rights->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct ur_right *right = rights->rights[middle];

		if (compare_names(right->name, right->name_size, name,
				  name_size) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct ur_right *ur_rights_find(const struct uidrecv_rights *rights,
				      const char *name, size_t name_size)
{
	size_t place = find_place(rights, name, name_size);
	const struct ur_right *right;

	if (place == rights->count)
		return NULL;
	right = rights->rights[place];
	if (compare_names(right->name, right->name_size, name, name_size) != 0)
		return NULL;
	return right;
}

const struct ur_right *ur_rights_at(const struct uidrecv_rights *rights,
				    size_t index)
{
	return rights->rights[index];
}

size_t uidrecv_rights_count(const struct uidrecv_rights *rights)
{
	return rights ? rights->count : 0;
}

int uidrecv_rights_new(struct uidrecv_rights **ret_rights)
{
	struct uidrecv_rights *rights;

	if (!ret_rights)
		return -EINVAL;
	rights = calloc(1, sizeof(*rights));
	if (!rights)
		return -ENOMEM;
	*ret_rights = rights;
	return 0;
}

void uidrecv_rights_free(struct uidrecv_rights *rights)
{
	if (!rights)
		return;
	for (size_t i = 0; i < rights->count; i++)
		ur_right_free(rights->rights[i]);
	free(rights->rights);
	free(rights);
}

static int make_room(struct uidrecv_rights *rights, size_t added_count)
{
	size_t room = rights->count + added_count;
	struct ur_right **array;

	if (room <= rights->room)
		return 0;
	if (room < 2 * rights->room)
		room = 2 * rights->room;
	array = reallocarray(rights->rights, room, sizeof(struct ur_right *));
	if (!array)
		return -ENOMEM;
	rights->rights = array;
	rights->room = room;
	return 0;
}

/* From the last to the first, so that each right on the list moves once. */
int ur_rights_merge(struct uidrecv_rights *rights, struct ur_right **added,
		    size_t added_count)
{
	size_t total = rights->count + added_count;
	int r = make_room(rights, added_count);

	if (r < 0)
		return r;
	while (added_count > 0) {
		struct ur_right *last = added[added_count - 1];
		size_t place = find_place(rights, last->name, last->name_size);
		struct ur_right **from = rights->rights + place;

		memmove(from + added_count, from,
			(rights->count - place) * sizeof(struct ur_right *));
		from[--added_count] = last;
		rights->count = place;
	}
	rights->count = total;
	return 0;
}

int uidrecv_rights_add(struct uidrecv_rights *rights,
		       const struct uidrecv_agent_rights *agent)
{
	struct ur_right *right;
	int r;

	if (!rights || !agent)
		return -EINVAL;
	r = ur_right_new(&right, agent);
	if (r < 0)
		return r;
	if (ur_rights_find(rights, right->name, right->name_size))
		r = -EEXIST;
	else
		r = ur_rights_merge(rights, &right, 1);
	if (r < 0)
		ur_right_free(right);
	return r;
}

static struct ur_right *copy_right(const struct ur_right *right)
{
	const struct uidrecv_agent_rights agent = {
	    .size = sizeof(agent),
	    .name = right->name,
	    .networks = right->networks,
	    .networks_count = right->networks_count,
	    .domains = (const char *const *)right->domains,
	    .domains_count = right->domains_count,
	    .priority = right->priority,
	    .lifetime_s = right->lifetime_s,
	    .lifetime_max_s = right->lifetime_max_s,
	    .allow = right->allow,
	    .mappings_max = right->mappings_max,
	    .keep_percent = right->keep_percent,
	    .dial = right->dial,
	};
	struct ur_right *copy;

	if (ur_right_new(&copy, &agent) < 0)
		return NULL;
	copy->line = right->line;
	return copy;
}

struct uidrecv_rights *ur_rights_copy(const struct uidrecv_rights *rights)
{
	struct uidrecv_rights *copy;

	if (uidrecv_rights_new(&copy) < 0)
		return NULL;
	if (make_room(copy, rights->count) < 0)
		goto fail;
	for (size_t i = 0; i < rights->count; i++) {
		copy->rights[i] = copy_right(rights->rights[i]);
		if (!copy->rights[i])
			goto fail;
		copy->count++;
	}
	return copy;

fail:
	uidrecv_rights_free(copy);
	return NULL;
}
