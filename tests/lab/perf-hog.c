// SPDX-License-Identifier: GPL-2.0
/*
 * perf-hog.c - take all but N of each CPU's performance counters, as other users of the PMU would.
 *
 * usage: perf-hog N COMMAND [ARGUMENT]...: runs COMMAND with the counters taken, and exits with its status.
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST 16

/* A pinned event that is always on its CPU, or -1 when there is no counter left for it. */
static int take_counter(int cpu)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_RAW,
					.size = sizeof(attr),
					.config = 0xc0,
					.pinned = 1 };
	long long count;
	int fd = syscall(SYS_perf_event_open, &attr, -1, cpu, -1, 0);

	if (fd < 0)
		return -1;
	/* A pinned event that could not be scheduled reads as end of file. */
	if (read(fd, &count, sizeof(count)) != sizeof(count)) {
		close(fd);
		return -1;
	}
	return fd;
}

int main(int argc, char **argv)
{
	int cpus = sysconf(_SC_NPROCESSORS_ONLN), cpu, status;
	int spare = argc > 2 ? atoi(argv[1]) : -1;
	pid_t child;

	if (spare < 0) {
		fprintf(stderr, "usage: perf-hog N COMMAND [ARGUMENT]...\n");
		return 1;
	}
	for (cpu = 0; cpu < cpus; cpu++) {
		int fds[MOST], n = 0, i;

		while (n < MOST && (fds[n] = take_counter(cpu)) >= 0)
			n++;
		for (i = n - spare; i < n; i++)
			if (i >= 0)
				close(fds[i]);
		fprintf(stderr, "perf-hog: cpu %d: took %d of %d\n", cpu, n > spare ? n - spare : 0, n);
	}
	child = fork();
	if (!child) {
		execvp(argv[2], argv + 2);
		perror(argv[2]);
		_exit(127);
	}
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
