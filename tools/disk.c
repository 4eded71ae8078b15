// SPDX-License-Identifier: GPL-2.0
/*
 * disk.c - ttvm disk: time-travel disks, looked at from outside. Neither KVM nor the module is needed.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "disk.h"

static const struct command commands[] = {
	{ "create", disk_cmd_create, "begin the history of a raw image" },
	{ "info", disk_cmd_info, "say what a disk and its history are" },
	{ "log", disk_cmd_log, "list the epochs of a history, flush to flush" },
	{ "mark", disk_cmd_mark, "give a point in time a name, which also keeps it" },
	{ "unmark", disk_cmd_unmark, "take the name away" },
	{ "diff", disk_cmd_diff, "compare two points in time, by ranges or by files" },
	{ "export", disk_cmd_export, "serve a point in time by NBD, or write it to a raw file" },
	{ "mount", disk_cmd_mount, "mount a file system of it, read-only" },
	{ "branch", disk_cmd_branch, "make a disk that begins at a point in time of another" },
	{ "gc", disk_cmd_gc, "shrink a history" },
	{ "check", disk_cmd_check, "verify a history, and repair it" },
};

#define NUM_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *out)
{
	fprintf(out, "usage: ttvm disk COMMAND DISK [ARGUMENT]... [OPTION]...\n\n"
		     "Disks that travel in time. DISK is a raw image F, which has its history in F.ttd, or F.ttd.\n\n"
		     "commands:\n");
	commands_list(out, commands, NUM_COMMANDS);
	fprintf(out, "\n" DISK_POINT_HELP "\n" DISK_STATUS_HELP
		     "\n`ttvm disk COMMAND --help` lists the options of a command; ttvm-disk(1) has it all.\n");
}

int cmd_disk(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2) {
		usage(stderr);
		return EXIT_SETUP;
	}
	if (is_help_word(argv[1])) {
		usage(stdout);
		return disk_end_output();
	}
	command = commands_find(commands, NUM_COMMANDS, argv[1]);
	if (command) {
		optind = 1;
		return command->run(argc - 1, argv + 1);
	}
	say("unknown command 'disk %s'; `ttvm disk --help` lists them", argv[1]);
	return EXIT_SETUP;
}

char **disk_arguments(int argc, char **argv, int count, const char *usage_text)
{
	if (argc - optind == count)
		return argv + optind;
	say("%s; usage: %s", argc - optind < count ? "an argument is missing" : "too many arguments", usage_text);
	return NULL;
}

/* Of the errors of ttdisk/: is it what is in the files? */
static bool is_damage(int ret)
{
	return ret == -EUCLEAN || ret == -EBADMSG || ret == -ESTALE || ret == -EIO;
}

int disk_fail(int ret, const struct tt_error *err)
{
	say("%s", err->text);
	return is_damage(ret) ? EXIT_BAD_LOG : EXIT_SETUP;
}

int disk_end_output(void)
{
	if (!fflush(stdout) && !ferror(stdout))
		return EXIT_OK;
	say("the output could not be written: %s", strerror(errno));
	return EXIT_SETUP;
}
