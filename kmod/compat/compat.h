/* SPDX-License-Identifier: GPL-2.0 */
/*
 * compat.h - every difference between kernel versions, so that no other file mentions one.
 *
 * Built and tested on 6.1 and 6.12. Between the two, the kvm_exit tracepoint moved (see hook.c); after 6.15, DECLARE_TRACE
 * changed and KVM limits what it exports. Such kernels need a look, and the tests, before this range is widened.
 */
#ifndef TTVM_COMPAT_H
#define TTVM_COMPAT_H

#include <linux/mm.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0) || LINUX_VERSION_CODE >= KERNEL_VERSION(6, 16, 0) || \
	(LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0) && LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0))
#error "ttvm supports Linux 6.1, and 6.12 to 6.15"
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
/* vm_flags_set() came with 6.3. */
static inline void tt_vm_flags_set(struct vm_area_struct *vma, unsigned long flags)
{
	vma->vm_flags |= flags;
}
#else
static inline void tt_vm_flags_set(struct vm_area_struct *vma, unsigned long flags)
{
	vm_flags_set(vma, flags);
}
#endif

/*
 * Start and stop calling tt_enter() and tt_leave() for every vCPU of the machine. tt_compat_unhook() returns when no
 * call is under way any more. Not to be called twice in a row.
 */
int tt_compat_hook(void);
void tt_compat_unhook(void);

/* When the module is unloaded. */
void tt_compat_exit(void);

/* Has a KVM vendor module ever been initialised on this machine? */
bool tt_compat_kvm_ready(void);

#endif
