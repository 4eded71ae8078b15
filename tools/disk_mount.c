// SPDX-License-Identifier: GPL-2.0
/*
 * disk_mount.c - ttvm disk mount: a file system as it was, mounted.
 *
 * The kernel mounts block devices. From the disk to one it goes like this:
 *
 *	history -> nbdkit with our plugin -> its cow filter -> nbdfuse -> a file -> loop device -> mount
 *
 * The mount is read-only. The cow filter is there because most file systems replay their journal even then, and without
 * that the newest files would be missing: it takes those writes and forgets them. When all is in place nbdfuse's file is
 * unmounted lazily and the loop device told to go with its last user, so that a plain umount(8) of the folder ends all of
 * it, processes included.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/loop.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "disk.h"
#include "disk_files.h"

#define START_SECONDS 60
#define LOOP_TRIES    16

enum { OPT_AT = 256, OPT_PARTITION };

struct mount_options {
	const char *disk;
	const char *folder;
	const char *at;
	const char *partition;
	uint64_t number;
};

/* The folder for the time of mounting. */
struct work {
	char path[64];
	char file[96];	/* nbdfuse's */
	char fuse[80];	/* the folder that it is in */
	char pid[80];
	char log[80];	/* what nbdkit and nbdfuse say */
	pid_t child;
	bool fuse_mounted;
};

/* ------------------------------------------------------------------ what to mount */

static bool can_be_mounted(const char *name)
{
	static const char *const no[] = { "unknown", "swap", "LVM", "encrypted (LUKS)" };
	size_t i;

	for (i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		if (!strcmp(name, no[i]))
			return false;
	return true;
}

static int choose_partition(const struct mount_options *o, const struct disk_source *disk,
			    struct disk_partition *chosen, struct tt_error *err)
{
	unsigned int i, good = 0;
	struct disk_partitions table;
	enum disk_fs_kind kind;
	char list[300] = "";
	const char *name;
	int ret = disk_partitions_read(disk, &table);

	if (ret)
		return tt_fail(err, ret, "the partition table cannot be read: %s", ttdisk_strerror(ret));
	for (i = 0; i < table.count; i++) {
		const struct disk_partition *p = &table.partition[i];
		size_t len = strlen(list);

		ret = disk_fs_probe(disk, p, &kind, &name);
		if (ret)
			return tt_fail(err, ret, "the disk cannot be read: %s", ttdisk_strerror(ret));
		snprintf(list + len, sizeof(list) - len, "%s%u (%s)", len ? ", " : "", p->number,
			 kind == DISK_FS_EXT ? "ext" : name);
		if (o->partition ? p->number == o->number : can_be_mounted(name)) {
			*chosen = *p;
			good++;
		}
	}
	if (good == 1)
		return 0;
	if (o->partition)
		return tt_fail(err, -ENOENT, "there is no partition %s; there are: %s", o->partition,
			       list[0] ? list : "none");
	if (good)
		return tt_fail(err, -EINVAL, "which partition? Say --partition N: %s", list);
	return tt_fail(err, -ENOENT, "there is no file system that can be mounted; there are: %s",
		       list[0] ? list : "no partitions");
}

/* ------------------------------------------------------------------ a file of the disk, by nbdfuse */

/* The last line of what the helpers said, for a message. */
static void read_log(const struct work *w, char *line, size_t size)
{
	FILE *file = fopen(w->log, "r");
	char text[300];

	line[0] = '\0';
	while (file && fgets(text, sizeof(text), file)) {
		text[strcspn(text, "\n")] = '\0';
		if (text[0])
			snprintf(line, size, "%s", text);
	}
	if (file)
		fclose(file);
}

static int make_work(struct work *w, struct tt_error *err)
{
	strcpy(w->path, "/tmp/ttvm-mount-XXXXXX");
	if (!mkdtemp(w->path))
		return tt_fail(err, -errno, "%s: %s", w->path, strerror(errno));
	snprintf(w->fuse, sizeof(w->fuse), "%s/fuse", w->path);
	snprintf(w->file, sizeof(w->file), "%s/disk", w->fuse);
	snprintf(w->pid, sizeof(w->pid), "%s/pid", w->path);
	snprintf(w->log, sizeof(w->log), "%s/log", w->path);
	if (mkdir(w->fuse, 0700))
		return tt_fail(err, -errno, "%s: %s", w->fuse, strerror(errno));
	return 0;
}

/* In the child. It outlives this program, so it keeps nothing of it. */
static void exec_nbdfuse(const struct work *w, const char *plugin, const char *history, const char *departure)
{
	int null = open("/dev/null", O_RDWR), log = open(w->log, O_WRONLY | O_CREAT | O_APPEND, 0600);

	setsid();
	dup2(null, 0);
	dup2(log, 1);
	dup2(log, 2);
	closefrom(3);
	execlp("nbdfuse", "nbdfuse", "-P", w->pid, w->file, "--command", "nbdkit", "-s", "--exit-with-parent",
	       "--filter=cow", plugin, history, departure, NULL);
	_exit(127);
}

static int start_nbdfuse(struct work *w, struct ttdisk *disk, struct tt_error *err)
{
	char plugin[DISK_PATH_SIZE], history[DISK_PLUGIN_ARGUMENT], departure[DISK_PLUGIN_ARGUMENT], line[300];
	double end = seconds_now() + START_SECONDS;
	int ret, status;

	ret = disk_plugin_path(plugin, err);
	if (!ret)
		ret = disk_plugin_arguments(disk, history, departure, err);
	if (ret)
		return ret;
	w->child = fork();
	if (w->child < 0)
		return tt_fail(err, -errno, "fork: %s", strerror(errno));
	if (!w->child)
		exec_nbdfuse(w, plugin, history, departure);
	while (access(w->pid, F_OK)) {
		if (waitpid(w->child, &status, WNOHANG) == w->child) {
			w->child = 0;
			read_log(w, line, sizeof(line));
			if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
				return tt_fail(err, -ENOENT, "nbdfuse is not installed: apt-get install libnbd-bin nbdkit");
			return tt_fail(err, -EPROTO, "nbdfuse failed: %s", line[0] ? line : "it did not say why");
		}
		if (seconds_now() > end) {
			read_log(w, line, sizeof(line));
			return tt_fail(err, -ETIMEDOUT, "nbdfuse did not begin within %d seconds %s", START_SECONDS, line);
		}
		usleep(10000);
	}
	w->fuse_mounted = true;
	return 0;
}

static void end_work(struct work *w, bool failed)
{
	if (w->fuse_mounted)
		umount2(w->fuse, MNT_DETACH);
	if (failed && w->child > 0) {
		kill(w->child, SIGTERM);
		waitpid(w->child, NULL, 0);
	}
	unlink(w->pid);
	unlink(w->log);
	rmdir(w->fuse);
	rmdir(w->path);
}

/* ------------------------------------------------------------------ a loop device of the file, and the mount */

/* Another program may take the free device before us. */
static int attach_loop(const struct work *w, const struct disk_partition *partition, char *name, size_t size,
		       struct tt_error *err)
{
	struct loop_config config = { 0 };
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), file, loop = -1, tries, number;

	if (control < 0)
		return tt_fail(err, -errno, "/dev/loop-control: %s; this kernel has no loop devices (modprobe loop)",
			       strerror(errno));
	file = open(w->file, O_RDWR | O_CLOEXEC);
	if (file < 0) {
		tt_fail(err, -errno, "%s: %s", w->file, strerror(errno));
		goto out;
	}
	config.fd = file;
	config.info.lo_offset = partition->offset;
	config.info.lo_sizelimit = partition->size;
	config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
	for (tries = 0; tries < LOOP_TRIES && loop < 0; tries++) {
		number = ioctl(control, LOOP_CTL_GET_FREE);
		if (number < 0)
			break;
		snprintf(name, size, "/dev/loop%d", number);
		loop = open(name, O_RDWR | O_CLOEXEC);
		if (loop >= 0 && !ioctl(loop, LOOP_CONFIGURE, &config))
			break;
		number = errno;
		if (loop >= 0)
			close(loop);
		loop = -1;
		errno = number;
		if (number != EBUSY)
			break;
	}
	if (loop < 0)
		tt_fail(err, -errno, "no loop device: %s", strerror(errno));
out:
	if (file >= 0)
		close(file);
	close(control);
	return loop >= 0 ? loop : err->code;
}

static int run_mount(const char *device, const char *folder, struct tt_error *err)
{
	int status;
	pid_t child = fork();

	if (child < 0)
		return tt_fail(err, -errno, "fork: %s", strerror(errno));
	if (!child) {
		/* A guest's file system: its set-user-id programs and devices are not for this machine. */
		execlp("mount", "mount", "-o", "ro,nosuid,nodev", device, folder, NULL);
		_exit(127);
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	return tt_fail(err, -EPROTO, "%s: mount failed, see above and the kernel's log (dmesg)", folder);
}

static int mount_disk(const struct mount_options *o, struct ttdisk *disk, struct tt_error *err)
{
	struct disk_source source = disk_source_of(disk);
	struct disk_partition partition = { 0 };
	struct work work = { 0 };
	char device[32];
	int loop, ret;

	ret = choose_partition(o, &source, &partition, err);
	if (!ret)
		ret = make_work(&work, err);
	if (ret)
		return ret;
	ret = start_nbdfuse(&work, disk, err);
	if (!ret) {
		ret = loop = attach_loop(&work, &partition, device, sizeof(device), err);
		if (loop >= 0) {
			ret = run_mount(device, o->folder, err);
			close(loop);
		}
	}
	end_work(&work, ret);
	return ret;
}

/* ------------------------------------------------------------------ the command */

static const char mount_usage[] = "ttvm disk mount DISK DIR [--at T] [--partition N]";
static const char mount_help[] =
	"usage: ttvm disk mount DISK DIR [--at T] [--partition N]\n\n"
	"Mount a file system as it was at T, read-only, as root. `umount DIR` ends it.\n\n"
	"      --at T              the point in time (default: now, which is fixed when it is mounted)\n"
	"      --partition N       which partition, as in /dev/vdaN (default: the only one that can be mounted)\n"
	"  -h, --help              this text\n\n" DISK_POINT_HELP "\n" DISK_STATUS_HELP;

static int parse_options(int argc, char **argv, struct mount_options *o)
{
	static const struct option long_options[] = {
		{ "at", required_argument, NULL, OPT_AT },
		{ "partition", required_argument, NULL, OPT_PARTITION },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	char **args;
	int c;

	*o = (struct mount_options){ .at = "now" };
	while ((c = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		switch (c) {
		case OPT_AT:
			o->at = optarg;
			break;
		case OPT_PARTITION:
			o->partition = optarg;
			if (!parse_number(optarg, &o->number)) {
				say("--partition %s: not a number", optarg);
				return -1;
			}
			break;
		case 'h':
			fputs(mount_help, stdout);
			return 0;
		default:
			say("`ttvm disk mount --help` lists the options");
			return -1;
		}
	}
	args = disk_arguments(argc, argv, 2, mount_usage);
	if (!args)
		return -1;
	o->disk = args[0];
	o->folder = args[1];
	return 1;
}

int disk_cmd_mount(int argc, char **argv)
{
	struct ttdisk *disk = NULL;
	struct mount_options o;
	struct tt_error err = { 0 };
	struct stat st;
	int ret = parse_options(argc, argv, &o);

	if (ret <= 0)
		return ret ? EXIT_SETUP : disk_end_output();
	if (stat(o.folder, &st) || !S_ISDIR(st.st_mode)) {
		say("%s: not a folder to mount on", o.folder);
		return EXIT_SETUP;
	}
	if (geteuid()) {
		say("mounting needs root; as a user, `ttvm disk export --raw` makes a copy, and `ttvm disk diff --files` "
		    "finds files");
		return EXIT_SETUP;
	}
	ret = disk_open_at(o.disk, TTDISK_READ, o.at, &disk, &err);
	if (!ret)
		ret = mount_disk(&o, disk, &err);
	if (disk)
		ttdisk_close(disk);
	return ret ? disk_fail(ret, &err) : EXIT_OK;
}
