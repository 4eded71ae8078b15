// SPDX-License-Identifier: GPL-2.0
/*
 * command.c - tables of commands: of ttvm, and of its subcommands that have commands themselves.
 */
#include <string.h>

#include "ttvm.h"

void commands_list(FILE *out, const struct command *commands, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].summary);
}

const struct command *commands_find(const struct command *commands, size_t count, const char *name)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

bool is_help_word(const char *word)
{
	return !strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "help");
}
