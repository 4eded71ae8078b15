// SPDX-License-Identifier: GPL-2.0
/*
 * plugin.c - a plugin of nbdkit(1): a time-travel disk at one point in time, read-only. `ttvm disk export` and `ttvm disk
 * mount` start it.
 *
 *	nbdkit nbdkit-ttdisk-plugin.so history=F.ttd departure=TEXT
 *
 * departure is what ttdisk_departure() gives for the point. Each connection has a disk of its own, so they are served
 * beside each other.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "ttdisk.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_SERIALIZE_REQUESTS

/* The configuration of the process, which nbdkit keeps nowhere else: written before the first connection. */
static char *history;
static char *departure;

static int plugin_config(const char *key, const char *value)
{
	if (!strcmp(key, "history")) {
		free(history);
		history = nbdkit_absolute_path(value);
		return history ? 0 : -1;
	}
	if (!strcmp(key, "departure")) {
		free(departure);
		departure = strdup(value);
		return departure ? 0 : -1;
	}
	nbdkit_error("unknown parameter '%s'", key);
	return -1;
}

static struct ttdisk *open_disk(void)
{
	struct ttdisk_point point = { .kind = TTDISK_DEPARTURE, .name = departure };
	struct tt_error err = { 0 };
	struct ttdisk *disk;

	if (ttdisk_open(history, TTDISK_READ, departure ? &point : NULL, NULL, &disk, &err)) {
		nbdkit_error("%s", err.text);
		return NULL;
	}
	return disk;
}

static int plugin_config_complete(void)
{
	if (history)
		return 0;
	nbdkit_error("history=F.ttd is missing");
	return -1;
}

/* What is wrong is said when the server starts, not to its first client. */
static int plugin_get_ready(void)
{
	struct ttdisk *disk = open_disk();

	if (!disk)
		return -1;
	ttdisk_close(disk);
	return 0;
}

static void plugin_unload(void)
{
	free(history);
	free(departure);
}

static void *plugin_open(int readonly)
{
	(void)readonly;
	return open_disk();
}

static void plugin_close(void *handle)
{
	ttdisk_close(handle);
}

static int64_t plugin_get_size(void *handle)
{
	struct ttdisk_info info;

	ttdisk_get_info(handle, &info);
	return info.sectors * TTDISK_SECTOR;
}

/* All see the same, and nobody writes. */
static int plugin_can_multi_conn(void *handle)
{
	(void)handle;
	return 1;
}

/* 0 or -1 with nbdkit's error set. */
static int read_sectors(struct ttdisk *disk, uint64_t sector, void *data, size_t len)
{
	struct iovec iov = { .iov_base = data, .iov_len = len };
	int ret = ttdisk_read(disk, sector, &iov, 1);

	if (!ret)
		return 0;
	nbdkit_error("sector %llu: %s", (unsigned long long)sector, strerror(-ret));
	nbdkit_set_error(-ret);
	return -1;
}

/* Clients may ask for bytes, the disk has sectors. */
static int plugin_pread(void *handle, void *data, uint32_t count, uint64_t offset, uint32_t flags)
{
	uint8_t sector[TTDISK_SECTOR];
	uint8_t *to = data;

	(void)flags;
	while (count) {
		uint32_t skip = offset % TTDISK_SECTOR, piece = count - count % TTDISK_SECTOR;

		if (skip || count < TTDISK_SECTOR) {
			piece = TTDISK_SECTOR - skip < count ? TTDISK_SECTOR - skip : count;
			if (read_sectors(handle, offset / TTDISK_SECTOR, sector, sizeof(sector)))
				return -1;
			memcpy(to, sector + skip, piece);
		} else if (read_sectors(handle, offset / TTDISK_SECTOR, to, piece)) {
			return -1;
		}
		to += piece;
		offset += piece;
		count -= piece;
	}
	return 0;
}

/* Holes, so that copies are sparse. */
static int plugin_extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags, struct nbdkit_extents *extents)
{
	uint64_t sector = offset / TTDISK_SECTOR, end = (offset + count + TTDISK_SECTOR - 1) / TTDISK_SECTOR, got;
	bool zero;

	for (; sector < end; sector += got) {
		int ret = ttdisk_extent(handle, sector, end - sector, &got, &zero);

		if (ret) {
			nbdkit_error("sector %llu: %s", (unsigned long long)sector, strerror(-ret));
			nbdkit_set_error(-ret);
			return -1;
		}
		if (nbdkit_add_extent(extents, sector * TTDISK_SECTOR, got * TTDISK_SECTOR,
				      zero ? NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO : 0))
			return -1;
		if (flags & NBDKIT_FLAG_REQ_ONE)
			break;
	}
	return 0;
}

static struct nbdkit_plugin plugin = {
	.name = "ttdisk",
	.version = TTVM_VERSION,
	.longname = "time-travel disk of ttvm",
	.config = plugin_config,
	.config_complete = plugin_config_complete,
	.config_help = "history=F.ttd     the history of the disk\n"
		       "departure=TEXT    the point in time (default: now)",
	.get_ready = plugin_get_ready,
	.unload = plugin_unload,
	.open = plugin_open,
	.close = plugin_close,
	.get_size = plugin_get_size,
	.can_multi_conn = plugin_can_multi_conn,
	.pread = plugin_pread,
	.extents = plugin_extents,
};

NBDKIT_REGISTER_PLUGIN(plugin)
