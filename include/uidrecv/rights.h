/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The list of agents and what each may say. Everything that is not on it is
 * refused.
 *
 * Threads: one thread at a time per list.
 */
#ifndef UIDRECV_RIGHTS_H
#define UIDRECV_RIGHTS_H

#include <uidrecv/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct uidrecv_rights;

/** What an agent may say beyond the usual; a set of bits. */
enum uidrecv_allow {
	UIDRECV_ALLOW_LOOPBACK = 1 << 0,   /* 127.0.0.0/8, ::1 */
	UIDRECV_ALLOW_LINK_LOCAL = 1 << 1, /* 169.254.0.0/16, fe80::/10 */
	UIDRECV_ALLOW_NEVER = 1 << 2,	   /* lifetimes that never end */
	UIDRECV_ALLOW_MULTI_USER = 1 << 3, /* multi-user systems */
	UIDRECV_ALLOW_DROPS = 1 << 4,	   /* snapshots that drop any share */
};

/**
 * The addresses from a prefix; bits after prefix_bits are zero.
 *
 * An IPv4 network is one within ::ffff:0:0/96, so 0.0.0.0/0 has 96 bits. A
 * network with fewer bits is one of IPv6 addresses alone: ::/0 holds all of
 * them and no IPv4 address.
 */
struct uidrecv_network {
	struct uidrecv_address address;
	uint8_t prefix_bits; /* 0 to 128, of the 128; IPv4 /24 is 120 */
};

/** One agent. */
struct uidrecv_agent_rights {
	size_t size; /* sizeof(struct uidrecv_agent_rights) */
	/*
	 * The identity: a SAN of its certificate, 1 to 255 bytes of printable
	 * ASCII without spaces. One with a colon is a URI and kept as it is.
	 * One without is a DNS name: letters, digits, hyphens, dots and
	 * underscores, kept in lower case, which is how DNS names compare;
	 * there are no wildcards.
	 */
	const char *name;
	/* Where the users may be; at least one. */
	const struct uidrecv_network *networks;
	size_t networks_count;
	/*
	 * The user domains it may name, as doc/protocol.md section 5 takes
	 * them from a user, so without backslash and @; ASCII case does not
	 * count. None: any user, also one without a domain.
	 */
	const char *const *domains;
	size_t domains_count;
	uint32_t priority; /* the greater wins; default 0 */
	/*
	 * The lifetime of mappings that come without, and the longest that
	 * ends. UIDRECV_LIFETIME_NEVER is neither: an agent that is allowed it
	 * says so with each mapping.
	 */
	uint32_t lifetime_s;	 /* 0: 2700, or lifetime_max_s if less */
	uint32_t lifetime_max_s; /* 0: 86400 (a day), or lifetime_s if more */
	uint32_t allow;		 /* bits of enum uidrecv_allow */
	uint64_t mappings_max;	 /* 0: 1,000,000 */
	/*
	 * A snapshot that leaves a smaller share of its living mappings, in
	 * percent, drops nothing before uidrecv_receiver_accept_drops(): an
	 * agent that has lost its memory must not take all users with it. 1
	 * to 100; 0: 50. UIDRECV_ALLOW_DROPS takes this guard away.
	 */
	uint32_t keep_percent;
	/*
	 * Where the receiver connects to this agent, which listens: a Terminal
	 * Server agent. "HOST:PORT" or "[IPV6]:PORT"; NULL: the agent
	 * connects to the receiver.
	 */
	const char *dial;
};

/**
 * Makes an empty list.
 *
 * @param ret_rights  Written only on success; free with
 *                    uidrecv_rights_free().
 *
 * @return 0, -EINVAL or -ENOMEM.
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_rights_new(
    struct uidrecv_rights **ret_rights);

/**
 * Frees a list.
 *
 * @param rights  NULL: nothing happens.
 *
 * @since 0.1
 */
UIDRECV_API void uidrecv_rights_free(struct uidrecv_rights *rights);

/**
 * Adds an agent. Everything is copied.
 *
 * @param rights  Not NULL.
 * @param agent   Not NULL.
 *
 * @return 0, or
 *         -EINVAL   an argument is NULL; size is not set; the name is none
 *                   (see there); there is no network, or one has bits behind
 *                   its prefix or more than 128; a domain is empty, longer
 *                   than 255 bytes, not UTF-8 or has a control character, a
 *                   backslash or an @; lifetime_s is more than lifetime_max_s,
 *                   or one of them UIDRECV_LIFETIME_NEVER; keep_percent is
 *                   more than 100; allow has unknown bits; dial is not
 *                   HOST:PORT;
 *         -EEXIST   the name is on the list already;
 *         -ENOMEM   no memory;
 *         UIDRECV_E_ABI  the struct is of a newer version and sets a field
 *                   that this library lacks.
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_rights_add(
    struct uidrecv_rights *rights, const struct uidrecv_agent_rights *agent);

/**
 * Adds the agents of a text, such as the file of `uidrecvd --agents`.
 *
 * One agent a line: `NAME NETWORK... [key=value...]`, with spaces or tabs
 * between. A NETWORK is an address or a prefix (`10.0.0.0/8`,
 * `2001:db8::/32`); `0.0.0.0/0` is all of IPv4 and `::/0` all of IPv6. The
 * keys are `priority=`, `lifetime_s=`, `lifetime_max_s=`, `mappings_max=`,
 * `keep_percent=` (numbers), `domains=` and `allow=` (lists with commas; of
 * `loopback`, `link-local`, `never`, `multi-user`, `drops`), and `dial=`
 * (`HOST:PORT`, or `[IPV6]:PORT`), each at most once.
 * A word that begins with `#` begins a comment, to the end of the line. Lines
 * end with \n or \r\n and have at most 65,536 bytes. What is left out has the
 * default of struct uidrecv_agent_rights. An agent has one line, and none that
 * is on the list already.
 *
 * @param rights     Not NULL. Unchanged on failure.
 * @param text       The text; need not be zero-terminated.
 * @param text_size  Its length in bytes.
 * @param error      Room for a message that says line, fault and remedy in
 *                   printable ASCII, or NULL; zero-terminated, cut if too
 *                   long; written only on failure.
 * @param error_size  The room in bytes.
 *
 * @return 0, -EINVAL, -ENOMEM, or UIDRECV_E_RIGHTS if the text has an error.
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_rights_parse(
    struct uidrecv_rights *rights, const char *text, size_t text_size,
    char *error, size_t error_size);

/**
 * Adds the agents of a file, as uidrecv_rights_parse().
 *
 * @param rights      Not NULL. Unchanged on failure.
 * @param path        The file; at most 64 MiB.
 * @param error       As there; also says which file.
 * @param error_size  The room in bytes.
 *
 * @return As uidrecv_rights_parse(), -EFBIG, or an errno of open() or read().
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_rights_load(
    struct uidrecv_rights *rights, const char *path, char *error,
    size_t error_size);

/**
 * Counts the agents on a list.
 *
 * @param rights  NULL: 0.
 *
 * @return The number.
 *
 * @since 0.1
 */
UIDRECV_API size_t uidrecv_rights_count(const struct uidrecv_rights *rights);

#ifdef __cplusplus
}
#endif

#endif
