// SPDX-License-Identifier: GPL-2.0
/*
 * drive.c - see drive.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "control.h"
#include "debug.h"
#include "drive.h"

/* An option that is one of two words: 1 for the second, 0 for the first, -1 and the reason said for anything else. */
static int parse_either(const char *option, const char *text, const char *no, const char *yes)
{
	if (!strcmp(text, no))
		return 0;
	if (!strcmp(text, yes))
		return 1;
	say("%s %s: say %s or %s", option, text, no, yes);
	return -1;
}

int drive_option(struct drive_options *o, int c, const char *argument)
{
	int choice;

	switch (c) {
	case OPT_TIMEOUT:
		if (parse_seconds(argument, &o->timeout) && o->timeout > 0)
			return 1;
		say("--timeout %s: not a number of seconds", argument);
		return -1;
	case OPT_CONSOLE:
		o->console = argument;
		return 1;
	case OPT_CONTROL:
		o->control = argument;
		return 1;
	case OPT_DIGEST_EVERY:
		if (parse_seconds(argument, &o->digest_every))
			return 1;
		say("--digest-every %s: not a number of seconds", argument);
		return -1;
	case OPT_ON_LOG_ERROR:
		choice = parse_either("--on-log-error", argument, "stop", "continue");
		o->run_on = choice == 1;
		return choice < 0 ? -1 : 1;
	case OPT_ON_DISK_ERROR:
		choice = parse_either("--on-disk-error", argument, "report", "pause");
		o->pause_on_disk_error = choice == 1;
		return choice < 0 ? -1 : 1;
	case OPT_GUEST_STATUS:
		o->guest_status = true;
		return 1;
	case OPT_STATS:
		o->stats = argument;
		return 1;
	case 'q':
		o->quiet = true;
		return 1;
	default:
		return 0;
	}
}

int drive_create_recorder(const struct drive_options *o, const struct tt_machine_config *config, const char *id,
			  const struct tt_disk_source *disks, const struct tt_origin *origin,
			  struct tt_recorder **recorder, struct tt_error *err)
{
	const struct tt_recorder_options options = { .path = o->record,
						     .id = id,
						     .disks = disks,
						     .origin = *origin,
						     .log = { .level = CONFIG_TTVM_LOG_LEVEL,
							      .flush_ms = CONFIG_TTVM_LOG_FLUSH_MS },
						     .run_on = o->run_on,
						     .digest_seconds = o->digest_every,
						     .checkpoint_seconds = o->checkpoint_every,
						     .checkpoint_bytes = o->checkpoint_bytes };

	return tt_recorder_create(&options, config, recorder, err);
}

static void virtio_console_write(void *ctx, const void *data, size_t len)
{
	(void)ctx;
	fwrite(data, 1, len, stderr);
}

static void say_message(void *ctx, const char *text)
{
	(void)ctx;
	say("%s", text);
}

void drive_connect(struct tt_machine *m, struct console *console)
{
	m->console_write = console_write;
	m->console_ctx = console;
	m->console0_write = virtio_console_write;
	m->message = say_message;
}

static int exit_status(const struct drive_options *o, const struct tt_machine *m)
{
	if (m->end == TT_END_CRASH) {
		say("the guest crashed (triple fault)");
		return EXIT_CRASH;
	}
	if (m->end == TT_END_STATUS && o->guest_status)
		return m->end_status & 0xff;
	return EXIT_OK;
}

/* A mark of the run is a mark of its disks, too. */
static int mark_disks(void *ctx, const char *name, uint64_t instructions)
{
	struct tt_machine *m = ctx;
	struct tt_error err = { 0 };
	bool marked = false;
	unsigned int i;
	int ret;

	(void)instructions;
	for (i = 0; i < m->config.num_disks; i++) {
		ret = tt_disk_mark(m->config.disks[i], name, &err);
		if (ret && ret != -ENOTSUP)
			return ret;
		marked |= !ret;
	}
	return marked ? 0 : -ENOTSUP;
}

/* A disk that was unpacked, on its vCPU's thread. Once per disk is enough: the guest may try very often. */
static void say_unknown(void *ctx, uint64_t sector)
{
	bool *said = ctx;

	if (!*said)
		say("the guest reads sector %llu of a disk, which the recording that was packed had not read, so it did not come "
		    "along; the guest sees an I/O error (`ttvm pack --whole-disks` takes all)", (unsigned long long)sector);
	*said = true;
}

struct disk_pause {
	struct tt_machine *machine;
	int said; /* the last error that the user knows of */
};

/* --on-disk-error=pause: on the vCPU's thread, so that the guest stands still. */
static bool wait_for_disk(void *ctx, int error)
{
	struct disk_pause *pause = ctx;

	if (pause->said != error)
		say("a disk's history cannot be written: %s; the guest waits until it can", strerror(-error));
	pause->said = error;
	sleep(1);
	return !pause->machine->stop_requested;
}

static void say_why_stopped(const struct drive_options *o, const struct watch *watch,
			    const struct console *console, const struct control *control)
{
	if (console->asked_to_stop)
		say("stopped by Ctrl-A x");
	else if (control_asked_to_stop(control))
		say("stopped by `ttvm ctl`");
	else if (watch->timed_out)
		say("stopped after %g s (--timeout)", o->timeout);
	else if (watch->caught)
		say("stopped by signal %d (%s)", watch->caught, strsignal(watch->caught));
}

/* gdb on a run that nobody records. */
struct debugger {
	char name[LISTEN_NAME_MAX];	/* of the socket */
	struct tt_debug_target *target;
	struct tt_gdb_server *server;
};

static int debugger_start(struct debugger *d, const struct drive_options *o, struct tt_machine *m, struct tt_error *err)
{
	struct tt_gdb_options options = { .message = say_message };
	int ret;

	*d = (struct debugger){ 0 };
	if (!o->gdb)
		return 0;
	ret = tt_debug_live_create(m, o->gdb_wait, &d->target, err);
	if (ret)
		return ret;
	options.target = d->target;
	options.listen_fd = listen_at(o->gdb, d->name, err);
	ret = options.listen_fd < 0 ? options.listen_fd : tt_gdb_start(&options, &d->server, err);
	if (ret) {
		tt_debug_live_destroy(d->target);
		return ret;
	}
	say("gdb can connect: target remote %s%s", d->name, o->gdb_wait ? "; the guest waits for it" : "");
	return 0;
}

/* The machine has ended, or was never started. */
static void debugger_stop(struct debugger *d)
{
	if (!d->server)
		return;
	tt_debug_live_end(d->target);
	tt_gdb_stop(d->server);
	tt_debug_live_destroy(d->target);
	if (strchr(d->name, '/'))
		unlink(d->name);
	d->server = NULL;
}

int drive_machine(const struct drive_options *o, struct tt_machine *m, struct tt_recorder *recorder,
		  struct console *console, int (*run)(struct tt_machine *m))
{
	struct watch watch = { .machine = m, .timeout = o->timeout };
	const struct control_options steering = { .path = o->control, .machine = m, .recorder = recorder,
						  .on_mark = mark_disks, .on_mark_ctx = m };
	struct disk_pause pause = { .machine = m };
	bool said_unknown[TT_MAX_DISKS] = { false };
	struct control *control = NULL;
	struct tt_recorder_result result;
	struct debugger debugger;
	struct tt_error err = { 0 };
	double start = seconds_now(), seconds;
	unsigned int i;
	int status, ret;

	for (i = 0; i < m->config.num_disks; i++) {
		tt_disk_set_unknown(m->config.disks[i], say_unknown, &said_unknown[i]);
		if (o->pause_on_disk_error)
			tt_disk_set_retry(m->config.disks[i], wait_for_disk, &pause);
	}
	if (debugger_start(&debugger, o, m, &err) || control_start(&steering, &control, &err) ||
	    console_start_input(console, m, control, &err) || watch_start(&watch, &err)) {
		debugger_stop(&debugger);
		console_close(console);
		control_stop(control);
		return say_error(&err);
	}
	ret = run(m);
	watch_stop(&watch);
	debugger_stop(&debugger);
	seconds = seconds_now() - start;
	if (console_close(console))
		say("the console's output could not be written: %s", strerror(-console->error));
	say_why_stopped(o, &watch, console, control);
	control_stop(control);
	status = ret ? say_error(&m->error) : exit_status(o, m);
	if (!recorder) {
		if (o->stats && write_stats(o->stats, "run", seconds, NULL, NULL, &err))
			say_error(&err);
		if (!o->quiet && !ret)
			say("ran seconds=%.3f", seconds);
		return status;
	}
	if (tt_recorder_finish(recorder, &result, &err)) {
		say("%s: %s; the recording ended early, `ttvm info` says what there is to replay",
		    o->record, err.text[0] ? err.text : strerror(-result.log_error));
		status = EXIT_LOG_ENDED;
	}
	if (result.checkpoint_error.code)
		say_error(&result.checkpoint_error);
	if (o->stats &&
	    write_stats(o->stats, "record", seconds, &result.counts, &result.log, &err))
		say_error(&err);
	if (!o->quiet && !ret)
		say("recorded instr=%llu events=%llu bytes=%llu seconds=%.3f digest=%016llx",
		    (unsigned long long)result.counts.instructions,
		    (unsigned long long)result.counts.events,
		    (unsigned long long)result.log.file_bytes, seconds,
		    (unsigned long long)tt_digests_combine(&result.digests));
	return status;
}

