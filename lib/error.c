/* SPDX-License-Identifier: BSD-2-Clause */
#include <limits.h>
#include <string.h>

#include <uidrecv/types.h>

const char *uidrecv_strerror(int error)
{
	const char *text = NULL;

	switch (error) {
	case 0:
		return "success";
#define ERROR_CASE(name, number, text)                                         \
	case UIDRECV_##name:                                                   \
		return text;
		UIDRECV_ERRORS(ERROR_CASE)
#undef ERROR_CASE
	default:
		break;
	}
	/* Unlike strerror() it has neither a buffer nor a locale. */
	if (error < 0 && error != INT_MIN)
		text = strerrordesc_np(-error);
	return text != NULL ? text : "unknown error";
}

unsigned int uidrecv_version(void)
{
	return UIDRECV_VERSION_MAJOR << 16 | UIDRECV_VERSION_MINOR << 8 |
	       UIDRECV_VERSION_PATCH;
}

const char *uidrecv_source_name(unsigned int source)
{
	static const char *const names[] = {
	    [UIDRECV_SOURCE_UNKNOWN] = "unknown",
	    [UIDRECV_SOURCE_DIRECTORY] = "directory",
	    [UIDRECV_SOURCE_PORTAL] = "portal",
	    [UIDRECV_SOURCE_VPN] = "vpn",
	    [UIDRECV_SOURCE_SYSLOG] = "syslog",
	    [UIDRECV_SOURCE_XMLAPI] = "xmlapi",
	    [UIDRECV_SOURCE_TERMINAL] = "terminal",
	    [UIDRECV_SOURCE_RADIUS] = "radius",
	    [UIDRECV_SOURCE_DHCP] = "dhcp",
	    [UIDRECV_SOURCE_MANUAL] = "manual",
	    [UIDRECV_SOURCE_REDISTRIBUTED] = "redistributed",
	};

	if (source >= sizeof(names) / sizeof(names[0]))
		return "unknown";
	return names[source];
}
