// SPDX-License-Identifier: GPL-2.0
/*
 * svm.c - AMD: finding the VMCB of a vCPU, and reading and changing it at the two hooks.
 *
 * "APM" is the AMD64 Architecture Programmer's Manual, volume 2, chapter 15 and appendices B and C.
 */
#include <linux/kvm_host.h>
#include <linux/mem_encrypt.h>
#include <asm/debugreg.h>
#include <asm/svm.h>

#include "session.h"

/* VMCB clean bits (APM 15.15.3): hardware may keep these parts of the VMCB unless the bit is cleared. */
#define CLEAN_INTERCEPTS BIT(0)
#define CLEAN_DR BIT(6)

#define DR6_BREAKPOINTS 0xfull
#define SLOT_NPF 0xf0
#define SLOT_OTHER 0xff

/*
 * KVM's struct vcpu_svm is private. It begins with the vCPU, then the address of the current VMCB, then a struct
 * kvm_vmcb_info: address and physical address of the VMCB that is not for nested guests. That both addresses are equal
 * (no nested guest is running), that they are a page, and that the physical address belongs to them, is what we check.
 */
static const char *svm_bind(struct tt_session *s)
{
	void **slot = (void **)((char *)s->vcpu + ALIGN(sizeof(struct kvm_vcpu), sizeof(u64)));
	struct vmcb *vmcb = slot[0];

	if (s->vcpu->arch.guest_state_protected)
		return "the guest's state is encrypted (SEV-ES): run it without";
	if (slot[1] != vmcb || !PAGE_ALIGNED(vmcb) || !virt_addr_valid(vmcb) ||
	    (unsigned long)slot[2] != __sme_pa(vmcb))
		return "this kernel's vCPU layout is not known: build ttvm.ko for the running kernel";
	if (!(vmcb->control.nested_ctl & SVM_NESTED_CTL_NP_ENABLE))
		return "nested paging is off: load kvm_amd with npt=1";
	s->svm.slot = slot;
	s->svm.vmcb = vmcb;
	return NULL;
}

static struct vmcb *current_vmcb(const struct tt_session *s)
{
	return *s->svm.slot;
}

static bool intercepts(const struct vmcb *vmcb, u32 bit)
{
	return vmcb->control.intercepts[bit / 32] & BIT(bit % 32);
}

static void intercept(struct vmcb *vmcb, u32 bit, bool on)
{
	if (on)
		vmcb->control.intercepts[bit / 32] |= BIT(bit % 32);
	else
		vmcb->control.intercepts[bit / 32] &= ~BIT(bit % 32);
}

/* ---- entry ---- */

static u64 svm_rip(struct tt_session *s)
{
	return s->vcpu->arch.regs[VCPU_REGS_RIP];
}

static void svm_enter(struct tt_session *s, bool intercept_tsc)
{
	struct vmcb *vmcb = s->svm.vmcb;

	/* What KVM intercepts for reasons of its own is not ours to answer: RDTSCP that CPUID hides must give #UD. */
	s->svm.had_rdtsc = !intercept_tsc || intercepts(vmcb, INTERCEPT_RDTSC);
	s->svm.had_rdtscp = !intercept_tsc || intercepts(vmcb, INTERCEPT_RDTSCP);
	if (!s->svm.had_rdtsc)
		intercept(vmcb, INTERCEPT_RDTSC, true);
	if (!s->svm.had_rdtscp)
		intercept(vmcb, INTERCEPT_RDTSCP, true);
	if (intercept_tsc)
		vmcb->control.clean &= ~CLEAN_INTERCEPTS;
}

static bool svm_injects_interrupt(struct tt_session *s)
{
	u32 event = current_vmcb(s)->control.event_inj;
	u32 type = event & SVM_EVTINJ_TYPE_MASK;

	return (event & SVM_EVTINJ_VALID) && (type == SVM_EVTINJ_TYPE_INTR || type == SVM_EVTINJ_TYPE_NMI);
}

/* ---- exit ---- */

static void svm_leave(struct tt_session *s, struct tt_exit *x)
{
	struct vmcb *vmcb = s->svm.vmcb;
	u32 code;

	if (!s->svm.had_rdtsc)
		intercept(vmcb, INTERCEPT_RDTSC, false);
	if (!s->svm.had_rdtscp)
		intercept(vmcb, INTERCEPT_RDTSCP, false);
	/* For the entries after a detach; KVM has marked everything clean just now. */
	vmcb->control.clean &= ~CLEAN_INTERCEPTS;

	if (unlikely(current_vmcb(s) != vmcb))
		vmcb = current_vmcb(s);	/* the guest runs a guest of its own: observe only */
	code = vmcb->control.exit_code;
	x->code = code;
	x->slot = code < SLOT_NPF ? code : code == SVM_EXIT_NPF ? SLOT_NPF : SLOT_OTHER;
	x->rip = vmcb->save.rip;
	x->midway = code == SVM_EXIT_NPF;
	x->kind = TT_EXIT_OTHER;
	if (unlikely(vmcb != s->svm.vmcb))
		return;

	switch (code) {
	case SVM_EXIT_RDTSC:
		if (!s->svm.had_rdtsc)
			x->kind = TT_EXIT_TSC;
		break;
	case SVM_EXIT_RDTSCP:
		if (!s->svm.had_rdtscp)
			x->kind = TT_EXIT_TSC;
		break;
	case SVM_EXIT_EXCP_BASE + DB_VECTOR:
		x->kind = TT_EXIT_DEBUG;
		break;
	case SVM_EXIT_WRITE_DR5:	/* another name of DR7 */
	case SVM_EXIT_WRITE_DR7:
		x->kind = TT_EXIT_DR7;
		break;
	}
}

/* KVM's handler of SMI exits does nothing, so an exit that is all done becomes one of those. */
static void svm_swallow(struct vmcb *vmcb)
{
	vmcb->control.exit_code = SVM_EXIT_SMI;
}

static void svm_complete_tsc(struct tt_session *s, const struct tt_exit *x, u64 tsc)
{
	unsigned long *regs = s->vcpu->arch.regs;
	struct vmcb *vmcb = s->svm.vmcb;
	u64 aux;

	regs[VCPU_REGS_RAX] = (u32)tsc;
	regs[VCPU_REGS_RDX] = tsc >> 32;
	if (x->code == SVM_EXIT_RDTSCP) {
		if (kvm_get_msr(s->vcpu, MSR_TSC_AUX, &aux))
			aux = 0;
		regs[VCPU_REGS_RCX] = (u32)aux;
	}
	/* Without next-RIP saving (never on hardware since 2008), assume that there are no prefixes. */
	regs[VCPU_REGS_RIP] = vmcb->control.next_rip ?: x->rip + (x->code == SVM_EXIT_RDTSCP ? 3 : 2);
	vmcb->control.int_state &= ~SVM_INTERRUPT_SHADOW_MASK;

	/* The instruction is over. With TF set, this is when the single-step trap is due. */
	vmcb->save.rflags &= ~X86_EFLAGS_RF;
	if (unlikely(vmcb->save.rflags & X86_EFLAGS_TF)) {
		vmcb->save.dr6 |= DR_STEP;
		vmcb->control.clean &= ~CLEAN_DR;
		vmcb->control.exit_code = SVM_EXIT_EXCP_BASE + DB_VECTOR;
	} else {
		svm_swallow(vmcb);
	}
}

static bool svm_is_breakpoint(struct tt_session *s)
{
	u64 dr6 = s->svm.vmcb->save.dr6;

	return (dr6 & DR6_BREAKPOINTS) && !(dr6 & DR_STEP);
}

static bool svm_take_step(struct tt_session *s)
{
	struct vmcb *vmcb = s->svm.vmcb;

	if (vmcb->control.exit_code != SVM_EXIT_EXCP_BASE + DB_VECTOR || !(vmcb->save.dr6 & DR_STEP))
		return false;
	/* If the next instruction has a breakpoint, its bits are userspace's business. */
	vmcb->save.dr6 &= ~DR6_BREAKPOINTS;
	vmcb->control.clean &= ~CLEAN_DR;
	return true;
}

static void svm_swallow_debug(struct tt_session *s)
{
	struct vmcb *vmcb = s->svm.vmcb;

	vmcb->save.dr6 &= ~DR6_BREAKPOINTS;
	vmcb->control.clean &= ~CLEAN_DR;
	svm_swallow(vmcb);
}

/* RFLAGS is in no clean group: hardware loads it at every VMRUN. */
static void svm_set_resume_flag(struct tt_session *s, bool on)
{
	if (on)
		s->svm.vmcb->save.rflags |= X86_EFLAGS_RF;
	else
		s->svm.vmcb->save.rflags &= ~(u64)X86_EFLAGS_RF;
}

static void svm_registers(struct tt_session *s, u64 words[TTVM_CHECK_WORDS])
{
	/* KVM numbers the registers as the ABI does, and has copied RAX and RSP out of the VMCB. */
	BUILD_BUG_ON(VCPU_REGS_RAX != 0 || VCPU_REGS_RSP != 4 || VCPU_REGS_R15 != 15);
	BUILD_BUG_ON(TTVM_CHECK_WORDS != VCPU_REGS_R15 + 2);
	memcpy(words, s->vcpu->arch.regs, (TTVM_CHECK_WORDS - 1) * sizeof(u64));
	words[TTVM_CHECK_WORDS - 1] = s->svm.vmcb->save.rflags;
}

const struct tt_vendor tt_svm = {
	.id = TTVM_VENDOR_SVM,
	.bind = svm_bind,
	.rip = svm_rip,
	.enter = svm_enter,
	.injects_interrupt = svm_injects_interrupt,
	.leave = svm_leave,
	.complete_tsc = svm_complete_tsc,
	.is_breakpoint = svm_is_breakpoint,
	.take_step = svm_take_step,
	.swallow_debug = svm_swallow_debug,
	.set_resume_flag = svm_set_resume_flag,
	.registers = svm_registers,
};
