// SPDX-License-Identifier: GPL-2.0
/*
 * pack_disk.c - of a disk, what a replay needs, as files for a pack.
 *
 * A disk is a chain: its history, which may be a branch of another one, and so on down to a raw image. The histories are copied
 * up to where they are needed; of the image go along the sectors that the recording has read there (or all), as a history
 * without a base.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pack.h"
#include "ttdisk.h"

#define MAX_DEPTH 64
#define CHUNK_SECTORS (PACK_CHUNK / TTDISK_SECTOR)

struct work {
	struct pack_disk *disk;
	const char *folder;
	struct pack_manifest *manifest;
	struct pack_progress *progress;
	struct tt_error *err;
};

static int add_name(struct work *w, const char *name)
{
	struct pack_manifest *m = w->manifest;

	if (!archive_name_valid(name))
		return tt_fail(w->err, -EINVAL, "%s: cannot be put into a pack: its name has more than %u characters, or odd "
			       "ones; give it another", name, ARCHIVE_NAME_SIZE - 1);
	if (m->num_files == PACK_MAX_FILES)
		return tt_fail(w->err, -E2BIG, "the disks have too many branches for a pack");
	snprintf(m->files[m->num_files++].name, ARCHIVE_NAME_SIZE, "%s", name);
	return 0;
}

static bool is_taken(const struct pack_manifest *manifest, const char *name)
{
	return pack_find(manifest, name) || !strcmp(name, PACK_MANIFEST);
}

/* A name like that of path, for a file that no log names. */
static void make_name(const struct work *w, const char *path, const char *suffix, char *name, size_t size)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	size_t len = strlen(base), history = strlen(TTDISK_SUFFIX);
	unsigned int n;

	if (len > history && !strcmp(base + len - history, TTDISK_SUFFIX))
		len -= history;
	snprintf(name, size, "%.*s%s" TTDISK_SUFFIX, (int)len, base, suffix);
	for (n = 2; is_taken(w->manifest, name); n++)
		snprintf(name, size, "%.*s-%u%s" TTDISK_SUFFIX, (int)len, base, n, suffix);
}

/* ------------------------------------------------------------------ the image */

static int copy_sectors(struct work *w, struct ttdisk *from, struct ttdisk *to, uint64_t sector, uint64_t count, void *buffer)
{
	int ret = 0;

	while (count && !ret) {
		uint64_t n = count < CHUNK_SECTORS ? count : CHUNK_SECTORS;
		struct iovec iov = { buffer, n * TTDISK_SECTOR };

		ret = ttdisk_read(from, sector, &iov, 1);
		if (ret)
			return tt_fail(w->err, ret, "%s: sector %" PRIu64 " of its image cannot be read: %s",
				       w->disk->history, sector, ttdisk_strerror(ret));
		ret = ttdisk_write(to, sector, &iov, 1, 0);
		if (ret)
			return tt_fail(w->err, ret, "%s: cannot write there: %s", w->folder, strerror(-ret));
		w->disk->image_bytes += n * TTDISK_SECTOR;
		ret = pack_progress_add(w->progress, n * TTDISK_SECTOR);
		sector += n;
		count -= n;
	}
	return ret;
}

static int copy_read(struct work *w, struct ttdisk *from, struct ttdisk *to, void *buffer)
{
	const struct disk_ranges *ranges = &w->disk->read;
	size_t i;
	int ret = 0;

	for (i = 0; i < ranges->count && !ret; i++)
		ret = copy_sectors(w, from, to, ranges->range[i].offset / TTDISK_SECTOR,
				   ranges->range[i].len / TTDISK_SECTOR, buffer);
	return ret;
}

static int copy_whole(struct work *w, struct ttdisk *from, struct ttdisk *to, void *buffer)
{
	uint64_t sector = 0, sectors = w->disk->source->sectors, count;
	bool zero;
	int ret = 0;

	for (; sector < sectors && !ret; sector += count) {
		ret = ttdisk_extent(from, sector, sectors - sector, &count, &zero);
		if (ret)
			return tt_fail(w->err, ret, "%s: its image cannot be read: %s", w->disk->history, strerror(-ret));
		if (!zero) {
			ret = copy_sectors(w, from, to, sector, count, buffer);
			continue;
		}
		ret = ttdisk_zero(to, sector, count, false, 0);
		if (ret)
			return tt_fail(w->err, ret, "%s: cannot write there: %s", w->folder, strerror(-ret));
		ret = pack_progress_add(w->progress, count * TTDISK_SECTOR);
	}
	return ret;
}

/* Parts of the raw image below the history at path, in a file of that name. */
static int carry_image(struct work *w, const char *path, const char *name)
{
	const struct ttdisk_point base = { .kind = TTDISK_BASE };
	struct ttdisk *from, *to = NULL;
	void *buffer = malloc(PACK_CHUNK);
	char partial[PATH_MAX];
	int ret = ttdisk_open(path, TTDISK_READ, &base, NULL, &from, w->err);

	if (ret) {
		free(buffer);
		return ret;
	}
	ret = buffer ? pack_path(w->folder, name, partial, w->err) : tt_fail(w->err, -ENOMEM, "out of memory");
	if (!ret)
		ret = ttdisk_create_partial(partial, from, w->err);
	if (!ret)
		ret = ttdisk_open(partial, TTDISK_WRITE, NULL, NULL, &to, w->err);
	if (!ret)
		ret = w->disk->whole ? copy_whole(w, from, to, buffer) : copy_read(w, from, to, buffer);
	if (!ret) {
		ret = ttdisk_flush(to, 0);
		if (ret)
			tt_fail(w->err, ret, "%s: cannot write it: %s", partial, strerror(-ret));
	}
	if (to)
		ttdisk_close(to);
	ttdisk_close(from);
	free(buffer);
	return ret ? ret : add_name(w, name);
}

/* ------------------------------------------------------------------ the histories */

static int moved(void *ctx, uint64_t bytes)
{
	struct work *w = ctx;

	return pack_progress_add(w->progress, bytes);
}

static int carry(struct work *w, const char *path, const struct ttdisk_point *to, const char *name, unsigned int depth)
{
	char below[PATH_MAX], copy[PATH_MAX], base[PATH_MAX];
	struct ttdisk_info info;
	struct ttdisk *disk;
	int ret;

	if (depth == MAX_DEPTH)
		return tt_fail(w->err, -ELOOP, "%s: more than %d parents", path, MAX_DEPTH);
	ret = ttdisk_open(path, TTDISK_READ, to, NULL, &disk, w->err);
	if (ret)
		return ret;
	ttdisk_get_info(disk, &info);
	if (info.is_branch) {
		const struct ttdisk_point parent = { .kind = TTDISK_DEPARTURE, .name = info.parent };

		make_name(w, info.base, "", below, sizeof(below));
		ret = carry(w, info.base, &parent, below, depth + 1);
	} else {
		make_name(w, path, ".parts", below, sizeof(below));
		ret = carry_image(w, path, below);
	}
	if (!ret)
		ret = pack_path(w->folder, name, copy, w->err);
	if (!ret)
		ret = pack_path(w->folder, below, base, w->err);
	if (!ret)
		ret = ttdisk_copy(disk, to, copy, base, moved, w, w->err);
	ttdisk_close(disk);
	return ret ? ret : add_name(w, name);
}

/* Everything that the recording wrote, so that the disk can be opened at its instructions. */
static struct ttdisk_point end_of(const struct pack_disk *disk)
{
	const struct ttdisk_point departure = { .kind = TTDISK_DEPARTURE, .name = disk->source->departure };
	const struct ttdisk_point end = { .kind = TTDISK_INSTR, .number = UINT64_MAX, .name = disk->recording };
	struct ttdisk *opened;

	if (disk->source->readonly || ttdisk_open(disk->history, TTDISK_READ, &end, NULL, &opened, NULL))
		return departure;
	ttdisk_close(opened);
	return end;
}

int pack_disk(struct pack_disk *disk, const char *folder, struct pack_manifest *manifest, struct pack_progress *progress,
	      struct tt_error *err)
{
	struct work work = { disk, folder, manifest, progress, err };
	const struct ttdisk_point end = end_of(disk);
	char name[PATH_MAX];

	tt_disk_packed_name(disk->source, false, name, sizeof(name));
	if (is_taken(manifest, name))
		tt_disk_packed_name(disk->source, true, name, sizeof(name));
	if (is_taken(manifest, name))
		return tt_fail(err, -EINVAL, "%s: the recording has this disk twice; it cannot be packed", disk->history);
	snprintf(disk->name, sizeof(disk->name), "%.*s", (int)sizeof(disk->name) - 1, name);
	return carry(&work, disk->history, &end, name, 0);
}

uint64_t pack_disk_bytes(const struct pack_disk *disk)
{
	uint64_t bytes = disk->whole ? disk->source->sectors * TTDISK_SECTOR : 0;
	size_t i;

	for (i = 0; i < disk->read.count; i++)
		bytes += disk->read.range[i].len;
	return bytes;
}
