// SPDX-License-Identifier: GPL-2.0
/*
 * breakpoint.c - hardware breakpoints on the guest through KVM: the guest's memory is never changed.
 */
#include <sys/ioctl.h>

#include "internal.h"

#define DR7_FIXED 0x400ull
#define DR7_LOCAL_EXACT 0x100ull

/* R/W bits of DR7 (AMD APM vol. 2, 13.1.1.4). */
static uint64_t kind_bits(enum tt_breakpoint_kind kind)
{
	return kind == TT_BREAK_EXECUTE ? 0 : kind == TT_BREAK_WRITE ? 1 : 3;
}

/* LEN bits: 1, 2, 8, 4 bytes. */
static uint64_t length_bits(unsigned int length)
{
	return length == 8 ? 2 : length - 1;
}

int tt_breakpoints_set(struct tt_vcpu *vcpu, const struct tt_breakpoint *list, unsigned int n)
{
	struct kvm_guest_debug debug = { .control = 0 };
	unsigned int i;

	if (n) {
		debug.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
		debug.arch.debugreg[7] = DR7_FIXED | DR7_LOCAL_EXACT;
		for (i = 0; i < n; i++) {
			debug.arch.debugreg[i] = list[i].address;
			debug.arch.debugreg[7] |= 2ull << (2 * i) | kind_bits(list[i].kind) << (16 + 4 * i) |
						  length_bits(list[i].length) << (18 + 4 * i);
		}
	}
	return ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &debug) < 0 ? -errno : 0;
}

int tt_trap_set(struct tt_vcpu *vcpu)
{
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP };

	return ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &debug) < 0 ? -errno : 0;
}
