/* SPDX-License-Identifier: BSD-2-Clause */
#include "uidtsagent-users.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utmpx.h>

#include "uidtsagent-log.h"

/* A name is asked for again when its user was away for so long. */
#define NAME_US UINT64_C(60000000)

static int watch_utmp(struct ts_users *users)
{
	users->events_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (users->events_fd < 0)
		return -errno;
	if (inotify_add_watch(users->events_fd, users->utmp_path,
			      IN_MODIFY | IN_CLOSE_WRITE) < 0)
		return -errno;
	if (utmpxname(users->utmp_path) < 0)
		return -EINVAL;
	return 0;
}

int ts_users_open(struct ts_users *users)
{
	users->events_fd = -1;
	return users->utmp_path ? watch_utmp(users) : 0;
}

void ts_users_close(struct ts_users *users)
{
	if (users->events_fd >= 0)
		close(users->events_fd);
	free(users->names);
	users->events_fd = -1;
	users->names = NULL;
	users->names_count = users->names_room = 0;
}

void ts_users_take_events(struct ts_users *users)
{
	_Alignas(struct inotify_event) char buffer[4096];

	while (read(users->events_fd, buffer, sizeof(buffer)) > 0)
		;
}

static void set_name(const struct ts_users *users, struct ts_name *name,
		     const struct passwd *entry)
{
	int size = snprintf(name->name, sizeof(name->name), "%s%s%s",
			    users->domain ? users->domain : "",
			    users->domain ? "\\" : "", entry->pw_name);

	if (size < (int)sizeof(name->name))
		return;
	name->name[0] = '\0';
	ts_log(UIDRECV_LOG_WARNING, "uid %u: its name is too long", name->uid);
}

/* Who has no name gets no block; his flows are nobody's. */
static void ask_name(const struct ts_users *users, struct ts_name *name)
{
	struct passwd entry, *found = NULL;
	char buffer[16384];
	int error =
	    getpwuid_r(name->uid, &entry, buffer, sizeof(buffer), &found);

	name->name[0] = '\0';
	if (found != NULL)
		set_name(users, name, found);
	else
		ts_log(UIDRECV_LOG_WARNING, "uid %u has no name: %s", name->uid,
		       error ? strerror(error) : "not in passwd");
}

static struct ts_name *find_name(struct ts_users *users, uid_t uid,
				 uint64_t now_us)
{
	struct ts_name *name = NULL;

	for (size_t i = 0; i < users->names_count && name == NULL; i++)
		if (users->names[i].uid == uid)
			name = &users->names[i];
	if (name == NULL && users->names_count == users->names_room) {
		size_t room = users->names_room ? users->names_room * 2 : 16;
		struct ts_name *names =
		    reallocarray(users->names, room, sizeof(*names));

		if (names == NULL)
			return NULL;
		users->names = names;
		users->names_room = room;
	}
	if (name == NULL) {
		name = &users->names[users->names_count++];
		*name = (struct ts_name){.uid = uid};
	}
	if (name->seen_us == 0 || now_us - name->seen_us > NAME_US)
		ask_name(users, name);
	name->seen_us = now_us;
	return name;
}

/* Who was away for long is forgotten. */
static void forget_names(struct ts_users *users, uint64_t now_us)
{
	size_t kept = 0;

	for (size_t i = 0; i < users->names_count; i++)
		if (now_us - users->names[i].seen_us <= NAME_US)
			users->names[kept++] = users->names[i];
	users->names_count = kept;
}

static int see(struct ts_users *users, struct ts_share *share, uid_t uid,
	       uint64_t now_us)
{
	struct ts_name *name;

	if (uid < users->uid_first || uid > users->uid_last)
		return 0;
	name = find_name(users, uid, now_us);
	if (name == NULL)
		return -ENOMEM;
	return *name->name ? ts_share_see(share, uid, name->name) : 0;
}

/* A session whose process is gone was left there by a crash. */
static bool find_uid(const struct utmpx *entry, uid_t *ret_uid)
{
	char name[sizeof(entry->ut_user) + 1], buffer[16384];
	struct passwd passwd, *found = NULL;

	if (entry->ut_type != USER_PROCESS ||
	    (kill(entry->ut_pid, 0) < 0 && errno == ESRCH))
		return false;
	memcpy(name, entry->ut_user, sizeof(entry->ut_user));
	name[sizeof(entry->ut_user)] = '\0';
	getpwnam_r(name, &passwd, buffer, sizeof(buffer), &found);
	if (found == NULL)
		return false;
	*ret_uid = found->pw_uid;
	return true;
}

static int look_at_sessions(struct ts_users *users, struct ts_share *share,
			    uint64_t now_us)
{
	const struct utmpx *entry;
	int result = 0;
	uid_t uid;

	if (access(users->utmp_path, R_OK) < 0)
		return -errno;
	setutxent();
	while (result == 0 && (entry = getutxent()) != NULL)
		if (find_uid(entry, &uid))
			result = see(users, share, uid, now_us);
	endutxent();
	return result;
}

/* A folder of /proc is of the effective uid, which sockets get. */
static int look_at_processes(struct ts_users *users, struct ts_share *share,
			     uint64_t now_us)
{
	const struct dirent *entry;
	DIR *proc = opendir("/proc");
	int result = 0;

	if (proc == NULL)
		return -errno;
	while (result == 0 && (entry = readdir(proc)) != NULL) {
		struct stat status;

		if (!isdigit((unsigned char)*entry->d_name) ||
		    fstatat(dirfd(proc), entry->d_name, &status, 0) < 0)
			continue;
		result = see(users, share, status.st_uid, now_us);
	}
	closedir(proc);
	return result;
}

int ts_users_look(struct ts_users *users, struct ts_share *share,
		  uint64_t now_us)
{
	int result;

	ts_share_look(share);
	result = users->utmp_path ? look_at_sessions(users, share, now_us)
				  : look_at_processes(users, share, now_us);
	forget_names(users, now_us);
	return result;
}
