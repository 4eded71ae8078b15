// SPDX-License-Identifier: GPL-2.0
/*
 * timeline.c - in the test machine: a recording's timeline must show the same machine at a position however it came there.
 *
 * usage: timeline LOG SEED VISITS
 *
 * A first timeline goes forward through VISITS random positions and notes digests of registers, memory and devices. A
 * second one, with the checkpoints that the first has left in a file, visits them in random order, steps to and fro around some,
 * and runs over breakpoints forward and back. In the end a byte of the guest's memory is changed behind the timeline's back,
 * which must not go unnoticed. Before that, another one starts from the checkpoints that the recorder has left (ttvm run
 * --checkpoint-every).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "timeline.h"
#include "timeline-tool.h"

#define MAX_HITS 40
#define STEPS 30

static struct tt_error err;
static unsigned int failed;

static void verdict(const char *name, const char *why)
{
	if (why) {
		failed++;
		printf("not ok %s: %s\n", name, why);
	} else {
		printf("ok %s\n", name);
	}
	fflush(stdout);
}

static void die(const char *what)
{
	printf("not ok %s: %s\n", what, err.text);
	exit(1);
}

struct place {
	uint64_t position;
	struct tt_digests digests;
	uint64_t event;
	uint64_t time;
	uint64_t rip;
	uint64_t rsp;
};

#define CACHE "timeline.checkpoints"

static unsigned int told_of_damage;
static uint64_t written, shown; /* bytes of console output that a timeline gave us */

static void console(void *ctx, const void *data, size_t len)
{
	(void)data;
	*(uint64_t *)ctx += len;
}

static void message(void *ctx, const char *text)
{
	(void)ctx;
	told_of_damage += strstr(text, "damaged") != NULL;
	printf("# %s\n", text);
}

static struct tt_timeline *open_timeline(const char *path, const char *cache, uint64_t *output, uint64_t bytes)
{
	const struct tt_timeline_options options = { .console = console, .message = message, .ctx = output,
						     .checkpoint_bytes = bytes, .cache = cache };
	struct tt_timeline *t;

	if (tt_timeline_open(path, &options, &t, &err))
		die("open");
	return t;
}

static void go(struct tt_timeline *t, uint64_t position)
{
	struct tt_arrival arrival;

	if (tt_timeline_goto(t, position, &arrival, &err))
		die("goto");
	if (arrival.kind != TT_ARRIVED || tt_timeline_position(t) != position) {
		snprintf(err.text, sizeof(err.text), "at %llu instead of %llu", (unsigned long long)tt_timeline_position(t),
			 (unsigned long long)position);
		die("goto");
	}
}

static struct place look(struct tt_timeline *t)
{
	const struct kvm_regs *regs = &tt_vcpu_sync_regs(tt_timeline_vcpu(t))->regs;
	struct place p = { .position = tt_timeline_position(t), .event = tt_timeline_event(t),
			   .time = tt_timeline_time(t), .rip = regs->rip, .rsp = regs->rsp };

	if (tt_timeline_digests(t, &p.digests))
		die("digests");
	return p;
}

/* NULL, or what differs. */
static const char *compare(const struct place *a, const struct place *b)
{
	static char why[200];
	const char *what = a->digests.registers != b->digests.registers ? "registers differ" :
			   a->digests.memory != b->digests.memory	 ? "memory differs" :
			   a->digests.devices != b->digests.devices	 ? "devices differ" :
			   a->event != b->event				 ? "another event is next" :
			   a->time != b->time				 ? "another time" :
									   NULL;

	if (!what)
		return NULL;
	snprintf(why, sizeof(why), "%s at %llu (rip %llx, %llx; events %llu, %llu; time %llu, %llu)", what,
		 (unsigned long long)a->position, (unsigned long long)a->rip, (unsigned long long)b->rip,
		 (unsigned long long)a->event, (unsigned long long)b->event, (unsigned long long)a->time,
		 (unsigned long long)b->time);
	return why;
}

static int by_position(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return x->position < y->position ? -1 : x->position > y->position;
}

static void visit(struct tt_timeline *t, const struct place *places, unsigned int n)
{
	double *seconds = calloc(3 * n, sizeof(*seconds));
	const char *why = NULL;
	unsigned int i;

	for (i = 0; i < 3 * n && !why; i++) {
		const struct place *p = &places[random_below(n)];
		double start = now();
		struct place here;

		go(t, p->position);
		seconds[i] = now() - start;
		here = look(t);
		why = compare(&here, p);
	}
	verdict("visits-in-random-order", why);
	qsort(seconds, i, sizeof(*seconds), by_number);
	printf("# goto: median %.3f s, worst %.3f s of %u\n", seconds[i / 2], seconds[i - 1], i);
	free(seconds);
}

/* Steps forward from a place, and back over the same. */
static void walk(struct tt_timeline *t, uint64_t from, uint64_t length)
{
	struct place forward[STEPS + 1], here;
	const char *why = NULL;
	double start;
	int i, n;

	go(t, from);
	for (n = 0; n <= STEPS && from + n <= length; n++) {
		go(t, from + n);
		forward[n] = look(t);
	}
	start = now();
	for (i = n - 1; i >= 0 && !why; i--) {
		go(t, from + i);
		here = look(t);
		why = compare(&here, &forward[i]);
	}
	verdict("steps-back", why);
	printf("# steps back: %.3f s each, digests included\n", (now() - start) / n);
}

/* All hits of a breakpoint forward from a place, and back from the last one: the same ones. */
static void hits(struct tt_timeline *t, const char *name, const struct tt_breakpoint *b, uint64_t from)
{
	bool data = b->kind != TT_BREAK_EXECUTE;
	uint64_t positions[MAX_HITS];
	struct tt_arrival arrival;
	char why[200] = "";
	int n = 0, i;
	double start;

	go(t, from);
	while (n < MAX_HITS) {
		if (tt_timeline_continue(t, b, 1, &arrival, &err))
			die(name);
		if (arrival.kind != TT_ARRIVED_BREAKPOINT)
			break;
		positions[n++] = tt_timeline_position(t) - data;
	}
	/* From the last hit, which itself does not count, or from the end. */
	start = now();
	i = n - 1;
	if (n == MAX_HITS) {
		go(t, positions[n - 1]);
		i--;
	}
	for (; i >= 0 && !*why; i--) {
		if (tt_timeline_reverse(t, b, 1, &arrival, &err))
			die(name);
		if (arrival.kind != TT_ARRIVED_BREAKPOINT || tt_timeline_position(t) != positions[i])
			snprintf(why, sizeof(why), "hit %d of %d: at %llu instead of %llu, arrival %d", i, n,
				 (unsigned long long)tt_timeline_position(t), (unsigned long long)positions[i], arrival.kind);
	}
	verdict(name, *why ? why : NULL);
	printf("# %s: %d hits of %llx, %.2f s each in reverse\n", name, n, (unsigned long long)b->address,
	       n ? (now() - start) / n : 0);
}

/*
 * More breakpoints than a CPU has, at places that are never reached but for the last one: where that is hit alone they all
 * must stop, in both directions.
 */
static void many(struct tt_timeline *t, uint64_t rip, uint64_t from)
{
	struct tt_breakpoint list[7];
	struct tt_arrival arrival;
	enum tt_arrival_kind alone;
	uint64_t position;
	char why[200] = "";
	unsigned int i;

	for (i = 0; i < 6; i++)
		list[i] = (struct tt_breakpoint){ TT_BREAK_EXECUTE, 0x7fff00000000 + i, 1 };
	list[6] = (struct tt_breakpoint){ TT_BREAK_EXECUTE, rip, 1 };
	go(t, from);
	if (tt_timeline_continue(t, &list[6], 1, &arrival, &err))
		die("many-breakpoints");
	alone = arrival.kind;
	position = tt_timeline_position(t);
	go(t, from);
	if (tt_timeline_continue(t, list, 7, &arrival, &err))
		die("many-breakpoints");
	if (arrival.kind != alone || tt_timeline_position(t) != position ||
	    (alone == TT_ARRIVED_BREAKPOINT && arrival.breakpoint != 6))
		snprintf(why, sizeof(why), "arrival %d, number %u at %llu instead of %d at %llu", arrival.kind,
			 arrival.breakpoint, (unsigned long long)tt_timeline_position(t), alone, (unsigned long long)position);
	verdict("many-breakpoints/forward", *why ? why : NULL);
	if (alone != TT_ARRIVED_BREAKPOINT)
		return;
	go(t, position + 1);
	if (tt_timeline_reverse(t, list, 7, &arrival, &err))
		die("many-breakpoints");
	if (arrival.kind != TT_ARRIVED_BREAKPOINT || tt_timeline_position(t) != position || arrival.breakpoint != 6)
		snprintf(why, sizeof(why), "arrival %d, number %u at %llu instead of %llu", arrival.kind, arrival.breakpoint,
			 (unsigned long long)tt_timeline_position(t), (unsigned long long)position);
	verdict("many-breakpoints/back", *why ? why : NULL);
}

/* To a time: the first instruction that has it. */
static void times(struct tt_timeline *t, const struct place *p)
{
	struct tt_arrival arrival;
	uint64_t position;
	const char *why = NULL;

	if (tt_timeline_seek_time(t, p->time, &arrival, &err))
		die("time");
	position = tt_timeline_position(t);
	if (arrival.kind != TT_ARRIVED || position > p->position || tt_timeline_time(t) != p->time)
		why = "not at an instruction of that time";
	if (position && !why) {
		go(t, position - 1);
		why = tt_timeline_time(t) < p->time ? NULL : "not at the first";
	}
	verdict("time", why);
	if (tt_timeline_seek_time(t, UINT64_MAX, &arrival, &err))
		die("time");
	verdict("time-behind-the-end", arrival.kind == TT_ARRIVED_END ? NULL : "it went there");
}

static void begin_and_end(struct tt_timeline *t, uint64_t length)
{
	struct tt_arrival arrival;

	if (tt_timeline_continue(t, NULL, 0, &arrival, &err))
		die("end");
	verdict("end", arrival.kind == TT_ARRIVED_END && tt_timeline_position(t) == length ? NULL : "not at the end");
	if (tt_timeline_goto(t, length + 1, &arrival, &err))
		die("behind-the-end");
	verdict("behind-the-end", arrival.kind == TT_ARRIVED_END ? NULL : "it went there");
	if (tt_timeline_reverse(t, NULL, 0, &arrival, &err))
		die("begin");
	verdict("begin", arrival.kind == TT_ARRIVED_BEGIN && !tt_timeline_position(t) ? NULL : "not at the beginning");
}

/*
 * Somebody else's write into the guest must be seen: else the comparisons above would be worth nothing. One step, so that no
 * checkpoint lies in between, which would undo it.
 */
static void notice(struct tt_timeline *t, uint64_t position)
{
	struct tt_vcpu *vcpu = tt_timeline_vcpu(t);
	struct tt_arrival arrival;
	struct place truth, here;

	go(t, position + 1);
	truth = look(t);
	go(t, position);
	vcpu->machine->memory.hva[vcpu->machine->memory.size / 2] ^= 1;
	if (tt_timeline_goto(t, position + 1, &arrival, &err)) {
		verdict("negative-control", err.code == -EBADE ? NULL : err.text);
		return;
	}
	here = look(t);
	verdict("negative-control", compare(&here, &truth) ? NULL : "a changed byte was not noticed");
}

/* The file with the checkpoints loses a bit: that is told, if it is come across, and nothing else changes. */
static void damage(const char *path, const char *name, double where, bool must_tell, const struct place *p)
{
	uint64_t output = 0;
	struct tt_timeline *t;
	struct place here;
	const char *why;
	FILE *file = fopen(CACHE, "r+");
	long size;
	int c;

	if (!file || fseek(file, 0, SEEK_END) || (size = ftell(file)) <= 0)
		return verdict(name, "there is no file with checkpoints");
	fseek(file, (long)(size * where), SEEK_SET);
	c = fgetc(file);
	fseek(file, -1, SEEK_CUR);
	fputc(c ^ 4, file);
	fclose(file);
	told_of_damage = 0;
	t = open_timeline(path, CACHE, &output, 0);
	go(t, p->position);
	here = look(t);
	why = compare(&here, p);
	tt_timeline_close(t);
	verdict(name, why ? why : must_tell && !told_of_damage ? "nobody noticed" : NULL);
}

/* From the furthest place back, each reached from a checkpoint of the recorder's, and the end, where the log has digests. */
static void recorded(const char *path, const struct place *places, unsigned int n, uint64_t length)
{
	struct tt_timeline_stats stats;
	const char *why = NULL;
	struct tt_timeline *t;
	uint64_t output = 0;
	char cache[4096];
	struct place here;
	unsigned int i;

	snprintf(cache, sizeof(cache), "%s.checkpoints", path);
	t = open_timeline(path, cache, &output, 0);
	tt_timeline_get_stats(t, &stats);
	printf("# recorder: %u checkpoints, %.1f MB, %llu pages, %llu on disk\n", stats.checkpoints,
	       stats.checkpoint_bytes / 1e6, (unsigned long long)stats.pages, (unsigned long long)stats.disk_pages);
	if (stats.checkpoints < 3)
		why = "the recorder has left too few checkpoints";
	go(t, length);
	for (i = n; i-- && !why;) {
		go(t, places[i].position);
		here = look(t);
		why = compare(&here, &places[i]);
	}
	tt_timeline_get_stats(t, &stats);
	if (!why && output != written)
		why = "more or less output than in one pass";
	verdict("recorder's-checkpoints", why);
	tt_timeline_close(t);
	remove(cache);
}

int main(int argc, char **argv)
{
	struct tt_timeline_stats stats;
	struct tt_timeline *t;
	struct place *places;
	unsigned int n, i, taken;
	uint64_t length;
	double start;

	if (argc != 4)
		return 1;
	seed = strtoull(argv[2], NULL, 0);
	remove(CACHE);
	n = atoi(argv[3]);
	places = calloc(n, sizeof(*places));
	t = open_timeline(argv[1], CACHE, &written, 0);
	length = tt_timeline_length(t);
	printf("# %llu instructions\n", (unsigned long long)length);
	for (i = 0; i < n; i++)
		places[i].position = random_below(length + 1);
	qsort(places, n, sizeof(*places), by_position);
	start = now();
	for (i = 0; i < n; i++) {
		go(t, places[i].position);
		places[i] = look(t);
	}
	go(t, length);
	printf("# forward: %.1f s\n", now() - start);
	tt_timeline_get_stats(t, &stats);
	printf("# %u checkpoints, %.1f MB, %llu pages, %llu of them zero, %llu on disk\n", stats.checkpoints,
	       stats.checkpoint_bytes / 1e6, (unsigned long long)stats.pages, (unsigned long long)stats.zero_pages,
	       (unsigned long long)stats.disk_pages);
	tt_timeline_close(t);

	recorded(argv[1], places, n, length);

	/* With the checkpoints of the first, and so little room that some of them have to go now and then. */
	taken = stats.checkpoints;
	t = open_timeline(argv[1], CACHE, &shown, stats.checkpoint_bytes / 10 * 9);
	tt_timeline_get_stats(t, &stats);
	verdict("checkpoints-stay", stats.checkpoints > (taken >= 10) ? NULL : "they are gone");
	visit(t, places, n);
	walk(t, places[n / 2].position, length);
	walk(t, places[n / 3].position, length);
	hits(t, "execution", &(struct tt_breakpoint){ TT_BREAK_EXECUTE, places[n / 2].rip, 1 }, places[n / 4].position);
	hits(t, "writes", &(struct tt_breakpoint){ TT_BREAK_WRITE, places[n / 2].rsp & ~7ull, 8 }, places[n / 2].position);
	many(t, places[n / 2].rip, places[n / 4].position);
	times(t, &places[n / 3]);
	begin_and_end(t, length);
	verdict("console-once", written == shown ? NULL : "more or less output than in one pass");
	notice(t, places[n / 3].position);
	tt_timeline_get_stats(t, &stats);
	printf("# %u checkpoints, %.1f MB; %llu taken, %llu loaded, %.1f M instructions executed\n", stats.checkpoints,
	       stats.checkpoint_bytes / 1e6, (unsigned long long)stats.taken, (unsigned long long)stats.loaded,
	       stats.executed / 1e6);
	tt_timeline_close(t);
	damage(argv[1], "damaged-page", 0.7, false, &places[n / 2]);
	damage(argv[1], "damaged-header", 0, true, &places[0]);
	damage(argv[1], "damaged-entry", 0.00002, true, &places[0]);
	remove(CACHE);
	free(places);
	return failed != 0;
}
