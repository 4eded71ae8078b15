// SPDX-License-Identifier: GPL-2.0
/*
 * main.c - the ttvm command: find the subcommand.
 */
#include <stdio.h>
#include <string.h>

#include "ttvm.h"

static const struct command commands[] = {
	{ "run", cmd_run, "run a guest, and record it with --record" },
	{ "replay", cmd_replay, "replay a recording, to its end or to any instruction" },
	{ "debug", cmd_debug, "look at a recording in gdb, and run it forward and back" },
	{ "dump", cmd_dump, "write a moment of a recording to a core file, for gdb and crash" },
	{ "fork", cmd_fork, "let the guest live on from the past, with other input" },
	{ "verify", cmd_verify, "replay a recording silently and say whether it matches" },
	{ "info", cmd_info, "say what is in a recording" },
	{ "trace", cmd_trace, "write what happened in a recording for Wireshark or Perfetto" },
	{ "profile", cmd_profile, "say where the guest of a recording spent its instructions" },
	{ "pack", cmd_pack, "put a recording and what it needs of its disks into one file" },
	{ "unpack", cmd_unpack, "take a recording out of such a file, on another machine" },
	{ "ctl", cmd_ctl, "steer a run: status, pause, resume, mark, stop" },
	{ "disk", cmd_disk, "look at disks that travel in time, at any point of it" },
	{ "doctor", cmd_doctor, "say whether this machine can record and replay" },
};

#define NUM_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *out)
{
	fprintf(out, "usage: ttvm COMMAND [OPTION]...\n\n"
		     "A virtual machine that can be rewound.\n\ncommands:\n");
	commands_list(out, commands, NUM_COMMANDS);
	fprintf(out, "\n`ttvm COMMAND --help` lists the options of a command; ttvm(1) has it all.\n");
}

int main(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2) {
		usage(stderr);
		return EXIT_SETUP;
	}
	if (is_help_word(argv[1])) {
		usage(stdout);
		return EXIT_OK;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		puts("ttvm " TTVM_VERSION);
		return EXIT_OK;
	}
	command = commands_find(commands, NUM_COMMANDS, argv[1]);
	if (command)
		return command->run(argc - 1, argv + 1);
	say("unknown command '%s'; `ttvm --help` lists them", argv[1]);
	return EXIT_SETUP;
}
