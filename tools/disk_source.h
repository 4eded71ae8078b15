/* SPDX-License-Identifier: GPL-2.0 */
/*
 * disk_source.h - a disk as something that can be read, and its partitions. Knows nothing of time: an instant of a
 * time-travel disk is one source among others.
 *
 * What is on a guest's disk may be anything; numbers that are read from it are checked before they are used.
 */
#ifndef TTVM_TOOLS_DISK_SOURCE_H
#define TTVM_TOOLS_DISK_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ttvm/error.h"

#define DISK_SECTOR 512

struct disk_source {
	uint64_t size;		/* bytes */
	/* Any range within size; 0 or -errno. */
	int (*read)(const struct disk_source *source, uint64_t offset, void *data, size_t len);
	void *ctx;
};

/* Like source->read, but -ERANGE for a range that is not within the disk. */
int disk_source_read(const struct disk_source *source, uint64_t offset, void *data, size_t len);

/* Ranges of bytes, sorted, not overlapping. */
struct disk_range {
	uint64_t offset;
	uint64_t len;
};

struct disk_ranges {
	struct disk_range *range;
	size_t count;
	size_t room;
};

/* Append in any order, then sort once: that also joins what touches. -ENOMEM. */
int disk_ranges_add(struct disk_ranges *ranges, uint64_t offset, uint64_t len);
void disk_ranges_sort(struct disk_ranges *ranges);
/* Does any of them overlap [offset, offset + len)? */
bool disk_ranges_overlap(const struct disk_ranges *ranges, uint64_t offset, uint64_t len);
void disk_ranges_free(struct disk_ranges *ranges);

/* ---- disk_partition.c ---- */

#define DISK_MAX_PARTITIONS 128

struct disk_partition {
	unsigned int number;	/* as in /dev/vdaN; 0: the whole disk, which has no partition table */
	uint64_t offset;	/* bytes; the range is within the disk */
	uint64_t size;
};

struct disk_partitions {
	const char *table;	/* "mbr", "gpt", "none" */
	unsigned int count;
	struct disk_partition partition[DISK_MAX_PARTITIONS];
};

/*
 * The partitions of a disk; without a table, one that is the whole disk. Entries that do not lie within the disk are left
 * out. 0, or -errno of a read.
 */
int disk_partitions_read(const struct disk_source *disk, struct disk_partitions *table);
const struct disk_partition *disk_partition_find(const struct disk_partitions *table, unsigned int number);

#endif /* TTVM_TOOLS_DISK_SOURCE_H */
