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
#include "ttvm.h"

#define MIN_MEMORY (16ull << 20)
#define MAX_MEMORY (1ull << 40)
#define DEFAULT_COMMAND_LINE "console=ttyS0"
#define DEFAULT_LOG "log.zst"

struct run_options {
	const char *guest;
	const char *initrd;
	const char *command_line;
	const char *console;
	const char *control;	/* path of a socket, or NULL */
	const char *record;	/* NULL: do not record */
	const char *cpu_model;
	const char *stats;
	uint64_t memory;
	double timeout;
	double digest_every;
	bool run_on;
	bool guest_status;
	bool quiet;
};

enum {
	OPT_INITRD = 256,
	OPT_APPEND,
	OPT_CONSOLE,
	OPT_CONTROL,
	OPT_CPU_MODEL,
	OPT_STATS,
	OPT_TIMEOUT,
	OPT_DIGEST_EVERY,
	OPT_ON_LOG_ERROR,
	OPT_GUEST_STATUS,
};

static const struct option long_options[] = {
	{ "record", optional_argument, NULL, 'r' },
	{ "initrd", required_argument, NULL, OPT_INITRD },
	{ "append", required_argument, NULL, OPT_APPEND },
	{ "mem", required_argument, NULL, 'm' },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "console", required_argument, NULL, OPT_CONSOLE },
	{ "control", required_argument, NULL, OPT_CONTROL },
	{ "cpu-model", required_argument, NULL, OPT_CPU_MODEL },
	{ "digest-every", required_argument, NULL, OPT_DIGEST_EVERY },
	{ "on-log-error", required_argument, NULL, OPT_ON_LOG_ERROR },
	{ "guest-status", no_argument, NULL, OPT_GUEST_STATUS },
	{ "stats", required_argument, NULL, OPT_STATS },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static const char help[] =
	"usage: ttvm run GUEST [OPTION]...\n\n"
	"Run a guest: a Linux kernel (bzImage or ELF), or another ELF kernel with a PVH entry.\n\n"
	"  -r, --record[=FILE]     record the run; FILE is log.zst unless given\n"
	"      --initrd FILE       initial RAM disk\n"
	"      --append TEXT       kernel command line (default: console=ttyS0)\n"
	"  -m, --mem SIZE          guest memory, e.g. 512M, 2G (default: " CONFIG_TEXT(CONFIG_TTVM_MEMORY_MB) "M)\n"
	"      --timeout SECONDS   stop the guest after that time; a recording ends cleanly\n"
	"      --console WHERE     stdio (default), none, pty, socket:PATH, or a file for the serial console's output\n"
	"      --control SOCKET    listen there for `ttvm ctl`\n"
	"      --cpu-model NAME    CPU features that the guest sees (default: " CONFIG_TTVM_CPU_MODEL ")\n"
	"      --guest-status      exit with the status that the guest wrote to its debug-exit port\n"
	"      --digest-every SEC  log a digest of all state this often, for ttvm verify\n"
	"      --on-log-error WHAT stop (default) or continue, when the log cannot be written any more\n"
	"      --stats FILE        write counts of the run to FILE as JSON\n"
	"  -q, --quiet             no last line, no progress\n"
	"  -h, --help              this text\n\n"
	"Exit status: 0 success, 1 usage or set-up error, 2 the guest crashed,\n"
	"5 the recording ended early (what was written can be replayed).\n";

static int parse_options(int argc, char **argv, struct run_options *o)
{
	int c;

	*o = (struct run_options){ .memory = (uint64_t)CONFIG_TTVM_MEMORY_MB << 20,
				   .cpu_model = CONFIG_TTVM_CPU_MODEL,
				   .command_line = DEFAULT_COMMAND_LINE,
				   .console = "stdio" };
	optind = 1;
	while ((c = getopt_long(argc, argv, "r::m:qh", long_options, NULL)) != -1) {
		switch (c) {
		case 'r':
			o->record = optarg ? optarg : DEFAULT_LOG;
			break;
		case OPT_INITRD:
			o->initrd = optarg;
			break;
		case OPT_APPEND:
			o->command_line = optarg;
			break;
		case 'm':
			if (!parse_size(optarg, &o->memory)) {
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
		case OPT_CPU_MODEL:
			o->cpu_model = optarg;
			break;
		case OPT_DIGEST_EVERY:
			if (!parse_seconds(optarg, &o->digest_every)) {
				say("--digest-every %s: not a number of seconds", optarg);
				return -1;
			}
			break;
		case OPT_ON_LOG_ERROR:
			if (strcmp(optarg, "stop") && strcmp(optarg, "continue")) {
				say("--on-log-error %s: say stop or continue", optarg);
				return -1;
			}
			o->run_on = !strcmp(optarg, "continue");
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
	if (optind + 1 != argc) {
		say(optind == argc ? "no guest given; usage: ttvm run GUEST [OPTION]..." :
				     "one guest only; quote arguments with spaces");
		return -1;
	}
	o->guest = argv[optind];
	o->memory &= ~4095ull;
	if (o->memory < MIN_MEMORY || o->memory > MAX_MEMORY) {
		say("--mem: between 16M and 1T, please");
		return -1;
	}
	return 1;
}

static int load_guest(const struct run_options *o, struct tt_machine_config *config,
		      struct tt_error *err)
{
	int ret = map_file(o->guest, &config->kernel, err);

	if (ret)
		return ret;
	ret = tt_boot_probe(o->guest, config->kernel, err);
	if (ret)
		return ret;
	config->kernel_name = o->guest;
	if (o->initrd)
		ret = map_file(o->initrd, &config->initrd, err);
	return ret;
}

static int describe_machine(const struct run_options *o, struct tt_machine_config *config,
			    struct kvm_cpuid2 **cpuid, struct tt_error *err)
{
	int kvm_fd, ret;

	kvm_fd = tt_kvm_open(err);
	if (kvm_fd < 0)
		return kvm_fd;
	config->memory_size = o->memory;
	config->num_vcpus = 1;
	config->command_line = o->command_line;
	config->wall_clock = time(NULL);
	ret = tt_host_tsc_hz(kvm_fd, &config->tsc_hz, err);
	if (!ret)
		ret = tt_cpuid_create(kvm_fd, o->cpu_model, config->tsc_hz, cpuid, err);
	config->cpuid = *cpuid;
	close(kvm_fd);
	if (!ret && getrandom(config->rng_seed, sizeof(config->rng_seed), 0) !=
			    sizeof(config->rng_seed))
		ret = tt_fail(err, -EIO, "no random numbers from the kernel");
	return ret;
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

/* The machine runs; returns the exit status. recorder is NULL in an ordinary run. */
static int run_machine(const struct run_options *o, struct tt_machine *m,
		       struct tt_recorder *recorder, struct console *console)
{
	struct watch watch = { .machine = m, .timeout = o->timeout };
	const struct control_options steering = { .path = o->control, .machine = m, .recorder = recorder };
	struct control *control = NULL;
	struct tt_recorder_result result;
	struct tt_error err = { 0 };
	double start = seconds_now(), seconds;
	int status, ret;

	if (control_start(&steering, &control, &err) || console_start_input(console, m, control, &err) ||
	    watch_start(&watch, &err)) {
		console_close(console);
		control_stop(control);
		return say_error(&err);
	}
	ret = tt_machine_run(m);
	watch_stop(&watch);
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

static int run(const struct run_options *o)
{
	struct tt_machine_config config = { 0 };
	struct kvm_cpuid2 *cpuid = NULL;
	struct tt_recorder *recorder = NULL;
	struct tt_seam *live = NULL;
	struct tt_machine machine;
	struct console console;
	struct tt_error err = { 0 };
	int status = EXIT_SETUP;

	if (load_guest(o, &config, &err) || describe_machine(o, &config, &cpuid, &err)) {
		say_error(&err);
		goto out_free;
	}
	if (console_open(&console, o->console, &err)) {
		say_error(&err);
		goto out_free;
	}
	if (o->record) {
		struct tt_recorder_options options = { .path = o->record,
						       .log = { .level = CONFIG_TTVM_LOG_LEVEL,
								.flush_ms = CONFIG_TTVM_LOG_FLUSH_MS },
						       .run_on = o->run_on,
						       .digest_seconds = o->digest_every };

		if (tt_recorder_create(&options, &config, &recorder, &err)) {
			say_error(&err);
			goto out_console;
		}
	} else {
		live = tt_live_create(&err);
		if (!live) {
			say_error(&err);
			goto out_console;
		}
	}
	if (tt_machine_create(&machine, &config, recorder ? tt_recorder_seam(recorder) : live, &err)) {
		say_error(&err);
		goto out_console;
	}
	machine.console_write = console_write;
	machine.console_ctx = &console;
	status = run_machine(o, &machine, recorder, &console);
	tt_machine_destroy(&machine);
out_console:
	console_close(&console);
	tt_recorder_destroy(recorder);
	free(live);
out_free:
	free(cpuid);
	unmap_file(&config.kernel);
	unmap_file(&config.initrd);
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
