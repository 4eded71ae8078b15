// SPDX-License-Identifier: GPL-2.0
/*
 * disk_diff.c - ttvm disk diff: what is different between two points in time, by ranges or by files.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "disk.h"
#include "disk_files.h"

enum { OPT_FILES = 256, OPT_WITH, OPT_WRITTEN, OPT_JSON };

struct diff {
	bool json;
	bool files;
	bool written;
	struct ttdisk *a, *b;
	struct disk_ranges ranges;
	uint64_t bytes;			/* in them */
	json_t *array;			/* json: what is printed in the end */
	unsigned int partition;		/* that is compared */
	uint64_t changes;		/* printed */
	bool damaged;			/* a file system was */
};

/* ------------------------------------------------------------------ ranges */

static int add_range(void *ctx, uint64_t sector, uint64_t count)
{
	struct diff *d = ctx;

	d->bytes += count * TTDISK_SECTOR;
	return disk_ranges_add(&d->ranges, sector * TTDISK_SECTOR, count * TTDISK_SECTOR);
}

static int find_ranges(struct diff *d, struct tt_error *err)
{
	bool compare = !d->files && !d->written;
	int ret = ttdisk_diff(d->a, d->b, compare, add_range, d, err);

	/* Disks without a common history can only be compared by reading both. */
	if (ret == -EINVAL && d->files) {
		d->ranges.count = 0;
		ret = ttdisk_diff(d->a, d->b, true, add_range, d, err);
	}
	return ret;
}

static void show_ranges(struct diff *d)
{
	size_t i;

	for (i = 0; i < d->ranges.count; i++) {
		const struct disk_range *r = &d->ranges.range[i];

		if (d->json)
			json_array_append_new(d->array, json_pack("{s:I, s:I}", "offset", (json_int_t)r->offset, "bytes",
								  (json_int_t)r->len));
		else
			printf("%15" PRIu64 " %12" PRIu64 "\n", r->offset, r->len);
	}
	if (!d->json)
		printf("%" PRIu64 " bytes in %zu ranges\n", d->bytes, d->ranges.count);
}

/* ------------------------------------------------------------------ files */

static const char *type_name(unsigned int mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "folder";
	case S_IFLNK:
		return "link";
	case S_IFCHR:
	case S_IFBLK:
		return "device";
	case S_IFIFO:
		return "pipe";
	case S_IFSOCK:
		return "socket";
	default:
		return "unknown";
	}
}

static const struct {
	unsigned int bit;
	const char *name;
} whats[] = {
	{ DISK_WHAT_CONTENT, "content" }, { DISK_WHAT_SIZE, "size" },	{ DISK_WHAT_MTIME, "mtime" },
	{ DISK_WHAT_MODE, "mode" },	  { DISK_WHAT_OWNER, "owner" }, { DISK_WHAT_LINKS, "links" },
	{ DISK_WHAT_ATTRIBUTES, "attributes" },
};

static const char *const kinds[] = {
	[DISK_ADDED] = "added",
	[DISK_REMOVED] = "removed",
	[DISK_CHANGED] = "changed",
	[DISK_RENAMED] = "renamed",
};

static int show_json(struct diff *d, const struct disk_change *c)
{
	const struct disk_node *node = c->after ? c->after : c->before;
	json_t *one, *what = json_array();
	char time[DISK_TIME_SIZE];
	size_t i;

	disk_time_text(node->mtime, time);
	for (i = 0; i < sizeof(whats) / sizeof(whats[0]); i++)
		if (c->what & whats[i].bit)
			json_array_append_new(what, json_string(whats[i].name));
	one = json_pack("{s:s, s:i, s:o, s:s, s:I, s:s}", "change", kinds[c->kind], "partition", d->partition, "path",
			disk_json_text(c->path), "type", type_name(node->mode), "size", (json_int_t)node->size, "mtime",
			time);
	if (c->kind == DISK_CHANGED || c->kind == DISK_RENAMED) {
		disk_time_text(c->before->mtime, time);
		json_object_set_new(one, "what", what);
		json_object_set_new(one, "old_size", json_integer(c->before->size));
		json_object_set_new(one, "old_mtime", json_string(time));
	} else {
		json_decref(what);
	}
	if (c->from)
		json_object_set_new(one, "from", disk_json_text(c->from));
	return json_array_append_new(d->array, one) ? -ENOMEM : 0;
}

static int show_change(void *ctx, const struct disk_change *c)
{
	const struct disk_node *node = c->after ? c->after : c->before;
	const char *separator = "  (";
	char time[DISK_TIME_SIZE];
	struct diff *d = ctx;
	size_t i;

	d->changes++;
	if (d->json)
		return show_json(d, c);
	disk_time_text(node->mtime, time);
	time[strlen("2026-01-31T12:00:00")] = '\0';
	printf("%-8s %12" PRIu64 "  %s  %u:", kinds[c->kind], node->size, time, d->partition);
	disk_print(c->path);
	if (S_ISDIR(node->mode) && strcmp(c->path, "/"))
		putchar('/');
	if (c->from) {
		printf("  <- ");
		disk_print(c->from);
	}
	for (i = 0; i < sizeof(whats) / sizeof(whats[0]); i++) {
		if (!(c->what & whats[i].bit))
			continue;
		printf("%s%s", separator, whats[i].name);
		separator = ", ";
	}
	puts(c->what ? ")" : "");
	return 0;
}

/* A file system that is damaged, or of another kind, is said and passed over; the others are compared. */
static int open_fs(struct diff *d, const struct disk_source *disk, const struct disk_partition *partition,
		   const char *when, struct disk_fs **fs, struct tt_error *err)
{
	enum disk_fs_kind kind;
	const char *name;
	int ret;

	*fs = NULL;
	if (!partition)
		return 0;
	ret = disk_fs_probe(disk, partition, &kind, &name);
	if (ret)
		return tt_fail(err, ret, "the disk %s cannot be read: %s", when, ttdisk_strerror(ret));
	if (kind != DISK_FS_EXT) {
		say("partition %u %s: not ext2, ext3 or ext4 but %s; its files are not compared", d->partition, when,
		    name);
		return 0;
	}
	ret = disk_fs_open(disk, partition, fs, err);
	if (ret == -EUCLEAN) {
		say("partition %u %s: %s", d->partition, when, err->text);
		d->damaged = true;
		return 0;
	}
	if (!ret && (*fs)->note[0])
		say("partition %u %s: %s", d->partition, when, (*fs)->note);
	return ret;
}

static int compare_partition(struct diff *d, const struct disk_source *before, const struct disk_partition *old,
			     const struct disk_source *after, const struct disk_partition *new, struct tt_error *err)
{
	struct disk_fs *x = NULL, *y = NULL;
	unsigned int damaged = 0;
	int ret;

	if (old && new && old->offset == new->offset && old->size == new->size &&
	    !disk_ranges_overlap(&d->ranges, old->offset, old->size))
		return 0;
	ret = open_fs(d, before, old, "before", &x, err);
	if (!ret)
		ret = open_fs(d, after, new, "after", &y, err);
	/* Where one of the two was damaged everything would seem to be added or removed. */
	if (!ret && (x || y) && !d->damaged)
		ret = disk_changes(x, y, &d->ranges, show_change, d, &damaged, err);
	if (ret == -EUCLEAN) {
		say("partition %u: %s", d->partition, err->text);
		d->damaged = true;
		ret = 0;
	}
	if (damaged) {
		say("partition %u: %u names or files are damaged and could not be compared", d->partition, damaged);
		d->damaged = true;
	}
	disk_fs_close(x);
	disk_fs_close(y);
	return ret;
}

static int show_files(struct diff *d, struct tt_error *err)
{
	struct disk_source before = disk_source_of(d->a), after = disk_source_of(d->b);
	struct disk_partitions old, new;
	unsigned int number;
	bool damaged = false;
	int ret;

	ret = disk_partitions_read(&before, &old);
	if (!ret)
		ret = disk_partitions_read(&after, &new);
	if (ret)
		return tt_fail(err, ret, "the partition table cannot be read: %s", ttdisk_strerror(ret));
	for (number = 0; number <= 2 * DISK_MAX_PARTITIONS && !ret; number++) {
		const struct disk_partition *x = disk_partition_find(&old, number);
		const struct disk_partition *y = disk_partition_find(&new, number);

		d->damaged = false;
		d->partition = number;
		if (x || y)
			ret = compare_partition(d, &before, x, &after, y, err);
		damaged |= d->damaged;
	}
	d->damaged = damaged;
	return ret;
}

/* ------------------------------------------------------------------ the command */

static const char diff_usage[] = "ttvm disk diff DISK A B [OPTION]...";
static const char diff_help[] =
	"usage: ttvm disk diff DISK A B [OPTION]...\n\n"
	"Compare two points in time, A and B. Prints ranges of bytes that differ: offset and length.\n\n"
	"      --files             print files that were added, removed, changed or renamed, in ext2, ext3 and ext4\n"
	"                          file systems, with their size and time of modification\n"
	"      --written           ranges that were written between A and B, also with what was there before; faster\n"
	"      --with DISK2        B is a point of DISK2, such as a branch\n"
	"      --json              print a JSON array\n"
	"  -h, --help              this text\n\n" DISK_POINT_HELP "\n" DISK_STATUS_HELP;

static int run_diff(struct diff *d, struct tt_error *err)
{
	int ret = find_ranges(d, err);

	if (ret)
		return ret;
	if (d->json) {
		d->array = json_array();
		if (!d->array)
			return tt_fail(err, -ENOMEM, "out of memory");
	}
	if (!d->files)
		show_ranges(d);
	else
		ret = show_files(d, err);
	return ret;
}

static int diff_disks(struct diff *d, const char *disk, const char *a, const char *with, const char *b)
{
	struct tt_error err = { 0 };
	int ret, status;

	ret = disk_open_at(disk, TTDISK_READ, a, &d->a, &err);
	if (!ret)
		ret = disk_open_at(with, TTDISK_READ, b, &d->b, &err);
	if (!ret)
		ret = run_diff(d, &err);
	status = ret ? disk_fail(ret, &err) : EXIT_OK;
	if (!ret)
		status = d->json ? disk_print_json(json_incref(d->array)) : disk_end_output();
	if (status == EXIT_OK && d->damaged)
		status = EXIT_BAD_LOG;
	json_decref(d->array);
	disk_ranges_free(&d->ranges);
	if (d->a)
		ttdisk_close(d->a);
	if (d->b)
		ttdisk_close(d->b);
	return status;
}

int disk_cmd_diff(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "files", no_argument, NULL, OPT_FILES },
		{ "with", required_argument, NULL, OPT_WITH },
		{ "written", no_argument, NULL, OPT_WRITTEN },
		{ "json", no_argument, NULL, OPT_JSON },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *with = NULL;
	struct diff d = { 0 };
	char **args;
	int c;

	while ((c = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		switch (c) {
		case OPT_FILES:
			d.files = true;
			break;
		case OPT_WITH:
			with = optarg;
			break;
		case OPT_WRITTEN:
			d.written = true;
			break;
		case OPT_JSON:
			d.json = true;
			break;
		case 'h':
			fputs(diff_help, stdout);
			return disk_end_output();
		default:
			say("`ttvm disk diff --help` lists the options");
			return EXIT_SETUP;
		}
	}
	args = disk_arguments(argc, argv, 3, diff_usage);
	if (!args)
		return EXIT_SETUP;
	return diff_disks(&d, args[0], args[1], with ? with : args[0], args[2]);
}
