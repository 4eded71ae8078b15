// SPDX-License-Identifier: GPL-2.0
/*
 * registers.c - the architectural registers of a vCPU as one digest: what two runs must agree on.
 *
 * Only what the guest can observe goes in: not KVM's own bookkeeping (interrupt bitmap, pending requests), and not DR6,
 * DR7 and the breakpoint addresses while the debugger owns them.
 */
#include <string.h>
#include <sys/ioctl.h>
#include <xxhash.h>

#include "vmm.h"

#define RFLAGS_RF (1ull << 16)

static const uint32_t digest_msrs[] = {
	0xc0000080, /* EFER */
	0xc0000081, /* STAR */
	0xc0000082, /* LSTAR */
	0xc0000083, /* CSTAR */
	0xc0000084, /* SFMASK */
	0xc0000102, /* KERNEL_GS_BASE */
	0xc0000103, /* TSC_AUX */
	0x174,	    /* SYSENTER_CS */
	0x175,	    /* SYSENTER_ESP */
	0x176,	    /* SYSENTER_EIP */
	0x277,	    /* PAT */
};
#define NUM_DIGEST_MSRS (sizeof(digest_msrs) / sizeof(digest_msrs[0]))

int tt_vcpu_register_digest(struct tt_vcpu *vcpu, uint64_t *digest)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entries[NUM_DIGEST_MSRS];
	} msrs = { .head.nmsrs = NUM_DIGEST_MSRS };
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_fpu fpu;
	XXH64_state_t *xxh;
	size_t i;

	for (i = 0; i < NUM_DIGEST_MSRS; i++)
		msrs.entries[i].index = digest_msrs[i];
	memset(&sregs, 0, sizeof(sregs));
	memset(&fpu, 0, sizeof(fpu));
	if (ioctl(vcpu->fd, KVM_GET_REGS, &regs) < 0 || ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0 ||
	    ioctl(vcpu->fd, KVM_GET_FPU, &fpu) < 0 || ioctl(vcpu->fd, KVM_GET_MSRS, &msrs) < 0)
		return -errno;
	regs.rflags &= ~RFLAGS_RF;
	memset(sregs.interrupt_bitmap, 0, sizeof(sregs.interrupt_bitmap));

	xxh = XXH64_createState();
	if (!xxh)
		return -ENOMEM;
	XXH64_reset(xxh, 0);
	XXH64_update(xxh, &regs, sizeof(regs));
	XXH64_update(xxh, &sregs, sizeof(sregs));
	XXH64_update(xxh, &fpu, sizeof(fpu));
	for (i = 0; i < NUM_DIGEST_MSRS; i++)
		XXH64_update(xxh, &msrs.entries[i].data, sizeof(msrs.entries[i].data));
	*digest = XXH64_digest(xxh);
	XXH64_freeState(xxh);
	return 0;
}
