// SPDX-License-Identifier: GPL-2.0
/*
 * preload-abi.c - for LD_PRELOAD: makes ttvm.ko look like a version with another ABI, so that the refusal can be tested.
 */
#include <dlfcn.h>
#include <stdarg.h>

#include "linux/ttvm.h"

int ioctl(int fd, unsigned long request, ...)
{
	int (*real)(int fd, unsigned long request, void *arg) = dlsym(RTLD_NEXT, "ioctl");
	va_list args;
	void *arg;
	int ret;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	ret = real(fd, request, arg);
	if (!ret && request == TTVM_GET_INFO)
		((struct ttvm_info *)arg)->abi_version += 7;
	return ret;
}
