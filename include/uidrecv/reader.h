/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looks up who is behind an address, in the caller's own process. Needs only
 * libuidlookup, which needs only libc.
 *
 * Threads: a reader is for one thread at a time; different readers are
 * independent. A reader goes on working in a child after fork().
 */
#ifndef UIDRECV_READER_H
#define UIDRECV_READER_H

#include <uidrecv/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct uidrecv_reader;

/** Options of a reader. Zero is the default in every field. */
struct uidrecv_reader_options {
	size_t size; /* sizeof(struct uidrecv_reader_options) */
	/*
	 * Whom the table must belong to: uid + 1. 0: root or the effective
	 * user of this process. A table that anybody but its owner may write
	 * is refused.
	 */
	uint64_t owner_uid_plus_1;
};
#define UIDRECV_READER_OPTIONS_INIT                                            \
	{                                                                      \
		sizeof(struct uidrecv_reader_options), 0                       \
	}

/** What is asked. */
struct uidrecv_query {
	struct uidrecv_address address;
	uint16_t port; /* source port, host byte order; read if has_port */
	bool has_port;
};

/**
 * The kind of an answer. A multi-user system is a host whose users share its
 * addresses and have blocks of source ports there; only a port tells who it
 * is. ICMP and fragments behind the first have none.
 */
enum uidrecv_answer {
	UIDRECV_ANSWER_USER = 1,	 /* user says who it is */
	UIDRECV_ANSWER_UNKNOWN_PORT = 2, /* multi-user, nobody's port */
	UIDRECV_ANSWER_NO_PORT = 3,	 /* multi-user, asked without a port */
};

/** One answer. Holds no pointers; strings are zero-terminated. */
struct uidrecv_mapping {
	struct uidrecv_address address;
	/*
	 * Changes with every change of who the user is, and never comes back
	 * for another one, also across restarts of the receiver: a verdict
	 * cached with it is valid while a lookup gives the same number.
	 */
	uint64_t change;
	/* How long it lives on, in milliseconds; UINT64_MAX: for ever. */
	uint64_t expires_in_ms;
	uint8_t answer;	    /* enum uidrecv_answer */
	uint8_t source;	    /* enum uidrecv_source; of USER */
	uint8_t user_size;  /* bytes in user, without the zero; 0: not USER */
	uint8_t agent_size; /* bytes in agent, without the zero */
	/*
	 * The block of source ports that the user has on a multi-user system;
	 * count 0: the answer is not about a block.
	 */
	struct uidrecv_ports ports;
	char user[UIDRECV_NAME_MAX + 1];
	char agent[UIDRECV_NAME_MAX + 1];
};

/**
 * Opens a table for lookups.
 *
 * The reader follows the table by itself: when the receiver replaces the file
 * (it grows, or the receiver was restarted), the next lookup uses the new one,
 * also after chdir() and chroot(), and after a change of user if the new user
 * may read it. A reader that cannot move goes on with what it has.
 *
 * @param ret_reader  Written only on success; close with
 *                    uidrecv_reader_close().
 * @param path        The table file, such as DIR/table of the receiver's
 *                    store directory; not a symbolic link. Copied.
 * @param options     NULL: the defaults.
 *
 * @return 0, or
 *         -EINVAL            an argument is NULL or options->size is wrong;
 *         UIDRECV_E_ABI      see there;
 *         -ENOENT, -EACCES or another errno of open() or mmap(); -ELOOP: a
 *                            symbolic link;
 *         -ENOMEM            no memory;
 *         UIDRECV_E_TABLE    not a table, or damaged;
 *         UIDRECV_E_TABLE_VERSION  of another version of the library;
 *         UIDRECV_E_TABLE_BOOT     from before the last boot, or from another
 *                            time namespace: start the receiver;
 *         UIDRECV_E_TABLE_OWNER    belongs to somebody else, or others may
 *                            write it.
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_reader_open(
    struct uidrecv_reader **ret_reader, const char *path,
    const struct uidrecv_reader_options *options);

/**
 * Closes a reader.
 *
 * @param reader  NULL: nothing happens.
 *
 * @since 0.1
 */
UIDRECV_API void uidrecv_reader_close(struct uidrecv_reader *reader);

/**
 * Reads the clock that lookups use: CLOCK_BOOTTIME in microseconds. A caller
 * that looks up many addresses at once reads it once.
 *
 * @return Microseconds, never 0. Any thread.
 *
 * @since 0.1
 */
UIDRECV_API uint64_t uidrecv_now_us(void);

/**
 * Looks up who uses an address.
 *
 * Takes no lock, allocates nothing, and makes no system call but when the
 * table was replaced, or, at most once a second, when the receiver is silent.
 * Expired mappings are never returned, also when the receiver is dead.
 *
 * @param reader       Not NULL.
 * @param query        What is asked.
 * @param now_us       uidrecv_now_us(), or 0: the function reads the clock.
 * @param ret_mapping  Written only when 1 is returned. Not cleared: what is
 *                     behind the strings' zeros is undefined.
 *
 * @return 1 if somebody is known there (see ret_mapping->answer), 0 if not, or
 *         -EINVAL          an argument is NULL;
 *         UIDRECV_E_TABLE  the table is damaged at this place;
 *         -EAGAIN          the entry changed each of 64 times that it was
 *                          read; treat as unknown or ask again.
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_reader_lookup(
    struct uidrecv_reader *reader, const struct uidrecv_query *query,
    uint64_t now_us, struct uidrecv_mapping *ret_mapping);

/**
 * Looks up many addresses; faster than one by one, for the memory accesses of
 * many lookups overlap.
 *
 * @param reader        Not NULL.
 * @param queries       count queries.
 * @param count         Any number.
 * @param now_us        uidrecv_now_us(), or 0: the function reads the clock.
 * @param ret_mappings  Room for count mappings; each is written only if its
 *                      result is 1.
 * @param ret_results   Room for count results, each as
 *                      uidrecv_reader_lookup() returns it.
 *
 * @return How many results are 1 (at most INT_MAX count), or -EINVAL.
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_reader_lookup_bulk(
    struct uidrecv_reader *reader, const struct uidrecv_query *queries,
    size_t count, uint64_t now_us, struct uidrecv_mapping *ret_mappings,
    int *ret_results);

/** A place in an iteration. All zero: the beginning. */
struct uidrecv_cursor {
	uint64_t generation;
	uint64_t position;
};

/**
 * Gets the next living mapping of the table, in no order. Each address of a
 * multi-user system comes once as UIDRECV_ANSWER_NO_PORT, and then with each
 * block that a user has.
 *
 * Mappings that change meanwhile may be seen in their old or new form;
 * mappings that do not change are seen exactly once.
 *
 * @param reader       Not NULL.
 * @param cursor       Zeroed by the caller at the beginning.
 * @param now_us       uidrecv_now_us(), or 0: the function reads the clock.
 * @param ret_mapping  Written only when 1 is returned.
 *
 * @return 1 for a mapping, 0 at the end, or
 *         -EINVAL                  an argument is NULL;
 *         UIDRECV_E_TABLE          the table is damaged at this place; the
 *                                  next call goes on behind it;
 *         UIDRECV_E_TABLE_CHANGED  the table was replaced: zero the cursor and
 *                                  start again;
 *         -EAGAIN                  the entry changed each of 64 times that it
 *                                  was read; the next call tries it again.
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_reader_next(
    struct uidrecv_reader *reader, struct uidrecv_cursor *cursor,
    uint64_t now_us, struct uidrecv_mapping *ret_mapping);

/** What a reader knows of the table and of the receiver. */
struct uidrecv_reader_status {
	/* Moves with every change of any answer, and never repeats. */
	uint64_t change;
	/* How long ago the receiver last showed that it lives. */
	uint64_t heartbeat_age_ms;
	/* Addresses and port blocks with an entry, living or not. */
	uint64_t entries;
	/* Times that this reader moved to a newer table. */
	uint64_t moves;
};

/**
 * Tells the change counter and the receiver's health. Makes no system call
 * but as uidrecv_reader_lookup().
 *
 * @param reader      Not NULL.
 * @param now_us      uidrecv_now_us(), or 0: the function reads the clock.
 * @param ret_status  Written only on success.
 *
 * @return 0, or -EINVAL if an argument is NULL.
 *
 * @since 0.1
 */
UIDRECV_API UIDRECV_MUST_CHECK int uidrecv_reader_get_status(
    struct uidrecv_reader *reader, uint64_t now_us,
    struct uidrecv_reader_status *ret_status);

#ifdef __cplusplus
}
#endif

#endif
