// SPDX-License-Identifier: GPL-2.0
/*
 * disk_create.c - ttvm disk create, branch, mark, unmark: what begins a history, and what names a point of one.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "disk.h"
#include "image.h"

enum { OPT_HASH = 256, OPT_AT };

/* ------------------------------------------------------------------ create */

static const char create_usage[] = "ttvm disk create BASE [OPTION]...";
static const char create_help[] =
	"usage: ttvm disk create BASE [OPTION]...\n\n"
	"Begin the history of a raw image, which is never written from then on. `ttvm run --disk BASE` does the same.\n\n"
	"  -o, --output F.ttd      the history (default: BASE.ttd)\n"
	"      --hash              hash all of BASE, not only samples, so that a copy of it will do as well\n"
	"  -h, --help              this text\n\n" DISK_STATUS_HELP;

int disk_cmd_create(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "output", required_argument, NULL, 'o' },
		{ "hash", no_argument, NULL, OPT_HASH },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct ttdisk_create_options options = { 0 };
	char history[DISK_PATH_SIZE];
	const char *output = NULL;
	struct tt_error err = { 0 };
	char **args;
	int c, ret;

	while ((c = getopt_long(argc, argv, "o:h", long_options, NULL)) != -1) {
		switch (c) {
		case 'o':
			output = optarg;
			break;
		case OPT_HASH:
			options.hash_base = true;
			break;
		case 'h':
			fputs(create_help, stdout);
			return disk_end_output();
		default:
			say("`ttvm disk create --help` lists the options");
			return EXIT_SETUP;
		}
	}
	args = disk_arguments(argc, argv, 1, create_usage);
	if (!args)
		return EXIT_SETUP;
	switch (image_probe(args[0], &err)) {
	case IMAGE_RAW:
		break;
	case IMAGE_KERNEL:
		say("%s: a kernel, not a disk", args[0]);
		return EXIT_SETUP;
	case IMAGE_TTD:
		say("%s: a history already; `ttvm disk branch %s now NEW.ttd` begins another one on top of it", args[0],
		    args[0]);
		return EXIT_SETUP;
	default:
		return disk_fail(err.code, &err);
	}
	if (!output) {
		ret = ttdisk_history_path(args[0], history, sizeof(history));
		if (ret) {
			say("%s: the name is too long", args[0]);
			return EXIT_SETUP;
		}
		output = history;
	}
	ret = ttdisk_create(output, args[0], &options, &err);
	return ret ? disk_fail(ret, &err) : EXIT_OK;
}

/* ------------------------------------------------------------------ branch */

static const char branch_usage[] = "ttvm disk branch DISK T NEW.ttd";
static const char branch_help[] =
	"usage: ttvm disk branch DISK T NEW.ttd\n\n"
	"Make a disk that begins as DISK was at T and goes its own way: writes to it go to NEW.ttd, and DISK does not\n"
	"change but for a mark that keeps T.\n\n"
	"  -h, --help              this text\n\n" DISK_POINT_HELP "\n" DISK_STATUS_HELP;

static const struct option only_help[] = {
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

int disk_cmd_branch(int argc, char **argv)
{
	char history[DISK_PATH_SIZE];
	struct disk_point p;
	struct tt_error err = { 0 };
	char **args;
	int c, ret;

	while ((c = getopt_long(argc, argv, "h", only_help, NULL)) != -1) {
		if (c == 'h') {
			fputs(branch_help, stdout);
			return disk_end_output();
		}
		say("`ttvm disk branch --help` lists the options");
		return EXIT_SETUP;
	}
	args = disk_arguments(argc, argv, 3, branch_usage);
	if (!args)
		return EXIT_SETUP;
	ret = disk_history(args[0], history, &err);
	if (!ret)
		ret = disk_point_parse(args[1], &p, &err);
	if (!ret)
		ret = ttdisk_branch(history, &p.point, args[2], &err);
	return ret ? disk_fail(ret, &err) : EXIT_OK;
}

/* ------------------------------------------------------------------ mark, unmark */

static const char mark_usage[] = "ttvm disk mark DISK NAME [--at T]";
static const char mark_help[] =
	"usage: ttvm disk mark DISK NAME [OPTION]...\n\n"
	"Give a point in time a name: mark:NAME. `ttvm disk gc` keeps it. While a guest writes to the disk, marks are set with\n"
	"`ttvm ctl`.\n\n"
	"      --at T              the point (default: now)\n"
	"  -h, --help              this text\n\n" DISK_POINT_HELP "\n" DISK_STATUS_HELP;

int disk_cmd_mark(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "at", required_argument, NULL, OPT_AT },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	char history[DISK_PATH_SIZE];
	const char *at = "now";
	struct ttdisk *disk = NULL;
	struct disk_point p;
	struct tt_error err = { 0 };
	char **args;
	int c, ret;

	while ((c = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		switch (c) {
		case OPT_AT:
			at = optarg;
			break;
		case 'h':
			fputs(mark_help, stdout);
			return disk_end_output();
		default:
			say("`ttvm disk mark --help` lists the options");
			return EXIT_SETUP;
		}
	}
	args = disk_arguments(argc, argv, 2, mark_usage);
	if (!args)
		return EXIT_SETUP;
	ret = disk_history(args[0], history, &err);
	if (!ret)
		ret = disk_point_parse(at, &p, &err);
	if (!ret)
		ret = ttdisk_open(history, TTDISK_WRITE, NULL, NULL, &disk, &err);
	if (!ret)
		ret = ttdisk_mark(disk, args[1], &p.point, &err);
	if (disk)
		ttdisk_close(disk);
	return ret ? disk_fail(ret, &err) : EXIT_OK;
}

static const char unmark_usage[] = "ttvm disk unmark DISK NAME";
static const char unmark_help[] =
	"usage: ttvm disk unmark DISK NAME\n\n"
	"Remove the mark NAME; the point stays until `ttvm disk gc`.\n\n"
	"  -h, --help              this text\n\n" DISK_STATUS_HELP;

int disk_cmd_unmark(int argc, char **argv)
{
	struct ttdisk *disk = NULL;
	struct tt_error err = { 0 };
	char **args;
	int c, ret;

	while ((c = getopt_long(argc, argv, "h", only_help, NULL)) != -1) {
		if (c == 'h') {
			fputs(unmark_help, stdout);
			return disk_end_output();
		}
		say("`ttvm disk unmark --help` lists the options");
		return EXIT_SETUP;
	}
	args = disk_arguments(argc, argv, 2, unmark_usage);
	if (!args)
		return EXIT_SETUP;
	ret = disk_open_at(args[0], TTDISK_WRITE, "now", &disk, &err);
	if (!ret)
		ret = ttdisk_unmark(disk, args[1], &err);
	if (disk)
		ttdisk_close(disk);
	return ret ? disk_fail(ret, &err) : EXIT_OK;
}
