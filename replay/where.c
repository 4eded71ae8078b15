// SPDX-License-Identifier: GPL-2.0
/*
 * where.c - where a vCPU is, and whether a replay could stop it there.
 */
#include <string.h>
#include <sys/ioctl.h>
#include <xxhash.h>

#include "internal.h"

#define RFLAGS_RF (1ull << 16)

static void check_words(const struct kvm_regs *r, uint64_t words[TTVM_CHECK_WORDS])
{
	const uint64_t in_order[TTVM_CHECK_WORDS] = {
		r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi, r->r8,
		r->r9,	r->r10, r->r11, r->r12, r->r13, r->r14, r->r15,
		r->rflags & ~TTVM_CHECK_RFLAGS_IGNORED,
	};

	memcpy(words, in_order, sizeof(in_order));
}

uint32_t tt_register_check(const struct kvm_regs *regs)
{
	uint64_t words[TTVM_CHECK_WORDS];

	check_words(regs, words);
	return XXH64(words, sizeof(words), 0);
}

uint64_t tt_instructions(struct tt_vcpu *vcpu, const struct ttvm_page *page)
{
	uint64_t completed = tt_vcpu_sync_regs(vcpu)->regs.rip != page->rip;

	if (!page->exits)
		completed = 0; /* nothing has run yet */
	return page->instructions + page->emulated + completed;
}

void tt_position_here(struct tt_vcpu *vcpu, const struct ttvm_page *page, struct tt_position *pos)
{
	const struct kvm_regs *regs = &tt_vcpu_sync_regs(vcpu)->regs;

	pos->exits = vcpu->exits;
	pos->branches = page->branches;
	pos->rip = regs->rip;
	pos->check = tt_register_check(regs);
	pos->instructions = tt_instructions(vcpu, page);
}

void tt_position_at_exit(struct tt_vcpu *vcpu, const struct ttvm_page *page,
			 struct tt_position *pos)
{
	const struct kvm_regs *regs = &tt_vcpu_sync_regs(vcpu)->regs;
	uint64_t words[TTVM_CHECK_WORDS + 2];

	check_words(regs, words);
	words[TTVM_CHECK_WORDS] = page->branches;
	words[TTVM_CHECK_WORDS + 1] = regs->rip;
	pos->exits = vcpu->exits;
	pos->branches = page->branches;
	pos->rip = regs->rip;
	pos->check = XXH64(words, sizeof(words), 0);
	pos->instructions = tt_instructions(vcpu, page);
}

/* INS, OUTS, MOVS, CMPS, STOS, LODS, SCAS with a REP prefix (Intel SDM vol. 2, "REP"). */
static bool is_rep_string(const uint8_t *code, size_t len, bool long_mode)
{
	bool rep = false;
	size_t i;

	for (i = 0; i < len; i++) {
		switch (code[i]) {
		case 0xf2:
		case 0xf3:
			rep = true;
			continue;
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
		case 0x64:
		case 0x65:
		case 0x66:
		case 0x67:
		case 0xf0:
			continue;
		}
		if (long_mode && (code[i] & 0xf0) == 0x40)
			continue;
		return rep && ((code[i] >= 0x6c && code[i] <= 0x6f) ||
			       (code[i] >= 0xa4 && code[i] <= 0xa7) ||
			       (code[i] >= 0xaa && code[i] <= 0xaf));
	}
	return rep; /* not all of it could be read: be careful */
}

bool tt_is_landable(struct tt_vcpu *vcpu, const struct ttvm_page *page, const struct kvm_sregs *sregs)
{
	const struct kvm_regs *regs = &tt_vcpu_sync_regs(vcpu)->regs;
	uint8_t code[15];
	size_t len;

	if (regs->rflags & RFLAGS_RF)
		return false;
	/* A position has no segment: where that has a base, as in a BIOS, rip is not the breakpoint's address. */
	if (!sregs->cs.l && sregs->cs.base)
		return false;
	if (page->midway && regs->rip == page->rip)
		return false;
	len = tt_vcpu_read_virtual(vcpu, sregs, regs->rip, code, sizeof(code), true);
	return len && !is_rep_string(code, len, sregs->cs.l);
}

int tt_is_between_instructions(struct tt_vcpu *vcpu)
{
	struct kvm_vcpu_events events;

	if (ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events) < 0)
		return -errno;
	return !events.exception.injected && !events.exception.pending && !events.interrupt.injected &&
	       !events.nmi.injected && !events.nmi.pending && !events.interrupt.shadow;
}
