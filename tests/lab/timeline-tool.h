/* SPDX-License-Identifier: GPL-2.0 */
/*
 * timeline-tool.h - what the programs share that move about in a recording (timeline.c, travel.c).
 */
#ifndef TTVM_TESTS_TIMELINE_TOOL_H
#define TTVM_TESTS_TIMELINE_TOOL_H

#include <stdint.h>
#include <time.h>

static uint64_t seed;

static uint64_t random_below(uint64_t limit)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (seed >> 20) % limit;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* For qsort(3). */
static inline int by_number(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

#endif /* TTVM_TESTS_TIMELINE_TOOL_H */
