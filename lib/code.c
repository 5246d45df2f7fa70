/* SPDX-License-Identifier: BSD-2-Clause */
#include <uidrecv/record.h>

#define CODE_NAME(name, number, wire, text)                                    \
	case number:                                                           \
		return wire;

#define CODE_TEXT(name, number, wire, text)                                    \
	case number:                                                           \
		return text;

const char *uidrecv_reject_name(unsigned int code)
{
	switch (code) {
		UIDRECV_REJECTS(CODE_NAME)
	default:
		return "UNKNOWN";
	}
}

const char *uidrecv_reject_text(unsigned int code)
{
	switch (code) {
		UIDRECV_REJECTS(CODE_TEXT)
	default:
		return "refused for a reason that this version does not know";
	}
}

const char *uidrecv_bye_name(unsigned int code)
{
	switch (code) {
		UIDRECV_BYES(CODE_NAME)
	default:
		return "UNKNOWN";
	}
}

const char *uidrecv_bye_text(unsigned int code)
{
	switch (code) {
		UIDRECV_BYES(CODE_TEXT)
	default:
		return "ended for a reason that this version does not know";
	}
}

const char *uidrecv_resync_name(unsigned int code)
{
	switch (code) {
		UIDRECV_RESYNCS(CODE_NAME)
	default:
		return "UNKNOWN";
	}
}

const char *uidrecv_resync_text(unsigned int code)
{
	switch (code) {
		UIDRECV_RESYNCS(CODE_TEXT)
	default:
		return "wanted for a reason that this version does not know";
	}
}
