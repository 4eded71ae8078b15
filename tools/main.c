// SPDX-License-Identifier: GPL-2.0
/*
 * main.c - the ttvm command: find the subcommand.
 */
#include <stdio.h>
#include <string.h>

#include "ttvm.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
} commands[] = {
	{ "run", cmd_run, "run a guest, and record it with --record" },
	{ "replay", cmd_replay, "replay a recording, to its end or to any instruction" },
	{ "verify", cmd_verify, "replay a recording silently and say whether it matches" },
	{ "info", cmd_info, "say what is in a recording" },
	{ "trace", cmd_trace, "write the network traffic of a recording to a capture file" },
	{ "ctl", cmd_ctl, "steer a run: status, pause, resume, mark, stop" },
	{ "disk", cmd_disk, "look at disks that travel in time, at any point of it" },
	{ "doctor", cmd_doctor, "say whether this machine can record and replay" },
};

static void usage(FILE *out)
{
	size_t i;

	fprintf(out, "usage: ttvm COMMAND [OPTION]...\n\n"
		     "A virtual machine that can be rewound.\n\ncommands:\n");
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].summary);
	fprintf(out, "\n`ttvm COMMAND --help` lists the options of a command; ttvm(1) has it all.\n");
}

int main(int argc, char **argv)
{
	size_t i;

	if (argc < 2) {
		usage(stderr);
		return EXIT_SETUP;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		usage(stdout);
		return EXIT_OK;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		puts("ttvm " TTVM_VERSION);
		return EXIT_OK;
	}
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	say("unknown command '%s'; `ttvm --help` lists them", argv[1]);
	return EXIT_SETUP;
}
