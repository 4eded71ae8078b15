// SPDX-License-Identifier: GPL-2.0
/*
 * dump.c - ttvm dump: a moment of a recording as a core file, to be looked at elsewhere.
 */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replay_log.h"
#include "ttvm.h"
#include "vmcore.h"

enum { OPT_TO_INSTR = 256, OPT_TO_EVENT, OPT_TO_MARK, OPT_DISK, OPT_MARGIN, OPT_JSON };

static const struct option long_options[] = {
	{ "output", required_argument, NULL, 'o' },
	{ "to-instr", required_argument, NULL, OPT_TO_INSTR },
	{ "to-event", required_argument, NULL, OPT_TO_EVENT },
	{ "to-mark", required_argument, NULL, OPT_TO_MARK },
	{ "disk", required_argument, NULL, OPT_DISK },
	{ "margin", required_argument, NULL, OPT_MARGIN },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static const char help[] =
	"usage: ttvm dump LOG -o FILE [OPTION]...\n\n"
	"Write the machine of a recording, as it is at its end or after any instruction, to an ELF core that\n"
	"gdb and crash open: all registers, all memory by virtual and by physical address.\n\n"
	"  -o, --output FILE  the core; an older one is replaced when the new one is complete\n"
	"      --to-instr N   the machine after exactly N instructions\n"
	"      --to-event K   the machine where event number K (from 0) is about to take effect\n"
	"      --to-mark NAME the machine where `ttvm ctl` set this mark\n"
	"      --disk FILE    where the recording's first disk (.ttd) is now; again for the second, and so\n"
	"                     on (default: in the folder of the log, or where it was)\n"
	"      --margin N     branches before an event at which the PMU's alarm is set\n"
	"      --json         say on stdout what was written, as JSON\n"
	"  -h, --help         this text\n\n"
	"Exit status: 0 success, 1 usage or set-up error, 2 the guest crashed (as recorded; the core is\n"
	"written), 3 divergence, 4 damaged or unreadable log.\n";

struct dump {
	const char *path;
	bool json;
	uint64_t memory;	/* bytes */
	double start, shown;
};

/* ------------------------------------------------------------------ options */

static int parse_options(int argc, char **argv, struct dump *d, struct replay_options *o)
{
	int c, goals = 0;

	optind = 1;
	while ((c = getopt_long(argc, argv, "o:h", long_options, NULL)) != -1) {
		switch (c) {
		case 'o':
			d->path = optarg;
			break;
		case OPT_TO_INSTR:
		case OPT_TO_EVENT:
			goals++;
			o->goal.kind = c == OPT_TO_INSTR ? TT_GOAL_INSTRUCTION : TT_GOAL_EVENT;
			if (parse_number(optarg, &o->goal.value))
				break;
			say("--to-%s %s: not a number", c == OPT_TO_INSTR ? "instr" : "event", optarg);
			return -1;
		case OPT_TO_MARK:
			goals++;
			o->mark = optarg;
			break;
		case OPT_DISK:
			if (o->num_disks == TT_MAX_DISKS) {
				say("--disk: %d disks at most", TT_MAX_DISKS);
				return -1;
			}
			o->disks[o->num_disks++] = optarg;
			break;
		case OPT_MARGIN:
			if (parse_number(optarg, &o->margin))
				break;
			say("--margin %s: not a number", optarg);
			return -1;
		case OPT_JSON:
			d->json = true;
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		default:
			say("`ttvm dump --help` lists the options");
			return -1;
		}
	}
	if (goals > 1) {
		say("--to-instr, --to-event and --to-mark exclude each other");
		return -1;
	}
	if (optind + 1 != argc) {
		say("one log, please; usage: ttvm dump LOG -o FILE [OPTION]...");
		return -1;
	}
	if (!d->path) {
		say("a file to write, please: -o FILE");
		return -1;
	}
	o->log = argv[optind];
	return 1;
}

/* ------------------------------------------------------------------ writing */

/* True when the user wants it to end: the signals are blocked, so they wait. */
static bool progress(void *ctx, uint64_t done)
{
	struct dump *d = ctx;
	double now = seconds_now();

	if (now - d->start > 1 && now - d->shown > 0.2 && isatty(STDERR_FILENO)) {
		d->shown = now;
		fprintf(stderr, "\rttvm: %3.0f %% of memory written   ", 100.0 * done / d->memory);
	}
	return watch_wants_end();
}

static json_t *text_or_null(const struct vmcoreinfo *info, const char *key)
{
	char value[VMCOREINFO_VALUE_MAX];

	return info && vmcoreinfo_get(info, key, value) ? json_string(value) : json_null();
}

static int print_json(const struct dump *d, const struct vmcoreinfo *info, const struct vmcore_stats *stats,
		      const struct tt_replayer_result *result)
{
	json_t *root = json_pack("{s:s, s:I, s:I, s:s, s:I, s:I, s:I, s:b, s:o, s:o}", "file", d->path, "instructions",
				 (json_int_t)result->counts.instructions, "events", (json_int_t)result->counts.events,
				 "format", "elf", "bytes", (json_int_t)stats->bytes, "stored_bytes",
				 (json_int_t)stats->stored, "mappings", (json_int_t)stats->mappings, "vmcoreinfo",
				 info != NULL, "osrelease", text_or_null(info, "OSRELEASE"), "kernel_offset",
				 text_or_null(info, "KERNELOFFSET"));
	int ret = root ? json_dumpf(root, stdout, JSON_INDENT(1)) : -1;

	json_decref(root);
	if (!ret && putchar('\n') != EOF && !fflush(stdout))
		return EXIT_OK;
	say("the output could not be written: %s", strerror(errno));
	return EXIT_SETUP;
}

static void print_text(const struct vmcoreinfo *info, const struct vmcore_stats *stats)
{
	char release[VMCOREINFO_VALUE_MAX] = "-", offset[VMCOREINFO_VALUE_MAX] = "-";

	if (info) {
		vmcoreinfo_get(info, "OSRELEASE", release);
		vmcoreinfo_get(info, "KERNELOFFSET", offset);
	}
	say("dumped bytes=%llu stored=%llu mappings=%zu osrelease=%s kernel-offset=%s", (unsigned long long)stats->bytes,
	    (unsigned long long)stats->stored, stats->mappings, release, offset);
}

static int write_core(void *ctx, struct tt_machine *m, const struct tt_replayer_result *result)
{
	struct dump *d = ctx;
	struct tt_registers *registers = calloc(m->config.num_vcpus, sizeof(*registers));
	struct vmcore core = {
		.memory = &m->memory,
		.registers = registers,
		.num_vcpus = m->config.num_vcpus,
		.progress = progress,
		.ctx = d,
	};
	struct vmcore_stats stats;
	struct vmcoreinfo info;
	struct tt_error err = { 0 };
	unsigned int i;
	int ret = registers ? 0 : tt_fail(&err, -ENOMEM, "out of memory");

	for (i = 0; i < core.num_vcpus && !ret; i++) {
		ret = tt_registers_read(&m->vcpus[i], &registers[i]);
		if (ret)
			tt_fail(&err, ret, "KVM does not give the registers: %s", strerror(-ret));
	}
	if (!ret && vmcoreinfo_find(&m->memory, &info))
		core.info = &info;
	d->memory = m->memory.size;
	d->start = seconds_now();
	if (!ret)
		ret = vmcore_write(&core, d->path, &stats, &err);
	if (d->shown > 0)
		fputs("\r\033[K", stderr);
	free(registers);
	if (ret)
		return say_error(&err);
	if (stats.cut)
		say("%s: memory is mapped in more than %u pieces; later virtual addresses are left out", d->path,
		    TT_MAX_MAPPINGS);
	if (d->json)
		return print_json(d, core.info, &stats, result);
	print_text(core.info, &stats);
	return EXIT_OK;
}

int cmd_dump(int argc, char **argv)
{
	struct dump d = { 0 };
	struct replay_options options = { .quiet = true, .arrived = write_core, .ctx = &d };
	int ret = parse_options(argc, argv, &d, &options);

	if (ret <= 0)
		return ret ? EXIT_SETUP : EXIT_OK;
	watch_block_signals();
	return replay_log(&options);
}
