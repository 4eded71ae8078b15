/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A core performance monitoring unit of AMD's family 17h for QEMU's TCG: state and interface.
 * The description stands at the top of pmu.c.
 */
#ifndef TARGET_I386_PMU_H
#define TARGET_I386_PMU_H

#define PMU_COUNTERS 6
#define PMU_SLOTS 5 /* slot 0 does not count */

/*
 * Bits of tb->flags that HF_* leaves free: the slot of a block, and whether an instruction counter
 * of the slot interrupts soon (the block then checks its instruction budget, too).
 */
#define PMU_TB_SLOT_SHIFT 29
#define PMU_TB_INSN_ARMED (1u << 2)

/*
 * cpu_neg(cpu)->pmu_left[slot] holds two budgets: branches above, instructions below. Either is
 * one less than what is left, so that "used up" is "negative": bit 63 or bit 29. The cost of a
 * block fits the 32-bit immediate operand of an addition.
 */
#define PMU_BRANCH_SHIFT 30
#define PMU_BRANCH_ONE (1ll << PMU_BRANCH_SHIFT)
#define PMU_SHORT_MASK ((int64_t)((1ull << 63) | (1ull << (PMU_BRANCH_SHIFT - 1))))

typedef struct X86PMU {
	uint64_t ctl[PMU_COUNTERS];
	uint64_t base[PMU_COUNTERS]; /* value = base + what its slots have counted */
	uint64_t late_at[PMU_COUNTERS]; /* value at which a late interrupt is due */
	bool late[PMU_COUNTERS];

	uint8_t members[PMU_SLOTS]; /* set of counters that a slot feeds */
	uint64_t insns[PMU_SLOTS]; /* counted since base was set, up to the last drain */
	uint64_t branches[PMU_SLOTS];
	int64_t given[PMU_SLOTS]; /* budget at the last drain, as in pmu_left */
	uint64_t insns_left[PMU_SLOTS]; /* the same, unpacked */
	uint64_t branches_left[PMU_SLOTS];

	uint32_t tb_flags[4]; /* by mode: guest * 2 + user */

	int64_t cycles_since; /* virtual clock when cycles were last added */
	bool cycles_on;
	void *cycles_timer;
	void *drain_timer;
} X86PMU;

#endif
