/* SPDX-License-Identifier: BSD-2-Clause */
#include "uidtsagent-host.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli.h"

void ts_host_lock(const char *state_dir)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/lock", state_dir);
	if (mkdir(state_dir, 0755) < 0 && errno != EEXIST)
		cli_die(CLI_FAILED, "%s: %s", state_dir, strerror(errno));
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		cli_die(CLI_FAILED, "%s: %s", path, strerror(errno));
	/* It is held until the process ends, whichever way. */
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		cli_die(CLI_FAILED,
			"%s: another uidtsagent runs; stop it first", path);
}

void ts_host_drop_rights(void)
{
	struct __user_cap_header_struct header = {
	    .version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
	    {.effective = 1u << CAP_NET_ADMIN,
	     .permitted = 1u << CAP_NET_ADMIN},
	};

	/* Of what the kernel does not know there is nothing to drop. */
	for (unsigned long right = 0; right <= 63; right++)
		if (right != CAP_NET_ADMIN)
			prctl(PR_CAPBSET_DROP, right, 0, 0, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_capset, &header, data) < 0)
		cli_die(CLI_FAILED, "rights cannot be dropped: %s",
			strerror(errno));
}
