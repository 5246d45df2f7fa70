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
	UIDRECV_ALLOW_NEVER = 1 << 2,      /* lifetimes that never end */
	UIDRECV_ALLOW_MULTI_USER = 1 << 3, /* multi-user systems */
};

/** The addresses from a prefix; bits after prefix_bits are zero. */
struct uidrecv_network {
	struct uidrecv_address address;
	uint8_t prefix_bits; /* 0 to 128, of the 128; IPv4 /24 is 120 */
};

/** One agent. */
struct uidrecv_agent_rights {
	size_t size; /* sizeof(struct uidrecv_agent_rights) */
	/*
	 * The identity: a SAN (URI or DNS) of its certificate, 1 to 255 bytes
	 * of printable text without spaces.
	 */
	const char *name;
	/* Where the users may be; at least one. */
	const struct uidrecv_network *networks;
	size_t networks_count;
	/* The user domains it may name; none: any user. */
	const char *const *domains;
	size_t domains_count;
	uint32_t priority;       /* the greater wins; default 0 */
	uint32_t lifetime_s;     /* 0: 2700 (45 minutes) */
	uint32_t lifetime_max_s; /* 0: 86400 (a day), or lifetime_s if more */
	uint32_t allow;          /* bits of enum uidrecv_allow */
	uint64_t mappings_max;   /* 0: 1,000,000 */
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
UIDRECV_API UIDRECV_MUST_CHECK int
uidrecv_rights_new(struct uidrecv_rights **ret_rights);

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
 *         -EINVAL   an argument is NULL; the name is empty, too long or has
 *                   spaces or control characters; there is no network, or one
 *                   has bits behind its prefix; lifetime_s is more than
 *                   lifetime_max_s;
 *         -EEXIST   the name is on the list already;
 *         -ENOMEM   no memory;
 *         UIDRECV_E_ABI  see there.
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int
uidrecv_rights_add(struct uidrecv_rights *rights,
		   const struct uidrecv_agent_rights *agent);

/**
 * Adds the agents of a text, such as the file of `uidrecvd --agents`.
 *
 * One agent a line: `NAME NETWORK... [key=value...]`. A NETWORK is an address
 * or a prefix (`10.0.0.0/8`, `2001:db8::/32`). The keys are `priority=`,
 * `lifetime_s=`, `lifetime_max_s=`, `mappings_max=` (numbers), `domains=` and
 * `allow=` (lists with commas; of `loopback`, `link-local`, `never`,
 * `multi-user`). From `#` to the end of the line is a comment. Lines end with
 * \n or \r\n.
 *
 * @param rights     Not NULL. Unchanged on failure.
 * @param text       The text; need not be zero-terminated.
 * @param text_size  Its length in bytes.
 * @param error      Room for a message that says line, fault and remedy, or
 *                   NULL; zero-terminated, cut if too long; written only on
 *                   failure.
 * @param error_size  The room in bytes.
 *
 * @return 0, -EINVAL, -ENOMEM, or UIDRECV_E_RIGHTS if the text has an error.
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int
uidrecv_rights_parse(struct uidrecv_rights *rights, const char *text,
		     size_t text_size, char *error, size_t error_size);

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
UIDRECV_API UIDRECV_MUST_CHECK int
uidrecv_rights_load(struct uidrecv_rights *rights, const char *path,
		    char *error, size_t error_size);

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
