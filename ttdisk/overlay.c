// SPDX-License-Identifier: GPL-2.0
/*
 * overlay.c - writes that are forgotten: their bytes lie in a file without a name, in the order of the writes, and a list
 * says what they were, so that the last ones can be undone.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

struct overlay_entry {
	uint64_t sector;
	uint64_t count;
	uint64_t value; /* for the map */
};

struct overlay {
	int fd;
	uint64_t end; /* of the file */
	struct overlay_entry *entries;
	uint64_t num, max;
};

static int open_nameless(void)
{
	const char *folders[] = { getenv("TMPDIR"), "/var/tmp", "/tmp" };

	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
		int fd = folders[i] ? open(folders[i], O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) : -1;

		if (fd >= 0)
			return fd;
	}
	return memfd_create("ttdisk", MFD_CLOEXEC);
}

int ttd_overlay_create(struct overlay **result)
{
	struct overlay *overlay = calloc(1, sizeof(*overlay));
	int ret;

	if (!overlay)
		return -ENOMEM;
	overlay->fd = open_nameless();
	if (overlay->fd < 0) {
		ret = -errno;
		free(overlay);
		return ret;
	}
	*result = overlay;
	return 0;
}

void ttd_overlay_destroy(struct overlay *overlay)
{
	close(overlay->fd);
	free(overlay->entries);
	free(overlay);
}

static int prepare(struct overlay *overlay, struct map *map)
{
	uint64_t max = overlay->max ? 2 * overlay->max : 1024;
	struct overlay_entry *entries;
	int ret = ttd_map_prepare(map);

	if (ret || overlay->num < overlay->max)
		return ret;
	entries = realloc(overlay->entries, max * sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	overlay->entries = entries;
	overlay->max = max;
	return 0;
}

static void add(struct overlay *overlay, struct map *map, const struct overlay_entry *entry)
{
	overlay->entries[overlay->num++] = *entry;
	ttd_map_set(map, entry->sector, entry->count, entry->value);
}

int ttd_overlay_write(struct overlay *overlay, struct map *map, uint64_t sector, uint64_t count,
		      struct span *span)
{
	struct overlay_entry entry = { sector, count, overlay->end | MAP_DATA };
	uint64_t left = count * TTDISK_SECTOR, offset = overlay->end;
	int ret = prepare(overlay, map);

	while (left && !ret) {
		struct span before = *span;
		struct iovec iov[SPAN_IOVS];
		size_t part;
		int n = ttd_span_take(span, left, iov, &part);
		ssize_t done = pwritev(overlay->fd, iov, n, (off_t)offset);

		if (done < 0 && errno != EINTR)
			ret = -errno;
		else if (!done)
			ret = -EIO;
		if (done < (ssize_t)part) {
			*span = before;
			part = done < 0 ? 0 : (size_t)done;
			ttd_span_take(span, part, iov, &part);
		}
		offset += part;
		left -= part;
	}
	if (ret)
		return ret;
	overlay->end = offset;
	add(overlay, map, &entry);
	return 0;
}

int ttd_overlay_zero(struct overlay *overlay, struct map *map, uint64_t sector, uint64_t count)
{
	struct overlay_entry entry = { sector, count, MAP_ZERO };
	int ret = prepare(overlay, map);

	if (!ret)
		add(overlay, map, &entry);
	return ret;
}

int ttd_overlay_read(struct overlay *overlay, struct span *span, size_t len, uint64_t offset)
{
	return ttd_span_pread(span, overlay->fd, len, offset);
}

uint64_t ttd_overlay_position(const struct overlay *overlay)
{
	return overlay->num;
}

int ttd_overlay_rewind(struct overlay *overlay, struct map *map, uint64_t position)
{
	int ret = 0;

	if (position > overlay->num)
		return -EINVAL;
	ttd_map_clear(map);
	overlay->num = 0;
	overlay->end = 0;
	while (overlay->num < position && !ret) {
		const struct overlay_entry entry = overlay->entries[overlay->num];

		ret = ttd_map_prepare(map);
		if (ret)
			break; /* the map has the first writes only: nothing to go on with */
		add(overlay, map, &entry);
		if (MAP_KIND(entry.value) == MAP_DATA)
			overlay->end = MAP_OFFSET(entry.value) + entry.count * TTDISK_SECTOR;
	}
	return ret;
}
