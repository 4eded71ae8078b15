// SPDX-License-Identifier: GPL-2.0
/*
 * decode.c - see decode.h: registers as the decoder wants them.
 */
#include <string.h>

#include "decode.h"

void tt_decoder_init(ZydisDecoder *decoder, const struct kvm_sregs *sregs)
{
	if (sregs->cs.l)
		ZydisDecoderInit(decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	else if (sregs->cs.db)
		ZydisDecoderInit(decoder, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
	else
		ZydisDecoderInit(decoder, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
}

void tt_decode_context(const struct kvm_regs *r, ZydisRegisterContext *context)
{
	const uint64_t gpr[16] = { r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi,
				   r->r8,  r->r9,  r->r10, r->r11, r->r12, r->r13, r->r14, r->r15 };
	static const ZydisRegister first[3] = { ZYDIS_REGISTER_RAX, ZYDIS_REGISTER_EAX, ZYDIS_REGISTER_AX };
	int i;

	memset(context, 0, sizeof(*context));
	for (i = 0; i < 16; i++) {
		context->values[first[0] + i] = gpr[i];
		context->values[first[1] + i] = (uint32_t)gpr[i];
		context->values[first[2] + i] = (uint16_t)gpr[i];
	}
	context->values[ZYDIS_REGISTER_RIP] = r->rip;
	context->values[ZYDIS_REGISTER_EIP] = (uint32_t)r->rip;
}

uint64_t tt_segment_base(const struct kvm_sregs *s, ZydisRegister segment)
{
	if (segment == ZYDIS_REGISTER_FS)
		return s->fs.base;
	if (segment == ZYDIS_REGISTER_GS)
		return s->gs.base;
	if (s->cs.l)
		return 0;
	switch (segment) {
	case ZYDIS_REGISTER_CS:
		return s->cs.base;
	case ZYDIS_REGISTER_SS:
		return s->ss.base;
	case ZYDIS_REGISTER_ES:
		return s->es.base;
	default:
		return s->ds.base;
	}
}
