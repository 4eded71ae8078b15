// SPDX-License-Identifier: GPL-2.0
/*
 * carry.c - disks that are moved to another machine: a history goes along as far as it is needed, and of the raw image
 * below only some parts, as a history that has no base.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "internal.h"

int ttdisk_create_partial(const char *partial, struct ttdisk *disk, struct tt_error *err)
{
	struct format_header header;
	int ret;

	while (disk->parent || disk->partial)
		disk = disk->parent ? disk->parent : disk->partial;
	if (!access(partial, F_OK))
		return tt_fail(err, -EEXIST, "%s: exists already", partial);
	header = disk->history->header;
	header.base_kind = FORMAT_BASE_NONE;
	header.durable = 0;
	ret = ttd_history_new_uuid(&header, partial, err);
	return ret ? ret : ttd_history_create(partial, &header, err);
}

/* The base is the end of this history, which holds parts of the image. */
static int point_at_partial(struct format_header *header, const char *partial, struct tt_error *err)
{
	char departure[TTDISK_DEPARTURE_SIZE];
	struct ttdisk *disk;
	int ret = ttdisk_open(partial, TTDISK_READ, NULL, NULL, &disk, err);

	if (ret)
		return ret;
	ret = ttdisk_departure(disk, departure, err);
	if (!ret) {
		header->base_kind = FORMAT_BASE_PARTIAL;
		memcpy(header->parent_uuid, disk->history->header.uuid, sizeof(header->parent_uuid));
		ret = ttd_place_departure_parse(departure, &header->parent_point, &header->parent_identity);
	}
	ttdisk_close(disk);
	return ret;
}

static int write_all(int fd, const void *data, size_t len, uint64_t offset)
{
	while (len) {
		ssize_t ret = pwrite(fd, data, len, (off_t)offset);

		if (ret < 0 && errno == EINTR)
			continue;
		if (ret < 0)
			return -errno;
		data = (const char *)data + ret;
		len -= (size_t)ret;
		offset += (uint64_t)ret;
	}
	return 0;
}

#define MOVED_EVERY (1u << 20)

/* The records before `to`, at the offsets that they have. */
static int copy_records(struct history *history, const struct format_state *to, int fd,
			int (*moved)(void *ctx, uint64_t bytes), void *ctx)
{
	const struct format_record *record;
	uint64_t told = FORMAT_HEADER_SIZE;
	struct walk walk;
	int ret = ttd_walk_start(&walk, history->fd, &history->limits, &history->start, to->offset);

	while (!ret && (ret = ttd_walk_next(&walk, &record)) > 0) {
		uint64_t size = record_size(record), end = walk.state.offset;

		ret = write_all(fd, record, size, end - size);
		if (!ret && moved && end - told >= MOVED_EVERY) {
			ret = moved(ctx, end - told);
			told = end;
		}
	}
	if (!ret && walk.state.offset != to->offset)
		ret = -EUCLEAN;
	ttd_walk_end(&walk);
	if (!ret && moved)
		ret = moved(ctx, to->offset - told);
	return ret;
}

int ttdisk_copy(struct ttdisk *disk, const struct ttdisk_point *to, const char *copy, const char *base,
		int (*moved)(void *ctx, uint64_t bytes), void *ctx, struct tt_error *err)
{
	struct history *history = disk->history;
	struct format_header header = history->header;
	struct format_state end;
	int fd, ret = ttd_place_find(history, to, &end, err);

	if (!ret && header.base_kind != FORMAT_BASE_HISTORY)
		ret = point_at_partial(&header, base, err);
	if (!ret)
		ret = ttd_disk_store_path(copy, base, header.base_path, err);
	if (ret)
		return ret;
	header.durable = MIN(header.durable, end.offset);
	fd = open(copy, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return tt_fail(err, -errno, "%s: cannot create it: %s", copy, strerror(errno));
	ret = copy_records(history, &end, fd, moved, ctx);
	if (!ret)
		ret = ttd_history_write_header(fd, &header);
	if (ret == -EUCLEAN)
		tt_fail(err, ret, "%s: damaged before the point that is wanted; `ttvm disk check` says more", history->path);
	else if (ret)
		tt_fail(err, ret, "%s: cannot write it: %s", copy, strerror(-ret));
	close(fd);
	if (ret)
		unlink(copy);
	return ret;
}

const char *ttdisk_strerror(int error)
{
	return error == -ENODATA ? "the recording that was packed has not read all of these sectors, so they did not come along" :
				   strerror(-error);
}

int ttdisk_is_of(const char *path, const char *departure)
{
	char mine[TTDISK_DEPARTURE_SIZE];
	struct format_header header;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), ret;

	if (fd < 0)
		return -errno;
	ret = ttd_history_read_header(fd, path, &header, NULL);
	close(fd);
	if (ret)
		return ret;
	ttd_place_departure_text(header.uuid, 0, 0, mine);
	return !strncmp(mine, departure, strcspn(mine, "-"));
}
