// SPDX-License-Identifier: GPL-2.0
/*
 * branch.c - a new history over a point of another one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

/* Garbage collection must not take the point away: give it a mark, unless it has one. */
static int pin(const char *parent, const struct ttdisk_point *point, const char *name,
	       struct ttdisk_point *pinned, struct tt_error *err)
{
	struct ttdisk *disk;
	int ret;

	*pinned = (struct ttdisk_point){ .kind = TTDISK_MARK, .name = name };
	if (point && (point->kind == TTDISK_MARK || point->kind == TTDISK_BASE)) {
		*pinned = *point;
		return 0;
	}
	ret = ttdisk_open(parent, TTDISK_WRITE, NULL, NULL, &disk, err);
	if (ret)
		return ret;
	ret = ttdisk_mark(disk, name, point, err);
	if (ttdisk_close(disk) && !ret)
		ret = tt_fail(err, -EIO, "%s: cannot write to it", parent);
	return ret;
}

/* Of a branch with this uuid, in its parent. */
static void name_pin(const char *uuid, char name[TTDISK_NAME_SIZE])
{
	snprintf(name, TTDISK_NAME_SIZE, "branch-%.8s", uuid);
}

int ttdisk_branch(const char *parent, const struct ttdisk_point *point, const char *branch,
		  struct tt_error *err)
{
	struct format_header header = { .base_kind = FORMAT_BASE_HISTORY };
	char departure[TTDISK_DEPARTURE_SIZE], name[TTDISK_NAME_SIZE], uuid[37];
	struct ttdisk_point pinned;
	struct ttdisk *disk = NULL;
	int ret;

	if (!access(branch, F_OK))
		return tt_fail(err, -EEXIST, "%s: exists already", branch);
	ret = ttd_disk_store_path(branch, parent, header.base_path, err);
	if (!ret)
		ret = ttd_history_new_uuid(&header, branch, err);
	if (ret)
		return ret;
	ttd_place_uuid_text(header.uuid, uuid);
	name_pin(uuid, name);
	ret = pin(parent, point, name, &pinned, err);
	if (!ret)
		ret = ttdisk_open(parent, TTDISK_READ, &pinned, NULL, &disk, err);
	if (!ret)
		ret = ttdisk_departure(disk, departure, err);
	if (!ret && ttd_place_departure_parse(departure, &header.parent_point, &header.parent_identity))
		ret = tt_fail(err, -EINVAL, "%s: cannot name its point", parent);
	if (!ret) {
		header.sectors = disk->history->limits.sectors;
		memcpy(header.parent_uuid, disk->history->header.uuid, sizeof(header.parent_uuid));
		ret = ttd_history_create(branch, &header, err);
	}
	if (disk)
		ttdisk_close(disk);
	return ret;
}

static int unpin(const char *parent, const char *name, struct tt_error *err)
{
	struct ttdisk *disk;
	int ret = ttdisk_open(parent, TTDISK_WRITE, NULL, NULL, &disk, err);

	if (ret)
		return ret;
	ret = ttdisk_unmark(disk, name, err);
	if (ttdisk_close(disk) && !ret)
		ret = tt_fail(err, -EIO, "%s: cannot write to it", parent);
	return ret == -ENOENT ? 0 : ret; /* the point had a mark of its own */
}

int ttdisk_drop_branch(const char *branch, struct tt_error *err)
{
	char name[TTDISK_NAME_SIZE], *parent, *index;
	struct ttdisk_info info;
	struct ttdisk *disk;
	int ret;

	/* For writing, so that nobody else is. */
	ret = ttdisk_open(branch, TTDISK_WRITE, NULL, NULL, &disk, err);
	if (ret)
		return ret;
	ttdisk_get_info(disk, &info);
	name_pin(info.uuid, name);
	parent = strdup(info.base);
	index = ttd_index_path(branch, ".idx");
	if (!parent || !index)
		ret = tt_fail(err, -ENOMEM, "out of memory");
	else if (!info.is_branch)
		ret = tt_fail(err, -EINVAL, "%s: is not a branch", branch);
	else
		ret = unpin(parent, name, err);
	ttdisk_close(disk);
	if (!ret && (unlink(branch) || (unlink(index) && errno != ENOENT)))
		ret = tt_fail(err, -errno, "%s: cannot delete it: %s", branch, strerror(errno));
	free(parent);
	free(index);
	return ret;
}
