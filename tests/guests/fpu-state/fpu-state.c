// SPDX-License-Identifier: GPL-2.0
/*
 * fpu-state - x87, SSE and, where offered, AVX registers that live across interrupts and exits,
 * with changing rounding modes, denormals, sticky flags and unmasked exceptions. Provokes registers
 * that are lost or restored differently when the host switches its own FPU state, and status bits
 * that depend on when it did.
 *
 * Not looked at: the x87 instruction and data pointers (bytes 6-23 of the image). AMD's CPUs save
 * them only while an exception is pending, so a host switch may or may not have cleared them
 * (docs/cpu.md).
 */
#include "guest.h"

#define TICKS	150

GUEST("fpu-state");

static uint8_t image[512] __attribute__((aligned(16)));
static uint8_t irq_image[512] __attribute__((aligned(16)));
static uint8_t wide[4][32] __attribute__((aligned(32)));
static volatile uint64_t simd_exceptions, x87_exceptions;
static bool has_avx;

static uint64_t digest(const uint8_t *fxsave)
{
	uint64_t sum = 0, word;
	size_t i;

	for (i = 0; i < 416; i += 8) {
		if (i == 8 || i == 16)
			continue;
		__builtin_memcpy(&word, fxsave + i, 8);
		if (i == 0)
			word &= 0xffffffffffffull;
		sum = mix(sum, word);
	}
	return sum;
}

/* The interrupted registers, and a computation of the handler's own before they are given back. */
static void look(struct frame *f)
{
	uint64_t x = ticks, root;

	(void)f;
	asm volatile("fxsave64 %0" : "=m"(irq_image));
	fold_irq(digest(irq_image));
	asm volatile("fninit; fildq %1; fsqrt; fstpl %0" : "=m"(root) : "m"(x));
	fold_irq(root);
	asm volatile("fxrstor64 %0" : : "m"(irq_image));
}

static void simd_exception(struct frame *f)
{
	uint32_t mxcsr = 0x1f80;

	simd_exceptions++;
	fold_irq(f->rip);
	asm volatile("ldmxcsr %0" : : "m"(mxcsr));
}

static void x87_exception(struct frame *f)
{
	uint16_t status;

	x87_exceptions++;
	asm volatile("fnstsw %0; fnclex; fninit" : "=m"(status));
	fold_irq(f->rip);
	fold_irq(status);
}

static void x87_round(uint64_t n)
{
	uint16_t control = 0x033f | (n & 3) << 10 | (n & 4 ? 0 : 0x200);
	uint64_t x = n + 1, sine, root;

	asm volatile("fldcw %2; fildq %3; fsin; fstpl %0; fildq %3; fsqrt; fstpl %1"
		     : "=m"(sine), "=m"(root) : "m"(control), "m"(x));
	fold(sine);
	fold(root);
	/* Left in the registers for interrupts to see. */
	asm volatile("fldpi; fildq %0; fyl2x; fldz" : : "m"(x));
	asm volatile("fxsave64 %0" : "=m"(image));
	fold(digest(image));
	asm volatile("fninit");
}

static void sse_round(uint64_t n)
{
	uint32_t mxcsr = 0x1f80 | (n & 3) << 13 | (n & 4 ? 0x8040 : 0);
	uint64_t lanes[2] = { 0x3ff0000000000000ull + n, n & 7 ? 0x4008000000000000ull : 7 };

	asm volatile("ldmxcsr %0\n"
		     "movupd %1, %%xmm0\n"
		     "movapd %%xmm0, %%xmm1\n"
		     "sqrtpd %%xmm0, %%xmm2\n"
		     "divpd %%xmm0, %%xmm1\n"
		     "mulpd %%xmm2, %%xmm0\n"
		     "paddq %%xmm0, %%xmm15\n"
		     "movupd %%xmm0, %1\n"
		     "stmxcsr %0"
		     : "+m"(mxcsr), "+m"(lanes));
	fold(lanes[0]);
	fold(lanes[1]);
	fold(mxcsr);
	asm volatile("fxsave64 %0" : "=m"(image));
	fold(digest(image));
}

static void avx_round(uint64_t n)
{
	wide[0][n % 32] = n;
	asm volatile("vmovdqu %1, %%ymm3\n"
		     "vpermq $0x39, %%ymm3, %%ymm4\n"
		     "vpaddq %%ymm4, %%ymm5, %%ymm5\n"
		     "vmovdqu %%ymm5, %0"
		     : "=m"(wide[1]) : "m"(wide[0]));
	fold_bytes(wide[1], 32);
}

static void exceptions(void)
{
	uint32_t mxcsr = 0x1d80; /* division by zero unmasked */
	uint16_t control = 0x033b;
	uint64_t one = 0x3ff0000000000000ull, before = simd_exceptions;

	/* The handler masks it again and the division is repeated. */
	asm volatile("ldmxcsr %0; movq %1, %%xmm6; xorpd %%xmm7, %%xmm7; divsd %%xmm7, %%xmm6"
		     : : "m"(mxcsr), "r"(one));
	/* QEMU's emulation, and so the lab, does not raise it. */
	if (simd_exceptions - before > 1)
		guest_fail("number of SIMD exceptions", simd_exceptions - before);
	before = x87_exceptions;
	asm volatile("fninit; fldcw %0; fld1; fldz; fdivrp; fwait" : : "m"(control));
	if (x87_exceptions != before + 1)
		guest_fail("number of x87 exceptions", x87_exceptions - before);
}

static void avx_create(void)
{
	uint64_t cr4;

	if ((cpuid(1, 0).ecx & (1u << 26 | 1u << 28)) != (1u << 26 | 1u << 28) ||
	    !(cpuid(7, 0).ebx & 1u << 5))
		return;
	asm volatile("mov %%cr4, %0" : "=r"(cr4));
	asm volatile("mov %0, %%cr4" : : "r"(cr4 | 1u << 18));
	asm volatile("xsetbv" : : "c"(0), "a"(7), "d"(0));
	has_avx = true;
}

void guest_main(void)
{
	uint64_t rounds = 0;

	avx_create();
	set_handler(VECTOR_XM, simd_exception);
	set_handler(VECTOR_MF, x87_exception);
	tick_hook = look;
	timer_periodic(PERIOD_FAST, TICKS);
	sti();
	while (timer_is_on()) {
		x87_round(rounds);
		sse_round(rounds);
		if (has_avx)
			avx_round(rounds);
		if (rounds % 16 == 0)
			exceptions();
		if (rounds % 8 == 0)
			outb(0x80, rounds); /* an exit with live registers */
		rounds++;
	}
	cli();
	fold(rounds);
}
