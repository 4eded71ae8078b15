// SPDX-License-Identifier: GPL-2.0
/*
 * disk_source.c - reading within bounds, and sets of ranges.
 */
#include <errno.h>
#include <stdlib.h>

#include "disk_source.h"

int disk_source_read(const struct disk_source *source, uint64_t offset, void *data, size_t len)
{
	if (offset > source->size || len > source->size - offset)
		return -ERANGE;
	return source->read(source, offset, data, len);
}

int disk_ranges_add(struct disk_ranges *ranges, uint64_t offset, uint64_t len)
{
	struct disk_range *last = ranges->count ? &ranges->range[ranges->count - 1] : NULL;

	if (last && last->offset + last->len == offset) {
		last->len += len;
		return 0;
	}
	if (ranges->count == ranges->room) {
		size_t room = ranges->room ? 2 * ranges->room : 64;
		struct disk_range *more = realloc(ranges->range, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		ranges->range = more;
		ranges->room = room;
	}
	ranges->range[ranges->count++] = (struct disk_range){ offset, len };
	return 0;
}

static int compare_ranges(const void *a, const void *b)
{
	const struct disk_range *x = a, *y = b;

	return (x->offset > y->offset) - (x->offset < y->offset);
}

void disk_ranges_sort(struct disk_ranges *ranges)
{
	size_t i, kept = 0;

	if (!ranges->count)
		return;
	qsort(ranges->range, ranges->count, sizeof(ranges->range[0]), compare_ranges);
	for (i = 1; i < ranges->count; i++) {
		struct disk_range *last = &ranges->range[kept], *next = &ranges->range[i];
		uint64_t end = next->offset + next->len;

		if (next->offset > last->offset + last->len)
			ranges->range[++kept] = *next;
		else if (end > last->offset + last->len)
			last->len = end - last->offset;
	}
	ranges->count = kept + 1;
}

bool disk_ranges_overlap(const struct disk_ranges *ranges, uint64_t offset, uint64_t len)
{
	size_t low = 0, high = ranges->count;

	/* the first range that ends behind offset */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ranges->range[middle].offset + ranges->range[middle].len > offset)
			high = middle;
		else
			low = middle + 1;
	}
	return low < ranges->count && ranges->range[low].offset < offset + len;
}

void disk_ranges_free(struct disk_ranges *ranges)
{
	free(ranges->range);
	*ranges = (struct disk_ranges){ 0 };
}
