// SPDX-License-Identifier: GPL-2.0
/*
 * monitor.c - what `monitor COMMAND` does in gdb. Errors are told as output, too: gdb takes any other answer for a defect of
 * the connection.
 */
#include <stdlib.h>
#include <string.h>

#include "gdb.h"

#define MAX_PHYS 65536 /* bytes that `phys` prints */
#define MAX_SECONDS 1e9

struct monitor {
	struct tt_debug_target *target;
	const char *args;
	FILE *out;
	bool looks_again;	/* gdb_session */
};

/* "0x" hexadecimal, or decimal; nothing but spaces behind it unless `more`. */
static bool take_number(const char **text, bool more, uint64_t *value)
{
	char *end;

	*text += strspn(*text, " ");
	if (**text < '0' || **text > '9')
		return false;
	errno = 0;
	*value = strtoull(*text, &end, 0);
	*text = end + strspn(end, " ");
	return !errno && (**text == '\0' || (more && *end == ' '));
}

static int do_when(struct monitor *m, struct tt_error *err)
{
	uint64_t instructions, ns;
	int ret = m->target->ops->position(m->target, &instructions, &ns, err);

	if (!ret)
		fprintf(m->out, "instruction %llu, at %.6f s\n", (unsigned long long)instructions, ns / 1e9);
	return ret;
}

/* gdb does not know that its registers are old, and what it compares watched memory with. */
static int have_moved(struct monitor *m, int ret, struct tt_error *err)
{
	if (!ret)
		ret = do_when(m, err);
	if (!ret && !m->looks_again)
		fputs("gdb's registers are from before; say: maintenance flush register-cache\n"
		      "It compares watched memory with values from before: disable and enable its watchpoints\n", m->out);
	return ret;
}

static int do_goto(struct monitor *m, struct tt_error *err)
{
	uint64_t n;

	if (!take_number(&m->args, false, &n))
		return tt_fail(err, -EINVAL, "goto takes an instruction number");
	return have_moved(m, m->target->ops->go(m->target, n, err), err);
}

static int do_seek_event(struct monitor *m, struct tt_error *err)
{
	uint64_t n;

	if (!take_number(&m->args, false, &n))
		return tt_fail(err, -EINVAL, "seek-event takes the number of an event; `monitor events` lists them");
	return have_moved(m, m->target->ops->seek_event(m->target, n, err), err);
}

static int do_seek_time(struct monitor *m, struct tt_error *err)
{
	char *end;
	double seconds = strtod(m->args, &end);

	if (end == m->args || *end || !(seconds >= 0) || seconds > MAX_SECONDS)
		return tt_fail(err, -EINVAL, "seek-time takes seconds of virtual time, as `monitor when` tells them");
	return have_moved(m, m->target->ops->seek_time(m->target, (uint64_t)(seconds * 1e9 + 0.5), err), err);
}

static int do_phys(struct monitor *m, struct tt_error *err)
{
	uint64_t address, len, done;
	uint8_t line[16];

	if (!take_number(&m->args, true, &address) || !take_number(&m->args, false, &len) || len > MAX_PHYS)
		return tt_fail(err, -EINVAL, "phys takes an address and a number of bytes, %d at most", MAX_PHYS);
	for (done = 0; done < len; done += sizeof(line)) {
		size_t i, n = len - done < sizeof(line) ? len - done : sizeof(line);
		size_t got = m->target->ops->read_memory(m->target, true, address + done, line, n);

		if (got < n)
			return tt_fail(err, -EFAULT, "%llx: no memory there", (unsigned long long)(address + done + got));
		fprintf(m->out, "%016llx:", (unsigned long long)(address + done));
		for (i = 0; i < n; i++)
			fprintf(m->out, " %02x", line[i]);
		fputc('\n', m->out);
	}
	return 0;
}

#define TEXT_OPERATION(name)                                                                  \
	static int do_##name(struct monitor *m, struct tt_error *err)                         \
	{                                                                                     \
		return m->target->ops->name(m->target, m->args, m->out, err);                 \
	}
TEXT_OPERATION(events)
TEXT_OPERATION(checkpoint)
TEXT_OPERATION(disk)
TEXT_OPERATION(console)

static int do_help(struct monitor *m, struct tt_error *err);

/* What an optional operation is called by: where its pointer is in struct tt_debug_ops. */
#define OPERATION(name) offsetof(struct tt_debug_ops, name)
#define ALWAYS OPERATION(attach)

static const struct monitor_command {
	const char *name, *args, *summary;
	size_t operation;
	int (*run)(struct monitor *m, struct tt_error *err);
} commands[] = {
	{ "help", "", "this list", ALWAYS, do_help },
	{ "when", "", "the position: instruction number and virtual time", OPERATION(position), do_when },
	{ "goto", "N", "go to instruction number N", OPERATION(go), do_goto },
	{ "events", "[A..B]", "events of the recording", OPERATION(events), do_events },
	{ "seek-event", "K", "go to event K", OPERATION(seek_event), do_seek_event },
	{ "seek-time", "SECONDS", "go to that virtual time", OPERATION(seek_time), do_seek_time },
	{ "checkpoint", "", "make a checkpoint here, and list all", OPERATION(checkpoint), do_checkpoint },
	{ "disk", "", "what of the disks' histories belongs to this position", OPERATION(disk), do_disk },
	{ "console", "", "console output up to here", OPERATION(console), do_console },
	{ "phys", "ADDRESS BYTES", "memory by physical address", ALWAYS, do_phys },
};
#define NUM_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static bool can(const struct tt_debug_target *target, const struct monitor_command *command)
{
	void *operation;

	memcpy(&operation, (const char *)target->ops + command->operation, sizeof(operation));
	return operation != NULL;
}

static int do_help(struct monitor *m, struct tt_error *err)
{
	size_t i;

	(void)err;
	for (i = 0; i < NUM_COMMANDS; i++)
		if (can(m->target, &commands[i]))
			fprintf(m->out, "monitor %-10s %-13s  %s\n", commands[i].name, commands[i].args,
				commands[i].summary);
	return 0;
}

/* A command may be cut short as long as it is the only one that begins so. */
static const struct monitor_command *find(const char *word, size_t len)
{
	const struct monitor_command *found = NULL;
	size_t i;

	for (i = 0; i < NUM_COMMANDS; i++) {
		if (strncmp(commands[i].name, word, len))
			continue;
		if (strlen(commands[i].name) == len)
			return &commands[i];
		if (found)
			return NULL;
		found = &commands[i];
	}
	return found;
}

static void run_command(struct gdb_session *s, const char *text, FILE *out)
{
	const char *word = text + strspn(text, " ");
	size_t len = strcspn(word, " ");
	const struct monitor_command *command = find(word, len);
	struct monitor m = { .target = s->target, .out = out, .looks_again = s->looks_again };
	struct tt_error err = { 0 };
	int ret;

	m.args = word + len + strspn(word + len, " ");
	if (!len)
		command = commands; /* help */
	if (!command) {
		fprintf(out, "'%.*s' is not a command; `monitor help` lists them\n", (int)len, word);
		return;
	}
	if (!can(s->target, command)) {
		fprintf(out, "%s: not for %s\n", command->name, s->target->name);
		return;
	}
	ret = command->run(&m, &err);
	if (ret)
		fprintf(out, "%s\n", err.text[0] ? err.text : strerror(-ret));
}

static void send_output(struct gdb_session *s, const char *text, size_t len)
{
	char packet[1 + 2 * 2048] = { 'O' };
	size_t done, n;

	for (done = 0; done < len; done += n) {
		n = len - done < 2048 ? len - done : 2048;
		gdb_hex(packet + 1, text + done, n);
		s->output(s->ctx, packet, 1 + 2 * n);
	}
}

void gdb_serve_monitor(struct gdb_session *s, const char *hex, size_t len)
{
	char command[256], *text = NULL;
	ssize_t n = gdb_parse_hex(hex, len, command, sizeof(command) - 1);
	size_t size = 0;
	FILE *out;

	if (n < 0)
		return gdb_answer_error(s, "a malformed or very long command");
	command[n] = '\0';
	out = open_memstream(&text, &size);
	if (!out)
		return gdb_answer_error(s, "out of memory");
	run_command(s, command, out);
	if (!fclose(out))
		send_output(s, text, size);
	free(text);
	gdb_answer(s, "OK");
}
