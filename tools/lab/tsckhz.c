// SPDX-License-Identifier: GPL-2.0
/*
 * tsckhz.c - prints the frequency of this machine's time stamp counter in kHz.
 *
 * The emulated machine's TSC is the host's. Its kernel would measure the frequency against an emulated timer, and on a
 * busy host be wrong by any factor (2,596 MHz came out as 131), with all its clocks; so it is told.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

struct moment {
	uint64_t tsc;
	double ns;
};

static struct moment look(void)
{
	struct moment best = { 0 };
	uint64_t tightest = UINT64_MAX;

	/* Of many looks, the one that nothing came between. */
	for (int i = 0; i < 1000; i++) {
		struct timespec ts;
		uint64_t before = __rdtsc(), after;

		clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
		after = __rdtsc();
		if (after - before >= tightest)
			continue;
		tightest = after - before;
		best = (struct moment){ .tsc = before + tightest / 2, .ns = ts.tv_sec * 1e9 + ts.tv_nsec };
	}
	return best;
}

int main(void)
{
	struct timespec pause = { .tv_nsec = 100000000 };
	struct moment begin = look(), end;

	nanosleep(&pause, NULL);
	end = look();
	printf("%.0f\n", (end.tsc - begin.tsc) / (end.ns - begin.ns) * 1e6);
	return 0;
}
