// SPDX-License-Identifier: GPL-2.0
/*
 * trace.c - ttvm trace: replay a recording and write down what went through it: the network's frames, or a timeline of
 * everything. Nothing of that is in the recording but what came in from outside; the rest is made again.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "replay_log.h"
#include "trace_timeline.h"
#include "ttvm.h"

enum { OPT_PCAP = 256, OPT_PERFETTO, OPT_LOG_ONLY, OPT_NET, OPT_DISK, OPT_MARGIN };

static const struct option long_options[] = {
	{ "pcap", required_argument, NULL, OPT_PCAP },
	{ "perfetto", required_argument, NULL, OPT_PERFETTO },
	{ "log-only", no_argument, NULL, OPT_LOG_ONLY },
	{ "net", required_argument, NULL, OPT_NET },
	{ "disk", required_argument, NULL, OPT_DISK },
	{ "margin", required_argument, NULL, OPT_MARGIN },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static const char help[] =
	"usage: ttvm trace LOG --pcap FILE | --perfetto FILE [OPTION]...\n\n"
	"Replay a recording, and write down what happened in it. Times are the guest's.\n\n"
	"      --pcap FILE    all frames that its networks carried, as a capture file for Wireshark, tshark\n"
	"                     or tcpdump; - is stdout\n"
	"      --perfetto FILE  interrupts, halts, device accesses, console, disks, networks and the log's\n"
	"                     events as a timeline that ui.perfetto.dev opens (JSON); - is stdout\n"
	"      --log-only     with --perfetto: no replay, so neither KVM nor the disks are needed; only the\n"
	"                     log's events, at times that are lower bounds\n"
	"      --net N        frames of network number N only (from 0; default: all)\n"
	"      --disk FILE    where the recording's first disk (.ttd) is now; again for the second, and so on\n"
	"      --margin N     branches before an event at which the PMU's alarm is set\n"
	"  -h, --help         this text\n\n"
	"Exit status: 0 success, 1 usage or set-up error, 2 the guest crashed (as recorded),\n"
	"3 divergence, 4 damaged or unreadable log.\n";

struct trace {
	const char *pcap, *perfetto_path;	/* NULL: not wanted */
	bool log_only;
	struct capture capture;
	struct perfetto perfetto;
	struct trace_timeline timeline;
	struct tt_machine *machine;
	bool one_net;
	uint64_t net;
	uint64_t seen; /* frames of this replay; those of an earlier try are written already */
};

static void tap(void *ctx, unsigned int index, bool to_guest, const void *frame, size_t len)
{
	struct trace *t = ctx;
	uint64_t start = t->machine->config.wall_clock * 1000000000ull;

	if (t->one_net && index != t->net)
		return;
	if (t->perfetto_path)
		timeline_frame(&t->timeline, index, to_guest, len);
	if (!t->pcap || ++t->seen <= t->capture.frames)
		return;
	capture_write(&t->capture, start + tt_ticks_to_ns(t->machine, tt_machine_now(t->machine)), frame, len);
}

static void prepare(void *ctx, struct tt_machine *m)
{
	struct trace *t = ctx;

	t->machine = m;
	t->seen = 0;
	m->frame_tap = tap;
	m->frame_tap_ctx = t;
	if (t->perfetto_path)
		timeline_begin(&t->timeline, m);
}

static int parse_options(int argc, char **argv, struct trace *t, struct replay_options *o)
{
	int c;

	optind = 1;
	while ((c = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		switch (c) {
		case OPT_PCAP:
			t->pcap = optarg;
			break;
		case OPT_PERFETTO:
			t->perfetto_path = optarg;
			break;
		case OPT_LOG_ONLY:
			t->log_only = true;
			break;
		case OPT_NET:
			t->one_net = true;
			if (!parse_number(optarg, &t->net) || t->net >= TT_MAX_NETS) {
				say("--net %s: a number from 0 to %d", optarg, TT_MAX_NETS - 1);
				return -1;
			}
			break;
		case OPT_DISK:
			if (o->num_disks == TT_MAX_DISKS) {
				say("--disk: %d disks at most", TT_MAX_DISKS);
				return -1;
			}
			o->disks[o->num_disks++] = optarg;
			break;
		case OPT_MARGIN:
			if (!parse_number(optarg, &o->margin)) {
				say("--margin %s: not a number", optarg);
				return -1;
			}
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		default:
			say("`ttvm trace --help` lists the options");
			return -1;
		}
	}
	if (optind + 1 != argc || (!t->pcap && !t->perfetto_path)) {
		say("one log and a file to write, please; usage: ttvm trace LOG --pcap FILE | --perfetto FILE");
		return -1;
	}
	if (t->log_only && (t->pcap || !t->perfetto_path)) {
		say("--log-only goes with --perfetto: the frames that a guest has sent are not in the log");
		return -1;
	}
	if (t->pcap && t->perfetto_path && !strcmp(t->pcap, "-") && !strcmp(t->perfetto_path, "-")) {
		say("--pcap and --perfetto cannot both be stdout");
		return -1;
	}
	o->log = argv[optind];
	return 1;
}

/* ------------------------------------------------------------------ without a replay */

static int trace_log(struct trace *t, struct tt_log *log, const char *path)
{
	const struct tt_log_info *info = tt_log_info(log);
	struct tt_recording_facts facts;
	struct tt_machine_config config;
	struct tt_error err = { 0 };
	char *strings = NULL;
	int ret;

	if (info->status != TT_LOG_CLEAN)
		say("%s: %s", path, info->text);
	ret = tt_config_load(log, &config, &facts, &strings, &err);
	if (!ret)
		ret = timeline_from_log(&t->timeline, log, config.tsc_hz, &err);
	free(strings);
	if (ret)
		say_error(&err);
	return ret || info->status == TT_LOG_DAMAGED ? EXIT_BAD_LOG : EXIT_OK;
}

static int open_and_trace_log(struct trace *t, const char *path)
{
	struct tt_error err = { 0 };
	struct tt_log *log;
	int status;

	if (tt_log_open(path, &log, &err)) {
		say_error(&err);
		return err.code == -ENOENT || err.code == -EACCES ? EXIT_SETUP : EXIT_BAD_LOG;
	}
	status = trace_log(t, log, path);
	tt_log_close(log);
	return status;
}

/* ------------------------------------------------------------------ the command */

static int finish(struct trace *t, int status)
{
	int ret;

	if (t->pcap) {
		ret = capture_finish(&t->capture);
		if (ret) {
			say("%s: %s", t->pcap, strerror(-ret));
			status = EXIT_SETUP;
		}
	}
	if (t->perfetto_path) {
		timeline_end(&t->timeline);
		ret = perfetto_finish(&t->perfetto);
		if (ret) {
			say("%s: %s", t->perfetto_path, strerror(-ret));
			status = EXIT_SETUP;
		}
	}
	if (status != EXIT_OK && status != EXIT_CRASH)
		return status;
	if (t->pcap)
		say("traced frames=%llu bytes=%llu", (unsigned long long)t->capture.frames,
		    (unsigned long long)t->capture.bytes);
	if (t->perfetto_path)
		say("traced entries=%llu events=%llu interrupts=%llu exits=%llu halts=%llu",
		    (unsigned long long)t->perfetto.written, (unsigned long long)t->timeline.events,
		    (unsigned long long)t->timeline.interrupts, (unsigned long long)t->timeline.exits,
		    (unsigned long long)t->timeline.halts);
	return status;
}

int cmd_trace(int argc, char **argv)
{
	struct trace t = { 0 };
	struct replay_options options = { .quiet = true, .prepare = prepare, .ctx = &t };
	struct tt_error err = { 0 };
	int ret = parse_options(argc, argv, &t, &options);

	if (ret <= 0)
		return ret ? EXIT_SETUP : EXIT_OK;
	watch_block_signals();
	if (t.pcap && capture_create(&t.capture, t.pcap, &err))
		return say_error(&err);
	if (t.perfetto_path && perfetto_create(&t.perfetto, t.perfetto_path, options.log, !t.log_only, &err)) {
		if (t.pcap)
			capture_finish(&t.capture);
		return say_error(&err);
	}
	if (t.perfetto_path) {
		timeline_init(&t.timeline, &t.perfetto);
		options.witness = &t.timeline.witness;
	}
	return finish(&t, t.log_only ? open_and_trace_log(&t, options.log) : replay_log(&options));
}
