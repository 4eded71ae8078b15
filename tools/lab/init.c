// SPDX-License-Identifier: GPL-2.0
/*
 * init.c - the first process of the test machine: brings the machine up, runs COMMAND, reports to the host.
 *
 * It is a static program in the initrd, in C rather than in shell because hundreds of tests boot this machine and every
 * fork costs milliseconds under emulation. It finds
 *
 *	/modules/	kernel modules to load, in the order of their names: disk/00-virtio_blk.ko, kvm/03-kvm.ko, ...
 *	/dev/vda	the Debian system, read-only ext4; writes go to an overlay in memory
 *	/dev/vdb	the kernel's module tree, read-only ext4, for modprobe
 *	/dev/vdc	a tar archive of this run, unpacked at / of the system:
 *				lab/argv	COMMAND, each argument ended by a NUL
 *				lab/now		what the clock should say, in seconds since 1970
 *				lab/seed	64 random bytes
 *				lab/ttvm.ko	optional: loaded before COMMAND
 *				lab/want-out	optional: send back what COMMAND leaves in out/
 *				lab/bin, lab/lib	optional: ttvm, and libraries that the system lacks
 *				scratch/	the files that --in named; COMMAND's working directory
 *	/dev/vport*p1	the wire to the host (wire.h)
 *
 * and never returns: the host ends the machine when it has read the last frame.
 *
 * A machine that has come up without an archive (/dev/vdc is all zero) waits for one: that is when the host takes the
 * snapshot from which later runs start, with another /dev/vdc.
 */
#define _GNU_SOURCE
#include "wire.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <linux/random.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int wire = -1;

/* One write for header and payload: each one is a trip through the emulator. */
static void wire_send(enum wire_type type, const void *payload, size_t size)
{
	static struct {
		struct wire_header header;
		char payload[WIRE_MAX];
	} frame;
	const char *at = (const char *)&frame;
	size_t left = sizeof(frame.header) + size;

	frame.header = (struct wire_header){ .magic = WIRE_MAGIC, .type = type, .size = size };
	if (size)
		memcpy(frame.payload, payload, size);
	while (left) {
		ssize_t done = write(wire, at, left);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0) {
			dprintf(2, "init: the wire to the host: %s\n", strerror(errno));
			reboot(RB_POWER_OFF);
		}
		at += done;
		left -= done;
	}
}

/* Ends the machine: the last frame has been sent, the host only has to read it. */
static void __attribute__((noreturn)) wait_for_the_end(void)
{
	sleep(30);
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

static void __attribute__((noreturn, format(printf, 1, 2))) trouble(const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	dprintf(2, "init: %s\n", text);
	if (wire < 0)
		reboot(RB_POWER_OFF);
	wire_send(WIRE_TROUBLE, text, strlen(text));
	wait_for_the_end();
}

static void mount_or_fail(const char *what, const char *where, const char *type, unsigned long flags,
			  const char *options)
{
	mkdir(where, 0755);
	if (mount(what, where, type, flags, options))
		trouble("mount %s (%s) on %s: %s", what, type, where, strerror(errno));
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		dprintf(2, "init: %s: %s\n", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* Returns 0 or -errno. */
static int load_module(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST)
		err = -errno;
	close(fd);
	return err;
}

static void load_boot_modules(const char *pattern)
{
	glob_t found;

	if (glob(pattern, 0, NULL, &found))
		return;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		int err = load_module(found.gl_pathv[i]);

		/* Not fatal here: without KVM the machine is still good for `run --no-module`. */
		if (err)
			dprintf(2, "init: %s: %s\n", found.gl_pathv[i], strerror(-err));
	}
	globfree(&found);
}

/* KVM takes 0.4 s to load under emulation: the other CPU does it while this one mounts and unpacks. */
static pid_t start_loading_kvm(void)
{
	pid_t pid = fork();

	if (!pid) {
		load_boot_modules("/modules/kvm/*.ko");
		_exit(0);
	}
	if (pid < 0)
		trouble("fork: %s", strerror(errno));
	return pid;
}

static void open_wire(void)
{
	/* The port appears a moment after its driver: the host is asked about it first. */
	for (int tries = 0; tries < 10000; tries++) {
		glob_t found;

		if (!glob("/dev/vport*p1", 0, NULL, &found)) {
			wire = open(found.gl_pathv[0], O_RDWR | O_CLOEXEC);
			globfree(&found);
			if (wire >= 0)
				return;
		}
		usleep(1000);
	}
	trouble("no virtio-serial port");
}

/* Makes the Debian system the root: read-only image below, memory above. */
static void enter_system(void)
{
	mkdir("/lower", 0755);
	mount_or_fail("/dev/vda", "/lower", "ext4", MS_RDONLY, NULL);
	mount_or_fail("upper", "/upper", "tmpfs", 0, "size=80%,mode=755");
	mkdir("/upper/data", 0755);
	mkdir("/upper/work", 0755);
	mount_or_fail("root", "/root", "overlay", 0, "lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work");
	mount_or_fail("/dev/vdb", "/root/lib/modules", "ext4", MS_RDONLY, NULL);
	mount_or_fail("scratch", "/root/scratch", "tmpfs", 0, "size=80%,mode=755");
	mount_or_fail("tmp", "/root/tmp", "tmpfs", 0, "mode=1777");
	mount_or_fail("run", "/root/run", "tmpfs", 0, "mode=755");
	if (mount("/dev", "/root/dev", NULL, MS_MOVE, NULL) || mount("/proc", "/root/proc", NULL, MS_MOVE, NULL) ||
	    mount("/sys", "/root/sys", NULL, MS_MOVE, NULL))
		trouble("moving /dev, /proc, /sys: %s", strerror(errno));
	if (chdir("/root") || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
		trouble("entering the system: %s", strerror(errno));
	mkdir("/dev/shm", 01777);
	mount_or_fail("shm", "/dev/shm", "tmpfs", 0, "mode=1777");
	mkdir("/dev/pts", 0755);
	mount("devpts", "/dev/pts", "devpts", 0, "ptmxmode=666");
	mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, NULL);
	mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	if (symlink("/proc/self/fd", "/dev/fd") || symlink("fd/0", "/dev/stdin") || symlink("fd/1", "/dev/stdout") ||
	    symlink("fd/2", "/dev/stderr"))
		dprintf(2, "init: /dev/fd: %s\n", strerror(errno));
	sethostname("lab", 3);
}

/* What a recording needs of its host: perf must not throttle the alarm, and the NMI watchdog must leave its counter. */
static void set_sysctls(void)
{
	put("/proc/sys/kernel/perf_cpu_time_max_percent", "0");
	put("/proc/sys/kernel/nmi_watchdog", "0"); /* fails where there is no PMU to give back */
	put("/proc/sys/kernel/printk", "4 4 1 7");
}

static void run_or_fail(char *const argv[])
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		execv(argv[0], argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		trouble("%s failed", argv[0]);
}

/* True when /dev/vdc holds an archive. Does not go through the page cache: the answer changes behind its back. */
static int have_archive(void)
{
	static char sector[4096] __attribute__((aligned(4096)));
	int fd = open("/dev/vdc", O_RDONLY | O_DIRECT | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : read(fd, sector, sizeof(sector));

	if (size <= 0)
		trouble("/dev/vdc: %s", strerror(errno));
	close(fd);
	return sector[0] != 0;
}

/* Makes the driver look at /dev/vdc again: it has another size, and the page cache may hold its beginning. */
static void rebind_archive(void)
{
	char path[PATH_MAX], *name;

	if (!realpath("/sys/block/vdc/device", path))
		trouble("/sys/block/vdc: %s", strerror(errno));
	name = strrchr(path, '/') + 1;
	put("/sys/bus/virtio/drivers/virtio_blk/unbind", name);
	put("/sys/bus/virtio/drivers/virtio_blk/bind", name);
}

/* Returns whether the machine may have been continued from a snapshot meanwhile. */
static int wait_for_archive(void)
{
	if (have_archive())
		return 0;
	wire_send(WIRE_READY, NULL, 0);
	while (!have_archive())
		usleep(5000);
	rebind_archive();
	return 1;
}

/* A machine that continues from a snapshot lives in the past, and its random numbers are those of all its twins. */
static void set_clock_and_seed(void)
{
	struct {
		struct rand_pool_info info;
		char seed[64];
	} pool = { .info = { .entropy_count = 8 * sizeof(pool.seed), .buf_size = sizeof(pool.seed) } };
	struct timespec ts = { 0 };
	FILE *file = fopen("/lab/now", "re");
	long long now;
	int fd;

	if (file && fscanf(file, "%lld", &now) == 1) {
		ts.tv_sec = now;
		clock_settime(CLOCK_REALTIME, &ts);
	}
	if (file)
		fclose(file);
	fd = open("/lab/seed", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, pool.seed, sizeof(pool.seed)) != sizeof(pool.seed))
		trouble("/lab/seed: %s", strerror(errno));
	close(fd);
	fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, RNDADDENTROPY, &pool) || ioctl(fd, RNDRESEEDCRNG))
		dprintf(2, "init: seeding /dev/urandom: %s\n", strerror(errno));
	close(fd);
}

/* Reads COMMAND; the strings live as long as the machine. */
static char **read_argv(void)
{
	static char text[1 << 17];
	static char *argv[4096];
	int fd = open("/lab/argv", O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	int argc = 0;

	if (size <= 0)
		trouble("the command is missing");
	for (char *at = text; at < text + size && argc < 4095; at += strlen(at) + 1)
		argv[argc++] = at;
	close(fd);
	return argv;
}

/* Starts argv with its output in pipes. Returns the pid and the reading ends. */
static pid_t start(char *const argv[], int *out, int *err)
{
	int out_pipe[2], err_pipe[2] = { -1, -1 };
	pid_t pid;

	if (pipe2(out_pipe, O_CLOEXEC) || (err && pipe2(err_pipe, O_CLOEXEC)))
		trouble("pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		trouble("fork: %s", strerror(errno));
	if (!pid) {
		int null = open("/dev/null", O_RDWR);
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		setsid();
		dup2(null, 0);
		dup2(out_pipe[1], 1);
		if (err)
			dup2(err_pipe[1], 2);
		close(null);
		execvp(argv[0], argv);
		dprintf(2, "lab: %s: %s\n", argv[0], strerror(errno));
		_exit(errno == ENOENT ? 127 : 126);
	}
	close(out_pipe[1]);
	fcntl(out_pipe[0], F_SETFL, O_NONBLOCK);
	*out = out_pipe[0];
	if (err) {
		close(err_pipe[1]);
		fcntl(err_pipe[0], F_SETFL, O_NONBLOCK);
		*err = err_pipe[0];
	}
	return pid;
}

/* Sends a bufferful of what is in the pipe. Returns 1 when there was something, 0 when it is empty, -1 at its end. */
static int forward(int fd, enum wire_type type)
{
	static char buffer[WIRE_MAX];
	ssize_t size = read(fd, buffer, sizeof(buffer));

	if (size < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (!size)
		return -1;
	wire_send(type, buffer, size);
	return 1;
}

/* Sends what the pipe holds, but not what a process left behind may go on to write for ever. */
static void drain(int fd, enum wire_type type)
{
	int most = fcntl(fd, F_GETPIPE_SZ) / 4096;

	while (most-- > 0 && forward(fd, type) > 0)
		;
	close(fd);
}

/*
 * Forwards until the child has ended, then what is left in the pipes. Does not wait for their end: daemons that the
 * child left behind may hold them open. Reaps orphans on the way. Returns the status as a shell reports it.
 */
static int forward_until_exit(pid_t child, int out, enum wire_type out_type, int err)
{
	struct pollfd fds[3] = { { .fd = out, .events = POLLIN }, { .fd = err, .events = POLLIN } };
	int status = -1;
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	fds[2] = (struct pollfd){ .fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK), .events = POLLIN };
	while (status < 0) {
		struct signalfd_siginfo info;
		int wstatus;
		pid_t pid;

		poll(fds, 3, 1000);
		if (fds[0].revents && forward(out, out_type) < 0)
			fds[0].fd = -1;
		if (fds[1].revents && forward(err, WIRE_STDERR) < 0)
			fds[1].fd = -1;
		while (read(fds[2].fd, &info, sizeof(info)) > 0)
			;
		while ((pid = waitpid(-1, &wstatus, WNOHANG)) > 0)
			if (pid == child)
				status = WIFSIGNALED(wstatus) ? 128 + WTERMSIG(wstatus) : WEXITSTATUS(wstatus);
	}
	drain(out, out_type);
	if (err >= 0)
		drain(err, WIRE_STDERR);
	close(fds[2].fd);
	return status;
}

static void send_out(void)
{
	static char *const tar[] = { "tar", "-C", "/scratch/out", "-S", "-cf", "-", ".", NULL };
	int out;
	pid_t pid = start(tar, &out, NULL);

	if (forward_until_exit(pid, out, WIRE_OUT, -1))
		trouble("packing out/ failed");
}

int main(void)
{
	static char *const unpack[] = { "/usr/bin/tar", "-C", "/", "-xpf", "/dev/vdc", NULL };
	struct wire_exit end;
	int out, err, failed, continued;
	char **command;
	sigset_t mask;
	pid_t pid, kvm;

	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	umask(022);
	setenv("PATH", "/lab/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("HOME", "/root", 1);
	setenv("LANG", "C.UTF-8", 1);
	setenv("TERM", "dumb", 1);

	mount_or_fail("dev", "/dev", "devtmpfs", 0, NULL);
	mount_or_fail("proc", "/proc", "proc", 0, NULL);
	mount_or_fail("sys", "/sys", "sysfs", 0, NULL);
	kvm = start_loading_kvm();
	load_boot_modules("/modules/disk/*.ko");
	open_wire();
	enter_system();
	set_sysctls();
	waitpid(kvm, NULL, 0);
	continued = wait_for_archive();
	run_or_fail(unpack);
	if (continued)
		set_clock_and_seed();
	command = read_argv();
	if (!access("/lab/ttvm.ko", R_OK)) {
		failed = load_module("/lab/ttvm.ko");
		if (failed)
			trouble("loading ttvm.ko: %s", strerror(-failed));
	}
	if (!access("/lab/lib", R_OK))
		setenv("LD_LIBRARY_PATH", "/lab/lib", 1);
	mkdir("/scratch/out", 0755);
	if (chdir("/scratch"))
		trouble("/scratch: %s", strerror(errno));

	wire_send(WIRE_START, NULL, 0);
	pid = start(command, &out, &err);
	end.status = forward_until_exit(pid, out, WIRE_STDOUT, err);
	if (!access("/lab/want-out", R_OK)) {
		kill(-1, SIGKILL);
		send_out();
	}
	wire_send(WIRE_EXIT, &end, sizeof(end));
	wait_for_the_end();
}
