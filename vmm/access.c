// SPDX-License-Identifier: GPL-2.0
/*
 * access.c - a device node of the host that this user may not open: what would change that.
 */
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm.h"

/* Is the user in that group, according to the system's database? A session has the groups that it began with. */
static bool is_member(const struct passwd *user, gid_t group)
{
	gid_t *groups = NULL, *more;
	int n = 16, i, asked;
	bool found = false;

	do {
		asked = n;
		more = realloc(groups, asked * sizeof(*groups));
		if (!more)
			goto out;
		groups = more;
	} while (getgrouplist(user->pw_name, user->pw_gid, groups, &n) < 0 && n > asked);
	for (i = 0; i < n && i < asked; i++)
		found |= groups[i] == group;
out:
	free(groups);
	return found;
}

void tt_access_hint(const char *path, char *text, size_t size)
{
	const struct passwd *user = getpwuid(geteuid());
	const struct group *group = NULL;
	struct stat st;

	/* A group of root's is nobody's to join. */
	if (!stat(path, &st) && st.st_gid && (st.st_mode & 0060) == 0060)
		group = getgrgid(st.st_gid);
	if (!group)
		snprintf(text, size, "running as root; or let udev give it to a group: sudo udevadm trigger %s "
			 "(docs/install.md)", path);
	else if (user && is_member(user, st.st_gid))
		snprintf(text, size, "logging in again: this session began before you came into the group %s",
			 group->gr_name);
	else
		snprintf(text, size, "joining the group %s: sudo usermod -a -G %s %s; then log in again",
			 group->gr_name, group->gr_name, user ? user->pw_name : "\"$USER\"");
}
