// SPDX-License-Identifier: GPL-2.0
/*
 * unfinished.c - a breakpoint on data that hits before the instruction that made the access is complete.
 *
 * The count of completed instructions names the hit of an ordinary instruction: the CPU traps behind it, when it is counted.
 * Two accesses are made by what is not counted yet, and belong to the number after:
 *
 * - Delivery of an exception or interrupt pushes words onto the stack; the CPU traps at the entry of the handler (AMD APM
 *   vol. 2, sections 8.2.2 and 8.9). An INT instruction comes there, too, but is counted.
 * - A string instruction that repeats traps behind each iteration, and is counted behind the last one.
 */
#include <string.h>
#include <sys/ioctl.h>

#include "decode.h"

#define CR0_PE 1u
#define EFER_LMA (1ull << 10)
#define RFLAGS_DF (1ull << 10)
#define GATE_PRESENT (1ull << 47)
#define NUM_VECTORS 256

struct moment {
	struct tt_vcpu *vcpu;
	const struct kvm_regs *regs;
	struct kvm_sregs sregs;
};

static size_t read_virtual(const struct moment *m, uint64_t address, void *data, size_t len)
{
	return tt_vcpu_read_virtual(m->vcpu, &m->sregs, address, data, len, false);
}

/* Was this return address pushed by an INT instruction with that vector? */
static bool is_software(const struct moment *m, uint64_t address, unsigned int vector)
{
	uint8_t code[2];

	if (read_virtual(m, address - 2, code, 2) < 2)
		return false;
	return (code[0] == 0xcd && code[1] == vector) || (code[1] == 0xcc && vector == 3) ||
	       (code[1] == 0xce && vector == 4) || (code[1] == 0xf1 && vector == 1);
}

static bool is_delivered(const struct moment *m)
{
	bool lma = m->sregs.efer & EFER_LMA;
	unsigned int size = lma ? 16 : 8, vector;
	uint64_t table[2 * NUM_VECTORS], from = 0;
	size_t limit = (size_t)m->sregs.idt.limit + 1;
	bool found = false;

	if (limit > size * NUM_VECTORS)
		limit = size * NUM_VECTORS;
	limit = read_virtual(m, m->sregs.idt.base, table, limit);
	/* With an error code this is no return address, and no INT stands there. */
	read_virtual(m, m->regs->rsp + (m->sregs.cs.l ? 0 : m->sregs.ss.base), &from, lma ? 8 : 4);
	for (vector = 0; (vector + 1) * size <= limit; vector++) {
		uint64_t low = table[vector * size / 8], high = lma ? table[2 * vector + 1] << 32 : 0;

		if (!(low & GATE_PRESENT) || m->regs->rip != ((low & 0xffff) | (low >> 32 & 0xffff0000) | high))
			continue;
		if (is_software(m, from, vector))
			return false;
		found = true;
	}
	return found;
}

/* The last iteration was where the indexes pointed before they moved on. */
static bool is_repeating(const struct moment *m, const struct tt_breakpoint *b)
{
	struct tt_accesses a;
	unsigned int i;

	tt_accesses_at(m->vcpu, &m->sregs, m->regs, &a);
	for (i = 0; a.repeated && i < a.n; i++) {
		struct tt_access *access = &a.list[i];

		access->address += m->regs->rflags & RFLAGS_DF ? access->length : -access->length;
		if ((access->write || b->kind == TT_BREAK_ACCESS) && access->address < b->address + b->length &&
		    b->address < access->address + access->length)
			return true;
	}
	return false;
}

bool tt_access_is_unfinished(struct tt_vcpu *vcpu, const struct tt_breakpoint *b)
{
	struct moment m = { .vcpu = vcpu, .regs = &tt_vcpu_sync_regs(vcpu)->regs };

	if (b->kind == TT_BREAK_EXECUTE || ioctl(vcpu->fd, KVM_GET_SREGS, &m.sregs) < 0 || !(m.sregs.cr0 & CR0_PE))
		return false;
	return is_delivered(&m) || is_repeating(&m, b);
}
