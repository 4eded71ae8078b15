// SPDX-License-Identifier: GPL-2.0
/*
 * history.c - time-travel disks (ttdisk/) as disks of a machine.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "history.h"

struct history_disk {
	struct tt_disk disk; /* first: the two are converted into each other */
	struct ttdisk *history;
	bool written; /* it is open for writing */
	char departure[TTDISK_DEPARTURE_SIZE]; /* at which a replay opened it */
	bool (*retry)(void *ctx, int error);
	void *retry_ctx;
	void (*unknown)(void *ctx, uint64_t sector);
	void *unknown_ctx;
};

static struct ttdisk *history_of(struct tt_disk *disk)
{
	return ((struct history_disk *)disk)->history;
}

static int history_read(struct tt_disk *disk, uint64_t sector, const struct iovec *iov, int iovcnt)
{
	struct history_disk *hd = (struct history_disk *)disk;
	int ret = ttdisk_read(hd->history, sector, iov, iovcnt);

	if (ret == -ENODATA && hd->unknown)
		hd->unknown(hd->unknown_ctx, sector);
	return ret;
}

static bool try_again(struct tt_disk *disk, int error)
{
	struct history_disk *hd = (struct history_disk *)disk;

	return error && hd->retry && hd->retry(hd->retry_ctx, error);
}

static int history_write(struct tt_disk *disk, uint64_t sector, const struct iovec *iov, int iovcnt,
			 uint64_t instr)
{
	int ret;

	do {
		ret = ttdisk_write(history_of(disk), sector, iov, iovcnt, instr);
	} while (try_again(disk, ret));
	return ret;
}

static int history_zero(struct tt_disk *disk, uint64_t sector, uint64_t count, bool discard, uint64_t instr)
{
	int ret;

	do {
		ret = ttdisk_zero(history_of(disk), sector, count, discard, instr);
	} while (try_again(disk, ret));
	return ret;
}

static int history_flush(struct tt_disk *disk, uint64_t instr)
{
	int ret;

	do {
		ret = ttdisk_flush(history_of(disk), instr);
	} while (try_again(disk, ret));
	return ret;
}

static void history_close(struct tt_disk *disk)
{
	ttdisk_close(history_of(disk));
	free(disk);
}

static const struct tt_disk_ops history_ops = {
	.read = history_read,
	.write = history_write,
	.zero = history_zero,
	.flush = history_flush,
	.close = history_close,
};

static int wrap(struct ttdisk *history, bool readonly, bool written, struct tt_disk **disk,
		struct tt_error *err)
{
	struct history_disk *hd = calloc(1, sizeof(*hd));
	struct ttdisk_info info;

	if (!hd)
		return tt_fail(err, -ENOMEM, "out of memory");
	ttdisk_get_info(history, &info);
	hd->disk.ops = &history_ops;
	hd->disk.sectors = info.sectors;
	hd->disk.readonly = readonly;
	/* The same for the same disk wherever it lies, and for its branches: a guest finds it by /dev/disk/by-id. */
	snprintf(hd->disk.serial, sizeof(hd->disk.serial), "ttvm-%015llx",
		 (unsigned long long)XXH64(info.root, strlen(info.root), 0) >> 4);
	hd->history = history;
	hd->written = written;
	*disk = &hd->disk;
	return 0;
}

/* ------------------------------------------------------------------ now */

static int describe(struct tt_disk *disk, const char *history_path, const char *recording,
		    struct tt_disk_source *source, struct tt_error *err)
{
	struct history_disk *hd = (struct history_disk *)disk;
	char *absolute = realpath(history_path, NULL);

	if (!absolute)
		return tt_fail(err, -errno, "%s: %s", history_path, strerror(errno));
	snprintf(source->history, sizeof(source->history), "%s", absolute);
	free(absolute);
	snprintf(source->serial, sizeof(source->serial), "%s", disk->serial);
	source->sectors = disk->sectors;
	source->readonly = disk->readonly;
	return hd->written ? ttdisk_begin_session(hd->history, recording, source->departure, err) :
			     ttdisk_departure(hd->history, source->departure, err);
}

int tt_disk_open_now(const char *path, bool readonly, const char *recording, struct tt_disk **disk,
		     struct tt_disk_source *source, struct tt_error *err)
{
	char history_path[PATH_MAX];
	struct ttdisk *history;
	int ret = ttdisk_history_path(path, history_path, sizeof(history_path));

	if (ret)
		return tt_fail(err, ret, "%s: the name is too long", path);
	if (access(history_path, F_OK) && strcmp(path, history_path)) {
		ret = ttdisk_create(history_path, path, NULL, err);
		if (ret)
			return ret;
	}
	ret = ttdisk_open(history_path, readonly ? TTDISK_READ : TTDISK_WRITE, NULL, NULL, &history, err);
	if (ret)
		return ret;
	ret = wrap(history, readonly, !readonly, disk, err);
	if (ret) {
		ttdisk_close(history);
		return ret;
	}
	if (recording)
		ret = describe(*disk, history_path, recording, source, err);
	if (ret)
		history_close(*disk);
	return ret;
}

/* ------------------------------------------------------------------ then */

void tt_disk_packed_name(const struct tt_disk_source *source, bool longer, char *name, size_t size)
{
	const char *slash = strrchr(source->history, '/'), *base = slash ? slash + 1 : source->history;

	if (longer)
		snprintf(name, size, "%.8s-%s", source->departure, base);
	else
		snprintf(name, size, "%s", base);
}

/* All of it is there: the history, and what lies below it. */
static bool is_whole(const struct tt_disk_source *source, const char *path)
{
	const struct ttdisk_point point = { TTDISK_DEPARTURE, 0, source->departure };
	struct ttdisk *history;

	if (ttdisk_open(path, TTDISK_READ, &point, NULL, &history, NULL))
		return false;
	ttdisk_close(history);
	return true;
}

const char *tt_disk_find(const struct tt_disk_source *source, const char *folder, char beside[PATH_MAX])
{
	char name[NAME_MAX + 16];
	int longer;

	for (longer = 0; folder && longer < 2; longer++) {
		tt_disk_packed_name(source, longer, name, sizeof(name));
		if (snprintf(beside, PATH_MAX, "%s/%s", folder, name) < PATH_MAX &&
		    ttdisk_is_of(beside, source->departure) == 1 &&
		    (is_whole(source, beside) || access(source->history, F_OK)))
			return beside;
	}
	return source->history;
}

int tt_disk_open_departure(const struct tt_disk_source *source, const char *path, const char *folder,
			   struct tt_disk **disk, struct tt_error *err)
{
	const struct ttdisk_point point = { TTDISK_DEPARTURE, 0, source->departure };
	struct ttdisk *history;
	char beside[PATH_MAX];
	int ret;

	if (!path)
		path = tt_disk_find(source, folder, beside);
	ret = ttdisk_open(path, TTDISK_OVERLAY, &point, NULL, &history, err);
	if (ret)
		return ret;
	ret = wrap(history, source->readonly, false, disk, err);
	if (ret) {
		ttdisk_close(history);
		return ret;
	}
	snprintf(((struct history_disk *)*disk)->departure, TTDISK_DEPARTURE_SIZE, "%s", source->departure);
	if ((*disk)->sectors != source->sectors || strcmp((*disk)->serial, source->serial)) {
		history_close(*disk);
		return tt_fail(err, -ESTALE, "%s: not the disk that the recording was made with", path);
	}
	return 0;
}

int tt_disk_open_branch(const struct tt_disk_source *parent, const char *path, const char *folder,
			const char *branch, const char *recording, struct tt_disk **disk,
			struct tt_disk_source *source, struct tt_error *err)
{
	const struct ttdisk_point point = { TTDISK_DEPARTURE, 0, parent->departure };
	char beside[PATH_MAX];
	int ret;

	if (!path)
		path = tt_disk_find(parent, folder, beside);
	ret = ttdisk_branch(path, &point, branch, err);
	if (!ret)
		ret = tt_disk_open_now(branch, false, recording, disk, source, err);
	if (ret)
		return ret;
	if (source->sectors == parent->sectors && !strcmp(source->serial, parent->serial))
		return 0;
	history_close(*disk);
	return tt_fail(err, -ESTALE, "%s: not the disk that the recording was made with", path);
}

int tt_disk_goto(struct tt_disk *disk, const char *recording, uint64_t instruction, struct tt_error *err)
{
	struct history_disk *hd = (struct history_disk *)disk;
	/* A write is stamped with the number of instructions before the one that asked for it. */
	const struct ttdisk_point point = { TTDISK_INSTR, instruction - 1, recording };
	const struct ttdisk_point departure = { TTDISK_DEPARTURE, 0, hd->departure };

	if (disk->readonly)
		return 0;
	return ttdisk_seek(hd->history, instruction ? &point : &departure, NULL, NULL, err);
}

void tt_disk_set_retry(struct tt_disk *disk, bool (*retry)(void *ctx, int error), void *ctx)
{
	struct history_disk *hd = (struct history_disk *)disk;

	if (disk->ops != &history_ops)
		return;
	hd->retry = retry;
	hd->retry_ctx = ctx;
}

void tt_disk_set_unknown(struct tt_disk *disk, void (*unknown)(void *ctx, uint64_t sector), void *ctx)
{
	struct history_disk *hd = (struct history_disk *)disk;

	if (disk->ops != &history_ops)
		return;
	hd->unknown = unknown;
	hd->unknown_ctx = ctx;
}

void tt_disk_watch_image(struct tt_disk *disk, ttdisk_range_fn read, void *ctx)
{
	if (disk->ops == &history_ops)
		ttdisk_watch_image(history_of(disk), read, ctx);
}

int tt_disk_mark(struct tt_disk *disk, const char *name, struct tt_error *err)
{
	struct history_disk *hd = (struct history_disk *)disk;

	if (disk->ops != &history_ops || !hd->written)
		return tt_fail(err, -ENOTSUP, "the disk has no history that is written to");
	return ttdisk_mark(hd->history, name, NULL, err);
}
