// SPDX-License-Identifier: GPL-2.0
/*
 * step.c - where one more instruction can lead, so that breakpoints can stop the vCPU there.
 *
 * The instruction is decoded (Zydis), its successors computed from registers and memory: the next instruction, a branch's
 * target, and, because it may fault, the handlers of exceptions, the likely ones first. There are four breakpoints; an
 * exception whose handler got none lets the vCPU run on, which the caller notices by the instruction count. Coming there
 * again it asks for the next four.
 *
 * One instruction is stepped by the trap flag: an IRET that sets RF. The flag does not outlive it, because IRET loads all
 * flags, and goes nowhere, because IRET stores none.
 */
#include <string.h>
#include <sys/ioctl.h>

#include "decode.h"

#define EFER_LMA (1ull << 10)
#define DESCRIPTOR_LONG (1ull << 53)
#define RFLAGS_TF (1ull << 8)
#define RFLAGS_RF (1ull << 16)
#define MSR_LSTAR 0xc0000082
#define MSR_SYSENTER_EIP 0x176

#define NUM_EXCEPTIONS 32
#define NUM_VECTORS 256
#define MAX_CANDIDATES 48 /* the next two instructions, two targets, all exceptions, and some to spare */

enum {
	VECTOR_DE = 0,
	VECTOR_BP = 3,
	VECTOR_UD = 6,
	VECTOR_NM = 7,
	VECTOR_DF = 8,
	VECTOR_GP = 13,
	VECTOR_PF = 14,
};

struct place {
	struct tt_vcpu *vcpu;
	const struct kvm_regs *regs;
	struct kvm_sregs sregs;
	uint64_t candidate[MAX_CANDIDATES];
	unsigned int count;
	unsigned int length;
	bool to_resume; /* the instruction is an IRET to one before which no breakpoint hits */
};

static void add(struct place *s, uint64_t address)
{
	unsigned int i;

	for (i = 0; i < s->count; i++)
		if (s->candidate[i] == address)
			return;
	if (s->count < MAX_CANDIDATES)
		s->candidate[s->count++] = address;
}

static bool read_word(struct place *s, uint64_t address, unsigned int size, uint64_t *value)
{
	*value = 0;
	return tt_vcpu_read_virtual(s->vcpu, &s->sregs, address, value, size, false) == size;
}

/* The entry of a vector's handler (AMD APM vol. 2, section 8.9). False: there is none yet. */
static bool handler_of(struct place *s, unsigned int vector, uint64_t *entry)
{
	bool lma = s->sregs.efer & EFER_LMA;
	unsigned int size = lma ? 16 : 8;
	uint64_t low, high = 0, table = s->sregs.idt.base + vector * size;

	if (s->sregs.idt.limit < vector * size + size - 1 || !read_word(s, table, 8, &low))
		return false;
	if (lma && !read_word(s, table + 8, 4, &high))
		return false;
	*entry = (low & 0xffff) | ((low >> 32) & 0xffff0000) | (high << 32);
	return low & (1ull << 47); /* present */
}

static void add_handler(struct place *s, unsigned int vector)
{
	uint64_t entry;

	if (handler_of(s, vector, &entry))
		add(s, entry);
}

static uint64_t read_msr(struct place *s, uint32_t index)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msr = { .head.nmsrs = 1, .entry.index = index };

	ioctl(s->vcpu->fd, KVM_GET_MSRS, &msr);
	return msr.entry.data;
}

/*
 * Where the far branch to this selector and offset leads: the base of the code segment is added, in long mode it is 0 (AMD APM
 * vol. 2, sections 4.7.2 and 4.8.1). Gates are not followed.
 */
static bool far_target(struct place *s, uint16_t selector, uint64_t offset, uint64_t *target)
{
	uint64_t low;

	if (!read_word(s, s->sregs.gdt.base + (selector & ~7u), 8, &low))
		return false;
	*target = offset;
	if (!(s->sregs.efer & EFER_LMA) || !(low & DESCRIPTOR_LONG))
		*target = (uint32_t)(offset + ((low >> 16 & 0xffffff) | (low >> 32 & 0xff000000)));
	return true;
}

/* Target of a jump or call through its first operand. */
static bool branch_target(struct place *s, const ZydisDecodedInstruction *insn,
			  const ZydisDecodedOperand *op, uint64_t *target)
{
	bool far = insn->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
	unsigned int size = op->size / 8;
	uint64_t address, selector, offset;
	ZydisRegisterContext context;

	if (op->type == ZYDIS_OPERAND_TYPE_POINTER)
		return far_target(s, op->ptr.segment, op->ptr.offset, target);
	if (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return op->imm.is_relative &&
		       ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(insn, op, s->regs->rip, target));
	tt_decode_context(s->regs, &context);
	if (op->type == ZYDIS_OPERAND_TYPE_REGISTER) {
		*target = context.values[op->reg.value];
		return true;
	}
	if (op->type != ZYDIS_OPERAND_TYPE_MEMORY ||
	    !ZYAN_SUCCESS(ZydisCalcAbsoluteAddressEx(insn, op, s->regs->rip, &context, &address)))
		return false;
	address += tt_segment_base(&s->sregs, op->mem.segment);
	if (far)
		return read_word(s, address, size - 2, &offset) && read_word(s, address + size - 2, 2, &selector) &&
		       far_target(s, selector, offset, target);
	return read_word(s, address, size < 8 ? size : 8, target);
}

static void add_stack_return(struct place *s, unsigned int size)
{
	uint64_t target, stack = s->regs->rsp + (s->sregs.cs.l ? 0 : s->sregs.ss.base);

	if (read_word(s, stack, size, &target))
		add(s, target);
}

/*
 * Will RF be set after this IRET, which pops rip, cs and flags of that width? So it is when a fault is over, and no breakpoint
 * hits at the instruction that faulted. The flags must not have TF, which is not for us to lose.
 */
static bool returns_with_rf(struct place *s, unsigned int width)
{
	uint64_t flags, stack = s->regs->rsp + (s->sregs.cs.l ? 0 : s->sregs.ss.base);

	return width > 2 && read_word(s, stack + 2 * width, width, &flags) && (flags & RFLAGS_RF) && !(flags & RFLAGS_TF);
}

/* Successors of an instruction that always leaves the straight line. False: it is none of those. */
static bool add_unconditional(struct place *s, const ZydisDecodedInstruction *insn,
			      const ZydisDecodedOperand *ops)
{
	unsigned int width = insn->operand_width / 8;
	uint64_t target;

	switch (insn->mnemonic) {
	case ZYDIS_MNEMONIC_JMP:
	case ZYDIS_MNEMONIC_CALL:
		if (branch_target(s, insn, &ops[0], &target))
			add(s, target);
		return true;
	case ZYDIS_MNEMONIC_RET:
		add_stack_return(s, width);
		return true;
	case ZYDIS_MNEMONIC_IRET:
	case ZYDIS_MNEMONIC_IRETD:
	case ZYDIS_MNEMONIC_IRETQ:
		add_stack_return(s, width);
		s->to_resume = returns_with_rf(s, width);
		return true;
	case ZYDIS_MNEMONIC_SYSCALL:
		add(s, read_msr(s, MSR_LSTAR));
		return true;
	case ZYDIS_MNEMONIC_SYSENTER:
		add(s, read_msr(s, MSR_SYSENTER_EIP));
		return true;
	case ZYDIS_MNEMONIC_SYSRET:
		add(s, s->regs->rcx);
		return true;
	case ZYDIS_MNEMONIC_SYSEXIT:
		add(s, s->regs->rdx);
		return true;
	case ZYDIS_MNEMONIC_INT:
		add_handler(s, ops[0].imm.value.u & 0xff);
		return true;
	case ZYDIS_MNEMONIC_INT3:
		add_handler(s, VECTOR_BP);
		return true;
	case ZYDIS_MNEMONIC_UD0:
	case ZYDIS_MNEMONIC_UD1:
	case ZYDIS_MNEMONIC_UD2:
		add_handler(s, VECTOR_UD);
		return true;
	default:
		return false;
	}
}

/* Is there a page below the stack pointer? Else an exception that stays on this stack becomes a double fault. */
static bool has_stack(struct place *s)
{
	uint64_t stack = s->regs->rsp + (s->sregs.cs.l ? 0 : s->sregs.ss.base), word;

	return read_word(s, stack - 1, 1, &word);
}

static bool loads_ss(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *ops)
{
	return (insn->mnemonic == ZYDIS_MNEMONIC_MOV || insn->mnemonic == ZYDIS_MNEMONIC_POP) &&
	       ops[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       ops[0].reg.value == ZYDIS_REGISTER_SS;
}

static void add_successors(struct place *s, const ZydisDecoder *decoder, uint64_t rip, bool shadowed)
{
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction insn;
	uint8_t code[ZYDIS_MAX_INSTRUCTION_LENGTH];
	uint64_t base = s->sregs.cs.l ? 0 : s->sregs.cs.base, target;
	size_t len = tt_vcpu_read_virtual(s->vcpu, &s->sregs, base + rip, code, sizeof(code), false);

	if (!len || !ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder, code, len, &insn, ops))) {
		/* The fetch will fault, or the instruction is undefined. */
		add_handler(s, VECTOR_PF);
		add_handler(s, VECTOR_UD);
		add_handler(s, VECTOR_GP);
		return;
	}
	if (!add_unconditional(s, &insn, ops)) {
		add(s, rip + insn.length);
		if (insn.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE &&
		    branch_target(s, &insn, &ops[0], &target))
			add(s, target);
		/* Debug exceptions are held off for one instruction after a load of SS. */
		if (loads_ss(&insn, ops) && !shadowed) {
			s->length = 2;
			add_successors(s, decoder, rip + insn.length, true);
		}
	}
	add_handler(s, VECTOR_PF);
	if (!has_stack(s))
		add_handler(s, VECTOR_DF);
	if (insn.mnemonic == ZYDIS_MNEMONIC_DIV || insn.mnemonic == ZYDIS_MNEMONIC_IDIV)
		add_handler(s, VECTOR_DE);
	else if (insn.meta.isa_set == ZYDIS_ISA_SET_X87 || insn.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX)
		add_handler(s, VECTOR_NM);
	add_handler(s, VECTOR_GP);
	add_handler(s, VECTOR_UD);
}

static int begin(struct place *s, struct tt_vcpu *vcpu, struct tt_error *err)
{
	memset(s, 0, sizeof(*s));
	s->vcpu = vcpu;
	s->regs = &tt_vcpu_sync_regs(vcpu)->regs;
	s->length = 1;
	if (ioctl(vcpu->fd, KVM_GET_SREGS, &s->sregs) < 0)
		return tt_fail(err, -errno, "KVM_GET_SREGS: %s", strerror(errno));
	if (!s->sregs.cs.l && s->sregs.cs.base)
		return tt_fail(err, -EOPNOTSUPP, "this is 16-bit code of a BIOS or boot loader (code segment at "
			       "%llx), where single instructions cannot be told apart; choose a later one",
			       (unsigned long long)s->sregs.cs.base);
	return 0;
}

int tt_step_targets(struct tt_vcpu *vcpu, unsigned int set, struct tt_step *step, struct tt_error *err)
{
	unsigned int vector, first = set * TT_MAX_BREAKPOINTS;
	ZydisDecoder decoder;
	struct place s;
	int ret = begin(&s, vcpu, err);

	if (ret)
		return ret;
	tt_decoder_init(&decoder, &s.sregs);
	add_successors(&s, &decoder, s.regs->rip, false);
	for (vector = 0; set && vector < NUM_EXCEPTIONS; vector++)
		add_handler(&s, vector);
	step->length = s.length;
	step->n = 0;
	if (s.to_resume && !set)
		return 0;
	while (step->n < TT_MAX_BREAKPOINTS && first + step->n < s.count) {
		step->address[step->n] = s.candidate[first + step->n];
		step->n++;
	}
	return step->n ? 0 :
			 tt_fail(err, -EFAULT, "cannot tell where the instruction at rip %llx leads",
				 (unsigned long long)s.regs->rip);
}

int tt_step_vector(struct tt_vcpu *vcpu, unsigned int vector, struct tt_step *step, struct tt_error *err)
{
	struct place s;
	int ret = begin(&s, vcpu, err);

	if (ret)
		return ret;
	add_handler(&s, vector);
	if (!s.count)
		return tt_fail(err, -EFAULT, "interrupt %u has no handler in the guest", vector);
	*step = (struct tt_step){ .address = { s.candidate[0] }, .n = 1, .length = 1 };
	return 0;
}
