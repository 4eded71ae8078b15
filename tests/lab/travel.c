// SPDX-License-Identifier: GPL-2.0
/*
 * travel.c - in the test machine: how long moving about in a recording takes, as JSON. For tests/bench/travel.
 *
 * usage: travel LOG SEED GOTOS STEPS
 *        travel LOG
 *
 * A first session runs to the end and leaves its checkpoints in a file. A second one begins with them: GOTOS random
 * positions, STEPS single steps back, and a search backwards over the whole recording for a breakpoint that is never hit.
 * With a log only: what checkpoints take, with pages that are zero or on a disk as such, and without.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "timeline.h"
#include "timeline-tool.h"

#define CACHE "travel.checkpoints"
#define NOWHERE 0x7fff00000000 /* no kernel or program is there */

static struct tt_error err;

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, err.text);
	exit(1);
}

static struct tt_timeline *open_timeline(const char *path, const char *cache, bool whole_pages)
{
	const struct tt_timeline_options options = { .cache = cache, .whole_pages = whole_pages, .checkpoint_bytes = 2ull << 30 };
	struct tt_timeline *t;

	if (tt_timeline_open(path, &options, &t, &err))
		die("open");
	return t;
}

/* Seconds that it takes to go there. */
static double go(struct tt_timeline *t, uint64_t position)
{
	struct tt_arrival arrival;
	double start = now();

	if (tt_timeline_goto(t, position, &arrival, &err))
		die("goto");
	return now() - start;
}

static void print_times(const char *name, double *seconds, unsigned int n)
{
	qsort(seconds, n, sizeof(*seconds), by_number);
	printf(" \"%s\": { \"count\": %u, \"median\": %.4f, \"p95\": %.4f, \"worst\": %.4f },\n", name, n, seconds[n / 2],
	       seconds[n * 95 / 100], seconds[n - 1]);
}

enum way { FORWARD, FORWARD_WATCHED, BACK };

static double run(struct tt_timeline *t, enum way way)
{
	const struct tt_breakpoint nowhere = { TT_BREAK_EXECUTE, NOWHERE, 1 };
	struct tt_arrival arrival;
	double start = now();

	if (way == BACK ? tt_timeline_reverse(t, &nowhere, 1, &arrival, &err) :
			  tt_timeline_continue(t, &nowhere, way == FORWARD_WATCHED, &arrival, &err))
		die("run");
	return now() - start;
}

static void print_size(const char *path, const char *name, bool whole_pages)
{
	struct tt_timeline *t = open_timeline(path, NULL, whole_pages);
	struct tt_timeline_stats stats;

	run(t, FORWARD);
	tt_timeline_get_stats(t, &stats);
	printf(" \"%s\": { \"memory_bytes\": %llu, \"checkpoints\": %u, \"bytes\": %llu, \"pages\": %llu, \"zero_pages\": %llu, "
	       "\"disk_pages\": %llu }%s\n", name, (unsigned long long)tt_timeline_vcpu(t)->machine->memory.size,
	       stats.checkpoints, (unsigned long long)stats.checkpoint_bytes, (unsigned long long)stats.pages,
	       (unsigned long long)stats.zero_pages, (unsigned long long)stats.disk_pages, whole_pages ? "" : ",");
	tt_timeline_close(t);
}

int main(int argc, char **argv)
{
	unsigned int gotos, steps, i;
	struct tt_timeline_stats stats;
	struct tt_timeline *t;
	uint64_t length, at;
	struct stat file;
	double *seconds, start;

	if (argc == 2) {
		printf("{\n");
		print_size(argv[1], "referring", false);
		print_size(argv[1], "whole", true);
		printf("}\n");
		return 0;
	}
	if (argc != 5)
		return 1;
	seed = strtoull(argv[2], NULL, 0);
	gotos = atoi(argv[3]);
	steps = atoi(argv[4]);
	seconds = calloc(gotos + steps, sizeof(*seconds));
	remove(CACHE);

	t = open_timeline(argv[1], CACHE, false);
	length = tt_timeline_length(t);
	printf("{\n \"instructions\": %llu,\n \"first_pass\": %.3f,\n", (unsigned long long)length, run(t, FORWARD));
	tt_timeline_get_stats(t, &stats);
	printf(" \"memory_bytes\": %llu,\n \"checkpoints\": %u,\n \"checkpoint_bytes\": %llu,\n \"interval\": %llu,\n"
	       " \"pages\": %llu,\n \"zero_pages\": %llu,\n",
	       (unsigned long long)tt_timeline_vcpu(t)->machine->memory.size, stats.checkpoints,
	       (unsigned long long)stats.checkpoint_bytes, (unsigned long long)stats.interval,
	       (unsigned long long)stats.pages, (unsigned long long)stats.zero_pages);
	start = now();
	tt_timeline_close(t);
	printf(" \"save\": %.3f,\n", now() - start);
	if (stat(CACHE, &file))
		die("no checkpoints");
	printf(" \"cache_bytes\": %llu,\n", (unsigned long long)file.st_size);

	start = now();
	t = open_timeline(argv[1], CACHE, false);
	printf(" \"open\": %.3f,\n", now() - start);
	for (i = 0; i < gotos; i++)
		seconds[i] = go(t, random_below(length + 1));
	print_times("goto", seconds, gotos);
	at = length / 4 + random_below(length / 2);
	go(t, at);
	for (i = 0; i < steps; i++)
		seconds[i] = go(t, --at);
	print_times("step_back", seconds, steps);
	go(t, length);
	printf(" \"reverse\": %.3f,\n", run(t, BACK));
	printf(" \"forward\": %.3f,\n", run(t, FORWARD));
	go(t, 0);
	printf(" \"forward_watched\": %.3f\n}\n", run(t, FORWARD_WATCHED));
	tt_timeline_close(t);
	remove(CACHE);
	free(seconds);
	return 0;
}
