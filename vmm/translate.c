// SPDX-License-Identifier: GPL-2.0
/*
 * translate.c - from a guest-virtual to a guest-physical address, by walking the guest's page tables as the CPU would
 * (AMD APM vol. 2 chapter 5; Intel SDM vol. 3A chapter 4), and all that they map. Nothing is written: no accessed bit
 * is set.
 */
#include <errno.h>
#include <stdlib.h>
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

/* How the tables are made. 10 index bits: two levels of 4-byte entries; 9: three (PAE) to five of 8-byte entries. */
struct layout {
	uint64_t root;
	int levels;
	unsigned int index_bits;
	bool pse;
};

/* False: paging is off. */
static bool get_layout(const struct kvm_sregs *s, struct layout *layout)
{
	if (!(s->cr0 & CR0_PE) || !(s->cr0 & CR0_PG))
		return false;
	if (s->efer & EFER_LMA)
		*layout = (struct layout){ s->cr3 & PTE_ADDRESS, s->cr4 & CR4_LA57 ? 5 : 4, 9, true };
	else if (s->cr4 & CR4_PAE)
		*layout = (struct layout){ s->cr3 & 0xffffffe0, 3, 9, true };
	else
		*layout = (struct layout){ s->cr3 & 0xfffff000, 2, 10, s->cr4 & CR4_PSE };
	return true;
}

/* PAE's four top entries have no accessed bit, and none of them is a page. */
static bool is_top_of_pae(const struct layout *l, int level)
{
	return l->index_bits == 9 && l->levels == 3 && level == 3;
}

static bool is_page(const struct layout *l, int level, uint64_t entry)
{
	if (level == 1)
		return true;
	return (entry & PTE_LARGE) && (l->index_bits == 9 ? level <= 3 : l->pse) && !is_top_of_pae(l, level);
}

/* The physical address of a page of 1 << shift bytes. */
static uint64_t page_address(const struct layout *l, uint64_t entry, unsigned int shift)
{
	uint64_t base = entry & PTE_ADDRESS;

	if (l->index_bits == 10 && shift > 12) /* PSE-36: bits 13..20 are address bits 32..39 */
		base = (entry & 0xffc00000) | ((entry >> 13 & 0xff) << 32);
	return base & ~((1ull << shift) - 1);
}

static uint64_t walk(const struct tt_memory *mem, const struct layout *l, uint64_t address, bool accessed_only)
{
	unsigned int entry_size = l->index_bits == 9 ? 8 : 4;
	uint64_t table = l->root;
	int level;

	for (level = l->levels;; level--) {
		unsigned int shift = 12 + l->index_bits * (level - 1);
		uint64_t index = (address >> shift) & ((1u << l->index_bits) - 1);
		const void *slot;
		uint64_t entry = 0;

		if (is_top_of_pae(l, level))
			index &= 3;
		slot = tt_memory_at(mem, table + index * entry_size, entry_size);
		if (!slot)
			return NO_TRANSLATION;
		memcpy(&entry, slot, entry_size);
		if (!(entry & PTE_PRESENT))
			return NO_TRANSLATION;
		if (accessed_only && !is_top_of_pae(l, level) && !(entry & PTE_ACCESSED))
			return NO_TRANSLATION;
		if (is_page(l, level, entry))
			return page_address(l, entry, shift) | (address & ((1ull << shift) - 1));
		table = entry & PTE_ADDRESS;
	}
}

static uint64_t translate(const struct tt_memory *mem, const struct kvm_sregs *s, uint64_t address,
			  bool accessed_only)
{
	struct layout layout;

	if (!get_layout(s, &layout))
		return address;
	return walk(mem, &layout, s->efer & EFER_LMA ? address : address & 0xffffffff, accessed_only);
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

uint64_t tt_vcpu_translate(struct tt_vcpu *vcpu, const struct kvm_sregs *sregs, uint64_t address)
{
	return translate(&vcpu->machine->memory, sregs, address, false);
}

/* ------------------------------------------------------------------ all that is mapped */

struct mapper {
	const struct tt_memory *mem;
	struct layout layout;
	uint64_t *walked;	/* a bit per page of RAM: a table that was walked */
	struct tt_mapping *list;
	size_t count, room;
	int error;
};

static void add(struct mapper *mp, uint64_t address, uint64_t physical, uint64_t size)
{
	struct tt_mapping *last = mp->count ? &mp->list[mp->count - 1] : NULL, *list;

	if (last && last->address + last->size == address && last->physical + last->size == physical) {
		last->size += size;
		return;
	}
	if (mp->count == TT_MAX_MAPPINGS) {
		mp->error = -E2BIG;
		return;
	}
	if (mp->count == mp->room) {
		list = realloc(mp->list, 2 * (mp->room + 32) * sizeof(*list));
		if (!list) {
			mp->error = -ENOMEM;
			return;
		}
		mp->list = list;
		mp->room = 2 * (mp->room + 32);
	}
	mp->list[mp->count++] = (struct tt_mapping){ address, physical, size };
}

/* What of a page is RAM: a large one can reach beyond it. */
static void add_ram(struct mapper *mp, uint64_t address, uint64_t physical, uint64_t size)
{
	const struct {
		uint64_t begin, end;
	} ram[] = { { 0, mp->mem->low_size }, { TT_RAM_ABOVE, TT_RAM_ABOVE + mp->mem->size - mp->mem->low_size } };
	unsigned int i;

	for (i = 0; i < 2; i++) {
		uint64_t begin = physical > ram[i].begin ? physical : ram[i].begin;
		uint64_t end = physical + size < ram[i].end ? physical + size : ram[i].end;

		if (begin < end && !mp->error)
			add(mp, address + (begin - physical), begin, end - begin);
	}
}

/*
 * A table that hangs in several places is walked in the first of them only. So the walk ends soon, whatever the guest
 * wrote there: a table that leads to itself (Windows), or a hundred thousand entries that lead to the same one (KASAN's
 * shadow).
 */
static void map_table(struct mapper *mp, uint64_t table, int level, uint64_t address)
{
	const struct layout *l = &mp->layout;
	unsigned int entry_size = l->index_bits == 9 ? 8 : 4, shift = 12 + l->index_bits * (level - 1);
	uint64_t i, n = is_top_of_pae(l, level) ? 4 : 1u << l->index_bits;
	const uint8_t *slots = tt_memory_at(mp->mem, table, n * entry_size);
	uint64_t page;

	if (!slots)
		return;
	page = (slots - mp->mem->hva) / TT_PAGE_SIZE;
	if (mp->walked[page / 64] & 1ull << page % 64)
		return;
	mp->walked[page / 64] |= 1ull << page % 64;
	for (i = 0; i < n && !mp->error; i++) {
		uint64_t entry = 0, at = address | i << shift;

		memcpy(&entry, slots + i * entry_size, entry_size);
		if (!(entry & PTE_PRESENT))
			continue;
		if (level == l->levels && l->levels >= 4 && i >= n / 2) /* canonical: the sign goes on */
			at |= ~0ull << (shift + l->index_bits);
		if (is_page(l, level, entry))
			add_ram(mp, at, page_address(l, entry, shift), 1ull << shift);
		else
			map_table(mp, entry & PTE_ADDRESS, level - 1, at);
	}
}

ssize_t tt_memory_mappings(const struct tt_memory *mem, const struct kvm_sregs *sregs, struct tt_mapping **list)
{
	struct mapper mp = { .mem = mem };

	*list = NULL;
	if (!get_layout(sregs, &mp.layout))
		return 0;
	mp.walked = calloc(mem->size / TT_PAGE_SIZE / 64 + 1, sizeof(*mp.walked));
	if (!mp.walked)
		return -ENOMEM;
	map_table(&mp, mp.layout.root, mp.layout.levels, 0);
	free(mp.walked);
	if (mp.error == -ENOMEM) {
		free(mp.list);
		return mp.error;
	}
	*list = mp.list;
	return mp.count;
}
