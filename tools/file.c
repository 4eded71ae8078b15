// SPDX-License-Identifier: GPL-2.0
/*
 * file.c - whole files, mapped.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ttvm.h"

int map_file(const char *path, struct tt_blob *blob, struct tt_error *err)
{
	struct stat st;
	void *data;
	int fd, ret;

	blob->data = NULL;
	blob->size = 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		ret = tt_fail(err, -errno, "%s: %s", path, strerror(errno));
		goto out;
	}
	if (!S_ISREG(st.st_mode)) {
		ret = tt_fail(err, -EINVAL, "%s: not a regular file", path);
		goto out;
	}
	if (!st.st_size) {
		ret = tt_fail(err, -EINVAL, "%s: the file is empty", path);
		goto out;
	}
	/* A private copy is not needed: a file that changes under a running recording is the user's to avoid. */
	data = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (data == MAP_FAILED) {
		ret = tt_fail(err, -errno, "%s: cannot map it: %s", path, strerror(errno));
		goto out;
	}
	blob->data = data;
	blob->size = st.st_size;
	ret = 0;
out:
	if (fd >= 0)
		close(fd);
	return ret;
}

void unmap_file(struct tt_blob *blob)
{
	if (blob->data)
		munmap((void *)blob->data, blob->size);
	blob->data = NULL;
}
