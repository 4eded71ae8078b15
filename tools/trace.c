// SPDX-License-Identifier: GPL-2.0
/*
 * trace.c - ttvm trace: replay a recording and write down what went through it. Nothing of that is in the recording but
 * what came in from outside; the rest is made again.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "capture.h"
#include "replay_log.h"
#include "ttvm.h"

enum { OPT_PCAP = 256, OPT_NET, OPT_DISK, OPT_MARGIN };

static const struct option long_options[] = {
	{ "pcap", required_argument, NULL, OPT_PCAP },
	{ "net", required_argument, NULL, OPT_NET },
	{ "disk", required_argument, NULL, OPT_DISK },
	{ "margin", required_argument, NULL, OPT_MARGIN },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static const char help[] =
	"usage: ttvm trace LOG --pcap FILE [OPTION]...\n\n"
	"Replay a recording, and write all frames that its networks carried to a capture file for Wireshark,\n"
	"tshark or tcpdump. Time stamps are the guest's time.\n\n"
	"      --pcap FILE    the capture file; - is stdout\n"
	"      --net N        frames of network number N only (from 0; default: all)\n"
	"      --disk FILE    where the recording's first disk (.ttd) is now; again for the second, and so on\n"
	"      --margin N     branches before an event at which the PMU's alarm is set\n"
	"  -h, --help         this text\n\n"
	"Exit status: 0 success, 1 usage or set-up error, 2 the guest crashed (as recorded),\n"
	"3 divergence, 4 damaged or unreadable log.\n";

struct trace {
	const char *path;
	struct capture capture;
	struct tt_machine *machine;
	bool one_net;
	uint64_t net;
	uint64_t seen; /* frames of this replay; those of an earlier try are written already */
};

static void tap(void *ctx, unsigned int index, bool to_guest, const void *frame, size_t len)
{
	struct trace *t = ctx;
	uint64_t start = t->machine->config.wall_clock * 1000000000ull;

	(void)to_guest; /* the addresses say it */
	if ((t->one_net && index != t->net) || ++t->seen <= t->capture.frames)
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
}

static int parse_options(int argc, char **argv, struct trace *t, struct replay_options *o)
{
	int c;

	optind = 1;
	while ((c = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		switch (c) {
		case OPT_PCAP:
			t->path = optarg;
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
	if (optind + 1 != argc || !t->path) {
		say("one log and a file to write, please; usage: ttvm trace LOG --pcap FILE");
		return -1;
	}
	o->log = argv[optind];
	return 1;
}

int cmd_trace(int argc, char **argv)
{
	struct trace t = { 0 };
	struct replay_options options = { .quiet = true, .prepare = prepare, .ctx = &t };
	struct tt_error err = { 0 };
	int ret = parse_options(argc, argv, &t, &options), status;

	if (ret <= 0)
		return ret ? EXIT_SETUP : EXIT_OK;
	watch_block_signals();
	if (capture_create(&t.capture, t.path, &err))
		return say_error(&err);
	status = replay_log(&options);
	if (capture_finish(&t.capture)) {
		say("%s: %s", t.path, strerror(-t.capture.error));
		return EXIT_SETUP;
	}
	if (status == EXIT_OK || status == EXIT_CRASH)
		say("traced frames=%llu bytes=%llu", (unsigned long long)t.capture.frames,
		    (unsigned long long)t.capture.bytes);
	return status;
}
