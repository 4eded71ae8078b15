// SPDX-License-Identifier: GPL-2.0
/*
 * profile.c - ttvm profile: where a recorded guest spent its instructions. The recorded run has paid nothing for it:
 * samples are taken in a replay (Du et al., VEE 2011, took them from the PMU while the guest ran).
 *
 * Of every N instructions one is looked at, at a place among the N that jumps about, so that no loop of N instructions
 * beats with it. The places follow from N alone, and the machine there from the recording: so two profiles are the
 * same.
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "symbols.h"
#include "timeline.h"
#include "ttvm.h"

#define MAX_FILES 32
#define MAX_FRAMES 64
#define DEFAULT_SAMPLES 1000
#define DEFAULT_EVERY 10000000	/* of a recording whose length is unknown */
/* The way back is not gone; a few checkpoints are enough for an alarm that was lost. */
#define CHECKPOINT_BYTES (1u << 20)
#define CR0_PE 1u
#define CR3_TABLE 0x000ffffffffff000ull

enum { OPT_TO_INSTR = 256, OPT_EVERY, OPT_SYMBOLS, OPT_CALL_GRAPH, OPT_DISK };

static const struct option long_options[] = {
	{ "to-instr", required_argument, NULL, OPT_TO_INSTR },
	{ "every", required_argument, NULL, OPT_EVERY },
	{ "symbols", required_argument, NULL, OPT_SYMBOLS },
	{ "call-graph", required_argument, NULL, OPT_CALL_GRAPH },
	{ "output", required_argument, NULL, 'o' },
	{ "disk", required_argument, NULL, OPT_DISK },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static const char help[] =
	"usage: ttvm profile LOG [OPTION]...\n\n"
	"Say where the guest of a recording spent its instructions: samples taken in a replay, as folded\n"
	"stacks for flamegraph.pl, speedscope and others.\n\n"
	"      --to-instr A..B  only from instruction A to B; either may be left out (the whole recording)\n"
	"      --every N        a sample in each N instructions (so that there are about 1000)\n"
	"      --symbols FILE   names of functions: an ELF file with symbols, as vmlinux or a program of the\n"
	"                       guest, System.map, or the guest's /proc/kallsyms; KASLR is taken care of.\n"
	"                       FILE@ADDRESS is loaded at ADDRESS (hexadecimal). Again for more files\n"
	"      --call-graph fp  callers, too, by frame pointers, for guests that are built with them\n"
	"  -o, --output FILE    write the profile there (stdout)\n"
	"      --disk FILE      where the recording's first disk (.ttd) is now; again for the second, and so\n"
	"                       on (default: in the folder of the log, or where it was)\n"
	"  -h, --help           this text\n\n"
	"Exit status: 0 success, 1 usage or set-up error, 3 divergence, 4 damaged or unreadable log.\n";

struct sample {
	enum { MODE_REAL, MODE_KERNEL, MODE_USER } mode;
	uint64_t cr3;
	unsigned int count;	/* of frames */
	uint64_t *frames;	/* the innermost first */
};

struct profile {
	const char *log;
	const char *path;	/* NULL: stdout */
	uint64_t from, to;	/* instructions */
	uint64_t every;
	bool call_graph;
	const char *files[MAX_FILES];
	unsigned int num_files;
	const char *disks[TT_MAX_DISKS];
	unsigned int num_disks;
	struct tt_timeline *timeline;
	struct sample *samples;
	size_t count, room;
	size_t named;		/* samples whose innermost frame has a name */
	volatile bool stopped;
};

/* ------------------------------------------------------------------ options */

/* A..B, A.., ..B */
static bool parse_range(const char *text, uint64_t *from, uint64_t *to)
{
	const char *dots = strstr(text, "..");
	char first[32];

	if (!dots || (size_t)(dots - text) >= sizeof(first))
		return false;
	memcpy(first, text, dots - text);
	first[dots - text] = '\0';
	return (!*first || parse_number(first, from)) && (!dots[2] || parse_number(dots + 2, to)) && *from < *to;
}

static int take_option(struct profile *p, int c)
{
	switch (c) {
	case OPT_TO_INSTR:
		if (parse_range(optarg, &p->from, &p->to))
			return 1;
		say("--to-instr %s: not a range of instructions; say A..B, A.. or ..B", optarg);
		return -1;
	case OPT_EVERY:
		if (parse_number(optarg, &p->every) && p->every)
			return 1;
		say("--every %s: not a number of instructions", optarg);
		return -1;
	case OPT_SYMBOLS:
		if (p->num_files == MAX_FILES) {
			say("--symbols: %d files at most", MAX_FILES);
			return -1;
		}
		p->files[p->num_files++] = optarg;
		return 1;
	case OPT_CALL_GRAPH:
		p->call_graph = !strcmp(optarg, "fp");
		if (p->call_graph)
			return 1;
		say("--call-graph %s: only fp, frame pointers, is known", optarg);
		return -1;
	case 'o':
		p->path = optarg;
		return 1;
	case OPT_DISK:
		if (p->num_disks == TT_MAX_DISKS) {
			say("--disk: %d disks at most", TT_MAX_DISKS);
			return -1;
		}
		p->disks[p->num_disks++] = optarg;
		return 1;
	case 'h':
		fputs(help, stdout);
		return 0;
	default:
		say("`ttvm profile --help` lists the options");
		return -1;
	}
}

static int parse_options(int argc, char **argv, struct profile *p)
{
	int c, ret;

	optind = 1;
	while ((c = getopt_long(argc, argv, "o:h", long_options, NULL)) != -1) {
		ret = take_option(p, c);
		if (ret <= 0)
			return ret;
	}
	if (optind + 1 != argc) {
		say("one log, please; usage: ttvm profile LOG [OPTION]...");
		return -1;
	}
	p->log = argv[optind];
	return 1;
}

/* ------------------------------------------------------------------ samples */

/* A function that began with `push %rbp; mov %rsp,%rbp` has its caller's frame there, and the way back above it. */
static unsigned int walk_frames(struct tt_vcpu *vcpu, const struct kvm_sregs *sregs, const struct kvm_regs *regs,
				uint64_t frames[MAX_FRAMES])
{
	uint64_t frame[2], at = regs->rbp;
	unsigned int n = 1;

	while (n < MAX_FRAMES && at && !(at % 8) &&
	       tt_vcpu_read_virtual(vcpu, sregs, at, frame, sizeof(frame), false) == sizeof(frame) && frame[1]) {
		/* From the kernel's stack there is no way to the user's. */
		if (frame[1] >> 63 != regs->rip >> 63)
			break;
		frames[n++] = frame[1];
		if (frame[0] <= at)
			break;
		at = frame[0];
	}
	return n;
}

static int take_sample(struct profile *p)
{
	struct tt_vcpu *vcpu = tt_timeline_vcpu(p->timeline);
	uint64_t frames[MAX_FRAMES];
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	struct sample *s;

	if (ioctl(vcpu->fd, KVM_GET_REGS, &regs) < 0 || ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
		return -errno;
	if (p->count == p->room) {
		s = realloc(p->samples, (2 * p->room + 1024) * sizeof(*s));
		if (!s)
			return -ENOMEM;
		p->samples = s;
		p->room = 2 * p->room + 1024;
	}
	s = &p->samples[p->count];
	s->mode = !(sregs.cr0 & CR0_PE) ? MODE_REAL : sregs.ss.dpl ? MODE_USER : MODE_KERNEL;
	s->cr3 = sregs.cr3 & CR3_TABLE;
	frames[0] = regs.rip + (sregs.cs.l ? 0 : sregs.cs.base);
	s->count = p->call_graph && s->mode != MODE_REAL ? walk_frames(vcpu, &sregs, &regs, frames) : 1;
	s->frames = malloc(s->count * sizeof(*frames));
	if (!s->frames)
		return -ENOMEM;
	memcpy(s->frames, frames, s->count * sizeof(*frames));
	p->count++;
	return 0;
}

/* Where among the N of its number a sample is taken: SplitMix64 (Steele et al., OOPSLA 2014) of the number. */
static uint64_t place(uint64_t number, uint64_t every)
{
	uint64_t z = (number + 1) * 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return (z ^ (z >> 31)) % every;
}

static void show_progress(const struct profile *p, uint64_t at, double start, double *shown)
{
	double now = seconds_now();

	if (now - start < 1 || now - *shown < 0.2 || p->to == UINT64_MAX || !isatty(STDERR_FILENO))
		return;
	*shown = now;
	fprintf(stderr, "\rttvm: %3.0f %%, %zu samples   ", 100.0 * (at - p->from) / (p->to - p->from), p->count);
}

static int take_samples(struct profile *p, struct tt_error *err)
{
	double start = seconds_now(), shown = 0;
	struct tt_arrival arrival;
	uint64_t number, at;
	int ret = 0;

	for (number = 0; !ret && number <= (UINT64_MAX - p->from) / p->every - 1; number++) {
		at = p->from + number * p->every + place(number, p->every);
		/* The last stretch may be a short one. */
		if (at >= p->to && p->from + number * p->every < p->to)
			continue;
		if (at >= p->to)
			break;
		ret = tt_timeline_goto(p->timeline, at, &arrival, err);
		if (ret || arrival.kind == TT_ARRIVED_END)
			break;
		if (arrival.kind == TT_ARRIVED_INTERRUPTED || p->stopped) {
			ret = tt_fail(err, -EINTR, "stopped at instruction %llu",
				      (unsigned long long)tt_timeline_position(p->timeline));
			break;
		}
		ret = take_sample(p);
		if (ret)
			tt_fail(err, ret, "cannot look at the machine: %s", strerror(-ret));
		show_progress(p, at, start, &shown);
	}
	if (shown > 0)
		fputs("\r\033[K", stderr);
	return ret;
}

/* ------------------------------------------------------------------ folded stacks */

static void put_frame(FILE *out, const struct symbols *symbols, uint64_t address, bool is_return)
{
	/* A call may be the last instruction of its function. */
	const struct symbol *symbol = symbols_find(symbols, address - is_return);
	const char *c;

	if (!symbol) {
		fprintf(out, ";0x%llx", (unsigned long long)address);
		return;
	}
	putc(';', out);
	for (c = symbol->name; *c; c++)
		putc(*c == ';' || *c == ' ' ? '_' : *c, out);
}

/* "kernel;OUTER;INNER", "user;cr3 TABLE;..."; allocated. NULL: no memory. */
static char *fold(struct profile *p, const struct symbols *symbols, const struct sample *s)
{
	static const char *const modes[] = { [MODE_REAL] = "real mode", [MODE_KERNEL] = "kernel", [MODE_USER] = "user" };
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	unsigned int i;

	if (!out)
		return NULL;
	fputs(modes[s->mode], out);
	if (s->mode == MODE_USER)
		fprintf(out, ";cr3 0x%llx", (unsigned long long)s->cr3);
	for (i = s->count; i--;)
		put_frame(out, symbols, s->frames[i], i > 0);
	p->named += symbols_find(symbols, s->frames[0]) != NULL;
	return fclose(out) ? NULL : text;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int write_profile(struct profile *p, const struct symbols *symbols, FILE *out)
{
	char **lines = calloc(p->count + 1, sizeof(*lines));
	size_t i, same;
	int ret = lines ? 0 : -ENOMEM;

	for (i = 0; i < p->count && !ret; i++) {
		lines[i] = fold(p, symbols, &p->samples[i]);
		if (!lines[i])
			ret = -ENOMEM;
	}
	if (!ret)
		qsort(lines, p->count, sizeof(*lines), compare);
	for (i = 0; i < p->count && !ret; i += same) {
		for (same = 1; i + same < p->count && !strcmp(lines[i], lines[i + same]); same++)
			;
		if (fprintf(out, "%s %zu\n", lines[i], same) < 0)
			ret = errno ? -errno : -EIO;
	}
	for (i = 0; lines && i < p->count; i++)
		free(lines[i]);
	free(lines);
	if (fflush(out) && !ret)
		ret = -errno;
	return ret;
}

static int finish(struct profile *p, FILE *out, struct tt_error *err)
{
	struct symbols symbols = { 0 };
	struct vmcoreinfo info;
	bool has_info = vmcoreinfo_find(&tt_timeline_vcpu(p->timeline)->machine->memory, &info);
	char offset[VMCOREINFO_VALUE_MAX] = "-";
	unsigned int i;
	int ret = 0;

	if (has_info)
		vmcoreinfo_get(&info, "KERNELOFFSET", offset);
	for (i = 0; i < p->num_files && !ret; i++)
		ret = symbols_load(&symbols, p->files[i], has_info ? &info : NULL, err);
	if (!ret) {
		symbols_finish(&symbols);
		ret = write_profile(p, &symbols, out);
		if (ret)
			tt_fail(err, ret, "%s: %s", p->path ? p->path : "the output could not be written", strerror(-ret));
	}
	symbols_free(&symbols);
	if (!ret)
		say("profiled instr=%llu..%llu every=%llu samples=%zu named=%zu kernel-offset=%s",
		    (unsigned long long)p->from, (unsigned long long)(p->to == UINT64_MAX ? tt_timeline_position(p->timeline) : p->to),
		    (unsigned long long)p->every, p->count, p->named, offset);
	return ret;
}

/* ------------------------------------------------------------------ the command */

static void message(void *ctx, const char *text)
{
	(void)ctx;
	say("%s", text);
}

static void *wait_for_signal(void *arg)
{
	struct profile *p = arg;
	sigset_t set;
	int number;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigwait(&set, &number);
	p->stopped = true;
	tt_timeline_interrupt(p->timeline);
	return NULL;
}

/* What was asked for, within what there is. */
static int set_range(struct profile *p, struct tt_error *err)
{
	uint64_t length = tt_timeline_length(p->timeline);

	if (length && p->from >= length)
		return tt_fail(err, -ERANGE, "--to-instr %llu..: the recording ends after %llu instructions",
			       (unsigned long long)p->from, (unsigned long long)length);
	if (length && p->to > length)
		p->to = length;
	if (!p->every)
		p->every = p->to == UINT64_MAX ? DEFAULT_EVERY : (p->to - p->from) / DEFAULT_SAMPLES + 1;
	return 0;
}

static int profile(struct profile *p, FILE *out, struct tt_error *err)
{
	const struct tt_timeline_options options = {
		.disks = p->disks,
		.num_disks = p->num_disks,
		.checkpoint_bytes = CHECKPOINT_BYTES,
		.message = message,
	};
	pthread_t watcher;
	int ret = tt_timeline_open(p->log, &options, &p->timeline, err);

	if (ret)
		return ret;
	ret = set_range(p, err);
	if (!ret) {
		ret = -pthread_create(&watcher, NULL, wait_for_signal, p);
		if (ret)
			tt_fail(err, ret, "cannot start a thread: %s", strerror(-ret));
	}
	if (!ret) {
		ret = take_samples(p, err);
		pthread_cancel(watcher);
		pthread_join(watcher, NULL);
	}
	if (!ret)
		ret = finish(p, out, err);
	tt_timeline_close(p->timeline);
	return ret;
}

static int status_of(int ret)
{
	switch (ret) {
	case 0:
		return EXIT_OK;
	case -EBADE:
		return EXIT_DIVERGED;
	case -EBADMSG:
	case -ENODATA:
	case -EPROTONOSUPPORT:
		return EXIT_BAD_LOG;
	default:
		return EXIT_SETUP;
	}
}

/* Files that cannot be read are told of before the replay, not after it. */
static int check_files(const struct profile *p)
{
	struct symbols symbols = { 0 };
	struct tt_error err = { 0 };
	unsigned int i;
	int ret = 0;

	for (i = 0; i < p->num_files && !ret; i++)
		ret = symbols_load(&symbols, p->files[i], NULL, &err);
	symbols_free(&symbols);
	return ret ? say_error(&err) : EXIT_OK;
}

int cmd_profile(int argc, char **argv)
{
	struct profile p = { .to = UINT64_MAX };
	struct tt_error err = { 0 };
	int ret = parse_options(argc, argv, &p), status;
	FILE *out = stdout;

	if (ret <= 0)
		return ret ? EXIT_SETUP : EXIT_OK;
	watch_block_signals();
	if (check_files(&p))
		return EXIT_SETUP;
	if (p.path)
		out = fopen(p.path, "we");
	if (!out) {
		say("%s: %s", p.path, strerror(errno));
		return EXIT_SETUP;
	}
	ret = profile(&p, out, &err);
	if (p.path && fclose(out) && !ret)
		ret = tt_fail(&err, -errno, "%s: %s", p.path, strerror(errno));
	status = status_of(ret);
	if (ret)
		say_error(&err);
	while (p.count)
		free(p.samples[--p.count].frames);
	free(p.samples);
	return status;
}
