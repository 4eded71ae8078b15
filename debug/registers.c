// SPDX-License-Identifier: GPL-2.0
/*
 * registers.c - all registers of a vCPU, from KVM and back.
 */
#include <string.h>
#include <sys/ioctl.h>

#include "debug.h"

#define MSR_IA32_APIC_BASE 0x1b

/* XSTATE_BV, behind the 512 bytes of FXSAVE: which parts are not in their initial state. */
#define XSTATE_BV_WORD (512 / 4)
#define XSTATE_X87_SSE_AVX 7u

static const uint32_t msr_index[TT_NUM_KVM_MSRS] = {
	[TT_MSR_STAR] = 0xc0000081,	      [TT_MSR_LSTAR] = 0xc0000082,	 [TT_MSR_CSTAR] = 0xc0000083,
	[TT_MSR_SFMASK] = 0xc0000084,	      [TT_MSR_KERNEL_GS_BASE] = 0xc0000102, [TT_MSR_SYSENTER_CS] = 0x174,
	[TT_MSR_SYSENTER_ESP] = 0x175,	      [TT_MSR_SYSENTER_EIP] = 0x176,	 [TT_MSR_PAT] = 0x277,
};

struct msrs {
	struct kvm_msrs head;
	struct kvm_msr_entry entries[TT_NUM_KVM_MSRS];
};

int tt_registers_read(struct tt_vcpu *vcpu, struct tt_registers *r)
{
	struct msrs msrs = { .head.nmsrs = TT_NUM_KVM_MSRS };
	int i;

	memset(r, 0, sizeof(*r));
	for (i = 0; i < TT_NUM_KVM_MSRS; i++)
		msrs.entries[i].index = msr_index[i];
	if (ioctl(vcpu->fd, KVM_GET_REGS, &r->regs) < 0 || ioctl(vcpu->fd, KVM_GET_SREGS, &r->sregs) < 0 ||
	    ioctl(vcpu->fd, KVM_GET_DEBUGREGS, &r->debug) < 0 || ioctl(vcpu->fd, KVM_GET_XSAVE, &r->xsave) < 0)
		return -errno;
	if (ioctl(vcpu->fd, KVM_GET_MSRS, &msrs) != TT_NUM_KVM_MSRS)
		return -EIO;
	for (i = 0; i < TT_NUM_KVM_MSRS; i++)
		r->msrs[i] = msrs.entries[i].data;
	r->sregs.cr8 = tt_lapic_cr8(vcpu);
	return tt_lapic_read_msr(vcpu, MSR_IA32_APIC_BASE, &r->msrs[TT_MSR_APIC_BASE]);
}

static int write_msrs(struct tt_vcpu *vcpu, const struct tt_registers *old, const struct tt_registers *r)
{
	struct msrs msrs = { .head.nmsrs = 0 };
	uint32_t n = 0;
	int i;

	for (i = 0; i < TT_NUM_KVM_MSRS; i++)
		if (r->msrs[i] != old->msrs[i])
			msrs.entries[n++] = (struct kvm_msr_entry){ .index = msr_index[i], .data = r->msrs[i] };
	msrs.head.nmsrs = n;
	/* KVM stops at the first one whose value it does not accept. */
	if (n && ioctl(vcpu->fd, KVM_SET_MSRS, &msrs) != (int)n)
		return -EINVAL;
	if (r->msrs[TT_MSR_APIC_BASE] != old->msrs[TT_MSR_APIC_BASE])
		return tt_lapic_write_msr(vcpu, MSR_IA32_APIC_BASE, r->msrs[TT_MSR_APIC_BASE]);
	return 0;
}

int tt_registers_write(struct tt_vcpu *vcpu, const struct tt_registers *old, const struct tt_registers *r)
{
	struct kvm_xsave xsave = r->xsave;

	if (memcmp(&r->sregs, &old->sregs, sizeof(r->sregs)) && ioctl(vcpu->fd, KVM_SET_SREGS, &r->sregs) < 0)
		return -errno;
	if (r->sregs.cr8 != old->sregs.cr8) {
		tt_lapic_set_cr8(vcpu, r->sregs.cr8);
		vcpu->run->cr8 = vcpu->cr8 = tt_lapic_cr8(vcpu);
	}
	if (memcmp(&r->debug, &old->debug, sizeof(r->debug)) && ioctl(vcpu->fd, KVM_SET_DEBUGREGS, &r->debug) < 0)
		return -errno;
	if (memcmp(&r->xsave, &old->xsave, sizeof(r->xsave))) {
		xsave.region[XSTATE_BV_WORD] |= XSTATE_X87_SSE_AVX;
		/* A guest without AVX has no such bit to set. */
		if (ioctl(vcpu->fd, KVM_SET_XSAVE, &xsave) < 0) {
			xsave.region[XSTATE_BV_WORD] &= ~4u;
			if (ioctl(vcpu->fd, KVM_SET_XSAVE, &xsave) < 0)
				return -errno;
		}
	}
	if (memcmp(&r->regs, &old->regs, sizeof(r->regs))) {
		if (ioctl(vcpu->fd, KVM_SET_REGS, &r->regs) < 0)
			return -errno;
		tt_vcpu_sync_regs(vcpu)->regs = r->regs;
	}
	return write_msrs(vcpu, old, r);
}
