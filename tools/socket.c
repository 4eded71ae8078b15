// SPDX-License-Identifier: GPL-2.0
/*
 * socket.c - unix sockets by path: the console's and the control socket's; and TCP for gdb.
 */
#include <netdb.h>
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

/* "HOST:PORT", "[::1]:PORT", "PORT" in two: false when it is none of these. */
static bool split_address(const char *where, char host[LISTEN_NAME_MAX], const char **port)
{
	const char *colon = strrchr(where, ':'), *start = where;
	size_t len = colon ? (size_t)(colon - where) : 0;

	*port = colon ? colon + 1 : where;
	if (!**port || strspn(*port, "0123456789") != strlen(*port) || strlen(*port) > 5 || len >= LISTEN_NAME_MAX - 8)
		return false;
	if (len > 1 && where[0] == '[' && where[len - 1] == ']') {
		start++;
		len -= 2;
	}
	snprintf(host, LISTEN_NAME_MAX, "%.*s", (int)len, start);
	return !colon || len;
}

/* What to connect to: with the port that the kernel has chosen. */
static void name_socket(int fd, const char *host, char name[LISTEN_NAME_MAX])
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	char port[8] = "?";

	if (!getsockname(fd, (struct sockaddr *)&address, &len))
		getnameinfo((struct sockaddr *)&address, len, NULL, 0, port, sizeof(port), NI_NUMERICSERV);
	snprintf(name, LISTEN_NAME_MAX, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

int listen_at(const char *where, char name[LISTEN_NAME_MAX], struct tt_error *err)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	struct addrinfo *found, *a;
	char host[LISTEN_NAME_MAX];
	const char *port;
	int fd = -1, one = 1, ret;

	if (strchr(where, '/')) {
		snprintf(name, LISTEN_NAME_MAX, "%s", where);
		return unix_listen(where, err);
	}
	if (!split_address(where, host, &port))
		return tt_fail(err, -EINVAL, "'%s': say PORT, HOST:PORT, or the path of a socket with a slash in it", where);
	if (!host[0])
		strcpy(host, "127.0.0.1");
	ret = getaddrinfo(host, port, &hints, &found);
	if (ret)
		return tt_fail(err, -EINVAL, "%s: %s", where, gai_strerror(ret));
	errno = EADDRNOTAVAIL;
	for (a = found; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd < 0)
			continue;
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, 8) < 0) {
			ret = errno;
			close(fd);
			fd = -1;
			errno = ret;
		}
	}
	if (fd < 0)
		ret = tt_fail(err, -errno, "%s: %s", where,
			      errno == EADDRINUSE ? "another process listens there" : strerror(errno));
	else
		name_socket(fd, host, name);
	freeaddrinfo(found);
	return fd < 0 ? ret : fd;
}
