// SPDX-License-Identifier: GPL-2.0
/*
 * disk_raw.c - a disk that is a raw file or block device, read and written in place.
 *
 * Writes go to the host's page cache and are durable after a flush, as the guest expects of a disk
 * with a write cache. The file is locked, because two machines that write to one file system
 * destroy it.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk.h"

#define BATCH 64 /* buffers that go to the kernel at a time */

struct raw {
	struct tt_disk disk;
	int fd;
};

typedef ssize_t (*transfer_fn)(int fd, const struct iovec *iov, int iovcnt, off_t offset);

/* All of iov, in as many calls as it takes: each may do less than it was asked for. */
static int transfer(int fd, transfer_fn fn, uint64_t sector, const struct iovec *iov, int iovcnt)
{
	off_t offset = (off_t)(sector * TT_SECTOR_SIZE);
	size_t skip = 0; /* of iov[0], done already */

	while (iovcnt > 0) {
		struct iovec batch[BATCH];
		int n = iovcnt < BATCH ? iovcnt : BATCH;
		ssize_t done;

		memcpy(batch, iov, n * sizeof(*batch));
		batch[0].iov_base = (uint8_t *)batch[0].iov_base + skip;
		batch[0].iov_len -= skip;
		done = fn(fd, batch, n, offset);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		if (done == 0)
			return -EIO; /* somebody has made the file shorter */
		offset += done;
		skip += done;
		for (; iovcnt > 0 && skip >= iov->iov_len; iov++, iovcnt--)
			skip -= iov->iov_len;
	}
	return 0;
}

static int raw_read(struct tt_disk *disk, uint64_t sector, const struct iovec *iov, int iovcnt)
{
	return transfer(((struct raw *)disk)->fd, preadv, sector, iov, iovcnt);
}

static int raw_write(struct tt_disk *disk, uint64_t sector, const struct iovec *iov, int iovcnt,
		     uint64_t instr)
{
	(void)instr;
	return transfer(((struct raw *)disk)->fd, pwritev, sector, iov, iovcnt);
}

/* For file systems that cannot make zeroes without writing them. */
static int write_zeroes(struct raw *raw, uint64_t sector, uint64_t count)
{
	static const uint8_t zeroes[64 << 10];
	uint64_t part, most = sizeof(zeroes) / TT_SECTOR_SIZE;
	int ret = 0;

	for (; count && !ret; sector += part, count -= part) {
		part = count < most ? count : most;
		ret = transfer(raw->fd, pwritev, sector,
			       &(struct iovec){ (void *)zeroes, part * TT_SECTOR_SIZE }, 1);
	}
	return ret;
}

static int raw_zero(struct tt_disk *disk, uint64_t sector, uint64_t count, bool discard,
		    uint64_t instr)
{
	struct raw *raw = (struct raw *)disk;
	int mode = FALLOC_FL_KEEP_SIZE | (discard ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);

	(void)instr;
	if (!count)
		return 0;
	if (!fallocate(raw->fd, mode, (off_t)(sector * TT_SECTOR_SIZE),
		       (off_t)(count * TT_SECTOR_SIZE)))
		return 0;
	return errno == EOPNOTSUPP ? write_zeroes(raw, sector, count) : -errno;
}

static int raw_flush(struct tt_disk *disk, uint64_t instr)
{
	(void)instr;
	return fdatasync(((struct raw *)disk)->fd) ? -errno : 0;
}

static void raw_close(struct tt_disk *disk)
{
	close(((struct raw *)disk)->fd);
	free(disk);
}

static const struct tt_disk_ops raw_ops = {
	.read = raw_read,
	.write = raw_write,
	.zero = raw_zero,
	.flush = raw_flush,
	.close = raw_close,
};

static int lock(const char *path, int fd, bool readonly, struct tt_error *err)
{
	if (!flock(fd, (readonly ? LOCK_SH : LOCK_EX) | LOCK_NB))
		return 0;
	if (errno != EWOULDBLOCK)
		return tt_fail(err, -errno, "%s: cannot lock it: %s", path, strerror(errno));
	return tt_fail(err, -EBUSY, "%s: another process has this disk open; end it first%s", path,
		       readonly ? "" : ", or open the disk read-only in both");
}

static int find_size(const char *path, int fd, uint64_t *bytes, struct tt_error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return tt_fail(err, -errno, "%s: %s", path, strerror(errno));
	*bytes = st.st_size;
	if (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, bytes) < 0)
		return tt_fail(err, -errno, "%s: its size cannot be read: %s", path,
			       strerror(errno));
	if (!S_ISBLK(st.st_mode) && !S_ISREG(st.st_mode))
		return tt_fail(err, -EINVAL, "%s: not a file or block device", path);
	if (!*bytes || *bytes % TT_SECTOR_SIZE)
		return tt_fail(err, -EINVAL,
			       "%s: %llu bytes are not a disk of whole 512-byte sectors; "
			       "`truncate -s %%512 %s` fills up the last one",
			       path, (unsigned long long)*bytes, path);
	return 0;
}

int tt_disk_open_raw(const char *path, bool readonly, struct tt_disk **disk, struct tt_error *err)
{
	struct raw *raw = calloc(1, sizeof(*raw));
	uint64_t bytes;
	int ret;

	if (!raw)
		return tt_fail(err, -ENOMEM, "out of memory");
	raw->fd = open(path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (raw->fd < 0) {
		ret = tt_fail(err, -errno, "%s: %s", path, strerror(errno));
		goto err_free;
	}
	ret = find_size(path, raw->fd, &bytes, err);
	if (!ret)
		ret = lock(path, raw->fd, readonly, err);
	if (ret)
		goto err_close;
	raw->disk.ops = &raw_ops;
	raw->disk.sectors = bytes / TT_SECTOR_SIZE;
	raw->disk.readonly = readonly;
	*disk = &raw->disk;
	return 0;

err_close:
	close(raw->fd);
err_free:
	free(raw);
	return ret;
}
