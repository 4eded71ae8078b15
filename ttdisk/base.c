// SPDX-License-Identifier: GPL-2.0
/*
 * base.c - the raw image below a history: a file or a block device that is only read. A history makes no sense over any
 * other content than that which it was made for, so the header says which that is:
 *
 *   its size; XXH64 of samples of 4 KiB: the first, the last and 254 evenly between them, and one at 1 MiB, where the
 *   first partition of most disks begins, with the superblock of a file system that changes when it is mounted; and, if
 *   the user wished, XXH64 of all of it.
 *
 * The time of the last change only saves work: when it is the one that the header has, nobody hashes all of the base. A
 * copy with another time is as good as the original.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "internal.h"

#define NUM_SAMPLES 256
#define SAMPLE_SIZE 4096u
#define PARTITION   (1u << 20)
#define HASH_CHUNK  (1u << 20)

static int open_image(const char *path, int *fd, uint64_t *sectors, uint64_t *mtime,
		      struct tt_error *err)
{
	struct stat st;
	uint64_t size;
	int ret;

	/* not blocking on a FIFO */
	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (*fd < 0)
		return tt_fail(err, -errno, "%s: %s", path, strerror(errno));
	if (fstat(*fd, &st)) {
		ret = tt_fail(err, -errno, "%s: %s", path, strerror(errno));
		goto err_close;
	}
	size = (uint64_t)st.st_size;
	*mtime = (uint64_t)st.st_mtim.tv_sec * 1000000000 + (uint64_t)st.st_mtim.tv_nsec;
	if (S_ISBLK(st.st_mode)) {
		*mtime = 0;
		if (ioctl(*fd, BLKGETSIZE64, &size)) {
			ret = tt_fail(err, -errno, "%s: cannot get its size: %s", path,
				      strerror(errno));
			goto err_close;
		}
	} else if (!S_ISREG(st.st_mode)) {
		ret = tt_fail(err, -EINVAL, "%s: neither a file nor a block device", path);
		goto err_close;
	}
	if (!size || size % TTDISK_SECTOR) {
		ret = tt_fail(err, -EINVAL,
			      "%s: its size, %llu bytes, is not a whole number of sectors; "
			      "`truncate -s %%512 %s` rounds it up",
			      path, (unsigned long long)size, path);
		goto err_close;
	}
	*sectors = size / TTDISK_SECTOR;
	return 0;

err_close:
	close(*fd);
	return ret;
}

static int feed(XXH64_state_t *hash, int fd, uint8_t *buffer, size_t len, uint64_t offset)
{
	while (len) {
		ssize_t ret = pread(fd, buffer, len, (off_t)offset);

		if (ret < 0 && errno == EINTR)
			continue;
		if (ret <= 0)
			return ret ? -errno : -EIO;
		XXH64_update(hash, buffer, (size_t)ret);
		offset += (uint64_t)ret;
		len -= (size_t)ret;
	}
	return 0;
}

static int feed_samples(XXH64_state_t *hash, int fd, uint8_t *buffer, uint64_t size)
{
	uint64_t len = MIN(SAMPLE_SIZE, size), sectors = (size - len) / TTDISK_SECTOR;
	int ret = 0;

	for (uint64_t i = 0; i < NUM_SAMPLES && !ret; i++)
		ret = feed(hash, fd, buffer, len, sectors * i / (NUM_SAMPLES - 1) * TTDISK_SECTOR);
	if (!ret && size >= PARTITION + SAMPLE_SIZE)
		ret = feed(hash, fd, buffer, len, PARTITION);
	return ret;
}

static int hash_image(int fd, uint64_t size, bool all, uint64_t *result)
{
	XXH64_state_t *hash = XXH64_createState();
	uint8_t *buffer = malloc(HASH_CHUNK);
	int ret = hash && buffer ? 0 : -ENOMEM;

	if (!ret)
		XXH64_reset(hash, 0);
	if (!ret && !all)
		ret = feed_samples(hash, fd, buffer, size);
	for (uint64_t at = 0; all && at < size && !ret; at += HASH_CHUNK)
		ret = feed(hash, fd, buffer, MIN(HASH_CHUNK, size - at), at);
	if (!ret)
		*result = XXH64_digest(hash);
	XXH64_freeState(hash);
	free(buffer);
	return ret;
}

int ttd_base_identify(const char *path, bool hash, struct format_header *header,
		      struct tt_error *err)
{
	int fd, ret = open_image(path, &fd, &header->sectors, &header->base_mtime_ns, err);
	uint64_t size = header->sectors * TTDISK_SECTOR;

	if (ret)
		return ret;
	header->base_kind = FORMAT_BASE_RAW;
	header->base_hash = header->base_hashed = 0;
	ret = hash_image(fd, size, false, &header->base_samples);
	if (!ret && hash) {
		header->base_hashed = 1;
		ret = hash_image(fd, size, true, &header->base_hash);
	}
	if (ret)
		tt_fail(err, ret, "%s: cannot read it: %s", path, strerror(-ret));
	close(fd);
	return ret;
}

static int refuse(const char *path, const char *what, bool *changed, struct tt_error *err)
{
	if (changed)
		*changed = true;
	return tt_fail(err, -ESTALE,
		       "%s: the base image was changed after its history was made: %s; put the "
		       "original back, or, if it is the same, say `ttvm disk check --repair "
		       "--accept-base`",
		       path, what);
}

int ttd_base_open(const char *path, const struct format_header *header, struct base *base,
		  bool *changed, struct tt_error *err)
{
	uint64_t mtime, samples, hash, size = header->sectors * TTDISK_SECTOR;
	int ret = open_image(path, &base->fd, &base->sectors, &mtime, err);

	if (ret)
		return ret;
	if (base->sectors != header->sectors) {
		ret = refuse(path, "its size is another", changed, err);
		goto err_close;
	}
	ret = hash_image(base->fd, size, false, &samples);
	if (ret)
		goto err_read;
	if (samples != header->base_samples) {
		ret = refuse(path, "its content is another", changed, err);
		goto err_close;
	}
	if (header->base_hashed && mtime != header->base_mtime_ns) {
		ret = hash_image(base->fd, size, true, &hash);
		if (ret)
			goto err_read;
		if (hash != header->base_hash) {
			ret = refuse(path, "its content is another", changed, err);
			goto err_close;
		}
	}
	return 0;

err_read:
	tt_fail(err, ret, "%s: cannot read it: %s", path, strerror(-ret));
err_close:
	ttd_base_close(base);
	return ret;
}

void ttd_base_close(struct base *base)
{
	if (base->fd >= 0)
		close(base->fd);
	base->fd = -1;
}

uint64_t ttd_base_extent(const struct base *base, uint64_t sector, uint64_t max, bool *zero)
{
	off_t at = (off_t)(sector * TTDISK_SECTOR), data, hole;
	uint64_t end;

	*zero = false;
	data = lseek(base->fd, at, SEEK_DATA);
	if (data < 0) {
		*zero = errno == ENXIO; /* no data behind it; other errors: no such service */
		return max;
	}
	/* a sector that is partly data counts as data */
	end = (uint64_t)data / TTDISK_SECTOR;
	if (end > sector) {
		*zero = true;
		return MIN(max, end - sector);
	}
	hole = lseek(base->fd, data, SEEK_HOLE);
	if (hole < 0)
		return max;
	end = ((uint64_t)hole + TTDISK_SECTOR - 1) / TTDISK_SECTOR;
	return MAX(1, MIN(max, end - sector));
}
