// SPDX-License-Identifier: GPL-2.0
/*
 * report.c - what is said when a replay does not match: the last event that did, the first that did not, the registers and
 * the code where it happened. A recording holds checks of its registers, not the registers; so those shown are the
 * replay's.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <Zydis/Zydis.h>

#include "replayer.h"

#define CODE_LINES 6

void tt_disassemble(struct tt_vcpu *vcpu, uint64_t rip, unsigned int count, char *text, size_t size)
{
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction insn;
	ZydisFormatter formatter;
	ZydisDecoder decoder;
	struct kvm_sregs sregs;
	uint8_t code[ZYDIS_MAX_INSTRUCTION_LENGTH];
	char line[96];
	unsigned int i;
	int used;

	if (!size)
		return;
	text[0] = '\0';
	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
		return;
	ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_ATT);
	ZydisDecoderInit(&decoder,
			 sregs.cs.l ? ZYDIS_MACHINE_MODE_LONG_64 : ZYDIS_MACHINE_MODE_LEGACY_32,
			 sregs.cs.l ? ZYDIS_STACK_WIDTH_64 : ZYDIS_STACK_WIDTH_32);
	for (i = 0; i < count; i++) {
		uint64_t base = sregs.cs.l ? 0 : sregs.cs.base;
		size_t len = tt_vcpu_read_virtual(vcpu, &sregs, base + rip, code, sizeof(code),
						  false);

		if (!len ||
		    !ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, len, &insn, ops)) ||
		    !ZYAN_SUCCESS(ZydisFormatterFormatInstruction(
			    &formatter, &insn, ops, insn.operand_count_visible, line, sizeof(line),
			    rip, NULL)))
			return;
		used = snprintf(text, size, "  %s %016llx  %s\n", i ? "  " : "=>",
				(unsigned long long)rip, line);
		if (used < 0 || (size_t)used >= size)
			return;
		text += used;
		size -= used;
		rip += insn.length;
	}
}

static int describe_event(char *text, size_t size, const char *label, uint64_t number,
			  const struct tt_event *event)
{
	if (event->at_exit)
		return snprintf(text, size, "  %s: event %llu, after exit %llu, check %04x\n", label,
				(unsigned long long)number, (unsigned long long)event->pos.exits,
				event->pos.check & TT_CHECK_MASK);
	return snprintf(text, size, "  %s: event %llu, exits %llu, branches %llu, rip %llx, check %04x\n",
			label, (unsigned long long)number, (unsigned long long)event->pos.exits,
			(unsigned long long)event->pos.branches,
			(unsigned long long)event->pos.rip, event->pos.check & TT_CHECK_MASK);
}

static int describe_registers(char *text, size_t size, const struct kvm_regs *r)
{
	return snprintf(text, size,
			"  rax %016llx rbx %016llx rcx %016llx rdx %016llx\n"
			"  rsi %016llx rdi %016llx rbp %016llx rsp %016llx\n"
			"  r8  %016llx r9  %016llx r10 %016llx r11 %016llx\n"
			"  r12 %016llx r13 %016llx r14 %016llx r15 %016llx\n"
			"  rip %016llx rflags %08llx\n",
			r->rax, r->rbx, r->rcx, r->rdx, r->rsi, r->rdi, r->rbp, r->rsp, r->r8,
			r->r9, r->r10, r->r11, r->r12, r->r13, r->r14, r->r15, r->rip, r->rflags);
}

int tt_report(struct tt_replayer *rep, struct tt_vcpu *vcpu, enum tt_outcome outcome,
	      const char *format, ...)
{
	const struct replayer_vcpu *rv = vcpu->seam_data;
	const struct kvm_regs *regs = &tt_vcpu_sync_regs(vcpu)->regs;
	struct tt_position here;
	char *at = rep->report, *end = rep->report + sizeof(rep->report);
	char why[256];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	tt_position_here(vcpu, rv->session.page, &here);
	/* The text is far shorter than the buffer, whose end snprintf() would respect anyway. */
	at += snprintf(at, end - at, "at event %llu: %s\n", (unsigned long long)rep->event, why);
	if (rep->last.kind)
		at += describe_event(at, end - at, "last matching", rep->event - 1, &rep->last);
	if (rep->have_next)
		at += describe_event(at, end - at, "expected", rep->event, &rep->next);
	at += snprintf(at, end - at,
		       "  found: exits %llu, branches %llu, rip %llx, check %04x, instruction %llu\n",
		       (unsigned long long)here.exits, (unsigned long long)here.branches,
		       (unsigned long long)here.rip, here.check & TT_CHECK_MASK,
		       (unsigned long long)here.instructions);
	at += describe_registers(at, end - at, regs);
	tt_disassemble(vcpu, regs->rip, CODE_LINES, at, end - at);

	if (rep->outcome == TT_OUTCOME_RUNNING)
		rep->outcome = outcome;
	tt_machine_end(vcpu->machine, TT_END_REQUEST, 0);
	return 0;
}
