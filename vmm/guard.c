// SPDX-License-Identifier: GPL-2.0
/*
 * guard.c - guest pages that the guest cannot use unseen.
 *
 * mprotect(2) takes the pages from KVM's nested page table, too (by its MMU notifier), and the processor's translations
 * with them. The next access of the guest exits; KVM asks the kernel for the page, is refused, and KVM_RUN fails with
 * EFAULT, with the vCPU as it was before the instruction. A page that may be read is mapped again, read-only.
 *
 * The processor's walks through the guest's page tables count as writes to the tables (AMD APM vol. 2, 15.25.5), so
 * every such walk through a guarded page exits as well.
 */
#include <errno.h>
#include <sys/mman.h>

#include "vmm.h"

/* Pages side by side with the same rights are changed together. */
static int protect(const struct tt_memory *mem, bool on)
{
	const struct tt_guard *g = mem->guard;
	size_t i, n;
	int rights;

	for (i = 0; i < g->num_pages; i += n) {
		bool reads = g->pages[i].reads;
		void *at = tt_memory_at(mem, g->pages[i].gpa, TT_PAGE_SIZE);

		for (n = 1; i + n < g->num_pages && (!on || g->pages[i + n].reads == reads) &&
		     tt_memory_at(mem, g->pages[i + n].gpa, TT_PAGE_SIZE) == (uint8_t *)at + n * TT_PAGE_SIZE; n++)
			;
		if (!at)
			return -EINVAL;
		rights = !on ? PROT_READ | PROT_WRITE : reads ? PROT_NONE : PROT_READ;
		if (mprotect(at, n * TT_PAGE_SIZE, rights) < 0)
			return -errno;
	}
	return 0;
}

int tt_guard_close(const struct tt_memory *mem)
{
	return mem->guard && !mem->guard->open ? protect(mem, true) : 0;
}

int tt_guard_lift(const struct tt_memory *mem)
{
	return mem->guard && !mem->guard->open ? protect(mem, false) : 0;
}
