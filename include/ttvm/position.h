/* SPDX-License-Identifier: GPL-2.0 */
/*
 * position.h - what "when" means: the place of one vCPU in its own execution.
 *
 * (exits, branches, rip, check) names a position exactly:
 *   exits     deterministic exits completed since the start: PIO, MMIO, filtered MSR, HLT. A guest that executes the same
 *             instructions makes the same ones, so the running number is part of the position.
 *   branches  retired conditional branches in guest mode since the start (ttvm_page.branches)
 *   rip       the next instruction
 *   check     register check (include/uapi/linux/ttvm.h): settles ties in loops without conditional branches
 * instructions is an index over positions (retired + emulated, `--to-instr N`). Where the PMU counts them exactly it also
 * tells apart the iterations of a loop without conditional branches, which look alike otherwise (replay/landing.c).
 */
#ifndef TTVM_POSITION_H
#define TTVM_POSITION_H

#include <stdbool.h>
#include <stdint.h>

struct tt_position {
	uint64_t exits;
	uint64_t branches;
	uint64_t rip;
	uint32_t check;	/* logs keep the low TT_CHECK_BITS bits */
	uint64_t instructions;
};

#define TT_CHECK_BITS 16
#define TT_CHECK_MASK ((1u << TT_CHECK_BITS) - 1)

static inline bool tt_position_equal(const struct tt_position *a, const struct tt_position *b)
{
	return a->exits == b->exits && a->branches == b->branches && a->rip == b->rip &&
	       !((a->check ^ b->check) & TT_CHECK_MASK);
}

#endif /* TTVM_POSITION_H */
