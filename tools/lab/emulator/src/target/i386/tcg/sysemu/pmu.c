/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A core performance monitoring unit of AMD's family 17h for QEMU's TCG.
 *
 * Six counters of 48 bits behind the MSRs C001_0200..B (and C001_0000..7 for the first four), with
 * user/kernel and host/guest filters, RDPMC, and an interrupt through the local APIC's LVT PC when
 * a counter passes 2^48. Events:
 *
 *   c0  retired instructions. A faulting or intercepted instruction has not retired; a REP string
 *       instruction retires once, when it ends; taking an interrupt is no instruction.
 *   d1  retired conditional branches: jcc, loop*, j*cxz, taken or not
 *   76  cycles: elapsed virtual time at 2 GHz, with the host/guest but not the user/kernel filter
 *
 * Other events count nothing.
 *
 * Counting happens in translated code (pmu-tcg.c.inc). The four modes {host, guest} x {kernel,
 * user} are sorted into slots: modes that feed the same set of counters share one. A slot's word
 * in cpu_neg(cpu)->pmu_left is a budget that blocks of code draw on: at most what is left until
 * the next interrupt of any of its counters. When a budget is short pmu_sync() adds up what was
 * used, raises the interrupts that are due, and hands out new budgets; a block that would overdraw
 * is cut or run alone (CF_PMU_EXACT), so that an interrupt is taken right after the instruction
 * that caused it.
 *
 * The CPU property x-pmu-skid=N delays each interrupt by a random number of 0..N further events,
 * or to the end of the guest's run, whichever comes first.
 *
 * Everything here runs on the vCPU's own thread, between blocks, or in a helper that ends one.
 */
#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "cpu.h"
#include "exec/exec-all.h"
#include "exec/helper-proto.h"
#include "hw/i386/apic.h"
#include "tcg/helper-tcg.h"

#define CTL_USR (1ull << 16)
#define CTL_OS (1ull << 17)
#define CTL_INT (1ull << 20)
#define CTL_EN (1ull << 22)
#define CTL_GUEST_ONLY (1ull << 40)
#define CTL_HOST_ONLY (1ull << 41)

#define COUNTER_END (1ull << 48)
#define COUNTER_MASK (COUNTER_END - 1)

/*
 * The most that one budget may hold; the fields are 29 and 33 bits wide. Unless a block checks its
 * instruction budget that one can go negative unnoticed, by at most 2^29: DRAIN_NS is less than
 * such a number of instructions takes.
 */
#define INSNS_MAX (1ull << 28)
#define BRANCHES_MAX (1ull << 32)
#define DRAIN_NS 50000000

#define NS_PER_CYCLE_SHIFT 1 /* two cycles per nanosecond */

enum pmu_class { PMU_NONE, PMU_INSNS, PMU_BRANCHES, PMU_CYCLES };

static enum pmu_class pmu_class(uint64_t ctl)
{
	if (!(ctl & CTL_EN))
		return PMU_NONE;
	switch ((ctl & 0xff) | ((ctl >> 24) & 0xf00)) {
	case 0xc0:
		return PMU_INSNS;
	case 0xd1:
		return PMU_BRANCHES;
	case 0x76:
		return PMU_CYCLES;
	default:
		return PMU_NONE;
	}
}

/* Does a counter count in a mode (guest * 2 + user)? */
static bool pmu_counts_in(uint64_t ctl, int mode)
{
	if (!(ctl & (mode & 1 ? CTL_USR : CTL_OS)))
		return false;
	switch (ctl & (CTL_GUEST_ONLY | CTL_HOST_ONLY)) {
	case CTL_GUEST_ONLY:
		return mode & 2;
	case CTL_HOST_ONLY:
		return !(mode & 2);
	default:
		return true;
	}
}

static int64_t *pmu_left(CPUX86State *env)
{
	return env_archcpu(env)->neg.pmu_left;
}

static bool pmu_slot_feeds(const X86PMU *pmu, int slot, int i)
{
	return pmu->members[slot] & (1 << i);
}

static uint64_t pmu_used(CPUX86State *env, int slot, enum pmu_class class)
{
	X86PMU *pmu = &env->pmu;
	uint64_t used = pmu->given[slot] - pmu_left(env)[slot];

	if (class == PMU_INSNS)
		return pmu->insns[slot] + (used & (PMU_BRANCH_ONE - 1));
	return pmu->branches[slot] + (used >> PMU_BRANCH_SHIFT);
}

/* A counter's value, which may have passed COUNTER_END. */
static uint64_t pmu_value(CPUX86State *env, int i)
{
	X86PMU *pmu = &env->pmu;
	enum pmu_class class = pmu_class(pmu->ctl[i]);
	uint64_t value = pmu->base[i];
	int slot;

	if (class == PMU_INSNS || class == PMU_BRANCHES)
		for (slot = 1; slot < PMU_SLOTS; slot++)
			if (pmu_slot_feeds(pmu, slot, i))
				value += pmu_used(env, slot, class);
	return value;
}

/* Bring the cycle counters up to date; called before the mode or a counter changes. */
static void pmu_add_cycles(CPUX86State *env)
{
	X86PMU *pmu = &env->pmu;
	int mode = env->hflags & HF_GUEST_MASK ? 2 : 0;
	int64_t now;
	int i;

	if (!pmu->cycles_on)
		return;
	now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
	for (i = 0; i < PMU_COUNTERS; i++)
		if (pmu_class(pmu->ctl[i]) == PMU_CYCLES &&
		    (pmu_counts_in(pmu->ctl[i], mode) || pmu_counts_in(pmu->ctl[i], mode + 1)))
			pmu->base[i] += (uint64_t)(now - pmu->cycles_since) << NS_PER_CYCLE_SHIFT;
	pmu->cycles_since = now;
}

static void pmu_interrupt(CPUX86State *env)
{
	bool locked = qemu_mutex_iothread_locked();

	if (!locked)
		qemu_mutex_lock_iothread();
	apic_deliver_pmi(env_archcpu(env)->apic_state);
	if (!locked)
		qemu_mutex_unlock_iothread();
}

/* Wrap the counters that are full; true if an interrupt was raised. */
static bool pmu_overflow(CPUX86State *env)
{
	X86PMU *pmu = &env->pmu;
	uint32_t skid = env_archcpu(env)->pmu_skid;
	bool raised = false;
	int i;

	for (i = 0; i < PMU_COUNTERS; i++) {
		uint64_t value;

		if (!(pmu->ctl[i] & CTL_EN))
			continue;
		value = pmu_value(env, i);
		if (value >= COUNTER_END) {
			pmu->base[i] -= COUNTER_END;
			value -= COUNTER_END;
			if (pmu->ctl[i] & CTL_INT) {
				pmu->late[i] = true;
				pmu->late_at[i] = value;
				if (skid && pmu_class(pmu->ctl[i]) != PMU_CYCLES)
					pmu->late_at[i] += g_random_int_range(0, skid + 1);
			}
		}
		if (pmu->late[i] && value >= pmu->late_at[i]) {
			pmu->late[i] = false;
			raised = true;
		}
	}
	if (raised)
		pmu_interrupt(env);
	return raised;
}

/* How many more events until a counter needs attention. */
static uint64_t pmu_distance(CPUX86State *env, int i)
{
	X86PMU *pmu = &env->pmu;
	uint64_t value = pmu_value(env, i);

	if (!(pmu->ctl[i] & CTL_INT))
		return UINT64_MAX;
	return MIN(COUNTER_END, pmu->late[i] ? pmu->late_at[i] : COUNTER_END) - value;
}

static void pmu_give(CPUX86State *env, int slot, bool running)
{
	X86PMU *pmu = &env->pmu;
	uint64_t insns = INSNS_MAX, branches = BRANCHES_MAX;
	int i, other, mode;
	bool armed;

	for (i = 0; i < PMU_COUNTERS; i++) {
		uint64_t distance;

		if (!pmu_slot_feeds(pmu, slot, i))
			continue;
		distance = pmu_distance(env, i);
		/* only one slot at a time may draw on an interrupting counter */
		for (other = 1; other < PMU_SLOTS && !running; other++)
			if (other != slot && pmu_slot_feeds(pmu, other, i) &&
			    distance != UINT64_MAX)
				distance = 0;
		if (pmu_class(pmu->ctl[i]) == PMU_INSNS)
			insns = MIN(insns, distance);
		else
			branches = MIN(branches, distance);
	}
	armed = insns < INSNS_MAX;
	for (mode = 0; mode < 4; mode++)
		if (pmu->tb_flags[mode] >> PMU_TB_SLOT_SHIFT == slot)
			pmu->tb_flags[mode] = (uint32_t)slot << PMU_TB_SLOT_SHIFT |
					      (armed ? PMU_TB_INSN_ARMED : 0);
	pmu->insns_left[slot] = insns;
	pmu->branches_left[slot] = branches;
	pmu->given[slot] = ((int64_t)branches - 1) * PMU_BRANCH_ONE + (int64_t)insns - 1;
	pmu_left(env)[slot] = pmu->given[slot];
}

static void pmu_drain(CPUX86State *env)
{
	X86PMU *pmu = &env->pmu;
	int slot;

	for (slot = 1; slot < PMU_SLOTS; slot++) {
		uint64_t insns = pmu_used(env, slot, PMU_INSNS);
		uint64_t branches = pmu_used(env, slot, PMU_BRANCHES);

		pmu->insns[slot] = insns;
		pmu->branches[slot] = branches;
		pmu->given[slot] = pmu_left(env)[slot];
	}
}

/* Add up, raise what is due, hand out budgets; RUNNING is the slot that will run next. */
static bool pmu_sync(CPUX86State *env, int running)
{
	bool raised;
	int slot;

	pmu_add_cycles(env);
	pmu_drain(env);
	raised = pmu_overflow(env);
	for (slot = 1; slot < PMU_SLOTS; slot++)
		pmu_give(env, slot, slot == running);
	return raised;
}

static int pmu_mode(CPUX86State *env)
{
	return (env->hflags & HF_GUEST_MASK ? 2 : 0) + ((env->hflags & HF_CPL_MASK) != 0);
}

static int pmu_running_slot(CPUX86State *env)
{
	return env->pmu.tb_flags[pmu_mode(env)] >> PMU_TB_SLOT_SHIFT;
}

static void pmu_cycles_expired(CPUState *cs, run_on_cpu_data data)
{
	CPUX86State *env = cs->env_ptr;

	x86_pmu_attend(env);
}

static void pmu_cycles_timer(void *opaque)
{
	async_run_on_cpu(opaque, pmu_cycles_expired, RUN_ON_CPU_NULL);
}

/* Arm the host timer for the first cycle counter that will interrupt. */
static void pmu_arm_cycles(CPUX86State *env)
{
	X86PMU *pmu = &env->pmu;
	uint64_t distance = UINT64_MAX;
	int i;

	pmu->cycles_on = false;
	for (i = 0; i < PMU_COUNTERS; i++) {
		if (pmu_class(pmu->ctl[i]) != PMU_CYCLES)
			continue;
		pmu->cycles_on = true;
		distance = MIN(distance, pmu_distance(env, i));
	}
	if (!pmu->cycles_timer && pmu->cycles_on)
		pmu->cycles_timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, pmu_cycles_timer,
						 env_cpu(env));
	if (!pmu->cycles_timer)
		return;
	if (distance == UINT64_MAX)
		timer_del(pmu->cycles_timer);
	else
		timer_mod(pmu->cycles_timer, pmu->cycles_since + 1000 +
			  (distance >> NS_PER_CYCLE_SHIFT));
}

/* Sort the modes into slots after a control register has changed; all counts are in base. */
static void pmu_assign_slots(CPUX86State *env)
{
	X86PMU *pmu = &env->pmu;
	int mode, slot, i, slots = 1;

	memset(pmu->members, 0, sizeof(pmu->members));
	memset(pmu->insns, 0, sizeof(pmu->insns));
	memset(pmu->branches, 0, sizeof(pmu->branches));
	for (mode = 0; mode < 4; mode++) {
		uint8_t set = 0;

		for (i = 0; i < PMU_COUNTERS; i++) {
			enum pmu_class class = pmu_class(pmu->ctl[i]);

			if ((class != PMU_INSNS && class != PMU_BRANCHES) ||
			    !pmu_counts_in(pmu->ctl[i], mode))
				continue;
			set |= 1 << i;
		}
		pmu->tb_flags[mode] = 0;
		if (!set)
			continue;
		for (slot = 1; slot < slots && pmu->members[slot] != set; slot++)
			;
		if (slot == slots)
			pmu->members[slots++] = set;
		pmu->tb_flags[mode] = (uint32_t)slot << PMU_TB_SLOT_SHIFT;
	}
}

/* Make the vCPU look at its budgets (see INSNS_MAX) now and then. */
static void pmu_drain_timer(void *opaque)
{
	CPUState *cs = opaque;
	X86PMU *pmu = &X86_CPU(cs)->env.pmu;

	qemu_cpu_kick(cs);
	timer_mod(pmu->drain_timer, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + DRAIN_NS);
}

static void pmu_arm_drain(CPUX86State *env)
{
	X86PMU *pmu = &env->pmu;
	bool counting = pmu->members[1];

	if (counting && !pmu->drain_timer)
		pmu->drain_timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, pmu_drain_timer, env_cpu(env));
	if (counting && !timer_pending(pmu->drain_timer))
		timer_mod(pmu->drain_timer, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + DRAIN_NS);
	if (!counting && pmu->drain_timer)
		timer_del(pmu->drain_timer);
}

static void pmu_write(CPUX86State *env, int i, bool ctl, uint64_t value)
{
	X86PMU *pmu = &env->pmu;
	int j;

	pmu_sync(env, 0);
	for (j = 0; j < PMU_COUNTERS; j++)
		pmu->base[j] = pmu_value(env, j);
	/* an interrupt on its way arrives, even if its counter stops or is reloaded */
	if (pmu->late[i]) {
		pmu->late[i] = false;
		pmu_interrupt(env);
	}
	if (ctl)
		pmu->ctl[i] = value;
	else
		pmu->base[i] = value & COUNTER_MASK;
	pmu_assign_slots(env);
	pmu->cycles_since = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
	pmu_sync(env, pmu_running_slot(env));
	qemu_mutex_lock_iothread();
	pmu_arm_cycles(env);
	pmu_arm_drain(env);
	qemu_mutex_unlock_iothread();
}

static uint64_t pmu_read(CPUX86State *env, int i)
{
	pmu_add_cycles(env);
	return pmu_value(env, i) & COUNTER_MASK;
}

/* Which counter an MSR belongs to, or -1; *CTL tells its control register from its value. */
static int pmu_msr(uint32_t msr, bool *ctl)
{
	if (msr >= 0xc0010200 && msr < 0xc0010200 + 2 * PMU_COUNTERS) {
		*ctl = !(msr & 1);
		return (msr - 0xc0010200) / 2;
	}
	if (msr >= 0xc0010000 && msr < 0xc0010008) {
		*ctl = msr < 0xc0010004;
		return msr & 3;
	}
	return -1;
}

bool x86_pmu_wrmsr(CPUX86State *env, uint32_t msr, uint64_t value)
{
	bool ctl;
	int i = pmu_msr(msr, &ctl);

	if (i < 0)
		return false;
	pmu_write(env, i, ctl, value);
	return true;
}

bool x86_pmu_rdmsr(CPUX86State *env, uint32_t msr, uint64_t *value)
{
	bool ctl;
	int i = pmu_msr(msr, &ctl);

	if (i < 0)
		return false;
	*value = ctl ? env->pmu.ctl[i] : pmu_read(env, i);
	return true;
}

void helper_rdpmc(CPUX86State *env)
{
	uint32_t i = env->regs[R_ECX];
	uint64_t value;

	if (!(env->cr[4] & CR4_PCE_MASK) && (env->hflags & HF_CPL_MASK))
		raise_exception_ra(env, EXCP0D_GPF, GETPC());
	cpu_svm_check_intercept_param(env, SVM_EXIT_RDPMC, 0, GETPC());
	if (i >= PMU_COUNTERS)
		raise_exception_ra(env, EXCP0D_GPF, GETPC());
	value = pmu_read(env, i);
	env->regs[R_EAX] = (uint32_t)value;
	env->regs[R_EDX] = value >> 32;
}

/* A budget is short: called between blocks. */
void x86_pmu_attend(CPUX86State *env)
{
	pmu_sync(env, pmu_running_slot(env));
	if (env->pmu.cycles_on) {
		bool locked = qemu_mutex_iothread_locked();

		if (!locked)
			qemu_mutex_lock_iothread();
		pmu_arm_cycles(env);
		if (!locked)
			qemu_mutex_unlock_iothread();
	}
}

/*
 * A block left with TB_EXIT_PMU: it was not run, its cost is back in the budget. If an overflow
 * lies in it, have the next block end there.
 */
void x86_pmu_refused(CPUState *cs, TranslationBlock *tb)
{
	CPUX86State *env = cs->env_ptr;
	int slot = tb->flags >> PMU_TB_SLOT_SHIFT;
	uint64_t insns;

	if (pmu_sync(env, slot))
		return;
	if (!((pmu_left(env)[slot] - tb->pmu_cost) & PMU_SHORT_MASK))
		return;
	insns = MIN(tb->icount, env->pmu.insns_left[slot]);
	cs->cflags_next_tb = (tb_cflags(tb) & ~CF_COUNT_MASK) | CF_PMU_EXACT | CF_NO_GOTO_TB |
			     CF_NO_GOTO_PTR | (insns & CF_COUNT_MASK);
}

/* An instruction that was left through an exception has retired after all (INT n, traps). */
void x86_pmu_retire(CPUX86State *env, int mode)
{
	int slot = env->pmu.tb_flags[mode] >> PMU_TB_SLOT_SHIFT;

	if (slot)
		pmu_left(env)[slot]--;
}

int x86_pmu_mode(CPUX86State *env)
{
	return pmu_mode(env);
}

/* VMRUN and #VMEXIT: the mode changes after this call. */
void x86_pmu_switch(CPUX86State *env)
{
	X86PMU *pmu = &env->pmu;
	bool late = false;
	int i;

	pmu_add_cycles(env);
	for (i = 0; i < PMU_COUNTERS; i++) {
		late |= pmu->late[i];
		pmu->late[i] = false;
	}
	if (late)
		pmu_interrupt(env);
}

void x86_pmu_reset(CPUX86State *env)
{
	X86PMU *pmu = &env->pmu;
	int slot;

	if (pmu->cycles_timer)
		timer_del(pmu->cycles_timer);
	if (pmu->drain_timer)
		timer_del(pmu->drain_timer);
	*pmu = (X86PMU){ .cycles_timer = pmu->cycles_timer, .drain_timer = pmu->drain_timer };
	for (slot = 0; slot < PMU_SLOTS; slot++)
		pmu_give(env, slot, false);
}
