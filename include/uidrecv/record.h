/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an agent says: records, and the codes with which a receiver refuses
 * them, ends a session, or asks for a snapshot. doc/protocol.md sections 5, 8
 * and 10 say what they mean.
 */
#ifndef UIDRECV_RECORD_H
#define UIDRECV_RECORD_H

#include <uidrecv/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The operation of a record; values of the protocol. */
enum uidrecv_op {
	UIDRECV_OP_MAP = 0x8020,
	UIDRECV_OP_REFRESH = 0x8021,
	UIDRECV_OP_LOGOUT = 0x8022,
	UIDRECV_OP_WITHDRAW = 0x8023,
};

/**
 * One record. Fields that an operation does not have (doc/protocol.md
 * section 5) must be zero.
 */
struct uidrecv_record {
	struct uidrecv_address address;
	uint64_t event_time_us; /* of the agent's clock; if has_event_time */
	uint64_t token;		/* names the login session; if has_token */
	uint32_t lifetime_s;	/* 0: the default; UIDRECV_LIFETIME_NEVER */
	uint16_t op;		/* enum uidrecv_op */
	uint8_t source;		/* enum uidrecv_source */
	uint8_t user_size;	/* bytes in user; 0: none */
	bool has_event_time;
	bool has_token;
	/*
	 * The block of source ports on a multi-user system; count 0: the
	 * record is about the whole address.
	 */
	struct uidrecv_ports ports;
	char user[UIDRECV_NAME_MAX + 1]; /* UTF-8 */
};

/** The most of each that a struct uidrecv_system has. */
#define UIDRECV_ALIASES_MAX 16
#define UIDRECV_RESERVED_MAX 32

/**
 * A multi-user system: a host whose users share its addresses, and get blocks
 * of source ports (doc/protocol.md section 8).
 */
struct uidrecv_system {
	struct uidrecv_address address;
	struct uidrecv_address aliases[UIDRECV_ALIASES_MAX]; /* its others */
	/* The range that is given out; count at least block_size. */
	struct uidrecv_ports ports;
	/* Within it, what no user gets. */
	struct uidrecv_ports reserved[UIDRECV_RESERVED_MAX];
	uint32_t block_size; /* ports in a block, at least 1 */
	uint32_t aliases_count;
	uint32_t reserved_count;
};

/**
 * The codes with which a record is refused, as X(name, number, wire name,
 * text). They are part of the protocol; numbers are never reused.
 */
#define UIDRECV_REJECTS(X)                                                     \
	X(MALFORMED, 1, "MALFORMED", "the record cannot be parsed")            \
	X(UNSUPPORTED, 2, "UNSUPPORTED",                                       \
	  "unknown operation or critical field")                               \
	X(ADDRESS_INVALID, 3, "ADDRESS-INVALID",                               \
	  "the address can never be a user's")                                 \
	X(ADDRESS_NOT_ALLOWED, 4, "ADDRESS-NOT-ALLOWED",                       \
	  "the address is outside the networks of this agent")                 \
	X(USER_INVALID, 5, "USER-INVALID",                                     \
	  "the user is empty, not UTF-8 or has control characters")            \
	X(USER_TOO_LONG, 6, "USER-TOO-LONG",                                   \
	  "the user is longer than 255 bytes")                                 \
	X(DOMAIN_NOT_ALLOWED, 7, "DOMAIN-NOT-ALLOWED",                         \
	  "the user's domain is not this agent's")                             \
	X(LIFETIME_NOT_ALLOWED, 8, "LIFETIME-NOT-ALLOWED",                     \
	  "the lifetime is 0 or more than allowed")                            \
	X(TIME_IN_FUTURE, 9, "TIME-IN-FUTURE",                                 \
	  "a time lies ahead of the receiver's now")                           \
	X(QUOTA, 10, "QUOTA", "the agent has as many mappings as it may")      \
	X(STORE_FULL, 11, "STORE-FULL", "the receiver's store has no room")    \
	X(NOT_FOUND, 12, "NOT-FOUND",                                          \
	  "the agent has no such mapping to refresh")                          \
	X(PORTS_INVALID, 13, "PORTS-INVALID", "the port block is invalid")     \
	X(MULTI_USER_NOT_ALLOWED, 14, "MULTI-USER-NOT-ALLOWED",                \
	  "the agent may not speak for multi-user systems")                    \
	X(NOT_MULTI_USER, 15, "NOT-MULTI-USER",                                \
	  "the address is none of this agent's multi-user system")             \
	X(ADDRESS_TAKEN, 16, "ADDRESS-TAKEN",                                  \
	  "the address belongs to another agent's multi-user system")

enum uidrecv_reject {
#define UIDRECV_REJECT_ENUM(name, number, wire, text)                          \
	UIDRECV_REJECT_##name = number,
	UIDRECV_REJECTS(UIDRECV_REJECT_ENUM)
#undef UIDRECV_REJECT_ENUM
};

/**
 * Names a code with which a record was refused.
 *
 * @param code  enum uidrecv_reject, or any number.
 *
 * @return "ADDRESS-INVALID", ...; "UNKNOWN" for other numbers. Lives for ever.
 *         Any thread.
 *
 * @since 0.1
 */
UIDRECV_API const char *uidrecv_reject_name(unsigned int code);

/**
 * Explains a code with which a record was refused.
 *
 * @param code  enum uidrecv_reject, or any number.
 *
 * @return A text in English that lives for ever. Any thread.
 *
 * @since 0.1
 */
UIDRECV_API const char *uidrecv_reject_text(unsigned int code);

/**
 * The codes with which a side ends a session, as X(name, number, wire name,
 * text). They are part of the protocol; 300 to 399 are final.
 */
#define UIDRECV_BYES(X)                                                        \
	X(SHUTDOWN, 100, "SHUTDOWN", "the sender stops")                       \
	X(HOLD_TIME, 101, "HOLD-TIME", "nothing was heard for the hold time")  \
	X(OVERLOADED, 102, "OVERLOADED", "too many connections; try later")    \
	X(STORE_FAILED, 103, "STORE-FAILED", "the receiver cannot store")      \
	X(REPLACED, 104, "REPLACED",                                           \
	  "a newer connection of the same session took over")                  \
	X(CONFIG_CHANGED, 105, "CONFIG-CHANGED",                               \
	  "the configuration changed; connect again")                          \
	X(CERTIFICATE, 106, "CERTIFICATE",                                     \
	  "the certificate expired or was revoked meanwhile")                  \
	X(BAD_VERSION, 200, "BAD-VERSION", "wrong version in a header")        \
	X(BAD_TYPE, 201, "BAD-TYPE", "unknown message")                        \
	X(BAD_FLAGS, 202, "BAD-FLAGS", "flags are not 0")                      \
	X(BAD_LENGTH, 203, "BAD-LENGTH", "the body is longer than the limit")  \
	X(BAD_MESSAGE, 204, "BAD-MESSAGE", "the body cannot be parsed")        \
	X(BAD_STATE, 205, "BAD-STATE",                                         \
	  "the message is not allowed now or from this role")                  \
	X(BAD_SERIAL, 206, "BAD-SERIAL", "the serial is out of sequence")      \
	X(WINDOW, 207, "WINDOW", "too many unacknowledged serials")            \
	X(NOT_AUTHORIZED, 300, "NOT-AUTHORIZED",                               \
	  "the identity is not on the receiver's list")                        \
	X(NO_COMMON_VERSION, 301, "NO-COMMON-VERSION",                         \
	  "no protocol version in common")                                     \
	X(SAME_ROLE, 302, "SAME-ROLE", "both are agents or both receivers")    \
	X(SUPERSEDED, 303, "SUPERSEDED",                                       \
	  "another session of the same identity took over")                    \
	X(NO_COMMON_HOLD_TIME, 304, "NO-COMMON-HOLD-TIME",                     \
	  "no hold time in common")                                            \
	X(UNSUPPORTED_FIELD, 305, "UNSUPPORTED",                               \
	  "a critical field in HELLO is unknown")

enum uidrecv_bye {
#define UIDRECV_BYE_ENUM(name, number, wire, text) UIDRECV_BYE_##name = number,
	UIDRECV_BYES(UIDRECV_BYE_ENUM)
#undef UIDRECV_BYE_ENUM
};

/**
 * Names a code with which a session was ended.
 *
 * @param code  enum uidrecv_bye, or any number.
 *
 * @return "SHUTDOWN", ...; "UNKNOWN" for other numbers. Lives for ever.
 *         Any thread.
 *
 * @since 0.1
 */
UIDRECV_API const char *uidrecv_bye_name(unsigned int code);

/**
 * Explains a code with which a session was ended.
 *
 * @param code  enum uidrecv_bye, or any number.
 *
 * @return A text in English that lives for ever. Any thread.
 *
 * @since 0.1
 */
UIDRECV_API const char *uidrecv_bye_text(unsigned int code);

/**
 * The codes with which a receiver asks for a snapshot, as X(name, number, wire
 * name, text). They are part of the protocol; numbers are never reused.
 */
#define UIDRECV_RESYNCS(X)                                                     \
	X(COUNT, 1, "COUNT", "the number of mappings differs")                 \
	X(NO_SNAPSHOT, 2, "NO-SNAPSHOT",                                       \
	  "there is no whole snapshot of this session")                        \
	X(GAP, 3, "GAP", "something the agent said is missing")                \
	X(TIME, 4, "TIME", "the as-of time lies ahead of the receiver's now")  \
	X(BUSY, 5, "BUSY", "the receiver could not judge it now")

enum uidrecv_resync {
#define UIDRECV_RESYNC_ENUM(name, number, wire, text)                          \
	UIDRECV_RESYNC_##name = number,
	UIDRECV_RESYNCS(UIDRECV_RESYNC_ENUM)
#undef UIDRECV_RESYNC_ENUM
};

/**
 * Names a code with which a receiver asked for a snapshot.
 *
 * @param code  enum uidrecv_resync, or any number.
 *
 * @return "COUNT", ...; "UNKNOWN" for other numbers. Lives for ever.
 *         Any thread.
 *
 * @since 0.1
 */
UIDRECV_API const char *uidrecv_resync_name(unsigned int code);

/**
 * Explains a code with which a receiver asked for a snapshot.
 *
 * @param code  enum uidrecv_resync, or any number.
 *
 * @return A text in English that lives for ever. Any thread.
 *
 * @since 0.1
 */
UIDRECV_API const char *uidrecv_resync_text(unsigned int code);

#ifdef __cplusplus
}
#endif

#endif
