// SPDX-License-Identifier: GPL-2.0
/*
 * access.c - which memory an instruction reads and writes.
 *
 * The decoder names the operands, those that nobody writes down (the stack, RSI, RDI) among them. What it does not know
 * is mended here: a push writes below the stack pointer, POP computes its operand's address with the new one, the bit
 * instructions with a register reach beyond their operand (AMD APM vol. 3, "BTS"), XLAT adds AL, and some operands only
 * name an address.
 */
#include <string.h>

#include "decode.h"

#define EFER_LMA (1ull << 10)
#define RFLAGS_DF (1ull << 10)
#define XSAVE_SIZE 832 /* with AVX, the largest that a guest is offered */

/* These name an address, but read and write nothing that a breakpoint on data would see. */
static bool only_names(ZydisMnemonic m)
{
	switch (m) {
	case ZYDIS_MNEMONIC_NOP:
	case ZYDIS_MNEMONIC_INVLPG:
	case ZYDIS_MNEMONIC_CLFLUSH:
	case ZYDIS_MNEMONIC_CLFLUSHOPT:
	case ZYDIS_MNEMONIC_CLWB:
	case ZYDIS_MNEMONIC_PREFETCH:
	case ZYDIS_MNEMONIC_PREFETCHNTA:
	case ZYDIS_MNEMONIC_PREFETCHT0:
	case ZYDIS_MNEMONIC_PREFETCHT1:
	case ZYDIS_MNEMONIC_PREFETCHT2:
	case ZYDIS_MNEMONIC_PREFETCHW:
		return true;
	default:
		return false;
	}
}

static bool is_bit_test(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_BT || m == ZYDIS_MNEMONIC_BTS || m == ZYDIS_MNEMONIC_BTR || m == ZYDIS_MNEMONIC_BTC;
}

static bool is_xsave(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_XSAVE || m == ZYDIS_MNEMONIC_XSAVE64 || m == ZYDIS_MNEMONIC_XSAVEOPT ||
	       m == ZYDIS_MNEMONIC_XSAVEOPT64 || m == ZYDIS_MNEMONIC_XSAVEC || m == ZYDIS_MNEMONIC_XSAVEC64 ||
	       m == ZYDIS_MNEMONIC_XSAVES || m == ZYDIS_MNEMONIC_XSAVES64 || m == ZYDIS_MNEMONIC_XRSTOR ||
	       m == ZYDIS_MNEMONIC_XRSTOR64 || m == ZYDIS_MNEMONIC_XRSTORS || m == ZYDIS_MNEMONIC_XRSTORS64;
}

static bool is_string(const ZydisDecodedInstruction *insn)
{
	return insn->meta.category == ZYDIS_CATEGORY_STRINGOP || insn->meta.category == ZYDIS_CATEGORY_IOSTRINGOP;
}

/* RDI or RSI, however wide. */
static ZydisRegister string_register(ZydisRegister base)
{
	switch (base) {
	case ZYDIS_REGISTER_RDI:
	case ZYDIS_REGISTER_EDI:
	case ZYDIS_REGISTER_DI:
		return ZYDIS_REGISTER_RDI;
	default:
		return ZYDIS_REGISTER_RSI;
	}
}

static bool is_stack_pointer(ZydisRegister base)
{
	return base == ZYDIS_REGISTER_RSP || base == ZYDIS_REGISTER_ESP || base == ZYDIS_REGISTER_SP;
}

/* How far from its operand a bit instruction goes, in bytes. */
static int64_t bit_offset(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *ops,
			  const ZydisRegisterContext *context)
{
	int64_t bit;

	if (!is_bit_test(insn->mnemonic) || ops[1].type != ZYDIS_OPERAND_TYPE_REGISTER)
		return 0;
	bit = context->values[ops[1].reg.value];
	if (ops[1].size == 32)
		bit = (int32_t)bit;
	else if (ops[1].size == 16)
		bit = (int16_t)bit;
	return (bit >> (ops[1].size == 64 ? 6 : ops[1].size == 32 ? 5 : 4)) * (ops[1].size / 8);
}

static void add_operand(struct tt_accesses *a, const struct kvm_sregs *sregs, const ZydisDecodedInstruction *insn,
			const ZydisDecodedOperand *ops, const ZydisDecodedOperand *op, const struct kvm_regs *regs,
			const ZydisRegisterContext *context)
{
	struct tt_access access = { .length = op->size / 8 };
	bool hidden = op->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN;

	if (op->mem.type == ZYDIS_MEMOP_TYPE_VSIB)
		a->unknown = true;
	if (op->mem.type != ZYDIS_MEMOP_TYPE_MEM || a->n == TT_MAX_ACCESSES ||
	    !ZYAN_SUCCESS(ZydisCalcAbsoluteAddressEx(insn, op, regs->rip, context, &access.address)))
		return;
	access.read = op->actions & ZYDIS_OPERAND_ACTION_MASK_READ;
	access.write = op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
	if (is_xsave(insn->mnemonic))
		access.length = XSAVE_SIZE;
	if (insn->mnemonic == ZYDIS_MNEMONIC_ENTER && hidden)
		access.length *= 1 + (ops[1].imm.value.u & 31);
	if (hidden && access.write && is_stack_pointer(op->mem.base))
		access.address -= access.length;
	if (insn->mnemonic == ZYDIS_MNEMONIC_POP && !hidden && is_stack_pointer(op->mem.base))
		access.address += access.length;
	if (insn->mnemonic == ZYDIS_MNEMONIC_XLAT)
		access.address += (uint8_t)regs->rax;
	if (is_string(insn))
		access.string = string_register(op->mem.base);
	access.address += tt_segment_base(sregs, op->mem.segment) + bit_offset(insn, ops, context);
	if (!sregs->cs.l)
		access.address &= UINT32_MAX;
	a->list[a->n++] = access;
}

void tt_accesses_at(struct tt_vcpu *vcpu, const struct kvm_sregs *sregs, const struct kvm_regs *regs,
		    struct tt_accesses *a)
{
	uint64_t base = sregs->cs.l ? 0 : sregs->cs.base;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	uint8_t code[ZYDIS_MAX_INSTRUCTION_LENGTH];
	ZydisRegisterContext context;
	ZydisDecodedInstruction insn;
	ZydisDecoder decoder;
	size_t len;
	int i;

	memset(a, 0, sizeof(*a));
	len = tt_vcpu_read_virtual(vcpu, sregs, base + regs->rip, code, sizeof(code), false);
	tt_decoder_init(&decoder, sregs);
	if (!len || !ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, len, &insn, ops)))
		return;
	a->length = insn.length;
	a->interrupts = insn.meta.category == ZYDIS_CATEGORY_INTERRUPT;
	a->repeated = is_string(&insn) && (insn.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE |
							      ZYDIS_ATTRIB_HAS_REPNE));
	if (only_names(insn.mnemonic))
		return;
	tt_decode_context(regs, &context);
	for (i = 0; i < insn.operand_count; i++)
		if (ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			add_operand(a, sregs, &insn, ops, &ops[i], regs, &context);
}

void tt_accesses_made(struct tt_accesses *a, const struct kvm_regs *before, const struct kvm_regs *after,
		      bool completed)
{
	unsigned int i, n = 0;

	if (!completed && !a->repeated) {
		a->n = 0;
		a->unknown = false;
	}
	for (i = 0; a->repeated && i < a->n; i++) {
		struct tt_access access = a->list[i];
		bool rdi = access.string == ZYDIS_REGISTER_RDI;
		int64_t moved = rdi ? after->rdi - before->rdi : after->rsi - before->rsi;

		if (!moved)
			continue;
		if (moved < 0)
			access.address += moved + access.length;
		access.length = moved < 0 ? -moved : moved;
		a->list[n++] = access;
	}
	if (a->repeated)
		a->n = n;
}

/*
 * In long mode the stack pointer is aligned to 16 bytes, then SS, RSP, RFLAGS, CS and RIP are pushed, and an error code
 * for some exceptions: which shows by the alignment (AMD APM vol. 2, section 8.9.3).
 */
struct tt_access tt_frame_pushed(struct tt_vcpu *vcpu, const struct kvm_sregs *before_sregs,
				 const struct kvm_regs *before, const struct kvm_sregs *sregs,
				 const struct kvm_regs *regs)
{
	struct tt_access frame = { .address = regs->rsp, .write = true };
	uint64_t top = before->rsp;

	if (sregs->efer & EFER_LMA) {
		frame.length = regs->rsp % 16 ? 40 : 48;
		return frame;
	}
	/* A change of privilege takes the stack from the TSS: ESP0 (section 12.2.2). */
	if (before_sregs->ss.dpl != sregs->ss.dpl)
		tt_vcpu_read_virtual(vcpu, sregs, sregs->tr.base + 4, &top, 4, false);
	frame.address += sregs->ss.base;
	frame.length = (uint32_t)(top - regs->rsp);
	if (frame.length > 24)
		frame.length = 24;
	return frame;
}
