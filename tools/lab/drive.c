// SPDX-License-Identifier: GPL-2.0
/*
 * drive.c - runs the test machine from the host's side: starts the emulator, reads the wire, passes on what COMMAND
 * writes, and ends the machine.
 *
 * usage: drive VERDICT BOOT_SECONDS COMMAND_SECONDS OUT_DIR EMULATOR ARGUMENT...
 *
 * The emulator's standard output is the wire (wire.h). COMMAND's stdout and stderr appear on ours, as they come. OUT_DIR
 * receives what COMMAND left in out/ ("" for nobody wants it). When it is over, the file VERDICT holds one line:
 *	exit N			COMMAND ended with status N
 *	timeout			COMMAND did not end in COMMAND_SECONDS
 *	failed before SENTENCE	the lab failed, and COMMAND has not run: worth another try
 *	failed after SENTENCE	the lab failed while COMMAND ran
 * and the machine is gone. What the emulator itself has to say is in VERDICT.emulator. SIGINT and SIGTERM end the machine and us; so does losing our own parent.
 */
#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct drive {
	const char *verdict;
	const char *out_dir;
	pid_t emulator;
	pid_t tar;		/* unpacks OUT_DIR; 0 when it does not run */
	int tar_fd;
	int wire;
	int started;		/* COMMAND runs */
	double deadline;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int signal)
{
	interrupted = signal;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* Writes the verdict and ends the machine. Returns the exit status of this program. */
static int __attribute__((format(printf, 2, 3))) conclude(struct drive *d, const char *format, ...)
{
	FILE *file = fopen(d->verdict, "w");
	va_list args;

	if (d->tar) {
		int status;

		close(d->tar_fd);
		waitpid(d->tar, &status, 0);
		if (status)
			format = "failed after unpacking out/ on this side failed";
	}
	kill(d->emulator, SIGKILL);
	waitpid(d->emulator, NULL, 0);
	if (!file)
		return 1;
	va_start(args, format);
	vfprintf(file, format, args);
	va_end(args);
	fputc('\n', file);
	return fclose(file) ? 1 : 0;
}

static const char *when(const struct drive *d)
{
	return d->started ? "after" : "before";
}

/*
 * Starts argv with one end of a pipe as its stdout (the caller gets read_end) or as its stdin (write_end), the other of
 * the two being NULL. Its messages go to the file `log`, or to our stderr.
 */
static pid_t spawn(char *const argv[], int *read_end, int *write_end, const char *log)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return -1;
	fcntl(fds[0], F_SETPIPE_SZ, 1 << 20);
	pid = fork();
	if (!pid) {
		int null = open("/dev/null", O_RDWR);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(read_end ? null : fds[0], 0);
		if (read_end)
			dup2(fds[1], 1);
		if (log)
			dup2(open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), 2);
		execvp(argv[0], argv);
		fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	if (read_end) {
		*read_end = fds[0];
		close(fds[1]);
	} else {
		*write_end = fds[1];
		close(fds[0]);
	}
	return pid;
}

/* A reader of ours that has gone away must not disturb the machine. */
static void write_all(int fd, const char *data, size_t size)
{
	while (size) {
		ssize_t done = write(fd, data, size);

		if (done < 0 && errno == EINTR && !interrupted)
			continue;
		if (done < 0 && errno == EAGAIN) {
			struct pollfd room = { .fd = fd, .events = POLLOUT };

			poll(&room, 1, 1000);
			continue;
		}
		if (done < 0)
			return;
		data += done;
		size -= done;
	}
}

/* Reads exactly size bytes. Returns 0, -ETIME at the deadline, -EINTR when asked to end, -EPIPE when the machine ended. */
static int wire_read(struct drive *d, void *data, size_t size)
{
	char *at = data;

	while (size) {
		struct pollfd ready = { .fd = d->wire, .events = POLLIN };
		double left = d->deadline - now();
		ssize_t done;

		if (interrupted)
			return -EINTR;
		if (left <= 0)
			return -ETIME;
		if (poll(&ready, 1, left > 1 ? 1000 : (int)(left * 1000) + 1) <= 0)
			continue;
		done = read(d->wire, at, size);
		if (done < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (done <= 0)
			return -EPIPE;
		at += done;
		size -= done;
	}
	return 0;
}

static void out_write(struct drive *d, const char *data, size_t size)
{
	if (!d->tar) {
		char *tar[] = { "tar", "-C", (char *)d->out_dir, "--no-same-owner", "-xf", "-", NULL };

		d->tar = spawn(tar, NULL, &d->tar_fd, NULL);
	}
	write_all(d->tar_fd, data, size);
}

static int drive(struct drive *d, double command_seconds)
{
	static char payload[WIRE_MAX + 1];

	for (;;) {
		struct wire_header header;
		struct wire_exit end;
		int err = wire_read(d, &header, sizeof(header));

		if (!err && (header.magic != WIRE_MAGIC || header.size > WIRE_MAX))
			return conclude(d, "failed %s the machine sends nonsense", when(d));
		if (!err)
			err = wire_read(d, payload, header.size);
		if (err == -EINTR)
			return conclude(d, "failed after a signal ended the run");
		if (err == -ETIME && d->started)
			return conclude(d, "timeout");
		if (err == -ETIME)
			return conclude(d, "failed before the machine does not come up");
		if (err)
			return conclude(d, "failed %s the machine ended too early", when(d));
		switch (header.type) {
		case WIRE_READY:
			break;
		case WIRE_START:
			d->started = 1;
			d->deadline = now() + command_seconds;
			break;
		case WIRE_STDOUT:
			write_all(1, payload, header.size);
			break;
		case WIRE_STDERR:
			write_all(2, payload, header.size);
			break;
		case WIRE_OUT:
			/* COMMAND is over, its time does not run any more. */
			d->deadline = now() + 60;
			out_write(d, payload, header.size);
			break;
		case WIRE_EXIT:
			memcpy(&end, payload, sizeof(end));
			return conclude(d, "exit %u", end.status);
		case WIRE_TROUBLE:
			payload[header.size] = 0;
			return conclude(d, "failed %s %s", when(d), payload);
		default:
			return conclude(d, "failed %s the machine sends nonsense", when(d));
		}
	}
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct drive d = { 0 };
	char log[4096];

	if (argc < 6) {
		fprintf(stderr, "usage: drive VERDICT BOOT_SECONDS COMMAND_SECONDS OUT_DIR EMULATOR ARGUMENT...\n");
		return 1;
	}
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	d.verdict = argv[1];
	d.out_dir = argv[4];
	d.deadline = now() + atof(argv[2]);
	snprintf(log, sizeof(log), "%s.emulator", d.verdict);
	d.emulator = spawn(argv + 5, &d.wire, NULL, log);
	if (d.emulator < 0) {
		perror("drive");
		return 1;
	}
	return drive(&d, atof(argv[3]));
}
