// SPDX-License-Identifier: GPL-2.0
/*
 * disk_export.c - ttvm disk export: a point in time for other programs, as a raw file, or over NBD by nbdkit(1) with our
 * plugin (tools/nbdkit/).
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk.h"

#define PLUGIN "nbdkit-ttdisk-plugin.so"
#define CHUNK_SECTORS 2048u

enum { OPT_AT = 256, OPT_SOCKET, OPT_PORT, OPT_ADDRESS, OPT_PIDFILE, OPT_RAW, OPT_FORCE };

struct export_options {
	const char *disk;
	const char *at;
	const char *socket;
	const char *port;
	const char *address;
	const char *pidfile;
	const char *raw;
	bool force;
};

/* ------------------------------------------------------------------ a raw file */

static int write_all(int fd, const uint8_t *data, size_t len, uint64_t offset)
{
	while (len) {
		ssize_t done = pwrite(fd, data, len, offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done ? -errno : -EIO;
		data += done;
		offset += done;
		len -= done;
	}
	return 0;
}

static bool is_zero(const uint8_t *data, size_t len)
{
	return !data[0] && !memcmp(data, data + 1, len - 1);
}

static int copy_disk(struct ttdisk *disk, uint64_t sectors, int fd, const char *path, struct tt_error *err)
{
	uint8_t *buffer = malloc(CHUNK_SECTORS * TTDISK_SECTOR);
	uint64_t sector = 0, count, block;
	bool zero;
	int ret = 0;

	if (!buffer)
		return tt_fail(err, -ENOMEM, "out of memory");
	for (; sector < sectors && !ret; sector += count) {
		struct iovec iov = { .iov_base = buffer };

		count = sectors - sector;
		ret = ttdisk_extent(disk, sector, count, &count, &zero);
		if (ret || zero)
			continue;
		if (count > CHUNK_SECTORS)
			count = CHUNK_SECTORS;
		iov.iov_len = count * TTDISK_SECTOR;
		ret = ttdisk_read(disk, sector, &iov, 1);
		if (ret)
			break;
		/* Blocks of zeroes stay holes; 4 KiB is what file systems can leave out. */
		for (block = 0; block < iov.iov_len && !ret; block += 4096) {
			size_t len = iov.iov_len - block < 4096 ? iov.iov_len - block : 4096;

			if (is_zero(buffer + block, len))
				continue;
			ret = write_all(fd, buffer + block, len, sector * TTDISK_SECTOR + block);
			if (ret) {
				tt_fail(err, ret, "%s: %s", path, strerror(-ret));
				free(buffer);
				return ret == -EIO ? -ENOSPC : ret; /* not the history's fault */
			}
		}
	}
	free(buffer);
	return ret ? tt_fail(err, ret, "the disk cannot be read: %s", ttdisk_strerror(ret)) : 0;
}

static int write_raw(const struct export_options *o, struct ttdisk *disk, struct tt_error *err)
{
	int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (o->force ? O_TRUNC : O_EXCL), fd, ret;
	struct ttdisk_info info;

	ttdisk_get_info(disk, &info);
	fd = open(o->raw, flags, 0666);
	if (fd < 0 && errno == EEXIST)
		return tt_fail(err, -EEXIST, "%s: it exists; --force overwrites it", o->raw);
	if (fd < 0)
		return tt_fail(err, -errno, "%s: %s", o->raw, strerror(errno));
	if (ftruncate(fd, info.sectors * TTDISK_SECTOR)) {
		ret = tt_fail(err, -errno, "%s: %s", o->raw, strerror(errno));
	} else {
		ret = copy_disk(disk, info.sectors, fd, o->raw, err);
	}
	if (close(fd) && !ret)
		ret = tt_fail(err, -errno, "%s: %s", o->raw, strerror(errno));
	if (ret)
		unlink(o->raw);
	return ret;
}

/* ------------------------------------------------------------------ NBD */

int disk_plugin_path(char path[DISK_PATH_SIZE], struct tt_error *err)
{
	/* beside the program in the build folder; $PREFIX/lib/ttvm beside $PREFIX/bin */
	static const char *const places[] = { "/" PLUGIN, "/../lib/ttvm/" PLUGIN };
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;
	size_t i;

	if (len < 0)
		return tt_fail(err, -errno, "/proc/self/exe: %s", strerror(errno));
	self[len] = '\0';
	slash = strrchr(self, '/');
	if (slash)
		*slash = '\0';
	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (snprintf(path, DISK_PATH_SIZE, "%s%s", self, places[i]) < DISK_PATH_SIZE && !access(path, R_OK))
			return 0;
	return tt_fail(err, -ENOENT, "%s is neither in %s nor in %s/../lib/ttvm; `make` builds it, `make install` installs "
		       "it", PLUGIN, self, self);
}

int disk_plugin_arguments(struct ttdisk *disk, char history[DISK_PLUGIN_ARGUMENT], char departure[DISK_PLUGIN_ARGUMENT],
			  struct tt_error *err)
{
	char name[TTDISK_DEPARTURE_SIZE], path[PATH_MAX];
	struct ttdisk_info info;
	int ret;

	ttdisk_get_info(disk, &info);
	/* nbdkit may change its working folder */
	if (!realpath(info.path, path))
		return tt_fail(err, -errno, "%s: %s", info.path, strerror(errno));
	ret = ttdisk_departure(disk, name, err);
	if (ret)
		return ret;
	snprintf(history, DISK_PLUGIN_ARGUMENT, "history=%s", path);
	snprintf(departure, DISK_PLUGIN_ARGUMENT, "departure=%s", name);
	return 0;
}

/* Returns only if it fails: this process becomes nbdkit, so that who started it can end it. */
static int serve(const struct export_options *o, struct ttdisk *disk, struct tt_error *err)
{
	char plugin[DISK_PATH_SIZE], history[DISK_PLUGIN_ARGUMENT], departure[DISK_PLUGIN_ARGUMENT];
	const char *args[16];
	int n = 0, ret;

	ret = disk_plugin_path(plugin, err);
	if (!ret)
		ret = disk_plugin_arguments(disk, history, departure, err);
	if (ret)
		return ret;
	args[n++] = "nbdkit";
	args[n++] = "--foreground";
	args[n++] = "--readonly";
	if (o->socket) {
		args[n++] = "--unix";
		args[n++] = o->socket;
	} else {
		args[n++] = "--port";
		args[n++] = o->port;
		args[n++] = "--ip-addr";
		args[n++] = o->address;
	}
	if (o->pidfile) {
		args[n++] = "--pidfile";
		args[n++] = o->pidfile;
	}
	args[n++] = plugin;
	args[n++] = history;
	args[n++] = departure;
	args[n] = NULL;
	ttdisk_close(disk);
	if (o->socket)
		printf("nbd+unix:///?socket=%s\n", o->socket);
	else
		printf("nbd://%s:%s\n", o->address, o->port);
	fflush(stdout);
	execvp(args[0], (char *const *)args);
	ret = -errno;
	if (ret == -ENOENT)
		tt_fail(err, ret, "nbdkit is not installed: apt-get install nbdkit (or use --raw)");
	else
		tt_fail(err, ret, "nbdkit: %s", strerror(-ret));
	exit(disk_fail(ret, err));
}

/* ------------------------------------------------------------------ the command */

static const char export_usage[] = "ttvm disk export DISK [--at T] --socket PATH | --port N | --raw OUT";
static const char export_help[] =
	"usage: ttvm disk export DISK [--at T] --socket PATH | --port N | --raw OUT\n\n"
	"Show the disk as it was at T to other programs, read-only: over NBD, until interrupted, or as a copy.\n\n"
	"      --at T              the point in time (default: now, which is fixed when the export begins)\n"
	"      --socket PATH       NBD on a unix socket: nbd+unix:///?socket=PATH\n"
	"      --port N            NBD on a TCP port: nbd://localhost:N\n"
	"      --address ADDR      with --port: listen there (default: 127.0.0.1)\n"
	"      --pidfile FILE      NBD: write the server's process id to FILE when clients can connect\n"
	"      --raw OUT           write a raw file, with holes where there are zeroes\n"
	"      --force             with --raw: overwrite OUT\n"
	"  -h, --help              this text\n\n" DISK_POINT_HELP "\n" DISK_STATUS_HELP;

static int parse_options(int argc, char **argv, struct export_options *o)
{
	static const struct option long_options[] = {
		{ "at", required_argument, NULL, OPT_AT },
		{ "socket", required_argument, NULL, OPT_SOCKET },
		{ "port", required_argument, NULL, OPT_PORT },
		{ "address", required_argument, NULL, OPT_ADDRESS },
		{ "pidfile", required_argument, NULL, OPT_PIDFILE },
		{ "raw", required_argument, NULL, OPT_RAW },
		{ "force", no_argument, NULL, OPT_FORCE },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	uint64_t number;
	char **args;
	int c;

	*o = (struct export_options){ .at = "now", .address = "127.0.0.1" };
	while ((c = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		switch (c) {
		case OPT_AT:
			o->at = optarg;
			break;
		case OPT_SOCKET:
			o->socket = optarg;
			break;
		case OPT_PORT:
			if (!parse_number(optarg, &number) || !number || number > 65535) {
				say("--port %s: not a port; say a number from 1 to 65535", optarg);
				return -1;
			}
			o->port = optarg;
			break;
		case OPT_ADDRESS:
			o->address = optarg;
			break;
		case OPT_PIDFILE:
			o->pidfile = optarg;
			break;
		case OPT_RAW:
			o->raw = optarg;
			break;
		case OPT_FORCE:
			o->force = true;
			break;
		case 'h':
			fputs(export_help, stdout);
			return 0;
		default:
			say("`ttvm disk export --help` lists the options");
			return -1;
		}
	}
	args = disk_arguments(argc, argv, 1, export_usage);
	if (!args)
		return -1;
	o->disk = args[0];
	if (!!o->socket + !!o->port + !!o->raw != 1) {
		say("where to? One of --socket PATH, --port N and --raw OUT");
		return -1;
	}
	return 1;
}

int disk_cmd_export(int argc, char **argv)
{
	struct ttdisk *disk = NULL;
	struct export_options o;
	struct tt_error err = { 0 };
	int ret = parse_options(argc, argv, &o);

	if (ret <= 0)
		return ret ? EXIT_SETUP : disk_end_output();
	ret = disk_open_at(o.disk, TTDISK_READ, o.at, &disk, &err);
	if (!ret)
		ret = o.raw ? write_raw(&o, disk, &err) : serve(&o, disk, &err);
	if (disk)
		ttdisk_close(disk);
	return ret ? disk_fail(ret, &err) : EXIT_OK;
}
