/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What all parts of libuidrecv share: error codes, addresses, log levels.
 * Everything here is in libuidlookup and needs nothing but libc.
 */
#ifndef UIDRECV_TYPES_H
#define UIDRECV_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define UIDRECV_API __attribute__((visibility("default")))
#define UIDRECV_MUST_CHECK __attribute__((warn_unused_result))
#else
#define UIDRECV_API
#define UIDRECV_MUST_CHECK
#endif

#define UIDRECV_VERSION_MAJOR 0
#define UIDRECV_VERSION_MINOR 1
#define UIDRECV_VERSION_PATCH 0

/** The longest user name and the longest agent name, in bytes. */
#define UIDRECV_NAME_MAX 255

/** A lifetime that never ends. */
#define UIDRECV_LIFETIME_NEVER UINT32_MAX

/**
 * Every error of the library, as X(name, number, text). Functions return them,
 * or a negative errno value; numbers are never reused. Grouped by what the
 * caller can do: the peer's fault (-1001), certificates (-1020), the store
 * (-1040), the table (-1050), the caller (-1060).
 */
#define UIDRECV_ERRORS(X)                                                      \
	X(E_FRAME, -1001, "the peer sent bytes that are no frame")             \
	X(E_FRAME_SIZE, -1002, "the peer sent a frame over the limit")         \
	X(E_VERSION, -1003, "no protocol version in common with the peer")     \
	X(E_MESSAGE, -1004, "the peer sent a message that cannot be parsed")   \
	X(E_STATE, -1005, "the peer sent a message that is not allowed now")   \
	X(E_SERIAL, -1006, "the peer sent a serial out of sequence")           \
	X(E_WINDOW, -1007, "the peer sent too much without waiting for ACKs")  \
	X(E_HOLD, -1008, "the peer was silent for the hold time")              \
	X(E_CLOSED, -1009, "the peer closed the connection")                   \
	X(E_BYE, -1010, "the peer ended the session")                          \
	X(E_REFUSED, -1011, "the receiver refuses this agent for good")        \
	X(E_TLS, -1020, "the TLS handshake or connection failed")              \
	X(E_CERTIFICATE, -1021, "the peer's certificate is not acceptable")    \
	X(E_IDENTITY, -1022, "the peer's identity is not the expected one")    \
	X(E_ALPN, -1023, "the peer does not speak uidrecv/1 (ALPN)")           \
	X(E_CREDENTIALS, -1024,                                                \
	  "certificate, key, CA or CRL file cannot be used")                   \
	X(E_STORE, -1040,                                                      \
	  "the directory holds something that is not a uidrecv store; choose " \
	  "another, or move that away")                                        \
	X(E_STORE_DAMAGED, -1041, "the store is damaged; restore a backup")    \
	X(E_STORE_SCHEMA, -1042,                                               \
	  "the store has another schema version; use the release that wrote "  \
	  "it")                                                                \
	X(E_STORE_BUSY, -1043,                                                 \
	  "the store is in use by another receiver; stop that one")            \
	X(E_STORE_FULL, -1044, "the store is full")                            \
	X(E_STORE_OWNER, -1045,                                                \
	  "the store directory has the wrong owner or mode; it must be this "  \
	  "user's and nobody else may write it, DIR/store must be 0700")       \
	X(E_TABLE, -1050, "the file is not a uidrecv table, or is damaged")    \
	X(E_TABLE_VERSION, -1051, "the table has another version")             \
	X(E_TABLE_BOOT, -1052,                                                 \
	  "the table is from another boot or time namespace")                  \
	X(E_TABLE_OWNER, -1053, "the table has the wrong owner or mode")       \
	X(E_TABLE_CHANGED, -1054,                                              \
	  "the table was replaced during the iteration; start again")          \
	X(E_FORKED, -1060,                                                     \
	  "the object belongs to the parent process; make a new one")          \
	X(E_ABI, -1061,                                                        \
	  "options of a newer version with a field this library lacks")        \
	X(E_FULL, -1062, "the queue is full; dispatch and try again")          \
	X(E_RIGHTS, -1063, "the list of agents has an error")                  \
	X(E_UNKNOWN_AGENT, -1064, "no such agent on the list")

enum uidrecv_error {
#define UIDRECV_ERROR_ENUM(name, number, text) UIDRECV_##name = number,
	UIDRECV_ERRORS(UIDRECV_ERROR_ENUM)
#undef UIDRECV_ERROR_ENUM
};

/**
 * Says in English what a return value means.
 *
 * @param error  Any value that a function of this library returned: 0, a
 *               negative errno or a UIDRECV_E_ code. Others are named as
 *               unknown.
 *
 * @return A text that lives for ever, never NULL. Any thread.
 *
 * @since 0.1
 */
UIDRECV_API const char *uidrecv_strerror(int error);

/**
 * Says which version of the library runs.
 *
 * @return (major << 16) | (minor << 8) | patch. Any thread.
 *
 * @since 0.1
 */
UIDRECV_API unsigned int uidrecv_version(void);

/** How important a log line is. */
enum uidrecv_log_level {
	UIDRECV_LOG_ERROR = 1, /* service is lost or data is refused */
	UIDRECV_LOG_WARNING,   /* a peer or a file misbehaves */
	UIDRECV_LOG_INFO,      /* sessions come and go */
	UIDRECV_LOG_DEBUG,
};

/**
 * Receives log lines of the library.
 *
 * @param user     The pointer given beside the callback.
 * @param level    How important it is.
 * @param message  One line, no newline, UTF-8 with everything from a peer
 *                 escaped. Valid until the callback returns.
 *
 * The callback must not call the object that logs.
 */
typedef void (*uidrecv_log_fn)(void *user, enum uidrecv_log_level level,
			       const char *message);

/** How an agent knows who is behind an address; values of the protocol. */
enum uidrecv_source {
	UIDRECV_SOURCE_UNKNOWN = 0,
	UIDRECV_SOURCE_DIRECTORY = 1,
	UIDRECV_SOURCE_PORTAL = 2,
	UIDRECV_SOURCE_VPN = 3,
	UIDRECV_SOURCE_SYSLOG = 4,
	UIDRECV_SOURCE_XMLAPI = 5,
	UIDRECV_SOURCE_TERMINAL = 6,
	UIDRECV_SOURCE_RADIUS = 7,
	UIDRECV_SOURCE_DHCP = 8,
	UIDRECV_SOURCE_MANUAL = 9,
	UIDRECV_SOURCE_REDISTRIBUTED = 10,
};

/**
 * Names a source kind.
 *
 * @param source  0 to 255; enum uidrecv_source.
 *
 * @return "directory", "portal", ...; "unknown" for all values without a name.
 *         Lives for ever. Any thread.
 *
 * @since 0.1
 */
UIDRECV_API const char *uidrecv_source_name(unsigned int source);

/**
 * An IPv4 or IPv6 address in one canonical form: the 128 bits of the IPv6
 * address as two numbers, the more significant first. The IPv4 address
 * a.b.c.d is ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2), so both spellings of
 * one address are equal. Compare with ==, copy by assignment.
 */
struct uidrecv_address {
	uint64_t hi;
	uint64_t lo;
};

/** The longest text of an address, with the terminating zero. */
#define UIDRECV_ADDRESS_TEXT_MAX 46

/**
 * Makes an address of the four bytes of an IPv4 address.
 *
 * @param ipv4  In host byte order: 10.1.2.3 is 0x0a010203.
 *
 * @since 0.1
 */
static inline struct uidrecv_address uidrecv_address_from_ipv4(uint32_t ipv4)
{
	struct uidrecv_address address = {0, UINT64_C(0xffff00000000) | ipv4};

	return address;
}

/**
 * Makes an address of the 16 bytes of an IPv6 address.
 *
 * @param bytes  In network byte order, as in struct in6_addr.
 *
 * @since 0.1
 */
static inline struct uidrecv_address uidrecv_address_from_ipv6(
    const uint8_t bytes[16])
{
	struct uidrecv_address address = {0, 0};

	for (int i = 0; i < 8; i++) {
		address.hi = address.hi << 8 | bytes[i];
		address.lo = address.lo << 8 | bytes[8 + i];
	}
	return address;
}

/**
 * Tells whether an address is IPv4.
 *
 * @return true for ::ffff:0:0/96.
 *
 * @since 0.1
 */
static inline bool uidrecv_address_is_ipv4(struct uidrecv_address address)
{
	return address.hi == 0 && address.lo >> 32 == 0xffff;
}

/**
 * Reads an address: dotted IPv4 or IPv6 as in RFC 4291, without brackets,
 * zone, prefix length or white space.
 *
 * @param text         Zero-terminated.
 * @param ret_address  Written only on success.
 *
 * @return 0, or -EINVAL if it is no address or an argument is NULL. Any thread.
 *
 * @since 0.1
 */
UIDRECV_API int uidrecv_address_parse(const char *text,
				      struct uidrecv_address *ret_address);

/**
 * Writes an address: IPv4 dotted, IPv6 as in RFC 5952.
 *
 * @param address  Any.
 * @param text     Room for UIDRECV_ADDRESS_TEXT_MAX bytes.
 *
 * @return text. Any thread.
 *
 * @since 0.1
 */
UIDRECV_API char *uidrecv_address_format(struct uidrecv_address address,
					 char text[UIDRECV_ADDRESS_TEXT_MAX]);

/** Some ports in a row: start to start + count - 1, which is at most 65535. */
struct uidrecv_ports {
	uint16_t start; /* host byte order */
	uint32_t count; /* 0: no ports; else 1 to 65,536 */
};

/** The longest text of a user, with the terminating zero. */
#define UIDRECV_USER_TEXT_MAX (3 * UIDRECV_NAME_MAX + 1)

/**
 * Writes a user name so that it is one word of printable text: white space,
 * percent signs, control characters and bytes that are not UTF-8 become %XX.
 * A backslash stays itself. This is how the programs print users.
 *
 * @param user       The name.
 * @param user_size  Its length in bytes, at most UIDRECV_NAME_MAX.
 * @param text       Room for UIDRECV_USER_TEXT_MAX bytes.
 *
 * @return text, zero-terminated. Any thread.
 *
 * @since 0.1
 */
UIDRECV_API char *uidrecv_user_format(const char *user, size_t user_size,
				      char text[UIDRECV_USER_TEXT_MAX]);

/**
 * Reads what uidrecv_user_format() wrote.
 *
 * @param text      Zero-terminated; %XX is the byte XX.
 * @param user      Room for UIDRECV_NAME_MAX + 1 bytes; zero-terminated on
 *                  success.
 * @param ret_size  The length in bytes; written only on success.
 *
 * @return 0; -EINVAL if a percent sign is not followed by two hexadecimal
 *         digits; -ENAMETOOLONG if the name is longer than UIDRECV_NAME_MAX.
 *         Any thread.
 *
 * @since 0.1
 */
UIDRECV_API int uidrecv_user_parse(const char *text,
				   char user[UIDRECV_NAME_MAX + 1],
				   size_t *ret_size);

#ifdef __cplusplus
}
#endif

#endif
