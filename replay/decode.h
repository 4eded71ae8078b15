/* SPDX-License-Identifier: GPL-2.0 */
/*
 * decode.h - what the decoder (Zydis) needs to know of a vCPU, and which memory an instruction uses.
 */
#ifndef TTVM_REPLAY_DECODE_H
#define TTVM_REPLAY_DECODE_H

#include <Zydis/Zydis.h>

#include "internal.h"

/* ------------------------------------------------------------------ decode.c */

/* For the code segment of these registers. */
void tt_decoder_init(ZydisDecoder *decoder, const struct kvm_sregs *sregs);
/* The general registers, and the instruction pointer, for ZydisCalcAbsoluteAddressEx(). */
void tt_decode_context(const struct kvm_regs *regs, ZydisRegisterContext *context);
uint64_t tt_segment_base(const struct kvm_sregs *sregs, ZydisRegister segment);

/* ------------------------------------------------------------------ access.c */

struct tt_access {
	uint64_t address;	/* linear */
	uint64_t length;	/* bytes; at a repeated string instruction those of one iteration */
	bool read, write;
	ZydisRegister string;	/* RSI or RDI, which a string instruction moves on; else ZYDIS_REGISTER_NONE */
};

#define TT_MAX_ACCESSES 4

/* What an instruction does to memory, by its operands; what the CPU does in tables of its own is no part of it. */
struct tt_accesses {
	struct tt_access list[TT_MAX_ACCESSES];
	unsigned int n;
	bool repeated;		/* a string instruction with a REP prefix */
	bool unknown;		/* it also reads what cannot be told from operands: VGATHER */
	bool interrupts;	/* INT and its kin: if it completes it has pushed an interrupt's frame */
	unsigned int length;	/* of the instruction, in bytes; 0: it cannot be decoded, or fetched */
};

/* The instruction at rip, with these registers before it. */
void tt_accesses_at(struct tt_vcpu *vcpu, const struct kvm_sregs *sregs, const struct kvm_regs *regs,
		    struct tt_accesses *a);
/*
 * The same after it has run, or was broken off by an exception: what it really did, with repeated accesses as one
 * range.
 */
void tt_accesses_made(struct tt_accesses *a, const struct kvm_regs *before, const struct kvm_regs *after,
		      bool completed);
/* What the CPU has pushed to get to the first instruction of a handler, from where it was before. */
struct tt_access tt_frame_pushed(struct tt_vcpu *vcpu, const struct kvm_sregs *before_sregs,
				 const struct kvm_regs *before, const struct kvm_sregs *sregs,
				 const struct kvm_regs *regs);

#endif /* TTVM_REPLAY_DECODE_H */
