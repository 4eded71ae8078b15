// SPDX-License-Identifier: GPL-2.0
/*
 * run.c - ttvm run: run a guest, and record it with --record.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "config.h"
#include "control.h"
#include "debug.h"
#include "guest.h"
#include "ttvm.h"

#define MIN_MEMORY (16ull << 20)
#define MAX_MEMORY (1ull << 40)
#define DEFAULT_COMMAND_LINE "console=ttyS0"
#define DEFAULT_LOG "log.zst"

struct run_options {
	struct guest_options guest;
	const char *console;
	const char *control;	/* path of a socket, or NULL */
	const char *gdb;	/* where a debugger can connect, or NULL */
	bool gdb_wait;
	const char *record;	/* NULL: do not record */
	const char *stats;
	double timeout;
	double digest_every;
	bool run_on;
	bool pause_on_disk_error;
	bool guest_status;
	bool quiet;
};

enum {
	OPT_KERNEL = 256,
	OPT_INITRD,
	OPT_APPEND,
	OPT_FIRMWARE,
	OPT_NET,
	OPT_CONSOLE,
	OPT_VIRTIO_CONSOLE,
	OPT_CONTROL,
	OPT_GDB,
	OPT_GDB_WAIT,
	OPT_CPU_MODEL,
	OPT_STATS,
	OPT_TIMEOUT,
	OPT_DIGEST_EVERY,
	OPT_ON_LOG_ERROR,
	OPT_ON_DISK_ERROR,
	OPT_GUEST_STATUS,
};

static const struct option long_options[] = {
	{ "record", optional_argument, NULL, 'r' },
	{ "disk", required_argument, NULL, 'd' },
	{ "net", required_argument, NULL, OPT_NET },
	{ "kernel", required_argument, NULL, OPT_KERNEL },
	{ "initrd", required_argument, NULL, OPT_INITRD },
	{ "append", required_argument, NULL, OPT_APPEND },
	{ "firmware", required_argument, NULL, OPT_FIRMWARE },
	{ "mem", required_argument, NULL, 'm' },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "console", required_argument, NULL, OPT_CONSOLE },
	{ "control", required_argument, NULL, OPT_CONTROL },
	{ "gdb", required_argument, NULL, OPT_GDB },
	{ "gdb-wait", no_argument, NULL, OPT_GDB_WAIT },
	{ "virtio-console", no_argument, NULL, OPT_VIRTIO_CONSOLE },
	{ "cpu-model", required_argument, NULL, OPT_CPU_MODEL },
	{ "digest-every", required_argument, NULL, OPT_DIGEST_EVERY },
	{ "on-log-error", required_argument, NULL, OPT_ON_LOG_ERROR },
	{ "on-disk-error", required_argument, NULL, OPT_ON_DISK_ERROR },
	{ "guest-status", no_argument, NULL, OPT_GUEST_STATUS },
	{ "stats", required_argument, NULL, OPT_STATS },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static const char help[] =
	"usage: ttvm run GUEST [OPTION]...\n"
	"       ttvm run --kernel FILE [OPTION]...\n\n"
	"Run a guest: a raw disk image or time-travel disk (.ttd) with a boot loader on it, or a kernel:\n"
	"Linux (bzImage or ELF), or another ELF file with a PVH entry.\n\n"
	"  -r, --record[=FILE]     record the run; FILE is log.zst unless given\n"
	"  -d, --disk FILE         add a disk: a raw image, which is never written: its history goes to\n"
	"                          FILE.ttd; or such a history; append ,readonly, or ,plain to write\n"
	"                          FILE itself, without history\n"
	"      --net WHAT          add a network: user[,tcp:HOSTPORT:GUESTPORT[,udp:...]], tap:INTERFACE,\n"
	"                          or none (default: user when a disk boots, else none)\n"
	"      --kernel FILE       boot this kernel, when GUEST is a disk or absent\n"
	"      --initrd FILE       initial RAM disk\n"
	"      --append TEXT       kernel command line (default: console=ttyS0)\n"
	"      --firmware FILE     PC BIOS that boots disks (default: the installed SeaBIOS)\n"
	"  -m, --mem SIZE          guest memory, e.g. 512M, 2G (default: " CONFIG_TEXT(CONFIG_TTVM_MEMORY_MB) "M)\n"
	"      --timeout SECONDS   stop the guest after that time; a recording ends cleanly\n"
	"      --console WHERE     the serial console: stdio (default; Ctrl-A h lists its keys), none, pty,\n"
	"                          socket:PATH, or a file for its output\n"
	"      --virtio-console    add a second console, hvc0 in the guest, whose output goes to stderr\n"
	"      --control SOCKET    listen there for `ttvm ctl`\n"
	"      --gdb WHERE         let gdb connect there: [HOST:]PORT (of this machine by default), or the\n"
	"                          path of a unix socket, with a slash in it; not with --record\n"
	"      --gdb-wait          execute nothing before gdb lets it\n"
	"      --cpu-model NAME    CPU features that the guest sees (default: " CONFIG_TTVM_CPU_MODEL ")\n"
	"      --guest-status      exit with the status that the guest wrote to its debug-exit port\n"
	"      --digest-every SEC  log a digest of all state this often, for ttvm verify\n"
	"      --on-log-error WHAT stop (default) or continue, when the log cannot be written any more\n"
	"      --on-disk-error WHAT report it to the guest (default), or pause until there is room again\n"
	"      --stats FILE        write counts of the run to FILE as JSON\n"
	"  -q, --quiet             no last line, no progress\n"
	"  -h, --help              this text\n\n"
	"Exit status: 0 success, 1 usage or set-up error, 2 the guest crashed,\n"
	"5 the recording ended early (what was written can be replayed).\n";

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

static int parse_options(int argc, char **argv, struct run_options *o)
{
	struct guest_options *guest = &o->guest;
	int c, choice;

	*o = (struct run_options){ .guest = { .memory = (uint64_t)CONFIG_TTVM_MEMORY_MB << 20,
					      .cpu_model = CONFIG_TTVM_CPU_MODEL,
					      .command_line = DEFAULT_COMMAND_LINE },
				   .console = "stdio" };
	optind = 1;
	while ((c = getopt_long(argc, argv, "r::d:m:qh", long_options, NULL)) != -1) {
		switch (c) {
		case 'r':
			o->record = optarg ? optarg : DEFAULT_LOG;
			break;
		case 'd':
			if (!guest_parse_disk(guest, optarg))
				return -1;
			break;
		case OPT_NET:
			if (!guest_parse_net(guest, optarg))
				return -1;
			break;
		case OPT_KERNEL:
			guest->kernel = optarg;
			break;
		case OPT_INITRD:
			guest->initrd = optarg;
			break;
		case OPT_APPEND:
			guest->command_line = optarg;
			break;
		case OPT_FIRMWARE:
			guest->firmware = optarg;
			break;
		case OPT_VIRTIO_CONSOLE:
			guest->virtio_console = true;
			break;
		case 'm':
			if (!parse_size(optarg, &guest->memory)) {
				say("--mem %s: not a size; say 512M or 2G", optarg);
				return -1;
			}
			break;
		case OPT_TIMEOUT:
			if (!parse_seconds(optarg, &o->timeout) || o->timeout == 0) {
				say("--timeout %s: not a number of seconds", optarg);
				return -1;
			}
			break;
		case OPT_CONSOLE:
			o->console = optarg;
			break;
		case OPT_CONTROL:
			o->control = optarg;
			break;
		case OPT_GDB:
			o->gdb = optarg;
			break;
		case OPT_GDB_WAIT:
			o->gdb_wait = true;
			break;
		case OPT_CPU_MODEL:
			guest->cpu_model = optarg;
			break;
		case OPT_DIGEST_EVERY:
			if (!parse_seconds(optarg, &o->digest_every)) {
				say("--digest-every %s: not a number of seconds", optarg);
				return -1;
			}
			break;
		case OPT_ON_LOG_ERROR:
			choice = parse_either("--on-log-error", optarg, "stop", "continue");
			if (choice < 0)
				return -1;
			o->run_on = choice;
			break;
		case OPT_ON_DISK_ERROR:
			choice = parse_either("--on-disk-error", optarg, "report", "pause");
			if (choice < 0)
				return -1;
			o->pause_on_disk_error = choice;
			break;
		case OPT_GUEST_STATUS:
			o->guest_status = true;
			break;
		case OPT_STATS:
			o->stats = optarg;
			break;
		case 'q':
			o->quiet = true;
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		default:
			say("`ttvm run --help` lists the options");
			return -1;
		}
	}
	if (optind + 1 < argc) {
		say("one guest only; quote arguments with spaces");
		return -1;
	}
	guest->guest = argv[optind]; /* NULL at the end */
	if (!guest->guest && !guest->kernel) {
		say("no guest given; usage: ttvm run GUEST [OPTION]...");
		return -1;
	}
	if (o->gdb_wait && !o->gdb) {
		say("--gdb-wait: needs --gdb, which says where");
		return -1;
	}
	if (o->gdb && o->record) {
		say("--gdb: not with --record, which could not replay what a debugger does; record first, then debug the recording");
		return -1;
	}
	guest->memory &= ~4095ull;
	if (guest->memory < MIN_MEMORY || guest->memory > MAX_MEMORY) {
		say("--mem: between 16M and 1T, please");
		return -1;
	}
	return 1;
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

static int exit_status(const struct run_options *o, const struct tt_machine *m)
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

struct disk_pause {
	struct tt_machine *machine;
	bool said;
};

/* --on-disk-error=pause: on the vCPU's thread, so that the guest stands still. */
static bool wait_for_disk(void *ctx, int error)
{
	struct disk_pause *pause = ctx;

	if (!pause->said)
		say("a disk's history cannot be written: %s; the guest waits until it can", strerror(-error));
	pause->said = true;
	sleep(1);
	return !pause->machine->stop_requested;
}

static void say_why_stopped(const struct run_options *o, const struct watch *watch,
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

static int debugger_start(struct debugger *d, const struct run_options *o, struct tt_machine *m, struct tt_error *err)
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

/* The machine runs; returns the exit status. recorder is NULL in an ordinary run. */
static int run_machine(const struct run_options *o, struct tt_machine *m,
		       struct tt_recorder *recorder, struct console *console)
{
	struct watch watch = { .machine = m, .timeout = o->timeout };
	const struct control_options steering = { .path = o->control, .machine = m, .recorder = recorder,
						  .on_mark = mark_disks, .on_mark_ctx = m };
	struct disk_pause pause = { .machine = m };
	struct control *control = NULL;
	struct tt_recorder_result result;
	struct debugger debugger;
	struct tt_error err = { 0 };
	double start = seconds_now(), seconds;
	unsigned int i;
	int status, ret;

	for (i = 0; o->pause_on_disk_error && i < m->config.num_disks; i++)
		tt_disk_set_retry(m->config.disks[i], wait_for_disk, &pause);
	if (debugger_start(&debugger, o, m, &err) || control_start(&steering, &control, &err) ||
	    console_start_input(console, m, control, &err) || watch_start(&watch, &err)) {
		debugger_stop(&debugger);
		console_close(console);
		control_stop(control);
		return say_error(&err);
	}
	ret = tt_machine_run(m);
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

static int create_recorder(const struct run_options *o, const struct guest *guest, const char *id,
			   struct tt_recorder **recorder, struct tt_error *err)
{
	const struct tt_recorder_options options = { .path = o->record,
						     .id = id,
						     .disks = guest->sources,
						     .log = { .level = CONFIG_TTVM_LOG_LEVEL,
							      .flush_ms = CONFIG_TTVM_LOG_FLUSH_MS },
						     .run_on = o->run_on,
						     .digest_seconds = o->digest_every };

	return tt_recorder_create(&options, &guest->config, recorder, err);
}

static int run(const struct run_options *o)
{
	char id[TT_RECORDING_ID_SIZE];
	struct tt_recorder *recorder = NULL;
	struct tt_seam *live = NULL;
	struct tt_machine machine;
	struct console console;
	struct tt_error err = { 0 };
	struct guest guest;
	int status = EXIT_SETUP, ret;

	tt_recording_new_id(id);
	if (guest_open(&guest, &o->guest, o->record ? id : NULL, &err))
		return say_error(&err);
	if (console_open(&console, o->console, &err)) {
		say_error(&err);
		goto out_guest;
	}
	if (o->record)
		ret = create_recorder(o, &guest, id, &recorder, &err);
	else
		ret = (live = tt_live_create(&err)) ? 0 : err.code;
	if (!ret)
		ret = tt_machine_create(&machine, &guest.config, recorder ? tt_recorder_seam(recorder) : live, &err);
	if (ret) {
		say_error(&err);
		goto out_console;
	}
	machine.console_write = console_write;
	machine.console_ctx = &console;
	machine.console0_write = virtio_console_write;
	machine.message = say_message;
	if (guest_start_nets(&machine, &err)) {
		say_error(&err);
	} else {
		status = run_machine(o, &machine, recorder, &console);
		guest_stop_nets(&machine);
	}
	tt_machine_destroy(&machine);
out_console:
	console_close(&console);
	tt_recorder_destroy(recorder);
	free(live);
out_guest:
	guest_close(&guest);
	return status;
}

int cmd_run(int argc, char **argv)
{
	struct run_options options;
	int ret = parse_options(argc, argv, &options);

	if (ret <= 0)
		return ret ? EXIT_SETUP : EXIT_OK;
	watch_block_signals();
	return run(&options);
}
