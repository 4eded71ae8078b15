/* SPDX-License-Identifier: GPL-2.0 */
/*
 * selftest.h - does this machine do what recording and replaying build on? A tiny guest whose
 * numbers of instructions and branches are known runs under a seam of its own, and what the module
 * reports is compared with what is known.
 */
#ifndef TTVM_REPLAY_SELFTEST_H
#define TTVM_REPLAY_SELFTEST_H

#include <stdint.h>

#include "replay.h"

enum tt_selftest_kind {
	TT_SELFTEST_PLAIN,	/* runs to its end; neither module nor PMU is used */
	TT_SELFTEST_COUNT,	/* with the module: are the counts right? */
	TT_SELFTEST_LAND,	/* with the module: alarms and landings at known positions */
};

struct tt_selftest_result {
	/* COUNT and LAND */
	uint64_t branches, branches_expected;
	uint64_t instructions, instructions_expected;	/* as in --to-instr: retired and emulated */
	uint64_t rdtsc, rdtsc_expected;			/* answered by the module */
	uint64_t registers;				/* digest at the end, always the same */
	/* LAND */
	uint64_t margin;		/* branches between the alarm and the position */
	unsigned int alarms;
	unsigned int alarms_lost;	/* found passed at another exit */
	uint64_t lateness;		/* of the latest alarm, branches */
	unsigned int landings;		/* exact */
	unsigned int landings_missed;	/* passed, or not where the registers should be */
	uint64_t breakpoint_hits;	/* swallowed on the way */
};

/*
 * Run it once, on threads of its own; takes well below a second, 20 seconds at most. pmu may be
 * NULL for PLAIN. 0, or -errno with err filled in when it could not be run to its end: what differs
 * from the expectation is no error.
 */
int tt_selftest_run(enum tt_selftest_kind kind, const struct tt_pmu *pmu,
		    struct tt_selftest_result *result, struct tt_error *err);

#endif /* TTVM_REPLAY_SELFTEST_H */
