/* SPDX-License-Identifier: BSD-2-Clause */
#include "json.h"
#include "uidlookup-output.h"

/* What is known of an address that has no one user; mapping NULL: nothing. */
static const char *name_answer(const struct uidrecv_mapping *mapping)
{
	if (mapping == NULL)
		return "unknown";
	return mapping->answer == UIDRECV_ANSWER_NO_PORT ? "no-port"
							 : "unknown-port";
}

static void print_json(FILE *out, const struct uidrecv_query *query,
		       const struct uidrecv_mapping *mapping)
{
	char text[UIDRECV_ADDRESS_TEXT_MAX];

	fprintf(out, "{\"address\":\"%s\"",
		uidrecv_address_format(query->address, text));
	if (query->has_port)
		fprintf(out, ",\"port\":%u", query->port);
	if (mapping == NULL) {
		fputs(",\"user\":null}\n", out);
		return;
	}
	if (mapping->answer != UIDRECV_ANSWER_USER) {
		fprintf(out, ",\"user\":null,\"answer\":\"%s\"}\n",
			name_answer(mapping));
		return;
	}
	fputs(",\"user\":", out);
	json_print_string(out, mapping->user, mapping->user_size);
	fputs(",\"agent\":", out);
	json_print_string(out, mapping->agent, mapping->agent_size);
	fprintf(out, ",\"source\":\"%s\"",
		uidrecv_source_name(mapping->source));
	if (mapping->ports.count > 0)
		fprintf(out, ",\"ports\":{\"start\":%u,\"count\":%u}",
			mapping->ports.start, mapping->ports.count);
	fputs(",\"expires_in_s\":", out);
	if (mapping->expires_in_ms == UINT64_MAX)
		fputs("\"never\"}\n", out);
	else
		fprintf(out, "%llu}\n",
			(unsigned long long)mapping->expires_in_ms / 1000);
}

static void print_text(FILE *out, const struct uidrecv_query *query,
		       const struct uidrecv_mapping *mapping)
{
	bool has_brackets =
	    query->has_port && !uidrecv_address_is_ipv4(query->address);
	char address[UIDRECV_ADDRESS_TEXT_MAX];
	char text[UIDRECV_USER_TEXT_MAX];

	uidrecv_address_format(query->address, address);
	fprintf(out, has_brackets ? "[%s]" : "%s", address);
	if (query->has_port)
		fprintf(out, ":%u", query->port);
	if (mapping == NULL || mapping->answer != UIDRECV_ANSWER_USER) {
		fprintf(out, " %s\n", name_answer(mapping));
		return;
	}
	uidrecv_user_format(mapping->user, mapping->user_size, text);
	fprintf(out, " user=%s", text);
	uidrecv_user_format(mapping->agent, mapping->agent_size, text);
	fprintf(out, " agent=%s source=%s", text,
		uidrecv_source_name(mapping->source));
	if (mapping->ports.count > 0)
		fprintf(out, " block=%u-%u", mapping->ports.start,
			mapping->ports.start + mapping->ports.count - 1);
	fputs(" expires_in_s=", out);
	if (mapping->expires_in_ms == UINT64_MAX)
		fputs("never\n", out);
	else
		fprintf(out, "%llu\n",
			(unsigned long long)mapping->expires_in_ms / 1000);
}

void print_answer(FILE *out, bool is_json, const struct uidrecv_query *query,
		  const struct uidrecv_mapping *mapping)
{
	if (is_json)
		print_json(out, query, mapping);
	else
		print_text(out, query, mapping);
}
