// SPDX-License-Identifier: GPL-2.0
/*
 * socket.c - unix sockets by path: the console's and the control socket's.
 */
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "ttvm.h"

static int set_path(struct sockaddr_un *address, const char *path, struct tt_error *err)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (!*path || strlen(path) >= sizeof(address->sun_path))
		return tt_fail(err, -ENAMETOOLONG, "'%s': a socket's path has 1 to %zu bytes", path,
			       sizeof(address->sun_path) - 1);
	strcpy(address->sun_path, path);
	return 0;
}

int unix_connect(const char *path, struct tt_error *err)
{
	struct sockaddr_un address;
	int fd, ret = set_path(&address, path, err);

	if (ret)
		return ret;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	ret = tt_fail(err, -errno, "%s: %s%s", path, strerror(errno),
		      errno == ECONNREFUSED ? "; whoever made this socket has gone" : "");
	if (fd >= 0)
		close(fd);
	return ret;
}

/* Remove a socket that nobody listens on any more. 0, or -errno: there is something else. */
static int remove_stale(const char *path)
{
	struct stat st;
	int fd;

	if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = unix_connect(path, NULL);
	if (fd >= 0) {
		close(fd);
		return -EADDRINUSE;
	}
	return fd == -ECONNREFUSED && unlink(path) == 0 ? 0 : -EADDRINUSE;
}

int unix_listen(const char *path, struct tt_error *err)
{
	struct sockaddr_un address;
	int fd, bound, ret = set_path(&address, path, err);
	mode_t mask;

	if (ret)
		return ret;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return tt_fail(err, -errno, "%s: %s", path, strerror(errno));
	/* Who can connect can end the run: the owner only. */
	mask = umask(0177);
	bound = bind(fd, (struct sockaddr *)&address, sizeof(address));
	if (bound < 0 && errno == EADDRINUSE) {
		ret = remove_stale(path);
		if (!ret)
			bound = bind(fd, (struct sockaddr *)&address, sizeof(address));
		else
			errno = -ret;
	}
	umask(mask);
	if (bound == 0 && listen(fd, 8) == 0)
		return fd;
	ret = tt_fail(err, -errno, "%s: %s", path,
		      errno == EEXIST	  ? "is there, and is not a socket" :
		      errno == EADDRINUSE ? "another process listens there" :
					    strerror(errno));
	close(fd);
	return ret;
}
