// SPDX-License-Identifier: GPL-2.0
/*
 * preload-sync.c - for LD_PRELOAD: a ttvm that does not look at what fdatasync() returns, so that a test which should notice
 * such a thing can be tested itself.
 */
#include <dlfcn.h>

int fdatasync(int fd)
{
	int (*real)(int fd) = dlsym(RTLD_NEXT, "fdatasync");

	real(fd);
	return 0;
}
