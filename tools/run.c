// SPDX-License-Identifier: GPL-2.0
/*
 * run.c - ttvm run: run a guest, and record it with --record.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "drive.h"
#include "guest.h"

#define MIN_MEMORY (16ull << 20)
#define MAX_MEMORY (1ull << 40)
#define DEFAULT_COMMAND_LINE "console=ttyS0"
#define DEFAULT_LOG "log.zst"

struct run_options {
	struct guest_options guest;
	struct drive_options drive;
};

enum {
	OPT_KERNEL = OPT_OWN,
	OPT_INITRD,
	OPT_APPEND,
	OPT_FIRMWARE,
	OPT_NET,
	OPT_VIRTIO_CONSOLE,
	OPT_GDB,
	OPT_GDB_WAIT,
	OPT_CPU_MODEL,
	OPT_CHECKPOINT_EVERY,
	OPT_CHECKPOINT_SPACE,
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
	{ "gdb", required_argument, NULL, OPT_GDB },
	{ "gdb-wait", no_argument, NULL, OPT_GDB_WAIT },
	{ "virtio-console", no_argument, NULL, OPT_VIRTIO_CONSOLE },
	{ "cpu-model", required_argument, NULL, OPT_CPU_MODEL },
	{ "checkpoint-every", required_argument, NULL, OPT_CHECKPOINT_EVERY },
	{ "checkpoint-space", required_argument, NULL, OPT_CHECKPOINT_SPACE },
	DRIVE_LONG_OPTIONS,
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
	"      --cpu-model NAME    CPU features that the guest sees: x86-64-v2, x86-64-v3 or host (default:\n"
	"                          " CONFIG_TTVM_CPU_MODEL ")\n"
	"      --guest-status      exit with the status that the guest wrote to its debug-exit port\n"
	"      --digest-every SEC  log a digest of all state this often, for ttvm verify\n"
	"      --checkpoint-every SEC  keep a checkpoint of each so many seconds of the guest's time in\n"
	"                          LOG.checkpoints, where ttvm debug looks for them\n"
	"      --checkpoint-space SIZE   what they may take, as in 512M (512M)\n"
	"      --on-log-error WHAT stop (default) or continue, when the log cannot be written any more\n"
	"      --on-disk-error WHAT report it to the guest (default), or pause until there is room again\n"
	"      --stats FILE        write counts of the run to FILE as JSON\n"
	"  -q, --quiet             no last line, no progress\n"
	"  -h, --help              this text\n\n"
	"Exit status: 0 success, 1 usage or set-up error, 2 the guest crashed,\n"
	"5 the recording ended early (what was written can be replayed).\n";

static int parse_options(int argc, char **argv, struct run_options *o)
{
	struct guest_options *guest = &o->guest;
	struct drive_options *drive = &o->drive;
	int c, ret;

	*o = (struct run_options){ .guest = { .memory = (uint64_t)CONFIG_TTVM_MEMORY_MB << 20,
					      .cpu_model = CONFIG_TTVM_CPU_MODEL,
					      .command_line = DEFAULT_COMMAND_LINE },
				   .drive = { .console = "stdio" } };
	optind = 1;
	while ((c = getopt_long(argc, argv, "r::d:m:qh", long_options, NULL)) != -1) {
		switch (c) {
		case 'r':
			drive->record = optarg ? optarg : DEFAULT_LOG;
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
		case OPT_GDB:
			drive->gdb = optarg;
			break;
		case OPT_GDB_WAIT:
			drive->gdb_wait = true;
			break;
		case OPT_CPU_MODEL:
			guest->cpu_model = optarg;
			break;
		case OPT_CHECKPOINT_EVERY:
			if (parse_seconds(optarg, &drive->checkpoint_every) && drive->checkpoint_every > 0)
				break;
			say("--checkpoint-every %s: not a number of seconds", optarg);
			return -1;
		case OPT_CHECKPOINT_SPACE:
			if (parse_size(optarg, &drive->checkpoint_bytes) && drive->checkpoint_bytes)
				break;
			say("--checkpoint-space %s: not a size", optarg);
			return -1;
		case 'h':
			fputs(help, stdout);
			return 0;
		default:
			ret = drive_option(drive, c, optarg);
			if (!ret)
				say("`ttvm run --help` lists the options");
			if (ret <= 0)
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
	if (drive->gdb_wait && !drive->gdb) {
		say("--gdb-wait: needs --gdb, which says where");
		return -1;
	}
	if (drive->gdb && drive->record) {
		say("--gdb: not with --record, which could not replay what a debugger does; record first, then debug the recording");
		return -1;
	}
	if ((drive->checkpoint_every > 0 || drive->checkpoint_bytes) && !drive->record) {
		say("--checkpoint-every, --checkpoint-space: checkpoints are of a recording; they need --record");
		return -1;
	}
	guest->memory &= ~4095ull;
	if (guest->memory < MIN_MEMORY || guest->memory > MAX_MEMORY) {
		say("--mem: between 16M and 1T, please");
		return -1;
	}
	return 1;
}

static int run(const struct run_options *o)
{
	const struct drive_options *drive = &o->drive;
	const struct tt_origin none = { 0 };
	char id[TT_RECORDING_ID_SIZE];
	struct tt_recorder *recorder = NULL;
	struct tt_seam *live = NULL;
	struct tt_machine machine;
	struct console console;
	struct tt_error err = { 0 };
	struct guest guest;
	int status = EXIT_SETUP, ret;

	tt_recording_new_id(id);
	if (guest_open(&guest, &o->guest, drive->record ? id : NULL, &err))
		return say_error(&err);
	if (drive->record && !drive->quiet && tt_cpuid_has_xsave(guest.config.cpuid))
		say("CPU model %s: the guest has XSAVE, which may tell it things that a replay cannot repeat (ttvm-run(1)); "
		    "x86-64-v2 is safe", guest.config.cpu_model);
	if (console_open(&console, drive->console, &err)) {
		say_error(&err);
		goto out_guest;
	}
	if (drive->record)
		ret = drive_create_recorder(drive, &guest.config, id, guest.sources, &none, &recorder, &err);
	else
		ret = (live = tt_live_create(&err)) ? 0 : err.code;
	if (!ret)
		ret = tt_machine_create(&machine, &guest.config, recorder ? tt_recorder_seam(recorder) : live, &err);
	if (ret) {
		say_error(&err);
		goto out_console;
	}
	drive_connect(&machine, &console);
	if (guest_start_nets(&machine, &err)) {
		say_error(&err);
	} else {
		status = drive_machine(drive, &machine, recorder, &console, tt_machine_run);
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
