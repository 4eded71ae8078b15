// SPDX-License-Identifier: GPL-2.0
/*
 * translate.c - from a guest-virtual to a guest-physical address, by walking the guest's page tables as the CPU would
 * (AMD APM vol. 2 chapter 5; Intel SDM vol. 3A chapter 4). Nothing is written: no accessed bit is set.
 */
#include <string.h>

#include "vmm.h"

#define CR0_PE (1ull << 0)
#define CR0_PG (1ull << 31)
#define CR4_PSE (1ull << 4)
#define CR4_PAE (1ull << 5)
#define CR4_LA57 (1ull << 12)
#define EFER_LMA (1ull << 10)

#define PTE_PRESENT (1ull << 0)
#define PTE_ACCESSED (1ull << 5)
#define PTE_LARGE (1ull << 7)
#define PTE_ADDRESS 0x000ffffffffff000ull

#define NO_TRANSLATION UINT64_MAX

static uint64_t walk(const struct tt_memory *mem, uint64_t table, int levels, unsigned int index_bits,
		     bool pse, uint64_t address, bool accessed_only)
{
	unsigned int entry_size = index_bits == 9 ? 8 : 4;
	int level;

	for (level = levels; level >= 1; level--) {
		unsigned int shift = 12 + index_bits * (level - 1);
		uint64_t index = (address >> shift) & ((1u << index_bits) - 1);
		const void *slot;
		uint64_t entry = 0;
		/* PAE's four top entries have no accessed bit */
		bool top_of_pae = index_bits == 9 && levels == 3 && level == 3;

		if (top_of_pae)
			index &= 3;
		slot = tt_memory_at(mem, table + index * entry_size, entry_size);
		if (!slot)
			return NO_TRANSLATION;
		memcpy(&entry, slot, entry_size);
		if (!(entry & PTE_PRESENT))
			return NO_TRANSLATION;
		if (accessed_only && !top_of_pae && !(entry & PTE_ACCESSED))
			return NO_TRANSLATION;
		if (level > 1 && (entry & PTE_LARGE) && (index_bits == 9 ? level <= 3 : pse) &&
		    !top_of_pae) {
			uint64_t mask = (1ull << shift) - 1;
			uint64_t base = entry & PTE_ADDRESS;

			if (index_bits == 10) /* PSE-36: bits 13..20 are address bits 32..39 */
				base = (entry & 0xffc00000) | ((entry >> 13 & 0xff) << 32);
			return (base & ~mask) | (address & mask);
		}
		table = entry & PTE_ADDRESS;
	}
	return table | (address & 0xfff);
}

static uint64_t translate(const struct tt_memory *mem, const struct kvm_sregs *s, uint64_t address,
			  bool accessed_only)
{
	if (!(s->cr0 & CR0_PE) || !(s->cr0 & CR0_PG))
		return address;
	if (s->efer & EFER_LMA)
		return walk(mem, s->cr3 & PTE_ADDRESS, s->cr4 & CR4_LA57 ? 5 : 4, 9, true, address,
			    accessed_only);
	if (s->cr4 & CR4_PAE)
		return walk(mem, s->cr3 & 0xffffffe0, 3, 9, true, address & 0xffffffff,
			    accessed_only);
	return walk(mem, s->cr3 & 0xfffff000, 2, 10, s->cr4 & CR4_PSE, address & 0xffffffff,
		    accessed_only);
}

/* Where the bytes from address on are, up to the end of their page; *len becomes their number. NULL: nowhere. */
static void *find_page(struct tt_vcpu *vcpu, const struct kvm_sregs *sregs, uint64_t address,
		       bool accessed_only, size_t *len)
{
	const struct tt_memory *mem = &vcpu->machine->memory;
	uint64_t gpa = translate(mem, sregs, address, accessed_only);
	size_t in_page = 4096 - (address & 0xfff);

	if (*len > in_page)
		*len = in_page;
	return gpa == NO_TRANSLATION ? NULL : tt_memory_at(mem, gpa, *len);
}

size_t tt_vcpu_read_virtual(struct tt_vcpu *vcpu, const struct kvm_sregs *sregs, uint64_t address,
			    void *data, size_t len, bool accessed_only)
{
	size_t done, n;

	for (done = 0; done < len; done += n) {
		const void *page;

		n = len - done;
		page = find_page(vcpu, sregs, address + done, accessed_only, &n);
		if (!page)
			break;
		memcpy((uint8_t *)data + done, page, n);
	}
	return done;
}

size_t tt_vcpu_write_virtual(struct tt_vcpu *vcpu, const struct kvm_sregs *sregs, uint64_t address,
			     const void *data, size_t len)
{
	size_t done, n;

	for (done = 0; done < len; done += n) {
		void *page;

		n = len - done;
		page = find_page(vcpu, sregs, address + done, false, &n);
		if (!page)
			break;
		memcpy(page, (const uint8_t *)data + done, n);
	}
	return done;
}
