// SPDX-License-Identifier: GPL-2.0
/*
 * watch.c - in the test machine: watching memory by guarding its pages finds what debug registers find, hit by hit.
 *
 * usage: watch LOG SEED PLACES [ADDRESS]...
 *
 * At random places of a recording, ranges near these addresses, or near the stack pointer, are watched by debug
 * registers, which takes some runs for each stretch; then by guarding their pages. The hits that come soon must be the
 * same, and the same on the way back, and the machine at some of them. What is watched in the page beside must give
 * something else: else the comparison would be worth nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "timeline.h"
#include "timeline-tool.h"

#define MAX_PLACES 100
#define MAX_HITS 6
#define MAX_RANGE 64 /* bytes: so many take three or four runs with debug registers */
#define SOON 1000 /* instructions: a page may be used all the time, and a use takes milliseconds in the test machine */
#define TRIES 20 /* to find a place where something comes soon */
#define SHORT 10000000 /* instructions of a recording that can be run over often */
#define CACHE "watch.checkpoints"

static struct tt_error err;
static unsigned int failed;

struct found {
	unsigned int n;
	uint64_t position[MAX_HITS];
	uint64_t digest[MAX_HITS];
};

struct place {
	uint64_t from;
	struct tt_breakpoint b;
	struct found forward, back;
};

static void verdict(const char *name, const char *why)
{
	failed += why != NULL;
	if (why)
		printf("not ok %s: %s\n", name, why);
	else
		printf("ok %s\n", name);
	fflush(stdout);
}

static void die(const char *what)
{
	printf("not ok %s: %s\n", what, err.text);
	exit(1);
}

static void message(void *ctx, const char *text)
{
	(void)ctx;
	printf("# %s\n", text);
}

static struct tt_timeline *open_timeline(const char *path, enum tt_watch_by by)
{
	const struct tt_timeline_options options = { .message = message, .watch_by = by, .cache = CACHE };
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
}

static uint64_t digest_here(struct tt_timeline *t)
{
	struct tt_digests d;

	if (tt_timeline_digests(t, &d))
		die("digests");
	return tt_digests_combine(&d);
}

/*
 * Are the accesses of the instruction here none that debug registers see? What KVM emulates is none on any machine:
 * INS, OUTS, MOVS from a device. On the test machine's emulated CPU atomic operations are none either: LOCK, XCHG with
 * memory. All these are left out of the comparison.
 */
static bool is_unseen(struct tt_timeline *t)
{
	struct tt_vcpu *vcpu = tt_timeline_vcpu(t);
	const struct kvm_regs *regs = &tt_vcpu_sync_regs(vcpu)->regs;
	struct kvm_sregs sregs;
	uint8_t code[15];
	size_t len, i;

	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
		return false;
	len = tt_vcpu_read_virtual(vcpu, &sregs, regs->rip, code, sizeof(code), false);
	for (i = 0; i < len && (code[i] == 0x66 || code[i] == 0x65 || code[i] == 0xf2 || code[i] == 0xf3 ||
				(code[i] & 0xf0) == 0x40); i++)
		;
	if (i == len)
		return false;
	return code[i] == 0xf0 || code[i] == 0x86 || code[i] == 0x87 || (code[i] >= 0x6c && code[i] <= 0x6f) ||
	       ((code[i] == 0xa4 || code[i] == 0xa5) && regs->rsi >= 0xfe000000 && regs->rsi <= UINT32_MAX);
}

static bool is_made_unseen(struct tt_timeline *t, bool back)
{
	uint64_t here = tt_timeline_position(t);
	bool unseen;

	if (back)
		return is_unseen(t);
	go(t, here - 1);
	unseen = is_unseen(t);
	go(t, here);
	return unseen;
}

/* Up to `most` hits one after the other, in one direction, up to instruction `limit`. */
static struct found find(struct tt_timeline *t, const struct tt_breakpoint *b, bool back, unsigned int most,
			 uint64_t limit)
{
	struct tt_arrival arrival;
	struct found f = { 0 };

	while (f.n < most) {
		if (back ? tt_timeline_reverse(t, b, 1, &arrival, &err) : tt_timeline_continue(t, b, 1, &arrival, &err))
			die("watch");
		if (arrival.kind != TT_ARRIVED_BREAKPOINT || tt_timeline_position(t) > limit)
			break;
		if (is_made_unseen(t, back))
			continue;
		f.position[f.n] = tt_timeline_position(t);
		/* Memory is large, and digests take their time. */
		f.digest[f.n] = f.n % 4 ? 0 : digest_here(t);
		f.n++;
	}
	return f;
}

/* As many hits as debug registers have found; and from the last of them back. */
static void find_both(struct tt_timeline *t, struct place *p, unsigned int most)
{
	go(t, p->from);
	p->forward = find(t, &p->b, false, most, p->from + SOON);
	if (p->forward.n)
		go(t, p->forward.position[p->forward.n - 1]);
	p->back = find(t, &p->b, true, p->forward.n, UINT64_MAX);
}

/* NULL, or what differs. */
static const char *compare(const struct found *a, const struct found *b)
{
	static char why[200];
	unsigned int i;

	for (i = 0; i < a->n && i < b->n; i++) {
		if (a->position[i] == b->position[i] && a->digest[i] == b->digest[i])
			continue;
		snprintf(why, sizeof(why), "hit %u at %llu instead of %llu, digest %llx instead of %llx", i,
			 (unsigned long long)b->position[i], (unsigned long long)a->position[i],
			 (unsigned long long)b->digest[i], (unsigned long long)a->digest[i]);
		return why;
	}
	if (a->n == b->n)
		return NULL;
	snprintf(why, sizeof(why), "%u hits instead of %u", b->n, a->n);
	return why;
}

/* A place where something comes soon, and what comes there; for debug registers. */
static void choose(struct tt_timeline *t, struct place *p, uint64_t near)
{
	uint64_t length = tt_timeline_length(t);
	unsigned int i;

	for (i = 0; i < TRIES && !p->forward.n; i++) {
		const struct kvm_regs *regs = &tt_vcpu_sync_regs(tt_timeline_vcpu(t))->regs;

		p->from = random_below(length);
		go(t, p->from);
		p->b.kind = random_below(3) ? TT_BREAK_WRITE : TT_BREAK_ACCESS;
		p->b.length = 8 + random_below(MAX_RANGE - 8);
		p->b.address = (near ? near : regs->rsp) - random_below(p->b.length);
		find_both(t, p, MAX_HITS);
	}
}

/* By debug registers: what the page beside gives. True: something else, at one of the places at least. */
static bool differs(struct tt_timeline *t, const struct place *places, unsigned int n)
{
	struct place again;
	unsigned int i;

	for (i = 0; i < n; i++) {
		again = places[i];
		again.b.address ^= 4096;
		find_both(t, &again, places[i].forward.n);
		if (places[i].forward.n && compare(&places[i].forward, &again.forward))
			return true;
	}
	return false;
}

static void explore(const char *path, struct place *places, unsigned int n, char **near, unsigned int num_near)
{
	struct tt_timeline *t = open_timeline(path, TT_WATCH_BY_REGISTERS);
	struct tt_timeline_stats stats;
	uint64_t hits = 0, expected = 0;
	const char *why = NULL;
	struct place again;
	unsigned int i;
	double start = now();
	char text[300];

	for (i = 0; i < n; i++) {
		choose(t, &places[i], num_near ? strtoull(near[i % num_near], NULL, 0) : 0);
		expected += places[i].forward.n + places[i].back.n;
	}
	tt_timeline_get_stats(t, &stats);
	printf("# by registers: %llu hits, %.1f s, %.1f M instructions\n", (unsigned long long)expected, now() - start,
	       stats.executed / 1e6);
	if (tt_timeline_length(t) < SHORT)
		verdict("negative-control", differs(t, places, n) ? NULL : "the page beside gives the same hits");
	tt_timeline_close(t);

	t = open_timeline(path, TT_WATCH_BY_PAGES);
	start = now();
	for (i = 0; i < n && !why; i++) {
		again = places[i];
		find_both(t, &again, places[i].forward.n);
		hits += again.forward.n + again.back.n;
		why = compare(&places[i].forward, &again.forward);
		if (!why)
			why = compare(&places[i].back, &again.back);
		if (why)
			snprintf(text, sizeof(text), "%u bytes at %llx, %s, from %llu: %s", (unsigned int)again.b.length,
				 (unsigned long long)again.b.address, again.b.kind == TT_BREAK_WRITE ? "writes" : "accesses",
				 (unsigned long long)again.from, why);
	}
	tt_timeline_get_stats(t, &stats);
	printf("# by pages: %llu hits, %.1f s, %.1f M instructions, %llu steps\n", (unsigned long long)hits, now() - start,
	       stats.executed / 1e6, (unsigned long long)stats.watch_steps);
	verdict("same-hits", why ? text : expected ? NULL : "nothing was found at all");
	verdict("steps", stats.watch_steps >= hits ? NULL : "pages were not guarded at all");
	tt_timeline_close(t);
}

int main(int argc, char **argv)
{
	struct place places[MAX_PLACES];
	unsigned int n;

	if (argc < 4)
		return 1;
	seed = strtoull(argv[2], NULL, 0);
	n = atoi(argv[3]);
	if (n > MAX_PLACES)
		n = MAX_PLACES;
	memset(places, 0, sizeof(places));
	remove(CACHE);
	explore(argv[1], places, n, argv + 4, argc - 4);
	remove(CACHE);
	return failed != 0;
}
