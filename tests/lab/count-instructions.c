// SPDX-License-Identifier: GPL-2.0
/*
 * count-instructions.c - how many instructions a command takes in the host, for user space and kernel: what is left when the
 * guest's are not counted is the work of the VMM, of KVM and of the module.
 *
 * usage: count-instructions FILE COMMAND [ARGUMENT]...: FILE gets {"host_user": N, "host_kernel": N}; the status is
 * COMMAND's.
 */
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Retired instructions of a process and of what it starts, outside guests, from its exec on. */
static int open_counter(pid_t pid, int user)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_RAW,
					.size = sizeof(attr),
					.config = 0xc0,
					.disabled = 1,
					.enable_on_exec = 1,
					.inherit = 1,
					.exclude_guest = 1,
					.exclude_user = !user,
					.exclude_kernel = user };

	return syscall(SYS_perf_event_open, &attr, pid, -1, -1, 0);
}

static long long read_counter(int fd)
{
	long long count;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : -1;
}

int main(int argc, char **argv)
{
	int user, kernel, status, gate[2];
	pid_t child;
	FILE *file;
	char go;

	if (argc < 3) {
		fprintf(stderr, "usage: count-instructions FILE COMMAND [ARGUMENT]...\n");
		return 1;
	}
	if (pipe(gate))
		return 1;
	child = fork();
	if (!child) {
		close(gate[1]);
		if (read(gate[0], &go, 1) != 1)
			_exit(127);
		close(gate[0]);
		execvp(argv[2], argv + 2);
		perror(argv[2]);
		_exit(127);
	}
	user = open_counter(child, 1);
	kernel = open_counter(child, 0);
	if (child < 0 || user < 0 || kernel < 0) {
		perror("count-instructions");
		return 1;
	}
	if (write(gate[1], "g", 1) != 1)
		return 1;
	waitpid(child, &status, 0);
	file = fopen(argv[1], "w");
	if (!file) {
		perror(argv[1]);
		return 1;
	}
	fprintf(file, "{\"host_user\": %lld, \"host_kernel\": %lld}\n", read_counter(user),
		read_counter(kernel));
	fclose(file);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
