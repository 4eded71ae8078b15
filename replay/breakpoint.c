// SPDX-License-Identifier: GPL-2.0
/*
 * breakpoint.c - hardware breakpoints on the guest through KVM: the guest's memory is never changed.
 */
#include <sys/ioctl.h>

#include "internal.h"

#define DR7_FIXED 0x400ull
#define DR7_LOCAL_EXACT 0x100ull

int tt_breakpoints_set(struct tt_vcpu *vcpu, const uint64_t *address, unsigned int n)
{
	struct kvm_guest_debug debug = { .control = 0 };
	unsigned int i;

	if (n) {
		debug.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
		debug.arch.debugreg[7] = DR7_FIXED | DR7_LOCAL_EXACT;
		/* type 0 (execute) and length 0 (1 byte) are zero bits; only the enables are set */
		for (i = 0; i < n; i++) {
			debug.arch.debugreg[i] = address[i];
			debug.arch.debugreg[7] |= 2ull << (2 * i);
		}
	}
	return ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &debug) < 0 ? -errno : 0;
}
