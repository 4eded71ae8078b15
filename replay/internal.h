/* SPDX-License-Identifier: GPL-2.0 */
/*
 * internal.h - what recorder and replayer share: the session with ttvm.ko, the virtual clock, where a vCPU is. Nobody
 * outside replay/ includes it.
 *
 * All functions are called on the vCPU's own thread, while it is outside KVM_RUN.
 */
#ifndef TTVM_REPLAY_INTERNAL_H
#define TTVM_REPLAY_INTERNAL_H

#include <linux/ttvm.h>

#include "ttvm/log.h"
#include "ttvm/position.h"
#include "vmm.h"
#include "replay.h"
#include "timeline.h"

/* ------------------------------------------------------------------ session.c: one vCPU's attachment to ttvm.ko */

struct tt_session {
	int fd;				/* of /dev/ttvm */
	struct ttvm_page *page;
};

int tt_session_open(struct tt_session *session, struct tt_vcpu *vcpu, const struct tt_pmu *pmu,
		    struct tt_error *err);
void tt_session_close(struct tt_session *session);
/* Leave KVM_RUN when the counter (enum ttvm_counter) has reached target; 0 disarms. -EBUSY: no free PMU counter. */
int tt_session_alarm(struct tt_session *session, uint32_t counter, uint64_t target,
		     struct tt_error *err);
/* The vCPU was put elsewhere, to rip: its counters are these from now on. 0 or -errno. */
int tt_session_set_counts(struct tt_session *session, const struct ttvm_counts *counts, uint64_t rip);

/* ------------------------------------------------------------------ clock.c: the virtual TSC */

/*
 * Time as a function of the position. Between rebases it runs by fixed prices: so many ticks for a branch, for an RDTSC,
 * for a deterministic exit. A rebase brings it to the host's time; its size is logged, and both sides derive new prices
 * from it by the same rule, so that virtual time stays close to, and a little behind, real time without more log.
 */
struct tt_clock {
	struct ttvm_page *page;
	uint64_t offset;	/* guest's TSC - virtual time */
	uint32_t exit_ticks;	/* price of a deterministic exit */
	uint64_t base_rdtsc;	/* ttvm_page.rdtsc at the last rebase */
	uint64_t exits;		/* deterministic exits since the last rebase */
};

/* A rebase is a multiple of this many ticks: the log is smaller, and nobody can tell. */
#define TT_REBASE_QUANTUM 4096u

void tt_clock_start(struct tt_clock *clock, struct ttvm_page *page, uint64_t tsc_hz);
uint64_t tt_clock_now(const struct tt_clock *clock);
uint64_t tt_clock_guest_tsc(const struct tt_clock *clock);
void tt_clock_set_guest_tsc(struct tt_clock *clock, uint64_t value);
/* Ticks that the prices have made since the last rebase. */
uint64_t tt_clock_since_rebase(const struct tt_clock *clock);
/* A deterministic exit was made. */
void tt_clock_count_exit(struct tt_clock *clock);
/* Move time forward by ticks. idle: the vCPU slept, so the time says nothing about prices. */
void tt_clock_rebase(struct tt_clock *clock, uint64_t ticks, bool idle);

/* ------------------------------------------------------------------ where.c: where a vCPU is */

/* The 32-bit register check of the ABI (include/uapi/linux/ttvm.h). */
uint32_t tt_register_check(const struct kvm_regs *regs);
/* The position after an interruption (not at_exit). */
void tt_position_here(struct tt_vcpu *vcpu, const struct ttvm_page *page, struct tt_position *pos);
/* The position at a deterministic exit: check covers branches, rip and registers as they were at the exit. */
void tt_position_at_exit(struct tt_vcpu *vcpu, const struct ttvm_page *page,
			 struct tt_position *pos);
/* Instructions completed: retired, emulated, and one that was completed since the last VM exit. */
uint64_t tt_instructions(struct tt_vcpu *vcpu, const struct ttvm_page *page);
/*
 * Can a hardware breakpoint stop a replay here, in the same state? Not in a code segment whose base is not 0 (16-bit code
 * of a BIOS: its interrupts come at exits), not at a REP string instruction (it may be half done), not with RFLAGS.RF
 * set, not where fetching the instruction would fault or set an accessed bit, and not where an instruction was broken off
 * that has set accessed bits for its operands. sregs are the vCPU's.
 */
bool tt_is_landable(struct tt_vcpu *vcpu, const struct ttvm_page *page,
		    const struct kvm_sregs *sregs);
/* No exception or interrupt is half delivered. -errno when KVM does not say. */
int tt_is_between_instructions(struct tt_vcpu *vcpu);

/* ------------------------------------------------------------------ digest.c */

/* Settled vCPU. 0 or -errno. */
int tt_take_digests(struct tt_vcpu *vcpu, struct tt_digests *digests);
/* From the module's page into counts; events, landings and the recorder's own are left alone. */
void tt_collect_counts(struct tt_run_counts *counts, struct tt_vcpu *vcpu,
		       const struct ttvm_page *page);

/* ------------------------------------------------------------------ breakpoint.c: hardware breakpoints on the guest */

#define TT_MAX_BREAKPOINTS 4

/* Arm n breakpoints (n = 0 disarms). 0 or -errno. */
int tt_breakpoints_set(struct tt_vcpu *vcpu, const struct tt_breakpoint *list, unsigned int n);
/* Instead: stop after one instruction, by the trap flag. tt_breakpoints_set() ends it. 0 or -errno. */
int tt_trap_set(struct tt_vcpu *vcpu);

/* ------------------------------------------------------------------ step.c: one instruction */

/* Where breakpoints stop the vCPU after its next instruction. */
struct tt_step {
	uint64_t address[TT_MAX_BREAKPOINTS];
	unsigned int n;		/* 0: no breakpoint would hit there, but tt_trap_set() stops it, and leaves no trace */
	unsigned int length;	/* instructions: 2 for a load of SS, which holds debug exceptions off */
};

/*
 * All places to which one more instruction can lead, the handlers of exceptions among them, four by four, the likely ones
 * first: set 0, 1, ... 0, or -errno with err filled in.
 */
int tt_step_targets(struct tt_vcpu *vcpu, unsigned int set, struct tt_step *step, struct tt_error *err);
/* The same when the next VM entry delivers this interrupt vector: the entry of its handler. */
int tt_step_vector(struct tt_vcpu *vcpu, unsigned int vector, struct tt_step *step, struct tt_error *err);

/* ------------------------------------------------------------------ unfinished.c */

/*
 * A breakpoint on data has just hit: was the access made by something that is not counted yet? The vCPU's thread, at the debug
 * exit.
 */
bool tt_access_is_unfinished(struct tt_vcpu *vcpu, const struct tt_breakpoint *b);

/* ------------------------------------------------------------------ disassemble.c */

/* Disassemble `count` instructions from rip into text, a line each, the first marked. */
void tt_disassemble(struct tt_vcpu *vcpu, uint64_t rip, unsigned int count, char *text, size_t size);

#endif /* TTVM_REPLAY_INTERNAL_H */
